"""Transformer blocks, encoder, decoder and ViT (Vaswani et al. 2017, arXiv 1706.03762; ViT: arXiv 2010.11929).

Post-norm, as in the paper and BERT: x ← norm(x + f(x)). Pre-norm, as in GPT-2 and ViT: x ← x + f(norm(x)), with one
more norm at the end of the stack.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmcourse.torch.attention import MultiHeadAttention


class Block(nn.Module):
    """What encoder and decoder blocks share: feed-forward, residuals, norms.

    Parameters
    ----------
    dim, num_heads : int
        Width, and heads that divide it.
    hidden : int or None
        Width inside the feed-forward part; None for 4·dim.
    dropout : float
    pre_norm : bool
    eps : float
        Of the layer norms: 1e-5 in PyTorch, 1e-12 in BERT and ViT.
    """

    def __init__(self, dim, num_heads, hidden=None, dropout=0.0, pre_norm=True, eps=1e-5):
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = MultiHeadAttention(dim, num_heads, dropout=dropout)
        self.up, self.down = nn.Linear(dim, hidden or 4 * dim), nn.Linear(hidden or 4 * dim, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps), nn.LayerNorm(dim, eps)
        self.dropout = nn.Dropout(dropout)

    def residual(self, x: Float[Tensor, "batch n d"], f: Callable, norm: Callable) -> Float[Tensor, "batch n d"]:
        """x + f(norm(x)), or post-norm norm(x + f(x))."""
        return x + self.dropout(f(norm(x))) if self.pre_norm else norm(x + self.dropout(f(x)))

    def feed_forward(self, x: Float[Tensor, "batch n d"]) -> Float[Tensor, "batch n d"]:
        """up → GELU (exact) → down, at each position alone."""
        return self.down(F.gelu(self.up(x)))


class EncoderBlock(Block):
    """Self-attention, then feed-forward."""

    def forward(
        self, x: Float[Tensor, "batch n d"], padding_mask: Bool[Tensor, "batch n"] | None = None, causal: bool = False
    ) -> Float[Tensor, "batch n d"]:
        """x (b, n, d), padding_mask bool (b, n), True = real → (b, n, d)."""
        x = self.residual(x, lambda h: self.attention(h, None, padding_mask, causal), self.norm1)
        return self.residual(x, self.feed_forward, self.norm2)


class DecoderBlock(Block):
    """Causal self-attention, attention over a memory of width `memory_dim`, feed-forward."""

    def __init__(self, dim, num_heads, hidden=None, dropout=0.0, pre_norm=True, eps=1e-5, memory_dim=None):
        super().__init__(dim, num_heads, hidden, dropout, pre_norm, eps)
        self.cross = MultiHeadAttention(dim, num_heads, memory_dim, dropout)
        self.norm3 = nn.LayerNorm(dim, eps)

    def forward(
        self,
        x: Float[Tensor, "batch n d"],
        memory: Float[Tensor, "batch m d_memory"],
        padding_mask: Bool[Tensor, "batch n"] | None = None,
        memory_mask: Bool[Tensor, "batch m"] | None = None,
    ) -> Float[Tensor, "batch n d"]:
        """x (b, n, d), memory (b, m, d_m), masks bool (b, n), (b, m), True = real → (b, n, d)."""
        x = self.residual(x, lambda h: self.attention(h, None, padding_mask, causal=True), self.norm1)
        x = self.residual(x, lambda h: self.cross(h, memory, memory_mask), self.norm2)
        return self.residual(x, self.feed_forward, self.norm3)


class Stack(nn.Module):
    """`num_layers` blocks, each called with the same further arguments; pre-norm ends with a norm."""

    block: type[Block]

    def __init__(self, num_layers, dim, num_heads, hidden=None, dropout=0.0, pre_norm=True, eps=1e-5, **options):
        super().__init__()
        make = (self.block(dim, num_heads, hidden, dropout, pre_norm, eps, **options) for _ in range(num_layers))
        self.blocks = nn.ModuleList(make)
        if pre_norm:
            self.norm = nn.LayerNorm(dim, eps)

    def forward(self, x: Float[Tensor, "batch n d"], *args: Any, **options: Any) -> Float[Tensor, "batch n d"]:
        """As the blocks."""
        for block in self.blocks:
            x = block(x, *args, **options)
        return self.norm(x) if hasattr(self, "norm") else x


class Encoder(Stack):
    """A stack of :class:`EncoderBlock`; with ``causal=True`` it is the body of GPT."""

    block = EncoderBlock


class Decoder(Stack):
    """A stack of :class:`DecoderBlock` over one memory."""

    block = DecoderBlock


def patchify(
    image: Float[Tensor, "batch channels height width"], size: int
) -> Float[Tensor, "batch n {size}*{size}*channels"]:
    """Cut (b, c, h, w) into squares, row by row: (b, h/size · w/size, size·size·c), channels last in each."""
    _, _, h, w = image.shape
    if h % size or w % size:
        raise ValueError(f"image: {h}×{w} cannot be cut into {size}×{size} patches; resize or pad it first")
    grid = image.unflatten(3, (-1, size)).unflatten(2, (-1, size))  # (b, c, rows, size, columns, size)
    return grid.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


class VisionTransformer(nn.Module):
    """ViT: patches → linear → [cls] in front, positions added → pre-norm encoder.

    Parameters
    ----------
    image_size, patch_size, channels : int
        Square images; the patch divides the image.
    num_layers, dim, num_heads, hidden, dropout, eps
        Of the encoder.
    """

    def __init__(
        self, image_size, patch_size, channels, num_layers, dim, num_heads, hidden=None, dropout=0.0, eps=1e-6
    ):
        super().__init__()
        self.patch_size = patch_size
        self.patch = nn.Linear(patch_size**2 * channels, dim)
        self.cls = nn.Parameter(torch.zeros(dim))
        self.positions = nn.Parameter(torch.randn(1 + (image_size // patch_size) ** 2, dim) * 0.02)
        self.encoder = Encoder(num_layers, dim, num_heads, hidden, dropout, eps=eps)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch tokens d"]:
        """(b, c, h, w) → (b, 1 + n, dim), the class token first."""
        x = self.patch(patchify(image, self.patch_size))  # (b, n, dim)
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], 1) + self.positions
        return self.encoder(x)
