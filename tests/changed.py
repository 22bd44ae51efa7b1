"""`make test ARGS=--changed`: the tests that a change can touch, found by imports.

A test is kept when its file, or a module of the course that it imports directly or through others, differs from where
the branch left `main`. A notebook test is kept when its lesson, or a module that the lesson imports, changed.
Changes to anything else (configuration, data, the build) keep every test.
"""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HARMLESS = (".md", ".cff", ".png")  # pages: read by no module


def changed_files() -> set[str]:
    """Paths that differ from where the branch left `main`, files that git does not know yet included."""
    base = _git("merge-base", "HEAD", "main").strip() or "HEAD"
    listed = _git("diff", "--name-only", base) + _git("ls-files", "--others", "--exclude-standard")
    return {line for line in listed.splitlines() if not line.endswith(".ipynb")}


def touches(test: str, changed: set[str], name: str = "") -> bool:
    """Whether a change can touch a test file; `name` is the test's id, which for notebooks names the lesson."""
    code = {path for path in changed if path.startswith(("mmcourse/", "tests/", "notebooks/src/"))}
    if any(not path.endswith(HARMLESS) for path in changed - code):
        return True
    if test.startswith("tests/notebooks/"):
        lessons = [path for path in (ROOT / "notebooks" / "src").iterdir() if f"_{path.name}]" in name]
        if lessons:
            own = f"notebooks/src/{lessons[0].name}/"
            return any(path.startswith(own) for path in code) or bool(_closure(lessons[0]) & code)
    if test.startswith(("tests/exercises/", "tests/classroom/")) and any(p.startswith("notebooks/src/") for p in code):
        return True
    folder = str(Path(test).parent) + "/"
    helpers = {path for path in code if path.startswith(folder) and not Path(path).name.startswith("test_")}
    return test in code or bool(helpers) or "tests/conftest.py" in code or bool(_closure(ROOT / test) & code)


@cache
def _closure(start: Path) -> set[str]:
    """Files of the course that a file (or each file of a folder) imports, directly or through others."""
    found: set[str] = set()
    waiting = list(start.glob("*.py")) if start.is_dir() else [start]
    while waiting:
        for path in _imports(waiting.pop()):
            name = str(path.relative_to(ROOT))
            if name not in found:
                found.add(name)
                waiting.append(path)
    return found


@cache
def _imports(path: Path) -> list[Path]:
    names: set[str] = set()
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (parent, node.module) if part)
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return [file for name in names if name.startswith("mmcourse") for file in _files(name)]


def _files(name: str) -> list[Path]:
    """The file of a module, and the `__init__` of each package above it, which Python runs too."""
    parts = name.split(".")
    above = [ROOT.joinpath(*parts[:k], "__init__.py") for k in range(1, len(parts) + 1)]
    return [path for path in [*above, ROOT.joinpath(*parts).with_suffix(".py")] if path.is_file()]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout
