"""What an English caption says, whether it is true of a scene, and how likely the course's grammar is to say it: exact.

A caption is parsed by the grammar that wrote it, so truth and likelihood need no model. From these come the ceilings of
the lessons on pictures and sentences: the best retrieval, the least loss.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .captions import ENGLISH, place_phrase, third
from .world import COLORS, MOST, RADII, SEEN, SHAPES, SIDE, SIZES, TEXTURES, Scene, Thing, relation

__all__ = ["Said", "Statement", "exact_scores", "log_p", "log_p_text", "parse", "true_of"]

ORDERS = 6  # noun_phrase picks among "aaabcd"
RELATIONS = ("left", "right", "above", "below")
PLACES: tuple[str, ...] = ("in the middle", "on the left", "on the right", "at the top", "at the bottom")
PLACES += tuple(f"in the {down} {across} corner" for down in ("top", "bottom") for across in ("left", "right"))


@dataclass(frozen=True)
class Said:
    """One noun phrase: a shape, a color, a size or None where no size is said, and log p of these words for it."""

    shape: int
    color: int
    size: int | None
    log_p: float

    def fits(self, thing: Thing) -> bool:
        """Whether the phrase is true of this thing."""
        return self.shape == thing.shape and self.color == thing.color and self.size in (None, thing.size)


@dataclass(frozen=True)
class Statement:
    """What a caption says.

    Attributes
    ----------
    things : in the order in which they are mentioned
    relation : of the first thing to the second, one of RELATIONS, or None
    place : of the only thing, one of PLACES, or None
    texture : of the background, or None
    count : the number that is said, or None
    log_p : log p of the wording, given the facts and that these things are mentioned in this order
    """

    things: tuple[Said, ...]
    relation: str | None = None
    place: str | None = None
    texture: int | None = None
    count: int | None = None
    log_p: float = 0.0


def _any_of(words: Iterable[str]) -> str:
    """A pattern for one of these words, the longer ones first."""
    return "(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"


def _meanings(names: Sequence[str]) -> dict[str, int]:
    """Word → index of what it names."""
    return {word: index for index, name in enumerate(names) for word in ENGLISH[name]}


SIZE_OF, COLOR_OF, SHAPE_OF = _meanings(SIZES), _meanings(COLORS), _meanings(SHAPES)
RELATION_OF = {words: name for name in RELATIONS for words in ENGLISH[name]}
_SIZE, _COLOR, _SHAPE = _any_of(SIZE_OF), _any_of(COLOR_OF), _any_of(SHAPE_OF)
PHRASE = (
    f"an? (?:{_SHAPE} that is {_COLOR} and {_SIZE}|{_SIZE} {_SHAPE} in {_any_of(COLORS)}"
    f"|(?:{_SIZE} )?{_COLOR} {_SHAPE})"
)
_OPEN, _VERB, _WHERE = (_any_of(words).lower() for words in (ENGLISH["open"], ENGLISH["verb"], RELATION_OF))
_FIRST, _SECOND = f"(?P<first>{PHRASE})", f"(?P<second>{PHRASE})"
_LIST = f"(?P<list>{PHRASE}(?:, {PHRASE})*(?: and {PHRASE})?)"
_REST = f"(?: {_any_of(ENGLISH['also'])} {_LIST})?"
_GROUND = "|".join(ground.format(_any_of(TEXTURES)) for ground in ENGLISH["ground"])
_GROUND = f"(?P<ground> (?:{_GROUND}))?$"
_PLACE = f"(?P<place>{_any_of(PLACES)})"
PATTERNS = {
    "relation": f"{_FIRST} {_VERB} (?P<where>{_WHERE}) {_SECOND}{_REST}",
    "open relation": f"{_OPEN} {_FIRST} (?P<where>{_WHERE}) {_SECOND}{_REST}",
    "relation first": f"(?P<where>{_WHERE}) {_SECOND} is {_FIRST}{_REST}",
    "count": f"there are (?P<count>{_any_of(ENGLISH['count'])}) {_any_of(ENGLISH['things'])}: {_LIST}",
    "list": f"{_OPEN} {_LIST}",
    "open place": f"{_OPEN} {_FIRST} {_PLACE}",
    "place": f"{_FIRST} {_VERB} {_PLACE}",
}
COMPILED = {name: re.compile(pattern + _GROUND) for name, pattern in PATTERNS.items()}
FIND_PHRASE = re.compile(PHRASE)
_NUM_OPEN, _NUM_VERB, _NUM_ALSO, _NUM_THINGS = (len(ENGLISH[name]) for name in ("open", "verb", "also", "things"))
LOG_P_TEMPLATE = {
    "relation": math.log(0.6 / 3 / _NUM_VERB),
    "open relation": math.log(0.6 / 3 / _NUM_OPEN),
    "relation first": math.log(0.6 / 3),
    "count": math.log(0.4 / 2 / _NUM_THINGS),
    "list": math.log(0.4 / 2 / _NUM_OPEN),
    "open place": math.log(1 / 2 / _NUM_OPEN),
    "place": math.log(1 / 2 / _NUM_VERB),
}


def _synonyms(name: str) -> int:
    return len(ENGLISH[name])


@functools.cache
def _phrase(text: str) -> Said:
    """A noun phrase that PHRASE matches."""
    words = text.split()[1:]  # without the article
    probability = 1 / ORDERS
    if "that" in words:
        shape, color, size = SHAPE_OF[words[0]], COLOR_OF[words[3]], SIZE_OF[words[5]]
    elif "in" in words:
        size, shape, color = SIZE_OF[words[0]], SHAPE_OF[words[1]], COLORS.index(words[3])
    elif len(words) == 3:
        size, color, shape = SIZE_OF[words[0]], COLOR_OF[words[1]], SHAPE_OF[words[2]]
        probability = 3 / ORDERS
    else:
        color, shape = COLOR_OF[words[0]], SHAPE_OF[words[1]]
        log_p = math.log(probability / _synonyms(COLORS[color]) / _synonyms(SHAPES[shape]))
        return Said(shape, color, None, log_p)
    probability /= _synonyms(SIZES[size]) * _synonyms(SHAPES[shape])
    if "in" not in words:  # "in red" always takes the plain word
        probability /= _synonyms(COLORS[color])
    return Said(shape, color, size, math.log(probability))


@functools.lru_cache(maxsize=50_000)
def parse(text: str) -> Statement | None:
    """What a caption says, or None if the grammar cannot say it."""
    if not isinstance(text, str):
        raise TypeError(f"text: expected a caption, got {type(text).__name__}")
    sentence = text.lower().removesuffix(".")
    for name, pattern in COMPILED.items():
        match = pattern.match(sentence)
        if match:
            statement = _statement(name, match.groupdict())
            if statement is not None:
                return statement
    return None


def _statement(name: str, found: dict[str, str | None]) -> Statement | None:
    """The statement of one pattern's groups; None where the grammar has a rule that the pattern does not know."""
    named = [_phrase(text) for key in ("first", "second") if (text := found.get(key))]
    listed = [_phrase(text) for text in FIND_PHRASE.findall(found.get("list") or "")]
    things = (*named, *listed)
    if len(things) > MOST or (name == "list" and len(things) < 2):
        return None
    log_p = LOG_P_TEMPLATE[name] + sum(said.log_p for said in things)
    where = RELATION_OF[found["where"]] if found.get("where") else None  # type: ignore[index]
    if where:
        log_p -= math.log(_synonyms(where))
        if listed:
            log_p -= math.log(_NUM_ALSO)
    ground, texture = found["ground"], None
    if ground:
        texture = next(index for index, word in enumerate(TEXTURES) if f" {word} " in ground)
    log_p += math.log(0.25 / _synonyms("ground")) if ground else math.log(0.75)
    count = ENGLISH["count"].index(found["count"]) + 2 if found.get("count") else None  # type: ignore[arg-type]
    return Statement(things, where, found.get("place"), texture, count, log_p)


