"""What keeps a fused model from leaning on one modality. See `mmcourse.numpy.fusion` for the conventions."""

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from mmcourse.numpy.fusion.sums import Weights
from mmcourse.numpy.losses import log_softmax


def sample_modality_mask(
    modality_mask: Bool[ndarray, "batch modalities"], rate: float, rng: np.random.Generator
) -> Bool[ndarray, "batch modalities"]:
    """Which modalities stay in training: each drops out with probability `rate`, sample by sample, never all of them.

    Where all would go, one of those present stays, each with equal chance.

    Parameters
    ----------
    modality_mask : bool (b, M), what is there to begin with
    rate : float in [0, 1); rng : numpy Generator

    Returns
    -------
    bool (b, M)
    """
    keep = modality_mask & (rng.random(modality_mask.shape) >= rate)
    saved = np.argmax(modality_mask * rng.random(modality_mask.shape), 1)[:, None] == np.arange(modality_mask.shape[1])
    return np.where(keep.any(1, keepdims=True), keep, saved & modality_mask)


def modality_dropout(
    xs: list[Float[ndarray, "batch ..."]], p: Weights, modality_mask: Bool[ndarray, "batch modalities"]
) -> list[Float[ndarray, "batch ..."]]:
    """A learned null token stands where a modality is absent: zero is a value, not "missing".

    After Neverova et al. 2016, arXiv 1501.00102, who drop whole modalities; their null is zero.

    Parameters
    ----------
    xs : list of float (b, d_m) or (b, t_m, d_m); p : ``null.m`` (d_m,); modality_mask : bool (b, M),
        as `sample_modality_mask` gives

    Returns
    -------
    list of arrays as `xs`
    """
    there = [modality_mask[:, m].reshape(-1, *[1] * (x.ndim - 1)) for m, x in enumerate(xs)]
    return [np.where(t, x, p[f"null.{m}"]) for m, (t, x) in enumerate(zip(there, xs, strict=True))]


def confidence(
    logits: Float[ndarray, "modalities batch classes"], labels: Integer[ndarray, " batch"]
) -> Float[ndarray, " modalities"]:
    """How sure each modality alone is of the right class: its softmax there, summed over the batch.

    logits : float (M, b, C), one modality's own; labels : int (b,). Returns (M,)
    """
    return np.exp(log_softmax(logits))[:, np.arange(len(labels)), labels].sum(1)


def ogm_coefficients(scores: Float[ndarray, " modalities"], alpha: float = 0.5) -> Float[ndarray, " modalities"]:
    """k_u = 1 − tanh(αρ_u) where ρ_u > 1, else 1; ρ_u = score of u over the mean of the others' (Peng et al. 2022).

    arXiv 2203.15332, who have two modalities. The leader's encoder learns more slowly; the shared head does not.

    scores : float (M,), see `confidence`; alpha : float > 0. Returns (M,) in (0, 1]
    """
    others = (scores.sum() - scores) / (len(scores) - 1)
    ratio = scores / others
    return np.where(ratio > 1, 1 - np.tanh(alpha * ratio), 1.0)
