"""What there is in a scene: one to four shapes, each with a color, a size and a place, before a pixel is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

SIDE = 64  # pixels
MOST = 4  # things in a scene
SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross")
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
SIZES = ("small", "large")
TEXTURES = ("plain", "striped", "checked", "dotted", "shaded")
RADII = {"small": (5.0, 6.5), "large": (9.5, 11.5)}  # pixels, in steps of a half
TURNS = 8  # a thing is turned by 0 .. 7 steps of TILT degrees, about the upright
TILT = 4.0
# Never in training: each shape in one color, and two shapes in one size.
HELD_OUT = {
    "colour-shape": frozenset(
        {("red", "star"), ("yellow", "diamond"), ("green", "square"), ("blue", "triangle"), ("purple", "circle")}
        | {("black", "cross")}
    ),
    "size-shape": frozenset({("large", "diamond"), ("small", "cross")}),
}

Kind = tuple[int, int, int]  # shape, color, size


@dataclass(frozen=True, slots=True)
class Thing:
    """One object: its kind, and its center (x to the right, y down) and radius in pixels."""

    shape: int
    color: int
    size: int
    x: int
    y: int
    radius: float
    turn: int

    @property
    def names(self) -> tuple[str, str, str]:
        """(size, color, shape) in words."""
        return SIZES[self.size], COLORS[self.color], SHAPES[self.shape]


@dataclass(frozen=True, slots=True)
class Scene:
    """Things, the later ones in front, on a textured background; `seed` fixes background and noise."""

    things: tuple[Thing, ...]
    texture: int
    seed: tuple[int, ...]


def held_out(kind: Kind, which: str) -> bool:
    """Whether this kind is kept from training, by its "colour-shape" or its "size-shape"."""
    shape, color, size = SHAPES[kind[0]], COLORS[kind[1]], SIZES[kind[2]]
    return ((color if which == "colour-shape" else size), shape) in HELD_OUT[which]


def is_seen(kind: Kind) -> bool:
    """Whether training scenes may hold this kind."""
    return not any(held_out(kind, which) for which in HELD_OUT)


ALL_KINDS = [(s, c, z) for s in range(len(SHAPES)) for c in range(len(COLORS)) for z in range(len(SIZES))]
# A shape of which half is held out counts twice in the other half, so that all shapes are equally frequent.
SEEN = [k for k in ALL_KINDS if is_seen(k) for _ in range(2 if SHAPES[k[0]] in ("diamond", "cross") else 1)]
# Held out in one way only, so that a test of one says nothing of the other.
UNSEEN = {
    which: [k for k in ALL_KINDS if held_out(k, which) and not any(held_out(k, w) for w in HELD_OUT if w != which)]
    for which in HELD_OUT
}


def check_unseen(unseen: str | None) -> str:
    """The name of a compositional split, "" for none, or a ValueError that lists the names."""
    if unseen is not None and unseen not in HELD_OUT:
        raise ValueError(f"unseen: expected None or one of {', '.join(HELD_OUT)}, got {unseen!r}")
    return unseen or ""


def pool(unseen: str | None) -> list[Kind]:
    """What a scene may hold."""
    name = check_unseen(unseen)
    return SEEN + UNSEEN[name] if name else SEEN


def draw_kinds(rng: np.random.Generator, n: int, pool: list[Kind]) -> list[Kind]:
    """`n` kinds out of a pool, each as likely."""
    return [pool[int(u * len(pool))] for u in rng.random(n)]


def overlaps(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    """Whether two (x, y, radius) hide too much of each other; their edges may."""
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 < (0.75 * (a[2] + b[2])) ** 2


def place(kinds: list[Kind], rng: np.random.Generator, accept: Callable | None = None) -> tuple[Thing, ...] | None:
    """Give each kind a radius and a place where it is whole and at most its edge is hidden.

    Parameters
    ----------
    accept : things -> bool, for instance that the first is left of the second

    Returns
    -------
    things, or None after 60 attempts
    """
    for _ in range(60):
        u = rng.random((len(kinds), 4))
        spots: list[tuple[int, int, float]] = []
        for (_, _, size), (a, b, c, _) in zip(kinds, u.tolist(), strict=True):
            low, high = RADII[SIZES[size]]
            radius = low + 0.5 * int(a * (2 * (high - low) + 1))
            room = SIDE - 2 * radius - 2
            spot = (int(radius + 1.5 + b * room), int(radius + 1.5 + c * room), radius)
            if any(overlaps(spot, other) for other in spots):
                break
            spots.append(spot)
        else:
            turns = (u[:, 3] * TURNS).astype(int).tolist()
            things = tuple(Thing(*k, *s, t) for k, s, t in zip(kinds, spots, turns, strict=True))
            if accept is None or accept(things):
                return things
    return None


def make(seed: int, index: int, unseen: str | None = None) -> Scene:
    """Scene number `index` of the endless world `seed`.

    Parameters
    ----------
    unseen : None, "colour-shape" or "size-shape"
        Only kinds that training has; or at least one that it never has.
    """
    rng = np.random.default_rng([seed, index])
    while True:
        kinds = draw_kinds(rng, 1 + int(rng.random() * MOST), SEEN)
        if name := check_unseen(unseen):
            kinds[int(rng.random() * len(kinds))] = draw_kinds(rng, 1, UNSEEN[name])[0]
        things = place(kinds, rng)
        if things:
            return Scene(things, int(rng.random() * len(TEXTURES)), (seed, index))


def relation(a: Thing, b: Thing) -> str:
    """Where `a` is, seen from `b`: "left", "right", "above" or "below", whichever is the larger distance."""
    dx, dy = a.x - b.x, a.y - b.y
    if abs(dx) >= abs(dy):
        return "left" if dx < 0 else "right"
    return "above" if dy < 0 else "below"


def moved(thing: Thing, **changes: float) -> Thing:
    """The same thing elsewhere, or larger."""
    return replace(thing, **changes)  # type: ignore[arg-type]
