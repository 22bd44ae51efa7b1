"""Source text to lesson, exercise and solution notebooks.

``lessons()`` and ``select()`` need nothing but the package; ``build()`` loads Jupyter's tools (extra ``lab``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .catalogue import Lesson, course_map, lessons, notebooks_dir, select

if TYPE_CHECKING:
    from .builder import Built

__all__ = ["Lesson", "build", "course_map", "lessons", "notebooks_dir", "select"]


def build(
    lessons: Iterable[str | int] | None = None,
    check: bool = False,
    root: Path | str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    only: str | None = None,
    force: bool = False,
) -> list[Built]:
    """Make notebooks or check that they are fresh; see :func:`mmcourse.authoring.builder.build`."""
    from .builder import build as run

    return run(lessons, check, root, progress, only, force)
