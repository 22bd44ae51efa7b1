"""Contrastive losses of pictures and texts: the softmax loss of CLIP, the sigmoid loss of SigLIP."""

from typing import Any

from jaxtyping import Float
from keras import ops


def _check_pairs(image, text, hard_text=None) -> None:
    """Refuse what would give a number without meaning: other counts of pictures and texts, or none at all.

    A size that is not known yet, in a graph, is None.
    """
    pairs = zip(image.shape, text.shape, strict=False)
    other = any(None not in pair and pair[0] != pair[1] for pair in pairs)
    if other or len(image.shape) != len(text.shape) or image.shape[0] == 0:
        raise ValueError(
            "image, text: expected row i of one to belong to row i of the other, at least one row; got "
            f"{tuple(image.shape)} and {tuple(text.shape)}; texts without a picture of their own go into hard_text"
        )
    if hard_text is not None and None not in (width := (hard_text.shape[1], text.shape[1])) and width[0] != width[1]:
        raise ValueError(f"hard_text: expected (n, {width[1]}) as wide as text, got {tuple(hard_text.shape)}")


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
    _check_pairs(image, text, hard_text)
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
    _check_pairs(image, text)
    u = ops.normalize(image, axis=-1)
    v = ops.normalize(text, axis=-1)
    logits = ops.exp(log_scale) * ops.matmul(u, ops.transpose(v)) + bias  # (b, b)
    b = ops.shape(image)[0]
    sign = 2 * ops.eye(b, dtype=logits.dtype) - 1
    return ops.sum(ops.softplus(-sign * logits)) / ops.cast(b, logits.dtype)
