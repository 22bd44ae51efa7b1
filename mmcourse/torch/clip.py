"""CLIP for `scenes`: a picture tower and a text tower whose vectors are near each other where picture and text agree.

::

    from mmcourse.torch.clip import CLIP

    model = CLIP.from_pretrained("clip")
    image = model.encode_image(pictures)  # (b, 256), length 1
    text = model.encode_text(["a red star", "一个红色的圆形"])  # (2, 256)
    image @ text.T  # cosines

The picture tower ends in a grid of features, 8 × 8 positions, from which captioning, question answering and detection
start: ``model.vision(pictures)``. (Radford et al. 2021, arXiv 2103.00020.)
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.captions import chinese, english
from mmcourse.torch.model_files import read_model, write_model

SIDE = 64  # height and width of a picture in pixels
GRID = 8  # rows and columns of the grid of features
MAX_LOG_SCALE = math.log(100)  # Radford et al. 2021: the temperature never falls below 0.01


def prepare_images(images) -> torch.Tensor:
    """Pictures as the model takes them: float32 (b, 3, 64, 64) from 0 to 1.

    Parameters
    ----------
    images : uint8 (b, 64, 64, 3) from 0 to 255, or float (b, 64, 64, 3) from 0 to 1, as `scenes` gives them; one
        picture without the first axis is a batch of one

    Raises
    ------
    ValueError
        Another size, number of channels or range.
    """
    array = np.asarray(images)
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(
            f"images: expected (b, {SIDE}, {SIDE}, 3), got {array.shape}; "
            f"mmcourse.preprocess.image.resize(picture, ({SIDE}, {SIDE})) brings a picture to this size"
        )
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255
    elif array.dtype.kind != "f":
        raise ValueError(f"images: expected uint8 from 0 to 255 or floats from 0 to 1, got {array.dtype}")
    elif array.size and not (array.min() >= -1e-6 and array.max() <= 1 + 1e-6):
        raise ValueError(f"images: expected floats from 0 to 1, got {array.min():g} to {array.max():g}; divide by 255?")
    return torch.from_numpy(np.ascontiguousarray(array, np.float32)).permute(0, 3, 1, 2)


class ConvBlock(nn.Sequential):
    """3 × 3 convolution → batch norm → ReLU: (b, in, h, w) → (b, out, h/stride, w/stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class VisionEncoder(nn.Module):
    """A picture as a grid of features: (b, 3, 64, 64) from 0 to 1 → (b, 64, dim), one vector per 8 × 8 pixels.

    Parameters
    ----------
    dim : int
        Width of each vector.
    channels : three ints
        Channels of the convolutions before the last.
    num_residual : int
        Residual convolutions on the grid, after positions were added.
    """

    def __init__(self, dim: int = 128, channels: Sequence[int] = (32, 64, 96), num_residual: int = 2) -> None:
        super().__init__()
        self.dim = dim
        first, second, third = channels
        self.stem = nn.Sequential(
            ConvBlock(3, first, stride=2),  # 32 × 32
            ConvBlock(first, second, stride=2),  # 16 × 16
            ConvBlock(second, third),
            ConvBlock(third, dim, stride=2),  # 8 × 8
        )
        self.positions = nn.Parameter(torch.randn(1, dim, GRID, GRID) * 0.02)
        self.residual = nn.ModuleList(ConvBlock(dim, dim) for _ in range(num_residual))

    def forward(self, images: torch.Tensor, corner: tuple[int, int] = (0, 0)) -> torch.Tensor:
        """The grid, row by row.

        images : float (b, 3, h, w) from 0 to 1, h and w 64 or a smaller multiple of 8: then `corner` is the (row,
        column) of the whole grid at which the cut-out begins.
        """
        return self.join(self.stem(4 * (images - 0.5)), corner)  # about mean 0 and variance 1

    def join(self, x: torch.Tensor, corner: tuple[int, int] = (0, 0)) -> torch.Tensor:
        """What the stem gives, (b, dim, h/8, w/8) → the grid: positions are added, residual convolutions follow."""
        row, column = corner
        x = x + self.positions[:, :, row : row + x.shape[2], column : column + x.shape[3]]
        for block in self.residual:
            x = x + block(x)
        return x.flatten(2).transpose(1, 2)

    def pyramid(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features at three resolutions: (b, 32, 32, 32), (b, 96, 16, 16), and the grid (b, 64, dim)."""
        half = self.stem[0](4 * (images - 0.5))
        quarter = self.stem[2](self.stem[1](half))
        return half, quarter, self.join(self.stem[3](quarter))


class AttentionPooling(nn.Module):
    """A grid as one vector: learned queries attend to its positions; what they find is joined and mapped.

    (b, n, dim) → (b, out_dim)
    """

    def __init__(self, dim: int, out_dim: int, num_queries: int = 8) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(num_queries, dim) * 0.1)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(num_queries * dim, out_dim, bias=False)

    def forward(self, grid: torch.Tensor, return_weights: bool = False):
        scores = self.queries @ self.key(grid).transpose(1, 2) / math.sqrt(grid.shape[-1])  # (b, queries, n)
        weights = scores.softmax(dim=-1)
        found = weights @ self.value(grid).relu()  # (b, queries, dim)
        pooled = self.out(found.flatten(1))
        return (pooled, weights) if return_weights else pooled


class TextTransformer(nn.Module):
    """Ids as one vector: embedding + positions → pre-norm Transformer blocks → the last real position (`<eos>`).

    ids (b, n), padding_mask bool (b, n), True = real → (b, out_dim)
    """

    def __init__(
        self,
        vocabulary_size: int,
        dim: int = 128,
        out_dim: int = 256,
        num_layers: int = 2,
        num_heads: int = 4,
        hidden: int = 256,
        max_length: int = 80,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, dim)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.positions = nn.Parameter(torch.randn(max_length, dim) * 0.05)
        options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(dim, num_heads, hidden, **options) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, out_dim, bias=False)

    def forward_features(self, ids: torch.Tensor, padding_mask: torch.Tensor) -> torch.Tensor:
        """A vector for each piece, (b, n, dim), before the last norm."""
        if ids.shape[1] > len(self.positions):
            raise ValueError(f"texts: at most {len(self.positions)} pieces, got {ids.shape[1]}; shorten the longest")
        x = self.embedding(ids) + self.positions[: ids.shape[1]]  # (b, n, dim)
        for block in self.blocks:
            x = block(x, src_key_padding_mask=~padding_mask)  # PyTorch's mask is True where padded
        return x

    def forward(self, ids: torch.Tensor, padding_mask: torch.Tensor) -> torch.Tensor:
        x = self.forward_features(ids, padding_mask)
        last = padding_mask.sum(dim=1) - 1  # where <eos> is
        return self.out(self.norm(x[torch.arange(len(x), device=x.device), last]))


class CLIP(nn.Module):
    """Two towers and a temperature.

    Parameters
    ----------
    dim, out_dim, num_queries, num_layers, num_heads, hidden : ints
        Widths of the towers and of the vectors they meet in; queries of the pooling; blocks, heads and width inside the
        feed-forward part of the text tower.

    Attributes
    ----------
    vision : VisionEncoder, pooling : AttentionPooling, text : TextTransformer
    log_scale : the logarithm of 1 / temperature, a parameter
    """

    def __init__(
        self,
        dim: int = 128,
        out_dim: int = 256,
        num_queries: int = 8,
        num_layers: int = 2,
        num_heads: int = 4,
        hidden: int = 256,
        vocabulary_size: int | None = None,
    ) -> None:
        super().__init__()
        size = len(vocabulary.pieces()) if vocabulary_size is None else vocabulary_size
        self.config: dict[str, Any] = {
            "dim": dim,
            "out_dim": out_dim,
            "num_queries": num_queries,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "hidden": hidden,
            "vocabulary_size": size,
        }
        self.vision = VisionEncoder(dim)
        self.pooling = AttentionPooling(dim, out_dim, num_queries)
        self.text = TextTransformer(size, dim, out_dim, num_layers, num_heads, hidden)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.log_scale.device

    def forward(self, images: torch.Tensor, ids: torch.Tensor, padding_mask: torch.Tensor):
        """Vectors of pictures and of texts, not normalized: (b, out_dim), (m, out_dim)."""
        return self.pooling(self.vision(images)), self.text(ids, padding_mask)

    def clip_log_scale(self) -> None:
        """Keep the temperature at 0.01 or more; call it after each optimizer step."""
        with torch.no_grad():
            self.log_scale.clamp_(0, MAX_LOG_SCALE)

    @torch.no_grad()
    def encode_image(self, images, batch_size: int = 250) -> torch.Tensor:
        """Pictures as `prepare_images` takes them → vectors of length 1, float32 (b, out_dim)."""
        self.eval()
        prepared = prepare_images(images)
        parts = [self.pooling(self.vision(part.to(self.device))) for part in prepared.split(batch_size)]
        return F.normalize(torch.cat(parts), dim=-1).cpu() if parts else torch.zeros(0, self.config["out_dim"])

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], batch_size: int = 250) -> torch.Tensor:
        """English or Chinese sentences → vectors of length 1, float32 (b, out_dim).

        Capitals and punctuation are left out; a word that the vocabulary lacks is read as bytes, which this model has
        never seen.
        """
        self.eval()
        ids, padding_mask = tokenize(texts)
        parts = [
            self.text(rows.to(self.device), real.to(self.device))
            for rows, real in zip(ids.split(batch_size), padding_mask.split(batch_size), strict=True)
        ]
        return F.normalize(torch.cat(parts), dim=-1).cpu()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` (float16) and `config.json`, each atomically."""
        write_model(self, folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path = "clip") -> CLIP:
        """A trained model, in evaluation mode. Weights are read by safetensors, which runs no code.

        Parameters
        ----------
        folder : the name of a shipped model, or a folder that `save_pretrained` wrote

        Raises
        ------
        FileNotFoundError
            No such folder, or a file in it is missing.
        ValueError
            The weights are damaged, belong to another architecture, or to another vocabulary.
        """
        return read_model(cls, folder)


def tokenize(texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sentences as CLIP reads them, without capitals and punctuation: ids int64 (b, n), padding_mask bool (b, n)."""
    if isinstance(texts, str):
        raise ValueError("texts: expected a list of sentences, got one string; put it into a list")
    plain = []
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not vocabulary.words_only(text):
            raise ValueError(f"texts[{number}]: expected a sentence with at least one word, got {text!r}")
        plain.append(vocabulary.words_only(text))
    ids, padding_mask = vocabulary.encode_batch(plain)
    return torch.from_numpy(ids), torch.from_numpy(padding_mask)


@functools.cache
def trained_pieces() -> frozenset[int]:
    """Ids of the pieces that captions of `scenes` have, English or Chinese: what the shipped model was trained on."""
    scenes = [world.make(30_001, index) for index in range(600)]
    texts = [vocabulary.words_only(say(scene)) for scene in scenes for say in (english, chinese)]
    return frozenset(id for text in texts for id in vocabulary.encode(text))


def unknown_words(sentence: str) -> list[str]:
    """The words of a sentence that no caption of `scenes` has, in their order.

    A word that is not in the vocabulary is read as the bytes of its letters, and captions have no bytes: the shipped
    model gives such a sentence a vector all the same, but nothing taught it what the word means.
    """
    found: list[str] = []
    for chunk in re.findall(r"[a-z]+|[\u4e00-\u9fff]+|[^\sa-z\u4e00-\u9fff]+", vocabulary.words_only(sentence)):
        strange = [id for id in vocabulary.encode(chunk) if id not in trained_pieces()]
        word = vocabulary.decode(strange)
        found += [word] if word and word not in found else []
    return found
