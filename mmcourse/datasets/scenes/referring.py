"""Referring expressions: a phrase that means one thing of a scene, "the small star left of the blue box".

A phrase names a shape, a color, a size or less ("the thing"), and perhaps where the thing is, seen from another. What
it fits is exact, so the best accuracy of any model on a phrase that fits k things is 1/k.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .captions import ENGLISH
from .world import COLORS, SHAPES, SIZES, Scene, Thing, relation

__all__ = ["Phrase", "fitting", "parse", "refer"]

RELATIONS = ("left", "right", "above", "below")
THING = "thing"  # the noun where no shape is said


@dataclass(frozen=True)
class Look:
    """What is said of one thing; None where nothing is said."""

    shape: int | None
    color: int | None
    size: int | None

    def fits(self, thing: Thing) -> bool:
        """Whether all that is said is true of this thing."""
        said = ((self.shape, thing.shape), (self.color, thing.color), (self.size, thing.size))
        return all(want is None or want == have for want, have in said)


@dataclass(frozen=True)
class Phrase:
    """A referring expression.

    Attributes
    ----------
    text : the words
    look : of the thing that is meant
    relation : where it is, seen from the anchor: one of RELATIONS, or None
    anchor : look of the other thing, or None
    """

    text: str
    look: Look
    relation: str | None = None
    anchor: Look | None = None


def looks_of(thing: Thing) -> list[Look]:
    """The eight ways to say more or less of a thing, all true."""
    return [
        Look(shape, color, size)
        for shape in (thing.shape, None)
        for color in (thing.color, None)
        for size in (thing.size, None)
    ]


def is_related(a: Thing, where: str, anchor: Look, things: Sequence[Thing]) -> bool:
    """Whether `a` is left of (…) some other thing that the anchor's look fits."""
    return any(b is not a and anchor.fits(b) and relation(a, b) == where for b in things)


def fitting(phrase: Phrase | str, scene: Scene) -> list[int]:
    """Which things of a scene a phrase fits, as their numbers.

    Raises
    ------
    ValueError
        For words that the grammar of phrases cannot say.
    """
    if isinstance(phrase, str):
        phrase = parse(phrase)
    found = [number for number, thing in enumerate(scene.things) if phrase.look.fits(thing)]
    if phrase.relation is None or phrase.anchor is None:
        return found
    where, anchor = phrase.relation, phrase.anchor
    return [number for number in found if is_related(scene.things[number], where, anchor, scene.things)]


def say_look(look: Look, rng: np.random.Generator) -> str:
    """ "the small red disc", "the disc that is red and small", "the small disc in red", "the red thing"."""

    def say(name: str) -> str:
        return ENGLISH[name][int(rng.random() * len(ENGLISH[name]))]

    noun = THING if look.shape is None else say(SHAPES[look.shape])
    size = None if look.size is None else say(SIZES[look.size])
    if look.color is not None:
        order = "aaabc"[int(rng.random() * 5)]
        if order == "b":
            rest = f" and {size}" if size else ""
            return f"the {noun} that is {say(COLORS[look.color])}{rest}"
        if order == "c":
            return " ".join(filter(None, ["the", size, noun, "in", COLORS[look.color]]))
        return " ".join(filter(None, ["the", size, say(COLORS[look.color]), noun]))
    return " ".join(filter(None, ["the", size, noun]))


def say_phrase(look: Look, where: str | None, anchor: Look | None, rng: np.random.Generator) -> Phrase:
    """Put into words what is meant."""
    text = say_look(look, rng)
    if where is not None and anchor is not None:
        words = ENGLISH[where][int(rng.random() * len(ENGLISH[where]))]
        text = f"{text} {words} {say_look(anchor, rng)}"
    return Phrase(text, look, where, anchor)


def refer(scene: Scene, target: int, rng: np.random.Generator, with_relation: bool = False) -> Phrase | None:
    """A phrase that fits this thing of the scene and no other, or None where the grammar has none.

    Parameters
    ----------
    target : the number of the thing
    with_relation : whether to say where it is, seen from another thing. If possible, the look alone then fits several
        things ("the star" of two), so that the relation is needed.
    """
    things = scene.things
    looks = looks_of(things[target])
    alone = {look: sum(map(look.fits, things)) == 1 for look in looks}
    if not with_relation:
        unique = [look for look in looks if alone[look]]
        return say_phrase(unique[int(rng.random() * len(unique))], None, None, rng) if unique else None
    needed: list[tuple[Look, str, Look]] = []
    other: list[tuple[Look, str, Look]] = []
    for number, anchor_thing in enumerate(things):
        if number == target:
            continue
        where = relation(things[target], anchor_thing)
        there = [b for b in things if b is not anchor_thing and relation(b, anchor_thing) == where]
        meant = [look for look in looks if sum(map(look.fits, there)) == 1]
        anchors = [look for look in looks_of(anchor_thing) if sum(map(look.fits, things)) == 1]
        for look in meant:
            (other if alone[look] else needed).extend((look, where, anchor) for anchor in anchors)
    options = needed or other
    if not options:
        return None
    look, where, anchor = options[int(rng.random() * len(options))]
    return say_phrase(look, where, anchor, rng)


def any_of(words: Iterable[str]) -> str:
    """A pattern for one of these words, the longer ones first."""
    return "(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"


@functools.cache
def meanings() -> tuple[dict[str, int], dict[str, int], dict[str, int], dict[str, str]]:
    """Word → number, of sizes, colors and shapes; words → relation."""
    sizes, colors, shapes = (
        {word: number for number, name in enumerate(names) for word in ENGLISH[name]}
        for names in (SIZES, COLORS, SHAPES)
    )
    return sizes, colors, shapes, {words: name for name in RELATIONS for words in ENGLISH[name]}


@functools.cache
def pattern() -> re.Pattern[str]:
    """A whole phrase."""
    sizes, colors, shapes, relations = meanings()
    noun = any_of([*shapes, THING])
    size, color = any_of(sizes), any_of(colors)

    def look(name: str) -> str:
        return (
            f"(?:the|a|an) (?P<{name}>(?:{size} )?(?:{color} )?{noun}(?: in {color}| that is {color}(?: and {size})?)?)"
        )

    return re.compile(f"{look('look')}(?: (?P<where>{any_of(relations)}) {look('anchor')})?$")


def parse_look(text: str) -> Look:
    """What the words after the article say."""
    sizes, colors, shapes, _ = meanings()
    words = text.split()

    def only(known: dict[str, int]) -> int | None:
        found = [known[word] for word in words if word in known]
        if len(found) > 1:
            raise ValueError(f"phrase: {text!r} says two of {', '.join(known)}; say one")
        return found[0] if found else None

    return Look(only(shapes), only(colors), only(sizes))


def parse(text: str) -> Phrase:
    """What a phrase says.

    Raises
    ------
    ValueError
        For words that the grammar of phrases cannot say.
    """
    match = pattern().match(" ".join(text.lower().rstrip(".").split()))
    if match is None:
        raise ValueError(
            f"phrase: expected something like 'the small red star' or 'the star left of the blue box', got {text!r}"
        )
    anchor = match["anchor"]
    where = meanings()[3][match["where"]] if match["where"] else None
    return Phrase(text, parse_look(match["look"]), where, parse_look(anchor) if anchor else None)
