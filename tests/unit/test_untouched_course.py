"""`make test` in a checkout in which a learner worked: the tests take the course's own notebooks, and touch nothing."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
import tiny_course

from mmcourse.authoring import build, lessons
from mmcourse.authoring.gate import stale

TESTS = Path(__file__).resolve().parents[1]
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C"]


@pytest.fixture(scope="module")
def conftest():
    """The module that all tests share, loaded once more."""
    spec = importlib.util.spec_from_file_location("shared_conftest", TESTS / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The small course, built and committed."""
    root = tiny_course.write(tmp_path_factory.mktemp("built"))
    build(root=root)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "built"]):
        subprocess.run([*GIT, str(root), *command], check=True, capture_output=True)
    return root


@pytest.fixture
def checkout(built, tmp_path, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    return shutil.copytree(built, tmp_path / "checkout")


def save(path: Path, source: str | None = None) -> bytes:
    """Save as JupyterLab does, which writes the running version into the file; perhaps with an answer."""
    nb = nbformat.read(path, as_version=4)
    nb.metadata.language_info["version"] = "3.11.2"
    if source:
        nb.cells[3].source = source
    nbformat.write(nb, path)
    return path.read_bytes()


def faults(root: Path) -> list[str]:
    return [fault for lesson in lessons(root) for path in lesson.built for fault in stale(lesson, path, "a/b")]


def test_where_nobody_worked_the_checkout_itself_is_tested(conftest, checkout, tmp_path_factory):
    assert conftest.untouched_course(checkout, tmp_path_factory) == checkout


@pytest.mark.parametrize("answer", [None, "def three():\n    return 3"], ids=["only run", "solved"])
def test_where_somebody_worked_the_committed_version_is_tested(conftest, checkout, tmp_path_factory, capsys, answer):
    lesson = lessons(checkout)[0]
    before = lesson.exercise.read_bytes()
    own = save(lesson.exercise, answer)
    (checkout / "notebooks" / "my notes.ipynb").write_text("{")
    course = conftest.untouched_course(checkout, tmp_path_factory)
    assert course != checkout and (course / "notebooks/exercises" / lesson.exercise.name).read_bytes() == before
    assert lesson.exercise.read_bytes() == own, "the learner's file is not touched"
    assert "you worked in it. It stays as it is" in capsys.readouterr().out


def test_an_edit_that_was_committed_is_the_courses_own_and_judged(conftest, checkout, tmp_path_factory):
    save(lessons(checkout)[0].exercise, "def three():\n    return 3")
    subprocess.run([*GIT, str(checkout), "commit", "-qam", "by hand"], check=True)
    assert conftest.untouched_course(checkout, tmp_path_factory) == checkout
    assert any("it was edited after the build" in fault for fault in faults(checkout))


def test_without_git_it_is_a_skip_that_says_so_and_in_ci_no_skip(conftest, checkout, tmp_path_factory, monkeypatch):
    shutil.rmtree(checkout / ".git")
    save(lessons(checkout)[0].exercise, "def three():\n    return 3")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(checkout.parent))
    with pytest.raises(pytest.skip.Exception, match="you worked in it, and without git"):
        conftest.untouched_course(checkout, tmp_path_factory)
    monkeypatch.setenv("CI", "1")
    assert conftest.untouched_course(checkout, tmp_path_factory) == checkout
