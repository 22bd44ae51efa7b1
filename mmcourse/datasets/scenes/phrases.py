"""One thing, and what one says of it: a cut-out of a scene and a noun phrase, the easiest pairs to learn from."""

from __future__ import annotations

import numpy as np

from .captions import ENGLISH, Voice, noun_phrase
from .drawing import draw
from .world import COLORS, SEEN, SHAPES, SIDE, SIZES, TEXTURES, Scene, Thing, place

CUT = SIDE // 2  # side of a cut-out in pixels
KINDS = sorted(set(SEEN))  # (shape, color, size) of the training data, as numbers
NAMES = [f"a {SIZES[size]} {COLORS[color]} {SHAPES[shape]}" for shape, color, size in KINDS]


def draw_cut_outs(per_kind: int, seed: int) -> np.ndarray:
    """One thing in each, whole and somewhere: uint8 (70, per_kind, 32, 32, 3), row k showing `KINDS[k]`."""
    rng = np.random.default_rng(seed)
    cuts = np.empty((len(KINDS), per_kind, CUT, CUT, 3), np.uint8)
    for k, kind in enumerate(KINDS):
        for i in range(per_kind):
            things = place([kind], rng)
            assert things is not None, "one thing always finds a place"
            scene = Scene(things, int(rng.integers(len(TEXTURES))), (seed, k, i))
            top, left = _corner(things[0], rng)
            cuts[k, i] = draw(scene)[top : top + CUT, left : left + CUT]
    return cuts


def _corner(thing: Thing, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a random cut-out that holds the thing whole."""
    center = np.array([thing.y, thing.x])
    low = np.ceil(center + thing.radius + 2 - CUT).astype(int).clip(0, SIDE - CUT)
    high = (center - thing.radius - 1).astype(int).clip(0, SIDE - CUT)
    top, left = rng.integers(low, np.maximum(low, high) + 1).tolist()
    return top, left


def say_phrases(seed: int) -> list[str]:
    """A noun phrase for each of the 70 kinds, by a new speaker each: "a disc that is red and little"."""
    said = []
    for k, (shape, color, size) in enumerate(KINDS):
        thing = Thing(shape, color, size, SIDE // 2, SIDE // 2, 6.0, 0)
        said.append(noun_phrase(thing, Voice(ENGLISH, (seed, k))))
    return said
