"""Hidden tests of lesson evaluate."""

import numpy as np

from mmcourse.check.lesson_evaluate import _ON_EDGES, _pair
from mmcourse.classroom.hidden import hidden


def _answers(g, classes, called, true, n=None):
    """True classes below `true` and answers below `called`, of `classes`."""
    n = g.integers(8, 40) if n is None else n
    return g.integers(0, true, n), g.integers(0, called, n), int(classes)


@hidden("evaluate.1")
def _(g):
    yield "two classes", 1, lambda: _answers(g, 2, 2, 2)
    yield "several classes", 2, lambda: _answers(g, 5, 5, 5)
    yield "a class that is never called", 1, lambda: _answers(g, 4, 3, 4)
    yield "a class that is never true", 1, lambda: _answers(g, 4, 4, 3)
    yield "a class that never comes at all", 1, lambda: _answers(g, 5, 3, 3)


def _forecasts(g, n, classes, sharp=0.6):
    return g.integers(0, classes, n), g.dirichlet(np.full(classes, sharp), n), int(g.integers(3, 13))


def _on_edges(g):
    """Confidences of which some lie on the edge of a bin."""
    p = g.permutation(_ON_EDGES)
    return g.integers(0, 2, len(p)), np.stack([p, 1 - p], axis=1), int(g.choice([4, 8]))


@hidden("evaluate.2")
def _(g):
    yield "two classes", 1, lambda: _forecasts(g, g.integers(10, 40), 2)
    yield "several classes", 2, lambda: _forecasts(g, g.integers(20, 60), g.integers(3, 6))
    yield "few samples, many bins empty", 1, lambda: _forecasts(g, g.integers(2, 5), 3)
    yield "one sample", 1, lambda: _forecasts(g, 1, 3)
    yield "confidence on the edge of a bin", 1, lambda: _on_edges(g)


@hidden("evaluate.3")
def _(g):
    yield "B clearly ahead", 1, lambda: _pair(g.integers(0, 4), g.integers(12, 30), *g.integers(0, 30, 2), g)
    yield "A clearly ahead", 1, lambda: _pair(g.integers(12, 30), g.integers(0, 4), *g.integers(0, 30, 2), g)
    yield "a lead that may be luck", 2, lambda: _pair(*g.integers(3, 7, 2), *g.integers(0, 30, 2), g)
    yield "equal counts", 1, lambda: _pair(*[g.integers(1, 7)] * 2, *g.integers(0, 30, 2), g)
    yield "near the line of 0.05", 1, [_pair(*n, *g.integers(0, 30, 2), g) for n in ((3, 12), (4, 12), (10, 2), (9, 2))]
    yield "many samples", 1, lambda: _pair(g.integers(20, 30), g.integers(60, 80), *g.integers(0, 30, 2), g)
    yield "the same right answers", 1, lambda: _pair(0, 0, *g.integers(1, 20, 2), g)
