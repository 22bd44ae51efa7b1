"""What a project's `train.py` writes its report with: claims with intervals, comparisons that are paired."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mmcourse.capstone.briefs import Brief
from mmcourse.io import atomic_write


def claim(brief: Brief, labels: Any, predicted: Any, groups: Any, **more: Any) -> dict[str, Any]:
    """A score on a test set: {"value", "interval", "n", "groups"}, the interval by the brief's unit."""
    value, low, high = brief.interval(labels, predicted, groups)
    size = {"n": len(np.asarray(labels)), "groups": len(np.unique(np.asarray(groups)))}
    return {"value": _rounded(value), "interval": [_rounded(low), _rounded(high)], **size, **more}


def size(full: int, least: int = 50) -> int:
    """How many samples `train.py` takes: `full`, or what the environment's CAPSTONE_SIZE says while you try things.

    Leaves with one line where that is no whole number from `least` on.
    """
    given = os.environ.get("CAPSTONE_SIZE", str(full))
    if not given.strip().isdecimal() or int(given) < least:
        sys.exit(f"CAPSTONE_SIZE: expected a whole number from {least} on, got {given!r}")
    return int(given)


def by_seed(scores: Any, **more: Any) -> dict[str, Any]:
    """The mean over seeds, with Student's interval: {"value", "interval", "seeds"}."""
    from mmcourse.evaluate import mean_and_interval

    mean, half = mean_and_interval(scores)
    return {
        "value": _rounded(mean),
        "interval": [_rounded(mean - half), _rounded(mean + half)],
        "seeds": len(scores),
        **more,
    }


def paired(name: str, first: Any, second: Any, **more: Any) -> dict[str, Any]:
    """How much better the second is, paired over seeds, with Student's interval.

    Raises
    ------
    ValueError
        There are not as many scores of the one as of the other.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"{name}: expected one score per seed of each, got {first.shape} and {second.shape}")
    found = by_seed(second - first)
    return {
        "name": name,
        "difference": found["value"],
        "interval": found["interval"],
        "seeds": len(first),
        "paired": True,
        **more,
    }


def names(groups: Any) -> list[str]:
    """Who is in a part of the split, for the report: each group once, in order."""
    return [str(group) for group in np.unique(np.asarray(groups))]


def write_report(path: Path, **facts: Any) -> None:
    """report.json, atomically; the same facts give the same bytes.

    Raises
    ------
    ValueError
        A number in it is NaN or infinite.
    """
    atomic_write(path, json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _rounded(value: float) -> float:
    return round(float(value), 4)
