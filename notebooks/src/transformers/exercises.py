"""Exercises on transformers: blocks, norms, parameters and patches by hand; the blanks of the lesson; a challenge."""

import math

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
    paragraph,
    part,
    right,
    says,
)

lesson(
    "transformers",
    promise="Norms, blocks and patches by hand, a block in PyTorch whose halves work side by side, and a challenge.",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse.check import check
""",
)


def norm(x, axis=-1, eps=1e-12):
    x = x - x.mean(axis=axis, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=axis, keepdims=True) + eps)


# ---------------------------------------------------------------- 1
def block(x, look, w1, w2):
    """One post-norm encoder block: mix, then think."""
    mixed = look @ x
    h = norm(x + mixed)  # (n, d)
    thought = np.maximum(0, h @ w1) @ w2
    return norm(h + thought)


def think(h, w1, w2):
    return np.maximum(0, h @ w1) @ w2


def gelu(s):
    return s * (1 + np.vectorize(math.erf)(s / np.sqrt(2))) / 2


def quick_gelu(s):
    return 0.5 * s * (1 + np.tanh(np.sqrt(2 / np.pi) * (s + 0.044715 * s**3)))


def pre_norm(x, look, w1, w2):
    x = x + look @ norm(x)
    return x + think(norm(x), w1, w2)


def draw_words(g, n, scale=1.0):
    d, hidden = g.integers(3, 7, 2)
    look = g.dirichlet(np.ones(n), n)
    return scale * g.normal(size=(n, d)), look, g.normal(size=(d, hidden)), g.normal(size=(hidden, d))


def draw_equal_numbers(g, n):
    """Every word has one number in all its places: its variance is 0."""
    x, look, w1, w2 = draw_words(g, n)
    x[...] = g.integers(1, 5)
    return x, np.eye(n)[g.permutation(n)], w1, w2


encoder = exercise(
    "transformers.1",
    block,
    title="A post-norm block",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        context(
            "Write the encoder block of BERT for one sentence, with two things made simpler: the attention table `look` "
            "is given,"
        ),
        says(r"and the bend is ReLU, $\max(0, \cdot)$. There are no biases.", mistake="The bend is missing"),
        says(
            r"$$h = \mathrm{norm}(x + \text{look} \cdot x) \qquad y = \mathrm{norm}(h + \max(0, h W_1) W_2)$$",
            mistake="That is the pre-norm block",
        ),
        says(
            "The norm takes from each word its own mean and divides by its own standard deviation",
            mistake="You normalized over the words",
        ),
        says("(variance plus $10^{-12}$ under the root):", mistake="1e-12 under the root is missing"),
        example("""
def norm(x):
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-12)


