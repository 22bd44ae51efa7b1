"""What keeps a fused model from leaning on one modality. See `mmcourse.numpy.fusion` for the conventions."""

import numpy as np

from mmcourse.numpy.losses import log_softmax


def sample_modality_mask(present, rate, rng):
    """Which modalities stay in training: each drops out with probability `rate`, sample by sample, never all of them.

    Where all would go, one of those present stays, each with equal chance.

    Parameters
    ----------
    present : bool (b, M), what is there to begin with
    rate : float in [0, 1); rng : numpy Generator

    Returns
    -------
    bool (b, M)
    """
    keep = present & (rng.random(present.shape) >= rate)
    saved = np.argmax(present * rng.random(present.shape), 1)[:, None] == np.arange(present.shape[1])
    return np.where(keep.any(1, keepdims=True), keep, saved & present)


def modality_dropout(xs, p, present):
    """A learned null token stands where a modality is absent: zero is a value, not "missing".

    After Neverova et al. 2016, arXiv 1501.00102, who drop whole modalities; their null is zero.

    Parameters
    ----------
    xs : list of float (b, d_m) or (b, t_m, d_m); p : ``null.m`` (d_m,); present : bool (b, M),
        as `sample_modality_mask` gives

    Returns
    -------
    list of arrays as `xs`
    """
    there = [present[:, m].reshape(-1, *[1] * (x.ndim - 1)) for m, x in enumerate(xs)]
    return [np.where(t, x, p[f"null.{m}"]) for m, (t, x) in enumerate(zip(there, xs, strict=True))]


def confidence(logits, labels):
    """How sure each modality alone is of the right class: its softmax there, summed over the batch.

    logits : float (M, b, C), one modality's own; labels : int (b,). Returns (M,)
    """
    return np.exp(log_softmax(logits))[:, np.arange(len(labels)), labels].sum(1)


def modulation(scores, alpha=0.5):
    """k_u = 1 − tanh(αρ_u) where ρ_u > 1, else 1; ρ_u = score of u over the mean of the others' (Peng et al. 2022).

    arXiv 2203.15332, who have two modalities. The leader's encoder learns more slowly; the shared head does not.

    scores : float (M,), see `confidence`; alpha : float > 0. Returns (M,) in (0, 1]
    """
    others = (scores.sum() - scores) / (len(scores) - 1)
    ratio = scores / others
    return np.where(ratio > 1, 1 - np.tanh(alpha * ratio), 1.0)
