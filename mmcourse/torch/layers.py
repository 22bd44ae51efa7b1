"""Small layers written out. Equal to `nn.Linear`, `nn.Embedding`, `F.relu`, `F.gelu`."""

import math

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from mmcourse.torch.convolution import Conv2d, avg_pool2d, conv2d, max_pool2d  # noqa: F401 — one place to import from
from mmcourse.torch.norm import BatchNorm, LayerNorm  # noqa: F401


class Linear(nn.Module):
    """y = x Wᵀ + b. PyTorch keeps W as (width, dim) and starts it uniform within ±1/√dim."""

    def __init__(self, dim: int, width: int):
        super().__init__()
        bound = 1 / math.sqrt(dim)
        self.weight = nn.Parameter(torch.empty(width, dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows width"]:
        """(…, dim) → (…, width)."""
        return x @ self.weight.T + self.bias


class Embedding(nn.Module):
    """A table of one vector per id."""

    def __init__(self, count: int, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, dim))

    def forward(self, ids: Integer[Tensor, "*rows"]) -> Float[Tensor, "*rows dim"]:
        """int (…) → (…, dim)."""
        return self.weight[ids]


def relu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """max(x, 0)."""
    return x.clamp_min(0)


def gelu(x: Float[Tensor, "*shape"], approximate: bool = False) -> Float[Tensor, "*shape"]:
    """x·Φ(x), or its tanh approximation (Hendrycks & Gimpel 2016, arXiv 1606.08415)."""
    if approximate:
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))
