"""Folding a normalization away, and telling degradation from overfitting; the modules are in exercises_torch.py."""

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
    lesson,
    one_of,
    paragraph,
    part,
    right,
    says,
)

lesson(
    "vision",
    promise="Make a batch normalization disappear without a trace, tell degradation from overfitting, write the block of "
    "ResNet-50, and train a head on a backbone that stays frozen.",
    uses="NumPy; the last two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def fold(weight, bias, gamma, beta, mean, variance, eps):
    """Weight (out, in, k, k) and bias (out,) of one convolution that does what two layers did."""
    scale = gamma / np.sqrt(variance + eps)  # (out,)
    new_weight = weight * scale[:, None, None, None]
    new_bias = (bias - mean) * scale + beta
    return new_weight, new_bias


def draw_layers(g, channels_out, channels_in, k, plain=False):
    weight = g.normal(size=(channels_out, channels_in, k, k)).round(1)
    bias = np.zeros(channels_out) if plain else g.normal(size=channels_out).round(1)
    gamma = g.choice([-2.0, -0.5, 0.5, 2.0, 3.0], channels_out)
    beta = g.normal(size=channels_out).round(1)
    mean = (g.normal(size=channels_out) + 0.5).round(1)
    variance = g.integers(1, 60, channels_out) / 20
    return weight, bias, gamma, beta, mean, variance, float(g.choice([0.05, 0.1, 0.3]))


folding = exercise(
    "vision.1",
    fold,
    title="The layer that disappears",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            "In use, batch normalization takes fixed numbers, its running averages. Then a convolution and the normalization "
            "after it are two linear steps in a row, and two linear steps are one. Phones and browsers get networks in this "
            "form: the normalization is *folded* into the convolution."
        ),
        says(
            "**Write** `fold(weight, bias, gamma, beta, mean, variance, eps)`.",
            ignored="return weight, bias",
        ),
        says(
            "It returns the weight (out, in, k, k) and the bias (out,) of *one* convolution whose output is that of the "
            "convolution followed by the normalization in `eval()` mode.",
            mistake="The old bias is not scaled",
        ),
        context("`gamma`, `beta`, and the running `mean` and `variance` have the shape (out,):"),
        says("one number for each *output* channel of the convolution.", mistake="You scaled by the"),
        says("`eps` is added to the variance, before the root.", mistake="`eps` belongs under the root"),
        paragraph(),
        context("**Example.** One channel, a kernel of a single number."),
        example("""
weight, bias = np.array([[[[3.0]]]]), np.array([1.0])
gamma, beta, mean, variance = np.array([2.0]), np.array([0.5]), np.array([4.0]), np.array([0.9])
x = 5.0
y = weight[0, 0, 0, 0] * x + bias[0]
print("convolution", y, " normalized", round(2 * (y - 4) / np.sqrt(0.9 + 0.1) + 0.5, 3), "(with eps = 0.1)")
"""),
        context("The folded convolution has the weight 6 and the bias −5.5: 6 · 5 − 5.5 is 24.5 again."),
    ],
    hints=[
        "Write y = γ · (w · x + b − μ) / √(σ² + ε) + β and sort it: what is multiplied with x, and what is left?",
        "`scale = gamma / np.sqrt(variance + eps)` is (out,). `scale[:, None, None, None]` lies along the first axis of "
        "the weight.",
    ],
    draw=draw_layers,
    parts=[
        part("as many channels out as in", weight=2, channels_out=3, channels_in=3, k=3),
        part("different numbers of channels", weight=2, channels_out=between(2, 4), channels_in=between(5, 6), k=2),
        part("one channel, one number", channels_out=1, channels_in=1, k=1),
        part("no bias before", channels_out=between(2, 3), channels_in=between(1, 2), k=2, plain=True),
    ],
    own={"channels_out": 1, "channels_in": 1, "k": 1},
    own_says="A convolution and a normalization of your own to fold by hand",
    names=("the weight", "the bias"),
    mistakes={
        "You scaled by the *input* channels. γ and the averages belong to the output channels, the first axis.": [
            "new_weight = weight * scale[None, :, None, None]",
            "new_weight = weight * scale[:, None, None]",
        ],
        "The kernels are mixed up: give the scale three axes of length 1, so that it lies along the first axis.": (
            "new_weight = weight * scale"
        ),
        "The old bias is not scaled: it passed through the normalization like everything else.": (
            "new_bias = bias - mean * scale + beta"
        ),
        "The bias forgets the old bias.": "new_bias = beta - mean * scale",
        "The bias forgets the mean, which the normalization subtracts.": "new_bias = bias * scale + beta",
        "The mean is not scaled: it is subtracted *before* the division.": "new_bias = bias * scale - mean + beta",
        "The bias forgets β.": "new_bias = (bias - mean) * scale",
        "β is scaled too: it is added at the very end.": "new_bias = (bias - mean + beta) * scale",
        "The mean has the wrong sign.": "new_bias = (bias + mean) * scale + beta",
        "γ is missing.": "scale = 1 / np.sqrt(variance + eps)",
        "You divide by the variance: its root is what the normalization divides by.": "scale = gamma / (variance + eps)",
        "You multiply by the root; the normalization divides by it.": "scale = gamma * np.sqrt(variance + eps)",
        "`eps` belongs under the root, added to the variance.": "scale = gamma / (np.sqrt(variance) + eps)",
        "`eps` is missing.": "scale = gamma / np.sqrt(variance)",
        "The weight is as it was: it has to be scaled.": "new_weight = weight",
    },
    praise="One layer does the work of two, to the last digit. `torch.ao.quantization.fuse_modules` does this for whole networks.",
)


