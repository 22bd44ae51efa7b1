"""Hidden tests of lesson start_here: inputs alone; what is right and what each mistake is called stand in the public check."""

from itertools import cycle

import numpy as np

from mmcourse.classroom.hidden import hidden


def _joint(g, labels, cues):
    return (g.dirichlet(np.ones(labels * cues)).reshape(labels, cues),)


@hidden("start_here.1")
def _(g):
    yield "more cues than labels", 1, lambda: _joint(g, g.integers(2, 4), g.integers(4, 7))
    yield "more labels than cues", 1, lambda: _joint(g, g.integers(4, 7), g.integers(2, 4))
    yield "a single cue", 1, lambda: _joint(g, g.integers(2, 6), 1)
    yield "a single label", 1, lambda: _joint(g, 1, g.integers(2, 6))


def _people(g, b):
    return *(g.dirichlet(np.full(3, 2.0), b) for _ in range(3)), g.dirichlet(np.full(3, 4.0))


@hidden("start_here.2")
def _(g):
    yield "one person", 1, lambda: _people(g, 1)
    yield "three people", 1, lambda: _people(g, 3)
    yield "many people", 2, lambda: _people(g, g.integers(4, 12))


def _runs(g, seeds, lift, low=0.5):
    """Runs of two models that share their seeds: each seed lifts or lowers both."""
    luck = g.normal(0, 0.03, seeds)
    single = g.uniform(low, 0.7) + luck
    fused = single + lift * 0.03 + g.normal(0, 0.02, seeds)
    return single.round(4), fused.round(4), round(g.uniform(0.85, 0.98), 3)


def _gain_of(t, g):
    """A mean gain of t standard errors, from few seeds or many."""
    spread = g.normal(0, 0.02, g.integers(3, 9))
    error = spread.std(ddof=1) / np.sqrt(len(spread))
    return np.full(len(spread), 0.7), 0.7 + spread - spread.mean() + t * error, 0.9


@hidden("start_here.3")
def _(g):
    yield "clear gain", 1, lambda: _runs(g, g.integers(3, 8), 4)
    yield "loss", 1, lambda: _runs(g, g.integers(3, 8), -4)
    yield "two seeds", 1, lambda: _runs(g, 2, g.uniform(-3, 6))
    yield "a single seed", 1, lambda: _runs(g, 1, g.uniform(-3, 6))
    errors = cycle(g.permutation([0.8, 1.2, 1.6, 1.7, 1.9, 1.98, 2.1, 2.35, 2.7, 3.5, 5]))
    yield "close to two standard errors", 2, lambda: _gain_of(next(errors), g)
