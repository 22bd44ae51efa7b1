"""A bird's-eye-view network for road: three sensors brought to one grid, and fused in each cell.

After BEVFusion (Liang et al. 2022, arXiv 2205.13790; Liu et al. 2022, arXiv 2205.13542), in small: the camera's
features are lifted to the grid by the known geometry, lidar and radar come as grids, and a small head reads each cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mmcourse.datasets.road import CLASSES, MODALITIES
from mmcourse.datasets.road.sensors import HEIGHT, WIDTH, lift_index
from mmcourse.datasets.road.world import COLUMNS, ROWS

__all__ = ["BirdView", "FUSIONS", "cell_loss", "evaluate", "fit", "sample_modality_mask", "to_tensors"]

FUSIONS = ("vote", "gate", "concatenate")


class CameraBranch(nn.Module):
    """Picture (b, 3, HEIGHT, WIDTH) → grid (b, dim, ROWS, COLUMNS), and a context (b, context): what the weather is."""

    def __init__(self, dim: int, context: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 12, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(12, 16, 3, padding=1)
        index, seen = lift_index(HEIGHT // 2, WIDTH // 2)
        self.register_buffer("index", torch.from_numpy(index), persistent=False)  # (cells, heights)
        self.register_buffer("seen", torch.from_numpy(seen), persistent=False)
        self.mix = nn.Conv2d(16 * index.shape[1], dim, 1)
        self.context = nn.Linear(12, context)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor]:
        first = self.conv1(x - 0.5).relu()  # (b, 12, h/2, w/2)
        features = self.conv2(first).relu().flatten(2)  # (b, 16, pixels)
        lifted = features[:, :, self.index] * self.seen  # (b, 16, cells, heights)
        lifted = lifted.permute(0, 1, 3, 2).reshape(len(x), -1, ROWS, COLUMNS)
        return self.mix(lifted).relu(), self.context(first.mean(dim=(2, 3))).relu()


class GridBranch(nn.Module):
    """Bird's-eye view (b, channels, ROWS, COLUMNS) → grid (b, dim, ROWS, COLUMNS)."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, dim, 1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c r k"]) -> Float[Tensor, "b d r k"]:
        return self.conv2(self.conv1(x).relu()).relu()


class BirdView(nn.Module):
    """Three sensors → logits of each cell (b, classes, ROWS, COLUMNS).

    Parameters
    ----------
    fusion : "vote": each sensor's own logits are added. "gate": they are multiplied by weights that the context gives,
        one for each sensor and class, and added. "concatenate": one head reads all features and the context.
    dim : channels of each sensor's grid
    context : width of what the picture says of the weather

    A sensor that is not there adds nothing to a sum of logits; in "concatenate", a learned vector stands in.
    """

    def __init__(self, fusion: str = "gate", dim: int = 24, context: int = 8) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f"fusion: expected one of {', '.join(FUSIONS)}, got {fusion!r}")
        self.fusion = fusion
        self.camera = CameraBranch(dim, context)
        self.lidar = GridBranch(4, dim)
        self.radar = GridBranch(3, dim)
        self.heads = nn.ModuleDict({m: nn.Conv2d(dim, len(CLASSES), 1) for m in MODALITIES})
        self.prior = nn.Parameter(torch.zeros(len(CLASSES)))
        self.no_context = nn.Parameter(torch.zeros(context))
        if fusion == "gate":
            self.gate = nn.Linear(context, (len(MODALITIES) + 1) * len(CLASSES))
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)
        if fusion == "concatenate":
            self.null = nn.Parameter(0.1 * torch.randn(len(MODALITIES), dim))
            self.join = nn.Conv2d(len(MODALITIES) * dim + context, 48, 1)
            self.out = nn.Conv2d(48, len(CLASSES), 1)

    def forward(self, batch: Mapping[str, Tensor], modality_mask: Bool[Tensor, "b m"] | None = None) -> Tensor:
        """`batch`: "camera" (b, 3, h, w), "lidar" (b, 4, r, k), "radar" (b, 3, r, k); mask: columns as MODALITIES."""
        b = len(batch["camera"])
        if modality_mask is None:
            modality_mask = torch.ones(b, len(MODALITIES), dtype=torch.bool, device=batch["camera"].device)
        camera, context = self.camera(batch["camera"])
        context = torch.where(modality_mask[:, :1], context, self.no_context)
        grids = {"camera": camera, "lidar": self.lidar(batch["lidar"]), "radar": self.radar(batch["radar"])}
        there = modality_mask[:, :, None, None, None]  # (b, m, 1, 1, 1)
        if self.fusion == "concatenate":
            stacked = torch.stack([grids[m] for m in MODALITIES], dim=1)  # (b, m, d, r, k)
            stacked = torch.where(there, stacked, self.null[None, :, :, None, None])
            wide = context[:, :, None, None].expand(-1, -1, ROWS, COLUMNS)
            return self.out(self.join(torch.cat([stacked.flatten(1, 2), wide], dim=1)).relu())
        logits = torch.stack([self.heads[m](grids[m]) for m in MODALITIES], dim=1)  # (b, m, classes, r, k)
        logits = torch.where(there, logits, torch.zeros_like(logits))
        prior = self.prior[None]
        if self.fusion == "gate":
            gates = self.gate(context).unflatten(1, (len(MODALITIES) + 1, len(CLASSES)))  # (b, m + 1, classes)
            logits = logits * gates[:, :-1, :, None, None].exp()
            prior = prior + gates[:, -1]
        return logits.sum(dim=1) + prior[:, :, None, None]