@right(folding)
def fold_by_channel(weight, bias, gamma, beta, mean, variance, eps):
    kernels, shifts = [], []
    for c in range(len(weight)):
        root = (variance[c] + eps) ** 0.5
        kernels.append(weight[c] * gamma[c] / root)
        shifts.append(gamma[c] * (bias[c] - mean[c]) / root + beta[c])
    return np.array(kernels), np.array(shifts)


# ---------------------------------------------------------------- 2
def diagnose(shallow_train, deep_train, shallow_test, deep_test):
    """Errors in percent, each (seeds,) → "degradation", "overfitting", "deeper helps" or "not shown"."""
    train_gap = deep_train - shallow_train  # (seeds,)
    test_gap = deep_test - shallow_test
    if (train_gap > 0).all():
        return "degradation"
    if (test_gap > 0).all():
        return "overfitting"
    if (test_gap < 0).all():
        return "deeper helps"
    return "not shown"


def draw_errors(g, train, test, seeds):
    """Errors of two networks; `train` and `test` say how the deep one's compare: higher, lower, mixed, mostly lower, tied."""

    def gaps(kind):
        size = g.integers(1, 6, seeds)
        if kind == "lower":
            return -size
        if kind == "mixed":  # higher in the mean, but not in every seed
            size = size + 3
            size[g.integers(seeds)] = -1
        if kind == "mostly lower":  # lower in the mean, but not in every seed
            size = -size - 1
            size[g.integers(seeds)] = 1
        if kind == "tied":  # higher, except for one seed in which both are equal
            size[g.integers(seeds)] = 0
        if kind == "tied lower":
            size = -size
            size[g.integers(seeds)] = 0
        return size

    shallow_train = g.integers(8, 14, seeds)
    shallow_test = g.integers(16, 24, seeds)
    return shallow_train, shallow_train + gaps(train), shallow_test, shallow_test + gaps(test)


