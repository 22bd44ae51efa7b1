"""Indices of frames, the offset by correlation and the greedy summary by hand, and the open challenge; PyTorch has a file."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.datasets.scenes import films, halved
from mmcourse.exercise import (
    Array,
    Drawn,
    challenge,
    context,
    edit,
    example,
    exercise,
    lesson,
    part,
    right,
    says,
)
from mmcourse.preprocess.synchrony import loudness

lesson(
    "video",
    promise="Indices of frames, the offset between picture and sound, and a greedy summary by hand, a (2+1)D block and "
    "attention along time in PyTorch, and a challenge: how late is the sound?",
    uses="NumPy; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def frame_indices(num_frames, k):
    """k indices into num_frames frames, evenly from the first to the last: list of int."""
    if k == 1:
        return [(num_frames - 1) // 2]
    indices = []
    for i in range(k):
        exact = i * (num_frames - 1) / (k - 1)
        indices.append(int(np.floor(exact + 0.5)))
    return indices


def draw_numbers(g, kind):
    """How many frames there are and how many are wanted."""
    if kind == "more or some":
        return int(g.integers(100, 100_000)), int(g.integers(3, 12))
    if kind == "some":
        k = int(g.integers(4, 8))
        return int(g.integers(3 * k, 60)), k
    if kind == "halves":  # every second exact index ends in .5
        k = 2 * int(g.integers(2, 5)) + 1
        return (k - 1) // 2 * (2 * int(g.integers(1, 4)) + 1) + 1, k
    if kind == "all":
        n = int(g.integers(5, 12))
        return n, n
    if kind == "more":
        n = int(g.integers(3, 6))
        return n, 2 * n + int(g.integers(1, 4))
    if kind == "one wanted":
        return 2 * int(g.integers(3, 12)), 1
    return 1, int(g.integers(2, 5))  # "one there"


def bunched(num_frames, k):
    """The answer with one mistake."""
    if k > num_frames:
        return [*range(num_frames), *[num_frames - 1] * (k - num_frames)]
    return frame_indices(num_frames, k)


indices = exercise(
    "video.1",
    frame_indices,
    title="Which frames?",
    points=2,
    difficulty=1,
    minutes=15,
    statement=[
        context("A film has `num_frames` frames, numbered from 0; a model takes `k` of them."),
        says(
            "**Write** `frame_indices(num_frames, k)`: a list of `k` indices, evenly spread", mistake="as many as asked"
        ),
        says("from the first frame to the last, both included.", mistake="never taken"),
        says(
            "The exact place of index i is i · (num_frames − 1) / (k − 1); take the nearest whole number,",
            mistake="cut",
        ),
        says("and where two are equally near, the larger.", mistake="equally near"),
        says(
            "If more are wanted than there are, frames are repeated, by the same formula: evenly, not the last one again and "
            "again.",
            mistake="bunch",
        ),
        says("If only one is wanted, take number (num_frames − 1) // 2.", mistake="only one"),
        example("""
