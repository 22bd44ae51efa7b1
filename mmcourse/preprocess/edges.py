"""Edges by convolution: Sobel's gradient and Canny's detector."""

import numpy as np

from mmcourse.preprocess.arguments import check_choice, check_number
from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.image import check_image, to_float

SOBEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])  # flipped by the convolution: positive where it gets brighter


def convolve2d(image, kernel, pad_mode: str = "edge") -> np.ndarray:
    """True convolution Y[i, j] = Σ_mn K[m, n] X[i-m, j-n] of (..., h, w), same size; the borders are repeated.

    Frameworks leave out the flip and still call it convolution; see lesson cnn.
    """
    image, kernel = to_float(image), np.asarray(kernel)
    check_choice("pad_mode", pad_mode, ("edge", "constant", "reflect", "symmetric", "wrap"))
    if kernel.ndim != 2 or not (kernel.shape[0] % 2 and kernel.shape[1] % 2):
        raise InputError("kernel", f"expected odd height and width, got shape {kernel.shape}", "pad it with a row of 0")
    if kernel.dtype.kind not in "fiu" or not np.isfinite(kernel).all():
        raise InputError("kernel", f"expected finite numbers, got {kernel.dtype}", "check its values")
    rows, columns = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = np.pad(image, [(0, 0)] * (image.ndim - 2) + [(rows, rows), (columns, columns)], mode=pad_mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, axis=(-2, -1))  # (..., h, w, m, n)
    return np.einsum("...mn,mn->...", windows, kernel[::-1, ::-1].astype(image.dtype), optimize=True)


def sobel(gray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (to the right, downwards) of (..., h, w), each (..., h, w)."""
    return convolve2d(gray, SOBEL), convolve2d(gray, SOBEL.T)


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Gaussian of standard deviation `sigma` pixels, summing to 1, cut at 3 sigma: (n, n)."""
    sigma = check_number("sigma", sigma, above=0)
    radius = int(np.ceil(3 * sigma))
    x = np.arange(-radius, radius + 1)
    bell = np.exp(-(x**2) / (2 * sigma**2))
    return np.outer(bell, bell) / bell.sum() ** 2


def non_maximum_suppression(strength, right, down) -> np.ndarray:
    """Keep a pixel only if no neighbor *across* the edge is stronger: bool (h, w)."""
    sector = np.round(np.arctan2(down, right) / (np.pi / 4)).astype(int) % 4  # 0: across is left-right
    padded = np.pad(strength, 1)
    keep = np.zeros(strength.shape, bool)
    for k, (i, j) in enumerate([(0, 1), (1, 1), (1, 0), (1, -1)]):
        ahead = np.roll(padded, (-i, -j), (0, 1))[1:-1, 1:-1]
        behind = np.roll(padded, (i, j), (0, 1))[1:-1, 1:-1]
        keep |= (sector == k) & (strength >= ahead) & (strength > behind)
    return keep


def canny(gray, low: float = 0.2, high: float = 0.5, sigma: float = 1.0) -> np.ndarray:
    """Thin, connected edges of (h, w): blur, gradient, non-maximum suppression, hysteresis thresholds; bool (h, w).

    An edge is a chain of pixels above `low` (of the greatest strength) that holds at least one above `high`.
    Canny 1986, *A computational approach to edge detection*.
    """
    from scipy.ndimage import label

    low = check_number("low", low, 0, 1)
    high = check_number("high", high, low, 1)
    gray = to_float(check_image(gray))
    if gray.ndim != 2:
        raise InputError("gray", f"expected (h, w), got shape {gray.shape}", "convert it with image.grayscale")
    right, down = sobel(convolve2d(gray, gaussian_kernel(sigma)))
    strength = np.hypot(right, down)
    if strength.max() < 1e-4:  # a flat picture: what is left is rounding
        return np.zeros(gray.shape, bool)
    strength = strength / strength.max()
    candidates = non_maximum_suppression(strength, right, down) & (strength > low)
    chains, count = label(candidates, structure=np.ones((3, 3)))
    is_strong = np.zeros(count + 1, bool)
    is_strong[chains[strength > high]] = True
    return is_strong[chains] & (chains > 0)
