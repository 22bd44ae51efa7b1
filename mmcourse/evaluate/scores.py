"""Right and wrong on one test set, and how far annotators agree."""

from __future__ import annotations

from typing import Any

import numpy as np


def checked(labels: Any, predictions: Any) -> tuple[np.ndarray, np.ndarray]:
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
    labels, predictions = checked(labels, predictions)
    return float((labels == predictions).mean())


def confusion_matrix(labels: Any, predictions: Any, n_classes: int | None = None) -> np.ndarray:
    """How often each class (row) was taken for each (column): int64 (n_classes, n_classes)."""
    labels, predictions = checked(labels, predictions)
    most = int(max(labels.max(), predictions.max())) + 1
    n_classes = most if n_classes is None else n_classes
    if most > n_classes or min(labels.min(), predictions.min()) < 0:
        raise ValueError(f"n_classes: expected labels from 0 to {n_classes - 1}, got some outside; largest {most - 1}")
    return np.bincount(labels * n_classes + predictions, minlength=n_classes**2).reshape(n_classes, n_classes)


def precision_recall_f1(
    labels: Any, predictions: Any, n_classes: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each class, float (n_classes,) each; 0 where nothing can be divided.

    Their plain mean is the macro average, their mean weighted by how often each class is true the weighted one. The
    micro average of all three is the accuracy, as long as each sample has one label.
    """
    table = confusion_matrix(labels, predictions, n_classes)
    hits, predicted, true = table.diagonal(), table.sum(axis=0), table.sum(axis=1)
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(true, 1)
    return precision, recall, 2 * hits / np.maximum(predicted + true, 1)


def bootstrap_interval(
    labels: Any, predictions: Any, *, seed: int, level: float = 0.95, rounds: int = 2000
) -> tuple[float, float]:
    """Interval (low, high) of the accuracy had another test set of this size been drawn (Efron 1979)."""
    labels, predictions = checked(labels, predictions)
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
