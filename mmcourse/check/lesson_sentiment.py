"""Checks of lesson sentiment: Shapley values, gradient modulation, a vote with gaps, and which model to ship."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np

from mmcourse.check import agree, exercise, rng

NAMES = ("face", "voice", "words")


def _subsets(names=NAMES, smallest=0):
    return [s for k in range(smallest, len(names) + 1) for s in combinations(names, k)]


# ---------------------------------------------------------------- sentiment.1
def shapley(accuracy):
    """Shapley value of each modality; `accuracy` maps every subset, a sorted tuple of names, to a number."""
    return _weighted(accuracy, (1 / 3, 1 / 6, 1 / 3))


def _weighted(accuracy, weights, guess=None):
    """What each modality adds to every subset of the others, times a weight by the subset's size."""
    value = accuracy if guess is None else accuracy | {(): guess}
    others = {m: _subsets([n for n in NAMES if n != m]) for m in NAMES}
    return {m: sum(weights[len(s)] * (value[tuple(sorted((*s, m)))] - value[s]) for s in others[m]) for m in NAMES}


_SHAPLEY_MISTAKES = [
    (
        lambda a: {m: a[(m,)] - a[()] for m in NAMES},
        "That is what each adds when it comes first, alone. It must be averaged over every place in which it may come.",
    ),
    (
        lambda a: {m: a[NAMES] - a[tuple(n for n in NAMES if n != m)] for m in NAMES},
        "That is what is lost when each is taken away last. Average over every order in which they may come.",
    ),
    (
        lambda a: _weighted(a, (1 / 4, 1 / 4, 1 / 4)),
        "You gave all subsets the same weight (that is the Banzhaf value). There are fewer orders in which one comes "
        "in the middle after a given other: weights are 1/3, 1/6, 1/6, 1/3.",
    ),
    (
        lambda a: _weighted(a, (1, 1, 1)),
        "You added up the gains of all subsets. Weigh each by the share of the orders in which it happens.",
    ),
    (
        lambda a: _weighted(a, (1 / 3, 1 / 6, 1 / 3), guess=0.0),
        "You counted from 0. Without any modality a guess still wins accuracy[()]: that belongs to nobody.",
    ),
    (
        lambda a: _weighted(a, (2, 1, 2)),
        "These are sums over the six orders. Divide by how many orders there are.",
    ),
    (
        lambda a: {m: v / sum(shapley(a).values()) for m, v in shapley(a).items()},
        "These are shares that sum to 1. Leave them in units of accuracy, so that they sum to what all three add.",
    ),
    (
        lambda a: {m: a[(m,)] for m in NAMES},
        "That is the accuracy of each alone. Wanted is what each *adds*, averaged over the orders.",
    ),
    (
        lambda a: {m: a[NAMES[: k + 1]] - a[NAMES[:k]] for k, m in enumerate(NAMES)},
        "That is one order only: face, voice, words. There are six, and each counts as much.",
    ),
    (
        lambda a: _weighted(a, (1 / 2, 0, 1 / 2)),
        "You averaged coming first and coming last. In two of the six orders a modality comes second: those count too.",
    ),
]


@exercise("sentiment.1", title="What did each modality add?", points=2, difficulty=2, minutes=12)
def check_shapley(answer):
    g, tables = rng("13.1"), []
    tables.append(dict(zip(_subsets(), (0.4, 0.6, 0.6, 0.5, 0.7, 0.9, 0.6, 1.0), strict=True)))
    tables += [{s: round(float(v), 2) for s, v in zip(_subsets(), g.uniform(0.3, 1, 8), strict=True)} for _ in range(3)]
    agree(answer, shapley, [(table,) for table in tables], mistakes=_SHAPLEY_MISTAKES)
    return "They add up to accuracy with all three minus the guess: nothing is counted twice, nothing is lost."


# ---------------------------------------------------------------- sentiment.2
def coefficients(sure, alpha):
    """k_u = 1 - tanh(alpha ρ_u) where ρ_u > 1, else 1; ρ_u = sure_u over the mean of the others."""
    ratio = _ratio(np.asarray(sure, float))
    return np.where(ratio > 1, 1 - np.tanh(alpha * ratio), 1.0)


def _ratio(sure):
    return sure * (len(sure) - 1) / (sure.sum() - sure)


def _modulated(ratio, slow=lambda a, r: 1 - np.tanh(a * r), where=lambda r: r > 1, other=1.0):
    def wrong(sure, alpha):
        r = ratio(np.asarray(sure, float))
        return np.where(where(r), slow(alpha, r), other)

    return wrong


