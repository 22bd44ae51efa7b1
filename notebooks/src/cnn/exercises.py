"""True convolution, sizes and fields, and the diagnosis of a gradient; the modules are in exercises_torch.py."""

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
    paragraph,
    part,
    right,
    says,
)

lesson(
    "cnn",
    promise="True convolution by hand, the sizes of a whole network, a gradient that somebody else got wrong, and two "
    "PyTorch modules: a convolution that pads as Keras does, and a network for pictures of any size.",
    uses="NumPy; the last two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def convolve(x, k):
    """True convolution wherever the kernel fits: (h − kh + 1, w − kw + 1)."""
    turned = k[::-1, ::-1]
    (h, w), (kh, kw) = x.shape, turned.shape
    y = np.zeros((h - kh + 1, w - kw + 1))
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            patch = x[i : i + kh, j : j + kw]
            y[i, j] = (patch * turned).sum()
    return y


def with_negative_indices(x, k):
    """The formula with Python's indices: before the first row comes the last."""
    h, w = np.subtract(x.shape, k.shape) + 1
    return sum(np.roll(x, (m, n), (0, 1))[:h, :w] * k[m, n] for m, n in np.ndindex(*k.shape))


def padded(x, k, before, after):
    """Convolution of a picture with zeros around it."""
    return convolve(np.pad(x, [(before(n), after(n)) for n in k.shape]), k)


def draw_pair(g, kernel, more):
    """A picture that is `more` larger than the kernel, along each axis."""
    kernel = np.array(kernel)
    return g.normal(size=kernel + more).round(2), g.normal(size=kernel).round(2)


def draw_square(g):
    return draw_pair(g, (3, 3), g.integers(1, 5, 2))


def draw_oblong(g):
    return draw_pair(g, g.permutation([2, int(g.integers(3, 5))]), g.integers(1, 5, 2))


def draw_fitting(g):
    return draw_pair(g, g.integers(2, 5, 2), 0)


def draw_row(g):
    return draw_pair(g, (1, 3), (0, g.integers(1, 6)))


def draw_number(g):
    return draw_pair(g, (1, 1), g.integers(2, 5, 2))


def draw_whole(g, of):
    """The kernel, or the picture, holds integers, the other one floats."""
    x, k = draw_oblong(g)
    if of == "kernel":
        return x, g.integers(-3, 4, k.shape)
    return g.integers(-3, 4, x.shape), k


convolution = exercise(
    "cnn.1",
    convolve,
    title="True convolution",
    points=2,
    difficulty=1,
    minutes=8,
    statement=[
        says(r"$$Y(i,j) = \sum_{m,n} X(i-m,\,j-n)\,K(m,n)$$", mistake="You took the mean of each patch"),
        context("Frameworks leave the flip out."),
        says("You do not: turn the kernel by 180°,", mistake="That is cross-correlation"),
        says("then slide it over all positions where it fits.", mistake="mode 'full'"),
        paragraph(),
        context(
            "**Example.** The picture has a single bright pixel. True convolution stamps the kernel there *the right way "
            "round*."
        ),
        example("""
picture = np.zeros((5, 5))
picture[2, 2] = 1.0
stamp = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
print("one position, kernel as it is:", (picture[0:3, 0:3] * stamp).sum())
print("one position, kernel turned:  ", (picture[0:3, 0:3] * stamp[::-1, ::-1]).sum(), "= the kernel's first number")
"""),
        says(
            "**Write** `convolve(x, k)` for `x` (h, w) and `k` (kh, kw), which need not be square or symmetric.",
            mistake="You transposed the kernel",
        ),
        says("Either may hold integers.", mistake="Your numbers lost their fractions"),
        says("Return the array (h − kh + 1, w − kw + 1).", mistake="The last row and column are missing"),
    ],
    hints=[
        "`k[::-1, ::-1]` is the kernel turned by 180°. Both axes: rows *and* columns.",
        "Make `y` of zeros with shape (h − kh + 1, w − kw + 1), loop over its positions, and multiply each patch with the "
        "turned kernel.",
    ],
    parts=[
        part(
            "a picture by hand",
            public_only=True,
            inputs=[
                (np.array([[0.0, 0.5, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])),
            ],
        ),
        part("square kernels", draw=draw_square),
        part("kernels that are not square", weight=2, draw=draw_oblong),
        part("a kernel as large as the picture", draw=draw_fitting),
        part("a single row", draw=draw_row),
        part("a kernel of one number", draw=draw_number),
        part("whole numbers in one of the two", draw=draw_whole, of=in_turn("kernel", "picture")),
    ],
    own=lambda g: (g.integers(-5, 6, (3, 3)) * 1.0, g.integers(-5, 6, (2, 2)) * 1.0),
    own_says="A picture and a kernel of your own to try by hand",
    what="The output",
    mistakes={
        "That is cross-correlation, as frameworks compute it. True convolution turns the kernel by 180° first.": (
            "turned = k"
        ),
        "You turned the rows of the kernel only. A half turn reverses both axes.": "turned = k[::-1]",
        "You turned the columns of the kernel only. A half turn reverses both axes.": "turned = k[:, ::-1]",
        "That is a quarter turn. 180° are two of them: `k[::-1, ::-1]`.": [
            "turned = np.rot90(k)",
            "turned = np.rot90(k, 3)",
        ],
        "You turned the picture. Turn the kernel, and the output stays upright.": (
            lambda x, k: convolve(x[::-1, ::-1], k[::-1, ::-1])
        ),
        "You turned the kernel and the picture too, so the output is upside down, and the two turns cancel in each patch. "
        "Turn the kernel only.": lambda x, k: convolve(x[::-1, ::-1], k),
        "Your first values wrap round: pixels from the other end of the picture come in (negative indices do that, and so "
        "does an FFT). The kernel counts only where it fits.": with_negative_indices,
        "You transposed the kernel: that is a mirror along the diagonal, not a half turn.": "turned = k.T",
        "You let the kernel hang over the border (mode 'full'). It counts only where it fits: "
        "(h − kh + 1, w − kw + 1).": lambda x, k: padded(x, k, lambda n: n - 1, lambda n: n - 1),
        "Your output is as large as the picture (mode 'same'). The kernel counts only where it fits.": (
            lambda x, k: padded(x, k, lambda n: n // 2, lambda n: n - 1 - n // 2)
        ),
        "You took the mean of each patch. The formula adds up: `.sum()`.": "y[i, j] = (patch * turned).mean()",
        "The last row and column are missing: there are h − kh + 1 positions along an axis, not h − kh.": (
            "y = np.zeros((h - kh, w - kw))"
        ),
        "Your loops end one step early: the last row and column of the output stay 0.": edit(
            "range(y.shape[0])", "range(y.shape[0] - 1)", "range(y.shape[1])", "range(y.shape[1] - 1)"
        ),
        "Your numbers lost their fractions. Make `y` of floats: `np.zeros(...)`, not `zeros_like` of whole numbers.": [
            "y = np.zeros((h - kh + 1, w - kw + 1), dtype=int)",
            "y = np.zeros((h - kh + 1, w - kw + 1), dtype=k.dtype)",
            "y = np.zeros((h - kh + 1, w - kw + 1), dtype=x.dtype)",
        ],
    },
    praise="The flip is one line; now you know where it went.",
)


@right(convolution)
def by_shifting(x, k):
    h, w = np.subtract(x.shape, k.shape) + 1
    y = np.zeros((h, w))
    for m, row in enumerate(k[::-1]):
        for n, weight in enumerate(row[::-1]):
            y += weight * x[m : m + h, n : n + w]
    return y


@right(convolution)
def by_scipy(x, k):
    from scipy.signal import convolve2d

    return convolve2d(x, k, mode="valid")


# ---------------------------------------------------------------- 2
def sizes(layers, size):
    """Return (output width, receptive field) of a list of (kernel, stride, padding, dilation)."""
    field = jump = 1
    for kernel, stride, padding, dilation in layers:
        span = dilation * (kernel - 1) + 1
        size = (size + 2 * padding - span) // stride + 1
        field += dilation * (kernel - 1) * jump
        jump *= stride
    return size, field


def without_holes(layers, size):
    """The width, and the pixels that one output reads, without the holes between them."""
    pixels = {0}
    for kernel, stride, _, dilation in reversed(layers):
        pixels = {pixel * stride + m * dilation for pixel in pixels for m in range(kernel)}
    return sizes(layers, size)[0], len(pixels)


def draw_network(g, layers, strides=(1, 2, 3), dilations=(1, 2, 3)):
    """Layers of random sizes, and an input that they do not use up."""
    made = []
    for _ in range(layers):
        stride = strides[g.integers(len(strides))]
        dilation = dilations[g.integers(len(dilations))]
        made.append((int(g.integers(1, 6)), stride, int(g.integers(0, 4)), dilation))
    size = int(g.integers(40, 300))
    return (made, size) if sizes(made, size)[0] > 0 else draw_network(g, layers, strides, dilations)


def draw_nothing(g):
    return [], int(g.integers(5, 50))


def draw_own_network(g):
    kernel, stride = int(g.integers(1, 6)), int(g.integers(1, 4))
    return [(kernel, stride, 1, 1), (3, 1, 0, 2)], int(g.integers(24, 3000))


network = exercise(
    "cnn.2",
    sizes,
    title="The size of everything",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context(
            "A network is a list of layers, each `(kernel, stride, padding, dilation)`; pooling counts as a layer, too. Its "
            "input is `size` pixels wide. How wide is the output, and how many pixels has one of its numbers seen?"
        ),
        says(
            r"$$o = \left\lfloor \frac{n + 2p - d(k-1) - 1}{s} \right\rfloor + 1 \qquad "
            r"r \leftarrow r + (k-1)\,d\,j, \quad j \leftarrow j\,s$$",
            mistake="You rounded up",
        ),
        says("with $r = j = 1$ at the input.", ignored="field = jump = 0"),
        says("(From the first pixel to the last: holes count,", mistake="holes included"),
        says("and so does padding: $r$ may be more than the picture has.)", mistake="ends where the picture does"),
        paragraph(),
        context(
            "**Example.** Two layers, 28 pixels: a 3×3 convolution with stride 2 and padding 1, then another with dilation "
            "2."
        ),
        example("""
first = (28 + 2 * 1 - 1 * 2 - 1) // 2 + 1  # 14 wide; has seen 1 + 2·1·1 = 3 pixels; the jump is now 2
second = (first + 2 * 0 - 2 * 2 - 1) // 1 + 1
print("width", second, "  seen", 3 + (3 - 1) * 2 * 2)
"""),
        says("**Write** `sizes(layers, size)`.", mistake="by the stride alone"),
        says("Return two whole numbers: the output's width and its receptive field.", mistake="in the wrong order"),
        context("(In the example: 10 and 11.)"),
    ],
    hints=[
        "One loop over the layers, three numbers that change: the width, the field and the jump.",
        "The stride of a layer counts for the layers *after* it: add to the field first, then let the jump grow.",
    ],
    draw=draw_network,
    parts=[
        part(
            "networks by hand",
            public_only=True,
            inputs=[
                ([(3, 1, 0, 1)], 10),
                ([(3, 3, 0, 1)], 10),
                ([(3, 1, 0, 1), (2, 1, 0, 5)], 20),
                ([(3, 2, 1, 1), (3, 1, 0, 3)], 28),
                ([(3, 1, 1, 1), (2, 2, 0, 1), (3, 1, 1, 1), (2, 2, 0, 1), (3, 1, 1, 1)], 28),
                ([(7, 2, 3, 1), (3, 2, 1, 1), (3, 1, 1, 1)], 224),
                ([(3, 1, 0, 1), (3, 1, 0, 2), (3, 1, 0, 4)], 33),
                ([(5, 3, 2, 1), (2, 2, 0, 1), (1, 1, 0, 1), (3, 1, 2, 3)], 65),
                ([(4, 3, 0, 2)], 7),
                ([(3, 3, 0, 1)], 11),
                ([(3, 1, 4, 4), (3, 1, 8, 8)], 9),
            ],
        ),
        part("one layer", layers=1),
        part("layers that follow each other pixel by pixel", layers=between(2, 4), strides=(1,), dilations=(1,)),
        part("strides", layers=between(2, 4), strides=(2, 3), dilations=(1,)),
        part("dilation", layers=between(2, 3), strides=(1,), dilations=(2, 3)),
        part("everything together", weight=2, layers=between(3, 5)),
        part("no layer at all", draw=draw_nothing),
    ],
    own=draw_own_network,
    own_says="Layers and an input size of your own",
    names=("width", "field"),
    mistakes={
        "Your width counts the padding once. It stands on both sides: n + 2p.": "size = (size + padding - span) // stride + 1",
        "Your width forgets the dilation: the kernel spans d(k − 1) + 1 pixels.": "span = kernel",
        "You spread k steps of the dilation. Between k weights there are k − 1: the span is d(k − 1) + 1.": [
            "span = dilation * kernel",
            "span = dilation * kernel\nfield += (dilation * kernel - 1) * jump",
        ],
        "Your width lacks the + 1: a kernel that just fits has one position, not none.": (
            "size = (size + 2 * padding - span) // stride"
        ),
        "You rounded up. A step that would leave the picture is not made: round down, `//`.": (
            "size = -(-(size + 2 * padding - span) // stride) + 1"
        ),
        "You rounded to the nearest. Even two thirds of a step are not made: round down, `//`.": [
            "size = round((size + 2 * padding - span) / stride + 1)",
            "size = round((size + 2 * padding - span) / stride) + 1",
        ],
        "You divided by the stride alone. Kernel, padding and dilation count, too.": "size = size // stride",
        "Your field counts a layer's own stride. It is for the layers after it: first add, then grow the jump.": (
            "field += dilation * (kernel - 1) * jump * stride"
        ),
        "Your field ignores strides: after a stride of 2, one step is two pixels wide.": "jump *= 1",
        "Your jump is the last stride only. Strides multiply: 2 and then 2 make 4.": "jump = stride",
        "You added strides up. They multiply: 2 and then 3 make 6.": "jump += stride - 1",
        "Your field forgets the dilation: k weights, d apart, reach (k − 1)·d steps.": "field += (kernel - 1) * jump",
        "You counted only the pixels that are read. The field is from the first to the last, holes included.": (
            without_holes
        ),
        "Your field adds k steps per layer. A kernel reaches k − 1 steps further, not k.": (
            "field += dilation * kernel * jump"
        ),
        "Your field ends where the picture does. Positions in the padding count, too: keep to the formula.": (
            lambda layers, size: (sizes(layers, size)[0], min(sizes(layers, size)[1], size))
        ),
        "Both numbers are right, in the wrong order: first the width, then the field.": "return field, size",
    },
    praise="Now you can read any network's sizes off its definition.",
)


@right(network)
def by_counting(layers, size):
    low = high = 0
    for kernel, stride, _, dilation in layers[::-1]:
        low, high = low * stride, high * stride + dilation * (kernel - 1)
    for kernel, stride, padding, dilation in layers:
        size = len(range(0, size + 2 * padding - dilation * (kernel - 1), stride))
    return np.array([size, high - low + 1])


# ---------------------------------------------------------------- 3
def verdict(ours, numerical):
    """Return (error, "right" | "flipped" | "scaled" | "wrong")."""
    largest = np.abs(numerical).max()

    def error(a):
        return np.abs(a - numerical).max() / largest

    size = (ours**2).sum()
    factor = (ours * numerical).sum() / size if size > 0 else 0.0  # the multiple of ours that comes closest
    repairs = {"right": ours, "flipped": ours[::-1, ::-1], "scaled": factor * ours}
    fitting = [word for word, repaired in repairs.items() if error(repaired) <= 1e-6]
    return error(ours), [*fitting, "wrong"][0]


def shows_error(expression):
    """The right word beside another error."""
    return edit("return error(ours),", f"return {expression},")


def equal_if(condition):
    """Another measure of equal."""
    return edit("error(repaired) <= 1e-6", condition)


def in_order(*pieces):
    """The repairs in another order."""
    return edit('"right": ours, "flipped": ours[::-1, ::-1], "scaled": factor * ours', ", ".join(pieces))


RIGHT, FLIPPED, SCALED = '"right": ours', '"flipped": ours[::-1, ::-1]', '"scaled": factor * ours'


def calls(word, excuse):
    """Says `word` of a wrong gradient that has this excuse."""

    def mistaken(ours, numerical):
        error, right_word = verdict(ours, numerical)
        return error, word if right_word == "wrong" and excuse(ours, numerical) else right_word

    return mistaken


def turned_and_scaled(ours, numerical):
    return verdict(np.flip(ours), numerical)[1] == "scaled"


def by_equal_ratios(ours, numerical):
    """Scaled where all ratios are equal, also 0 / 0 and what is divided by 0."""
    error, word = verdict(ours, numerical)
    if word in ("right", "flipped") or not ours.any():
        return error, word
    ratios = numerical / ours
    return error, "scaled" if np.ptp(ratios) <= 1e-6 * np.abs(ratios).max() else "wrong"


def scaled_but_for_zeros(ours, numerical):
    return ours.any() and verdict(ours, np.where(ours == 0, 0, numerical))[1] == "scaled"


SMALL = np.array([[1.0, -2.0], [3.0, 4.0]])
HOLE = np.array([[0.0, 2.0, 0.0], [-3.0, 5.0, 1.0]])
ODD = np.array([[-1.0, 2.0], [-2.0, 1.0]])  # turned: times −1
EVEN = np.array([[1.0, 2.0], [2.0, 1.0]])  # turned: the same
REAL = np.array([[0.35, -1.2, 0.8], [1.75, 0.15, -0.6], [-0.95, 0.5, 2.1]])
BALANCED = np.array([[1.0, -3.0], [5.0, -3.0]])  # the sum is 0
NOISE = 1e-9 * np.array([[1.0, -0.5, 0.3], [0.2, 0.9, -1.0], [-0.4, 0.6, 0.1]])

GRADIENTS = [
    (SMALL / 2, SMALL),
    (SMALL * 3, SMALL),
    (SMALL, SMALL),
    (-SMALL / 2, -SMALL),
    (REAL[::-1], REAL),
    (REAL[:, ::-1], REAL),
    (REAL.T, REAL),
    (REAL + NOISE, REAL),
    (EVEN, EVEN),
    (REAL[::-1, ::-1], REAL),
    (-ODD, ODD),
    (-REAL, REAL),
    (HOLE * 64, HOLE),
    (HOLE[::-1, ::-1] / 2, HOLE[::-1, ::-1]),  # a slope of 0, but not the first one
    (HOLE + 1e-8, HOLE),  # far from 0 beside a slope of 0, near it beside the largest
    (BALANCED / 4, BALANCED),
    (1000 * REAL * (1 + 1e-4 * (REAL > 0)), 1000 * REAL),
    (REAL - 0.5 * (REAL == REAL.max()), REAL),
    (2 * SMALL * (SMALL < 4), SMALL),
    (2 * REAL[::-1, ::-1], REAL),
    (1e-8 * REAL.T, 1e-8 * REAL),
    (BALANCED * (1 + 5e-6 * (BALANCED > 0)), BALANCED),
    (np.zeros((2, 3)), HOLE),
]


def draw_slopes(g, size=1.0):
    return size * g.normal(size=g.integers(2, 5, 2))


def draw_right(g, same_when_turned):
    """Right up to the noise of finite differences; sometimes such that a half turn changes nothing."""
    a = draw_slopes(g)
    if same_when_turned:
        return a + a[::-1, ::-1], a + a[::-1, ::-1]
    a[0, -1] *= g.integers(2)  # some slopes are 0
    return a + 1e-9 * g.normal(size=a.shape), a


TURNS = {
    "half a turn": lambda a: a[::-1, ::-1],
    "rows": lambda a: a[::-1],
    "columns": lambda a: a[:, ::-1],
    "transpose": lambda a: a.T,
}


def draw_turned(g, turn):
    a = g.normal(size=(3, 3))
    return TURNS[turn](a).copy(), a


def draw_scaled(g, whole, factor):
    """Times a number that may be negative, with some slopes that are 0, or with the sum 0."""
    a = draw_slopes(g)
    a[(0, -1)[g.integers(2)], 0] *= g.integers(2)
    if whole:
        a = np.round(16 * a)  # whole numbers: the sum is exactly 0
        a[-1, -1] -= a.sum()
    return a * factor, a


def draw_wrong(g, lost, share=0.0):
    """One number off, by much or by very little, or lost, in gradients of any size."""
    a = draw_slopes(g, 10.0 ** g.integers(-9, 4))
    off = a.copy()
    position = tuple(g.integers(0, a.shape))
    if lost:
        off[position] = 0
        return 2 * off, a
    off[position] += g.choice([-1, 1]) * share * np.abs(a).max()
    return off, a


def draw_twice_wrong(g, odd):
    """Turned and scaled: no single repair helps, but for odd ones, where half a turn is times minus one."""
    a = g.normal(size=(3, 3))
    if odd:
        return a[::-1, ::-1] - a, a - a[::-1, ::-1]
    return g.choice([-3, 0.5, 2]) * a[::-1, ::-1], a


def draw_zeros(g):
    return np.zeros((2, 3)), g.normal(size=(2, 3))


def draw_own_gradient(g):
    numerical = g.integers(1, 50, (2, 2)) * 1.0
    ours = (numerical, numerical[::-1, ::-1], numerical / 2, numerical + 1)[g.integers(4)]
    return ours.copy(), numerical


diagnosis = exercise(
    "cnn.3",
    verdict,
    title="What is wrong with this gradient?",
    points=2,
    difficulty=3,
    minutes=12,
    statement=[
        context(
            "A colleague wrote a backward pass. You took the gradient numerically as well (central differences in float64) and have both "
            "arrays: `ours`, from the colleague's formula, and `numerical`. Judge it."
        ),
        says(
            "The error is the largest difference relative to the largest numerical gradient:",
            mistake="Your error is a mean",
        ),
        says(
            r"$$e = \frac{\max |\text{ours} - \text{numerical}|}{\max |\text{numerical}|}$$",
            mistake="Your error is absolute",
        ),
        says(
            r"The verdict is the first of these that holds, with $e \le 10^{-6}$ as the measure of “equal”:",
            mistake="Your measure of equal is absolute",
        ),
        paragraph(),
        says('- `"right"`: ours equals numerical;', mistake="You ask for exact equality"),
        says('- `"flipped"`: it would, if ours were turned by 180°;', mistake="Your turn reverses rows only"),
        says(
            '- `"scaled"`: it would, if ours were multiplied by one and the same number (such as a batch size that was '
            "forgotten),",
            mistake="You never say 'scaled'",
        ),
        says("which may be negative;", mistake="A wrong sign is a scale, too"),
        says('- `"wrong"`: none of these,', ignored=edit('"wrong"', '"scaled"')),
        says("such as two repairs needed at once.", mistake="Turned and scaled at once"),
        paragraph(),
        context(
            "**Example.** Each number is half of what it should be. The error is one half, and the right name is “scaled”."
        ),
        example("""
numerical = np.array([[1.0, -2.0], [3.0, 4.0]])
ours = numerical / 2
print("error", np.abs(ours - numerical).max() / np.abs(numerical).max(), "  ratios", np.unique(numerical / ours))
"""),
        says(
            "**Write** `verdict(ours, numerical)` for two arrays (kh, kw).",
            mistake="Both a half turn and a number repair",
        ),
        says(
            "Return the error $e$ of the arrays as they are, and one of the four words.",
            mistake="Your error is that of the repaired array",
        ),
        says("Some slopes may be 0 (never all of `numerical`),", mistake="You took the ratio at one fixed place"),
        says(
            "and all of `ours` may be 0: then no number repairs it.",
            ignored=edit('"wrong"]', '"wrong" if size > 0 else "scaled"]'),
        ),
    ],
    hints=[
        "Write the error as a small function of one array, and use it three times: as it is, turned, and multiplied.",
        "Which number? Divide at the position where `ours` is largest in size: there nothing is 0 unless everything is.",
    ],
    parts=[
        part("gradients by hand", public_only=True, inputs=[(ours.copy(), numerical) for ours, numerical in GRADIENTS]),
        part("right gradients", draw=draw_right, same_when_turned=in_turn(False, True)),
        part("turned and mirrored ones", draw=draw_turned, turn=in_turn(*TURNS)),
        part("scaled ones", draw=draw_scaled, whole=in_turn(False, False, True), factor=in_turn(-3, -1, 0.25, 2, 64)),
        part(
            "wrong ones", draw=draw_wrong, lost=in_turn(False, False, True), share=in_turn(4e-6, 1e-4, 0.3, -4e-6, 0.3)
        ),
        part("turned and scaled at once", draw=draw_twice_wrong, odd=in_turn(True, False)),
        part("all zero", draw=draw_zeros),
    ],
    own=draw_own_gradient,
    own_says="A gradient of your own to judge, and the numerical one",
    names=("error", "verdict"),
    mistakes={
        "Your error is absolute. Divide by the largest numerical gradient: gradients of any size should be judged alike.": (
            shows_error("np.abs(ours - numerical).max()")
        ),
        "Your error is a mean. One wrong number among many must not hide: take the largest difference.": (
            shows_error("np.abs(ours - numerical).mean() / largest")
        ),
        "You divided by the largest of `ours`. It is `ours` that is on trial: divide by the numerical gradient.": [
            shows_error("np.abs(ours - numerical).max() / np.abs(ours).max()"),
            edit("/ largest", "/ (np.abs(a).max() or 1.0)"),
        ],
        "You divided by the largest slope with its sign. Largest in size is meant: `np.abs(numerical).max()`.": (
            shows_error("np.abs(ours - numerical).max() / numerical.max()")
        ),
        "You divided each difference by its own slope. Divide the largest difference by the largest slope.": (
            shows_error("(np.abs(ours - numerical) / np.abs(numerical)).max()")
        ),
        "Your error compares squares. Take the largest difference itself, divided by the largest slope.": (
            shows_error("((ours - numerical) ** 2).max() / largest**2")
        ),
        "Your error is that of the repaired array. What is wanted is the error of `ours` as it is, whatever the verdict.": [
            shows_error("error(repairs[fitting[0]] if fitting else ours)"),
            shows_error("min(map(error, repairs.values()))"),
        ],
        "Your error lost the negative differences: take `np.abs` before the maximum.": (
            shows_error("(ours - numerical).max() / largest")
        ),
        "Your turn reverses rows only. A flipped kernel is reversed along both axes.": edit("[::-1, ::-1]", "[::-1]"),
        "Your turn reverses columns only. A flipped kernel is reversed along both axes.": (
            edit("[::-1, ::-1]", "[:, ::-1]")
        ),
        "You tried the transpose. A flipped kernel is turned by 180°: `ours[::-1, ::-1]`.": edit("[::-1, ::-1]", ".T"),
        "Your measure of equal is absolute. All slopes may be tiny, or huge: compare the relative error with 1e-6.": (
            equal_if("np.abs(repaired - numerical).max() <= 1e-6")
        ),
        "You compare each difference with its own slope, so that beside a slope of 0 nothing is equal. "
        "Compare the largest difference with the largest slope.": (
            equal_if("(np.abs(repaired - numerical) <= 1e-6 * np.abs(numerical)).all()")
        ),
        "`np.allclose` has a measure of its own, 1e-5 and 1e-8. Compare the error with 1e-6.": [
            equal_if("np.allclose(repaired, numerical)"),
            equal_if('(np.allclose(ours, numerical) if word == "right" else error(repaired) <= 1e-6)'),
        ],
        "You call equal what differs by a part in ten thousand. In float64 the measure is 1e-6.": (
            equal_if("error(repaired) <= 1e-3")
        ),
        "You ask for exact equality. Finite differences are only right to some eight digits: allow 1e-6.": (
            equal_if("error(repaired) <= 0")
        ),
        "A wrong sign is a scale, too: minus one. The number may be negative.": (
            "factor = np.abs((ours * numerical).sum()) / size if size > 0 else 0.0"
        ),
        "You took the ratio at one fixed place, where the slope may be 0. Take it where `ours` is largest in size.": (
            "factor = numerical[0, 0] / ours[0, 0] if ours[0, 0] else 0.0"
        ),
        "You took the mean or median of all ratios: where both are 0, there is none. Take one ratio, where `ours` is "
        "largest in size.": ["factor = np.mean(numerical / ours)", "factor = np.median(numerical / ours)"],
        "You compared all ratios with each other, but some divide by 0. Multiply `ours` by one ratio, and compare the arrays.": (
            by_equal_ratios
        ),
        "You took the ratio of the sums, which may be 0. Take it where `ours` is largest in size.": (
            "factor = numerical.sum() / ours.sum() if ours.sum() else 0.0"
        ),
        "Where `ours` is 0 and the slope is not, no number repairs it: multiply all of `ours`, and compare all.": (
            calls("scaled", scaled_but_for_zeros)
        ),
        "Turned and scaled at once takes two repairs; each word means one: 'wrong'.": [
            calls("scaled", turned_and_scaled),
            calls("flipped", turned_and_scaled),
        ],
        "You never say 'scaled', though one number repairs it: a ratio of the two arrays.": "factor = 0.0",
        "You never say 'flipped', though half a turn repairs it.": in_order(RIGHT, SCALED),
        "Both a half turn and a number repair this one. The list says: 'flipped' comes first.": (
            in_order(RIGHT, SCALED, FLIPPED)
        ),
        "You call a right gradient flipped: a symmetric one does not change. Ask for 'right' first.": (
            in_order(FLIPPED, RIGHT, SCALED)
        ),
        "You call a right gradient scaled: its factor is 1. Ask for 'right' first.": in_order(SCALED, RIGHT, FLIPPED),
    },
    praise="A wrong gradient usually says how it is wrong, if you ask.",
)


@right(diagnosis)
def by_the_largest(ours, numerical):
    top = np.abs(numerical).max()
    position = np.unravel_index(np.abs(ours).argmax(), ours.shape)
    factor = numerical[position] / ours[position] if ours.any() else 0.0

    def equal(a):
        return (np.abs(a - numerical) <= 1e-6 * top).all()

    e = np.max(np.abs(ours - numerical)) / top
    if equal(ours):
        return e, "right"
    if equal(np.rot90(ours, 2)):
        return e, "flipped"
    return [e, "scaled" if equal(factor * ours) else "wrong"]


# ---------------------------------------------------------------- blanks of the lesson
def slid(x, k):
    """Cross-correlation of one channel, wherever the kernel fits."""
    (h, w), (kh, kw) = x.shape, k.shape
    y = np.zeros((h - kh + 1, w - kw + 1))
    for i, j in np.ndindex(*y.shape):
        y[i, j] = (x[i : i + kh, j : j + kw] * k).sum()
    return y


def draw_blank_layers():
    g = np.random.default_rng(0)
    for c, o, h, w, kh, kw in ((2, 1, 2, 3, 2, 2), (3, 2, 4, 5, 3, 2), (1, 3, 3, 3, 1, 1), (4, 2, 3, 4, 2, 3)):
        X = g.integers(-3, 4, (c, h, w)).astype(float)
        W = g.integers(-2, 3, (o, c, kh, kw)).astype(float)
        yield X, W, g.integers(1, 5, o).astype(float)


def _layer(X, W, b, bias_times=1, flip=False, mean=False, first_only=False):
    """The layer with one thing changed."""
    step = -1 if flip else 1
    channels = 1 if first_only else len(X)
    maps = []
    for kernel, bias in zip(W, b, strict=True):
        total = sum(slid(X[c], kernel[c][::step, ::step]) for c in range(channels))
        maps.append((total / len(X) if mean else total) + bias_times * bias)
    return np.stack(maps)


@blank(
    "cnn.blank.1",
    title="A layer with channels",
    inputs=draw_blank_layers,
    mistakes=[
        (lambda X, W, b: _layer(X, W, b, bias_times=0), "The bias is missing: add it once to each map."),
        (
            lambda X, W, b: _layer(X, W, b, bias_times=len(X)),
            "The bias counts once for each map, not once per channel.",
        ),
        (
            lambda X, W, b: _layer(X, W, b, first_only=True),
            "Only the first channel counts: the slices' results of all channels are added.",
        ),
        (lambda X, W, b: _layer(X, W, b, mean=True), "You took the mean over the channels: they are added."),
        (
            lambda X, W, b: _layer(X, W, b, flip=True),
            "Your kernels are flipped. This layer slides them as they are.",
        ),
        (
            lambda X, W, b: np.stack([slid(X[c], W[o, c]) + b[o] for o in range(len(W)) for c in range(len(X))]),
            "You made a map for each pair of channels. The slices of one kernel are added to one map.",
        ),
    ],
    what="The maps",
)
def conv_layer(X, W, b):
    maps = []
    for kernel, bias in zip(W, b, strict=True):
        total = sum(slid(channel, part) for channel, part in zip(X, kernel, strict=True))
        maps.append(total + bias)
    return np.stack(maps)


def draw_blank_maps():
    g = np.random.default_rng(1)
    for c, h, w, size in ((1, 4, 4, 2), (2, 4, 6, 2), (3, 3, 6, 3), (2, 2, 3, 1)):
        yield g.integers(-9, 10, (c, h, w)).astype(float), size


def _blocks(X, size):
    c, h, w = X.shape
    return X.reshape(c, h // size, size, w // size, size)


@blank(
    "cnn.blank.2",
    title="Max pooling",
    inputs=draw_blank_maps,
    mistakes=[
        (lambda X, size: _blocks(X, size).mean(axis=(2, 4)), "That is average pooling: take the largest value."),
        (lambda X, size: X[:, ::size, ::size], "You took the first value of each window. Take the largest."),
        (
            lambda X, size: np.abs(_blocks(X, size)).max(axis=(2, 4)),
            "Largest, not largest in size: −5 is smaller than 2.",
        ),
        (
            lambda X, size: np.maximum(_blocks(X, size).max(axis=(2, 4)), 0),
            "Negative maxima became 0. Where all values of a window are negative, its largest is, too.",
        ),
        (
            lambda X, size: X.reshape(len(X), X.shape[1] // size, X.shape[2] // size, -1).max(axis=-1),
            "Your windows are pieces of rows. Each axis is cut by itself: (h // size, size) and (w // size, size).",
        ),
        (
            lambda X, size: _blocks(X, size).max(axis=(1, 3)),
            "You took the maximum over the windows and kept the places inside them: it is the other way round.",
        ),
        (lambda X, size: X.max(axis=(1, 2)), "That is global pooling. Here each window gives a number."),
    ],
    what="The smaller maps",
)
def max_pool(X, size):
    c, h, w = X.shape
    blocks = X.reshape(c, h // size, size, w // size, size)
    return blocks.max(axis=(2, 4))


def draw_blank_patches():
    g = np.random.default_rng(2)
    yield np.arange(12.0).reshape(1, 3, 4), 2, 2
    for c, h, w, kh, kw in ((2, 3, 4, 2, 2), (3, 4, 3, 1, 3), (2, 3, 3, 3, 3)):
        yield g.integers(0, 10, (c, h, w)).astype(float), kh, kw


def _patches(X, kh, kw):
    """Patches (oh, ow, c, kh, kw)."""
    view = np.lib.stride_tricks.sliding_window_view(X, (kh, kw), axis=(1, 2))  # (c, oh, ow, kh, kw)
    return view.transpose(1, 2, 0, 3, 4)


@blank(
    "cnn.blank.3",
    title="Patches as rows",
    inputs=draw_blank_patches,
    mistakes=[
        (
            lambda X, kh, kw: _patches(X, kh, kw).transpose(0, 1, 3, 4, 2).reshape(-1, X.shape[0] * kh * kw),
            "The right numbers in another order: the channel comes first in a row, so do not move it to the end.",
        ),
        (
            lambda X, kh, kw: _patches(X, kh, kw).reshape(-1, X.shape[0] * kh * kw).T,
            "Positions are rows here and the numbers under the kernel are columns: yours is transposed.",
        ),
        (
            lambda X, kh, kw: _patches(X, kh, kw)[:, :, 0].reshape(-1, kh * kw),
            "Only the first channel is in your rows: a patch has all channels.",
        ),
        (
            lambda X, kh, kw: _patches(X, kh, kw).transpose(0, 1, 2, 4, 3).reshape(-1, X.shape[0] * kh * kw),
            "Rows and columns inside the patch are exchanged.",
        ),
        (
            lambda X, kh, kw: _patches(X, kh, kw),
            "Your patches are not flat: each is one row, `patch.ravel()`.",
        ),
        (
            lambda X, kh, kw: _patches(X, kh, kw).sum(axis=2).reshape(-1, kh * kw),
            "You added the channels. They stay apart here; the matrix product adds them, with their weights.",
        ),
    ],
    what="The rows",
)
def im2col(X, kh, kw):
    _, h, w = X.shape
    rows = []
    for i in range(h - kh + 1):
        for j in range(w - kw + 1):
            patch = X[:, i : i + kh, j : j + kw]  # (c, kh, kw)
            rows.append(patch.ravel())
    return np.array(rows)


def draw_blank_gradients():
    g = np.random.default_rng(3)
    yield np.arange(9.0).reshape(3, 3), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])
    for h, w, kh, kw in ((4, 5, 2, 3), (5, 4, 3, 1), (3, 3, 3, 3)):
        delta = g.integers(-3, 4, (h - kh + 1, w - kw + 1)).astype(float)
        yield g.integers(-4, 5, (h, w)).astype(float), g.integers(-2, 3, (kh, kw)).astype(float), delta


def _pixels(k, delta, flip=True, before=True):
    """Gradient of the pixels, with one thing changed."""
    kh, kw = k.shape
    rims = (kh - 1, kw - 1)
    pads = [(rim, rim) if before else (0, 2 * rim) for rim in rims]
    return slid(np.pad(delta, pads), k[::-1, ::-1] if flip else k)


@blank(
    "cnn.blank.4",
    title="The gradients of a convolution",
    inputs=draw_blank_gradients,
    mistakes=[
        (
            lambda x, k, delta: (slid(x, delta), _pixels(k, delta, flip=False)),
            "The gradient of the pixels lacks the flip: each δ goes back along the way it came, so rotate the kernel "
            "by 180°.",
        ),
        (
            lambda x, k, delta: (slid(x, delta)[::-1, ::-1], _pixels(k, delta)),
            "The gradient of the kernel is rotated. Slide δ over the picture as it is.",
        ),
        (
            lambda x, k, delta: (slid(x, delta), _pixels(k, delta, before=False)),
            "The gradient of the pixels is shifted: δ gets rims of zeros on both sides.",
        ),
        (
            lambda x, k, delta: (slid(x, delta) / delta.size, _pixels(k, delta)),
            "You took a mean over the outputs. The gradient of the kernel is their sum.",
        ),
        (
            lambda x, k, delta: (_pixels(k, delta), slid(x, delta)),
            "Both are right, in the wrong order: first the kernel.",
        ),
        (
            lambda x, k, delta: (slid(x, slid(x, k)), _pixels(k, slid(x, k))),
            "You passed back the output itself. δ is what the next layer passes back.",
        ),
    ],
    names=("the kernel's gradient", "the pixels' gradient"),
)
def conv_gradients(x, k, delta):
    kh, kw = k.shape
    dk = slid(x, delta)  # (kh, kw)
    padded = np.pad(delta, ((kh - 1, kh - 1), (kw - 1, kw - 1)))
    dx = slid(padded, k[::-1, ::-1])  # (h, w)
    return dk, dx


# ---------------------------------------------------------------- an open challenge
PICTURE, NUM_TRAIN, NUM_TEST = 24, 2000, 1000


def draw_rings(g, n):
    """n pictures (n, 24, 24) of a ring with a gap, somewhere in noise, and where the gap is: 0 right, 1 up, 2 left, 3 down."""
    gap = g.integers(4, size=n)
    radius = g.uniform(3.0, 5.0, n)
    center_y, center_x = g.uniform(radius + 2, PICTURE - 3 - radius, (2, n))
    rows, columns = np.mgrid[:PICTURE, :PICTURE]
    dy = rows - center_y[:, None, None]  # (n, 24, 24)
    dx = columns - center_x[:, None, None]
    ring = np.exp(-(((np.hypot(dy, dx) - radius[:, None, None]) / 0.9) ** 2))
    angle = np.arctan2(-dy, dx) - gap[:, None, None] * np.pi / 2
    from_gap = np.abs((angle + np.pi) % (2 * np.pi) - np.pi)
    ring = ring * (from_gap > 0.45)
    pictures = 0.3 + 0.375 * ring + g.normal(0, 0.175, ring.shape)
    return np.clip(255 * pictures, 0, 255).astype(np.uint8), gap


def draw_ring_challenge(g):
    """Pictures with labels to train on, and pictures whose labels stay hidden."""
    train, train_labels = draw_rings(g, NUM_TRAIN)
    test, test_labels = draw_rings(g, NUM_TEST)
    return Drawn({"train": train, "train_labels": train_labels, "test": test}, test_labels)


def ring_accuracy(handed_in, inputs, labels):
    """Share of the hidden labels that were predicted."""
    return np.mean(handed_in["predictions"] == labels)


challenge(
    "cnn.challenge",
    title="Where is the gap?",
    statement=[
        "Each picture holds one ring with a gap, of any size, anywhere, in noise: the gap is right (0), up (1), left (2)",
        "or down (3). `train` has 2,000 of them with `train_labels`, `test` another 1,000 without. Predict the labels of",
        "`test`, in any way: a network of this lesson, another one, or a formula of your own. On the draw below, one answer",
        "for all reaches 0.26 and a linear model on pixels 0.34: the architecture has to know that the ring may be anywhere.",
        "A network with three convolutions and 14,180 weights reached 0.95 and 0.94 from two starts, in 20 epochs or 23",
        "seconds of one processor core.",
    ],
    draw=draw_ring_challenge,
    score=ring_accuracy,
    hand_in={"predictions": Array((NUM_TEST,), "integer")},
    to_beat=0.5,
    points_by_score={0.5: 1, 0.9: 2, 0.95: 3},
    minutes=60,
    score_name="accuracy",
)
