"""Questions about scenes, six kinds, dealt so that the words alone say nothing beyond the kind of answer.

A question comes first, then its answer, each possible one as likely; only then a scene is made in which it is true. So
what a guesser without eyes can reach is known exactly: `language_only_accuracy`. In a set of `balanced` questions, each
is asked once for every answer, so that no guesser without eyes is above that limit even by luck.

Two more kinds are in no data set of `load`: "place" (in which part of the picture?) teaches a model to find a thing,
"size" is kept for lessons that teach a trained model something new.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .captions import place_phrase
from .truth import PLACES
from .world import (
    COLORS,
    MOST,
    SHAPES,
    SIZES,
    TEXTURES,
    UNSEEN,
    Kind,
    Scene,
    Thing,
    draw_kinds,
    place,
    pool,
    relation,
)

QUESTION_KINDS = ("existence", "count", "colour", "shape", "relation", "compare")
MORE_KINDS = ("place", "size")
NUMBERS = ("zero", "one", "two", "three")
SIDES = ("left", "right", "above", "below")
ORDER = ("more", "fewer", "equal")
ANSWERS = ("yes", "no", *NUMBERS, *COLORS, *SHAPES, *SIDES, *ORDER)
Look = tuple[int | None, ...]  # (shape, color) or (shape, color, size); None stands for any


@dataclass(frozen=True)
class Question:
    """What is asked, before it is put into words.

    Attributes
    ----------
    kind : one of QUESTION_KINDS or MORE_KINDS
    about : one or two looks, (shape, color), None where it does not matter
    answers : all that are possible, each equally likely
    """

    kind: str
    about: tuple[Look, ...]
    answers: tuple[str, ...]


def matches(kind: Kind | Thing, look: Look) -> bool:
    """Whether a thing has this shape and this color, and this size where the look names one."""
    shape, color, size = (kind.shape, kind.color, kind.size) if isinstance(kind, Thing) else kind
    return look[0] in (None, shape) and look[1] in (None, color) and (len(look) == 2 or look[2] in (None, size))


@functools.cache
def questions(kind: str, unseen: str | None = None) -> tuple[Question, ...]:
    """Every question of a kind, each as likely; `unseen` as in `scenes_world.make`."""
    looks = sorted({k[:2] for k in pool(unseen)})
    shapes, colors = [(s, None) for s in range(len(SHAPES))], [(None, c) for c in range(len(COLORS))]
    if kind == "existence":
        return tuple(Question(kind, (look,), ("yes", "no")) for look in looks)
    if kind == "count":
        return tuple(Question(kind, (look,), NUMBERS) for look in shapes + colors)
    if kind == "colour":
        return tuple(Question(kind, ((s, None),), tuple(COLORS[c] for z, c in looks if z == s)) for s, _ in shapes)
    if kind == "shape":
        return tuple(Question(kind, ((None, c),), tuple(SHAPES[s] for s, z in looks if z == c)) for _, c in colors)
    if kind == "relation":
        return tuple(Question(kind, (a, b), SIDES) for a in looks for b in looks if a != b)
    if kind == "compare":
        return tuple(
            Question(kind, (a, b), ORDER) for group in (shapes, colors) for a in group for b in group if a != b
        )
    if kind == "place":
        return tuple(Question(kind, (look,), PLACES) for look in looks)
    if kind == "size":  # only where both sizes occur: else the words alone would tell
        kinds = set(pool(unseen))
        both = [look for look in looks if (*look, 0) in kinds and (*look, 1) in kinds]
        return tuple(Question(kind, (look,), SIZES) for look in both)
    raise ValueError(f"kind: expected one of {', '.join(QUESTION_KINDS + MORE_KINDS)}, got {kind!r}")


def language_only_accuracy(unseen: str | None = None) -> dict[str, float]:
    """Best accuracy of any guesser that hears the question and does not see the scene: each kind, and "all".

    Exact: a question's answers are equally likely, so the best guess is right once in as many times.
    """
    chance = {k: float(np.mean([1 / len(q.answers) for q in questions(k, unseen)])) for k in QUESTION_KINDS}
    return {**chance, "all": float(np.mean(list(chance.values())))}


Plan = tuple[list[Look], Callable[[Kind], bool], Callable | None]


def plan(question: Question, answer: str, rng: np.random.Generator) -> Plan:
    """What a scene needs for the answer to be true: looks to have, kinds to have none else of, and a test of places."""
    look, other = question.about[0], question.about[-1]
    if question.kind == "existence":
        return ([look] if answer == "yes" else []), lambda k: answer == "no" and matches(k, look), None
    if question.kind == "count":
        return [look] * NUMBERS.index(answer), lambda k: matches(k, look), None
    if question.kind == "colour":
        return [(look[0], COLORS.index(answer))], lambda k: matches(k, look), None
    if question.kind == "shape":
        return [(SHAPES.index(answer), look[1])], lambda k: matches(k, look), None
    if question.kind == "place":
        return [look], lambda k: matches(k, look), lambda things: place_phrase(things[0]) == answer
    if question.kind == "size":
        return [(*look, SIZES.index(answer))], lambda k: matches(k, look), None
    neither = lambda k: matches(k, look) or matches(k, other)  # noqa: E731
    if question.kind == "relation":
        return [look, other], neither, lambda things: clearly(things[0], things[1]) == answer
    few, many = sorted(rng.choice(4, 2, replace=False).tolist()) if answer != "equal" else [int(rng.integers(1, 3))] * 2
    few = min(few, MOST - many)
    first, second = (many, few) if answer == "more" else (few, many)
    return [look] * first + [other] * second, neither, None


def clearly(a: Thing, b: Thing) -> str | None:
    """`relation`, or None where one distance is not half as large again as the other."""
    dx, dy = abs(a.x - b.x), abs(a.y - b.y)
    return relation(a, b) if max(dx, dy) > 1.5 * min(dx, dy) else None


def make_scene(
    question: Question, answer: str, rng: np.random.Generator, unseen: str | None = None
) -> tuple[Thing, ...]:
    """Things for which the answer is true; with `unseen`, at least one of a kind that training never has."""
    every = pool(unseen)
    for _ in range(3000):
        looks, forbidden, accept = plan(question, answer, rng)
        free = [kind for kind in every if not forbidden(kind)]
        rest = draw_kinds(rng, int(rng.integers(max(1, len(looks)), MOST + 1)) - len(looks), free)
        kinds = [draw_kinds(rng, 1, [k for k in every if matches(k, look)])[0] for look in looks] + rest
        if unseen and not any(kind in UNSEEN[unseen] for kind in kinds):
            continue
        things = place(kinds, rng, accept)
        if things:
            return things
    raise ValueError(f"question: found no scene for {question} = {answer}")


def words(question: Question, rng: np.random.Generator) -> str:
    """The question in English; how it is put says nothing of the answer."""

    def name(look: Look, plural: bool = False) -> str:
        shape = "thing" if look[0] is None else SHAPES[look[0]]
        plural_shape = {"cross": "crosses"}.get(shape, shape + "s")
        return " ".join(([] if look[1] is None else [COLORS[look[1]]]) + [plural_shape if plural else shape])

    first, second = question.about[0], question.about[-1]
    patterns = {
        "existence": ("Is there a {a}?", "Can you see a {a}?"),
        "count": ("How many {as_} are there?", "How many {as_} can you see?"),
        "colour": ("What colour is the {a}?", "What is the colour of the {a}?"),
        "shape": ("What shape is the {a}?", "What is the shape of the {a}?"),
        "relation": ("Where is the {a}, seen from the {b}?", "On which side of the {b} is the {a}?"),
        "place": ("Where in the picture is the {a}?", "Where is the {a}?"),
        "size": ("What size is the {a}?", "Is the {a} small or large?"),
        "compare": (
            "Are there more {as_} than {bs}, fewer, or equally many?",
            "More {as_} than {bs}, fewer, or equal?",
        ),
    }[question.kind]
    pattern = patterns[int(rng.integers(len(patterns)))]
    text = pattern.format(a=name(first), b=name(second), as_=name(first, True), bs=name(second, True))
    return text.replace(" a orange", " an orange")


def ask(seed: int, index: int, unseen: str | None = None, kind: str | None = None) -> tuple[Question, str, str, Scene]:
    """Number `index` of the endless questions `seed`: the question, its words, its answer, its scene.

    The kinds come in turn, unless one is named.
    """
    rng = np.random.default_rng([seed, index, 6])
    every = questions(QUESTION_KINDS[index % len(QUESTION_KINDS)] if kind is None else kind, unseen)
    question = every[int(rng.integers(len(every)))]
    answer = question.answers[int(rng.integers(len(question.answers)))]
    scene = _scene(question, answer, rng, unseen, (seed, index, 6))
    return question, words(question, rng), answer, scene


def _scene(question: Question, answer: str, rng: np.random.Generator, unseen: str | None, seed: tuple) -> Scene:
    """A scene in which the answer is true."""
    things = make_scene(question, answer, rng, unseen)
    order = rng.permutation(len(things))  # which is in front says nothing either
    return Scene(tuple(things[i] for i in order), int(rng.integers(len(TEXTURES))), seed)


def ask_every_answer(
    seed: int, index: int, kind: str, unseen: str | None = None
) -> list[tuple[Question, str, str, Scene]]:
    """One question in the same words about as many scenes as it has answers: each answer is true in one of them.

    Whoever does not look says the same each time, and is right at most once.
    """
    rng = np.random.default_rng([seed, index, 7, (QUESTION_KINDS + MORE_KINDS).index(kind)])
    every = questions(kind, unseen)
    question = every[int(rng.integers(len(every)))]
    text = words(question, rng)
    return [
        (question, text, answer, _scene(question, answer, rng, unseen, (seed, index, 7, number)))
        for number, answer in enumerate(question.answers)
    ]


def balanced(
    seed: int, n: int, kinds: tuple[str, ...] = QUESTION_KINDS, unseen: str | None = None
) -> list[list[tuple[Question, str, str, Scene]]]:
    """Groups of `ask_every_answer`, at least n / len(kinds) questions of each kind, the kinds one after another.

    Raises
    ------
    ValueError
        For n < 1.
    """
    if n < 1:
        raise ValueError(f"n: expected 1 or more, got {n}")
    groups = []
    for kind in kinds:
        count = index = 0
        while count < n / len(kinds):
            groups.append(ask_every_answer(seed, index, kind, unseen))
            count += len(groups[-1])
            index += 1
    return groups


@functools.cache
def _by_looks(kind: str) -> dict[tuple[Look, ...], Question]:
    return {question.about: question for question in questions(kind)}


def about(scene: Scene, kind: str) -> list[tuple[Question, str]]:
    """Every question of a kind that has one clear answer in this scene, with its answer.

    What `ask` would not ask is left out: the color of a shape that is there twice, a side that is not clear.
    """
    every: Iterable[Question] = questions(kind)
    if kind in ("relation", "place", "size"):  # only what is there can be meant: no need to try hundreds of pairs
        looks = sorted({(thing.shape, thing.color) for thing in scene.things})
        wanted = itertools.permutations(looks, 2 if kind == "relation" else 1)
        every = [_by_looks(kind)[pair] for pair in wanted if pair in _by_looks(kind)]
    found = []
    for question in every:
        counts = [sum(matches(thing, look) for thing in scene.things) for look in question.about]
        if kind in ("colour", "shape", "relation", "place", "size") and counts != [1] * len(counts):
            continue
        if kind == "count" and counts[0] >= len(NUMBERS):
            continue
        if kind == "compare" and not (any(counts) and max(counts) < len(NUMBERS)):
            continue
        if kind == "relation":
            first, second = (next(t for t in scene.things if matches(t, look)) for look in question.about)
            if clearly(first, second) is None:
                continue
        answer = solve(question, scene)
        if answer in question.answers:
            found.append((question, answer))
    return found


def solve(question: Question, scene: Scene) -> str:
    """The answer by looking at the scene's facts: what `ask` must agree with."""
    count = [sum(matches(thing, look) for thing in scene.things) for look in question.about]
    found = [thing for thing in scene.things if matches(thing, question.about[0])]
    if question.kind == "existence":
        return "yes" if count[0] else "no"
    if question.kind == "count":
        return NUMBERS[count[0]]
    if question.kind == "colour":
        return COLORS[found[0].color]
    if question.kind == "shape":
        return SHAPES[found[0].shape]
    if question.kind == "place":
        return place_phrase(found[0])
    if question.kind == "size":
        return SIZES[found[0].size]
    if question.kind == "relation":
        return relation(found[0], next(t for t in scene.things if matches(t, question.about[1])))
    return ORDER[0 if count[0] > count[1] else 1 if count[0] < count[1] else 2]
