"""What the lessons learn from: `load(name, split)` gives any data set of the course as the same kind of object."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .base import SPLITS, Column, Dataset, Features, IndexedView, LazySequence, data_dir, pad
from .public import sources
from .stored import lesson_dir, results, save_results

__all__ = ["NAMES", "SPLITS", "Column", "Dataset", "Features", "IndexedView", "LazySequence", "data_dir", "load", "pad"]
__all__ += ["lesson_dir", "results", "save_results", "sources"]

NAMES = ("avdigits", "clinic", "helpdesk", "mood", "road", "scenes")


def load(name: str, split: str = "train", **options: Any) -> Dataset:
    """A data set's split.

    Parameters
    ----------
    name : "avdigits", "clinic", "helpdesk", "mood", "road" or "scenes"
    split : "train", "validation" or "test"
    options : of that data set; see `load` in its module, such as `mmcourse.datasets.clinic`

    Raises
    ------
    ValueError
        For an unknown name or split.
    """
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}, got {name!r}")
    return import_module(f"{__name__}.{name}").load(split, **options)
