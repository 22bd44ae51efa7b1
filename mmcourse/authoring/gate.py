"""Is a committed notebook what its source gives? Answered without running it."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from . import clean, glossary, source
from .catalogue import Lesson, lesson_numbers
from .fingerprint import was_edited

MEASURED = ("seconds", "peak_mb", "cores", "bands")
RECORDED = (*MEASURED, "made_with", "blanks", "run_twice")  # the last two only where a lesson has them
# the blank's number alone, so that `findall` gives it
BLANK_IDS = re.compile(r"^\w+\s*=\s*check\(\s*[\"']([a-z]\w*\.blank\.\d+)[\"']", re.MULTILINE)


def text_of(lesson: Lesson, path: Path, slug: str, measured: dict) -> NotebookNode:
    """The notebook that belongs at ``path``, without outputs, from the lesson's sources."""
    known = lesson_numbers(lesson.folder.parent)
    if path in (lesson.notebook, lesson.deeper):
        text = source.read(lesson.source if path == lesson.notebook else lesson.deeper_source)
        return source.lesson_text(text, slug, measured, known)
    text = source.read(lesson.exercise_source)
    return source.exercise_text(text, slug, measured, known, solved=path == lesson.solution)


def stale(lesson: Lesson, path: Path, slug: str) -> list[str]:
    """Everything wrong with one committed notebook, each with its cell and the remedy; empty when it is fresh."""
    name = path.relative_to(lesson.folder.parent)
    remedy = f"run `mmcourse build {lesson.slug}`"
    if not path.is_file():
        return [f"{name} is missing: {remedy}"]
    try:
        nb = nbformat.read(path, as_version=4)
    except Exception as error:  # a broken file raises many kinds
        return [f"{name} cannot be read ({type(error).__name__}): {remedy}"]
    stored = nb.metadata.get("mmcourse", {})
    missing = [k for k in (*MEASURED, "source_sha") if k not in stored]
    if was_edited(nb):
        remedy = f"it was edited after the build, and stays: {where_to_write(lesson, path)}"
    if missing:
        return [f"{name} was not made by the build (no {', '.join(missing)} in its metadata): {remedy}"]
    try:
        want = text_of(lesson, path, slug, {k: stored[k] for k in RECORDED if k in stored})
    except source.SourceError as error:
        return [str(error)]
    found = _differences(nb, want) or _metadata_differences(nb, want)
    found += _untried_blanks(nb, stored.get("blanks", []))
    if path in (lesson.notebook, lesson.deeper) and is_second_edition(lesson) and not stored.get("run_twice"):
        found.append("its cells were not run twice")
    found += notebook_faults(nb, path, lesson) + limits(nb, path, lesson)
    return [f"{name}: {x}: {remedy}" for x in found]


def where_to_write(lesson: Lesson, path: Path) -> str:
    """What to do with an edited notebook, whoever edited it."""
    sources = {lesson.notebook: lesson.source, lesson.deeper: lesson.deeper_source}
    written = sources.get(path, lesson.exercise_source)
    change = f"a change of the course belongs in {written.relative_to(lesson.folder.parent).as_posix()}"
    return f"{change}; your own answers belong in your own folder, which `mmcourse lab` opens"


def notebook_faults(nb: NotebookNode, path: Path, lesson: Lesson) -> list[str]:
    """Faults of outputs and exercises, as sentences that name the cell."""
    found = clean.faults(nb)
    if path in (lesson.notebook, lesson.deeper):
        found += _check_faults(nb, "not attempted yet", BLANK_IDS)
    else:
        found += _check_faults(nb, "passed" if path == lesson.solution else "not attempted yet", source.CHECK)
    return [f"{clean.describe(nb, x.cell)} {x.message}" for x in found]


