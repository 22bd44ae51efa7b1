"""Known right and wrong answers to the exercises of lesson evaluate, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- evaluate.1
def f1_loop(labels, predictions, n_classes):
    total = 0
    for k in range(n_classes):
        tp = sum(1 for y, p in zip(labels, predictions, strict=True) if y == p == k)
        called, true = sum(p == k for p in predictions), sum(y == k for y in labels)
        if tp:
            precision, recall = tp / called, tp / true
            total += 2 * precision * recall / (precision + recall)
    return total / n_classes


def f1_library(labels, predictions, n_classes):
    from sklearn import metrics

    return metrics.f1_score(labels, predictions, average="macro", labels=range(n_classes), zero_division=0)


def f1_by_matrix(labels, predictions, n_classes):
    truth, called = np.eye(n_classes)[labels], np.eye(n_classes)[predictions]
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(2 * (truth * called).sum(0) / (truth.sum(0) + called.sum(0))).mean()


def rates(labels, predictions, n_classes):
    table = np.zeros((n_classes, n_classes))
    np.add.at(table, (labels, predictions), 1)
    hits = table.diagonal()
    return hits / np.maximum(table.sum(0), 1), hits / np.maximum(table.sum(1), 1), table.sum(1)


def harmonic(p, r):
    return 2 * p * r / (p + r) if p + r else 0.0


def f1_of_means(labels, predictions, n_classes):
    p, r, _ = rates(labels, predictions, n_classes)
    return harmonic(p.mean(), r.mean())


def f1_weighted(labels, predictions, n_classes):
    p, r, true = rates(labels, predictions, n_classes)
    return sum(harmonic(a, b) * t for a, b, t in zip(p, r, true, strict=True)) / true.sum()


def f1_each(labels, predictions, n_classes):
    p, r, _ = rates(labels, predictions, n_classes)
    return np.array([harmonic(a, b) for a, b in zip(p, r, strict=True)])


def f1_nan(mean):
    def score(labels, predictions, n_classes):
        k = np.arange(n_classes)[:, None]
        hits = ((labels == k) & (predictions == k)).sum(1)
        p, r = hits / (predictions == k).sum(1), hits / (labels == k).sum(1)
        return mean(2 * p * r / (p + r))

    return score


# ---------------------------------------------------------------- evaluate.2
def bins_of(labels, probabilities, bins, confidence=None):
    """(samples, accuracy, confidence) of each bin that is not empty."""
    confidence = probabilities.max(1) if confidence is None else confidence
    right = probabilities.argmax(1) == labels
    edges = np.linspace(0, 1, bins + 1)
    inside = [(confidence > a) & (confidence <= b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return [(m.sum(), right[m].mean(), confidence[m].mean()) for m in inside if m.any()]


def ece_masks(labels, probabilities, bins):
    return sum(n * abs(a - c) for n, a, c in bins_of(labels, probabilities, bins)) / len(labels)


def ece_sums(labels, probabilities, bins, number=np.ceil):
    confidence = probabilities.max(1)
    where = number(confidence * bins).astype(int)
    gap = np.bincount(where, (probabilities.argmax(1) == labels) - confidence)
    return np.abs(gap).sum() / len(labels)


def ece_loop(labels, probabilities, bins):
    total = [0.0] * bins
    for y, row in zip(labels.tolist(), probabilities.tolist(), strict=True):
        top, k = max(row), 0
        while top > (k + 1) / bins:
            k += 1
        total[k] += (row.index(top) == y) - top
    return sum(map(abs, total)) / len(labels)


def ece_digitize(labels, probabilities, bins):
    where = np.digitize(probabilities.max(1), np.linspace(0, 1, bins + 1), right=True)
    return ece_sums(labels, probabilities, bins, lambda _: where)


def ece_empty(labels, probabilities, bins):
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    inside = [np.ceil(confidence * bins) == k for k in range(1, bins + 1)]
    return sum(m.mean() * abs(right[m].mean() - confidence[m].mean()) for m in inside)


# ---------------------------------------------------------------- evaluate.3
def by_library(labels, a, b):
    from scipy.stats import binomtest

    n_a, n_b = ((a == labels) & (b != labels)).sum(), ((a != labels) & (b == labels)).sum()
    p = binomtest(int(n_a), int(n_a + n_b)).pvalue if n_a + n_b else 1.0
    return n_a, n_b, p, "not shown" if p >= 0.05 else "B" if n_b > n_a else "A"


def by_counting(labels, a, b):
    won = [int(y == q) - int(y == p) for y, p, q in zip(labels, a, b, strict=True)]
    n_a, n_b = won.count(-1), won.count(1)
    row = [1]
    for _ in range(n_a + n_b):
        row = [1] + [x + y for x, y in zip(row, row[1:], strict=False)] + [1]
    p = min(1, 2 * sum(row[: min(n_a, n_b) + 1]) / sum(row))
    if p < 0.05:
        return [n_a, n_b, p, "A" if n_a > n_b else "B"]
    return [n_a, n_b, p, "not shown"]


def but(p=None, verdict=None):
    """The right answer with the p-value or the verdict replaced, by functions of its parts."""

    def compare(labels, a, b):
        n_a, n_b, value, told = by_counting(labels, a, b)
        if p:
            value = p(n_a, n_b, value)
            told = "not shown" if value >= 0.05 else "B" if n_b > n_a else "A"
        return n_a, n_b, value, verdict(n_a, n_b, value) if verdict else told

    return compare


def tail(n, k):
    from scipy.stats import binomtest

    return binomtest(k, n, alternative="less").pvalue if n else 1.0


def exactly(n_a, n_b, _):
    from scipy.stats import binom

    return min(1, 2 * binom.pmf(min(n_a, n_b), n_a + n_b, 0.5))


def all_right(labels, a, b):
    return int((a == labels).sum()), int((b == labels).sum()), *by_counting(labels, a, b)[2:]


ANSWERS = {
    "evaluate.1": Answers(
        right=[f1_loop, f1_library, f1_by_matrix],
        wrong=[
            (lambda y, p, n: (y == p).mean(), "also the micro F1"),
            (f1_weighted, "how often it is true"),
            (f1_of_means, "then took one F1"),
            (f1_each, "The macro average is their mean"),
            (lambda y, p, n: rates(y, p, n)[0].mean(), "mean precision"),
            (lambda y, p, n: (rates(y, p, n)[0] + rates(y, p, n)[1]).mean() / 2, "harmonic"),
            (lambda y, p, n: rates(y, p, n)[1].mean(), "mean recall"),
            (lambda y, p, n: f1_loop(y, p, n) / 2, "with the 2"),
            (f1_nan(np.mean), "gives 0/0"),
            (f1_nan(np.nanmean), "left out the classes"),
            (lambda y, p, n: f1_loop(y, p, n) * n / len(set(y.tolist())), "classes that occur only"),
        ],
    ),
    "evaluate.2": Answers(
        right=[ece_masks, ece_sums, ece_loop, ece_digitize],
        wrong=[
            (lambda y, p, n: np.mean([abs(a - c) for _, a, c in bins_of(y, p, n)]), "plain mean over bins"),
            (lambda y, p, n: sum(k * (a - c) for k, a, c in bins_of(y, p, n)) / len(y), "opposite sign cancel"),
            (lambda y, p, n: abs((p.argmax(1) == y).mean() - p.max(1).mean()), "as if there were a single bin"),
            (lambda y, p, n: max(abs(a - c) for _, a, c in bins_of(y, p, n)), "maximum"),
            (
                lambda y, p, n: sum(k * abs(a - c) for k, a, c in bins_of(y, p, n, p[np.arange(len(y)), y])) / len(y),
                "probability of the true class",
            ),
            (lambda y, p, n: ece_sums(y, p, n, np.floor), "lies on an edge"),
            (ece_empty, "mean of an empty bin"),
            (lambda y, p, n: ece_masks(y, p, n) / len(bins_of(y, p, n)), "weighted already"),
        ],
    ),
    "evaluate.3": Answers(
        right=[by_library, by_counting],
        wrong=[
            (lambda y, a, b: by_counting(y, b, a), "counts are swapped"),
            (all_right, "counted all that is right"),
            (but(p=lambda i, j, p: tail(i + j, min(i, j))), "one side only"),
            (but(p=lambda i, j, p: 2 * tail(i + j, min(i, j))), "exceeds 1"),
            (but(p=lambda i, j, p: min(1, 2 * tail(i + j, max(i, j)))), "stop at the *smaller* count"),
            (but(p=exactly), "exactly this outcome"),
            (but(p=lambda i, j, p: min(1, 2 * tail(i + j, min(i, j) - 1)) if min(i, j) else 0.0), "one short"),
            (but(p=lambda i, j, p: p if i + j < 63 else 1.0), "plain `int`"),
            (but(verdict=lambda i, j, p: "not shown" if p < 0.05 else "B" if j > i else "A"), "wrong way round"),
            (but(verdict=lambda i, j, p: "not shown" if p >= 0.05 else "A" if j > i else "B"), "name the loser"),
            (but(verdict=lambda i, j, p: "not shown" if p >= 0.1 else "B" if j > i else "A"), "asks for p < 0.1."),
            (but(verdict=lambda i, j, p: "not shown" if p >= 0.01 else "B" if j > i else "A"), "asks for p < 0.01."),
            (but(verdict=lambda i, j, p: "B" if j > i else "A" if i > j else "not shown"), "whoever is ahead"),
            (but(verdict=lambda i, j, p: "B" if p < 0.05 and j > i else "not shown"), "sure loss of B"),
            (lambda y, a, b: by_counting(y, a, b)[:3], "should be 4 values"),
        ],
    ),
}
