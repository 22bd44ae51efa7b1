"""Hidden tests of lesson multimodal_data."""

import numpy as np

from mmcourse.check import Wrong
from mmcourse.check.lesson_multimodal_data import _judge_split, _mask
from mmcourse.classroom.hidden import TestCase, hidden


def _sequences(g, lengths, zeros=False):
    d = g.integers(2, 4)
    made = [g.normal(size=(t, d)) for t in lengths]
    if zeros:
        made[0][-1] = made[-1][0] = 0
    return (made,)


@hidden("multimodal_data.1")
def _(g):
    yield "different lengths", 2, lambda: _sequences(g, g.permutation([2, 3, 5, 7])[: g.integers(2, 5)])
    yield "real zeros", 1, lambda: _sequences(g, g.permutation([2, 4, 5]), zeros=True)
    yield "one sequence", 1, lambda: _sequences(g, [g.integers(1, 5)])


def _film(g, longer, rates=(16_000, 22_050, 44_100, 8000)):
    """Sound and film, one `longer` times the other."""
    hop, rate, fps = (int(g.choice(x)) for x in ((128, 160, 256, 400, 441), rates, (4, 10, 12, 24, 25, 30)))
    n = int(g.integers(40, 200))
    return n, hop, rate, fps, max(1, int(longer * n * hop * fps / rate))


@hidden("multimodal_data.2")
def _(g):
    yield "a film longer than its sound", 1, lambda: _film(g, 1.5)
    yield "sound longer than its film", 1, lambda: _film(g, 0.7)
    yield "frames at the very moment of a picture", 1, lambda: (60, 160, 16_000, int(g.choice([5, 10, 20, 25])), 40)
    yield "an hour of film", 1, lambda: _film(g, 1.2, (12_345, 23_456))


def _table(g, k, diagonal):
    return (g.integers(1, 9, (k, k)) + diagonal * np.eye(k, dtype=int),)


@hidden("multimodal_data.3")
def _(g):
    yield "two classes", 1, lambda: _table(g, 2, g.integers(3, 20))
    yield "many classes", 1, lambda: _table(g, g.integers(3, 7), g.integers(3, 20))
    yield "less agreement than by chance", 1, lambda: (g.integers(1, 5, (3, 3)) + 9 * np.eye(3, dtype=int)[[1, 2, 0]],)


def _people(g, even):
    names = g.choice(1000, g.integers(6, 10), replace=False)
    if g.random() < 0.5:
        names = np.array([f"speaker {name}" for name in names])
    return g.permutation(np.repeat(names, 4 if even else g.integers(1, 15, len(names))))


def _judged(groups, share, seeds):
    def judge(answer):
        masks = []
        for seed in seeds:
            masks.append(_mask(answer, groups, share, seed))
            _judge_split(answer, masks[-1], groups, share)
        return masks

    return judge


def _all(judges):
    judges = list(judges)
    return lambda answer: [judge(answer) for judge in judges]


def _chance(groups, seeds):
    """The same seed gives the same split; over many seeds everybody is drawn."""

    def judge(answer):
        masks = _judged(groups, 0.3, seeds)(answer)
        for mask, seed in zip(masks[:8], seeds, strict=False):
            if not np.array_equal(mask, _mask(answer, groups, 0.3, seed)):
                raise Wrong("two splits")
        if len(set.union(*(set(groups[mask]) for mask in masks))) < len(set(groups)):
            raise Wrong("never tested")

    return judge


@hidden("multimodal_data.4")
def _(g):
    whole = "Nobody may be on both sides, and the share is of people, rounded, at least one."
    seeds = [int(seed) for seed in g.integers(0, 10**6, 60)]
    share = float(g.choice([0.23, 0.28, 0.31, 0.37]))  # of 6 to 9 people never half a person, nor half of all
    for name, even in (("as many samples from each", True), ("more samples from some", False)):
        yield TestCase(name, 1, _all(_judged(_people(g, even), share, seeds[:5]) for _ in range(2)), advice=whole)
    rounding = _all(_judged(np.repeat(range(n), 3), share, seeds[:4]) for n, share in ((7, 0.25), (8, 0.3), (5, 0.05)))
    yield TestCase("a share that must be rounded", 1, rounding, advice=whole)
    fair = "The same seed gives the same split, other seeds other ones, and in the long run everybody is drawn."
    yield TestCase("chance, by the seed", 1, _chance(_people(g, False), seeds), advice=fair)
