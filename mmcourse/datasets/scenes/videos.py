"""Short videos of a scene in which one thing moves, changes its size, appears or vanishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .captions import EVENTS, event_caption
from .drawing import draw_frames
from .world import SEEN, SIDE, SIZES, TEXTURES, UNSEEN, Scene, Thing, check_unseen, draw_kinds, moved, place

FRAMES = 12
PATH = 22  # pixels that a thing moves, from the first frame to the last
STEPS = {"move left": (-1, 0), "move right": (1, 0), "move up": (0, -1), "move down": (0, 1)}


@dataclass(frozen=True)
class Clip:
    """A video before it is drawn: the scene, whose last thing acts, the things of each frame, what is said of it."""

    scene: Scene
    event: str
    frames: tuple[tuple[Thing, ...], ...]
    caption: str
    caption_zh: str

    def draw(self) -> np.ndarray:
        """uint8 (t, 64, 64, 3)"""
        return draw_frames(self.scene, self.frames)


def act(thing: Thing, event: str, t: int, rng: np.random.Generator) -> list[Thing | None]:
    """The thing in each of `t` frames; None where it is not there."""
    if event in STEPS:
        dx, dy = STEPS[event]
        low, high = thing.radius + 1.5, SIDE - thing.radius - 1.5 - PATH
        start = low + (high - low) * rng.random()
        way = (start + PATH * np.linspace(0, 1, t)).round().astype(int)[:: 1 if dx + dy > 0 else -1].tolist()
        return [moved(thing, **{"x" if dx else "y": at}) for at in way]
    if event in ("grow", "shrink"):
        radii = (2 * np.linspace(5, 11.5, t)).round()[:: 1 if event == "grow" else -1] / 2
        middle = {"x": min(max(thing.x, 13), SIDE - 13), "y": min(max(thing.y, 13), SIDE - 13)}
        return [moved(thing, radius=float(radius), **middle) for radius in radii]
    turn = int(rng.integers(t // 4, 3 * t // 4)) + 1
    return [thing if (i >= turn) == (event == "appear") else None for i in range(t)]


def make(seed: int, index: int, unseen: str | None = None, frames: int = FRAMES) -> Clip:
    """Video number `index` of the endless world `seed`; the events come in turn.

    Parameters
    ----------
    unseen : None, "colour-shape" or "size-shape"
        Whether the thing that acts is of a kind that training never has.
    frames : 8 to 16
    """
    if not 8 <= frames <= 16:
        raise ValueError(f"frames: expected 8 to 16, got {frames}")
    rng = np.random.default_rng([seed, index, 7])
    event = EVENTS[index % len(EVENTS)]
    size = {"grow": "small", "shrink": "large"}.get(event)
    name = check_unseen(unseen)
    actors = UNSEEN[name] if name else SEEN
    while True:
        actor = draw_kinds(rng, 1, [k for k in actors if size in (None, SIZES[k[2]])])[0]
        others = draw_kinds(rng, int(rng.integers(3)), [k for k in SEEN if k[:2] != actor[:2]])
        things = place([*others, actor], rng)
        if things:
            break
    scene = Scene(things, int(rng.integers(len(TEXTURES))), (seed, index, 7))
    *still, thing = things
    shown = act(thing, event, frames, rng)
    lists = tuple((*still, *([now] if now else [])) for now in shown)
    return Clip(scene, event, lists, *event_caption(thing, event, scene.seed))


class Drawn(Sequence):
    """Column of videos, each drawn when it is looked at: element i is uint8 (t, 64, 64, 3)."""

    def __init__(self, clips: Sequence[Clip]):
        self.clips = list(clips)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, i):
        if isinstance(i, (int, np.integer)):
            return self.clips[i].draw()
        return Drawn([self.clips[row] for row in np.arange(len(self))[i]])
