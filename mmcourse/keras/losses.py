"""Softmax cross-entropy, written out; equal to `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`."""

from typing import Any

from jaxtyping import Bool, Float, Integer
from keras import ops


def cross_entropy(
    logits: Float[Any, "*samples classes"],
    labels: Integer[Any, "*samples"],
    smoothing: float = 0.0,
    mask: Bool[Any, "*samples"] | None = None,
) -> Float[Any, ""]:
    """Mean of −Σ_c q_c log softmax(logits)_c, with q = (1 − ε) one-hot + ε/C. A model that knows nothing has ln C.

    logits: (…, C); labels: int64 (…); smoothing: ε; mask: bool (…), True = counts. Returns a scalar.
    """
    logs = logits - ops.logsumexp(logits, -1, keepdims=True)
    right = ops.sum(logs * ops.one_hot(labels, logits.shape[-1], dtype=logs.dtype), -1)
    losses = -(1 - smoothing) * right - smoothing * ops.mean(logs, -1)
    if mask is None:
        return ops.mean(losses)
    mask = ops.cast(mask, losses.dtype)
    return ops.sum(losses * mask) / ops.maximum(ops.sum(mask), 1)
