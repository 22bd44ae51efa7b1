"""One exercise on transformers: the post-norm block."""

import math

import numpy as np

from mmcourse.exercise import between, context, example, exercise, lesson, paragraph, part, right, says

lesson(
    "transformers",
    promise="One task: put the norm in the right place.",
    setup="""
import numpy as np

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