words = np.array([[1.0, 2.0, 6.0], [0.0, 4.0, 2.0]])  # two words of width 3
print(norm(words).round(3))
"""),
        context("**Write** `block(x, look, w1, w2)`."),
        says(
            "`x` is `(n, d)`, `look` is `(n, n)` with rows that sum to 1, `w1` is `(d, hidden)`, `w2` is `(hidden, d)`.",
            mistake="You used `look` transposed",
        ),
        says("Return `(n, d)`.", ignored="return norm(h + thought)[0]"),
        paragraph(),
        context("You may use `norm`."),
    ],
    hints=[
        "Two lines, one for each half. In both, the thing that goes in is added to what comes out, and the norm is the "
        "last to act.",
        "`h = norm(x + look @ x)`. In the second line every `x` has become `h`: `norm(h + np.maximum(0, h @ w1) @ w2)`.",
    ],
    draw=draw_words,
    parts=[
        part("a few words", weight=2, n=between(2, 4)),
        part("one word", n=1),
        part("many words", n=between(6, 11)),
        part("words whose numbers are all equal", draw=draw_equal_numbers, n=between(1, 3)),
        part("tiny numbers", n=between(2, 4), scale=1e-6),
    ],
    own=lambda g: (g.integers(0, 20, (2, 3)) * 1.0, np.array([[0.5, 0.5], [0.0, 1.0]]), np.eye(3), -np.eye(3)),
    own_says="Two words of your own, and where they look",
    mistakes={
        "That is the pre-norm block: the norm acts on what goes in. In BERT it acts last, on the sum.": pre_norm,
        "Both residuals are missing: what went in must be added to what comes out, in each half.": (
            "h = norm(mixed)\nreturn norm(thought)"
        ),
        "The first residual is missing: `x + look @ x`. Without it each word forgets who it was.": "h = norm(mixed)",
        "The second residual is missing: add `h` to what the feed-forward part gives.": "return norm(thought)",
        "The second norm is missing: it acts last, after the second addition.": "return h + thought",
        "The first norm is missing: normalize after the first addition too.": "h = x + mixed",
        "Your feed-forward part reads `x`. It has to read `h`, what the first half made.": (
            "thought = np.maximum(0, x @ w1) @ w2"
        ),
        "You added `x` in the second half. Its residual is `h`, what went into that half.": "return norm(x + thought)",
        "You normalized over the words. A layer norm takes each word alone: `axis=-1`.": (
            "h = norm(x + mixed, axis=0)\nreturn norm(h + thought, axis=0)"
        ),
        "You used `look` transposed. Row i says where word i looks.": "mixed = look.T @ x",
        "The bend is missing: `np.maximum(0, h @ w1)`. Without it the two matrices are only one.": (
            "thought = h @ w1 @ w2"
        ),
        "The 1e-12 under the root is missing: a word whose numbers are all equal has variance 0, and 0/0 is NaN.": (
            "h = norm(x + mixed, eps=0)\nreturn norm(h + thought, eps=0)"
        ),
        "You add more than 1e-12 under the root, or outside of it: for small numbers that changes the result.": [
            "h = norm(x + mixed, eps=1e-5)\nreturn norm(h + thought, eps=1e-5)",
            "h = norm(x + mixed, eps=1e-8)\nreturn norm(h + thought, eps=1e-8)",
            "h = norm(x + mixed, eps=1e-6)\nreturn norm(h + thought, eps=1e-6)",
        ],
        "Your ReLU comes after both matrices. It belongs between them: `np.maximum(0, h @ w1) @ w2`.": (
            "thought = np.maximum(0, h @ w1 @ w2)"
        ),
        "You used GELU, as BERT itself does. Here the bend is ReLU: `np.maximum(0, h @ w1)`.": [
            "thought = gelu(h @ w1) @ w2",
            "thought = quick_gelu(h @ w1) @ w2",
        ],
        "The bend is not ReLU: `np.maximum(0, h @ w1)`.": [
            "thought = np.tanh(h @ w1) @ w2",
            "thought = (1 / (1 + np.exp(-(h @ w1)))) @ w2",
        ],
        "Your words do not look at one another: the first half adds `look @ x`.": "mixed = x",
        "Your second half adds `h` twice. Once is enough, inside the norm.": "return norm(h + h + thought)",
        "Your second residual starts at the sum before the first norm. It is `h`, the sum after the norm.": (
            "return norm(x + mixed + thought)"
        ),
    },
    praise="Mix, add, norm; think, add, norm. With learned attention this is the block of BERT.",
)


@right(encoder)
def each_word_alone(x, look, w1, w2):
    out = []
    for i in range(len(x)):
        h = x[i] + look[i] @ x
        h = (h - h.mean()) / np.sqrt(h.var() + 1e-12)
        y = h + np.clip(h @ w1, 0, None) @ w2
        out.append((y - y.mean()) / np.sqrt(y.var() + 1e-12))
    return np.array(out)


# ---------------------------------------------------------------- 2
def three_norms(x, eps):
    """x (b, n, d) → layer, RMS and batch normalization of it, each (b, n, d)."""
    mean = x.mean(axis=-1, keepdims=True)
    variance = x.var(axis=-1, keepdims=True)
    layer = (x - mean) / np.sqrt(variance + eps)
    square = (x**2).mean(axis=-1, keepdims=True)
    rms = x / np.sqrt(square + eps)
    batch_mean = x.mean(axis=(0, 1))
    batch_variance = x.var(axis=(0, 1))
    batch = (x - batch_mean) / np.sqrt(batch_variance + eps)
    return layer, rms, batch


def draw_tokens(g, b, n, d, scale=1.0, shift=1.0):
    return scale * (g.normal(size=(b, n, d)) + shift + np.arange(d)), float(g.choice([1e-5, 1e-3, 0.1]))


def draw_level_tokens(g, b, n, d):
    """Each token has one number in all its features."""
    x = np.repeat(g.integers(1, 6, (b, n, 1)) * 1.0, d, axis=2)
    return x, float(g.choice([1e-5, 1e-3]))


norms = exercise(
    "transformers.2",
    three_norms,
    title="Three normalizations",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        context("A batch of sentences, `x` (b, n, d): b sentences, n tokens each, d features per token."),
        says("**Write** `three_norms(x, eps)`, which returns three arrays, all of the shape of `x`:", mistake="the shape"),
        says("`layer`: each token minus its own mean, divided by its own standard deviation;", mistake="over all tokens of a"),
        says(
            "`rms`: each token divided by the root of the mean of its *squares*; no mean is subtracted;",
            mistake="You subtracted the mean in `rms`",
        ),
        says(
            "`batch`: each *feature* minus its mean over all sentences and tokens, divided by its standard deviation over these.",
            mistake="Your `batch` takes each position by itself",
        ),
        says("In all three, `eps` is added *under* the root.", mistake="`eps` stands outside the root"),
        says("The variance is the mean of squares: divide by the count, not by the count minus 1.", mistake="minus 1"),
        context("There are no learned scales and shifts here."),
        example("""