def to_tensors(dataset: Any) -> dict[str, Tensor]:
    """A split of road as tensors: the three inputs with their channels first, "cells" and "classes" (n, 5)."""
    features = dataset.features()
    made = {m: torch.from_numpy(features[m]).permute(0, 3, 1, 2).contiguous() for m in MODALITIES}
    targets = dataset.targets
    return {**made, **{name: torch.from_numpy(np.array(targets[name])) for name in ("cells", "classes")}}


def at_places(logits: Float[Tensor, "b c r k"], cells: Int[Tensor, "b p"]) -> Float[Tensor, "b p c"]:
    """The logits of each place's cell; those of cell 0 where there is no place."""
    flat = logits.flatten(2).transpose(1, 2)  # (b, cells, classes)
    return flat.gather(1, cells.clamp(min=0)[:, :, None].expand(-1, -1, flat.shape[2]))


def cell_loss(logits: Tensor, cells: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy over all places of a batch; where there is no place, the class is -1 and does not count."""
    return F.cross_entropy(at_places(logits, cells).flatten(0, 1), classes.flatten(), ignore_index=-1)


def sample_modality_mask(batch_size: int, rate: float, generator: torch.Generator | None = None) -> Tensor:
    """Sensor dropout: each sensor of each sample is missing with chance `rate`, but never all three; bool (b, 3)."""
    mask = torch.rand(batch_size, len(MODALITIES), generator=generator) >= rate
    kept = torch.randint(len(MODALITIES), (batch_size,), generator=generator)
    lost = ~mask.any(dim=1)
    mask[lost, kept[lost]] = True
    return mask


def fit(
    model: BirdView,
    train: Mapping[str, Tensor],
    epochs: int = 6,
    batch_size: int = 32,
    lr: float = 5e-3,
    sensor_dropout: float = 0.0,
    seed: int = 0,
    on_epoch_end=None,
) -> list[float]:
    """Train with Adam and a cosine schedule; returns the mean loss of each epoch. `on_epoch_end(epoch, loss)`."""
    generator = torch.Generator().manual_seed(seed)
    n = len(train["camera"])
    steps = epochs * -(-n // batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    losses = []
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.randperm(n, generator=generator).split(batch_size):
            batch = {name: values[rows] for name, values in train.items()}
            mask = sample_modality_mask(len(rows), sensor_dropout, generator) if sensor_dropout else None
            loss = cell_loss(model(batch, mask), batch["cells"], batch["classes"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        losses.append(total / n)
        if on_epoch_end:
            on_epoch_end(epoch, losses[-1])
    model.eval()
    return losses


@torch.no_grad()
def evaluate(model: BirdView, data: Mapping[str, Tensor], there: tuple[str, ...] = MODALITIES) -> np.ndarray:
    """Log-probabilities at each place when only some sensors are there: float (n, 5, classes)."""
    model.eval()
    mask = torch.tensor([m in there for m in MODALITIES])
    found = []
    for rows in torch.arange(len(data["camera"])).split(200):
        batch = {name: values[rows] for name, values in data.items()}
        logits = model(batch, mask.expand(len(rows), -1))
        found.append(at_places(logits, batch["cells"]).log_softmax(dim=-1))
    return torch.cat(found).numpy()
