"""Retrieval when several answers are right and a fair foil, in NumPy; the challenge. The losses: in the file for PyTorch."""

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
    part,
    right,
    says,
)

lesson(
    "clip",
    promise="Recall at k when several answers are right, CLIP's loss with hard negatives, the sigmoid loss, a foil that "
    "only the picture can tell, and a challenge: two spaces that nobody aligned.",
    uses="NumPy; two of them PyTorch",
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


# ---------------------------------------------------------------- 4
SHAPES, COLORS, SIZES = 6, 8, 2


def fair_foil(kinds, lacking):
    """kinds (n, 3): shape, color and size of each thing. Return the kinds of a foil, or `kinds` where you make none."""
    shapes, colors, _ = kinds.T
    foil = kinds.copy()
    foil[0, 1], foil[1, 1] = colors[1], colors[0]
    strange = (foil[:, None] == lacking).all(axis=2).any()  # (n, m, 3): a thing equal to one that training lacks
    false = shapes[0] != shapes[1] and colors[0] != colors[1]
    return foil if false and not strange else kinds


EXCHANGE = "foil[0, 1], foil[1, 1] = colors[1], colors[0]"
NOTHING = "There is a fair foil here, the first two things with their colors exchanged, and you made none."
ORDER = "The foil is still true: which thing is said first, or which of two stars is red, does not make it false."
ONE = "Only one thing changed its color: give its old color to the other one, or a color is gone and another is there twice."
NEW = (
    "You brought in a color that was not there. Other words may be more or less likely: exchange colors that are there."
)
OTHER = "Shapes or sizes changed too. Only colors may, and the things keep their order."
STRANGE = "A thing of your foil is one that training lacks: a judge without eyes rejects it because it is strange."
UNDONE = "Made twice, your change does not give the first things back. Then some sentences are foils more often than they are "
UNDONE += "captions, and that can be learned without looking."


def is_strange(kinds, lacking):
    """Whether training lacks one of these things."""
    return not set(map(tuple, kinds.tolist())).isdisjoint(map(tuple, lacking.tolist()))


def exchanged(kinds, lacking, i=0, j=1):
    """The colors of things i and j exchanged; None where that is not fair."""
    foil = kinds.copy()
    foil[[i, j], 1] = foil[[j, i], 1]
    differ = kinds[i, 0] != kinds[j, 0] and kinds[i, 1] != kinds[j, 1]
    return foil if differ and not is_strange(foil, lacking) else None


def foil_from(answer, kinds, lacking):
    """What an answer gives, if these are kinds at all."""
    foil = to_numpy(call(answer, kinds.copy(), lacking.copy()), "The foil", "whole numbers")
    if foil.shape != kinds.shape:
        raise CheckFailed(f"The foil should have a row for each thing, {kinds.shape}; got shape {foil.shape}.")
    if foil.dtype.kind not in "iu":
        raise CheckFailed(f"The foil should hold whole numbers; it has dtype {foil.dtype}.")
    if (foil < 0).any() or (foil >= (SHAPES, COLORS, SIZES)).any():
        raise CheckFailed("A shape, color or size of the foil does not exist: 0 to 5, 0 to 7, 0 to 1.")
    return foil


def judge_foil(answer, args):
    """False, as likely, nothing strange; and the change undoes itself, so that nobody can tell without looking."""
    kinds, lacking = args
    foil = foil_from(answer, kinds, lacking)
    where = f"\nThings: {kinds.tolist()}, foil: {foil.tolist()}."
    if np.array_equal(foil, kinds):
        if exchanged(kinds, lacking) is not None:
            raise CheckFailed(f"{NOTHING}\nThings: {kinds.tolist()}.")
        return
    if sorted(foil[:, :2].tolist()) == sorted(kinds[:, :2].tolist()):
        raise CheckFailed(ORDER + where)
    if not np.array_equal(foil[:, [0, 2]], kinds[:, [0, 2]]):
        raise CheckFailed(OTHER + where)
    if sorted(foil[:, 1]) != sorted(kinds[:, 1]):
        raise CheckFailed((ONE if set(foil[:, 1]) <= set(kinds[:, 1]) else NEW) + where)
    if is_strange(foil, lacking):
        raise CheckFailed(STRANGE + where)
    if not np.array_equal(foil_from(answer, foil, lacking), kinds):
        raise CheckFailed(UNDONE + where)


def first_pair(kinds, lacking):
    """The first two things, of all pairs, that can exchange their colors do: looks fair, and is not."""
    for i in range(len(kinds)):
        for j in range(i + 1, len(kinds)):
            foil = exchanged(kinds, lacking, i, j)
            if foil is not None:
                return foil
    return kinds


def around(kinds, lacking):
    """Of three or more, each thing takes the color of the next: not undone by a second time."""
    foil = kinds.copy()
    foil[:, 1] = np.roll(kinds[:, 1], -1)
    things = set(map(tuple, kinds[:, :2].tolist()))
    fair = not is_strange(foil, lacking) and things != set(map(tuple, foil[:, :2].tolist()))
    return foil if len(kinds) > 2 and fair else fair_foil(kinds, lacking)


def draw_things(g, n, m, case="fair"):
    """Kinds of n things, and m kinds that training lacks, of these shapes and colors."""
    while True:
        kinds = np.stack([g.integers(SHAPES, size=n), g.integers(COLORS, size=n), g.integers(SIZES, size=n)], axis=1)
        known = set(map(tuple, kinds.tolist()))
        others = [(s, c, z) for s in set(kinds[:, 0]) for c in set(kinds[:, 1]) for z in range(SIZES)]
        others = [kind for kind in others if kind not in known]
        if len(others) < m:
            continue
        lacking = np.array(others).reshape(-1, 3)[g.permutation(len(others))[:m]]
        (shape, color, size), (other_shape, other_color, other_size) = kinds[:2].tolist()
        differ = shape != other_shape and color != other_color
        strange = [
            tuple(kind) in set(map(tuple, lacking.tolist()))
            for kind in ((shape, other_color, size), (other_shape, color, other_size))
        ]
        if {
            "fair": differ and not any(strange),
            "first strange": differ and strange == [True, False],
            "second strange": differ and strange == [False, True],
            "same shape": shape == other_shape and color != other_color and size != other_size and not any(strange),
            "same color": shape != other_shape and color == other_color,
            "another pair": not np.array_equal(first_pair(first_pair(kinds, lacking), lacking), kinds),
        }[case]:
            return kinds, lacking


foil_of = exercise(
    "clip.4",
    fair_foil,
    title="A foil that only the picture can tell",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        context(
            "`kinds` (n, 3) holds the shape (0 to 5), color (0 to 7) and size (0 or 1) of each of two to four things, in the order in "
            "which a caption says them; a caption says every shape and color, and a size only sometimes. `lacking` (m, 3) lists the "
            "kinds that training lacks."
        ),
        says("**Write** `fair_foil(kinds, lacking)`, the kinds of a foil, (n, 3):", mistake="Shapes or sizes changed"),
        says("the colors of two things exchanged,", mistake="Only one thing changed"),
        says("and no color that was not there,", mistake="You brought in a color"),
        says("such that its caption is *false* of these things,", mistake="still true"),
        says("none of its things is one that training lacks,", mistake="is one that training lacks"),
        says(
            "and your function, given the foil, gives back the first things: so caption and foil can change places, and "
            "whoever does not look can only toss a coin.",
            mistake="Made twice",
        ),
        says("Where the first two things can be exchanged, make a foil.", mistake="you made none"),
        context("Elsewhere you may, or return `kinds` as they are."),
        example("""
kinds = np.array([[0, 2, 1], [4, 5, 0]])  # a large thing of shape 0, and a small one of shape 4
lacking = np.array([[0, 5, 1]])  # training has no large thing of shape 0 in color 5
# exchanged they would be [0, 5, 1] and [4, 2, 0]: the first is strange, so no foil comes of these two
"""),
    ],
    hints=[
        "Which pair of things may you choose? If the choice depends on colors, the foil may choose another pair. And when does an "
        "exchange leave the sentence true?",
        "Take the first two things. Copy `kinds`, exchange two numbers of column 1, and return the copy if the two colors and the two "
        "shapes differ, and no row of it equals a row of `lacking`: `(foil[:, None] == lacking).all(axis=2).any()`.",
    ],
    judge=judge_foil,
    draw=draw_things,
    parts=[
        part("two things", weight=2, n=2, m=between(1, 3)),
        part("more than two things", n=between(3, 4), m=between(2, 6)),
        part("training lacks nothing", n=between(2, 3), m=0),
        part("the first would be one that training lacks", n=2, m=between(1, 2), case="first strange"),
        part("the second would be one that training lacks", n=2, m=between(1, 2), case="second strange"),
        part("the same shape twice", n=2, m=0, case="same shape"),
        part("the same color twice", n=2, m=1, case="same color"),
        part("another pair could be exchanged, once", n=4, m=between(8, 12), case="another pair"),
    ],
    own={"n": 3, "m": 4},
    own_says="Three things of your own, and what training lacks",
    mistakes={
        NOTHING: [
            "return kinds",
            "false = shapes[0] == shapes[1]",
            "strange = (foil[:, None, :2] == lacking[:, :2]).all(axis=2).any()",
            "strange = (foil[:, None] == lacking).any()",
            "strange = len(lacking) > 0",
        ],
        ORDER: [
            "false = colors[0] != colors[1]",
            lambda kinds, lacking: np.concatenate([kinds[1::-1], kinds[2:]]),
            lambda kinds, lacking: kinds[::-1],
        ],
        ONE: [edit(EXCHANGE, "foil[0, 1] = colors[1]"), edit(EXCHANGE, "foil[1, 1] = colors[0]")],
        NEW: [
            edit(EXCHANGE, "foil[0, 1] = next(c for c in range(8) if c not in colors)"),
            edit(EXCHANGE, "foil[:, 1] = (colors + 1) % 8"),
            edit(EXCHANGE, "foil[:, 1] = 7 - colors"),
        ],
        OTHER: "return foil * [1, 1, -1] + [0, 0, 1] if false and not strange else kinds",
        STRANGE: [
            "strange = False",
            "strange = (foil[0] == lacking).all(axis=1).any()",
            "strange = (foil[1] == lacking).all(axis=1).any()",
            "strange = (kinds[:, None] == lacking).all(axis=2).any()",
        ],
        UNDONE: [first_pair, around],
    },
    praise="Nobody can tell these from captions without looking. Most published foils are not made so.",
)


@right(foil_of)
def by_pairs_apart(kinds, lacking):
    """The first two, or else the last two of four: pairs that share no thing."""
    for i in range(0, len(kinds) - 1, 2):
        foil = exchanged(kinds, lacking, i, i + 1)
        if foil is not None:
            return foil.tolist()
    return kinds


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
