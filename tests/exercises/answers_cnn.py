"""Known right and wrong answers to the exercises of lesson cnn, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- cnn.1
def convolve2d(x, k, mode="full"):
    from scipy import signal  # loaded where it is used: a sandbox runs this file for each answer

    return signal.convolve2d(x, k, mode)


def correlate2d(x, k, mode="full"):
    from scipy import signal

    return signal.correlate2d(x, k, mode)


def four_loops(x, k):
    (h, w), (kh, kw) = np.shape(x), np.shape(k)
    y = [[0.0] * (w - kw + 1) for _ in range(h - kh + 1)]
    for i in range(h - kh + 1):
        for j in range(w - kw + 1):
            for m in range(kh):
                for n in range(kw):
                    y[i][j] += x[i + kh - 1 - m][j + kw - 1 - n] * k[m][n]
    return y


def by_patches(x, k):
    patches = np.lib.stride_tricks.sliding_window_view(x, k.shape)
    return np.einsum("ijmn,mn->ij", patches, np.rot90(k, 2))


def shifted_pictures(x, k):
    (h, w), (kh, kw) = x.shape, k.shape
    return sum(k[m, n] * x[kh - 1 - m : h - m, kw - 1 - n : w - n] for m in range(kh) for n in range(kw)).tolist()


def below_zero(x, k):
    y = np.zeros((len(x) - len(k) + 1, len(x[0]) - len(k[0]) + 1))
    for i, j in np.ndindex(*y.shape):
        y[i, j] = sum(x[i - m, j - n] * k[m, n] for m in range(len(k)) for n in range(len(k[0])))
    return y


def whole_numbers(x, k):
    y = np.zeros((x.shape[0] - k.shape[0] + 1, x.shape[1] - k.shape[1] + 1), dtype=int)
    for i, j in np.ndindex(*y.shape):
        y[i, j] = (x[i : i + k.shape[0], j : j + k.shape[1]] * k[::-1, ::-1]).sum()
    return y


# ---------------------------------------------------------------- cnn.2
def in_floats(layers, size):
    jumps = [1]
    for kernel, stride, padding, dilation in layers:
        size = np.floor((size + 2 * padding - (dilation * (kernel - 1) + 1)) / stride) + 1
        jumps.append(jumps[-1] * stride)
    field = 1 + sum((k - 1) * d * j for (k, _, _, d), j in zip(layers, jumps, strict=False))
    return int(size), field


def from_the_end(layers, size):
    field = 1
    for kernel, stride, _, dilation in reversed(layers):
        field = (field - 1) * stride + dilation * (kernel - 1) + 1
    for kernel, stride, padding, dilation in layers:
        size = len(range(0, size + 2 * padding - dilation * (kernel - 1), stride))
    return [size, field]


def whole_at_the_end(layers, size):
    """Fractions all the way, cut once: the same, for a step that is not whole never becomes a place."""
    for kernel, stride, padding, dilation in layers:
        size = (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1
    return int(size), from_the_end(layers, 99)[1]


def without_holes(layers, size):
    seen = np.array([0])
    for kernel, stride, _, dilation in layers[::-1]:
        seen = np.unique(seen[:, None] * stride + dilation * np.arange(kernel))
    return in_floats(layers, size)[0], len(seen)


def sizes(
    width=lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s + 1, reach=lambda k, d: (k - 1) * d, jumps=None
):
    def answer(layers, size):
        field = jump = 1
        for k, s, p, d in layers:
            size = width(size, k, s, p, d)
            field += reach(k, d) * jump
            jump = jumps(jump, s) if jumps else jump * s
        return size, field

    return answer


def own_stride(layers, size):
    width, field, jump = in_floats(layers, size)[0], 1, 1
    for k, s, _, d in layers:
        jump *= s
        field += (k - 1) * d * jump
    return width, field


# ---------------------------------------------------------------- cnn.3
def by_norms(ours, nudged):
    def close(a):
        return np.max(np.abs(a - nudged)) / np.max(np.abs(nudged))

    length = np.linalg.norm(ours)
    best = ours * np.sum(ours * nudged) / length**2 if length else ours
    for word, array in (("right", ours), ("flipped", np.rot90(ours, 2)), ("scaled", best)):
        if close(array) <= 1e-6:
            return close(ours), word
    return close(ours), "wrong"


def by_largest(ours, nudged):
    top = abs(nudged).max()
    e = abs(ours - nudged).max() / top
    place = np.argmax(abs(ours))
    ratio = nudged.flat[place] / ours.flat[place] if ours.flat[place] != 0 else 0
    if e <= 1e-6:
        word = "right"
    elif abs(np.flip(ours) - nudged).max() <= 1e-6 * top:
        word = "flipped"
    elif abs(ratio * ours - nudged).max() <= 1e-6 * top:
        word = "scaled"
    else:
        word = "wrong"
    return [e, word]


def by_lstsq(ours, nudged):
    a, b = np.float64(ours).ravel(), np.float64(nudged).ravel()
    factor = np.linalg.lstsq(a[:, None], b, rcond=None)[0][0]
    errors = [float(np.max(np.abs(repaired - b)) / np.max(np.abs(b))) for repaired in (a, a[::-1], a * factor)]
    fits = [word for word, e in zip(("right", "flipped", "scaled"), errors, strict=True) if e <= 1e-6]
    return [errors[0], (fits + ["wrong"])[0]]


def told(word, when):
    """The right verdict, but `word` for wrong gradients of which `when` holds."""

    def verdict(ours, nudged):
        e, right = by_norms(ours, nudged)
        return e, word if right == "wrong" and when(ours, nudged) else right

    return verdict


def turned_and_scaled(ours, nudged):
    return by_norms(np.flip(ours), nudged)[1] == "scaled"


def one_ratio_where_not_0(ours, nudged):
    ratios = nudged[ours != 0] / ours[ours != 0]
    return ratios.size > 0 and np.ptp(ratios) <= 1e-6 * abs(ratios).max()


def ratio_of_sums(ours, nudged):
    e, word = by_norms(ours, nudged)
    return e, "wrong" if word == "scaled" and abs(ours.sum()) < 1e-12 else word


def absolute(ours, nudged):
    top = abs(nudged).max()
    near = [word for word, a in (("right", ours), ("flipped", np.flip(ours))) if abs(a - nudged).max() <= 1e-6]
    return abs(ours - nudged).max() / top, near[0] if near else by_norms(ours, nudged)[1]


def by_allclose(ours, nudged):
    e, word = by_norms(ours, nudged)
    return e, "right" if np.allclose(ours, nudged) else word


def of_the_repaired(ours, nudged):
    e, word = by_norms(ours, nudged)
    return 0.0 if word in ("flipped", "scaled") else e, word


def but(error=None, turn=np.flip, scale=None, limit=1e-6, order=("right", "flipped", "scaled")):
    def verdict(ours, nudged):
        top = abs(nudged).max()
        place = np.argmax(abs(ours))
        ratio = nudged.flat[place] / ours.flat[place] if ours.flat[place] != 0 else 0
        ratio = scale(ratio) if scale else ratio
        repaired = {"right": ours, "flipped": turn(ours), "scaled": ratio * ours}
        shown = error(ours, nudged) if error else abs(ours - nudged).max() / top
        return shown, next((w for w in order if abs(repaired[w] - nudged).max() <= limit * top), "wrong")

    return verdict


def first_ratio(ours, nudged):
    e = abs(ours - nudged).max() / abs(nudged).max()
    ratio = nudged[0, 0] / ours[0, 0] if ours[0, 0] else 0
    word = by_norms(ours, nudged)[1]
    fits = abs(ratio * ours - nudged).max() <= 1e-6 * abs(nudged).max()
    return e, "wrong" if word == "scaled" and not fits else word


ANSWERS = {
    "cnn.1": Answers(
        right=[four_loops, by_patches, shifted_pictures, lambda x, k: convolve2d(x, k, mode="valid")],
        wrong=[
            (lambda x, k: correlate2d(x, k, mode="valid"), "cross-correlation"),
            (lambda x, k: correlate2d(x, k[::-1], mode="valid"), "rows of the kernel only"),
            (lambda x, k: correlate2d(x, k[:, ::-1], mode="valid"), "columns of the kernel only"),
            (lambda x, k: by_patches(x, np.rot90(k.T, 2)), "transposed"),
            (lambda x, k: correlate2d(x, np.rot90(k), mode="valid"), "quarter turn"),
            (lambda x, k: correlate2d(np.flip(x), k, mode="valid"), "turned the picture"),
            (below_zero, "wrap round"),
            (lambda x, k: convolve2d(x, k), "mode 'full'"),
            (lambda x, k: convolve2d(x, k, mode="same"), "mode 'same'"),
            (lambda x, k: by_patches(x, k) / k.size, "mean of each patch"),
            (lambda x, k: by_patches(x, k)[:-1, :-1], "last row and column"),
            (whole_numbers, "fractions"),
        ],
    ),
    "cnn.2": Answers(
        right=[in_floats, from_the_end, whole_at_the_end],
        wrong=[
            (sizes(width=lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1), "padding once"),
            (sizes(width=lambda n, k, s, p, d: (n + 2 * p - k) // s + 1), "width forgets the dilation"),
            (sizes(width=lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1), "k steps of the dilation"),
            (sizes(width=lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s), "lacks the + 1"),
            (sizes(width=lambda n, k, s, p, d: int(np.ceil((n + 2 * p - d * (k - 1) - 1) / s)) + 1), "rounded up"),
            (sizes(width=lambda n, k, s, p, d: round((n + 2 * p - d * (k - 1) - 1) / s + 1)), "to the nearest"),
            (sizes(width=lambda n, k, s, p, d: n // s), "by the stride alone"),
            (without_holes, "holes included"),
            (lambda layers, size: (in_floats(layers, size)[0], min(in_floats(layers, size)[1], size)), "padding count"),
            (own_stride, "own stride"),
            (sizes(jumps=lambda jump, s: 1), "ignores strides"),
            (sizes(jumps=lambda jump, s: s), "last stride only"),
            (sizes(jumps=lambda jump, s: jump + s - 1), "added strides"),
            (sizes(reach=lambda k, d: k - 1), "field forgets the dilation"),
            (sizes(reach=lambda k, d: k * d), "k steps per layer"),
            (lambda layers, size: in_floats(layers, size)[::-1], "wrong order"),
            (lambda layers, size: in_floats(layers, size)[0], "should be 2 values"),
        ],
    ),
    "cnn.3": Answers(
        right=[by_norms, by_largest, but(), by_lstsq],
        wrong=[
            (but(error=lambda a, b: abs(a - b).max()), "error is absolute"),
            (but(error=lambda a, b: abs(a - b).mean() / abs(b).max()), "error is a mean"),
            (but(error=lambda a, b: abs(a - b).max() / abs(a).max()), "on trial"),
            (but(error=lambda a, b: (a - b).max() / abs(b).max()), "negative differences"),
            (but(error=lambda a, b: abs(a - b).max() / b.max()), "with its sign"),
            (but(error=lambda a, b: (abs(a - b) / abs(b)).max()), "by its own slope"),
            (of_the_repaired, "that of the repaired"),
            (absolute, "measure of equal is absolute"),
            (by_allclose, "a measure of its own"),
            (ratio_of_sums, "ratio of the sums"),
            (told("scaled", one_ratio_where_not_0), "`ours` is 0 and the slope is not"),
            (told("scaled", turned_and_scaled), "takes two repairs"),
            (but(turn=np.flipud), "rows only"),
            (but(turn=np.fliplr), "columns only"),
            (but(limit=1e-3), "ten thousand"),
            (but(limit=0), "exact equality"),
            (but(scale=abs), "sign is a scale"),
            (first_ratio, "one fixed place"),
            (but(scale=lambda ratio: 0), "never say 'scaled'"),
            (but(order=("right", "scaled")), "never say 'flipped'"),
            (but(order=("right", "scaled", "flipped")), "'flipped' comes first"),
            (but(order=("flipped", "right", "scaled")), "right gradient flipped"),
            (but(order=("scaled", "right", "flipped")), "right gradient scaled"),
            (lambda a, b: by_norms(a, b)[1], "should be 2 values"),
        ],
    ),
}
