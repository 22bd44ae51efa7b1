"""Hidden tests of lesson rnn."""

import numpy as np

from mmcourse.classroom.hidden import hidden


def _cell(g, b, d_in, d):
    shapes = (b, d_in), (b, d), (b, d), (d_in, 4 * d), (d, 4 * d), (4 * d,)
    return tuple(g.normal(size=shape) for shape in shapes)


@hidden("rnn.1")
def _(g):
    yield "one sample", 1, lambda: _cell(g, 1, *g.integers(1, 5, 2))
    yield "a batch", 2, lambda: _cell(g, *g.integers(2, 6, 3))
    yield "a state one number wide", 1, lambda: _cell(g, g.integers(1, 4), g.integers(1, 4), 1)


def _gru(g, d_in, d):
    return tuple(g.normal(size=shape) for shape in ((3 * d, d_in), (3 * d, d), (3 * d,), (3 * d,)))


@hidden("rnn.2")
def _(g):
    yield "a state one number wide", 1, lambda: _gru(g, g.integers(1, 5), 1)
    yield "input and state of one width", 1, lambda: _gru(g, 3, 3)
    yield "input and state of two widths", 2, lambda: _gru(g, 2, g.integers(3, 6))


def _past(g, scale, size, turn=False, t=None):
    """A matrix, states and the last gradient; with `turn` the matrix keeps lengths."""
    d = g.integers(2, 5)
    matrix = g.normal(size=(d, d))
    matrix = np.linalg.qr(matrix)[0] if turn else matrix
    return scale * matrix, size * g.uniform(-1, 1, (g.integers(3, 8) if t is None else t, d)), 3 * g.normal(size=d)


@hidden("rnn.3")
def _(g):
    yield "gradients that vanish", 1, lambda: _past(g, 0.4, 0.9)
    yield "gradients that explode", 1, lambda: _past(g, 3, 0.3)
    yield "gradients that hold", 2, lambda: _past(g, g.uniform(0.99, 1.02), g.uniform(0.05, 0.2), turn=True)
    yield "two states", 1, lambda: _past(g, g.uniform(0.5, 2), 0.5, t=2)
