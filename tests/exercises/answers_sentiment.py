"""Known right and wrong answers to the exercises of lesson sentiment, as learners write them."""

from itertools import permutations, product

import numpy as np
from exercise_harness import Answers

NAMES = ("face", "voice", "words")


def key(*names):
    return tuple(sorted(names))


# ---------------------------------------------------------------- sentiment.1
def by_orders(accuracy, orders=6, start=None):
    added = {m: 0.0 for m in NAMES}
    for order in permutations(NAMES):
        value = accuracy[()] if start is None else start
        for place in range(3):
            now = accuracy[key(*order[: place + 1])]
            added[order[place]] += (now - value) / orders
            value = now
    return added


def by_formula(a):
    out = {}
    for m in NAMES:
        p, q = (n for n in NAMES if n != m)
        out[m] = (a[(m,)] - a[()]) / 3 + (a[key(m, p)] - a[(p,)]) / 6 + (a[key(m, q)] - a[(q,)]) / 6
        out[m] += (a[NAMES] - a[key(p, q)]) / 3
    return out


def gains(a, m):
    others = [n for n in NAMES if n != m]
    subsets = [(), (others[0],), (others[1],), tuple(others)]
    return [a[key(m, *s)] - a[s] for s in subsets]


# ---------------------------------------------------------------- sentiment.2
def by_loop(sure, alpha):
    out = []
    for u in range(len(sure)):
        ratio = sure[u] / np.mean(np.delete(sure, u))
        out.append(1 - np.tanh(alpha * ratio) if ratio > 1 else 1)
    return out


def by_factors(sure, alpha):
    rho = (len(sure) - 1) * sure / (np.sum(sure) - sure)
    return 1 - np.tanh(alpha * rho) * (rho > 1)


def with_ratio(ratio):
    return lambda sure, alpha: np.where(ratio(sure) > 1, 1 - np.tanh(alpha * ratio(sure)), 1)


def rho(sure):
    return sure / ((sure.sum() - sure) / (len(sure) - 1))


# ---------------------------------------------------------------- sentiment.3
def sample_by_sample(p, modality_mask, prior):
    rows = []
    for i in range(modality_mask.shape[0]):
        row = np.array(prior, float)
        for m in range(len(p)):
            if modality_mask[i, m]:
                row = row * p[m, i] / prior
        rows.append(row / row.sum())
    return rows


