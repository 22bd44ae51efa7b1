"""Four exercises on sentiment (Shapley values, gradient modulation, a vote with gaps, which model to ship), blanks, a challenge.

The exercise in PyTorch, attention over modalities with gaps, is in `exercises_torch.py`.
"""

from itertools import combinations, permutations

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.datasets import mood
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
    "sentiment",
    promise="Share out an accuracy fairly, hold back the modality that is ahead, vote with gaps, choose the model that is right "
    "most often in use, and fuse in PyTorch where each message lacks something else.",
    uses="NumPy; the last one PyTorch",
    setup="""
import math
from itertools import combinations, permutations

import numpy as np
import torch
from torch import nn

from mmcourse.check import check

np.set_printoptions(precision=3, suppress=True)
""",
)

NAMES = ("face", "voice", "words")
SUBSETS = [s for k in range(4) for s in combinations(NAMES, k)]


def in_any_order(g, table):
    """The same dict with its keys in an order of chance."""
    keys = list(table)
    return {keys[i]: table[keys[i]] for i in g.permutation(len(keys))}


def random_table(g):
    """An accuracy for every subset, in any order of keys."""
    return in_any_order(g, dict(zip(SUBSETS, g.uniform(0.3, 1, 8).round(2).tolist(), strict=True)))


# ---------------------------------------------------------------- 1
def shapley(accuracy):
    """What each modality adds to the accuracy, averaged over the orders in which they come."""
    names = ("face", "voice", "words")
    added = dict.fromkeys(names, 0.0)
    for order in permutations(names):
        for place, name in enumerate(order):
            before = tuple(sorted(order[:place]))
            now = tuple(sorted((*before, name)))
            added[name] += (accuracy[now] - accuracy[before]) / 6
    return added


def gains(accuracy, name):
    """What a modality adds to each subset of the others: to none, to one, to the other, to both."""
    first, second = (other for other in NAMES if other != name)
    before = [(), (first,), (second,), (first, second)]
    return np.array([accuracy[tuple(sorted((*s, name)))] - accuracy[s] for s in before])


def weighted_gains(accuracy, weights):
    return {name: gains(accuracy, name) @ np.array(weights) for name in NAMES}


def draw_accuracies(g):
    return (random_table(g),)


def draw_equal_accuracies(g):
    return (in_any_order(g, dict.fromkeys(SUBSETS, round(float(g.uniform(0.3, 0.6)), 2))),)


