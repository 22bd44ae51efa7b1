"""Checks of lesson evaluate: macro F1, calibration error, and whether B beats A."""

from __future__ import annotations

from math import comb

import numpy as np

from mmcourse.check import agree, exercise, rng


# ---------------------------------------------------------------- evaluate.1
def _counts(labels, predictions, n_classes):
    """Hits, how often called and how often true, (n_classes,) each."""
    hits = np.bincount(labels[labels == predictions], minlength=n_classes)
    return hits, np.bincount(predictions, minlength=n_classes), np.bincount(labels, minlength=n_classes)


def macro_f1(labels: np.ndarray, predictions: np.ndarray, n_classes: int) -> float:
    """Mean F1 over all classes; 0 for a class that is neither called nor true."""
    hits, called, true = _counts(labels, predictions, n_classes)
    return float((2 * hits / np.maximum(called + true, 1)).mean())


def _by_class(rule):
    """Mean over classes of a rule of precision and recall."""

    def score(labels, predictions, n_classes):
        hits, called, true = _counts(labels, predictions, n_classes)
        return rule(hits / np.maximum(called, 1), hits / np.maximum(true, 1), true)

    return score


def _f1(p, r):
    return 2 * p * r / np.where(p + r > 0, p + r, 1)


def _raw(labels, predictions, n_classes):
    hits, called, true = _counts(labels, predictions, n_classes)
    p, r = hits / called, hits / true
    return 2 * p * r / (p + r)


_F1_MISTAKES = [
    (
        lambda y, p, n: (y == p).mean(),
        "That is the accuracy, which is also the micro F1. Macro: the F1 of each class first, then their plain mean.",
    ),
    (
        _by_class(lambda p, r, t: _f1(p, r) @ t / t.sum()),
        "You weighed each class by how often it is true: that is the weighted F1. Macro counts every class alike.",
    ),
    (
        _by_class(lambda p, r, t: _f1(p.mean(), r.mean())),
        "You averaged precision and recall over classes, then took one F1. Take the F1 of each class, then the mean.",
    ),
    (
        _by_class(lambda p, r, t: p.mean()),
        "That is the mean precision. F1 needs the recall too: 2PR / (P + R) for each class.",
    ),
    (
        _by_class(lambda p, r, t: r.mean()),
        "That is the mean recall. F1 needs the precision too: 2PR / (P + R) for each class.",
    ),
    (
        _by_class(lambda p, r, t: _f1(p, r).mean() / 2),
        "Half of what it should be: F1 is 2PR / (P + R), with the 2.",
    ),
    (
        _by_class(lambda p, r, t: ((p + r) / 2).mean()),
        "You took the plain mean of precision and recall. F1 is the harmonic one: 2PR / (P + R).",
    ),
    (
        _by_class(lambda p, r, t: _f1(p, r)),
        "You have the F1 of each class. The macro average is their mean, one number.",
    ),
    (
        lambda y, p, n: float(np.mean(_raw(y, p, n))),
        "NaN: a class that is never called or never true gives 0/0. Count its F1 as 0.",
    ),
    (
        lambda y, p, n: float(np.nanmean(_raw(y, p, n))),
        "You left out the classes with 0/0, so a class that is never found costs nothing. Count its F1 as 0.",
    ),
    (
        lambda y, p, n: macro_f1(y, p, n) * n / len(np.unique(y)),
        "You averaged over the classes that occur only. All `n_classes` count, absent ones with 0.",
    ),
]


@exercise("evaluate.1", title="Macro F1 by hand", points=1, difficulty=1, minutes=8)
def check_macro_f1(answer):
    g, inputs = rng("12.1"), [(np.array([0, 0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 1, 2]), 3)]
    inputs.append((np.array([0, 1, 1, 1, 1, 2]), np.array([1, 1, 1, 1, 0, 1]), 3))
    inputs += [(*g.integers(0, k, (2, n)), k) for k, n in ((2, 9), (4, 40), (5, 12))]
    inputs.append((g.integers(0, 2, 20), g.integers(0, 3, 20), 4))  # class 3 never comes, class 2 is only called
    inputs.append((np.array([0, 0, 1]), np.array([1, 1, 0]), 2))
    agree(answer, macro_f1, inputs, mistakes=_F1_MISTAKES)
    return "Every class counts alike, also the one that nobody finds."


# ---------------------------------------------------------------- evaluate.2
def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> float:
    """Expected calibration error over equal bins of confidence."""
    return float(_gap(labels, probabilities, bins, _expected))


