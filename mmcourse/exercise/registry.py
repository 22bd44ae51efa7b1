"""Where exercises are written, and how they are found: `find("fusion.1")`.

In a checkout they are read from `notebooks/src/SLUG/exercises.py`. An installed package carries the public half of
the same files in `mmcourse/_lessons/SLUG/exercises.py`: everything but the right answers written differently.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import mmcourse
from mmcourse.exercise.exercise import Exercise, make_exercise

PACKAGE = Path(mmcourse.__file__).parent


@dataclass
class Lesson:
    """The exercises of one lesson, with what stands around them in the notebook."""

    slug: str
    promise: str = ""
    uses: str = "NumPy only"
    setup: str = ""
    exercises: list[Exercise] = field(default_factory=list)

    @property
    def points(self) -> int:
        """Sum over its exercises."""
        return sum(x.points for x in self.exercises)

    @property
    def minutes(self) -> int:
        """Sum over its exercises."""
        return sum(x.minutes for x in self.exercises)


_lessons: dict[str, Lesson] = {}


# ---------------------------------------------------------------- what authors call
def lesson(slug: str, *, promise: str, setup: str, uses: str = "NumPy only") -> None:
    """Begin a lesson's exercises.

    Parameters
    ----------
    slug : the lesson's folder
    promise : one sentence for the title card
    setup : the notebook's first code cell: imports, and what several exercises share
    uses : what is needed, such as "NumPy only"
    """
    _lessons[slug] = Lesson(slug, promise, uses, setup.strip("\n"))


def exercise(id: str, reference: Callable, **what: Any) -> Exercise:
    """Register one exercise of the lesson that `lesson(...)` began.

    Parameters
    ----------
    id : "SLUG.k"
    reference : the model solution: a documented function. It becomes the solution and, emptied, the blank
    title, points, difficulty, minutes : for headings and tables; difficulty is 1 to 3
    statement : rows, `says(...)` and `context(...)` and `example(...)`
    hints : two or more, folded in the notebook
    draw : function of a generator and options that gives a tuple of arguments
    parts : `part("one sample", b=1)`, … : cases, each drawn by `draw` with these options
    own : options of `draw` for a student's own numbers (few of them), or a function of a generator
    own_says : what the cell with a student's own numbers says above them; the arguments by name by default
    mistakes : message → how the mistake is made, or a list of ways: lines, an `edit(...)`, or a function
    praise : what is said to a right answer
    judge : for answers that no reference can decide: function of the answer and one input that raises `CheckFailed`
    starter : the learner's cell, where it is more than the emptied reference; with `# BEGIN SOLUTION` markers
    constant : argument → why it does not vary over the inputs
    names, what, atol, rtol : as in `assert_close`

    Raises
    ------
    ValueError
        If something is missing or malformed. Whether each mistake can be made and is named right is not tried at
        import; `mmcourse build` and the tests do (`mmcourse.exercise.verify`).
    """
    slug = id.split(".")[0]
    if slug not in _lessons:
        raise ValueError(f"exercise {id}: write `lesson({slug!r}, …)` before its exercises")
    if any(known.id == id for known in _lessons[slug].exercises):
        raise ValueError(f"exercise {id}: registered twice")
    made = make_exercise(id, reference, **what)
    _lessons[slug].exercises.append(made)
    return made


def right(exercise: Exercise) -> Callable[[Callable], Callable]:
    """Decorator: another right answer to this exercise. The wheel leaves these out."""

    def register(function: Callable) -> Callable:
        exercise.right.append(function)
        return function

    return register


# ---------------------------------------------------------------- finding them
def folder() -> Path:
    """Folder with one folder for each lesson: the checkout's sources, else the public halves in the package."""
    sources = PACKAGE.parent / "notebooks" / "src"
    return sources if sources.is_dir() else PACKAGE / "_lessons"


def is_written(path: Path) -> bool:
    """Whether this exercises.py holds exercises; one that begins no `lesson(...)` holds blanks of the lesson only."""
    return path.is_file() and bool(re.search(r"^lesson\(", path.read_text(encoding="utf-8"), re.MULTILINE))


def slugs() -> list[str]:
    """Lessons whose exercises are written as data, in order of name."""
    return sorted(path.parent.name for path in folder().glob("*/exercises.py") if is_written(path))


@cache
def find_lesson(slug: str) -> Lesson | None:
    """The exercises of a lesson; None where there are none."""
    return load(folder() / slug / "exercises.py") if slug in slugs() else None


def load(path: Path) -> Lesson:
    """Run an exercises.py and return the lesson that it describes."""
    slug = path.parent.name
    name = f"mmcourse_exercises_{slug}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    before = _lessons.pop(slug, None)
    sys.modules[name] = module  # so that the source of a reference can be read
    try:
        spec.loader.exec_module(module)
        if slug not in _lessons:
            raise ValueError(f"{path}: no `lesson({slug!r}, …)` in it")
    except BaseException:
        del sys.modules[name]
        if before:
            _lessons[slug] = before
        raise
    return _lessons[slug]


def find(id: str) -> Exercise | None:
    """The exercise with this id; None where it is not written as data."""
    found = find_lesson(id.split(".")[0])
    return next((x for x in found.exercises if x.id == id), None) if found else None


def all_exercises() -> list[Exercise]:
    """Every exercise that is written as data, lesson by lesson."""
    return [x for slug in slugs() for x in find_lesson(slug).exercises]  # type: ignore[union-attr]
