"""The model card and the data card, written from the report: a number that changes there changes here.

What they hold follows Mitchell et al. 2019 (model cards) and Gebru et al. 2018 (datasheets).
"""

from __future__ import annotations

from typing import Any

from mmcourse.capstone.project import CARDS, Project, interval_of, number
from mmcourse.capstone.proposal import sections

HEAD = "<!-- Written by `mmcourse capstone card` from report.json, PROPOSAL.md and limits.md: change those. -->"


def cards(project: Project) -> dict[str, str]:
    """{"cards/model.md": text, "cards/data.md": text}."""
    return dict(zip(CARDS, (model_card(project), data_card(project)), strict=True))


def told(claim: Any) -> str:
    """A claim in words: 0.810 [0.790, 0.830], or "no value"."""
    value = number(claim.get("value", claim.get("difference"))) if isinstance(claim, dict) else None
    if value is None:
        return "no value"
    interval = interval_of(claim)
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else " (no interval)")


def model_card(project: Project) -> str:
    """What the model is for, how good it is, for whom it is worse, and where it must not be used."""
    report, page = project.report, sections(project.texts.get("PROPOSAL.md", ""))
    test = _dict(report.get("test"))
    lines = [HEAD, f"# {project.name}: model card", "", "## What it is for"]
    lines += [page.get("question", "not written"), "", page.get("decision", ""), "", "## How good it is"]
    lines += [
        f"Metric: {project.brief.metric}; 95 % intervals by {project.brief.unit}.",
        "",
        "| | score |",
        "|---|---|",
    ]
    lines.append(f"| this model, {test.get('n', '?')} test samples | {told(test)} |")
    lines += [f"| {name} | {told(claim)} |" for name, claim in _dict(report.get("baselines")).items()]
    lines += [f"| ceiling | {_ceiling(project)} |", "", "## For whom", "| group | n | score |", "|---|---|---|"]
    lines += [f"| {row.get('name')} | {row.get('n', '?')} | {told(row)} |" for row in _rows(report.get("by_group"))]
    lines += ["", "## Limits", _body(project.texts.get("limits.md", "not written")), "", "## Risk"]
    return "\n".join([*lines, page.get("risk", "not written"), ""])


def data_card(project: Project) -> str:
    """Where the data come from, how they were split, and who is in each part."""
    report, page = project.report, sections(project.texts.get("PROPOSAL.md", ""))
    split = _dict(report.get("split"))
    lines = [HEAD, f"# {project.name}: data card", "", "## Source, license, consent", page.get("data", "not written")]
    lines += ["", "## Split", f"By {split.get('by', '?')}.", "", f"| part | {project.brief.group}s |", "|---|---|"]
    for name in ("train", "validation", "test"):
        members = split.get(name)
        lines.append(f"| {name} | {len(members) if isinstance(members, list) else '?'} |")
    held = _body(str(report.get("not_in_the_data", "not written")))
    return "\n".join([*lines, "", "## Who is not in the data", held, ""])


def _ceiling(project: Project) -> str:
    if project.brief.ceiling is not None:
        return f"{project.brief.ceiling():.3f} (exact)"
    given = _dict(project.report.get("ceiling"))
    value = number(given.get("value"))
    return "unknown" if value is None else f"{value:.3f} ({given.get('why', 'human')})"


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _body(text: str) -> str:
    """A page without its own title."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("# ")).strip()


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
