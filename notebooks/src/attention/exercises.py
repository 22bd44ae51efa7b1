"""Attention by hand, masks, and what a weight does not say; a multi-head module is in the files for frameworks."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, example, exercise, in_turn, lesson, one_of, part, right, says

lesson(
    "attention",
    promise="Attention in four lines, masks that hold in every corner, which word really mattered, and multi-head "
    "attention as a PyTorch module and as a Keras layer.",
    uses="NumPy; the last two PyTorch and Keras",
    setup="""
import math

import keras
import numpy as np
import torch
from keras import ops
from torch import nn

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def attend(q, k, v):
    """Return output (n, d_v) and weights (n, m)."""
    scores = q @ k.T / np.sqrt(k.shape[1])  # (n, m)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = e / e.sum(axis=1, keepdims=True)
    return weights @ v, weights


def draw_qkv(g, n, m, d_k, d_v, size=1.0):
    return size * g.normal(size=(n, d_k)).round(2), g.normal(size=(m, d_k)).round(2), g.normal(size=(m, d_v)).round(2)


def draw_own_qkv(g):
    return g.integers(0, 4, (1, 4)) * 1.0, g.integers(0, 4, (2, 4)) * 1.0, np.array([[1.0], [0.0]])


attention = exercise(
    "attention.1",
    attend,
    title="Attention in four lines",
    points=2,
    difficulty=1,
    minutes=8,
    statement=[
        says(r"$$\text{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right) V$$", mistake="You forgot to divide"),
        context(
            r"**Example.** One query, two keys, $d_k = 4$. The scores are 2 and 0; divided by $\sqrt 4$ they are 1 and 0."
        ),
        example("""
q = np.array([[1.0, 1.0, 0.0, 0.0]])  # (1, 4)
k = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])  # (2, 4)
print("scores", q @ k.T, "  weights", (np.exp([1.0, 0.0]) / np.exp([1.0, 0.0]).sum()).round(3))
"""),
        says("**Write** `attend(q, k, v)` for `q` (n, d_k), `k` (m, d_k) and `v` (m, d_v).", mistake="root of d_v"),
        says("Return two arrays: the output (n, d_v) and the weights (n, m).", mistake="in the wrong order"),
        says("Scores may be as large as a thousand, and the answer must stay finite.", mistake="overflows"),
    ],
    hints=[
        "A row belongs to a query. Each query has one unit of attention to spend among the keys: which axis is that?",
        "`np.exp(1000)` is inf. Subtract each row's maximum first (`axis=1, keepdims=True`): the softmax does not change.",
    ],
    draw=draw_qkv,
    parts=[
        part("several queries and keys", weight=2, n=between(4, 6), m=between(2, 3), d_k=between(5, 8), d_v=2),
        part("one query", n=1, m=between(2, 5), d_k=between(2, 4), d_v=between(5, 6)),
        part("as many queries as keys", n=4, m=4, d_k=between(2, 4), d_v=5),
        part("one key", n=between(2, 5), m=1, d_k=between(2, 6), d_v=between(2, 6)),
        part("scores in the thousands", n=3, m=4, d_k=between(2, 6), d_v=between(2, 6), size=4000.0),
    ],
    own=draw_own_qkv,
    mistakes={
        "Columns of your weights sum to 1, rows do not: softmax over the wrong axis. Each query spends one unit.": (
            "e = np.exp(scores - scores.max(axis=0))\nweights = e / e.sum(axis=0)"
        ),
        "You forgot to divide the scores by the root of d_k.": "scores = q @ k.T",
        "You divided by d_k itself. The variance of q·k is d_k, so its spread is the root of it.": (
            "scores = q @ k.T / k.shape[1]"
        ),
        "You multiplied by the root of d_k where it divides.": "scores = q @ k.T * np.sqrt(k.shape[1])",
        "You divided by the root of m, the number of keys. It is the *width* of a key that sets the variance.": (
            "scores = q @ k.T / np.sqrt(k.shape[0])"
        ),
        "You divided by the root of d_v, the width of the values. The scores come from keys: d_k.": (
            "scores = q @ k.T / np.sqrt(v.shape[1])"
        ),
        "Your softmax overflows when scores are large. Subtract each row's maximum before `np.exp`.": (
            "e = np.exp(scores)"
        ),
        "You subtracted one maximum for the whole table: rows far below it become 0 / 0. Each row needs its own.": (
            "e = np.exp(scores - scores.max())"
        ),
        "You clipped the scores: those beyond the limit become equal. Subtract each row's maximum instead.": [
            "e = np.exp(np.clip(scores, -700, 700))",
            "e = np.exp(np.clip(scores, -50, 50))",
        ],
        "Both arrays are right, in the wrong order: first the output, then the weights.": "return weights, weights @ v",
        "These are the scaled scores, and values mixed by them: the softmax is missing.": "weights = scores",
    },
    praise="Score, scale, softmax, mix: that is every attention layer there is.",
    names=("output", "weights"),
)


