"""Checks of lesson cnn: true convolution, sizes and receptive fields, and the diagnosis of a gradient."""

from __future__ import annotations

import numpy as np

from mmcourse.check import agree, exercise, rng


# ---------------------------------------------------------------- cnn.1
def convolve(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """True convolution of x (h, w) and k (kh, kw) wherever the kernel fits."""
    return _slid(x, k[::-1, ::-1])


def _slid(x: np.ndarray, k: np.ndarray, reduce=np.sum) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, k.shape)
    return reduce(windows * k, axis=(2, 3))


def _wrapped(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """The formula with Python's indices: before the first row comes the last."""
    h, w = np.subtract(x.shape, k.shape) + 1
    return sum(np.roll(x, (m, n), (0, 1))[:h, :w] * k[m, n] for m, n in np.ndindex(*k.shape))


def _padded(x: np.ndarray, k: np.ndarray, before, after) -> np.ndarray:
    rims = [(before(n), after(n)) for n in k.shape]
    return convolve(np.pad(x, rims), k)


_CONVOLVE_MISTAKES = [
    (_slid, "That is cross-correlation, as frameworks compute it. True convolution turns the kernel by 180° first."),
    (lambda x, k: _slid(x, k[::-1]), "You turned the rows of the kernel only. A half turn reverses both axes."),
    (lambda x, k: _slid(x, k[:, ::-1]), "You turned the columns of the kernel only. A half turn reverses both axes."),
    (lambda x, k: _slid(x, np.rot90(k)), "That is a quarter turn. 180° are two of them: `k[::-1, ::-1]`."),
    (lambda x, k: _slid(x[::-1, ::-1], k), "You turned the picture. Turn the kernel, and the output stays upright."),
    (
        _wrapped,
        "Your indices i − m fall below 0, and Python then counts from the other end. Turn the kernel and slide it.",
    ),
    (lambda x, k: _slid(x, k.T), "You transposed the kernel: that is a mirror along the diagonal, not a half turn."),
    (
        lambda x, k: _padded(x, k, lambda n: n - 1, lambda n: n - 1),
        "You let the kernel hang over the border (mode 'full'). Asked is only where it fits: (h − kh + 1, w − kw + 1).",
    ),
    (
        lambda x, k: _padded(x, k, lambda n: n // 2, lambda n: n - 1 - n // 2),
        "Your output is as large as the picture (mode 'same'). Asked is only where the kernel fits.",
    ),
    (lambda x, k: _slid(x, k[::-1, ::-1], np.mean), "You took the mean of each patch. The formula adds up: `.sum()`."),
    (
        lambda x, k: _slid(x, k[::-1, ::-1])[:-1, :-1],
        "The last row and column are missing: there are h − kh + 1 places along an axis, not h − kh.",
    ),
    (
        lambda x, k: np.trunc(convolve(x, k)),
        "Your numbers lost their fractions. Make `y` of floats: `np.zeros(...)`, not `zeros_like` of whole numbers.",
    ),
]


@exercise("cnn.1", title="True convolution", points=2, difficulty=1, minutes=8)
def check_convolve(answer):
    g = rng("05.1")
    small = np.array([[0.0, 0.5, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    shapes = (
        ((5, 6), (3, 3)),
        ((6, 4), (2, 3)),
        ((4, 7), (3, 2)),
        ((3, 3), (3, 3)),
        ((4, 5), (1, 1)),
        ((1, 6), (1, 3)),
    )
    inputs = [small, *((g.normal(size=a), g.normal(size=b)) for a, b in shapes)]
    agree(answer, convolve, inputs, mistakes=_CONVOLVE_MISTAKES, what="The output")
    return "The flip is one line; now you know where it went."


# ---------------------------------------------------------------- cnn.2
def sizes(layers: list, size: int) -> tuple[int, int]:
    """Width of the output and receptive field of layers (kernel, stride, padding, dilation)."""
    return _through(layers, size)


def _width(n, k, s, p, d):
    return (n + 2 * p - d * (k - 1) - 1) // s + 1


def _exact(n, k, s, p, d):
    return (n + 2 * p - d * (k - 1) - 1) / s + 1


def _through(layers, size, width=_width, step=lambda k, d: (k - 1) * d, grow=lambda jump, s: jump * s, late=True):
    """The right walk through the layers, with one part replaced for each mistake that is known."""
    field = jump = 1
    for k, s, p, d in layers:
        size = width(size, k, s, p, d)
        if not late:
            jump = grow(jump, s)
        field += step(k, d) * jump
        if late:
            jump = grow(jump, s)
    return int(size), int(field)


def _read(layers, size):
    """The width, and the pixels that one output reads, without the holes between them."""
    pixels = {0}
    for k, s, _, d in reversed(layers):
        pixels = {pixel * s + m * d for pixel in pixels for m in range(k)}
    return sizes(layers, size)[0], len(pixels)


def _wide(width):
    return lambda layers, size: _through(layers, size, width=width)


def _seen(**parts):
    return lambda layers, size: _through(layers, size, **parts)


_SIZES_MISTAKES = [
    (
        _wide(lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1),
        "Your width counts the padding once. It stands on both sides: n + 2p.",
    ),
    (
        _wide(lambda n, k, s, p, d: (n + 2 * p - k) // s + 1),
        "Your width forgets the dilation: the kernel spans d(k − 1) + 1 pixels.",
    ),
    (
        _wide(lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1),
        "You spread k steps of the dilation. Between k weights there are k − 1: the span is d(k − 1) + 1.",
    ),
    (
        _wide(lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s),
        "Your width lacks the + 1: a kernel that just fits has one place, not none.",
    ),
    (
        _wide(lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1),
        "You rounded up. A step that would leave the picture is not made: round down, `//`.",
    ),
    *(
        (_wide(nearest), "You rounded to the nearest. Even two thirds of a step are not made: round down, `//`.")
        for nearest in (lambda *a: round(_exact(*a)), lambda *a: round(_exact(*a) - 1) + 1)
    ),
    (_wide(lambda n, k, s, p, d: n // s), "You divided by the stride alone. Kernel, padding and dilation count, too."),
    (
        _seen(late=False),
        "Your field counts a layer's own stride. It is for the layers after it: first add, then grow the jump.",
    ),
    (_seen(grow=lambda jump, s: 1), "Your field ignores strides: after a stride of 2, one step is two pixels wide."),
    (_seen(grow=lambda jump, s: s), "Your jump is the last stride only. Strides multiply: 2 and then 2 make 4."),
    (_seen(grow=lambda jump, s: jump + s - 1), "You added strides up. They multiply: 2 and then 3 make 6."),
    (_seen(step=lambda k, d: k - 1), "Your field forgets the dilation: k weights, d apart, reach (k − 1)·d steps."),
    (_read, "You counted only the pixels that are read. The field is from the first to the last, holes included."),
    (_seen(step=lambda k, d: k * d), "Your field adds k steps a layer. A kernel reaches k − 1 steps further, not k."),
    (
        lambda layers, size: (sizes(layers, size)[0], min(sizes(layers, size)[1], size)),
        "Your field ends where the picture does. Places in the padding count, too: keep to the formula.",
    ),
    (
        lambda layers, size: sizes(layers, size)[::-1],
        "Both numbers are right, in the wrong order: first the width, then the field.",
    ),
]


@exercise("cnn.2", title="The size of everything", points=2, difficulty=2, minutes=10)
def check_sizes(answer):
    networks = [
        ([(3, 1, 0, 1)], 10),
        ([(3, 3, 0, 1)], 10),
        ([(3, 1, 0, 1), (2, 1, 0, 5)], 20),
        ([(3, 2, 1, 1), (3, 1, 0, 3)], 28),
        ([(3, 1, 1, 1), (2, 2, 0, 1), (3, 1, 1, 1), (2, 2, 0, 1), (3, 1, 1, 1)], 28),
        ([(7, 2, 3, 1), (3, 2, 1, 1), (3, 1, 1, 1)], 224),
        ([(3, 1, 0, 1), (3, 1, 0, 2), (3, 1, 0, 4)], 33),
        ([(5, 3, 2, 1), (2, 2, 0, 1), (1, 1, 0, 1), (3, 1, 2, 3)], 65),
        ([], 12),
        ([(4, 3, 0, 2)], 7),
        ([(3, 3, 0, 1)], 11),
        ([(3, 1, 4, 4), (3, 1, 8, 8)], 9),
    ]
    agree(answer, sizes, networks, mistakes=_SIZES_MISTAKES, names=("width", "field"))
    return "Now you can read any network's sizes off its definition."


# ---------------------------------------------------------------- cnn.3
def verdict(ours: np.ndarray, nudged: np.ndarray) -> tuple[float, str]:
    """Relative error, and "right", "flipped", "scaled" or "wrong"."""
    return _judged(ours, nudged)


def _error(a, nudged):
    return float(np.abs(a - nudged).max() / np.abs(nudged).max())


def _factor(ours, nudged):
    at = np.unravel_index(np.abs(ours).argmax(), ours.shape)
    return nudged[at] / ours[at] if ours[at] else 0.0


def _judged(
    ours, nudged, error=_error, turn=np.flip, factor=_factor, limit=1e-6, order=(0, 1, 2), close=None
):  # fmt: skip
    """The right verdict, with one part replaced for each mistake that is known."""
    repairs = [("right", ours), ("flipped", turn(ours)), ("scaled", factor(ours, nudged) * ours)]
    close = close or (lambda a, b: _error(a, b) <= limit)
    words = [repairs[i][0] for i in order if close(repairs[i][1], nudged)]
    return error(ours, nudged), (words or ["wrong"])[0]


def _but(**parts):
    return lambda ours, nudged: _judged(ours, nudged, **parts)


def _repaired(ours, nudged):
    return min(_error(a, nudged) for a in (ours, ours[::-1, ::-1], _factor(ours, nudged) * ours))


def _calls(word, excuse):
    """Says `word` of a wrong gradient that has this excuse."""

    def mistaken(ours, nudged):
        error, right = verdict(ours, nudged)
        return error, word if right == "wrong" and excuse(ours, nudged) else right

    return mistaken


def _turned_and_scaled(ours, nudged):
    return verdict(np.flip(ours), nudged)[1] == "scaled"


def _scaled_but_for_zeros(ours, nudged):
    return ours.any() and verdict(ours, np.where(ours == 0, 0, nudged))[1] == "scaled"


def _first_ratio(ours, nudged):
    with np.errstate(all="ignore"):
        return np.nan_to_num(nudged[0, 0] / ours[0, 0], posinf=0, neginf=0)


_VERDICT_MISTAKES = [
    (
        _but(error=lambda a, b: np.abs(a - b).max()),
        "Your error is absolute. Divide by the largest nudged slope: gradients of any size should be judged alike.",
    ),
    (
        _but(error=lambda a, b: np.abs(a - b).mean() / np.abs(b).max()),
        "Your error is a mean. One wrong number among many must not hide: take the largest difference.",
    ),
    (
        _but(error=lambda a, b: np.abs(a - b).max() / np.abs(a).max()),
        "You divided by the largest of `ours`. It is `ours` that is on trial: divide by the nudged slopes.",
    ),
    (
        _but(error=lambda a, b: np.abs(a - b).max() / b.max()),
        "You divided by the largest slope with its sign. Largest in size is meant: `np.abs(nudged).max()`.",
    ),
    (
        _but(error=lambda a, b: (np.abs(a - b) / np.abs(b)).max()),
        "You divided each difference by its own slope. Divide the largest difference by the largest slope.",
    ),
    (
        lambda ours, nudged: (_repaired(ours, nudged), verdict(ours, nudged)[1]),
        "Your error is that of the repaired array. Asked is the error of `ours` as it is, whatever the verdict.",
    ),
    (
        _but(error=lambda a, b: (a - b).max() / np.abs(b).max()),
        "Your error lost the negative differences: take `np.abs` before the maximum.",
    ),
    (_but(turn=lambda a: a[::-1]), "Your turn reverses rows only. A flipped kernel is reversed along both axes."),
    (_but(turn=lambda a: a[:, ::-1]), "Your turn reverses columns only. A flipped kernel is reversed along both axes."),
    (_but(turn=lambda a: a.T), "You tried the transpose. A flipped kernel is turned by 180°: `ours[::-1, ::-1]`."),
    (
        _but(close=lambda a, b: np.abs(a - b).max() <= 1e-6),
        "Your measure of equal is absolute. All slopes may be tiny, or huge: compare the relative error with 1e-6.",
    ),
    (
        _but(close=np.allclose),
        "`np.allclose` has a measure of its own, 1e-5 and 1e-8. Compare the error with 1e-6.",
    ),
    (_but(limit=1e-3), "You call equal what differs by a part in ten thousand. In float64 the measure is 1e-6."),
    (_but(limit=0), "You ask for exact equality. Nudging is only right to some eight digits: allow 1e-6."),
    (
        _but(factor=lambda a, b: abs(_factor(a, b))),
        "A wrong sign is a scale, too: minus one. The number may be negative.",
    ),
    (
        _but(factor=_first_ratio),
        "You took the ratio at one fixed place, where the slope may be 0. Take it where `ours` is largest in size.",
    ),
    (
        _but(factor=lambda a, b: b.sum() / a.sum() if a.sum() else 0.0),
        "You took the ratio of the sums, which may be 0. Take it where `ours` is largest in size.",
    ),
    (
        _calls("scaled", _scaled_but_for_zeros),
        "Where `ours` is 0 and the slope is not, no number repairs it: multiply all of `ours`, and compare all.",
    ),
    *(
        (_calls(word, _turned_and_scaled), "Turned and scaled at once takes two repairs; each word means one: 'wrong'.")
        for word in ("scaled", "flipped")
    ),
    (_but(factor=lambda a, b: 0.0), "You never say 'scaled', though one number repairs it: a ratio of the two arrays."),
    (_but(order=(0, 2)), "You never say 'flipped', though half a turn repairs it."),
    (_but(order=(0, 2, 1)), "Both a half turn and a number repair this one. The list says: 'flipped' comes first."),
    (
        _but(order=(1, 0, 2)),
        "You call a right gradient flipped: a symmetric one does not change. Ask for 'right' first.",
    ),
    (_but(order=(2, 0, 1)), "You call a right gradient scaled: its factor is 1. Ask for 'right' first."),
]


@exercise("cnn.3", title="What is wrong with this gradient?", points=2, difficulty=3, minutes=12)
def check_verdict(answer):
    g = rng("05.3")
    small, hole = np.array([[1.0, -2.0], [3.0, 4.0]]), np.array([[0.0, 2.0, 0.0], [-3.0, 5.0, 1.0]])
    odd, even = np.array([[-1.0, 2.0], [-2.0, 1.0]]), np.array([[1.0, 2.0], [2.0, 1.0]])  # turned: times −1, or equal
    real, balanced = g.normal(size=(3, 3)), np.array([[1.0, -3.0], [5.0, -3.0]])  # the sum is 0
    inputs = [
        (small / 2, small),
        (small * 3, small),
        (small, small),
        (-small / 2, -small),
        (real[::-1].copy(), real),
        (real[:, ::-1].copy(), real),
        (real.T.copy(), real),
        (real + 1e-9 * g.normal(size=real.shape), real),
        (even, even),
        (real[::-1, ::-1].copy(), real),
        (-odd, odd),
        (-real, real),
        (hole * 64, hole),
        (balanced / 4, balanced),
        (1000 * real * (1 + 1e-4 * (real > 0)), 1000 * real),
        (real - 0.5 * (real == real.max()), real),
        (2 * small * (small < 4), small),
        (2 * real[::-1, ::-1], real),
        (1e-8 * real.T, 1e-8 * real),
        (balanced * (1 + 5e-6 * (balanced > 0)), balanced),
        (np.zeros((2, 3)), hole),
    ]
    agree(answer, verdict, inputs, mistakes=_VERDICT_MISTAKES, names=("error", "verdict"))
    return "A wrong gradient usually says how it is wrong, if you ask."
