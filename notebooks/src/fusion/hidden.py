"""Hidden tests of lesson fusion."""

import numpy as np

from mmcourse.check.lesson_fusion import _tables
from mmcourse.classroom.hidden import hidden


def _normals(g, *shapes):
    return tuple(g.normal(size=shape).round(2) for shape in shapes)


def _unit(g, b, d1, d2, k):
    return _normals(g, (b, d1), (b, d2), (d1, k), (d2, k), (d1 + d2, k))


@hidden("fusion.1")
def _(g):
    yield "one sample", 1, lambda: _unit(g, 1, *g.integers(2, 5, 3))
    yield "modalities of one width", 1, lambda: _unit(g, g.integers(2, 6), 3, 3, g.integers(2, 5))
    yield "modalities of two widths", 1, lambda: _unit(g, g.integers(2, 6), 2, 5, g.integers(2, 5))


def _factors(g, rank, k):
    return _normals(g, *((rank, n, k) for n in g.integers(2, 5, 3)))


@hidden("fusion.2")
def _(g):
    yield "rank 1", 1, lambda: _factors(g, 1, g.integers(2, 5))
    yield "one output", 1, lambda: _factors(g, g.integers(2, 5), 1)
    yield "several ranks and outputs", 2, lambda: _factors(g, *g.integers(2, 5, 2))


def _three(g, b, k):
    dims = g.integers(1, 6, 3)
    return _normals(g, *((b, d) for d in dims), *((d, k) for d in dims))


@hidden("fusion.3")
def _(g):
    yield "one sample", 1, lambda: _three(g, 1, g.integers(2, 6))
    yield "several samples", 2, lambda: _three(g, *g.permutation(np.arange(2, 7))[:2])
    yield "as many samples as outputs", 1, lambda: _three(g, *[g.integers(2, 6)] * 2)


def _renamed(g, joint):
    """The same table with labels and values of the cues in another order; the right answer stays."""
    for axis in range(3):
        joint = np.take(joint, g.permutation(joint.shape[axis]), axis)
    return (joint,)


@hidden("fusion.4")
def _(g):
    xor, twins, clean, first, second, both, hair, odd = _tables()
    for name, some in {
        "is one cue enough?": (first, xor, second),
        "is a vote enough?": (both, xor, odd),
        "close calls": (hair, odd, both),
        "no noise": (twins, clean, xor),
    }.items():
        yield name, 1, [_renamed(g, table) for table in some]
