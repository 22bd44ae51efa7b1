"""What students hand in: found in folders, read as data, never trusted and never run here."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from mmcourse.authoring.catalogue import select
from mmcourse.classroom.challenges import ENDINGS, TOO_LARGE, read_arrays
from mmcourse.classroom.untrusted import LITTER, File, Unreadable, opened_folder, read_file, read_files
from mmcourse.exercise import find_challenge

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)
CHECKED = re.compile(r"""\bcheck\(\s*["']([a-z][a-z0-9_]*)\.\d+["']""")
ASKED = re.compile(r"""\bcheck\(\s*["'][a-z0-9_]+\.\d+["']\s*,\s*([^\W\d]\w*)\s*\)""")
MOST_PARTS = 1_000_000  # lists and objects of a notebook's JSON: each costs its reader 50 bytes or more, empty or not
# Folders and files that the tools themselves write: who had such a name could pass for the course.
RESERVED = {"everyone", "feedback", "feedback.html", "grades.csv", "hub", "instructor", "journal", "points.csv"}
RESERVED |= {"release", "release.json", "results", "solutions", "students", "submissions", "submitted", "summary.html"}
RESERVED |= {"accounts.csv", "roster.csv", "source", "summary.png", "late.csv", "leaderboard.csv", "statistics.csv"}
_ARCHIVES = {
    b"\x1f\x8b": "compressed with gzip",
    b"PK": "a ZIP archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
}
# A platform puts the student's name before it; a browser adds "(1)", a platform "-1".
_ARRAYS = re.compile(r"(.+)\.challenge(_inputs)?(?:[ _-]*\(?\d+\)?)?(\.npz|\.safetensors)", re.DOTALL)
_CONFLICT = re.compile(r"^(<{7}|>{7})( |$)", re.MULTILINE)


@dataclass(frozen=True)
class Mark:
    """What a handed-out notebook says of itself; anybody can write it, so the seal must be checked."""

    lesson: str = ""
    student: str = ""
    seal: str = ""


@dataclass(frozen=True)
class Submission:
    """One file of one student. `student` is safe as a file name; `problem` says why it cannot be graded."""

    student: str
    path: Path
    lesson: str = ""
    cells: tuple[str, ...] = ()
    problem: str = ""
    mark: Mark = Mark()
    challenge: str = ""  # "cnn.challenge", where it is a file of arrays; `lesson` says the same
    data: bytes = b""  # of such a file
    ending: str = ""
    when: float = 0.0  # of the file, in seconds since 1970


@dataclass(frozen=True)
class Box:
    """All that lies in one student's folder."""

    folder: str
    files: tuple[Submission, ...] = ()
    problem: str = ""


# ---------------------------------------------------------------- names
def safe_name(name: str) -> str:
    """The name itself, or, where it could hurt a path, a page or a table, a tame one that is still its own."""
    if SAFE.fullmatch(name) and not name.endswith("."):
        return name
    tame = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40] or "unnamed"
    return f"{tame}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


def is_reserved(name: str) -> bool:
    """Whether the tools use this name themselves, in any letter case."""
    return name.casefold() in RESERVED


# ---------------------------------------------------------------- a class
Identify = Callable[[Sequence[Box]], dict[str, tuple[str, str]]]


def collect(
    folder: Path, lessons: Iterable[str], out: Path | None = None, identify: Identify | None = None
) -> Iterator[Submission]:
    """Every file of DIR/<student>/…, in order of names; of two for one lesson, the one that holds answers.

    Parameters
    ----------
    folder
        The class's folder. It is opened once; what lies in it is read without following links.
    lessons
        Names of the lessons that are graded.
    out
        The folder of results, which is no student's.
    identify
        Says from all boxes whose each is: {folder: (student, remark)}; by default a folder's name is its student's.

    Raises
    ------
    FileNotFoundError
        If the folder is not there or holds no student's folder.
    """
    try:
        with opened_folder(folder.resolve()) as opened:
            boxes = list(_boxes(opened, list(lessons), _number_of(out)))
    except Unreadable:
        boxes = []
    if not any(not box.problem for box in boxes):
        raise FileNotFoundError(f"{folder}: expected a folder with one folder for each student, such as {folder}/ada/")
    found = identify(boxes) if identify else {}
    taken = {box.folder for box in boxes} | {student for student, _ in found.values()}
    handed: dict[str, list[Submission]] = {}
    for box in boxes:
        student, remark = found.get(box.folder, ("", ""))
        if not student:
            student = safe_name(box.folder)
            while student != box.folder and student in taken:  # who takes another's tame name takes no more than that
                student = safe_name(f"{student} ")
        taken.add(student)
        if student != box.folder and not remark:
            remark = "the folder's name is not fit for files and pages: another is used"
        for problem in filter(None, (box.problem, remark)):
            yield Submission(student, folder / box.folder, problem=problem)
        handed.setdefault(student, []).extend(
            replace(one, student=student, path=folder / one.path) for one in box.files
        )
    for files in handed.values():
        yield from chosen(files)


def _number_of(path: Path | None) -> tuple[int, int] | None:
    """A folder's identity, whatever its name."""
    if path is None or not path.is_dir():
        return None
    state = path.stat()
    return state.st_dev, state.st_ino


def _boxes(folder: int, lessons: list[str], out: tuple[int, int] | None) -> Iterator[Box]:
    for name in sorted(set(os.listdir(folder)) - LITTER):
        try:
            with opened_folder(name, folder) as box:
                state = os.fstat(box)
                if (state.st_dev, state.st_ino) == out:
                    continue
                if is_reserved(name):
                    yield Box(name, problem=f"{name!r} is a name that the course itself uses; rename the folder")
                    continue
                found = [file for file in read_files(box, Path(name)) if not are_inputs(file.path.name)]
                files = tuple(read(name, file, lessons) for file in found)
                yield Box(name, files)
        except Unreadable:
            yield Box(name, problem="no student's folder; hand in as DIR/<student>/<notebook>")


def chosen(files: Iterable[Submission]) -> Iterator[Submission]:
    """One notebook for each lesson: with answers before one without, the lesson's own name before others."""
    best: dict[str, Submission] = {}
    ordered = sorted(files, key=lambda one: (bool(one.problem), one.path.stem != one.lesson, one.path.as_posix()))
    for one in ordered:
        if one.problem or one.lesson not in best:
            best[one.lesson if not one.problem else f"{one.lesson}/{one.path}"] = one
        else:
            yield replace(one, cells=(), problem=f"left out: {best[one.lesson].path.name} is of this lesson too")
    yield from best.values()


# ---------------------------------------------------------------- one file
def read(student: str, file: File, lessons: list[str]) -> Submission:
    """One file as a submission; what is wrong with it becomes its `problem`."""
    if file.path.suffix in ENDINGS:
        return read_challenge(student, file, lessons)
    named = next((lesson for lesson in lessons if lesson in file.path.name), "")
    try:
        if file.problem:
            raise Unreadable(file.problem)
        book = notebook(file.data)
        cells = tuple(cells_of(book))
        lesson = lesson_of(file.path, cells, lessons)
        if not holds_answers(cells, lesson):
            raise Unreadable(NO_ANSWERS.format(lesson=lesson))
        return Submission(student, file.path, lesson, cells, mark=mark_of(book), when=file.when)
    except Unreadable as error:
        return Submission(student, file.path, named, problem=str(error))


def challenge_of(name: str, lessons: Iterable[str]) -> str:
    """The challenge whose file of arrays has this name, "cnn.challenge"; "" if it is of none of these lessons."""
    named = _ARRAYS.fullmatch(name)
    slugs = [lesson.partition("_")[2] for lesson in lessons]
    fitting = [slug for slug in slugs if named and re.search(rf"(?<![A-Za-z0-9]){slug}$", named[1])]
    return f"{max(fitting, key=len)}.challenge" if fitting else ""


def are_inputs(name: str) -> bool:
    """Whether a file is one that was handed out for a challenge: students need not delete it."""
    named = _ARRAYS.fullmatch(name)
    return bool(named and named[2])


def read_challenge(student: str, file: File, lessons: list[str]) -> Submission:
    """A file of arrays, as a submission; where it does not hold what its challenge asks for, its `problem` says so."""
    id, ending = challenge_of(file.path.name, lessons), file.path.suffix
    challenge = find_challenge(id) if id else None
    try:
        if challenge is None:
            raise Unreadable(
                "arrays, but of no challenge that is graded: keep the name that `save_hand_in` gave the file"
            )
        if file.problem:
            raise Unreadable(TOO_LARGE if file.problem.startswith("larger") else file.problem)
        read_arrays(file.data, ending, challenge.hand_in)
    except Unreadable as error:
        return Submission(student, file.path, id, problem=str(error), challenge=id)
    return Submission(student, file.path, id, challenge=id, data=file.data, ending=ending, when=file.when)


NO_ANSWERS = (
    "the lesson itself or another notebook: it holds none of the exercises' answers; "
    "hand in exercises/{lesson}.ipynb, saved"
)


def notebook(data: bytes) -> dict[str, Any]:
    """A notebook's JSON.

    Raises
    ------
    Unreadable
        If it is none; the message says what it is instead, and what to do.
    """
    if known := _known_kind(data):
        raise Unreadable(known)
    if data.count(b"[") + data.count(b"{") > MOST_PARTS:
        raise Unreadable(f"no notebook of an exercise: more than {MOST_PARTS:,} parts; clear its outputs")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"not UTF-8 text (byte {error.start:,}); open it in Jupyter and save it, then hand it in again"
        ) from None
    try:
        book = json.loads(text)
    except RecursionError:
        raise Unreadable("no notebook: nested too deeply; hand in the .ipynb file itself") from None
    except ValueError as error:
        raise Unreadable(_broken_json(text, error)) from None
    if not isinstance(book, dict) or not ("cells" in book or "worksheets" in book):
        raise Unreadable("JSON, but no notebook: it has no `cells`; hand in the .ipynb file itself")
    return book


