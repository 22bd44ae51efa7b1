"""Grade a class: every submission in its own sandbox, judged from outside, kept as soon as it is done."""

from __future__ import annotations

import hashlib
import json
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from mmcourse.authoring import select
from mmcourse.authoring.catalogue import lessons
from mmcourse.check import info
from mmcourse.classroom.challenges import class_inputs, require_same_inputs, score_file
from mmcourse.classroom.executor import execute
from mmcourse.classroom.fingerprint import code_version
from mmcourse.classroom.hidden import TestCase, TestResult, grade_parts, parts, score
from mmcourse.classroom.late import Late, Policy, lateness
from mmcourse.classroom.release import EVERYONE, Exercise, Release, inputs_kept, read_release, unreleased
from mmcourse.classroom.sandbox import Limits, Stopped, require
from mmcourse.classroom.seal import (
    hmac_digest,
    instructor_key,
    open_results,
    read_sealed,
    stretched,
    typed_secret,
    write_sealed,
)
from mmcourse.classroom.session import Proxy, Session, answer_of
from mmcourse.classroom.students import identify
from mmcourse.classroom.submission import Submission, collect
from mmcourse.exercise import find_challenge
from mmcourse.exercise.challenge import SCORE_SECONDS
from mmcourse.exercise.registry import bank
from mmcourse.io import private_folder, remove_stale_parts

USUAL = Limits()
JUDGING_SECONDS = 30  # of this process's own computing for one exercise; usual is less than one
JUDGING_IN_ALL = 60  # for a whole submission
RETURNED = "returned.json"
_JUDGING = Lock()  # checks look at this process's own random numbers and warnings


@dataclass(frozen=True)
class Task:
    """All that one submission's grading needs, here or on another machine."""

    student: str
    lesson: str
    cells: tuple[str, ...]
    exercises: tuple[Exercise, ...]
    variants: dict[str, dict[str, Any]]
    variant_cells: dict[str, str]
    secret: str  # of the class; hidden inputs are drawn from it and from `hidden_seed`
    hidden_seed: str
    seed_is_fixed: bool
    limits: Limits
    unsafe: bool
    hidden: tuple[str, ...]
    code: str  # fingerprint of all code, data and packages that decide the points

    @property
    def key(self) -> str:
        """What decides the result: the same key needs no second grading."""
        told = asdict(self) | {"hidden": None, "hidden_seed": self.hidden_seed if self.seed_is_fixed else None}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def handed_in(self) -> str:
        """A digest of the notebook alone."""
        return hashlib.sha256(json.dumps(self.cells).encode()).hexdigest()

    @property
    def inputs_key(self) -> str:
        """What the hidden inputs are drawn from."""
        return hmac_digest(self.secret, "inputs", self.hidden_seed).hex()


@dataclass(frozen=True)
class ChallengeTask:
    """A file of arrays and what its score needs; the fields that both kinds have mean the same."""

    student: str
    lesson: str  # the challenge's id
    exercise: Exercise
    data: bytes
    ending: str
    secret: str
    hidden_seed: str
    code: str

    @property
    def key(self) -> str:
        """What decides the result: the same key needs no second grading."""
        told = asdict(self) | {"data": self.handed_in, "hidden_seed": ""}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def handed_in(self) -> str:
        """A digest of the file alone."""
        return hashlib.sha256(self.data).hexdigest()


