"""Hidden tests of lesson bert."""

import numpy as np

from mmcourse.classroom.hidden import hidden


def _dice(g, shape, chosen=0.5, fate=None):
    ids, other = g.integers(10, 50, shape), g.integers(50, 90, shape)
    fate = g.random(shape) if fate is None else g.choice(fate, shape)
    return ids, g.random(shape) < chosen, fate, other, int(g.integers(1, 10))


@hidden("bert.1")
def _(g):
    yield "a sentence", 1, lambda: _dice(g, 40)
    yield "a batch", 1, lambda: _dice(g, (4, 15))
    yield "three axes", 1, lambda: _dice(g, (2, 3, 8))
    yield "fates at the borders", 1, lambda: _dice(g, 12, 0.9, [0.0, 0.7999, 0.8, 0.8999, 0.9, 0.9999])
    yield "nothing chosen", 1, lambda: _dice(g, 12, 0)


def _report(g, start, gain=None):
    """A report whose first loss lies `start` nats from chance, and whose accuracy lies `gain` above the best baseline."""
    size = int(g.integers(300, 40_000))
    counting = g.uniform(0.1, 0.5, g.integers(2, 5)).round(3)
    gain = g.choice([-0.05, 0.02, 0.2]) if gain is None else gain
    return round(float(np.log(size) + g.uniform(*start)), 3), size, round(float(counting.max() + gain), 3), counting


@hidden("bert.2")
def _(g):
    yield "a start at chance", 2, lambda: _report(g, (-0.4, 0.4))
    yield "a leak", 1, lambda: _report(g, (-4, -0.6))
    yield "a clumsy start", 1, lambda: _report(g, (0.6, 3))
    yield "as good as counting", 1, lambda: _report(g, (-0.4, 0.4), 0)
