"""What can be seen in a project without running it: the pages, the report's claims, and the faults that cap points."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmcourse.capstone.cards import cards
from mmcourse.capstone.project import CARDS, WEIGHTS, Project, interval_of, left_out, missing_files, number
from mmcourse.capstone.proposal import BLANK, limits_faults, proposal_faults

LONGEST_PAGE = 700  # words: one page
LEAST_SEEDS = 3


@dataclass(frozen=True)
class Finding:
    """One thing that is missing or wrong.

    Attributes
    ----------
    row : name of the rubric's row that it belongs to
    says : what was found, and what to do
    fault : name of the cap that it brings, or ""
    """

    row: str
    says: str
    fault: str = ""


def check(project: Project) -> list[Finding]:
    """All findings, in the order of the rubric; empty where a machine finds nothing wrong."""
    found = [Finding("engineering", f"{page}: {why}") for page, why in project.problems.items()]
    for part in (_question, _data, _baselines, _method, _evaluation, _engineering, _communication):
        found += part(project)
    return found


def faults(findings: list[Finding]) -> tuple[str, ...]:
    """Names of the caps that findings bring, without repeats."""
    return tuple(dict.fromkeys(finding.fault for finding in findings if finding.fault))


def _question(project: Project) -> Iterator[Finding]:
    text = project.texts.get("PROPOSAL.md")
    if text is None:
        yield Finding("question", "PROPOSAL.md is missing; `mmcourse capstone new` writes one to fill in")
        return
    for fault in proposal_faults(text):
        yield Finding("question", f"PROPOSAL.md: {fault}")


# ---------------------------------------------------------------- data and split
def _data(project: Project) -> Iterator[Finding]:
    split = project.report.get("split")
    if not project.report:
        yield Finding("data", "report.json is missing or empty; `make all` writes it")
        return
    if not isinstance(split, dict) or not isinstance(split.get("by"), str):
        yield Finding("data", f'report.json: "split" must say by what, and list every {project.brief.group}')
        return
    if split["by"] != project.brief.group:
        yield Finding("data", f"the split is by {split['by']!r}; no {project.brief.group} may be cut in two")
    parts = {name: _names(split.get(name)) for name in ("train", "validation", "test")}
    for name in ("train", "test"):
        if not parts[name]:
            yield Finding("data", f'report.json: "split" lists no {project.brief.group} in {name!r}')
    for first, second in (("train", "test"), ("validation", "test"), ("train", "validation")):
        both = parts[first] & parts[second]
        if both:
            some = ", ".join(sorted(both)[:3])
            says = f"leak: {len(both)} {project.brief.group}(s) are in {first} and in {second} ({some} …)"
            yield Finding("data", says, "leak" if second == "test" else "")
    for name in CARDS:
        if name not in project.texts:
            yield Finding("data", f"{name} is missing; `mmcourse capstone card` writes it")
        elif project.texts[name] != cards(project)[name]:
            yield Finding("data", f"{name} is not what the report gives now; run `mmcourse capstone card` again")


def _names(value: Any) -> set[str]:
    return {str(item) for item in value} if isinstance(value, list) else set()


# ---------------------------------------------------------------- baselines and ceiling
def _baselines(project: Project) -> Iterator[Finding]:
    if not project.report:
        return
    given = project.report.get("baselines")
    names = {str(name).lower() for name in given} if isinstance(given, dict) else set()
    alone = [name for name in names if "alone" in name]
    if not any("majority" in name for name in names) or not alone:
        what = (
            "majority class" if alone else "majority class and no modality alone" if not names else "majority or single"
        )
        yield Finding("baselines", f"there is no baseline to compare with: no {what} in report.json", "no baseline")
    for modality in project.brief.modalities:
        if alone and not any(modality in name for name in alone):
            yield Finding("baselines", f"no baseline is called “{modality} alone”")
    if names and not any("late" in name for name in names):
        yield Finding("baselines", "no late vote among the baselines")
    yield from _against_ceiling(project)


def _against_ceiling(project: Project) -> Iterator[Finding]:
    claim = project.report.get("test")
    value = number(claim.get("value")) if isinstance(claim, dict) else None
    if project.brief.ceiling is None:
        given = project.report.get("ceiling")
        if not isinstance(given, dict) or number(given.get("value")) is None or not str(given.get("why", "")).strip():
            yield Finding("baselines", 'nobody knows the ceiling here: give a human figure as "ceiling", and "why"')
        return
    best = project.brief.ceiling()
    interval = interval_of(claim)
    least = interval[0] if interval else value  # a score may be above by luck, as long as its interval is not
    if least is not None and least > best + 1e-9:
        alarm = str(project.report.get("alarm", "")).strip()
        says = f"{value:.3f} is above the exact ceiling {best:.3f}: no honest model can do that"
        if len(alarm.split()) < 5:
            yield Finding(
                "baselines", f'{says}; look for the leak, or say in "alarm" what you looked for', "above ceiling"
            )
        else:
            yield Finding("baselines", f"{says}; the report says so itself")


# ---------------------------------------------------------------- method and evaluation
def _method(project: Project) -> Iterator[Finding]:
    if not project.report:
        return
    rows = _dicts(project.report.get("ablations"))
    if not rows:
        yield Finding("method", 'report.json: no "ablations"; change one thing at a time')
    for row in rows:
        changed = row.get("changed")
        if not isinstance(changed, list) or len(changed) != 1:
            yield Finding("method", f"the ablation {row.get('name', '?')!r} changes {_count(changed)} things at once")
    if rows and not project.report.get("negative"):
        yield Finding("method", 'no negative result: say in "negative" what you tried that did not help')


def _count(value: Any) -> str:
    return str(len(value)) if isinstance(value, list) else "an unknown number of"


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def claims(report: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(name, claim) of every number that a report claims: test, baselines, comparisons, ablations, groups."""
    yield "test", report.get("test")
    baselines = report.get("baselines")
    yield from [(str(name), claim) for name, claim in baselines.items()] if isinstance(baselines, dict) else []
    for kind in ("comparisons", "ablations", "by_group"):
        for row in _dicts(report.get(kind)):
            yield str(row.get("name", kind)), row