@right(attention)
def attend_by_rows(q, k, v):
    rows = []
    for query in q:
        scores = k @ query / k.shape[1] ** 0.5
        e = np.exp(scores - scores.max())
        rows.append(e / e.sum())
    return np.array(rows) @ v, np.array(rows)


@right(attention)
def attend_by_einsum(q, k, v):
    scores = np.einsum("nd,md->nm", q / np.sqrt(q.shape[-1]), k)
    logs = scores - scores.max(1)[:, None]
    weights = np.exp(logs - np.log(np.exp(logs).sum(1, keepdims=True)))
    return np.einsum("nm,md->nd", weights, v), weights


# ---------------------------------------------------------------- 2
def masked_weights(scores, padding_mask, causal):
    """Weights (b, n, n) among the allowed positions; rows with none are zero."""
    real = np.broadcast_to(padding_mask[:, None, :], scores.shape)  # (b, n, n): columns are keys
    past = np.tri(scores.shape[-1], dtype=bool)  # (n, n), the diagonal included
    keep = real & past if causal else real
    e = np.where(keep, np.exp(scores - scores.max(axis=-1, keepdims=True)), 0)
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total > 0, total, 1)


def plain_softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def allowed(padding_mask, causal):
    n = padding_mask.shape[1]
    keep = np.repeat(padding_mask[:, None, :], n, axis=1)
    return keep & np.tri(n, dtype=bool) if causal else keep


def draw_scores(g, causal, padding):
    """Scores and a mask: padding on the right, on the left, anywhere, or one sample of nothing else."""
    b, n = g.integers(2, 4), g.integers(3, 6)
    real = g.integers(1, n, (b, 1))
    real[0] = n  # one sample without padding
    mask = {"right": np.arange(n) < real, "left": np.arange(n) >= n - real, "any": g.random((b, n)) < 0.6}[padding]
    if padding == "any":
        mask[0] = False
    return g.normal(size=(b, n, n)).round(2), mask, causal


def draw_own_scores(g):
    mask = g.permutation([True, True, True, False])[None]
    return g.integers(0, 5, (1, 4, 4)) * 1.0, mask, bool(g.integers(2))


