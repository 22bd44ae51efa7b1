"""Masks: which elements are real, and the operations that leave the others out.

``padding_mask`` (b, t) is True for real elements, ``modality_mask`` (b, M) is True for a modality that is there. The
first is the opposite of PyTorch's own ``key_padding_mask``.

What a mask hides never matters, whatever it holds, even NaN; where it hides everything, the result is 0, never NaN.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Integer, Shaped
from torch import Tensor

Sequences = list[Float[Tensor, "batch _ _"]]  # one of each modality, in sorted order of their names
PaddingMasks = list[Bool[Tensor, "batch _"]]  # True = real
ModalityMask = Bool[Tensor, "batch modalities"] | None  # True = there; None: all are


def all_real(x: Shaped[Tensor, "batch time *features"]) -> Bool[Tensor, "batch time"]:
    """The padding mask of a sequence without padding, (b, t)."""
    return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)


def attention_mask(
    n: int,
    m: int,
    padding_mask: Bool[Tensor, "batch m"] | None = None,
    causal: bool = False,
    ndim: int = 3,
    device: torch.device | None = None,
) -> Bool[Tensor, "..."] | None:
    """Which of m keys each of n queries may attend to: bool, broadcastable to the scores (b, …, n, m); or None.

    Query i sees keys up to i + (m − n) where `causal`; a key that is padding (False in `padding_mask`) is hidden.
    """
    keep = torch.ones(n, m, dtype=torch.bool, device=device).tril(m - n) if causal else None
    if padding_mask is not None:
        if padding_mask.dtype != torch.bool or padding_mask.ndim != 2 or padding_mask.shape[1] != m:
            raise ValueError(
                f"padding_mask: expected bool (batch, {m}), True = real; "
                f"got {padding_mask.dtype} {tuple(padding_mask.shape)}"
            )
        real = padding_mask.reshape(len(padding_mask), *[1] * (ndim - 2), m)
        keep = real if keep is None else keep & real
    return keep


def segment_mask(segments: Integer[Tensor, "batch n"], prefix: bool = False) -> Bool[Tensor, "batch n n"]:
    """Which positions each position sees where several texts about one picture are in one sequence.

    Every position sees what is before it, of its own segment and of segment 0, which all share; never another text.
    With `prefix`, positions of segment 0 also see what is behind them in it (PaliGemma, arXiv 2407.07726).

    segments: int (b, n), 0 for the picture, 1, 2, … for the texts, −1 for padding. Returns bool (b, n, n), [i, j] True
    where i sees j.
    """
    query, key = segments[:, :, None], segments[:, None, :]
    n = segments.shape[1]
    causal = torch.ones(n, n, dtype=torch.bool, device=segments.device).tril()
    keep = causal & ((key == 0) | (key == query))
    return keep | ((key == 0) & (query == 0)) if prefix else keep


def masked_softmax(
    scores: Float[Tensor, "*rows keys"], keep: Bool[Tensor, "..."] | None = None
) -> Float[Tensor, "*rows keys"]:
    """Softmax over the last axis among the kept entries; a row with none kept is all zeros."""
    if keep is None:
        return scores.softmax(-1)
    # −inf everywhere in a row would be NaN on the way, at which detect_anomaly stops: the least number, then erase
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1).masked_fill(~keep, 0)


def masked(
    xs: list[Float[Tensor, "batch ..."]], modality_mask: ModalityMask = None, fill: Any = 0
) -> list[Float[Tensor, "batch ..."]]:
    """The inputs (b, …) with zeros (or `fill`) where a modality is absent, whatever stood there, even NaN."""
    if modality_mask is None:
        return list(xs)
    return [x.masked_fill(~modality_mask[:, m].view(-1, *[1] * (x.ndim - 1)), fill) for m, x in enumerate(xs)]


def real_steps(
    xs: Sequences, padding_masks: PaddingMasks, modality_mask: ModalityMask = None
) -> tuple[Sequences, PaddingMasks]:
    """Sequences with zeros at padded and absent steps, and masks that say the same; absent is all padding."""
    masks = padding_masks
    if modality_mask is not None:
        masks = [mask & modality_mask[:, m, None] for m, mask in enumerate(padding_masks)]
    return [x.masked_fill(~k[..., None], 0) for x, k in zip(xs, masks, strict=True)], masks


def masked_mean(x: Float[Tensor, "batch time d"], mask: Shaped[Tensor, "batch time"]) -> Float[Tensor, "batch d"]:
    """Mean of x (b, t, d) over the real steps of mask (b, t); zeros where there is none. Padding may hold NaN."""
    mask = mask.bool()  # ones and zeros do as well
    real = x.masked_fill(~mask[..., None], 0)  # (b, t, d)
    count = mask.sum(1, keepdim=True)  # (b, 1)
    return real.sum(1) / count.clamp(min=1)