added_value = exercise(
    "sentiment.1",
    shapley,
    title="What did each modality add?",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        context("Let the modalities come one after the other."),
        says(
            "Each adds something to the accuracy, and how much depends on who is there already.",
            mistake="That is the accuracy of each alone",
        ),
        says(
            "The **Shapley value** of a modality is what it adds, averaged over all orders in which they can come.",
            mistake="the Banzhaf value",
        ),
        paragraph(),
        context(
            "**Example** with two: words alone 0.7, face alone 0.4, both 1.0, a guess 0.4. In the order words, face "
            "the words add 0.3; in the order face, words they add 0.6."
        ),
        example('print("words", (0.3 + 0.6) / 2, " face", (0.3 + 0.0) / 2, " together", 1.0 - 0.4)'),
        context("**Write** `shapley(accuracy)`."),
        says(
            'Its keys are all eight subsets of `("face", "voice", "words")` as sorted tuples, from `()`, the guess, to '
            "all three, in any order; its values are accuracies.",
            mistake="by their place in the dict",
        ),
        says("Return a dict by modality name.", ignored="return list(added.values())"),
    ],
    hints=[
        "`permutations(names)` gives the six orders. In one order, a modality adds the accuracy with it and all before "
        "it, minus the accuracy with those before it.",
        "A key must be sorted: `tuple(sorted(order[:place]))`. Before the first one stands `()`. Divide each sum by 6.",
    ],
    draw=draw_accuracies,
    parts=[
        part(
            "a small table",
            public_only=True,
            inputs=[(dict(zip(SUBSETS, (0.4, 0.6, 0.6, 0.5, 0.7, 0.9, 0.6, 1.0), strict=True)),)],
        ),
        part("any accuracies", weight=3),
        part("modalities that add nothing", draw=draw_equal_accuracies),
    ],
    constant={"accuracy": "always the eight subsets of three modalities; their order and accuracies vary"},
    own={},
    own_says="Accuracies of your own",
    mistakes={
        "That is what each adds when it comes first, alone. It must be averaged over every place in which it may "
        "come.": lambda a: weighted_gains(a, (1, 0, 0, 0)),
        "That is what each adds when it comes last, to the two others. Average over every order in which they may come.": (
            lambda a: weighted_gains(a, (0, 0, 0, 1))
        ),
        "You gave all subsets the same weight (that is the Banzhaf value). There are fewer orders in which one comes "
        "in the middle after a given other: weights are 1/3, 1/6, 1/6, 1/3.": (
            lambda a: weighted_gains(a, (1 / 4, 1 / 4, 1 / 4, 1 / 4))
        ),
        "You added up the gains of all subsets. Weigh each by the share of the orders in which it happens.": (
            lambda a: weighted_gains(a, (1, 1, 1, 1))
        ),
        "You counted from 0. Without any modality a guess still wins accuracy[()]: that belongs to nobody.": edit(
            "accuracy[before]", "(accuracy[before] if before else 0)"
        ),
        "These are sums over the six orders. Divide by how many orders there are.": edit(" / 6", ""),
        "These are shares that sum to 1. Leave them in units of accuracy, so that they sum to what all three add.": (
            "return {name: value / sum(added.values()) for name, value in added.items()}"
        ),
        "That is the accuracy of each alone. Wanted is what each *adds*, averaged over the orders.": (
            lambda a: {name: a[(name,)] for name in NAMES}
        ),
        "That is one order only: face, voice, words. There are six, and each counts as much.": (
            lambda a: {name: a[NAMES[: k + 1]] - a[NAMES[:k]] for k, name in enumerate(NAMES)}
        ),
        "You averaged coming first and coming last. In two of the six orders a modality comes second: those count "
        "too.": lambda a: weighted_gains(a, (1 / 2, 0, 0, 1 / 2)),
        "You took the accuracies by their place in the dict. Its keys come in any order: look each one up.": (
            lambda a: shapley(dict(zip(SUBSETS, a.values(), strict=True)))
        ),
        "You went through three orders only, the rotations of one. Three modalities have six: `permutations`.": [
            edit(
                "permutations(names)",
                "((a, b, c), (b, c, a), (c, a, b))",
                "/ 6",
                "/ 3",
                "added = dict",
                "a, b, c = names\n    added = dict",
            ),
            edit(
                "permutations(names)",
                "((a, c, b), (c, b, a), (b, a, c))",
                "/ 6",
                "/ 3",
                "added = dict",
                "a, b, c = names\n    added = dict",
            ),
        ],
    },
    praise="They add up to accuracy with all three minus the guess: nothing is counted twice, nothing is lost.",
)


@right(added_value)
def by_weights(accuracy):
    return weighted_gains(accuracy, (1 / 3, 1 / 6, 1 / 6, 1 / 3))


# ---------------------------------------------------------------- 2
def coefficients(sure, alpha):
    """What the gradient of each modality's encoder is multiplied by, (M,)."""
    others = (sure.sum() - sure) / (len(sure) - 1)
    ratio = sure / others
    slow = 1 - np.tanh(alpha * ratio)
    return np.where(ratio > 1, slow, 1.0)


def draw_sure(g, m):
    return g.uniform(0.1, 0.9, m).round(3), round(float(g.uniform(0.1, 1.5)), 2)


def draw_equally_sure(g, m):
    return np.full(m, float(g.choice([0.25, 0.5, 0.75]))), round(float(g.uniform(0.1, 1)), 2)


