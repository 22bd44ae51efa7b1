"""Hand out exercises: a notebook for each student, solutions for the instructor, a table of points."""

from __future__ import annotations

import csv
import hmac
import io
import json
import math
import os
import re
import secrets
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

from mmcourse import __version__
from mmcourse.authoring import Lesson, select
from mmcourse.authoring.catalogue import BankLesson, lesson_numbers
from mmcourse.authoring.source import CHECK, Source, exercise_text, read, without_badge
from mmcourse.check import info
from mmcourse.classroom.challenges import inputs_file
from mmcourse.classroom.roster import read_points, read_roster
from mmcourse.classroom.seal import hmac_digest, instructor_key, is_sealed, sealed, stretched, typed_secret
from mmcourse.classroom.tables import read_json
from mmcourse.classroom.variants import assign, fill, space, variant_cells
from mmcourse.exercise import find_challenge
from mmcourse.io import atomic_write, private_folder
from mmcourse.runtime import SLUG

EVERYONE = ("everyone",)  # the one "student" of a release without a roster
ANSWER = re.compile(CHECK.pattern + r"\s*,\s*([^\W\d]\w*)\s*\)", re.MULTILINE)
FORMATS = ("mmcourse", "nbgrader")


class Exercise(NamedTuple):
    """One exercise of a release; `answer` is the name that its check is given."""

    id: str
    lesson: str
    answer: str
    title: str
    points: float

    @property
    def is_challenge(self) -> bool:
        """Whether a file of arrays is handed in, not a name in the notebook."""
        return self.id.endswith(".challenge")


@dataclass(frozen=True)
class Release:
    """What was handed out, to whom, and the secret from which variants and hidden tests are drawn."""

    format: str
    secret: str
    students: tuple[str, ...]
    exercises: tuple[Exercise, ...]
    cells: dict[str, str]
    made_by: str = f"mmcourse {__version__}"
    variants: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)  # kept when a student is deleted

    @property
    def lessons(self) -> tuple[str, ...]:
        """Names of the lessons, in order."""
        return tuple(dict.fromkeys(x.lesson for x in self.exercises))

    def variant(self, student: str, exercise: str) -> dict[str, Any]:
        """A student's values; the defaults for who is not on the roster, {} where an exercise has none."""
        if exercise not in self.cells:
            return {}
        return self._given[exercise].get(student, space(self.cells[exercise]).default)

    @cached_property
    def _given(self) -> dict[str, dict[str, dict[str, Any]]]:
        if self.variants:
            return self.variants
        students = [] if self.students == EVERYONE else self.students
        return {exercise: assign(self.key, exercise, students, space(t)) for exercise, t in self.cells.items()}

    @cached_property
    def key(self) -> str:
        """What everything is drawn from and sealed with: the secret, made slow to guess."""
        return stretched(self.secret)

    @property
    def fingerprint(self) -> str:
        """Tells one secret from another and gives none away."""
        return hmac_digest(self.key, "fingerprint").hex()[:16]

    def seal(self, lesson: str, student: str) -> str:
        """What the notebook handed out to this student carries."""
        return hmac_digest(self.key, "notebook", lesson, student).hex()[:32]

    def handed_out(self, lesson: str, student: str, seal: str) -> bool:
        """Whether a notebook's mark is one that this release wrote."""
        return hmac.compare_digest(self.seal(lesson, student).encode(), seal.encode("utf-8", "replace"))

    def described(self) -> dict[str, Any]:
        """What release.json holds: everything but the secret, of which it keeps a fingerprint."""
        told = {name: getattr(self, name) for name in ("made_by", "format", "students", "cells")}
        told["exercises"] = [x._asdict() for x in self.exercises]
        if self.variants:
            told["variants"] = self.variants
        return told | {"secret_fingerprint": self.fingerprint}

    def without(self, students: Collection[str]) -> Release:
        """The same for the others, whose numbers stay what they were."""
        kept = tuple(student for student in self.students if student not in students)
        given = {x: {s: dict(v) for s, v in table.items() if s in kept} for x, table in self._given.items()}
        return replace(self, students=kept, variants=given)


