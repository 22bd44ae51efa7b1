"""The oral defense: five questions drawn by seed from a list, each from another row of the rubric."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmcourse.capstone.cards import told
from mmcourse.capstone.project import Project

PLACE = Path(__file__).with_name("defense.toml")
NUMBER = 5


@dataclass(frozen=True)
class Question:
    """A question, and the row of the rubric that it is about."""

    row: str
    text: str


def all_questions() -> tuple[Question, ...]:
    """Every question there is, without a project's words filled in."""
    return tuple(Question(**entry) for entry in tomllib.loads(PLACE.read_text(encoding="utf-8"))["question"])


def defense_seed(project: Project, secret: str = "") -> int:
    """From what was handed in, so that nobody draws again until they like the questions; and from a secret, if any."""
    digest = hashlib.sha256()
    for page in ("project.toml", "report.json"):
        digest.update(project.texts.get(page, "").encode())
    digest.update(secret.encode())
    return int.from_bytes(digest.digest()[:4], "little")


def draw_questions(project: Project, seed: int, number: int = NUMBER) -> list[Question]:
    """So many questions, the same for the same seed; no two from one row of the rubric.

    Raises
    ------
    ValueError
        More questions than rows.
    """
    known = all_questions()
    rows = list(dict.fromkeys(question.row for question in known))
    if not 1 <= number <= len(rows):
        raise ValueError(f"number: expected 1 to {len(rows)}, one for each row of the rubric, got {number}")
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.choice(len(rows), number, replace=False).tolist())
    found = []
    for place in chosen:
        here = [question for question in known if question.row == rows[place]]
        found.append(here[int(rng.integers(len(here)))])
    return [Question(question.row, _filled(question.text, project)) for question in found]


def _filled(text: str, project: Project) -> str:
    ceiling = project.brief.ceiling
    words = {
        "name": project.name,
        "group": project.brief.group,
        "metric": "the AUC" if project.brief.metric == "auc" else "accuracy",
        "value": told(project.report.get("test")),
        "ceiling": "what people reach" if ceiling is None else f"{ceiling():.3f}",
    }
    for name, word in words.items():
        text = text.replace("{" + name + "}", word)
    return text
