"""The briefs: metric, ceiling, and how a test split is drawn that nobody has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmcourse.capstone.fresh import Fresh, hotline_fresh, kiosk_fresh, triage_fresh

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Brief:
    """One brief.

    Attributes
    ----------
    name, title : "kiosk", "The kiosk"
    metric : "accuracy" or "auc"
    group : what a split must not cut in two: "voice", "patient", "person", "caller"
    unit : what is drawn anew by an interval and by the re-test; default: the group
    modalities : each of them alone is a baseline
    ceiling : exact, or None where nobody knows it (then a human figure is asked for)
    fresh : function of (seed, n) that draws a test split; None where only new recordings can be one
    n_fresh : samples (or callers) of a re-test
    """

    name: str
    title: str
    metric: str
    group: str
    modalities: tuple[str, ...]
    ceiling: Callable[[], float] | None
    fresh: Callable[[int, int], Fresh] | None
    n_fresh: int = 0
    unit: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", self.unit or self.group)

    @property
    def text(self) -> str:
        """The brief's page, Markdown."""
        return (HERE / "briefs" / f"{self.name}.md").read_text(encoding="utf-8")

    def score(self, labels: Any, predicted: Any) -> float:
        """Accuracy of labels, or AUC of probabilities."""
        from mmcourse.evaluate import accuracy, auc

        return float(auc(labels, predicted) if self.metric == "auc" else accuracy(labels, predicted))

    def interval(self, labels: Any, predicted: Any, groups: Any, seed: int = 0) -> tuple[float, float, float]:
        """Score, and its 95 % interval if new groups are drawn."""
        from mmcourse.capstone.intervals import cluster_interval
        from mmcourse.evaluate import auc, group_bootstrap

        if self.metric == "accuracy":
            value, low, high = cluster_interval(np.asarray(labels) == np.asarray(predicted), groups)
            return value, max(0.0, low), min(1.0, high)
        low, high = group_bootstrap(auc, groups, labels, predicted, seed=seed, rounds=400)
        return self.score(labels, predicted), low, high


def _hotline_ceiling() -> float:
    from mmcourse.capstone import hotline

    return hotline.ceiling()


def _triage_ceiling() -> float:
    from mmcourse.datasets import clinic
    from mmcourse.evaluate import auc

    return clinic.ceiling(auc, (*clinic.IMAGE, *clinic.RECORD))


BRIEFS = {
    "a": Brief(
        "kiosk", "The kiosk", "accuracy", "voice", ("image", "speech"), lambda: 1.0, kiosk_fresh, 1200, unit="question"
    ),
    "b": Brief("triage", "The triage desk", "auc", "patient", ("image", "record"), _triage_ceiling, triage_fresh, 8000),
    "c": Brief("own", "Your own class", "accuracy", "person", (), None, None),
}
EXAMPLE = Brief(
    "hotline", "The hotline", "accuracy", "caller", ("words", "voice"), _hotline_ceiling, hotline_fresh, 3000
)


def find_brief(name: str) -> Brief:
    """A brief by its letter or its name.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    found = BRIEFS.get(name.lower()) or {b.name: b for b in (*BRIEFS.values(), EXAMPLE)}.get(name.lower())
    if found is None:
        known = ", ".join(f"{letter} ({brief.name})" for letter, brief in BRIEFS.items())
        raise ValueError(f"there is no brief {name!r}; there are {known}")
    return found
