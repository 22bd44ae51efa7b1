"""Heat maps against what is known: does the peak fall on the thing asked about, and what happens when it is hidden?

Maps are float (b, rows, columns), large where the explanation says that something matters. Rows and columns may be
fewer than the picture's pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def cell_centers(rows: int, columns: int, side: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y of each cell's center in a picture of side × side pixels, float (rows, columns) each."""
    y, x = np.mgrid[:rows, :columns]
    return (x + 0.5) * side / columns, (y + 0.5) * side / rows


def inside(boxes: Any, rows: int, columns: int, side: float) -> np.ndarray:
    """Which cells have their center in a box (left, top, right, bottom): bool (b, rows, columns)."""
    left, top, right, bottom = np.asarray(boxes, np.float64).T[..., None, None]
    x, y = cell_centers(rows, columns, side)
    return (left <= x) & (x < right) & (top <= y) & (y < bottom)


def pointing_game(maps: Any, boxes: Any, side: float) -> np.ndarray:
    """Whether the peak of each map lies in its box, float (b,) (Zhang et al. 2016, arXiv 1608.00507).

    Where several cells are equally hot, the share of them that are inside: a map that is the same everywhere gets the
    box's share of the picture, as a random guess does.

    Parameters
    ----------
    maps : float (b, rows, columns)
    boxes : (b, 4) left, top, right, bottom in pixels; the last two just outside
    side : height and width of the picture

    Raises
    ------
    ValueError
        A map holds NaN or an infinite number.
    """
    maps = _checked(maps)
    peak = maps == maps.max(axis=(1, 2), keepdims=True)
    hit = inside(boxes, maps.shape[1], maps.shape[2], side) & peak
    return hit.sum(axis=(1, 2)) / peak.sum(axis=(1, 2))


def energy_inside(maps: Any, boxes: Any, side: float) -> np.ndarray:
    """Share of a map's sum inside its box, float (b,); negative numbers count as 0, an empty map as spread evenly."""
    maps = np.maximum(_checked(maps), 0)
    within = inside(boxes, maps.shape[1], maps.shape[2], side)
    maps = maps + (maps.sum(axis=(1, 2), keepdims=True) == 0)
    return (maps * within).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))


def center_map(number: int, rows: int, columns: int) -> np.ndarray:
    """The explanation that never looks: hot in the middle, float (number, rows, columns)."""
    x, y = cell_centers(rows, columns, 2)
    return np.repeat(-((x - 1) ** 2 + (y - 1) ** 2)[None], number, axis=0)


def replacement_curve(
    score: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    maps: Any,
    fill: np.ndarray,
    shares: Sequence[float],
    insert: bool = False,
    seed: int = 0,
) -> np.ndarray:
    """Scores while the hottest cells are replaced: deletion and insertion (Petsiuk et al. 2018, arXiv 1806.07421).

    Parameters
    ----------
    score : pictures (b, h, w, c) → float (b,)
    images, fill : (b, h, w, c), the pictures and what stands for "nothing there"
    maps : float (b, rows, columns); rows and columns divide h and w; ties are broken by chance
    shares : which shares of the cells are replaced, 0 to 1
    insert : begin with `fill` and put the hottest cells of the picture in
    seed : for the ties

    Returns
    -------
    float (b, len(shares))
    """
    maps = _checked(maps)
    number, rows, columns = maps.shape
    block = images.shape[1] // rows, images.shape[2] // columns
    if (rows * block[0], columns * block[1]) != images.shape[1:3]:
        raise ValueError(f"maps: expected rows and columns that divide {images.shape[1:3]}, got {maps.shape[1:]}")
    chance = np.random.default_rng(seed).random((number, rows * columns))
    order = np.lexsort((chance, -maps.reshape(number, -1)), axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(rows * columns)[None], axis=1)
    start, end = (fill, images) if insert else (images, fill)
    curve = []
    for share in shares:
        hot = (rank < round(share * rows * columns)).reshape(number, rows, columns)
        pixels = hot.repeat(block[0], axis=1).repeat(block[1], axis=2)[..., None]
        curve.append(np.asarray(score(np.where(pixels, end, start)), np.float64))
    return np.stack(curve, axis=1)


def _checked(maps: Any) -> np.ndarray:
    """Float maps without NaN."""
    maps = np.asarray(maps, np.float64)
    if maps.ndim != 3:
        raise ValueError(f"maps: expected (b, rows, columns), got {maps.shape}")
    if not np.isfinite(maps).all():
        raise ValueError("maps: NaN or infinite; was an all-zero map divided by its largest value?")
    return maps