exact = [i * (12 - 1) / (4 - 1) for i in range(4)]
print("4 of 12, exactly:", np.round(exact, 2))
"""),
    ],
    hints=[
        "A loop over `range(k)`. Treat k = 1 first: the formula would divide by zero.",
        "`int(np.floor(exact + 0.5))` rounds halves up; `round` rounds 0.5 to 0 and 1.5 to 2.",
    ],
    draw=draw_numbers,
    parts=[
        part("some of many", weight=2, kind="some"),
        part("exact places that end in .5", kind="halves"),
        part("all of them", kind="all"),
        part("more than there are", weight=2, kind="more"),
        part("only one wanted", kind="one wanted"),
        part("a film of one frame", kind="one there"),
    ],
    own={"kind": "more or some"},
    own_says="Numbers of your own",
    mistakes={
        "The last frame is never taken: divide by k − 1, not by k.": lambda n, k: [i * n // k for i in range(k)],
        "The last frame is missing: the film ends at num_frames − 1.": edit(
            "exact = i * (num_frames - 1) / (k - 1)", "exact = i * (num_frames - 2) / (k - 1)"
        ),
        "You cut off what is behind the point: take the nearest whole number.": edit(
            "np.floor(exact + 0.5)", "np.floor(exact)"
        ),
        "Where two numbers are equally near, the larger is wanted (`round` takes the even one).": edit(
            "int(np.floor(exact + 0.5))", "round(exact)"
        ),
        "The repeats bunch at the end: spread them evenly by the formula.": bunched,
        "These are not as many as asked for: one more, or one fewer.": [
            edit("range(k)", "range(k - 1)"),
            edit("range(k)", "range(k + 1)"),
        ],
        "If only one is wanted, it is number (num_frames − 1) // 2.": [
            edit("return [(num_frames - 1) // 2]", "return [0]"),
            edit("return [(num_frames - 1) // 2]", "return [num_frames // 2]"),
        ],
    },
    praise="Some libraries had each of these mistakes for years.",
)


@right(indices)
def by_whole_numbers(num_frames, k):
    if k == 1:
        return [(num_frames - 1) // 2]
    return [(2 * i * (num_frames - 1) + k - 1) // (2 * (k - 1)) for i in range(k)]


# ---------------------------------------------------------------- 2
def find_offset(seen, heard, most):
    """The offset at which two series fit best, and the correlation there: (int, float)."""
    best, best_r = 0, -np.inf
    t = len(seen)
    for offset in range(-most, most + 1):
        start = max(0, -offset)
        stop = min(t, t - offset)
        a = seen[start:stop]
        b = heard[start + offset : stop + offset]
        a = a - a.mean()
        b = b - b.mean()
        size = np.sqrt((a @ a) * (b @ b))
        r = a @ b / size if size > 1e-12 else 0.0
        if r > best_r:
            best, best_r = offset, r
    return best, float(best_r)


def draw_series(g, kind):
    """Two series and the largest offset."""
    t, most = int(g.integers(16, 24)), int(g.integers(3, 6))
    if kind == "late, short":
        t, most = 9, 2
    world = g.normal(size=t + 2 * most).round(2)
    offset = {
        "late": int(g.integers(1, most)),
        "late, short": 1,
        "early": -int(g.integers(1, most)),
        "in step": 0,
        "as late as can be": most,
        "as early as can be": -most,
    }.get(kind, int(g.choice([-2, -1, 1, 2])))
    seen = world[most : most + t].copy()
    heard = world[most - offset : most - offset + t] + 0.3 * g.normal(size=t).round(2)
    if kind == "a loud stretch":  # sums of products are largest where it meets a large value
        heard[t // 2] += 6.0
        seen, heard = seen + 3.0, heard + 5.0
    if kind == "the opposite":  # at another offset they are nearly each other's negative
        heard = 0.6 * heard - np.roll(seen, offset + (3 if offset < 0 else -3))
    return seen, heard, most


def draw_flat(g, kind):
    """Series of which a part does not vary: only the last value differs, so that it is cut off at some offsets."""
    t, most = int(g.integers(9, 13)), 3
    seen, heard = np.zeros(t), np.zeros(t)
    seen[-1] = 1.0
    heard[-1] = 1.0
    if kind == "moved":
        heard[-1], heard[-2] = 0.0, 1.0
    return seen, heard, most


def by_rolling(seen, heard, most):
    """The answer with one mistake."""
    rs = {d: np.corrcoef(seen, np.roll(heard, -d))[0, 1] for d in range(-most, most + 1)}
    best = max(rs, key=lambda d: rs[d])
    return best, float(rs[best])


def by_products(seen, heard, most, mean=False, center=False):
    """The answer with one mistake."""
    t, rs = len(seen), {}
    for d in range(-most, most + 1):
        start, stop = max(0, -d), min(t, t - d)
        a, b = seen[start:stop], heard[start + d : stop + d]
        if center:
            a, b = a - a.mean(), b - b.mean()
        rs[d] = float(np.mean(a * b) if mean else a @ b)
    best = max(rs, key=lambda d: rs[d])
    return best, rs[best]


offset_exercise = exercise(
    "video.2",
    find_offset,
    title="How late is the sound?",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            r"$$r(d) = \frac{\sum_i (a_i - \bar a)(b_{i+d} - \bar b)}{\sqrt{\sum_i (a_i - \bar a)^2 \sum_i (b_{i+d} - \bar b)^2}}$$"
        ),
        context("`seen` (t,) says how much happens in each frame of the picture, `heard` (t,) how much in the sound."),
        says(
            "**Write** `find_offset(seen, heard, most)`. For each offset d from −most to most, both included,",
            mistake="both included",
        ),
        says("put `seen[i]` beside `heard[i + d]`: a positive offset means that the sound is late.", mistake="sign"),
        says("Only frames count for which both exist (nothing wraps round).", mistake="wraps round"),
        says("Of these two parts take the correlation: without their own means,", mistake="from both parts first"),
        says("divided by the two sizes.", mistake="sizes"),
        says("A negative correlation is no fit.", mistake="negative correlation"),
        says("Where a part does not vary, r is 0.", mistake="does not vary"),
        says("Return the offset with the largest r, and this r.", mistake="index"),
        example("""
