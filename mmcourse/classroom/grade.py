"""Grade a class: every submission in its own sandbox, judged from outside, kept as soon as it is done."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from mmcourse.authoring import select
from mmcourse.classroom.cluster import spread
from mmcourse.classroom.hidden import Outcome, grade_parts, share
from mmcourse.classroom.release import Exercise, Release, read_release, unreleased
from mmcourse.classroom.sandbox import Limits, Stopped, require
from mmcourse.classroom.session import Proxy, Session, answer_of
from mmcourse.classroom.submission import Submission, collect

USUAL = Limits()
_JUDGING = Lock()  # checks look at this process's own random numbers and warnings


@dataclass(frozen=True)
class Task:
    """All that one submission's grading needs, here or on another machine."""

    student: str
    lesson: str
    cells: tuple[str, ...]
    exercises: tuple[Exercise, ...]
    variants: dict[str, dict[str, Any]]
    secret: str
    limits: Limits
    unsafe: bool
    hidden: tuple[str, ...]

    @property
    def key(self) -> str:
        """What decides the result: the same key needs no second grading."""
        told = asdict(self) | {"code": code_version(self.lesson), "hidden": None}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@cache
def code_version(lesson: str) -> str:
    """A fingerprint of all code that decides a lesson's points."""
    here, check, home = Path(__file__).parent, Path(__file__).parents[1] / "check", select([lesson])[0].home
    files = [here / name for name in ("grade.py", "hidden.py", "sandbox.py", "session.py", "variants.py")]
    files += [*here.glob("inside/*.py"), *check.glob("[!l]*.py"), check / f"lesson_{home.name}.py", home / "hidden.py"]
    files += [*Path(__file__).parents[1].glob("exercise/*.py"), home / "exercises.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files) if path.is_file())).hexdigest()


# ---------------------------------------------------------------- one submission
def grade_one(task: Task) -> dict[str, Any]:
    """Run one submission and judge its exercises; whatever it does, a record comes back."""
    start = time.monotonic()
    with _JUDGING, Session(list(task.cells), task.limits, map(Path, task.hidden), task.unsafe) as session:
        graded = [grade_exercise(session, task, exercise) for exercise in task.exercises]
        errors = session.errors
    record = {"key": task.key, "student": task.student, "lesson": task.lesson, "exercises": graded}
    return record | {"cells": errors, "seconds": round(time.monotonic() - start, 2)}


def grade_exercise(session: Session, task: Task, exercise: Exercise) -> dict[str, Any]:
    """One exercise: its parts, its points, and how it went."""
    start, note, answer = time.monotonic(), "", ...
    try:
        answer = answer_of(session, exercise.answer)
    except Stopped as error:
        note = f"Your notebook {error}."
    outcomes = grade_parts(exercise.id, answer, task.secret, task.variants.get(exercise.id))
    if isinstance(answer, Proxy) and answer.stopped:
        note = f"Your function {answer.stopped}."
    elif answer is ... and not note:
        note = f"There is no `{exercise.answer}` in your notebook."
    return {
        "id": exercise.id,
        "title": exercise.title,
        "points": round(exercise.points * share(outcomes), 2),
        "max": exercise.points,
        "seconds": round(time.monotonic() - start, 2),
        "status": status_of(outcomes, note),
        "note": note,
        "parts": [list(outcome) for outcome in outcomes],
    }


def status_of(outcomes: Sequence[Outcome], note: str) -> str:
    """One word for the table."""
    if all(outcome.passed for outcome in outcomes):
        return "passed"
    if note and not note.startswith("There is no"):
        return "stopped"
    if any(outcome.passed for outcome in outcomes):
        return "partial"
    return "not attempted" if all(x.advice == "Not attempted yet." for x in outcomes) else "wrong"


# ---------------------------------------------------------------- a class
@dataclass(frozen=True)
class Graded:
    """A class's records in order of students and lessons, what could not be graded, and how much was done anew."""

    records: list[dict[str, Any]]
    problems: list[tuple[str, str, str]]
    submissions: list[Submission]
    release: Release
    done_now: int


def grade(
    folder: Path,
    out: Path,
    release: Path | None = None,
    *,
    limits: Limits = USUAL,
    unsafe: bool = False,
    jobs: int = 1,
    dask: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Graded:
    """Grade DIR/<student>/*.ipynb; results that lie in `out` already are kept where nothing has changed.

    Raises
    ------
    NoSandbox, ValueError, OSError
        For settings that cannot be; the message says what to do.
    """
    require(unsafe)
    journal = out / "journal"
    journal.mkdir(parents=True, exist_ok=True, mode=0o700)  # grades are nobody else's
    plan = read_release(release) if release else None
    known = plan.lessons if plan else tuple(lesson.name for lesson in select(["all"]) if lesson.exercise.is_file())
    submissions = list(collect(folder.resolve(), known, out.resolve()))
    found = sorted({one.lesson for one in submissions if one.lesson})
    plan = plan or unreleased(found, own_secret(journal / "secret.txt"))
    hidden = tuple(str(path.resolve()) for path in (folder, out, release) if path)
    tasks = [task_of(one, plan, limits, unsafe, hidden) for one in submissions if not one.problem]
    records = {name(task): kept(journal / name(task), task) for task in tasks}
    waiting = [task for task in tasks if records[name(task)] is None]
    progress(len(tasks) - len(waiting), len(tasks))
    for done, record in enumerate(spread(grade_one, waiting, jobs, dask), len(tasks) - len(waiting) + 1):
        place = f"{record['student']}__{record['lesson']}.json"
        write(journal / place, json.dumps(record, indent=1))
        records[place] = record
        progress(done, len(tasks))
    ordered = [json.loads(json.dumps(record)) for _, record in sorted(records.items()) if record]
    problems = [(one.student, one.path.name, one.problem) for one in submissions if one.problem]
    return Graded(ordered, problems + list(unknown(plan, submissions)), submissions, plan, len(waiting))


def task_of(one: Submission, plan: Release, limits: Limits, unsafe: bool, hidden: tuple[str, ...]) -> Task:
    exercises = tuple(x for x in plan.exercises if x.lesson == one.lesson)
    variants = {x.id: plan.variant(one.student, x.id) for x in exercises}
    return Task(one.student, one.lesson, one.cells, exercises, variants, plan.secret, limits, unsafe, hidden)


def name(task: Task) -> str:
    return f"{task.student}__{task.lesson}.json"


def kept(path: Path, task: Task) -> dict[str, Any] | None:
    """The record of an earlier run, if it is whole and of the same submission and settings."""
    try:
        record = json.loads(path.read_bytes())
        return record if record["key"] == task.key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unknown(plan: Release, submissions: list[Submission]) -> Iterator[tuple[str, str, str]]:
    """Who handed something in and is not on the roster."""
    for student in dict.fromkeys(one.student for one in submissions):
        if len(plan.students) > 1 and student not in plan.students:
            yield student, "", "not on the roster"


def own_secret(path: Path) -> str:
    """The secret of a class without a release: made once, for the instructor's eyes only."""
    if not path.is_file():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32), encoding="utf-8")
    return path.read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    """A file, whole or not at all; a link that a student laid in its way is not followed."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with part.open("x", encoding="utf-8", errors="replace") as file:
        file.write(text)
    os.replace(part, path)