modulation = exercise(
    "sentiment.2",
    coefficients,
    title="Hold back who is ahead",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context("Gradient modulation (Peng et al. 2022, arXiv 2203.15332):"),
        says(
            r"$s_u$ says how sure modality $u$ alone is of the right class, $\alpha$ how hard to brake. With",
            mistake="You left out alpha",
        ),
        says(
            r"$$\rho_u = \frac{s_u}{\text{mean of the others' } s} \qquad k_u = 1 - \tanh(\alpha \rho_u) "
            r"\text{ if } \rho_u > 1, \text{ else } 1$$",
            mistake="You divided by the mean of all",
        ),
        says("the gradient of encoder $u$ is multiplied by $k_u$.", mistake="These are the ratios"),
        context("(The paper has two modalities; the mean is the course's form for more.)"),
        example('print("twice as sure, alpha 0.5:", round(1 - np.tanh(0.5 * 2), 3), "  the other one: 1")'),
        says(
            "**Write** `coefficients(sure, alpha)` for `sure` of shape `(M,)`, two or more numbers above 0.",
            mistake="You divided by the sum of the",
        ),
        says("Return $k$, `(M,)`.", ignored="return np.where(ratio > 1, slow, 1.0)[:, None]"),
    ],
    hints=[
        "The sum of the others is the sum of all minus itself. There are $M - 1$ of them.",
        "`np.where(ratio > 1, ..., 1.0)` takes the formula where it applies and 1 elsewhere.",
    ],
    draw=draw_sure,
    parts=[
        part("two modalities", m=2),
        part("three or more", weight=2, m=between(3, 6)),
        part("all equally sure", draw=draw_equally_sure, m=between(2, 5)),
    ],
    own={"m": 3},
    own_says="Scores of your own, and alpha",
    mistakes={
        "Your ratio is upside down: you slow those who are behind. ρ is its own score over the mean of the others.": (
            "ratio = others / sure"
        ),
        "You divided by the mean of all. ρ compares with the mean of the *others*, without itself.": (
            "others = sure.mean()"
        ),
        "You compared with the median. ρ compares with the *mean* of the others.": [
            "others = np.median(sure)",
            "others = np.array([np.median(np.delete(sure, u)) for u in range(len(sure))])",
        ],
        "You compared with the surest one. ρ compares with the mean of the others.": [
            "others = sure.max()",
            "others = np.array([np.delete(sure, u).max() for u in range(len(sure))])",
        ],
        "You took off 1 from ρ in the tanh. It is 1 - tanh(alpha ρ).": "slow = 1 - np.tanh(alpha * (ratio - 1))",
        "You divided by the sum of the others. Take their mean, or with three modalities the ratio is half too "
        "small.": "others = sure.sum() - sure",
        "You slow everybody. Where ρ is at most 1 the coefficient is 1: those behind learn at full speed.": (
            "return slow"
        ),
        "You slow at ρ = 1 too. The formula is for ρ > 1: as sure as the others is not ahead.": edit(
            "ratio > 1", "ratio >= 1"
        ),
        "You used tanh itself: the further ahead, the *faster*. It is 1 - tanh.": "slow = np.tanh(alpha * ratio)",
        "You left out alpha: 1 - tanh(alpha ρ).": "slow = 1 - np.tanh(ratio)",
        "You stop those who are behind: a gradient times 0 is none. Their coefficient is 1.": (
            "return np.where(ratio > 1, slow, 0.0)"
        ),
        "You slow those who are behind. The formula is for ρ > 1; the others keep 1.": edit("ratio > 1", "ratio < 1"),
        "These are the ratios ρ. Turn them into coefficients: 1 - tanh(alpha ρ) above 1, else 1.": "return ratio",
        "Your alpha is outside the tanh. It belongs inside: 1 - tanh(alpha ρ).": "slow = 1 - alpha * np.tanh(ratio)",
        "You slow only the one who is furthest ahead. All with ρ above 1 are slowed.": (
            "return np.where((ratio > 1) & (ratio == ratio.max()), slow, 1.0)"
        ),
    },
    praise="Multiply each encoder's gradient by it, and leave the head alone.",
)


@right(modulation)
def one_by_one(sure, alpha):
    k = np.ones(len(sure))
    for u in range(len(sure)):
        ratio = sure[u] / np.delete(sure, u).mean()
        if ratio > 1:
            k[u] = 1 - np.tanh(alpha * ratio)
    return k


# ---------------------------------------------------------------- 3
def vote(p, modality_mask, prior):
    """The product of those opinions that are there, with the prior counted once: (b, C)."""
    there = modality_mask.T[:, :, None]  # (M, b, 1)
    factors = np.where(there, p, 1.0)  # (M, b, C)
    count = there.sum(axis=0) - 1.0  # (b, 1)
    product = factors.prod(axis=0) / prior**count  # (b, C)
    return product / product.sum(axis=1, keepdims=True)


def draw_shares(g, probabilities, of=1000):
    """Probabilities near these, with few digits, that sum to 1; none is 0."""
    counts = 1 + g.multinomial(of - len(probabilities), probabilities)
    return counts / of


def draw_opinions(g, m, chance, fill=None):
    """Opinions, who is there with this chance, prior; `fill` stands in the place of those absent."""
    b, classes = g.integers(1, 6), g.integers(2, 5)
    p = np.array([[draw_shares(g, g.dirichlet(np.full(classes, 2))) for _ in range(b)] for _ in range(m)])
    modality_mask = g.random((b, m)) < chance
    if fill is not None:
        modality_mask[g.integers(b), g.integers(m)] = False
        p[~modality_mask.T] = fill
    return p, modality_mask, draw_shares(g, g.dirichlet(np.full(classes, 5)))


def draw_own_opinions(g):
    p = np.array([[draw_shares(g, g.dirichlet(np.full(3, 3)), of=100)] for _ in range(3)])
    return p, g.random((1, 3)) < 0.6, np.array([0.5, 0.2, 0.3])


SMALL = np.array([[[0.6, 0.2, 0.2]], [[0.3, 0.3, 0.4]], [[0.1, 0.1, 0.8]]])
SMALL_PRIOR = np.array([0.5, 0.2, 0.3])

