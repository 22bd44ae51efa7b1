"""The register of exercises, and `check`, which judges one answer and shows the verdict."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mmcourse import progress
from mmcourse.check import blanks, render
from mmcourse.check.verdict import NotAttempted, Wrong

_REGISTER: dict[str, Exercise] = {}


@dataclass(frozen=True)
class Exercise:
    """One exercise: `judge(answer)` returns None (or a word of praise) when right and raises `Wrong` when not."""

    id: str
    title: str
    points: int
    difficulty: int
    minutes: int
    judge: Callable[[Any], str | None] = field(repr=False)

    @property
    def lesson(self) -> str:
        return self.id.split(".")[0]


@dataclass(frozen=True)
class Result:
    """The verdict: `status` is "passed", "wrong", "not attempted yet" or "unknown exercise"."""

    status: str
    message: str
    points: int
    max_points: int
    id: str = ""
    title: str = ""

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    def __str__(self) -> str:
        return render.text(self)

    def _ipython_display_(self) -> None:
        """Show nothing as a cell's value: `check` has shown the verdict already."""


def exercise(id: str, *, title: str, points: int, difficulty: int, minutes: int) -> Callable:
    """Register the decorated function as the check of exercise `id` ("SLUG.k")."""
    lesson, _, number = id.partition(".")
    if not (re.fullmatch(r"[a-z][a-z0-9_]*", lesson) and number.isdigit()):
        raise ValueError(f'exercise id: expected "SLUG.k" such as "start_here.1", got {id!r}')
    if difficulty not in (1, 2, 3) or points < 1 or minutes < 1:
        raise ValueError(f"exercise {id}: expected difficulty 1-3, points and minutes of at least 1")

    def register(function: Callable) -> Callable:
        known = _REGISTER.get(id)
        if known and known.judge.__qualname__ != function.__qualname__:
            both = f"{known.judge.__qualname__} and {function.__qualname__}"
            raise ValueError(f"exercise {id}: registered twice, by {both}")
        _REGISTER[id] = Exercise(id, title, points, difficulty, minutes, function)
        return function

    return register


def _load(lesson: str | None = None) -> None:
    """Import the checks of one lesson, or of all: those written as data, and those that have not moved yet."""
    from mmcourse.exercise import registry

    for slug in registry.slugs() if lesson is None else [lesson]:
        for x in registry.without_frameworks(slug):
            _register(x, x.check)
        for heading in registry.framework_headings(slug):
            _register(heading, partial(_check_later, heading.id))
    package = importlib.import_module("mmcourse.check")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("lesson_") and lesson in (None, module.name.removeprefix("lesson_")):
            importlib.import_module(f"mmcourse.check.{module.name}")


def _load_one(id: str) -> None:
    """Register one exercise, and no framework that it does not need."""
    from mmcourse.exercise import find

    x = find(id)
    if x is None:
        _load(id.partition(".")[0])
    else:
        _register(x, x.check)


def _register(x: Any, judge: Callable[[Any], str | None]) -> None:
    _REGISTER.setdefault(x.id, Exercise(x.id, x.title, x.points, x.difficulty, x.minutes, judge))


def _check_later(id: str, answer: Any) -> str | None:
    """Check an answer to an exercise whose framework is loaded only now."""
    from mmcourse.exercise import find

    x = find(id)
    assert x is not None
    return x.check(answer)


def exercises(lesson: str | None = None) -> list[Exercise]:
    """All exercises, or those of one lesson ("fusion"), in order."""
    _load(lesson)
    found = [e for e in _REGISTER.values() if lesson in (None, e.lesson)]
    return sorted(found, key=lambda e: (e.lesson, int(e.id.split(".")[1])))


def info(id: str) -> Exercise:
    """What is known of exercise `id`: title, points, difficulty, minutes.

    Raises
    ------
    ValueError
        If there is no such exercise; the message names the nearest ones.
    """
    if isinstance(id, str) and id not in _REGISTER:
        _load_one(id)
    if isinstance(id, str) and id in _REGISTER:
        return _REGISTER[id]
    known = [e.id for e in exercises()]
    same = [k for k in known if k.startswith(str(id).partition(".")[0] + ".")]
    near = difflib.get_close_matches(str(id), same or known, n=3, cutoff=0.4) or (same or known)[:3]
    raise ValueError(f"There is no exercise {id!r}. The nearest are: {', '.join(near) or 'none yet'}.")


def judge(id: str, answer: Any = ...) -> Result:
    """Judge `answer` and return the verdict without showing it; nothing that the answer does is raised."""
    try:
        it = info(id)
    except ValueError as error:
        return Result("unknown exercise", str(error), 0, 0, str(id))

    def verdict(status: str, message: str) -> Result:
        return Result(status, message, it.points if status == "passed" else 0, it.points, it.id, it.title)

    try:
        if answer is ...:
            raise NotAttempted
        if answer is None:
            raise Wrong("The answer is None. Did a function without `return` make it, or was the name set to None?")
        return verdict("passed", it.judge(answer) or "")
    except NotAttempted:
        return verdict("not attempted yet", "Replace the blank with your own code, run the cell, then run this one.")
    except Wrong as error:
        return verdict("wrong", str(error))
    except Exception as error:  # an answer odd enough to break the check itself is still only a wrong answer
        kind = type(answer).__name__
        return verdict("wrong", f"This answer, of type {kind}, could not be judged: {type(error).__name__}: {error}")


def check(id: str, answer: Any = ..., *given: Any) -> Any:
    """Judge `answer` to exercise `id`, show the feedback, return the `Result`. No answer makes it raise.

    For a blank inside a lesson ("attention.blank.2") it returns the answer itself if that is right, and the course's
    own version if not. `given` is what that version is made from, where the lesson says so.
    """
    if blanks.ID.fullmatch(str(id)):
        return _check_blank(str(id), answer, given)
    if given:
        raise TypeError(f"check({id!r}, answer) takes one answer, got {1 + len(given)}: put them into one tuple")
    result = judge(id, answer)
    render.show(result)
    progress.record(result)
    return result


def _check_blank(id: str, answer: Any, given: tuple) -> Any:
    """Show the verdict on a blank, and return what the lesson goes on with."""
    try:
        it = blanks.find(id)
    except ValueError as error:
        render.show(Result("unknown exercise", str(error), 0, 0, id))
        return answer
    status, message = "passed", ""
    try:
        blanks.judge(it, answer, given)
    except NotAttempted:
        status, message = "not attempted yet", blanks.OURS
    except Wrong as error:
        status, message = "wrong", f"{error}\n{blanks.OURS}"
    except Exception as error:  # an answer odd enough to break the check itself is still only a wrong answer
        kind, problem = type(answer).__name__, f"{type(error).__name__}: {error}"
        status, message = "wrong", f"This answer, of type {kind}, could not be judged: {problem}\n{blanks.OURS}"
    result = Result(status, message, 0, 0, id, it.title)
    render.show(result)
    progress.record(result)
    return answer if status == "passed" else it.version(given)
