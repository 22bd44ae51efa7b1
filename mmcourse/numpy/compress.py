"""Fewer bits, fewer weights, a smaller student: affine quantization, magnitude pruning, the distillation loss.

Quantization: Jacob et al. 2018, arXiv 1712.05877; Krishnamoorthi 2018, arXiv 1806.08342. Straight-through gradient:
Bengio et al. 2013, arXiv 1308.3432. Distillation: Hinton et al. 2015, arXiv 1503.02531.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from mmcourse.numpy.losses import log_softmax


def code_range(bits: int = 8) -> tuple[int, int]:
    """The least and the largest integer of so many bits: −128 and 127 for 8."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def affine_parameters(low: Any, high: Any, bits: int = 8, symmetric: bool = False) -> tuple[Any, Any]:
    """Scale s and zero point z, so that the codes of `bits` bits cover low to high; 0 always has an exact code.

    low, high: float arrays of one shape (one number for a whole tensor, or one per channel). Symmetric: z = 0, and
    the codes −q … q cover −m … m, with m the larger of |low| and |high|.
    """
    first, last = code_range(bits)
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)  # 0 must lie in the range
    scale = np.maximum(-low, high) / last if symmetric else (high - low) / (last - first)
    scale = np.where(scale > 0, scale, 1.0)  # all zeros: any scale will do
    zero_point = np.zeros_like(scale) if symmetric else np.round(first - low / scale)
    return scale, zero_point


def quantize(x: Float[ndarray, "*shape"], scale: Any, zero_point: Any = 0, bits: int = 8) -> Integer[ndarray, "*shape"]:
    """Codes q = clip(round(x/s) + z), int8 (…); `scale` and `zero_point` broadcast against x."""
    first, last = code_range(bits)
    return np.clip(np.round(x / scale) + zero_point, first, last).astype(np.int8)


def dequantize(codes: Integer[ndarray, "*shape"], scale: Any, zero_point: Any = 0) -> Float[ndarray, "*shape"]:
    """Numbers s (q − z) that the codes stand for."""
    return scale * (codes.astype(np.float64) - zero_point)


def fake_quantize(x: Float[ndarray, "*shape"], scale: Any, zero_point: Any = 0, bits: int = 8) -> Any:
    """x rounded to what its codes stand for, still as floats: what quantization does to a network, in training."""
    return dequantize(quantize(x, scale, zero_point, bits), scale, zero_point)


def fake_quantize_backward(dy: Any, x: Any, scale: Any, zero_point: Any = 0, bits: int = 8) -> Any:
    """The straight-through gradient: rounding counts as the identity; where x was clipped it is 0."""
    first, last = code_range(bits)
    inside = (x >= (first - zero_point) * scale) & (x <= (last - zero_point) * scale)
    return dy * inside


def keep_largest(weight: Float[ndarray, "*shape"], share: float) -> Bool[ndarray, "*shape"]:
    """False at the share of weights with the smallest magnitude (Han et al. 2015, arXiv 1506.02626)."""
    order = np.argsort(np.abs(weight).ravel(), kind="stable")
    keep = np.ones(weight.size, bool)
    keep[order[: round(share * weight.size)]] = False
    return keep.reshape(weight.shape)


def distillation_loss(
    student: Float[ndarray, "*batch classes"],
    teacher: Float[ndarray, "*batch classes"],
    labels: Integer[ndarray, "*batch"],
    temperature: float = 2.0,
    alpha: float = 0.9,
) -> Any:
    """Mean of (1 − α) cross-entropy with the labels + α T² KL(teacher at T ‖ student at T).

    student, teacher: logits (b, C); the logarithms of known probabilities do as well, −∞ for 0. T² keeps the size of
    the gradient, which the temperature makes smaller by about T².
    """
    right = log_softmax(student)[np.arange(len(labels)), labels]  # (b,)
    log_p = log_softmax(teacher / temperature)
    log_q = log_softmax(student / temperature)
    p = np.exp(log_p)
    terms = np.where(p > 0, p * (np.where(p > 0, log_p, 0.0) - log_q), 0.0)  # 0 log 0 = 0
    return np.mean(-(1 - alpha) * right + alpha * temperature**2 * terms.sum(-1))
