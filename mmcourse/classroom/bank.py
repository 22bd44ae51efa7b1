"""A private bank of exercises: DIR/SLUG/exercises.py, in the form of the course's own, kept out of the repository.

Students get blanks only; `check` tells them that their instructor grades it. References stay in the bank, which is
hidden inside the sandbox. A bank that cannot be used is refused with its file, line and remedy.
"""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path

import nbformat

import mmcourse
from mmcourse.authoring.catalogue import BankLesson, course_map
from mmcourse.authoring.source import SourceError, exercise_text, read
from mmcourse.exercise import registry
from mmcourse.exercise.verify import problems
from mmcourse.io import atomic_write, private_folder
from mmcourse.runtime import SLUG as REPOSITORY

SLUG = re.compile(r"[a-z][a-z0-9_]*")
FORM = "CONTRIBUTING.md, “An exercise”, shows the form"


def open_bank(folder: Path, verify: bool = False) -> list[BankLesson]:
    """Use this bank from now on, here and in workers; returns its lessons, with their notebooks built.

    Parameters
    ----------
    folder
        DIR with DIR/SLUG/exercises.py.
    verify
        Whether each exercise is also tried out: its mistakes, its sentences, its other right answers. Takes seconds.

    Raises
    ------
    ValueError, OSError
        The bank cannot be used; the message says which file and line, and what to do.
    """
    bank = folder.resolve()
    if not bank.is_dir():
        raise FileNotFoundError(f"--bank {folder}: no such folder; make it, and lay SLUG/exercises.py in it")
    root = Path(mmcourse.__file__).resolve().parents[1]
    if (root / "notebooks" / "src").is_dir() and (bank == root or root in bank.parents):
        raise ValueError(
            f"--bank {folder}: lies inside the course's repository; move it out, so that it is not published"
        )
    files = sorted(bank.glob("*/exercises.py"))
    if not files:
        raise ValueError(f"--bank {folder}: holds no SLUG/exercises.py; {FORM}")
    known = {entry.slug for entry in course_map()}
    for path in files:
        slug = path.parent.name
        if not SLUG.fullmatch(slug):
            raise ValueError(f"{path}: rename the folder {slug!r}: small letters, digits and _ only, a letter first")
        if slug in known:
            raise ValueError(f"{path}: the course has a lesson {slug!r}; rename the folder, and the ids in it")
    os.environ.pop(registry.BANK, None)
    for path in files:
        _require_sound(path, verify)
    os.environ[registry.BANK] = str(bank)
    _forget()
    made = [BankLesson("90", path.parent.name, _title(path.parent.name), bank) for path in files]
    for lesson in made:
        _build(lesson, {x.slug: x.number for x in made})
    return made


def close_bank() -> None:
    """Use no bank any more."""
    os.environ.pop(registry.BANK, None)
    _forget()


def _forget() -> None:
    """What was read of exercises and hashed of their files is read anew: a bank is mended while it is used."""
    from mmcourse.classroom.fingerprint import code_version
    from mmcourse.classroom.hidden import _parts
    from mmcourse.classroom.submission import asked_names, lesson_cells

    registry.forget()
    for cached in (code_version, _parts, asked_names, lesson_cells):
        cached.cache_clear()


def _title(slug: str) -> str:
    return slug.replace("_", " ").capitalize()


def _require_sound(path: Path, verify: bool) -> None:
    """ValueError with file, line and remedy, where an exercises.py cannot be used."""
    try:
        text = path.read_text(encoding="utf-8")
        compile(text, str(path), "exec")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}; correct this line") from None
    if not registry.is_written(path):
        raise ValueError(
            f"{path}: begins no lesson; write lesson({path.parent.name!r}, promise=…, setup=…) first; {FORM}"
        )
    try:
        loaded = registry.load(path)
    except Exception as error:  # an author's own code raises what it will
        raise ValueError(f"{path}{_line_of(error, path)}: {_said(error)}; {FORM}") from None
    if not loaded.exercises and not loaded.challenge:
        raise ValueError(f"{path}: holds no exercise; write exercise({path.parent.name + '.1'!r}, …); {FORM}")
    for x in loaded.exercises if verify else ():
        for problem in problems(x):
            line = next((n for n, told in enumerate(text.splitlines(), 1) if f'"{x.id}"' in told), 1)
            raise ValueError(f"{path}, line {line}: {problem}")


def _said(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def _line_of(error: Exception, path: Path) -> str:
    """Where in this file, or in one beside it, an error arose."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent == path.parent]
    if not frames:
        return ""
    name = "" if Path(frames[-1].filename) == path else f" ({Path(frames[-1].filename).name})"
    return f"{name}, line {frames[-1].lineno}"


def _build(lesson: BankLesson, numbers: dict[str, str]) -> None:
    """The blank and the solved notebook, without outputs, beside the bank's own files and for its owner only."""
    try:
        source = read(lesson.exercise_source)
        for path, solved in ((lesson.exercise, False), (lesson.solution, True)):
            nb = exercise_text(source, REPOSITORY, {}, numbers, solved=solved)
            private_folder(path.parent.parent)
            private_folder(path.parent)
            atomic_write(path, nbformat.writes(nb, version=4) + "\n", private=True)
    except SourceError as error:
        raise ValueError(f"{error}; {FORM}") from None
