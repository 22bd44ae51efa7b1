"""Figures of runs too long for a lesson: made by `make results SLUG`, shipped, and checked by a shorter rerun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mmcourse
from mmcourse.io import atomic_write


def results(lesson: str) -> dict[str, Any]:
    """The stored figures of a lesson ("sentiment"), as its `make_results.py` wrote them.

    Raises
    ------
    FileNotFoundError
        If this lesson has none; the message says how to make them.
    """
    path = lesson_dir(lesson) / "results.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"stored results of lesson {lesson}: expected {path}; make them with `make results {lesson}`"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def save_results(lesson: str, figures: dict[str, Any]) -> Path:
    """Write a lesson's figures, atomically; returns the file."""
    path = lesson_dir(lesson) / "results.json"
    atomic_write(path, json.dumps(figures, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return path


def lesson_dir(lesson: str) -> Path:
    """The folder of a lesson's own files: beside its source in a clone, in the package where a wheel was installed."""
    package = Path(mmcourse.__file__).resolve().parent
    sources = package.parent / "notebooks" / "src"
    return (sources if sources.is_dir() else package / "_lessons") / lesson
