"""Explanations of one answer in PyTorch: saliency, integrated gradients, Grad-CAM, attention rollout, Shapley values.

A `function` maps a batch to one number per sample, the score that is explained: the logit of a class, not its
probability, whose gradient vanishes where the model is sure. The model is in `eval()` mode: with batch normalization in
training mode, the samples of a batch would mix.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import torch
from jaxtyping import Float
from torch import Tensor, nn


def saliency(function: Callable[[Tensor], Tensor], x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
    """∂ score / ∂ x of each sample (Simonyan et al. 2013, arXiv 1312.6034). Its size is usually shown, not its sign."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x).sum(), x)
    return gradient


def integrated_gradients(
    function: Callable[[Tensor], Tensor],
    x: Float[Tensor, "batch ..."],
    baseline: Float[Tensor, "batch ..."],
    steps: int = 32,
) -> Float[Tensor, "batch ..."]:
    """(x − x') times the mean gradient on the straight way from x' to x (Sundararajan et al. 2017, arXiv 1703.01365).

    Completeness: the sum over a sample is F(x) − F(x'), up to the error of the sum that stands for the integral. Steps
    are taken in the middle of equal parts (the midpoint rule).

    Parameters
    ----------
    function : float (b, …) → float (b,)
    x, baseline : float (b, …), the input and what stands for "nothing there"
    steps : how many points on the way
    """
    total = torch.zeros_like(x)
    for k in range(steps):
        share = (k + 0.5) / steps
        total = total + saliency(function, baseline + share * (x - baseline))
    return (x - baseline) * total / steps


def grad_cam(
    activations: Float[Tensor, "batch channels height width"],
    gradients: Float[Tensor, "batch channels height width"],
    relu: bool = True,
) -> Float[Tensor, "batch height width"]:
    """L = ReLU(Σ_k α_k A^k), with α_k the mean of ∂y/∂A^k over all places (Selvaraju et al. 2017, arXiv 1610.02391).

    Parameters
    ----------
    activations, gradients : float (b, k, h, w), as `layer_gradients` gives them
    relu : without it, places that speak against the class are negative; captum's `LayerGradCam` needs
        `relu_attributions=True` to have it

    Returns
    -------
    float (b, h, w), not scaled: an all-zero map stays all zero, where a division by its largest value would give NaN
    """
    weights = gradients.mean(dim=(2, 3), keepdim=True)  # (b, k, 1, 1)
    heat = (weights * activations).sum(dim=1)
    return heat.relu() if relu else heat


def layer_gradients(
    function: Callable[[Tensor], Tensor], layer: nn.Module, x: Float[Tensor, "batch ..."]
) -> tuple[Tensor, Tensor]:
    """What a layer of the model says, and the gradient of the score with respect to it: two tensors of one shape.

    Raises
    ------
    RuntimeError
        The score does not depend on this layer.
    """
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()  # an in-place ReLU behind the layer would otherwise change what was kept

    handle = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            score = function(x.detach().requires_grad_()).sum()
    finally:
        handle.remove()
    if not kept:
        raise RuntimeError("layer: was not called; is it a part of the model that `function` uses?")
    (gradients,) = torch.autograd.grad(score, kept[-1])
    return kept[-1].detach(), gradients


def attention_rollout(attention: Float[Tensor, "layers batch n n"]) -> Float[Tensor, "batch n n"]:
    """Attention through all layers: the product of ½(A + I), the last layer first (Abnar and Zuidema 2020, 2005.00928).

    The ½ I stands for the residual connection. It takes no account of what the values are.

    attention : float (layers, b, n, n), mean over heads, each row sums to 1. Returns (b, n, n), each row sums to 1.
    """
    mixed = 0.5 * (attention + torch.eye(attention.shape[-1], dtype=attention.dtype, device=attention.device))
    rollout = mixed[0]
    for layer in mixed[1:]:
        rollout = layer @ rollout
    return rollout


def shapley(values: Float[Tensor, "coalitions ..."]) -> Float[Tensor, "players ..."]:
    """Shapley values of M players, exact: each one's contribution, averaged over all orders of arrival (Shapley 1953).

    values : float (2^M, …); number i is the value of the coalition in which player m is, if bit m of i is set.
    Returns (M, …), whose sum is v(all) − v(nobody).
    """
    matrix = torch.tensor(_shapley_weights(len(values)), dtype=values.dtype, device=values.device)
    return torch.tensordot(matrix, values, dims=1)


def _shapley_weights(coalitions: int) -> list[list[float]]:
    """φ = weights · v: row m adds the coalitions with player m and subtracts those without, (M, 2^M)."""
    players = coalitions.bit_length() - 1
    if coalitions < 2 or coalitions != 2**players:
        raise ValueError(f"values: expected one for each of 2, 4, 8, … coalitions, got {coalitions}")
    rows = []
    for player in range(players):
        row = []
        for coalition in range(coalitions):
            others = (coalition & ~(1 << player)).bit_count()
            sign = 1 if coalition >> player & 1 else -1
            row.append(sign / (players * comb(players - 1, others)))
        rows.append(row)
    return rows
