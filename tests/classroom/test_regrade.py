"""What decides a grade is hashed whole; mending it regrades; a returned grade is never lowered silently."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from class_of import QUICK, hand_in, points
from hostile import HONEST, RIGHT, ZERO, notebook
from typer.testing import CliRunner

import mmcourse
from mmcourse.authoring import select
from mmcourse.classroom import fingerprint
from mmcourse.classroom import grade as grading
from mmcourse.classroom.feedback import return_feedback, write_reports
from mmcourse.classroom.grade import Change, grade, settle
from mmcourse.classroom.release import release
from mmcourse.cli import app

LESSON = select(["00"])[0]
ROOT = Path(mmcourse.__file__).parents[1]
WHOLE = notebook(HONEST, RIGHT)


# ---------------------------------------------------------------- the key
@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A second checkout, whose files may be changed."""
    folder = tmp_path_factory.mktemp("checkout")
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    shutil.copytree(ROOT / "mmcourse", folder / "mmcourse", ignore=ignore)
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=ignore)
    (folder / "data").symlink_to(ROOT / "data")
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    return folder


def python(checkout: Path, *arguments: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, cwd=checkout)
    assert done.returncode == 0, done.stderr
    return done.stdout


VERSIONS = """
import sys
from pathlib import Path
from mmcourse.classroom.fingerprint import code_version
for name in sys.argv[1:]:
    path = Path(name)
    text = path.read_bytes()
    before = code_version("start_here")
    path.write_bytes(text + b"\\n# mended\\n")
    code_version.cache_clear()
    print(name, code_version("start_here") != before)
    path.write_bytes(text)
    code_version.cache_clear()
"""


def test_everything_that_decides_a_grade_is_in_the_key(checkout):
    """References and what they import, hidden tests, the variant cell, the engine, the sandbox."""
    package = ["exercise/values.py", "evaluate/__init__.py", "numpy/attention.py", "exercise/exercise.py", "io.py"]
    package += ["classroom/hidden.py", "classroom/session.py", "classroom/inside/worker.py", "preprocess/mel.py"]
    own = [path for path in sorted((checkout / "notebooks/src/start_here").rglob("*.py"))]
    names = [f"mmcourse/{name}" for name in package] + [str(path.relative_to(checkout)) for path in own]
    shown = ["mmcourse/classroom/feedback.py", "mmcourse/cli.py", "notebooks/src/fusion/lesson.py"]
    lines = dict(line.rsplit(" ", 1) for line in python(checkout, "-c", VERSIONS, *names, *shown).splitlines())
    assert {name for name, changed in lines.items() if changed == "True"} == set(names)


def test_every_module_of_the_course_that_a_grading_loads_is_in_the_key(checkout):
    """Whatever the references import today or tomorrow: no list by hand."""
    code = "import sys, mmcourse.classroom.grade as g\nfrom mmcourse.classroom import hidden\n"
    code += "[hidden.parts(x, 's') for x in ('start_here.1', 'attention.1', 'audio.1')]\n"
    code += "print(*[m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)], sep='\\n')\n"
    code += "from mmcourse.classroom.fingerprint import *\nprint('key')\n"
    code += "print(*[p for _, p in package_files()], sep='\\n')"
    loaded, _, hashed = python(checkout, "-c", code).partition("key\n")
    ours = {path for path in loaded.split() if path.startswith(str(checkout / "mmcourse"))}
    shows = {path for path in ours if Path(path).name in fingerprint.PAGES}
    assert len(ours) > 20 and ours - shows <= set(hashed.split())


def test_packages_python_and_data_are_in_the_key(monkeypatch):
    def version() -> str:
        fingerprint.code_version.cache_clear()
        return fingerprint.code_version("start_here")

    seen = [version()]
    for name, other in {"packages": ["other"], "python": "other"}.items():
        monkeypatch.setattr(fingerprint, name, lambda other=other: other)
        seen.append(version())
    monkeypatch.setattr(fingerprint, "data_files", lambda: iter([]))
    seen.append(version())
    monkeypatch.undo()
    fingerprint.code_version.cache_clear()
    assert len(set(seen)) == 4
    assert any(line.startswith("numpy-") for line in fingerprint.packages())


