"""Numbers that a claim can stand on: accuracy, confusion, intervals over seeds, ceilings and bands. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def band(name: str, value: float, target: float, tolerance: float) -> None:
    """Print the fixed sentence "`name` within `target` ± `tolerance`", or fail and show the measured value.

    The sentence never holds the value itself, so a saved notebook stays equal from one processor to another.

    Raises
    ------
    AssertionError
        If `value` is outside the band, or not a number at all.
    """
    value = float(value)
    # A hair of slack: 0.95 is inside 0.93 ± 0.02, whatever binary fractions say.
    if not abs(value - target) <= tolerance + 1e-9:
        raise AssertionError(f"{name} is {value:.4g}, outside {target:g} ± {tolerance:g}")
    print(f"{name} within {target:g} ± {tolerance:g}")
