"""Intervals of a score when samples come in groups, and how often intervals keep their promise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def cluster_interval(values: Any, groups: Any, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of `values` (n,), and its interval (low, high) if new *groups* are drawn: callers, patients, speakers.

    The samples of a group are not independent, so what varies is each group's sum of deviations (Liang and Zeger 1986);
    with Student's t for that many groups. A single group has no interval: (mean, NaN, NaN). Where all values are 1, or
    all 0, there is no spread to see; then Wilson's interval of that many groups is given.
    """
    values = np.asarray(values, np.float64)
    groups = np.asarray(groups)
    if values.ndim != 1 or groups.shape != values.shape or not values.size:
        raise ValueError(f"values and groups: expected shapes (n,) and (n,), n > 0; got {values.shape}, {groups.shape}")
    _, which = np.unique(groups, return_inverse=True)
    mean = values.mean()
    sums = np.bincount(which, values - mean)  # (groups,)
    number = len(sums)
    if number == 1:
        return float(mean), float("nan"), float("nan")
    if np.ptp(values) == 0 and 0 <= mean <= 1:  # all right, or all wrong: that is not certainty
        from mmcourse.evaluate import wilson

        return float(mean), *wilson(mean * number, number)
    from scipy.special import stdtrit  # a tenth of scipy.stats' import time

    error = np.sqrt(number / (number - 1) * (sums**2).sum()) / len(values)
    half = stdtrit(number - 1, (1 + level) / 2) * error
    return float(mean), float(mean - half), float(mean + half)


def expected_coverage(reported_half: float, fresh_half: float, level: float = 0.95) -> float:
    """How often an honest interval holds the score of a *fresh* test set, which has noise of its own.

    Both half-widths at the same level. An endless fresh set gives `level`; one as large as the reported one only 0.834
    (Cumming and Maillardet 2006), though nobody did anything wrong.
    """
    from scipy.special import ndtr, ndtri

    if reported_half <= 0 or fresh_half < 0:
        raise ValueError(f"half-widths: expected above 0 and at least 0, got {reported_half} and {fresh_half}")
    z = ndtri((1 + level) / 2)
    return float(2 * ndtr(z * reported_half / np.hypot(reported_half, fresh_half)) - 1)


def coverage(held: Iterable[bool]) -> tuple[float, float, float]:
    """Share of intervals that held the fresh score, and Wilson's interval of that share."""
    from mmcourse.evaluate import wilson

    flags = [bool(x) for x in held]
    if not flags:
        raise ValueError("coverage: expected at least one interval")
    low, high = wilson(sum(flags), len(flags))
    return sum(flags) / len(flags), low, high
