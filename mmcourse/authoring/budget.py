"""The budget line of a lesson: measured by the build, rounded so that it rarely changes."""

from __future__ import annotations

import math
import re

LIMIT_SECONDS = 90.0
LIMIT_MB = 2500
NUMBER = r"-?\d+(?:\.\d+)?"
# a line that `mmcourse.evaluate.expect_within` prints
EXPECTED = re.compile(
    rf"^(?P<name>.+) {NUMBER}, expected (?P<target>{NUMBER}) ± (?P<tolerance>{NUMBER})\s*$", re.MULTILINE
)


def line(measured: dict) -> str:
    """Sentence shown on the title card; ``measured`` holds ``seconds``, ``peak_mb``, ``cores`` and ``bands``."""
    if not measured:
        return "**Budget:** not measured yet"
    parts = [duration(measured["seconds"]), f"{memory(measured['peak_mb'])} of memory", "no downloads"]
    text = "**Budget:** " + " · ".join(parts) + f" (measured on {measured['cores']} processor cores)"
    return text + (f"  \n**Target:** {'; '.join(measured['bands'])}" if measured["bands"] else "")


def duration(seconds: float) -> str:
    """Coarse words for a time: two builds of one lesson should say the same."""
    if seconds < 30:
        return "under half a minute"
    if seconds < 75:
        return "about 1 minute"
    return f"about {math.floor(seconds / 30 + 0.5) / 2:g} minutes".replace(".5", "½")


def memory(peak_mb: float) -> str:
    """Peak rounded up to half a gigabyte."""
    return f"{math.ceil(peak_mb / 512) / 2:g} GB"


def bands(texts: list[str]) -> list[str]:
    """Name, target and tolerance of every :func:`mmcourse.evaluate.expect_within`, once, in order; not the value."""
    found = [f"{m['name'].strip()} {m['target']} ± {m['tolerance']}" for t in texts for m in EXPECTED.finditer(t)]
    return list(dict.fromkeys(found))


def steady(new: dict, old: dict | None, busy: bool = False) -> dict:
    """Keep the old figures where the new ones read the same on the card: noise should not change a notebook.

    On a ``busy`` machine the old seconds stay too: how long others made a lesson wait is not its budget.
    """
    if not old or not all(k in old for k in ("seconds", "peak_mb")):
        return new
    if busy:
        new = new | {"seconds": old["seconds"]}
    told = {"seconds": duration, "peak_mb": memory}
    kept = {k: old[k] for k, words in told.items() if words(new[k]) == words(old[k])}
    if new["seconds"] <= LIMIT_SECONDS < kept.get("seconds", 0.0):  # or a lesson made faster would still count as slow
        del kept["seconds"]
    return new | kept