masks = exercise(
    "attention.2",
    masked_weights,
    title="Masks that hold in every corner",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        says(
            "Turn scores (b, n, n) into weights when some positions are padding", mistake="Neither mask has any effect"
        ),
        says("and, if `causal` is True, the future is closed.", mistake="`causal` has no effect"),
        says("`padding_mask` (b, n) is True where a word is **real**.", mistake="upside down"),
        says(
            "Word $i$ may attend to word $j$ if $j$ is real and, when causal, $j \\le i$.",
            mistake="closes a word's view of itself",
        ),
        says("Each row sums to 1;", mistake="set weights to 0 after the softmax"),
        says("a row that may attend to nothing is all zeros.", mistake="became NaN"),
        context("**Example.** Equal scores, three positions, the last is padding, causal."),
        example("""
allowed = np.tri(3, dtype=bool) & np.array([True, True, False])
print(allowed.astype(int))
print((allowed / allowed.sum(axis=1, keepdims=True)).round(2))
"""),
        says("**Write** `masked_weights(scores, padding_mask, causal)`.", mistake="You close the future even"),
        says("Return weights (b, n, n).", ignored="return (e / np.where(total > 0, total, 1)).mean(axis=0)"),
        says(
            "Padding may also stand on the *left*: then the first word, when causal, has nothing to attend to.",
            mistake="spreads over everything",
        ),
    ],
    hints=[
        "Make one array `keep` (b, n, n) first. `padding_mask[:, None, :]` lays the mask along columns, "
        "`np.tri(n, dtype=bool)` is the lower triangle, and `&` joins both.",
        "Put 0 where `keep` is False *before* you divide by the row's sum. Where that sum is 0, divide by 1 instead.",
    ],
    draw=draw_scores,
    parts=[
        part("padding on the right, causal", causal=True, padding="right"),
        part("padding on the right", causal=False, padding="right"),
        part("padding on the left, causal", causal=True, padding="left"),
        part("rows that may attend to nothing", causal=in_turn(True, False), padding="any"),
    ],
    own=draw_own_scores,
    mistakes={
        "Neither mask has any effect: these are the weights of a plain softmax.": lambda s, p, c: plain_softmax(s),
        "Your mask is upside down: True means real, so keep what is True.": (
            "real = np.broadcast_to(~padding_mask[:, None, :], scores.shape)"
        ),
        "You masked rows, those who look. Padding must not be *looked at*: mask columns, `padding_mask[:, None, :]`.": (
            "real = np.broadcast_to(padding_mask[:, :, None], scores.shape)"
        ),
        "You set weights to 0 after the softmax, so rows no longer sum to 1. Mask first, then divide by the sum.": (
            lambda s, p, c: plain_softmax(s) * allowed(p, c)
        ),
        "You set masked scores to 0, but e to the 0 is 1: they still get weight. Minus infinity gets none.": (
            lambda s, p, c: plain_softmax(np.where(allowed(p, c), s, 0))
        ),
        "Your causal mask looks at the future and closes the past: it is the other triangle.": (
            "past = np.tri(scores.shape[-1], dtype=bool).T"
        ),
        "Your causal mask closes a word's view of itself. Place i may look at i: the diagonal belongs to it.": (
            "past = np.tri(scores.shape[-1], k=-1, dtype=bool)"
        ),
        "Padding is right, but `causal` has no effect.": "keep = real",
        "You close the future even where `causal` is False.": "keep = real & past",
        "The causal mask is right, but the padding mask has no effect.": "real = np.ones(scores.shape, bool)",
        "A row that may look at nothing became NaN (0 divided by 0). It should be all zeros.": "return e / total",
        "A row that may look at nothing spreads over everything, padding included. It should be all zeros.": [
            "return np.where(total > 0, e / np.where(total > 0, total, 1), 1 / scores.shape[-1])",
            lambda s, p, c: plain_softmax(np.where(allowed(p, c), s, -1e9)),
        ],
    },
    praise="Padding gets nothing, the future stays closed, and an empty row stays finite.",
    what="The weights",
)


@right(masks)
def weights_by_loops(scores, padding_mask, causal):
    b, n, _ = scores.shape
    weights = np.zeros((b, n, n))
    for s in range(b):
        for i in range(n):
            keys = [j for j in range(n) if padding_mask[s, j] and (not causal or j <= i)]
            if keys:
                e = np.exp(scores[s, i, keys] - scores[s, i, keys].max())
                weights[s, i, keys] = e / e.sum()
    return weights


@right(masks)
def weights_by_infinity(scores, padding_mask, causal):
    logits = np.where(allowed(padding_mask, causal), scores, -np.inf)
    top = logits.max(axis=-1, keepdims=True)
    e = np.exp(logits - np.where(np.isfinite(top), top, 0))
    return e / np.maximum(e.sum(axis=-1, keepdims=True), 1e-300)


# ---------------------------------------------------------------- 3
def who_mattered(weights, values, readout):
    """Return contributions (n,), index of the largest weight, index of the strongest contribution."""
    contributions = weights * (values @ readout)  # (n,)
    looked_at = int(weights.argmax())
    mattered = int(np.abs(contributions).argmax())
    return contributions, looked_at, mattered


def draw_words(g, n, pull=1.0):
    """Weights, values and a readout; `pull` below 0 turns the contributions down."""
    weights, readout = g.dirichlet(np.ones(n)), g.normal(size=g.integers(2, 6)).round(2)
    values = g.normal(size=(n, len(readout))) + pull * readout / np.linalg.norm(readout)
    return weights, values.round(2), readout


