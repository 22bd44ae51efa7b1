"""Macro F1, calibration error, whether B beats A, and a challenge; the evaluation loop is for PyTorch."""

from math import comb, erfc, sqrt

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    in_turn,
    lesson,
    paragraph,
    part,
    right,
    says,
)

lesson(
    "evaluate",
    promise="A score that sees every class, promises kept, a fair comparison, and an evaluation loop that is right to the last batch.",
    uses="NumPy; the fourth one PyTorch",
    setup="""
from math import comb

import numpy as np
import torch
from torch import nn

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def macro_f1(labels, predictions, n_classes):
    """Mean F1 over all classes; 0 where nothing can be divided."""
    f1 = []
    for k in range(n_classes):
        hits = ((labels == k) & (predictions == k)).sum()
        called_or_true = (labels == k).sum() + (predictions == k).sum()
        f1.append(2 * hits / called_or_true if called_or_true else 0.0)
    return np.mean(f1)


def counted(labels, predictions, n_classes):
    """Hits, how often called and how often true, (n_classes,) each."""
    k = np.arange(n_classes)[:, None]  # (n_classes, 1)
    is_called, is_true = predictions == k, labels == k  # (n_classes, n)
    return (is_called & is_true).sum(axis=1), is_called.sum(axis=1), is_true.sum(axis=1)


def by_class(rule):
    """A rule of precision, recall and how often each class is true."""

    def score(labels, predictions, n_classes):
        hits, called, true = counted(labels, predictions, n_classes)
        return rule(hits / np.maximum(called, 1), hits / np.maximum(true, 1), true)

    return score


def harmonic(p, r):
    return 2 * p * r / np.where(p + r > 0, p + r, 1)


def with_division_by_zero(mean, guarded=False):
    """F1 by the formula; with `guarded`, 0 where a class is never called or never true, but not where P + R is 0."""

    def score(labels, predictions, n_classes):
        hits, called, true = counted(labels, predictions, n_classes)
        p, r = hits / called, hits / true
        f1 = 2 * p * r / (p + r)
        return mean(np.where((called == 0) | (true == 0), 0, f1) if guarded else f1)

    return score


def draw_answers(g, classes, called, true, n=None):
    """True classes below `true` and answers below `called`, of `classes`."""
    n = g.integers(8, 40) if n is None else n
    return g.integers(0, true, n), g.integers(0, called, n), classes


def draw_without_hits(g):
    """A class that is called and is true, but never at once."""
    labels, predictions, _ = draw_answers(g, 4, 4, 4)
    predictions = np.where((labels == 2) & (predictions == 2), 0, predictions)
    return np.append(labels, [2, 0]), np.append(predictions, [1, 2]), 4


f1_score = exercise(
    "evaluate.1",
    macro_f1,
    title="Macro F1 by hand",
    points=1,
    difficulty=1,
    minutes=8,
    statement=[
        says(
            "For one class: **precision** $P$ is the share of what was *called* this class that is right,",
            mistake="That is the mean recall",
        ),
        says(
            "**recall** $R$ the share of what *is* this class that was found, and",
            mistake="That is the mean precision",
        ),
        says(r"$$F_1 = \frac{2PR}{P+R}$$", mistake="F1 is the harmonic one"),
        says("The macro average is the plain mean of $F_1$ over all classes.", mistake="You weighed each class"),
        says(
            "A class without a hit, because it is never called, never true, or always called wrongly, has $F_1 = 0$,",
            mistake="gives 0/0",
        ),
        says("and it still counts in the mean.", mistake="You left out the classes with 0/0"),
        example("""
labels = np.array([0, 0, 0, 0, 1, 2])
predictions = np.array([0, 0, 1, 1, 1, 2])
print("class 0: precision 2/2, recall 2/4, F1", round(2 * 1 * 0.5 / 1.5, 3))
"""),
        context(
            "Class 1 has $P = 1/3$, $R = 1$, $F_1 = 0.5$, class 2 has $F_1 = 1$. Macro: $(0.667 + 0.5 + 1)/3 = 0.722$."
        ),
        paragraph(),
        says(
            "**Write** `macro_f1(labels, predictions, n_classes)`. Both arrays are int `(n,)` with values from 0 to "
            "`n_classes - 1`.",
            mistake="classes that occur only",
        ),
        says("Return one number.", mistake="You have the F1 of each class"),
    ],
    hints=[
        "Loop over the classes. For class `k` count three things: hits (`labels` and `predictions` are both `k`), how "
        "often `k` was called, how often it is true.",
        r"$F_1 = 2 \cdot \text{hits} / (\text{called} + \text{true})$ is the same number and divides only once. If "
        "called + true is 0, append 0.",
    ],
    draw=draw_answers,
    parts=[
        part(
            "six samples",
            public_only=True,
            inputs=[
                (np.array([0, 0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 1, 2]), 3),
                (np.array([0, 1, 1, 1, 1, 2]), np.array([1, 1, 1, 1, 0, 1]), 3),
            ],
        ),
        part("two classes", classes=2, called=2, true=2),
        part("several classes", weight=2, classes=5, called=5, true=5),
        part("a class that is never called", classes=4, called=3, true=4),
        part("a class that is never true", classes=4, called=4, true=3),
        part("a class that never comes at all", classes=5, called=3, true=3),
        part("a class without a hit", draw=draw_without_hits),
    ],
    own={"classes": 3, "called": 3, "true": 3, "n": 10},
    own_says="Labels and predictions of your own",
    mistakes={
        "That is the accuracy, which is also the micro F1. Macro: the F1 of each class first, then their plain mean.": (
            lambda y, p, n: (y == p).mean()
        ),
        "You weighed each class by how often it is true: that is the weighted F1. Macro counts every class alike.": (
            by_class(lambda p, r, true: harmonic(p, r) @ true / true.sum())
        ),
        "You averaged precision and recall over classes, then took one F1. Take the F1 of each class, then the mean.": (
            by_class(lambda p, r, true: harmonic(p.mean(), r.mean()))
        ),
        "That is the mean precision. F1 needs the recall too: 2PR / (P + R) for each class.": (
            by_class(lambda p, r, true: p.mean())
        ),
        "That is the mean recall. F1 needs the precision too: 2PR / (P + R) for each class.": (
            by_class(lambda p, r, true: r.mean())
        ),
        "Half of what it should be: F1 is 2PR / (P + R), with the 2.": edit("2 * hits", "hits"),
        "You took the plain mean of precision and recall. F1 is the harmonic one: 2PR / (P + R).": (
            by_class(lambda p, r, true: ((p + r) / 2).mean())
        ),
        "You have the F1 of each class. The macro average is their mean, one number.": "return f1",
        "NaN: a class without a hit, called or not, gives 0/0. Count its F1 as 0.": [
            with_division_by_zero(np.mean),
            with_division_by_zero(np.mean, guarded=True),
        ],
        "You left out the classes with 0/0, so a class that is never found costs nothing. Count its F1 as 0.": [
            with_division_by_zero(np.nanmean),
            with_division_by_zero(np.nanmean, guarded=True),
        ],
        "You averaged over the classes that occur only. All `n_classes` count, absent ones with 0.": [
            lambda y, p, n: macro_f1(y, p, n) * n / len(np.unique(y)),
            lambda y, p, n: macro_f1(y, p, n) * n / len(np.union1d(y, p)),
        ],
    },
    praise="Every class counts alike, also the one that nobody finds.",
)


@right(f1_score)
def f1_from_rates(labels, predictions, n_classes):
    return by_class(lambda p, r, true: harmonic(p, r).mean())(labels, predictions, n_classes)


# ---------------------------------------------------------------- 2
def calibration_error(labels, probabilities, bins):
    """Expected calibration error over equal bins of confidence."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.ceil(confidence * bins)  # 1, 2, …, bins
    gaps, shares = [], []
    for k in np.unique(bin_of):
        inside = bin_of == k
        gaps.append(abs(correct[inside].mean() - confidence[inside].mean()))
        shares.append(inside.mean())
    return np.dot(gaps, shares)


def with_empty_bins(labels, probabilities, bins):
    """Every bin counts, also those that hold nothing: 0/0."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    inside = [np.ceil(confidence * bins) == k + 1 for k in range(bins)]
    return sum(m.mean() * abs(correct[m].mean() - confidence[m].mean()) for m in inside)


def with_bins_above_chance(labels, probabilities, bins):
    """Bins from the smallest confidence that there can be, 1 / classes, to 1."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(1 / probabilities.shape[1], 1, bins + 1)
    number = np.searchsorted(edges[1:-1], confidence, side="left")
    return np.abs(np.bincount(number, weights=correct - confidence)).sum() / len(labels)


def draw_forecasts(g, n, classes, sharp=0.6):
    return g.integers(0, classes, n), g.dirichlet(np.full(classes, sharp), n), int(g.integers(3, 13))


ON_EDGES = np.array([0.75, 0.8125, 0.625, 0.75, 0.875, 0.9375])  # with four or eight bins; exact in binary


def draw_on_edges(g):
    p = g.permutation(ON_EDGES)
    return g.integers(0, 2, len(p)), np.stack([p, 1 - p], axis=1), int(g.choice([4, 8]))


def draw_own_forecasts(g):
    sure = (2 * g.integers(255, 499, 5) + 1) / 1000  # never on the edge of a bin
    return g.integers(0, 2, 5), np.stack([sure, 1 - sure], axis=1).round(3), 4


def binary(*sure):
    return np.stack([np.array(sure), 1 - np.array(sure)], axis=1)


calibration = exercise(
    "evaluate.2",
    calibration_error,
    title="Does it keep its promises?",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        says(
            "**Confidence** is the largest probability of a row, and the answer is its class.",
            mistake="You took the probability of the true class",
        ),
        says(
            "Cut the range from 0 to 1 into `bins` equal bins (each open on the left, so that 0.75 belongs to the bin "
            "from 0.5 to 0.75 when there are four).",
            mistake="lies on an edge",
        ),
        context(
            "(No confidence is on an edge that is rounded in floats, such as 0.55, and no two classes tie for it.)"
        ),
        paragraph(),
        says("In every bin that holds samples,", mistake="mean of an empty bin"),
        says(
            "compare the share of right answers with the mean confidence, and add up:",
            mistake="the *maximum* calibration error",
        ),
        says(
            r"$$\text{ECE} = \sum_B \frac{|B|}{n}\,\big|\,\text{accuracy}(B) - \text{confidence}(B)\,\big|$$",
            mistake="You took the plain mean over bins",
        ),
        example("""
probabilities = np.array([[0.95, 0.05], [0.85, 0.15], [0.70, 0.30], [0.66, 0.34], [0.58, 0.42]])
labels = np.array([0, 1, 0, 0, 1])
print("right:", probabilities.argmax(axis=1) == labels)
"""),
        context(
            "With four bins two of them are filled. From 0.75 to 1: two samples, accuracy 0.5, confidence 0.9, gap 0.4. "
            r"From 0.5 to 0.75: three samples, accuracy 0.667, confidence 0.647, gap 0.02. So the answer is $\frac25 "
            r"\cdot 0.4 + \frac35 \cdot 0.02 = 0.172$."
        ),
        paragraph(),
        says("**Write** `calibration_error(labels, probabilities, bins)`;", mistake="the same number of bins"),
        says("labels int `(n,)`, probabilities `(n, classes)`.", mistake="the first two classes only"),
        says("Return one number.", ignored="return np.array(gaps) * shares"),
    ],
    hints=[
        "Make three arrays of shape `(n,)` first: confidence, whether it is right, and the number of the bin. Then loop "
        "over the bins that occur.",
        "`np.ceil(confidence * bins)` numbers the bins from 1. With `inside = bin_of == k`, the share $|B|/n$ is "
        "`inside.mean()`.",
    ],
    draw=draw_forecasts,
    parts=[
        part(
            "five samples",
            public_only=True,
            inputs=[(np.array([0, 1, 0, 0, 1]), binary(0.95, 0.85, 0.7, 0.66, 0.58), 4)],
        ),
        part("two classes", n=between(10, 40), classes=2),
        part("several classes", weight=2, n=between(20, 60), classes=between(3, 5)),
        part("few samples, many bins empty", n=between(2, 4), classes=3),
        part("one sample", n=1, classes=3),
        part("confidence on the edge of a bin", draw=draw_on_edges),
    ],
    own=draw_own_forecasts,
    own_says="Labels and probabilities of your own, four bins",
    mistakes={
        "You took the plain mean over bins. Weigh each bin by the share of samples in it.": "return np.mean(gaps)",
        "The gaps are weighted already: add them up, do not divide by the number of bins again.": (
            "return np.mean(np.array(gaps) * shares)"
        ),
        "Gaps of opposite sign cancel here. Take the absolute value in each bin, before you add up.": edit(
            "abs(correct", "(correct"
        ),
        "That is one gap for everything, as if there were a single bin: over- and under-confidence cancel.": (
            "return abs(correct.mean() - confidence.mean())"
        ),
        "That is the largest gap, the *maximum* calibration error. Expected: the mean, weighted by share.": (
            "return np.max(gaps)"
        ),
        "You took the probability of the true class. Confidence is the *largest* probability, right or wrong.": (
            "confidence = probabilities[np.arange(len(labels)), labels]"
        ),
        "With four bins 0.75 lies on an edge and belongs to the bin *below* it: `np.ceil`, not `int` or `np.floor`.": (
            edit("np.ceil", "np.floor")
        ),
        "NaN: the mean of an empty bin is 0/0. Leave out the bins that hold nothing.": with_empty_bins,
        "You looked at the first two classes only. There may be more: `max(axis=1)` and `argmax(axis=1)` of all columns.": [
            lambda labels, probabilities, bins: calibration_error(labels, probabilities[:, :2], bins),
            "correct = probabilities[:, :2].argmax(axis=1) == labels",
        ],
        "Your bins cover the range from 1 / classes to 1. They cover 0 to 1, also where no confidence can be.": (
            with_bins_above_chance
        ),
        "You always cut into the same number of bins. It is an argument: `bins`.": [
            edit("confidence * bins", f"confidence * {bins}") for bins in (4, 5, 10, 15)
        ],
    },
    praise="Zero would mean: of all answers given with 80 % confidence, 80 % are right.",
)


