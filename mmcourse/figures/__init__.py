"""The figures of shipped models, recomputed: `mmcourse figures SLUG --json`.

`mmcourse figures` holds them against their aims (`aims`), and `--sheet` shows samples (`sheets`).
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

__all__ = ["NAMES", "figures"]

NAMES = ("clip", "captioning", "vlm", "detection", "speech_to_text", "video", "language_model", "chat", "generation")


def figures(lesson: str, n: int = 1000) -> dict[str, Any]:
    """The figures of a lesson's shipped model on `n` test samples.

    Raises
    ------
    ValueError
        For a lesson without a shipped model, or fewer than 100 samples.
    """
    if lesson not in NAMES:
        raise ValueError(f"lesson: expected one of {', '.join(NAMES)}, got {lesson!r}")
    if n < 100:
        raise ValueError(f"n: expected 100 or more, got {n}")
    found = import_module(f"{__name__}.{lesson}").compute(n)
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in found.items()}
