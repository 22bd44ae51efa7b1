"""LoRA: a frozen matrix plus a trained product of two thin ones (Hu et al. 2021, arXiv 2106.09685)."""

from jaxtyping import Float
from numpy import ndarray


def lora_linear(
    x: Float[ndarray, "*rows d_in"],
    weight: Float[ndarray, "d_out d_in"],
    lora_a: Float[ndarray, "rank d_in"],
    lora_b: Float[ndarray, "d_out rank"],
    alpha: float,
) -> tuple[Float[ndarray, "*rows d_out"], tuple]:
    """y = x Wᵀ + (α/r) (x Aᵀ) Bᵀ. The scale α/r keeps the step's size when the rank r changes.

    Training begins with B = 0, so that nothing changes at first, and A random, so that B has a gradient.

    Parameters
    ----------
    x : float (…, d_in)
    weight : float (d_out, d_in), frozen
    lora_a, lora_b : float (r, d_in), (d_out, r), trained
    alpha : α

    Returns
    -------
    y : float (…, d_out); cache
    """
    scale = alpha / len(lora_a)
    hidden = x @ lora_a.T  # (…, r)
    return x @ weight.T + scale * hidden @ lora_b.T, (x, weight, lora_a, lora_b, hidden, scale)


def lora_linear_backward(dy: Float[ndarray, "*rows d_out"], cache: tuple) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Gradients of x, W, A and B. Where B is 0, that of A is 0 too, and only B moves at first."""
    x, weight, lora_a, lora_b, hidden, scale = cache
    flat_x, flat_hidden, flat_dy = (array.reshape(-1, array.shape[-1]) for array in (x, hidden, dy))
    dhidden = scale * dy @ lora_b  # (…, r)
    dx = dy @ weight + dhidden @ lora_a
    dlora_a = dhidden.reshape(-1, dhidden.shape[-1]).T @ flat_x
    dlora_b = scale * flat_dy.T @ flat_hidden
    return dx, flat_dy.T @ flat_x, dlora_a, dlora_b


def merge_lora(
    weight: Float[ndarray, "d_out d_in"],
    lora_a: Float[ndarray, "rank d_in"],
    lora_b: Float[ndarray, "d_out rank"],
    alpha: float,
) -> Float[ndarray, "d_out d_in"]:
    """W + (α/r) B A: one matrix that does the same, at no cost. A new array; W stays as it is."""
    return weight + alpha / len(lora_a) * lora_b @ lora_a
