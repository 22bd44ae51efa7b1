"""Projection, log-odds with gaps and an alarm for a frozen camera by hand, the lesson's blanks, and the open challenge."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.datasets import road
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    lesson,
    one_of,
    part,
    right,
    says,
)

lesson(
    "driving",
    promise="Project points with all traps, fuse sensors with gaps, set an alarm for a frozen camera, a gate and a "
    "bird's-eye view in PyTorch, and a challenge: whom to believe in which fog.",
    uses="NumPy; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def shown_pixels(points, turn, shift, rectify, intrinsics, width, height):
    """Lidar points (p, 3) → pixels (k, 2), as (u, v), of those that the picture shows."""
    camera = points @ turn.T + shift
    rectified = camera @ rectify.T
    scaled = rectified @ intrinsics.T
    depth = scaled[:, 2]
    pixels = scaled[:, :2] / depth[:, None]
    inside = ((pixels >= 0) & (pixels < [width, height])).all(axis=1)
    shown = inside & (depth > 0)
    return pixels[shown]


def small_turn(g, size):
    """A small rotation."""
    a, b, c = g.uniform(size / 2, size, 3) * g.choice([-1, 1], 3)
    skew = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    turn, _ = np.linalg.qr(np.eye(3) + skew)
    return turn * np.sign(np.diag(turn))


def draw_sweep(g, number, width, height, where):
    """Points around a car; `where` "around": every second one is behind, "behind": all but three, "ahead": none."""
    axes = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    turn, shift, rectify = (
        small_turn(g, 0.05) @ axes,
        np.array([0.3, -0.2, -0.4]) + g.normal(0, 0.1, 3),
        small_turn(g, 0.08),
    )
    focal = 0.7 * width
    intrinsics = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    ahead = g.uniform(1.2, 14, number)
    ahead[::3] = g.uniform(1.2, 1.6, len(ahead[::3]))
    points = np.stack([ahead, g.uniform(-0.5, 0.5, number) * ahead, g.uniform(-0.2, 0.2, number) * ahead], axis=1)
    back = np.arange(number) % 2 == 1
    if where != "around":
        back = np.arange(number) >= (3 if where == "behind" else number)
    points[back] *= -1
    return points.round(2), turn, shift, rectify, intrinsics, width, height


projection = exercise(
    "driving.1",
    shown_pixels,
    title="Lidar points in the picture",
    points=2,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "`points` (p, 3) are in the lidar's frame. `turn` (3, 3) and `shift` (3,) take a point to the camera's frame, "
            "`rectify` (3, 3) is a small rotation that makes the cameras' pictures parallel (KITTI's R0_rect), and "
            "`intrinsics` (3, 3) is K."
        ),
        context("**Write** `shown_pixels(points, turn, shift, rectify, intrinsics, width, height)`."),
        says("First turn each point, *then* add the shift;", mistake="shifted before it was turned"),
        says("then rectify;", mistake="R0_rect is left out"),
        says("then multiply by K,", mistake="K is missing"),
        says("and divide by depth.", mistake="not divided by depth"),
        says("Keep the points in front of the camera only", mistake="behind the camera"),
        says("whose pixel lies within the picture: 0 ≤ u < width, 0 ≤ v < height.", mistake="outside the picture"),
        says("Return the pixels (k, 2) in the order of the points, u first, then v.", mistake="v comes first"),
        example("""
K = np.array([[50.0, 0.0, 32.0], [0.0, 50.0, 24.0], [0.0, 0.0, 1.0]])
for point in ([1.0, 0.5, 5.0], [-1.0, -0.5, -5.0]):  # in the camera's frame
    scaled = K @ point
    print(point, "→ pixel", scaled[:2] / scaled[2], "depth", scaled[2])