def grade_challenge(task: ChallengeTask) -> dict[str, Any]:
    """Score one file; whatever it holds, a record comes back. Nothing of the student's is run."""
    x, start = task.exercise, time.monotonic()
    challenge = find_challenge(x.id)
    assert challenge is not None
    drawn = class_inputs(challenge, task.secret)  # outside: what goes wrong here is no student's fault
    try:
        with _JUDGING, computing_limit(SCORE_SECONDS):
            score, note = score_file(challenge, drawn, task.data, task.ending, x.points)
    except TooMuchComputing:
        score, note = None, f"Your file takes more than {SCORE_SECONDS} seconds to score."
    except Exception as error:  # a file odd enough to break the score function is still only a wrong answer
        score, note = None, f"Your file could not be scored ({type(error).__name__})."
    steps = sorted(challenge.points_by_score)
    reached = [score is not None and score >= step for step in steps]
    parts = [[f"{challenge.score_name} {step:g} or more", 1.0, ok, ""] for step, ok in zip(steps, reached, strict=True)]
    share = challenge.points_of(score) / challenge.points if score is not None else 0.0
    graded = {"id": x.id, "title": x.title, "points": round(x.points * share, 2), "max": x.points, "note": note}
    graded |= {"seconds": round(time.monotonic() - start, 2), "parts": parts, "score": score}
    graded["status"] = "passed" if all(reached) else "partial" if any(reached) else "wrong"
    record = {"key": task.key, "student": task.student, "lesson": task.lesson, "exercises": [graded]}
    record |= {"handed_in": task.handed_in, "code": task.code, "hidden_seed": task.hidden_seed}
    return record | {"cells": [], "seconds": graded["seconds"]}


# ---------------------------------------------------------------- one submission
def grade_one(task: Task | ChallengeTask) -> dict[str, Any]:
    """Run one submission and judge its exercises; whatever it does, a record comes back.

    Raises
    ------
    ValueError
        On another machine whose course, data or packages differ: its points would not be comparable.
    """
    if code_version(task.exercise.lesson if isinstance(task, ChallengeTask) else task.lesson) != task.code:
        raise ValueError("a worker has another version of the course, its data or its packages; make them the same")
    if isinstance(task, ChallengeTask):
        return grade_challenge(task)
    start, graded = time.monotonic(), []
    left = float(JUDGING_IN_ALL)
    with _JUDGING:
        # Drawn before the session begins: computing the right results takes none of the student's time.
        asked = [parts(exercise.id, task.inputs_key, task.variants.get(exercise.id)) for exercise in task.exercises]
    with _JUDGING, Session(list(task.cells), task.limits, map(Path, task.hidden), task.unsafe) as session:
        for exercise, cases in zip(task.exercises, asked, strict=True):
            begun = time.process_time()
            graded.append(grade_exercise(session, task, exercise, cases, min(left, JUDGING_SECONDS)))
            left = max(left - (time.process_time() - begun), 1.0)
        errors = session.errors
    record = {"key": task.key, "student": task.student, "lesson": task.lesson, "exercises": graded}
    record |= {"handed_in": task.handed_in, "code": task.code, "hidden_seed": task.hidden_seed}
    return record | {"cells": errors, "seconds": round(time.monotonic() - start, 2)}


def grade_exercise(
    session: Session, task: Task, exercise: Exercise, asked: Sequence[TestCase], seconds: float
) -> dict[str, Any]:
    """One exercise: its parts, its points, and how it went; `seconds` is what judging it may cost this process."""
    start, note, answer = time.monotonic(), "", ...
    variant = task.variants.get(exercise.id)
    try:
        with computing_limit(seconds):
            answer = answer_of(session, exercise.answer)
            outcomes = grade_parts(exercise.id, answer, task.inputs_key, variant)
    except Stopped as error:
        note = f"Your notebook {error}."
        outcomes = grade_parts(exercise.id, ..., task.inputs_key, variant)
    except TooMuchComputing:
        note = "Your answer takes too long to compare: is it much larger than what is asked?"
        outcomes = [TestResult(part.name, part.weight, False, note) for part in asked]
    if isinstance(answer, Proxy) and answer.stopped:
        note = f"Your function {answer.stopped}."
    elif answer is ... and not note:
        note = f"There is no `{exercise.answer}` in your notebook."
    return {
        "id": exercise.id,
        "title": exercise.title,
        "points": round(exercise.points * score(outcomes), 2),
        "max": exercise.points,
        "seconds": round(time.monotonic() - start, 2),
        "status": status_of(outcomes, note),
        "note": note,
        "parts": [list(outcome) for outcome in outcomes],
    }


class TooMuchComputing(BaseException):
    """The judge itself was kept busy for too long. No `except Exception` on the way may swallow it."""


