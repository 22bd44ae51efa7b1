"""`make setup`: made once, reused, never trusted half-made. A stand-in for Python records what would be done."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = """#!/bin/sh
case "$*" in
  -V) echo "Python ${FAKE_VERSION:-3.11.9}" ;;
  -c*) case "$2" in *"print("*) echo "$FAKE_NEWER" ;; *) exit "${FAKE_UNFIT:-0}" ;; esac ;;
  "-m venv .venv") echo venv >> "$LOG"; [ -z "$FAKE_NO_VENV" ] || exit 1
    mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  "-m pip install"*) echo pip >> "$LOG"; exit "${FAKE_PIP:-0}" ;;
  "-m pip check") exit 0 ;;
esac
"""
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed here")


class Course:
    """A folder with the Makefile and what it reads; `setup` calls make and tells what was done."""

    def __init__(self, folder: Path):
        self.folder, self.log = folder, folder / "log"
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
        self.python = folder / "stand-in"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)

    def setup(self, target: str = "setup", **variables: str) -> tuple[int, list[str], str]:
        self.log.write_text("")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
        environment = clean | {"PYTHON": str(self.python), "LOG": str(self.log), **variables}
        done = subprocess.run(["make", target], cwd=self.folder, env=environment, capture_output=True, text=True)
        return done.returncode, self.log.read_text().split(), done.stderr

    @property
    def complete(self) -> bool:
        return (self.folder / ".venv" / "complete").is_file()


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path)


def test_first_call_installs_and_the_second_reuses(course: Course):
    assert course.setup()[:2] == (0, ["venv", "pip"])
    assert course.setup()[:2] == (0, [])


def test_a_failed_install_says_what_to_do_and_is_not_trusted(course: Course):
    status, _, message = course.setup(FAKE_PIP="1")
    assert status != 0 and "pip could not install the course" in message and "no network" in message
    assert not course.complete
    assert course.setup()[:2] == (0, ["venv", "pip"]), "made anew"


def test_a_failed_venv_names_the_package_that_is_missing(course: Course):
    status, done, message = course.setup(FAKE_NO_VENV="1")
    assert status != 0 and done == ["venv"] and "apt install python3-venv" in message


def test_no_fitting_python_says_which_are_and_how_to_name_one(course: Course):
    path = course.folder / "bin"
    path.mkdir()
    for tool in ("cat", "cksum", "head", "rm", "mv", "sh", "make"):
        (path / tool).symlink_to(shutil.which(tool))
    status, done, message = course.setup(PATH=str(path), FAKE_UNFIT="1")
    assert status != 0 and done == []
    assert "no Python 3.11, 3.12 or 3.13 was found" in message and "PYTHON=/path/to/python3.11" in message


def test_a_python_that_is_too_new_is_told_so_in_one_sentence(course: Course):
    status, done, message = course.setup(FAKE_UNFIT="1", FAKE_NEWER="3.14")
    assert status != 0 and done == []
    assert "Python 3.14 is too new: TensorFlow has no build for it yet." in message
    assert "Install Python 3.13 beside it" in message and "was found" not in message


def test_what_was_half_made_is_made_anew(course: Course):
    (course.folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(course.python, course.folder / ".venv" / "bin" / "python")
    assert course.setup()[:2] == (0, ["venv", "pip"])


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_into_the_same_environment(course: Course, name: str):
    course.setup()
    with open(course.folder / name, "a") as file:
        file.write("# changed\n")
    assert course.setup()[:2] == (0, ["pip"])
    assert course.setup()[:2] == (0, [])


def test_a_failed_refresh_is_not_trusted_either(course: Course):
    course.setup()
    with open(course.folder / "constraints.txt", "a") as file:
        file.write("# changed\n")
    assert course.setup(FAKE_PIP="1")[0] != 0 and not course.complete
    assert course.setup()[:2] == (0, ["venv", "pip"])


def test_another_python_or_folder_means_another_environment(course: Course, tmp_path: Path):
    course.setup()
    assert course.setup(FAKE_VERSION="3.12.1")[:2] == (0, ["venv", "pip"])
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.copytree(course.folder / ".venv", moved / ".venv")
    assert Course(moved).setup(FAKE_VERSION="3.12.1")[:2] == (0, ["venv", "pip"])


def test_lab_passes_its_arguments_on(course: Course):
    course.setup()
    command = course.folder / ".venv" / "bin" / "mmcourse"
    command.write_text('#!/bin/sh\necho "$@" >> "$LOG"\n')
    command.chmod(0o755)
    assert course.setup("lab", ARGS="--no-browser --port 8899")[1] == "lab --no-browser --port 8899".split()