def limits(nb: NotebookNode, path: Path, lesson: Lesson) -> list[str]:
    """Limits of time, memory and shape that a committed notebook must keep."""
    found = clean.limit_faults(nb)
    if path in (lesson.notebook, lesson.deeper) and is_second_edition(lesson):
        found += clean.long_lines(nb)
    if path == lesson.notebook and is_second_edition(lesson):
        blanks = sum(len(BLANK_IDS.findall(c.source)) for c in nb.cells if c.cell_type == "code")
        if not 3 <= blanks <= 5:
            found.append(clean.Fault(None, f"has {blanks} blanks, a lesson has 3 to 5"))
    return [f"{clean.describe(nb, x.cell)} {x.message}" for x in found]


def warnings(nb: NotebookNode, path: Path, lesson: Lesson) -> list[str]:
    """What an author should know and the gate does not mind, in lessons that are not of the second edition yet."""
    if path not in (lesson.notebook, lesson.deeper) or is_second_edition(lesson):
        return []
    return [f"warning: {clean.describe(nb, x.cell)} {x.message}" for x in clean.long_lines(nb)]


def is_second_edition(lesson: Lesson) -> bool:
    """Whether the stricter rules hold for this lesson; notebooks/src/glossary.toml lists those for which they do."""
    return lesson.slug in glossary.second_edition(lesson.folder)


def broken_links(path: Path) -> list[str]:
    """Links from a notebook to a notebook that is not there."""
    nb = nbformat.read(path, as_version=4)
    found = []
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)\s:#]+\.(?:ipynb|py|md|png))(?:#[^)]*)?\)", cell.source):
                if not (path.parent / target).exists():
                    found.append(f"{path.name}: {clean.describe(nb, index)} links to {target}, which does not exist")
    return found


def _differences(nb: NotebookNode, want: NotebookNode) -> list[str]:
    """Where committed cells differ from what the source gives; the first differences say enough."""
    found = []
    for index, (have, new) in enumerate(zip(nb.cells, want.cells, strict=False)):
        cell = clean.describe(nb, index)
        if have.cell_type != new.cell_type:
            found.append(f"{cell} is stale: its type is {have.cell_type}, the source has {new.cell_type}")
        elif have.source != new.source:
            found.append(f"{cell} is stale: its text is not the source's, which has {_first_difference(have, new)}")
        elif have.metadata != new.metadata:
            found.append(f"{cell} is stale: its metadata is {dict(have.metadata)}, the source has {dict(new.metadata)}")
        elif have.get("id") != new.id:
            found.append(f"{cell} is stale: its id is {have.get('id')}, the source gives {new.id}")
    if len(nb.cells) != len(want.cells):
        found.append(f"the notebook is stale: it has {len(nb.cells)} cells, the source gives {len(want.cells)}")
    return found[:5]


def _first_difference(have: NotebookNode, new: NotebookNode) -> str:
    old = have.source.split("\n")
    for n, text in enumerate(new.source.split("\n")):
        if n >= len(old) or old[n] != text:
            return f"{text.strip()[:80]!r} on line {n + 1} of the cell"
    return f"no more than {new.source.count(chr(10)) + 1} lines"


def _metadata_differences(nb: NotebookNode, want: NotebookNode) -> list[str]:
    if nb.metadata.get("mmcourse", {}).get("source_sha") != want.metadata.mmcourse.source_sha:
        return ["the notebook is stale: its source changed after the build"]
    if nb.metadata != want.metadata:
        return ["the notebook is stale: its metadata is not what the build writes"]
    return []


def _untried_blanks(nb: NotebookNode, tried: list[str]) -> list[str]:
    """Blanks whose answers the build did not run."""
    there = [id for c in nb.cells if c.cell_type == "code" for id in BLANK_IDS.findall(c.source)]
    return [] if there == tried else [f"the notebook is stale: its blanks are {there}, the build tried {tried}"]


def _check_faults(nb: NotebookNode, wanted: str, pattern: re.Pattern) -> list[clean.Fault]:
    """In a solution every check passes; in a blank notebook every check says that nothing was attempted."""
    found = []
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "code" and (numbers := pattern.findall(cell.source)):
            shown = " ".join(" ".join(clean.texts(cell)).split())
            for number in numbers:
                if f"{number} {wanted}" not in shown:
                    message = f"should show '{number} {wanted}', but shows: {shown[:160] or 'nothing'}"
                    found.append(clean.Fault(index, message))
    return found
