"""Attention written out: softmax(QKᵀ/√d_k)V (Vaswani et al. 2017, arXiv 1706.03762).

``padding_mask`` is True for real elements: the opposite of PyTorch's ``key_padding_mask``. A row that may attend to
nothing gives 0, never NaN.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmcourse.torch.masks import attention_mask, masked_softmax


def scaled_dot_product_attention(
    q: Float[Tensor, "batch *heads n d_k"],
    k: Float[Tensor, "batch *heads m d_k"],
    v: Float[Tensor, "batch *heads m d_v"],
    padding_mask: Bool[Tensor, "batch m"] | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: Callable | None = None,
) -> tuple[Float[Tensor, "batch *heads n d_v"], Float[Tensor, "batch *heads n m"]]:
    """softmax(QKᵀ · scale)V with scale = 1/√d_k.

    Parameters
    ----------
    q, k, v : float (b, …, n, d_k), (b, …, m, d_k), (b, …, m, d_v)
    padding_mask : bool (b, m), True = real key
    causal : bool
        Query i sees keys up to i + (m − n).
    dropout : nn.Dropout or None
        What the weights go through before they meet the values.

    Returns
    -------
    y : (b, …, n, d_v); weights : (b, …, n, m), whose rows sum to 1
    """
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = (q @ k.transpose(-1, -2)) * scale  # (b, …, n, m)
    keep = attention_mask(q.shape[-2], k.shape[-2], padding_mask, causal, scores.ndim, q.device)
    weights = masked_softmax(scores, keep)
    return (weights if dropout is None else dropout(weights)) @ v, weights


class MultiHeadAttention(nn.Module):
    """Queries from `query`, keys and values from `context`, in `num_heads` subspaces at once.

    Parameters
    ----------
    dim : int
        Width of the query and of the output.
    num_heads : int
        A divisor of `dim`.
    context_dim : int or None
        Width of the context; None for `dim`.
    dropout : float
        Probability of dropping an attention weight in training.
    """

    def __init__(self, dim: int, num_heads: int, context_dim: int | None = None, dropout: float = 0.0):
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"heads: {num_heads} does not divide the width {dim}; choose a divisor")
        context_dim = context_dim or dim
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(context_dim, dim)
        self.v_proj = nn.Linear(context_dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        query: Float[Tensor, "batch n d"],
        context: Float[Tensor, "batch m d_context"] | None = None,
        padding_mask: Bool[Tensor, "batch m"] | None = None,
        causal: bool = False,
        return_weights: bool = False,
    ) -> Float[Tensor, "batch n d"] | tuple[Float[Tensor, "batch n d"], Float[Tensor, "batch {self.num_heads} n m"]]:
        """query (b, n, d), context (b, m, d_c) or None for self-attention → (b, n, d) [, weights (b, heads, n, m)]."""
        context = query if context is None else context
        q, k, v = self.split(self.q_proj(query)), self.split(self.k_proj(context)), self.split(self.v_proj(context))
        h, weights = scaled_dot_product_attention(q, k, v, padding_mask, causal, dropout=self.dropout)
        y = self.out_proj(h.transpose(1, 2).flatten(2))
        return (y, weights) if return_weights else y

    def split(self, x: Float[Tensor, "batch n width"]) -> Float[Tensor, "batch {self.num_heads} n d"]:
        """(b, n, d) → (b, heads, n, d / heads)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def sinusoidal_positions(n: int, d: int) -> Float[Tensor, "{n} {d}"]:
    """Positions as waves, (n, d): sin and cos of t / 10000^(2i/d), interleaved (Vaswani et al. 2017)."""
    angle = torch.arange(n, dtype=torch.float64)[:, None] / 10000 ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :d].to(torch.get_default_dtype())