"""),
    ],
    hints=[
        "With points as rows: `points @ turn.T + shift`. The depth is the third number after K.",
        "`inside & (depth > 0)` is a mask; `pixels[mask]` keeps the order.",
    ],
    draw=draw_sweep,
    parts=[
        part("points ahead and behind", weight=2, number=between(12, 20), width=64, height=48, where="around"),
        part("a wide picture", number=between(10, 16), width=120, height=between(30, 40), where="around"),
        part("most are behind", number=between(9, 12), width=64, height=48, where="behind"),
        part("all ahead", number=between(8, 12), width=between(50, 60), height=60, where="ahead"),
    ],
    own={"number": 2, "width": 64, "height": 48, "where": "around"},
    constant={name: "a motion in space has one size" for name in ("turn", "shift", "rectify", "intrinsics")},
    own_says="A sweep of your own",
    mistakes={
        "The point was shifted before it was turned: R x + t turns first.": "camera = (points + shift) @ turn.T",
        "The turn is the wrong way round: with points as rows, multiply by its transpose.": "camera = points @ turn + shift",
        "R0_rect is left out: the pixels are a few off, which looks nearly right.": "rectified = camera",
        "K is missing: these are not pixels yet.": "scaled = rectified",
        "The pixels are not divided by depth.": "pixels = scaled[:, :2]",
        "Points behind the camera are kept: their pixels fall into the picture, too.": "shown = inside",
        "Points outside the picture are kept.": "shown = depth > 0",
        "v comes first in your pixels: u is the column, and comes first.": "return pixels[shown][:, ::-1]",
    },
    praise="On a frame of KITTI, about as many points from behind would have fallen into the picture as true ones.",
)


@right(projection)
def one_by_one(points, turn, shift, rectify, intrinsics, width, height):
    found = []
    for x in points:
        a, b, depth = intrinsics @ (rectify @ (turn @ x + shift))
        if depth > 0 and 0 <= a / depth < width and 0 <= b / depth < height:
            found.append((a / depth, b / depth))
    return np.array(found).reshape(-1, 2)


# ---------------------------------------------------------------- 2
def occupied(likely, unlikely, there, prior):
    """p(something is there): likely, unlikely (b, m) are p(z | something), p(z | nothing); there (b, m) bool → (b,)."""
    floor = 1e-6
    ratios = np.log(np.maximum(likely, floor)) - np.log(np.maximum(unlikely, floor))
    evidence = np.where(there, ratios, 0.0)
    total = evidence.sum(axis=1)
    logit = total + np.log(prior / (1 - prior))
    return 1 / (1 + np.exp(-logit))


def draw_readings(g, b, m, kind):
    """Likelihoods of b places and m sensors; a missing sensor's entries are left from before."""
    likely, unlikely = g.uniform(0.1, 0.9, (2, b, m)).round(2)
    there = g.random((b, m)) > 0.4
    there[:, 0] = True
    if m > 1:
        there[0, 1:] = False
    if kind == "all":
        there[:] = True
    if kind == "none":
        there[-1] = False
    if kind == "zeros":
        there[:] = True
        likely[0, 0] = 0.0
        unlikely[-1, -1] = 0.0
    return likely, unlikely, there, float(g.choice([0.1, 0.2, 0.7]))


