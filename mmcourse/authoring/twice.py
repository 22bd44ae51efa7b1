"""A reader runs a cell again: it must say the same. Each code cell of a notebook is run twice in a row and compared."""

from __future__ import annotations

from collections.abc import Callable

import nbformat
from nbformat import NotebookNode

from . import clean
from .budget import EXPECTED
from .execute import ExecutionError, execute

ONCE = "once"  # tag of a cell that may not be run again, such as one that goes on training; the text says so


def faults(nb: NotebookNode, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Cells whose second run fails or shows another text, as sentences; numbers that may differ are not compared.

    Only text is compared, and nothing of cells tagged ``free``. Cells tagged ``once`` are run once.
    """
    pairs = []
    doubled = nbformat.v4.new_notebook()
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "code":
            runs = [_copy(cell)] if ONCE in _tags(cell) else [_copy(cell), _copy(cell)]
            doubled.cells += runs
            pairs.append((index, runs))
    try:
        execute(doubled, progress)
    except ExecutionError as error:
        failed = doubled.cells[error.cell]
        index, runs = next((index, runs) for index, runs in pairs if any(run is failed for run in runs))
        when = "after earlier cells were run twice" if failed is runs[0] else "when it is run again"
        return [f"{clean.describe(nb, index)} fails {when}: {error}"]
    clean.clean(doubled)
    return [
        f"{clean.describe(nb, index)} shows another text when it is run again: {_difference(*runs)}. Have it start "
        f"from what earlier cells made, or tag it `{ONCE}` where the text says that it goes on"
        for index, runs in pairs
        if len(runs) == 2 and "free" not in _tags(runs[0]) and _shown(runs[0]) != _shown(runs[1])
    ]


def _copy(cell: NotebookNode) -> NotebookNode:
    return nbformat.v4.new_code_cell(cell.source, metadata=dict(cell.metadata))


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _shown(cell: NotebookNode) -> list[str]:
    """Lines of text that a cell shows, without the value in a line of `expect_within` and without addresses."""
    lines = "\n".join(clean.texts(cell)).split("\n")
    return [clean.ADDRESS.sub("", EXPECTED.sub(r"\g<name> \g<target> \g<tolerance>", line)) for line in lines]


def _difference(first: NotebookNode, second: NotebookNode) -> str:
    before, after = _shown(first), _shown(second)
    for old, new in zip(before, after, strict=False):
        if old != new:
            return f"{old.strip()[:60]!r}, then {new.strip()[:60]!r}"
    return f"{len(before)} lines, then {len(after)}"
