"""The command line, used well and wrongly: what a person can mend is one line and exit 2, never a traceback."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mmcourse import cli, doctor
from mmcourse.authoring import lessons, select

COMMAND = [sys.executable, "-m", "mmcourse.cli"]


def mmcourse(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would."""
    env = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"} | environment
    return subprocess.run([*COMMAND, *arguments], cwd=cwd, env=env, capture_output=True, text=True)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The single line on stderr of a call that a person got wrong."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("mmcourse: "), done.stderr
    return lines[0]


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of three lessons: one that runs, one that fails in its third cell, one whose exercise exists."""
    folder = tmp_path / "course" / "notebooks"
    (folder / "exercises").mkdir(parents=True)
    write(folder / "00_good.ipynb", "# Good", "x = 1", "print(x)")
    write(folder / "01_bad.ipynb", "# Bad", "x = 1", "x / 0", "print('never')")
    write(folder / "02_practice.ipynb", "# Practice", "y = 2")
    write(folder / "exercises" / "02_practice.ipynb", "# Exercises", "...")
    monkeypatch.setenv("MMCOURSE_FOLDER", str(tmp_path / "learner"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    from mmcourse.authoring import catalogue

    monkeypatch.setattr(catalogue, "notebooks_dir", lambda root=None: folder)
    return folder


def write(path: Path, title: str, *cells: str) -> None:
    made = [nbformat.v4.new_markdown_cell(title), *map(nbformat.v4.new_code_cell, cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)


def call(*arguments: str) -> int:
    """The command in this process (so that `course` counts); its exit status."""
    return cli.app(list(arguments), standalone_mode=False) or 0


def test_help_is_instant():
    def used() -> float:  # processor time: a busy machine makes nobody wait less, but proves nothing
        return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])

    start = used()
    done = mmcourse("--help")
    assert done.returncode == 0 and used() - start < 0.5
    assert all(name in done.stdout for name in ("lab", "run", "doctor", "data", "build"))


def test_version():
    from mmcourse import __version__

    assert mmcourse("--version").stdout == f"mmcourse {__version__}\n"


@pytest.mark.parametrize("command", ["lab", "run", "build"])
def test_unknown_lesson_lists_the_known_ones(command: str):
    line = one_line(mmcourse(command, "77"))
    assert "no lesson '77'" in line and all(lesson.slug in line for lesson in lessons())


def test_unknown_data_lists_the_known_ones():
    assert "no data 'nope'; known: mnist-t10k" in one_line(mmcourse("data", "fetch", "nope"))


def test_unwritable_folder(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("not a folder")
    assert call("run", "00", "--to", str(tmp_path / "file" / "x")) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "cannot write to" in error and "choose another folder" in error


def test_lessons_are_never_overwritten(course: Path, capsys: pytest.CaptureFixture[str]):
    assert call("run", "00", "--to", str(course)) == 2
    assert "where the lessons themselves lie" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("run", "00"), ("lab",), ("build", "00")])
def test_missing_extra_is_named_with_the_remedy(
    course: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name in ("nbclient", "jupyterlab") else name)
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "(extra `lab`), not installed here; run `" in error


def test_run_writes_outputs_time_and_memory(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("run", "02", "00", "--exercises", "--to", str(tmp_path / "out")) == 0
    book = nbformat.read(tmp_path / "out" / "00_good.ipynb", as_version=4)
    assert [cell.execution_count for cell in book.cells if cell.cell_type == "code"] == [1, 2]
    assert book.cells[2].outputs[0].text == "1\n"
    assert (tmp_path / "out" / "exercises" / "02_practice.ipynb").is_file()
    printed = capsys.readouterr().out
    assert printed.count(" MB") == 3 and printed.count(" s ") == 3 and "Executed notebooks" in printed


def test_run_hides_no_graphics_card(course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    write(course / "00_good.ipynb", "# Good", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])")
    assert call("run", "00", "--to", str(tmp_path)) == 0
    assert nbformat.read(tmp_path / "00_good.ipynb", as_version=4).cells[1].outputs[0].text == "3\n"


def test_build_tells_what_the_gate_will_refuse(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from mmcourse import authoring
    from mmcourse.authoring.builder import Built

    made = Built(course / "00_good.ipynb", 95.0, 500.0, [], True, ["took 95 s, the limit is 90 s: train less"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authoring, "build", lambda *arguments, **options: [made])
        assert call("build", "00") == 0
    assert "notebooks/00_good.ipynb: took 95 s, the limit is 90 s" in capsys.readouterr().out


def test_run_names_the_lesson_the_cell_and_the_error(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("run", "all", "--to", str(tmp_path / "out")) == 1
    printed = capsys.readouterr()
    assert "01_bad: cell 3: ZeroDivisionError: division by zero" in printed.err.replace("\n", " ")
    assert printed.out.count("ran") >= 2 and "failed" in printed.out, "the other lessons ran"
    assert (
        nbformat.read(tmp_path / "out" / "01_bad.ipynb", as_version=4).cells[2].outputs[0].ename == "ZeroDivisionError"
    )


def test_run_of_a_damaged_notebook_is_one_line(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (course / "00_good.ipynb").write_text('{"cells": [')
    assert call("run", "00_good", "--to", str(tmp_path / "out")) == 1
    assert "00_good: cannot be read" in capsys.readouterr().err


def test_lab_opens_the_lesson_and_passes_options_on(course: Path, monkeypatch: pytest.MonkeyPatch):
    started = []
    monkeypatch.setattr(cli, "_become", lambda command, environment: started.append(command))
    for arguments in (["lab"], ["lab", "--no-browser", "--port", "8899"], ["lab", "02", "--port=1"]):
        call(*arguments)
    assert [command[:3] for command in started] == [[sys.executable, "-m", "jupyterlab"]] * 3
    assert "--LabApp.default_url=/lab/workspaces/course/tree/START.md" in started[0]
    assert "--LabApp.default_url=/lab/workspaces/course/tree/START.md" in started[1]
    assert started[1][-3:] == ["--no-browser", "--port", "8899"]
    assert (
        "--LabApp.default_url=/lab/workspaces/course/tree/02_practice.ipynb" in started[2]
        and started[2][-1] == "--port=1"
    )


def test_lab_opens_your_own_copy_and_keeps_your_work(course: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_become", lambda command, environment: None)
    here = tmp_path / "mine"
    assert call("lab", "--folder", str(here)) == 0 and (here / "exercises" / "02_practice.ipynb").is_file()
    (here / "00_good.ipynb").write_text("my own work")
    assert call("lab", "good", "--folder", str(here)) == 0
    assert (here / "00_good.ipynb").read_text() == "my own work"
    assert call("lab", "--fresh", "good", "--folder", str(here)) == 0
    (kept,) = (path for path in here.glob("00_good.*.ipynb"))
    assert kept.read_text() == "my own work" and "Good" in (here / "00_good.ipynb").read_text()
    printed = capsys.readouterr().out
    assert f"Your folder: {here}" in printed and f"00_good.ipynb: as new; yours is kept as {kept.name}" in printed


def test_lab_without_solutions_in_the_package_says_so(course: Path, capsys: pytest.CaptureFixture[str]):
    assert call("lab", "--solution", "good") == 2
    assert "the solutions of lesson 00_good are not in this copy of the course" in capsys.readouterr().err


def test_data_list_and_verify_without_data(tmp_path: Path):
    listed = mmcourse("data", "list", MMCOURSE_CACHE=str(tmp_path))
    assert listed.returncode == 0 and "mnist-t10k" in listed.stdout and "CC BY-SA 4.0" in listed.stdout
    verified = mmcourse("data", "verify", "mnist-t10k", MMCOURSE_CACHE=str(tmp_path))
    assert verified.returncode == 1 and "not here; run `mmcourse data fetch mnist-t10k`" in verified.stdout


def test_data_fetch_without_network_is_one_line_and_exit_1(tmp_path: Path):
    done = mmcourse("data", "fetch", MMCOURSE_CACHE=str(tmp_path), MMCOURSE_OFFLINE="1")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "mmcourse: " in done.stderr


@pytest.fixture
def machine_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel started, no framework asked for its cards: `…_is_content_where_all_can_run` does that for real."""
    monkeypatch.setattr(doctor, "check_gpus", list)
    monkeypatch.setattr(doctor, "check_kernel", lambda: doctor.Finding("kernel", "starts"))


