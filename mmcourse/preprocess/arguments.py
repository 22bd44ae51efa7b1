"""Checks of the caller's own arguments, so that a wrong one is never reported as a fault of the file."""

import math
import numbers
from collections.abc import Iterable

import numpy as np

from mmcourse.preprocess.errors import InputError


def check_integer(name: str, value, low: int = 1, high: int | None = None) -> int:
    """Return `value` as an int in [low, high], or raise InputError. 3.0 is accepted; True, "3", NaN and 2.5 are not."""
    expected = f"a whole number of at least {low:,}" if high is None else f"a whole number from {low:,} to {high:,}"
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or int(value) != value:
        raise InputError(name, f"expected {expected}, got {describe(value)}", f"pass {expected}")
    if value < low or (high is not None and value > high):
        raise InputError(name, f"expected {expected}, got {describe(value)}", f"pass {expected}")
    return int(value)


def check_number(name: str, value, low: float = -math.inf, high: float = math.inf, above: float = -math.inf) -> float:
    """Return `value` as a finite float in [low, high] that is greater than `above`, or raise InputError."""
    if above > -math.inf:
        expected = f"a number greater than {above:g}" + (f" and at most {high:g}" if high < math.inf else "")
    elif high < math.inf:
        expected = f"a number from {low:g} to {high:g}"
    else:
        expected = f"a number of at least {low:g}" if low > -math.inf else "a finite number"
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high or not value > above:
        raise InputError(name, f"expected {expected}, got {describe(value)}", f"pass {expected}")
    return float(value)


def check_choice(name: str, value, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`, or raise InputError."""
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(f'"{choice}"' for choice in choices)
        raise InputError(name, f"expected one of {listed}, got {describe(value)}", "choose one of them")
    return value


def check_generator(rng) -> np.random.Generator:
    """Return `rng` if it is a NumPy generator, or raise InputError."""
    if not isinstance(rng, np.random.Generator):
        remedy = "pass np.random.default_rng(seed)"
        raise InputError("rng", f"expected a NumPy Generator, got {describe(rng)}", remedy)
    return rng


def describe(value) -> str:
    """A value as messages show it: short, on one line, and without the address of an object."""
    if isinstance(value, numbers.Real | str | bytes | tuple | list | type(None)):
        text = repr(getattr(value, "item", lambda: value)())  # 3.0, not np.float64(3.0)
        return text if len(text) <= 60 else text[:57] + "..."
    return f"a {type(value).__name__}"