@right(calibration)
def by_sums(labels, probabilities, bins):
    confidence = probabilities.max(axis=1)
    number = np.ceil(confidence * bins).astype(int)
    surplus = np.bincount(number, (probabilities.argmax(axis=1) == labels) - confidence)
    return np.abs(surplus).sum() / len(labels)


# ---------------------------------------------------------------- 3
def compare(labels, a, b):
    """Return n_a, n_b, p and the verdict."""
    a_right, b_right = a == labels, b == labels
    n_a, n_b = int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())
    n = n_a + n_b
    p = min(1, 2 * sum(comb(n, k) for k in range(min(n_a, n_b) + 1)) / 2**n)
    better = "B" if n_b > n_a else "A"
    verdict = better if p < 0.05 else "not shown"
    return n_a, n_b, p, verdict


def draw_pair(g, only_a, only_b, both, neither):
    """Labels and predictions of two models with these counts."""
    kinds = np.repeat([0, 1, 2, 3], [only_a, only_b, both, neither])
    kinds, labels = g.permutation(kinds), g.integers(0, 3, len(kinds))
    return labels, np.where(np.isin(kinds, (0, 2)), labels, 3), np.where(np.isin(kinds, (1, 2)), labels, 4)


def draw_counts(g, counts):
    return draw_pair(g, *counts, *g.integers(0, 30, 2))


def draw_equal(g, only):
    return draw_counts(g, (only, only))


def chi_square(n_a, n_b, correction):
    """McNemar's approximate p-value, with or without the continuity correction."""
    distance = max(abs(n_a - n_b) - correction, 0)
    return erfc(sqrt(distance**2 / max(n_a + n_b, 1) / 2))


CASES = [(0, 8, 0, 0), (1, 3, 3, 1), (2, 11, 9, 3), (11, 2, 5, 5), (3, 10, 20, 4), (1, 9, 2, 2), (4, 15, 30, 9)]
CASES += [(5, 5, 7, 2), (0, 0, 6, 2), (40, 80, 300, 60), (7, 9, 0, 0)]
ELSE = dict(both=between(0, 29), neither=between(0, 29))

comparison = exercise(
    "evaluate.3",
    compare,
    title="Does B beat A?",
    points=3,
    difficulty=2,
    minutes=12,
    statement=[
        says(
            "Two models took the same test. Let $n_A$ be the number of samples where only A is right, $n_B$ where only "
            "B is.",
            mistake="You counted all that is right",
        ),
        context(
            "If neither were better, these $n = n_A + n_B$ samples would fall like fair coins. McNemar's exact p-value, "
            "two-sided, is"
        ),
        says(
            r"$$p = \min\Big(1,\; 2\sum_{k=0}^{\min(n_A,\, n_B)} \binom{n}{k}\, 2^{-n}\Big)$$",
            mistake="Your p-value has one side only",
        ),
        says(
            'The verdict is the name of the better model if $p < 0.05$, else `"not shown"`.',
            mistake="You name whoever is ahead",
        ),
        says(
            "(If $n$ is 0, nothing is shown, and the formula gives $p = 1$.)",
            ignored=edit("p = min(", "p = 0.0 if n == 0 else min("),
        ),
        example("""
print("n_A = 1, n_B = 3: p =", min(1, 2 * (comb(4, 0) + comb(4, 1)) / 2**4))
"""),
        context("Three to one is nothing: p = 0.625."),
        says(
            "**Write** `compare(labels, a, b)` with the true classes and both models' predictions, int `(n,)` each.",
            mistake="Your counts are swapped",
        ),
        says(
            'Return four values: `n_a`, `n_b`, `p`, and the verdict as text: `"A"`, `"B"` or `"not shown"`.',
            mistake="A sure loss of B",
        ),
    ],
    hints=[
        "`a_right & ~b_right` marks the samples where only A is right. Where both are right or both wrong, the pair "
        "tells nothing.",
        "`range(m)` ends at `m - 1`, so the sum needs `range(min(n_a, n_b) + 1)`. Turn the counts into plain `int` "
        "before `comb` and `2**n`.",
    ],
    draw=draw_pair,
    parts=[
        part(
            "eleven pairs",
            public_only=True,
            inputs=[draw_pair(np.random.default_rng(i), *case) for i, case in enumerate(CASES)],
        ),
        part("B clearly ahead", only_a=between(0, 3), only_b=between(12, 29), **ELSE),
        part("A clearly ahead", only_a=between(12, 29), only_b=between(0, 3), **ELSE),
        part("a lead that may be luck", weight=2, only_a=between(3, 6), only_b=between(3, 6), **ELSE),
        part("equal counts", draw=draw_equal, only=between(1, 6)),
        part("near the line of 0.05", draw=draw_counts, counts=in_turn((3, 12), (4, 12), (10, 2), (9, 2))),
        part("many samples", only_a=between(20, 29), only_b=between(60, 79), **ELSE),
        part("the same right answers", only_a=0, only_b=0, both=between(1, 19), neither=between(1, 19)),
    ],
    own=lambda g: tuple(g.integers(0, 2, (3, 12))),
    own_says="Labels and two models' predictions of your own",
    mistakes={
        "Your counts are swapped: first come the samples where only A is right, then those where only B is.": (
            lambda y, a, b: compare(y, b, a)
        ),
        "You counted all that is right. Count where exactly one of the two is right: A right and B wrong.": [
            "return int(a_right.sum()), int(b_right.sum()), p, verdict",
            "n_a, n_b = int(a_right.sum()), int(b_right.sum())",
        ],
        "You toss a coin for every sample. Only those where exactly one of the two is right can tell them apart: "
        "n = n_A + n_B.": "n = len(labels)",
        "Your sum stops one short: `range(m)` ends at m - 1, so take `range(min(n_a, n_b) + 1)`.": [
            edit("min(n_a, n_b) + 1", "min(n_a, n_b)"),
            edit("min(n_a, n_b) + 1", "max(min(n_a, n_b), int(n == 0))"),
        ],
        "You count the outcome itself only half: that is the mid-p value. McNemar's exact p-value counts it in full.": (
            "p = min(1, (2 * sum(comb(n, k) for k in range(min(n_a, n_b) + 1)) - comb(n, min(n_a, n_b))) / 2**n)"
        ),
        "That is McNemar's chi-square approximation, which is off where n is small. The exact p-value adds up `comb(n, k)`.": [
            "p = chi_square(n_a, n_b, correction=1)",
            "p = chi_square(n_a, n_b, correction=0)",
        ],
        "NumPy's whole numbers end at 2**63: turn the counts into plain `int` before `2**n`.": edit(
            "p = min(", "p = 1.0 if n > 62 else min("
        ),
        "Your p-value has one side only. B could as well have lost that clearly: times two.": edit("2 * sum", "sum"),
        "Your p-value exceeds 1 where the counts are equal: a probability ends at 1, take `min(1, ...)`.": (
            "p = 2 * sum(comb(n, k) for k in range(min(n_a, n_b) + 1)) / 2**n"
        ),
        "Your p-value is 1 everywhere. Does the sum stop at the *smaller* count, and is it divided by `2**n`?": edit(
            "range(min(", "range(max("
        ),
        "You took the chance of exactly this outcome. Add those of everything at least as uneven.": (
            "p = min(1, 2 * comb(n, min(n_a, n_b)) / 2**n)"
        ),
        "Your verdict is the wrong way round: a *small* p says that this is hardly luck.": (
            'verdict = "not shown" if p < 0.05 else better'
        ),
        "You name the loser: where only B is right more often, the verdict is B.": (
            'better = "A" if n_b > n_a else "B"'
        ),
        "Your verdict asks for p < 0.01. It should ask for p < 0.05.": edit("0.05", "0.01"),
        "Your verdict asks for p < 0.1. It should ask for p < 0.05.": edit("0.05", "0.1"),
        "You name whoever is ahead. A lead may be luck: it counts only if p is below 0.05.": (
            'verdict = better if n_a != n_b else "not shown"'
        ),
        'A sure loss of B is a result too: where A is ahead and p is below 0.05 the verdict is "A".': (
            'better = "B" if n_b > n_a else "not shown"'
        ),
        "You name B wherever a difference is shown. Name the one that is ahead: A where n_A is larger.": 'better = "B"',
    },
    praise="Only the samples that tell them apart count, and a lead must be more than coins would give.",
    names=("n_a", "n_b", "p", "verdict"),
)


