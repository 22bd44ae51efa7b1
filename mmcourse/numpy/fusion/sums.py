"""Fusion by joining, adding, gating and voting. See `mmcourse.numpy.fusion` for the conventions."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from mmcourse.numpy.layers import sigmoid
from mmcourse.numpy.losses import log_softmax
from mmcourse.numpy.masks import ModalityMask, masked, masked_softmax

Vectors = list[Float[ndarray, "batch _"]]  # one of each modality, in sorted order of their names
Weights = dict[str, ndarray]  # by dotted name


def linear(x: Float[ndarray, "*rows d"], p: Weights, name: str) -> Float[ndarray, "*rows width"]:
    """x (…, d) → x @ w + b, with ``p[name + ".w"]`` (d, width) and, where there is one, ``p[name + ".b"]`` (width,)."""
    return x @ p[f"{name}.w"] + p.get(f"{name}.b", 0)


def rms_norm(x: Float[ndarray, "*rows d"], epsilon: float = 1e-5) -> Float[ndarray, "*rows d"]:
    """x (…, d) divided by its root mean square: every modality arrives equally loud (Zhang & Sennrich 2019)."""
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon)


def concatenate(xs: Vectors, p: Weights, modality_mask: ModalityMask = None) -> Float[ndarray, "batch width"]:
    """Early fusion: relu(W[x₁; x₂; …] + b), each x at unit scale (Baltrušaitis et al. 2019, arXiv 1705.09406).

    An absent modality is zeros.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``out.w`` (Σd_m, width), ``out.b``; modality_mask : bool (b, M)

    Returns
    -------
    float (b, width)
    """
    joined = np.concatenate([rms_norm(x) for x in masked(xs, modality_mask)], -1)  # (b, Σd_m)
    return np.maximum(linear(joined, p, "out"), 0)


def sum_gate(xs: Vectors, p: Weights, modality_mask: ModalityMask = None) -> Float[ndarray, "batch width"]:
    """σ(W_g Σₘ fₘ(xₘ) + b_g) with fₘ(x) = Wₘx + bₘ: one map per modality, for their widths differ.

    It is called a gate in textbooks, but it multiplies nothing. An absent modality is left out of the sum.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``maps.m.w`` (d_m, width), ``maps.m.b``, ``gate.w`` (width, width), ``gate.b``

    Returns
    -------
    float (b, width) in (0, 1)
    """
    mapped = masked([linear(x, p, f"maps.{m}") for m, x in enumerate(masked(xs, modality_mask))], modality_mask)
    return sigmoid(linear(np.sum(mapped, axis=0), p, "gate"))


def weighted_sum(xs: Vectors, p: Weights, modality_mask: ModalityMask = None) -> Float[ndarray, "batch width"]:
    """Σₘ softmax(α)ₘ Wₘxₘ. The softmax goes over the modalities that are there.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``alpha`` (M,), ``maps.m.w`` (d_m, width)

    Returns
    -------
    float (b, width)
    """
    return _parts(xs, p, modality_mask).sum(1)


def shares(xs: Vectors, p: Weights, modality_mask: ModalityMask = None) -> Float[ndarray, " modalities"]:
    """What each modality contributes to the weighted sum: its mean ‖softmax(α)ₘ Wₘxₘ‖, as a share, (M,).

    α alone says nothing: twice the W and half the weight is the same model.
    """
    sizes = np.linalg.norm(_parts(xs, p, modality_mask), axis=-1).mean(0)
    return sizes / sizes.sum()


def _parts(xs: Vectors, p: Weights, modality_mask: ModalityMask) -> Float[ndarray, "batch modalities width"]:
    mapped = np.stack([linear(x, p, f"maps.{m}") for m, x in enumerate(masked(xs, modality_mask))], 1)  # (b, M, width)
    weights = masked_softmax(np.broadcast_to(p["alpha"], mapped.shape[:2]), modality_mask)  # (b, M)
    return weights[..., None] * mapped


def late_mean(xs: Vectors, p: Weights, modality_mask: ModalityMask = None) -> Float[ndarray, "batch classes"]:
    """Late fusion by mean: log Σₘ wₘpₘ, w = softmax(α) over those present, pₘ = softmax(Wₘxₘ + bₘ).

    The probabilities are averaged, not the logits (Kittler et al. 1998, doi 10.1109/34.667881).
    With nothing present it is the mean of what the heads say to zeros.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``alpha`` (M,), ``heads.m.w`` (d_m, classes), ``heads.m.b``

    Returns
    -------
    float (b, classes), log-probabilities
    """
    logs = np.stack([log_softmax(linear(x, p, f"heads.{m}")) for m, x in enumerate(masked(xs, modality_mask))], 1)
    alpha = np.broadcast_to(p["alpha"], logs.shape[:2])
    alpha = alpha if modality_mask is None else np.where(modality_mask, alpha, -1e30)
    terms = logs + log_softmax(alpha)[..., None]  # (b, M, classes)
    top = terms.max(1, keepdims=True)
    return np.log(np.exp(terms - top).sum(1)) + top[:, 0]


def late_product(xs: Vectors, p: Weights, modality_mask: ModalityMask = None) -> Float[ndarray, "batch classes"]:
    """Late fusion by product: Σₘ log p(y∣xₘ) − (M − 1) log p(y), normalized (Kittler et al. 1998).

    Exact where the modalities are independent given y. M counts those present; with none it is the prior.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``heads.m.w`` (d_m, classes), ``heads.m.b``, ``log_prior`` (classes,) fixed

    Returns
    -------
    float (b, classes), log-probabilities
    """
    logs = [log_softmax(linear(x, p, f"heads.{m}")) for m, x in enumerate(masked(xs, modality_mask))]
    count = (
        len(xs) if modality_mask is None else modality_mask.sum(1, keepdims=True)
    )  # prior counted once too often by each
    return log_softmax(sum(masked(logs, modality_mask)) - (count - 1) * p["log_prior"])


def gated_unit(xs: Vectors, p: Weights, modality_mask: ModalityMask = None) -> Float[ndarray, "batch width"]:
    """Gated multimodal unit (Arevalo et al. 2017, arXiv 1702.01992).

    hₘ = tanh(Wₘxₘ). Two modalities: z = σ(W_z[x₁; x₂]), z ⊙ h₁ + (1 − z) ⊙ h₂. More: Σₘ σ(W_zₘ[x₁; …; x_M]) ⊙ hₘ.
    An absent modality is zeros, so its hₘ is 0 and the gates see only the others.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``hidden.m.w`` (d_m, width), ``gates.m.w`` (Σd_m, width), one gate if M = 2

    Returns
    -------
    float (b, width) in (−1, 1) for two modalities
    """
    xs = masked(xs, modality_mask)
    joined = np.concatenate(xs, -1)  # each gate looks at everything
    h = [np.tanh(linear(x, p, f"hidden.{m}")) for m, x in enumerate(xs)]
    if len(xs) == 2:
        z = sigmoid(linear(joined, p, "gates.0"))
        return z * h[0] + (1 - z) * h[1]
    return sum(sigmoid(linear(joined, p, f"gates.{m}")) * h_m for m, h_m in enumerate(h))


def film(
    xs: list[Float[ndarray, "batch ..."]], p: Weights, modality_mask: ModalityMask = None, target: int = 0
) -> Float[ndarray, "batch *place width"]:
    """γ(c) ⊙ F + β(c), one γ and β per channel (Perez et al. 2018, arXiv 1709.07871).

    F = Wx of modality `target` at unit scale; c joins all others; γ = 1 + W_γc + b_γ. No learned scale stands before γ:
    the two would be one. Absent: x or c is zeros.

    Parameters
    ----------
    xs : list of float (b, d_m), `target` may be (b, …, d_m)
    p : ``feature.w`` (d_target, width), ``gamma.w`` (Σ others, width), ``gamma.b``, ``beta.w``, ``beta.b``

    Returns
    -------
    float (b, …, width)
    """
    xs = masked(xs, modality_mask)
    features = rms_norm(linear(xs.pop(target), p, "feature"))  # (b, …, width)
    c = np.concatenate(xs, -1)
    gamma, beta = 1 + linear(c, p, "gamma"), linear(c, p, "beta")
    middle = (len(c), *[1] * (features.ndim - 2), -1)  # the same γ at every position
    return gamma.reshape(middle) * features + beta.reshape(middle)
