"""Who is in the class, and what an exercise is worth: read from files that people typed."""

from __future__ import annotations

import csv
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?")
DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # names that Windows keeps for itself


def read_roster(path: Path) -> list[str]:
    """The column `student` of a CSV file, in order; each is fit to be a folder's name.

    Raises
    ------
    ValueError
        For the first row that is not, with its line, what is wrong and what to do.
    """
    students: list[str] = []
    lines: dict[str, int] = {}
    for line, row in _rows(path, "student"):
        student = row["student"]
        if wrong := _fault(student):
            raise ValueError(f"{path}, line {line}: student {student[:80]!r} {wrong}")
        if first := lines.get(student.casefold()):
            raise ValueError(f"{path}, line {line}: student {student!r} stands on line {first} already; each needs one")
        lines[student.casefold()] = line
        students.append(student)
    if not students:
        raise ValueError(f"{path}: no students; expected a line `student`, then one name a line")
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
            raise ValueError(f"{where}: no exercise {exercise!r} is released; there are {', '.join(known)}")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise ValueError(f"{where}: points of {exercise} should be a number above 0; got {text!r}")
        points[exercise] = int(value) if value.is_integer() else value
    return points


def _typed(given: str) -> Iterator[tuple[str, str, str]]:
    if "=" in given and not Path(given).is_file():
        for item in given.split(","):
            exercise, _, text = item.partition("=")
            yield "--points", exercise.strip(), text.strip()
    elif given:
        for line, row in _rows(Path(given), "exercise", "points"):
            yield f"{given}, line {line}", row["exercise"], row["points"]


def _rows(path: Path, *columns: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file with these columns; blank lines are passed over."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error.reason}); save it as CSV, UTF-8") from None
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    try:
        if missing := [name for name in columns if name not in (reader.fieldnames or [])]:
            raise ValueError(f"{path}, line 1: expected a column {missing[0]!r}; got {reader.fieldnames or 'nothing'}")
        for row in reader:
            yield reader.line_num, {name: (row[name] or "").strip() for name in columns}
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