@right(comparison)
def by_pascals_triangle(labels, a, b):
    n_a, n_b = (sum((x == labels) & (y != labels)).item() for x, y in ((a, b), (b, a)))
    row = [1]
    for _ in range(n_a + n_b):
        row = [x + y for x, y in zip([0, *row], [*row, 0], strict=True)]
    p = min(1.0, 2 * sum(row[: min(n_a, n_b) + 1]) / sum(row))
    return n_a, n_b, p, "not shown" if p >= 0.05 else "A" if n_a > n_b else "B"


# ---------------------------------------------------------------- an open challenge
NUM_LABELED, NUM_TEST = 1500, 3000
STRETCH = np.array([1.6, 3.0, 6.0, 0.6])  # what each microphone does to the logits
SHIFT = 0.9  # spread of what it adds to them


def draw_messages(g, n, shift):
    """n messages: logits (n, 3) as a spoiled model gives them, which microphone (n,), and labels (n,)."""
    microphone = g.integers(0, 4, n)
    logits = g.normal(0, 1.8, (n, 3)) + [0.4, 0.0, -0.4]  # these are calibrated
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (g.random((n, 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    spoiled = STRETCH[microphone][:, None] * (logits + shift[microphone])
    return spoiled.round(3), microphone, labels


def draw_microphone_challenge(g):
    """Labeled messages, and messages whose labels stay hidden, from the same four microphones."""
    shift = g.normal(0, 1, (4, 3))
    shift = shift - shift.mean(axis=1, keepdims=True)
    shift = SHIFT * shift / shift.std(axis=1, keepdims=True)
    labeled, labeled_microphone, labels = draw_messages(g, NUM_LABELED, shift)
    logits, microphone, hidden = draw_messages(g, NUM_TEST, shift)
    inputs = {
        "labeled_logits": labeled,
        "labeled_microphone": labeled_microphone,
        "labels": labels,
        "logits": logits,
        "microphone": microphone,
    }
    return Drawn(inputs, hidden)


def mean_probability_of_truth(handed_in, inputs, labels):
    """exp(−log loss): the geometric mean of the probabilities that were given to the hidden labels."""
    p = np.clip(handed_in["probabilities"], 1e-6, 1e6)
    p = p / p.sum(axis=1, keepdims=True)
    return np.exp(np.log(p[np.arange(len(labels)), labels]).mean())


challenge(
    "evaluate.challenge",
    title="Four microphones",
    statement=[
        "A model gives three logits for each message. Four microphones were used, and each spoils the logits in its own way:",
        "most make the model too sure, one too unsure, and each prefers some classes. `labeled_logits` (1500, 3) come with",
        "`labeled_microphone` (0 to 3) and `labels`; `logits` (3000, 3) come with `microphone`, and their labels are hidden. Hand",
        "in probabilities (3000, 3) for the second set. The score is exp(−log loss), which is the geometric mean of the",
        "probabilities that you gave to the true classes; higher is better. (Numbers below 0.000001 count as that, and each row",
        "is divided by its sum.) On the draw below, the softmax of the logits as they are reaches 0.19, the shares of the",
        "classes 0.34, and one temperature for all 0.41. The best possible is about 0.52. What does one microphone need, and how",
        "many labels do you have for it? Judge your own way by cross-validation on the labeled messages before you hand in.",
    ],
    draw=draw_microphone_challenge,
    score=mean_probability_of_truth,
    hand_in={"probabilities": Array((NUM_TEST, 3), "float")},
    to_beat=0.38,
    points_by_score={0.38: 1, 0.44: 2, 0.505: 3},
    minutes=45,
    score_name="mean probability of the truth",
)


# ---------------------------------------------------------------- blanks of the lesson
def draw_blank_tables():
    g = np.random.default_rng(0)
    yield (np.array([[3, 1], [2, 6]]),)
    yield (np.array([[5, 0, 1], [2, 0, 2], [0, 0, 4]]),)  # the second class is never predicted
    yield (np.array([[0, 0], [3, 4]]),)  # the first class is never true
    yield (np.array([[4, 0, 1], [0, 0, 0], [2, 0, 3]]),)  # one class neither
    yield (g.integers(0, 20, (4, 4)),)


def _f1(p, r):
    return 2 * p * r / np.where(p + r > 0, p + r, 1)


def _with(precision=None, recall=None, f1=None):
    """The right answer with one score replaced by a function of (table, precision, recall)."""

    def wrong(table):
        p, r, f = class_scores(table)
        found = precision(table, p, r) if precision else p, recall(table, p, r) if recall else r
        return *found, f1(table, p, r) if f1 else f

    return wrong


def _swapped(table):
    p, r, f1 = class_scores(table)
    return r, p, f1


def _divided_by_zero(table):
    with np.errstate(all="ignore"):
        hits = table.diagonal()
        p, r = hits / table.sum(axis=0), hits / table.sum(axis=1)
        return p, r, 2 * p * r / (p + r)


@blank(
    "evaluate.blank.1",
    title="Precision, recall and F1 of every class",
    inputs=draw_blank_tables,
    mistakes=[
        (
            _swapped,
            "Precision and recall are exchanged: predictions are in columns, so precision divides by column sums.",
        ),
        (
            _divided_by_zero,
            "A class that is never predicted, or never true, gives 0/0: its score should be 0, so divide by "
            "`np.maximum(count, 1)`.",
        ),
        (_with(f1=lambda table, p, r: (p + r) / 2), "F1 is the harmonic mean, 2PR / (P + R), not the plain one."),
        (_with(f1=lambda table, p, r: _f1(p, r) / 2), "Half of what F1 should be: 2PR / (P + R), with the 2."),
        (
            lambda table: tuple(scores.mean() for scores in class_scores(table)),
            "You averaged over the classes. One number for each class, (k,), is wanted three times.",
        ),
        (
            _with(precision=lambda table, p, r: table.diagonal() / table.sum()),
            "Your precision divides by all samples. Divide by how often the class was predicted: the sum of its column.",
        ),
    ],
    names=("precision", "recall", "f1"),
)
def class_scores(table):
    hits = table.diagonal()
    predicted = table.sum(axis=0)
    true = table.sum(axis=1)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(true, 1)
    f1 = 2 * hits / np.maximum(predicted + true, 1)
    return precision, recall, f1


def draw_blank_scores():
    g = np.random.default_rng(1)
    yield np.array([0.9, 0.4, 0.6]), np.array([1, 0, 0])
    yield np.array([0.9, 0.8, 0.7, 0.3]), np.array([1, 0, 1, 0])
    yield np.array([0.5, 0.5, 0.2, 0.5]), np.array([1, 0, 0, 1])  # ties
    yield g.integers(0, 6, 30) / 5, g.integers(0, 2, 30)
    yield g.normal(size=25).round(3), (g.random(25) < 0.2).astype(int)


def _pairs(scores, truth, equal):
    a, b = scores[truth == 1][:, None], scores[truth == 0][None, :]
    return (a > b).mean() + equal * (a == b).mean()


@blank(
    "evaluate.blank.2",
    title="AUC by pairs",
    inputs=draw_blank_scores,
    mistakes=[
        (lambda scores, truth: _pairs(scores, truth, 0.0), "Ties count nothing in your version; each counts one half."),
        (lambda scores, truth: _pairs(scores, truth, 1.0), "Ties count in full in your version; each counts one half."),
        (
            lambda scores, truth: 1 - _pairs(scores, truth, 0.5),
            "This is the share of pairs in the wrong order: the positive should be the higher one.",
        ),
        (
            lambda scores, truth: np.mean((scores > 0.5) == (truth == 1)),
            "This is the accuracy at the threshold 0.5. AUC has no threshold: compare each positive with each negative.",
        ),
        (
            lambda scores, truth: _pairs(scores, truth, 0.5) * (truth == 1).sum() * (truth == 0).sum(),
            "This is the number of pairs. Divide by how many pairs there are, or take the mean.",
        ),
        (
            lambda scores, truth: (scores[:, None] > scores[None, :]).mean() + 0.5 * (scores[:, None] == scores).mean(),
            "You compared all with all. Only pairs of one positive and one negative count.",
        ),
    ],
    what="The AUC",
)
def auc_by_pairs(scores, truth):
    positive = scores[truth == 1]
    negative = scores[truth == 0]
    higher = positive[:, None] > negative[None, :]
    equal = positive[:, None] == negative[None, :]
    return higher.mean() + 0.5 * equal.mean()


def _wilson(p, n, z, middle=None, inside=None, divisor=None):
    middle = p + z**2 / (2 * n) if middle is None else middle
    inside = p * (1 - p) / n + z**2 / (4 * n**2) if inside is None else inside
    divisor = 1 + z**2 / n if divisor is None else divisor
    half = z * np.sqrt(inside)
    return (middle - half) / divisor, (middle + half) / divisor


@blank(
    "evaluate.blank.3",
    title="The Wilson interval",
    inputs=[(8, 10), (20, 20), (0, 12), (170, 200), (30, 60, 1.0), (9, 10, 2.58)],
    mistakes=[
        (
            lambda right, n, z=1.96: _wilson(right / n, n, z, right / n, right / n * (1 - right / n) / n, 1),
            "That is the school formula. Wilson's middle is moved, his root has a second term, and all is divided.",
        ),
        (
            lambda right, n, z=1.96: _wilson(right / n, n, z, divisor=1),
            "The divisor is missing: both ends are divided by 1 + z²/n.",
        ),
        (
            lambda right, n, z=1.96: _wilson(right / n, n, z, inside=right / n * (1 - right / n) / n),
            "The second term under the root is missing: z² / (4n²).",
        ),
        (
            lambda right, n, z=1.96: _wilson(right / n, n, z, middle=right / n),
            "The middle is p + z²/(2n), not p.",
        ),
        (
            lambda right, n, z=1.96: wilson(right, n),
            "The width is an argument: use `z`, not 1.96.",
        ),
        (
            lambda right, n, z=1.96: _wilson(right / n, n, z, inside=right / n * (1 - right / n) / n + z**2 / (4 * n)),
            "Under the root the second term is divided by n²: z² / (4n²).",
        ),
        (
            lambda right, n, z=1.96: tuple(reversed(wilson(right, n, z))),
            "The two ends are exchanged: the lower one comes first.",
        ),
    ],
    names=("low", "high"),
)
def wilson(right, n, z=1.96):
    p = right / n
    middle = p + z**2 / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    divisor = 1 + z**2 / n
    return (middle - half) / divisor, (middle + half) / divisor


def draw_blank_p_values():
    yield (np.array([0.03, 0.004, 0.3, 0.011]),)
    yield (np.array([0.02, 0.02, 0.02]),)
    yield (np.array([0.2, 0.011, 0.024]),)  # the third is below 0.05 / 2, the second is below 0.05 / 3
    yield (np.array([0.04, 0.02, 0.03, 0.01, 0.9]),)
    yield (np.array([0.04]),)
    yield np.array([0.06, 0.03, 0.2]), 0.1
    yield (np.array([0.0125, 0.4, 0.5, 0.6]),)  # exactly on the limit
    yield (np.array([0.03, 0.026, 0.024, 0.001]),)


@blank(
    "evaluate.blank.4",
    title="Holm's method",
    inputs=draw_blank_p_values,
    mistakes=[
        (
            lambda p, alpha=0.05: p <= alpha,
            "Each p-value is compared with alpha alone, as if there were only one test.",
        ),
        (
            lambda p, alpha=0.05: p <= alpha / len(p),
            "That is Bonferroni: the same limit for all. Holm's limits grow: alpha / m, alpha / (m − 1), …",
        ),
        (
            lambda p, alpha=0.05: p <= alpha / (len(p) - np.argsort(np.argsort(p))),
            "You go on after the first failure. The method stops there: all larger p-values fail too.",
        ),
        (
            lambda p, alpha=0.05: holm(np.sort(p), alpha),
            "Your answers are in sorted order. Put each back where its p-value was.",
        ),
        (lambda p, alpha=0.05: ~holm(p, alpha), "True and False are exchanged: True means shown, a small p-value."),
        (lambda p, alpha=0.05: holm(p), "The level is an argument: use `alpha`, not 0.05."),
        (
            lambda p, alpha=0.05: np.flatnonzero(holm(p, alpha)),
            "These are positions. One True or False for each p-value is wanted, in the order of the p-values.",
        ),
        (
            lambda p, alpha=0.05: holm(p, np.nextafter(alpha, 0) - 1e-12),
            "A p-value that equals its limit counts as shown: compare with <=, or stop at >.",
        ),
    ],
    what="The answer",
)
def holm(p_values, alpha=0.05):
    m = len(p_values)
    shown = np.zeros(m, dtype=bool)
    for place, i in enumerate(np.argsort(p_values)):
        if p_values[i] > alpha / (m - place):
            break
        shown[i] = True
    return shown


def draw_blank_logits():
    g = np.random.default_rng(2)
    yield np.array([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0]]), np.array([0, 1, 1]), np.array([0.5, 1.0, 5.0, 10.0])
    for scale, classes, n in ((4.0, 3, 60), (0.3, 3, 60), (1.0, 2, 40)):
        u = g.normal(0, 1.5, (n, classes))
        labels = (u + g.gumbel(size=u.shape)).argmax(axis=1)  # drawn from the softmax of u
        yield (scale * u).round(2), labels, np.array([0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 8.0])


def _softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _loss(z, labels):
    return -np.log(_softmax(z)[np.arange(len(labels)), labels]).mean()


def _chosen(loss):
    """The candidate with the least loss(logits, labels, T)."""
    return lambda logits, labels, candidates: candidates[np.argmin([loss(logits, labels, T) for T in candidates])]


@blank(
    "evaluate.blank.5",
    title="The best temperature",
    inputs=draw_blank_logits,
    mistakes=[
        (
            _chosen(lambda z, y, T: _loss(z * T, y)),
            "You multiplied the logits by T. Divide by it, so that T above 1 means less sure.",
        ),
        (
            _chosen(lambda z, y, T: -_loss(z / T, y)),
            "This is the candidate with the *largest* log loss. Is a minus sign missing?",
        ),
        (
            lambda z, y, c: min(_loss(z / T, y) for T in c),
            "This is the least log loss itself. The temperature that gives it is wanted.",
        ),
        (
            lambda z, y, c: int(np.argmin([_loss(z / T, y) for T in c])),
            "This is the position of the best candidate. Return the candidate: `candidates[...]`.",
        ),
        (
            _chosen(lambda z, y, T: -_softmax(z / T)[np.arange(len(y)), y].mean()),
            "You took the mean of the probabilities. Log loss is the mean of their *logarithms*, with a minus.",
        ),
        (
            _chosen(lambda z, y, T: -np.log(_softmax(z / T).max(axis=1)).mean()),
            "You took the largest probability of each row. Log loss looks at the one of the *true* class.",
        ),
    ],
    what="The temperature",
)
def best_temperature(logits, labels, candidates):
    losses = []
    for T in candidates:
        p = _softmax(logits / T)
        of_truth = p[np.arange(len(labels)), labels]
        losses.append(-np.log(of_truth).mean())
    return candidates[np.argmin(losses)]