fuse = exercise(
    "driving.2",
    occupied,
    title="Log-odds of sensors, with gaps",
    points=2,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "Is something in this cell? `likely` (b, m) holds p(what sensor m measured | something), `unlikely` (b, m) "
            "p(… | nothing), for b cells. `there` (b, m) says which sensors work: where it is False, the numbers are old "
            "and mean nothing."
        ),
        context("**Write** `occupied(likely, unlikely, there, prior)`: the probability of *something*, (b,)."),
        says("Add log(likely / unlikely) over the sensors", mistake="Probabilities are averaged"),
        says("that are there: a missing sensor adds nothing.", mistake="old numbers"),
        says("Add the prior's log-odds, log(prior / (1 − prior)),", mistake="without the prior"),
        says("once,", mistake="once for each"),
        says("and turn the sum into a probability by the sigmoid.", mistake="still log-odds"),
        says(
            "A likelihood below 0.000001 counts as 0.000001, so that no sensor is infinitely sure.",
            mistake="infinitely",
        ),
        example("""
ratio = np.log(0.8 / 0.2)
prior = np.log(0.1 / 0.9)
print("one sensor:", round(1 / (1 + np.exp(-(ratio + prior))), 3))
"""),
    ],
    hints=[
        "`np.where(there, ratios, 0.0)` silences the missing ones.",
        "Sum over axis 1, then add `np.log(prior / (1 - prior))`, one number.",
    ],
    draw=draw_readings,
    parts=[
        part("some sensors missing", weight=2, b=between(3, 5), m=3, kind="gaps"),
        part("all sensors there", b=between(2, 4), m=between(2, 4), kind="all"),
        part("a cell that no sensor sees", b=3, m=3, kind="none"),
        part("a likelihood of 0", b=2, m=between(2, 3), kind="zeros"),
        part("one sensor", b=between(1, 3), m=1, kind="all"),
    ],
    own={"b": 1, "m": 3, "kind": "gaps"},
    own_says="A cell of your own",
    mistakes={
        "The old numbers of missing sensors count: use `there`.": "evidence = ratios",
        "A missing sensor speaks for “nothing” here: it must add 0.": "evidence = np.where(there, ratios, np.log(0.5))",
        "The prior counts once for each sensor: it counts once.": (
            "total = evidence.sum(axis=1) + (len(there[0]) - 1) * np.log(prior / (1 - prior))"
        ),
        "The prior counts for every sensor that works: it is to count a single time.": (
            "total = evidence.sum(axis=1) + (there.sum(axis=1) - 1) * np.log(prior / (1 - prior))"
        ),
        "This is without the prior: a rare thing needs more evidence.": "logit = total",
        "Evidence is averaged: two sensors that agree should be surer than one.": (
            "total = evidence.sum(axis=1) / np.maximum(there.sum(axis=1), 1)"
        ),
        "Probabilities are averaged: log-odds are to be added.": (
            "return (np.where(there, likely / (likely + unlikely), 0).sum(axis=1) + prior) / (there.sum(axis=1) + 1)"
        ),
        "These are still log-odds: apply the sigmoid.": "return logit",
        "Something is infinitely sure here: a likelihood counts as at least 0.000001.": "floor = 1e-300",
    },
    praise="Occupancy grids of robots have been filled in this way since 1985.",
)


@right(fuse)
def by_odds(likely, unlikely, there, prior):
    found = []
    for up, down, seen in zip(likely, unlikely, there, strict=True):
        odds = prior / (1 - prior)
        for a, b, real in zip(up, down, seen, strict=True):
            if real:
                odds *= max(a, 1e-6) / max(b, 1e-6)
        found.append(odds / (1 + odds))
    return np.array(found)


# ---------------------------------------------------------------- 3
def alarm_rule(calm, broken, every, window, frames_per_hour, most_per_hour):
    """Threshold from a calm drive, and after how many kept frames the alarm comes in a broken one (-1: never)."""
    calm_sums = np.convolve(calm[::every], np.ones(window), mode="valid")
    hours = len(calm) / frames_per_hour
    allowed = int(most_per_hour * hours)
    threshold = np.sort(calm_sums)[::-1][allowed]
    broken_sums = np.convolve(broken[::every], np.ones(window), mode="valid")
    alarms = np.flatnonzero(broken_sums > threshold)
    delay = window + alarms[0] if len(alarms) else -1
    return threshold, delay


