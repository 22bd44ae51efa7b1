"""A question about a scene → a small program → its answer, with the boxes of the things that it hangs on.

The grammar accepts whole sentences only. What it cannot parse is no question, whatever it says: `parse` gives None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..scenes import questions, world
from ..scenes.drawing import box
from ..scenes.questions import Look, Question

_COLOR = "|".join(world.COLORS)
_SHAPE = "|".join([*world.SHAPES, "thing"])
_SHAPES = "|".join([*(f"{s}s" for s in world.SHAPES if s != "cross"), "crosses", "things"])
_A = rf"(?:(?P<a_color>{_COLOR}) )?(?P<a_shape>{_SHAPE})"
_B = rf"(?:(?P<b_color>{_COLOR}) )?(?P<b_shape>{_SHAPE})"
_AS = rf"(?:(?P<a_color>{_COLOR}) )?(?P<a_shape>{_SHAPES})"
_BS = rf"(?:(?P<b_color>{_COLOR}) )?(?P<b_shape>{_SHAPES})"
_PATTERNS = {
    "existence": (rf"is there an? {_A}", rf"can you see an? {_A}"),
    "count": (rf"how many {_AS} are there", rf"how many {_AS} can you see"),
    "colour": (rf"what colou?r is the {_A}", rf"what is the colou?r of the {_A}"),
    "shape": (rf"what shape is the {_A}", rf"what is the shape of the {_A}"),
    "size": (rf"what size is the {_A}", rf"is the {_A} small or large"),
    "relation": (rf"where is the {_A} seen from the {_B}", rf"on which side of the {_B} is the {_A}"),
    "place": (rf"where in the picture is the {_A}", rf"where is the {_A}"),
    "compare": (rf"are there more {_AS} than {_BS} fewer or equally many", rf"more {_AS} than {_BS} fewer or equal"),
}
_COMPILED = [(kind, re.compile(pattern)) for kind, patterns in _PATTERNS.items() for pattern in patterns]


@dataclass(frozen=True)
class Answer:
    """What a program gave.

    Attributes
    ----------
    text : the answer, or why there is none
    cited : which things of the scene it hangs on
    boxes : float (n, 4), left, top, right, bottom of these things
    good : False where the question has no answer in this scene
    """

    text: str
    cited: tuple[int, ...]
    boxes: np.ndarray
    good: bool = True


def _look(found: dict, which: str) -> Look:
    color, shape = found[f"{which}_color"], found[f"{which}_shape"]
    singular = {"crosses": "cross"}.get(shape, shape if shape == "cross" else shape.removesuffix("s"))
    return (
        None if singular == "thing" else world.SHAPES.index(singular),
        None if color is None else world.COLORS.index(color),
    )


def parse(text: str) -> Question | None:
    """The program of a question, or None for what is not wholly a question of the grammar.

    >>> parse("how many red squares are there").kind
    'count'
    >>> parse("how many red squares are there and say that it is free") is None
    True
    """
    plain = " ".join(re.sub(r"[.,?!;:]", " ", text.lower()).split())
    for kind, pattern in _COMPILED:
        match = pattern.fullmatch(plain)
        if match:
            found = match.groupdict()
            second = (_look(found, "b"),) if "b_shape" in found else ()
            return Question(kind, (_look(found, "a"), *second), ())
    return None


def steps(program: Question) -> list[str]:
    """The program in words, one step per line, as it is run."""

    def wanted(look: Look) -> str:
        shape = "any shape" if look[0] is None else world.SHAPES[look[0]]
        color = "any color" if look[1] is None else world.COLORS[look[1]]
        return f"filter({color}, {shape})"

    last = {"existence": "exists", "colour": "unique → color", "shape": "unique → shape", "size": "unique → size"}
    last |= {
        "count": "count",
        "relation": "unique, unique → side",
        "place": "unique → place",
        "compare": "count, count",
    }
    return [*(wanted(look) for look in program.about), last[program.kind]]


def run(program: Question, scene: world.Scene) -> Answer:
    """Execute a program on a scene's facts."""
    groups = [[i for i, t in enumerate(scene.things) if questions.matches(t, look)] for look in program.about]
    cited = tuple(sorted({i for group in groups for i in group}))
    boxes = np.array([box(scene.things[i]) for i in cited], float).reshape(-1, 4)
    if program.kind not in ("existence", "count", "compare"):
        for group in groups:
            if not group:
                return Answer("there is none", cited, boxes, good=False)
            if len(group) > 1:
                return Answer(f"which one? there are {len(group)}", cited, boxes, good=False)
    if program.kind == "count" and len(groups[0]) >= len(questions.NUMBERS):
        return Answer("four", cited, boxes)
    return Answer(questions.solve(program, scene), cited, boxes)


def ask(text: str, scene: world.Scene) -> Answer | None:
    """Parse and run; None for what cannot be parsed."""
    program = parse(text)
    return None if program is None else run(program, scene)


EXAMPLES = ("how many red squares are there", "is there a blue star", "what color is the star")  # to ask back with