def _known_kind(data: bytes) -> str:
    """What a file is instead of a notebook, by its first bytes."""
    start = data[:4096].lstrip()
    if not data.strip():
        return "empty (0 bytes): it was not saved; save the notebook and hand it in again"
    if not data.strip(b"\0"):
        return "holds nothing but zeros: it was copied or saved only in part; hand it in again"
    for sign, kind in _ARCHIVES.items():
        if data.startswith(sign):
            return f"{kind}; unpack it and hand in the .ipynb file itself"
    if data[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") or data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:8]:
        return "saved as UTF-16 or UTF-32; open it in Jupyter and save it, or save it as UTF-8"
    if data.startswith(b"%PDF"):
        return "a PDF; hand in the notebook (.ipynb), not its print"
    if data.startswith(b"\xd0\xcf\x11\xe0") or start.startswith(b"{\\rtf"):
        return "a document of a word processor; hand in the notebook (.ipynb) itself"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; run `git lfs pull` and hand in the notebook itself"
    if start.startswith(b"<") and not start.startswith(b"<<<<<<<"):
        return "a web page (HTML or XML); download the notebook itself (Raw, or File > Download .ipynb)"
    return ""


def _broken_json(text: str, error: ValueError) -> str:
    if mark := _CONFLICT.search(text):
        line = text.count("\n", 0, mark.start()) + 1
        return f"holds a conflict of Git (line {line}); resolve it, open the notebook once, and hand it in again"
    if not text.lstrip().startswith("{"):
        return "text, but no notebook; hand in the .ipynb file itself"
    position = getattr(error, "pos", 0)
    unfinished = "Unterminated string" in str(error) or position >= len(text.rstrip()) - 1
    if unfinished:
        return f"cut short after {len(text.encode('utf-8', 'replace')):,} bytes; save the notebook and hand it in again"
    line = getattr(error, "lineno", 1)
    return f"damaged in line {line}: no JSON; open it in Jupyter, save it, and hand it in again"


def code_cells(data: bytes) -> list[str]:
    """The code cells of a notebook of format 3 or 4, whatever its metadata; errors as in `notebook`."""
    return cells_of(notebook(data))


def cells_of(book: dict[str, Any]) -> list[str]:
    """The sources of its code cells."""
    try:
        cells = book["cells"] if "cells" in book else [c for sheet in book["worksheets"] for c in sheet["cells"]]
        code = [cell for cell in cells if cell.get("cell_type") == "code"]
        return [_text(cell.get("source", cell.get("input", ""))) for cell in code]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unreadable("no notebook: its `cells` are damaged; hand in the .ipynb file itself") from None


def _text(source: Any) -> str:
    text = source if isinstance(source, str) else "".join(source)
    return text.encode("utf-8", "replace").decode()


def mark_of(book: dict[str, Any]) -> Mark:
    """What its metadata says of lesson and student."""
    metadata = book.get("metadata")
    told = metadata.get("mmcourse") if isinstance(metadata, dict) else None
    if not isinstance(told, dict):
        return Mark()
    texts = (told.get(name) for name in ("lesson", "student", "seal"))
    return Mark(*(text if isinstance(text, str) else "" for text in texts))


# ---------------------------------------------------------------- which lesson
def lesson_of(path: Path, cells: Sequence[str], lessons: Sequence[str]) -> str:
    """Which of the lessons it is, by its name ("Copy of 00_start_here (1).ipynb"), else by the checks that it calls."""
    if by_name := [lesson for lesson in lessons if lesson in path.name]:
        return by_name[0]
    asked = Counter(id for text in cells for id in CHECKED.findall(text))
    most = max(sorted(asked), key=lambda id: asked[id]) if asked else ""
    by_check = [lesson for lesson in lessons if most and most == lesson.partition("_")[2]]
    if not by_check:
        raise Unreadable("of no lesson that is graded: keep the notebook's name")
    return by_check[0]


def holds_answers(cells: Sequence[str], lesson: str) -> bool:
    """Whether a notebook checks one of the lesson's exercises, or gives one of the asked names a value.

    A lesson may use such a name too; so a notebook that is mostly the lesson's own cells is the lesson.
    """
    slug = lesson.partition("_")[2]
    if any(slug in CHECKED.findall(text) for text in cells):
        return True
    names = "|".join(map(re.escape, sorted(asked_names(lesson))))
    if not names:  # the lesson's blank is not here: nothing can be said
        return True
    defined = rf"^(?:async[ ]+)?(?:def|class)[ ]+(?:{names})\b"
    assigned = rf"\b(?:{names})\b[^=\n]{{0,80}}=(?!=)"
    given = re.compile(f"{defined}|{assigned}", re.MULTILINE)
    if not any(given.search(text) for text in cells):
        return False
    own = lesson_cells(lesson)
    return 2 * sum(text in own for text in cells) <= len(cells)


@cache
def lesson_cells(lesson: str) -> frozenset[str]:
    """The code cells of the lesson itself, as it is built."""
    try:
        return frozenset(code_cells(read_file(str(select([lesson])[0].notebook))))
    except (ValueError, Unreadable):
        return frozenset()


@cache
def asked_names(lesson: str) -> frozenset[str]:
    """The names that a lesson's checks are given, from its blank notebook."""
    try:
        blank = select([lesson])[0].exercise
        return frozenset(name for text in code_cells(read_file(str(blank))) for name in ASKED.findall(text))
    except (ValueError, Unreadable):
        return frozenset()
