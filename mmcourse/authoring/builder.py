"""Build notebooks from their sources, or say which are stale."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from mmcourse.exercise.registry import load
from mmcourse.exercise.verify import problems
from mmcourse.io import atomic_write, keep_dated_copy
from mmcourse.runtime import SLUG, usable_cores

from . import budget, clean, gate, glossary, real, source, twice
from .catalogue import Lesson, notebooks_dir, select
from .execute import ExecutionError, execute
from .fingerprint import holds_own_work
from .stale import installed

Progress = Callable[[str, int, int], None]


class BuildError(ValueError):
    """A source or notebook that is not fit to be committed; the message lists every fault."""


@dataclass(frozen=True)
class Built:
    """One written notebook and what it took; ``changed`` is False for an identical rebuild, ``notes`` fail the gate."""

    path: Path
    seconds: float
    peak_mb: float
    bands: list[str]
    changed: bool
    notes: list[str]


def build(
    lessons: Iterable[str | int] | None = None,
    check: bool = False,
    root: Path | str | None = None,
    progress: Progress | None = None,
    only: str | None = None,
    force: bool = False,
) -> list[Built]:
    """Make the notebooks of some lessons, or with ``check`` only compare committed ones with their sources.

    Parameters
    ----------
    lessons
        Slugs, numbers or names; None or ``"all"`` for every lesson.
    root
        Folder that holds ``notebooks/``; the repository by default.
    progress
        Called with (notebook, cells done, all cells).
    only
        ``"lesson"`` or ``"exercises"``: leave the other alone.
    force
        Build over a notebook that somebody edited. What it held is kept beside it, under a name with the date.

    Raises
    ------
    ValueError
        For an unknown lesson.
    BuildError
        With every fault of every notebook; a faulty notebook is not written, the others are. An edited notebook is
        refused without ``force``.
    """
    if only not in (None, "lesson", "exercises"):
        raise ValueError(f"only must be 'lesson' or 'exercises', not {only!r}")
    built: list[Built] = []
    faults: list[str] = []
    for lesson in select(lessons, root):
        for path in lesson.built:
            if only and (path in (lesson.notebook, lesson.deeper)) != (only == "lesson"):
                continue
            if check:
                faults += gate.stale(lesson, path, SLUG)
                continue
            if path == lesson.exercise and (unsound := _unsound(lesson)):
                faults += unsound
                continue
            try:
                built.append(_build_one(lesson, path, progress, force))
            except BuildError as error:
                faults.append(str(error))
    if not check:
        _write_glossary(notebooks_dir(root))
    if faults:
        raise BuildError("\n".join(faults))
    return built


def _write_glossary(folder: Path) -> None:
    """The glossary's page, whose links follow the notebooks that exist."""
    if (folder / "src" / "glossary.toml").is_file():
        text = glossary.render(folder)
        page = folder / "glossary.md"
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            atomic_write(page, text)


def _unsound(lesson: Lesson) -> list[str]:
    """What is wrong with the lesson's exercises themselves."""
    try:
        exercises = load(lesson.exercise_source).exercises
    except Exception as error:  # an author's own code raises what it will
        return [f"{lesson.exercise_source}: {type(error).__name__}: {error}"]
    return [f"{lesson.exercise_source}: {problem}" for exercise in exercises for problem in problems(exercise)]


