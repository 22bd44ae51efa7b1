"""Build hook of the wheel: the public half of each lesson's exercises.py goes to `mmcourse/_lessons/SLUG/`.

Checks need references, draws and messages wherever the course is installed. Right answers written differently stay in
the repository. This file runs in the build's own environment, so it imports nothing of the course.
"""

from __future__ import annotations

import ast
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = ("exercises.py", "exercises_torch.py", "exercises_keras.py")


class ExercisesHook(BuildHookInterface):
    """Adds the public halves to a wheel; in an editable install the sources themselves are read."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the public halves into a folder that lasts as long as the build, and have them included."""
        if version == "editable":
            return
        self.folder = tempfile.TemporaryDirectory()
        for name in FILES:
            for path in sorted(Path(self.root).glob(f"notebooks/src/*/{name}")):
                target = Path(self.folder.name) / path.parent.name / name
                target.parent.mkdir(exist_ok=True)
                target.write_text(public_half(path.read_text(encoding="utf-8")), encoding="utf-8")
                build_data["force_include"][str(target)] = f"mmcourse/_lessons/{path.parent.name}/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is written: the folder may go."""
        if version != "editable":
            self.folder.cleanup()


def public_half(text: str) -> str:
    """An exercises.py without its functions and classes decorated with `@right(...)`."""
    lines = text.splitlines(keepends=True)
    for definition in reversed(ast.parse(text).body):
        if isinstance(definition, (ast.FunctionDef, ast.ClassDef)) and any(map(_is_right, definition.decorator_list)):
            first = definition.decorator_list[0].lineno
            del lines[first - 1 : definition.end_lineno]
    return "".join(lines)


def _is_right(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "right"
