"""Generative adversarial networks: the losses of the two players, and a norm that keeps the critic smooth.

(Goodfellow et al. 2014, arXiv 1406.2661; hinge: Lim and Ye 2017, arXiv 1705.02894; spectral norm: Miyato et al. 2018,
arXiv 1802.05957; R1: Mescheder et al. 2018, arXiv 1801.04406.) Logits are the critic's outputs, before the sigmoid.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

LOSSES = ("minimax", "non-saturating", "hinge")


def optimal_discriminator(p: Tensor, q: Tensor) -> Tensor:
    """D* = p / (p + q): the best answer to "is it real?" where p is the data's density and q the generator's."""
    return p / (p + q)


def discriminator_loss(real: Float[Tensor, " batch"], fake: Float[Tensor, " batch"], kind: str) -> Tensor:
    """−mean ln D(real) − mean ln (1 − D(fake)); for "hinge": mean max(0, 1 − real) + mean max(0, 1 + fake)."""
    _check(kind)
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Float[Tensor, " batch"], kind: str) -> Tensor:
    """What the generator makes small: mean ln (1 − D), −mean ln D, or −mean of the logit for "hinge"."""
    _check(kind)
    if kind == "minimax":
        return -F.softplus(fake).mean()  # ln(1 − σ(z)) = −softplus(z)
    if kind == "non-saturating":
        return F.softplus(-fake).mean()
    return -fake.mean()


def _check(kind: str) -> None:
    if kind not in LOSSES:
        raise ValueError(f"kind: expected one of {', '.join(LOSSES)}, got {kind!r}")


def largest_singular_value(weight: Tensor, num_iterations: int = 20, start: Tensor | None = None) -> Tensor:
    """The spectral norm of a matrix (m, n) by power iteration: multiply by Wᵀ and W in turn, and normalize.

    `start` (m,) is where it begins, ones by default. One iteration for each training step is enough, since the weights
    hardly change in between: so does `torch.nn.utils.parametrizations.spectral_norm`.
    """
    u = torch.ones_like(weight[:, 0]) if start is None else start
    for _ in range(num_iterations):
        v = F.normalize(weight.T @ u, dim=0)
        u = F.normalize(weight @ v, dim=0)
    return u @ weight @ v


def gradient_penalty(critic, real: Tensor) -> Tensor:
    """R1: the mean squared gradient of the critic's logit with respect to real samples (b, …)."""
    real = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()
