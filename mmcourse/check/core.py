"""`check`, which judges one answer to an exercise, shows the verdict and returns it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from mmcourse import progress
from mmcourse.check import blanks, render
from mmcourse.exercise import find, find_challenge, registry
from mmcourse.exercise.registry import Heading
from mmcourse.exercise.verdict import CheckFailed, NotAttempted


@dataclass(frozen=True)
class Result:
    """The verdict: `status` is "passed", "wrong", "not attempted yet", "graded later" or "unknown exercise"."""

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


_LATER: set[str] = set()  # lessons of an instructor's own, whose exercises are not in the course


def graded_by_instructor(slug: str) -> None:
    """Say that the exercises of this lesson are an instructor's own: `check` cannot judge them here, grading does."""
    _LATER.add(slug)


def exercises(lesson: str | None = None) -> list[Heading]:
    """What is known of all exercises, or of those of one lesson ("fusion"), in order; loads no framework."""
    slugs = registry.slugs() if lesson is None else [lesson]
    return [heading for slug in slugs for heading in registry.headings(slug)]


def info(id: str) -> Heading:
    """What is known of exercise `id`: title, points, difficulty, minutes.

    Raises
    ------
    ValueError
        If there is no such exercise; the message names the nearest ones.
    """
    slug = str(id).partition(".")[0]
    for heading in exercises(slug):
        if heading.id == id:
            return heading
    known = [heading.id for heading in exercises()]
    same = [k for k in known if k.startswith(f"{slug}.")]
    near = difflib.get_close_matches(str(id), same or known, n=3, cutoff=0.4) or (same or known)[:3]
    raise ValueError(f"There is no exercise {id!r}. The nearest are: {', '.join(near) or 'none yet'}.")


def judge(id: str, answer: Any = ...) -> Result:
    """Judge `answer` and return the verdict without showing it; nothing that the answer does is raised."""
    try:
        it = info(id)
    except ValueError as error:
        if str(id).partition(".")[0] in _LATER:
            return Result("graded later", _later(answer), 0, 0, str(id))
        return Result("unknown exercise", str(error), 0, 0, str(id))
    exercise = find(id)
    assert exercise is not None

    def verdict(status: str, message: str) -> Result:
        return Result(status, message, it.points if status == "passed" else 0, it.points, it.id, it.title)

    try:
        if answer is ...:
            raise NotAttempted
        if answer is None:
            raise CheckFailed(
                "The answer is None. Did a function without `return` make it, or was the name set to None?"
            )
        return verdict("passed", exercise.check(answer))
    except NotAttempted:
        return verdict("not attempted yet", "Replace the blank with your own code, run the cell, then run this one.")
    except CheckFailed as error:
        return verdict("wrong", str(error))
    except Exception as error:  # an answer odd enough to break the check itself is still only a wrong answer
        kind = type(answer).__name__
        return verdict("wrong", f"This answer, of type {kind}, could not be judged: {type(error).__name__}: {error}")


def _later(answer: Any) -> str:
    missing = answer is ... or answer is None
    said = "There is no answer yet." if missing else "There is an answer."
    return f"{said} Your instructor wrote this exercise: it is judged when you have handed it in."


def check(id: str, answer: Any = ..., *given: Any) -> Any:
    """Judge `answer` to exercise `id`, show the feedback, return the `Result`. No answer makes it raise.

    For an open challenge ("cnn.challenge") the answer is what is handed in: one array, or a dict of them.
    For a blank inside a lesson ("attention.blank.2") it returns the answer itself if that is right, and the course's
    own version if not. `given` is what that version is made from, where the lesson says so.
    """
    if blanks.ID.fullmatch(str(id)):
        return _check_blank(str(id), answer, given)
    if given:
        raise TypeError(f"check({id!r}, answer) takes one answer, got {1 + len(given)}: put them into one tuple")
    result = judge_challenge(str(id), answer) if str(id).endswith(".challenge") else judge(id, answer)
    render.show(result)
    if result.status != "graded later":
        progress.record(result)
    return result


def judge_challenge(id: str, answer: Any = ...) -> Result:
    """Score what would be handed in for a challenge, on the learner's own draw; nothing that it does is raised."""
    it = find_challenge(id)
    if it is None and id.partition(".")[0] in _LATER:
        return Result("graded later", _later(answer), 0, 0, id)
    if it is None:
        return Result("unknown exercise", f"There is no challenge {id!r}.", 0, 0, id)
    try:
        if answer is None:
            raise CheckFailed("The answer is None. Was the name set to None, or does a function lack its `return`?")
        reached, points, message = it.check(answer)
        return Result("passed" if reached else "wrong", message, points, it.points, id, it.title)
    except NotAttempted:
        message = "Replace the blank with what you hand in, run the cell, then run this one."
        return Result("not attempted yet", message, 0, it.points, id, it.title)
    except CheckFailed as error:
        return Result("wrong", str(error), 0, it.points, id, it.title)
    except Exception as error:
        message = f"This could not be scored: {type(error).__name__}: {error}"
        return Result("wrong", message, 0, it.points, id, it.title)


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
    except CheckFailed as error:
        status, message = "wrong", f"{error}\n{blanks.OURS}"
    except Exception as error:  # an answer odd enough to break the check itself is still only a wrong answer
        kind, problem = type(answer).__name__, f"{type(error).__name__}: {error}"
        status, message = "wrong", f"This answer, of type {kind}, could not be judged: {problem}\n{blanks.OURS}"
    result = Result(status, message, 0, 0, id, it.title)
    render.show(result)
    progress.record(result)
    return answer if status == "passed" else it.version(given)
