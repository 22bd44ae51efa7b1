"""Convolution and pooling, forward and backward, on images (b, h, w, c).

What frameworks call convolution is cross-correlation: y[i, j] = Σ x[i·s + m·d, j·s + n·d] · w[m, n]. The convolution
of the textbooks, x[i − m, j − n], is the same with :func:`flip_kernel`; a learned kernel does not mind.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray
from numpy.lib.stride_tricks import sliding_window_view

Size = int | tuple[int, int]  # of both axes, or of height and width
Padding = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]  # …, or of the four sides


def output_size(size: int, kernel: int, stride: int = 1, padding: tuple[int, int] = (0, 0), dilation: int = 1) -> int:
    """⌊(size + before + after − dilation·(kernel − 1) − 1) / stride⌋ + 1."""
    room = size + sum(padding) - dilation * (kernel - 1) - 1
    if room < 0:
        raise ValueError(f"kernel: spans {dilation * (kernel - 1) + 1} but the padded image has {size + sum(padding)}")
    return room // stride + 1


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's "same" along one axis, as (before, after): the odd one goes after.

    Under stride 2 and an even size this is (0, 1) for a kernel of 3, where PyTorch's ``padding=1`` is (1, 1).
    """
    out = -(-size // stride)
    total = max((out - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def receptive_field(layers: Iterable[tuple[int, int, int]]) -> int:
    """Pixels that one output sees along an axis; `layers` lists (kernel, stride, dilation) from the input on.

    r ← r + (kernel − 1)·dilation·jump, jump ← jump·stride, from r = jump = 1.
    """
    size = jump = 1
    for kernel, stride, dilation in layers:
        size += (kernel - 1) * dilation * jump
        jump *= stride
    return size


def flip_kernel(w: Float[ndarray, "kh kw ..."]) -> Float[ndarray, "kh kw ..."]:
    """Kernel (kh, kw, …) turned by 180°: from cross-correlation to true convolution and back."""
    return w[::-1, ::-1]


def conv2d_loop(
    x: Float[ndarray, "batch height width in_channels"],
    w: Float[ndarray, "kh kw in_channels out_channels"],
    b: float | Float[ndarray, " out_channels"] = 0.0,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
) -> Float[ndarray, "batch out_height out_width out_channels"]:
    """The definition, one output pixel at a time: slow, and impossible to misread. Arguments as :func:`conv2d`."""
    (sh, sw), (dh, dw), pad = _pair(stride), _pair(dilation), _pads(padding)
    kh, kw, _, out_channels = w.shape
    oh, ow = output_size(x.shape[1], kh, sh, pad[0], dh), output_size(x.shape[2], kw, sw, pad[1], dw)
    x = np.pad(x, ((0, 0), *pad, (0, 0)))
    y = np.zeros((len(x), oh, ow, out_channels), x.dtype)
    for i in range(oh):
        for j in range(ow):
            for m in range(kh):
                for n in range(kw):
                    y[:, i, j] += x[:, i * sh + m * dh, j * sw + n * dw] @ w[m, n]
    return y + b


def windows(
    x: Shaped[ndarray, "batch height width channels"],
    kernel: tuple[int, ...],
    stride: tuple[int, ...] = (1, 1),
    dilation: tuple[int, ...] = (1, 1),
) -> Shaped[ndarray, "batch out_height out_width kh kw channels"]:
    """View of every patch under the kernel, (b, oh, ow, kh, kw, c): nothing is copied."""
    (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
    output_size(x.shape[1], kh, sh, dilation=dh), output_size(x.shape[2], kw, sw, dilation=dw)  # big enough?
    view = sliding_window_view(x, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), axis=(1, 2))
    return view[:, ::sh, ::sw, :, ::dh, ::dw].transpose(0, 1, 2, 4, 5, 3)


def windows_backward(
    dtaps: Float[ndarray, "kh kw channels batch out_height out_width"],
    shape: tuple[int, ...],
    stride: tuple[int, ...] = (1, 1),
    dilation: tuple[int, ...] = (1, 1),
) -> Float[ndarray, "batch height width channels"]:
    """Add every patch's gradient back where it came from in an image of `shape`.

    `dtaps` is (kh, kw, c, b, oh, ow), one plane for each place under the kernel: whole planes are added, which is
    several times faster than picking them out of rows of patches.
    """
    (sh, sw), (dh, dw), (b, h, w, c) = stride, dilation, shape
    kh, kw, _, _, oh, ow = dtaps.shape
    dx = np.zeros((c, b, h, w), dtaps.dtype)
    for m in range(kh):
        for n in range(kw):
            rows, cols = slice(m * dh, m * dh + (oh - 1) * sh + 1, sh), slice(n * dw, n * dw + (ow - 1) * sw + 1, sw)
            dx[:, :, rows, cols] += dtaps[m, n]
    return np.ascontiguousarray(dx.transpose(1, 2, 3, 0))


def conv2d(
    x: Float[ndarray, "batch height width in_channels"],
    w: Float[ndarray, "kh kw in_channels out_channels"],
    b: Float[ndarray, " out_channels"] | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
) -> tuple[Float[ndarray, "batch out_height out_width out_channels"], dict]:
    """Cross-correlation as one matrix product (im2col): patches as rows, kernels as columns.

    Parameters
    ----------
    x : float (b, h, w, in_channels)
    w : float (kh, kw, in_channels, out_channels)
    b : float (out_channels,) or None
    stride, dilation : int or (int, int)
    padding : int, (int, int), or ((top, bottom), (left, right)); zeros

    Returns
    -------
    y : float (b, oh, ow, out_channels); cache for :func:`conv2d_backward`

    Raises
    ------
    ValueError
        If channels do not match, or the kernel is larger than the padded image.
    """
    if x.ndim != 4 or x.shape[-1] != w.shape[2]:
        raise ValueError(f"x: expected (b, h, w, {w.shape[2]}) for a kernel of shape {w.shape}, got {x.shape}")
    strides, dilations, pad = _pair(stride), _pair(dilation), _pads(padding)
    padded = np.pad(x, ((0, 0), *pad, (0, 0))) if any(map(any, pad)) else x
    patches = windows(padded, w.shape[:2], strides, dilations)  # (b, oh, ow, kh, kw, in_channels)
    rows = patches.reshape(-1, w[..., 0].size)  # (b·oh·ow, kh·kw·in_channels)
    y = rows @ w.reshape(-1, w.shape[-1])
    if b is not None:
        y += b
    cache = {"rows": rows, "w": w, "patches": patches.shape, "padded": padded.shape, "pad": pad}
    return y.reshape(*patches.shape[:3], -1), cache | {"stride": strides, "dilation": dilations}


def conv2d_backward(
    dy: Float[ndarray, "batch out_height out_width out_channels"], cache: dict
) -> tuple[
    Float[ndarray, "batch height width in_channels"],
    Float[ndarray, "kh kw in_channels out_channels"],
    Float[ndarray, " out_channels"],
]:
    """Gradients dx, dw, db: two matrix products, and the patches added back to the image."""
    w, rows = cache["w"], cache["rows"]
    flat = dy.reshape(-1, dy.shape[-1])  # (b·oh·ow, out_channels)
    dw = (rows.T @ flat).reshape(w.shape)
    dtaps = (w.reshape(-1, w.shape[-1]) @ flat.T).reshape(*w.shape[:3], *dy.shape[:3])
    dx = windows_backward(dtaps, cache["padded"], cache["stride"], cache["dilation"])
    (top, _), (left, _) = cache["pad"]
    (h, width), ((_, bottom), (_, right)) = dx.shape[1:3], cache["pad"]
    return dx[:, top : h - bottom, left : width - right], dw, flat.sum(0)


def max_pool2d(
    x: Float[ndarray, "batch height width channels"], size: Size = 2, stride: Size | None = None
) -> tuple[Float[ndarray, "batch out_height out_width channels"], dict]:
    """Largest value under each window of x (b, h, w, c); what does not fill a window is left out."""
    strides = _pair(stride or size)
    patches = windows(x, _pair(size), strides)
    flat = patches.reshape(*patches.shape[:3], -1, x.shape[-1])  # (b, oh, ow, kh·kw, c)
    best = flat.argmax(3)[:, :, :, None]  # of equals, the first
    y = np.take_along_axis(flat, best, 3)[:, :, :, 0]
    return y, {"best": best, "patches": patches.shape, "shape": x.shape, "stride": strides}


def max_pool2d_backward(
    dy: Float[ndarray, "batch out_height out_width channels"], cache: dict
) -> Float[ndarray, "batch height width channels"]:
    """The gradient goes to the winner of each window, and to nobody else."""
    b, oh, ow, kh, kw, c = cache["patches"]
    dflat = np.zeros((b, oh, ow, kh * kw, c), dy.dtype)
    np.put_along_axis(dflat, cache["best"], dy[:, :, :, None], 3)
    dtaps = dflat.reshape(cache["patches"]).transpose(3, 4, 5, 0, 1, 2)
    return windows_backward(dtaps, cache["shape"], cache["stride"])


def avg_pool2d(
    x: Float[ndarray, "batch height width channels"], size: Size = 2, stride: Size | None = None
) -> tuple[Float[ndarray, "batch out_height out_width channels"], dict]:
    """Mean under each window of x (b, h, w, c); what does not fill a window is left out."""
    strides = _pair(stride or size)
    patches = windows(x, _pair(size), strides)
    return patches.mean((3, 4)), {"patches": patches.shape, "shape": x.shape, "stride": strides}


def avg_pool2d_backward(
    dy: Float[ndarray, "batch out_height out_width channels"], cache: dict
) -> Float[ndarray, "batch height width channels"]:
    """The gradient is shared equally within each window."""
    b, oh, ow, kh, kw, c = cache["patches"]
    share = np.broadcast_to(dy.transpose(3, 0, 1, 2) / (kh * kw), (kh, kw, c, b, oh, ow))
    return windows_backward(share, cache["shape"], cache["stride"])


def _pair(value: Any) -> tuple:
    return (value, value) if isinstance(value, int) else tuple(value)


def _pads(padding: Padding) -> tuple:
    """int, (h, w) or ((top, bottom), (left, right)) → the last."""
    return tuple((p, p) if isinstance(p, int) else tuple(p) for p in _pair(padding))
