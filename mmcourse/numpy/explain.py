"""Explanations of one answer: integrated gradients, Grad-CAM, attention rollout, Shapley values.

An explanation says what *this model* did with *this input*. It does not say what the world is like, nor what would
happen if something in the world were changed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float


def integrated_gradients(
    gradient: Callable[[Any], Any],
    x: Float[np.ndarray, "batch ..."],
    baseline: Float[np.ndarray, "batch ..."],
    steps: int = 32,
) -> Float[np.ndarray, "batch ..."]:
    """(x − x') times the mean gradient on the straight way from x' to x (Sundararajan et al. 2017, arXiv 1703.01365).

    Completeness: the sum over a sample is F(x) − F(x'), up to the error of the sum that stands for the integral. Steps
    are taken in the middle of equal parts (the midpoint rule).

    Parameters
    ----------
    gradient : float (b, …) → float (b, …), the gradient of each sample's output with respect to that sample
    x, baseline : float (b, …), the input and what stands for "nothing there"
    steps : how many points on the way

    Returns
    -------
    float (b, …), how much each number of x contributes
    """
    total = np.zeros_like(x)
    for k in range(steps):
        share = (k + 0.5) / steps
        total = total + gradient(baseline + share * (x - baseline))
    return (x - baseline) * total / steps


def grad_cam(
    activations: Float[np.ndarray, "batch channels height width"],
    gradients: Float[np.ndarray, "batch channels height width"],
    relu: bool = True,
) -> Float[np.ndarray, "batch height width"]:
    """L = ReLU(Σ_k α_k A^k), with α_k the mean of ∂y/∂A^k over all places (Selvaraju et al. 2017, arXiv 1610.02391).

    Parameters
    ----------
    activations, gradients : float (b, k, h, w), channels of one layer and the gradient of one class's *logit* with
        respect to them
    relu : without it, places that speak against the class are negative

    Returns
    -------
    float (b, h, w), not scaled
    """
    weights = gradients.mean(axis=(2, 3), keepdims=True)  # (b, k, 1, 1)
    heat = (weights * activations).sum(axis=1)
    return np.maximum(heat, 0) if relu else heat


def attention_rollout(attention: Float[np.ndarray, "layers batch n n"]) -> Float[np.ndarray, "batch n n"]:
    """Attention through all layers: the product of ½(A + I), the last layer first (Abnar and Zuidema 2020, 2005.00928).

    The ½ I stands for the residual connection. It takes no account of what the values are.

    attention : float (layers, b, n, n), mean over heads, each row sums to 1. Returns (b, n, n), each row sums to 1.
    """
    size = attention.shape[-1]
    mixed = 0.5 * (attention + np.eye(size, dtype=attention.dtype))
    rollout = mixed[0]
    for layer in mixed[1:]:
        rollout = layer @ rollout
    return rollout


def shapley(values: Float[np.ndarray, "coalitions ..."]) -> Float[np.ndarray, "players ..."]:
    """Shapley values of M players, exact: each one's contribution, averaged over all orders of arrival (Shapley 1953).

    φ_m = Σ_S |S|! (M − |S| − 1)! / M! · (v(S ∪ {m}) − v(S)), over all coalitions S without m. They sum to
    v(all) − v(nobody), whatever the game is. *Which* game it is, the values decide.

    Parameters
    ----------
    values : float (2^M, …); number i is the value of the coalition in which player m is, if bit m of i is set: for
        three players nobody, {0}, {1}, {0, 1}, {2}, {0, 2}, {1, 2}, all

    Returns
    -------
    float (M, …)
    """
    return np.tensordot(_shapley_weights(len(values)), values, axes=1)


def _shapley_weights(coalitions: int) -> Float[np.ndarray, "players {coalitions}"]:
    """Shapley values are linear in the game: φ = matrix · v, float64 (M, 2^M).

    Raises
    ------
    ValueError
        The number of coalitions is no power of 2, or below 2.
    """
    players = coalitions.bit_length() - 1
    if coalitions < 2 or coalitions != 2**players:
        raise ValueError(f"values: expected one for each of 2, 4, 8, … coalitions, got {coalitions}")
    # |S|! (M − |S| − 1)! / M! by the size of S
    weights = [1 / players]
    for size in range(1, players):
        weights.append(weights[-1] * size / (players - size))
    matrix = np.zeros((players, coalitions))
    for coalition in range(coalitions):
        size = coalition.bit_count()
        for player in range(players):
            is_in = coalition >> player & 1
            matrix[player, coalition] = weights[size - 1] if is_in else -weights[size]
    return matrix
