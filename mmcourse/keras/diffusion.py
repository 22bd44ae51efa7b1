"""Diffusion and flow matching: noise that is added in one line, and taken away step by step.

Everywhere a noisy sample is `x = signal · clean + noise_level · noise`; `mmcourse.numpy.diffusion` has the papers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from keras import ops

TARGETS = ("clean", "noise", "v", "velocity")


def add_noise(
    clean: Float[Any, "*shape"], noise: Float[Any, "*shape"], signal: Any, noise_level: Any
) -> Float[Any, "*shape"]:
    """x = signal · clean + noise_level · noise: any amount of noise, in one step."""
    return signal * clean + noise_level * noise


def _parts(signal: Any, noise_level: Any, target: str) -> tuple[Any, Any]:
    """The target as multiples of clean and noise."""
    if target not in TARGETS:
        raise ValueError(f"target: expected one of {', '.join(TARGETS)}, got {target!r}")
    return {"clean": (1.0, 0.0), "noise": (0.0, 1.0), "v": (-noise_level, signal), "velocity": (1.0, -1.0)}[target]


def training_target(
    clean: Float[Any, "*shape"], noise: Float[Any, "*shape"], signal: Any, noise_level: Any, target: str
) -> Float[Any, "*shape"]:
    """What the network learns to say: "clean", "noise", "v", or "velocity" = clean − noise."""
    of_clean, of_noise = _parts(signal, noise_level, target)
    return of_clean * clean + of_noise * noise


def clean_and_noise(
    x: Float[Any, "*shape"], prediction: Float[Any, "*shape"], signal: Any, noise_level: Any, target: str
) -> tuple[Float[Any, "*shape"], Float[Any, "*shape"]]:
    """The clean sample and the noise that a prediction means: two linear equations with two unknowns."""
    a, b = _parts(signal, noise_level, target)
    determinant = signal * b - noise_level * a
    clean = (b * x - noise_level * prediction) / determinant
    noise = (signal * prediction - a * x) / determinant
    return clean, noise


def optimal_denoiser(
    x: Float[Any, "batch dim"], data: Float[Any, "samples dim"], signal: Any, noise_level: Any
) -> Float[Any, "batch dim"]:
    """E[clean | x] if the clean sample is one of `data`, each as probable: an attention layer."""
    centers = signal * data
    products = ops.matmul(x, ops.transpose(centers))
    distance = ops.sum(x**2, axis=1, keepdims=True) - 2 * products + ops.sum(centers**2, axis=1)
    weights = ops.softmax(-distance / (2 * noise_level**2), axis=1)  # (batch, samples)
    return ops.matmul(weights, data)


def ddim_step(
    x: Float[Any, "*shape"],
    noise: Float[Any, "*shape"],
    alpha_bar: Any,
    alpha_bar_next: Any,
    eta: float = 0.0,
    fresh: Float[Any, "*shape"] | None = None,
) -> Float[Any, "*shape"]:
    """One step to less noise; `alpha_bar_next` is that of the step visited next, 1 at the end."""
    clean = (x - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5
    variance = (1 - alpha_bar_next) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_next)
    sigma = eta * variance**0.5
    new = alpha_bar_next**0.5 * clean + (1 - alpha_bar_next - sigma**2) ** 0.5 * noise
    return new if fresh is None else new + sigma * fresh


def ddpm_step(
    x: Float[Any, "*shape"],
    noise: Float[Any, "*shape"],
    alpha_bar: Any,
    alpha_bar_next: Any,
    fresh: Float[Any, "*shape"],
) -> Float[Any, "*shape"]:
    """One step of DDPM: a draw from q(x_next | x, clean)."""
    clean = (x - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5
    alpha = alpha_bar / alpha_bar_next
    beta = 1 - alpha
    mean = (alpha_bar_next**0.5 * beta * clean + alpha**0.5 * (1 - alpha_bar_next) * x) / (1 - alpha_bar)
    variance = (1 - alpha_bar_next) / (1 - alpha_bar) * beta
    return mean + variance**0.5 * fresh


def euler_step(x: Float[Any, "*shape"], velocity: Float[Any, "*shape"], t: Any, t_next: Any):
    """One step of flow matching along the velocity, from noise (t = 0) to data (t = 1)."""
    return x + (t_next - t) * velocity


def guide(unconditional: Float[Any, "*shape"], conditional: Float[Any, "*shape"], weight: Any) -> Float[Any, "*shape"]:
    """Classifier-free guidance: 0 forgets the condition, 1 is the model as trained, more exaggerates."""
    return unconditional + weight * (conditional - unconditional)


def time_embedding(t: Float[Any, " batch"], dim: int, fastest: float = 1000.0) -> Float[Any, "batch dim"]:
    """Sines and cosines of t in 0 … 1 at dim / 2 frequencies from 1 to `fastest`."""
    frequencies = ops.convert_to_tensor(fastest ** np.linspace(0, 1, dim // 2), dtype=t.dtype)
    angles = ops.expand_dims(t, 1) * frequencies
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=1)
