"""Contrastive losses of pictures and texts: the softmax loss of CLIP, the sigmoid loss of SigLIP."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def _check_pairs(image, text, hard_text=None) -> None:
    """Refuse what would give a number without meaning: other counts of pictures and texts, or none at all."""
    if image.shape != text.shape or not len(image):
        raise ValueError(
            "image, text: expected row i of one to belong to row i of the other, at least one row; got "
            f"{tuple(image.shape)} and {tuple(text.shape)}; texts without a picture of their own go into hard_text"
        )
    if hard_text is not None and hard_text.shape[1:] != text.shape[1:]:
        raise ValueError(f"hard_text: expected (n, {text.shape[1]}) as wide as text, got {tuple(hard_text.shape)}")


def contrastive_loss(
    image: Float[Tensor, "batch d"],
    text: Float[Tensor, "batch d"],
    log_scale: Float[Tensor, ""],
    hard_text: Float[Tensor, "hard d"] | None = None,
) -> Float[Tensor, ""]:
    """InfoNCE in both directions: s_ij = exp(log_scale) · cos(image_i, text_j), mean of two cross-entropies.

    A model that knows nothing has the loss ln b. (CLIP: Radford et al. 2021, arXiv 2103.00020.)

    Parameters
    ----------
    image, text : float (b, d), not normalized; row i belongs to row i
    log_scale : scalar tensor, the logarithm of 1 / temperature
    hard_text : float (n, d) or None
        Texts that belong to no picture: more wrong answers for the pictures (NegCLIP, arXiv 2210.01936).

    Returns
    -------
    loss : scalar

    Raises
    ------
    ValueError
        No pairs, or not as many pictures as texts.
    """
    _check_pairs(image, text, hard_text)
    u = F.normalize(image, dim=-1)  # (b, d)
    candidates = text if hard_text is None else torch.cat([text, hard_text])
    v = F.normalize(candidates, dim=-1)  # (b + n, d)
    logits = log_scale.exp() * u @ v.T  # (b, b + n)
    labels = torch.arange(len(image), device=image.device)
    image_loss = F.cross_entropy(logits, labels)  # which text belongs to picture i?
    text_loss = F.cross_entropy(logits[:, : len(image)].T, labels)  # which picture belongs to text j?
    return (image_loss + text_loss) / 2


def sigmoid_loss(
    image: Float[Tensor, "batch d"],
    text: Float[Tensor, "batch d"],
    log_scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """SigLIP: every pair of the batch alone, −1/b Σ_ij log σ(z_ij (exp(log_scale) · cos_ij + bias)).

    z is 1 on the diagonal and −1 elsewhere (Zhai et al. 2023, arXiv 2303.15343).

    Parameters
    ----------
    image, text : float (b, d), not normalized
    log_scale, bias : scalar tensors; SigLIP starts at ln 10 and −10

    Returns
    -------
    loss : scalar
    """
    _check_pairs(image, text)
    u = F.normalize(image, dim=-1)
    v = F.normalize(text, dim=-1)
    logits = log_scale.exp() * u @ v.T + bias  # (b, b)
    sign = 2 * torch.eye(len(image), dtype=logits.dtype, device=logits.device) - 1
    return -F.logsigmoid(sign * logits).sum() / len(image)
