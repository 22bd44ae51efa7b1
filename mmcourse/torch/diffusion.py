"""Diffusion and flow matching: noise that is added in one line, and taken away step by step.

Everywhere a noisy sample is `x = signal · clean + noise_level · noise`; `mmcourse.numpy.diffusion` has the papers.
Beside the formulas: what training needs (`flow_matching_loss`, `ExponentialAverage`) and a sampler (`sample_flow`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

TARGETS = ("clean", "noise", "v", "velocity")


def add_noise(
    clean: Float[Tensor, "*shape"], noise: Float[Tensor, "*shape"], signal: Any, noise_level: Any
) -> Float[Tensor, "*shape"]:
    """x = signal · clean + noise_level · noise: any amount of noise, in one step."""
    return signal * clean + noise_level * noise


def _parts(signal: Any, noise_level: Any, target: str) -> tuple[Any, Any]:
    """The target as multiples of clean and noise."""
    if target not in TARGETS:
        raise ValueError(f"target: expected one of {', '.join(TARGETS)}, got {target!r}")
    return {"clean": (1.0, 0.0), "noise": (0.0, 1.0), "v": (-noise_level, signal), "velocity": (1.0, -1.0)}[target]


def training_target(
    clean: Float[Tensor, "*shape"], noise: Float[Tensor, "*shape"], signal: Any, noise_level: Any, target: str
) -> Float[Tensor, "*shape"]:
    """What the network learns to say: "clean", "noise", "v", or "velocity" = clean − noise."""
    of_clean, of_noise = _parts(signal, noise_level, target)
    return of_clean * clean + of_noise * noise


def clean_and_noise(
    x: Float[Tensor, "*shape"], prediction: Float[Tensor, "*shape"], signal: Any, noise_level: Any, target: str
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """The clean sample and the noise that a prediction means: two linear equations with two unknowns."""
    a, b = _parts(signal, noise_level, target)
    determinant = signal * b - noise_level * a
    clean = (b * x - noise_level * prediction) / determinant
    noise = (signal * prediction - a * x) / determinant
    return clean, noise


def optimal_denoiser(
    x: Float[Tensor, "batch dim"], data: Float[Tensor, "samples dim"], signal: Any, noise_level: Any
) -> Float[Tensor, "batch dim"]:
    """E[clean | x] if the clean sample is one of `data`, each as probable: an attention layer."""
    centers = signal * data
    distance = (x**2).sum(1, keepdim=True) - 2 * x @ centers.T + (centers**2).sum(1)
    weights = torch.softmax(-distance / (2 * noise_level**2), dim=1)  # (batch, samples)
    return weights @ data


def ddim_step(
    x: Float[Tensor, "*shape"],
    noise: Float[Tensor, "*shape"],
    alpha_bar: Any,
    alpha_bar_next: Any,
    eta: float = 0.0,
    fresh: Float[Tensor, "*shape"] | None = None,
) -> Float[Tensor, "*shape"]:
    """One step to less noise; `alpha_bar_next` is that of the step visited next, 1 at the end."""
    clean = (x - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5
    variance = (1 - alpha_bar_next) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_next)
    sigma = eta * variance**0.5
    new = alpha_bar_next**0.5 * clean + (1 - alpha_bar_next - sigma**2) ** 0.5 * noise
    return new if fresh is None else new + sigma * fresh


def ddpm_step(
    x: Float[Tensor, "*shape"],
    noise: Float[Tensor, "*shape"],
    alpha_bar: Any,
    alpha_bar_next: Any,
    fresh: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape"]:
    """One step of DDPM: a draw from q(x_next | x, clean)."""
    clean = (x - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5
    alpha = alpha_bar / alpha_bar_next
    beta = 1 - alpha
    mean = (alpha_bar_next**0.5 * beta * clean + alpha**0.5 * (1 - alpha_bar_next) * x) / (1 - alpha_bar)
    variance = (1 - alpha_bar_next) / (1 - alpha_bar) * beta
    return mean + variance**0.5 * fresh


def euler_step(x: Float[Tensor, "*shape"], velocity: Float[Tensor, "*shape"], t: Any, t_next: Any):
    """One step of flow matching along the velocity, from noise (t = 0) to data (t = 1)."""
    return x + (t_next - t) * velocity


def guide(
    unconditional: Float[Tensor, "*shape"], conditional: Float[Tensor, "*shape"], weight: Any
) -> Float[Tensor, "*shape"]:
    """Classifier-free guidance: 0 forgets the condition, 1 is the model as trained, more exaggerates."""
    return unconditional + weight * (conditional - unconditional)


def time_embedding(t: Float[Tensor, " batch"], dim: int, fastest: float = 1000.0) -> Float[Tensor, "batch dim"]:
    """Sines and cosines of t in 0 … 1 at dim / 2 frequencies from 1 to `fastest`."""
    frequencies = fastest ** torch.linspace(0, 1, dim // 2, dtype=t.dtype, device=t.device)
    angles = t[:, None] * frequencies
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)


# ---------------------------------------------------------------- training and sampling
def flow_matching_loss(
    model: Callable[..., Tensor], clean: Tensor, *condition: Any, generator: torch.Generator | None = None
) -> Tensor:
    """Mean squared error of the velocity at random times: sigmoid of a normal, mostly in the middle (Esser et al. 2024,
    arXiv 2403.03206). `model(x, t, *condition)` gives the velocity, as large as x; t is (b,).
    """
    t = torch.randn(len(clean), generator=generator).sigmoid()
    noise = torch.randn(clean.shape, generator=generator)
    column = t.view(-1, *[1] * (clean.ndim - 1))
    x = add_noise(clean, noise, column, 1 - column)
    return nn.functional.mse_loss(model(x, t, *condition), clean - noise)


@torch.no_grad()
def sample_flow(velocity: Callable[[Tensor, Tensor], Tensor], noise: Tensor, num_steps: int = 20) -> Tensor:
    """Euler steps from noise to data; `velocity(x, t)` with t (b,)."""
    x = noise
    times = torch.linspace(0, 1, num_steps + 1).tolist()
    for t, t_next in zip(times[:-1], times[1:], strict=True):
        x = euler_step(x, velocity(x, x.new_full((len(x),), t)), t, t_next)
    return x


class ExponentialAverage:
    """A copy of a model whose weights follow as an exponential moving average: the one to sample with.

    Its decay begins low, min(decay, (1 + n) / (10 + n)), so that the random start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        self.decay, self.num_updates = decay, 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """After each step of the optimizer."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        for mine, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