@pytest.mark.usefixtures("machine_is_fine")
def test_doctor_finds_a_lesson_that_cannot_run(course: Path, capsys: pytest.CaptureFixture[str]):
    write(course / "03_needy.ipynb", "# Needy", "import numpy as np\nfrom no_such_package import thing")
    assert call("doctor") == 1
    printed = capsys.readouterr().out
    assert "no_such_package is not installed" in printed and "→ run `" in printed
    assert "3 of 4 lessons can run here." in printed


def test_doctor_is_content_where_all_can_run(course: Path, capsys: pytest.CaptureFixture[str]):
    assert call("doctor") == 0
    assert "3 of 3 lessons can run here." in capsys.readouterr().out


def test_doctor_reads_what_a_lesson_imports(course: Path):
    write(
        course / "04_imports.ipynb", "# Imports",
        "%matplotlib inline\nimport os, PIL.Image\nfrom mmcourse.torch import fusion\nfrom mmcourse import keras as k",
        "from sklearn.svm import SVC\nthis is no Python",
        "def later():\n    import librosa",
    )  # fmt: skip
    needs = doctor.needed_modules(course / "04_imports.ipynb")
    assert needs == ["PIL", "keras", "librosa", "tensorflow", "torch"]


def test_doctor_sees_old_broken_and_missing_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "broken_package.py").write_text("raise OSError('libfoo.so.1: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    broken, missing, good = doctor.check_packages(["broken_package", "missing_package", "numpy"])
    assert "does not load: OSError: libfoo.so.1" in broken.problem and broken.remedy
    assert missing.problem == "missing_package is not installed" and not good.problem
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "1.0")
    assert "numpy 1.0 is too old, the course needs >=2.0" in doctor.check_packages(["numpy"])[0].problem


