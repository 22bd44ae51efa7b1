"""Contrastive losses of pictures and texts: the softmax loss of CLIP, the sigmoid loss of SigLIP."""

from typing import Any

from jaxtyping import Float
from keras import ops


def contrastive_loss(
    image: Float[Any, "batch d"],
    text: Float[Any, "batch d"],
    log_scale: Float[Any, ""],
    hard_text: Float[Any, "hard d"] | None = None,
) -> Float[Any, ""]:
    """InfoNCE in both directions: s_ij = exp(log_scale) · cos(image_i, text_j), mean of two cross-entropies.

    image, text: (b, d), not normalized, row i belongs to row i; log_scale: scalar; hard_text: (n, d) or None, texts
    that belong to no picture. Returns a scalar. (CLIP: Radford et al. 2021, arXiv 2103.00020.)
    """
    u = ops.normalize(image, axis=-1)  # (b, d)
    candidates = text if hard_text is None else ops.concatenate([text, hard_text])
    v = ops.normalize(candidates, axis=-1)  # (b + n, d)
    logits = ops.exp(log_scale) * ops.matmul(u, ops.transpose(v))  # (b, b + n)
    b = ops.shape(image)[0]
    right = ops.diagonal(logits)  # (b,)
    image_loss = ops.mean(ops.logsumexp(logits, axis=1) - right)  # which text belongs to picture i?
    text_loss = ops.mean(ops.logsumexp(logits[:, :b], axis=0) - right)  # which picture belongs to text j?
    return (image_loss + text_loss) / 2


def sigmoid_loss(
    image: Float[Any, "batch d"], text: Float[Any, "batch d"], log_scale: Float[Any, ""], bias: Float[Any, ""]
) -> Float[Any, ""]:
    """SigLIP: every pair of the batch alone, −1/b Σ_ij log σ(z_ij (exp(log_scale) · cos_ij + bias)).

    z is 1 on the diagonal and −1 elsewhere. image, text: (b, d), not normalized; log_scale, bias: scalars. Returns a
    scalar. (Zhai et al. 2023, arXiv 2303.15343.)
    """
    u = ops.normalize(image, axis=-1)
    v = ops.normalize(text, axis=-1)
    logits = ops.exp(log_scale) * ops.matmul(u, ops.transpose(v)) + bias  # (b, b)
    b = ops.shape(image)[0]
    sign = 2 * ops.eye(b, dtype=logits.dtype) - 1
    return ops.sum(ops.softplus(-sign * logits)) / ops.cast(b, logits.dtype)
