"""What works on space and time at once, on videos (b, c, t, h, w): 3-D and (2+1)-D convolution, attention along time.

A 3-D convolution is a sum of 2-D ones: frame t of the output adds up what kernel k sees in frame t + k (Tran et al.
2015, arXiv 1412.0767). `nn.Conv3d` is the fast one. (2+1)D does space and time one after the other (Tran et al.
2018, arXiv 1711.11248). Attention along time joins the same position of all frames, attention within frames the
positions of each (Bertasius et al. 2021, arXiv 2102.05095).
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmcourse.torch.attention import MultiHeadAttention
from mmcourse.torch.convolution import conv2d

Size3 = int | tuple[int, int, int]  # of all three axes, or of time, height and width


def conv3d(
    x: Float[Tensor, "batch in_channels time height width"],
    w: Float[Tensor, "out_channels in_channels kt kh kw"],
    b: Float[Tensor, " out_channels"] | None = None,
    stride: Size3 = 1,
    padding: Size3 = 0,
) -> Float[Tensor, "batch out_channels out_time out_height out_width"]:
    """Cross-correlation over time and space, as a sum of 2-D convolutions.

    Parameters
    ----------
    x : float (b, in_channels, t, h, w); w : float (out_channels, in_channels, kt, kh, kw)
    b : float (out_channels,) or None
    stride, padding : int, or (time, height, width); zeros

    Returns
    -------
    y : float (b, out_channels, ot, oh, ow)
    """
    if x.ndim != 5 or x.shape[1] != w.shape[1]:
        raise ValueError(f"x: expected (b, {w.shape[1]}, t, h, w) for a kernel {tuple(w.shape)}, got {tuple(x.shape)}")
    (st, sh, sw), (pt, ph, pw) = triple(stride), triple(padding)
    kt = w.shape[2]
    padded = F.pad(x, (0, 0, 0, 0, pt, pt))
    ot = (padded.shape[2] - kt) // st + 1
    frames_first = padded.transpose(1, 2)  # (b, t, c, h, w)
    parts = []
    for k in range(kt):
        frames = frames_first[:, k : k + (ot - 1) * st + 1 : st].flatten(0, 1)  # (b·ot, c, h, w)
        parts.append(conv2d(frames, w[:, :, k], None, (sh, sw), (ph, pw)))
    y = torch.stack(parts).sum(0).unflatten(0, (len(x), ot)).transpose(1, 2)
    return y if b is None else y + b[:, None, None, None]


class Conv3d(nn.Module):
    """:func:`conv3d` with its weights, started as PyTorch does: uniform within ±1/√(in_channels·kt·kh·kw)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size3, stride: Size3 = 1, padding: Size3 = 0
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        kernel = triple(kernel_size)
        bound = 1 / math.sqrt(in_channels * math.prod(kernel))
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))

    def forward(
        self, x: Float[Tensor, "batch in_channels time height width"]
    ) -> Float[Tensor, "batch out_channels out_time out_height out_width"]:
        """(b, in_channels, t, h, w) → (b, out_channels, ot, oh, ow)."""
        return conv3d(x, self.weight, self.bias, self.stride, self.padding)


def mid_channels(in_channels: int, out_channels: int, kernel_size: int = 3) -> int:
    """Channels between space and time for which (2+1)D has at most as many weights as 3-D (biases left out)."""
    k = kernel_size
    return max(1, k**3 * in_channels * out_channels // (k**2 * in_channels + k * out_channels))


class Conv2Plus1d(nn.Module):
    """A convolution within each frame, ReLU, a convolution along time; odd kernels, padded so that sizes stay."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: Size3 = 1,
        mid: int | None = None,
    ) -> None:
        super().__init__()
        k, (st, sh, sw) = kernel_size, triple(stride)
        mid = mid_channels(in_channels, out_channels, k) if mid is None else mid
        self.space = Conv3d(in_channels, mid, (1, k, k), (1, sh, sw), (0, k // 2, k // 2))
        self.time = Conv3d(mid, out_channels, (k, 1, 1), (st, 1, 1), (k // 2, 0, 0))

    def forward(
        self, x: Float[Tensor, "batch in_channels time height width"]
    ) -> Float[Tensor, "batch out_channels out_time out_height out_width"]:
        """(b, in_channels, t, h, w) → (b, out_channels, ot, oh, ow)."""
        return self.time(self.space(x).relu())


class TemporalAttention(nn.Module):
    """Each position of a frame attends to the same position in all frames, and to no other."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, num_heads)

    def forward(self, x: Float[Tensor, "batch time positions dim"]) -> Float[Tensor, "batch time positions dim"]:
        """(b, t, n, d) → (b, t, n, d)."""
        b, t, n, d = x.shape
        rows = x.transpose(1, 2).reshape(b * n, t, d)  # time stands beside the features before b and n are joined
        return self.attention(rows).reshape(b, n, t, d).transpose(1, 2)


class SpatialAttention(nn.Module):
    """Each position attends to the positions of its own frame, and to no other frame."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, num_heads)

    def forward(self, x: Float[Tensor, "batch time positions dim"]) -> Float[Tensor, "batch time positions dim"]:
        """(b, t, n, d) → (b, t, n, d)."""
        frames = x.flatten(0, 1)  # (b·t, n, d)
        return self.attention(frames).unflatten(0, x.shape[:2])


def add_class_token(
    x: Float[Tensor, "batch time positions dim"], token: Float[Tensor, " dim"]
) -> Float[Tensor, "batch tokens dim"]:
    """(b, t, n, d), (d,) → (b, 1 + t·n, d): one class token for the whole film, not one for each of its frames."""
    first = token.expand(len(x), 1, -1)
    return torch.cat([first, x.flatten(1, 2)], dim=1)


def triple(value: Any) -> tuple:
    """3 → (3, 3, 3)."""
    return (value, value, value) if isinstance(value, int) else tuple(value)
