"""Fewer bits, fewer weights, a smaller student: affine quantization, magnitude pruning, the distillation loss.

Quantization: Jacob et al. 2018, arXiv 1712.05877; Krishnamoorthi 2018, arXiv 1806.08342. Straight-through gradient:
Bengio et al. 2013, arXiv 1308.3432. Distillation: Hinton et al. 2015, arXiv 1503.02531.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int8, Integer
from torch import Tensor
from torch.nn import functional as F


def code_range(bits: int = 8) -> tuple[int, int]:
    """The least and the largest integer of so many bits: −128 and 127 for 8."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def affine_parameters(low: Any, high: Any, bits: int = 8, symmetric: bool = False) -> tuple[Tensor, Tensor]:
    """Scale s and zero point z, so that the codes of `bits` bits cover low to high; 0 always has an exact code.

    low, high: floats of one shape (one number for a whole tensor, or one per channel). Symmetric: z = 0, and the codes
    −q … q cover −m … m, with m the larger of |low| and |high|.
    """
    first, last = code_range(bits)
    low = torch.as_tensor(low).clamp(max=0)  # 0 must lie in the range
    high = torch.as_tensor(high).clamp(min=0)
    scale = torch.maximum(-low, high) / last if symmetric else (high - low) / (last - first)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))  # all zeros: any scale will do
    zero_point = torch.zeros_like(scale) if symmetric else torch.round(first - low / scale)
    return scale, zero_point


def quantize(x: Float[Tensor, "*shape"], scale: Any, zero_point: Any = 0, bits: int = 8) -> Int8[Tensor, "*shape"]:
    """Codes q = clip(round(x/s) + z), int8 (…); `scale` and `zero_point` broadcast against x."""
    first, last = code_range(bits)
    return (torch.round(x / scale) + zero_point).clamp(first, last).to(torch.int8)


def dequantize(codes: Int8[Tensor, "*shape"], scale: Any, zero_point: Any = 0) -> Float[Tensor, "*shape"]:
    """Numbers s (q − z) that the codes stand for."""
    dtype = scale.dtype if isinstance(scale, Tensor) else torch.get_default_dtype()
    return scale * (codes.to(dtype) - zero_point)


def fake_quantize(
    x: Float[Tensor, "*shape"], scale: Any, zero_point: Any = 0, bits: int = 8
) -> Float[Tensor, "*shape"]:
    """x rounded to what its codes stand for; the gradient goes straight through, and is 0 where x was clipped."""
    first, last = code_range(bits)
    codes = (torch.round(x / scale) + zero_point).clamp(first, last)
    rounded = scale * (codes - zero_point)
    inside = torch.clamp(x, (first - zero_point) * scale, (last - zero_point) * scale)
    return inside + (rounded - inside).detach()  # forward: rounded; backward: as `inside`


def keep_largest(weight: Float[Tensor, "*shape"], share: float) -> Bool[Tensor, "*shape"]:
    """False at the share of weights with the smallest magnitude (Han et al. 2015, arXiv 1506.02626)."""
    order = weight.detach().abs().flatten().argsort(stable=True)
    keep = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
    keep[order[: round(share * weight.numel())]] = False
    return keep.reshape(weight.shape)


def distillation_loss(
    student: Float[Tensor, "*batch classes"],
    teacher: Float[Tensor, "*batch classes"],
    labels: Integer[Tensor, "*batch"],
    temperature: float = 2.0,
    alpha: float = 0.9,
) -> Float[Tensor, ""]:
    """Mean of (1 − α) cross-entropy with the labels + α T² KL(teacher at T ‖ student at T).

    student, teacher: logits (b, C); the logarithms of known probabilities do as well, −∞ for 0. No gradient goes into
    the teacher. T² keeps the size of the gradient, which the temperature makes smaller by about T².
    """
    hard = F.cross_entropy(student, labels)
    p = F.softmax(teacher.detach() / temperature, dim=-1)
    log_q = F.log_softmax(student / temperature, dim=-1)
    soft = F.kl_div(log_q, p, reduction="batchmean")  # sum over classes, mean over samples; 0 log 0 = 0
    return (1 - alpha) * hard + alpha * temperature**2 * soft
