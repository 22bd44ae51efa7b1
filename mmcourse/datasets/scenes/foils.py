"""Foils: sentences that are false of a scene, and that cannot be told from true ones without looking.

A foil is what the same speaker says of a changed scene. The change undoes itself when it is made twice, and it keeps
how likely a scene is. So (caption, foil) and (foil, caption) are equally likely, and whoever does not see the picture
is right in exactly half of all cases, however well they know the grammar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .captions import chinese, english
from .truth import log_p, parse, true_of
from .world import COLORS, SEEN, SHAPES, SIDE, TEXTURES, Scene, Thing

__all__ = ["KINDS", "Foil", "fair_foils", "hard_negative", "mirrored", "swapped_colors"]

KINDS = ("color", "relation")
SEEN_KINDS = frozenset(SEEN)


@dataclass(frozen=True)
class Foil:
    """Which scene, its caption, and a sentence as likely that is false of it."""

    index: int
    caption: str
    foil: str


def is_seen(thing: Thing) -> bool:
    """Whether training may hold such a thing."""
    return (thing.shape, thing.color, thing.size) in SEEN_KINDS


def swapped_colors(scene: Scene) -> Scene | None:
    """The scene with the colors of its first two things exchanged.

    None where that changes nothing that can be said, or makes a pair of color and shape that training never has: such
    foils could be told by that alone.
    """
    if len(scene.things) < 2:
        return None
    a, b, *rest = scene.things
    if a.color == b.color or a.shape == b.shape:
        return None
    a, b = replace(a, color=b.color), replace(b, color=a.color)
    return replace(scene, things=(a, b, *rest)) if is_seen(a) and is_seen(b) else None


def mirrored(scene: Scene) -> Scene:
    """The scene with left and right exchanged."""
    return replace(scene, things=tuple(replace(thing, x=SIDE - thing.x) for thing in scene.things))


def fair_foils(scenes: Sequence[Scene], kind: str) -> list[Foil]:
    """One foil for each scene that has one: two colors exchanged, or left and right.

    Caption and foil have the same likelihood under the grammar, to rounding.

    Raises
    ------
    ValueError
        For an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    found = []
    for index, scene in enumerate(scenes):
        caption = english(scene)
        said = parse(caption)
        if kind == "color":
            other = swapped_colors(scene)
        else:
            horizontal = said is not None and said.relation in ("left", "right")
            other = mirrored(scene) if horizontal else None
        if other is None:
            continue
        foil = english(other)
        equally_likely = math.isclose(log_p(caption, scene), log_p(foil, other), abs_tol=1e-9)
        if equally_likely and not true_of(foil, scene) and not true_of(caption, other):
            found.append(Foil(index, caption, foil))
    return found


def _exchange(things: list[Thing], i: int, j: int, *names: str) -> None:
    """Things i and j give each other these properties."""
    a, b = things[i], things[j]
    things[i] = replace(a, **{name: getattr(b, name) for name in names})
    things[j] = replace(b, **{name: getattr(a, name) for name in names})


def _change(scene: Scene, what: str, rng: np.random.Generator) -> Scene | None:
    """One random change of a kind; None where it would change nothing or make something that training never has."""
    things = list(scene.things)
    n = len(things)
    if what == "texture":
        step = int(rng.integers(1, len(TEXTURES)))
        return replace(scene, texture=(scene.texture + step) % len(TEXTURES))
    if what in ("swap colors", "swap shapes", "swap sizes", "swap places"):
        if n == 1:
            if what != "swap places":
                return None
            x, y = rng.integers(7, SIDE - 6, 2).tolist()
            return replace(scene, things=(replace(things[0], x=x, y=y),))
        first_two = what == "swap places" or rng.random() < 0.4  # relations are said of the first two
        i, j = (0, 1) if first_two else rng.choice(n, 2, replace=False).tolist()
        a, b = things[i], things[j]
        if what in ("swap colors", "swap shapes") and (a.color == b.color or a.shape == b.shape):
            return None
        if what in ("swap sizes", "swap places") and (a.color, a.shape) == (b.color, b.shape):
            return None
        names = {"swap colors": ["color"], "swap shapes": ["shape"], "swap sizes": ["size"], "swap places": ["x", "y"]}
        _exchange(things, i, j, *names[what])
        changed = [things[i], things[j]]
    else:
        i = int(rng.integers(n))
        old = things[i]
        if what == "size" and sum((t.color, t.shape) == (old.color, old.shape) for t in things) > 1:
            return None  # the sentence could still be true of the other one
        new = {"color": ("color", len(COLORS)), "shape": ("shape", len(SHAPES)), "size": ("size", 2)}[what]
        things[i] = replace(old, **{new[0]: int(rng.integers(new[1]))})
        changed = [things[i]]
    if tuple(things) == scene.things or not all(is_seen(thing) for thing in changed):
        return None
    return replace(scene, things=tuple(things))


CHANGES: tuple[str, ...] = (
    "swap colors",
    "swap colors",
    "swap shapes",
    "swap sizes",
    "color",
    "shape",
    "size",
    "swap places",
)
CHANGES += ("swap places", "texture")


def hard_negative(scene: Scene, rng: np.random.Generator, language: str = "English") -> str | None:
    """A sentence for training that is near the scene's caption and false; None where a few tries found none.

    Parameters
    ----------
    scene : whose caption is `english(scene)` or `chinese(scene)`; the same speaker says the negative
    language : "English" or "Chinese"
    """
    say = {"English": english, "Chinese": chinese}[language]
    caption = say(scene)
    for _ in range(8):
        changed = _change(scene, CHANGES[int(rng.integers(len(CHANGES)))], rng)
        if changed is None:
            continue
        text = say(changed)
        if text != caption and not (language == "English" and true_of(text, scene)):
            return text
    return None
