"""Exercises on data: padding with a mask, sound in step with pictures, agreement from a table, an honest split; a challenge."""

import itertools
import math
import random
import sys
import zlib

import numpy as np

from mmcourse.check import CheckFailed, call, to_numpy
from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    lesson,
    one_of,
    paragraph,
    part,
    right,
    says,
)
from mmcourse.exercise.values import identical

lesson(
    "multimodal_data",
    promise="A batch with its mask, sound in step with pictures, agreement beyond chance, a split that does not leak, "
    "a `collate_fn` for PyTorch, and an open challenge: whom of eleven annotators do you believe?",
    setup="""
import numpy as np
import torch

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def pad_batch(sequences):
    """List of (t_i, d) → values (b, t, d), padding_mask (b, t)."""
    lengths = np.array([len(s) for s in sequences])
    values = np.zeros((len(sequences), lengths.max(), sequences[0].shape[1]))
    for row, s in zip(values, sequences, strict=True):
        row[: len(s)] = s
    padding_mask = np.arange(lengths.max()) < lengths[:, None]
    return values, padding_mask


def in_front(sequences):
    values, mask = pad_batch([s[::-1] for s in sequences])
    return values[:, ::-1], mask[:, ::-1]


def repeat_last(sequences):
    values, mask = pad_batch(sequences)
    for row, s in zip(values, sequences, strict=True):
        row[len(s) :] = s[-1]
    return values, mask


def draw_sequences(g, lengths, zeros=False):
    d = g.integers(1, 4)
    made = [g.normal(size=(t, d)).round(2) for t in g.permutation(lengths)]
    if zeros:
        longest = max(made, key=len)
        longest[-1] = longest[0] = 0
    return (made,)


def draw_some_lengths(g, b):
    return draw_sequences(g, g.permutation([1, 2, 3, 5, 7])[:b])


def draw_own_sequences(g):
    return ([g.integers(1, 9, (t, 1)) * 1.0 for t in g.permutation([1, 2, 4])],)


padding = exercise(
    "multimodal_data.1",
    pad_batch,
    title="Padding, and the mask",
    points=1,
    difficulty=1,
    minutes=7,
    statement=[
        says(
            "`sequences` is a list of one or more float arrays of shape `(t_i, d)`: the same width `d`, different lengths, "
            "some of which may be 0.",
            mistake="You cut all sequences to the shortest",
        ),
        paragraph(),
        says(
            "**Write** `pad_batch(sequences)`. Return two arrays: `values` of shape `(b, t, d)`,",
            mistake="Time comes first",
        ),
        says("zeros *behind* each sequence,", mistake="You put the zeros in front"),
        says(
            "and `padding_mask` of shape `(b, t)`, True where an element is real.",
            mistake="Your mask is True at the padding",
        ),
        says("A real element may well be zero.", mistake="You made the mask from the zeros"),
    ],
    hints=[
        "Collect the lengths first. `values` starts as `np.zeros((b, longest, d))`; copy each sequence into the start "
        "of its row.",
        "The mask needs only the lengths: `np.arange(longest) < lengths[:, None]` compares each position with each "
        "length.",
    ],
    draw=draw_sequences,
    parts=[
        part(
            "a small batch",
            public_only=True,
            inputs=[
                (
                    [
                        np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
                        np.array([[7.0, 8.0]]),
                        np.array([[9.0, 1.0], [2.0, 3.0]]),
                    ],
                )
            ],
        ),
        part("different lengths", weight=2, draw=draw_some_lengths, b=between(2, 4)),
        part("real zeros", lengths=one_of((2, 4, 5), (1, 3)), zeros=True),
        part("an empty sequence", lengths=one_of((0, 2, 3), (4, 0))),
        part("one sequence", draw=draw_some_lengths, b=1),
    ],
    own=draw_own_sequences,
    own_says="Sequences of your own",
    mistakes={
        "Your mask is True at the padding. In this course True is a real element. (PyTorch's `key_padding_mask` is the "
        "opposite, which is why the mix-up is so common.)": "return values, ~padding_mask",
        "You made the mask from the zeros. A real element may be zero too: use the lengths.": (
            "return values, (values != 0).any(axis=2)"
        ),
        "Your mask has one entry for each number. One for each element is wanted, (b, t), and from lengths, not "
        "zeros.": "return values, values != 0",
        "Your mask is True everywhere, so nobody can tell what is real.": "return values, np.ones_like(padding_mask)",
        "You put the zeros in front. Here each sequence starts at the start of its row.": in_front,
        "You sorted the sequences by length. Row i belongs to sequence i: keep their order.": [
            lambda sequences: pad_batch(sorted(sequences, key=len, reverse=True)),
            lambda sequences: pad_batch(sorted(sequences, key=len)),
        ],
        "You left out the empty sequences. Each sequence has its row; that of an empty one is all padding.": (
            lambda sequences: pad_batch([s for s in sequences if len(s)])
        ),
        "You cut all sequences to the shortest. That throws data away: make room for the longest.": (
            lambda sequences: pad_batch([s[: min(map(len, sequences))] for s in sequences])
        ),
        "You filled up with copies of the last element. Padding is zeros here.": repeat_last,
        "Time comes first in your arrays. The batch is axis 0: (b, t, d).": (
            "return np.swapaxes(values, 0, 1), np.swapaxes(padding_mask, 0, 1)"
        ),
        "The first padding element of each shorter row counts as real in your mask: an element is real at position "
        "j < length, not j <= length.": "padding_mask = np.arange(lengths.max()) <= lengths[:, None]",
    },
    praise="Zeros behind, and a mask that comes from the lengths.",
    names=("values", "padding_mask"),
)


@right(padding)
def pad_each(sequences):
    longest = max(len(s) for s in sequences)
    values = np.array([np.vstack([s, np.zeros((longest - len(s), s.shape[1]))]) for s in sequences])
    return values, np.array([[k < len(s) for k in range(longest)] for s in sequences])


# ---------------------------------------------------------------- 2
def pictures_of(n, hop, sample_rate, fps, pictures):
    """Number of the picture that each frame of sound belongs to, (n,)."""
    i = np.arange(n)
    j = i * hop * fps // sample_rate  # whole numbers: nothing is rounded
    return np.minimum(j, pictures - 1)


def by_search(n, hop, sample_rate, fps, pictures, side="right", less=1):
    """The same from the times at which pictures come, in seconds: floats, which miss some of those moments."""
    found = np.searchsorted(np.arange(pictures) / fps, np.arange(n) * hop / sample_rate, side=side)
    return np.minimum(found - less, pictures - 1)


def draw_film(g, longer, rates=(16_000, 22_050, 44_100)):
    """Sound and film, one `longer` times the other. No picture is shorter than a hop."""
    hop, rate, fps = (int(g.choice(x)) for x in ((128, 160, 256, 400, 441), rates, (4, 10, 12, 24, 25, 30)))
    n = int(g.integers(40, 200))
    return n, hop, rate, fps, max(2, int(longer * n * hop * fps / rate))


def draw_moments(g):
    """Frames of sound at the very moment of a picture."""
    return int(g.integers(60, 300)), 160, 16_000, int(g.choice([5, 10, 20, 25, 50])), int(g.integers(40, 80))


def draw_long_recording(g):
    """So long that i * hop * fps needs more than 32 bits, beside a short film."""
    return int(g.integers(55_000, 60_000)), 800, 44_100, 50, int(g.integers(40, 80))


steps = exercise(
    "multimodal_data.2",
    pictures_of,
    title="Which picture does this sound belong to?",
    points=2,
    difficulty=2,
    minutes=8,
    statement=[
        says(
            "`n` frames of sound; frame `i` is centered at sample `i * hop` of `sample_rate` samples a second.",
            mistake="for one sample of it",
        ),
        says("A film of `pictures` pictures runs beside it, `fps` a second;", mistake="You have whole seconds"),
        says(
            "picture `j` stays from `j / fps`, this moment included, until the next one comes.",
            mistake="at the very moment",
        ),
        paragraph(),
        context("**Example.** At 16,000 samples a second, `hop` 400 and 12 pictures a second, frame 5 is centered at"),
        example("""
seconds = 5 * 400 / 16_000
print(seconds, "s, and", seconds * 12, "pictures have passed: it belongs to picture 1")
"""),
        says(
            "**Write** `pictures_of(n, hop, sample_rate, fps, pictures)`: whole numbers of shape `(n,)`, the picture "
            "of each frame.",
            mistake="Your numbers are not whole",
        ),
        says("Sound that goes on after the film belongs to the last picture.", mistake="behind the end of the film"),
        says("All arguments are whole numbers, so the answer can be exact,", mistake="just below a whole number"),
        says("in a recording of any length.", mistake="Your whole numbers overflow"),
    ],
    hints=[
        "Do not look for a fixed number of frames in a picture. Write down the time of frame `i`, then how many "
        "pictures have passed by then.",
        "`i * hop * fps // sample_rate` stays in whole numbers, so nothing is rounded wrongly. Then `np.minimum` with "
        "the last.",
    ],
    draw=draw_film,
    parts=[
        part(
            "a short film",
            public_only=True,
            inputs=[(14, 150, 1600, 4, 4), (76, 256, 16000, 10, 12), (200, 160, 16000, 24, 40)],
        ),
        part("a film longer than its sound", longer=1.5),
        part("sound longer than its film", longer=0.7),
        part("frames at the very moment of a picture", draw=draw_moments),
        part("an hour of film", longer=1.2, rates=(23_456, 34_567)),
        part("a long recording", draw=draw_long_recording),
    ],
    own=lambda g: (
        12,
        int(g.integers(300, 500)),
        int(g.choice([8000, 12_000, 16_000])),
        int(g.integers(9, 32)),
        int(g.integers(2, 9)),
    ),
    own_says="A film of your own",
    mistakes={
        "Some frames of sound lie behind the end of the film. They belong to the last picture, pictures - 1.": (
            "return j"
        ),
        "You used a fixed block of frames for each picture. The ratio is no whole number, so that drifts: go by "
        "time.": "j = i // max(1, sample_rate // hop // fps)",
        "You rounded the frames for each picture to a whole number, and that drifts: go by time.": (
            "j = i // max(1, round(sample_rate / hop / fps))"
        ),
        "You cut the samples of a picture, sample_rate / fps, to a whole number, which drifts: multiply by fps "
        "first.": "j = i * hop // (sample_rate // fps)",
        "You stretched the sound over the film. Both have clocks: what counts is the time of a frame.": [
            "return i * pictures // n",
            "return np.floor(np.linspace(0, pictures, n, endpoint=False)).astype(int)",
        ],
        "You rounded up. A picture that has not come yet cannot belong to the sound: round down.": [
            "j = -(-i * hop * fps // sample_rate)",
            "j = np.ceil(i * hop / sample_rate * fps).astype(int)",
        ],
        "A frame at the very moment when a picture comes belongs to that one (in `np.searchsorted`: `side='right'`).": [
            "j = -(-i * hop * fps // sample_rate) - 1",
            "j = np.maximum(-(-i * hop * fps // sample_rate), 1) - 1",
            lambda *args: by_search(*args, side="left"),
            lambda *args: np.maximum(by_search(*args, side="left"), 0),
        ],
        "You number the pictures from 1. The first one is picture 0.": [
            "j = i * hop * fps // sample_rate + 1",
            lambda *args: by_search(*args, less=0),
        ],
        "You took a frame of sound for one sample of it. Frame i is centered at sample i * hop.": (
            "j = i * fps // sample_rate"
        ),
        "You have whole seconds. There are fps pictures in each.": "j = i * hop // sample_rate",
        "Your numbers are not whole. The number of a picture is: round down.": [
            "j = i * hop * fps / sample_rate",
            "j = i * hop / sample_rate * fps",
        ],
        "You went by seconds, and such a float can lie just below a whole number, one picture too early. Stay in "
        "whole numbers: i * hop * fps // sample_rate.": [
            "j = np.floor(i * hop / sample_rate * fps).astype(int)",
            "j = np.floor(i * (hop / sample_rate) * fps).astype(int)",
            "j = (i * hop / sample_rate // (1 / fps)).astype(int)",
        ],
        "You rounded to the nearest picture. A picture stays until the next one comes: round down.": [
            "j = np.round(i * hop * fps / sample_rate).astype(int)",
            "j = np.round(i * hop / sample_rate * fps).astype(int)",
        ],
        "You name a picture number `pictures`, which does not exist. They are numbered from 0, so the last one is "
        "pictures - 1.": "return np.minimum(j, pictures)",
        "Your whole numbers overflow: in a long recording i * hop * fps exceeds 2**31. Compute with 64 bits "
        "(`np.int64`).": "i = np.arange(n, dtype=np.int32)",
        "You start the film again after its end. Its last picture stays: `np.minimum(j, pictures - 1)`.": (
            "return j % pictures"
        ),
    },
    praise="In step after a second and after an hour.",
)


@right(steps)
def with_a_little_more(n, hop, sample_rate, fps, pictures):
    seconds = np.arange(n) * hop / sample_rate
    return np.clip(np.floor(seconds * fps + 1e-9).astype(int), 0, pictures - 1)


# ---------------------------------------------------------------- 3
def kappa(table):
    """Cohen's kappa of a table of counts (classes, classes)."""
    share = table / table.sum()
    p_o = np.trace(share)
    p_e = share.sum(axis=1) @ share.sum(axis=0)
    return (p_o - p_e) / (1 - p_e)


def draw_counts(g, k, diagonal):
    return (g.integers(1, 9, (k, k)) + diagonal * np.eye(k, dtype=int),)


def draw_disagreement(g):
    return (g.integers(1, 5, (3, 3)) + 9 * np.eye(3, dtype=int)[[1, 2, 0]],)


def draw_unused_class(g, k):
    """One annotator never gives one of the classes."""
    (table,) = draw_counts(g, k, 5)
    table[g.integers(k)] = 0
    return (table if g.random() < 0.5 else table.T.copy(),)


agreement = exercise(
    "multimodal_data.3",
    kappa,
    title="Agreement beyond chance",
    points=2,
    difficulty=2,
    minutes=8,
    statement=[
        says(
            "`table[i, j]` counts the samples to which the first annotator gave class `i` and the second class `j`.",
            mistake="You worked with counts",
        ),
        paragraph(),
        context("**Example.** 50 samples, two classes."),
        example("""
table = np.array([[20, 5], [10, 15]])
print("equal answers:", (20 + 15) / 50)
print("the first says class 0 in", (20 + 5) / 50, "of all, the second in", (20 + 10) / 50)
"""),
        says(
            "By chance both say 0 in 0.5 · 0.6 and both say 1 in 0.5 · 0.4 of all samples: $p_e = 0.5$.",
            mistake="You squared the habits of the row annotator",
        ),
        says(r"So $\kappa = (0.7 - 0.5) / (1 - 0.5) = 0.4$.", mistake="You subtracted chance and stopped"),
        paragraph(),
        says("**Write** `kappa(table)` for any number of classes.", mistake="You took 1 / classes as chance"),
        context("(The two never give one and the same class to every sample, so $p_e$ is below 1.)"),
        says("Return one number.", ignored="return np.diag(share) - p_e"),
    ],
    hints=[
        "Divide the table by its sum first. Equal answers stand on the diagonal. Sums over rows and over columns are "
        "the habits of the two.",
        "`p_e` adds, class by class, one's share times the other's: `share.sum(axis=1) @ share.sum(axis=0)`.",
    ],
    draw=draw_counts,
    parts=[
        part(
            "two small tables",
            public_only=True,
            inputs=[(np.array([[20, 5], [10, 15]]),), (np.array([[2, 6], [4, 3]]),)],
        ),
        part("two classes", k=2, diagonal=between(3, 20)),
        part("many classes", k=between(3, 6), diagonal=between(3, 20)),
        part("less agreement than by chance", draw=draw_disagreement),
        part("a class that one of them never gives", draw=draw_unused_class, k=between(3, 5)),
    ],
    own=lambda g: (g.integers(1, 50, (2, 2)) + 10 * np.eye(2, dtype=int),),
    own_says="A table of your own",
    mistakes={
        "That is the share of equal answers. Take off what chance gives.": "return p_o",
        "That is the share expected by chance alone. Compare the observed one with it.": "return p_e",
        "You subtracted chance and stopped. Divide by what chance leaves, 1 - p_e, so that perfect agreement is 1.": (
            "return p_o - p_e"
        ),
        "You took 1 / classes as chance. Chance depends on how often each annotator uses each class.": (
            "p_e = 1 / len(table)"
        ),
        "You pooled the habits of both annotators (that is Scott's pi). Cohen multiplies one's share with the "
        "other's.": "p_e = (((share.sum(axis=0) + share.sum(axis=1)) / 2) ** 2).sum()",
        "You squared the habits of the row annotator. Multiply them with those of the column annotator.": (
            "p_e = (share.sum(axis=1) ** 2).sum()"
        ),
        "You counted the largest number of each row. Equal answers stand on the diagonal, large or not.": (
            "p_o = share.max(axis=1).sum()"
        ),
        "You worked with counts. p_o and p_e are shares: divide the table by its sum first.": "share = table",
        "You dropped the sign. A kappa below 0 stays below 0: they agree less than chance would.": (
            "return abs((p_o - p_e) / (1 - p_e))"
        ),
        "You cut at 0. kappa below 0 stays below 0: less agreement than by chance is worth knowing.": (
            "return max(0.0, (p_o - p_e) / (1 - p_e))"
        ),
        "You squared the habits of the column annotator. Multiply them with those of the row annotator.": (
            "p_e = (share.sum(axis=0) ** 2).sum()"
        ),
        "You counted the first two classes only. There may be more: go through all `len(table)` of them.": [
            "p_o = np.trace(share[:2, :2])\np_e = share.sum(axis=1)[:2] @ share.sum(axis=0)[:2]",
            lambda table: kappa(table[:2, :2]),
            "p_o = share[0, 0] + share[1, 1]",
        ],
    },
    praise="1 is perfect, 0 is chance, and below 0 they disagree on purpose.",
)


@right(agreement)
def from_the_disagreement(table):
    n = table.sum()
    expected = n - sum(table[k].sum() * table[:, k].sum() for k in range(len(table))) / n
    return 1 - (n - np.trace(table)) / expected


# ---------------------------------------------------------------- 4
def split_by_group(groups, share, seed):
    """bool (n,), True for the test set: whole people, by chance."""
    names = np.unique(groups)
    count = max(1, round(share * len(names)))
    chosen = np.random.default_rng(seed).choice(names, count, replace=False)
    return np.isin(groups, chosen)


LEAK = "A leak: somebody is in the test set and in training. Draw people, not samples."
EMPTY = "The test set is empty: at least one person must be in it, however small the share."
TRAINING = "You marked the training samples, it seems: True should mean test."
TWICE = "Somebody is drawn twice, so the test set is too small for some seeds: `replace=False`."
ROUNDED = "You rounded {}: the number of people in the test set is the nearest whole number."
PEOPLE = "The share is of people, and another number of them is in your test set."
CHANGING = "The same seed gave two different splits. Nobody could repeat the experiment: use the seed."
SAME = "Eight seeds gave one and the same split. The people should be drawn by chance, by the seed."
NEVER = "In sixty seeds somebody was never tested. Each person should have the same chance."
HASHED = (
    "The same seed gives two different splits in two runs of Python: the order of a `set` of text changes from run to "
    "run. Sort the names first, as `np.unique` or `sorted` does."
)
GLOBAL = (
    "You draw from {}'s global generator, so your split also changes every later draw of the program. Use one of "
    "your own: `{}`."
)
NUMPY = ("NumPy", "np.random.default_rng(seed)")
PYTHON = ("Python", "random.Random(seed)")


def global_generators():
    """(name, remedy), getter and setter of each global generator there is."""
    found = [
        (NUMPY, np.random.get_state, np.random.set_state),
        (PYTHON, random.getstate, random.setstate),
    ]
    if torch := sys.modules.get("torch"):
        remedy = ("PyTorch", "torch.Generator().manual_seed(seed)")
        found.append((remedy, torch.get_rng_state, torch.set_rng_state))
    return found


def called_alone(answer, *args):
    """What an answer gives, if it moves no global generator."""
    before = [(*generator, generator[1]()) for generator in global_generators()]
    got = call(answer, *args)
    for named, now, restore, state in before:
        if not identical(now(), state):
            restore(state)
            raise CheckFailed(GLOBAL.format(*named))
    return got


def mask_from(answer, groups, share, seed):
    """What an answer gives for these groups, if it is a mask at all."""
    got = called_alone(answer, groups, share, seed)
    if isinstance(got, tuple) and len(got) == 2 != len(groups):
        raise CheckFailed(
            "Return one mask, not two sets: an array (n,) with True for the test set, False for training."
        )
    mask = to_numpy(got, "The mask", "True or False")
    if mask.dtype.kind != "b":
        raise CheckFailed(f"The mask should hold True (test) and False (training); it has dtype {mask.dtype}.")
    if mask.shape != groups.shape:
        raise CheckFailed(
            f"The mask should have one entry for each of the {len(groups)} samples; got shape {mask.shape}."
        )
    return mask


def judge_mask(answer, mask, groups, share):
    names, test = np.unique(groups), np.unique(groups[mask])
    people = share * len(names)
    wanted = max(1, round(people))
    where = f"\nGroups: {len(names)}, share: {share}, samples: {len(groups)}"
    if both := sorted(set(test) & set(groups[~mask])):
        raise CheckFailed(f"{LEAK}{where}; {both[0]!s} is in both.")
    if not mask.any():
        raise CheckFailed(f"{EMPTY}{where}.")
    if len(test) == len(names) - wanted:
        raise CheckFailed(f"{TRAINING}{where}.")
    if len(test) != wanted:
        counts = {len(np.unique(groups[mask_from(answer, groups, share, seed)])) for seed in range(20)}
        if len(counts) > 1 and max(counts) == wanted:
            raise CheckFailed(f"{TWICE}{where}.")
        for cut, down in ((math.floor, "down"), (math.ceil, "up")):
            if counts == {max(1, cut(people))}:
                raise CheckFailed(f"{ROUNDED.format(down)}{where}: {people:g} people, so {wanted}.")
        raise CheckFailed(f"{PEOPLE}{where}: expected {wanted} of them, got {len(test)}.")


def judge_split(answer, args):
    """One split, and the same once more."""
    groups, share, seed = args
    mask = mask_from(answer, groups, share, seed)
    judge_mask(answer, mask, groups, share)
    if not np.array_equal(mask, mask_from(answer, groups, share, seed)):
        raise CheckFailed(CHANGING)


def judge_chance(answer, args):
    """Sixty seeds: different splits, each of them right, and in the long run everybody is tested."""
    groups, share, seed = args
    masks = [mask_from(answer, groups, share, seed + k) for k in range(60)]
    if len({mask.tobytes() for mask in masks[:8]}) == 1:
        raise CheckFailed(SAME)
    for k, mask in enumerate(masks):
        judge_mask(answer, mask, groups, share)
        if k < 8 and not np.array_equal(mask, mask_from(answer, groups, share, seed + k)):
            raise CheckFailed(CHANGING)
    if len(set.union(*(set(groups[mask]) for mask in masks))) < len(set(groups)):
        raise CheckFailed(NEVER)


class Person(str):
    """A name whose hash is ours to choose, as Python chooses another one in every run."""

    run = 0

    def __hash__(self):
        return zlib.crc32(f"{self.run} {self!s}".encode())


class SamePerson(Person):
    run = 1


def judge_hashing(answer, args):
    """The split must not change with the hashes of names, which differ from one run of Python to the next."""
    groups, share, seed = args
    for k in range(5):
        masks = []
        for kind in (Person, SamePerson):
            people = np.array([*map(kind, groups.tolist()), None], dtype=object)[:-1]
            try:
                masks.append(mask_from(answer, people, share, seed + k))
            except CheckFailed:  # an answer that wants plain text: nothing can be said here
                return
        if not np.array_equal(*masks):
            raise CheckFailed(HASHED)


EVEN = np.repeat(["ada", "ben", "cleo", "dan", "eve", "fay", "gus", "hal"], 4)
UNEVEN = np.repeat([31, 7, 12, 25, 3], [40, 5, 5, 5, 5])


def draw_people(g, even, shares=(0.23, 0.28, 0.31, 0.37)):
    """Who made each sample, a share that is never half a person nor half of all of 6 to 9 people, and a seed."""
    names = g.choice(1000, g.integers(6, 10), replace=False)
    if g.random() < 0.5:
        names = np.array([f"speaker {name}" for name in names])
    groups = g.permutation(np.repeat(names, 4 if even else g.integers(1, 15, len(names))))
    return groups, float(g.choice(shares)), int(g.integers(10**6))


def draw_rounding(g):
    n, share = [(7, 0.25), (8, 0.3), (5, 0.05), (6, 0.23)][g.integers(4)]
    return np.repeat(g.choice(1000, n, replace=False), 3), share, int(g.integers(10**6))


def draw_own_people(g):
    names = ["ada", "ada", "ada", "ben", "cleo", "cleo", "dan", "eve"]
    return g.permutation(names), 0.4, int(g.integers(1000))


tries = itertools.count()
WHOLE = "Nobody may be on both sides, and the share is of people, rounded, at least one."
FAIR = "The same seed gives the same split, other seeds other ones, and in the long run everybody is drawn."


def with_numpys(groups, share, seed):
    names = np.unique(groups)
    np.random.seed(seed)
    return np.isin(groups, np.random.choice(names, max(1, round(share * len(names))), replace=False))


def with_pythons(groups, share, seed):
    names = np.unique(groups).tolist()
    random.seed(seed)
    return np.isin(groups, random.sample(names, max(1, round(share * len(names)))))


honest = exercise(
    "multimodal_data.4",
    split_by_group,
    title="A split that does not leak",
    points=3,
    difficulty=3,
    minutes=12,
    statement=[
        context(
            '`groups` is an array `(n,)` of names, who made each sample: `np.array(["ada", "ada", "ben", …])`, in any '
            "order, some people with many samples and some with few. Your product will serve people that it has not "
            "met."
        ),
        says(
            "**Write** `split_by_group(groups, share, seed)`. Return True/False of shape `(n,)`, True for the test "
            "set, such that",
            mistake=TRAINING,
        ),
        says("- nobody is on both sides;", mistake=LEAK),
        says("- the test set has `share` of the *people*,", mistake=PEOPLE),
        says("rounded to the nearest whole number (never half a person),", mistake="You rounded down"),
        says("and at least one;", mistake=EMPTY),
        says("- chance decides who,", mistake=NEVER),
        says("with `seed`:", mistake=SAME),
        says("the same seed gives the same split, also tomorrow in another run of Python,", mistake=CHANGING),
        says("and nothing outside your function changes.", mistake="You draw from NumPy"),
        paragraph(),
        context("When it passes, ask yourself: what if one person made half of all samples?"),
    ],
    hints=[
        "Forget the samples for a moment. List the different people with `np.unique` and draw some of them.",
        "`np.random.default_rng(seed).choice(names, count, replace=False)` draws. `np.isin(groups, chosen)` goes back "
        "to samples.",
    ],
    judge=judge_split,
    draw=draw_people,
    parts=[
        part(
            "small splits",
            public_only=True,
            inputs=[
                (EVEN, 0.25, 0),
                (UNEVEN, 0.2, 2),
                (UNEVEN[::-1].copy(), 0.4, 3),
                (EVEN[:12], 0.1, 4),
                (EVEN[:28], 0.25, 5),
                (EVEN, 0.3, 6),
            ],
        ),
        part("as many samples from each", even=True, advice=WHOLE),
        part("more samples from some", even=False, advice=WHOLE),
        part("a share that must be rounded", draw=draw_rounding, advice=WHOLE),
        part("chance, by the seed", judge=judge_chance, even=False, shares=(0.3,), advice=FAIR),
        part("in another run of Python", public_only=True, judge=judge_hashing, inputs=[(EVEN, 0.4, 0)]),
    ],
    own=draw_own_people,
    own_says="Groups of your own, share and seed",
    mistakes={
        LEAK: lambda groups, share, seed: (
            np.random.default_rng(seed).permutation(len(groups)) < max(1, round(share * len(groups)))
        ),
        EMPTY: edit("max(1, round(share * len(names)))", "int(share * len(names) / 3)"),
        TRAINING: "return ~np.isin(groups, chosen)",
        PEOPLE: edit("max(1, round(share * len(names)))", "max(1, round(share * len(names))) + 1"),
        TWICE: edit(", replace=False", ""),
        ROUNDED.format("down"): edit("round(", "int("),
        ROUNDED.format("up"): edit("round(", "math.ceil("),
        CHANGING: edit("default_rng(seed)", "default_rng(next(tries))"),
        SAME: "chosen = names[:count]",
        NEVER: "chosen = np.roll(names, seed % 2)[:count]",
        GLOBAL.format(*NUMPY): with_numpys,
        GLOBAL.format(*PYTHON): with_pythons,
    },
    praise="Whole people, drawn by chance, and anybody can repeat it.",
)


@right(honest)
def in_sorted_order(groups, share, seed):
    names = sorted(set(groups.tolist()))
    chosen = random.Random(seed).sample(names, max(1, round(share * len(names))))
    return np.array([name in chosen for name in groups.tolist()])


# ---------------------------------------------------------------- an open challenge
NUM_MESSAGES, NUM_KNOWN, CLASSES = 800, 40, 4
CAREFUL, HASTY = (0.92, 0.88), (0.6, 0.55, 0.5)  # chance of the right answer; else another one at random
SWAPS = ((1, 2), (2, 1), (0, 3))  # two classes taken for each other, in most cases
LAZY = (0, 0, 1)  # always the same answer, in nine cases of ten


def answer_tables():
    """Chances of each annotator's answers, (annotators, true class, answer)."""
    tables = [np.where(np.eye(CLASSES, dtype=bool), p, (1 - p) / (CLASSES - 1)) for p in (*CAREFUL, *HASTY)]
    for a, b in SWAPS:
        table = np.where(np.eye(CLASSES, dtype=bool), 0.88, 0.04)
        table[[a, b]] = table[[b, a]]
        tables.append(table)
    for favorite in LAZY:
        table = np.full((CLASSES, CLASSES), 0.1 / (CLASSES - 1))
        table[:, favorite] = 0.9
        tables.append(table)
    return np.stack(tables)


def draw_vote_challenge(g):
    """Votes of eleven annotators, five for each message, and the true labels of a few."""
    labels = g.choice(CLASSES, NUM_MESSAGES, p=[0.25, 0.35, 0.25, 0.15])
    tables = answer_tables()[g.permutation(len(answer_tables()))]  # who is who differs from draw to draw
    votes = np.full((NUM_MESSAGES, len(tables)), -1, np.int64)
    for i, label in enumerate(labels):
        for who in g.choice(len(tables), 5, replace=False):
            votes[i, who] = g.choice(CLASSES, p=tables[who, label])
    known = np.sort(g.choice(NUM_MESSAGES, NUM_KNOWN, replace=False))
    return Drawn({"votes": votes, "known": known, "known_labels": labels[known]}, labels)


def label_accuracy(handed_in, inputs, labels):
    """Share of right labels, among the messages whose label was not given."""
    hidden = np.setdiff1d(np.arange(len(labels)), inputs["known"])
    return np.mean(handed_in["predictions"][hidden] == labels[hidden])


challenge(
    "multimodal_data.challenge",
    title="Whom do you believe?",
    statement=[
        "Eleven people labeled 800 messages, classes 0 to 3. `votes` is (800, 11): each message has five answers, and -1 stands",
        "where somebody was not asked. Some are careful and some hasty; some take two classes for each other, and some press",
        "the same button nearly every time. Nobody tells you who is who. For 40 messages, whose numbers are in `known`, you",
        "have the true labels `known_labels` (a *gold set*). Predict the labels of all 800, in any way; the 40 do not count.",
        "The majority vote reaches 0.66; only the four who do best on the gold set, 0.75. What does an annotator's answer tell",
        "you about the truth, once you know how this annotator errs? And how could you learn that from all 800 messages?",
    ],
    draw=draw_vote_challenge,
    score=label_accuracy,
    hand_in={"predictions": Array((NUM_MESSAGES,), "integer")},
    to_beat=0.78,
    points_by_score={0.78: 1, 0.88: 2, 0.93: 3},
    minutes=60,
    score_name="accuracy",
)


# ---------------------------------------------------------------- blanks of the lesson
def draw_blank_frames():
    g = np.random.default_rng(0)
    yield np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1]), 2
    yield np.array([[2.0, 4.0], [6.0, 0.0]]), np.array([0, 2]), 3  # nothing belongs to picture 1
    yield g.normal(size=(7, 2)).round(2), np.array([0, 0, 0, 1, 1, 2, 2]), 3
    yield g.normal(size=(4, 3)).round(2), np.array([1, 1, 1, 1]), 2


