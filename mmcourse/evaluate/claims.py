"""What a number may be claimed to show: expected values, intervals over seeds, ceilings, and whether B beats A."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from mmcourse.evaluate.scores import checked


def expect_within(name: str, value: float, target: float, tolerance: float) -> None:
    """Print "`name` 0.913, expected 0.90 ± 0.02", or fail and show the measured value.

    The value has one digit more than the band. Comparisons of saved outputs leave out the value of such a line, which
    differs a little from one processor to another, and nothing else.

    Raises
    ------
    AssertionError
        If `value` is further than `tolerance` from `target`, or not a number at all.
    """
    value = float(value)
    digits = max(_decimals(target), _decimals(tolerance))
    expected = f"{target:.{digits}f} ± {tolerance:.{digits}f}"
    # A hair of slack: 0.95 is inside 0.93 ± 0.02, whatever binary fractions say.
    if not abs(value - target) <= tolerance + 1e-9:
        raise AssertionError(f"{name} is {value:.4g}, outside {expected}")
    print(f"{name} {value:.{digits + 1}f}, expected {expected}")


def _decimals(number: float) -> int:
    """Decimal places that a number is written with: 2 for 0.25, 0 for 3."""
    return max(0, -int(Decimal(str(float(number))).normalize().as_tuple().exponent))


# ---------------------------------------------------------------- two models on one test set
def _only_one_right(labels: Any, first: Any, second: Any) -> tuple[int, int, int]:
    """On how many samples only the first model is right, only the second, and how many samples there are."""
    labels, first = checked(labels, first)
    _, second = checked(labels, second)
    a, b = first == labels, second == labels
    return int((a & ~b).sum()), int((b & ~a).sum()), len(labels)


def mcnemar(labels: Any, first: Any, second: Any) -> tuple[int, int, float]:
    """Samples that only the first model gets right, only the second, and the exact two-sided p-value (McNemar 1947).

    Where both are right or both wrong nothing is learned. If neither were better, the others would fall like fair
    coins. labels: int (n,); first, second: predictions int (n,) or scores (n, classes).
    """
    from scipy.special import bdtr  # a tenth of scipy.stats' import time

    a, b, _ = _only_one_right(labels, first, second)
    return a, b, min(1.0, 2 * float(bdtr(min(a, b), a + b, 0.5))) if a + b else 1.0


def paired_bootstrap(
    labels: Any, first: Any, second: Any, *, seed: int, level: float = 0.95, rounds: int = 10_000
) -> tuple[float, float, float]:
    """Accuracy of the second model minus that of the first, and the interval (low, high) that other test sets give.

    Each resampled test set is the same for both models, so what is hard for both cancels (Efron and Tibshirani 1993).
    """
    a, b, n = _only_one_right(labels, first, second)
    # Drawing n samples with replacement is a multinomial draw of the three kinds of samples.
    draws = np.random.default_rng(seed).multinomial(n, [a / n, b / n, (n - a - b) / n], rounds)
    low, high = np.quantile((draws[:, 1] - draws[:, 0]) / n, [(1 - level) / 2, (1 + level) / 2])
    return (b - a) / n, float(low), float(high)


# ---------------------------------------------------------------- several seeds
def standard_error(values: Any) -> float:
    """Standard error of the mean over seeds, from the sample's own spread (ddof 1); NaN for a single seed."""
    values = np.asarray(values, dtype=float)
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def mean_and_interval(values: Any, level: float = 0.95) -> tuple[float, float]:
    """Mean over seeds and the half-width of its Student-t interval (Student 1908); NaN half-width for a single seed."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"values: expected one number per seed, shape (seeds,), got {values.shape}")
    if len(values) == 1:
        return float(values[0]), float("nan")
    from scipy.special import stdtrit  # a tenth of scipy.stats' import time

    return float(values.mean()), float(stdtrit(len(values) - 1, (1 + level) / 2) * standard_error(values))


# ---------------------------------------------------------------- against what is possible
def share_of_ceiling(value: float, ceiling: float) -> float:
    """`value` as a share of the best possible accuracy; 1 is perfect, above 1 is luck or a leak."""
    if not 0 < ceiling <= 1:
        raise ValueError(f"ceiling: expected an accuracy above 0 and at most 1, got {ceiling}")
    return float(value) / float(ceiling)


def gap_closed(single: float, fused: float, ceiling: float) -> float:
    """Share of the gap from `single` to `ceiling` that `fused` closed; negative if fusion lost."""
    if not single < ceiling <= 1:
        raise ValueError(f"ceiling: expected above the single model's {single} and at most 1, got {ceiling}")
    return (float(fused) - float(single)) / (float(ceiling) - float(single))
