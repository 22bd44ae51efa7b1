"""Masks: which elements are real, and the operations that leave the others out.

``padding_mask`` (b, t) is True for real elements, ``modality_mask`` (b, M) is True for a modality that is there. Both
say what is kept, as Keras's own ``attention_mask`` does.

What a mask hides never matters, whatever it holds, even NaN; where it hides everything, the result is 0, never NaN.
"""

import math
from typing import Any

import keras
from jaxtyping import Bool, Float, Integer, Shaped
from keras import ops

Sequences = list[Float[Any, "batch _ _"]]  # one of each modality, in sorted order of their names
PaddingMasks = list[Bool[Any, "batch _"]]  # True = real
ModalityMask = Bool[Any, "batch modalities"] | None  # True = there; None: all are


def all_real(x: Shaped[Any, "batch time *features"]) -> Bool[Any, "batch time"]:
    """The padding mask of a sequence without padding, (b, t)."""
    return ops.ones(ops.shape(x)[:2], "bool")


def attention_mask(
    n: Any, m: Any, padding_mask: Bool[Any, "batch m"] | None = None, causal: bool = False, ndim: int = 3
) -> Bool[Any, "..."] | None:
    """Which of m keys each of n queries may attend to: bool, broadcastable to the scores (b, …, n, m); or None.

    Query i sees keys up to i + (m − n) where `causal`; a key that is padding (False in `padding_mask`) is hidden.
    """
    keep = ops.arange(m)[None, :] <= ops.arange(n)[:, None] + (m - n) if causal else None
    if padding_mask is not None:
        padding_mask = ops.convert_to_tensor(padding_mask)
        shape = tuple(padding_mask.shape)
        # Without this, reshaping would move keys from one sample to another. In a graph sizes may be unknown.
        wrong_width = isinstance(m, int) and shape[-1] not in (None, m)
        if keras.backend.standardize_dtype(padding_mask.dtype) != "bool" or len(shape) != 2 or wrong_width:
            raise ValueError(f"padding_mask: expected bool (batch, {m}), True = real; got {padding_mask.dtype} {shape}")
        real = ops.reshape(padding_mask, (-1, *[1] * (ndim - 2), m))
        keep = real if keep is None else ops.logical_and(keep, real)
    return keep


def segment_mask(segments: Integer[Any, "batch n"], prefix: bool = False) -> Bool[Any, "batch n n"]:
    """Which positions each position sees where several texts about one picture are in one sequence.

    Every position sees what is before it, of its own segment and of segment 0, which all share; never another text.
    With `prefix`, positions of segment 0 also see what is behind them in it (PaliGemma, arXiv 2407.07726).

    segments: int (b, n), 0 for the picture, 1, 2, … for the texts, −1 for padding. Returns bool (b, n, n), [i, j] True
    where i sees j.
    """
    query, key = segments[:, :, None], segments[:, None, :]
    position = ops.arange(ops.shape(segments)[1])
    causal = position[None, :] <= position[:, None]
    keep = ops.logical_and(causal, ops.logical_or(key == 0, key == query))
    return ops.logical_or(keep, ops.logical_and(key == 0, query == 0)) if prefix else keep


def masked_softmax(scores: Float[Any, "*rows keys"], keep: Bool[Any, "..."] | None = None) -> Float[Any, "*rows keys"]:
    """Softmax over the last axis among the kept entries; a row with none kept is all zeros."""
    if keep is None:
        return ops.softmax(scores, -1)
    scores = ops.where(keep, scores, -math.inf)
    top = ops.stop_gradient(ops.max(scores, -1, keepdims=True))
    e = ops.exp(scores - ops.where(ops.isfinite(top), top, 0.0))  # exp(−inf) = 0: masked entries vanish
    total = ops.sum(e, -1, keepdims=True)
    return e / ops.where(total > 0, total, 1.0)


def masked(
    xs: list[Float[Any, "batch ..."]], modality_mask: ModalityMask = None, fill: Any = 0
) -> list[Float[Any, "batch ..."]]:
    """The inputs (b, …) with zeros (or `fill`) where a modality is absent, whatever stood there, even NaN."""
    if modality_mask is None:
        return list(xs)
    return [
        ops.where(ops.reshape(modality_mask[:, m], (-1, *[1] * (len(x.shape) - 1))), x, fill) for m, x in enumerate(xs)
    ]


def real_steps(
    xs: Sequences, padding_masks: PaddingMasks, modality_mask: ModalityMask = None
) -> tuple[Sequences, PaddingMasks]:
    """Sequences with zeros at padded and absent steps, and masks that say the same; absent is all padding."""
    masks = [
        k if modality_mask is None else ops.logical_and(k, modality_mask[:, m, None])
        for m, k in enumerate(padding_masks)
    ]
    return [ops.where(k[..., None], x, 0) for x, k in zip(xs, masks, strict=True)], masks


def masked_mean(x: Float[Any, "batch time d"], mask: Shaped[Any, "batch time"]) -> Float[Any, "batch d"]:
    """Mean of x (b, t, d) over the real steps of mask (b, t); zeros where there is none. Padding may hold NaN."""
    mask = ops.cast(mask, "bool")  # ones and zeros do as well
    real = ops.where(mask[..., None], x, 0)  # (b, t, d)
    count = ops.sum(ops.cast(mask, x.dtype), 1, keepdims=True)  # (b, 1)
    return ops.sum(real, 1) / ops.maximum(count, 1)