diagnosing = exercise(
    "vision.2",
    diagnose,
    title="What is wrong with the deep one?",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        context(
            "Somebody trained a shallow and a deep network on the same data, each with several seeds, and wrote down their "
            "training and test errors in percent: four arrays (seeds,), with the same seed at the same position."
        ),
        says(
            "**Write** `diagnose(shallow_train, deep_train, shallow_test, deep_test)`; it returns one of four texts.",
            mistake="The two networks have changed places",
        ),
        context(
            "“Higher” means: higher **in every seed**, each deep network against the shallow one of the same seed."
        ),
        says("Higher in the mean is not enough,", mistake="You compare means"),
        says("and equal is not higher.", mistake="Equal errors count as higher"),
        paragraph(),
        says(
            '- `"degradation"`: the deep network\'s *training* error is higher;',
            mistake="You look at the test error only",
        ),
        says(
            "- whatever the test errors are;",
            mistake="A higher training error is degradation, whatever",
        ),
        says(
            '- else `"overfitting"`: its *test* error is higher;',
            ignored=edit('return "overfitting"', 'return "not shown"'),
        ),
        says('- else `"deeper helps"`: its test error is *lower*, in every seed;', mistake="Lower in every seed"),
        says('- else `"not shown"`.', ignored=edit('return "not shown"', 'return "deeper helps"')),
        example("""
shallow, deep = np.array([10, 12, 11]), np.array([13, 11, 15])
print("higher in the mean:", deep.mean() > shallow.mean(), "  in every seed:", (deep > shallow).all())
"""),
    ],
    hints=[
        "In which order do the four questions have to be asked, so that each text is returned only where it should be?",
        "`(deep_train > shallow_train).all()` is True where every seed agrees.",
    ],
    draw=draw_errors,
    parts=[
        part(
            "higher training error",
            weight=2,
            train="higher",
            test=one_of("higher", "lower", "mixed"),
            seeds=between(3, 6),
        ),
        part("higher test error only", weight=2, train="mostly lower", test="higher", seeds=between(3, 6)),
        part("lower test error", train=one_of("lower", "mixed"), test="lower", seeds=between(3, 6)),
        part("seeds that disagree", weight=2, train="mixed", test="mixed", seeds=between(3, 6)),
        part("a tie in training", train="tied", test=one_of("lower", "higher"), seeds=between(3, 5)),
        part("a tie in the test", train="lower", test=one_of("tied", "tied lower"), seeds=between(3, 5)),
        part("one seed", train=one_of("higher", "lower"), test=one_of("higher", "lower"), seeds=1),
    ],
    own={"train": "mixed", "test": "higher", "seeds": 3},
    own_says="Errors of your own: shallow and deep in training, shallow and deep in the test",
    mistakes={
        "The two networks have changed places: the question is about the deep one.": [
            edit(
                "deep_train - shallow_train",
                "shallow_train - deep_train",
                "deep_test - shallow_test",
                "shallow_test - deep_test",
            ),
            "train_gap = shallow_train - deep_train",
        ],
        "You compare means: one seed may pull a mean. Ask whether *every* seed agrees.": edit(
            "(train_gap > 0).all()",
            "train_gap.mean() > 0",
            "(test_gap > 0).all()",
            "test_gap.mean() > 0",
            "(test_gap < 0).all()",
            "test_gap.mean() < 0",
        ),
        "One seed is enough for you (`any`). All of them must agree.": edit(
            "(train_gap > 0).all()", "(train_gap > 0).any()", "(test_gap > 0).all()", "(test_gap > 0).any()"
        ),
        "Equal errors count as higher in your version.": edit(
            "(train_gap > 0).all()", "(train_gap >= 0).all()", "(test_gap > 0).all()", "(test_gap >= 0).all()"
        ),
        "You look at the test error only. A higher *training* error is degradation.": edit(
            '    if (train_gap > 0).all():\n        return "degradation"\n', ""
        ),
        "A higher training error is degradation, whatever the test error is: ask that first.": [
            edit("if (train_gap > 0).all():", "if (train_gap > 0).all() and (test_gap > 0).all():"),
            edit("if (train_gap > 0).all():", "if (train_gap > 0).all() and not (test_gap < 0).all():"),
        ],
        "“Deeper helps” where not all seeds agree. Lower in every seed is what was asked for.": edit(
            "(test_gap < 0).all()", "(test_gap < 0).any()"
        ),
        "Training and test errors have changed places.": edit(
            "deep_train - shallow_train",
            "deep_test - shallow_test ",
            "deep_test - shallow_test\n",
            "deep_train - shallow_train\n",
        ),
    },
    praise="Training error first, then test error, and no verdict where the seeds disagree.",
)


@right(diagnosing)
def diagnose_in_one_pass(shallow_train, deep_train, shallow_test, deep_test):
    pairs = list(zip(shallow_train, deep_train, shallow_test, deep_test, strict=True))
    if all(b > a for a, b, _, _ in pairs):
        return "degradation"
    if all(d > c for _, _, c, d in pairs):
        return "overfitting"
    return "deeper helps" if all(d < c for _, _, c, d in pairs) else "not shown"


# ---------------------------------------------------------------- blanks of the lesson
def draw_blank_maps():
    g = np.random.default_rng(0)
    yield np.array([4.0, 6.0, 5.0, 5.0]).reshape(4, 1, 1, 1), np.array([1.0]), np.array([0.0])
    for b, h, w, c in ((3, 2, 4, 2), (2, 3, 3, 3), (5, 1, 1, 2)):
        yield g.normal(2, 3, (b, h, w, c)).round(2), g.choice([0.5, 2.0, -1.0], c), g.normal(size=c).round(1)