def draw_own_words(g):
    return g.permutation([0.6, 0.3, 0.1]), g.normal(0, 3, (3, 2)).round(1), np.array([1.0, 0.5])


# Attended to most: 0. Moves the logit most: 1, downwards. Largest value: 2. Moves it most upwards: 3.
FOUR_WORDS = (
    np.array([0.6, 0.1, 0.1, 0.2]),
    np.array([[0.1, 0.0], [-8.0, 1.0], [0.0, 20.0], [2.0, 1.0]]),
    np.array([1.0, 0.0]),
)

words = exercise(
    "attention.3",
    who_mattered,
    title="Which word really mattered?",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context(
            r"A classifier reads one attention output $y = \sum_j w_j v_j$ with a vector $u$: its logit is $u \cdot y$."
        ),
        says(
            r"So word $j$ **contributes** $w_j\,(v_j \cdot u)$, and the contributions add up to the logit.",
            mistake="leave out the weights",
        ),
        context(
            "**Example.** The word with 0.9 of the attention contributes nothing; the other decides, against the class."
        ),
        example("""
weights = np.array([0.9, 0.1])
values = np.array([[0.0, 2.0], [-5.0, 0.0]])
readout = np.array([1.0, 0.0])
print("contributions", weights * (values @ readout), "  logit", readout @ (weights @ values))
"""),
        says(
            "**Write** `who_mattered(weights, values, readout)` for `weights` (n,), `values` (n, d) and `readout` (d,).",
            mistake="You took the values' size",
        ),
        says("Return three things: `contributions` (n,);", mistake="lost their sign"),
        says("`looked_at`, the index of the largest weight;", mistake="`looked_at` goes by contributions"),
        says("and `mattered`, the index of the contribution that moves the logit most,", mistake="most looked-at word"),
        says("up **or** down.", mistake="largest contribution upwards"),
        context("(In the example: 0 and 1.)"),
    ],
    hints=[
        "`values @ readout` is what each word says to this classifier; it does not yet know how much of it is taken.",
        "A contribution of −0.5 moves the logit more than one of 0.1: compare `np.abs`.",
    ],
    draw=draw_words,
    parts=[
        part("four words", inputs=[FOUR_WORDS], public_only=True),
        part("few words", n=between(2, 4)),
        part("many words", n=between(5, 12)),
        part("words that push down", n=between(3, 8), pull=one_of(-1.5, -1.0)),
        part("a single word", n=1),
    ],
    own=draw_own_words,
    mistakes={
        "Your contributions leave out the weights: a word that is hardly looked at cannot say much.": (
            "contributions = values @ readout"
        ),
        "You took the values' size. What counts is the part that the readout sees: `values @ readout`.": (
            "contributions = weights * np.linalg.norm(values, axis=1)"
        ),
        "Your `mattered` goes by the values' size. What counts is the part that the readout sees.": (
            "mattered = int((weights * np.linalg.norm(values, axis=1)).argmax())"
        ),
        "Your `mattered` is the largest contribution upwards. One that pushes down hard moves the logit too: "
        "`np.abs`.": "mattered = int(contributions.argmax())",
        "Your `mattered` is the most looked-at word. The whole point is that it may be another.": (
            "mattered = looked_at"
        ),
        "Your contributions lost their sign. They must add up to the logit.": (
            "contributions = np.abs(weights * (values @ readout))"
        ),
        "You divided the contributions by their sum. They must add up to the logit itself.": (
            "contributions = weights * (values @ readout) / (weights * (values @ readout)).sum()"
        ),
        "Your `looked_at` goes by contributions. It is the index of the largest weight.": (
            "looked_at = int(np.abs(contributions).argmax())"
        ),
    },
    praise="Where a model looks and what moves its answer are two questions.",
    names=("contributions", "looked_at", "mattered"),
)


@right(words)
def by_sorting(weights, values, readout):
    contributions = [
        w * sum(a * b for a, b in zip(v, readout, strict=True)) for w, v in zip(weights, values, strict=True)
    ]
    order = sorted(range(len(weights)), key=lambda j: -abs(contributions[j]))
    return contributions, max(range(len(weights)), key=lambda j: weights[j]), order[0]


