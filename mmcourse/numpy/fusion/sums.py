"""Fusion by joining, adding, gating and voting. See `mmcourse.numpy.fusion` for the conventions."""

import numpy as np

from mmcourse.numpy.attention import masked_softmax
from mmcourse.numpy.layers import sigmoid
from mmcourse.numpy.losses import log_softmax


def linear(x, p, name):
    """x (…, d) → x @ w + b, with ``p[name + ".w"]`` (d, width) and, where there is one, ``p[name + ".b"]`` (width,)."""
    return x @ p[f"{name}.w"] + p.get(f"{name}.b", 0)


def masked(xs, present=None, fill=0):
    """The inputs (b, …) with zeros (or `fill`) where a modality is absent, whatever stood there, even NaN.

    present : bool (b, M) or None for all there
    """
    if present is None:
        return list(xs)
    return [np.where(present[:, m].reshape(-1, *[1] * (x.ndim - 1)), x, fill) for m, x in enumerate(xs)]


def rms_norm(x, epsilon=1e-5):
    """x (…, d) divided by its root mean square: every modality arrives equally loud (Zhang & Sennrich 2019)."""
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon)


def concatenate(xs, p, present=None):
    """Early fusion: relu(W[x₁; x₂; …] + b), each x at unit scale (Baltrušaitis et al. 2019, arXiv 1705.09406).

    An absent modality is zeros.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``out.w`` (Σd_m, width), ``out.b``; present : bool (b, M)

    Returns
    -------
    float (b, width)
    """
    joined = np.concatenate([rms_norm(x) for x in masked(xs, present)], -1)  # (b, Σd_m)
    return np.maximum(linear(joined, p, "out"), 0)


def sum_gate(xs, p, present=None):
    """σ(W_g Σₘ fₘ(xₘ) + b_g) with fₘ(x) = Wₘx + bₘ: one map per modality, for their widths differ.

    It is called a gate in textbooks, but it multiplies nothing. An absent modality is left out of the sum.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``maps.m.w`` (d_m, width), ``maps.m.b``, ``gate.w`` (width, width), ``gate.b``

    Returns
    -------
    float (b, width) in (0, 1)
    """
    mapped = masked([linear(x, p, f"maps.{m}") for m, x in enumerate(masked(xs, present))], present)
    return sigmoid(linear(sum(mapped), p, "gate"))


def weighted_sum(xs, p, present=None):
    """Σₘ softmax(α)ₘ Wₘxₘ. The softmax goes over the modalities that are there.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``alpha`` (M,), ``maps.m.w`` (d_m, width)

    Returns
    -------
    float (b, width)
    """
    return _parts(xs, p, present).sum(1)


def shares(xs, p, present=None):
    """What each modality contributes to the weighted sum: its mean ‖softmax(α)ₘ Wₘxₘ‖, as a share, (M,).

    α alone says nothing: twice the W and half the weight is the same model.
    """
    sizes = np.linalg.norm(_parts(xs, p, present), axis=-1).mean(0)
    return sizes / sizes.sum()


def _parts(xs, p, present):
    mapped = np.stack([linear(x, p, f"maps.{m}") for m, x in enumerate(masked(xs, present))], 1)  # (b, M, width)
    weights = masked_softmax(np.broadcast_to(p["alpha"], mapped.shape[:2]), present)  # (b, M)
    return weights[..., None] * mapped


def late_mean(xs, p, present=None):
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
    logs = np.stack([log_softmax(linear(x, p, f"heads.{m}")) for m, x in enumerate(masked(xs, present))], 1)
    alpha = np.broadcast_to(p["alpha"], logs.shape[:2])
    alpha = alpha if present is None else np.where(present, alpha, -1e30)
    terms = logs + log_softmax(alpha)[..., None]  # (b, M, classes)
    top = terms.max(1, keepdims=True)
    return np.log(np.exp(terms - top).sum(1)) + top[:, 0]


def late_product(xs, p, present=None):
    """Late fusion by product: Σₘ log p(y∣xₘ) − (M − 1) log p(y), normalised (Kittler et al. 1998).

    Exact where the modalities are independent given y. M counts those present; with none it is the prior.

    Parameters
    ----------
    xs : list of float (b, d_m); p : ``heads.m.w`` (d_m, classes), ``heads.m.b``, ``log_prior`` (classes,) fixed

    Returns
    -------
    float (b, classes), log-probabilities
    """
    logs = [log_softmax(linear(x, p, f"heads.{m}")) for m, x in enumerate(masked(xs, present))]
    count = len(xs) if present is None else present.sum(1, keepdims=True)  # prior counted once too often by each
    return log_softmax(sum(masked(logs, present)) - (count - 1) * p["log_prior"])


def gated_unit(xs, p, present=None):
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
    xs = masked(xs, present)
    joined = np.concatenate(xs, -1)  # each gate looks at everything
    h = [np.tanh(linear(x, p, f"hidden.{m}")) for m, x in enumerate(xs)]
    if len(xs) == 2:
        z = sigmoid(linear(joined, p, "gates.0"))
        return z * h[0] + (1 - z) * h[1]
    return sum(sigmoid(linear(joined, p, f"gates.{m}")) * h_m for m, h_m in enumerate(h))


def film(xs, p, present=None, target=0):
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
    xs = masked(xs, present)
    features = rms_norm(linear(xs.pop(target), p, "feature"))  # (b, …, width)
    c = np.concatenate(xs, -1)
    gamma, beta = 1 + linear(c, p, "gamma"), linear(c, p, "beta")
    middle = (len(c), *[1] * (features.ndim - 2), -1)  # the same γ at every position
    return gamma.reshape(middle) * features + beta.reshape(middle)
