"""Known right and wrong answers to the exercises of lesson capstone, as learners write them."""

import math

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- capstone.1
def marked(
    leak=lambda a, b: bool(set(np.asarray(a).tolist()).intersection(np.asarray(b).tolist())),
    lowest=lambda acc, i: acc if math.isnan(i[0]) else i[0],
    missing=lambda i: bool(np.isnan(i[0])),
    alone=lambda b: math.isnan(b),
    chosen=lambda on: on == "test",
):
    """A right answer with places to go wrong."""

    def answer(train_people, test_people, accuracy, interval, ceiling, baseline, chosen_on):
        above = bool(lowest(accuracy, interval) > ceiling)
        return leak(train_people, test_people), above, missing(interval), alone(baseline), chosen(chosen_on)

    return answer


def same_places(a, b):
    return any(x == y for x, y in zip(a, b, strict=False))


# ---------------------------------------------------------------- capstone.2
def judged_gain(
    mean=lambda a, b: float(np.mean(b - a)),
    error=lambda a, b: float(np.std(b - a, ddof=1) / math.sqrt(len(a))),
    quantile=lambda t: t,
    real=lambda a, b, t, m, low, high: low > 0,
):
    """A right answer with places to go wrong."""

    def answer(first, second, t):
        m, half = mean(first, second), quantile(t) * error(first, second)
        return m, m - half, m + half, bool(real(first, second, t, m, m - half, m + half))

    return answer


def alone(x):
    return float(np.std(x, ddof=1) / math.sqrt(len(x)))


# ---------------------------------------------------------------- capstone.3
def card(
    overall=lambda e, n: e.sum() / n.sum(),
    sure=lambda r, half, mean: r - half > mean,
    enough=lambda n, least: n >= least,
    third=lambda e, r: r,
    extra=lambda r, mean: 1000 * (r - mean),
    order=lambda rows: sorted(rows, key=lambda row: row[4], reverse=True),
    swap=False,
):
    """A right answer with places to go wrong."""

    def answer(errors, counts, least):
        mean, rows = overall(errors, counts), []
        for i, j in np.ndindex(*errors.shape):
            n = int(counts[i, j])
            if n == 0 or not enough(n, least):
                continue
            r = errors[i, j] / n
            half = 1.96 * math.sqrt(r * (1 - r) / n)
            if sure(r, half, mean):
                place = (j, i) if swap else (i, j)
                rows.append((*place, third(errors[i, j], r), extra(r, mean), r))
        return np.array([row[:4] for row in order(rows)], float).reshape(-1, 4)

    return answer


ANSWERS = {
    "capstone.1": Answers(
        right=[marked(), marked(leak=lambda a, b: bool(np.isin(b, a).any()))],
        wrong=[
            (marked(leak=same_places), "at any place"),
            (marked(leak=lambda a, b: False), "in both sets"),
            (marked(lowest=lambda acc, i: acc), "by luck"),
            (marked(lowest=lambda acc, i: i[0]), "Without an interval"),
            (marked(lowest=lambda acc, i: acc if math.isnan(i[0]) else i[1]), "The high end"),
            (marked(missing=lambda i: not np.isnan(i[0])), "no interval"),
            (marked(alone=lambda b: not math.isnan(b)), "is no baseline"),
            (marked(alone=lambda b: b == math.nan), "not even itself"),
            (marked(chosen=lambda on: on != "validation"), "chosen on the test"),
        ],
    ),
    "capstone.2": Answers(
        right=[judged_gain(), lambda *a: [np.float64(x) for x in judged_gain()(*a)[:3]] + [judged_gain()(*a)[3]]],
        wrong=[
            (judged_gain(mean=lambda a, b: max(b) - max(a)), "best seeds"),
            (judged_gain(mean=lambda a, b: b[0] - a[0]), "one seed"),
            (judged_gain(mean=lambda a, b: float(np.mean(a - b))), "first minus second"),
            (judged_gain(error=lambda a, b: math.hypot(alone(a), alone(b))), "not paired"),
            (
                judged_gain(real=lambda a, b, t, *_: b.mean() - t * alone(b) > a.mean() + t * alone(a)),
                "overlap",
            ),
            (judged_gain(quantile=lambda t: 1.96), "1.96"),
            (judged_gain(error=lambda a, b: np.std(b - a) / math.sqrt(len(a))), "ddof=1"),
            (judged_gain(error=lambda a, b: np.std(b - a, ddof=1)), "by √n"),
            (judged_gain(real=lambda a, b, t, m, low, high: m > 0), "A positive mean"),
            (judged_gain(real=lambda a, b, t, m, low, high: low * high > 0), "A loss"),
        ],
    ),
    "capstone.3": Answers(
        right=[card(), lambda *a: np.asfortranarray(card()(*a))],
        wrong=[
            (card(overall=lambda e, n: (e / np.maximum(n, 1)).mean()), "mean of the rates"),
            (card(sure=lambda r, half, mean: r > mean), "every cell above"),
            (card(sure=lambda r, half, mean: r + half > mean), "may be worse"),
            (card(enough=lambda n, least: True), "few answers"),
            (card(enough=lambda n, least: n > least), "exactly `least`"),
            (card(third=lambda e, r: e), "The third column"),
            (card(extra=lambda r, mean: 1000 * r), "more than overall"),
            (card(order=lambda rows: rows), "highest rate"),
            (card(swap=True), "exchanged"),
        ],
        skip={"list": "a list of no limits does not say that it has four columns"},
    ),
}
