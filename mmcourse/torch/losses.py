"""Softmax cross-entropy, written out; equal to `torch.nn.functional.cross_entropy`."""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor


def cross_entropy(
    logits: Float[Tensor, "*samples classes"],
    labels: Integer[Tensor, "*samples"],
    smoothing: float = 0.0,
    mask: Bool[Tensor, "*samples"] | None = None,
) -> Float[Tensor, ""]:
    """Mean of −Σ_c q_c log softmax(logits)_c, with q = (1 − ε) one-hot + ε/C. A model that knows nothing has ln C.

    logits: (…, C); labels: int64 (…); smoothing: ε; mask: bool (…), True = counts. Returns a scalar.
    """
    logs = logits - torch.logsumexp(logits, -1, keepdim=True)
    right = logs.gather(-1, labels[..., None])[..., 0]
    losses = -(1 - smoothing) * right - smoothing * logs.mean(-1)
    if mask is None:
        return losses.mean()
    return (losses * mask).sum() / mask.sum().clamp(min=1)
