"""What the shipped models of Part 4 are to reach, and the table of what they do reach: `mmcourse figures`.

This is the one place where aims stand. A figure without an aim is reported beside the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmcourse.datasets import data_dir
from mmcourse.figures import NAMES, figures

__all__ = ["AIMS", "Aim", "Row", "read_stored", "recompute", "table_rows"]


@dataclass(frozen=True)
class Aim:
    """What one figure of a lesson is to reach.

    Attributes
    ----------
    least, most : floor and ceiling of the figure; both for a range, neither for what is only reported
    limit : what is possible at most (at least, for a ceiling): a number, or the name of the figure that holds it,
        computed. "limits.x" is x among the limits that a lesson computes beside its figures.
    note : what to know where it is missed; {names} in it are figures
    """

    lesson: str
    figure: str
    least: float | None = None
    most: float | None = None
    limit: float | str | None = None
    note: str = ""

    def reached(self, value: float | None) -> bool | None:
        """Whether a value is where it is to be; None without an aim or a value."""
        if value is None or (self.least is None and self.most is None):
            return None
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"{self.least:.2f} to {self.most:.2f}"
        if self.least is not None:
            return f"≥ {self.least:.2f}"
        return "–" if self.most is None else f"≤ {self.most:.2f}"


TOWERS = "on fair foils two towers stay near chance, with hard negatives too; the judge is foils_by_likelihood"
AIMS = (
    Aim("clip", "text_to_image_r1", least=0.90, limit="limits.text_to_image_r1"),
    Aim("clip", "image_to_text_r1", least=0.90, limit="limits.image_to_text_r1"),
    Aim("clip", "zero_shot", least=0.90, limit=1.0),
    Aim("clip", "infonce_128", most=0.06, limit="limits.infonce_128"),
    Aim("clip", "foils_color", least=0.80, limit=1.0, note=TOWERS),
    Aim("clip", "foils_relation", least=0.80, limit=1.0, note=TOWERS),
    Aim("clip", "foils_by_likelihood", least=0.95, limit=1.0),
    Aim("clip", "unseen_pairs"),
    Aim("captioning", "all_true", least=0.95, limit=1.0),
    Aim("captioning", "grammatical", least=0.99, limit=1.0),
    Aim("captioning", "statements", least=0.90, most=1.10),  # beside the grammar's own number: nobody gains by silence
    Aim("captioning", "nll_per_token", most=0.76, limit="floor"),
    Aim("captioning", "floor"),
    Aim("vlm", "accuracy", least=0.95, limit=1.0),
    Aim("vlm", "worst_kind", least=0.88, limit=1.0),
    Aim("vlm", "exchanged_pictures", most=0.30),
    Aim("vlm", "gray_pictures", most=0.30, limit="language_only"),
    Aim("vlm", "language_only"),
    Aim("detection", "map", least=0.85, limit=1.0),
    Aim("detection", "map_not_rounded", least=0.85, limit=1.0, note="sides are off by fractions of a pixel"),
    Aim("detection", "ap50", least=0.97, limit=1.0),
    Aim("detection", "phrase_accuracy", least=0.90, limit=1.0),
    Aim("detection", "oracle_one_pixel"),
    Aim("speech_to_text", "wer", most=0.06, limit=0.0),
    Aim("speech_to_text", "wer_noise_10db"),
    Aim("speech_to_text", "spoken_question_loss", most=3.0, limit=0.0),
    Aim("video", "accuracy", least=0.95, limit=1.0),
    Aim("video", "order_blind", limit="order_blind_limit"),
    Aim("video", "order_blind_limit"),
    Aim("video", "offset_within_1", least=0.90),
    Aim("language_model", "excess_perplexity", most=0.03, limit=0.0),
    Aim("chat", "instructions", least=0.90, limit=1.0),
    Aim("chat", "dpo_total_variation", most=0.05, limit=0.0),
    Aim("chat", "grpo_total_variation", most=0.05, limit=0.0),
    Aim("chat", "dialogue", least=0.80, limit=1.0),
    Aim("generation", "picture_right", least=0.90, limit="judge_right_on_real"),
    Aim(
        "generation",
        "detector_shape_right",
        least=0.90,
        note="as judged by the detector, which names the shape of {detector_shape_right_on_real:.3f} of the real icons",
    ),
    Aim("generation", "picture_right_unseen", limit="judge_right_on_real"),
    Aim("generation", "frechet", limit="frechet_of_other_real"),
    Aim("generation", "modes_covered", limit=1.0),
)


@dataclass(frozen=True)
class Row:
    """One line of the table: an aim, the figure that was measured, and what is possible."""

    aim: Aim
    value: float | None
    limit: float | None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the aim is reached; None where there is none, or no figure."""
        return self.aim.reached(self.value)

    def as_json(self) -> dict[str, Any]:
        """The line as plain values."""
        aim = {"at least": self.aim.least, "at most": self.aim.most}
        return {
            "lesson": self.aim.lesson,
            "figure": self.aim.figure,
            "value": self.value,
            "aim": {name: number for name, number in aim.items() if number is not None} or None,
            "limit": self.limit,
            "reached": self.reached,
        }


def table_rows(lesson: str, found: Mapping[str, Any], limits: Mapping[str, Any] | None = None) -> list[Row]:
    """The lines of a lesson, from its figures."""
    known = {**found, **{f"limits.{name}": value for name, value in (limits or {}).items()}}

    def number(key: str) -> float | None:
        value = known.get(key)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        return float(value) if is_number else None  # type: ignore[arg-type]

    rows = []
    for aim in AIMS:
        if aim.lesson == lesson:
            limit = number(aim.limit) if isinstance(aim.limit, str) else aim.limit
            numbers = {name: value for name, value in found.items() if number(name) is not None}
            try:
                note = aim.note.format(**numbers)
            except KeyError:  # an older file lacks it
                note = ""
            rows.append(Row(aim, number(aim.figure), limit, note))
    return rows


def read_stored(lesson: str) -> list[Row]:
    """The lines of a lesson from the `figures.json` beside its weights: nothing is computed.

    Raises
    ------
    ValueError
        For a lesson without a shipped model, or a file that holds no figures.
    OSError
        The file is missing or cannot be read.
    """
    if lesson not in NAMES:
        raise ValueError(f"lesson: expected one of {', '.join(NAMES)}, got {lesson!r}")
    path = data_dir() / "models" / lesson / "figures.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return table_rows(lesson, stored["figures"], stored.get("limits"))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: no figures in it; `mmcourse figures {lesson}` computes them anew") from None


def recompute(lesson: str, n: int = 1000) -> list[Row]:
    """The lines of a lesson, from its weights; errors as `figures` has them."""
    found = figures(lesson, n)
    if lesson != "clip":
        return table_rows(lesson, found)
    from mmcourse.figures.clip import limits

    return table_rows(lesson, found, limits(n))
