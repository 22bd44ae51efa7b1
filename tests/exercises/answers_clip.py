"""Known right and wrong answers to the exercises of lesson clip, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- clip.1
def by_partition(scores, relevant, k):
    """Sets of the best items."""
    hits = []
    for row, good in zip(scores, relevant, strict=True):
        if good.sum() == 0:
            continue
        best = set(np.argpartition(-row, min(k, len(row)) - 1)[:k].tolist())
        hits.append(bool(best & set(np.flatnonzero(good).tolist())))
    return float(np.mean(hits))


def by_rank(scores, relevant, k):
    """How many items are better than the best relevant one."""
    kept = relevant.any(axis=1)
    top = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    return ((scores > top).sum(axis=1)[kept] < k).mean()


def recall(order=lambda s: np.argsort(-s, axis=1), first=lambda k: k, hit=lambda f: f.any(axis=1), mean=None):
    """A right answer with places to go wrong."""

    def answer(scores, relevant, k):
        found = np.take_along_axis(relevant, order(scores)[:, : first(k)], axis=1)
        kept = relevant.any(axis=1)
        return mean(hit(found), kept) if mean else hit(found)[kept].mean()

    return answer


# ---------------------------------------------------------------- clip.4
def among(foil, lacking):
    """Whether a thing of the foil is in a list of kinds."""
    return any(list(thing) in np.asarray(lacking).tolist() for thing in np.asarray(foil).tolist())


def foils_of(pair=(0, 1), column=1, shape=True, strange=among):
    """A right answer with places to go wrong."""

    def answer(kinds, lacking):
        i, j = pair
        foil = np.array(kinds)
        foil[[i, j], column] = foil[[j, i], column]
        differ = (not shape or kinds[i, 0] != kinds[j, 0]) and kinds[i, 1] != kinds[j, 1]
        return foil if differ and not strange(foil, lacking) else kinds

    return answer


def by_cases(kinds, lacking):
    """Plain Python, one reason after the other."""
    (s, c, z), (t, d, y), *rest = kinds.tolist()
    if s == t or c == d or [s, d, z] in lacking.tolist() or [t, c, y] in lacking.tolist():
        return kinds
    return [[s, d, z], [t, c, y], *rest]


def any_pair(kinds, lacking):
    """Tries pair after pair."""
    for j in range(1, len(kinds)):
        for i in range(j):
            foil = foils_of((i, j))(kinds, lacking)
            if not np.array_equal(foil, kinds):
                return foil
    return kinds


def changed(change):
    """An answer that makes one change and looks at nothing."""

    def answer(kinds, lacking):
        foil = kinds.copy()
        change(foil, kinds)
        return foil

    return answer


def another_color(foil, kinds):
    foil[0, 1] = min(set(range(8)) - set(kinds[:, 1].tolist()))


def borrowed(foil, kinds):
    foil[1, 1] = kinds[0, 1]


ANSWERS = {
    "clip.4": Answers(
        right=[by_cases, foils_of()],
        wrong=[
            (foils_of(strange=lambda foil, lacking: among(foil[:, :2], lacking[:, :2])), "you made none"),
            (foils_of(shape=False), "still true"),
            (changed(another_color), "You brought in a color"),
            (changed(borrowed), "Only one thing changed"),
            (foils_of(column=0), "Shapes or sizes changed"),
            (foils_of(strange=lambda foil, lacking: among(foil[:1], lacking)), "one that training lacks"),
            (any_pair, "Made twice"),
            (lambda kinds, lacking: [], "got shape (0,)"),
            (lambda kinds, lacking: kinds[:, 1], "got shape (2,)"),
        ],
    ),
    "clip.1": Answers(
        right=[by_partition, by_rank, recall()],
        wrong=[
            (recall(order=lambda s: np.argsort(s, axis=1)), "the smallest scores"),
            (recall(first=lambda k: 1), "only the best item"),
            (recall(mean=lambda hit, kept: hit.mean()), "cannot be answered"),
            (recall(hit=lambda f: f.all(axis=1)), "one is enough"),
            (recall(hit=lambda f: f.mean(axis=1)), "that is precision"),
            (recall(mean=lambda hit, kept: hit[kept].sum()), "You counted the hits"),
            (lambda s, r, k: by_rank(s, np.eye(*s.shape, dtype=bool), k), "diagonal"),
        ],
    ),
}
