"""A painter of icons: a caption goes in, noise becomes a picture of 16 × 16 pixels by flow matching.

::

    from mmcourse.torch.generation import Painter

    model = Painter.from_pretrained("generation")
    model.paint(["a green star", "an azure disc"], guidance=2.0)  # uint8 (2, 16, 16, 3)

A U-Net (Ronneberger et al. 2015, arXiv 1505.04597) says the velocity at each pixel. Time and caption reach each of its
blocks by FiLM (Perez et al. 2018, arXiv 1709.07871). The caption is read word by word: the mean of word embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes.captions import ENGLISH
from mmcourse.datasets.scenes.icons import ICON
from mmcourse.datasets.scenes.world import COLORS, SHAPES
from mmcourse.torch.diffusion import guide, sample_flow, time_embedding
from mmcourse.torch.model_files import read_model, write_model

NOTHING = ""  # the caption of a picture whose caption was dropped


def icon_words() -> list[str]:
    """The words of captions of icons, in the order of the vocabulary's ids."""
    names = [word for name in (*COLORS, *SHAPES) for word in ENGLISH[name]]
    return sorted({*names, "a", "an", "in", "that", "is"}, key=vocabulary.id_of)


class FiLMBlock(nn.Module):
    """Two convolutions with a residual connection; the condition scales and shifts in between."""

    def __init__(self, in_channels: int, out_channels: int, condition_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.film = nn.Linear(condition_dim, 2 * out_channels)
        self.norm2 = nn.GroupNorm(8, out_channels, affine=False)  # FiLM is its scale and shift
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        for layer in (self.film, self.conv2):  # at the start a block only passes on what comes in
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """condition (b, condition_dim)."""
        gamma, beta = self.film(condition)[..., None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = (1 + gamma) * self.norm2(h) + beta
        return self.shortcut(x) + self.conv2(F.silu(h))


class UNet(nn.Module):
    """Pictures (b, in_channels, h, w) and a condition (b, condition_dim) → as large again; h and w are multiples of 4.

    Down to a quarter and up again; what was seen on the way down is joined on the way up.
    """

    def __init__(self, in_channels: int = 3, channels: Sequence[int] = (32, 64), condition_dim: int = 128) -> None:
        super().__init__()
        narrow, wide = channels
        self.first = nn.Conv2d(in_channels, narrow, 3, padding=1)
        self.down1 = FiLMBlock(narrow, narrow, condition_dim)
        self.down2 = FiLMBlock(narrow, wide, condition_dim)
        self.middle1 = FiLMBlock(wide, wide, condition_dim)
        self.middle2 = FiLMBlock(wide, wide, condition_dim)
        self.up2 = FiLMBlock(2 * wide, wide, condition_dim)
        self.up1 = FiLMBlock(wide + narrow, narrow, condition_dim)
        self.last = nn.Sequential(nn.GroupNorm(8, narrow), nn.SiLU(), nn.Conv2d(narrow, in_channels, 3, padding=1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        fine = self.down1(self.first(x), condition)  # (b, narrow, h, w)
        half = self.down2(F.avg_pool2d(fine, 2), condition)  # (b, wide, h/2, w/2)
        h = self.middle1(F.avg_pool2d(half, 2), condition)
        h = self.middle2(h, condition)  # (b, wide, h/4, w/4)
        h = self.up2(torch.cat([F.interpolate(h, scale_factor=2), half], dim=1), condition)
        h = self.up1(torch.cat([F.interpolate(h, scale_factor=2), fine], dim=1), condition)
        return self.last(h)


class Painter(nn.Module):
    """The velocity of icons under a caption.

    Parameters
    ----------
    channels : widths of the U-Net at full and at half size
    dim : width of the condition
    time_dim : sines and cosines of the time
    pieces : ids of the vocabulary's words that it reads; None for all words of captions of icons
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64),
        dim: int = 128,
        time_dim: int = 32,
        pieces: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        ids = [vocabulary.id_of(word) for word in icon_words()] if pieces is None else list(pieces)
        self.config: dict[str, Any] = {"channels": list(channels), "dim": dim, "time_dim": time_dim, "pieces": ids}
        self.words: tuple[str, ...] = tuple(vocabulary.pieces()[i] for i in ids)
        self.embedding = nn.Embedding(len(ids) + 1, dim)  # the last one stands for a dropped caption
        self.read = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.clock = nn.Sequential(nn.Linear(time_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.net = UNet(3, channels, dim)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Captions → (b, dim): the mean of their words' embeddings, and two linear layers. "" is a dropped caption.

        Raises
        ------
        ValueError
            A word that this model does not have, or one string instead of a list.
        """
        if isinstance(captions, str):
            raise ValueError("captions: expected a list of captions, got one string; put it into a list")
        number = {word: i for i, word in enumerate(self.words)}
        rows, owners = [], []
        for row, caption in enumerate(captions):
            words = vocabulary.words_only(caption).split()
            missing = [word for word in words if word not in number]
            if missing:
                known = ", ".join(self.words)
                raise ValueError(f"captions: this model has no word {missing[0]!r}; it has {known}")
            indices = [number[word] for word in words] or [len(self.words)]
            rows += indices
            owners += [row] * len(indices)
        owner = torch.tensor(owners, device=self.device)
        vectors = self.embedding(torch.tensor(rows, device=self.device))
        total = vectors.new_zeros(len(captions), vectors.shape[1]).index_add(0, owner, vectors)
        count = torch.bincount(owner, minlength=len(captions)).clamp(min=1)
        return self.read(total / count[:, None])

    def velocity(self, x: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """x (b, 3, 16, 16) from about −1 to 1 at times t (b,), and captions as `encode` gives them → dx/dt, as x."""
        when = self.clock(time_embedding(t, self.config["time_dim"], 100.0))
        return self.net(x, F.silu(when + text))

    def forward(self, x: Tensor, t: Tensor, captions: Sequence[str]) -> Tensor:
        """The velocity under captions."""
        return self.velocity(x, t, self.encode(captions))

    @torch.no_grad()
    def paint(
        self,
        captions: Sequence[str],
        guidance: float = 2.0,
        num_steps: int = 20,
        seed: int = 0,
        noise: Tensor | None = None,
        batch_size: int = 250,
    ) -> np.ndarray:
        """A picture for each caption: uint8 (b, 16, 16, 3).

        Parameters
        ----------
        guidance : 0 forgets the captions, 1 is the model as trained, more exaggerates them
        noise : float (b, 3, 16, 16) to start from; from `seed` by default
        """
        self.eval()
        if noise is None:
            noise = torch.randn(len(captions), 3, ICON, ICON, generator=torch.Generator().manual_seed(seed))
        empty = self.encode([NOTHING])
        parts = []
        for start in range(0, len(captions), batch_size):
            text = self.encode(captions[start : start + batch_size])

            def velocity(x: Tensor, t: Tensor, text: Tensor = text) -> Tensor:
                if guidance == 1:
                    return self.velocity(x, t, text)
                free = empty.expand(len(x), -1)
                if guidance == 0:
                    return self.velocity(x, t, free)
                both = self.velocity(torch.cat([x, x]), torch.cat([t, t]), torch.cat([free, text]))
                unconditional, conditional = both.chunk(2)
                return guide(unconditional, conditional, guidance)

            x = noise[start : start + batch_size].to(self.device)
            parts.append(to_pictures(sample_flow(velocity, x, num_steps)))
        return np.concatenate(parts)

    # ------------------------------------------------------------ files
    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` (float16) and `config.json`, each atomically."""
        write_model(self, folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path = "generation") -> Painter:
        """A trained model, in evaluation mode: the name of a shipped one, or a folder that `save_pretrained` wrote.

        Raises
        ------
        FileNotFoundError
            No such folder, or a file in it is missing.
        ValueError
            The weights are damaged, belong to another architecture, or to another vocabulary.
        """
        return read_model(cls, folder)


def from_pictures(pictures: np.ndarray) -> Tensor:
    """uint8 (b, h, w, c) → float32 (b, c, h, w) from −1 to 1."""
    return torch.from_numpy(np.asarray(pictures, np.float32) / 127.5 - 1).permute(0, 3, 1, 2).contiguous()


def to_pictures(x: Tensor) -> np.ndarray:
    """float (b, c, h, w) from −1 to 1 → uint8 (b, h, w, c); what is beyond is clipped."""
    levels = (x.detach().cpu().permute(0, 2, 3, 1).numpy() + 1) * 127.5
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)
