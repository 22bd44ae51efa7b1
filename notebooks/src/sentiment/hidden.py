"""Hidden tests of lesson sentiment."""

import numpy as np

from mmcourse.check.lesson_sentiment import NAMES, _subsets
from mmcourse.classroom.hidden import hidden


def _table(g, guess=None):
    """An accuracy for every subset; with `guess`, nothing is better than it."""
    values = g.uniform(0.3, 1, 8) if guess is None else np.full(8, guess)
    return {s: float(v) for s, v in zip(_subsets(), values, strict=True)}


@hidden("sentiment.1")
def _(g):
    yield "any accuracies", 3, lambda: (_table(g),)
    yield "modalities that add nothing", 1, lambda: (_table(g, float(g.uniform(0.3, 0.6))),)


def _sure(g, m):
    return g.uniform(0.1, 0.9, m), float(g.uniform(0.1, 1.5))


@hidden("sentiment.2")
def _(g):
    yield "two modalities", 1, lambda: _sure(g, 2)
    yield "three or more", 2, lambda: _sure(g, g.integers(3, 7))
    yield "all equally sure", 1, [(np.full(3, 0.5), float(g.uniform(0.1, 1)))]


def _opinions(g, m, chance):
    b, classes = g.integers(1, 6), g.integers(2, 5)
    p, prior = g.dirichlet(np.full(classes, 2), (m, b)), g.dirichlet(np.full(classes, 5))
    return p, g.random((b, m)) < chance, prior


@hidden("sentiment.3")
def _(g):
    yield "everybody there", 1, lambda: _opinions(g, g.integers(2, 5), 1)
    yield "some there", 2, lambda: _opinions(g, 3, 0.6)
    yield "nobody there", 1, lambda: _opinions(g, 3, 0)


def _models(g, n, low, high):
    """Models that differ in what they can do without, and how often each modality is there."""
    models = {name: _table(g) for name in "ABCD"[:n]}
    return models, {name: float(p) for name, p in zip(NAMES, g.uniform(low, high, 3), strict=True)}


@hidden("sentiment.4")
def _(g):
    yield "modalities that are mostly there", 1, lambda: _models(g, g.integers(2, 5), 0.8, 1)
    yield "modalities that are often missing", 2, lambda: _models(g, g.integers(2, 5), 0.2, 0.8)
    yield "modalities that are hardly there", 1, lambda: _models(g, g.integers(2, 5), 0, 0.2)