def _in_step(frames, picture_of, num_pictures, reduced=lambda own: own.mean(axis=0)):
    found = np.zeros((num_pictures, frames.shape[1]))
    for j in range(num_pictures):
        own = frames[picture_of == j]
        if len(own):
            found[j] = reduced(own)
    return found


@blank(
    "multimodal_data.blank.1",
    title="Sound in step with pictures",
    inputs=draw_blank_frames,
    mistakes=[
        (
            lambda f, p, n: _in_step(f, p, n, lambda own: own.sum(axis=0)),
            "You added the frames up. Pictures with more frames would be louder: take the mean.",
        ),
        (
            lambda f, p, n: _in_step(f, p, n, lambda own: own[0]),
            "You took the first frame of each picture. All frames that belong to it count.",
        ),
        (
            lambda f, p, n: _in_step(f, p, n, lambda own: own[-1]),
            "You took the last frame of each picture. All frames that belong to it count.",
        ),
        (
            lambda f, p, n: np.stack([part.mean(axis=0) if len(part) else f[0] * 0 for part in np.array_split(f, n)]),
            "You cut the sound into equal pieces. Which frames belong to a picture stands in `picture_of`.",
        ),
        (
            lambda f, p, n: _in_step(f, p + 1, n),
            "Each picture has its neighbor's sound: off by one.",
        ),
        (
            lambda f, p, n: _in_step(f, p, n, lambda own: own.mean()),
            "You took the mean over the features as well: one row per picture, with all its features.",
        ),
    ],
    what="The sound per picture",
)
def in_step(frames, picture_of, num_pictures):
    found = np.zeros((num_pictures, frames.shape[1]))
    for j in range(num_pictures):
        own = frames[picture_of == j]
        if len(own) > 0:
            found[j] = own.mean(axis=0)
    return found