def test_settings_numbers_and_points_are_in_the_key(tmp_path, without_sandbox):
    (tmp_path / "roster.csv").write_text("student\nada\n")
    release(["00"], tmp_path / "hw", tmp_path / "roster.csv")
    hand_in(tmp_path / "sub", "ada", WHOLE)
    told = json.loads((tmp_path / "hw" / "release.json").read_text())

    def graded_now(**settings: object) -> int:
        return grade(tmp_path / "sub", tmp_path / "out", tmp_path / "hw", **settings).done_now  # type: ignore[arg-type]

    assert [graded_now(), graded_now(), graded_now(limits=QUICK), graded_now()] == [1, 0, 1, 1]
    assert [graded_now(hidden_seed="a"), graded_now(hidden_seed="a"), graded_now(hidden_seed="b")] == [1, 0, 1]
    graded_now()
    changed = told | {"cells": {name: text + "\n" for name, text in told["cells"].items()}}
    (tmp_path / "hw" / "release.json").write_text(json.dumps(changed))
    assert [graded_now(), graded_now()] == [1, 0], "the variant cell"
    changed["exercises"][0]["points"] = 7
    (tmp_path / "hw" / "release.json").write_text(json.dumps(changed))
    assert graded_now() == 1


def test_mending_a_reference_regrades_and_says_what_changes(sandbox, tmp_path, checkout):
    """The reference was wrong: it took a fault for right. Mended, the notebook loses what it should not have had."""
    hand_in(tmp_path / "sub", "ada", WHOLE)
    hand_in(tmp_path / "sub", "eve", notebook(HONEST, RIGHT.replace("axis=0", "axis=1")))
    folders = [checkout / "notebooks/src/start_here", checkout / "mmcourse/check"]
    texts = {path: path.read_text() for folder in folders for path in folder.glob("*.py")}
    texts = {path: text for path, text in texts.items() if "best = joint.max(axis=0)" in text}
    command = ["-m", "mmcourse.cli", "grade", str(tmp_path / "sub"), "--out", str(tmp_path / "out"), "--jobs", "1"]

    def earned() -> dict[str, float]:
        with (tmp_path / "out" / "grades.csv").open(newline="") as file:
            return {
                row["student"]: float(row["points"]) for row in csv.DictReader(file) if row["exercise"][-2:] == ".1"
            }

    try:
        for path, text in texts.items():
            swapped = text.replace("best = joint.max(axis=1)", "best = joint.max(axis=9)")  # a known mistake
            swapped = swapped.replace("best = joint.max(axis=0)", "best = joint.max(axis=1)")  # the reference
            path.write_text(swapped.replace("best = joint.max(axis=9)", "best = joint.max(axis=0)"))
        python(checkout, *command)
        before = earned()
    finally:
        for path, text in texts.items():
            path.write_text(text)
    said = python(checkout, *command)
    after = earned()
    assert before["eve"] > after["eve"] and after["ada"] == 1 > before["ada"], (before, after)
    assert "2 graded now" in said and "the course's code, data or packages changed" in said
    assert f"Changed: eve: start_here.1: {before['eve']:g} → {after['eve']:g} points" in said
    assert "0 graded now" in python(checkout, *command)


# ---------------------------------------------------------------- what a regrade may do
def record(points: float, code: str = "a", handed_in: str = "x") -> dict:
    return {"student": "ada", "handed_in": handed_in, "code": code, "exercises": [{"id": "e.1", "points": points}]}


@pytest.mark.parametrize(
    ("before", "after", "returned", "lower", "stays", "kept"),
    [
        (record(1), record(0.5, "b"), {}, False, 0.5, False),  # nobody has seen it
        (record(1), record(0.5, "b"), {"e.1": 1}, False, 1, True),
        (record(1), record(0.5, "b"), {"e.1": 1}, True, 0.5, False),
        (record(0.5), record(1, "b"), {"e.1": 0.5}, False, 1, False),  # higher is no harm
        (record(1), record(0, "a", "y"), {"e.1": 1}, False, 0, False),  # another notebook
        (record(1), record(0.5), {"e.1": 1}, False, 1, True),  # other limits or inputs
        (record(1), record(0.5, "b"), {"e.2": 1}, False, 0.5, False),
    ],
)
def test_a_returned_grade_is_not_lowered_by_itself(before, after, returned, lower, stays, kept):
    (change,) = settle(after, before, returned, lower)
    assert after["exercises"][0]["points"] == stays and change.kept == kept
    assert ("--lower applies it" in str(change)) == kept