def _normalized(x, gamma, beta, mean, variance, eps=1e-5):
    return gamma * (x - mean) / np.sqrt(variance + eps) + beta


@blank(
    "vision.blank.1",
    title="Batch normalization",
    inputs=draw_blank_maps,
    mistakes=[
        (
            lambda x, gamma, beta: _normalized(x, gamma, beta, x.mean(axis=0), x.var(axis=0)),
            "One mean for each *pixel*: take it over the batch, the rows and the columns, axis=(0, 1, 2).",
        ),
        (
            lambda x, gamma, beta: _normalized(
                x, gamma, beta, x.mean(axis=(1, 2), keepdims=True), x.var(axis=(1, 2), keepdims=True)
            ),
            "Each picture is normalized by itself: the mean is taken over the batch, too.",
        ),
        (
            lambda x, gamma, beta: _normalized(x, gamma, beta, x.mean(), x.var()),
            "One mean for all channels: each has its own.",
        ),
        (
            lambda x, gamma, beta: gamma * (x - x.mean(axis=(0, 1, 2))) / (x.var(axis=(0, 1, 2)) + 1e-5) + beta,
            "You divided by the variance: its root is needed.",
        ),
        (
            lambda x, gamma, beta: _normalized(x, 1.0, 0.0, x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))),
            "γ and β are missing: multiply by the one and add the other at the end.",
        ),
        (
            lambda x, gamma, beta: _normalized(x, gamma, 0.0, x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))),
            "β is missing: add it at the end.",
        ),
        (
            lambda x, gamma, beta: _normalized(x, gamma, beta, x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2), ddof=1)),
            "Your variance is divided by n − 1: for the output it is divided by n, `x.var(axis=(0, 1, 2))`.",
        ),
        (
            lambda x, gamma, beta: gamma * x / np.sqrt(x.var(axis=(0, 1, 2)) + 1e-5) + beta,
            "The mean is not subtracted.",
        ),
        (
            lambda x, gamma, beta: _normalized(x, gamma, beta, x.mean(axis=(0, 1, 2)), 1.0),
            "Nothing is divided by the root of the variance.",
        ),
    ],
    what="The result",
)
def batch_norm(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 1, 2))  # (c,)
    variance = x.var(axis=(0, 1, 2))  # divided by n
    normalized = (x - mean) / np.sqrt(variance + eps)
    return gamma * normalized + beta


def _running(batch_means, momentum, step):
    running = 0.0
    for batch_mean in batch_means:
        running = step(running, batch_mean, momentum)
    return running


@blank(
    "vision.blank.2",
    title="The running mean",
    inputs=[([4.0], 0.1), ([5.0, 7.0, 6.0], 0.1), ([1.0, 2.0, 3.0], 0.25), ([2.0, 8.0], 1.0)],
    mistakes=[
        (
            lambda means, momentum: _running(means, momentum, lambda old, new, m: m * old + (1 - m) * new),
            "This is Keras's convention: the momentum weighs the old average. Here it weighs the *new* batch.",
        ),
        (
            lambda means, momentum: _running(means, momentum, lambda old, new, m: old + m * new),
            "The old average is kept whole: it counts only 1 − m.",
        ),
        (
            lambda means, momentum: _running(means, momentum, lambda old, new, m: m * new),
            "The old average is forgotten: it still counts 1 − m.",
        ),
        (
            lambda means, momentum: float(np.mean(means)),
            "This is the plain mean of all batches, in which the momentum has no effect.",
        ),
        (
            lambda means, momentum: _running(means, momentum, lambda old, new, m: new),
            "Only the last batch counts here.",
        ),
    ],
    what="The running mean",
)
def running_mean(batch_means, momentum):
    running = 0.0
    for batch_mean in batch_means:
        running = (1 - momentum) * running + momentum * batch_mean
    return running


