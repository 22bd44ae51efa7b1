"""Retrieval when several answers are right, in NumPy, and the open challenge; the losses are in the file for PyTorch."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    example,
    exercise,
    lesson,
    one_of,
    part,
    right,
    says,
)

lesson(
    "clip",
    promise="Recall at k when several answers are right, CLIP's loss with hard negatives, the sigmoid loss, and a challenge: "
    "two spaces that nobody aligned.",
    uses="NumPy; the last two PyTorch",
    setup="""
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def recall_at_k(scores, relevant, k):
    """Share of queries with a relevant item among their k best."""
    order = np.argsort(-scores, axis=1, kind="stable")  # (n, m), best first
    best = order[:, :k]  # (n, k)
    found = np.take_along_axis(relevant, best, axis=1)  # (n, k)
    hit = found.any(axis=1)  # (n,)
    counted = relevant.any(axis=1)
    return hit[counted].mean()


def draw_retrieval(g, n, m, k, several, empty):
    scores = g.permutation(n * m).reshape(n, m) / 10.0  # no ties
    relevant = np.zeros((n, m), dtype=bool)
    for row in range(n):
        count = int(g.integers(2, 4)) if several else 1
        relevant[row, g.choice(m, min(count, m), replace=False)] = True
    if empty:
        relevant[int(g.integers(n))] = False
    return scores, relevant, k


recall = exercise(
    "clip.1",
    recall_at_k,
    title="Recall when several answers are right",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        context("A sentence may fit several pictures. Then a search is right when it finds any of them."),
        says(
            "**Write** `recall_at_k(scores, relevant, k)` for `scores` (n, m), one row for each query and one column for "
            "each item, the larger the better,",
            mistake="the smallest scores",
        ),
        says("and `relevant` (n, m), True where an item is right for a query.", mistake="the diagonal"),
        says("A query is a hit when at least one of its `k` best items is relevant.", mistake="only the best item"),
        says("Return the share of hits,", mistake="You counted the hits"),
        says("among the queries that have a relevant item at all.", mistake="cannot be answered"),
        example("""
scores = np.array([[0.9, 0.1, 0.5], [0.2, 0.8, 0.7]])
relevant = np.array([[False, False, True], [True, False, True]])
print("best items:", scores.argmax(axis=1))  # neither is relevant: recall at 1 is 0, recall at 2 is 1
"""),
    ],
    hints=[
        "Which k columns are the best of a row, and how do you look up `relevant` at just these? Which rows must not count?",
        "`np.argsort(-scores, axis=1)[:, :k]`; `np.take_along_axis(relevant, best, axis=1)`; then `any(axis=1)`.",
    ],
    draw=draw_retrieval,
    parts=[
        part("one right answer", n=between(4, 7), m=7, k=1, several=False, empty=False),
        part("several right answers", weight=2, n=between(5, 8), m=6, k=1, several=True, empty=False),
        part("more than the best item", n=6, m=8, k=one_of(2, 3), several=True, empty=False),
        part("a query without an answer", n=6, m=5, k=2, several=False, empty=True),
        part("more queries than items", n=9, m=4, k=1, several=False, empty=False),
    ],
    own={"n": 3, "m": 4, "k": 2, "several": True, "empty": False},
    own_says="Scores, right answers and k of your own",
    mistakes={
        "You took the smallest scores: the larger, the better.": 'order = np.argsort(scores, axis=1, kind="stable")',
        "You looked at the diagonal only: `relevant` says which items are right.": (
            lambda scores, relevant, k: np.mean(
                [row in np.argsort(-scores[row])[:k] for row in range(min(scores.shape))]
            )
        ),
        "You looked at only the best item, whatever k is.": "best = order[:, :1]",
        "A query that cannot be answered counts as a miss: leave it out.": "return hit.mean()",
        "You counted the hits: divide by the number of queries that count.": "return hit[counted].sum()",
        "You asked for all of the k best to be relevant: one is enough.": "hit = found.all(axis=1)",
        "You counted relevant items among the best, not queries: that is precision.": "return found[counted].mean()",
        "You ranked queries for each item: the softmax of rows asks the other question.": (
            'order = np.argsort(-scores, axis=0, kind="stable")'
        ),
    },
    praise="This is how retrieval is scored where several captions belong to one picture.",
)


@right(recall)
def by_loop(scores, relevant, k):
    hits = []
    for row, good in zip(scores.tolist(), relevant.tolist(), strict=True):
        if not any(good):
            continue
        ranked = sorted(range(len(row)), key=lambda i: -row[i])
        hits.append(any(good[i] for i in ranked[:k]))
    return sum(hits) / len(hits)


