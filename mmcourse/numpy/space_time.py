"""What works on space and time at once, on videos (b, t, h, w, c): 3-D and (2+1)-D convolution, attention along time.

A 3-D convolution is a sum of 2-D ones: frame t of the output adds up what kernel k sees in frame t + k (Tran et al.
2015, arXiv 1412.0767). (2+1)D does space and time one after the other (Tran et al. 2018, arXiv 1711.11248).
Attention along time joins the same position of all frames, attention within frames the positions of each (Bertasius et
al. 2021, arXiv 2102.05095).
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from mmcourse.numpy.attention import multi_head_attention, multi_head_attention_backward
from mmcourse.numpy.convolution import conv2d, conv2d_backward, output_size

Size3 = int | tuple[int, int, int]  # of all three axes, or of time, height and width


def conv3d_loop(
    x: Float[ndarray, "batch time height width in_channels"],
    w: Float[ndarray, "kt kh kw in_channels out_channels"],
    b: float | Float[ndarray, " out_channels"] = 0.0,
    stride: Size3 = 1,
    padding: Size3 = 0,
) -> Float[ndarray, "batch out_time out_height out_width out_channels"]:
    """The definition, one output value at a time: slow, and impossible to misread. Arguments as :func:`conv3d`."""
    strides, pads = triple(stride), triple(padding)
    kt, kh, kw, _, out_channels = w.shape
    sizes = zip(x.shape[1:4], w.shape, strides, pads, strict=False)
    ot, oh, ow = (output_size(size, kernel, step, (pad, pad)) for size, kernel, step, pad in sizes)
    x = np.pad(x, ((0, 0), *((pad, pad) for pad in pads), (0, 0)))
    y = np.zeros((len(x), ot, oh, ow, out_channels), x.dtype)
    for t, i, j in np.ndindex(ot, oh, ow):
        for k, m, n in np.ndindex(kt, kh, kw):
            seen = x[:, t * strides[0] + k, i * strides[1] + m, j * strides[2] + n]  # (b, in_channels)
            y[:, t, i, j] += seen @ w[k, m, n]
    return y + b


def conv3d(
    x: Float[ndarray, "batch time height width in_channels"],
    w: Float[ndarray, "kt kh kw in_channels out_channels"],
    b: Float[ndarray, " out_channels"] | None = None,
    stride: Size3 = 1,
    padding: Size3 = 0,
) -> tuple[Float[ndarray, "batch out_time out_height out_width out_channels"], dict]:
    """Cross-correlation over time and space, as a sum of 2-D convolutions.

    Parameters
    ----------
    x : float (b, t, h, w, in_channels)
    w : float (kt, kh, kw, in_channels, out_channels)
    b : float (out_channels,) or None
    stride, padding : int, or (time, height, width); zeros

    Returns
    -------
    y : float (b, ot, oh, ow, out_channels); cache for :func:`conv3d_backward`
    """
    if x.ndim != 5 or x.shape[-1] != w.shape[3]:
        raise ValueError(f"x: expected (b, t, h, w, {w.shape[3]}) for a kernel of shape {w.shape}, got {x.shape}")
    (st, *space), (pt, *pad) = triple(stride), triple(padding)
    ot = output_size(x.shape[1], len(w), st, (pt, pt))
    padded = np.pad(x, ((0, 0), (pt, pt), (0, 0), (0, 0), (0, 0)))
    total: Any = 0.0
    caches = []
    for k in range(len(w)):
        frames = padded[:, k : k + (ot - 1) * st + 1 : st]  # (b, ot, h, w, c): what kernel k meets
        y, cache = conv2d(frames.reshape(-1, *x.shape[2:]), w[k], stride=tuple(space), padding=tuple(pad))
        total = total + y
        caches.append(cache)
    total = total.reshape(len(x), ot, *total.shape[1:])
    total = total if b is None else total + b
    return total, {"caches": caches, "padded": padded.shape, "stride": st, "padding": pt}


def conv3d_backward(
    dy: Float[ndarray, "batch out_time out_height out_width out_channels"], cache: dict
) -> tuple[
    Float[ndarray, "batch time height width in_channels"],
    Float[ndarray, "kt kh kw in_channels out_channels"],
    Float[ndarray, " out_channels"],
]:
    """Gradients dx, dw, db: the gradients of the 2-D convolutions, each put back at its own frames."""
    flat = dy.reshape(-1, *dy.shape[2:])
    dx, dw = np.zeros(cache["padded"], dy.dtype), []
    st, pt, ot = cache["stride"], cache["padding"], dy.shape[1]
    for k, inner in enumerate(cache["caches"]):
        dframes, dkernel, _ = conv2d_backward(flat, inner)
        dx[:, k : k + (ot - 1) * st + 1 : st] += dframes.reshape(len(dy), ot, *dframes.shape[1:])
        dw.append(dkernel)
    return dx[:, pt : dx.shape[1] - pt], np.stack(dw), dy.sum((0, 1, 2, 3))


def mid_channels(in_channels: int, out_channels: int, kernel_size: int = 3) -> int:
    """Channels between space and time for which (2+1)D has at most as many weights as 3-D (biases left out)."""
    k = kernel_size
    return max(1, k**3 * in_channels * out_channels // (k**2 * in_channels + k * out_channels))


def conv2plus1d(
    x: Float[ndarray, "batch time height width in_channels"], p: dict[str, ndarray], stride: Size3 = 1
) -> tuple[Float[ndarray, "batch out_time out_height out_width out_channels"], dict]:
    """A convolution within each frame, ReLU, a convolution along time; odd kernels, padded so that sizes stay.

    Parameters
    ----------
    x : float (b, t, h, w, in_channels)
    p : ``space.w`` (1, k, k, in_channels, m), ``time.w`` (k, 1, 1, m, out_channels), and their ``.b``
    stride : int, or (time, height, width)
    """
    st, sh, sw = triple(stride)
    pad = p["space.w"].shape[1] // 2
    h, cache_space = conv3d(x, p["space.w"], p["space.b"], (1, sh, sw), (0, pad, pad))
    y, cache_time = conv3d(np.maximum(h, 0), p["time.w"], p["time.b"], (st, 1, 1), (pad, 0, 0))
    return y, {"h": h, "space": cache_space, "time": cache_time}


def conv2plus1d_backward(
    dy: Float[ndarray, "batch out_time out_height out_width out_channels"], cache: dict
) -> tuple[Float[ndarray, "batch time height width in_channels"], dict[str, ndarray]]:
    """Gradients dx and dp of :func:`conv2plus1d`."""
    dp = {}
    dh, dp["time.w"], dp["time.b"] = conv3d_backward(dy, cache["time"])
    dx, dp["space.w"], dp["space.b"] = conv3d_backward(dh * (cache["h"] > 0), cache["space"])
    return dx, dp


def temporal_attention(
    x: Float[ndarray, "batch time positions dim"], p: dict[str, ndarray], num_heads: int
) -> tuple[Float[ndarray, "batch time positions dim"], dict]:
    """Each position of a frame attends to the same position in all frames, and to no other.

    Parameters
    ----------
    x : float (b, t, n, d), n positions in each of t frames
    p : weights of :func:`mmcourse.numpy.attention.multi_head_attention`, each with ``attention.`` before its name
    """
    b, t, n, d = x.shape
    rows = x.transpose(0, 2, 1, 3).reshape(b * n, t, d)  # time must stand beside the features before b and n are joined
    y, cache = multi_head_attention(rows, None, _inner(p), num_heads)
    return y.reshape(b, n, t, d).transpose(0, 2, 1, 3), {"attention": cache, "weights": cache["weights"]}


def temporal_attention_backward(
    dy: Float[ndarray, "batch time positions dim"], cache: dict
) -> tuple[Float[ndarray, "batch time positions dim"], dict[str, ndarray]]:
    """Gradients dx and dp of :func:`temporal_attention`."""
    b, t, n, d = dy.shape
    drows = dy.transpose(0, 2, 1, 3).reshape(b * n, t, d)
    dquery, dcontext, dp = multi_head_attention_backward(drows, cache["attention"])
    dx = (dquery + dcontext).reshape(b, n, t, d).transpose(0, 2, 1, 3)
    return dx, {f"attention.{name}": value for name, value in dp.items()}


def spatial_attention(
    x: Float[ndarray, "batch time positions dim"], p: dict[str, ndarray], num_heads: int
) -> tuple[Float[ndarray, "batch time positions dim"], dict]:
    """Each position attends to the positions of its own frame, and to no other frame. Arguments as above."""
    b, t, n, d = x.shape
    y, cache = multi_head_attention(x.reshape(b * t, n, d), None, _inner(p), num_heads)
    return y.reshape(b, t, n, d), {"attention": cache, "weights": cache["weights"]}


def spatial_attention_backward(
    dy: Float[ndarray, "batch time positions dim"], cache: dict
) -> tuple[Float[ndarray, "batch time positions dim"], dict[str, ndarray]]:
    """Gradients dx and dp of :func:`spatial_attention`."""
    b, t, n, d = dy.shape
    dquery, dcontext, dp = multi_head_attention_backward(dy.reshape(b * t, n, d), cache["attention"])
    return (dquery + dcontext).reshape(b, t, n, d), {f"attention.{name}": value for name, value in dp.items()}


def add_class_token(
    x: Float[ndarray, "batch time positions dim"], token: Float[ndarray, " dim"]
) -> Float[ndarray, "batch tokens dim"]:
    """(b, t, n, d), (d,) → (b, 1 + t·n, d): one class token for the whole film, not one for each of its frames."""
    b, t, n, d = x.shape
    first = np.broadcast_to(token, (b, 1, d))
    return np.concatenate([first, x.reshape(b, t * n, d)], axis=1)


def triple(value: Any) -> tuple:
    """3 → (3, 3, 3)."""
    return (value, value, value) if isinstance(value, int) else tuple(value)


def _inner(p: dict[str, ndarray]) -> dict[str, ndarray]:
    return {name.removeprefix("attention."): value for name, value in p.items()}
