"""The learning rate of a step, clipping by the common norm, and the diagnosis of a run."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np

from mmcourse.check import agree, exercise, rng


# ---------------------------------------------------------------- train_pytorch.1
def learning_rate(step, total, warmup, peak):
    """Rate of a step: up in a straight line during the first `warmup` steps, then down along half a cosine."""
    if step < warmup:
        return peak * step / warmup
    return peak * (0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (total - warmup)))


def _rate(rise=lambda s, t, w: s / w, fall=lambda s, t, w: (s - w) / (t - w), shape=None):
    def rate(step, total, warmup, peak):
        if step < warmup:
            return peak * rise(step, total, warmup)
        x = fall(step, total, warmup)
        return peak * (shape(x) if shape else 0.5 + 0.5 * math.cos(math.pi * x))

    return rate


_RATE_MISTAKES = [
    (
        _rate(rise=lambda s, t, w: (s + 1) / w),
        "You count steps from 1. Step 0 has rate 0 here: step / warmup, not (step + 1) / warmup.",
    ),
    (
        _rate(rise=lambda s, t, w: s / t),
        "Your warm-up is too slow: it divides by all steps. It must reach the peak after `warmup` steps.",
    ),
    (_rate(rise=lambda s, t, w: 1.0), "There is no warm-up: the first steps have the full rate."),
    (
        _rate(fall=lambda s, t, w: s / t),
        "Your cosine starts at step 0, so the rate jumps where the warm-up ends. Count from there: (step - warmup).",
    ),
    (
        _rate(fall=lambda s, t, w: (s - w) / t),
        "Your cosine does not reach 0: only total - warmup steps are left for it, so divide by that.",
    ),
    (
        _rate(shape=lambda x: 1 - x),
        "After the warm-up the rate falls in a straight line. Half a cosine was asked.",
    ),
    (
        _rate(shape=lambda x: math.cos(math.pi * x)),
        "Your cosine goes below 0, and the model would walk uphill: ½ + ½·cos lies between 0 and 1.",
    ),
    (
        _rate(shape=lambda x: math.cos(math.pi / 2 * x)),
        "That is a quarter of a cosine. Half of one, 0 to π, lifted to lie between 0 and 1, was asked.",
    ),
    (
        _rate(shape=lambda x: 0.5 - 0.5 * math.cos(math.pi * x)),
        "Your rate rises after the warm-up. The sign before the cosine is plus.",
    ),
    (
        _rate(shape=lambda x: 0.5 + 0.5 * math.cos(x)),
        "The cosine lacks its π: it ends at cos(1), not at cos(π).",
    ),
    (
        _rate(rise=lambda s, t, w: 0.5 - 0.5 * math.cos(math.pi * s / w)),
        "Your warm-up is curved. A straight line was asked: step / warmup.",
    ),
    (_rate(shape=lambda x: 1.0), "After the warm-up your rate stays at the peak. It should fall along half a cosine."),
    (_rate(shape=lambda x: 1 + math.cos(math.pi * x)), "Twice too high after the warm-up: ½ + ½·cos, not 1 + cos."),
    (
        _rate(fall=lambda s, t, w: (s - w) / (t - 1 - w)),
        "Your last step has rate 0. Only step `total`, which never comes, would: divide by total - warmup.",
    ),
    (
        lambda s, t, w, peak: learning_rate(s, t, w, peak if s < w else 1.0),
        "After the warm-up your rate lacks the peak: multiply that part by it too.",
    ),
    (
        lambda step, total, warmup, peak: learning_rate(step, total, warmup, 1.0),
        "That is the factor between 0 and 1. Multiply it by the peak rate.",
    ),
]


@exercise("train_pytorch.1", title="The rate of a step", points=1, difficulty=1, minutes=8)
def check_learning_rate(answer):
    inputs = [(1, 10, 4, 0.4), (4, 10, 4, 0.4), (6, 10, 4, 0.5), (9, 10, 4, 0.1), (0, 10, 4, 0.1), (55, 200, 10, 3e-3)]
    agree(answer, learning_rate, [*inputs, (0, 8, 0, 2.0), (5, 8, 0, 2.0)], mistakes=_RATE_MISTAKES, atol=1e-9)
    return "Up in a line while Adam's means fill, down along a cosine while the weights settle."


# ---------------------------------------------------------------- train_pytorch.2
def clip(gradients, largest):
    """All gradients, shortened by one factor where their common length exceeds `largest`."""
    return _scaled(gradients, largest, math.sqrt(sum(float((g**2).sum()) for g in gradients)))


def _scaled(gradients, largest, norm):
    return tuple(g * (largest / max(norm, largest)) for g in gradients)


def _norms(gradients):
    return [float(np.sqrt((g**2).sum())) for g in gradients]


def _flat(gradients):
    return np.concatenate([g.ravel() for g in gradients])


_CLIP_MISTAKES = [
    (
        lambda gs, c: tuple(np.clip(g, -c, c) for g in gs),
        "You cut each number for itself. That turns the direction; one factor for all keeps it.",
    ),
    (
        lambda gs, c: tuple(_scaled([g], c, n)[0] for g, n in zip(gs, _norms(gs), strict=True)),
        "You shortened each array by its own length. One factor for all: the length of everything together.",
    ),
    (
        lambda gs, c: tuple(g * (c / _total(gs)) for g in gs),
        "You bring every gradient to the limit, short ones too, which makes them longer. Only shorten.",
    ),
    (
        lambda gs, c: _scaled(gs, c, sum(_norms(gs))),
        "You added up the lengths of the arrays. The common length is the root of the sum of all squares.",
    ),
    (
        lambda gs, c: _scaled(gs, c, max(_norms(gs))),
        "You took the length of one array only. The common length is the root of the sum of all squares.",
    ),
    (
        lambda gs, c: _scaled(gs, c, _total(gs) ** 2),
        "The root is missing: you compare the sum of squares with the limit.",
    ),
    (
        lambda gs, c: _scaled(gs, c, float(np.abs(_flat(gs)).sum())),
        "You added up absolute values. The length is the root of the sum of squares.",
    ),
    (
        lambda gs, c: _scaled(gs, c, float(np.abs(_flat(gs)).max())),
        "You took the largest single number. The length is the root of the sum of squares.",
    ),
    (
        lambda gs, c: tuple(g / max(_total(gs), c) for g in gs),
        "The factor lacks the limit: largest / length, not 1 / length.",
    ),
    (
        lambda gs, c: tuple(0 * g for g in gs) if _total(gs) > c else tuple(gs),
        "You throw long gradients away. Shorten them instead, their direction is good.",
    ),
]


def _total(gradients):
    return float(np.sqrt((_flat(gradients) ** 2).sum()))


@exercise("train_pytorch.2", title="One factor for all", points=2, difficulty=2, minutes=10)
def check_clip(answer):
    g = rng("10.2")
    inputs = [([np.array([1.0, 2.0]), np.array([[4.0, -2.0]])], 2.0), ([np.array([0.3, -0.4]), np.array([[0.0]])], 2.0)]
    for scale, limit in ((3.0, 1.5), (0.05, 5.0), (2.0, 0.5)):
        inputs.append(([(scale * g.normal(size=shape)).round(2) for shape in ((4, 3), (3,), (2, 2, 2))], limit))
    agree(answer, clip, inputs, mistakes=_CLIP_MISTAKES)
    return "The direction stays, only the length is limited, and short gradients are left as they are."


# ---------------------------------------------------------------- train_pytorch.3
def diagnose(loss, val_loss, classes):
    """What is wrong with a run, from its losses by epoch: the first rule that fits."""
    return _first(_rules(loss, val_loss, classes))


def _rules(loss, val_loss, classes, *, known=math.log, start=0.5, learned=0.95, rise=1.1):
    finite = bool(np.isfinite([*loss, *val_loss]).all())
    return {
        "diverged": not finite,
        "bad start": abs(loss[0] - known(classes)) > start,
        "learned nothing": loss[-1] > learned * known(classes),
        "overfits": val_loss[-1] > rise * min(val_loss),
    }


def _first(rules, *skipped):
    return next((name for name, fits in rules.items() if fits and name not in skipped), "healthy")


def _in_order(order):
    def answer(*args):
        rules = _rules(*args)
        return _first({name: rules[name] for name in order})

    return answer


def _overfits(rule):
    return lambda loss, val, classes: _first({**_rules(loss, val, classes), "overfits": rule(loss, val)})


_DIAGNOSIS_MISTAKES = [
    (
        lambda *a: "diverged" if math.isnan(a[0][-1]) else _first(_rules(*a), "diverged"),
        "A NaN or inf escapes you: it counts anywhere, in either list, not only at the end of the training loss.",
    ),
    (
        lambda *a: _first(_rules(*a), "diverged"),
        "You never say that a run diverged: comparisons with NaN are all False. Ask that first, with isfinite.",
    ),
    (
        lambda *a: _first(_rules(*a, known=math.log10)),
        "That is not the loss of an ignorant model: ln C, the natural logarithm, `math.log(classes)`.",
    ),
    (
        lambda *a: _first({**_rules(*a), "bad start": abs(a[1][0] - math.log(a[2])) > 0.5}),
        "You judge the start by validation, which is measured after a whole epoch. Take the first *training* loss.",
    ),
    (
        lambda *a: _first({**_rules(*a), "learned nothing": a[0][-1] > 0.95 * a[0][0]}),
        "You compare the last training loss with the first. Compare it with an ignorant model's, ln C.",
    ),
    (
        lambda *a: _first(_rules(*a, known=math.log2)),
        "You took the logarithm to base 2. An ignorant model loses ln C, base e.",
    ),
    (
        lambda *a: _first(_rules(*a, known=lambda c: math.log(3))),
        "You compare with ln 3 always. An ignorant model loses ln C for C classes.",
    ),
    (
        lambda *a: _first({**_rules(*a), "bad start": a[0][0] > math.log(a[2]) + 0.5}),
        "A first loss far *below* ln C is a bad start too: nothing is learned yet. Perhaps it sees the label.",
    ),
    (
        lambda *a: _first(_rules(*a), "bad start"),
        "The first loss is more than 0.5 from ln C, and you do not say so: that is a bad start.",
    ),
    (
        _overfits(lambda loss, val: val[-1] > 1.1 * loss[-1]),
        "You compare validation with training. They always differ: compare validation with its own lowest value.",
    ),
    (
        _overfits(lambda loss, val: max(val) > 1.1 * min(val)),
        "You take the highest validation loss. What counts is where the run ends: its *last* one against its lowest.",
    ),
    (
        _overfits(lambda loss, val: val[-1] > 1.1 * val[-2]),
        "You compare with the epoch before. A loss may climb in small steps: compare with the lowest of all.",
    ),
    (
        _overfits(lambda loss, val: val[-1] > 1.1 * val[0]),
        "You compare with the first validation loss. A run can overfit and end below it: compare with the lowest.",
    ),
    (
        lambda *a: _first(_rules(*a), "overfits"),
        "You never say that a run overfits: its last validation loss is over 1.1 times its lowest.",
    ),
    (
        lambda *a: _first(_rules(*a), "learned nothing"),
        "You never say that a run learned nothing: its last training loss is above 0.95 ln C.",
    ),
]
_RULES = ("diverged", "bad start", "learned nothing", "overfits")
_DIAGNOSIS_MISTAKES += [
    (_in_order(order), "Two rules fit this run. The first in the list counts: later ones only follow from it.")
    for order in list(permutations(_RULES))[1:]
]

_NAN, _INF = float("nan"), float("inf")
_RUNS = [
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
    ([1.10, 0.9, _NAN, _NAN], [1.0, 1.2, _NAN, _NAN], 3),
    ([1.10, 0.9, 0.8, 0.7], [1.0, 0.9, _INF, 0.8], 3),
    ([1.10, _INF, 0.8, 0.7], [1.0, 0.9, 0.85, 0.8], 3),
    ([3.00, 2.0, 1.5, 1.2], [2.0, 1.5, 1.3, 1.25], 10),
    ([7.50, 3.0, 2.2, 1.5], [4.0, 2.5, 2.0, 1.6], 10),
    ([0.20, 0.1, 0.05, 0.04], [0.3, 0.2, 0.2, 0.2], 3),
    ([9.00, 4.0, 3.0, 2.9], [4.0, 3.0, 5.0, 6.0], 10),
    ([7.50, 3.0, _NAN, _NAN], [4.0, 3.0, _NAN, _NAN], 10),
    ([1.40, 1.4, 1.39, 1.38], [1.4, 1.5, 1.6, 1.7], 4),
]


@exercise("train_pytorch.3", title="What is wrong with this run?", points=3, difficulty=2, minutes=12)
def check_diagnose(answer):
    agree(answer, diagnose, _RUNS, mistakes=_DIAGNOSIS_MISTAKES)
    return "Four looks at a log, in this order, before any knob is turned."