@right(words)
def by_squares(weights, values, readout):
    contributions = (weights[:, None] * values) @ readout
    return contributions, np.argmax(weights), np.argmax(contributions**2)


# ---------------------------------------------------------------- blanks of the lesson
def draw_blank_scores():
    g = np.random.default_rng(0)
    return [
        (g.normal(size=(n, d)).round(2), g.normal(size=(m, d)).round(2))
        for n, m, d in ((2, 3, 4), (1, 1, 1), (5, 2, 9))
    ]


@blank(
    "attention.blank.1",
    title="Scaled scores",
    inputs=draw_blank_scores,
    mistakes=[
        (lambda q, k: q @ k.T, "These are the scores before scaling: divide by the root of the width of a key."),
        (lambda q, k: q @ k.T / k.shape[1], "You divided by d_k itself: divide by its root."),
        (lambda q, k: q @ k.T / np.sqrt(len(k)), "You divided by the root of the number of keys: it is their width."),
        (lambda q, k: k @ q.T / np.sqrt(k.shape[1]), "Queries are rows and keys are columns: q comes first."),
        (lambda q, k: q @ k.T * np.sqrt(k.shape[1]), "You multiplied by the root where it divides."),
    ],
    what="The scores",
)
def scaled_scores(q, k):
    scores = q @ k.T  # (n, d_k) @ (d_k, m) → (n, m)
    return scores / np.sqrt(k.shape[1])


@blank(
    "attention.blank.2",
    title="The causal mask",
    inputs=[(3,), (1,), (6,)],
    mistakes=[
        (lambda n: np.triu(np.ones((n, n), dtype=bool)), "This closes the past: keep the lower triangle."),
        (
            lambda n: np.tril(np.ones((n, n), dtype=bool), -1),
            "A position may attend to itself: the diagonal is True.",
        ),
        (lambda n: ~np.tril(np.ones((n, n), dtype=bool)), "This is the opposite: True means *may* attend."),
        (lambda n: np.ones((n, n), dtype=bool), "Nothing is closed: later positions are still open."),
    ],
    what="The mask",
)
def causal_mask(n):
    return np.tril(np.ones((n, n), dtype=bool))


@blank(
    "attention.blank.3",
    title="Splitting heads",
    inputs=[
        (np.arange(48.0).reshape(2, 3, 8), 2),
        (np.arange(4.0).reshape(1, 1, 4), 1),
        (np.arange(30.0).reshape(1, 5, 6), 3),
        (np.arange(30.0).reshape(1, 5, 6), 6),
    ],
    mistakes=[
        (
            lambda x, num_heads: x.reshape(len(x), num_heads, x.shape[1], -1),
            "Reshaping straight to the end mixes words with features: first (b, n, num_heads, d / num_heads).",
        ),
        (
            lambda x, num_heads: x.reshape(*x.shape[:2], num_heads, -1),
            "The heads are split, but their axis comes after the words: swap axes 1 and 2.",
        ),
        (
            lambda x, num_heads: x.reshape(*x.shape[:2], -1, num_heads).swapaxes(1, 3).swapaxes(2, 3),
            "A head should take neighboring features: the heads come first in the reshape.",
        ),
    ],
    what="The heads",
)
def split_heads(x, num_heads):
    b, n, d = x.shape
    pieces = x.reshape(b, n, num_heads, d // num_heads)
    return pieces.swapaxes(1, 2)


@blank(
    "attention.blank.4",
    title="A padding mask that fits the scores",
    inputs=[
        (np.array([[True, True, False], [True, False, False]]),),
        (np.array([[True]]),),
        (np.array([[False, True, True, True]]),),
    ],
    mistakes=[
        (
            lambda padding_mask: padding_mask[:, None, :, None],
            "This masks queries. Padding must not be attended *to*: the last axis is that of the keys.",
        ),
        (lambda padding_mask: ~padding_mask[:, None, None, :], "This is the opposite: True stays True, a real word."),
        (lambda padding_mask: padding_mask[:, None, :], "One axis is missing: (b, 1, 1, m) has two axes of length 1."),
        (lambda padding_mask: padding_mask[None, None], "The batch comes first: (b, 1, 1, m)."),
    ],
    what="The mask",
)
def key_mask(padding_mask):
    return padding_mask[:, None, None, :]
