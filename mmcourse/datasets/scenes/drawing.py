"""From a scene's facts to its pixels: Pillow draws the shapes, NumPy the background and the noise."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .world import COLORS, SHAPES, SIDE, TEXTURES, TILT, TURNS, Scene, Thing

RGB = {
    "red": (214, 38, 40),
    "orange": (245, 138, 25),
    "yellow": (250, 226, 60),
    "green": (46, 158, 68),
    "blue": (44, 86, 214),
    "purple": (138, 56, 172),
    "white": (246, 246, 244),
    "black": (22, 22, 26),
}
FINE = 4  # a shape is drawn this many times larger and shrunk, for soft edges
NOISE = 5.0  # standard deviation, in levels of 256
ROWS, COLUMNS = (a.astype(np.float32) for a in np.mgrid[:SIDE, :SIDE])


def outline(shape: str, turn: float) -> np.ndarray:
    """Corners of a shape of radius 1, turned by `turn` degrees: (n, 2) as x, y. A circle has none."""
    star = [1.0, 0.45] * 5
    polar = {
        "square": [(0.95, 45 + 90 * k) for k in range(4)],
        "triangle": [(1.0, -90 + 120 * k) for k in range(3)],
        "diamond": [(r, 90 * k) for k, r in enumerate([0.62, 1.0] * 2)],
        "star": [(r, -90 + 36 * k) for k, r in enumerate(star)],
        "cross": [(r, a + 90 * k) for k in range(4) for r, a in ((0.97, -18.4), (0.97, 18.4), (0.43, 45))],
    }[shape]
    r, angle = np.array(polar).T
    angle = np.deg2rad(angle + turn)
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)


@functools.cache
def mask(shape: int, radius: float, turn: int) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """A shape's cover, 8-bit, and the box of its pixels in it (left, top, right, bottom)."""
    half = int(np.ceil(radius)) + 1
    size, r = (2 * half + 1) * FINE, radius * FINE
    image = Image.new("L", (size, size))
    pen, middle = ImageDraw.Draw(image), (size - 1) / 2
    if SHAPES[shape] == "circle":
        r *= 0.9
        pen.ellipse((middle - r, middle - r, middle + r, middle + r), fill=255)
    else:
        corners = middle + r * outline(SHAPES[shape], (turn - TURNS / 2 + 0.5) * TILT)
        pen.polygon([tuple(corner) for corner in corners.tolist()], fill=255)
    image = image.reduce(FINE)
    box = image.point([0] * 128 + [255] * 128).getbbox()
    assert box is not None  # some of it is drawn
    return image, box


def box(thing: Thing) -> tuple[int, int, int, int]:
    """Where a thing is, were nothing in front of it: (left, top, right, bottom), the last two just outside."""
    cover, (left, top, right, bottom) = mask(thing.shape, thing.radius, thing.turn)
    x, y = thing.x - cover.width // 2, thing.y - cover.height // 2
    return x + left, y + top, x + right, y + bottom


def pattern(texture: str, u: Sequence[float]) -> np.ndarray | float:
    """Light and dark of a background, float32 (64, 64) in about -1..1, from four numbers in 0..1."""
    angle, period = np.float32(np.pi * u[0]), 7 + 7 * u[1]
    if texture == "plain":
        return 0.0
    along = np.float32(np.cos(angle)) * COLUMNS + np.float32(np.sin(angle)) * ROWS
    if texture == "shaded":
        return (along - along.mean()) * np.float32(1 / 32)
    step = np.float32(2 * np.pi / period)
    stripes = np.sin(step * along + np.float32(6.28 * u[2]))
    if texture == "striped":
        return np.sign(stripes)
    across = np.float32(np.cos(angle)) * ROWS - np.float32(np.sin(angle)) * COLUMNS
    stripes = stripes * np.sin(step * across + np.float32(6.28 * u[3]))
    return np.sign(stripes) if texture == "checked" else 2.0 * (stripes > 0.45) - 0.5


def background(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """A grayish tone with the scene's texture."""
    u = rng.random(8)
    tone = 105 + 45 * u[0] + 26 * (u[1:4] - 0.5)
    waves = pattern(TEXTURES[scene.texture], u[4:].tolist())
    gray = np.asarray(np.broadcast_to(waves, (SIDE, SIDE)) * np.float32(16), np.int16)
    return Image.fromarray((gray[..., None] + tone.astype(np.int16)).astype(np.uint8))


def paint(image: Image.Image, things: Sequence[Thing], tints: np.ndarray) -> Image.Image:
    """Put things on an image, the later ones in front; `tints` (≥ n, 3) shift each one's color."""
    for thing, tint in zip(things, tints.tolist(), strict=False):
        cover, _ = mask(thing.shape, thing.radius, thing.turn)
        color = tuple(int(c + t) for c, t in zip(RGB[COLORS[thing.color]], tint, strict=True))
        image.paste(color, (thing.x - cover.width // 2, thing.y - cover.height // 2), cover)
    return image


@functools.cache
def grain() -> np.ndarray:
    """Noise, int16 (512, 512, 3), of which each picture has a piece: new noise would take longer than all the rest."""
    return np.round(NOISE * np.random.default_rng(0).standard_normal((512, 512, 3))).astype(np.int16)


def with_noise(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """uint8 (64, 64, 3), each value off by NOISE."""
    row, column = (rng.random(2) * (512 - SIDE)).astype(int).tolist()
    levels = grain()[row : row + SIDE, column : column + SIDE] + np.asarray(image)
    return np.clip(levels, 0, 255, out=levels).astype(np.uint8)


def draw(scene: Scene) -> np.ndarray:
    """The scene as uint8 (64, 64, 3)."""
    rng = np.random.default_rng([*scene.seed, 1])
    image = background(scene, rng)
    return with_noise(paint(image, scene.things, rng.uniform(-10, 10, (len(scene.things), 3))), rng)


def draw_frames(scene: Scene, frames: Sequence[Sequence[Thing]]) -> np.ndarray:
    """One picture for each list of things, on the scene's background: uint8 (t, 64, 64, 3); noise differs."""
    rng = np.random.default_rng([*scene.seed, 1])
    empty, tint = background(scene, rng), rng.uniform(-10, 10, (1, 3))
    return np.stack([with_noise(paint(empty.copy(), things, tint.repeat(9, axis=0)), rng) for things in frames])
