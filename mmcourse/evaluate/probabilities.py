"""Is 0.8 right eight times in ten? Proper scores, reliability, and the temperature that repairs over-confidence."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmcourse.evaluate.scores import checked


def _checked(labels: Any, probabilities: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels int64 (n,) and probabilities float64 (n, classes) that are distributions over these labels."""
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or not np.allclose(p.sum(axis=1), 1, atol=1e-3) or p.min(initial=0) < 0:
        raise ValueError(
            f"probabilities: expected (n, classes), not negative, each row with sum 1; got shape {p.shape}. "
            "Logits? Take their softmax first"
        )
    labels, _ = checked(labels, p)
    if labels.min() < 0 or labels.max() >= p.shape[1]:
        raise ValueError(f"labels: expected 0 to {p.shape[1] - 1}, got {labels.min()} to {labels.max()}")
    return labels, p


def log_loss(labels: Any, probabilities: Any) -> float:
    """Mean surprise -log p(true class), in nats; log(classes) for a model that knows nothing."""
    labels, p = _checked(labels, probabilities)
    return float(-np.log(np.maximum(p[np.arange(len(p)), labels], np.finfo(float).eps)).mean())


def brier(labels: Any, probabilities: Any) -> float:
    """Mean squared distance to the one-hot truth, summed over classes: 0 to 2 (Brier 1950)."""
    labels, p = _checked(labels, probabilities)
    return float(((p - np.eye(p.shape[1])[labels]) ** 2).sum(axis=1).mean())


def reliability(labels: Any, probabilities: Any, bins: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence, accuracy and share of the samples in equal bins of confidence, (bins,) each.

    Confidence is the largest probability of a sample; bins are open on the left. Empty ones give NaN, NaN and 0.
    """
    labels, p = _checked(labels, probabilities)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    bin_of = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
    count = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bin_of, values, bins) / count for values in (confidence, right)]
    return means[0], means[1], count / len(labels)


def calibration_error(labels: Any, probabilities: Any, bins: int = 10) -> float:
    """Expected calibration error: |accuracy - confidence| of each bin, weighted by its share (arXiv 1706.04599)."""
    confidence, right, share = reliability(labels, probabilities, bins)
    return float(np.nansum(share * np.abs(right - confidence)))


def fit_temperature(labels: Any, logits: Any) -> float:
    """What to divide logits by for the least log loss, between 0.01 and 100 (Guo et al. 2017, arXiv 1706.04599).

    Fit it on validation data: the training set was learned by heart, and the test set is for the verdict. It changes
    no prediction. labels: int (n,); logits: float (n, classes).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    labels, _ = checked(labels, logits)
    z, rows = np.asarray(logits, dtype=np.float64), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -log_softmax(z / np.exp(log_temperature), axis=1)[rows, labels].mean()

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.01), np.log(100))).x))
