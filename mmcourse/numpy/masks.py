"""Masks: which elements are real, and the operations that leave the others out.

``padding_mask`` (b, t) is True for real elements, ``modality_mask`` (b, M) is True for a modality that is there.

What a mask hides never matters, whatever it holds, even NaN; where it hides everything, the result is 0, never NaN.
"""

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from numpy import ndarray

Sequences = list[Float[ndarray, "batch _ _"]]  # one of each modality, in sorted order of their names
PaddingMasks = list[Bool[ndarray, "batch _"]]  # True = real
ModalityMask = Bool[ndarray, "batch modalities"] | None  # True = there; None: all are


def all_real(x: Shaped[ndarray, "batch time *features"]) -> Bool[ndarray, "batch time"]:
    """The padding mask of a sequence without padding, (b, t)."""
    return np.ones(x.shape[:2], dtype=bool)


def attention_mask(
    n: int, m: int, padding_mask: Bool[ndarray, "batch m"] | None = None, causal: bool = False, ndim: int = 3
) -> Bool[ndarray, "..."] | None:
    """Which of m keys each of n queries may attend to.

    Parameters
    ----------
    padding_mask : bool (b, m) or None
        True = real key.
    causal : bool
        Query i sees keys up to i + (m − n): the last query sees every key, so that a cache of past keys just works.
    ndim : int
        Number of axes of the scores, (b, …, n, m).

    Returns
    -------
    bool array that broadcasts to the scores, or None when all is allowed.
    """
    keep = np.tri(n, m, m - n, dtype=bool) if causal else None
    if padding_mask is not None:
        padding_mask = np.asarray(padding_mask)
        if padding_mask.dtype != bool or padding_mask.ndim != 2 or padding_mask.shape[1] != m:
            raise ValueError(
                f"padding_mask: expected bool (batch, {m}), True = real; got {padding_mask.dtype} {padding_mask.shape}"
            )
        real = padding_mask.reshape(len(padding_mask), *[1] * (ndim - 2), m)
        keep = real if keep is None else keep & real
    return keep


def segment_mask(segments: Integer[ndarray, "batch n"], prefix: bool = False) -> Bool[ndarray, "batch n n"]:
    """Which positions each position sees where several texts about one picture are in one sequence.

    Every position sees what is before it, of its own segment and of segment 0, which all share; never another text.

    Parameters
    ----------
    segments : int (b, n), 0 for the picture, 1, 2, … for the texts, −1 for padding
    prefix : whether positions of segment 0 also see what is behind them in segment 0 (PaliGemma, arXiv 2407.07726)

    Returns
    -------
    keep : bool (b, n, n), [i, j] True where i sees j
    """
    query, key = segments[:, :, None], segments[:, None, :]
    causal = np.tri(segments.shape[1], dtype=bool)
    keep = causal & ((key == 0) | (key == query))
    return keep | ((key == 0) & (query == 0)) if prefix else keep


def masked_softmax(
    scores: Float[ndarray, "*rows keys"], keep: Bool[ndarray, "..."] | None = None
) -> Float[ndarray, "*rows keys"]:
    """Softmax over the last axis among the kept entries; a row with none kept is all zeros."""
    if keep is not None:
        scores = np.where(keep, scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(np.isfinite(top), top, 0))  # exp(−inf) = 0: masked entries vanish
    total = e.sum(-1, keepdims=True)
    return e / np.where(total > 0, total, 1)


def masked_softmax_backward(
    dweights: Float[ndarray, "*rows keys"], weights: Float[ndarray, "*rows keys"]
) -> Float[ndarray, "*rows keys"]:
    """Gradient to the scores: w ⊙ (dw − Σ dw ⊙ w). Masked entries have w = 0, so they get none."""
    return weights * (dweights - (dweights * weights).sum(-1, keepdims=True))


def masked(
    xs: list[Float[ndarray, "batch ..."]], modality_mask: ModalityMask = None, fill: float | ndarray = 0
) -> list[Float[ndarray, "batch ..."]]:
    """The inputs (b, …) with zeros (or `fill`) where a modality is absent, whatever stood there, even NaN.

    modality_mask : bool (b, M) or None for all there
    """
    if modality_mask is None:
        return list(xs)
    return [np.where(modality_mask[:, m].reshape(-1, *[1] * (x.ndim - 1)), x, fill) for m, x in enumerate(xs)]


def real_steps(
    xs: Sequences, padding_masks: PaddingMasks, modality_mask: ModalityMask = None
) -> tuple[Sequences, PaddingMasks]:
    """Sequences with zeros at padded and absent steps, and masks that say the same; an absent modality is all padding.

    Parameters
    ----------
    xs : list of float (b, t_m, d_m); padding_masks : list of bool (b, t_m), True = real; modality_mask : bool (b, M)
    """
    masks = padding_masks
    if modality_mask is not None:
        masks = [mask & modality_mask[:, m, None] for m, mask in enumerate(padding_masks)]
    return [np.where(k[..., None], x, 0) for x, k in zip(xs, masks, strict=True)], masks


def masked_mean(x: Float[ndarray, "batch time d"], mask: Shaped[ndarray, "batch time"]) -> Float[ndarray, "batch d"]:
    """Mean of x (b, t, d) over the real steps of mask (b, t); zeros where there is none. Padding counts for nothing."""
    mask = mask.astype(bool)  # ones and zeros do as well
    real = np.where(mask[..., None], x, 0)  # (b, t, d); multiplying by the mask would keep NaN
    count = mask.sum(1, keepdims=True)  # (b, 1)
    return real.sum(1) / np.maximum(count, 1)
