"""Short films with sound: one thing blinks and clicks, another only blinks; or a thing glides while a tone hums.

In a film of kind "blink", whether the clicking thing is there is drawn anew for each frame, like a fair coin, and
it clicks in each frame in which it is there. So two patterns of W frames that have nothing to do with each other
are equal with probability 2^−W, and what any judge of "in step?" can reach is known: `in_step_ceiling`. In a film
of kind "hum", a thing glides at constant speed and the tone never changes: moved by any offset, the sound is the
same.

The sound is late by `offset` frames (early if negative). See `data/scenes/README.md`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..base import check_split
from .drawing import draw_frames
from .world import SEEN, TEXTURES, Scene, Thing, draw_kinds, moved, place

FPS = 10
SAMPLE_RATE = 16_000
PER_FRAME = SAMPLE_RATE // FPS  # samples while a frame is shown
FRAMES = 32
MOST_OFFSET = 8  # frames, to either side
KINDS = ("blink", "hum")
SEEDS = {"train": 50_001, "validation": 50_002, "test": 50_003}
FLICKER = 6.0  # standard deviation of the whole picture's brightness from frame to frame, in levels of 256
HISS = 0.06  # standard deviation of the noise; a click is 0.25 at its peak, times 0.5 to 1.5
FALSE_CLICKS = 0.1  # how often something else clicks while a frame is shown


@dataclass(frozen=True)
class Film:
    """A film before it is drawn.

    Attributes
    ----------
    pattern : bool (t,), when the thing that clicks is there; for "hum", always
    offset : by how many frames the sound is late
    """

    scene: Scene
    kind: str
    pattern: np.ndarray
    sounding: np.ndarray  # bool (t,): in which frames it clicks; the pattern, moved by the offset
    frames: tuple[tuple[Thing, ...], ...]
    offset: int

    @property
    def thing(self) -> Thing:
        """The thing that is heard."""
        return self.scene.things[-1]

    def draw(self) -> np.ndarray:
        """uint8 (t, 64, 64, 3)"""
        pictures = draw_frames(self.scene, self.frames).astype(float)
        rng = np.random.default_rng([*self.scene.seed, 8])
        pictures += rng.normal(0, FLICKER, (len(pictures), 1, 1, 1))
        return np.clip(pictures.round(), 0, 255).astype(np.uint8)

    def wave(self) -> np.ndarray:
        """float32 (t · PER_FRAME,), at 16 kHz"""
        rng = np.random.default_rng([*self.scene.seed, 9])
        t = len(self.frames)
        sound = rng.normal(0, HISS, t * PER_FRAME)
        time = np.arange(PER_FRAME) / SAMPLE_RATE
        if self.kind == "hum":
            every = np.arange(t * PER_FRAME) / SAMPLE_RATE
            return (sound + 0.1 * np.sin(2 * np.pi * 220 * every)).astype(np.float32)
        click = np.exp(-60 * time) * np.sin(2 * np.pi * 700 * time)
        clicks = self.sounding | (rng.random(t) < FALSE_CLICKS)
        for i, loud in enumerate(rng.uniform(0.5, 1.5, t)):
            if clicks[i]:
                sound[i * PER_FRAME : (i + 1) * PER_FRAME] += 0.25 * loud * click
        return sound.astype(np.float32)


def make_film(seed: int, index: int, kind: str = "blink", offset: int | None = None, frames: int = FRAMES) -> Film:
    """Film number `index` of the endless world `seed`.

    Parameters
    ----------
    offset : None for a random one, each of −8 … 8 equally likely
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    if not 2 * MOST_OFFSET < frames <= 100:
        raise ValueError(f"frames: expected {2 * MOST_OFFSET + 1} to 100, got {frames}")
    rng = np.random.default_rng([seed, index, 8])
    while True:
        things = place(draw_kinds(rng, 2, SEEN), rng)
        if things:
            break
    silent, thing = things
    drawn = int(rng.integers(-MOST_OFFSET, MOST_OFFSET + 1))
    late = drawn if offset is None else int(offset)
    coins = rng.random((2, frames + 2 * MAX_SHIFT)) < 0.5  # the world goes on before and after the film
    if abs(late) > MAX_SHIFT:
        raise ValueError(f"offset: expected at most {MAX_SHIFT} frames, got {late}")
    here = slice(MAX_SHIFT, MAX_SHIFT + frames)
    scene = Scene(things, int(rng.integers(len(TEXTURES))), (seed, index, 8))
    if kind == "hum":
        low, high = thing.radius + 1.5, 64 - thing.radius - 1.5
        way = np.linspace(low, high, frames).round().astype(int).tolist()
        shown = tuple((moved(thing, x=at),) for at in way)
        always = np.ones(frames, bool)
        return Film(scene, kind, always, always, shown, late)
    pattern = coins[0, here]
    sounding = coins[0, MAX_SHIFT - late : MAX_SHIFT - late + frames]  # sounding[i + late] is pattern[i]
    blinking = coins[1, here]
    shown = tuple(
        (*((silent,) if other else ()), *((thing,) if there else ()))
        for there, other in zip(pattern.tolist(), blinking.tolist(), strict=True)
    )
    return Film(scene, kind, pattern, sounding, shown, late)