_MODULATION_MISTAKES = [
    (
        _modulated(lambda s: 1 / _ratio(s)),
        "Your ratio is upside down: you slow those who are behind. ρ is its own score over the mean of the others.",
    ),
    (
        _modulated(lambda s: s / s.mean()),
        "You divided by the mean of all. ρ compares with the mean of the *others*, without itself.",
    ),
    (
        _modulated(lambda s: s / (s.sum() - s)),
        "You divided by the sum of the others. Take their mean, or with three modalities the ratio is half too small.",
    ),
    (
        _modulated(_ratio, where=lambda r: r > -1),
        "You slow everybody. Where ρ is at most 1 the coefficient is 1: those behind learn at full speed.",
    ),
    (
        _modulated(_ratio, slow=lambda a, r: np.tanh(a * r)),
        "You used tanh itself: the further ahead, the *faster*. It is 1 - tanh.",
    ),
    (
        _modulated(_ratio, slow=lambda a, r: 1 - np.tanh(r)),
        "You left out alpha: 1 - tanh(alpha ρ).",
    ),
    (
        _modulated(_ratio, other=0.0),
        "You stop those who are behind: a gradient times 0 is none. Their coefficient is 1.",
    ),
    (
        _modulated(_ratio, where=lambda r: r < 1),
        "You slow those who are behind. The formula is for ρ > 1; the others keep 1.",
    ),
    (
        lambda sure, alpha: _ratio(np.asarray(sure, float)),
        "These are the ratios ρ. Turn them into coefficients: 1 - tanh(alpha ρ) above 1, else 1.",
    ),
]


@exercise("sentiment.2", title="Hold back who is ahead", points=2, difficulty=2, minutes=10)
def check_coefficients(answer):
    inputs = [(np.array([0.6, 0.3]), 1.0), (np.array([0.9, 0.7, 0.2]), 0.5), (np.array([0.5, 0.5, 0.5]), 0.3)]
    inputs.append((rng("13.2").uniform(0.2, 0.9, 4).round(2), 0.1))
    agree(answer, coefficients, inputs, mistakes=_MODULATION_MISTAKES)
    return "Multiply each encoder's gradient by it, and leave the head alone."


# ---------------------------------------------------------------- sentiment.3
def vote(p, present, prior):
    """Product of the opinions that are there, prior counted once, (b, C). p: (M, b, C), present: bool (b, M)."""
    return _vote(p, present, prior)


def _vote(p, present, prior, count=lambda there: there.sum(1, keepdims=True) - 1, normalise=True):
    there = np.asarray(present)
    logs = (np.log(p) * there.T[:, :, None]).sum(0) - count(there) * np.log(prior)
    q = np.exp(logs - (logs.max(1, keepdims=True) if normalise else 0))
    return q / q.sum(1, keepdims=True) if normalise else q


_VOTE_MISTAKES = [
    (
        lambda p, present, prior: _vote(p, present, prior, lambda there: there.shape[1] - 1),
        "You always divide by prior^(M-1). M counts the opinions that are *there*, sample by sample.",
    ),
    (
        lambda p, present, prior: _vote(p, present, prior, lambda there: 0),
        "You never divide by the prior. Each opinion contains it; it should count once.",
    ),
    (
        lambda p, present, prior: _vote(p, present, prior, lambda there: there.sum(1, keepdims=True)),
        "You divide once too often: then the prior is not counted at all. It should count once.",
    ),
    (
        lambda p, present, prior: _vote(p, np.ones_like(present), prior),
        "You counted opinions that are not there. What stands in the place of an absent modality means nothing.",
    ),
    (
        lambda p, present, prior: _vote(p, present, prior, lambda t: np.maximum(t.sum(1, keepdims=True) - 1, 0)),
        "With nobody there, the answer is the prior, not the same for all classes: let the exponent be -1 then.",
    ),
    (
        lambda p, present, prior: _vote(p, present, prior, normalise=False),
        "The rows do not sum to 1: divide by their sum.",
    ),
    (
        lambda p, present, prior: _vote(p, ~np.asarray(present), prior),
        "You multiply the opinions of those who are absent. In `present`, True means there.",
    ),
    (
        lambda p, present, prior: (
            (np.asarray(p) * np.asarray(present).T[:, :, None]).sum(0) / np.asarray(present).sum(1, keepdims=True)
        ),
        "That is the mean of the opinions. The product was asked: mean and product agree only by chance.",
    ),
]


@exercise("sentiment.3", title="A vote with gaps", points=2, difficulty=2, minutes=12)
def check_vote(answer):
    g, prior = rng("13.3"), np.array([0.5, 0.2, 0.3])
    p = np.array([[[0.6, 0.2, 0.2]], [[0.3, 0.3, 0.4]], [[0.1, 0.1, 0.8]]])
    inputs = [(p[:2], np.array([[True, True]]), prior), (p, np.array([[True, True, False]]), prior)]
    every = np.array(list(product([True, False], repeat=3)))
    inputs.append((g.dirichlet(np.ones(3), (3, 8)).round(3) + 0.001, every, prior))
    agree(answer, vote, inputs, mistakes=_VOTE_MISTAKES)
    return "No opinion, no say. And with no opinion at all, what is left is the prior."