def _expected(gap, share):
    return (np.abs(gap) * share).sum()


def _gap(labels, p, bins, rule, confidence=None, number=np.ceil):
    """A rule of the gaps (accuracy minus confidence) and the shares of the bins that hold something."""
    confidence = p.max(axis=1) if confidence is None else confidence
    right = p.argmax(axis=1) == labels
    bin_of = number(confidence * bins)
    filled = [bin_of == k for k in np.unique(bin_of)]
    gaps = np.array([right[b].mean() - confidence[b].mean() for b in filled])
    return rule(gaps, np.array([b.mean() for b in filled]))


_ECE_MISTAKES = [
    (
        lambda y, p, n: _gap(y, p, n, lambda gap, share: np.abs(gap).mean()),
        "You took the plain mean over bins. Weigh each bin by the share of samples in it.",
    ),
    (
        lambda y, p, n: _gap(y, p, n, lambda gap, share: (np.abs(gap) * share).mean()),
        "The gaps are weighted already: add them up, do not divide by the number of bins again.",
    ),
    (
        lambda y, p, n: _gap(y, p, n, lambda gap, share: (gap * share).sum()),
        "Gaps of opposite sign cancel here. Take the absolute value in each bin, before you add up.",
    ),
    (
        lambda y, p, n: _gap(y, p, n, lambda gap, share: abs((gap * share).sum())),
        "That is one gap for everything, as if there were a single bin: over- and under-confidence cancel.",
    ),
    (
        lambda y, p, n: _gap(y, p, n, lambda gap, share: np.abs(gap).max()),
        "That is the largest gap, the *maximum* calibration error. Expected: the mean, weighted by share.",
    ),
    (
        lambda y, p, n: _gap(y, p, n, _expected, p[np.arange(len(y)), y], lambda x: np.clip(np.ceil(x), 1, n)),
        "You took the probability of the true class. Confidence is the *largest* probability, right or wrong.",
    ),
    (
        lambda y, p, n: _gap(y, p, n, _expected, number=np.floor),
        "With four bins 0.75 lies on an edge and belongs to the bin *below* it: `np.ceil`, not `int` or `np.floor`.",
    ),
    (
        lambda y, p, n: _gap(y, p, n, lambda gap, share: np.nan),
        "NaN: the mean of an empty bin is 0/0. Leave out the bins that hold nothing.",
    ),
]
_ON_EDGES = np.array([0.75, 0.8125, 0.625, 0.75, 0.875, 0.9375])  # with four or eight bins; exact in binary


@exercise("evaluate.2", title="Does it keep its promises?", points=2, difficulty=2, minutes=10)
def check_calibration_error(answer):
    g = rng("12.2")
    five = np.array([0.95, 0.85, 0.7, 0.66, 0.58])
    inputs = [(np.array([0, 1, 0, 0, 1]), np.stack([five, 1 - five], axis=1), 4)]
    for n, classes, bins in ((40, 3, 10), (25, 2, 5), (60, 5, 7), (1, 3, 10)):
        p = g.dirichlet(np.full(classes, 0.6), n)
        inputs.append((g.integers(0, classes, n), p, bins))
    inputs.append((np.array([0, 1, 0, 1, 0, 1]), np.stack([_ON_EDGES, 1 - _ON_EDGES], axis=1), 4))
    agree(answer, calibration_error, inputs, mistakes=_ECE_MISTAKES)
    return "Zero would mean: of all answers given with 80 % confidence, 80 % are right."