voting = exercise(
    "sentiment.3",
    vote,
    title="A vote with gaps",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        says(
            r"Late fusion multiplies opinions and counts the prior once: $p(y) \propto \prod_{m \text{ there}} p_m(y) "
            r"\,/\, \text{prior}(y)^{n - 1}$,",
            mistake="You never divide by the prior",
        ),
        says("where $n$ is how many are there *for this sample*.", mistake="You always divide by"),
        says("With nobody there, $n - 1 = -1$, and the prior is left.", mistake="With nobody there"),
        example("""
prior = np.array([0.5, 0.2, 0.3])
print("two who only repeat the prior:", prior * prior / prior, " nobody:", 1 / prior**-1)
"""),
        says(
            "**Write** `vote(p, modality_mask, prior)` for opinions `p` `(M, b, C)`, `modality_mask` bool `(b, M)` and "
            "`prior` "
            "`(C,)`.",
            mistake="those who are absent",
        ),
        context("(Prior and opinions are above 0.)"),
        says("Return `(b, C)`, rows that sum to 1.", mistake="do not sum to 1"),
        says(
            "What stands in `p` for an absent modality means nothing: it may be 0, 1e9 or NaN.",
            mistake="NaN times 0 is NaN",
        ),
    ],
    hints=[
        "A factor of 1 changes no product: put it wherever a modality is absent. `modality_mask` is `(b, M)`, so turn it to "
        "stand before `p`.",
        "`n = modality_mask.sum(axis=1, keepdims=True)` is `(b, 1)`, and `prior ** (n - 1.0)` is `(b, C)`. Whole numbers "
        "cannot be raised to negative powers in NumPy; 1.0 helps.",
    ],
    draw=draw_opinions,
    parts=[
        part(
            "one sample",
            public_only=True,
            inputs=[
                (SMALL[:2], np.array([[True, True]]), SMALL_PRIOR),
                (SMALL, np.array([[True, True, False]]), SMALL_PRIOR),
            ],
        ),
        part("everybody there", m=between(2, 4), chance=1),
        part("some there", weight=2, m=between(2, 4), chance=0.6),
        part("nobody there", m=between(2, 4), chance=0),
        part("anything in the place of the absent", m=between(1, 3), chance=0.6, fill=in_turn(np.nan, 0.0, 1e9)),
    ],
    own=draw_own_opinions,
    own_says="Opinions of your own, who is there, and the prior",
    mistakes={
        "You always divide by prior^(M-1). M counts the opinions that are *there*, sample by sample.": (
            "count = len(p) - 1.0"
        ),
        "You count who is there for one sample and use that for all of them. Each sample has its own n: sum over "
        "modalities alone.": [
            "count = there[:, :1].sum(axis=0) - 1.0",
            "count = there[:, -1:].sum(axis=0) - 1.0",
            "count = there.any(axis=1, keepdims=True).sum(axis=0) - 1.0",
            "count = there.sum() - 1.0",
        ],
        "You never divide by the prior. Each opinion contains it; it should count once.": "count = 0.0",
        "You divide once too often: then the prior is not counted at all. It should count once.": (
            "count = there.sum(axis=0) * 1.0"
        ),
        "You counted opinions that are not there. What stands in the place of an absent modality means nothing.": [
            "factors = p\ncount = len(p) - 1.0",
            "factors = p",
        ],
        "With nobody there, the answer is the prior, not the same for all classes: let the exponent be -1 then.": (
            "count = np.maximum(there.sum(axis=0) - 1.0, 0)"
        ),
        "The rows do not sum to 1: divide by their sum.": [
            "return product",
            "return product / product.sum()",
            "return product / product.sum(axis=0)",
            "return product / product.max(axis=1, keepdims=True)",
        ],
        "You multiply by the prior where you should divide: each opinion contains it already.": [
            "product = factors.prod(axis=0) * prior**count",
            "product = factors.prod(axis=0) * prior",
        ],
        "You multiply the opinions of those who are absent. In `modality_mask`, True means there.": (
            "there = ~modality_mask.T[:, :, None]"
        ),
        "That is the mean of the opinions. The product was asked: mean and product agree only by chance.": (
            "return (np.where(there, p, 0.0)).sum(axis=0) / there.sum(axis=0)"
        ),
        "You took the absent out by multiplying with the mask, but NaN times 0 is NaN. Choose with "
        "`np.where(there, p, 1.0)`.": "factors = p * there + (1 - there)",
        "You took the logarithm of what stands for the absent, and 0 · log 0 is NaN. Choose with `np.where` before "
        "anything is computed.": "factors = np.exp(np.log(p) * there)",
    },
    praise="No opinion, no say. And with no opinion at all, what is left is the prior.",
)


