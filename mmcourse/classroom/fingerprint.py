"""What decides a grade besides the notebook itself: code, data, packages and the Python that runs them.

A graded submission is kept under a key. Two gradings with the same key give the same points, so the key must cover
everything that a check, a hidden test, a reference or the sandbox imports. A list kept by hand forgets; so this one
takes every module of the package, and leaves out only the files of other lessons.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import mmcourse
from mmcourse.authoring.catalogue import BankLesson, Lesson, lessons, select
from mmcourse.datasets import data_dir

LEFT_OUT = {"__pycache__", ".ipynb_checkpoints"}
# They show grades and decide none.
PAGES = {"similarity.py", "cli.py", "doctor.py", "feedback.py", "templates", "slides.py", "plans.py", "plans.toml"}
PAGES |= {"gradebook.py", "leaderboard.py", "late.py", "personal.py", "dry_run.py"}
NO_CODE = (".md", ".part", ".pyc")
SITES = ("site-packages", "dist-packages")


@cache
def code_version(lesson: str) -> str:
    """A digest of all code, data and package versions that decide a lesson's points."""
    chosen = select([lesson])[0]
    digest = hashlib.sha256()
    for part in (*source_files(chosen), *package_files(), *data_files()):
        _add(digest, *part)
    for line in (python(), *packages()):
        digest.update(line.encode() + b"\0")
    return digest.hexdigest()


def package_files() -> Iterator[tuple[str, Path]]:
    """(name, file) of every module of the running package, and of what it ships beside them."""
    root = Path(mmcourse.__file__).parent
    yield from ((f"package/{name}", path) for name, path in _files(root) if not set(Path(name).parts) & PAGES)


def data_files() -> Iterator[tuple[str, Path]]:
    """(name, file) of the shipped data sets and models: a reference may read them, and so may a notebook."""
    yield from ((f"data/{name}", path) for name, path in _files(data_dir()))


def source_files(lesson: Lesson) -> Iterator[tuple[str, Path]]:
    """(name, file) below notebooks/src, without what belongs to other lessons: exercises, hidden tests, variants."""
    if isinstance(lesson, BankLesson):
        yield from ((f"bank/{name}", path) for name, path in _files(lesson.home))
        return
    others = {other.slug for other in lessons()} - {lesson.slug}
    for name, path in _files(lesson.folder / "src"):
        if Path(name).parts[0] not in others:
            yield f"sources/{name}", path


def python() -> str:
    """The interpreter and the machine's kind: numbers differ in their last digits between processors."""
    return f"{sys.implementation.name} {sys.version} {platform.machine()}"


def packages() -> list[str]:
    """Every installed distribution with its version, as its metadata folder is named."""
    found = set()
    for folder in sys.path:
        if folder.endswith(SITES) and os.path.isdir(folder):
            found |= {entry for entry in os.listdir(folder) if entry.endswith((".dist-info", ".egg-info"))}
    return sorted(found)


def _files(root: Path) -> Iterable[tuple[str, Path]]:
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        found += [Path(folder) / name for name in names if not name.endswith(NO_CODE)]
    return sorted((path.relative_to(root).as_posix(), path) for path in found)


def _add(digest: hashlib._Hash, name: str, path: Path) -> None:
    data = path.read_bytes() if path.is_file() else b""
    digest.update(f"{name}\0{len(data)}\0".encode() + data)
