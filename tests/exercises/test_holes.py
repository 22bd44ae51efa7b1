"""Answers that the first edition's checks accepted, or could not name: each is refused by its own name, or accepted."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mmcourse.check import judge


# ---------------------------------------------------------------- sentiment
def vote_by_multiplying(p, present, prior):
    there = present.T[:, :, None]
    q = (p * there + (1 - there)).prod(0) / prior ** (there.sum(0) - 1.0)
    return q / q.sum(1, keepdims=True)


def choose_by_place(models, there):
    subsets = [s for k in range(4) for s in combinations(range(3), k)]
    chances = list(there.values())

    def value(name):
        weights = [np.prod([chances[m] if m in s else 1 - chances[m] for m in range(3)]) for s in subsets]
        return np.dot(weights, list(models[name].values()))

    return max(models, key=value)


def choose_between_two(models, there):
    def value(accuracy):
        return sum(np.prod([p if m in s else 1 - p for m, p in there.items()]) * a for s, a in accuracy.items())

    first, second = list(models)[:2]
    return first if value(models[first]) > value(models[second]) else second


# ---------------------------------------------------------------- multimodal_data
def pictures_by_seconds(n, hop, sample_rate, fps, pictures):
    return np.minimum((np.arange(n) * hop / sample_rate * fps).astype(int), pictures - 1)


def pictures_rounded(n, hop, sample_rate, fps, pictures):
    return np.minimum(np.round(np.arange(n) * hop / sample_rate * fps).astype(int), pictures - 1)


def split_by_set(groups, share, seed):
    names = list(set(groups.tolist()))
    order = np.random.default_rng(seed).permutation(len(names))
    chosen = {names[k] for k in order[: max(1, round(share * len(names)))]}
    return np.array([name in chosen for name in groups.tolist()])


WRONG = [
    ("sentiment.3", vote_by_multiplying, "NaN times 0 is NaN"),
    ("sentiment.4", choose_by_place, ""),
    ("sentiment.4", choose_between_two, "You compared the first two models only"),
    ("multimodal_data.2", pictures_by_seconds, "You went by seconds"),
    ("multimodal_data.2", pictures_rounded, "You rounded to the nearest picture"),
    ("multimodal_data.4", split_by_set, "the order of a `set`"),
]


@pytest.mark.parametrize(("id", "answer", "fragment"), WRONG, ids=lambda x: getattr(x, "__name__", str(x)))
def test_a_hole_is_closed(id, answer, fragment):
    result = judge(id, answer)
    assert result.status == "wrong" and fragment in result.message, result.message