# ---------------------------------------------------------------- sentiment.4
def expected(accuracy, there):
    """Expected accuracy in use: `accuracy` by subset (sorted tuples), `there` the chance of each modality."""
    return sum(_chance(s, there) * accuracy[s] for s in _subsets(sorted(there)))


def _chance(subset, there, combine=np.prod):
    return float(combine([p if m in subset else 1 - p for m, p in there.items()]))


def _choose(value):
    return lambda models, there: max(models, key=lambda name: value(models[name], there))


choose = _choose(expected)

_SHIP_MISTAKES = [
    (_choose(lambda a, there: -expected(a, there)), "You chose the model that is right least often."),
    (
        _choose(lambda a, there: a[tuple(sorted(there))]),
        "You chose by the accuracy with everything there. In use, that is only one of the cases.",
    ),
    (
        _choose(lambda a, there: float(np.mean(list(a.values())))),
        "You gave all subsets the same weight. Weigh each by how often it happens in use.",
    ),
    (
        _choose(lambda a, there: min(v for s, v in a.items() if s)),
        "You chose by the worst case. Asked is how often the model will be right in use.",
    ),
    (
        _choose(lambda a, there: expected(a, {m: 1 - p for m, p in there.items()})),
        "You took `there` for the chance that a modality is missing. It is the chance that it is there.",
    ),
    (
        _choose(lambda a, there: sum(np.prod([there[m] for m in s]) * v for s, v in a.items())),
        "A subset also needs the others to be *absent*: multiply by 1 - there[m] for each of them.",
    ),
    (
        _choose(lambda a, there: sum(_chance(s, there) * v for s, v in a.items() if s)),
        "You left out the case with nothing there. Then a model guesses, and not all guess equally well.",
    ),
    (
        _choose(lambda a, there: a[max(a, key=lambda s: _chance(s, there))]),
        "You looked only at the likeliest case. All eight count, each by its chance.",
    ),
    (
        _choose(lambda a, there: sum(_chance(s, there, sum) * v for s, v in a.items())),
        "You added the three chances up. That three things happen at once has the *product* of their chances.",
    ),
    (
        _choose(lambda a, there: sum(p * a[(m,)] for m, p in there.items())),
        "You counted only the cases with one modality there. There are eight, from nothing to everything.",
    ),
]


# Accuracies in hundredths by _subsets(), and the chance that face, voice and words are there: found by search.
# The first tells the largest from the smallest; each further mistake meets one that it alone, of those left, fails.
_CASES = [
    ((40, 50, 50, 50, 60, 60, 60, 70), (40, 60, 60, 60, 70, 70, 70, 80), (0.9, 0.8, 0.7)),
    ((38, 65, 67, 41, 67, 70, 71, 72), (38, 74, 43, 61, 93, 86, 69, 97), (0.8, 0.9, 0.1)),
    ((38, 51, 68, 52, 84, 58, 87, 92), (38, 41, 64, 67, 83, 84, 67, 84), (0.9, 0.1, 0.1)),
    ((38, 46, 42, 60, 58, 61, 61, 62), (38, 72, 65, 46, 83, 89, 77, 89), (0.4, 0.4, 0.7)),
    ((38, 46, 63, 50, 74, 57, 71, 75), (22, 45, 51, 55, 63, 73, 56, 74), (0.3, 0.1, 0.2)),
    ((38, 64, 74, 68, 82, 71, 78, 87), (38, 42, 75, 51, 80, 63, 83, 93), (0.8, 0.7, 0.5)),
    ((38, 60, 56, 49, 68, 89, 60, 95), (38, 60, 45, 59, 79, 64, 78, 93), (0.9, 0.3, 0.9)),
    ((38, 41, 42, 68, 72, 73, 88, 89), (38, 49, 48, 52, 58, 71, 60, 77), (0.5, 0.8, 0.7)),
    ((38, 40, 54, 67, 73, 86, 79, 93), (38, 56, 57, 50, 73, 68, 94, 95), (0.5, 0.8, 0.5)),
    ((38, 63, 42, 47, 63, 64, 84, 85), (38, 52, 59, 49, 78, 68, 77, 86), (0.95, 0.1, 0.95)),
]


def _case(*models_and_chances):
    *models, there = models_and_chances
    tables = ({s: v / 100 for s, v in zip(_subsets(), row, strict=True)} for row in models)
    return dict(zip("AB", tables, strict=True)), dict(zip(NAMES, there, strict=True))


@exercise("sentiment.4", title="Which model would you ship?", points=2, difficulty=2, minutes=11)
def check_choose(answer):
    agree(answer, choose, [_case(*case) for case in _CASES], mistakes=_SHIP_MISTAKES)
    return (
        "The best model on the bench is not always the best one in use: it depends on what goes missing, and how often."
    )
