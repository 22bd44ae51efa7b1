"""Drift: what a monitor can see in inputs and answers, what it cannot, and how many labels it takes to see the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmcourse.datasets import mood
from mmcourse.datasets.mood import table

__all__ = ["STREAMS", "Stream", "accuracy", "bbse", "best_rule", "labels_needed", "mmd2", "power", "psi", "stream"]


# ---------------------------------------------------------------- distances of two distributions
def psi(reference: np.ndarray, live: np.ndarray, floor: float = 1e-4) -> float:
    """Population stability index Σ (q − p) ln(q / p) of two arrays of counts or shares; 0 where they are equal.

    A rule of thumb calls below 0.1 stable and above 0.25 a large change. Shares below `floor` are raised to it: a bin
    that was empty would make it infinite.
    """
    p, q = (np.asarray(x, float).ravel() / np.sum(x) for x in (reference, live))
    used = (p > 0) | (q > 0)
    p, q = np.maximum(p[used], floor), np.maximum(q[used], floor)
    return float(((q - p) * np.log(q / p)).sum())


def mmd2(x: np.ndarray, y: np.ndarray, width: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy of samples (n, d) and (m, d) with a Gaussian kernel (Gretton 2012).

    k(a, b) = exp(−‖a − b‖² / (2 width²)); by default width is the median distance of all pairs. It may be below 0.
    """
    both = np.concatenate([x, y]).astype(float)
    squared = np.square(both[:, None] - both[None]).sum(-1)
    if width is None:
        width = float(np.sqrt(np.median(squared[np.triu_indices(len(both), 1)]))) or 1.0
    k, n, m = np.exp(-squared / (2 * width**2)), len(x), len(y)
    within_x = (k[:n, :n].sum() - n) / (n * (n - 1))  # without the pairs of a sample and itself
    within_y = (k[n:, n:].sum() - m) / (m * (m - 1))
    return float(within_x + within_y - 2 * k[:n, n:].mean())


def bbse(confusion: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Weights q(y) / p(y) of a label shift, from predictions alone (Lipton 2018): solve C w = q̂.

    confusion : p(predicted i, label j) on labeled old data, (k, k), sums to 1
    predicted : share of each predicted class on new data, (k,)
    """
    weights = np.linalg.solve(np.asarray(confusion, float), np.asarray(predicted, float))
    return np.maximum(weights, 0)


# ---------------------------------------------------------------- how many labels
def power(n: int, alarm_at: int, accuracy: float) -> float:
    """Chance that at most `alarm_at` of n labeled answers are right: exact, binomial."""
    from scipy.stats import binom

    return float(binom.cdf(alarm_at, n, accuracy))


def labels_needed(good: float, bad: float, false_alarms: float = 0.05, wanted: float = 0.8) -> tuple[int, int]:
    """The fewest labels n, and the alarm limit, with at most this rate of false alarms and at least this power."""
    from scipy.stats import binom

    sizes = np.arange(1, 10_001)
    limits = binom.ppf(false_alarms, sizes, good)
    limits = np.where(
        binom.cdf(limits, sizes, good) <= false_alarms, limits, limits - 1
    )  # the largest within the budget
    found = np.flatnonzero((limits >= 0) & (binom.cdf(limits, sizes, bad) >= wanted))
    if len(found):
        return int(sizes[found[0]]), int(limits[found[0]])
    raise ValueError(f"more than 10,000 labels are needed to tell {good:.3f} from {bad:.3f}")


# ---------------------------------------------------------------- five streams with a known truth
@dataclass(frozen=True)
class Stream:
    """A live stream: `joint` p(label, face, voice, words), and how bright its pictures are, in standard deviations."""

    name: str
    joint: np.ndarray
    brightness: float = 0.0


def _joint(prior: np.ndarray = table.PRIOR, sarcastic: np.ndarray = table.SARCASTIC) -> np.ndarray:
    sincere = np.einsum("y,yf,yv,yw->yfvw", prior * (1 - sarcastic), table.FACE, table.VOICE, table.WORDS)
    smirked = np.einsum("y,f,yv,yw->yfvw", prior * sarcastic, table.SMIRK, table.VOICE, table.WORDS[::-1])
    return sincere + smirked


def _smirk_changes_meaning() -> np.ndarray:
    joint = mood.JOINT.copy()
    smirk = table.CUES["face"].index("smirk")
    joint[0, smirk], joint[2, smirk] = mood.JOINT[2, smirk], mood.JOINT[0, smirk]  # p(cues) is as before
    return joint


def _voice_dead() -> np.ndarray:
    joint = np.zeros_like(mood.JOINT)
    joint[:, :, 1] = mood.JOINT.sum(axis=2)  # every voice sounds neutral
    return joint


STREAMS = {
    "as before": Stream("as before", mood.JOINT),
    "A": Stream("A: brighter pictures", mood.JOINT, brightness=1.5),
    "B": Stream("B: label shift", _joint(prior=np.array([0.70, 0.15, 0.15]))),
    "C": Stream("C: sarcasm doubles", _joint(sarcastic=2 * table.SARCASTIC)),
    "D": Stream("D: a smirk changes its meaning", _smirk_changes_meaning()),
    "E": Stream("E: the voice channel is dead", _voice_dead()),
}


def best_rule(joint: np.ndarray = mood.JOINT) -> np.ndarray:
    """The label that is most probable for each combination of cues, int (4, 3, 3)."""
    return joint.argmax(axis=0)


def accuracy(joint: np.ndarray, rule: np.ndarray) -> float:
    """Exact accuracy of a rule on a stream."""
    return float(np.take_along_axis(joint, rule[None], axis=0).sum())


def stream(name: str, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """n messages of a stream as a monitor gets them: "face", "voice", "words" (cues) and "brightness"; and "label"."""
    chosen = STREAMS[name]
    cells = rng.choice(chosen.joint.size, size=n, p=chosen.joint.ravel() / chosen.joint.sum())
    indices = np.unravel_index(cells, chosen.joint.shape)
    drawn: dict[str, np.ndarray] = dict(zip(("label", *mood.MODALITIES), indices, strict=True))
    drawn["brightness"] = rng.normal(chosen.brightness, 1.0, n)
    return drawn
