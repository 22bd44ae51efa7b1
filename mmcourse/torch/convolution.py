"""Convolution and pooling written out, on images (b, c, h, w). Equal to `nn.Conv2d` and friends, which are faster."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Size = int | tuple[int, int]  # of both axes, or of height and width
Padding = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]  # …, or of the four sides


def conv2d(
    x: Float[Tensor, "batch in_channels height width"],
    w: Float[Tensor, "out_channels in_channels kh kw"],
    b: Float[Tensor, " out_channels"] | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
) -> Float[Tensor, "batch out_channels out_height out_width"]:
    """Cross-correlation as one matrix product: patches as columns (`F.unfold`), kernels as rows.

    Parameters
    ----------
    x : float (b, in_channels, h, w); w : float (out_channels, in_channels, kh, kw); b : float (out_channels,) or None
    stride, dilation : int or (int, int)
    padding : int, (int, int), or ((top, bottom), (left, right)); zeros

    Returns
    -------
    y : float (b, out_channels, oh, ow)
    """
    if x.ndim != 4 or x.shape[1] != w.shape[1]:
        raise ValueError(f"x: expected (b, {w.shape[1]}, h, w) for a kernel {tuple(w.shape)}, got {tuple(x.shape)}")
    (sh, sw), (dh, dw), ((top, bottom), (left, right)) = pair(stride), pair(dilation), map(pair, pair(padding))
    kh, kw = w.shape[2:]
    x = F.pad(x, (left, right, top, bottom))
    columns = F.unfold(x, (kh, kw), (dh, dw), stride=(sh, sw))  # (b, in_channels·kh·kw, oh·ow)
    oh = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    y = (w.flatten(1) @ columns).unflatten(-1, (oh, -1))  # (b, out_channels, oh, ow)
    return y if b is None else y + b[:, None, None]


def max_pool2d(
    x: Float[Tensor, "batch channels height width"], size: Size = 2, stride: Size | None = None
) -> Float[Tensor, "batch channels out_height out_width"]:
    """Largest value under each window of x (b, c, h, w); of equals, the first gets the gradient."""
    return _windows(x, size, stride).flatten(-2).max(-1).values


def avg_pool2d(
    x: Float[Tensor, "batch channels height width"], size: Size = 2, stride: Size | None = None
) -> Float[Tensor, "batch channels out_height out_width"]:
    """Mean under each window of x (b, c, h, w)."""
    return _windows(x, size, stride).mean((-2, -1))


def _windows(x, size, stride):
    (kh, kw), (sh, sw) = pair(size), pair(stride or size)
    return x.unfold(2, kh, sh).unfold(3, kw, sw)  # (b, c, oh, ow, kh, kw)


class Conv2d(nn.Module):
    """:func:`conv2d` with its weights, started as PyTorch does: uniform within ±1/√(in_channels·kh·kw)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
    ):
        super().__init__()
        self.stride, self.padding, self.dilation = stride, padding, dilation
        bound = 1 / math.sqrt(in_channels * math.prod(pair(kernel_size)))
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *pair(kernel_size)).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """(b, in_channels, h, w) → (b, out_channels, oh, ow)."""
        return conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation)


def pair(value: Any) -> tuple:
    """3 → (3, 3)."""
    return (value, value) if isinstance(value, int) else tuple(value)