def draw_drives(g, hours, frames_per_hour, every, window, most_per_hour, kind, length=40):
    """Scores of a working camera, and of one that freezes at the start; frames repeat, as at 10 Hz."""
    number = hours * frames_per_hour
    calm = np.repeat(g.normal(-0.5, 1.0, number // every), every) + g.normal(0, 0.05, number // every * every)
    shift = 0.9 if kind == "found" else -3.0
    broken = np.repeat(g.normal(shift, 1.0, length), every) + g.normal(0, 0.05, length * every)
    return calm.round(3), broken.round(3), every, window, frames_per_hour, most_per_hour


def draw_at_threshold(g, hours, frames_per_hour, every, window, most_per_hour):
    """The first window of the broken drive sums to exactly the threshold; above it are the last ones, or none.

    All scores are multiples of 1/1024, so that every way to sum them gives the very same number.
    """
    while True:
        kept = np.round(1024 * g.normal(-0.5, 1.0, hours * frames_per_hour // every).clip(-4, 4)) / 1024
        sums = np.convolve(kept, np.ones(window), mode="valid")
        place = int(np.argsort(-sums, kind="stable")[most_per_hour * hours])
        if (sums == sums[place]).sum() == 1:  # no ties there
            break
    low, high = np.full(int(g.integers(window, 9)), -8.0), np.full(window, 8.0)
    scores = np.concatenate([kept[place : place + window], low, high[: window * int(g.integers(2))]])
    calm, broken = np.repeat(kept, every), np.repeat(scores, every)
    return calm, broken, every, window, frames_per_hour, most_per_hour


def limited(calm, broken, every, window, frames_per_hour, most_per_hour):
    """The answer with one mistake: the hourly rate taken as a share of frames in percent."""
    sums = np.sort(np.convolve(calm[::every], np.ones(window), mode="valid"))[::-1]
    threshold = sums[min(int(most_per_hour / 100 * len(sums)), len(sums) - 1)]
    late = np.flatnonzero(np.convolve(broken[::every], np.ones(window), mode="valid") > threshold)
    return threshold, window + late[0] if len(late) else -1


alarm = exercise(
    "driving.3",
    alarm_rule,
    title="Is the camera frozen?",
    points=3,
    difficulty=3,
    minutes=30,
    statement=[
        context(
            "Every frame has a score: high where camera and lidar disagree. `calm` holds the scores of a validation drive "
            "with a working camera, `broken` those of a drive whose camera is frozen from the first frame on."
        ),
        context("**Write** `alarm_rule(calm, broken, every, window, frames_per_hour, most_per_hour)`."),
        says(
            "Neighboring frames repeat each other: keep only frames 0, every, 2·every, …", mistake="repeat each other"
        ),
        says("The alarm looks at the *sum* of the last `window` kept frames,", mistake="one frame alone"),
        says("for every position of the window that is full.", ignored=edit('mode="valid"', 'mode="full"')),
        says(
            "The drive has len(calm) / frames_per_hour hours, and int(most_per_hour · hours) false alarms are allowed: that "
            "many window sums may lie above the threshold, no more.",
            mistake="not for the whole drive",
        ),
        says("So the threshold is the largest sum after those.", mistake="One sum too far up"),
        says("It comes from the calm drive.", mistake="from the broken drive"),
        says("An alarm is a sum *above* the threshold.", mistake="sum at the threshold"),
        says("The delay is the number of kept frames seen until then,", mistake="first window"),
        says("or -1 if there is none.", ignored=edit("else -1", "else len(broken_sums)")),
        says("Return (threshold, delay).", mistake="other way round"),
        example("""
scores = np.array([0.0, 1.0, -1.0, 2.0])
print("sums of two:", np.convolve(scores, np.ones(2), mode="valid"))
print("the second largest score:", np.sort(scores)[::-1][1])
"""),
    ],
    hints=[
        '`np.convolve(kept, np.ones(window), mode="valid")` has one sum for each full window.',
        "`np.sort(sums)[::-1][allowed]`: exactly `allowed` sums lie above it (without ties). The first full window ends after "
        "`window` frames.",
    ],
    draw=draw_drives,
    parts=[
        part(
            "a frozen camera is found",
            weight=2,
            hours=between(2, 3),
            frames_per_hour=400,
            every=4,
            window=between(3, 5),
            most_per_hour=between(2, 4),
            kind="found",
        ),
        part(
            "it is never found",
            hours=2,
            frames_per_hour=between(300, 400),
            every=one_of(2, 3),
            window=3,
            most_per_hour=2,
            kind="missed",
        ),
        part("no false alarm allowed", hours=1, frames_per_hour=300, every=1, window=4, most_per_hour=0, kind="found"),
        part(
            "one frame decides",
            hours=2,
            frames_per_hour=300,
            every=3,
            window=1,
            most_per_hour=between(3, 5),
            kind="found",
        ),
        part(
            "a sum exactly at the threshold",
            draw=draw_at_threshold,
            hours=between(1, 2),
            frames_per_hour=300,
            every=between(1, 3),
            window=between(2, 5),
            most_per_hour=between(1, 3),
        ),
    ],
    own={
        "hours": 1,
        "frames_per_hour": 20,
        "every": 2,
        "window": 2,
        "most_per_hour": 1,
        "kind": "found",
        "length": 7,
    },
    own_says="Two short drives of your own",
    names=("the threshold", "the delay"),
    mistakes={
        "Neighboring frames repeat each other: keep every `every`-th one first.": [
            edit("[::every]", ""),
            edit("calm[::every]", "calm"),
        ],
        "This looks at one frame alone: the alarm takes the sum over the window.": edit(
            "np.ones(window)", "np.ones(1)"
        ),
        "This is the mean over the window: the sum is wanted.": edit("np.ones(window)", "np.ones(window) / window"),
        "The limit is for an hour, not for the whole drive: multiply by the hours.": "allowed = int(most_per_hour)",
        "The limit is for an hour, not for a hundred frames.": limited,
        "The hours count all frames of the drive, also those that you leave out.": (
            "hours = len(calm[::every]) / frames_per_hour"
        ),
        "The threshold comes from the broken drive: at the test nobody knows which drives are broken.": (
            "threshold = np.sort(np.convolve(broken[::every], np.ones(window), mode='valid'))[::-1][allowed]"
        ),
        "One sum too far up: this allows one false alarm less.": "threshold = np.sort(calm_sums)[::-1][max(allowed - 1, 0)]",
        "One sum too far down: this allows one false alarm more.": "threshold = np.sort(calm_sums)[::-1][allowed + 1]",
        "A sum at the threshold is no alarm yet: only one above it is.": edit(
            "broken_sums > threshold", "broken_sums >= threshold"
        ),
        "The delay counts from the end of the first window: that window's frames had to be seen, too.": (
            "delay = alarms[0] if len(alarms) else -1"
        ),
        "The two are returned the other way round.": edit("return threshold, delay", "return delay, threshold"),
    },
    praise="A rate without its unit of time is no rate: one false alarm in 1,000 frames at 10 Hz is 36 an hour.",
)


@right(alarm)
def by_loops(calm, broken, every, window, frames_per_hour, most_per_hour):
    def sums(scores):
        kept = list(scores)[::every]
        return [sum(kept[i : i + window]) for i in range(len(kept) - window + 1)]

    threshold = sorted(sums(calm), reverse=True)[int(most_per_hour * (len(calm) / frames_per_hour))]
    for number, value in enumerate(sums(broken)):
        if value > threshold + 1e-12:
            return threshold, number + window
    return threshold, -1


# ---------------------------------------------------------------- the lesson's blanks
CAMERA = np.array([[50.0, 0.0, 32.0], [0.0, 60.0, 24.0], [0.0, 0.0, 1.0]])


def clouds():
    rng = np.random.default_rng(0)
    for number in (8, 5, 1):
        points = rng.uniform(-1, 1, (number, 3)) * [2, 1.5, 1] + [0, 0, 4]
        points[::2] *= -1
        yield points, CAMERA, 64, 48
    yield np.array([[2.0, 0.0, 2.0], [0.0, 0.0, 2.0], [0.0, 2.0, 2.0]]), CAMERA, 64, 48
    borders = [[-0.5, 0.0, 0.78125], [0.5, 0.0, 0.78125], [0.0, 0.25, 0.625]]  # u = 0, u = width, v = height
    yield np.array(borders), CAMERA, 64, 48


def pixels_with(points, intrinsics, width, height, divide=True, front=True, borders=True, swap=False, closed=False):
    scaled = points @ intrinsics.T
    pixels = scaled[:, :2] / scaled[:, 2:] if divide else scaled[:, :2]
    shown = np.ones(len(points), bool)
    if borders:
        shown &= ((pixels >= 0) & (pixels < [width, height])).all(axis=1)
    if closed:
        shown = ((pixels >= 0) & (pixels <= [width, height])).all(axis=1)
    if front:
        shown &= scaled[:, 2] > 0
    return (pixels[:, ::-1] if swap else pixels), shown


@blank(
    "driving.blank.1",
    title="Into the picture",
    inputs=clouds,
    mistakes=[
        (lambda *a: pixels_with(*a, front=False), "Points behind the camera count as shown: look at the depth."),
        (lambda *a: pixels_with(*a, divide=False), "Divide by depth, the third number."),
        (lambda x, k, *a: pixels_with(x, k.T, *a), "With points as rows it is `points @ intrinsics.T`."),
        (lambda *a: pixels_with(*a, closed=True), "u = width is outside, and v = height: u < width, v < height."),
        (lambda *a: pixels_with(*a, borders=False), "Points outside the picture count as shown."),
        (lambda *a: pixels_with(*a, swap=True), "u is the column, and comes first."),
    ],
)
def in_picture(points, intrinsics, width, height):
    return pixels_with(points, intrinsics, width, height)


def evidence():
    rng = np.random.default_rng(1)
    for b, m, c in ((3, 3, 4), (2, 2, 3), (1, 3, 2)):
        likelihood = rng.uniform(0.1, 0.9, (b, m, c)).round(2)
        there = rng.random((b, m)) > 0.4
        there[0, 0] = False
        prior = rng.dirichlet(np.ones(c))
        yield np.log(likelihood), there, np.log(prior)


def posterior_with(log_likelihoods, there, log_prior, mask=True, priors=1, normalize=True, exp=True):
    kept = np.where(there[:, :, None], log_likelihoods, 0.0) if mask else log_likelihoods
    scores = kept.sum(axis=1) + priors * log_prior
    if not exp:
        return scores
    p = np.exp(scores)
    return p / p.sum(axis=1, keepdims=True) if normalize else p


@blank(
    "driving.blank.2",
    title="Fusion with gaps",
    inputs=evidence,
    mistakes=[
        (lambda *a: posterior_with(*a, mask=False), "Sensors that are not there count: use the mask."),
        (lambda *a: posterior_with(*a, priors=0), "The prior is missing."),
        (
            lambda a, b, c: posterior_with(a, b, c, priors=b.sum(axis=1)[:, None]),
            "The prior counts once, not once for each sensor that is there.",
        ),
        (lambda a, b, c: posterior_with(a, b, c, priors=a.shape[1]), "The prior counts once, not once per sensor."),
        (lambda *a: posterior_with(*a, normalize=False), "The probabilities do not sum to 1: divide by their sum."),
        (lambda *a: posterior_with(*a, exp=False), "These are log-probabilities: take np.exp, and divide by the sum."),
    ],
)
def fuse_sensors(log_likelihoods, there, log_prior):
    return posterior_with(log_likelihoods, there, log_prior)


def tables():
    rng = np.random.default_rng(2)
    yield (road.JOINT[:, 0].sum(axis=0) / road.WEATHER[0],)
    for shape in ((2, 2, 2), (3, 2, 4)):
        yield (rng.dirichlet(np.ones(np.prod(shape))).reshape(shape),)


def score_with(table, flip=False, log=True, alone="camera"):
    if alone == "camera":
        apart = table.sum(axis=(1, 2))[:, None, None] * table.sum(axis=0)
    else:
        one, two, three = table.sum(axis=(1, 2)), table.sum(axis=(0, 2)), table.sum(axis=(0, 1))
        apart = one[:, None, None] * two[None, :, None] * three
    ratio = table / apart if flip else apart / table
    return np.log(ratio) if log else ratio


@blank(
    "driving.blank.3",
    title="The best possible detector",
    inputs=tables,
    mistakes=[
        (lambda t: score_with(t, flip=True), "Upside down: high scores must speak for the frozen camera."),
        (lambda t: score_with(t, log=False), "Take the logarithm, so that frames can be added."),
        (
            lambda t: score_with(t, alone="all"),
            "Only the camera is frozen: lidar and radar still go together, p(lidar, radar).",
        ),
    ],
)
def frozen_score(table):
    return score_with(table)


def decisions():
    rng = np.random.default_rng(3)
    cost = np.array([[0.0, 20.0, 60.0, 100.0], [1.0, 2.0, 8.0, 15.0], [4.0, 0.5, 0.5, 0.5]])
    yield rng.dirichlet(np.ones(4), 5), cost
    yield np.array([[0.9, 0.0, 0.0, 0.1], [1.0, 0.0, 0.0, 0.0]]), cost
    yield rng.dirichlet(np.ones(3), 4), rng.uniform(0, 5, (2, 3))


@blank(
    "driving.blank.4",
    title="The cheapest action",
    inputs=decisions,
    mistakes=[
        (
            lambda p, cost: cost[:, p.argmax(axis=1)].argmin(axis=0),
            "This trusts the likeliest class: weigh the costs of *all* classes with their probabilities.",
        ),
        (lambda p, cost: (p @ cost.T).argmax(axis=1), "This is the dearest action: take the least expected cost."),
        (lambda p, cost: (p @ cost.T).min(axis=1), "This is the cost itself: return the number of the action."),
        (
            lambda p, cost: np.full(len(p), cost.max(axis=1).argmin()),
            "This looks at the worst case only, whatever p says.",
        ),
    ],
)
def cheapest(p, cost):
    return (p @ cost.T).argmin(axis=1)


# ---------------------------------------------------------------- challenge
TRAIN, TEST, SENSORS, KINDS = 6000, 3000, 4, 4


def draw_challenge(g):
    """A fleet's own sensors and fogs: readings, a haze meter, labels of the training part."""
    prior = g.dirichlet(np.full(KINDS, 8.0))
    confusion = np.array([0.86, 0.82, 0.74, 0.66])
    order = g.permutation(SENSORS)
    stuck = g.integers(KINDS, size=2)

    def draw(number):
        label = g.choice(KINDS, size=number, p=prior)
        weather = g.integers(4, size=number)
        readings = np.zeros((number, SENSORS), np.int64)
        for m in range(SENSORS):
            good = g.random(number) < confusion[m]
            readings[:, m] = np.where(good, label, g.integers(KINDS, size=number))
            for w in range(4):  # in each weather, two of the sensors fail: one says anything, one is stuck or scattered
                if m in (order[w], order[(w + 1) % 4]):
                    hit = (weather == w) & (g.random(number) < 0.9)
                    fixed = w < 2 and m == order[w]
                    other = np.full(number, stuck[w]) if fixed else g.integers(KINDS, size=number)
                    readings[:, m] = np.where(hit, other, readings[:, m])
        centers = np.array([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]])
        haze = centers[weather] + g.normal(0, 0.25, (number, 2))
        missing = g.random((number, SENSORS)) < 0.1
        readings[missing] = -1
        return readings, haze.round(3), label

    train, test = draw(TRAIN), draw(TEST)
    return Drawn(
        inputs={
            "readings": train[0],
            "haze": train[1],
            "labels": train[2],
            "test_readings": test[0],
            "test_haze": test[1],
        },
        hidden=test[2],
    )


def share_right(arrays, inputs, hidden):
    """Accuracy."""
    return float((np.asarray(arrays["predictions"]) == hidden).mean())


challenge(
    "driving.challenge",
    title="Whom to believe in which fog",
    statement=[
        "A fleet has four sensors of its own. `readings` (6000, 4) says which of four classes each sensor makes of a place, -1 "
        "where it is missing; `haze` (6000, 2) comes from a weather meter; `labels` (6000,) is the truth. In each of four weathers two "
        "sensors are nearly useless, each time others. Which, and how it shows in `haze`, nobody tells you.",
        "Predict the classes of `test_readings` (3000, 4) with `test_haze` (3000, 2): `predictions`, whole numbers (3000,).",
        "The score is the accuracy. A logistic regression on one-hot readings and haze, which is an additive vote, reaches about "
        "0.78. Beat it.",
    ],
    draw=draw_challenge,
    score=share_right,
    hand_in={"predictions": Array((TEST,), "integer")},
    to_beat=0.8,
    points_by_score={0.8: 1, 0.82: 2, 0.84: 3},
    minutes=60,
    score_name="accuracy",
)