x = np.array([[[1.0, 3.0], [2.0, 2.0]]])  # one sentence, two tokens, two features
print("means of the tokens", x.mean(axis=-1), "  means of the features", x.mean(axis=(0, 1)))
"""),
        context(
            "When you are done, think: for which of the three does another sentence in the batch change the first one's result?"
        ),
    ],
    hints=[
        "For every norm, ask which numbers share one mean: those of a token (axis −1), or those of a feature (axes 0 and 1).",
        "`keepdims=True` keeps (b, n, 1) for the tokens. For features, `x.mean(axis=(0, 1))` is (d,) and broadcasts by itself.",
    ],
    draw=draw_tokens,
    parts=[
        part("several sentences", weight=2, b=between(2, 4), n=between(2, 5), d=between(2, 6)),
        part("one sentence", b=1, n=between(3, 5), d=between(2, 4)),
        part("sentences of one token", b=between(3, 5), n=1, d=between(2, 4)),
        part("large numbers", b=2, n=3, d=4, scale=100.0),
        part("tiny numbers", b=2, n=3, d=4, scale=1e-3),
        part("tokens whose numbers are all equal", draw=draw_level_tokens, b=2, n=between(2, 4), d=3),
    ],
    own=lambda g: (g.integers(0, 9, (2, 2, 3)) * 1.0, 1e-5),
    own_says="Two sentences of two tokens, and eps",
    mistakes={
        "Your `layer` takes mean and variance over all tokens of a sentence. Each token has its own: `axis=-1`.": (
            "mean = x.mean(axis=(1, 2), keepdims=True)\nvariance = x.var(axis=(1, 2), keepdims=True)"
        ),
        "Your `layer` takes mean and variance over the tokens, for each feature. It is the other way round: over the features, for "
        "each token.": "mean = x.mean(axis=1, keepdims=True)\nvariance = x.var(axis=1, keepdims=True)",
        "You subtracted the mean in `rms`: RMS normalization leaves it in.": [
            "rms = layer",
            "rms = (x - mean) / np.sqrt(square + eps)",
        ],
        "Your `rms` divides by the standard deviation. It is the root of the mean of squares, with nothing subtracted.": (
            "rms = x / np.sqrt(variance + eps)"
        ),
        "Your `rms` divides by the length of the token, the root of the *sum* of squares. The mean is wanted.": (
            "square = (x**2).sum(axis=-1, keepdims=True)"
        ),
        "Your `batch` takes each position by itself: the mean is over sentences *and* tokens, axes 0 and 1.": (
            "batch_mean = x.mean(axis=0)\nbatch_variance = x.var(axis=0)"
        ),
        "Your `batch` takes each sentence by itself: the mean is over sentences *and* tokens, axes 0 and 1.": (
            "batch_mean = x.mean(axis=1, keepdims=True)\nbatch_variance = x.var(axis=1, keepdims=True)"
        ),
        "Your `batch` has one mean for everything. Each feature has its own.": (
            "batch_mean = x.mean()\nbatch_variance = x.var()"
        ),
        "`eps` stands outside the root: it is added to the variance, then comes the root.": edit(
            "np.sqrt(variance + eps)", "(np.sqrt(variance) + eps)", "np.sqrt(square + eps)", "(np.sqrt(square) + eps)",
            "np.sqrt(batch_variance + eps)", "(np.sqrt(batch_variance) + eps)",
        ),
        "`eps` has no effect.": edit(
            "np.sqrt(variance + eps)", "np.sqrt(variance + 1e-5)", "np.sqrt(square + eps)", "np.sqrt(square + 1e-5)",
            "np.sqrt(batch_variance + eps)", "np.sqrt(batch_variance + 1e-5)",
        ),
        "Your variance divides by the count minus 1 (`ddof=1`). Norms divide by the count.": (
            lambda x, eps: (
                (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True, ddof=1) + eps),
                x / np.sqrt((x**2).mean(-1, keepdims=True) + eps),
                (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1), ddof=1) + eps),
            )
        ),
        "You divided by the variance. Divide by its root.": edit(
            "np.sqrt(variance + eps)", "(variance + eps)", "np.sqrt(square + eps)", "(square + eps)",
            "np.sqrt(batch_variance + eps)", "(batch_variance + eps)",
        ),
        "All three have the shape of `x`: here some came without the batch axis.": (
            "return layer[0], rms[0], batch[0]"
        ),
    },
    praise="Only `batch` depends on the other sentences. That is why transformers use the other two.",
    names=("layer", "rms", "batch"),
)  # fmt: skip


@right(norms)
def token_by_token(x, eps):
    layer, rms, batch = np.empty(x.shape), np.empty(x.shape), np.empty(x.shape)
    for i in range(x.shape[0]):
        for t in range(x.shape[1]):
            token = x[i, t]
            layer[i, t] = (token - token.mean()) / (token.var() + eps) ** 0.5
            rms[i, t] = token * (np.dot(token, token) / len(token) + eps) ** -0.5
    for j in range(x.shape[2]):
        column = x[:, :, j]
        batch[:, :, j] = (column - column.mean()) / (column.var() + eps) ** 0.5
    return layer, rms, batch


# ---------------------------------------------------------------- 3
def vit_parameters(side, patch_size, channels, d, hidden, num_layers, num_classes):
    """How many parameters a ViT with a class token has, pre-norm, biases everywhere."""
    num_patches = (side // patch_size) ** 2
    embedding = patch_size**2 * channels * d + d
    tokens = d + (num_patches + 1) * d
    attention = 4 * (d * d + d)
    mlp = d * hidden + hidden + hidden * d + d
    norms = 2 * 2 * d
    blocks = num_layers * (attention + mlp + norms)
    last_norm = 2 * d
    head = d * num_classes + num_classes
    return embedding + tokens + blocks + last_norm + head


def draw_sizes(g, patch_size, side_in_patches, channels, num_layers):
    d = 4 * int(g.integers(2, 9))
    hidden = int(g.integers(2, 6)) * d // 2 + int(g.integers(0, 3))
    return patch_size * side_in_patches, patch_size, channels, d, hidden, num_layers, int(g.integers(2, 12))


parameters = exercise(
    "transformers.3",
    vit_parameters,
    title="How large is it?",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        context("A ViT as in the lesson, pre-norm. Every linear layer has a bias."),
        says("The pictures are `side` × `side` pixels with `channels` channels,", mistake="The channels are missing"),
        says("cut into patches of `patch_size` × `patch_size`;", mistake="A patch has patch_size² pixels"),
        says("one linear layer turns a patch into a token of width `d`.", ignored="embedding = patch_size**2 * channels * d"),
        says("A trained class token is put in front,", ignored="tokens = (num_patches + 1) * d"),
        says("and a trained vector is added at every position, that of the class token too.", ignored="tokens = d + num_patches * d"),
        says("Then come `num_layers` blocks: attention with four projections of d × d,", mistake="four projections"),
        says("an MLP from `d` to `hidden` and back,", mistake="4d, whatever `hidden` says"),
        says("two layer normalizations, with a scale and a shift each.", mistake="A block has two norms"),
        says("One more layer normalization follows the last block,", mistake="The last norm is missing"),
        says("and a linear layer gives `num_classes` logits.", mistake="The head is missing"),
        context("**Write** `vit_parameters(side, patch_size, channels, d, hidden, num_layers, num_classes)`."),
        says("It returns the number of parameters, an `int`.", ignored="return (embedding + tokens + blocks + last_norm + head) / 1e6"),
        example("""
