"""Scores of a rare class, and what to do about them: ROC, precision and recall, costs, net benefit, groups.

Every function takes `weights`, how much each sample counts. With a table's cells as samples and their probabilities as
weights, the result is exact; with a test set and no weights, it is the usual estimate, equal to scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def _checked(labels: Any, scores: Any, weights: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels 0 or 1 as int64, scores and weights as float64, all (n,)."""
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if labels.ndim != 1 or scores.shape != labels.shape or not labels.size:
        raise ValueError(
            f"labels and scores: expected shapes (n,) and (n,) with n > 0, got {labels.shape} and {scores.shape}; "
            "of (n, 2) probabilities take the column of class 1"
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels: expected 0 (no) and 1 (yes), got {np.unique(labels)[:5].tolist()}")
    if np.isnan(scores).any():
        raise ValueError("scores: there is a NaN among them; did the training diverge?")
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != labels.shape or weights.min() < 0 or not weights.sum() > 0:
        raise ValueError(f"weights: expected shape {labels.shape}, none below 0 and some above; got {weights.shape}")
    return labels.astype(np.int64), scores, weights


def _probabilities(labels: Any, p: Any, weights: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, p, weights = _checked(labels, p, weights)
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"probabilities: expected 0 to 1, got {p.min():.3g} to {p.max():.3g}; logits? apply a sigmoid")
    return labels, p, weights


def _both_classes(labels: np.ndarray, weights: np.ndarray) -> None:
    if not weights[labels == 1].sum() > 0 or not weights[labels == 0].sum() > 0:
        raise ValueError("labels: expected at least one 0 and one 1; with a single class there is nothing to rank")


def _counts(labels: Any, scores: Any, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits and false alarms if all with a score ≥ `thresholds` are called: (k,) each, for k different scores."""
    order = np.argsort(-scores, kind="stable")
    labels, scores, weights = labels[order], scores[order], weights[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # the last of equal scores
    hits = np.cumsum(weights * labels)[last]
    false_alarms = np.cumsum(weights * (1 - labels))[last]
    return hits, false_alarms, scores[last]


# ---------------------------------------------------------------- ranking
def roc(labels: Any, scores: Any, weights: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False-positive rate, true-positive rate and threshold, (k + 1,) each, from "nobody" (threshold ∞) to "everybody".

    Samples with equal scores are called together: one point, however they are ordered.
    """
    labels, scores, weights = _checked(labels, scores, weights)
    _both_classes(labels, weights)
    hits, false_alarms, thresholds = _counts(labels, scores, weights)
    fpr = np.append(0.0, false_alarms / false_alarms[-1])
    return fpr, np.append(0.0, hits / hits[-1]), np.append(np.inf, thresholds)


def auc(labels: Any, scores: Any, weights: Any = None) -> float:
    """Area under the ROC curve: how often an ill one outscores a healthy one, ties half (Hanley & McNeil 1982)."""
    fpr, tpr, _ = roc(labels, scores, weights)
    return float((np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2).sum())


def precision_recall(labels: Any, scores: Any, weights: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and threshold, (k,) each, from the highest score to the lowest."""
    labels, scores, weights = _checked(labels, scores, weights)
    _both_classes(labels, weights)
    hits, false_alarms, thresholds = _counts(labels, scores, weights)
    called = hits + false_alarms
    return hits / np.where(called > 0, called, 1), hits / hits[-1], thresholds


def average_precision(labels: Any, scores: Any, weights: Any = None) -> float:
    """Σ (recall_k − recall_{k−1}) · precision_k; a guess has the prevalence.

    No trapezoids: between two points, precision does not follow a straight line (Davis & Goadrich 2006).
    """
    precision, recall, _ = precision_recall(labels, scores, weights)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


# ---------------------------------------------------------------- probabilities
def brier_score(labels: Any, probabilities: Any, weights: Any = None) -> float:
    """Mean (p − y)² of one class, 0 to 1: half of `brier`, which sums over both classes."""
    labels, p, weights = _probabilities(labels, probabilities, weights)
    return float((weights * (p - labels) ** 2).sum() / weights.sum())


def brier_parts(
    labels: Any, probabilities: Any, weights: Any = None, bins: int | None = None
) -> tuple[float, float, float]:
    """Reliability, resolution, uncertainty: the Brier score is the first − the second + the third (Murphy 1973).

    Reliability: how far forecasts are from what then happens (0 is best). Resolution: how far what happens, given the
    forecast, is from the base rate (large is good). Uncertainty: of the base rate, π (1 − π), which no model changes.

    Parameters
    ----------
    bins : None: each different probability is a forecast of its own. A number: samples are put into so many equal
        bins and forecast the bin's mean probability; the identity then holds for the Brier score of these forecasts.
    """
    labels, p, weights = _probabilities(labels, probabilities, weights)
    key = p if bins is None else np.minimum((p * bins).astype(int), bins - 1)
    _, which = np.unique(key, return_inverse=True)
    share = np.bincount(which, weights)
    with np.errstate(invalid="ignore"):
        forecast = np.bincount(which, weights * p) / share
        happened = np.bincount(which, weights * labels) / share
    share = share / weights.sum()
    rate = (weights * labels).sum() / weights.sum()
    reliability = np.nansum(share * (forecast - happened) ** 2)
    resolution = np.nansum(share * (happened - rate) ** 2)
    return float(reliability), float(resolution), float(rate * (1 - rate))


def prior_corrected(probabilities: Any, old: float, new: float) -> np.ndarray:
    """Probabilities where a share `new` is ill, of a model trained where `old` were: odds times new odds / old odds.

    Right only if the ill look the same in both places, and the healthy, too: p(x | y) has not changed (Elkan 2001;
    Saerens, Latinne and Decaestecker 2002).
    """
    p = np.asarray(probabilities, np.float64)
    for name, value in (("old", old), ("new", new)):
        if not 0 < value < 1:
            raise ValueError(f"{name}: expected a share between 0 and 1, got {value}")
    ill = p * (new / old)
    return ill / (ill + (1 - p) * ((1 - new) / (1 - old)))


# ---------------------------------------------------------------- decisions
def cost_threshold(false_alarm: float, miss: float) -> float:
    """Act if p is above c_FP / (c_FP + c_FN) (Elkan 2001): with a miss 19 times as costly, above 0.05."""
    if false_alarm < 0 or miss < 0 or false_alarm + miss <= 0:
        raise ValueError(f"costs: expected none below 0 and one above, got {false_alarm} and {miss}")
    return false_alarm / (false_alarm + miss)


def net_benefit(labels: Any, probabilities: Any, thresholds: Any, weights: Any = None) -> np.ndarray:
    """Hits − false alarms · t / (1 − t), per patient, if everybody with p ≥ t is treated (Vickers & Elkin 2006).

    Treating nobody has 0, treating everybody π − (1 − π) t / (1 − t). thresholds: float (k,), below 1. Returns (k,).
    """
    labels, p, weights = _probabilities(labels, probabilities, weights)
    thresholds = np.atleast_1d(np.asarray(thresholds, np.float64))
    if thresholds.min() < 0 or thresholds.max() >= 1:
        raise ValueError(f"thresholds: expected 0 ≤ t < 1, got {thresholds.min()} to {thresholds.max()}")
    treated = p[:, None] >= thresholds  # (n, k)
    share = weights / weights.sum()
    hits = (share * labels) @ treated
    false_alarms = (share * (1 - labels)) @ treated
    return hits - false_alarms * thresholds / (1 - thresholds)


# ---------------------------------------------------------------- groups and intervals
def wilson(hits: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share, hits of n (Wilson 1927), good for small n, too; (0, 1) for n = 0."""
    if n <= 0:
        return 0.0, 1.0
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def by_group(
    labels: Any, decisions: Any, groups: Any, weights: Any = None
) -> dict[Any, dict[str, tuple[float, float, float]]]:
    """Selection rate, TPR, FPR and PPV of each group: (value, low, high), with Wilson's 95 % interval.

    Parameters
    ----------
    decisions : 0 or 1 (n,), who is called; with `weights` also a share between, for a rule that tosses a coin
    groups : (n,) of anything
    weights : with weights there is no sample, and low = high = value

    Returns
    -------
    {group: {"n", "prevalence", "selected", "tpr", "fpr", "ppv"}}; NaN where nothing can be divided
    """
    labels, called, kept = _probabilities(labels, decisions, weights)
    groups = np.asarray(groups)
    if groups.shape != labels.shape:
        raise ValueError(f"groups: expected shape {labels.shape}, got {groups.shape}")
    if weights is None and not np.isin(called, (0, 1)).all():
        raise ValueError("decisions: expected 0 or 1; compare the probabilities with a threshold first")
    found = {}
    for group in np.unique(groups):
        w, y, d = (values[groups == group] for values in (kept, labels, called))

        def share(part: np.ndarray, of: np.ndarray) -> tuple[float, float, float]:
            hits, n = float(part.sum()), float(of.sum())
            value = hits / n if n > 0 else float("nan")
            low, high = wilson(hits, n) if weights is None else (value, value)
            return value, low, high

        found[group.item()] = {
            "n": (float(w.sum()),) * 3,
            "prevalence": share(w * y, w),
            "selected": share(w * d, w),
            "tpr": share(w * y * d, w * y),
            "fpr": share(w * (1 - y) * d, w * (1 - y)),
            "ppv": share(w * y * d, w * d),
        }
    return found


def group_bootstrap(
    statistic: Callable[..., float],
    groups: Any,
    *arrays: Any,
    seed: int,
    rounds: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval (low, high) of `statistic(*arrays)` if whole groups (patients, sites) are drawn anew with replacement.

    Samples of one patient are not independent; drawing single samples gives intervals that are too narrow. Draws
    without both classes are drawn again.
    """
    groups = np.asarray(groups)
    columns: Sequence[np.ndarray] = [np.asarray(a) for a in arrays]
    _, which = np.unique(groups, return_inverse=True)
    order = np.argsort(which, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(which[order])) + 1)
    rng = np.random.default_rng(seed)
    values: list[float] = []
    tries = 0
    while len(values) < rounds:
        tries += 1
        if tries > 10 * rounds:
            raise ValueError("groups: hardly any draw has both classes; there are too few groups for an interval")
        rows = np.concatenate([parts[k] for k in rng.integers(len(parts), size=len(parts))])
        try:
            values.append(float(statistic(*(column[rows] for column in columns))))
        except ValueError:
            continue
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
