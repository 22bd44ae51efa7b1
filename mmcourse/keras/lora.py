"""LoRA: a frozen matrix plus a trained product of two thin ones (Hu et al. 2021, arXiv 2106.09685)."""

from typing import Any

from jaxtyping import Float
from keras import ops


def lora_linear(
    x: Float[Any, "*rows d_in"],
    weight: Float[Any, "d_out d_in"],
    lora_a: Float[Any, "rank d_in"],
    lora_b: Float[Any, "d_out rank"],
    alpha: float,
) -> Float[Any, "*rows d_out"]:
    """y = x Wᵀ + (α/r) (x Aᵀ) Bᵀ. The scale α/r keeps the step's size when the rank r changes.

    x: (…, d_in); weight: (d_out, d_in), frozen; lora_a: (r, d_in), random at first; lora_b: (d_out, r), 0 at first.
    Returns (…, d_out).
    """
    scale = alpha / lora_a.shape[0]
    hidden = ops.matmul(x, ops.transpose(lora_a))  # (…, r)
    return ops.matmul(x, ops.transpose(weight)) + scale * ops.matmul(hidden, ops.transpose(lora_b))


def merge_lora(
    weight: Float[Any, "d_out d_in"],
    lora_a: Float[Any, "rank d_in"],
    lora_b: Float[Any, "d_out rank"],
    alpha: float,
) -> Float[Any, "d_out d_in"]:
    """W + (α/r) B A: one matrix that does the same, at no cost. A new tensor; W stays as it is."""
    return weight + alpha / lora_a.shape[0] * ops.matmul(lora_b, lora_a)