seen = np.array([0, 1, 0, 0, 1, 0])
heard = np.array([0, 0, 1, 0, 0, 1])
print("offset 1:", seen[:-1], heard[1:])
"""),
    ],
    hints=[
        "For d ≥ 0 the parts are `seen[:t - d]` and `heard[d:]`. For d < 0 they are `seen[-d:]` and `heard[:t + d]`.",
        "`start, stop = max(0, -d), min(t, t - d)`; then `seen[start:stop]` and `heard[start + d:stop + d]` for both signs.",
    ],
    draw=draw_series,
    parts=[
        part("the sound is late", weight=2, kind="late"),
        part("the sound is early", weight=2, kind="early"),
        part("in step", kind="in step"),
        part("as late as can be", kind="as late as can be"),
        part("as early as can be", kind="as early as can be"),
        part("a loud stretch", kind="a loud stretch"),
        part("nearly the opposite at another offset", kind="the opposite"),
        part("a part that does not vary", draw=draw_flat, kind="together"),
        part("a part that does not vary, early", draw=draw_flat, kind="moved"),
    ],
    own={"kind": "late, short"},
    own_says="Series of your own",
    names=("the offset", "the correlation"),
    mistakes={
        "The sign is the wrong way round: a positive offset means that the sound is late.": (
            lambda seen, heard, most: (lambda d, r: (-d, r))(*find_offset(seen, heard, most))
        ),
        "This is the index of the best offset: the list of offsets begins at −most.": (
            lambda seen, heard, most: (lambda d, r: (d + most, r))(*find_offset(seen, heard, most))
        ),
        "What leaves at one end comes in at the other in yours: nothing wraps round; only frames count for which both "
        "exist.": by_rolling,
        "Divide by the two sizes: a loud stretch must not win.": [
            lambda seen, heard, most: by_products(seen, heard, most, center=True),
            lambda seen, heard, most: by_products(seen, heard, most, center=True, mean=True),
        ],
        "Take their own means away from both parts first.": edit(
            "        a = a - a.mean()\n        b = b - b.mean()\n", ""
        ),
        "The means are those of the two parts, not of the whole series.": edit(
            "        a = a - a.mean()\n        b = b - b.mean()\n",
            "        a = a - seen.mean()\n        b = b - heard.mean()\n",
        ),
        "A negative correlation is no fit: take the largest r, not the largest |r|.": edit(
            "r = a @ b / size if size > 1e-12 else 0.0", "r = abs(a @ b) / size if size > 1e-12 else 0.0"
        ),
        "Where a part does not vary, r is 0; yours is not a number there.": (
            lambda seen, heard, most: _with_nan(seen, heard, most)
        ),
        "The offsets −most and most are both included.": [
            edit("range(-most, most + 1)", "range(-most, most)"),
            edit("range(-most, most + 1)", "range(-most + 1, most + 1)"),
        ],
        "Early sounds count, too: offsets go from −most to most.": edit("range(-most, most + 1)", "range(most + 1)"),
    },
    praise="The same as the lesson's, and as those that lip-sync tools begin with.",
)


def _with_nan(seen, heard, most):
    t, rs = len(seen), []
    for d in range(-most, most + 1):
        start, stop = max(0, -d), min(t, t - d)
        a, b = seen[start:stop], heard[start + d : stop + d]
        a, b = a - a.mean(), b - b.mean()
        with np.errstate(all="ignore"):
            rs.append(float(a @ b / np.sqrt((a @ a) * (b @ b))))
    best = int(np.argmax(rs))  # the first NaN, if there is one
    return best - most, rs[best]


@right(offset_exercise)
def by_corrcoef(seen, heard, most):
    t, found = len(seen), {}
    for d in range(-most, most + 1):
        a, b = (seen[: t - d], heard[d:]) if d >= 0 else (seen[-d:], heard[: t + d])
        varies = np.ptp(a) > 0 and np.ptp(b) > 0
        found[d] = np.corrcoef(a, b)[0, 1] if varies else 0.0
    best = max(found, key=lambda d: found[d])
    return best, found[best]


# ---------------------------------------------------------------- 3
def greedy_summary(similarity, k):
    """k frames by greedy coverage, in order of time: list of int."""
    covered = np.zeros(len(similarity))
    chosen = []
    for _ in range(k):
        best, best_gain = None, -1.0
        for frame in range(len(similarity)):
            if frame in chosen:
                continue
            gain = np.maximum(similarity[:, frame] - covered, 0).sum()
            if gain > best_gain + 1e-12:
                best, best_gain = frame, gain
        chosen.append(best)
        covered = np.maximum(covered, similarity[:, best])
    return sorted(chosen)


def draw_similarity(g, kind):
    """Similarities of frames that belong to a few scenes."""
    if kind == "all":
        t = int(g.integers(4, 6))
        k = t
    else:
        t = 6 if kind == "short" else int(g.integers(8, 12))
        k = {"one": 1, "short": 2}.get(kind, int(g.integers(3, 5)))
    if kind == "equal frames":
        t = int(g.integers(7, 10))
        scene = np.sort(g.integers(0, 2, t))
        scene[0], scene[-1] = 0, 1
        return (scene[:, None] == scene).astype(float), 3
    centers = g.normal(size=(3, 2)) * 2
    scene = np.sort(g.integers(0, 3, t))
    points = centers[scene] + 0.5 * g.normal(size=(t, 2))
    if kind == "an outlier":
        points[int(g.integers(t))] += 9.0
        k = 2
    distance = np.sqrt(((points[:, None] - points) ** 2).sum(-1))
    return np.exp(-distance).round(3), k


def farthest(similarity, k):
    """The answer with one mistake."""
    chosen = [int(similarity.sum(axis=0).argmax())]
    while len(chosen) < k:
        nearest = similarity[:, chosen].max(axis=1)
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
    return sorted(chosen)


def stops_early(similarity, k):
    """The answer with one mistake."""
    covered, chosen = np.zeros(len(similarity)), []
    for _ in range(k):
        gain = np.maximum(similarity - covered[:, None], 0).sum(axis=0)
        if gain.max() <= 1e-9:
            break
        chosen.append(int(gain.argmax()))
        covered = np.maximum(covered, similarity[:, chosen[-1]])
    return sorted(chosen)


def takes_twice(similarity, k):
    """The answer with one mistake."""
    covered, chosen = np.zeros(len(similarity)), []
    for _ in range(k):
        gain = np.maximum(similarity - covered[:, None], 0).sum(axis=0)
        chosen.append(int(gain.argmax()))
        covered = np.maximum(covered, similarity[:, chosen[-1]])
    return sorted(chosen)


def in_order_taken(similarity, k):
    """The answer with one mistake."""
    covered, chosen = np.zeros(len(similarity)), []
    for _ in range(k):
        gain = np.maximum(similarity - covered[:, None], 0).sum(axis=0)
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        covered = np.maximum(covered, similarity[:, chosen[-1]])
    return chosen


summary = exercise(
    "video.3",
    greedy_summary,
    title="A greedy summary",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(r"$$f(S) = \sum_i \max_{j \in S} s_{ij}$$"),
        context("`similarity` (t, t) says how similar every two frames are, from 0 to 1."),
        says(
            "**Write** `greedy_summary(similarity, k)`. Begin with no frame; the coverage of each frame is 0.",
            mistake="first frame",
        ),
        says("Take, k times, the frame that raises f most:", mistake="evenly spread"),
        says("by what it covers *better than those taken before*, not by how well it covers alone,", mistake="alone"),
        says("nor by how different it is from those taken.", mistake="most different"),
        says("Of frames that raise f equally, take the earliest.", mistake="the earliest is wanted"),
        says("A frame is taken once only,", mistake="twice"),
        says("and exactly k are wanted, also where another one raises nothing.", mistake="too few"),
        says("Return them as a list in order of time.", mistake="order of time"),
        example("""