@right(recall)
def by_threshold(scores, relevant, k):
    relevant = relevant[relevant.any(axis=1)] if relevant.all() else relevant
    keep = relevant.any(axis=1)
    best_relevant = np.where(relevant, scores, -np.inf).max(axis=1)
    rank = (scores > best_relevant[:, None]).sum(axis=1)
    return float((rank[keep] < k).mean())


# ---------------------------------------------------------------- an open challenge
NUM_PAIRS, NUM_NEW, SHARED = 400, 200, 6
WIDTHS = (14, 11)  # of the two spaces


def draw_spaces(g):
    """Two views of six shared numbers, each mixed with louder numbers that the other view does not have."""
    n = NUM_PAIRS + NUM_NEW
    shared = g.normal(size=(n, SHARED))
    views = []
    for width in WIDTHS:
        seen = shared + 0.25 * g.normal(size=shared.shape)
        own = 3 * g.normal(size=(n, width - SHARED))
        rotation = np.linalg.qr(g.normal(size=(width, width)))[0]
        views.append((np.concatenate([seen, own], axis=1) @ rotation).round(4))
    image, text = views
    partner = g.permutation(NUM_NEW)  # new text i belongs to new image partner[i]
    inputs = {
        "image": image[:NUM_PAIRS],
        "text": text[:NUM_PAIRS],
        "new_image": image[NUM_PAIRS:],
        "new_text": text[NUM_PAIRS:][partner],
    }
    return Drawn(inputs, partner)


def share_of_partners(handed_in, inputs, partner):
    """Share of the new texts whose image was found."""
    return np.mean(handed_in["found"] == partner)


challenge(
    "clip.challenge",
    title="Two spaces that nobody aligned",
    statement=[
        "Two encoders of strangers have seen the same things. Each vector holds six numbers about the thing, the same in both",
        "but for some noise, and louder numbers that only this encoder knows; all of it mixed by a rotation. The widths differ,",
        "so there are no cosines between the two. `image` (400, 14) and `text` (400, 11) are pairs: row i belongs to row i.",
        "`new_image` and `new_text`, 200 each, are in different orders. Find for each row of `new_text` its row of",
        "`new_image`, in any way: hand in `found`, integers (200,). Least squares from one space to the other, and then the",
        "nearest, finds about one in eleven.",
    ],
    draw=draw_spaces,
    score=share_of_partners,
    hand_in={"found": Array((NUM_NEW,), "integer")},
    to_beat=0.6,
    points_by_score={0.6: 1, 0.8: 2, 0.9: 3},
    minutes=60,
    score_name="share found",
)


# ---------------------------------------------------------------- the lesson's blanks
def vectors():
    g = np.random.default_rng(0)
    yield np.array([[3.0, 0.0], [0.0, 2.0]]), np.array([[2.0, 0.0], [1.0, 1.0]])
    yield g.normal(size=(4, 3)), 5 * g.normal(size=(6, 3))


@blank(
    "clip.blank.1",
    title="A table of cosines",
    inputs=vectors,
    mistakes=[
        (lambda image, text: image @ text.T, "Divide by the lengths first: these are dot products, not cosines."),
        (
            lambda image, text: (image / np.linalg.norm(image, axis=1, keepdims=True)) @ text.T,
            "Only the pictures have length 1: divide the sentences by their lengths too.",
        ),
        (
            lambda image, text: (image / np.linalg.norm(image, axis=0)) @ (text / np.linalg.norm(text, axis=0)).T,
            "You divided by the lengths of columns: a vector is a row, axis=1.",
        ),
        (
            lambda image, text: (
                (text / np.linalg.norm(text, axis=1, keepdims=True))
                @ (image / np.linalg.norm(image, axis=1, keepdims=True)).T
            ),
            "Pictures go down and sentences across: you have the transpose.",
        ),
    ],
)
def cosine_table(image, text):
    u = image / np.linalg.norm(image, axis=1, keepdims=True)
    v = text / np.linalg.norm(text, axis=1, keepdims=True)
    return u @ v.T


@blank(
    "clip.blank.4",
    title="Recall at 1",
    inputs=[
        (np.array([[3.0, 9.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 5.0]]),),
        (np.random.default_rng(1).normal(size=(9, 9)) + np.eye(9),),
    ],
    mistakes=[
        (
            lambda scores: (scores.argmax(axis=0) == np.arange(len(scores))).mean(),
            "You searched down the columns: each row is a query, axis=1.",
        ),
        (lambda scores: (scores.argmax(axis=1) == np.arange(len(scores))).sum(), "This is a count: take the mean."),
        (
            lambda scores: (scores.argmin(axis=1) == np.arange(len(scores))).mean(),
            "You took the smallest score: the largest is the best.",
        ),
    ],
)
def recall_at_1(scores):
    return (scores.argmax(axis=1) == np.arange(len(scores))).mean()