def draw_blank_sequences():
    g = np.random.default_rng(0)
    yield ([np.array([5, 2, 7]), np.array([4])],)
    yield ([np.array([[1.0, 2.0]]), None, np.array([[3.0, 0.0], [0.0, 0.0]])],)
    yield ([None, np.array([3, 1]), np.array([0, 0, 9]), None],)
    yield ([g.normal(size=(t, 2)).round(2) for t in (3, 1, 4)],)


def _padded(sequences, mask=lambda values, lengths: None, front=False, ones=False):
    there = np.array([s is not None for s in sequences])
    lengths = np.array([0 if s is None else len(s) for s in sequences])
    like = next(s for s in sequences if s is not None)
    values = np.zeros((len(sequences), lengths.max(), *like.shape[1:]), like.dtype)
    for i in np.flatnonzero(there):
        if front:
            values[i, lengths.max() - lengths[i] :] = sequences[i]
        else:
            values[i, : lengths[i]] = sequences[i]
    changed = mask(values, lengths)
    return values, np.arange(lengths.max()) < lengths[:, None] if changed is None else changed, there


def _without_absent(sequences):
    return _padded([s for s in sequences if s is not None])


@blank(
    "multimodal_data.blank.3",
    title="One modality of a batch",
    inputs=draw_blank_sequences,
    names=("values", "padding_mask", "there"),
    mistakes=[
        (
            lambda sequences: _padded(sequences, lambda v, n: np.arange(n.max()) >= n[:, None]),
            "Your padding mask is True at the padding. In this course True is a real element.",
        ),
        (
            lambda sequences: _padded(sequences, lambda v, n: v.reshape(*v.shape[:2], -1).any(axis=2)),
            "You made the mask from the zeros. A real element may be zero: use the lengths.",
        ),
        (
            lambda sequences: _padded(sequences, lambda v, n: np.ones(v.shape[:2], bool)),
            "Your padding mask is True everywhere, so nobody can tell what is real.",
        ),
        (
            lambda sequences: _padded(sequences, lambda v, n: np.arange(n.max()) <= n[:, None]),
            "One element too many counts as real in each row: position j is real if j < length.",
        ),
        (lambda sequences: _padded(sequences, front=True), "Your zeros are in front. Each sequence starts its row."),
        (_without_absent, "You left out the samples that lack this modality. Each sample keeps its row."),
    ],
)
def pad_modality(sequences):
    there = np.array([s is not None for s in sequences])
    lengths = np.array([0 if s is None else len(s) for s in sequences])
    like = next(s for s in sequences if s is not None)
    values = np.zeros((len(sequences), lengths.max(), *like.shape[1:]), like.dtype)
    for i in np.flatnonzero(there):
        values[i, : lengths[i]] = sequences[i]
    padding_mask = np.arange(lengths.max()) < lengths[:, None]
    return values, padding_mask, there


