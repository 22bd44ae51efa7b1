"""The test scenes that all figures of Part 4 are computed on."""

from __future__ import annotations

import numpy as np

from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.drawing import draw

SEED = 20_003  # test scenes, as `scenes.load("test")` has them
UNSEEN_SEED = 20_013  # with pairs of color and shape that training never has


def draw_scenes(n: int, unseen: str | None = None) -> tuple[list[world.Scene], np.ndarray]:
    """Scenes and pictures, uint8 (n, 64, 64, 3); `unseen` ("colour-shape") asks for pairs that training never has."""
    seed = SEED if unseen is None else UNSEEN_SEED
    scenes = [world.make(seed, index, unseen) for index in range(n)]
    return scenes, np.stack([draw(scene) for scene in scenes])
