"""The two models A and B of lesson evaluate. It is a blind test: read this file after section 8 of the lesson."""

from __future__ import annotations

import sys

from torch import nn

from mmcourse.datasets import lesson_dir

sys.path.insert(0, str(lesson_dir("tune")))
from tune_search import last, train


def model_a(x, y) -> nn.Module:
    """A: the small network of lesson tune, trained for three epochs from seed 0."""
    return last(train(x, y, epochs=3, seed=0))


def model_b(x, y) -> nn.Module:
    """B: the same network, trained for three epochs from seed 1."""
    return last(train(x, y, epochs=3, seed=1))