def draw_blank_means():
    g = np.random.default_rng(0)
    yield np.array([[[2.0], [4.0], [0.0]]]), np.array([[True, True, False]])
    yield np.array([[[1.0, 5.0], [9.0, 9.0]], [[2.0, 2.0], [4.0, 0.0]]]), np.array([[True, False], [True, True]])
    yield np.array([[[3.0], [5.0]], [[7.0], [7.0]]]), np.array([[True, True], [False, False]])
    yield g.normal(size=(2, 4, 3)).round(2), np.array([[True, False, True, True], [True, True, False, False]])


@blank(
    "multimodal_data.blank.2",
    title="The masked mean",
    inputs=draw_blank_means,
    mistakes=[
        (lambda x, m: x.mean(axis=1), "Padding counts in your mean: multiply by the mask."),
        (
            lambda x, m: (x * m[..., None]).mean(axis=1),
            "You divided by the length of the row, padding included. Divide by the number of real elements.",
        ),
        (lambda x, m: (x * m[..., None]).sum(axis=1), "That is the sum of the real elements: divide by their number."),
        (
            lambda x, m: (x * m[..., None]).sum(axis=1) / m.sum(),
            "You divided by the real elements of the whole batch. Each sample has its own number.",
        ),
        (
            lambda x, m: (x * m[..., None]).sum(axis=1) / (1 + m.sum(axis=1))[:, None],
            "You added 1 to every number of elements. Only 0 becomes 1: `np.maximum(1, …)`.",
        ),
        (
            lambda x, m: (x * ~m[..., None]).sum(axis=1) / np.maximum(1, (~m).sum(axis=1))[:, None],
            "That is the mean of the padding: True is real.",
        ),
    ],
    what="The means",
)
def masked_mean(x, padding_mask):
    real = padding_mask[..., None]
    total = (x * real).sum(axis=1)
    count = np.maximum(1, real.sum(axis=1))
    return total / count


