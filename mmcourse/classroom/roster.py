"""Who is in the class, and what an exercise is worth: read from files that people typed."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmcourse.classroom.submission import is_reserved
from mmcourse.classroom.tables import read_table
from mmcourse.terminal import visible

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?")
DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # names that Windows keeps for itself


def read_roster(path: Path) -> list[str]:
    """The column `student` of a CSV file (comma, semicolon or tab), in order; each is fit to be a folder's name.

    Raises
    ------
    ValueError
        For the first row that is not, with its line, what is wrong and what to do.
    """
    students: list[str] = []
    lines: dict[str, int] = {}
    for line, row in read_table(path, "student"):
        student = row["student"]
        if wrong := _fault(student):
            raise ValueError(f"{path}, line {line}: student '{visible(student[:80])}' {wrong}")
        if first := lines.get(student.casefold()):
            raise ValueError(f"{path}, line {line}: student {student!r} is on line {first} already; delete one of them")
        lines[student.casefold()] = line
        students.append(student)
    if not students:
        raise ValueError(f"{path}: no students; expected a line `student`, then one name on each line")
    return students


def _fault(student: str) -> str:
    """What is wrong with a student's name; empty if nothing is."""
    odd = [x for x in student if not x.isascii() or not x.isprintable()]
    if not student:
        return "is empty; delete the line or give a name"
    if odd:
        return f"holds {unicodedata.name(odd[0], hex(ord(odd[0])))}; use plain letters and digits, such as a number"
    if len(student) > 64:
        return f"has {len(student)} characters; at most 64 are allowed"
    if is_reserved(student):
        return "is a name that the course itself uses; add a letter or a digit"
    if not NAME.fullmatch(student) or DEVICES.fullmatch(student):
        return "cannot be a folder's name; use letters, digits and . _ @ + - inside"
    return ""


def read_points(given: str, known: Iterable[str]) -> dict[str, float]:
    """Points by exercise, from `00.1=2,00.2=3` or a CSV file with the columns exercise, points.

    Raises
    ------
    ValueError
        For an exercise that is not released, and for points that are no number above 0.
    """
    known, points = list(known), {}
    for where, exercise, text in _typed(given):
        if exercise not in known:
            raise ValueError(f"{where}: no exercise {visible(exercise)!r} is released; there are {', '.join(known)}")
        if exercise in points:
            raise ValueError(f"{where}: points of {exercise} are given twice; keep one of them")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            comma = "; write the decimal sign as a point" if re.fullmatch(r"\d+,\d+", text) else ""
            raise ValueError(f"{where}: points of {exercise} should be a number above 0; got {visible(text)!r}{comma}")
        points[exercise] = int(value) if value.is_integer() else value
    return points


def _typed(given: str) -> Iterator[tuple[str, str, str]]:
    if "=" in given and not Path(given).is_file():
        for item in given.split(","):
            exercise, _, text = item.partition("=")
            yield "--points", exercise.strip(), text.strip()
    elif given:
        for line, row in read_table(Path(given), "exercise", "points"):
            yield f"{given}, line {line}", row["exercise"], row["points"]