# ---------------------------------------------------------------- making one
def release(
    numbers: Sequence[str], to: Path, roster: Path | None = None, points: str = "", secret: Path | None = None,
    format: str = "mmcourse",
) -> Release:  # fmt: skip
    """Write a release into the folder `to`, atomically; the same settings again change nothing.

    Parameters
    ----------
    numbers
        Lessons by number or name.
    roster
        CSV with a column `student`; without it there is one notebook for everyone.
    points
        `00.1=2,00.2=3`, or a CSV file with the columns exercise, points; the course's own by default.
    secret
        File with the course's secret; made once, in DIR/instructor/secret.txt, by default.
    format
        "mmcourse", or "nbgrader" for nbgrader's source/ folder.

    Raises
    ------
    ValueError, OSError
        For settings that cannot be, or a folder that holds something else; the message says what to do.
    """
    if format not in FORMATS:
        raise ValueError(f"--format {format!r}: expected {' or '.join(FORMATS)}")
    lessons = [_with_sources(lesson) for lesson in select(numbers)]
    sources = {lesson.name: read(lesson.exercise_source) for lesson in lessons}
    students = tuple(read_roster(roster)) if roster else EVERYONE
    exercises = _exercises(sources, points, challenges=format != "nbgrader")  # there only notebooks are handed out
    cells = {x: source.cells[i].source for source in sources.values() for x, i in variant_cells(source).items()}
    made = Release(format, _secret(secret, to), students, exercises, cells)
    if (to / "release.json").is_file():
        if read_release(to).described() != made.described():
            raise ValueError(f"--to {to}: holds a release made with other settings; choose another folder")
        return made
    if to.resolve().is_relative_to(lessons[0].folder.resolve()):
        raise ValueError(f"--to {to}: that is where the lessons themselves lie; choose another folder")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ValueError(f"--to {to}: is not empty; choose a new folder")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as work:
        _write(Path(work) / "new", made, lessons, sources)
        os.rename(Path(work) / "new", to)  # from nothing to everything in one step
    return made


def _with_sources(lesson: Lesson) -> Lesson:
    if not (lesson.folder / "src").is_dir() and not isinstance(lesson, BankLesson):
        raise FileNotFoundError("a release is made from the exercises' sources: run this in a clone of the repository")
    if not lesson.has_exercises or not lesson.exercise.is_file():
        raise ValueError(f"lesson {lesson.name} has no built exercises; leave it out, or run `mmcourse build`")
    return lesson


def _exercises(sources: dict[str, Source], points: str, challenges: bool = True) -> tuple[Exercise, ...]:
    """Every exercise in the order of the notebooks, with the points it is worth here, and each lesson's challenge."""
    found = []
    for name, source in sources.items():
        texts = "\n\n".join(cell.source for cell in source.cells if cell.cell_type == "code")
        for id, answer in ANSWER.findall(texts):
            known = info(id)
            found.append(Exercise(id, name, answer, known.title, known.points))
        if challenges and (open_one := find_challenge(name.partition("_")[2])):
            found.append(Exercise(open_one.id, name, "", open_one.title, open_one.points))
    given = read_points(points, [x.id for x in found])
    return tuple(x._replace(points=given.get(x.id, x.points)) for x in found)


def _secret(file: Path | None, to: Path) -> str:
    kept = to / "instructor" / "secret.txt"
    if file is None and not kept.is_file():
        return secrets.token_urlsafe(32)
    return typed_secret(file or kept)


# ---------------------------------------------------------------- writing it
def _write(folder: Path, made: Release, lessons: list[Lesson], sources: dict[str, Source]) -> None:
    """Everything for its owner only: rosters, solutions and numbers are nobody else's."""
    private_folder(folder)
    for lesson in lessons:
        source = sources[lesson.name]
        if made.format == "nbgrader":
            from mmcourse.classroom.nbgrader import source_notebook

            _save(source_notebook(source, made), folder / "source" / lesson.name / f"{lesson.name}.ipynb")
            continue
        open_one = find_challenge(lesson.slug)
        handed = inputs_file(open_one, made.key) if open_one else b""  # without what is hidden
        if open_one:
            private_folder(folder / "instructor")
            atomic_write(inputs_kept(folder, open_one.id), handed, private=True)
        for student in made.students:
            box = folder / "students" / student
            _save(student_notebook(lesson, source, made, student), box / lesson.exercise.name)
            if handed:
                atomic_write(box / f"{lesson.slug}.challenge_inputs.npz", handed, private=True)
        solution = private_folder(folder / "solutions") / lesson.solution.name
        atomic_write(solution, lesson.solution.read_bytes(), private=True)
    text = io.StringIO()
    table = [(x.id, x.lesson, x.title, x.points) for x in made.exercises]
    csv.writer(text, lineterminator="\n").writerows([("exercise", "lesson", "title", "points"), *table])
    atomic_write(folder / "points.csv", text.getvalue(), private=True)
    atomic_write(private_folder(folder / "instructor") / "secret.txt", made.secret + "\n", private=True)
    told = sealed(instructor_key(), "release", made.described())
    atomic_write(folder / "release.json", json.dumps(told, indent=1) + "\n", private=True)


def inputs_kept(release: Path, challenge: str) -> Path:
    """Where a release keeps the inputs of a challenge, to notice when they are drawn otherwise later."""
    return release / "instructor" / f"{challenge}_inputs.npz"


def _save(nb: NotebookNode, path: Path) -> None:
    nbformat.validate(nb)
    private_folder(path.parent.parent)
    private_folder(path.parent)
    atomic_write(path, nbformat.writes(nb, version=4) + "\n", private=True)


def student_notebook(lesson: Lesson, source: Source, made: Release, student: str) -> NotebookNode:
    """One student's blank notebook, with the student's own values, without outputs."""
    variants = {x.id: made.variant(student, x.id) for x in made.exercises if x.lesson == lesson.name}
    private = isinstance(lesson, BankLesson)  # nobody has measured it
    measured = {} if private else nbformat.read(lesson.exercise, as_version=4).metadata.mmcourse
    nb = exercise_text(filled(source, variants), SLUG, measured, lesson_numbers(), solved=False)
    nb.cells[0].source = without_badge(nb.cells[0].source)
    if private:
        nb.cells = as_private(nb.cells, lesson.slug)
    worth = {x.id: x.points for x in made.exercises if x.lesson == lesson.name}
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = _links(_points(cell.source, worth))
    own: dict[str, Any] = {"lesson": lesson.name, "student": student, "seal": made.seal(lesson.name, student)}
    own["variants"] = {x: v for x, v in variants.items() if v}
    nb.metadata["mmcourse"] = nbformat.from_dict(own)
    return nb


def as_private(cells: list[NotebookNode], slug: str) -> list[NotebookNode]:
    """A bank's notebook for a student: no links to a lesson that is in no course, checks that know who grades."""
    card = re.sub(r"\*\*Budget:\*\* not measured yet\s*", "", cells[0].source)
    cells[0].source = re.sub(r"\*\*Lesson\*\*: \[[^\]]*\]\([^)]*\) · ", "", card).replace(
        "It says what is wrong, not only that it is.",
        "These exercises are your instructor's own: they are judged later.",
    )
    note = nbformat.v4.new_code_cell(
        f'from mmcourse.check import graded_by_instructor\n\ngraded_by_instructor("{slug}")', id="graded-later"
    )
    last = cells[-1]
    if last.source.startswith("## Done?"):
        last.source = "## Done?\n\nRun the whole notebook once more from the top, save it, and hand it in."
    return [*cells[:2], note, *cells[2:]]


def filled(source: Source, variants: dict[str, dict[str, Any]]) -> Source:
    """The source with these values in its variant cells."""
    cells = [nbformat.from_dict(cell) for cell in source.cells]
    for exercise, index in variant_cells(source).items():
        cells[index].source = fill(exercise, cells[index].source, variants.get(exercise, {}))
    return replace(source, cells=cells)