print("ViT-Base has 86 million:", "224, 16, 3, 768, 3072, 12, 1000")
"""),
    ],
    hints=[
        "Make a list, one line per layer: embedding, class token, positions, then one block (attention, MLP, two norms), last norm, head.",
        "A linear layer from a to b has a·b + b. Try the lesson's `ViT(32, 4, 3, 4)`: 29,284.",
    ],
    draw=draw_sizes,
    parts=[
        part("the lesson's ViT and ViT-Base", inputs=[(32, 4, 3, 32, 128, 2, 4), (224, 16, 3, 768, 3072, 12, 1000)]),
        part("colored pictures", weight=2, patch_size=between(2, 5), side_in_patches=between(2, 5), channels=3, num_layers=between(2, 4)),
        part("gray pictures", patch_size=between(2, 5), side_in_patches=between(2, 5), channels=1, num_layers=between(2, 4)),
        part("one block", patch_size=4, side_in_patches=between(2, 4), channels=one_of(1, 3), num_layers=1),
        part("no block at all", patch_size=4, side_in_patches=between(2, 4), channels=3, num_layers=0),
        part("a single patch", patch_size=between(3, 6), side_in_patches=1, channels=3, num_layers=2),
    ],
    own=lambda g: draw_sizes(
        g, int(g.integers(2, 9)), int(g.integers(2, 9)), int(g.integers(1, 5)), int(g.integers(1, 25))
    ),
    own_says="Sizes of your own: side, patch_size, channels, d, hidden, num_layers, num_classes",
    mistakes={
        "The channels are missing: a patch has patch_size² · channels numbers.": "embedding = patch_size**2 * d + d",
        "A patch has patch_size² pixels, not patch_size.": "embedding = patch_size * channels * d + d",
        "You are short by d: is the bias of the patch embedding missing, the class token, or *its* position?": [
            "embedding = patch_size**2 * channels * d",
            "tokens = (num_patches + 1) * d",
            "tokens = d + num_patches * d",
        ],
        "Each patch has an embedding of its own in your count. All patches share one.": (
            "embedding = num_patches * (patch_size**2 * channels * d + d)"
        ),
        "The positions are missing: one trained vector for each.": "tokens = d",
        "There are (side / patch_size)² patches, not side / patch_size.": "num_patches = side // patch_size",
        "Attention has four projections: queries, keys, values, output.": "attention = 3 * (d * d + d)",
        "You are short by 4d per block: are the biases of the attention's projections missing, or the block's norms?": [
            "attention = 4 * d * d",
            "norms = 0",
        ],
        "Your MLP is as wide as 4d, whatever `hidden` says.": "mlp = d * 4 * d + 4 * d + 4 * d * d + d",
        "The biases of the MLP are missing: hidden + d.": "mlp = d * hidden + hidden * d",
        "Your MLP only goes up. It comes back to d, too.": "mlp = d * hidden + hidden",
        "A block has two norms: you counted one.": "norms = 2 * d",
        "A norm has a scale *and* a shift: 2d.": "norms = 2 * d\nlast_norm = d",
        "The last norm is missing: pre-norm ends with one.": "last_norm = 0",
        "The head is missing: a linear layer from d to num_classes.": "head = 0",
        "The head has a bias, too.": "head = d * num_classes",
        "You counted one block only: there are num_layers.": "blocks = attention + mlp + norms",
    },
    praise="With hidden = 4d a block is 12d² + 13d. Two thirds of it are the MLP.",
)  # fmt: skip


@right(parameters)
def by_a_list(side, patch_size, channels, d, hidden, num_layers, num_classes):
    def linear(a, b):
        return (a + 1) * b

    total = linear(channels * patch_size * patch_size, d)
    total += d * (2 + (side // patch_size) * (side // patch_size))
    for _ in range(num_layers):
        total += sum(linear(d, d) for _ in range(4)) + linear(d, hidden) + linear(hidden, d) + 4 * d
    return total + 2 * d + linear(d, num_classes)


# ---------------------------------------------------------------- 4
def unpatchify(patches, height, width, channels):
    """Patches (n, size · size · channels), row by row → the picture (height, width, channels)."""
    size = int(np.sqrt(patches.shape[1] // channels))
    grid = patches.reshape(height // size, width // size, size, size, channels)
    picture = grid.swapaxes(1, 2)
    return picture.reshape(height, width, channels)


def draw_patches(g, rows, columns, size, channels):
    n = rows * columns
    patches = g.permutation(n * size * size * channels).reshape(n, size * size * channels) * 1.0
    return patches, rows * size, columns * size, channels


back = exercise(
    "transformers.4",
    unpatchify,
    title="Put the picture together again",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            "A model that paints, or one that fills in hidden patches, makes patches and needs a picture: the way back from the "
            "lesson's `patchify`."
        ),
        says(
            "`patches` is (n, size · size · channels): the patches come row by row, from the top left.",
            mistake="column by column",
        ),
        says("Within a patch, the pixels come row by row,", mistake="Pixels are turned within each patch"),
        says("and the channels of a pixel stand together.", mistake="channels of a pixel stand together"),
        says("`size` is not given: work it out from the shape and the channels.", mistake="`size` is not always 2"),
        context("**Write** `unpatchify(patches, height, width, channels)`."),
        says("Return the picture, (height, width, channels).", ignored="return picture.reshape(height, width * channels)"),
        says("It need not be square.", mistake="only works for squares"),
        example("""
