"""Small layers, forward and backward. Each returns ``y, cache``; ``*_backward(dy, cache)`` returns the gradients."""

import math

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray
from scipy.special import ndtr

from mmcourse.numpy.convolution import (  # noqa: F401 — one place to import layers from
    avg_pool2d,
    avg_pool2d_backward,
    conv2d,
    conv2d_backward,
    max_pool2d,
    max_pool2d_backward,
    receptive_field,
    same_padding,
)
from mmcourse.numpy.norm import batch_norm, batch_norm_backward, layer_norm, layer_norm_backward  # noqa: F401


def linear(
    x: Float[ndarray, "*rows d_in"], w: Float[ndarray, "d_in d_out"], b: Float[ndarray, " d_out"] | None = None
) -> tuple[Float[ndarray, "*rows d_out"], tuple]:
    """y = x W + b. x (…, d_in), w (d_in, d_out), b (d_out,) → (…, d_out)."""
    y = x @ w
    return (y if b is None else y + b), (x, w)


def linear_backward(
    dy: Float[ndarray, "*rows d_out"], cache: tuple
) -> tuple[Float[ndarray, "*rows d_in"], Float[ndarray, "d_in d_out"], Float[ndarray, " d_out"]]:
    """dx = dy Wᵀ, dW = xᵀ dy and db = Σ dy, summed over every axis but the last."""
    x, w = cache
    flat = dy.reshape(-1, dy.shape[-1])
    return dy @ w.T, x.reshape(-1, x.shape[-1]).T @ flat, flat.sum(0)


def embedding(
    ids: Integer[ndarray, "*rows"], table: Float[ndarray, "count dim"]
) -> tuple[Float[ndarray, "*rows dim"], tuple]:
    """Rows of `table` (V, d) for `ids` int (…) → (…, d)."""
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise ValueError(f"ids: expected integers, got {ids.dtype}")
    if ids.size and not 0 <= ids.min() <= ids.max() < len(table):
        raise ValueError(f"ids: expected values in [0, {len(table)}), got {ids.min()} … {ids.max()}")
    return table[ids], (ids, table.shape, table.dtype)


def embedding_backward(
    dy: Float[ndarray, "*rows dim"], cache: tuple, padding_id: int | None = None
) -> Float[ndarray, "count dim"]:
    """Gradient of the table: rows of one id are added, never overwritten. `padding_id` gets none."""
    ids, shape, dtype = cache
    dtable = np.zeros(shape, dtype)
    np.add.at(dtable, ids.ravel(), dy.reshape(-1, shape[1]))  # `dtable[ids] += dy` would lose repeated ids
    if padding_id is not None:
        dtable[padding_id] = 0
    return dtable


def relu(x: Float[ndarray, "*shape"]) -> tuple[Float[ndarray, "*shape"], Float[ndarray, "*shape"]]:
    """max(x, 0)."""
    return np.maximum(x, 0), x


def relu_backward(dy: Float[ndarray, "*shape"], x: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """dy where x > 0, else 0 (at 0 itself too, as both frameworks do)."""
    return dy * (x > 0)


def sigmoid(x: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """1 / (1 + e⁻ˣ), without overflow for large negative x."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def gelu(x: Float[ndarray, "*shape"], approximate: bool = False) -> tuple[Float[ndarray, "*shape"], tuple]:
    """x·Φ(x) with the normal distribution Φ, or its tanh approximation (Hendrycks & Gimpel 2016, arXiv 1606.08415).

    PyTorch and Keras default to the exact form, GPT-2 uses the tanh one: they differ by up to 5e-4.
    """
    if approximate:
        return 0.5 * x * (1 + np.tanh(_gelu_inner(x))), (x, True)
    return x * ndtr(x), (x, False)


def gelu_backward(dy: Float[ndarray, "*shape"], cache: tuple) -> Float[ndarray, "*shape"]:
    """Exact: Φ(x) + x·φ(x); tanh form by the chain rule."""
    x, approximate = cache
    if not approximate:
        return dy * (ndtr(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))
    t = np.tanh(_gelu_inner(x))
    dinner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return dy * 0.5 * (1 + t + x * (1 - t * t) * dinner)


def _gelu_inner(x):
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
