"""Hidden tests of lesson cnn."""

from itertools import cycle

import numpy as np

from mmcourse.check.lesson_cnn import sizes
from mmcourse.classroom.hidden import hidden


def _pair(g, kernel, more):
    """A picture that is `more` larger than the kernel, along each axis."""
    return g.normal(size=np.add(kernel, more)), g.normal(size=kernel)


@hidden("cnn.1")
def _(g):
    yield "square kernels", 1, lambda: _pair(g, (3, 3), g.integers(1, 5, 2))
    yield "kernels that are not square", 2, lambda: _pair(g, g.permutation([2, 4]), g.integers(1, 5, 2))
    yield "a kernel as large as the picture", 1, lambda: _pair(g, g.integers(2, 5, 2), 0)
    yield "a single row", 1, lambda: _pair(g, (1, 3), (0, g.integers(1, 6)))


def _network(g, layers, strides=(1, 2, 3), dilations=(1, 2, 3)):
    """Layers of random sizes, and an input that they do not use up."""
    kernels, paddings = g.integers(1, 6, layers), g.integers(0, 4, layers)
    columns = kernels, g.choice(strides, layers), paddings, g.choice(dilations, layers)
    made = [tuple(int(x) for x in layer) for layer in zip(*columns, strict=True)]
    size = int(g.integers(40, 300))
    return (made, size) if sizes(made, size)[0] > 0 else _network(g, layers, strides, dilations)


@hidden("cnn.2")
def _(g):
    yield "one layer", 1, lambda: _network(g, 1)
    yield "layers that follow each other pixel by pixel", 1, lambda: _network(g, g.integers(2, 5), (1,), (1,))
    yield "strides", 1, lambda: _network(g, g.integers(2, 5), (2, 3), (1,))
    yield "dilation", 1, lambda: _network(g, g.integers(2, 4), (1,), (2, 3))
    yield "everything together", 2, lambda: _network(g, g.integers(3, 6))
    yield "no layer at all", 1, [([], int(g.integers(5, 50)))]


def _slopes(g, size=1.0):
    return size * g.normal(size=g.integers(2, 5, 2))


def _right(g):
    """Right up to the noise of nudging; sometimes such that a half turn changes nothing."""
    a = _slopes(g)
    if g.random() < 0.5:
        return a + 1e-9 * g.normal(size=a.shape), a
    return a + a[::-1, ::-1], a + a[::-1, ::-1]


def _turned(g, turns):
    a = g.normal(size=(3, 3))
    return next(turns)(a).copy(), a


def _scaled(g):
    """Times a number that may be negative, with some slopes that are 0, or with the sum 0."""
    a = _slopes(g)
    a[0, 0] *= g.integers(2)
    if g.random() < 0.3:
        a = np.round(16 * a)  # whole numbers: the sum is exactly 0
        a[-1, -1] -= a.sum()
    return a * g.choice([-3, -1, 0.25, 2, 64]), a


def _wrong(g):
    """One number off, by much or by very little, or lost, in gradients of any size."""
    a = _slopes(g, 10.0 ** g.integers(-9, 4))
    off, place = a.copy(), tuple(g.integers(0, a.shape))
    if g.random() < 0.3:
        off[place] = 0
        return 2 * off, a
    off[place] += g.choice([-1, 1]) * g.choice([4e-6, 1e-4, 0.3]) * np.abs(a).max()
    return off, a


def _twice_wrong(g):
    """Turned and scaled: no single repair helps."""
    a = g.normal(size=(3, 3))
    return g.choice([-3, 0.5, 2]) * a[::-1, ::-1], a


@hidden("cnn.3")
def _(g):
    turns = cycle([lambda a: a[::-1, ::-1], lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a.T])
    yield "right gradients", 1, lambda: _right(g)
    yield "turned and mirrored ones", 1, lambda: _turned(g, turns)
    yield "scaled ones", 1, lambda: _scaled(g)
    yield "wrong ones", 1, lambda: _wrong(g)
    odd = [a - a[::-1, ::-1] for a in g.normal(size=(3, 3, 3))]  # a half turn is times minus one
    yield "turned and scaled at once", 1, [(-a, a) for a in odd] + [_twice_wrong(g) for _ in range(3)]
    yield "all zero", 1, [(np.zeros((2, 3)), g.normal(size=(2, 3)))]