def _build_one(lesson: Lesson, path: Path, progress: Progress | None, force: bool) -> Built:
    name = path.relative_to(lesson.folder.parent).as_posix()
    if not force:
        _refuse_edited(lesson, path, name)
    try:
        nb = gate.text_of(lesson, path, SLUG, {})
    except source.SourceError as error:
        raise BuildError(str(error)) from error
    filled = _filled_blanks(lesson) if path == lesson.notebook else []
    try:
        usage = execute(nb, progress and (lambda done, total: progress(name, done, total)), then=filled)
    except ExecutionError as error:
        raise BuildError(f"{name}: {clean.describe(nb, error.cell)} failed: {error}") from error
    clean.clean(nb)
    kept = real.keep_outputs(nb, _before(path))
    measured = budget.steady(
        {
            "seconds": round(usage.seconds, 1),
            "peak_mb": round(usage.peak_mb),
            "cores": usable_cores(),
            "bands": _targets(nb),
        },
        _stored(path),
        busy=os.getloadavg()[0] > usable_cores() + 1,  # more than this run and its children
    )
    measured["made_with"] = installed()
    if filled:
        measured["blanks"] = _tried_blanks(filled, name)
    if path in (lesson.notebook, lesson.deeper) and gate.is_second_edition(lesson):
        if unsteady := twice.faults(nb, progress and (lambda done, total: progress(f"{name} again", done, total))):
            raise BuildError("\n".join(f"{name}: {fault}" for fault in unsteady))
        measured["run_twice"] = True
    _put_text(nb, gate.text_of(lesson, path, SLUG, measured))
    if found := gate.notebook_faults(nb, path, lesson):
        raise BuildError("\n".join(f"{name}: {x}" for x in found))
    notes = gate.limits(nb, path, lesson) + gate.warnings(nb, path, lesson) + kept
    if holds_own_work(path):  # asked again: somebody may have saved it while the cells ran
        if not force:
            _refuse_edited(lesson, path, name)
        notes.append(f"it held edits, kept in {keep_dated_copy(path).name}")
    return Built(path, usage.seconds, usage.peak_mb, measured["bands"], _write(nb, path), notes)


def _refuse_edited(lesson: Lesson, path: Path, name: str) -> None:
    if holds_own_work(path):
        raise BuildError(
            f"{name} was edited after it was built, and the build would overwrite that work: "
            f"{gate.where_to_write(lesson, path)}. With --force it is built, and your version is kept beside it"
        )


def _filled_blanks(lesson: Lesson) -> list[NotebookNode]:
    """Cells that fill in a lesson's blanks, to be run after it; one more for each blank tries its check."""
    cells = []
    for text, ids in source.solved_cells(source.read(lesson.source)):
        cells.append(nbformat.v4.new_code_cell(text, metadata={"mmcourse": ids}))
        for id in ids:
            trial = f"from mmcourse.check import blanks as _b; print(*_b.faults(_b.find({id!r})), sep=chr(10))"
            cells.append(nbformat.v4.new_code_cell(trial))
    return cells


def _tried_blanks(filled: list[NotebookNode], name: str) -> list[str]:
    """The blanks whose answers passed their checks and whose checks are sound; every fault of them ends the build."""
    faults, passed = [], []
    for cell in filled:
        shown = " ".join(" ".join(clean.texts(cell)).split())
        for id in cell.metadata.get("mmcourse", []):
            if f"{id} passed" in shown:
                passed.append(id)
            else:
                faults.append(f"{name}: the answer of {id} should pass its check, which says: {shown[:300]}")
        if "mmcourse" not in cell.metadata and shown:
            faults.append(f"{name}: {shown}")
    if faults:
        raise BuildError("\n".join(faults))
    return passed


def _put_text(nb: NotebookNode, text: NotebookNode) -> None:
    """Title card and metadata with the measured budget, over the executed notebook."""
    nb.metadata = text.metadata
    for cell, new in zip(nb.cells, text.cells, strict=True):
        cell.source, cell.metadata = new.source, new.metadata


def _before(path: Path) -> NotebookNode | None:
    """The notebook that the build replaces."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, AttributeError):  # not there yet, or not readable
        return None


def _stored(path: Path) -> dict | None:
    before = _before(path)
    return before.metadata.get("mmcourse") if before else None


def _targets(nb: NotebookNode) -> list[str]:
    """Bands for the title card: those of cells tagged ``target``, else the first; a reader wants one promise."""
    marked = [c for c in nb.cells if "target" in c.metadata.get("tags", [])]
    found = budget.bands([t for c in marked or nb.cells for t in clean.texts(c)])
    return found if marked else found[:1]


def _write(nb: NotebookNode, path: Path) -> bool:
    """Write atomically; True if the file changed."""
    text = nbformat.writes(nb, version=4) + "\n"
    nbformat.validate(nb)
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, text)
    return True
