"""Batch and layer normalization written out. Equal to `nn.BatchNorm1d/2d` and `nn.LayerNorm`."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """Each channel to mean 0 and variance 1 over the batch and all positions (Ioffe & Szegedy 2015, arXiv 1502.03167).

    Parameters
    ----------
    dim : int
        Channels.
    momentum : float
        Weight of the *new* batch in the running statistics.
    unbiased : bool
        Running variance over n − 1 (PyTorch) or n (Keras). Outputs always use n.
    """

    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5, unbiased: bool = True):
        super().__init__()
        self.momentum, self.eps, self.unbiased = momentum, eps, unbiased
        self.gamma, self.beta = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("var", torch.ones(dim))

    def forward(self, x: Float[Tensor, "batch channels *place"]) -> Float[Tensor, "batch channels *place"]:
        """(b, c, …) → the same shape."""
        mean, var, column = self.mean, self.var, (-1, *[1] * (x.ndim - 2))
        if self.training:
            axes = (0, *range(2, x.ndim))
            mean, var = x.mean(axes), x.var(axes, correction=0)
            self.update(mean.detach(), var.detach(), x.numel() // x.shape[1])
        xhat = (x - mean.reshape(column)) / (var.reshape(column) + self.eps).sqrt()
        return self.gamma.reshape(column) * xhat + self.beta.reshape(column)

    def update(self, mean: Float[Tensor, " channels"], var: Float[Tensor, " channels"], n: int) -> None:
        """Move the running statistics towards those of a batch of n values per channel."""
        if n < 2:
            raise ValueError("x: batch norm needs at least 2 values per channel to train on, got 1; enlarge the batch")
        self.mean.lerp_(mean, self.momentum)
        self.var.lerp_(var * n / (n - 1) if self.unbiased else var, self.momentum)


class LayerNorm(nn.Module):
    """Each vector (…, dim) to mean 0 and variance 1, then · weight + bias (Ba et al. 2016, arXiv 1607.06450)."""

    def __init__(self, dim: int, eps: float = 1e-5):
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim)), eps

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """(…, dim) → the same shape."""
        centered = x - x.mean(-1, keepdim=True)
        return self.weight * centered / (centered.square().mean(-1, keepdim=True) + self.eps).sqrt() + self.bias