@contextmanager
def computing_limit(seconds: float) -> Iterator[None]:
    """End what this process computes inside the block after so many seconds of its own processor time.

    Waiting for the sandbox does not count, nor does a busy machine. In threads (Dask) there is no such limit.
    """
    if not hasattr(signal, "SIGVTALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise TooMuchComputing

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def status_of(outcomes: Sequence[TestResult], note: str) -> str:
    """One word for the table."""
    if all(outcome.passed for outcome in outcomes):
        return "passed"
    if note and not note.startswith("There is no"):
        return "stopped"
    if any(outcome.passed for outcome in outcomes):
        return "partial"
    return "not attempted" if all(x.advice == "Not attempted yet." for x in outcomes) else "wrong"


# ---------------------------------------------------------------- a class
class Change(NamedTuple):
    """What a regrade does to one exercise's points; `kept` where a returned grade would have been lowered."""

    student: str
    exercise: str
    before: float
    after: float
    why: str
    kept: bool = False

    def __str__(self) -> str:
        what = f"{self.student}: {self.exercise}: {self.before:g} → {self.after:g} points ({self.why})"
        return f"{what}; was returned, so {self.before:g} stays: --lower applies it" if self.kept else what


@dataclass(frozen=True)
class Graded:
    """A class's records in order of students and lessons, what could not be graded, and how much was done anew."""

    records: list[dict[str, Any]]
    problems: list[tuple[str, str, str]]
    submissions: list[Submission]
    release: Release
    done_now: int
    changes: list[Change] = field(default_factory=list)
    key: str = ""  # what the results are sealed with
    late: dict[tuple[str, str], Late] = field(default_factory=dict)  # by student and lesson, where there is a deadline


def grade(
    folder: Path,
    out: Path,
    release: Path | None = None,
    *,
    secret: Path | None = None,
    hidden_seed: str = "",
    lower: bool = False,
    limits: Limits = USUAL,
    unsafe: bool = False,
    jobs: int = 1,
    dask: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Graded:
    """Grade DIR/<student>/*.ipynb; results that lie in `out` already are kept where nothing has changed.

    Parameters
    ----------
    folder
        The class: one folder for each student.
    out
        Where results are kept: a new folder, or one that grading this very class made.
    release
        The release that was handed out, if there was one.
    secret
        File with the class's secret, where there is no release; the instructor's own key by default.
    hidden_seed
        Fixes the hidden inputs; by default each run draws others. Each record names the seed that it was graded with.
    lower
        Whether a regrade may lower points that were returned to a student.

    Raises
    ------
    NoSandbox, ValueError, OSError
        For settings that cannot be; the message says what to do.
    """
    require(unsafe)
    if bank() and dask:
        raise ValueError("--bank: the workers of a Dask cluster have no bank; grade on this machine with --jobs")
    plan = read_release(release) if release else None
    if plan:
        _require_known(plan)
    known = plan.lessons if plan else tuple(lesson.name for lesson in select(["all"]) if lesson.exercise.is_file())
    key, class_secret = _opened(folder, out, plan, secret)
    journal = private_folder(out / "journal")
    remove_stale_parts(journal)
    whose = None
    if plan and plan.students != EVERYONE:
        whose = partial(identify, students=plan.students, knows=plan.handed_out)
    submissions = list(collect(folder, known, out, whose))
    submissions = [_gradable(one, plan) for one in submissions]
    if release and plan:
        _require_same_inputs(release, plan)
    handed = {one.lesson for one in submissions if one.lesson and not one.challenge}
    plan = plan or unreleased(sorted(handed), class_secret)
    hidden = tuple(str(path.resolve()) for path in (folder, out, release, bank()) if path)
    seed = (hidden_seed or secrets.token_hex(8), bool(hidden_seed))
    tasks = [_task_of(one, plan, limits, unsafe, hidden, seed) for one in submissions if not one.problem]
    when = {f"{one.student}__{one.lesson}.json": one.when for one in submissions if not one.problem}
    before = {_place(task): read_sealed(journal / _place(task), key, "record") for task in tasks}
    records = {place: record for place, record in before.items() if record}
    waiting = [task for task in tasks if not _still_holds(before[_place(task)], task, lower)]
    returned = read_returned(out, key)
    changes: list[Change] = []
    progress(len(tasks) - len(waiting), len(tasks))
    for done, record in enumerate(execute(grade_one, waiting, jobs, dask), len(tasks) - len(waiting) + 1):
        place = f"{record['student']}__{record['lesson']}.json"
        record = json.loads(json.dumps(record))
        changes += settle(record, before[place], returned.get(record["student"], {}), lower)
        record["when"] = when[place]
        write_sealed(journal / place, key, "record", record)
        records[place] = record
        progress(done, len(tasks))
    problems = [(one.student, one.path.name, one.problem) for one in submissions if one.problem]
    problems += _earlier_notebooks(journal, key, submissions, records)
    problems += _not_lowered(records.values())
    ordered = [record for _, record in sorted(records.items())]
    return Graded(ordered, problems, submissions, plan, len(waiting), sorted(changes), key)


def _require_known(plan: Release) -> None:
    """ValueError where a release holds exercises that are not here: they are in a bank."""
    known = {lesson.name for lesson in lessons()}
    for x in plan.exercises:
        if x.lesson not in known:
            raise ValueError(f"{x.id}: not an exercise of the course; give the bank that it is from: --bank DIR")
        if not x.is_challenge:
            try:
                info(x.id)
            except ValueError:
                raise ValueError(f"{x.id}: was released, and is in {x.lesson} no longer; put it back") from None


def with_lateness(
    graded: Graded,
    policy: Policy,
    times: dict[tuple[str, str], datetime] | None = None,
    used: dict[str, int] | None = None,
) -> Graded:
    """The same with what being late costs; points in the journal stay as they were earned."""
    now = {(one.student, one.lesson): one.when for one in graded.submissions if not one.problem}
    places = [(record["student"], record["lesson"]) for record in graded.records]
    stored = {(record["student"], record["lesson"]): record.get("when", 0.0) for record in graded.records}
    handed = [(*place, now.get(place, stored[place])) for place in places]
    return replace(graded, late=lateness(handed, policy, times, used))


def _opened(folder: Path, out: Path, plan: Release | None, secret: Path | None) -> tuple[str, str]:
    """The key that results are sealed with and the class's secret, when `out` is this class's own or new."""
    inside, here = folder.resolve(), out.resolve()
    if not inside.is_dir():
        raise FileNotFoundError(f"{folder}: expected a folder with one folder for each student, such as {folder}/ada/")
    if here == inside or here in inside.parents:
        raise ValueError(f"--out {out}: holds the class's own folder; choose another folder for the results")
    key, owner = open_key(folder, plan, secret)
    token = open_results(out, key, owner)
    if plan:
        return key, plan.secret
    return key, hmac_digest(key, "class", "" if secret else token).hex()


def open_key(folder: Path, plan: Release | None, secret: Path | None) -> tuple[str, str]:
    """The key that a class's results are sealed with, and which class they are of, in words."""
    if plan and secret:
        raise ValueError("--secret: a release has its own secret; leave it out")
    if plan:
        return hmac_digest(plan.key, "results").hex(), f"the release {plan.fingerprint}"
    key = stretched(typed_secret(secret)) if secret else instructor_key()
    return hmac_digest(key, "results").hex(), str(folder.resolve())


def _task_of(
    one: Submission, plan: Release, limits: Limits, unsafe: bool, hidden: tuple[str, ...], seed: tuple[str, bool]
) -> Task | ChallengeTask:
    if one.challenge:
        (asked,) = [x for x in plan.exercises if x.id == one.challenge]
        code = code_version(asked.lesson)
        return ChallengeTask(one.student, one.challenge, asked, one.data, one.ending, plan.key, seed[0], code)
    exercises = tuple(x for x in plan.exercises if x.lesson == one.lesson and not x.is_challenge)
    variants = {x.id: plan.variant(one.student, x.id) for x in exercises}
    cells = {x.id: plan.cells[x.id] for x in exercises if x.id in plan.cells}
    code = code_version(one.lesson)
    made = (one.student, one.lesson, one.cells, exercises, variants, cells, plan.key, *seed)
    return Task(*made, limits, unsafe, hidden, code)


def _gradable(one: Submission, plan: Release | None) -> Submission:
    """A challenge's file with a remark, where no inputs of that challenge were handed out."""
    if not one.challenge or one.problem:
        return one
    if plan is None:
        return replace(one, problem="a challenge is graded with --release, which has the class's inputs")
    if all(x.id != one.challenge for x in plan.exercises):
        return replace(one, problem="this release handed out no such challenge")
    return one


def _require_same_inputs(release: Path, plan: Release) -> None:
    for x in plan.exercises:
        if x.is_challenge and (challenge := find_challenge(x.id)):
            require_same_inputs(challenge, plan.key, inputs_kept(release, x.id))


def _place(task: Task | ChallengeTask) -> str:
    return f"{task.student}__{task.lesson}.json"


# ---------------------------------------------------------------- regrading
def _still_holds(record: dict[str, Any] | None, task: Task | ChallengeTask, lower: bool) -> bool:
    """Whether an earlier record is of the same submission, code and settings."""
    if record is None or record.get("key") != task.key:
        return False
    return not (lower and any("regraded" in x for x in record["exercises"]))


def settle(
    record: dict[str, Any], before: dict[str, Any] | None, returned: dict[str, float], lower: bool
) -> list[Change]:
    """What a new record changes. Where it would lower what was returned for the same notebook, the old points stay."""
    if before is None:
        return []
    same_notebook = before["handed_in"] == record["handed_in"]
    why = "another notebook was handed in"
    if same_notebook:
        why = "other limits, points, numbers or hidden inputs"
        if before["code"] != record["code"]:
            why = "the course's code, data or packages changed"
    old = {x["id"]: x for x in before["exercises"]}
    changes = []
    for position, x in enumerate(record["exercises"]):
        earlier = old.get(x["id"])
        if earlier is None or earlier["points"] == x["points"]:
            continue
        kept = same_notebook and not lower and x["points"] < min(returned.get(x["id"], 0.0), earlier["points"])
        changes.append(Change(record["student"], x["id"], earlier["points"], x["points"], why, kept))
        if kept:
            record["exercises"][position] = earlier | {"regraded": x["points"]}
    return changes


def _not_lowered(records: Any) -> Iterator[tuple[str, str, str]]:
    """Returned points that stand although a regrade gave fewer."""
    for record in records:
        for x in record["exercises"]:
            if "regraded" in x:
                text = f"{x['id']}: {x['points']:g} points were returned and stay; a regrade gave {x['regraded']:g}"
                yield record["student"], record["lesson"], f"{text} (--lower applies it)"


def _earlier_notebooks(
    journal: Path, key: str, submissions: Sequence[Submission], records: dict[str, dict[str, Any]]
) -> list[tuple[str, str, str]]:
    """Who handed in a wrong file after a right one keeps the grade of the right one."""
    remarks = []
    for one in submissions:
        place = f"{one.student}__{one.lesson}.json"
        if not one.problem or not one.lesson or place in records:
            continue
        earlier = read_sealed(journal / place, key, "record") or {}
        if (earlier.get("student"), earlier.get("lesson")) == (one.student, one.lesson):
            records[place] = earlier
            remarks.append((one.student, one.path.name, "the notebook that was handed in before keeps its grade"))
    return remarks


def read_returned(out: Path, key: str) -> dict[str, dict[str, float]]:
    """Points by student and exercise, as they were returned to students last."""
    told = read_sealed(out / "journal" / RETURNED, key, RETURNED)
    return told["points"] if told else {}


def write_returned(out: Path, key: str, points: dict[str, dict[str, float]]) -> None:
    """Remember what students have been told."""
    write_sealed(out / "journal" / RETURNED, key, RETURNED, {"points": read_returned(out, key) | points})