MAX_SHIFT = 16


def load_films(split: str = "train", n: int = 200, kind: str = "blink", seed: int | None = None) -> list[Film]:
    """`n` films of a split; no two splits share one."""
    check_split(split)
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n: expected a whole number ≥ 1, got {n!r}")
    own = SEEDS[split] if seed is None else seed
    return [make_film(own, index, kind) for index in range(n)]


def in_step_ceiling(window: int, false_clicks: float = 0.0) -> float:
    """Best accuracy of any judge who sees `window` frames and hears `window` frames: do they belong together?

    Half of the pairs do; in the other half the patterns are independent, and equal by chance with probability 2^−W.
    Equal patterns are called in step: right for all that are, wrong for 2^−W of those that are not. 1 − 2^−(W + 1).

    Parameters
    ----------
    false_clicks : probability that something else clicks while a frame is shown. Then the better explanation of how
        often each of (there or not, click or not) came decides (Bayes), and the accuracy is a sum over all counts.
    """
    if window < 0:
        raise ValueError(f"window: expected 0 or more frames, got {window}")
    if not 0 <= false_clicks < 1:
        raise ValueError(f"false_clicks: expected a probability below 1, got {false_clicks}")
    q = 0.5 + 0.5 * false_clicks  # a click in a frame, whatever is seen
    together = np.array(
        [0.5, 0.0, 0.5 * false_clicks, 0.5 * (1 - false_clicks)]
    )  # there: click, none; not: click, none
    apart = np.array([0.5 * q, 0.5 * (1 - q), 0.5 * q, 0.5 * (1 - q)])
    right = 0.0
    for a in range(window + 1):
        for b in range(window + 1 - a):
            for c in range(window + 1 - a - b):
                counts = np.array([a, b, c, window - a - b - c])
                ways = math.factorial(window) / math.prod(math.factorial(k) for k in counts.tolist())
                right += 0.5 * ways * max(float(np.prod(together**counts)), float(np.prod(apart**counts)))
    return right


def log_odds(there: np.ndarray, clicks: np.ndarray, false_clicks: float = FALSE_CLICKS) -> float:
    """ln of how much more probable these frames and clicks (bool, (W,) each) are together than by chance."""
    there, clicks = np.asarray(there, bool), np.asarray(clicks, bool)
    q = 0.5 + 0.5 * false_clicks
    if (there & ~clicks).any():
        return -math.inf
    both, none, other = (there & clicks).sum(), (~there & ~clicks).sum(), (~there & clicks).sum()
    odds = -both * math.log(q) + none * math.log((1 - false_clicks) / (1 - q))
    return float(odds + (other * math.log(false_clicks / q) if other else 0.0))
