"""Attention written out: softmax(QKᵀ/√d_k)V (Vaswani et al. 2017, arXiv 1706.03762).

``padding_mask`` is True for real elements, as in Keras's own ``attention_mask``. A row that may attend to nothing
gives 0, never NaN.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from jaxtyping import Bool, Float
from keras import ops

from mmcourse.keras.masks import attention_mask, masked_softmax


def scaled_dot_product_attention(
    q: Float[Any, "batch *heads n d_k"],
    k: Float[Any, "batch *heads m d_k"],
    v: Float[Any, "batch *heads m d_v"],
    padding_mask: Bool[Any, "batch m"] | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: Callable | None = None,
) -> tuple[Float[Any, "batch *heads n d_v"], Float[Any, "batch *heads n m"]]:
    """softmax(QKᵀ · scale)V with scale = 1/√d_k.

    Parameters
    ----------
    q, k, v : float (b, …, n, d_k), (b, …, m, d_k), (b, …, m, d_v)
    padding_mask : bool (b, m), True = real key
    causal : bool
        Query i sees keys up to i + (m − n).
    dropout : function or None
        What the weights go through before they meet the values.

    Returns
    -------
    y : (b, …, n, d_v); weights : (b, …, n, m), whose rows sum to 1
    """
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = ops.matmul(q, ops.swapaxes(k, -1, -2)) * scale  # (b, …, n, m)
    keep = attention_mask(ops.shape(q)[-2], ops.shape(k)[-2], padding_mask, causal, len(scores.shape))
    weights = masked_softmax(scores, keep)
    return ops.matmul(weights if dropout is None else dropout(weights), v), weights


@keras.saving.register_keras_serializable("mmcourse")
class MultiHeadAttention(keras.layers.Layer):
    """Queries from `query`, keys and values from `context`, in `num_heads` subspaces at once.

    Parameters
    ----------
    dim : int
        Width of the query and of the output.
    num_heads : int
        A divisor of `dim`.
    context_dim : int or None
        Width of the context, if it is to be checked: Keras sees it at the first call.
    dropout : float
        Probability of dropping an attention weight in training.
    """

    def __init__(self, dim: int, num_heads: int, context_dim: int | None = None, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        if dim % num_heads:
            raise ValueError(f"heads: {num_heads} does not divide the width {dim}; choose a divisor")
        self.dim, self.num_heads, self.context_dim, self.rate = dim, num_heads, context_dim, dropout
        policy = self.dtype_policy
        self.q_proj = keras.layers.Dense(dim, name="q_proj", dtype=policy)
        self.k_proj = keras.layers.Dense(dim, name="k_proj", dtype=policy)
        self.v_proj = keras.layers.Dense(dim, name="v_proj", dtype=policy)
        self.out_proj = keras.layers.Dense(dim, name="out_proj", dtype=policy)
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, query_shape, context_shape=None):
        """Make the weights: the widths are known only now."""
        context_shape = context_shape or query_shape
        if context_shape[-1] != (self.context_dim or context_shape[-1]):
            raise ValueError(f"context: expected width {self.context_dim}, got {context_shape[-1]}")
        self.q_proj.build(query_shape)
        self.k_proj.build(context_shape)
        self.v_proj.build(context_shape)
        self.out_proj.build((*query_shape[:-1], self.dim))

    def call(
        self,
        query: Float[Any, "batch n d"],
        context: Float[Any, "batch m d_context"] | None = None,
        padding_mask: Bool[Any, "batch m"] | None = None,
        causal: bool = False,
        return_weights: bool = False,
        training: bool | None = None,
    ) -> Float[Any, "batch n d"] | tuple[Float[Any, "batch n d"], Float[Any, "batch {self.num_heads} n m"]]:
        """query (b, n, d), context (b, m, d_c) or None for self-attention → (b, n, d) [, weights (b, heads, n, m)]."""
        context = query if context is None else context
        q, k, v = self.split(self.q_proj(query)), self.split(self.k_proj(context)), self.split(self.v_proj(context))
        h, weights = scaled_dot_product_attention(
            q, k, v, padding_mask, causal, dropout=lambda w: self.dropout(w, training=training)
        )  # (b, heads, n, d / heads)
        y = self.out_proj(ops.reshape(ops.swapaxes(h, 1, 2), (-1, ops.shape(h)[2], self.dim)))
        return (y, weights) if return_weights else y

    def split(self, x: Float[Any, "batch n width"]) -> Float[Any, "batch {self.num_heads} n d"]:
        """(b, n, d) → (b, heads, n, d / heads)."""
        return ops.swapaxes(ops.reshape(x, (-1, ops.shape(x)[1], self.num_heads, self.dim // self.num_heads)), 1, 2)

    def get_config(self):
        """What `from_config` needs."""
        own = {"dim": self.dim, "num_heads": self.num_heads, "context_dim": self.context_dim, "dropout": self.rate}
        return {**super().get_config(), **own}


def sinusoidal_positions(n: int, d: int) -> Float[Any, "{n} {d}"]:
    """Positions as waves, (n, d): sin and cos of t / 10000^(2i/d), interleaved (Vaswani et al. 2017)."""
    angle = np.arange(n)[:, None] / 10000 ** (np.arange(0, d, 2) / d)
    return ops.convert_to_tensor(
        np.stack([np.sin(angle), np.cos(angle)], -1).reshape(n, -1)[:, :d], dtype=keras.config.floatx()
    )
