"""Perplexity and bits per byte, rotary positions, left padding by hand, and the open challenge; PyTorch has a file."""

import numpy as np

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
    in_turn,
    lesson,
    one_of,
    part,
    right,
    says,
)

lesson(
    "language_model",
    promise="Bits per byte, rotary positions and left padding by hand, a gated block and the loss of packed documents in "
    "PyTorch, and a challenge: predict a language with a memory.",
    uses="NumPy; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def corpus_figures(batches, texts):
    """(perplexity per token, bits per byte) of a corpus: nats of its tokens by batch, and its texts."""
    total = sum(float(nats.sum()) for nats in batches)
    tokens = sum(len(nats) for nats in batches)
    size = sum(len(text.encode("utf-8")) for text in texts)
    perplexity = np.exp(total / tokens)
    bits = total / np.log(2)
    return float(perplexity), float(bits / size)


WORDS = {
    "English": "the star is red a small blue box lies above it we see three things".split(),
    "Chinese": "红色 星形 在 方块 的 左边 这里 有 一个 圆".split(),
    "accents": "café naïve über señor façade élan déjà".split(),
}


def draw_corpus(g, number, script, longest):
    """Nats of `number` batches of different length, and three texts or one."""
    sizes = g.permutation(np.arange(1, longest + 1))[:number]
    batches = [g.uniform(0.05, 4.0 / (1 + i), size).round(2) for i, size in enumerate(sizes)]
    words = WORDS[script]
    texts = [" ".join(g.choice(words, int(g.integers(1, 5)))) for _ in range(int(g.integers(1, 4)))]
    return batches, texts


def mean_of_means(batches, texts):
    """The answer with one mistake."""
    perplexity = np.exp(np.mean([nats.mean() for nats in batches]))
    return float(perplexity), corpus_figures(batches, texts)[1]


figures = exercise(
    "language_model.1",
    corpus_figures,
    title="Perplexity and bits per byte",
    points=2,
    difficulty=1,
    minutes=15,
    statement=[
        context(
            "A model was measured in batches: `batches` is a list of arrays, each with −ln p of its tokens (natural "
            "logarithm). They are not equally long. `texts` is the list of strings that these tokens spell."
        ),
        says(
            "**Write** `corpus_figures(batches, texts)`. First the perplexity: e to the mean of −ln p over *all* tokens,",
            mistake="mean of the batches' means",
        ),
        says("not 2 to that mean, since the values are in nats.", mistake="The base belongs to the unit"),
        says("Then the bits per byte: the sum of −ln p,", mistake="bits per token"),
        says("in bits (1 bit is ln 2 nats),", mistake="still nats"),
        says("divided by the number of *bytes* of all texts in UTF-8, not of characters.", mistake="characters"),
        says("Return the two as a pair of numbers, in this order.", mistake="other way round"),
        example("""
print("bytes of 'star':", len("star".encode("utf-8")), "  of '星形':", len("星形".encode("utf-8")))
"""),
    ],
    hints=[
        "Add up everything first: nats over all batches, tokens over all batches, bytes over all texts. Divide last.",
        "`len(text.encode('utf-8'))` counts bytes. Bits are nats / `np.log(2)`.",
    ],
    draw=draw_corpus,
    parts=[
        part("batches of different length", weight=2, number=between(2, 4), script="English", longest=9),
        part("one batch", number=1, script="English", longest=between(3, 6)),
        part("Chinese", weight=2, number=2, script="Chinese", longest=6),
        part("letters with accents", number=2, script="accents", longest=5),
    ],
    own={"number": 2, "script": "Chinese", "longest": 3},
    own_says="A corpus of your own",
    mistakes={
        "This is the mean of the batches' means: a short batch counts as much as a long one. Add up first.": mean_of_means,
        "The base belongs to the unit: e for nats, 2 for bits. Yours mixes them.": "perplexity = 2 ** (total / tokens)",
        "These are bits per token: tokenizers differ, so divide by bytes.": "return float(perplexity), float(bits / tokens)",
        "These are still nats: divide by ln 2.": "bits = total",
        "You count characters: a Chinese character has three bytes.": edit('len(text.encode("utf-8"))', "len(text)"),
        "The two are returned the other way round: perplexity first.": ("return float(bits / size), float(perplexity)"),
        "The perplexity is per token; yours is per byte.": "perplexity = np.exp(total / size)",
    },
    praise="Two tokenizers can be compared by the second number, never by the first.",
    names=("perplexity", "bits per byte"),
)


@right(figures)
def by_concatenating(batches, texts):
    nats = np.concatenate(batches)
    return np.exp(nats.mean()), nats.sum() / np.log(2.0) / len("".join(texts).encode())


# ---------------------------------------------------------------- 2
def rotate(x, start, base):
    """Rotary positions of rows that stand at start, start + 1, …: (n, d) → (n, d), half-split."""
    n, d = x.shape
    positions = start + np.arange(n)
    frequencies = base ** (-2 * np.arange(d // 2) / d)
    angles = positions[:, None] * frequencies
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = x[:, : d // 2], x[:, d // 2 :]
    turned_first = first * cos - second * sin
    turned_second = second * cos + first * sin
    return np.concatenate([turned_first, turned_second], axis=1)


def draw_rows(g, n, half, start, base):
    """Rows of a text that began `start` tokens ago."""
    return g.normal(size=(n, 2 * half)).round(2), start, float(base)


def neighbors(x, start, base):
    """The answer with one mistake."""
    d = x.shape[1]
    order = np.concatenate([np.arange(0, d, 2), np.arange(1, d, 2)])
    turned = np.empty(x.shape)
    turned[:, order] = rotate(x[:, order], start, base)
    return turned


rope = exercise(
    "language_model.2",
    rotate,
    title="Rotary positions, with a cache behind them",
    points=2,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "`x` (n, d) are queries of one head, d is even. They are the *new* tokens of a text: `start` tokens came before and "
            "are in the cache already."
        ),
        says(
            "**Write** `rotate(x, start, base)`. Row i stands at position start + i; positions are counted from 0.",
            mistake="start again at 0",
        ),
        says(
            r"Pair i (i = 0 … d/2 − 1) is rotated by the angle position · base$^{-2i/d}$.",
            mistake="again: it is −2i",
        ),
        says(
            "The pair is value i and value i + d/2 (half-split, as in `transformers`), not two neighbors.",
            mistake="You pair neighbors",
        ),
        says(
            "(a, b) becomes (a cos − b sin, b cos + a sin).",
            mistake="the other way",
        ),
        says(
            "Return an array (n, d), in the same order of values.",
            ignored="return np.stack([turned_first, turned_second], axis=2).reshape(n, d)",
        ),
        example("""
a, b, angle = 1.0, 0.0, np.pi / 2
print("a quarter turn:", round(a * np.cos(angle) - b * np.sin(angle), 3), round(b * np.cos(angle) + a * np.sin(angle), 3))
"""),
    ],
    hints=[
        "`angles = positions[:, None] * frequencies` is (n, d/2): one angle for each row and each pair.",
        "`x[:, : d // 2]` and `x[:, d // 2 :]` are the two halves. Compute both turned halves, then concatenate.",
    ],
    draw=draw_rows,
    parts=[
        part("a text from its beginning", weight=2, n=between(3, 5), half=between(2, 3), start=0, base=10_000),
        part("a text that goes on", weight=2, n=between(2, 4), half=2, start=between(1, 9), base=10_000),
        part("one new token", n=1, half=between(2, 4), start=between(1, 40), base=10_000),
        part("two values", n=3, half=1, start=one_of(0, 2), base=10_000),
        part("another base", n=3, half=3, start=between(1, 5), base=in_turn(100, 500_000)),
    ],
    own={"n": 1, "half": 2, "start": 3, "base": 100},
    own_says="A query of your own",
    mistakes={
        "Your positions start again at 0: `start` tokens came before.": "positions = np.arange(n)",
        "Your first position is one too far: row 0 stands at `start`.": "positions = start + 1 + np.arange(n)",
        "Look at the exponent of the frequencies again: it is −2i / d.": [
            "frequencies = base ** (-np.arange(d // 2) / d)",
            "frequencies = base ** (-2 * np.arange(1, d // 2 + 1) / d)",
        ],
        "The exponent is negative: the first pair turns fastest.": "frequencies = base ** (2 * np.arange(d // 2) / d)",
        "You pair neighbors (interleaved, as in the paper): weights of `transformers` want value i with value i + d/2.": (
            neighbors
        ),
        "You rotate the other way: (a cos − b sin, b cos + a sin).": edit("np.sin(angles)", "-np.sin(angles)"),
    },
    praise="Weights of a model that pairs neighbors must be reordered before they fit here.",
)


@right(rope)
def by_complex(x, start, base):
    d = x.shape[1]
    pairs = x[:, : d // 2] + 1j * x[:, d // 2 :]
    steps = np.arange(start, start + len(x))
    turned = pairs * np.exp(1j * np.outer(steps, float(base) ** (-np.arange(0, d, 2) / d)))
    return np.hstack([turned.real, turned.imag])


# ---------------------------------------------------------------- 3
def positions_and_mask(padding_mask):
    """Position of each token (b, n), and which keys each query attends to (b, n, n); padded on the left."""
    n = padding_mask.shape[1]
    counted = np.cumsum(padding_mask, axis=1) - 1
    positions = np.maximum(counted, 0)
    causal = np.tril(np.ones((n, n), dtype=bool))
    visible = causal & padding_mask[:, None, :]
    itself = np.eye(n, dtype=bool)
    keep = visible | itself
    return positions, keep


def draw_padding(g, b, n, padded):
    """A batch of prompts, padded on the left."""
    number = {
        "all different": g.permutation(n)[:b] if b <= n else [],
        "one prompt padded": np.eye(b, dtype=int)[int(g.integers(b))] * int(g.integers(1, n)),
        "none": np.zeros(b, int),
        "by chance": g.integers(0, n, b),
        "all but the last token": np.full(b, n - 1),
    }[padded]
    return (np.arange(n) >= np.asarray(number)[:, None],)


left = exercise(
    "language_model.3",
    positions_and_mask,
    title="Prompts of different lengths",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "Prompts that are continued together are padded on the *left*, so that all end in the same column. `padding_mask` "
            "(b, n) is True where a token is real."
        ),
        says(
            "**Write** `positions_and_mask(padding_mask)`. `positions` (b, n): the first *real* token of each prompt has "
            "position 0, the next 1, and so on;",
            mistake="columns",
        ),
        says("padding has position 0, too.", mistake="below 0"),
        says(
            "`keep` (b, n, n), True where query i attends to key j: not to the right of it,", mistake="to later tokens"
        ),
        says("and never to padding.", mistake="attend to padding"),
        says(
            "One exception: every query attends to itself, padded or not, since a softmax over nothing is not a number.",
            mistake="softmax over nothing",
        ),
        says("Return `positions`, then `keep`.", mistake="other way round"),
        example("""
padding_mask = np.array([[False, False, True, True], [True, True, True, True]])
print("two prompts, of two and of four tokens:", padding_mask.sum(axis=1))
"""),
    ],
    hints=[
        "`np.cumsum(padding_mask, axis=1)` counts the real tokens up to each column.",
        "`np.tril(np.ones((n, n), bool))` is the causal mask; `padding_mask[:, None, :]` says which *keys* are real; "
        "`np.eye(n, dtype=bool)` is the exception.",
    ],
    draw=draw_padding,
    parts=[
        part("prompts of different lengths", weight=2, b=between(2, 4), n=between(5, 6), padded="all different"),
        part("one of them padded", b=3, n=4, padded="one prompt padded"),
        part("nothing padded", b=2, n=between(3, 5), padded="none"),
        part("prompts of one token", b=2, n=3, padded="all but the last token"),
    ],
    own={"b": 8, "n": 5, "padded": "by chance"},
    own_says="A batch of your own",
    mistakes={
        "These are numbers of columns: a prompt's first real token has position 0.": (
            "positions = np.broadcast_to(np.arange(n), padding_mask.shape)"
        ),
        "Some positions are below 0: padding has position 0.": "positions = counted",
        "Your positions start at 1.": "positions = counted + 1",
        "Your queries attend to later tokens: the mask is not causal.": "visible = np.ones((n, n), bool) & padding_mask[:, None, :]",
        "Your queries attend to padding: mask its keys.": [
            "visible = np.broadcast_to(causal, (len(padding_mask), n, n))",
            "visible = causal & padding_mask[:, :, None]",
        ],
        "A padded query has nothing left to attend to, a softmax over nothing: let it attend to itself.": (
            "return positions, causal & padding_mask[:, None, :]"
        ),
        "The two are returned the other way round: positions first.": "return keep, positions",
    },
    praise="With these two a batch says what each prompt says alone.",
    names=("positions", "keep"),
)


@right(left)
def by_loops(padding_mask):
    b, n = padding_mask.shape
    positions, keep = np.zeros((b, n), int), np.zeros((b, n, n), bool)
    for row in range(b):
        start = int(np.argmax(padding_mask[row]))
        for i in range(n):
            positions[row, i] = max(0, i - start)
            keep[row, i, start : i + 1] = True
            keep[row, i, i] = True
    return positions, keep


# ---------------------------------------------------------------- the lesson's blanks
@blank(
    "language_model.blank.1",
    title="What is read and what is predicted",
    inputs=[([1, 7, 5, 9, 2],), ([1, 2],), ([4, 4, 4],)],
    names=("inputs", "targets"),
    mistakes=[
        (lambda ids: (ids, ids), "Each position would predict the token that it reads: move the targets by one."),
        (
            lambda ids: (ids[1:], ids[:-1]),
            "That is the other way: the target is the token *after* the one that is read.",
        ),
        (lambda ids: (ids[:-2], ids[2:]), "Moved by two: the next token is one further."),
        (lambda ids: (ids[1:-1], ids[2:]), "The first token is read, too: nothing predicts it, but it predicts."),
    ],
)
def inputs_and_targets(ids):
    return ids[:-1], ids[1:]


def some_nats():
    rng = np.random.default_rng(0)
    yield ([np.array([1.0, 2.0, 3.0]), np.array([0.5])],)
    yield ([rng.random(5).round(2), rng.random(2).round(2), rng.random(9).round(2)],)
    yield ([np.array([0.0, 0.0])],)


@blank(
    "language_model.blank.2",
    title="Perplexity",
    inputs=some_nats,
    mistakes=[
        (
            lambda rows: float(np.exp(np.mean([row.mean() for row in rows]))),
            "That is a mean of means: a text of one token counts as much as a long one.",
        ),
        (lambda rows: float(np.concatenate(rows).mean()), "That is the mean in nats; the perplexity is e to the mean."),
        (lambda rows: float(2 ** np.concatenate(rows).mean()), "These are nats, so the base is e, not 2."),
        (
            lambda rows: float(np.exp(np.concatenate(rows)).mean()),
            "First the mean, then e to the mean: not the mean of 1/p.",
        ),
        (lambda rows: float(np.exp(sum(row.sum() for row in rows))), "The mean over tokens is wanted, not the sum."),
    ],
)
def perplexity(rows):
    nats = np.concatenate(rows)
    return float(np.exp(nats.mean()))


def some_rows():
    rng = np.random.default_rng(1)
    yield np.array([[3.0, 4.0]]), np.ones(2), 1e-6
    yield rng.normal(1, 1, (3, 4)).round(2), rng.random(4).round(2), 1e-6
    yield 0.1 * rng.normal(size=(2, 6)).round(2), rng.random(6).round(2), 0.1


def normalized(x, weight, eps, *, center=False, outside=False, axis=-1, mean=True, scale=True):
    x = x - x.mean(axis=-1, keepdims=True) if center else x
    square = np.square(x).mean(axis=axis, keepdims=True) if mean else np.square(x).sum(axis=axis, keepdims=True)
    root = np.sqrt(square) + eps if outside else np.sqrt(square + eps)
    return x / root * weight if scale else x / root


@blank(
    "language_model.blank.3",
    title="RMSNorm",
    inputs=some_rows,
    mistakes=[
        (lambda *a: normalized(*a, center=True), "You subtract the mean: that is layer normalization."),
        (lambda *a: normalized(*a, outside=True), "ε belongs inside the root, added to the mean of squares."),
        (lambda *a: normalized(*a, axis=0), "Each vector is normalized by itself: the mean is over the last axis."),
        (lambda *a: normalized(*a, mean=False), "The *mean* of the squares is wanted, not their sum."),
        (lambda *a: normalized(*a, scale=False), "Multiply by the weight at the end."),
    ],
)
def rms_norm(x, weight, eps):
    return normalized(x, weight, eps)


def some_gates():
    rng = np.random.default_rng(2)
    for n, d, hidden in ((1, 2, 3), (3, 4, 5)):
        yield tuple(rng.normal(size=shape).round(2) for shape in ((n, d), (hidden, d), (hidden, d), (d, hidden)))


def gated(x, gate, up, down, *, act="silu", exchange=False, product=True):
    opened, values = x @ gate.T, x @ up.T
    if exchange:
        opened, values = values, opened
    soft = 1 / (1 + np.exp(-opened))
    h = {"silu": opened * soft, "sigmoid": soft, "relu": np.maximum(opened, 0)}[act]
    return (h * values if product else h) @ down.T


@blank(
    "language_model.blank.4",
    title="SwiGLU",
    inputs=some_gates,
    mistakes=[
        (lambda *a: gated(*a, exchange=True), "Gate and values are exchanged: silu goes over what `gate` makes."),
        (lambda *a: gated(*a, act="sigmoid"), "That is a sigmoid; silu(z) = z · sigmoid(z)."),
        (lambda *a: gated(*a, act="relu"), "That is ReLU; silu(z) = z · sigmoid(z)."),
        (lambda *a: gated(*a, product=False), "The gate must be multiplied with what `up` makes, value by value."),
    ],
)
def swiglu(x, gate, up, down):
    return gated(x, gate, up, down)


# ---------------------------------------------------------------- challenge
SYMBOLS, TRAIN_ROWS, TEST_ROWS, LENGTH = 12, 400, 400, 60


def next_probabilities(table, row):
    """The true probabilities after a row: by its last two symbols; after the marker 0, mostly what followed it before."""
    p = table[row[-2], row[-1]]
    earlier = [at for at, symbol in enumerate(row[:-1]) if symbol == 0]
    if row[-1] != 0 or not earlier:
        return p
    copied = np.zeros(SYMBOLS)
    copied[row[earlier[-1] + 1]] = 1.0
    return 0.1 * p + 0.9 * copied


def write_row(table, falling, rng):
    """A row of symbols of this language, as a list; `falling` are the table's cumulative sums."""
    row = rng.integers(0, SYMBOLS, 2).tolist()
    for u, v in rng.random((LENGTH - 2, 2)).tolist():
        after = None
        if row[-1] == 0 and u < 0.9:  # what followed the marker before
            after = next((row[at + 1] for at in range(len(row) - 2, -1, -1) if row[at] == 0), None)
        if after is None:
            after = min(int(np.searchsorted(falling[row[-2]][row[-1]], v, side="right")), SYMBOLS - 1)
        row.append(after)
    return row


def draw_challenge(g):
    rng = np.random.default_rng(g.integers(1 << 31))
    table = rng.dirichlet(np.full(SYMBOLS, 0.25), size=(SYMBOLS, SYMBOLS))
    table = 0.85 * table
    table[..., 0] += 0.15  # the marker comes often
    falling = [[np.cumsum(p) for p in rows] for rows in table]
    train = np.array([write_row(table, falling, rng) for _ in range(TRAIN_ROWS)])
    rows, true = [], []
    while len(rows) < TEST_ROWS:
        row = write_row(table, falling, rng)
        end = int(rng.integers(30, LENGTH))
        if len(rows) % 2 and row[end - 1] != 0:  # half of them end with the marker
            continue
        prefix = np.full(LENGTH, -1)
        prefix[LENGTH - end :] = row[:end]
        rows.append(prefix)
        true.append(next_probabilities(table, row[:end]))
    inputs = {"train": train.astype(np.int8), "prefixes": np.stack(rows).astype(np.int8)}
    return Drawn(inputs, np.stack(true))


def divergence(true, said):
    """Mean KL divergence in nats."""
    said = np.maximum(said, 1e-6)
    said = said / said.sum(axis=1, keepdims=True)
    return float((true * (np.log(np.maximum(true, 1e-12)) - np.log(said))).sum(axis=1).mean())


def gap_closed(arrays, inputs, hidden):
    """1 − KL divergence over that of the symbols' frequencies."""
    said = np.asarray(arrays["probabilities"], float)
    if not np.isfinite(said).all() or (said < 0).any():
        return 0.0
    frequencies = np.bincount(np.asarray(inputs["train"], int).ravel(), minlength=SYMBOLS) + 1.0
    base = divergence(hidden, np.tile(frequencies / frequencies.sum(), (len(hidden), 1)))
    return max(0.0, 1 - divergence(hidden, said) / base)


challenge(
    "language_model.challenge",
    title="A language with a memory",
    statement=[
        f"`train` ({TRAIN_ROWS}, {LENGTH}) are texts in an unknown language of {SYMBOLS} symbols, `prefixes` ({TEST_ROWS}, {LENGTH}) are beginnings "
        "of other texts, padded with −1 on the left. Half of them end with the symbol 0, which is special.",
        f"Say how probable each symbol is after each prefix: `probabilities`, numbers ({TEST_ROWS}, {SYMBOLS}). Each row is scaled to sum 1, "
        "and nothing counts as less probable than 0.000001.",
        "The true probabilities are known to the check. The score is 1 minus your mean KL divergence from them, divided by that of "
        "the symbols' frequencies alone: 1 is perfect. Counting what follows the last symbol reaches about 0.06, what follows the last "
        "two about 0.45. What does the symbol 0 do?",
    ],
    draw=draw_challenge,
    score=gap_closed,
    hand_in={"probabilities": Array((TEST_ROWS, SYMBOLS), "float")},
    to_beat=0.6,
    points_by_score={0.6: 1, 0.85: 2, 0.94: 3},
    minutes=60,
    score_name="share of the gap closed",
)
