"""Known right and wrong answers to the exercises of lesson tune, as learners write them."""

import math

import numpy as np
from exercise_harness import Answers
from scipy.stats import norm


# ---------------------------------------------------------------- tune.1
def honest(validation, test):
    means = [sum(row) / len(row) for row in validation.tolist()]
    k = means.index(max(means))
    reported = sum(test[k].tolist()) / test.shape[1]
    return k, reported, means[k] - reported


def honest_sorted(validation, test):
    k = np.argsort(-validation.mean(1), kind="stable")[0]
    return [k, np.mean(test[k]), np.mean(validation[k] - test[k])]


def changed(**parts):
    """The honest report with parts replaced by functions of (validation, test)."""

    def report(validation, test):
        k = parts["choose"](validation, test) if "choose" in parts else honest(validation, test)[0]
        reported = parts["report"](validation, test) if "report" in parts else test[k].mean()
        return k, reported, validation[k].mean() - reported

    return report


def one_run(validation, test, k):
    j = validation[k].argmax()
    return k, test[k, j], validation[k, j] - test[k, j]


# ---------------------------------------------------------------- tune.2
def believing(
    best=min,
    gain=lambda b, m: b - m,
    value=lambda u, s: u * norm.cdf(u / s) + s * norm.pdf(u / s),
    sure=lambda u: max(u, 0),
    seen=lambda found, tried: [0 if k in tried else v for k, v in enumerate(found)],
    pick=np.argmax,
):
    """A right answer with parts replaced."""

    def next_trial(mean, deviation, losses, tried):
        b = best(losses.tolist())
        found = [value(gain(b, m), s) if s else sure(gain(b, m)) for m, s in zip(mean, deviation, strict=True)]
        found = seen(found, set(tried.tolist()))
        return pick(found), np.array(found, dtype=float)

    return next_trial


def by_scipy_distribution(mean, deviation, losses, tried):
    b = losses.min()
    frozen = norm(mean, np.maximum(deviation, 1e-12))
    ei = (b - mean) * frozen.cdf(b) + np.maximum(deviation, 1e-12) ** 2 * frozen.pdf(b)
    ei[tried] = 0.0
    return int(np.argmax(ei)), ei


# ---------------------------------------------------------------- tune.3
def rounds(
    keep=lambda n, factor: math.ceil(n / factor),
    rank=lambda curves, k, t: (-curves[k, t - 1], k),
    grow=lambda t, first, factor: t * factor,
    price=lambda n, t, before: n * (t - before),
    last=lambda curves, left: max(left, key=lambda k: (curves[k, -1], -k)),
):
    """A right answer with parts replaced."""

    def halve(curves, first, factor):
        left, before, t, bill = list(range(len(curves))), 0, first, 0
        while True:
            bill += price(len(left), t, before)
            if t >= curves.shape[1]:
                return last(curves, left), bill
            left = sorted(left, key=lambda k: rank(curves, k, t))[: keep(len(left), factor)]
            before, t = t, min(grow(t, first, factor), curves.shape[1])

    return halve


def recursive(curves, first, factor):
    def go(numbers, before, t):
        cost = len(numbers) * (t - before)
        scores = curves[numbers, t - 1]
        if t == curves.shape[1]:
            return numbers[int(np.argmax(scores))], cost
        order = np.lexsort((numbers, -scores))[: -(-len(numbers) // factor)]
        winner, more = go(np.sort(numbers[order]), t, min(t * factor, curves.shape[1]))
        return winner, cost + more

    return go(np.arange(len(curves)), 0, first)


ANSWERS = {
    "tune.1": Answers(
        right=[honest, honest_sorted],
        wrong=[
            (changed(choose=lambda v, t: t.mean(1).argmax()), "chose by the test set"),
            (changed(report=lambda v, t: t.mean(1).max()), "best test accuracy of all settings"),
            (changed(choose=lambda v, t: v.max(1).argmax()), "luckiest seed"),
            (changed(report=lambda v, t: v.mean(1).max()), "report the validation accuracy"),
            (changed(choose=lambda v, t: v.mean(0).argmax()), "averaged over settings"),
            (changed(choose=lambda v, t: np.median(v, 1).argmax()), "the median over seeds"),
            (lambda v, t: one_run(v, t, v.max(1).argmax()), "one lucky run"),
            (lambda v, t: one_run(v, t, v.mean(1).argmax()), "one seed of the right setting"),
            (lambda v, t: (honest(v, t)[0] + 1, *honest(v, t)[1:]), "count from 1"),
            (lambda v, t: (*honest(v, t)[:2], -honest(v, t)[2]), "wrong sign"),
            (lambda v, t: honest(v, t)[:2], "should be 3 values"),
        ],
    ),
    "tune.2": Answers(
        right=[believing(), by_scipy_distribution],
        wrong=[
            (believing(gain=lambda b, m: m - b), "A loss improves downwards"),
            (believing(best=max), "lowest of the measured losses, not the highest"),
            (believing(best=np.mean), "not their mean"),
            (believing(best=lambda losses: losses[-1]), "not the last one"),
            (believing(seen=lambda found, tried: found), "already tried"),
            (believing(value=lambda u, s: u * norm.cdf(u / s)), "the part with the density"),
            (believing(value=lambda u, s: s * norm.pdf(u / s)), "the part with the gain"),
            (believing(value=lambda u, s: max(u, 0)), "ignore the deviation"),
            (believing(sure=lambda u: 0), "Where the deviation is 0 your improvement is 0"),
            (believing(sure=lambda u: u), "may be negative"),
            (believing(pick=np.argmin), "least improvement"),
            (believing(pick=lambda found: len(found) - 1 - np.argmax(found[::-1])), "Of equals"),
        ],
    ),
    "tune.3": Answers(
        right=[rounds(), recursive],
        wrong=[
            (rounds(keep=lambda n, f: max(1, n // f)), "You rounded down"),
            (rounds(keep=lambda n, f: math.ceil(n / 2)), "You always halve"),
            (rounds(rank=lambda c, k, t: (c[k, t - 1], k)), "the worst ones"),
            (rounds(rank=lambda c, k, t: (-c[k, -1], k)), "see the future"),
            (rounds(rank=lambda c, k, t: (-c[k, :t].max(), k)), "best accuracy up to that moment"),
            (rounds(rank=lambda c, k, t: (-c[k, t - 1], -k)), "Of equals"),
            (rounds(grow=lambda t, first, f: t + first), "same number of epochs"),
            (rounds(price=lambda n, t, before: n * t), "pay for earlier epochs again"),
            (rounds(price=lambda n, t, before: t - before), "count one setting only"),
            (rounds(last=lambda c, left: max(left, key=lambda k: c[k, -1]) + 1), "count from 1"),
        ],
    ),
}
