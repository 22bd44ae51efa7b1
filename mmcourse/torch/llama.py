"""What a block of today's language models has in place of GPT-2's parts: RMSNorm, rotary positions, SwiGLU (Llama)."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F


def rms_norm(x: Float[Tensor, "*rows d"], weight: Float[Tensor, " d"], eps: float = 1e-6) -> Float[Tensor, "*rows d"]:
    """x / √(mean of squares + ε) · weight: a layer norm without the mean (Zhang & Sennrich 2019, arXiv 1910.07467).

    x: (…, d); weight: (d,). Returns (…, d).
    """
    mean_square = x.square().mean(dim=-1, keepdim=True)
    return x / torch.sqrt(mean_square + eps) * weight


def rotary_angles(
    positions: Integer[Tensor, "*rows n"], dim: int, base: float = 10_000.0
) -> Float[Tensor, "*rows n half"]:
    """Position times frequency: angle i of position t is t · base^(−2 i / dim).

    positions: integers (…, n); dim: width of a head, even. Returns (…, n, dim / 2).
    """
    powers = torch.arange(0, dim, 2, device=positions.device, dtype=torch.float64) / dim
    return positions[..., None].double() * base**-powers


def rotary(
    x: Float[Tensor, "batch heads n d"], positions: Integer[Tensor, "batch n"], base: float = 10_000.0
) -> Float[Tensor, "batch heads n d"]:
    """Rotate queries or keys by their positions, so that a score depends on the offset alone (RoPE, arXiv 2104.09864).

    Value i is paired with value i + d / 2 (half-split), as in Llama and `transformers`; the paper pairs neighbors.

    x: (b, heads, n, d); positions: integers (b, n). Returns (b, heads, n, d).
    """
    angles = rotary_angles(positions, x.shape[-1], base)[:, None].to(x.dtype)  # (b, 1, n, d / 2)
    cos, sin = angles.cos(), angles.sin()
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def swiglu(
    x: Float[Tensor, "*rows d"],
    gate: Float[Tensor, "hidden d"],
    up: Float[Tensor, "hidden d"],
    down: Float[Tensor, "d hidden"],
) -> Float[Tensor, "*rows d"]:
    """down(silu(gate x) ⊙ up x): a feed-forward network whose values pass a gate (Shazeer 2020, arXiv 2002.05202).

    x: (…, d); gate, up: (hidden, d); down: (d, hidden). silu(z) = z · sigmoid(z). Returns (…, d).
    """
    return F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)