@blank(
    "multimodal_data.blank.4",
    title="How many pairs agree",
    inputs=[
        (np.array([[5, 0], [4, 1], [3, 2]]),),
        (np.array([[2, 1, 0], [1, 1, 1]]),),
        (np.array([[2, 0], [1, 1]]),),
        (np.array([[0, 4, 3]]),),
    ],
    mistakes=[
        (
            lambda counts: counts.max(axis=1) / counts.sum(axis=1),
            "That is the share of the most frequent answer. Count pairs of annotators who agree.",
        ),
        (
            lambda counts: (counts**2).sum(axis=1) / counts.sum(axis=1) ** 2,
            "You let annotators agree with themselves: of n, one has only n − 1 others.",
        ),
        (
            lambda counts: (counts * (counts - 1)).sum(axis=1),
            "These are numbers of pairs: divide by how many there are, n (n − 1).",
        ),
        (
            lambda counts: (counts * (counts - 1)).sum(axis=1) / 2 / (counts.sum(axis=1) * (counts.sum(axis=1) - 1)),
            "Half is missing: if n (n − 1) counts each pair twice, so does the numerator.",
        ),
        (
            lambda counts: np.mean(
                (counts * (counts - 1)).sum(axis=1) / (counts.sum(axis=1) * (counts.sum(axis=1) - 1))
            ),
            "You took the mean over the items. Here each item keeps its own share.",
        ),
    ],
    what="The shares",
)
def pair_agreement(counts):
    n = counts.sum(axis=1)
    agreeing = (counts * (counts - 1)).sum(axis=1)
    return agreeing / (n * (n - 1))
