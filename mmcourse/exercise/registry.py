"""Where exercises are written, and how they are found: `find("fusion.1")`.

In a checkout they are read from `notebooks/src/SLUG/exercises.py`. An installed package carries the public half of
the same files in `mmcourse/_lessons/SLUG/exercises.py`: everything but the right answers written differently.
Exercises whose reference is a PyTorch module or a Keras layer stand beside it, in `exercises_torch.py` and
`exercises_keras.py`: these are run only for their own exercises, so that no other check loads a framework.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import mmcourse
from mmcourse.exercise.challenge import Challenge, make_challenge
from mmcourse.exercise.exercise import Exercise, make_exercise

FRAMEWORKS = ("torch", "keras")
PACKAGE = Path(mmcourse.__file__).parent
BANK = "MMCOURSE_BANK"  # an instructor's own folder of exercises; set by `--bank`, so that workers see it too


@dataclass
class Lesson:
    """The exercises of one lesson, with what stands around them in the notebook."""

    slug: str
    promise: str = ""
    uses: str = "NumPy only"
    setup: str = ""
    exercises: list[Exercise] = field(default_factory=list)
    challenge: Challenge | None = None
    loaded: set[str] = field(default_factory=set)

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
    framework, use : for a class, a loss or a training function, "torch" or "keras" and the probe that uses it: a
        function of the framework's helpers, the answer and one input that yields dicts of plain values
    seconds : time limit of one call
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


def challenge(id: str, **what: Any) -> Challenge:
    """Register the open challenge of the lesson that `lesson(...)` began; a lesson has one at most.

    Parameters
    ----------
    id : "SLUG.challenge"
    title, minutes : for headings and tables
    statement : sentences in Markdown
    draw : function of a generator that gives `Drawn(inputs, hidden)`: a dict of arrays for the learner, and what only
        the score function gets. Labels that lie in shipped data could be looked up: draw them
    hand_in : name → `Array(shape, kind)`, what is handed in: predictions or weights
    score : function of (arrays handed in, inputs, hidden) that gives one number, the higher the better; at most 5 s
    to_beat : the score of a simple way, which the statement names
    points_by_score : score → points, growing; the first step is the score to beat or more
    score_name : what the score is called in messages, such as "accuracy"
    of_one_draw : whether an answer is worth something for the inputs alone that it was made from, as predictions are;
        False for weights, which may do well on any draw

    Raises
    ------
    ValueError
        If something is missing or malformed.
    """
    slug = id.split(".")[0]
    if slug not in _lessons:
        raise ValueError(f"challenge {id}: write `lesson({slug!r}, …)` before it")
    if _lessons[slug].challenge:
        raise ValueError(f"challenge {id}: registered twice")
    made = make_challenge(id, **what)
    _lessons[slug].challenge = made
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


def bank() -> Path | None:
    """An instructor's own folder of exercises, where this process uses one: DIR/SLUG/exercises.py."""
    return Path(os.environ[BANK]) if os.environ.get(BANK) else None


def home(slug: str) -> Path:
    """The folder with a lesson's exercises: the course's own, or the bank's where the course has none."""
    own, private = folder() / slug, bank()
    return private / slug if private and not own.is_dir() and (private / slug).is_dir() else own


def forget() -> None:
    """Read every exercise anew when it is asked for: files or the bank may have changed."""
    _begun.cache_clear()
    _lessons.clear()


def is_written(path: Path) -> bool:
    """Whether this exercises.py holds exercises; one that begins no `lesson(...)` holds blanks of the lesson only."""
    return path.is_file() and bool(re.search(r"^lesson\(", path.read_text(encoding="utf-8"), re.MULTILINE))


def slugs() -> list[str]:
    """Lessons with exercises, in order of name."""
    found = [*folder().glob("*/exercises.py"), *(private.glob("*/exercises.py") if (private := bank()) else [])]
    return sorted({path.parent.name for path in found if is_written(path)})


