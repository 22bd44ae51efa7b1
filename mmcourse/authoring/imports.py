"""What the cells of a notebook import, read without running them."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable

BACKENDS = {"mmcourse.torch": ("torch",), "mmcourse.keras": ("keras", "tensorflow")}
BY_THE_HOST = {"google"}  # google.colab is there on Colab and nowhere else


def import_statements(cells: Iterable[str]) -> list[str]:
    """Each import statement of some code cells, one module a statement, in order and without repetition."""
    statements: dict[str, None] = {}
    for source in cells:
        for node in _nodes(source):
            if isinstance(node, ast.Import):
                statements |= {f"import {alias.name}": None for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = ", ".join(alias.name for alias in node.names)
                statements[f"from {node.module} import {names}"] = None
    return list(statements)


def modules_of(statement: str) -> list[str]:
    """Top-level modules outside the standard library that an import statement needs; the course's backends count."""
    words = statement.replace(",", " ").split()
    module = words[1]
    names = [module, *(f"{module}.{name}" for name in words[3:])]
    needed = {module.split(".")[0]} - {"mmcourse"}
    for name in names:
        needed.update(*(needs for backend, needs in BACKENDS.items() if f"{name}.".startswith(f"{backend}.")))
    if "keras" in needed:
        needed.add("tensorflow")  # Keras's backend in this course
    return sorted(needed - set(sys.stdlib_module_names) - BY_THE_HOST)


def needed_modules(cells: Iterable[str]) -> list[str]:
    """Top-level modules outside the standard library that some code cells need."""
    return sorted({module for statement in import_statements(cells) for module in modules_of(statement)})


def _nodes(source: str) -> list[ast.AST]:
    try:
        tree = ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE))
    except SyntaxError:  # an error that a lesson shows on purpose
        return []
    return list(ast.walk(tree))
