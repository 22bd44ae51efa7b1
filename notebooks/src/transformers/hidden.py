"""Hidden tests of lesson transformers."""

import numpy as np

from mmcourse.classroom.hidden import hidden


def _block(g, n):
    d, hidden_width = g.integers(3, 7, 2)
    look = g.dirichlet(np.ones(n), n)
    return g.normal(size=(n, d)), look, g.normal(size=(d, hidden_width)), g.normal(size=(hidden_width, d))


@hidden("transformers.1")
def _(g):
    yield "one word", 1, lambda: _block(g, 1)
    yield "a few words", 2, lambda: _block(g, g.integers(2, 5))
    yield "many words", 1, lambda: _block(g, g.integers(6, 12))