@right(voting)
def vote_by_sample(p, modality_mask, prior):
    rows = []
    for i, here in enumerate(modality_mask):
        row = prior * np.prod(p[here, i] / prior, axis=0)
        rows.append(row / row.sum())
    return np.array(rows)


# ---------------------------------------------------------------- 4
def choose(models, there):
    """The model with the largest expected accuracy."""
    names = sorted(there)
    subsets = [s for k in range(4) for s in combinations(names, k)]
    chance = {s: np.prod([there[m] if m in s else 1 - there[m] for m in names]) for s in subsets}
    expected = {name: sum(chance[s] * accuracy[s] for s in subsets) for name, accuracy in models.items()}
    return max(expected, key=expected.get)


def choosing(value):
    """The model for which `value(accuracy, there)` is largest."""
    return lambda models, there: max(models, key=lambda name: value(models[name], there))


def chance_of(subset, there, combine=np.prod):
    return combine([p if m in subset else 1 - p for m, p in there.items()])


def expected_accuracy(accuracy, there):
    return sum(chance_of(s, there) * value for s, value in accuracy.items())


def draw_models(g, n, low, high):
    """Models that differ in what they can do without, none too close to the best; and who is there how often."""
    while True:
        labels = g.permutation(["gated", "early", "late", "tensor", "A", "B"])[:n].tolist()
        models = {label: random_table(g) for label in labels}
        there = in_any_order(g, dict(zip(NAMES, g.uniform(low, high, 3).round(2).tolist(), strict=True)))
        values = sorted(expected_accuracy(accuracy, there) for accuracy in models.values())
        if values[-1] - values[-2] > 0.01:
            return models, there


shipping = exercise(
    "sentiment.4",
    choose,
    title="Which model would you ship?",
    points=2,
    difficulty=2,
    minutes=11,
    statement=[
        says(
            "You know each model's accuracy for all eight subsets (with nothing there it guesses),",
            mistake="left out the case with nothing there",
        ),
        says("and how often each modality is there in use.", mistake="the chance that a modality is missing"),
        says("Modalities fail independently of one another.", mistake="You added the three chances up"),
        says("Which model is right most often?", mistake="right least often"),
        paragraph(),
        context("**Example** with one modality: there nine times in ten, right 0.8 with it and 0.4 without."),
        example('print("expected accuracy", round(0.9 * 0.8 + 0.1 * 0.4, 2))'),
        says(
            "**Write** `choose(models, there)`. `models` maps the name of each model, two or more, to a dict as in "
            "sentiment.1;",
            mistake="first two models",
        ),
        says(
            '`there` maps each modality to the chance that it is there, such as `{"face": 0.8, "voice": 0.9, "words": '
            "0.7}`, with its keys in any order.",
            mistake="by their place in `there`",
        ),
        says("Return the name of the best model (no two tie).", ignored="return max(expected.values())"),
    ],
    hints=[
        'Face and words there, voice not: the chance is `there["face"] * (1 - there["voice"]) * there["words"]`. The '
        "eight chances sum to 1.",
        "Expected accuracy is the sum over subsets of chance times accuracy. `max(expected, key=expected.get)` gives "
        "the name of the largest.",
    ],
    draw=draw_models,
    parts=[
        part("modalities that are mostly there", n=in_turn(2, 3, 4), low=0.8, high=1),
        part("modalities that are often missing", weight=2, n=in_turn(2, 3, 4), low=0.2, high=0.8),
        part("modalities that are hardly there", n=in_turn(2, 3, 4), low=0, high=0.2),
        part("some often, some seldom", n=in_turn(2, 2, 5), low=0, high=1),
    ],
    constant={"there": "always the three modalities; their order and chances vary"},
    own={"n": 2, "low": 0, "high": 1},
    own_says="Two models of your own, and how often each modality is there",
    mistakes={
        "You chose the model that is right least often.": edit("return max(", "return min("),
        "You chose by the accuracy with everything there. In use, that is only one of the cases.": (
            choosing(lambda a, there: a[NAMES])
        ),
        "You gave all subsets the same weight. Weigh each by how often it happens in use.": (
            choosing(lambda a, there: sum(a.values()))
        ),
        "You chose by the worst case. What counts is how often the model will be right in use.": [
            choosing(lambda a, there: min(value for s, value in a.items() if s)),
            choosing(lambda a, there: min(a.values())),
        ],
        "You took `there` for the chance that a modality is missing. It is the chance that it is there.": edit(
            "if m in s", "if m not in s"
        ),
        "A subset also needs the others to be *absent*: multiply by 1 - there[m] for each of them.": edit(
            "else 1 - there[m]", "else 1"
        ),
        "You left out the case with nothing there. Then a model guesses, and not all guess equally well.": edit(
            "range(4)", "range(1, 4)"
        ),
        "You looked only at the likeliest case. All eight count, each by its chance.": (
            choosing(lambda a, there: a[max(SUBSETS, key=lambda s: chance_of(s, there))])
        ),
        "You added the three chances up. That three things happen at once has the *product* of their chances.": edit(
            "np.prod", "np.sum"
        ),
        "You counted only the cases with one modality there. There are eight, from nothing to everything.": (
            choosing(lambda a, there: sum(p * a[(m,)] for m, p in there.items()))
        ),
        "You chose by the best case. What counts is how often the model will be right in use.": (
            choosing(lambda a, there: max(a.values()))
        ),
        "You compared the first two models only. There may be more.": (
            lambda models, there: choose(dict(list(models.items())[:2]), there)
        ),
        "You took the chances by their place in `there`. Its keys come in any order: look each one up.": (
            lambda models, there: choose(models, dict(zip(NAMES, there.values(), strict=True)))
        ),
        "You took the accuracies by their place in the dict. Its keys come in any order: look each one up.": (
            lambda models, there: choose(
                {name: dict(zip(SUBSETS, a.values(), strict=True)) for name, a in models.items()}, there
            )
        ),
    },
    praise="The best model on the bench is not always the best one in use: it depends on what goes missing, and how "
    "often.",
)


