"""Grades as the gradebooks of Moodle and Canvas import them.

Moodle (Grades > Import > CSV file) asks which column names the student and which is which grade; its headings here are
those of its own export. Canvas (Grades > Import) takes Student, ID, SIS User ID, SIS Login ID, Section, then one column
for each assignment, and a second line with the points possible.

A cell that a spreadsheet would take for a formula gets an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcourse.classroom.tables import read_table
from mmcourse.terminal import visible

KINDS = ("moodle", "canvas")
MOODLE = ("First name", "Last name", "ID number", "Email address")
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
POINTS_POSSIBLE = "    Points Possible"
PEOPLE = (
    "name",
    "first name",
    "last name",
    "email",
    "id number",
    "canvas id",
    "sis user id",
    "sis login id",
    "section",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%")


@dataclass(frozen=True)
class Person:
    """What a roster says of a student besides the name that the course uses."""

    student: str
    told: Mapping[str, str]

    def get(self, name: str, otherwise: str = "") -> str:
        """One column, or what stands in for it."""
        return self.told.get(name) or otherwise

    @property
    def names(self) -> tuple[str, str]:
        """(first, last): from their own columns, or from a name as "Last, First" or "First Last"."""
        first, last, whole = self.get("first name"), self.get("last name"), self.get("name")
        if first or last:
            return first, last
        if "," in whole:
            last, _, first = whole.partition(",")
            return first.strip(), last.strip()
        first, _, last = whole.rpartition(" ")
        return first.strip(), last or self.student

    @property
    def sortable(self) -> str:
        """ "Last, First", as Canvas writes it."""
        return ", ".join(reversed([name for name in self.names if name]))


def read_people(path: Path) -> dict[str, Person]:
    """Everyone on a roster, with the columns that gradebooks know: `name`, `email`, `id number`, `sis login id`, …

    Raises
    ------
    ValueError
        A student is there twice, or a cell cannot be read safely.
    """
    people: dict[str, Person] = {}
    for line, row in read_table(path, "student", optional=PEOPLE):
        student = row.pop("student")
        if not student or student in people:
            raise ValueError(f"{path}, line {line}: student {visible(student)!r} is empty or there twice; mend it")
        people[student] = Person(student, {name: _one_line(text) for name, text in row.items()})
    return people


def _one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f\u2028\u2029]+", " ", text).strip()


# ---------------------------------------------------------------- what a gradebook holds
def items(rows: Iterable[Sequence[Any]], lessons: Mapping[str, str]) -> dict[str, float]:
    """Grade items with the most that each can give: one for each lesson, and one for each open challenge."""
    most: dict[str, float] = {}
    seen = set()
    for _, exercise, _, worth, *_ in rows:
        if exercise not in seen:
            seen.add(exercise)
            item = _item(exercise, lessons)
            most[item] = most.get(item, 0.0) + float(worth)
    return dict(sorted(most.items()))


def _item(exercise: str, lessons: Mapping[str, str]) -> str:
    return exercise if exercise.endswith(".challenge") else lessons.get(exercise, exercise.partition(".")[0])


def totals(rows: Iterable[Sequence[Any]], lessons: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Student → item → points."""
    found: dict[str, dict[str, float]] = {}
    for student, exercise, points, *_ in rows:
        mine, item = found.setdefault(student, {}), _item(exercise, lessons)
        mine[item] = round(mine.get(item, 0.0) + float(points), 2)
    return found


def gradebook(
    kind: str,
    rows: Sequence[Sequence[Any]],
    lessons: Mapping[str, str],
    people: Mapping[str, Person] | None = None,
    only: Iterable[str] | None = None,
) -> str:
    """The CSV file for one of KINDS.

    Parameters
    ----------
    rows
        (student, exercise, points, max, …) as in grades.csv.
    lessons
        Exercise → its lesson's name, which becomes the heading.
    people
        Names and numbers by student; without it the student's name in the course stands for all of them.
    only
        Students to list, in this order; all that have rows by default. Who is not in the class has no line.

    Raises
    ------
    ValueError
        For a kind that is not known, or a name that the platform would take for something else.
    """
    if kind not in KINDS:
        raise ValueError(f"--gradebook {visible(kind)!r}: expected {' or '.join(KINDS)}")
    most, points = items(rows, lessons), totals(rows, lessons)
    listed = [student for student in (only if only is not None else sorted(points)) if student in points]
    known = people or {}
    if missing := [student for student in listed if people is not None and student not in people]:
        raise ValueError(
            f"--roster: {visible(missing[0])} was graded and is not on it; add a line, or leave --roster out"
        )
    rows_of = {"moodle": _moodle, "canvas": _canvas}[kind]
    table = rows_of(listed, most, points, {x: known.get(x, Person(x, {})) for x in listed})
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([[safe_cell(cell) for cell in row] for row in table])
    return text.getvalue()


Points = Mapping[str, Mapping[str, float]]


def _moodle(listed: list[str], most: Mapping[str, float], points: Points, people: Mapping[str, Person]) -> list[list]:
    table: list[list] = [[*MOODLE, *most]]
    for student in listed:
        person = people[student]
        who = [*person.names, person.get("id number", student), person.get("email")]
        table.append([*who, *(_number(points[student].get(item)) for item in most)])
    return table


def _canvas(listed: list[str], most: Mapping[str, float], points: Points, people: Mapping[str, Person]) -> list[list]:
    table: list[list] = [[*CANVAS, *most], [POINTS_POSSIBLE, "", "", "", "", *map(_number, most.values())]]
    for student in listed:
        person = people[student]
        if "points possible" in person.sortable.casefold():
            raise ValueError(
                f"{student}: Canvas takes a line with this name for the points possible; write it otherwise"
            )
        who = [person.sortable, person.get("canvas id"), person.get("sis user id")]
        who += [person.get("sis login id", student), person.get("section")]
        table.append([*who, *(_number(points[student].get(item)) for item in most)])
    return table


def _number(value: float | None) -> str:
    """With a decimal point and no more digits than there are; empty where nothing is known."""
    return "" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def safe_cell(text: str) -> str:
    """The text, so that no spreadsheet computes it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def read_gradebook(text: str) -> tuple[list[str], list[dict[str, str]]]:
    """(headings, lines) of a gradebook that `gradebook` wrote, as they were meant; the line of points possible too."""
    headings, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    plain = [[re.sub(r"^'(?=[=+\-@\t\r|%])", "", cell) for cell in line] for line in lines]
    return headings, [dict(zip(headings, line, strict=True)) for line in plain]