def by_logs(p, modality_mask, prior):
    there = modality_mask.T[:, :, None]
    opinions = np.where(there, np.log(p) - np.log(prior), 0.0)  # an absent modality may hold NaN or 0
    logs = np.log(prior) + opinions.sum(axis=0)
    e = np.exp(logs - logs.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def voting(count, there=lambda modality_mask: modality_mask):
    def vote(p, modality_mask, prior):
        q = np.where(there(modality_mask).T[:, :, None], p, 1).prod(0) / prior ** count(modality_mask)
        return q / q.sum(1, keepdims=True)

    return vote


def unnormalized(p, modality_mask, prior):
    return np.where(modality_mask.T[:, :, None], p, 1).prod(0) / prior ** (modality_mask.sum(1, keepdims=True) - 1.0)


def averaged(p, modality_mask, prior):
    return np.einsum("mbc,bm->bc", p, modality_mask * 1.0) / modality_mask.sum(1, keepdims=True)


# ---------------------------------------------------------------- sentiment.4
def by_masks(models, there):
    best, chosen = -1, None
    for name, accuracy in models.items():
        value = 0
        for mask in product([0, 1], repeat=3):
            chance = 1.0
            for bit, m in zip(mask, NAMES, strict=True):
                chance *= there[m] if bit else 1 - there[m]
            value += chance * accuracy[tuple(m for bit, m in zip(mask, NAMES, strict=True) if bit)]
        if value > best:
            best, chosen = value, name
    return chosen


def by_steps(models, there):
    def value(accuracy, left=NAMES, kept=()):
        if not left:
            return accuracy[kept]
        m, rest = left[0], left[1:]
        return there[m] * value(accuracy, rest, (*kept, m)) + (1 - there[m]) * value(accuracy, rest, kept)

    return sorted(models, key=lambda name: value(models[name]))[-1]


def factors(subset, there):
    return [there[m] if m in subset else 1 - there[m] for m in NAMES]


def chance(subset, there):
    return np.prod(factors(subset, there))


def choosing(value):
    return lambda models, there: max(models, key=lambda name: value(models[name], there))


ANSWERS = {
    "sentiment.1": Answers(
        right=[by_orders, by_formula],
        wrong=[
            (lambda a: {m: a[(m,)] - a[()] for m in NAMES}, "when it comes first"),
            (lambda a: {m: gains(a, m)[-1] for m in NAMES}, "comes last, to the two others"),
            (lambda a: {m: np.mean(gains(a, m)) for m in NAMES}, "the same weight"),
            (lambda a: {m: sum(gains(a, m)) for m in NAMES}, "added up the gains"),
            (lambda a: by_orders(a, start=0.0), "counted from 0"),
            (lambda a: by_orders(a, orders=1), "sums over the six orders"),
            (lambda a: {m: v / (a[NAMES] - a[()]) for m, v in by_orders(a).items()}, "units of accuracy"),
            (lambda a: {m: a[(m,)] for m in NAMES}, "accuracy of each alone"),
            (
                lambda a: dict(zip(NAMES, np.diff([a[()], a[("face",)], a[("face", "voice")], a[NAMES]]), strict=True)),
                "one order only",
            ),
            (lambda a: {m: (gains(a, m)[0] + gains(a, m)[-1]) / 2 for m in NAMES}, "coming first and coming last"),
        ],
    ),
    "sentiment.2": Answers(
        right=[by_loop, by_factors],
        wrong=[
            (with_ratio(lambda s: 1 / rho(s)), "upside down"),
            (with_ratio(lambda s: s / s.mean()), "mean of the *others*"),
            (with_ratio(lambda s: s / (s.sum() - s)), "sum of the others"),
            (lambda s, alpha: 1 - np.tanh(alpha * rho(s)), "slow everybody"),
            (lambda s, alpha: np.where(rho(s) > 1, np.tanh(alpha * rho(s)), 1), "tanh itself"),
            (lambda s, alpha: np.where(rho(s) > 1, 1 - np.tanh(rho(s)), 1), "left out alpha"),
            (lambda s, alpha: rho(s), "These are the ratios"),
            (lambda s, alpha: np.where(rho(s) > 1, 1 - np.tanh(alpha * rho(s)), 0), "a gradient times 0"),
            (lambda s, alpha: np.where(rho(s) < 1, 1 - np.tanh(alpha * rho(s)), 1), "You slow those who are behind"),
        ],
    ),
    "sentiment.3": Answers(
        right=[sample_by_sample, by_logs],
        wrong=[
            (voting(lambda there: there.shape[1] - 1.0), "always divide by"),
            (voting(lambda there: 0.0), "never divide by the prior"),
            (voting(lambda there: there.sum(1, keepdims=True) * 1.0), "once too often"),
            (voting(lambda t: t.shape[1] - 1.0, np.ones_like), "opinions that are not there"),
            (voting(lambda t: np.maximum(t.sum(1, keepdims=True) - 1.0, 0)), "With nobody there"),
            (unnormalized, "do not sum to 1"),
            (averaged, "mean of the opinions"),
            (lambda p, modality_mask, prior: sample_by_sample(p, ~modality_mask, prior), "those who are absent"),
        ],
    ),
    "sentiment.4": Answers(
        right=[by_masks, by_steps],
        wrong=[
            (choosing(lambda a, there: -sum(chance(s, there) * v for s, v in a.items())), "right least often"),
            (choosing(lambda a, there: a[NAMES]), "only one of the cases"),
            (choosing(lambda a, there: sum(a.values())), "the same weight"),
            (choosing(lambda a, there: min(v for s, v in a.items() if s)), "worst case"),
            (lambda models, there: by_masks(models, {m: 1 - p for m, p in there.items()}), "chance that it is there"),
            (
                choosing(lambda a, there: sum(np.prod([there[m] for m in s]) * v for s, v in a.items())),
                "others to be *absent*",
            ),
            (choosing(lambda a, there: sum(chance(s, there) * v for s, v in a.items() if s)), "nothing there"),
            (choosing(lambda a, there: a[max(a, key=lambda s: chance(s, there))]), "the likeliest case"),
            (choosing(lambda a, there: sum(np.mean(factors(s, there)) * v for s, v in a.items())), "chances up"),
            (choosing(lambda a, there: sum(there[m] * a[(m,)] for m in NAMES)), "with one modality there"),
        ],
    ),
}