@right(shipping)
def by_expectation(models, there):
    best = sorted((sum(chance_of(s, there) * v for s, v in a.items()), name) for name, a in models.items())
    return best[-1][1]


# ---------------------------------------------------------------- an open challenge
WIDTH, NOISE, APART = 5, 0.9, 2.2
NUM_TRAIN, NUM_TEST = 3000, 3000
MISSING = {"train": 0.15, "test": 0.35}  # how often each modality is missing


def draw_world(g):
    """Where the cues of each modality lie: (cues, 5) each, equally far from one another, turned at random."""
    turned = {m: np.linalg.qr(g.normal(size=(WIDTH, WIDTH)))[0] for m in NAMES}
    return {m: APART * turned[m][g.permutation(WIDTH)][: len(mood.CUES[m])] for m in NAMES}


def draw_people(g, world, n, missing):
    """n messages: vectors (n, 3, 5) of face, voice, words; which are there (n, 3); labels (n,)."""
    cues = mood.draw_cues(n, g)
    x = np.stack([world[m][cues[m]] for m in NAMES], axis=1) + g.normal(0, NOISE, (n, 3, WIDTH))
    there = g.random((n, 3)) >= missing
    there[np.arange(n), g.integers(0, 3, n)] |= ~there.any(axis=1)  # nobody comes with nothing
    return np.where(there[:, :, None], x, 0).round(2), there, cues["label"]


def draw_gap_challenge(g):
    """Messages with labels, and messages with more gaps whose labels stay hidden."""
    world = draw_world(g)
    train, train_there, train_labels = draw_people(g, world, NUM_TRAIN, MISSING["train"])
    test, test_there, labels = draw_people(g, world, NUM_TEST, MISSING["test"])
    inputs = {
        "train": train,
        "train_there": train_there,
        "train_labels": train_labels,
        "test": test,
        "test_there": test_there,
    }
    return Drawn(inputs, labels)


def gap_accuracy(handed_in, inputs, labels):
    """Share of the hidden labels that were predicted."""
    return np.mean(handed_in["predictions"] == labels)


challenge(
    "sentiment.challenge",
    title="More gaps than in training",
    statement=[
        "Messages as in this lesson, but each modality is only a vector of 5 numbers, and you do not know what they mean.",
        "`train` (3000, 3, 5) holds face, voice and words of 3,000 messages; `train_there` (3000, 3) says which of them are",
        "there (zeros stand for the others); `train_labels` are 0, 1, 2. Some senders are sarcastic, as in `mood`. In `test` and",
        "`test_there` a modality is missing more than twice as often as in training. Predict the 3,000 labels of `test`, in any",
        "way. On the draw below, one answer for all reaches 0.36, logistic regression on the 15 numbers and the three masks",
        "0.68, and a random forest on the same 0.70. A network that meets new gaps in every epoch reaches 0.72. The best",
        "possible is about 0.745. What would you do to the training messages so that they look like the test messages?",
    ],
    draw=draw_gap_challenge,
    score=gap_accuracy,
    hand_in={"predictions": Array((NUM_TEST,), "integer")},
    to_beat=0.69,
    points_by_score={0.69: 1, 0.712: 2, 0.728: 3},
    minutes=60,
    score_name="accuracy",
)


