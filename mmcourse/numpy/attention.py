"""Attention, forward and backward: softmax(QKᵀ/√d_k)V (Vaswani et al. 2017, arXiv 1706.03762).

Every function returns ``y, cache``; its ``*_backward(dy, cache)`` returns the gradients. ``padding_mask`` is True for
real elements. A row that may attend to nothing gets weights 0 and output 0, never NaN.
"""

import math

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from mmcourse.numpy.layers import linear, linear_backward
from mmcourse.numpy.masks import attention_mask, masked_softmax, masked_softmax_backward


def scaled_dot_product_attention(
    q: Float[ndarray, "batch *heads n d_k"],
    k: Float[ndarray, "batch *heads m d_k"],
    v: Float[ndarray, "batch *heads m d_v"],
    padding_mask: Bool[ndarray, "batch m"] | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> tuple[Float[ndarray, "batch *heads n d_v"], dict]:
    """softmax(QKᵀ · scale)V, scale = 1/√d_k: q·k has variance d_k, so the scores keep variance 1.

    Parameters
    ----------
    q, k, v : float (b, …, n, d_k), (b, …, m, d_k), (b, …, m, d_v)
    padding_mask : bool (b, m), True = real key
    causal : bool
    scale : float or None for 1/√d_k

    Returns
    -------
    y : (b, …, n, d_v); cache : dict with ``weights`` (b, …, n, m), whose rows sum to 1
    """
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = (q @ k.swapaxes(-1, -2)) * scale  # (b, …, n, m)
    keep = attention_mask(q.shape[-2], k.shape[-2], padding_mask, causal, scores.ndim)
    weights = masked_softmax(scores, keep)
    return weights @ v, {"q": q, "k": k, "v": v, "weights": weights, "scale": scale}


def scaled_dot_product_attention_backward(
    dy: Float[ndarray, "batch *heads n d_v"], cache: dict
) -> tuple[
    Float[ndarray, "batch *heads n d_k"], Float[ndarray, "batch *heads m d_k"], Float[ndarray, "batch *heads m d_v"]
]:
    """Gradients dq, dk, dv of :func:`scaled_dot_product_attention`."""
    weights, scale = cache["weights"], cache["scale"]
    dv = weights.swapaxes(-1, -2) @ dy
    dscores = masked_softmax_backward(dy @ cache["v"].swapaxes(-1, -2), weights) * scale
    return dscores @ cache["k"], dscores.swapaxes(-1, -2) @ cache["q"], dv


def split_heads(x: Float[ndarray, "batch n width"], num_heads: int) -> Float[ndarray, "batch {num_heads} n d"]:
    """(b, n, heads·d) → (b, heads, n, d)."""
    b, n, width = x.shape
    if width % num_heads:
        raise ValueError(f"heads: {num_heads} does not divide the width {width}; choose a divisor")
    return x.reshape(b, n, num_heads, width // num_heads).transpose(0, 2, 1, 3)


def join_heads(x: Float[ndarray, "batch heads n d"]) -> Float[ndarray, "batch n heads*d"]:
    """(b, heads, n, d) → (b, n, heads·d)."""
    b, num_heads, n, d = x.shape
    return x.transpose(0, 2, 1, 3).reshape(b, n, num_heads * d)


def multi_head_attention(
    query: Float[ndarray, "batch n d"],
    context: Float[ndarray, "batch m d_context"] | None,
    p: dict[str, ndarray],
    num_heads: int,
    padding_mask: Bool[ndarray, "batch m"] | None = None,
    causal: bool = False,
) -> tuple[Float[ndarray, "batch n d"], dict]:
    """Queries from `query`, keys and values from `context` (None: self-attention), in `num_heads` subspaces at once.

    Parameters
    ----------
    query : float (b, n, d); context : float (b, m, d_c) or None
    p : dict with ``q_proj.w`` (d, d), ``k_proj.w``, ``v_proj.w`` (d_c, d), ``out_proj.w`` (d, d) and their ``.b`` (d,)
    padding_mask : bool (b, m), True = real element of the context
    causal : bool

    Returns
    -------
    y : (b, n, d); cache : dict with ``weights`` (b, heads, n, m)
    """
    context = query if context is None else context
    q, cache_q = linear(query, p["q_proj.w"], p["q_proj.b"])
    k, cache_k = linear(context, p["k_proj.w"], p["k_proj.b"])
    v, cache_v = linear(context, p["v_proj.w"], p["v_proj.b"])
    q, k, v = (split_heads(x, num_heads) for x in (q, k, v))  # (b, heads, n or m, d / heads)
    h, cache_a = scaled_dot_product_attention(q, k, v, padding_mask, causal)
    y, cache_o = linear(join_heads(h), p["out_proj.w"], p["out_proj.b"])
    parts = {"q_proj": cache_q, "k_proj": cache_k, "v_proj": cache_v, "out_proj": cache_o}
    return y, {"weights": cache_a["weights"], "attention": cache_a, "num_heads": num_heads, "parts": parts}


def multi_head_attention_backward(
    dy: Float[ndarray, "batch n d"], cache: dict
) -> tuple[Float[ndarray, "batch n d"], Float[ndarray, "batch m d_context"], dict[str, ndarray]]:
    """Gradients (dquery, dcontext, dp) of :func:`multi_head_attention`; in self-attention dx = dquery + dcontext."""
    parts, dp = cache["parts"], {}
    dh, dp["out_proj.w"], dp["out_proj.b"] = linear_backward(dy, parts["out_proj"])
    dheads = scaled_dot_product_attention_backward(split_heads(dh, cache["num_heads"]), cache["attention"])
    dx = {}
    for name, d in zip(("q_proj", "k_proj", "v_proj"), dheads, strict=True):
        dx[name], dp[f"{name}.w"], dp[f"{name}.b"] = linear_backward(join_heads(d), parts[name])
    return dx["q_proj"], dx["k_proj"] + dx["v_proj"], dp


def sinusoidal_positions(n: int, d: int) -> Float[ndarray, "{n} {d}"]:
    """Positions as waves, (n, d): sin and cos of t / 10000^(2i/d), interleaved (Vaswani et al. 2017)."""
    angle = np.arange(n)[:, None] / 10000 ** (np.arange(0, d, 2) / d)  # (n, ⌈d/2⌉)
    return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(n, -1)[:, :d]
