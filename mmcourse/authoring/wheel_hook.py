"""Build hook of the wheel: the public half of each lesson's exercises.py goes to `mmcourse/_lessons/SLUG/`.

Checks need references, draws and messages wherever the course is installed. Right answers written differently stay in
the repository, and so do answers that somebody wrote into the notebooks: a wheel with such a notebook is not built.
This file runs in the build's own environment, so it imports nothing of the course.
"""

from __future__ import annotations

import ast
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = ("exercises.py", "exercises_torch.py", "exercises_keras.py")
# whole; pyproject.toml names them for the wheel
READ_BY_LESSONS = ("results.json", "scale_keras.py", "scale_ray.py", "scale_train.py", "tune_search.py")


class ExercisesHook(BuildHookInterface):
    """Adds the public halves to a wheel; in an editable install the sources themselves are read."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the public halves into a folder that lasts as long as the build, and have them included."""
        if version == "editable":
            return
        refuse_answers(Path(self.root))
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


def refuse_answers(root: Path) -> None:
    """Blank notebooks only, and none besides those of the course.

    Raises
    ------
    ValueError
        For a notebook that somebody wrote into, with the remedy.
    """
    file = root / "mmcourse" / "authoring" / "fingerprint.py"
    spec = importlib.util.spec_from_file_location("fingerprint", file)
    assert spec and spec.loader
    spec.loader.exec_module(fingerprint := importlib.util.module_from_spec(spec))
    book = root / "notebooks"
    for path in sorted([*book.glob("*.ipynb"), *book.glob("exercises/**/*.ipynb")]):
        if ".ipynb_checkpoints" not in path.parts and fingerprint.holds_own_work(path):
            raise ValueError(
                f"{path.relative_to(root)} was edited or is not the course's own, and would be in the wheel: move it "
                "out of notebooks/, and `git checkout` or `mmcourse build` the course's notebook"
            )


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
