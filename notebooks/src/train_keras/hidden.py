"""Hidden tests of lesson train_keras."""

import numpy as np

from mmcourse.classroom.hidden import hidden


def _settings(g, first, last):
    momentum, eps = float(g.uniform(0.01, 0.45)), float(10 ** g.uniform(-8, -5))
    return momentum, eps, int(g.integers(first, last)), float(g.uniform(1e-4, 5e-3)), float(g.uniform(1e-3, 5e-2))


@hidden("train_keras.1")
def _(g):
    yield "the first step", 1, lambda: _settings(g, 1, 2)
    yield "early steps", 1, lambda: _settings(g, 2, 50)
    yield "late steps", 1, lambda: _settings(g, 500, 5000)


def _gru(g, d, h):
    return tuple(g.normal(size=shape) for shape in ((3 * h, d), (3 * h, h), (3 * h,), (3 * h,)))


@hidden("train_keras.2")
def _(g):
    yield "a state one number wide", 1, lambda: _gru(g, g.integers(1, 5), 1)
    yield "input and state of one width", 1, lambda: _gru(g, 3, 3)
    yield "input and state of two widths", 2, lambda: _gru(g, 2, g.integers(3, 6))


def _losses(g, epochs, patience, slope=0.0, digits=2):
    """Losses around a falling line; few digits make ties."""
    return [round(float(x), digits) for x in g.normal(0.8, 0.1, epochs) - slope * np.arange(epochs)], int(patience)


def _falling(g):
    return sorted((float(x) for x in g.uniform(0.1, 1, g.integers(3, 8))), reverse=True), int(g.integers(1, 4))


@hidden("train_keras.3")
def _(g):
    yield "losses that go up and down", 2, lambda: _losses(g, g.integers(8, 16), g.integers(1, 5))
    yield "losses that fall slowly", 1, lambda: _losses(g, g.integers(8, 16), g.integers(2, 4), 0.04)
    yield "equal losses", 1, lambda: _losses(g, g.integers(6, 12), g.integers(1, 4), digits=1)
    yield "always better", 1, lambda: _falling(g)