def _value(claim: dict[str, Any]) -> float | None:
    return number(claim.get("value", claim.get("difference")))


def _evaluation(project: Project) -> Iterator[Finding]:
    report = project.report
    if not report:
        return
    without = [name for name, claim in claims(report) if interval_of(claim) is None]
    if without:
        says = f'no interval: {", ".join(without[:6])}; each needs "interval": [low, high], as `report.claim` writes it'
        yield Finding("evaluation", says, "no interval")
    empty = [name for name, claim in claims(report) if isinstance(claim, dict) and _value(claim) is None]
    if empty:
        yield Finding("evaluation", f"no number: {', '.join(empty[:6])}; NaN and text are none")
    size = report.get("size")
    if isinstance(size, list) and len(size) == 2 and (number(size[0]) or 0) < (number(size[1]) or 0):
        says = f"report.json was made with CAPSTONE_SIZE={size[0]}, not {size[1]}; run `make -B all` without it"
        yield Finding("evaluation", says)
    seeds = report.get("seeds")
    if not isinstance(seeds, list) or len(seeds) < LEAST_SEEDS:
        says = (
            f'"seeds": expected {LEAST_SEEDS} or more, got {_count(seeds)}; train again with others, compare over all'
        )
        yield Finding("evaluation", says)
    if report.get("chosen_on") != "validation":
        yield Finding("evaluation", f"what was shipped was chosen on {report.get('chosen_on')!r}; choose on validation")
    for row in _dicts(report.get("comparisons")):
        if row.get("paired") is not True:
            yield Finding("evaluation", f"the comparison {row.get('name', '?')!r} is not paired over seeds")
    groups = _dicts(report.get("by_group"))
    if len(groups) < 2 or any(number(row.get("n")) is None for row in groups):
        yield Finding("evaluation", 'report.json: "by_group" needs two groups or more, each with its own n')


# ---------------------------------------------------------------- engineering and communication
def _engineering(project: Project) -> Iterator[Finding]:
    texts = project.texts
    if "Makefile" not in texts or "\nall:" not in "\n" + texts["Makefile"]:
        yield Finding("engineering", "Makefile: no target `all`; one command goes from data to report")
    if not any(page.startswith("tests/") for page in texts):
        yield Finding("engineering", "tests/: no test_*.py")
    source = texts.get("src/predict.py")
    if source is None:
        yield Finding("engineering", "src/predict.py is missing")
        return
    try:
        names = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        yield Finding("engineering", f"src/predict.py: {type(error).__name__}: it is no Python")
        return
    if "predict" not in names:
        yield Finding("engineering", "src/predict.py defines no function predict(inputs)")
    for name in missing_files(project):
        yield Finding("engineering", f"src/predict.py names {name}, which is not in src/; `make -B all` writes it anew")
    outside = left_out(project.folder)
    if outside:
        kinds = ", ".join((".py", *WEIGHTS))
        says = f"{', '.join(outside[:6])}: the re-test takes only {kinds}, directly in src/; save the weights as one"
        yield Finding("engineering", f"{says} of these")


def _communication(project: Project) -> Iterator[Finding]:
    page = project.texts.get("README.md", "")
    words = len(page.split())
    if not 80 <= words <= LONGEST_PAGE or BLANK in page:
        still = ", and parts of it are not written yet" if BLANK in page else ""
        yield Finding("communication", f"README.md: {words} words{still}; one page is 80 to {LONGEST_PAGE}")
    groups = [str(row.get("name")) for row in _dicts(project.report.get("by_group"))]
    for fault in limits_faults(project.texts.get("limits.md", ""), groups):
        yield Finding("communication", f"limits.md: {fault}")