def _points(text: str, worth: dict[str, float]) -> str:
    """Points as they are here, in an exercise's heading and in the sum on the title card."""
    heading = re.match(r"## ([a-z]\w*\.(?:\d+|challenge)) ", text)
    in_all = sum(points for id, points in worth.items() if not id.endswith(".challenge"))  # that comes on top
    value = in_all if text.startswith("# ") else heading and worth.get(heading[1])
    if not value:
        return text
    if heading and (open_one := find_challenge(heading[1])):
        text = text.replace(open_one.steps(), open_one.steps(value))
    return re.sub(r"(\*\*|· (?:up to )?)\d+ points?\b", rf"\g<1>{value:g} point{'s' * (value != 1)}", text, count=1)


def _links(text: str) -> str:
    """Links that lead out of a student's folder: to the course on the web, and none to solutions."""
    text = re.sub(r"\[[^\]]*\]\(\.\./solutions/[^)]*\)", "the solutions, which you get later", text)
    return re.sub(r"\]\(\.\./([^)]+)\)", rf"](https://github.com/{SLUG}/blob/main/notebooks/\1)", text)


# ---------------------------------------------------------------- reading it
def read_release(folder: Path) -> Release:
    """A release as it was made.

    Raises
    ------
    FileNotFoundError, ValueError
        Where there is none, it is damaged, or its secret is not the one that it was made with.
    """
    path, secret = folder / "release.json", folder / "instructor" / "secret.txt"
    if missing := [x for x in (path, secret) if not x.is_file()]:
        raise FileNotFoundError(f"{missing[0]} is missing: {folder} is no release; make one with `mmcourse release`")
    told = read_json(path)
    key = secret.read_text(encoding="utf-8", errors="replace").strip()
    try:
        exercises = tuple(_exercise(x) for x in told["exercises"])
        students = tuple(map(str, told["students"]))
        cells = {str(name): str(text) for name, text in told["cells"].items()}
        variants = {str(x): dict(table) for x, table in told.get("variants", {}).items()}
        made = Release(str(told["format"]), key, students, exercises, cells, str(told["made_by"]), variants)
        fingerprint = told["secret_fingerprint"]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({error}); make the release again with the same secret") from None
    if made.fingerprint != fingerprint:
        raise ValueError(f"{secret}: this is not the secret that the release was made with; put the right one back")
    return made


def _exercise(told: dict[str, Any]) -> Exercise:
    """One exercise of release.json, of the right types."""
    x = Exercise(**told)
    if not all(isinstance(text, str) for text in (x.id, x.lesson, x.answer, x.title)):
        raise TypeError("an exercise's texts")
    if isinstance(x.points, bool) or not isinstance(x.points, (int, float)) or not 0 < x.points < math.inf:
        raise ValueError(f"points of {x.id}: {x.points!r}")
    return x


def is_own_release(folder: Path) -> bool:
    """Whether a folder is a release that this instructor made; a class folder may hold one that a student laid there.

    Raises
    ------
    ValueError
        It looks like a release and is not sealed with this instructor's key; the message says what to do.
    """
    path = folder / "release.json"
    if not path.is_file():
        return False
    if not is_sealed(instructor_key(), "release", read_json(path)):
        raise ValueError(
            f"{path}: was not made with your own key; if you made this release on another machine, "
            f"grade with `mmcourse grade {folder / 'submitted'} --release {folder}`"
        )
    return True


def unreleased(numbers: Sequence[str], secret: str) -> Release:
    """The course's own exercises of these lessons, for grading what was handed out without a release."""
    lessons = map(_with_sources, select(numbers) if numbers else [])
    sources = {lesson.name: read(lesson.exercise_source) for lesson in lessons}
    # No class got inputs of a challenge, so none can be graded.
    return Release("mmcourse", secret, EVERYONE, _exercises(sources, "", challenges=False), {})
