"""Muon: an optimizer for the matrices of a network (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/)."""

from __future__ import annotations

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the polynomial that brings singular values near 1 in five steps


def orthogonalize(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The matrix (m, n) with all singular values brought near 1 (0.7 to 1.2): Newton–Schulz, without an SVD."""
    a, b, c = COEFFICIENTS
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, of which each matrix is orthogonalized: every direction of the update has about the same length.

    A convolution's kernel (out, in, h, w) counts as a matrix (out, in·h·w). Embeddings, biases and gains go to AdamW.

    Parameters
    ----------
    params : parameters with two or more axes
    lr : step length; 0.02 suits most networks
    momentum : share of the old average, Nesterov's way
    weight_decay : decoupled, as in AdamW

    Raises
    ------
    ValueError
        For a parameter with fewer than two axes.
    """

    def __init__(self, params, lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.02) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim < 2:
                    shape = tuple(parameter.shape)
                    raise ValueError(f"params: expected matrices and kernels, got shape {shape}; give vectors to AdamW")

    @torch.no_grad()
    def step(self, closure=None):
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "average" not in state:
                    state["average"] = torch.zeros_like(parameter)
                average = state["average"]
                average.lerp_(parameter.grad, 1 - group["momentum"])
                direction = parameter.grad.lerp(average, group["momentum"]).flatten(1)  # (m, n)
                update = orthogonalize(direction).reshape(parameter.shape)
                ratio = max(1.0, direction.shape[0] / direction.shape[1]) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * ratio)
        return loss