patches = np.array([[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]])  # two gray patches of 2 × 2
print("height 2, width 4; the top row is 0 1 2 3, the bottom row 4 5 6 7")
"""),
    ],
    hints=[
        "Do the lesson's three steps backwards: split n into (rows, columns) and the numbers into (size, size, channels); swap; join.",
        "`reshape(height // size, width // size, size, size, channels)`, then `swapaxes(1, 2)`: (rows, size, columns, size, channels).",
    ],
    draw=draw_patches,
    parts=[
        part("square pictures, gray", rows=2, columns=2, size=2, channels=1),
        part("in color", weight=2, rows=2, columns=2, size=between(2, 3), channels=3),
        part("wider than high", rows=2, columns=between(3, 4), size=between(2, 3), channels=in_turn(1, 3)),
        part("higher than wide", rows=between(3, 4), columns=2, size=between(2, 4), channels=in_turn(3, 1)),
        part("one patch", rows=1, columns=1, size=between(3, 4), channels=between(1, 3)),
        part("patches of one pixel", rows=between(2, 3), columns=between(2, 3), size=1, channels=between(2, 4)),
    ],
    own=lambda g: (g.integers(0, 100, (2, 4)) * 1.0, 2, 4, 1),
    own_says="Patches of your own: patches, height, width, channels",
    mistakes={
        "You did not swap: a row of the picture crosses several patches. Split, bring rows and size together, join.": [
            "picture = grid",
            "picture = patches",
        ],
        "Patches are put down column by column: the first ones belong to the top *row*.": (
            lambda patches, height, width, channels: (
                patches.reshape(
                    width // (s := int(np.sqrt(patches.shape[1] // channels))), height // s, s, s, channels
                ).transpose(1, 2, 0, 3, 4).reshape(height, width, channels)
            )
        ),
        "Pixels are turned within each patch: rows and columns are exchanged.": (
            "picture = grid.transpose(0, 3, 1, 2, 4)"
        ),
        "The channels of a pixel stand together in a patch: the channels are the *last* axis of the reshape.": (
            "grid = patches.reshape(height // size, width // size, channels, size, size).transpose(0, 1, 3, 4, 2)"
        ),
        "`size` is not always 2: it is the root of the numbers in a patch divided by the channels.": (
            lambda patches, height, width, channels: (
                patches.reshape(height // 2, width // 2, 2, 2, -1).swapaxes(1, 2).reshape(height, width, channels)
                if height % 2 == 0 and width % 2 == 0 and patches.size == height * width * channels
                else patches.reshape(height, width, channels)
            )
        ),
        "Yours only works for squares: there are height / size rows of patches and width / size columns.": (
            lambda patches, height, width, channels: (
                patches.reshape(
                    k := int(len(patches) ** 0.5) if int(len(patches) ** 0.5) ** 2 == len(patches) else 1,
                    len(patches) // k,
                    s := int(np.sqrt(patches.shape[1] // channels)), s, channels,
                ).swapaxes(1, 2).reshape(height, width, channels)
            )
        ),
    },
    praise="There and back: nothing is lost in cutting. What is lost is who was whose neighbor, until positions say it.",
)  # fmt: skip


@right(back)
def patch_by_patch(patches, height, width, channels):
    size = round((patches.shape[1] / channels) ** 0.5)
    picture = np.zeros((height, width, channels))
    k = 0
    for top in range(0, height, size):
        for left in range(0, width, size):
            picture[top : top + size, left : left + size] = patches[k].reshape(size, size, channels)
            k += 1
    return picture


# ---------------------------------------------------------------- blanks of the lesson
def draw_blank_norm():
    g = np.random.default_rng(0)
    found = []
    for n, d, scale in ((3, 4, 1.0), (1, 2, 1.0), (5, 3, 10.0), (4, 4, 0.01)):
        found.append((scale * g.normal(1, 1, (n, d)), 1 + g.normal(size=d), g.normal(size=d)))
    return [*found, (np.ones((2, 3)), np.ones(3), np.zeros(3))]


def normed(x, axis=-1, eps=1e-5, ddof=0):
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True, ddof=ddof) + eps)


@blank(
    "transformers.blank.1",
    title="Layer normalization",
    inputs=draw_blank_norm,
    mistakes=[
        (
            lambda x, gamma, beta, eps=1e-5: gamma * normed(x, 0) + beta,
            "These are mean and variance of the columns, as in batch normalization. Each row has its own: axis −1.",
        ),
        (
            lambda x, gamma, beta, eps=1e-5: gamma * (x - x.mean()) / np.sqrt(x.var() + eps) + beta,
            "You took one mean for the whole table. Each row has its own: axis −1.",
        ),
        (lambda x, gamma, beta, eps=1e-5: normed(x), "The learned scale and shift, `gamma` and `beta`, are missing."),
        (lambda x, gamma, beta, eps=1e-5: gamma * normed(x), "The shift `beta` is missing."),
        (lambda x, gamma, beta, eps=1e-5: normed(x) + beta, "The scale `gamma` is missing."),
        (
            lambda x, gamma, beta, eps=1e-5: (
                gamma * (x - x.mean(-1, keepdims=True)) / (x.var(-1, keepdims=True) + eps) + beta
            ),
            "You divided by the variance: divide by its root.",
        ),
        (
            lambda x, gamma, beta, eps=1e-5: (
                gamma * (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + eps) + beta
            ),
            "`eps` stands outside the root: it is added to the variance.",
        ),
        (
            lambda x, gamma, beta, eps=1e-5: gamma * normed(x, ddof=1) + beta,
            "Your variance divides by d − 1. It is the mean of the squares.",
        ),
        (
            lambda x, gamma, beta, eps=1e-5: gamma * x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) + beta,
            "The mean is not subtracted: that is RMSNorm.",
        ),
    ],
    what="The normalized tokens",
)
def layer_norm(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + eps) + beta


def draw_blank_pictures():
    return [
        (np.arange(float(h * w * c)).reshape(h, w, c), size)
        for h, w, c, size in ((4, 4, 1, 2), (4, 6, 3, 2), (6, 3, 2, 3), (2, 2, 1, 1), (3, 3, 3, 3))
    ]


@blank(
    "transformers.blank.4",
    title="Cutting a picture into patches",
    inputs=draw_blank_pictures,
    mistakes=[
        (
            lambda picture, size: picture.reshape(-1, size * size * picture.shape[2]),
            "A straight reshape cuts rows into pieces. Split height and width first, then bring rows and columns of patches to "
            "the front.",
        ),
        (
            lambda picture, size: (
                picture.reshape(picture.shape[0] // size, size, picture.shape[1] // size, size, -1)
                .transpose(2, 0, 1, 3, 4)
                .reshape(-1, size * size * picture.shape[2])
            ),
            "The patches come column by column: the top row comes first.",
        ),
        (
            lambda picture, size: (
                picture.reshape(picture.shape[0] // size, size, picture.shape[1] // size, size, -1)
                .transpose(0, 2, 3, 1, 4)
                .reshape(-1, size * size * picture.shape[2])
            ),
            "Rows and columns are exchanged within each patch.",
        ),
        (
            lambda picture, size: (
                picture.reshape(picture.shape[0] // size, size, picture.shape[1] // size, size, -1)
                .transpose(0, 2, 4, 1, 3)
                .reshape(-1, size * size * picture.shape[2])
            ),
            "The channels of a pixel belong together: the channel stays the last axis.",
        ),
        (
            lambda picture, size: picture.reshape(
                picture.shape[0] // size, size, picture.shape[1] // size, size, -1
            ).swapaxes(1, 2),
            "Cut right. The last step is missing: flatten each patch, and put all patches along one axis.",
        ),
    ],
    what="The patches",
)
def patchify(picture, size):
    h, w, c = picture.shape
    grid = picture.reshape(h // size, size, w // size, size, c)
    return grid.swapaxes(1, 2).reshape(-1, size * size * c)


# ---------------------------------------------------------------- an open challenge
NUM_SYMBOLS, CELLS, NUM_TRAIN, NUM_TEST = 8, 16, 1000, 500
NOISE = 0.6  # of the difference between dark and bright


def draw_symbols(g, n, symbols):
    """n pictures uint8 (n, 32, 32) of 4 × 4 symbols in noise, and how often the top left one comes again: (n,), 0 to 3."""
    kind = np.empty((n, CELLS), dtype=int)
    kind[:, 0] = g.integers(NUM_SYMBOLS, size=n)
    count = g.integers(4, size=n)
    for i in range(n):
        others = (kind[i, 0] + g.integers(1, NUM_SYMBOLS, size=CELLS - 1)) % NUM_SYMBOLS
        others[g.permutation(CELLS - 1)[: count[i]]] = kind[i, 0]
        kind[i, 1:] = others
    cells = np.zeros((n, CELLS, 8, 8))
    cells[:, :, 1:7, 1:7] = symbols[kind]
    pictures = cells.reshape(n, 4, 4, 8, 8).swapaxes(2, 3).reshape(n, 32, 32)
    pictures = 80 + 95 * (pictures + NOISE * g.normal(size=pictures.shape))
    return np.clip(pictures, 0, 255).astype(np.uint8), count


def draw_symbols_challenge(g):
    """Pictures with counts to learn from, and pictures whose counts stay hidden; the symbols are drawn anew."""
    symbols = (g.random((NUM_SYMBOLS, 6, 6)) < 0.5) * 1.0
    train, train_counts = draw_symbols(g, NUM_TRAIN, symbols)
    test, test_counts = draw_symbols(g, NUM_TEST, symbols)
    return Drawn({"train": train, "train_counts": train_counts, "test": test}, test_counts)


def count_accuracy(handed_in, inputs, counts):
    """Share of the hidden counts that were predicted."""
    return np.mean(handed_in["predictions"] == counts)


challenge(
    "transformers.challenge",
    title="How often does it come again?",
    statement=[
        "Each picture of 32 × 32 pixels is a grid of 4 × 4 symbols in noise, 8 × 8 pixels each. There are eight symbols, the same",
        "in all pictures, but nobody tells you what they look like. How often does the symbol at the top left come again in",
        "the same picture: 0, 1, 2 or 3 times? `train` has 1,000 pictures with `train_counts`, `test` 500 without. Predict the",
        "counts of `test`, in any way. A linear model on pixels does not beat guessing: the answer is not in any pixel, but in",
        "comparisons between patches. Which layer compares patches? You may train one, or write its queries and keys by hand:",
        "`patchify`, a dot product of the first patch with the others, a threshold. And what could reduce the noise first? All",
        "patches of all pictures together show only eight symbols.",
    ],
    draw=draw_symbols_challenge,
    score=count_accuracy,
    hand_in={"predictions": Array((NUM_TEST,), "integer")},
    to_beat=0.38,
    points_by_score={0.38: 1, 0.7: 2, 0.93: 3},
    minutes=60,
    score_name="accuracy",
)
