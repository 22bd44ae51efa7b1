"""Additive attention, masks, contributions of words; modules are in the files for frameworks."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, example, exercise, in_turn, lesson, one_of, part, right, says

lesson(
    "attention",
    promise="Additive attention, masks that hold in every corner, what each word contributes, cross-attention as a "
    "PyTorch module, and an encoder in Keras whose masks are wrong.",
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
def additive_attention(q, k, v, W_q, W_k, w):
    """Return output (n, d_v) and weights (n, m)."""
    hidden = np.tanh((q @ W_q)[:, None, :] + (k @ W_k)[None, :, :])  # (n, m, h)
    scores = hidden @ w  # (n, m)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = e / e.sum(axis=1, keepdims=True)
    return weights @ v, weights


def draw_additive(g, n, m, d_q, d_k, d_v, h, size=1.0):
    q, k, v = g.normal(size=(n, d_q)), g.normal(size=(m, d_k)), g.normal(size=(m, d_v))
    W_q, W_k, w = g.normal(size=(d_q, h)), g.normal(size=(d_k, h)), size * g.normal(size=h)
    return tuple(array.round(2) for array in (q, k, v, W_q, W_k, w))


def draw_own_additive(g):
    q, k = g.integers(0, 6, (1, 2)) / 2, g.integers(0, 6, (2, 2)) / 2
    return q, k, np.array([[1.0], [0.0]]), np.eye(2), -np.eye(2), g.integers(1, 9, 2) * 1.0


attention = exercise(
    "attention.1",
    additive_attention,
    title="Additive attention",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        context(
            "Before dot products, Bahdanau et al. (2014) scored a query $q_i$ against a key $k_j$ with a small network:"
        ),
        says(r"$$s_{ij} = w^\top \tanh(W_q^\top q_i + W_k^\top k_j)$$", mistake="The tanh is missing"),
        says("with the tanh of the *sum*;", mistake="tanh of each part"),
        says("the vector $w$ makes one number out of the $h$ that come out of it,", mistake="leave out `w`"),
        says("and nothing is divided: the tanh keeps every number between −1 and 1.", mistake="not divided"),
        context("A softmax turns scores into weights, and the weights mix the values, as always."),
        context(
            "Queries and keys need not have the same width. **Example.** One query of width 1, two keys of width 2."
        ),
        example("""
