"""A new project's folder, from the templates: complete, or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmcourse.capstone.briefs import EXAMPLE, Brief
from mmcourse.capstone.project import CARDS, read_project

HERE = Path(__file__).parent
TEMPLATES, EXAMPLES = HERE / "templates", HERE / "examples"
ENDING = ".in"  # of files in here: neither Python nor Make should take them for its own
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}")


def new_project(folder: Path, brief: Brief) -> list[str]:
    """Make a project's folder; returns the names of its files.

    Raises
    ------
    ValueError
        Its name is none that tools can take, or the brief has no templates.
    FileExistsError
        Something is there already.
    OSError
        It cannot be written.
    """
    name = folder.name
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r}: a project's name has letters, digits, - and _, up to 41, and begins with a letter")
    if brief == EXAMPLE:
        raise ValueError("the example is not a brief; `mmcourse capstone example good --to DIR` copies it")
    words = {"NAME": name, "BRIEF": brief.name, "TITLE": brief.title, "METRIC": brief.metric, "GROUP": brief.group}
    words["UNIT"] = brief.unit
    words["CEILING"] = "nobody knows it" if brief.ceiling is None else f"{brief.ceiling():.3f}"
    files = dict(_template("common", words)) | dict(_template(brief.name, words))
    files["BRIEF.md"] = brief.text
    files["forms/peer_review.md"] = form("peer_review")
    if brief.fresh is None:
        files["forms/consent.md"] = form("consent")
    if "baseline.py" in files:
        files["baseline.ipynb"] = notebook(files.pop("baseline.py"))
    _write(folder, files)
    return sorted(files)


def form(name: str) -> str:
    """A form to fill in, Markdown: "peer_review" or "consent"."""
    return (HERE / "forms" / f"{name}.md").read_text(encoding="utf-8")


def copy_example(which: str, folder: Path) -> list[str]:
    """Copy a marked example, "good" or "tempting", with its cards; returns the names of its files.

    Raises
    ------
    ValueError, FileExistsError, OSError
        As in `new_project`.
    """
    if which not in ("good", "tempting"):
        raise ValueError(f"there is no example {which!r}; there are good and tempting")
    files: dict[str, str | bytes] = {}
    for path in sorted((EXAMPLES / which).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(EXAMPLES / which).as_posix().removesuffix(ENDING)
            files[name] = path.read_bytes()
    _write(folder, files)
    return sorted(files)


def write_cards(folder: Path) -> list[str]:
    """Write both cards of a project anew, from its report; returns their names.

    Raises
    ------
    mmcourse.capstone.project.BadProject
        The folder is no project.
    """
    from mmcourse.capstone.cards import cards
    from mmcourse.io import atomic_write

    made = cards(read_project(folder))
    for name, text in made.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        atomic_write(path, text)
    return list(CARDS)


def _template(name: str, words: dict[str, str]) -> Iterator[tuple[str, str]]:
    root = TEMPLATES / name
    for path in sorted(root.rglob(f"*{ENDING}")):
        text = path.read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace("{{" + word + "}}", value)
        yield path.relative_to(root).as_posix().removesuffix(ENDING), text


def _write(folder: Path, files: dict[str, str] | dict[str, str | bytes]) -> None:
    """All files in a new folder beside the target, which then takes its name."""
    if os.path.lexists(folder):
        raise FileExistsError(f"{folder}: is there already; choose another name, or move it away")
    parent = folder.resolve().parent
    if not parent.is_dir():
        raise FileNotFoundError(f"{parent}: no such folder; make it first")
    place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=parent))
    try:
        for name, content in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        place.chmod(0o755)
        os.rename(place, folder)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


# ---------------------------------------------------------------- a notebook from py:percent text
def notebook(text: str) -> str:
    """A notebook (nbformat 4.5, JSON) from py:percent text: `# %%` begins a cell, `# %% [markdown]` one of prose."""
    cells: list[dict[str, Any]] = []
    for head, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*(?:\n|\Z))*)", text, flags=re.MULTILINE):
        prose = "[markdown]" in head
        lines = body.strip("\n").split("\n")
        if prose:
            lines = [re.sub(r"^# ?", "", line) for line in lines]
        source = "\n".join(lines)
        digest = hashlib.sha256(f"{len(cells)} {source}".encode()).hexdigest()[:8]
        cell: dict[str, Any] = {
            "cell_type": "markdown" if prose else "code",
            "id": digest,
            "metadata": {},
            "source": source,
        }
        cells.append(cell if prose else cell | {"execution_count": None, "outputs": []})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