def _read(caption: str | Statement | None) -> Statement | None:
    return parse(caption) if isinstance(caption, str) else caption


def _possible(said: Statement | None, scene: Scene) -> bool:
    """Whether number of things and background agree: the quick part of every comparison."""
    if said is None or len(said.things) != len(scene.things):
        return False
    return said.texture in (None, scene.texture) and said.count in (None, len(scene.things))


def _agrees(said: Statement, things: Sequence[Thing]) -> bool:
    """Whether all is true of these things, mentioned in this order."""
    if not all(phrase.fits(thing) for phrase, thing in zip(said.things, things, strict=True)):
        return False
    if said.relation and relation(things[0], things[1]) != said.relation:
        return False
    return said.place is None or place_phrase(things[0]) == said.place


def true_of(caption: str | Statement | None, scene: Scene) -> bool:
    """Whether every statement is true of the scene, in whatever order its things are mentioned.

    A caption that the grammar cannot say is not true; nor is one that leaves a thing out.
    """
    said = _read(caption)
    if said is None or not _possible(said, scene):
        return False
    return any(_agrees(said, things) for things in itertools.permutations(scene.things))


def log_p(caption: str | Statement | None, scene: Scene, order_known: bool = True) -> float:
    """log p(caption | scene) in nats; −inf for what the grammar would not say of it.

    Things are mentioned in the order in which they are drawn, except that the first two may be exchanged. A picture
    hardly shows that order: with `order_known=False` every order is taken as equally likely, which is the best that
    a model that only sees can do.
    """
    said = _read(caption)
    if said is None or not _possible(said, scene):
        return -math.inf
    orders = [scene.things] if order_known else list(itertools.permutations(scene.things))
    total = 0.0
    for things in orders:
        if said.relation:
            swapped = (things[1], things[0], *things[2:])
            total += 0.5 * _agrees(said, things) + 0.5 * _agrees(said, swapped)
        else:
            total += _agrees(said, things)
    return said.log_p + math.log(total / len(orders)) if total else -math.inf


