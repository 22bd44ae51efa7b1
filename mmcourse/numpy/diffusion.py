"""Diffusion and flow matching: noise that is added in one line, and taken away step by step.

Everywhere a noisy sample is `x = signal · clean + noise_level · noise`. Diffusion has signal = √ᾱ and noise_level
= √(1 − ᾱ) (Ho et al. 2020, arXiv 2006.11239); flow matching has signal = t and noise_level = 1 − t, with t = 1 at the
data (Lipman et al. 2022, arXiv 2210.02747; Liu et al. 2022, arXiv 2209.03003). `signal` and `noise_level` are numbers,
or arrays that broadcast against x.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

__all__ = [
    "TARGETS", "add_noise", "alpha_bars", "clean_and_noise", "cosine_betas", "ddim_step", "ddpm_step", "euler_step",
    "frechet_distance", "guide", "linear_betas", "optimal_denoiser", "spaced_timesteps", "time_embedding",
    "training_target",
]  # fmt: skip

# what a network may predict, as multiples of (clean, noise); "v" has them from signal and noise level
TARGETS = ("clean", "noise", "v", "velocity")


# ---------------------------------------------------------------- noise schedules
def linear_betas(num_steps: int, start: float = 1e-4, end: float = 0.02) -> np.ndarray:
    """β_1 … β_T on a straight line, as in DDPM: (num_steps,)."""
    return np.linspace(start, end, num_steps)


def cosine_betas(num_steps: int, offset: float = 0.008, largest: float = 0.999) -> np.ndarray:
    """β from ᾱ(t) = cos²((t/T + s)/(1 + s) · π/2), none above `largest` (Nichol and Dhariwal 2021, arXiv 2102.09672).

    Without the limit the last ᾱ would be 0: nothing of the picture is left, and dividing by √ᾱ gives NaN.
    """
    t = np.arange(num_steps + 1) / num_steps
    curve = np.cos((t + offset) / (1 + offset) * np.pi / 2) ** 2
    return np.minimum(1 - curve[1:] / curve[:-1], largest)


def alpha_bars(betas: np.ndarray) -> np.ndarray:
    """ᾱ_t = Π (1 − β): what is left of the signal's power after t + 1 steps. Before the first step it is 1."""
    return np.cumprod(1 - betas)


