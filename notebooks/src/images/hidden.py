"""Hidden tests of lesson images."""

import numpy as np

from mmcourse.check.lesson_images import _without_ties
from mmcourse.classroom.hidden import hidden


def _picture(g, k, c, blocks=5):
    h, w = k * g.integers(1, blocks, 2)
    return _without_ties(g.integers(0, 256, (h, w, c), dtype=np.uint8), k), int(k)


@hidden("images.1")
def _(g):
    yield "colours", 2, lambda: _picture(g, g.integers(2, 5), 3)
    yield "a single colour", 1, lambda: _picture(g, g.integers(2, 5), 1)
    yield "blocks of one pixel", 1, lambda: _picture(g, 1, 3)


def _dot(g):
    """One bright pixel, at a border or a corner."""
    grey = np.full(g.integers(4, 8, 2), 0.25)
    grey[g.choice([0, -1, 2]), g.choice([0, -1, 1])] = 1
    return (grey,)


@hidden("images.2")
def _(g):
    yield "a picture", 2, lambda: (g.random(g.integers(4, 9, 2)),)
    yield "the border", 1, lambda: _dot(g)
    yield "one row or one column", 1, lambda: (g.random(g.permutation([1, g.integers(3, 8)])),)


THINGS = ["a bright star", "the upright box", "a tiny cross", "the leftover disc", "a copyright sign", "the red dot"]
PLACES = ["to the left of", "to the right of", "far left of", "right of", "above", "near the left end of"]


def _scene(g, boxes, parts=2, places=PLACES):
    h, w = g.integers(4, 9, 2)
    corner = g.integers(0, (w - 2, h - 2), (boxes, 2))
    words = [x for _ in range(parts) for x in (g.choice(THINGS), g.choice(places))]
    found = np.concatenate([corner, corner + g.integers(1, 3, (boxes, 2))], axis=1)
    return g.integers(0, 256, (h, w, 3), dtype=np.uint8), found, " ".join([*words, g.choice(THINGS)])


@hidden("images.3")
def _(g):
    yield "one box", 2, lambda: _scene(g, 1)
    yield "several boxes and a long caption", 2, lambda: _scene(g, g.integers(2, 5), 3)
    yield "a caption without sides", 1, lambda: _scene(g, 1, 1, ["above", "behind"])
