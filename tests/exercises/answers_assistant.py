"""Known right and wrong answers to the exercises of lesson assistant, as learners write them."""

import re

import numpy as np
from exercise_harness import Answers

from mmcourse.evaluate.words import edit_distance


# ---------------------------------------------------------------- assistant.1
def rates(
    clean=lambda t: re.sub(r"[.,!?]", "", t.lower()),
    distance=edit_distance,
    total=lambda e, n, m: sum(e) / sum(n),
    swap=False,
):
    """A right answer with places to go wrong."""

    def answer(references, hypotheses):
        pairs = [(clean(a).split(), clean(b).split()) for a, b in zip(references, hypotheses, strict=True)]
        errors = [distance(a, b) for a, b in pairs]
        found = total(errors, [len(a) for a, _ in pairs], [len(b) for _, b in pairs])
        share = sum(e != 0 for e in errors) / len(errors)
        return (share, found) if swap else (found, share)

    return answer


def without_insertions(said, heard):
    """The fewest errors if a word that nobody said costs nothing."""
    row = [0] * (len(heard) + 1)
    for i, word in enumerate(said, 1):
        above, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(above[j - 1] + (word != other), above[j] + 1, row[j - 1]))
    return row[-1]


def place_by_place(said, heard):
    """Words that differ at the same place, and what is longer."""
    longer = max(len(said), len(heard))
    return longer - sum(x == y for x, y in zip(said, heard, strict=False))


# ---------------------------------------------------------------- assistant.2
def by_price(limit=lambda w, r: 1 - r / w, score=lambda p: p.max(1), refused=lambda r: r, answered=None, mean=np.mean):
    """A right answer with places to go wrong."""

    def answer(p, wrong, refuse):
        said = [int(np.argmax(row)) for row in p]
        go = score(p) >= limit(wrong, refuse)
        price = (lambda row: wrong * (1 - row.max())) if answered is None else (lambda row: answered(row, wrong))
        costs = [price(row) if yes else refused(refuse) for row, yes in zip(p, go, strict=True)]
        return np.array([s if yes else -1 for s, yes in zip(said, go, strict=True)]), mean(costs)

    return answer


# ---------------------------------------------------------------- assistant.3
def summed(
    weigh=lambda s: np.exp(s - np.logaddexp.reduce(s)), order=lambda s: np.argsort(s)[::-1], cut=True, log=False
):
    """A right answer with places to go wrong."""

    def answer(scores, given, number):
        places = order(scores)[: number if cut else None]
        weights = weigh(scores[places])
        if log:
            p = np.exp((weights[:, None] * np.log(given[places])).sum(0))
            return p / p.sum()
        return (weights[:, None] * given[places]).sum(0)

    return answer


ANSWERS = {
    "assistant.1": Answers(
        right=[rates(), lambda r, h: np.array(rates()(r, h))],
        wrong=[
            (rates(clean=lambda t: re.sub(r"[.,!?]", "", t)), "case"),
            (rates(clean=str.lower), "marks"),
            (rates(total=lambda e, n, m: np.mean([a / b for a, b in zip(e, n, strict=True)])), "mean over sentences"),
            (rates(distance=without_insertions), "Insertions"),
            (rates(distance=place_by_place), "cheapest alignment"),
            (rates(total=lambda e, n, m: sum(e) / sum(m)), "number of words that were said"),
            (rates(total=lambda e, n, m: min(1, sum(e) / sum(n))), "above 1"),
        ],
    ),
    "assistant.2": Answers(
        right=[by_price(), lambda *a: [np.asarray(x) for x in by_price()(*a)]],
        wrong=[
            (by_price(limit=lambda w, r: -1), "never refuses"),
            (by_price(limit=lambda w, r: 0.5), "0.5 whatever"),
            (by_price(score=lambda p: np.diff(np.sort(p, axis=1)[:, -2:], axis=1)[:, 0]), "margin"),
            (by_price(limit=lambda w, r: r / w), "refuse / wrong itself"),
            (by_price(limit=lambda w, r: 1 - r), "only where a wrong answer costs 1"),
            (by_price(refused=lambda r: 0), "cost nothing"),
            (
                lambda p, w, r: (by_price()(p, w, r)[0], np.mean(w - w * p.max(1))),
                "not what the answer would have cost",
            ),
            (by_price(answered=lambda row, w: 1 - row.max()), "times the probability"),
            (by_price(mean=np.sum), "not a sum"),
        ],
    ),
    "assistant.3": Answers(
        right=[summed(), lambda *a: list(summed()(*a))],
        wrong=[
            (lambda s, g, m: g[s.argmax()], "1-best only"),
            (summed(weigh=lambda s: np.ones(len(s)) / len(s)), "count alike"),
            (summed(weigh=lambda s: s / s.sum()), "The scores are logarithms"),
            (summed(weigh=np.exp), "sum to 1"),
            (summed(order=lambda s: np.argsort(s)), "not the best"),
            (summed(log=True), "averaged logs"),
            (summed(cut=False), "however many"),
        ],
    ),
}
