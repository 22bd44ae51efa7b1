"""A causal Transformer that predicts the next piece: GPT's body, with a key–value cache and embeddings that come in.

It takes vectors, not ids, so that what stands in a text need not be a word: a vision–language model puts a picture
there. (GPT-2: Radford et al. 2019; pre-norm, learned positions, tied embeddings.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcourse.torch.captioner import CachedAttention
from mmcourse.torch.decoding import KVCache


class LanguageBlock(nn.Module):
    """Pre-norm decoder block: causal self-attention, then feed-forward."""

    def __init__(self, dim: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = CachedAttention(dim, num_heads)
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor, layer: int, cache: KVCache, keep: Tensor | None = None) -> Tensor:
        """x (b, n, d), the new positions → (b, n, d). Their keys and values are added to the cache."""
        h = self.norm1(x)
        k, v = cache.append(layer, *self.attention.keys_and_values(h))
        x = x + self.attention.attend(h, k, v, causal=keep is None, keep=keep)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class LanguageModel(nn.Module):
    """Vectors of pieces → blocks → logits of the next piece.

    Parameters
    ----------
    vocabulary_size, dim, num_layers, num_heads, hidden : ints
        `hidden` is the width inside the feed-forward part.
    max_length : int
        Most positions of a text.

    Attributes
    ----------
    embedding : pieces → vectors; its transpose turns vectors into logits
    """

    def __init__(
        self, vocabulary_size: int, dim: int, num_layers: int, num_heads: int, hidden: int, max_length: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, dim)
        nn.init.normal_(self.embedding.weight, std=0.05)
        self.positions = nn.Parameter(torch.randn(max_length, dim) * 0.05)
        self.blocks = nn.ModuleList(LanguageBlock(dim, num_heads, hidden) for _ in range(num_layers))
        self.norm = nn.LayerNorm(dim)

    def hidden_states(
        self, x: Tensor, cache: KVCache, position_ids: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """New vectors (b, n, dim) → (b, n, dim), before the logits.

        Parameters
        ----------
        x : float (b, n, dim), without positions
        cache : keys and values of what came before; the new ones are added
        position_ids : int64 (b, n) or None for those that follow the cache
        keep : bool (b, n, m) or None for causal attention, [i, j] True where position i sees position j

        Raises
        ------
        ValueError
            The text is longer than the table of positions.
        """
        start = cache.length
        most = start + x.shape[1] if position_ids is None else int(position_ids.max()) + 1
        if most > len(self.positions):
            raise ValueError(f"text: at most {len(self.positions)} positions, got {most}; shorten it")
        if position_ids is None:
            x = x + self.positions[start:most]
        else:
            x = x + self.positions[position_ids]
        for layer, block in enumerate(self.blocks):
            x = block(x, layer, cache, keep)
        return self.norm(x)

    def to_logits(self, hidden: Tensor) -> Tensor:
        """(…, dim) → (…, vocabulary): how much each piece's embedding agrees."""
        return hidden @ self.embedding.weight.T