similarity = np.array([[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]])
print("frame 1 alone covers", similarity[:, 1])
"""),
    ],
    hints=[
        "Keep `covered` (t,): how well each frame is covered so far. What does frame j add? `np.maximum(similarity[:, j] - "
        "covered, 0).sum()`.",
        "After each choice: `covered = np.maximum(covered, similarity[:, best])`. At the end `sorted(chosen)`.",
    ],
    draw=draw_similarity,
    parts=[
        part("three scenes", weight=3, kind="scenes"),
        part("an outlier", weight=2, kind="an outlier"),
        part("equal frames", kind="equal frames"),
        part("one frame", kind="one"),
        part("all frames", kind="all"),
    ],
    own={"kind": "short"},
    own_says="A film of your own",
    mistakes={
        "These are the most different frames: what is wanted is what *covers* most. An outlier covers only itself.": farthest,
        "You judge each frame alone: count only what it covers better than those taken before.": (
            lambda similarity, k: sorted(np.argsort(-similarity.sum(axis=0), kind="stable")[:k].tolist())
        ),
        "A frame is taken twice in yours.": takes_twice,
        "You take too few: exactly k are wanted, also where another one raises nothing.": stops_early,
        "These are in the order in which you took them: order of time is wanted.": in_order_taken,
        "You begin with the first frame: begin with none, and take what raises f most.": (
            lambda similarity, k: sorted(_begun_with_first(similarity, k))
        ),
        "These are evenly spread; take the frame that raises f most, again and again.": (
            lambda similarity, k: np.linspace(0, len(similarity) - 1, k).round().astype(int).tolist()
        ),
        "Of frames that raise f equally, the earliest is wanted.": edit(
            "if gain > best_gain + 1e-12:", "if gain >= best_gain - 1e-12:"
        ),
    },
    praise="At least 63 % of the best possible coverage, for any film.",
)


def _begun_with_first(similarity, k):
    covered, chosen = similarity[:, 0].copy(), [0]
    while len(chosen) < k:
        gain = np.maximum(similarity - covered[:, None], 0).sum(axis=0)
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        covered = np.maximum(covered, similarity[:, chosen[-1]])
    return chosen


@right(summary)
def by_arrays(similarity, k):
    s = np.asarray(similarity, float)
    chosen = []
    for _ in range(k):
        before = s[:, chosen].max(axis=1) if chosen else np.zeros(len(s))
        total = np.maximum(s, before[:, None]).sum(axis=0).round(9)
        total[chosen] = -np.inf
        chosen.append(int(np.argmax(total)))
    return sorted(chosen)


# ---------------------------------------------------------------- the lesson's blanks
def windows_of_slopes():
    rng = np.random.default_rng(0)
    for u, v in ((1.0, 0.5), (-0.5, 2.0), (0.0, 1.0)):
        slopes = rng.normal(size=(6, 2)).round(1)
        yield slopes, -(slopes @ [u, v]) + 0.1 * rng.normal(size=6).round(1)
    yield np.array([[2.0, 0.0], [1.0, 0.0], [3.0, 0.0]]), np.array([-2.0, -1.0, -3.0])
    yield np.array([[1.0, 1.0], [2.0, 2.0]]), np.array([-1.0, -2.0])
    yield np.zeros((4, 2)), np.zeros(4)


def least_squares(slopes, change):
    left, right_side = slopes.T @ slopes, -slopes.T @ change
    return left, right_side, np.linalg.eigvalsh(left)[0] < 1e-6


def flow_with(slopes, change, sign=1.0, swap=False):
    left, right_side, flat = least_squares(slopes, change)
    if flat:
        return np.full(2, np.nan)
    flow = np.linalg.solve(left, sign * right_side)
    return flow[::-1] if swap else flow


@blank(
    "video.blank.1",
    title="The flow of a window",
    inputs=windows_of_slopes,
    mistakes=[
        (lambda s, c: flow_with(s, c, sign=-1.0), "The minus is missing: the flow comes out the wrong way round."),
        (lambda s, c: flow_with(s, c, swap=True), "u comes first: the motion to the right."),
        (
            lambda s, c: np.linalg.lstsq(s, -c, rcond=None)[0],
            "Where the smaller eigenvalue is below 1e-6 the flow cannot be told: return NaNs.",
        ),
        (
            lambda s, c: -(s * c[:, None]).sum(axis=0),
            "This is the right side alone: solve the 2 × 2 system with it.",
        ),
    ],
)
def window_flow(slopes, change):
    left, right_side, flat = least_squares(slopes, change)
    if flat:
        return np.full(2, np.nan)
    return np.linalg.solve(left, right_side)


def piles():
    yield {"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5}
    yield {"a": 1.0}, {"b": 1.0}
    yield {"a": 0.25, "b": 0.75}, {"b": 0.5, "c": 0.5}
    yield {"a": 0.1, "b": 0.2, "c": 0.7}, {"a": 0.6, "c": 0.4}
    yield {"b": 1.0}, {"a": 0.2, "b": 0.8}


def both(p, q):
    return {*p, *q}


@blank(
    "video.blank.2",
    title="The best guesser without order",
    inputs=piles,
    mistakes=[
        (
            lambda p, q: sum(max(p.get(x, 0.0), q.get(x, 0.0)) for x in both(p, q)),
            "Each event comes first with probability ½: the sum is twice too large.",
        ),
        (
            lambda p, q: 0.5 * sum(min(p.get(x, 0.0), q.get(x, 0.0)) for x in both(p, q)),
            "The best guess is right with the *larger* of the two probabilities.",
        ),
        (
            lambda p, q: 0.5 * sum(max(p[x], q.get(x, 0.0)) for x in p),
            "Piles that only the second event can make are missing.",
        ),
        (
            lambda p, q: 0.5 * sum(max(p.get(x, 0.0), q[x]) for x in q),
            "Piles that only the first event can make are missing.",
        ),
        (
            lambda p, q: 0.5 * sum(p.get(x, 0.0) + q.get(x, 0.0) for x in both(p, q)),
            "Only one of the two guesses can be made for a pile: the larger probability counts, not both.",
        ),
    ],
)
def best_accuracy(p, q):
    return 0.5 * sum(max(p.get(x, 0.0), q.get(x, 0.0)) for x in both(p, q))


# ---------------------------------------------------------------- challenge
NUM_FILMS, NUM_FRAMES, STEPS_PER_FRAME = 100, 24, 10


def draw_films(g):
    seed = int(g.integers(1, 1 << 31))
    made = [films.make_film(seed, index, frames=NUM_FRAMES) for index in range(NUM_FILMS)]
    pictures = np.stack([halved(film.draw()).mean(axis=-1).round().astype(np.uint8) for film in made])
    step = films.PER_FRAME // STEPS_PER_FRAME
    loud = np.stack([loudness(film.wave(), step) for film in made]).astype(np.float32)
    return Drawn({"pictures": pictures, "loudness": loud}, np.array([film.offset for film in made]))


def share_within_one(arrays, inputs, hidden):
    """Share of offsets that are off by one frame at most."""
    return float((np.abs(arrays["offsets"] - hidden) <= 1).mean())


challenge(
    "video.challenge",
    title="How late is the sound?",
    statement=[
        f"{NUM_FILMS} films of {NUM_FRAMES} frames, as in section 10 of the lesson: `pictures` (100, {NUM_FRAMES}, 32, 32), "
        f"uint8, gray. `loudness` (100, {NUM_FRAMES * STEPS_PER_FRAME}) is the root mean square of the sound in steps of a tenth "
        "of a frame. One thing is there or not, for each frame by a fair coin, and clicks when it is; another one blinks "
        "silently. While a frame is shown, something else clicks with probability 0.1. The sound is late by −8 … 8 whole frames.",
        "Hand in `offsets` (100,), whole numbers; positive: the sound is late. The score is the share that is right within one "
        "frame. The lesson's measures of change reach about 0.5, its places about 0.8. What is known of how these films are "
        "made is worth more than a correlation.",
    ],
    draw=draw_films,
    score=share_within_one,
    hand_in={"offsets": Array((NUM_FILMS,), "integer")},
    to_beat=0.75,
    points_by_score={0.75: 1, 0.9: 2, 0.97: 3},
    minutes=60,
    score_name="share within one frame",
)
