"""Short videos of a scene in which one thing moves, changes its size, appears or vanishes.

Every event has a mirror image: a film of "move left" that runs backwards is a film of "move right". Who acts,
where, and in which frame is drawn without a look at which of the two it is, so that the frames without their order
tell nothing of it: `order_blind_ceiling` is 0.5, exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .captions import EVENTS, event_caption
from .drawing import draw_frames
from .world import SEEN, SIDE, TEXTURES, UNSEEN, Scene, Thing, check_unseen, draw_kinds, moved, place

FRAMES = 12
PATH = 22  # pixels that a thing moves, from the first frame to the last
STEPS = {"move left": (-1, 0), "move right": (1, 0), "move up": (0, -1), "move down": (0, 1)}
PAIRS = (("move left", "move right"), ("move up", "move down"), ("grow", "shrink"), ("appear", "vanish"))
MIRROR = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}  # what is seen when the film runs backwards


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


def move(thing: Thing, event: str, t: int, u: float) -> list[Thing | None]:
    """The thing in each of `t` frames on its way; `u` in 0..1 says where the way lies."""
    dx, dy = STEPS[event]
    low, high = thing.radius + 1.5, SIDE - thing.radius - 1.5 - PATH
    start = low + (high - low) * u
    way = (start + PATH * np.linspace(0, 1, t)).round().astype(int)[:: 1 if dx + dy > 0 else -1].tolist()
    return [moved(thing, **{"x" if dx else "y": at}) for at in way]


def resize(thing: Thing, event: str, t: int) -> list[Thing | None]:
    """The thing in each of `t` frames while it grows or shrinks."""
    radii = (2 * np.linspace(5, 11.5, t)).round()[:: 1 if event == "grow" else -1] / 2
    middle = {"x": min(max(thing.x, 13), SIDE - 13), "y": min(max(thing.y, 13), SIDE - 13)}
    return [moved(thing, radius=float(radius), **middle) for radius in radii]


def show(thing: Thing, event: str, t: int, turn: int) -> list[Thing | None]:
    """The thing in each of `t` frames, None where it is not there: it comes in frame `turn`, or is gone from it on."""
    return [thing if (i >= turn) == (event == "appear") else None for i in range(t)]


def turns(t: int) -> range:
    """The frames in which a thing may appear or vanish: as many before the middle as behind it (4 … 8 of 12)."""
    return range(t // 3, t - t // 3 + 1)


def act(thing: Thing, event: str, t: int, rng: np.random.Generator) -> list[Thing | None]:
    """The thing in each of `t` frames; None where it is not there."""
    if event in STEPS:
        return move(thing, event, t, rng.random())
    if event in ("grow", "shrink"):
        return resize(thing, event, t)
    return show(thing, event, t, int(rng.choice(turns(t))))


def unordered(thing: Thing, event: str, t: int = FRAMES, places: int = 64) -> dict[tuple, float]:
    """P(frames as a set | event), by enumerating all that `act` draws; a way's place is one of `places`.

    A key is the sorted states of the thing, each with how often it comes.
    """
    if event in STEPS:
        every = [move(thing, event, t, (k + 0.5) / places) for k in range(places)]
    elif event in ("grow", "shrink"):
        every = [resize(thing, event, t)]
    else:
        every = [show(thing, event, t, turn) for turn in turns(t)]
    odds: dict[tuple, float] = defaultdict(float)
    for states in every:
        key = sorted((-1, -1, -1.0) if now is None else (now.x, now.y, now.radius) for now in states)
        odds[tuple(key)] += 1 / len(every)
    return dict(odds)


def order_blind_ceiling(thing: Thing | None = None, t: int = FRAMES) -> float:
    """Best accuracy of any guesser that gets the frames without their order, for an actor like `thing`: 0.5.

    Bayes: for each set of frames, the event under which it is most probable is guessed. What surrounds the actor, and
    the noise, is drawn alike for all events.
    """
    thing = Thing(shape=0, color=0, size=0, x=32, y=32, radius=6.0, turn=0) if thing is None else thing
    tables = [unordered(thing, event, t) for event in EVENTS]
    keys = {key for table in tables for key in table}
    return sum(max(table.get(key, 0.0) for table in tables) for key in keys) / len(EVENTS)


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
    name = check_unseen(unseen)
    actors = UNSEEN[name] if name else SEEN
    while True:
        actor = draw_kinds(rng, 1, list(actors))[0]  # of either size: one frame must not tell "grow" from "shrink"
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