# ---------------------------------------------------------------- blanks of the lesson
def _draw_tables():
    g = np.random.default_rng(0)
    yield mood.JOINT, (1, 2, 3)  # all three cues
    yield mood.JOINT, (3,)  # the words alone
    yield mood.JOINT, (1, 3)
    small = g.random((3, 2, 4))
    yield small / small.sum(), (2,)
    xor = np.zeros((2, 2, 2))
    xor[0, 0, 0] = xor[0, 1, 1] = xor[1, 0, 1] = xor[1, 1, 0] = 0.25
    yield xor, (1,)
    yield xor, (1, 2)


def _kept(joint, axes):
    gone = tuple(k for k in range(1, joint.ndim) if k not in axes)
    return joint.sum(axis=gone)


@blank(
    "sentiment.blank.1",
    title="The ceiling, by enumeration",
    inputs=_draw_tables,
    mistakes=[
        (
            lambda joint, axes: joint.max(axis=0).sum(),
            "This is the ceiling with every cue: sum over those that are not kept first.",
        ),
        (
            lambda joint, axes: _kept(joint, axes).max(),
            "That is the single largest cell: take the largest of each column, then add up.",
        ),
        (
            lambda joint, axes: _kept(joint, axes).reshape(len(joint), -1).sum(axis=1).max(),
            "This is the commonest class: first the largest over classes for each combination of cues, then the sum.",
        ),
        (
            lambda joint, axes: _kept(joint, axes).max(axis=0).mean(),
            "This is the mean over combinations: they are not equally likely. The probabilities are in the table, so add up.",
        ),
        (
            lambda joint, axes: joint.sum(axis=tuple(axes)).max(axis=0).sum(),
            "You summed over the cues that are kept. Sum over the others.",
        ),
    ],
    what="The ceiling",
)
def ceiling(joint, axes):
    others = tuple(k for k in range(1, joint.ndim) if k not in axes)
    table = joint.sum(axis=others)
    return table.max(axis=0).sum()


def _softmax(scores, axis=-1):
    e = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _draw_tokens():
    g = np.random.default_rng(1)
    yield g.normal(size=(2, 3, 4)).round(1), np.ones((2, 3), bool)
    yield g.normal(size=(2, 3, 4)).round(1), np.array([[True, False, True], [False, True, False]])
    yield g.normal(size=(3, 2, 2)).round(1), np.array([[True, True], [False, True], [True, False]])
    yield g.normal(size=(2, 3, 4)).round(1), np.array([[False, False, False], [True, True, False]])
    yield g.normal(size=(1, 4, 9)).round(1), np.array([[True, True, False, True]])


def _attending(tokens, there, scale=None, axis=-1, keys=True, add=True, pool="there"):
    scale = np.sqrt(tokens.shape[-1]) if scale is None else scale
    scores = tokens @ tokens.swapaxes(1, 2) / scale
    weights = _softmax(np.where(there[:, None, :], scores, -1e9) if keys else scores, axis)
    mixed = weights @ tokens + (tokens if add else 0)
    if pool == "all":
        return mixed.mean(axis=1)
    total = (mixed * there[:, :, None]).sum(axis=1)
    return total / (there.shape[1] if pool == "count" else np.maximum(there.sum(axis=1), 1)[:, None])


def _in_the_batch(tokens, there):
    across = tokens.swapaxes(0, 1)  # (M, b, d): for each modality, the samples
    return _attending(across, there.T)[:, None].repeat(tokens.shape[0], 1).mean(0)


@blank(
    "sentiment.blank.2",
    title="Attention over modalities, with gaps",
    inputs=_draw_tokens,
    mistakes=[
        (
            _in_the_batch,
            "Samples attend to one another: the scores of one sample are (M, M), from `tokens.swapaxes(1, 2)`.",
        ),
        (
            lambda t, m: _attending(t, m, keys=False),
            "An absent modality is attended to: before the softmax its column becomes -1e9.",
        ),
        (
            lambda t, m: _attending(t, m, axis=-2),
            "The softmax goes over the queries: each row of the weights should sum to 1.",
        ),
        (lambda t, m: _attending(t, m, scale=1.0), "The scores are not divided by the root of the width."),
        (
            lambda t, m: _attending(t, m, add=False),
            "The tokens themselves are missing: add `weights @ tokens` to them.",
        ),
        (
            lambda t, m: _attending(t, m, pool="all"),
            "The mean goes over all modalities: take it over those that are there.",
        ),
        (
            lambda t, m: _attending(t, m, pool="count"),
            "You divide by the number of modalities: divide by how many are there.",
        ),
    ],
    what="The fused vectors",
)
def attend(tokens, there):
    width = tokens.shape[-1]
    scores = tokens @ tokens.swapaxes(1, 2) / np.sqrt(width)
    scores = np.where(there[:, None, :], scores, -1e9)
    weights = _softmax(scores)
    mixed = tokens + weights @ tokens
    total = (mixed * there[:, :, None]).sum(axis=1)
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    return total / count


