"""Icons: one thing cut out of a scene, its caption, and an exact parser of such pictures (16 × 16 pixels).

::

    pictures, captions, kinds = icons.load(per_kind=10, seed=1)
    found = icons.parse(pictures)  # shape, color, and how far the picture is from the best rendering

A kind is (shape, color); size words have no part here, since every thing just fills its icon.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .captions import ENGLISH, article
from .drawing import RGB, draw, mask
from .world import COLORS, HELD_OUT, SHAPES, SIDE, TEXTURES, TURNS, Scene, Thing

ICON = 16  # side in pixels
ICON_RADII = (6.5, 7.0)
ICON_KINDS = [(s, c) for s in range(len(SHAPES)) for c in range(len(COLORS))]
UNSEEN_ICONS = [(s, c) for s, c in ICON_KINDS if (COLORS[c], SHAPES[s]) in HELD_OUT["colour-shape"]]
SEEN_ICONS = [kind for kind in ICON_KINDS if kind not in UNSEEN_ICONS]
MOST_ERROR = 18.0  # levels of 256, root mean square: no icon of the renderer is so far from its best fit


def name_of(kind: tuple[int, int]) -> str:
    """ "a red star": the plainest caption of a kind."""
    return article(f"{COLORS[kind[1]]} {SHAPES[kind[0]]}")


def say_icon(kind: tuple[int, int], rng: np.random.Generator) -> str:
    """A caption with synonyms, in one of three word orders: "a scarlet disc", "a disc that is red", "a disc in red"."""
    color, shape = (str(rng.choice(ENGLISH[word])) for word in (COLORS[kind[1]], SHAPES[kind[0]]))
    order = rng.integers(4)
    if order == 0:
        return article(f"{shape} that is {color}")
    return article(f"{shape} in {COLORS[kind[1]]}") if order == 1 else article(f"{color} {shape}")


def draw_icon(kind: tuple[int, int], seed: Sequence[int]) -> np.ndarray:
    """One thing of a kind, 13 or 14 pixels across, turned and tinted by chance, on a background: uint8 (16, 16, 3)."""
    rng = np.random.default_rng([*seed, 3])
    half = ICON // 2
    x, y = rng.integers(half, SIDE - half, 2).tolist()
    radius = ICON_RADII[int(rng.integers(len(ICON_RADII)))]
    thing = Thing(kind[0], kind[1], 0, x, y, radius, int(rng.integers(TURNS)))
    scene = Scene((thing,), int(rng.integers(len(TEXTURES))), tuple(seed))
    return draw(scene)[y - half : y + half, x - half : x + half]


def load(
    per_kind: int, seed: int, kinds: Sequence[tuple[int, int]] = SEEN_ICONS
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Icons of each kind: pictures uint8 (n, 16, 16, 3), captions, and kinds int64 (n, 2) as (shape, color)."""
    rng = np.random.default_rng(seed)
    listed = [kind for kind in kinds for _ in range(per_kind)]
    pictures = np.stack([draw_icon(kind, (seed, number)) for number, kind in enumerate(listed)])
    return pictures, [say_icon(kind, rng) for kind in listed], np.array(listed)


# ---------------------------------------------------------------- the judge
@dataclass(frozen=True)
class Parsed:
    """What pictures show.

    Attributes
    ----------
    shape, color : int64 (n,), as in SHAPES and COLORS
    turn, radius : which rendering fits best
    error : float (n,), root mean square of what the best fit leaves, in levels of 256
    is_clean : bool (n,), whether that is as small as with the renderer's own icons
    """

    shape: np.ndarray
    color: np.ndarray
    turn: np.ndarray
    radius: np.ndarray
    error: np.ndarray

    @property
    def is_clean(self) -> np.ndarray:
        return self.error <= MOST_ERROR

    def right(self, kinds: np.ndarray) -> np.ndarray:
        """Whether shape and color are those of `kinds` (n, 2), and the picture is a clean one: bool (n,)."""
        kinds = np.asarray(kinds)
        return (self.shape == kinds[:, 0]) & (self.color == kinds[:, 1]) & self.is_clean


@functools.cache
def _covers() -> tuple[np.ndarray, list[tuple[int, int, float]]]:
    """Every cover that the renderer can draw: float (k, 256) from 0 to 1, and its (shape, turn, radius)."""
    covers, names = [], []
    for shape in range(len(SHAPES)):
        for radius in ICON_RADII:
            for turn in range(TURNS if SHAPES[shape] != "circle" else 1):
                cover = np.asarray(mask(shape, radius, turn)[0], float) / 255
                start = len(cover) // 2 - ICON // 2
                covers.append(cover[start : start + ICON, start : start + ICON].ravel())
                names.append((shape, turn, radius))
    return np.stack(covers), names


def parse(pictures: np.ndarray) -> Parsed:
    """What icons show, by comparing them with every cover that the renderer can draw.

    For each cover, picture = background + cover · (color − background) is fitted by least squares, channel by channel;
    the cover that leaves least is the shape, and the color is the nearest of the eight.

    Parameters
    ----------
    pictures : uint8 or float (n, 16, 16, 3), from 0 to 255
    """
    pictures = np.asarray(pictures)
    if pictures.ndim != 4 or pictures.shape[1:] != (ICON, ICON, 3):
        raise ValueError(f"pictures: expected (n, {ICON}, {ICON}, 3), got {pictures.shape}")
    flat = pictures.reshape(len(pictures), ICON * ICON, 3).astype(float)
    covers, names = _covers()
    middle = covers.mean(axis=1)
    centered = covers - middle[:, None]  # (k, 256)
    power = (centered**2).sum(axis=1)
    means = flat.mean(axis=1)  # (n, 3)
    along = np.einsum("kp,npc->nkc", centered, flat)  # (n, k, 3)
    explained = (along**2).sum(axis=2) / power  # of the sum of squares
    total = ((flat - means[:, None]) ** 2).sum(axis=(1, 2))
    best = explained.argmax(axis=1)
    rows = np.arange(len(flat))
    slope = along[rows, best] / power[best, None]
    painted = means + slope * (1 - middle[best])[:, None]  # the fitted color where the cover is 1
    colors = np.array([RGB[name] for name in COLORS], float)
    nearest = ((painted[:, None] - colors) ** 2).sum(axis=2).argmin(axis=1)
    left = (total - explained[rows, best]).clip(0) / (3 * ICON * ICON)
    shape, turn, radius = (np.array([names[i][part] for i in best]) for part in range(3))
    return Parsed(shape, nearest, turn, radius, np.sqrt(left))
