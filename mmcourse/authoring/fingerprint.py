"""Was a notebook edited after it was built? Told from a hash of its cells' text, which the build stores in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def text_sha(cells: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over the type and text of every cell; not over outputs, counts and metadata, which running changes."""
    texts = [[cell["cell_type"], _text(cell["source"])] for cell in cells]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def was_edited(notebook: Mapping[str, Any]) -> bool:
    """Whether somebody wrote into a built notebook.

    Where no hash is stored (built by an older version), a notebook that was saved by JupyterLab counts as edited: only
    JupyterLab writes Python's version into it.
    """
    metadata = notebook["metadata"]
    stored = metadata.get("mmcourse", {}).get("text_sha")
    if stored is None:
        return "version" in metadata.get("language_info", {})
    return stored != text_sha(notebook["cells"])


def holds_own_work(path: Path) -> bool:
    """Whether the file at `path` may hold somebody's work: edited, made without the build, or not readable."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        return "mmcourse" not in notebook["metadata"] or was_edited(notebook)
    except FileNotFoundError:
        return False
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ):  # a merge conflict, say
        return True


def _text(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)
