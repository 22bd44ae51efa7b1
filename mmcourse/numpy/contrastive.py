"""Contrastive losses of pictures and texts, forward and backward: the softmax loss of CLIP, the sigmoid loss of SigLIP.

Row i of one matrix and row i of the other belong together; every other row of the batch is a negative.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from mmcourse.numpy.losses import log_softmax


def l2_normalize(x: Float[ndarray, "*rows d"], eps: float = 1e-12) -> Float[ndarray, "*rows d"]:
    """Each vector (…, d) divided by its length, so that a dot product is a cosine; a vector of zeros stays zeros."""
    length = np.sqrt((x * x).sum(-1, keepdims=True))
    return x / np.maximum(length, eps)


def l2_normalize_backward(
    dy: Float[ndarray, "*rows d"], x: Float[ndarray, "*rows d"], eps: float = 1e-12
) -> Float[ndarray, "*rows d"]:
    """Gradient to x: the part of dy along x is lost, the rest is divided by the length."""
    length = np.maximum(np.sqrt((x * x).sum(-1, keepdims=True)), eps)
    y = x / length
    return (dy - y * (dy * y).sum(-1, keepdims=True)) / length


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
    image: Float[ndarray, "batch d"],
    text: Float[ndarray, "batch d"],
    log_scale: float | np.floating | Float[ndarray, ""],
    hard_text: Float[ndarray, "hard d"] | None = None,
) -> tuple[float | np.floating, tuple]:
    """InfoNCE in both directions: s_ij = exp(log_scale) · cos(image_i, text_j), mean of two cross-entropies.

    A model that knows nothing has the loss ln b. (van den Oord et al. 2018, arXiv 1807.03748; CLIP: Radford et al.
    2021, arXiv 2103.00020.)

    Parameters
    ----------
    image, text : float (b, d), not normalized; row i belongs to row i
    log_scale : float scalar, the logarithm of 1 / temperature; CLIP starts at ln(1/0.07) and clips it at ln 100
    hard_text : float (n, d) or None
        Texts that belong to no picture: more wrong answers for the pictures (NegCLIP, arXiv 2210.01936).

    Returns
    -------
    loss : float; cache

    Raises
    ------
    ValueError
        No pairs, or not as many pictures as texts.
    """
    _check_pairs(image, text, hard_text)
    u = l2_normalize(image)  # (b, d)
    candidates = text if hard_text is None else np.concatenate([text, hard_text])
    v = l2_normalize(candidates)  # (b + n, d)
    scale = np.exp(log_scale)
    cosine = u @ v.T  # (b, b + n)
    b = len(image)
    log_rows = log_softmax(scale * cosine)  # which text belongs to picture i?
    log_columns = log_softmax(scale * cosine[:, :b].T)  # which picture belongs to text j?
    diagonal = np.arange(b)
    image_loss = -log_rows[diagonal, diagonal].mean()
    text_loss = -log_columns[diagonal, diagonal].mean()
    return (image_loss + text_loss) / 2, (image, candidates, u, v, scale, cosine, log_rows, log_columns)


def contrastive_loss_backward(
    dloss: float | np.floating | Float[ndarray, ""], cache: tuple
) -> tuple[Float[ndarray, "batch d"], Float[ndarray, "batch d"], np.floating, Float[ndarray, "hard d"]]:
    """Gradients to image (b, d), text (b, d), log_scale () and hard_text (n, d)."""
    image, candidates, u, v, scale, cosine, log_rows, log_columns = cache
    b = len(image)
    right = np.eye(b, len(candidates))
    dlogits = (np.exp(log_rows) - right) / (2 * b)  # (b, b + n)
    dlogits[:, :b] += (np.exp(log_columns) - np.eye(b)).T / (2 * b)
    dlogits = dloss * dlogits
    dlog_scale = (dlogits * scale * cosine).sum()
    dimage = l2_normalize_backward(scale * dlogits @ v, image)
    dcandidates = l2_normalize_backward(scale * dlogits.T @ u, candidates)
    return dimage, dcandidates[:b], dlog_scale, dcandidates[b:]


def sigmoid_loss(
    image: Float[ndarray, "batch d"],
    text: Float[ndarray, "batch d"],
    log_scale: float | np.floating | Float[ndarray, ""],
    bias: float | np.floating | Float[ndarray, ""],
) -> tuple[float | np.floating, tuple]:
    """SigLIP: every pair of the batch alone, −1/b Σ_ij log σ(z_ij (exp(log_scale) · cos_ij + bias)).

    z is 1 on the diagonal and −1 elsewhere. SigLIP starts at log_scale = ln 10, bias = −10, so that at first almost all
    pairs are rightly called wrong. (Zhai et al. 2023, arXiv 2303.15343.)

    Parameters
    ----------
    image, text : float (b, d), not normalized
    log_scale, bias : float scalars

    Returns
    -------
    loss : float; cache
    """
    _check_pairs(image, text)
    u, v = l2_normalize(image), l2_normalize(text)
    scale = np.exp(log_scale)
    cosine = u @ v.T  # (b, b)
    sign = 2 * np.eye(len(image)) - 1
    margin = sign * (scale * cosine + bias)
    loss = np.logaddexp(0, -margin).sum() / len(image)  # −log σ(m) = log(1 + e^−m), without overflow
    return loss, (image, text, u, v, scale, cosine, sign, margin)


def sigmoid_loss_backward(
    dloss: float | np.floating | Float[ndarray, ""], cache: tuple
) -> tuple[Float[ndarray, "batch d"], Float[ndarray, "batch d"], np.floating, np.floating]:
    """Gradients to image, text (b, d), log_scale and bias ()."""
    image, text, u, v, scale, cosine, sign, margin = cache
    dlogits = -dloss * sign * np.exp(-np.logaddexp(0, margin)) / len(image)  # −z σ(−m) / b
    dlog_scale = (dlogits * scale * cosine).sum()
    dimage = l2_normalize_backward(scale * dlogits @ v, image)
    dtext = l2_normalize_backward(scale * dlogits.T @ u, text)
    return dimage, dtext, dlog_scale, dlogits.sum()