# ---------------------------------------------------------------- evaluate.3
def compare(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[int, int, float, str]:
    """Only A right, only B right, exact two-sided p-value, and "A", "B" or "not shown" at 0.05."""
    return _compared(labels, a, b)


def _tail(n_a, n_b, upto, both=2.0):
    n = n_a + n_b
    return both * sum(comb(n, k) for k in range(upto + 1)) / 2**n


def _exact(n_a, n_b):
    return min(1.0, _tail(n_a, n_b, min(n_a, n_b)))


def _compared(labels, a, b, p_value=_exact, level=0.05, verdict=None):
    """The right report, with one part replaced for each mistake that is known."""
    n_a, n_b = int(((a == labels) & (b != labels)).sum()), int(((b == labels) & (a != labels)).sum())
    p = p_value(n_a, n_b)
    better = "B" if n_b > n_a else "A"
    told = (better if p < level else "not shown") if verdict is None else verdict(n_a, n_b, p)
    return n_a, n_b, float(p), told


_COMPARE_MISTAKES = [
    (
        lambda y, a, b: _compared(y, b, a),
        "Your counts are swapped: first come the samples where only A is right, then those where only B is.",
    ),
    (
        lambda y, a, b: (int((a == y).sum()), int((b == y).sum()), *compare(y, a, b)[2:]),
        "You counted all that is right. Count where exactly one of the two is right: A right and B wrong.",
    ),
    (
        lambda y, a, b: _compared(y, a, b, lambda i, j: min(1.0, _tail(i, j, min(i, j) - 1))),
        "Your sum stops one short: `range(m)` ends at m - 1, so take `range(min(n_a, n_b) + 1)`.",
    ),
    (
        lambda y, a, b: _compared(y, a, b, lambda i, j: 1.0 if i + j > 62 else _exact(i, j)),
        "NumPy's whole numbers end at 2**63: turn the counts into plain `int` before `2**n`.",
    ),
    (
        lambda y, a, b: _compared(y, a, b, lambda i, j: _tail(i, j, min(i, j), 1.0)),
        "Your p-value has one side only. B could as well have lost that clearly: times two.",
    ),
    (
        lambda y, a, b: _compared(y, a, b, lambda i, j: _tail(i, j, min(i, j))),
        "Your p-value exceeds 1 where the counts are equal: a probability ends at 1, take `min(1, ...)`.",
    ),
    (
        lambda y, a, b: _compared(y, a, b, lambda i, j: min(1, _tail(i, j, max(i, j)))),
        "Your p-value is 1 everywhere. Does the sum stop at the *smaller* count, and is it divided by `2**n`?",
    ),
    (
        lambda y, a, b: _compared(y, a, b, lambda i, j: min(1, 2 * comb(i + j, min(i, j)) / 2 ** (i + j))),
        "You took the chance of exactly this outcome. Add those of everything at least as uneven.",
    ),
    (
        lambda y, a, b: _compared(y, a, b, verdict=lambda i, j, p: "not shown" if p < 0.05 else "B" if j > i else "A"),
        "Your verdict is the wrong way round: a *small* p says that this is hardly luck.",
    ),
    (
        lambda y, a, b: _compared(y, a, b, verdict=lambda i, j, p: "not shown" if p >= 0.05 else "A" if j > i else "B"),
        "You name the loser: where only B is right more often, the verdict is B.",
    ),
    *[
        (
            lambda y, a, b, x=x: _compared(y, a, b, level=x),
            f"Your verdict asks for p < {x}. It should ask for p < 0.05.",
        )
        for x in (0.01, 0.1)
    ],
    (
        lambda y, a, b: _compared(y, a, b, verdict=lambda i, j, p: "B" if j > i else "A" if i > j else "not shown"),
        "You name whoever is ahead. A lead may be luck: it counts only if p is below 0.05.",
    ),
    (
        lambda y, a, b: _compared(y, a, b, verdict=lambda i, j, p: "B" if p < 0.05 and j > i else "not shown"),
        'A sure loss of B is a result too: where A is ahead and p is below 0.05 the verdict is "A".',
    ),
]


def _pair(only_a, only_b, both, neither, shuffle):
    """Labels and predictions of two models with these counts."""
    kinds = np.repeat([0, 1, 2, 3], [only_a, only_b, both, neither])
    kinds, labels = shuffle.permutation(kinds), shuffle.integers(0, 3, len(kinds))
    return labels, np.where(np.isin(kinds, (0, 2)), labels, 3), np.where(np.isin(kinds, (1, 2)), labels, 4)


_CASES = [(0, 8, 0, 0), (1, 3, 3, 1), (2, 11, 9, 3), (11, 2, 5, 5), (3, 10, 20, 4), (1, 9, 2, 2), (4, 15, 30, 9)]
_CASES += [(5, 5, 7, 2), (0, 0, 6, 2), (40, 80, 300, 60), (7, 9, 0, 0)]


@exercise("evaluate.3", title="Does B beat A?", points=3, difficulty=2, minutes=12)
def check_compare(answer):
    inputs = [_pair(*case, rng(f"12.3/{i}")) for i, case in enumerate(_CASES)]
    names = ("n_a", "n_b", "p", "verdict")
    agree(answer, compare, inputs, mistakes=_COMPARE_MISTAKES, names=names)
    return "Only the samples that tell them apart count, and a lead must be more than coins would give."
