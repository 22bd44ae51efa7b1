"""What a block of today's language models has in place of GPT-2's parts: RMSNorm, rotary positions, SwiGLU (Llama)."""

from typing import Any

from jaxtyping import Float, Integer
from keras import ops


def rms_norm(x: Float[Any, "*rows d"], weight: Float[Any, " d"], eps: float = 1e-6) -> Float[Any, "*rows d"]:
    """x / √(mean of squares + ε) · weight: a layer norm without the mean (Zhang & Sennrich 2019, arXiv 1910.07467).

    x: (…, d); weight: (d,). Returns (…, d).
    """
    mean_square = ops.mean(ops.square(x), axis=-1, keepdims=True)
    return x / ops.sqrt(mean_square + eps) * weight


def rotary_angles(
    positions: Integer[Any, "*rows n"], dim: int, base: float = 10_000.0, dtype: str = "float32"
) -> Float[Any, "*rows n half"]:
    """Position times frequency: angle i of position t is t · base^(−2 i / dim).

    positions: integers (…, n); dim: width of a head, even. Returns (…, n, dim / 2).
    """
    powers = ops.arange(0, dim, 2, dtype=dtype) / dim
    return ops.cast(positions, dtype)[..., None] * base**-powers


def rotary(
    x: Float[Any, "batch heads n d"], positions: Integer[Any, "batch n"], base: float = 10_000.0
) -> Float[Any, "batch heads n d"]:
    """Rotate queries or keys by their positions, so that a score depends on the offset alone (RoPE, arXiv 2104.09864).

    Value i is paired with value i + d / 2 (half-split), as in Llama and `transformers`; the paper pairs neighbors.

    x: (b, heads, n, d); positions: integers (b, n). Returns (b, heads, n, d).
    """
    dtype = x.dtype if isinstance(x.dtype, str) else x.dtype.name
    angles = rotary_angles(positions, x.shape[-1], base, dtype)[:, None]  # (b, 1, n, d / 2)
    cos, sin = ops.cos(angles), ops.sin(angles)
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return ops.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def swiglu(
    x: Float[Any, "*rows d"],
    gate: Float[Any, "hidden d"],
    up: Float[Any, "hidden d"],
    down: Float[Any, "d hidden"],
) -> Float[Any, "*rows d"]:
    """down(silu(gate x) ⊙ up x): a feed-forward network whose values pass a gate (Shazeer 2020, arXiv 2002.05202).

    x: (…, d); gate, up: (hidden, d); down: (d, hidden). silu(z) = z · sigmoid(z). Returns (…, d).
    """
    opened = ops.silu(ops.matmul(x, ops.transpose(gate)))
    return ops.matmul(opened * ops.matmul(x, ops.transpose(up)), ops.transpose(down))
