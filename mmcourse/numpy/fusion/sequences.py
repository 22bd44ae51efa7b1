"""Fusion of sequences by attention. See `mmcourse.numpy.fusion` for the conventions."""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from mmcourse.numpy.attention import scaled_dot_product_attention
from mmcourse.numpy.fusion.sums import Weights, linear, rms_norm
from mmcourse.numpy.masks import ModalityMask, PaddingMasks, Sequences, masked_mean, real_steps


def cross_attention(
    target: Float[ndarray, "batch n d_target"],
    context: Float[ndarray, "batch m d_context"],
    p: Weights,
    padding_mask: Bool[ndarray, "batch m"] | None = None,
    name: str = "",
) -> Float[ndarray, "batch n width"]:
    """α ← β: softmax(Q_α K_βᵀ/√d) V_β (MulT: Tsai et al. 2019, arXiv 1906.00295).

    The queries come from the target α, keys and values from the context β; the result has the target's length. There is
    no causal mask: time in α and time in β need not correspond.

    Parameters
    ----------
    target : float (b, t_α, d_α); context : float (b, t_β, d_β); padding_mask : bool (b, t_β) of the context
    p : ``q_proj.w`` (d_α, width), ``k_proj.w``, ``v_proj.w`` (d_β, width), each after `name`

    Returns
    -------
    float (b, t_α, width)
    """
    q, k, v = (linear(x, p, name + y) for x, y in ((target, "q_proj"), (context, "k_proj"), (context, "v_proj")))
    return scaled_dot_product_attention(q, k, v, padding_mask)[0]


def cross_modal(
    xs: Sequences, p: Weights, padding_masks: PaddingMasks, modality_mask: ModalityMask = None
) -> Float[ndarray, "batch width"]:
    """Every modality asks every other: relu(W[s₁; …; s_M] + b), sₘ = mean over its real steps of Wₘxₘ + Σₙ (m ← n).

    An absent modality has no step: it answers nothing, and its own s is 0.

    Parameters
    ----------
    xs : list of float (b, t_m, d_m); padding_masks : list of bool (b, t_m)
    p : ``maps.m.w`` (d_m, width), ``maps.m.b``, ``pairs.i.q_proj.w`` …, i counting the pairs m ≠ n by m, then by n

    Returns
    -------
    float (b, width)
    """
    xs, masks = real_steps(xs, padding_masks, modality_mask)
    summaries, i = [], 0
    for m, x in enumerate(xs):
        steps = linear(x, p, f"maps.{m}")  # (b, t_m, width)
        for n in (n for n in range(len(xs)) if n != m):
            steps = steps + cross_attention(x, xs[n], p, masks[n], f"pairs.{i}.")
            i += 1
        summaries.append(masked_mean(steps, masks[m]))
    return np.maximum(linear(np.concatenate(summaries, -1), p, "out"), 0)


def bottleneck_layer(
    streams: Sequences, z: Float[ndarray, "batch tokens width"], masks: PaddingMasks, p: Weights, name: str
) -> tuple[Sequences, Float[ndarray, "batch tokens width"]]:
    """One layer: each modality attends to itself and to z alone; the new z is the mean of what each made of it.

    Parameters
    ----------
    streams : list of float (b, t_m, width); z : float (b, B, width); masks : list of bool (b, t_m)

    Returns
    -------
    new streams, new z. Modalities that are absent have no say in z.
    """
    after, made = [], []
    for m, (x, mask) in enumerate(zip(streams, masks, strict=True)):
        s = np.concatenate([x, z], 1)  # (b, t_m + B, width)
        keep = np.concatenate([mask, np.ones(z.shape[:2], bool)], 1)
        s = s + cross_attention(rms_norm(s), rms_norm(s), p, keep, f"{name}.{m}.")
        after.append(s[:, : x.shape[1]])
        made.append(s[:, x.shape[1] :])
    there = np.stack([mask.any(1) for mask in masks], 1)[:, :, None, None]  # (b, M, 1, 1)
    mean = (np.stack(made, 1) * there).sum(1) / np.maximum(there.sum(1), 1)
    return after, np.where(there.any(1), mean, z)


def bottleneck(
    xs: Sequences, p: Weights, padding_masks: PaddingMasks, modality_mask: ModalityMask = None
) -> Float[ndarray, "batch width"]:
    """A few shared tokens z are the only way between modalities (Nagrani et al. 2021, arXiv 2107.00135).

    Simplified: one head, no feed-forward part. relu(W·mean(z) + b) after the layers.

    Parameters
    ----------
    xs : list of float (b, t_m, d_m); padding_masks : list of bool (b, t_m)
    p : ``tokens`` (B, width), ``maps.m.w`` (d_m, width), ``maps.m.b``, ``layers.l.m.q_proj.w`` …,
        (width, width), ``out``

    Returns
    -------
    float (b, width)
    """
    xs, masks = real_steps(xs, padding_masks, modality_mask)
    streams = [linear(x, p, f"maps.{m}") for m, x in enumerate(xs)]
    z = np.broadcast_to(p["tokens"], (len(xs[0]), *p["tokens"].shape))
    layer = 0
    while f"layers.{layer}.0.q_proj.w" in p:
        streams, z = bottleneck_layer(streams, z, masks, p, f"layers.{layer}")
        layer += 1
    return np.maximum(linear(z.mean(1), p, "out"), 0)
