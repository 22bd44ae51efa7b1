"""Known right and wrong answers to the exercises of lesson multimodal_data, as learners write them."""

import math
import random

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- multimodal_data.1
def with_np_pad(sequences):
    longest = max(len(s) for s in sequences)
    values = np.stack([np.pad(s, ((0, longest - len(s)), (0, 0))) for s in sequences])
    mask = np.stack([np.arange(longest) < len(s) for s in sequences])
    return values, mask


def with_loops(sequences):
    longest, width = max(map(len, sequences)), sequences[0].shape[1]
    values, mask = [], []
    for s in sequences:
        missing = longest - len(s)
        values.append([list(row) for row in s] + [[0.0] * width for _ in range(missing)])
        mask.append([True] * len(s) + [False] * missing)
    return np.array(values), np.array(mask)


def mask_becomes(change):
    def answer(sequences):
        values, mask = with_np_pad(sequences)
        return values, change(values, mask)

    return answer


def padded(amounts, **options):
    """Both arrays padded by (before, after) = amounts(missing)."""

    def answer(sequences):
        longest = max(map(len, sequences))
        edges = [amounts(longest - len(s)) for s in sequences]
        values = np.stack([np.pad(s, (e, (0, 0)), **options) for s, e in zip(sequences, edges, strict=True)])
        return values, np.stack([np.pad(np.ones(len(s), bool), e) for s, e in zip(sequences, edges, strict=True)])

    return answer


def shortest(sequences):
    t = min(map(len, sequences))
    return np.stack([s[:t] for s in sequences]), np.ones((len(sequences), t), bool)


def time_first(sequences):
    values, mask = with_np_pad(sequences)
    return values.transpose(1, 0, 2), mask.T


# ---------------------------------------------------------------- multimodal_data.2
def by_seconds(n, hop, sample_rate, fps, pictures):
    seconds = np.arange(n) * hop / sample_rate
    return np.floor(seconds * fps + 1e-9).clip(max=pictures - 1).astype(int)


