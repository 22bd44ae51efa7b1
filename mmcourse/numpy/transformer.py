"""Transformer blocks, encoder, decoder and patches, forward and backward (Vaswani et al. 2017, arXiv 1706.03762).

Post-norm, as in the paper and BERT: x ← norm(x + f(x)). Pre-norm, as in GPT-2 and ViT: x ← x + f(norm(x)), with one
more norm at the end of the stack. Parameters are flat dicts: ``attention.q_proj.w``, ``norm1.gamma``, ``up.w``, …
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from mmcourse.numpy.attention import multi_head_attention, multi_head_attention_backward
from mmcourse.numpy.layers import (
    gelu,
    gelu_backward,
    layer_norm,
    layer_norm_backward,
    linear,
    linear_backward,
)


def part(p: dict[str, ndarray], name: str) -> dict[str, ndarray]:
    """The parameters below `name.`, without that prefix."""
    return {key[len(name) + 1 :]: value for key, value in p.items() if key.startswith(name + ".")}


def _prefixed(name, dp):
    return {f"{name}.{key}": value for key, value in dp.items()}


def feed_forward(x: Float[ndarray, "batch n d"], p: dict[str, ndarray]) -> tuple[Float[ndarray, "batch n d"], tuple]:
    """up → GELU → down, at each position alone. x (b, n, d), up (d, hidden), down (hidden, d)."""
    h, up = linear(x, p["up.w"], p["up.b"])
    h, act = gelu(h)
    y, down = linear(h, p["down.w"], p["down.b"])
    return y, (up, act, down)


def feed_forward_backward(
    dy: Float[ndarray, "batch n d"], cache: tuple
) -> tuple[Float[ndarray, "batch n d"], dict[str, ndarray]]:
    """Gradients dx, dp."""
    up, act, down = cache
    dh, dw_down, db_down = linear_backward(dy, down)
    dx, dw_up, db_up = linear_backward(gelu_backward(dh, act), up)
    return dx, {"up.w": dw_up, "up.b": db_up, "down.w": dw_down, "down.b": db_down}


def _norm(x, p, name, eps):
    return layer_norm(x, p[f"{name}.gamma"], p[f"{name}.beta"], eps)


def _norm_backward(dy, cache, name):
    dx, dgamma, dbeta = layer_norm_backward(dy, cache)
    return dx, {f"{name}.gamma": dgamma, f"{name}.beta": dbeta}


def residual(
    x: Float[ndarray, "batch n d"], f: Callable, p: dict[str, ndarray], norm: str, pre_norm: bool, eps: float
) -> tuple[Float[ndarray, "batch n d"], tuple]:
    """x + f(norm(x)) if `pre_norm`, else norm(x + f(x)); f returns (y, cache)."""
    if pre_norm:
        h, cache_n = _norm(x, p, norm, eps)
        y, cache_f = f(h)
        return x + y, (cache_n, cache_f)
    y, cache_f = f(x)
    y, cache_n = _norm(x + y, p, norm, eps)
    return y, (cache_n, cache_f)


def residual_backward(
    dy: Float[ndarray, "batch n d"], f_backward: Callable, cache: tuple, norm: str, pre_norm: bool
) -> tuple:
    """Gradients dx, dp, and whatever else `f_backward(d, cache)` → (dx, dp, *more) returns."""
    cache_n, cache_f = cache
    if pre_norm:  # the first term is the short way home, past every block: it carries the gradient
        dh, dp, *more = f_backward(dy, cache_f)
        dx, dp_norm = _norm_backward(dh, cache_n, norm)
        return dy + dx, dp | dp_norm, *more
    dsum, dp_norm = _norm_backward(dy, cache_n, norm)
    dx, dp, *more = f_backward(dsum, cache_f)
    return dsum + dx, dp | dp_norm, *more


def encoder_block(
    x: Float[ndarray, "batch n d"],
    p: dict[str, ndarray],
    num_heads: int,
    padding_mask: Bool[ndarray, "batch n"] | None = None,
    causal: bool = False,
    pre_norm: bool = True,
    eps: float = 1e-5,
) -> tuple[Float[ndarray, "batch n d"], dict]:
    """Self-attention, then feed-forward, each with a residual and a norm.

    Parameters
    ----------
    x : float (b, n, d)
    p : dict: ``attention.*``, ``norm1.*``, ``up.*``, ``down.*``, ``norm2.*``
    padding_mask : bool (b, n), True = real

    Returns
    -------
    y : (b, n, d); cache
    """

    def attend(h):
        return multi_head_attention(h, None, part(p, "attention"), num_heads, padding_mask, causal)

    x, cache1 = residual(x, attend, p, "norm1", pre_norm, eps)
    x, cache2 = residual(x, lambda h: feed_forward(h, p), p, "norm2", pre_norm, eps)
    return x, {"attention": cache1, "feed_forward": cache2, "pre_norm": pre_norm}


def _self_attention_backward(dy, cache):
    dquery, dcontext, dp = multi_head_attention_backward(dy, cache)
    return dquery + dcontext, _prefixed("attention", dp)


def _cross_attention_backward(dy, cache):
    dquery, dcontext, dp = multi_head_attention_backward(dy, cache)
    return dquery, _prefixed("cross", dp), dcontext


def encoder_block_backward(
    dy: Float[ndarray, "batch n d"], cache: dict
) -> tuple[Float[ndarray, "batch n d"], dict[str, ndarray]]:
    """Gradients dx, dp."""
    dx, dp2 = residual_backward(dy, feed_forward_backward, cache["feed_forward"], "norm2", cache["pre_norm"])
    dx, dp1 = residual_backward(dx, _self_attention_backward, cache["attention"], "norm1", cache["pre_norm"])
    return dx, dp1 | dp2


def decoder_block(
    x: Float[ndarray, "batch n d"],
    memory: Float[ndarray, "batch m d_memory"],
    p: dict[str, ndarray],
    num_heads: int,
    padding_mask: Bool[ndarray, "batch n"] | None = None,
    memory_mask: Bool[ndarray, "batch m"] | None = None,
    pre_norm: bool = True,
    eps: float = 1e-5,
) -> tuple[Float[ndarray, "batch n d"], dict]:
    """Causal self-attention, attention over `memory` (b, m, d_m), feed-forward. Also ``cross.*`` and ``norm3.*``."""

    def attend(h):
        return multi_head_attention(h, None, part(p, "attention"), num_heads, padding_mask, causal=True)

    def cross(h):
        return multi_head_attention(h, memory, part(p, "cross"), num_heads, memory_mask)

    x, cache1 = residual(x, attend, p, "norm1", pre_norm, eps)
    x, cache2 = residual(x, cross, p, "norm2", pre_norm, eps)
    x, cache3 = residual(x, lambda h: feed_forward(h, p), p, "norm3", pre_norm, eps)
    return x, {"attention": cache1, "cross": cache2, "feed_forward": cache3, "pre_norm": pre_norm}


def decoder_block_backward(
    dy: Float[ndarray, "batch n d"], cache: dict
) -> tuple[Float[ndarray, "batch n d"], Float[ndarray, "batch m d_memory"], dict[str, ndarray]]:
    """Gradients dx, dmemory, dp."""
    pre = cache["pre_norm"]
    dx, dp3 = residual_backward(dy, feed_forward_backward, cache["feed_forward"], "norm3", pre)
    dx, dp2, dmemory = residual_backward(dx, _cross_attention_backward, cache["cross"], "norm2", pre)
    dx, dp1 = residual_backward(dx, _self_attention_backward, cache["attention"], "norm1", pre)
    return dx, dmemory, dp1 | dp2 | dp3


def num_layers(p: dict[str, ndarray]) -> int:
    """How many blocks ``blocks.0.*``, ``blocks.1.*``, … p has."""
    return len({key.split(".")[1] for key in p if key.startswith("blocks.")})


def encoder(
    x: Float[ndarray, "batch n d"],
    p: dict[str, ndarray],
    num_heads: int,
    padding_mask: Bool[ndarray, "batch n"] | None = None,
    causal: bool = False,
    pre_norm: bool = True,
    eps: float = 1e-5,
) -> tuple[Float[ndarray, "batch n d"], dict]:
    """A stack of encoder blocks ``blocks.i.*``; pre-norm ends with ``norm.*``. x (b, n, d) → (b, n, d)."""
    caches = []
    for i in range(num_layers(p)):
        x, cache = encoder_block(x, part(p, f"blocks.{i}"), num_heads, padding_mask, causal, pre_norm, eps)
        caches.append(cache)
    x, final = _norm(x, p, "norm", eps) if pre_norm else (x, None)
    return x, {"blocks": caches, "norm": final}


def encoder_backward(
    dy: Float[ndarray, "batch n d"], cache: dict
) -> tuple[Float[ndarray, "batch n d"], dict[str, ndarray]]:
    """Gradients dx, dp."""
    dx, dp = (dy, {}) if cache["norm"] is None else _norm_backward(dy, cache["norm"], "norm")
    for i, block in reversed(list(enumerate(cache["blocks"]))):
        dx, grads = encoder_block_backward(dx, block)
        dp |= _prefixed(f"blocks.{i}", grads)
    return dx, dp


def decoder(
    x: Float[ndarray, "batch n d"],
    memory: Float[ndarray, "batch m d_memory"],
    p: dict[str, ndarray],
    num_heads: int,
    padding_mask: Bool[ndarray, "batch n"] | None = None,
    memory_mask: Bool[ndarray, "batch m"] | None = None,
    pre_norm: bool = True,
    eps: float = 1e-5,
) -> tuple[Float[ndarray, "batch n d"], dict]:
    """A stack of decoder blocks over one `memory`. x (b, n, d), memory (b, m, d_m) → (b, n, d)."""
    caches = []
    for i in range(num_layers(p)):
        block = part(p, f"blocks.{i}")
        x, cache = decoder_block(x, memory, block, num_heads, padding_mask, memory_mask, pre_norm, eps)
        caches.append(cache)
    x, final = _norm(x, p, "norm", eps) if pre_norm else (x, None)
    return x, {"blocks": caches, "norm": final}


def decoder_backward(
    dy: Float[ndarray, "batch n d"], cache: dict
) -> tuple[Float[ndarray, "batch n d"], Float[ndarray, "batch m d_memory"], dict[str, ndarray]]:
    """Gradients dx, dmemory (every block read it: they add up), dp."""
    dx, dp = (dy, {}) if cache["norm"] is None else _norm_backward(dy, cache["norm"], "norm")
    dmemory: Any = 0
    for i, block in reversed(list(enumerate(cache["blocks"]))):
        dx, dm, grads = decoder_block_backward(dx, block)
        dmemory, dp = dmemory + dm, dp | _prefixed(f"blocks.{i}", grads)
    return dx, dmemory, dp


def patchify(
    image: Float[ndarray, "batch height width channels"], size: int
) -> Float[ndarray, "batch n {size}*{size}*channels"]:
    """Cut (b, h, w, c) into squares, row by row: (b, h/size · w/size, size·size·c) (Dosovitskiy et al. 2021)."""
    b, h, w, c = image.shape
    if h % size or w % size:
        raise ValueError(f"image: {h}×{w} cannot be cut into {size}×{size} patches; resize or pad it first")
    grid = image.reshape(b, h // size, size, w // size, size, c).swapaxes(2, 3)
    return grid.reshape(b, -1, size * size * c)


def patches_backward(
    dy: Float[ndarray, "batch n d"], shape: tuple[int, ...], size: int
) -> Float[ndarray, "batch height width channels"]:
    """Put the squares back: gradient (b, n, size·size·c) → an image of `shape`."""
    b, h, w, c = shape
    return dy.reshape(b, h // size, w // size, size, size, c).swapaxes(2, 3).reshape(shape)


def vision_transformer(
    image: Float[ndarray, "batch height width channels"],
    p: dict[str, ndarray],
    num_heads: int,
    size: int,
    eps: float = 1e-6,
) -> tuple[Float[ndarray, "batch tokens d"], dict]:
    """ViT (arXiv 2010.11929): patches → linear → [cls] in front, positions added → pre-norm encoder.

    Parameters
    ----------
    image : float (b, h, w, c)
    p : dict: ``patch.w`` (size·size·c, d), ``patch.b``, ``cls`` (d,), ``positions`` (1 + n, d), ``encoder.*``

    Returns
    -------
    y : (b, 1 + n, d), the class token first; cache
    """
    x, embed = linear(patchify(image, size), p["patch.w"], p["patch.b"])  # (b, n, d)
    x = np.concatenate([np.broadcast_to(p["cls"], (len(x), 1, x.shape[-1])), x], 1) + p["positions"]
    y, cache = encoder(x, part(p, "encoder"), num_heads, eps=eps)
    return y, {"embed": embed, "encoder": cache, "shape": image.shape, "size": size}


def vision_transformer_backward(
    dy: Float[ndarray, "batch tokens d"], cache: dict
) -> tuple[Float[ndarray, "batch height width channels"], dict[str, ndarray]]:
    """Gradients dimage, dp."""
    dx, dp = encoder_backward(dy, cache["encoder"])
    dp = _prefixed("encoder", dp) | {"positions": dx.sum(0), "cls": dx[:, 0].sum(0)}
    dpatches, dp["patch.w"], dp["patch.b"] = linear_backward(dx[:, 1:], cache["embed"])
    return patches_backward(dpatches, cache["shape"], cache["size"]), dp
