"""Three exercises on evaluation: macro F1, calibration error, and whether B beats A."""

from math import comb, erfc, sqrt

import numpy as np

from mmcourse.exercise import (
    between,
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
    promise="Three short tasks: a score that sees every class, promises kept, and a fair comparison.",
    setup="""
from math import comb

import numpy as np

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
