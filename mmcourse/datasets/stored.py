"""Figures of runs too long for a lesson: made once by `make results NN`, shipped, and checked by a shorter rerun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmcourse.datasets.base import data_dir
from mmcourse.io import atomic_write


def results(lesson: str) -> dict[str, Any]:
    """The stored figures of a lesson ("12"), as `data/results/make_12.py` wrote them.

    Raises
    ------
    FileNotFoundError
        If this lesson has none; the message says how to make them.
    """
    path = data_dir() / "results" / f"{lesson}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"stored results of lesson {lesson}: expected {path}; make them with `make results {lesson}`"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def save_results(lesson: str, figures: dict[str, Any]) -> Path:
    """Write a lesson's figures, atomically; returns the file."""
    path = data_dir() / "results" / f"{lesson}.json"
    atomic_write(path, json.dumps(figures, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return path