def test_nothing_is_said_where_nothing_changes():
    assert settle(record(1, "b"), record(1), {"e.1": 1}, False) == [] == settle(record(1), None, {}, False)


def test_returned_points_stay_until_lower_is_asked_for(tmp_path, without_sandbox, monkeypatch):
    hand_in(tmp_path / "sub", "ada", WHOLE)
    hand_in(tmp_path / "sub", "ben", WHOLE)
    (tmp_path / "back" / "ada").mkdir(parents=True)
    out = tmp_path / "out"
    first = grade(tmp_path / "sub", out)
    write_reports(first, out)
    assert return_feedback(out, tmp_path / "back", first) == ["ada"] and points(first, "ada")["start_here.1"] == 1
    for student in ("ada", "ben"):  # what the made-up grader takes for right is no longer so
        text = WHOLE.replace("joint.max(axis=0)", "joint .max(axis=0)")
        hand_in(tmp_path / "sub", student, text)
        monkeypatch.setattr(grading.Task, "handed_in", "the same")
    place = out / "journal"
    for path in place.glob("*__*.json"):  # as if the same notebook had been graded by other code
        told = grading.read_sealed(path, first.key, "record")
        assert told
        grading.write_sealed(path, first.key, "record", told | {"handed_in": "the same", "code": "old"})
    again = grade(tmp_path / "sub", out)
    write_reports(again, out)
    assert points(again, "ada")["start_here.1"] == 1 and points(again, "ben")["start_here.1"] == 0
    kept = {change.student for change in again.changes if change.kept}
    assert kept == {"ada"} and {change.student for change in again.changes} == {"ada", "ben"}
    assert any("a regrade gave 0" in why for student, _, why in again.problems if student == "ada")
    assert "was returned, so 1 stays" in (out / "summary.html").read_text()
    quiet = grade(tmp_path / "sub", out)
    assert quiet.done_now == 0 and any("--lower" in why for _, _, why in quiet.problems), "it stays in sight"
    lowered = grade(tmp_path / "sub", out, lower=True)
    assert points(lowered, "ada")["start_here.1"] == 0 and not any("--lower" in why for *_, why in lowered.problems)
    assert not lowered.changes[0].kept and isinstance(lowered.changes[0], Change)


# ---------------------------------------------------------------- hidden inputs
def test_each_run_draws_other_hidden_inputs_unless_they_are_fixed(tmp_path, monkeypatch):
    keys = []

    def seen(work: object, tasks: list, *_: object) -> list:
        keys.extend(task.inputs_key for task in tasks)
        return []

    monkeypatch.setattr(grading, "require", lambda unsafe: None)
    monkeypatch.setattr(grading, "execute", seen)
    for student in ("ada", "ben"):
        hand_in(tmp_path / "sub", student, WHOLE)
    for seed in ("", "", "7", "7", "8"):
        grade(tmp_path / "sub", tmp_path / "out", hidden_seed=seed)
    runs = [set(keys[k : k + 2]) for k in range(0, 10, 2)]
    assert all(len(run) == 1 for run in runs), "one class has the same inputs"
    first, second, fixed, again, other = (run.pop() for run in runs)
    assert fixed == again and len({first, second, fixed, other}) == 4


def test_the_seed_of_a_record_gives_the_same_inputs_again(sandbox, tmp_path):
    hand_in(tmp_path / "sub", "ada", notebook(HONEST, ZERO))
    command = ["grade", str(tmp_path / "sub"), "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert CliRunner().invoke(app, command).exit_code == 0
    (path,) = (tmp_path / "out" / "journal").glob("*__*.json")
    seed = json.loads(path.read_text())["hidden_seed"]
    done = CliRunner().invoke(app, [*command, "--hidden-seed", seed])
    assert done.exit_code == 0 and "1 graded now" in done.output and "Changed" not in done.output
    assert json.loads(path.read_text())["hidden_seed"] == seed