def one_by_one(n, hop, sample_rate, fps, pictures):
    return [min(i * hop * fps // sample_rate, pictures - 1) for i in range(n)]


def by_search(n, hop, sample_rate, fps, pictures):
    starts = np.arange(pictures) * sample_rate  # in units of 1 / (sample_rate * fps) s
    return np.searchsorted(starts, np.arange(n) * hop * fps, side="right") - 1


def by_search_with(side, less):
    def answer(n, hop, sample_rate, fps, pictures):
        found = np.searchsorted(np.arange(pictures) / fps, np.arange(n) * hop / sample_rate, side=side)
        return np.minimum(found - less, pictures - 1)

    return answer


def limited(change):
    return lambda n, hop, f, r, p: np.minimum(change(np.arange(n), hop, f, r), p - 1)


# ---------------------------------------------------------------- multimodal_data.3
def from_pairs(table):
    a, b = np.array([(i, j) for (i, j), count in np.ndenumerate(table) for _ in range(count)]).T
    p_o = (a == b).mean()
    p_e = sum((a == k).mean() * (b == k).mean() for k in range(len(table)))
    return (p_o - p_e) / (1 - p_e)


def by_disagreement(table):
    share = table / table.sum()
    expected = np.outer(share.sum(axis=1), share.sum(axis=0))
    off = 1 - np.eye(len(table))
    return 1 - (share * off).sum() / (expected * off).sum()


def habits(table):
    share = table / table.sum()
    return np.trace(share), share.sum(axis=1), share.sum(axis=0)


def with_chance(chance):
    def answer(table):
        p_o, rows, columns = habits(table)
        p_e = chance(rows, columns)
        return (p_o - p_e) / (1 - p_e)

    return answer


def counts_as_shares(table):
    p_e = (table.sum(axis=1) * table.sum(axis=0)).sum()
    return (np.trace(table) - p_e) / (1 - p_e)


def largest_of_rows(table):
    _, rows, columns = habits(table)
    return (table.max(axis=1).sum() / table.sum() - rows @ columns) / (1 - rows @ columns)


# ---------------------------------------------------------------- multimodal_data.4
def number_of(names, share):
    return max(1, round(share * len(names)))


def shuffled_names(groups, share, seed):
    names = sorted(set(groups.tolist()))
    order = np.random.default_rng(seed).permutation(len(names))
    chosen = {names[i] for i in order[: number_of(names, share)]}
    return [name in chosen for name in groups.tolist()]


def by_inverse(groups, share, seed):
    names, which = np.unique(groups, return_inverse=True)
    rank = np.random.default_rng(seed).random(len(names)).argsort().argsort()
    return (rank < number_of(names, share))[which]


def by_python(groups, share, seed):
    names = list(dict.fromkeys(groups.tolist()))
    chosen = random.Random(seed).sample(names, number_of(names, share))
    return np.array([g in chosen for g in groups.tolist()])


def by_sample(groups, share, seed):
    return np.random.default_rng(seed).permutation(len(groups)) < max(1, round(share * len(groups)))


def until_enough_samples(groups, share, seed):
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    mask = np.zeros(len(groups), bool)
    for name in names:
        if mask.mean() < share - 1e-9:
            mask |= groups == name
    return mask


def rounded_down(groups, share, seed):
    names = np.unique(groups)
    return np.isin(groups, np.random.default_rng(seed).choice(names, int(share * len(names)), replace=False))


def without_seed(groups, share, seed):
    return by_inverse(groups, share, np.random.SeedSequence().entropy)


def first_names(groups, share, seed):
    names = np.unique(groups)
    return np.isin(groups, names[: number_of(names, share)])


def in_turn(groups, share, seed):
    """Only two of the people ever come into the test set."""
    names = np.unique(groups)
    return np.isin(groups, np.roll(names, seed % 2)[: number_of(names, share)])


def with_global_seed(groups, share, seed):
    np.random.seed(seed)
    names = np.unique(groups)
    return np.isin(groups, np.random.choice(names, number_of(names, share), replace=False))


def with_python_seed(groups, share, seed):
    random.seed(seed)
    names = np.unique(groups).tolist()
    return np.isin(groups, random.sample(names, number_of(names, share)))


def drawn_twice(groups, share, seed):
    names = np.unique(groups)
    return np.isin(groups, np.random.default_rng(seed).choice(names, number_of(names, share)))


def counted_by(rounded):
    def answer(groups, share, seed):
        names = np.unique(groups)
        return np.isin(groups, np.random.default_rng(seed).permutation(names)[: max(1, rounded(share * len(names)))])

    return answer


ANSWERS = {
    "multimodal_data.1": Answers(
        right=[with_np_pad, with_loops],
        wrong=[
            (mask_becomes(lambda values, mask: ~mask), "True at the padding"),
            (mask_becomes(lambda values, mask: np.abs(values).sum(axis=-1) > 0), "You made the mask from the zeros"),
            (mask_becomes(lambda values, mask: values != 0), "one entry for each number"),
            (mask_becomes(lambda values, mask: np.ones(mask.shape, bool)), "True everywhere"),
            (padded(lambda missing: (missing, 0)), "zeros in front"),
            (padded(lambda missing: (0, missing), mode="edge"), "copies of the last element"),
            (mask_becomes(lambda values, mask: mask[..., None]), "An axis of length 1 is left over"),
            (shortest, "cut all sequences to the shortest"),
            (time_first, "Time comes first"),
            (lambda sequences: with_np_pad(sequences)[0], "should be 2 values (values, padding_mask)"),
        ],
    ),
    "multimodal_data.2": Answers(
        right=[by_seconds, one_by_one, by_search],
        wrong=[
            (lambda n, hop, f, r, p: np.arange(n) * hop * r // f, "behind the end of the film"),
            (limited(lambda i, hop, f, r: i // (f // hop // r)), "a fixed block of frames"),
            (limited(lambda i, hop, f, r: i // round(f / (hop * r))), "rounded the frames for each picture"),
            (lambda n, hop, f, r, p: np.floor(np.linspace(0, p, n, endpoint=False)).astype(int), "stretched the sound"),
            (limited(lambda i, hop, f, r: np.rint(i * hop / f * r).astype(int)), "to the nearest picture"),
            (limited(lambda i, hop, f, r: -(-i * hop * r // f)), "You rounded up"),
            (limited(lambda i, hop, f, r: i * r // f), "for one sample of it"),
            (limited(lambda i, hop, f, r: i * hop // f), "whole seconds"),
            (limited(lambda i, hop, f, r: i * hop * r / f), "not whole"),
            (by_search_with("left", 1), "at the very moment"),
            (by_search_with("right", 0), "number the pictures from 1"),
            (limited(lambda i, hop, f, r: i * hop // (f // r)), "cut the samples of a picture"),
        ],
    ),
    "multimodal_data.3": Answers(
        right=[from_pairs, by_disagreement],
        wrong=[
            (lambda table: np.trace(table) / table.sum(), "That is the share of equal answers"),
            (lambda table: habits(table)[1] @ habits(table)[2], "expected by chance alone"),
            (lambda table: habits(table)[0] - habits(table)[1] @ habits(table)[2], "subtracted chance and stopped"),
            (with_chance(lambda rows, columns: 1 / len(rows)), "1 / classes as chance"),
            (with_chance(lambda rows, columns: (((rows + columns) / 2) ** 2).sum()), "Scott's pi"),
            (with_chance(lambda rows, columns: rows @ rows), "habits of the row annotator"),
            (largest_of_rows, "largest number of each row"),
            (counts_as_shares, "You worked with counts"),
            (lambda table: abs(from_pairs(table)), "You dropped the sign"),
            (lambda table: max(0, from_pairs(table)), "kappa below 0 stays below 0: less"),
        ],
    ),
    "multimodal_data.4": Answers(
        right=[shuffled_names, by_inverse, by_python],
        wrong=[
            (by_sample, "A leak:"),
            (until_enough_samples, "The share is of people"),
            (rounded_down, "The test set is empty"),
            (lambda *args: ~by_inverse(*args), "marked the training samples"),
            (without_seed, "two different splits"),
            (first_names, "Eight seeds gave one"),
            (in_turn, "somebody was never tested"),
            (with_global_seed, "NumPy's global generator"),
            (with_python_seed, "Python's global generator"),
            (drawn_twice, "Somebody is drawn twice"),
            (counted_by(int), "You rounded down"),
            (counted_by(math.ceil), "You rounded up"),
            (lambda *args: (~by_inverse(*args), by_inverse(*args)), "one mask, not two sets"),
            (lambda groups, share, seed: np.flatnonzero(by_inverse(groups, share, seed)), "it has dtype int64"),
        ],
    ),
}