def _draw_gaps():
    g = np.random.default_rng(2)
    yield np.ones((4, 3), bool), g.random((4, 3)).round(2), 0.3
    yield g.random((6, 3)) < 0.6, g.random((6, 3)).round(2), 0.5
    yield np.ones((5, 2), bool), g.random((5, 2)).round(2), 0.9
    yield np.ones((2, 3), bool), np.array([[0.3, 0.1, 0.2], [0.3, 0.8, 0.29]]), 0.3
    yield np.array([[False, False, False], [True, False, True]]), np.array([[0.9, 0.8, 0.7], [0.1, 0.9, 0.2]]), 0.4


def _saved(there, u, keep):
    best = np.where(there, u, -1).argmax(axis=1)
    rescued = np.eye(there.shape[1], dtype=bool)[best] & there
    return np.where(keep.any(axis=1, keepdims=True), keep, rescued)


@blank(
    "sentiment.blank.3",
    title="Modality dropout",
    inputs=_draw_gaps,
    mistakes=[
        (
            lambda there, u, rate: there & (u >= rate),
            "Some sample lost everything: keep the present modality with the largest draw.",
        ),
        (lambda there, u, rate: _saved(there, u, u >= rate), "A modality that was missing comes back: `there & …`."),
        (
            lambda there, u, rate: _saved(there, u, there & (u < rate)),
            "You keep where you should drop: a modality stays where its draw is at least `rate`.",
        ),
        (
            lambda there, u, rate: _saved(there, u, there & (u[:1] >= rate)),
            "One row of draws for the whole batch: every sample has its own.",
        ),
        (
            lambda there, u, rate: np.where((k := there & (u >= rate)).any(axis=1, keepdims=True), k, there),
            "Where everything was dropped, you keep all that was there. Keep one: the largest draw among those present.",
        ),
        (
            lambda there, u, rate: np.where(
                (k := there & (u >= rate)).any(axis=1, keepdims=True),
                k,
                np.eye(there.shape[1], dtype=bool)[u.argmax(axis=1)],
            ),
            "The one you saved was not there in the first place: look for the largest draw among those present.",
        ),
        (
            lambda there, u, rate: _saved(there, u, there & (u > rate)),
            "A draw equal to `rate` stays: `>=`.",
        ),
    ],
    what="The mask",
)
def keep_some(there, u, rate):
    keep = there & (u >= rate)
    largest = np.where(there, u, -1).argmax(axis=1)
    one = np.eye(there.shape[1], dtype=bool)[largest] & there
    return np.where(keep.any(axis=1, keepdims=True), keep, one)


def _draw_names():
    yield np.array([0, 0, 0, 1, 1]), np.array([0, 1, 1, 0, 0]), np.array([0, 1, 1, 0])
    yield np.array([3, 3, 5, 5, 5]), np.array([0, 0, 1, 1, 1]), np.array([5, 3, 9])  # 9 is new
    yield np.array([2, 2, 4]), np.array([2, 2, 0]), np.array([7, 4, 2, 2])
    yield np.array([1, 2, 3]), np.array([0, 0, 1]), np.array([8, 3])


@blank(
    "sentiment.blank.4",
    title="A baseline that reads only the name",
    inputs=_draw_names,
    mistakes=[
        (
            lambda names, labels, new_names: np.full(len(new_names), np.bincount(labels).argmax()),
            "That is the majority class for everybody: look at the labels of each speaker alone.",
        ),
        (
            lambda names, labels, new_names: np.array(
                [np.bincount(labels[names == n], minlength=1).argmax() for n in new_names]
            ),
            "A new name got class 0. For somebody whom training does not know, answer what is most frequent in all of training.",
        ),
        (
            lambda names, labels, new_names: np.array(
                [labels[names == n][0] if (names == n).any() else np.bincount(labels).argmax() for n in new_names]
            ),
            "You took the speaker's first label. The most frequent one is wanted.",
        ),
        (
            lambda names, labels, new_names: np.array(
                [labels[names == n].mean() if (names == n).any() else labels.mean() for n in new_names]
            ),
            "These are mean labels. An answer is a class: the most frequent label.",
        ),
    ],
    what="The answers",
)
def by_name(names, labels, new_names):
    anybody = np.bincount(labels).argmax()
    answers = np.full(len(new_names), anybody)
    for name in np.unique(names):
        own = np.bincount(labels[names == name]).argmax()
        answers[new_names == name] = own
    return answers
