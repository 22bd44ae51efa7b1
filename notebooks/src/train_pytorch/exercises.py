"""Training: the rate of a step, clipping by the common length, the diagnosis of a run, a blank, an open challenge."""

import math
from itertools import permutations

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    in_turn,
    lesson,
    one_of,
    paragraph,
    part,
    right,
    says,
)

lesson(
    "train_pytorch",
    promise="Compute the rate of a step, shorten gradients without turning them, read what is wrong with a run from its "
    "log, and in PyTorch take one step from many small batches and write a run that goes on exactly.",
    uses="NumPy; the last two PyTorch",
    setup="""
import math

import numpy as np
import torch
from torch import nn

from mmcourse.check import check

np.set_printoptions(precision=3, suppress=True)
""",
)


# ---------------------------------------------------------------- 1
def learning_rate(step, total, warmup, peak):
    """Rate of a step, a number."""
    if step < warmup:
        rise = step / warmup
        return peak * rise
    x = (step - warmup) / (total - warmup)
    fall = 0.5 + 0.5 * math.cos(math.pi * x)
    return peak * fall


def draw_step(g, after, warm=True):
    """A step before or after the end of the warm-up."""
    total = int(g.integers(20, 400))
    warmup = int(g.integers(2, total // 2)) if warm else 0
    step = int(g.integers(warmup, total) if after else g.integers(0, warmup))
    return step, total, warmup, round(g.uniform(1e-4, 1), 4)


def draw_border(g, warm, place):
    """The first step, the first one after the warm-up, or the last one."""
    _, total, warmup, peak = draw_step(g, after=True, warm=warm)
    return {"first": 0, "peak": warmup, "last": total - 1}[place], total, warmup, peak


rate = exercise(
    "train_pytorch.1",
    learning_rate,
    title="The rate of a step",
    points=1,
    difficulty=1,
    minutes=8,
    statement=[
        says("Steps are counted from 0.", mistake="You count steps from 1"),
        says(
            "In the first `warmup` steps the rate climbs from 0 in a straight line, so that step `warmup` would have the "
            "`peak`.",
            mistake="Your warm-up is curved",
        ),
        says(
            "From there it falls along half a cosine, so that step `total`, which never comes, would have 0:",
            mistake="Your last step has rate 0",
        ),
        says(
            r"$$\text{peak}\cdot\frac{s}{w} \qquad\text{then}\qquad \text{peak}\cdot\Big(\tfrac12 + "
            r"\tfrac12\cos\big(\pi\,\tfrac{s-w}{S-w}\big)\Big)$$",
            mistake="falls in a straight line",
        ),
        context("with $s$ the `step`, $w$ the number of `warmup` steps and $S$ the `total`."),
        paragraph(),
        context("**Example.** Ten steps, four of them to warm up, peak 0.5. Step 7 is halfway between 4 and 10:"),
        example("print(0.5 * (0.5 + 0.5 * math.cos(math.pi * 3 / 6)))"),
        says("**Write** `learning_rate(step, total, warmup, peak)`.", mistake="That is the factor between 0 and 1"),
        says(
            "With `warmup` 0 there is no climb.",
            ignored=lambda s, t, w, peak: learning_rate(s, t, w, peak) if w else peak * s / t,
        ),
    ],
    hints=[
        "Two cases: `if step < warmup`. The second one starts counting where the first one ended.",
        "The cosine goes from 1 to -1 while its argument goes from 0 to π; halved and lifted by a half it goes from 1 to "
        "0.",
    ],
    draw=draw_step,
    parts=[
        part(
            "short runs",
            public_only=True,
            inputs=[
                (1, 10, 4, 0.4),
                (4, 10, 4, 0.4),
                (6, 10, 4, 0.5),
                (9, 10, 4, 0.1),
                (0, 10, 4, 0.1),
                (55, 200, 10, 3e-3),
                (0, 8, 0, 2.0),
                (5, 8, 0, 2.0),
            ],
        ),
        part("during the warm-up", after=False),
        part("after the warm-up", weight=2, after=True),
        part("without a warm-up", after=True, warm=False),
        part("the first step without a warm-up", draw=draw_border, warm=False, place="first"),
        part(
            "first and last steps",
            draw=draw_border,
            warm=one_of(True, False),
            place=in_turn("first", "peak", "last"),
        ),
    ],
    own=lambda g: (int(g.integers(20)), int(g.integers(20, 40)), int(g.integers(9)), round(g.uniform(0.01, 1), 2)),
    own_says="A step of your own",
    mistakes={
        "You count steps from 1. Step 0 has rate 0 here: step / warmup, not (step + 1) / warmup.": (
            "rise = (step + 1) / warmup"
        ),
        "Your warm-up is too slow: it divides by all steps. It must reach the peak after `warmup` steps.": (
            "rise = step / total"
        ),
        "There is no warm-up: the first steps have the full rate.": "rise = 1",
        "Your cosine starts at step 0, so the rate jumps where the warm-up ends. Count from there: (step - warmup).": (
            "x = step / total"
        ),
        "Your cosine does not reach 0: only total - warmup steps are left for it, so divide by that.": (
            "x = (step - warmup) / total"
        ),
        "After the warm-up the rate falls in a straight line. Half a cosine was asked.": "fall = 1 - x",
        "Your cosine goes below 0, and the model would walk uphill: ½ + ½·cos lies between 0 and 1.": (
            "fall = math.cos(math.pi * x)"
        ),
        "That is a quarter of a cosine. Half of one, 0 to π, lifted to lie between 0 and 1, was asked.": (
            "fall = math.cos(math.pi / 2 * x)"
        ),
        "Your rate rises after the warm-up. The sign before the cosine is plus.": (
            "fall = 0.5 - 0.5 * math.cos(math.pi * x)"
        ),
        "The cosine lacks its π: it ends at cos(1), not at cos(π).": "fall = 0.5 + 0.5 * math.cos(x)",
        "Your warm-up is curved. A straight line was asked: step / warmup.": [
            "rise = 0.5 - 0.5 * math.cos(math.pi * step / warmup)",
            "rise = (step / warmup) ** 2",
            "rise = math.sqrt(step / warmup)",
        ],
        "Your warm-up reaches the peak one step too early: divide by `warmup`, not by one less.": (
            "rise = step / max(warmup - 1, 1)"
        ),
        "Your cosine runs through a whole turn and comes back to the peak. Half of one was asked: π, not 2π.": (
            "fall = 0.5 + 0.5 * math.cos(2 * math.pi * x)"
        ),
        "After the warm-up your rate stays at the peak. It should fall along half a cosine.": "fall = 1",
        "Twice too high after the warm-up: ½ + ½·cos, not 1 + cos.": "fall = 1 + math.cos(math.pi * x)",
        "Your last step has rate 0. Only step `total`, which never comes, would: divide by total - warmup.": (
            "x = (step - warmup) / (total - 1 - warmup)"
        ),
        "After the warm-up your rate lacks the peak: multiply that part by it too.": edit("peak * fall", "fall"),
        "That is the factor between 0 and 1. Multiply it by the peak rate.": edit(
            "peak * fall", "fall", "peak * rise", "rise"
        ),
        "Your rate never falls below a small share of the peak. It goes on falling towards 0.": [
            f"fall = max(0.5 + 0.5 * math.cos(math.pi * x), {least})" for least in (0.1, 0.05, 0.01, 0.001)
        ],
        "Your rate falls to a small share of the peak, not to 0.": [
            f"fall = {least} + (1 - {least}) * (0.5 + 0.5 * math.cos(math.pi * x))"
            for least in (0.1, 0.05, 0.01, 0.001)
        ],
        "Your step 0 has the rate of step 1. It is 0 there: step / warmup.": "rise = max(step, 1) / warmup",
    },
    praise="Up in a line while Adam's means fill, down along a cosine while the weights settle.",
    atol=1e-9,
)


@right(rate)
def by_half_the_angle(step, total, warmup, peak):
    if step < warmup:
        return peak / warmup * step
    return peak * np.cos(np.pi / 2 * (step - warmup) / (total - warmup)) ** 2


# ---------------------------------------------------------------- 2
def clip(gradients, largest):
    """Gradients whose common length is at most `largest`, a list."""
    length = np.sqrt(sum((g**2).sum() for g in gradients))
    factor = largest / max(length, largest)
    return [g * factor for g in gradients]


def norms(gradients):
    return [np.linalg.norm(g) for g in gradients]


def common_length(gradients):
    return np.sqrt(sum((g**2).sum() for g in gradients))


def draw_gradients(g, arrays, limit):
    """Arrays of some shapes, and a limit between these shares of their common length; neither is 0."""
    made = []
    while common_length(made) < 0.1:  # a single number can round to 0
        made = [g.normal(size=g.integers(1, 5, g.integers(1, 4))).round(2) for _ in range(arrays)]
    return made, round(float(g.uniform(*limit) * common_length(made)), 3)


def draw_tiny(g, arrays):
    """Longer than allowed, but no longer than 1e-9."""
    made, largest = draw_gradients(g, arrays, (0.3, 0.9))
    return [1e-10 * array for array in made], 1e-10 * largest


def draw_zeros(g, arrays):
    made, _ = draw_gradients(g, arrays, (1, 1))
    return [0 * array for array in made], round(g.uniform(0.1, 5), 2)


def draw_own_gradients(g):
    return [g.integers(-9, 10, 2) * 1.0, g.integers(-9, 10, (2, 2)) * 1.0], 3.0


clipping = exercise(
    "train_pytorch.2",
    clip,
    title="One factor for all",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context("A model's gradients are a list of arrays of different shapes."),
        says(
            "Their common length is that of all their numbers in one long vector.",
            mistake="You added up the lengths",
        ),
        says(
            "If it exceeds `largest`, shorten *all* of them by one factor, so that it is exactly `largest`.",
            mistake="You shortened each array",
        ),
        says("Exactly: also where the length is tiny.", mistake="a small number to the length"),
        says("Else leave them, also where all of them are 0.", mistake="short ones too"),
        paragraph(),
        context("**Example.** Two gradients, (3, 0) and (4), have the common length 5:"),
        example("print(np.sqrt(np.sum(np.array([3.0, 0.0]) ** 2) + np.sum(np.array([4.0]) ** 2)))"),
        says(
            "**Write** `clip(gradients, largest)`, which returns a list of arrays of the same shapes.",
            ignored="return np.concatenate([g.ravel() for g in gradients]) * factor",
        ),
        context("`largest` is above 0."),
        context("Do not change the arrays you were given."),
    ],
    hints=[
        "Sum the squares over every array first, then take one root.",
        "The factor is `largest / length` where the length is too large, else 1. Both in one: `largest / max(length, "
        "largest)`.",
    ],
    draw=draw_gradients,
    parts=[
        part(
            "two small gradients",
            public_only=True,
            inputs=[
                ([np.array([1.0, 2.0]), np.array([[4.0, -2.0]])], 2.0),
                ([np.array([0.3, -0.4]), np.array([[0.0]])], 2.0),
            ],
        ),
        part("longer than allowed", weight=2, arrays=between(2, 4), limit=(0.05, 0.9)),
        part("shorter than allowed", arrays=between(2, 4), limit=(1.1, 5)),
        part("a single array", arrays=1, limit=(0.3, 1.5)),
        part("all gradients 0", draw=draw_zeros, arrays=between(1, 3)),
        part("tiny gradients", draw=draw_tiny, arrays=between(1, 3)),
    ],
    own=draw_own_gradients,
    own_says="Gradients of your own, and the limit",
    mistakes={
        "You cut each number for itself. That turns the direction; one factor for all keeps it.": (
            "return [np.clip(g, -largest, largest) for g in gradients]"
        ),
        "You shortened each array by its own length. One factor for all: the length of everything together.": (
            lambda gradients, largest: [clip([g], largest)[0] for g in gradients]
        ),
        "You bring every gradient to the limit, short ones too, which makes them longer. Only shorten.": (
            "factor = largest / length"
        ),
        "You added up the lengths of the arrays. The common length is the root of the sum of all squares.": (
            "length = sum(norms(gradients))"
        ),
        "You took the length of one array only. The common length is the root of the sum of all squares.": (
            "length = max(norms(gradients))"
        ),
        "The root is missing: you compare the sum of squares with the limit.": (
            "length = sum((g**2).sum() for g in gradients)"
        ),
        "You added up absolute values. The length is the root of the sum of squares.": (
            "length = sum(np.abs(g).sum() for g in gradients)"
        ),
        "You took the largest single number. The length is the root of the sum of squares.": (
            "length = max(np.abs(g).max() for g in gradients)"
        ),
        "Your factor is upside down: long gradients get longer. It is largest / length.": (
            "factor = max(length, largest) / largest"
        ),
        "You took the mean of the squares. The length is the root of their *sum*.": [
            "length = np.sqrt(sum((g**2).mean() for g in gradients))",
            "length = np.sqrt(np.mean([x**2 for g in gradients for x in g.ravel()]))",
        ],
        "You compare the length with 1. It is `largest` that it may not exceed.": "factor = largest / max(length, 1)",
        "The factor lacks the limit: largest / length, not 1 / length.": "factor = 1 / max(length, largest)",
        "You throw long gradients away. Shorten them instead, their direction is good.": (
            "factor = float(length <= largest)"
        ),
        "You added a small number to the length, as PyTorch's own function does. Then the new length is below `largest`, "
        "by much where gradients are tiny.": [
            edit("max(length, largest)", f"max(length + {small}, largest)") for small in (1e-6, 1e-8, 1e-12)
        ],
    },
    praise="The direction stays, only the length is limited, and short gradients are left as they are.",
    atol=1e-14,
)


@right(clipping)
def shortened_if_long(gradients, largest):
    length = math.hypot(*np.concatenate([np.ravel(g) for g in gradients]))
    if length <= largest:
        return [g.copy() for g in gradients]
    return [g / (length / largest) for g in gradients]


# ---------------------------------------------------------------- 3
def diagnose(loss, val_loss, classes):
    """The first rule that fits the log, a text."""
    ignorant = math.log(classes)
    if not np.isfinite(loss + val_loss).all():
        return "diverged"
    if abs(loss[0] - ignorant) > 0.5:
        return "bad start"
    if loss[-1] > 0.95 * ignorant:
        return "learned nothing"
    return "overfits" if val_loss[-1] > 1.1 * min(val_loss) else "healthy"


RULES = ("diverged", "bad start", "learned nothing", "overfits")


def rules(loss, val_loss, classes, ignorant=math.log):
    """Which of the four rules fit, in order."""
    return {
        "diverged": not np.isfinite([*loss, *val_loss]).all(),
        "bad start": abs(loss[0] - ignorant(classes)) > 0.5,
        "learned nothing": loss[-1] > 0.95 * ignorant(classes),
        "overfits": val_loss[-1] > 1.1 * min(val_loss),
    }


def first_of(fitting, order=RULES):
    return next((name for name in order if fitting[name]), "healthy")


def without(rule):
    return lambda *run: first_of(rules(*run) | {rule: False})


def with_rule(name, fits):
    """The right diagnosis with one rule replaced by a function of the run."""
    return lambda *run: first_of(rules(*run) | {name: fits(*run)})


def with_ignorant(ignorant):
    return lambda *run: first_of(rules(*run, ignorant=ignorant))


def in_order(order):
    return lambda *run: first_of(rules(*run), order)


NAN, INF = float("nan"), float("inf")
RUNS = [
    ([1.15, 0.9, 0.8, 0.7], [0.8, 0.75, 0.72, 0.71], 3),
    ([1.50, 0.8, 0.6, 0.45], [1.0, 0.6, 0.5, 0.47], 3),
    ([1.10, 0.8, 0.7, 0.65], [0.5, 0.48, 0.46, 0.47], 3),
    ([1.05, 0.7, 0.55, 0.5], [1.0, 0.5, 0.6, 0.52], 3),
    ([1.10, 0.6, 0.2, 0.05], [0.9, 0.7, 1.0, 1.2], 3),
    ([1.10, 0.6, 0.2, 0.05], [0.5, 0.4, 0.9, 0.92], 3),
    ([1.10, 0.6, 0.2, 0.05], [0.9, 0.7, 0.8, 0.87], 3),
    ([1.10, 0.6, 0.4, 0.2], [0.4, 0.2, 0.22, 0.23], 3),
    ([1.10, 0.6, 0.5, 0.2], [0.8, 0.45, 0.46, 0.49], 3),
    ([1.09, 0.6, 0.5, 0.45], [0.66, 0.6, 0.55, 0.52], 2),
    ([2.30, 2.2, 2.15, 2.12], [2.3, 2.0, 2.1, 2.15], 10),
    ([2.30, 1.2, 0.9, 0.8], [1.4, 1.1, 0.95, 1.0], 10),
    ([1.10, 1.1, 1.09, 1.1], [1.1, 1.1, 1.1, 1.1], 3),
    ([2.30, 2.3, 2.25, 2.21], [2.3, 2.3, 2.25, 2.2], 10),
    ([1.50, 1.2, 1.10, 1.08], [1.1, 1.1, 1.1, 1.1], 3),
    ([1.10, 0.9, 1.00, 1.09], [1.1, 1.1, 1.1, 1.1], 3),
    ([1.10, 0.9, NAN, NAN], [1.0, 1.2, NAN, NAN], 3),
    ([1.10, 0.9, 0.8, 0.7], [1.0, 0.9, INF, 0.8], 3),
    ([1.10, INF, 0.8, 0.7], [1.0, 0.9, 0.85, 0.8], 3),
    ([3.00, 2.0, 1.5, 1.2], [2.0, 1.5, 1.3, 1.25], 10),
    ([7.50, 3.0, 2.2, 1.5], [4.0, 2.5, 2.0, 1.6], 10),
    ([0.20, 0.1, 0.05, 0.04], [0.3, 0.2, 0.2, 0.2], 3),
    ([9.00, 4.0, 3.0, 2.9], [4.0, 3.0, 5.0, 6.0], 10),
    ([7.50, 3.0, NAN, NAN], [4.0, 3.0, NAN, NAN], 10),
    ([1.40, 1.4, 1.39, 1.38], [1.4, 1.5, 1.6, 1.7], 4),
    ([1.10, 0.7, 0.4, 0.2], [1.2, 1.0, 1.05, 1.1], 3),
]


def draw_run(g, first, last, climb=1.0, hump=1.0, broken=None):
    """Losses that fall from `first` to `last` times ln C; validation ends `climb` times above its lowest."""
    classes, epochs = int(g.choice([2, 4, 5, 10])), int(g.integers(4, 9))
    loss = math.log(classes) * np.geomspace(first, last, epochs) * (1 + 0.03 * g.uniform(0, 1, epochs))
    val = np.sort(g.uniform(0.6, 0.95, epochs))[::-1] * max(first, 0.8) * g.choice([0.4, 1.05, 2])
    val[-2:] = climb * val[:-2].min() * np.array([hump, 1])  # up in one go, or up and down again
    if broken:
        where, value = broken
        [loss, val][where][g.integers(1, epochs - 1)] = value
    return loss.round(4).tolist(), val.round(4).tolist(), classes


HEALTHY = {"first": (0.85, 1.2), "last": (0.2, 0.7), "climb": (0.9, 1.07), "hump": (1, 1.3)}
OVERFITS = {"first": (1, 1), "last": (0.02, 0.7), "climb": (1.15, 1.5)}
NOTHING = {"first": (0.85, 1.2), "last": (0.96, 1), "climb": (1, 1.3)}
NEARLY = {"first": (0.85, 1.2), "last": (0.9, 0.92), "climb": (1, 1.07)}
HIGH = {"first": (2.2, 2.6), "last": (0.08, 1.3), "climb": (1, 1.3)}
LOW = {"first": (0.08, 0.12), "last": (0.05, 0.08), "climb": (1, 1.3)}


def draw_kind(g, kind, broken=None):
    """A run of a kind, each of its numbers between two ends."""
    return draw_run(g, **{name: g.uniform(*ends) for name, ends in kind.items()}, broken=broken)


def draw_line(g, scale, factor):
    """Validation ends just at, or above, 1.1 times its lowest."""
    return [1.1, 0.7, 0.4, round(float(g.uniform(0.1, 0.5)), 2)], [1.5 * scale, 1.0 * scale, factor * scale], 3


def draw_one_epoch(g, first):
    return [first], [round(float(g.uniform(0.5, 2)), 2)], 10


diagnosis = exercise(
    "train_pytorch.3",
    diagnose,
    title="What is wrong with this run?",
    points=3,
    difficulty=2,
    minutes=12,
    statement=[
        context(
            "You get the log of a run: `loss` and `val_loss`, lists with one number an epoch, and the number of "
            "`classes`."
        ),
        says("Answer with the **first** line that fits:", mistake="Two rules fit this run"),
        paragraph(),
        says('- `"diverged"`: some number, in either list, is NaN or infinite;', mistake="A NaN or inf escapes you"),
        says(
            '- `"bad start"`: the first training loss is more than 0.5 away from that of an ignorant model;',
            mistake="A first loss far *below* ln C",
        ),
        says(
            '- `"learned nothing"`: the last training loss is above 0.95 of an ignorant model\'s;',
            mistake="You compare the last training loss with the first",
        ),
        says(
            '- `"overfits"`: the last validation loss is more than 1.1 times the lowest one;',
            mistake="exactly 1.1 times",
        ),
        says('- `"healthy"`: none of these.', ignored=edit('else "healthy"', 'else "overfits"')),
        paragraph(),
        says("**Example.** An ignorant model of ten classes loses:", mistake="You took the logarithm to base 2"),
        example('print(f"{math.log(10):.3f}, so a first loss of 7.5 is a bad start")'),
        says(
            "**Write** `diagnose(loss, val_loss, classes)`, which returns one of the five.",
            ignored=lambda *run: RULES.index(diagnose(*run)) if diagnose(*run) in RULES else 4,
        ),
    ],
    hints=[
        "`np.isfinite` of both lists together, first: with NaN every later comparison is False.",
        "An ignorant model loses `math.log(classes)`. A first loss far *below* it is as suspicious as one far above: use "
        "`abs`.",
    ],
    draw=draw_kind,
    parts=[
        part("many runs", public_only=True, inputs=RUNS),
        part("does it overfit?", kind=in_turn(OVERFITS, OVERFITS, HEALTHY)),
        part("more than 1.1 times?", draw=draw_line, scale=one_of(0.5, 1.0, 2.0), factor=in_turn(1.1, 1.25)),
        part("did it learn anything?", kind=in_turn(NOTHING, NEARLY, OVERFITS)),
        part("a bad start?", weight=2, kind=in_turn(HIGH, LOW, OVERFITS)),
        part("did it diverge?", kind=one_of(HEALTHY, HIGH), broken=in_turn((0, INF), (1, NAN), (1, INF), (0, NAN), ())),
        part("a single epoch", draw=draw_one_epoch, first=in_turn(2.0, 2.3, 3.2)),
    ],
    own=lambda g: (
        np.sort(g.uniform(0.1, 1.3, 4).round(3))[::-1].tolist(),
        g.uniform(0.5, 1, 4).round(3).tolist(),
        3,
    ),
    own_says="A run of your own",
    mistakes={
        "A NaN or inf escapes you: it counts anywhere, in either list, not only at the end of the training loss.": (
            with_rule("diverged", lambda loss, val, classes: math.isnan(loss[-1]))
        ),
        "You never say that a run diverged: comparisons with NaN are all False. Ask that first, with isfinite.": (
            without("diverged")
        ),
        "That is not the loss of an ignorant model: ln C, the natural logarithm, `math.log(classes)`.": (
            with_ignorant(math.log10)
        ),
        "You judge the start by validation, which is measured after a whole epoch. Take the first *training* loss.": (
            with_rule("bad start", lambda loss, val, classes: abs(val[0] - math.log(classes)) > 0.5)
        ),
        "You compare the last training loss with the first. Compare it with an ignorant model's, ln C.": (
            with_rule("learned nothing", lambda loss, val, classes: loss[-1] > 0.95 * loss[0])
        ),
        "You took the logarithm to base 2. An ignorant model loses ln C, base e.": with_ignorant(math.log2),
        "You compare with ln 3 always. An ignorant model loses ln C for C classes.": (
            with_ignorant(lambda classes: math.log(3))
        ),
        "A first loss far *below* ln C is a bad start too: nothing is learned yet. Perhaps it sees the label.": (
            with_rule("bad start", lambda loss, val, classes: loss[0] > math.log(classes) + 0.5)
        ),
        "The first loss is more than 0.5 from ln C, and you do not say so: that is a bad start.": without("bad start"),
        "You compare validation with training. They always differ: compare validation with its own lowest value.": (
            with_rule("overfits", lambda loss, val, classes: val[-1] > 1.1 * loss[-1])
        ),
        "You take the highest validation loss. What counts is where the run ends: its *last* one against its lowest.": (
            with_rule("overfits", lambda loss, val, classes: max(val) > 1.1 * min(val))
        ),
        "You compare with the epoch before. A loss may climb in small steps: compare with the lowest of all.": (
            with_rule("overfits", lambda loss, val, classes: val[-1] > 1.1 * val[-2])
        ),
        "You compare with the first validation loss. A run can overfit and end below it: compare with the lowest.": (
            with_rule("overfits", lambda loss, val, classes: val[-1] > 1.1 * val[0])
        ),
        "More than 1.1 times the lowest is asked: at exactly 1.1 times a run is still healthy.": (
            edit("val_loss[-1] > 1.1", "val_loss[-1] >= 1.1")
        ),
        "Your limit for a bad start is not 0.5.": [
            with_rule("bad start", lambda loss, val, classes, limit=limit: abs(loss[0] - math.log(classes)) > limit)
            for limit in (0.05, 0.1, 1.0, 2.0)
        ],
        "Your limit for learning nothing is not 0.95 of an ignorant model's loss.": [
            with_rule("learned nothing", lambda loss, val, classes, part=part: loss[-1] > part * math.log(classes))
            for part in (1.0, 0.9, 0.5)
        ],
        "Your limit for overfitting is not 1.1 times the lowest validation loss.": [
            with_rule("overfits", lambda loss, val, classes, times=times: val[-1] > times * min(val))
            for times in (1.0, 1.01, 1.2, 1.5, 2.0)
        ],
        "You never say that a run overfits: its last validation loss is over 1.1 times its lowest.": (
            without("overfits")
        ),
        "You never say that a run learned nothing: its last training loss is above 0.95 ln C.": (
            without("learned nothing")
        ),
        "Two rules fit this run. The first in the list counts: later ones only follow from it.": [
            in_order(order) for order in list(permutations(RULES))[1:]
        ],
        "You look for NaN only. An infinite loss has diverged too: `math.isfinite`, or `np.isfinite` for a list.": (
            with_rule("diverged", lambda loss, val, classes: any(map(math.isnan, [*loss, *val])))
        ),
        "You look for infinite losses only. NaN has diverged too: `math.isfinite`, or `np.isfinite` for a list.": (
            with_rule("diverged", lambda loss, val, classes: any(map(math.isinf, [*loss, *val])))
        ),
        "You take the lowest training loss. What counts is where the run ends: the last one, `loss[-1]`.": (
            with_rule("learned nothing", lambda loss, val, classes: min(loss) > 0.95 * math.log(classes))
        ),
    },
    praise="Four looks at a log, in this order, before any knob is turned.",
)


@right(diagnosis)
def from_a_list(loss, val_loss, classes):
    ignorant = np.log(classes)
    fits = [
        any(math.isnan(x) or math.isinf(x) for x in [*loss, *val_loss]),
        not ignorant - 0.5 <= loss[0] <= ignorant + 0.5,
        loss[-1] > 0.95 * ignorant,
        val_loss[-1] > 1.1 * np.min(val_loss),
    ]
    return [*(name for name, fit in zip(RULES, fits, strict=True) if fit), "healthy"][0]


# ---------------------------------------------------------------- blank 4
def draw_scaled():
    yield [np.array([2.0, -4.0]), np.array([[8.0]])], 16.0, 1, 4
    yield [np.array([2.0, np.inf]), np.array([[8.0]])], 16.0, 3, 4
    yield [np.array([2.0, 1.0]), np.array([[np.nan]])], 8.0, 1, 4
    yield [np.array([2.0])], 16.0, 4, 4
    yield [np.array([2.0])], 16.0, 8, 4
    yield [np.array([1.0, -np.inf])], 4.0, 4, 4
    yield [np.array([3.0])], 2.0, 3, 2


def _decide(gradients, scale, num_good, interval, *, bad=np.isfinite, skip=lambda gs: [], down=0.5, up=2.0, when=None):
    if not all(bad(g).all() for g in gradients):
        return skip(gradients), scale * down
    grows = num_good % interval == 0 if when is None else when(num_good, interval)
    return [g / scale for g in gradients], scale * up if grows else scale


@blank(
    "train_pytorch.blank.4",
    title="Unscale, or skip the step",
    inputs=draw_scaled,
    mistakes=[
        (
            lambda *a: _decide(*a, bad=lambda g: ~np.isnan(g)),
            "An infinite gradient is an overflow, too: ask `np.isfinite`, which is False for inf and for NaN.",
        ),
        (
            lambda *a: _decide(*a, bad=lambda g: ~np.isinf(g)),
            "NaN is not finite, either: ask `np.isfinite`, which is False for inf and for NaN.",
        ),
        (
            lambda *a: _decide(*a, bad=lambda g: np.ones_like(g, bool)),
            "Some gradients are not finite and you use them: return an empty list there.",
        ),
        (
            lambda *a: _decide(*a, down=1.0),
            "After a skipped step the scale is halved, or the next step overflows again.",
        ),
        (lambda *a: _decide(*a, up=1.0), "The scale never grows: double it after `interval` good steps in a row."),
        (
            lambda *a: _decide(*a, when=lambda n, k: True),
            "You double after every good step. Only where `num_good` is a multiple of `interval`.",
        ),
        (
            lambda *a: _decide(*a, when=lambda n, k: n == k),
            "You double only once: whenever `num_good` is a multiple of `interval`.",
        ),
        (
            lambda gs, scale, n, k: ([g * scale for g in gs], scale) if np.isfinite(gs[0]).all() else ([], scale / 2),
            "The gradients were multiplied already, with the loss. Divide by the scale.",
        ),
        (
            lambda gs, scale, n, k: (gs, _decide(gs, scale, n, k)[1]),
            "The gradients are still scaled: divide by the scale.",
        ),
    ],
    names=("gradients", "scale"),
)
def unscale(gradients, scale, num_good, interval=4):
    if not all(np.isfinite(g).all() for g in gradients):
        return [], scale / 2
    next_scale = 2 * scale if num_good % interval == 0 else scale
    return [g / scale for g in gradients], next_scale


# ---------------------------------------------------------------- an open challenge
CODES, NUM_TRAIN, NUM_TEST, WRONG = 5, 2000, 1000, 0.3


def draw_pairs(g, n, signs):
    """Pictures (n, 24), sounds (n, 40) on quite another scale, and the sum of their codes mod 5 (n,)."""
    picture_of, sound_of = signs
    a, b = g.integers(CODES, size=(2, n))
    picture = picture_of[a] + 0.7 * g.normal(size=(n, picture_of.shape[1]))
    sound = 400 * (sound_of[b] + 0.7 * g.normal(size=(n, sound_of.shape[1]))) + 1000
    return picture.round(3), sound.round(1), (a + b) % CODES


def draw_mislabeled(g):
    """Training pairs with labels, three in ten of which are drawn at random, and clean test pairs."""
    signs = 0.6 * g.normal(size=(CODES, 24)), 0.5 * g.normal(size=(CODES, 40))
    picture, sound, labels = draw_pairs(g, NUM_TRAIN, signs)
    spoilt = g.random(NUM_TRAIN) < WRONG
    labels = np.where(spoilt, g.integers(CODES, size=NUM_TRAIN), labels)
    new_picture, new_sound, new_labels = draw_pairs(g, NUM_TEST, signs)
    inputs = {
        "picture": picture,
        "sound": sound,
        "labels": labels,
        "test_picture": new_picture,
        "test_sound": new_sound,
    }
    return Drawn(inputs, new_labels)


def share_right(handed_in, inputs, labels):
    """Share of the hidden labels that were predicted."""
    return np.mean(handed_in["predictions"] == labels)


challenge(
    "train_pytorch.challenge",
    title="Three labels in ten are wrong",
    statement=[
        "A sample is a picture (24 numbers) and a sound (40 numbers, on quite another scale). Each carries a hidden code from 0 to",
        "4, and the class is the *sum* of the two codes modulo 5, so neither modality says anything alone. You get 2,000 training",
        "samples: `picture`, `sound` and `labels`. But three labels in ten were replaced by a random one. Predict the classes of",
        "`test_picture` and `test_sound` (1,000 samples, whose labels are all right), in any way. On the draw below, chance is",
        "0.20 and logistic regression stays there; so does a network that gets the numbers as they are. A network on standardized inputs",
        "that trains for 30 epochs learns many wrong labels by heart and reaches 0.69 and 0.68 from two starts; what you know about",
        "stopping, dropout and weight decay brings it to about 0.80. For more than 0.85, use what the class *is*.",
    ],
    draw=draw_mislabeled,
    score=share_right,
    hand_in={"predictions": Array((NUM_TEST,), "integer")},
    to_beat=0.7,
    points_by_score={0.7: 1, 0.77: 2, 0.85: 3},
    minutes=60,
    score_name="accuracy",
)
