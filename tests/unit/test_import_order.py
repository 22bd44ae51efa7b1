"""Imports inside the package only go down: no two of its parts need each other, also not inside a function."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmcourse

PACKAGE = Path(mmcourse.__file__).parent
PARTS = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}


def imported(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, wherever in it."""
    package = ("mmcourse", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def needs() -> dict[str, set[str]]:
    """Which parts of the package each of its parts imports."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        used = {name.split(".")[1] for name in imported(path) if name.startswith("mmcourse.")}
        found.setdefault(part, set()).update(used & PARTS - {part})
    return found


def test_no_two_parts_need_each_other():
    try:
        graphlib.TopologicalSorter(needs()).prepare()
    except graphlib.CycleError as error:
        pytest.fail("imports go in a circle: " + " → ".join(reversed(error.args[1])))


def test_the_backends_do_not_import_one_another():
    found = needs()
    for backend in ("numpy", "torch", "keras"):
        assert not found[backend] & {"numpy", "torch", "keras"}, backend


def test_what_judges_an_answer_is_below_what_shows_the_verdict():
    found = needs()
    assert "exercise" in found["check"] and "check" not in found["exercise"]
