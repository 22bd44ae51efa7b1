"""Fewer bits, fewer weights, a smaller student: affine quantization, magnitude pruning, the distillation loss.

Quantization: Jacob et al. 2018, arXiv 1712.05877; Krishnamoorthi 2018, arXiv 1806.08342. Straight-through gradient:
Bengio et al. 2013, arXiv 1308.3432. Distillation: Hinton et al. 2015, arXiv 1503.02531.
"""

from typing import Any

from jaxtyping import Bool, Float, Integer
from keras import ops


def code_range(bits: int = 8) -> tuple[int, int]:
    """The least and the largest integer of so many bits: −128 and 127 for 8."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def affine_parameters(low: Any, high: Any, bits: int = 8, symmetric: bool = False) -> tuple[Any, Any]:
    """Scale s and zero point z, so that the codes of `bits` bits cover low to high; 0 always has an exact code.

    low, high: floats of one shape (one number for a whole tensor, or one per channel). Symmetric: z = 0, and the codes
    −q … q cover −m … m, with m the larger of |low| and |high|.
    """
    first, last = code_range(bits)
    low = ops.minimum(low, 0.0)  # 0 must lie in the range
    high = ops.maximum(high, 0.0)
    scale = ops.maximum(-low, high) / last if symmetric else (high - low) / (last - first)
    scale = ops.where(scale > 0, scale, ops.ones_like(scale))  # all zeros: any scale will do
    zero_point = ops.zeros_like(scale) if symmetric else ops.round(first - low / scale)
    return scale, zero_point


def quantize(x: Float[Any, "*shape"], scale: Any, zero_point: Any = 0, bits: int = 8) -> Integer[Any, "*shape"]:
    """Codes q = clip(round(x/s) + z), int8 (…); `scale` and `zero_point` broadcast against x."""
    first, last = code_range(bits)
    return ops.cast(ops.clip(ops.round(x / scale) + zero_point, first, last), "int8")


def dequantize(codes: Integer[Any, "*shape"], scale: Any, zero_point: Any = 0) -> Float[Any, "*shape"]:
    """Numbers s (q − z) that the codes stand for."""
    dtype = getattr(scale, "dtype", "float32")
    return scale * (ops.cast(codes, dtype) - zero_point)


def fake_quantize(x: Float[Any, "*shape"], scale: Any, zero_point: Any = 0, bits: int = 8) -> Float[Any, "*shape"]:
    """x rounded to what its codes stand for; the gradient goes straight through, and is 0 where x was clipped."""
    first, last = code_range(bits)
    codes = ops.clip(ops.round(x / scale) + zero_point, first, last)
    rounded = scale * (codes - zero_point)
    inside = ops.clip(x, (first - zero_point) * scale, (last - zero_point) * scale)
    return inside + ops.stop_gradient(rounded - inside)  # forward: rounded; backward: as `inside`


def keep_largest(weight: Float[Any, "*shape"], share: float) -> Bool[Any, "*shape"]:
    """False at the share of weights with the smallest magnitude (Han et al. 2015, arXiv 1506.02626)."""
    order = ops.argsort(ops.abs(ops.reshape(weight, (-1,))))
    place = ops.argsort(order)  # the rank of each weight, 0 for the smallest
    removed = round(share * int(order.shape[0]))
    return ops.reshape(place >= removed, weight.shape)


def distillation_loss(
    student: Float[Any, "*batch classes"],
    teacher: Float[Any, "*batch classes"],
    labels: Integer[Any, "*batch"],
    temperature: float = 2.0,
    alpha: float = 0.9,
) -> Float[Any, ""]:
    """Mean of (1 − α) cross-entropy with the labels + α T² KL(teacher at T ‖ student at T).

    student, teacher: logits (b, C); the logarithms of known probabilities do as well, −∞ for 0. No gradient goes into
    the teacher. T² keeps the size of the gradient, which the temperature makes smaller by about T².
    """
    targets = ops.one_hot(labels, student.shape[-1], dtype=student.dtype)
    right = ops.sum(ops.log_softmax(student, axis=-1) * targets, axis=-1)  # (b,)
    teacher = ops.stop_gradient(ops.cast(teacher, student.dtype))
    log_p = ops.log_softmax(teacher / temperature, axis=-1)
    log_q = ops.log_softmax(student / temperature, axis=-1)
    p = ops.exp(log_p)
    known = ops.where(p > 0, log_p, ops.zeros_like(log_p))
    terms = ops.sum(p * (known - log_q), axis=-1)  # 0 log 0 = 0
    return ops.mean(-(1 - alpha) * right + alpha * temperature**2 * terms)
