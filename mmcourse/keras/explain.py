"""Explanations of one answer in Keras: saliency, integrated gradients, Grad-CAM, attention rollout, Shapley values.

Gradients come from TensorFlow's `GradientTape`. A `function` maps a batch to one number per sample, the score that is
explained: the logit of a class. Pictures have their channels last.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

from jaxtyping import Float
from keras import ops


def saliency(function: Callable[[Any], Any], x: Float[Any, "batch ..."]) -> Float[Any, "batch ..."]:
    """∂ score / ∂ x of each sample (Simonyan et al. 2013, arXiv 1312.6034). Its size is usually shown, not its sign."""
    import tensorflow as tf

    x = ops.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = ops.sum(function(x))
    return tape.gradient(score, x)


def integrated_gradients(
    function: Callable[[Any], Any],
    x: Float[Any, "batch ..."],
    baseline: Float[Any, "batch ..."],
    steps: int = 32,
) -> Float[Any, "batch ..."]:
    """(x − x') times the mean gradient on the straight way from x' to x (Sundararajan et al. 2017, arXiv 1703.01365).

    Completeness: the sum over a sample is F(x) − F(x'), up to the error of the sum that stands for the integral. Steps
    are taken in the middle of equal parts (the midpoint rule).
    """
    x, baseline = ops.convert_to_tensor(x), ops.convert_to_tensor(baseline)
    total = ops.zeros_like(x)
    for k in range(steps):
        share = (k + 0.5) / steps
        total = total + saliency(function, baseline + share * (x - baseline))
    return (x - baseline) * total / steps


def grad_cam(
    activations: Float[Any, "batch height width channels"],
    gradients: Float[Any, "batch height width channels"],
    relu: bool = True,
) -> Float[Any, "batch height width"]:
    """L = ReLU(Σ_k α_k A^k), with α_k the mean of ∂y/∂A^k over all places (Selvaraju et al. 2017, arXiv 1610.02391).

    activations, gradients : float (b, h, w, k), channels of one layer and the gradient of one class's logit.
    """
    weights = ops.mean(gradients, axis=(1, 2), keepdims=True)  # (b, 1, 1, k)
    heat = ops.sum(weights * activations, axis=-1)
    return ops.relu(heat) if relu else heat


def attention_rollout(attention: Float[Any, "layers batch n n"]) -> Float[Any, "batch n n"]:
    """Attention through all layers: the product of ½(A + I), the last layer first (Abnar and Zuidema 2020, 2005.00928).

    attention : float (layers, b, n, n), mean over heads, each row sums to 1. Returns (b, n, n), each row sums to 1.
    """
    mixed = 0.5 * (attention + ops.eye(attention.shape[-1], dtype=attention.dtype))
    rollout = mixed[0]
    for layer in range(1, attention.shape[0]):
        rollout = ops.matmul(mixed[layer], rollout)
    return rollout


def shapley(values: Float[Any, "coalitions ..."]) -> Float[Any, "players ..."]:
    """Shapley values of M players, exact: each one's contribution, averaged over all orders of arrival (Shapley 1953).

    values : float (2^M, …); number i is the value of the coalition in which player m is, if bit m of i is set.
    Returns (M, …), whose sum is v(all) − v(nobody).
    """
    weights = ops.convert_to_tensor(_shapley_weights(values.shape[0]), dtype=values.dtype)
    return ops.tensordot(weights, values, axes=1)


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
