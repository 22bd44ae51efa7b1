"""Cells on real data or pretrained models: run and compared only where these are."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from nbformat import NotebookNode

import mmcourse


def data_folder() -> Path | None:
    """Folder of real recordings and images: ``MMCOURSE_REAL_DATA``, else ``../shared/data`` beside the repository."""
    given = os.environ.get("MMCOURSE_REAL_DATA")
    folder = Path(given) if given else Path(mmcourse.__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


def missing(cell: NotebookNode) -> list[str]:
    """What a cell needs and this machine lacks: names of files or folders of real data, or of packages."""
    return [name for name in cell.metadata.get("needs", []) if not _is_here(name)]


def _is_here(name: str) -> bool:
    folder = data_folder()
    # a name stands for the folder or for the files that begin with it, such as fsdd-1.0.10.tar.gz
    if folder and any(path.name == name or path.name.startswith((f"{name}.", f"{name}-")) for path in folder.iterdir()):
        return True
    return name.isidentifier() and importlib.util.find_spec(name) is not None


def keep_outputs(nb: NotebookNode, before: NotebookNode | None) -> list[str]:
    """Put back the outputs of the last real run where it cannot be repeated here; returns a note for each such cell."""
    stored = {cell.id: cell for cell in before.cells} if before else {}
    notes = []
    for cell in nb.cells:
        if cell.cell_type != "code" or not (lacking := missing(cell)):
            continue
        first = cell.source.strip().split("\n")[0][:60]
        old = stored.get(cell.id)
        if old is not None and old.get("outputs"):
            cell.outputs = old.outputs
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = cell.execution_count
            notes.append(f"`{first}` was not run, without {', '.join(lacking)}: the last real outputs are kept")
        else:
            notes.append(f"`{first}` needs {', '.join(lacking)}, and there are no outputs of a real run to keep")
    return notes


def names_of_skipped(nb: NotebookNode) -> list[str]:
    """One line for each cell whose outputs cannot be compared here, and mark them so for nbval."""
    skipped = []
    for number, cell in enumerate(nb.cells, 1):
        if cell.cell_type == "code" and (lacking := missing(cell)):
            cell.metadata["tags"] = list(dict.fromkeys([*cell.metadata.get("tags", []), "nbval-ignore-output"]))
            first = cell.source.strip().split("\n")[0][:60]
            skipped.append(f"cell {number} (`{first}`) is not compared: {', '.join(lacking)} is not here")
    return skipped
