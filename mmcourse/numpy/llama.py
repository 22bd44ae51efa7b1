"""What a block of today's language models has in place of GPT-2's parts: RMSNorm, rotary positions, SwiGLU (Llama)."""

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from mmcourse.numpy.layers import sigmoid


def rms_norm(
    x: Float[ndarray, "*rows d"], weight: Float[ndarray, " d"], eps: float = 1e-6
) -> tuple[Float[ndarray, "*rows d"], tuple]:
    """x / √(mean of squares + ε) · weight: a layer norm without the mean (Zhang & Sennrich 2019, arXiv 1910.07467).

    Parameters
    ----------
    x : float (…, d)
    weight : float (d,)
    eps : ε, inside the root

    Returns
    -------
    y : float (…, d); cache
    """
    root = np.sqrt(np.square(x).mean(-1, keepdims=True) + eps)
    return x / root * weight, (x, weight, root)


def rms_norm_backward(dy: Float[ndarray, "*rows d"], cache: tuple) -> tuple[ndarray, ndarray]:
    """Gradients of x and of the weight. The root depends on x, too."""
    x, weight, root = cache
    xhat = x / root
    g = dy * weight
    dx = (g - xhat * (g * xhat).mean(-1, keepdims=True)) / root
    return dx, (dy * xhat).reshape(-1, x.shape[-1]).sum(0)


def rotary_angles(
    positions: Integer[ndarray, "*rows n"], dim: int, base: float = 10_000.0
) -> Float[ndarray, "*rows n half"]:
    """Position times frequency: angle i of position t is t · base^(−2 i / dim).

    positions: integers (…, n); dim: width of a head, even. Returns (…, n, dim / 2).
    """
    return positions[..., None] * base ** (-np.arange(0, dim, 2) / dim)


def rotary(
    x: Float[ndarray, "batch heads n d"], positions: Integer[ndarray, "batch n"], base: float = 10_000.0
) -> Float[ndarray, "batch heads n d"]:
    """Rotate queries or keys by their positions, so that a score depends on the offset alone (RoPE, arXiv 2104.09864).

    Value i is paired with value i + d / 2 (half-split), as in Llama and `transformers`; the paper pairs neighbors.

    x: (b, heads, n, d); positions: integers (b, n). Returns (b, heads, n, d).
    """
    angles = rotary_angles(positions, x.shape[-1], base)[:, None]  # (b, 1, n, d / 2)
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def rotary_backward(
    dy: Float[ndarray, "batch heads n d"], positions: Integer[ndarray, "batch n"], base: float = 10_000.0
) -> Float[ndarray, "batch heads n d"]:
    """Gradient of x: a rotation is undone by the same rotation backwards."""
    return rotary(dy, -np.asarray(positions), base)


def swiglu(
    x: Float[ndarray, "*rows d"],
    gate: Float[ndarray, "hidden d"],
    up: Float[ndarray, "hidden d"],
    down: Float[ndarray, "d hidden"],
) -> tuple[Float[ndarray, "*rows d"], tuple]:
    """down(silu(gate x) ⊙ up x): a feed-forward network whose values pass a gate (Shazeer 2020, arXiv 2002.05202).

    x: (…, d); gate, up: (hidden, d); down: (d, hidden). silu(z) = z · sigmoid(z). Returns (…, d); cache.
    """
    opened, values = x @ gate.T, x @ up.T  # (…, hidden)
    hidden = opened * sigmoid(opened) * values
    return hidden @ down.T, (x, gate, up, down, opened, values, hidden)


def swiglu_backward(dy: Float[ndarray, "*rows d"], cache: tuple) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Gradients of x and of the three matrices."""
    x, gate, up, down, opened, values, hidden = cache
    dhidden = dy @ down
    s = sigmoid(opened)
    dopened = dhidden * values * (s + opened * s * (1 - s))  # the derivative of silu
    dvalues = dhidden * opened * s
    flat_x, flat_dy, flat_hidden, flat_open, flat_values = (
        array.reshape(-1, array.shape[-1]) for array in (x, dy, hidden, dopened, dvalues)
    )
    dx = dopened @ gate + dvalues @ up
    return dx, flat_open.T @ flat_x, flat_values.T @ flat_x, flat_dy.T @ flat_hidden
