"""Softmax cross-entropy, forward and backward. Same scheme as the layers: ``y, cache`` and ``*_backward``."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray


def log_softmax(x: Float[ndarray, "*rows classes"]) -> Float[ndarray, "*rows classes"]:
    """log softmax over the last axis, by log-sum-exp around the largest entry: no overflow, no log 0."""
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def cross_entropy(
    logits: Float[ndarray, "*samples classes"],
    labels: Integer[ndarray, "*samples"],
    smoothing: float = 0.0,
    mask: Bool[ndarray, "*samples"] | None = None,
) -> tuple[float | np.floating, tuple]:
    """Mean of −Σ_c q_c log softmax(logits)_c, with q = (1 − ε) one-hot + ε/C. A model that knows nothing has ln C.

    Parameters
    ----------
    logits : float (…, C); labels : int (…)
    smoothing : ε in [0, 1), label smoothing (Szegedy et al. 2016, arXiv 1512.00567)
    mask : bool (…) or None; True = counts, and the mean is over those

    Returns
    -------
    loss : float; cache
    """
    logs = log_softmax(logits)
    q = (1 - smoothing) * np.eye(logits.shape[-1], dtype=logits.dtype)[labels] + smoothing / logits.shape[-1]
    weights = np.ones(labels.shape) if mask is None else mask.astype(logits.dtype)
    weights = weights / max(weights.sum(), 1)  # nothing counts: loss 0
    return -(weights * (q * logs).sum(-1)).sum(), (logs, q, weights)


def cross_entropy_backward(cache: tuple, dloss: Any = 1.0) -> Float[ndarray, "*samples classes"]:
    """Gradient to the logits: softmax − q, shared out over what counts."""
    logs, q, weights = cache
    return dloss * weights[..., None] * (np.exp(logs) - q)