@blank(
    "vision.blank.4",
    title="A learning rate for each stage",
    inputs=[(3, 1.0, 10), (4, 1e-3, 5), (2, 0.5, 2), (1, 0.01, 3)],
    mistakes=[
        (
            lambda num_stages, head_rate, factor: [head_rate / factor**k for k in range(num_stages)],
            "The order is upside down: the *first* stage has the smallest rate, the head the largest.",
        ),
        (
            lambda num_stages, head_rate, factor: [head_rate * factor**k for k in range(num_stages)],
            "The head has more than `head_rate`: stages before it get less, not the head more.",
        ),
        (
            lambda num_stages, head_rate, factor: [head_rate / factor ** (num_stages - k) for k in range(num_stages)],
            "All rates are one factor too small: the head itself gets `head_rate`.",
        ),
        (
            lambda num_stages, head_rate, factor: [
                head_rate / (factor * (num_stages - 1 - k) or 1) for k in range(num_stages)
            ],
            "Each stage gets the rate after it *divided by factor*: powers of factor, not multiples.",
        ),
        (lambda num_stages, head_rate, factor: [head_rate] * num_stages, "All stages have the same rate."),
    ],
    what="The rates",
    rtol=1e-6,
    atol=1e-9,
)
def stage_rates(num_stages, head_rate, factor):
    rates = []
    for stage in range(num_stages):
        steps_below_head = num_stages - 1 - stage
        rates.append(head_rate / factor**steps_below_head)
    return rates


# ---------------------------------------------------------------- an open challenge
SIDE, NUM_TRAIN, NUM_TEST = 32, 80, 500
ANGLES = np.pi * np.arange(4) / 4  # of the stripes that go with each shape in training


def draw_striped_shapes(g, n, loyal):
    """n gray pictures (n, 32, 32) of a bright shape on darker stripes in noise, and the shape's number (n,).

    With `loyal`, the direction of the stripes tells the shape; without, it tells nothing.
    """
    shape = g.integers(4, size=n)
    stripes = shape if loyal else g.integers(4, size=n)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    angle = ANGLES[stripes][:, None, None]
    phase, width = g.uniform(0, 2 * np.pi, (n, 1, 1)), g.uniform(4.0, 7.0, (n, 1, 1))
    wave = np.sin(2 * np.pi * (columns * np.cos(angle) + rows * np.sin(angle)) / width + phase)
    radius = g.uniform(5.0, 8.0, (n, 1, 1))
    center_y, center_x = g.uniform(10, 22, (2, n, 1, 1))
    dy, dx = (rows - center_y) / radius, (columns - center_x) / radius
    near = np.minimum(np.abs(dx), np.abs(dy))
    far = np.maximum(np.abs(dx), np.abs(dy))
    circle = np.hypot(dx, dy) < 1
    square = far < 0.85
    triangle = (dy < 0.7) & (np.abs(dx) < 0.55 * (dy + 1))
    cross = (near < 0.33) & (far < 1)
    inside = np.stack([circle, square, triangle, cross])[shape, np.arange(n)]
    ground = 90 + 55 * wave
    thing = g.uniform(170, 220, (n, 1, 1))
    pictures = np.where(inside, thing, ground) + g.normal(0, 8, (n, SIDE, SIDE))
    return np.clip(pictures, 0, 255).astype(np.uint8), shape


def draw_stripes_challenge(g):
    """Pictures with labels in which the stripes tell the shape, and pictures without labels in which they do not."""
    train, train_labels = draw_striped_shapes(g, NUM_TRAIN, loyal=True)
    test, test_labels = draw_striped_shapes(g, NUM_TEST, loyal=False)
    return Drawn({"train": train, "train_labels": train_labels, "test": test}, test_labels)


def stripes_accuracy(handed_in, inputs, labels):
    """Share of the hidden labels that were predicted."""
    return np.mean(handed_in["predictions"] == labels)


challenge(
    "vision.challenge",
    title="When the background lies",
    statement=[
        "Each picture holds a bright circle (0), square (1), triangle (2) or cross (3) on darker stripes, 32 × 32 gray pixels.",
        "`train` has 80 of them with `train_labels`; there the direction of the stripes goes with the shape. `test` has 500",
        "without labels; there any shape lies on any stripes. Predict the labels of `test`, in any way. A network trained on",
        "the pictures as they are learns the stripes. What can you take out of the pictures, or put into training, so that",
        "only the shape is left to learn? And how do you multiply 80 pictures, without changing an answer?",
    ],
    draw=draw_stripes_challenge,
    score=stripes_accuracy,
    hand_in={"predictions": Array((NUM_TEST,), "integer")},
    to_beat=0.5,
    points_by_score={0.5: 1, 0.75: 2, 0.9: 3},
    minutes=60,
    score_name="accuracy",
)
