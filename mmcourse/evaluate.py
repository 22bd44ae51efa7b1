"""Numbers that a claim can stand on: accuracy, confusion, intervals over seeds, ceilings and bands. NumPy arrays in."""

from __future__ import annotations

from typing import Any

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


# ---------------------------------------------------------------- one test set
def _labels(labels: Any, predictions: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as integers (n,); predictions may be scores (n, classes), whose largest wins."""
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if predictions.ndim == labels.ndim + 1:
        if not np.isfinite(predictions).all():
            raise ValueError("predictions: the scores hold NaN or infinity; did the training diverge?")
        predictions = predictions.argmax(axis=-1)
    if labels.ndim != 1 or labels.shape != predictions.shape or not labels.size:
        raise ValueError(
            f"labels and predictions: expected shapes (n,) and (n,) or (n, classes) with n > 0, "
            f"got {labels.shape} and {predictions.shape}"
        )
    for name, values in (("labels", labels), ("predictions", predictions)):
        if values.dtype.kind not in "biu":
            raise ValueError(f"{name}: expected whole numbers, got dtype {values.dtype}; take argmax of scores first")
    return labels.astype(np.int64), predictions.astype(np.int64)


def accuracy(labels: Any, predictions: Any) -> float:
    """Share of right predictions, 0 to 1. labels: int (n,); predictions: int (n,) or scores (n, classes)."""
    labels, predictions = _labels(labels, predictions)
    return float((labels == predictions).mean())


def confusion_matrix(labels: Any, predictions: Any, n_classes: int | None = None) -> np.ndarray:
    """How often each class (row) was taken for each (column): int64 (n_classes, n_classes)."""
    labels, predictions = _labels(labels, predictions)
    most = int(max(labels.max(), predictions.max())) + 1
    n_classes = most if n_classes is None else n_classes
    if most > n_classes or min(labels.min(), predictions.min()) < 0:
        raise ValueError(f"n_classes: expected labels from 0 to {n_classes - 1}, got some outside; largest {most - 1}")
    return np.bincount(labels * n_classes + predictions, minlength=n_classes**2).reshape(n_classes, n_classes)


def bootstrap_interval(
    labels: Any, predictions: Any, *, seed: int, level: float = 0.95, rounds: int = 2000
) -> tuple[float, float]:
    """Interval (low, high) of the accuracy had another test set of this size been drawn (Efron 1979)."""
    labels, predictions = _labels(labels, predictions)
    n = len(labels)
    # Drawing n samples with replacement from right and wrong ones is a binomial draw of how many are right.
    right = np.random.default_rng(seed).binomial(n, (labels == predictions).mean(), rounds) / n
    low, high = np.quantile(right, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


# ---------------------------------------------------------------- annotators
def cohen_kappa(first: Any, second: Any) -> float:
    """Agreement of two annotators beyond chance: 1 perfect, 0 chance (Cohen 1960); NaN if both use one label only.

    first, second: int (n,), labels of the same samples.
    """
    table = confusion_matrix(first, second) / np.size(first)
    return _beyond_chance(float(np.trace(table)), float(table.sum(axis=1) @ table.sum(axis=0)))


def fleiss_kappa(counts: Any) -> float:
    """Agreement of several annotators beyond chance (Fleiss 1971); they need not be the same for each sample.

    counts: int (n, classes), how many of a sample's annotators chose each class; every row has the same sum, ≥ 2.
    For two annotators this is Scott's pi, which differs a little from Cohen's kappa.
    """
    counts = np.asarray(counts)
    votes = counts.sum(axis=1) if counts.ndim == 2 and counts.size else np.zeros(1)
    if counts.dtype.kind not in "iu" or counts.min(initial=0) < 0 or votes.min() < 2 or votes.min() != votes.max():
        raise ValueError(
            f"counts: expected whole numbers (n, classes) with the same number of annotators, 2 or more, in every row; "
            f"got {counts.dtype} {counts.shape} with {votes.min():g} to {votes.max():g} a row"
        )
    pairs = (counts * (counts - 1)).sum(axis=1) / (votes * (votes - 1))  # share of agreeing pairs, (n,)
    share = counts.sum(axis=0) / votes.sum()
    return _beyond_chance(float(pairs.mean()), float(share @ share))


def _beyond_chance(observed: float, expected: float) -> float:
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


# ---------------------------------------------------------------- several seeds
def standard_error(values: Any) -> float:
    """Standard error of the mean over seeds, from the sample's own spread (ddof 1); NaN for a single seed."""
    values = np.asarray(values, dtype=float)
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def mean_and_interval(values: Any, level: float = 0.95) -> tuple[float, float]:
    """Mean over seeds and the half-width of its Student-t interval (Student 1908); NaN half-width for a single seed."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"values: expected one number a seed, shape (seeds,), got {values.shape}")
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