@functools.cache
def _log_p_place(size: int | None) -> dict[str, float]:
    """log p of each ninth of the picture, for a lone thing of this size, by enumeration of radii and centers."""
    if size is None:
        both = [_log_p_place(0), _log_p_place(1)]
        return {place: math.log(sum(math.exp(p[place]) for p in both) / 2) for place in PLACES}
    low, high = RADII[SIZES[size]]
    radii = np.arange(low, high + 0.25, 0.5)
    share = np.zeros(3)  # of centers in the first, middle and last third of a side
    steps = (np.arange(3000) + 0.5) / 3000
    for radius in radii:
        centers = (radius + 1.5 + steps * (SIDE - 2 * radius - 2)).astype(int)
        share += np.bincount([third(value) + 1 for value in centers.tolist()], minlength=3) / len(steps) / len(radii)
    # thirds in the order of PLACES: (across, down)
    ninth = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2), (0, 0), (2, 0), (0, 2), (2, 2)]
    return {place: math.log(share[across] * share[down]) for place, (across, down) in zip(PLACES, ninth, strict=True)}


def log_p_text(caption: str | Statement | None) -> float:
    """log p(caption) with no scene in sight: what a language model of the grammar can know; −inf if it cannot be said.

    The four relations count as equally likely, which holds to about 0.01: a tie of the two distances is left or right.
    """
    said = _read(caption)
    if said is None or said.count not in (None, len(said.things)):
        return -math.inf
    total = said.log_p + math.log(1 / MOST)
    for phrase in said.things:
        kinds = sum(phrase.fits(Thing(*kind, 0, 0, 0, 0)) for kind in SEEN)
        if not kinds:
            return -math.inf
        total += math.log(kinds / len(SEEN))
    if said.relation:
        total += math.log(1 / len(RELATIONS))
    if said.place:
        sizes = [size for size in range(len(SIZES)) if (said.things[0].shape, said.things[0].color, size) in SEEN]
        size = said.things[0].size
        total += _log_p_place(size if size is not None else sizes[0] if len(sizes) == 1 else None)[said.place]
    if said.texture is not None:
        total += math.log(1 / len(TEXTURES))
    return total


def exact_scores(captions: Sequence[str], scenes: Sequence[Scene], order_known: bool = True) -> np.ndarray:
    """log p(caption | scene) − log p(caption) of every pair, float64 (captions, scenes): the score that no model beats.

    Its softmax over scenes, or over captions, is the exact probability that the two belong together, so it has the
    least InfoNCE loss and the best retrieval that are possible.
    """
    statements = [parse(caption) for caption in captions]
    alone = np.array([log_p_text(said) for said in statements])
    table = np.full((len(statements), len(scenes)), -np.inf)
    for row, said in enumerate(statements):
        for column, scene in enumerate(scenes):
            if _possible(said, scene):
                table[row, column] = log_p(said, scene, order_known) - alone[row]
    return table
