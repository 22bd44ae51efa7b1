"""What students hand in: found in folders, read as data, never trusted and never run here."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

MOST_BYTES = 20 << 20
MOST_FILES, DEEPEST = 200, 8  # of one student: files, and folders in folders
LITTER = {".DS_Store", ".git", ".gitkeep", ".ipynb_checkpoints", "Thumbs.db", "__MACOSX"}
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)
CHECKED = re.compile(r"""\bcheck\(\s*["']([a-z][a-z0-9_]*)\.\d+["']""")


class Unreadable(Exception):
    """A file that cannot be graded; the message says why."""


@dataclass(frozen=True)
class Submission:
    """One file of one student. `student` is safe as a file name; `problem` says why it cannot be graded."""

    student: str
    path: Path
    lesson: str = ""
    cells: tuple[str, ...] = ()
    problem: str = ""


def safe_name(name: str) -> str:
    """The name itself, or, where it could hurt a path, a page or a table, a tame one that is still its own."""
    if SAFE.fullmatch(name) and not name.endswith("."):
        return name
    tame = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40] or "unnamed"
    return f"{tame}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


def collect(folder: Path, lessons: Iterable[str], out: Path | None = None) -> Iterator[Submission]:
    """Every file of DIR/<student>/…, in order of names; of two for one lesson, the one with the lesson's own name.

    The folder `out` of results is no student's.

    Raises
    ------
    FileNotFoundError
        If the folder is not there or holds no student's folder.
    """
    places = [x for x in sorted(folder.iterdir()) if x.name not in LITTER and x != out] if folder.is_dir() else []
    if not any(place.is_dir() for place in places):
        raise FileNotFoundError(f"{folder}: expected a folder with one folder for each student, such as {folder}/ada/")
    known, taken = list(lessons), {place.name for place in places}
    for place in places:
        student, found = safe_name(place.name), dict[str, Submission]()
        while student != place.name and student in taken:  # who takes another's tame name takes no more than that
            student = safe_name(f"{student} ")
        taken.add(student)
        if place.is_symlink() or not place.is_dir():
            yield Submission(student, place, problem="no student's folder; hand in as DIR/<student>/<notebook>")
            continue
        for path in sorted(islice(_files(place), MOST_FILES), key=lambda path: (path.stem in known, path.name)):
            one = read(student, path, known)
            if one.lesson in found:
                yield Submission(student, found[one.lesson].path, problem="left out: another file is of this lesson")
            found[one.lesson or str(path)] = one
        if student != place.name:
            yield Submission(
                student, place, problem="the folder's name is not fit for files and pages: another is used"
            )
        yield from found.values()


def _files(place: Path) -> Iterator[Path]:
    """Files of one student; linked folders are not followed."""
    for root, folders, names in os.walk(place):
        deep = len(Path(root).relative_to(place).parts) >= DEEPEST
        folders[:] = [] if deep else [name for name in sorted(folders) if name not in LITTER][:50]
        yield from (Path(root) / name for name in sorted(names)[:200] if name not in LITTER)


def read(student: str, path: Path, lessons: list[str]) -> Submission:
    """One file as a submission; what is wrong with it becomes its `problem`."""
    try:
        cells = code_cells(_bytes(path))
        return Submission(student, path, lesson_of(path, cells, lessons), tuple(cells))
    except Unreadable as error:
        return Submission(student, path, problem=str(error))


def _bytes(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Unreadable(f"cannot be opened: {'a link' if path.is_symlink() else error.strerror}") from None
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Unreadable("no regular file")
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise Unreadable(f"larger than {MOST_BYTES >> 20} MB; clear its outputs and hand it in again")
    return data


def code_cells(data: bytes) -> list[str]:
    """The code cells of a notebook of format 3 or 4, whatever its metadata.

    Raises
    ------
    Unreadable
        If it is no notebook.
    """
    try:
        book = json.loads(data.decode("utf-8-sig"))
        cells = book["cells"] if "cells" in book else [c for sheet in book["worksheets"] for c in sheet["cells"]]
        code = [cell for cell in cells if cell.get("cell_type") == "code"]
        return [_text(cell.get("source", cell.get("input", ""))) for cell in code]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unreadable("no notebook; hand in the .ipynb file itself") from None


def _text(source: Any) -> str:
    text = source if isinstance(source, str) else "".join(map(str, source))
    return text.encode("utf-8", "replace").decode()


def lesson_of(path: Path, cells: list[str], lessons: list[str]) -> str:
    """Which of the lessons it is, by its name ("Copy of 00_start_here (1).ipynb"), else by the checks that it calls."""
    if by_name := [lesson for lesson in lessons if lesson in path.name]:
        return by_name[0]
    asked = [number for text in cells for number in CHECKED.findall(text)]
    by_check = [lesson for lesson in lessons if asked and lesson.partition("_")[2] == max(set(asked), key=asked.count)]
    if not by_check:
        raise Unreadable("of no lesson that is graded: keep the notebook's name")
    return by_check[0]
