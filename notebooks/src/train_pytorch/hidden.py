"""Hidden tests of lesson train_pytorch."""

import math
from itertools import cycle

import numpy as np

from mmcourse.classroom.hidden import hidden


def _schedule(g, after, warmup=None):
    """A step before or after the end of the warm-up."""
    total = int(g.integers(20, 400))
    warmup = int(g.integers(2, total // 2)) if warmup is None else warmup
    step = int(g.integers(warmup, total) if after else g.integers(0, warmup))
    return step, total, warmup, float(g.uniform(1e-4, 1))


@hidden("train_pytorch.1")
def _(g):
    yield "during the warm-up", 1, lambda: _schedule(g, False)
    yield "after the warm-up", 2, lambda: _schedule(g, True)
    yield "without a warm-up", 1, lambda: _schedule(g, True, 0)
    lengths = cycle([None, 0])
    yield "first step", 1, lambda: (0, *_schedule(g, True, next(lengths))[1:])


def _gradients(g, arrays, factor):
    """Arrays of some shapes, and a limit that is `factor` times their common length."""
    made = [g.normal(size=g.integers(1, 5, g.integers(1, 4))) for _ in range(arrays)]
    return made, float(factor * math.sqrt(sum((a**2).sum() for a in made)))


@hidden("train_pytorch.2")
def _(g):
    yield "longer than allowed", 2, lambda: _gradients(g, g.integers(2, 5), g.uniform(0.05, 0.9))
    yield "shorter than allowed", 1, lambda: _gradients(g, g.integers(2, 5), g.uniform(1.1, 5))
    yield "a single array", 1, lambda: _gradients(g, 1, g.uniform(0.3, 1.5))


def _run(g, first, last, climb=1.0, hump=1.0, noise=0.03, broken=None):
    """Losses that fall from `first` to `last` times ln C; validation ends `climb` times above its lowest."""
    classes, epochs = int(g.choice([2, 4, 5, 10])), int(g.integers(4, 9))
    loss = math.log(classes) * np.geomspace(first, last, epochs) * (1 + noise * g.uniform(0, 1, epochs))
    val = np.sort(g.uniform(0.6, 0.95, epochs))[::-1] * max(first, 0.8) * g.choice([0.4, 1.05, 2])
    val[-2:] = climb * val[:-2].min() * np.array([hump, 1])  # up in one go, or up and down again
    if broken:
        where, value = broken
        [loss, val][where][g.integers(1, epochs - 1)] = value
    return loss.tolist(), val.tolist(), classes


@hidden("train_pytorch.3")
def _(g):
    def healthy():
        return _run(g, g.uniform(0.85, 1.2), g.uniform(0.2, 0.7), g.uniform(0.9, 1.07), g.choice([1, 1.3]))

    def overfits():
        return _run(g, 1, g.uniform(0.02, 0.7), next(climbs))

    lasts = cycle([0.96, 0.92])  # just above 0.95 and, noise included, just below

    def learned():
        return _run(g, g.uniform(0.85, 1.2), next(lasts), g.choice([1.0, 1.3]))

    firsts, climbs = cycle([1.4, 0.1, 2.5]), cycle([1.15, 1.4])

    def start():
        return _run(g, next(firsts), g.choice([0.08, 0.5, 1.3]), g.choice([1.0, 1.3]))

    ends = cycle([(0, math.inf), (1, math.nan), (1, math.inf), (0, math.nan)])
    for name, weight, sick in (
        ("does it overfit?", 1, overfits),
        ("did it learn anything?", 1, learned),
        ("a bad start?", 2, start),
        ("did it diverge?", 1, lambda: _run(g, g.choice([1, 2.5]), 0.5, broken=next(ends))),
    ):
        turns = cycle([sick, sick, healthy if sick is overfits else overfits])
        yield name, weight, lambda turns=turns: next(turns)()