@cache
def _begun(slug: str) -> Lesson | None:
    """A lesson with the exercises that need no framework; None where there are none."""
    return load(home(slug) / "exercises.py", frameworks=False) if slug in slugs() else None


def without_frameworks(slug: str) -> list[Exercise]:
    """The exercises of a lesson that need no framework."""
    found = _begun(slug)
    return [x for x in found.exercises if x.use is None] if found else []


def find_lesson(slug: str) -> Lesson | None:
    """All exercises of a lesson, those in frameworks included; None where there are none."""
    found = _begun(slug)
    if found:
        _load_frameworks(found, home(slug))
    return found


def load(path: Path, frameworks: bool = True) -> Lesson:
    """Run an exercises.py and return the lesson that it describes, with the exercises in frameworks or without."""
    slug = path.parent.name
    before = _lessons.pop(slug, None)
    try:
        _run(path, f"mmcourse_exercises_{slug}")
        if slug not in _lessons:
            raise ValueError(f"{path}: no `lesson({slug!r}, …)` in it")
        made = _lessons[slug]
        if frameworks:
            _load_frameworks(made, path.parent)
    except BaseException:
        if before:
            _lessons[slug] = before
        raise
    return made


def _load_frameworks(made: Lesson, home: Path, id: str = "") -> None:
    """Run the files with exercises in frameworks, each once; with an `id`, only the one that holds it."""
    for framework in FRAMEWORKS:
        path = home / f"exercises_{framework}.py"
        if framework in made.loaded or not path.is_file():
            continue
        if not id or f'"{id}"' in path.read_text(encoding="utf-8"):
            made.loaded.add(framework)
            current = _lessons.get(made.slug)
            _lessons[made.slug] = made
            try:
                _run(path, f"mmcourse_exercises_{made.slug}_{framework}")
            finally:
                _lessons[made.slug] = current or made
    made.exercises.sort(key=lambda x: int(x.id.split(".")[-1]))


def _run(path: Path, name: str) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that the source of a reference can be read
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def find(id: str) -> Exercise | None:
    """The exercise with this id; None where there is none. Loads a framework only if it needs one."""
    slug = id.split(".")[0]
    found = _begun(slug)
    if found is None:
        return None
    _load_frameworks(found, home(slug), id)
    return next((x for x in found.exercises if x.id == id), None)


def find_challenge(id: str) -> Challenge | None:
    """The open challenge with this id, "SLUG.challenge", or of this lesson; None where there is none."""
    found = _begun(id.split(".")[0])
    return found.challenge if found else None


@dataclass(frozen=True)
class Heading:
    """What is known of an exercise without running its file."""

    id: str
    title: str
    points: int
    difficulty: int
    minutes: int

    @property
    def lesson(self) -> str:
        """Slug of its lesson."""
        return self.id.split(".")[0]


def headings(slug: str) -> list[Heading]:
    """The exercises of a lesson in order; no framework is loaded."""
    found = [Heading(x.id, x.title, x.points, x.difficulty, x.minutes) for x in without_frameworks(slug)]
    return sorted(found + framework_headings(slug), key=lambda heading: int(heading.id.split(".")[1]))


def framework_headings(slug: str) -> list[Heading]:
    """The exercises of a lesson that need a framework, read from the text of their files: no framework is loaded."""
    found = []
    for framework in FRAMEWORKS:
        path = home(slug) / f"exercises_{framework}.py"
        if not path.is_file():
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "exercise":
                told: dict[str | None, Any] = {
                    k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)
                }
                numbers = (told["points"], told["difficulty"], told["minutes"])
                found.append(Heading(ast.literal_eval(call.args[0]), told["title"], *numbers))
    return found


def all_exercises() -> list[Exercise]:
    """Every exercise, lesson by lesson; loads the frameworks that they need."""
    return [x for slug in slugs() for x in find_lesson(slug).exercises]  # type: ignore[union-attr]