def spaced_timesteps(num_train: int, num_steps: int, spacing: str = "leading") -> np.ndarray:
    """Which of the training's timesteps a sampler visits, the noisiest first: int (num_steps,).

    "leading": 0, k, 2k, …; "trailing": T − 1, T − 1 − k, …, so that it begins with the noisiest (Lin et al. 2023,
    arXiv 2305.08891).

    Raises
    ------
    ValueError
        Another spacing, or more steps than training had.
    """
    if not 1 <= num_steps <= num_train:
        raise ValueError(f"num_steps: expected 1 to {num_train}, got {num_steps}")
    if spacing == "leading":
        return (np.arange(num_steps) * (num_train // num_steps))[::-1]
    if spacing == "trailing":
        return np.round(np.arange(num_train, 0, -num_train / num_steps)).astype(int) - 1
    raise ValueError(f"spacing: expected leading or trailing, got {spacing!r}")


# ---------------------------------------------------------------- noise in, targets
def add_noise(
    clean: Float[ndarray, "*shape"], noise: Float[ndarray, "*shape"], signal: Any, noise_level: Any
) -> Float[ndarray, "*shape"]:
    """x = signal · clean + noise_level · noise: any amount of noise, in one step."""
    return signal * clean + noise_level * noise


def _parts(signal: Any, noise_level: Any, target: str) -> tuple[Any, Any]:
    """The target as multiples of clean and noise."""
    if target not in TARGETS:
        raise ValueError(f"target: expected one of {', '.join(TARGETS)}, got {target!r}")
    return {"clean": (1.0, 0.0), "noise": (0.0, 1.0), "v": (-noise_level, signal), "velocity": (1.0, -1.0)}[target]


def training_target(
    clean: Float[ndarray, "*shape"], noise: Float[ndarray, "*shape"], signal: Any, noise_level: Any, target: str
) -> Float[ndarray, "*shape"]:
    """What the network learns to say: "clean", "noise", "v", or "velocity" = clean − noise, which is dx/dt of a flow.

    v = signal · noise − noise_level · clean (Salimans and Ho 2022, arXiv 2202.00512).
    """
    of_clean, of_noise = _parts(signal, noise_level, target)
    return of_clean * clean + of_noise * noise


def clean_and_noise(
    x: Float[ndarray, "*shape"], prediction: Float[ndarray, "*shape"], signal: Any, noise_level: Any, target: str
) -> tuple[Float[ndarray, "*shape"], Float[ndarray, "*shape"]]:
    """The clean sample and the noise that a prediction means: two linear equations with two unknowns.

    x = signal · clean + noise_level · noise and prediction = a · clean + b · noise are solved for both.
    """
    a, b = _parts(signal, noise_level, target)
    determinant = signal * b - noise_level * a
    clean = (b * x - noise_level * prediction) / determinant
    noise = (signal * prediction - a * x) / determinant
    return clean, noise


def optimal_denoiser(
    x: Float[ndarray, "batch dim"], data: Float[ndarray, "samples dim"], signal: Any, noise_level: Any
) -> Float[ndarray, "batch dim"]:
    """E[clean | x] if the clean sample is one of `data`, each as probable: an attention layer.

    softmax(−‖x − signal · dataᵢ‖² / (2 noise_level²)) over the samples, times the samples. No network can have a lower
    loss on this training set (Karras et al. 2022, arXiv 2206.00364, appendix B.3).
    """
    centers = signal * data
    distance = (x**2).sum(1, keepdims=True) - 2 * x @ centers.T + (centers**2).sum(1)  # (batch, samples)
    scores = -distance / (2 * noise_level**2)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = weights / weights.sum(axis=1, keepdims=True)
    return weights @ data


# ---------------------------------------------------------------- steps of samplers
def ddim_step(
    x: Float[ndarray, "*shape"],
    noise: Float[ndarray, "*shape"],
    alpha_bar: Any,
    alpha_bar_next: Any,
    eta: float = 0.0,
    fresh: Float[ndarray, "*shape"] | None = None,
) -> Float[ndarray, "*shape"]:
    """One step to less noise (Song et al. 2020, arXiv 2010.02502): the clean sample, and noise again, but less.

    Parameters
    ----------
    noise : what the network takes for the noise in x
    alpha_bar, alpha_bar_next : ᾱ of x, and of the step that is *visited next* (1 for the clean sample)
    eta : 0 without new noise, 1 with as much as DDPM
    fresh : new standard noise, used where eta is not 0
    """
    clean = (x - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5
    variance = (1 - alpha_bar_next) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_next)
    sigma = eta * variance**0.5
    new = alpha_bar_next**0.5 * clean + (1 - alpha_bar_next - sigma**2) ** 0.5 * noise
    return new if fresh is None else new + sigma * fresh


def ddpm_step(
    x: Float[ndarray, "*shape"],
    noise: Float[ndarray, "*shape"],
    alpha_bar: Any,
    alpha_bar_next: Any,
    fresh: Float[ndarray, "*shape"],
) -> Float[ndarray, "*shape"]:
    """One step of DDPM: a draw from q(x_next | x, clean), whose mean is between the two and whose variance is known."""
    clean = (x - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5
    alpha = alpha_bar / alpha_bar_next
    beta = 1 - alpha
    mean = (alpha_bar_next**0.5 * beta * clean + alpha**0.5 * (1 - alpha_bar_next) * x) / (1 - alpha_bar)
    variance = (1 - alpha_bar_next) / (1 - alpha_bar) * beta
    return mean + variance**0.5 * fresh


def euler_step(x: Float[ndarray, "*shape"], velocity: Float[ndarray, "*shape"], t: Any, t_next: Any):
    """One step of flow matching along the velocity, from noise (t = 0) to data (t = 1)."""
    return x + (t_next - t) * velocity


def guide(
    unconditional: Float[ndarray, "*shape"], conditional: Float[ndarray, "*shape"], weight: Any
) -> Float[ndarray, "*shape"]:
    """Classifier-free guidance: 0 forgets the condition, 1 is the model as trained, more exaggerates.

    (Ho and Salimans 2022, arXiv 2207.12598, write w for `weight − 1`.)
    """
    return unconditional + weight * (conditional - unconditional)


def time_embedding(t: Float[ndarray, " batch"], dim: int, fastest: float = 1000.0) -> Float[ndarray, "batch dim"]:
    """Sines and cosines of t in 0 … 1 at dim / 2 frequencies from 1 to `fastest`: as positions in lesson attention."""
    frequencies = fastest ** np.linspace(0, 1, dim // 2)
    angles = t[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


# ---------------------------------------------------------------- a distance between two sets
def frechet_distance(
    mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> float:
    """‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½): between two normal distributions (Dowson and Landau 1982).

    On features of an Inception network it is the FID (Heusel et al. 2017, arXiv 1706.08500). The eigenvalues of Σ_a Σ_b
    are those of √Σ_a Σ_b √Σ_a, which is symmetric, so that no complex number comes up.
    """
    values, vectors = np.linalg.eigh(covariance_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    inner = np.linalg.eigvalsh(root @ covariance_b @ root)
    apart = float(((mean_a - mean_b) ** 2).sum())
    spread = np.trace(covariance_a) + np.trace(covariance_b) - 2 * np.sqrt(inner.clip(0)).sum()
    return max(0.0, apart + float(spread))
