"""The course's notebooks for copies that others get: as they were built, whatever somebody wrote into them since.

Whoever teaches from a checkout may solve the exercises in it. Homes of a class and the wheel take blanks all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat

from mmcourse.runtime import SLUG

from .catalogue import Lesson, lessons
from .fingerprint import holds_own_work
from .gate import text_of


def public_notebooks(root: Path | str | None = None) -> Iterator[tuple[Path, bytes]]:
    """(path below notebooks/, content) of every lesson and every blank exercise notebook, and of nothing else there.

    Raises
    ------
    ValueError
        One was edited, and its source is not here; the message names it and says what to do.
    """
    for lesson in lessons(root):
        for path in (lesson.notebook, lesson.deeper, lesson.exercise):
            if path.is_file():
                yield path.relative_to(lesson.folder), unedited(lesson, path)


def unedited(lesson: Lesson, path: Path) -> bytes:
    """A built notebook of this lesson; where somebody wrote into it, its text from the source, without outputs."""
    if not holds_own_work(path):
        return path.read_bytes()
    source = {lesson.notebook: lesson.source, lesson.deeper: lesson.deeper_source}.get(path, lesson.exercise_source)
    if not source.is_file():
        raise ValueError(f"{path}: was edited, and would be given to others so; install the course again")
    text = text_of(lesson, path, SLUG, _measured(path))
    return (nbformat.writes(text, version=4) + "\n").encode()


def _measured(path: Path) -> dict:
    """The budget that the build stored, for the title card."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["metadata"]["mmcourse"])
    except (OSError, ValueError, LookupError, TypeError):
        return {}
