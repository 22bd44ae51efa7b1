"""Edges by convolution: Sobel's gradient and the idea of Canny."""

import numpy as np

from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.image import check_image, to_float

SOBEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])  # flipped by the convolution: positive where it gets brighter


def convolve2d(image, kernel, pad_mode: str = "edge") -> np.ndarray:
    """True convolution Y[i, j] = Σ_mn K[m, n] X[i-m, j-n] of (..., h, w), same size; the borders are repeated.

    Frameworks leave out the flip and call it convolution too; see lesson cnn.
    """
    image, kernel = to_float(image), np.asarray(kernel)
    if kernel.ndim != 2 or not (kernel.shape[0] % 2 and kernel.shape[1] % 2):
        raise InputError("kernel", f"expected odd height and width, got shape {kernel.shape}", "pad it with a row of 0")
    rows, columns = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = np.pad(image, [(0, 0)] * (image.ndim - 2) + [(rows, rows), (columns, columns)], mode=pad_mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, axis=(-2, -1))  # (..., h, w, m, n)
    return np.einsum("...mn,mn->...", windows, kernel[::-1, ::-1].astype(image.dtype), optimize=True)


def sobel(gray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (towards the right, downwards) of (..., h, w), each (..., h, w)."""
    return convolve2d(gray, SOBEL), convolve2d(gray, SOBEL.T)


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Bell of width `sigma` pixels, summing to 1, cut at 3 sigma: (n, n)."""
    x = np.arange(-int(np.ceil(3 * sigma)), int(np.ceil(3 * sigma)) + 1)
    bell = np.exp(-(x**2) / (2 * sigma**2))
    return np.outer(bell, bell) / bell.sum() ** 2


def non_maximum_suppression(strength, right, down) -> np.ndarray:
    """Keep a pixel only if no neighbour *across* the edge is stronger: bool (h, w)."""
    sector = np.round(np.arctan2(down, right) / (np.pi / 4)).astype(int) % 4  # 0: across is left-right
    padded = np.pad(strength, 1)
    keep = np.zeros(strength.shape, bool)
    for k, (i, j) in enumerate([(0, 1), (1, 1), (1, 0), (1, -1)]):
        ahead, behind = (np.roll(padded, (-s * i, -s * j), (0, 1))[1:-1, 1:-1] for s in (1, -1))
        keep |= (sector == k) & (strength >= ahead) & (strength > behind)
    return keep


def canny(gray, low: float = 0.2, high: float = 0.5, sigma: float = 1.0) -> np.ndarray:
    """Thin, connected edges of (h, w): blur, gradient, thinning, two thresholds; bool (h, w).

    An edge is a chain of pixels above `low` (of the greatest strength) that holds at least one above `high`.
    Canny 1986, *A computational approach to edge detection*.
    """
    from scipy.ndimage import label

    gray = to_float(check_image(gray))
    right, down = sobel(convolve2d(gray, gaussian_kernel(sigma)))
    strength = np.hypot(right, down)
    if strength.max() < 1e-4:  # a flat picture: what is left is rounding
        return np.zeros(gray.shape, bool)
    strength = strength / strength.max()
    chains, count = label(non_maximum_suppression(strength, right, down) & (strength > low), structure=np.ones((3, 3)))
    strong = np.zeros(count + 1, bool)
    strong[chains[strength > high]] = True
    return strong[chains] & (chains > 0)
