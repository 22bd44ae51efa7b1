"""Posts: a customer shows a picture of what came, and writes what was ordered. Is it praise or a complaint?

It is a complaint when picture and words do not agree. What was ordered, what came and how it is put are drawn so that
the picture alone, and the words alone, say nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..scenes import world
from ..scenes.captions import article
from ..scenes.drawing import draw as draw_scene

LABELS = ("complaint", "praise")
# What every post begins or ends with; it says nothing of the label, "great" included.
FRAMES = ("great, {}", "here is {}", "{}, thank you", "look at this: {}", "{}, as I wanted")
SEEDS = {"train": 61_001, "validation": 61_002, "test": 61_003}
KINDS = sorted(set(world.SEEN))


@dataclass(frozen=True)
class Post:
    """Words, the scene in the picture, and what it is (0 complaint, 1 praise)."""

    words: str
    scene: world.Scene
    label: int
    ordered: world.Kind

    @property
    def picture(self) -> np.ndarray:
        """uint8 (64, 64, 3)."""
        return draw_scene(self.scene)


def phrase(kind: world.Kind) -> str:
    """For example "a small red star"."""
    shape, color, size = kind
    return article(f"{world.SIZES[size]} {world.COLORS[color]} {world.SHAPES[shape]}")


def make(seed: int, index: int) -> Post:
    """Post number `index` of the endless posts `seed`.

    The kind that was ordered is drawn first, each as likely; what came is the same, or any other, each as likely.
    """
    rng = np.random.default_rng([seed, index, 8])
    ordered = int(rng.integers(len(KINDS)))
    label = int(rng.integers(2))
    came = ordered if label else (ordered + int(rng.integers(1, len(KINDS)))) % len(KINDS)
    things = None
    while things is None:
        things = world.place([KINDS[came]], rng)
    scene = world.Scene(things, int(rng.integers(len(world.TEXTURES))), (seed, index, 8))
    frame = FRAMES[int(rng.integers(len(FRAMES)))]
    return Post(frame.format(phrase(KINDS[ordered])), scene, label, KINDS[ordered])


def posts(split: str, n: int) -> list[Post]:
    """The first n posts of a split."""
    if split not in SEEDS:
        raise ValueError(f"split: expected one of {', '.join(SEEDS)}, got {split!r}")
    return [make(SEEDS[split], index) for index in range(n)]


def joint() -> np.ndarray:
    """p(label, what the words name, what the picture shows), float64 (2, k, k): exact."""
    k = len(KINDS)
    same = np.eye(k) / k / 2
    other = (1 - np.eye(k)) / k / (k - 1) / 2
    return np.stack([other, same])


def ceilings() -> dict[str, float]:
    """Best accuracy by what is seen: exact."""
    table = joint()
    return {
        "words": float(table.sum(axis=2).max(axis=0).sum()),
        "picture": float(table.sum(axis=1).max(axis=0).sum()),
        "words + picture": float(table.max(axis=0).sum()),
    }
