"""nbgrader's own commands take the export: the model solution gets full points, the blank gets none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mmcourse import authoring
from mmcourse.classroom.release import release

LESSONS = [x for x in authoring.lessons() if x.has_exercises and x.exercise.is_file()]
GRADES = """
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    found = [(s.student.id, n.name, n.score, n.max_score) for a in book.assignments for s in book.assignment_submissions(a.name) for n in s.notebooks]
json.dump(found, sys.stdout)
"""  # noqa: E501


def nbgrader(course: Path, *arguments: str) -> str:
    """Run one of nbgrader's commands in a course folder; its output."""
    return python(course, "-m", "nbgrader", *arguments)


def python(course: Path, *arguments: str) -> str:
    """Run Python in a course folder, with a home of its own; nbgrader calls alembic by name."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "HOME": str(course), "JUPYTER_CONFIG_DIR": str(course / "jupyter"), "OMP_NUM_THREADS": "1"}
    command, env = [sys.executable, *arguments], {**os.environ, **own}
    run = subprocess.run(command, cwd=course, env=env, capture_output=True, text=True, timeout=1000)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def export(course: Path, lessons: list[authoring.Lesson]) -> None:
    """All these lessons as one assignment, "all", and what two students hand in: the solutions, and nothing done."""
    release([x.slug for x in lessons], course, format="nbgrader")
    (course / "source" / "all").mkdir()
    for path in (course / "source").glob("*/*.ipynb"):
        shutil.move(path, course / "source" / "all" / path.name)
    nbgrader(course, "generate_assignment", "all", "--create")
    for student in ("model", "blank"):
        shutil.copytree(course / "release" / "all", course / "submitted" / student / "all")
    for path in (course / "submitted" / "model" / "all").glob("*.ipynb"):
        nbformat.write(solved(path, course / "source" / "all" / path.name), path)


def solved(blank: Path, source: Path) -> nbformat.NotebookNode:
    nb, full = nbformat.read(blank, as_version=4), nbformat.read(source, as_version=4)
    for cell, model in zip(nb.cells, full.cells, strict=True):
        if cell.metadata.get("nbgrader", {}).get("solution"):
            assert "NotImplementedError" in cell.source and cell.source != model.source
            cell.source = model.source
    return nb


def grades(course: Path) -> dict[tuple[str, str], tuple[float, float]]:
    found = json.loads(python(course, "-c", GRADES).splitlines()[-1])
    return {(student, name): (score, most) for student, name, score, most in found}


def test_one_lesson_through_all_commands(tmp_path: Path):
    course = tmp_path / "course"
    export(course, LESSONS[:1])
    given = (course / "release" / "all" / "00_start_here.ipynb").read_text(encoding="utf-8")
    assert "HIDDEN" not in given and "grade_parts" not in given and "best = joint.max(axis=0)" not in given
    assert "Success" in nbgrader(course, "validate", "source/all/00_start_here.ipynb")
    assert "FAILED ON 3 CELL" in nbgrader(course, "validate", "release/all/00_start_here.ipynb")
    nbgrader(course, "autograde", "all", "--create")
    assert grades(course) == {("model", "00_start_here"): (6, 6), ("blank", "00_start_here"): (0, 6)}


@pytest.mark.timeout(1200)
def test_every_lesson_is_accepted(tmp_path: Path):
    """Runs two kernels for each further lesson: about 8 s of processor time each."""
    course = tmp_path / "course"
    export(course, LESSONS[1:])
    nbgrader(course, "autograde", "all", "--create")
    found = grades(course)
    assert len(found) == 2 * len(LESSONS[1:])
    assert not {key: value for key, value in found.items() if value[0] != (value[1] if key[0] == "model" else 0)}
