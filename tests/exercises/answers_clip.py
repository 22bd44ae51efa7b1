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


ANSWERS = {
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
