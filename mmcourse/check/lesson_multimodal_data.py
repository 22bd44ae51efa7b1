"""Padding with a mask, sound in step with pictures, agreement from a table, an honest split."""

from __future__ import annotations

import math
import random
import sys

import numpy as np

from mmcourse.check import Wrong, agree, call, exercise, plain, rng
from mmcourse.check.values import identical


# ---------------------------------------------------------------- multimodal_data.1
def pad_batch(sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Arrays (t_i, d) → values (b, t, d) with zeros behind, padding_mask (b, t), True where real."""
    lengths = np.array([len(s) for s in sequences])
    values = np.zeros((len(sequences), lengths.max(), sequences[0].shape[1]))
    for row, s in zip(values, sequences, strict=True):
        row[: len(s)] = s
    return values, np.arange(lengths.max()) < lengths[:, None]


def _in_front(sequences):
    values, mask = pad_batch([s[::-1] for s in sequences])
    return values[:, ::-1], mask[:, ::-1]


def _shortest(sequences):
    return pad_batch([s[: min(map(len, sequences))] for s in sequences])


def _repeated(sequences):
    values, mask = pad_batch(sequences)
    for row, s in zip(values, sequences, strict=True):
        row[len(s) :] = s[-1]
    return values, mask


def _masked(change):
    """The right values beside a mask gone wrong, made by `change(values, mask)`."""

    def answer(sequences):
        values, mask = pad_batch(sequences)
        return values, change(values, mask)

    return answer


_PAD_MISTAKES = [
    (
        _masked(lambda values, mask: ~mask),
        "Your mask is True at the padding. In this course True is a real element. (PyTorch's `key_padding_mask` is the "
        "opposite, which is why the mix-up is so common.)",
    ),
    (
        _masked(lambda values, mask: (values != 0).any(axis=2)),
        "You made the mask from the zeros. A real element may be zero too: use the lengths.",
    ),
    (
        _masked(lambda values, mask: values != 0),
        "Your mask has one entry for each number. One for each element is wanted, (b, t), and from lengths, not zeros.",
    ),
    (
        _masked(lambda values, mask: np.ones_like(mask)),
        "Your mask is True everywhere, so nobody can tell what is real.",
    ),
    (_in_front, "You put the zeros in front. Here each sequence starts at the start of its row."),
    (_shortest, "You cut all sequences to the shortest. That throws data away: make room for the longest."),
    (_repeated, "You filled up with copies of the last element. Padding is zeros here."),
    (
        lambda sequences: tuple(np.swapaxes(part, 0, 1) for part in pad_batch(sequences)),
        "Time comes first in your arrays. The batch is axis 0: (b, t, d).",
    ),
]


@exercise("multimodal_data.1", title="Padding, and the mask", points=1, difficulty=1, minutes=7)
def check_pad_batch(answer):
    g = rng("04.1")
    small = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[7.0, 8.0]], [[9.0, 1.0], [2.0, 3.0]]
    inputs = [([np.array(sequence) for sequence in small],)]
    inputs += [([g.normal(size=(t, d)) for t in lengths],) for lengths, d in (((2, 5, 3), 2), ((4,), 3), ((3, 3), 1))]
    inputs.append(([np.array([[1.0, 1.0], [0.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 0.0]])],))  # real zeros
    agree(answer, pad_batch, inputs, mistakes=_PAD_MISTAKES, names=("values", "padding_mask"))
    return "Zeros behind, and a mask that comes from the lengths."


# ---------------------------------------------------------------- multimodal_data.2
def pictures_of(n: int, hop: int, sample_rate: int, fps: int, pictures: int) -> np.ndarray:
    """The picture that each of n frames of sound belongs to, int (n,)."""
    return np.minimum(np.arange(n) * hop * fps // sample_rate, pictures - 1)


def _limited(index, pictures):
    return np.clip(index, 0, pictures - 1)


_STEP_MISTAKES = [
    (
        lambda n, hop, f, r, p: np.arange(n) * hop * r // f,
        "Some frames of sound lie behind the end of the film. They belong to the last picture, pictures - 1.",
    ),
    (
        lambda n, hop, f, r, p: _limited(np.arange(n) // max(1, f // hop // r), p),
        "You used a fixed block of frames for each picture. The ratio is no whole number, so that drifts: go by time.",
    ),
    (
        lambda n, hop, f, r, p: _limited(np.arange(n) // max(1, round(f / hop / r)), p),
        "You rounded the frames for each picture to a whole number, and that drifts: go by time.",
    ),
    (
        lambda n, hop, f, r, p: _limited(np.arange(n) * hop // (f // r), p),
        "You cut the samples of a picture, sample_rate / fps, to a whole number, which drifts: multiply by fps first.",
    ),
    (
        lambda n, hop, f, r, p: np.arange(n) * p // n,
        "You stretched the sound over the film. Both have clocks: what counts is the time of a frame.",
    ),
    (
        lambda n, hop, f, r, p: _limited(np.round(np.arange(n) * hop * r / f).astype(int), p),
        "You rounded to the nearest picture. A picture stays until the next one comes: round down.",
    ),
    (
        lambda n, hop, f, r, p: _limited(np.ceil(np.arange(n) * hop * r / f).astype(int), p),
        "You rounded up. A picture that has not come yet cannot belong to the sound: round down.",
    ),
    (
        lambda n, hop, f, r, p: np.minimum(-(-np.arange(n) * hop * r // f) - 1, p - 1),
        "A frame at the very moment when a picture comes belongs to that one (in `np.searchsorted`: `side='right'`).",
    ),
    (
        lambda n, hop, f, r, p: _limited(np.arange(n) * hop * r // f + 1, p),
        "You number the pictures from 1. The first one is picture 0.",
    ),
    (
        lambda n, hop, f, r, p: _limited(np.arange(n) * r // f, p),
        "You took a frame of sound for one sample of it. Frame i is centred at sample i * hop.",
    ),
    (
        lambda n, hop, f, r, p: _limited(np.arange(n) * hop // f, p),
        "You have whole seconds. There are fps pictures in each.",
    ),
    (
        lambda n, hop, f, r, p: np.minimum(np.arange(n) * hop * r / f, p - 1),
        "Your numbers are not whole. The number of a picture is: round down.",
    ),
]


@exercise("multimodal_data.2", title="Which picture does this sound belong to?", points=2, difficulty=2, minutes=8)
def check_pictures_of(answer):
    inputs = [(14, 150, 1600, 4, 4), (76, 256, 16000, 10, 12), (200, 160, 16000, 24, 40), (90, 512, 22050, 25, 60)]
    inputs += [(100, 441, 44100, 30, 20), (400, 160, 16000, 24, 96)]
    agree(answer, pictures_of, inputs, mistakes=_STEP_MISTAKES)
    return "In step after a second and after an hour."


# ---------------------------------------------------------------- multimodal_data.3
def kappa(table: np.ndarray) -> float:
    """Cohen's kappa from a table of counts (classes, classes): rows one annotator, columns the other."""
    return _kappa(np.trace(table) / table.sum(), table.sum(axis=1) @ table.sum(axis=0) / table.sum() ** 2)


def _kappa(observed: float, expected: float) -> float:
    return (observed - expected) / (1 - expected)


_KAPPA_MISTAKES = [
    (
        lambda t: np.trace(t) / t.sum(),
        "That is the share of equal answers. Take off what chance gives.",
    ),
    (
        lambda t: t.sum(axis=1) @ t.sum(axis=0) / t.sum() ** 2,
        "That is the share expected by chance alone. Compare the observed one with it.",
    ),
    (
        lambda t: np.trace(t) / t.sum() - t.sum(axis=1) @ t.sum(axis=0) / t.sum() ** 2,
        "You subtracted chance and stopped. Divide by what chance leaves, 1 - p_e, so that perfect agreement is 1.",
    ),
    (
        lambda t: _kappa(np.trace(t) / t.sum(), 1 / len(t)),
        "You took 1 / classes as chance. Chance depends on how often each annotator uses each class.",
    ),
    (
        lambda t: _kappa(np.trace(t) / t.sum(), (((t.sum(axis=0) + t.sum(axis=1)) / (2 * t.sum())) ** 2).sum()),
        "You pooled the habits of both annotators (that is Scott's pi). Cohen multiplies one's share with the other's.",
    ),
    (
        lambda t: _kappa(np.trace(t) / t.sum(), ((t.sum(axis=1) / t.sum()) ** 2).sum()),
        "You squared the habits of the row annotator. Multiply them with those of the column annotator.",
    ),
    (
        lambda t: _kappa(t.max(axis=1).sum() / t.sum(), t.sum(axis=1) @ t.sum(axis=0) / t.sum() ** 2),
        "You counted the largest number of each row. Equal answers stand on the diagonal, large or not.",
    ),
    (
        lambda t: _kappa(np.trace(t), t.sum(axis=1) @ t.sum(axis=0)),
        "You worked with counts. p_o and p_e are shares: divide the table by its sum first.",
    ),
    (
        lambda t: abs(kappa(t)),
        "You dropped the sign. A kappa below 0 stays below 0: they agree less than chance would.",
    ),
    (
        lambda t: max(0.0, kappa(t)),
        "You cut at 0. kappa below 0 stays below 0: less agreement than by chance is worth knowing.",
    ),
]


@exercise("multimodal_data.3", title="Agreement beyond chance", points=2, difficulty=2, minutes=8)
def check_kappa(answer):
    g = rng("04.3")
    tables = [np.array([[20, 5], [10, 15]]), np.array([[2, 6], [4, 3]])]
    tables += [g.integers(1, 12, (k, k)) + 9 * np.eye(k, dtype=int) for k in (2, 3, 5)]
    agree(answer, kappa, [(table,) for table in tables], mistakes=_KAPPA_MISTAKES)
    return "1 is perfect, 0 is chance, and below 0 they disagree on purpose."


# ---------------------------------------------------------------- multimodal_data.4
def split_by_group(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """bool (n,), True for the test set: whole groups, drawn by chance."""
    names = np.unique(groups)
    chosen = np.random.default_rng(seed).choice(names, _wanted(names, share), replace=False)
    return np.isin(groups, chosen)


def _wanted(names: np.ndarray, share: float) -> int:
    return max(1, round(share * len(names)))


def _generators() -> list[tuple]:
    """Name, getter, setter and remedy of each global generator there is."""
    found = [
        ("NumPy", np.random.get_state, np.random.set_state, "np.random.default_rng(seed)"),
        ("Python", random.getstate, random.setstate, "random.Random(seed)"),
    ]
    if torch := sys.modules.get("torch"):
        found.append(("PyTorch", torch.get_rng_state, torch.set_rng_state, "torch.Generator().manual_seed(seed)"))
    return found


def _without_side_effects(answer, *args):
    """What the learner gives, if no global generator is moved by it."""
    before = [(*generator, generator[1]()) for generator in _generators()]
    got = call(answer, *args)
    for name, now, restore, instead, state in before:
        if not identical(now(), state):
            restore(state)
            raise Wrong(
                f"You draw from {name}'s global generator, so your split also changes every later draw of the program. "
                f"Use one of your own: `{instead}`."
            )
    return got


def _mask(answer, groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """What the learner gives for these groups, if it is a mask at all."""
    got = _without_side_effects(answer, groups, share, seed)
    if isinstance(got, tuple) and len(got) == 2 != len(groups):
        raise Wrong("Return one mask, not two sets: an array (n,) with True for the test set, False for training.")
    mask = plain(got, "The mask", "True or False")
    if mask.dtype.kind != "b":
        raise Wrong(f"The mask should hold True (test) and False (training); it has dtype {mask.dtype}.")
    if mask.shape != groups.shape:
        raise Wrong(f"The mask should have one entry for each of the {len(groups)} samples; got shape {mask.shape}.")
    return mask


def _judge_split(answer, mask: np.ndarray, groups: np.ndarray, share: float) -> None:
    names, test = np.unique(groups), np.unique(groups[mask])
    wanted = _wanted(names, share)
    where = f"\nGroups: {len(names)}, share: {share}, samples: {len(groups)}."
    if both := sorted(set(test) & set(groups[~mask])):
        raise Wrong(f"A leak: {both[0]!s} is in the test set and in training. Draw people, not samples.{where}")
    if not mask.any():
        raise Wrong(f"The test set is empty: at least one person must be in it, however small the share.{where}")
    if len(test) == len(names) - wanted:
        raise Wrong(f"You marked the training samples, it seems: True should mean test.{where}")
    if len(test) != wanted:
        counts = {len(np.unique(groups[_mask(answer, groups, share, seed)])) for seed in range(20)}
        if len(counts) > 1 and max(counts) == wanted:
            raise Wrong(
                f"Somebody is drawn twice, so the test set is too small for some seeds: `replace=False`.{where}"
            )
        for cut, down in ((math.floor, "down"), (math.ceil, "up")):
            if counts == {max(1, cut(share * len(names)))}:
                raise Wrong(
                    f"You rounded {down}: {share} of {len(names)} people is {share * len(names):g}, and the nearest "
                    f"whole number is {wanted}.{where}"
                )
        raise Wrong(
            f"The share is of people: {wanted} of them should be in the test set, and there are {len(test)}.{where}"
        )


@exercise("multimodal_data.4", title="A split that does not leak", points=3, difficulty=3, minutes=12)
def check_split_by_group(answer):
    g = rng("04.4")
    even = np.repeat(["ada", "ben", "cleo", "dan", "eve", "fay", "gus", "hal"], 4)
    uneven = np.repeat([31, 7, 12, 25, 3], [40, 5, 5, 5, 5])
    cases = [(even, 0.25, 0), (g.permutation(even), 0.25, 1), (uneven, 0.2, 2), (g.permutation(uneven), 0.4, 3)]
    for groups, share, seed in [*cases, (even[:12], 0.1, 4), (even[:28], 0.25, 5), (even, 0.3, 6)]:
        mask = _mask(answer, groups, share, seed)
        _judge_split(answer, mask, groups, share)
        if not np.array_equal(mask, _mask(answer, groups, share, seed)):
            raise Wrong("The same seed gave two different splits. Nobody could repeat the experiment: use the seed.")
    if len({_mask(answer, even, 0.25, seed).tobytes() for seed in range(8)}) == 1:
        raise Wrong("Eight seeds gave one and the same split. The people should be drawn by chance, by the seed.")
    masks = [_mask(answer, uneven, 0.4, seed) for seed in range(60)]
    for mask in masks:
        _judge_split(answer, mask, uneven, 0.4)
    if len(set.union(*(set(uneven[mask]) for mask in masks))) < 5:
        raise Wrong("In sixty seeds somebody was never tested. Each person should have the same chance.")
    return "Whole people, drawn by chance, and anybody can repeat it."