q, k = np.array([[1.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])  # (1, 1), (2, 2)
W_q, W_k = np.array([[0.5]]), np.array([[1.0], [-1.0]])  # (1, h = 1), (2, h = 1)
print("before the tanh", q @ W_q + (k @ W_k).T)  # 0.5 + 1 and 0.5 − 2
"""),
        says(
            "**Write** `additive_attention(q, k, v, W_q, W_k, w)` for `q` (n, d_q), `k` (m, d_k), `v` (m, d_v), "
            "`W_q` (d_q, h), `W_k` (d_k, h) and `w` (h,).",
            mistake="softmax over the wrong axis",
        ),
        says("Return two arrays: the output (n, d_v) and the weights (n, m).", mistake="in the wrong order"),
        says("`w` may be large, scores in the thousands, and the answer must stay finite.", mistake="overflows"),
    ],
    hints=[
        "Each query meets each key *before* the tanh: which shape must the sum have, and where does each part get an "
        "axis of length 1?",
        "`(q @ W_q)[:, None, :]` is (n, 1, h); `np.tanh`; then `@ w`. For the softmax: `max` and `sum` with "
        "`axis=1, keepdims=True`.",
    ],
    draw=draw_additive,
    parts=[
        part(
            "several queries and keys",
            weight=2,
            n=between(4, 6),
            m=between(2, 3),
            d_q=between(2, 4),
            d_k=between(5, 6),
            d_v=2,
            h=between(2, 5),
        ),
        part("one query", n=1, m=between(2, 5), d_q=3, d_k=between(2, 4), d_v=between(5, 6), h=4),
        part("as many queries as keys", n=4, m=4, d_q=3, d_k=3, d_v=5, h=between(2, 3)),
        part("one key", n=between(2, 5), m=1, d_q=2, d_k=between(2, 6), d_v=between(2, 6), h=3),
        part("scores in the thousands", n=3, m=4, d_q=3, d_k=between(2, 6), d_v=between(2, 6), h=5, size=4000.0),
    ],
    own=draw_own_additive,
    mistakes={
        "Columns of your weights sum to 1, rows do not: softmax over the wrong axis. Each query spends one unit.": (
            "e = np.exp(scores - scores.max(axis=0))\nweights = e / e.sum(axis=0)"
        ),
        "The tanh is missing. Without it a query adds the same number to all of its scores, and the softmax takes that "
        "away again.": "hidden = (q @ W_q)[:, None, :] + (k @ W_k)[None, :, :]",
        "You took the tanh of each part before adding: then a query adds the same number to all of its scores.": (
            "hidden = np.tanh(q @ W_q)[:, None, :] + np.tanh(k @ W_k)[None, :, :]"
        ),
        "Your scores leave out `w`: its h numbers weigh what comes out of the tanh.": "scores = hidden.sum(axis=-1)",
        "You divided the scores by a root. Additive scores are not divided: the tanh keeps them small.": [
            "scores = hidden @ w / np.sqrt(len(w))",
            "scores = hidden @ w / np.sqrt(k.shape[1])",
        ],
        "You took the mean over the h numbers. `w` weighs them and adds them up; their number does not divide.": (
            "scores = hidden @ w / len(w)"
        ),
        "One softmax over the whole table: all weights together sum to 1. Each row has a softmax of its own.": (
            "e = np.exp(scores - scores.max())\nweights = e / e.sum()"
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
            "e = np.exp(np.minimum(scores, 700))",
        ],
        "Both arrays are right, in the wrong order: first the output, then the weights.": "return weights, weights @ v",
        "These are the scores, and values mixed by them: the softmax is missing.": "weights = scores",
    },
    praise="The first attention that there was. Its weights say which source word a translated word comes from.",
    names=("output", "weights"),
)


@right(attention)
def additive_by_rows(q, k, v, W_q, W_k, w):
    rows = []
    for query in q:
        scores = np.tanh(query @ W_q + k @ W_k) @ w
        e = np.exp(scores - scores.max())
        rows.append(e / e.sum())
    return np.array(rows) @ v, np.array(rows)


@right(attention)
def additive_by_einsum(q, k, v, W_q, W_k, w):
    queries, keys = np.einsum("nd,dh->nh", q, W_q), np.einsum("md,dh->mh", k, W_k)
    scores = np.einsum("nmh,h->nm", np.tanh(queries[:, None] + keys), w)
    logs = scores - scores.max(1)[:, None]
    weights = np.exp(logs - np.log(np.exp(logs).sum(1, keepdims=True)))
    return np.einsum("nm,md->nd", weights, v), weights


# ---------------------------------------------------------------- 2
def masked_weights(scores, padding_mask, causal):
    """Weights (b, n, n) among the allowed positions; rows with none are zero."""
    real = np.broadcast_to(padding_mask[:, None, :], scores.shape)  # (b, n, n): columns are keys
    past = np.tri(scores.shape[-1], dtype=bool)  # (n, n), the diagonal included
    keep = real & past if causal else real
    logits = np.where(keep, scores, -np.inf)
    top = logits.max(axis=-1, keepdims=True)  # the largest score that is allowed
    e = np.exp(logits - np.where(np.isfinite(top), top, 0))  # e to the minus infinity is 0
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total > 0, total, 1)


def plain_softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def allowed(padding_mask, causal):
    n = padding_mask.shape[1]
    keep = np.repeat(padding_mask[:, None, :], n, axis=1)
    return keep & np.tri(n, dtype=bool) if causal else keep


def upside_down_and_unstable(scores, padding_mask, causal):
    e = np.where(allowed(~padding_mask, causal), np.exp(scores), 0)
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total > 0, total, 1)


def renormalized(scores, padding_mask, causal):
    weights = plain_softmax(scores) * allowed(padding_mask, causal)
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total > 0, total, 1)


def draw_scores(g, causal, padding):
    """Scores and a mask: padding on the right (with huge scores), on the left, or anywhere; one sample all padding."""
    b, n = g.integers(2, 4), g.integers(3, 6)
    real = g.integers(1, n, (b, 1))
    real[0] = n  # one sample without padding
    mask = {"left": np.arange(n) >= n - real, "any": g.random((b, n)) < 0.6}.get(padding, np.arange(n) < real)
    if padding == "any":
        mask[0] = False
    scores = g.normal(size=(b, n, n)).round(2)
    if padding == "huge":
        scores += 1000 * ~mask[:, None, :]
    return scores, mask, causal


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
            mistake="closes a word to itself",
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
        says("A score under the mask may be huge, and must not matter.", mistake="already pushed"),
    ],
    hints=[
        "Make one array `keep` (b, n, n) first. `padding_mask[:, None, :]` lays the mask along columns, "
        "`np.tri(n, dtype=bool)` is the lower triangle, and `&` joins both.",
        "When do scores become −∞: before or after the row's maximum is taken? `np.where`, twice: for the scores, and "
        "for a sum that is 0.",
    ],
    draw=draw_scores,
    parts=[
        part("padding on the right, causal", causal=True, padding="right"),
        part("padding on the right", causal=False, padding="right"),
        part("padding on the left, causal", causal=True, padding="left"),
        part("rows that may attend to nothing", causal=in_turn(True, False), padding="any"),
        part("huge scores under the mask", causal=in_turn(False, True), padding="huge"),
    ],
    own=draw_own_scores,
    mistakes={
        "Neither mask has any effect: these are the weights of a plain softmax.": lambda s, p, c: plain_softmax(s),
        "Your mask is upside down: True means real, so keep what is True.": [
            "real = np.broadcast_to(~padding_mask[:, None, :], scores.shape)",
            upside_down_and_unstable,
        ],
        "You masked rows, the queries. Padding must not be attended *to*: mask columns, `padding_mask[:, None, :]`.": (
            "real = np.broadcast_to(padding_mask[:, :, None], scores.shape)"
        ),
        "You closed the rows of padded queries as well. Only keys have to be real: a padded query's output is thrown away "
        "anyway.": "real = padding_mask[:, None, :] & padding_mask[:, :, None]",
        "You set weights to 0 after the softmax, so rows no longer sum to 1. Mask first, then divide by the sum.": (
            lambda s, p, c: plain_softmax(s) * allowed(p, c)
        ),
        "You set masked scores to 0, but e to the 0 is 1: they still get weight. Minus infinity gets none.": (
            lambda s, p, c: plain_softmax(np.where(allowed(p, c), s, 0))
        ),
        "Your causal mask opens the future and closes the past: it is the other triangle.": (
            "past = np.tri(scores.shape[-1], dtype=bool).T"
        ),
        "Your causal mask closes a word to itself. Word i may attend to word i: the diagonal belongs to it.": (
            "past = np.tri(scores.shape[-1], k=-1, dtype=bool)"
        ),
        "Padding is right, but `causal` has no effect.": "keep = real",
        "You close the future even where `causal` is False.": "keep = real & past",
        "The causal mask is right, but the padding mask has no effect.": "real = np.ones(scores.shape, bool)",
        "You took only the number of real words from the mask, as if padding were always on the right. Use the mask "
        "itself.": (
            "real = np.broadcast_to((np.arange(scores.shape[-1]) < padding_mask.sum(axis=1)[:, None])[:, None], scores.shape)"
        ),
        "A row that may attend to nothing became NaN (0 divided by 0). It should be all zeros.": "return e / total",
        "A row that may attend to nothing spreads over everything, padding included. It should be all zeros.": [
            "return np.where(total > 0, e / np.where(total > 0, total, 1), 1 / scores.shape[-1])",
            lambda s, p, c: plain_softmax(np.where(allowed(p, c), s, -1e9)),
        ],
        "A huge score under the mask has already pushed the real words to 0 before you masked it. Mask first; then "
        "take the maximum and the exponentials.": [renormalized, "top = scores.max(axis=-1, keepdims=True)"],
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
def word_contributions(weights, values, readout):
    """Return contributions (n,), index of the largest weight, index of the strongest contribution."""
    contributions = weights * (values @ readout)  # (n,)
    most_attended = int(weights.argmax())
    strongest = int(np.abs(contributions).argmax())
    return contributions, most_attended, strongest


def draw_words(g, n, pull=1.0):
    """Weights, values and a readout; `pull` below 0 turns the contributions down."""
    weights, readout = g.dirichlet(np.ones(n)), g.normal(size=g.integers(2, 6)).round(2)
    values = g.normal(size=(n, len(readout))) + pull * readout / np.linalg.norm(readout)
    return weights, values.round(2), readout


def draw_against(g):
    """The strongest contribution pushes against the logit."""
    while True:
        args = draw_words(g, g.integers(3, 8), pull=0.0)
        contributions, _, strongest = word_contributions(*args)
        if contributions[strongest] * contributions.sum() < 0:
            return args


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
    word_contributions,
    title="What each word contributes",
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
            "**Write** `word_contributions(weights, values, readout)` for `weights` (n,), `values` (n, d) and `readout` (d,).",
            mistake="You took the values' size",
        ),
        says("Return three things: `contributions` (n,);", mistake="lost their sign"),
        says("`most_attended`, the index of the largest weight;", mistake="`most_attended` goes by contributions"),
        says("and `strongest`, the index of the contribution that moves the logit most,", mistake="most attended word"),
        says("up **or** down.", mistake="largest contribution upwards"),
        context("(In the example: 0 and 1.)"),
        context(
            "A contribution is a way to *read* one answer. It does not replace the intervention of the lesson: swap the "
            "second word for another of its kind that has the same value in this direction, and the logit stays where it is."
        ),
        example("""
swapped = np.array([[0.0, 2.0], [-5.0, 3.0]])  # another word in the second place
print("logit before", readout @ (weights @ values), "  after the swap", readout @ (weights @ swapped))
"""),
    ],
    hints=[
        "How much does each word say in the direction of the readout, and how much of that is taken?",
        "A contribution of −0.5 moves the logit more than one of 0.1: compare `np.abs`.",
    ],
    draw=draw_words,
    parts=[
        part("four words", inputs=[FOUR_WORDS], public_only=True),
        part("few words", n=between(2, 4)),
        part("many words", n=between(5, 12)),
        part("words that push down", n=between(3, 8), pull=one_of(-1.5, -1.0)),
        part("the strongest word against all others", draw=draw_against),
        part("a single word", n=1),
    ],
    own=draw_own_words,
    mistakes={
        "Your contributions leave out the weights: a word that is hardly attended to cannot say much.": (
            "contributions = values @ readout"
        ),
        "You took the values' size. What counts is the part that the readout sees: `values @ readout`.": (
            "contributions = weights * np.linalg.norm(values, axis=1)"
        ),
        "Your `strongest` goes by the values' size. What counts is the part that the readout sees.": (
            "strongest = int((weights * np.linalg.norm(values, axis=1)).argmax())"
        ),
        "Your `strongest` is the largest contribution upwards. One that pushes down hard moves the logit too: "
        "`np.abs`.": "strongest = int(contributions.argmax())",
        "Your `strongest` goes by what a word says, whatever its weight. Compare the contributions.": (
            "strongest = int(np.abs(values @ readout).argmax())"
        ),
        "Your `strongest` looks at one sign only, that of the logit. A contribution against it may be larger in size: "
        "`np.abs`.": "strongest = int((contributions * np.sign(contributions.sum())).argmax())",
        "Your `strongest` is the most attended word. The whole point is that it may be another.": (
            "strongest = most_attended"
        ),
        "Your contributions lost their sign. They must add up to the logit.": (
            "contributions = np.abs(weights * (values @ readout))"
        ),
        "You divided the contributions by their sum. They must add up to the logit itself.": (
            "contributions = weights * (values @ readout) / (weights * (values @ readout)).sum()"
        ),
        "Your `most_attended` goes by contributions. It is the index of the largest weight.": (
            "most_attended = int(np.abs(contributions).argmax())"
        ),
        "Your `most_attended` takes in the values' length. It is the index of the largest weight.": (
            "most_attended = int((weights * np.linalg.norm(values, axis=1)).argmax())"
        ),
    },
    praise="What a model attends to and what moves its logit are two questions.",
    names=("contributions", "most_attended", "strongest"),
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
