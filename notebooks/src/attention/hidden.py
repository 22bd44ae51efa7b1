"""Hidden tests of lesson attention."""

import numpy as np

from mmcourse.classroom.hidden import hidden


def _qkv(g, n, m, size=1.0):
    d_k, d_v = g.integers(2, 7, 2)
    return size * g.normal(size=(n, d_k)), g.normal(size=(m, d_k)), g.normal(size=(m, d_v))


@hidden("attention.1")
def _(g):
    yield "several queries and keys", 2, lambda: _qkv(g, *g.integers(2, 6, 2))
    yield "one query", 1, lambda: _qkv(g, 1, g.integers(2, 6))
    yield "one key", 1, lambda: _qkv(g, g.integers(2, 6), 1)
    yield "scores in the thousands", 1, lambda: _qkv(g, 3, 4, 4000)


def _scores(g, causal, kind):
    """Scores and a mask: padding on the right, on the left, anywhere, or one sample of nothing else."""
    b, n = g.integers(2, 4), g.integers(3, 6)
    real = g.integers(1, n + 1, (b, 1))
    mask = {"right": np.arange(n) < real, "left": np.arange(n) >= n - real, "any": g.random((b, n)) < 0.6}[kind]
    if kind == "any":
        mask[0] = False
    return g.normal(size=(b, n, n)), mask, causal


@hidden("attention.2")
def _(g):
    yield "padding on the right", 1, lambda: _scores(g, False, "right")
    yield "padding on the left, causal", 1, lambda: _scores(g, True, "left")
    yield "padding on the right, causal", 1, lambda: _scores(g, True, "right")
    yield "rows that may look at nothing", 1, lambda: _scores(g, bool(g.random() < 0.5), "any")


def _words(g, n, pull=1.0):
    """Weights, values and a readout; `pull` below 0 turns the contributions down."""
    weights, readout = g.dirichlet(np.ones(n)), g.normal(size=g.integers(2, 6))
    values = g.normal(size=(n, len(readout))) + pull * readout / np.linalg.norm(readout)
    return weights, values, readout


@hidden("attention.3")
def _(g):
    yield "few words", 1, lambda: _words(g, g.integers(2, 4))
    yield "many words", 1, lambda: _words(g, g.integers(5, 12))
    yield "words that push down", 1, lambda: _words(g, g.integers(3, 8), -1.5)