@pytest.mark.usefixtures("machine_is_fine")
def test_doctor_weighs_memory_and_disk(course: Path, monkeypatch: pytest.MonkeyPatch):
    book = nbformat.read(course / "00_good.ipynb", as_version=4)
    book.metadata["mmcourse"] = {"peak_mb": 2048}
    nbformat.write(book, course / "00_good.ipynb")
    monkeypatch.setattr(doctor, "_free_memory_mb", lambda: 512.0)
    finding = doctor.check_lesson(select(["00"])[0], [])
    assert finding.problem == "needs 2.0 GB of memory, 0.5 GB are free" and "other kernels" in finding.remedy
    monkeypatch.setattr(doctor, "FREE_DISK_MB", 10**12)
    assert any("MB free in" in f.problem and "TMPDIR" in f.remedy for f in doctor.check_machine())


def test_doctor_tells_an_unbuilt_and_a_damaged_lesson(course: Path):
    (course / "00_good.ipynb").write_text("{")
    lesson = select(["01"])[0]
    lesson.notebook.unlink()
    assert "mmcourse build bad" in doctor.check_lesson(lesson, []).remedy
    lesson.notebook.write_text("{")
    assert "is damaged" in doctor.check_lesson(lesson, []).problem


def test_the_course_runs_as_a_module():
    from mmcourse import __version__

    done = subprocess.run([sys.executable, "-m", "mmcourse", "--version"], capture_output=True, text=True)
    assert done.stdout == f"mmcourse {__version__}\n"
    done = subprocess.run([sys.executable, "-m", "mmcourse", "lab", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "python -m mmcourse" not in done.stdout and "mmcourse lab" in done.stdout


@pytest.mark.parametrize("version", [(3, 14), (3, 10), (4, 0)])
def test_a_python_that_does_not_fit_gets_one_sentence(version: tuple[int, int]):
    code = f"import sys, runpy; sys.version_info = ({version[0]}, {version[1]}, 0, 'final', 0)"
    code += "; runpy.run_module('mmcourse', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1
    named = f"{version[0]}.{version[1]}"
    assert f"needs Python 3.11, 3.12 or 3.13, and this is {named}. Install Python 3.13" in done.stderr
