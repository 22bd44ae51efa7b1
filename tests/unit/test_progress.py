"""Progress: verdicts are noted, survive what disks do, never fail a check, and become a page and a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmcourse import cli, progress
from mmcourse.check import check
from mmcourse.check.core import Result

EXERCISES = "exercises/00_a.ipynb"
RIGHT = {"start_here.1": lambda joint: joint.max(axis=0).sum()}


def task(id: str, points: int = 1, notebook: str = "exercises/00_a.ipynb", is_blank: bool = False) -> dict:
    return {"id": id, "title": f"About {id}", "points": points, "notebook": notebook, "is_blank": is_blank}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's folder of three lessons, in which this process stands."""
    lessons = [
        ("00", "a", [task("start_here.1"), task("start_here.2", 2)]),
        ("01", "b", [task("b.blank.1", 0, "01_b.ipynb", True), task("01.1", 3)]),
        ("02", "c", [task("02.1")]),
    ]
    described = [
        {
            "number": number,
            "slug": slug,
            "title": f"Lesson {slug}",
            "part": f"Part {int(number) // 2}",
            "teaches": "a | b",
            "notebooks": {"lesson": f"{number}_{slug}.ipynb", "exercises": f"exercises/{number}_{slug}.ipynb"},
            "tasks": tasks,
        }
        for number, slug, tasks in lessons
    ]
    coming = [{"number": "03", "slug": "later", "part": "Part 1", "teaches": "more"}]
    (tmp_path / ".mmcourse").mkdir()
    (tmp_path / "exercises").mkdir()
    (tmp_path / ".mmcourse" / "course.json").write_text(json.dumps({"lessons": described, "coming": coming}))
    monkeypatch.chdir(tmp_path / "exercises")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setattr(progress, "_told_about_failure", False)
    return tmp_path


def note(id: str, status: str = "passed") -> None:
    progress.record(Result(status, "", int(status == "passed"), 1, id, "Title"))


def log(folder: Path) -> Path:
    return folder / ".mmcourse" / "results.jsonl"


# ---------------------------------------------------------------- noting
def test_a_check_notes_its_verdict_with_points_and_time(folder: Path):
    check("start_here.1", lambda joint: joint.max(axis=1).sum())
    check("start_here.1", RIGHT["start_here.1"])
    check("no.such.exercise", 1)
    lines = [json.loads(line) for line in log(folder).read_text().splitlines() if line]
    assert [(x["id"], x["status"], x["points"], x["max_points"]) for x in lines] == [
        ("start_here.1", "wrong", 0, 1),
        ("start_here.1", "passed", 1, 1),
    ]
    assert all(x["time"].endswith("+00:00") for x in lines)


def test_a_notebook_outside_a_learners_folder_notes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert check("start_here.1", RIGHT["start_here.1"]).passed
    assert list(tmp_path.iterdir()) == []


def test_the_notebooks_own_place_counts_also_after_chdir(folder: Path, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", str(folder / "exercises" / "00_a.ipynb"))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    note("start_here.1")
    assert progress.read_results(folder) == {"start_here.1": "passed"}


def test_passed_stays_passed_and_the_latest_comes_last(folder: Path):
    for id, status in (
        ("start_here.1", "passed"),
        ("start_here.2", "wrong"),
        ("start_here.1", "wrong"),
        ("01.1", "not attempted yet"),
    ):
        note(id, status)
    assert list(progress.read_results(folder).items()) == [
        ("start_here.2", "wrong"),
        ("start_here.1", "passed"),
        ("01.1", "not attempted yet"),
    ]


def test_half_a_line_and_foreign_lines_spoil_nothing(folder: Path):
    note("start_here.1")
    with log(folder).open("ab") as file:  # what a full disk, another tool and a curious learner leave
        file.write(
            b'\n[1]\nnull\n{"id": 3, "status": "passed"}\n\xff\xfe\n' + b"[" * 100_000 + b'\n{"id": "start_here.'
        )
    note("start_here.2")
    assert progress.read_results(folder) == {"start_here.1": "passed", "start_here.2": "passed"}


def test_many_kernels_note_at_once(folder: Path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(note, [f"start_here.{number}" for number in range(200)]))
    assert len(progress.read_results(folder)) == 200
    assert not [path for path in folder.rglob("*") if path.name.endswith(".part")]


BREAKERS = {
    "the log is a folder": lambda folder: log(folder).mkdir(),
    "the log is a pipe that nobody reads": lambda folder: os.mkfifo(log(folder)),
    "the log is a link": lambda folder: log(folder).symlink_to(folder / "elsewhere"),
    "the start page is a folder": lambda folder: (folder / "START.md").mkdir(),
    "the course file is damaged": lambda folder: (folder / ".mmcourse" / "course.json").write_text("{"),
    "the course file is odd": lambda folder: (folder / ".mmcourse" / "course.json").write_text('{"lessons": [3]}'),
}


@pytest.mark.parametrize("breaker", BREAKERS)
def test_whatever_is_wrong_with_the_folder_the_check_stands_and_says_so_once(folder: Path, capsys, breaker: str):
    BREAKERS[breaker](folder)
    assert check("start_here.1", RIGHT["start_here.1"]).passed and check("start_here.1", RIGHT["start_here.1"]).passed
    assert capsys.readouterr().out.count("This verdict is valid, but `mmcourse progress` could not note it") == 1
    assert not (folder / "elsewhere").exists()


@pytest.mark.parametrize("written", [0, 10, None], ids=["nothing", "half a line", "all but the page"])
def test_a_full_disk_never_fails_a_check(folder: Path, capsys, monkeypatch: pytest.MonkeyPatch, written: int | None):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    real = os.write
    with monkeypatch.context() as patch:
        if written is None:
            patch.setattr(progress, "atomic_write", full)
        elif written:
            patch.setattr(os, "write", lambda handle, data: real(handle, data[:written]))
        else:
            patch.setattr(os, "write", full)
        results = [check("start_here.1", RIGHT["start_here.1"]) for _ in range(3)]
    assert all(result.passed for result in results)
    printed = capsys.readouterr().out
    assert printed.count("could not note it") == 1 and ("No space left" in printed or "the disk is full" in printed)
    note("start_here.2")  # there is room again
    assert progress.read_results(folder)["start_here.2"] == "passed"


def test_a_real_limit_of_the_system_never_fails_a_check(folder: Path):
    """The kernel's own file-size limit at zero bytes, in a process of its own."""
    code = """
import resource, signal
from mmcourse.check import check
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
for _ in range(2):
    result = check("start_here.1", lambda joint: joint.max(axis=0).sum())
assert result.passed
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("could not note it") == 1 and "File too large" in done.stdout


def test_a_folder_that_was_deleted_under_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setattr(progress, "_told_about_failure", False)
    gone.rmdir()
    assert check("start_here.1", RIGHT["start_here.1"]).passed


# ---------------------------------------------------------------- what is next
@pytest.mark.parametrize(
    ("notes", "text", "notebook"),
    [
        ([], "Begin with 00 · Lesson a", "00_a.ipynb"),
        ([("start_here.1", "not attempted yet")], "Begin with 00 · Lesson a", "00_a.ipynb"),
        (
            [("start_here.1", "wrong")],
            "Do exercise start_here.1 · About start_here.1 (1 point)",
            "exercises/00_a.ipynb",
        ),
        (
            [("start_here.1", "passed")],
            "Do exercise start_here.2 · About start_here.2 (2 points)",
            "exercises/00_a.ipynb",
        ),
        ([("start_here.2", "passed"), ("start_here.1", "passed")], "Open 01 · Lesson b", "01_b.ipynb"),
        ([("01.1", "passed")], "Fill in the blank b.blank.1 · About b.blank.1", "01_b.ipynb"),
        ([("02.1", "passed")], "Open 00 · Lesson a", "00_a.ipynb"),
        ([("unknown.7", "passed")], "Open 00 · Lesson a", "00_a.ipynb"),
        ([("b.challenge", "wrong")], "Open 01 · Lesson b", "01_b.ipynb"),
        (
            [(x, "passed") for x in ("start_here.1", "start_here.2", "b.blank.1", "01.1", "02.1")],
            "You have done everything that there is. Well done!",
            "",
        ),
    ],
)
def test_the_next_step(folder: Path, notes: list[tuple[str, str]], text: str, notebook: str):
    for id, status in notes:
        note(id, status)
    assert progress.read_progress(folder).next == progress.Step(text, notebook)


def test_points_exercises_and_blanks_are_counted(folder: Path):
    for id in ("start_here.2", "b.blank.1"):
        note(id)
    found = progress.read_progress(folder)
    assert [(x.points, x.max_points, x.count(False), x.count(True)) for x in found.lessons] == [
        (2, 3, (1, 2), (0, 0)),
        (0, 3, (0, 1), (1, 1)),
        (0, 1, (0, 1), (0, 0)),
    ]
    assert (found.points, found.total(False), found.total(True)) == ((2, 7), (1, 4), (1, 1))


# ---------------------------------------------------------------- the page and the command
def test_the_start_page_follows_each_check(folder: Path):
    note("start_here.1")
    page = (folder / "START.md").read_text()
    assert r"[Do exercise start\_here.2 · About start\_here.2 (2 points)](exercises/00_a.ipynb)" in page
    assert "**So far:** 1 of 7 points · 1 of 4 exercises · 0 of 1 blank" in page
    assert r"| ◐ | [00 · Lesson a](00_a.ipynb) | a \| b | [1 of 2](exercises/00_a.ipynb) | 1 of 3 |" in page
    assert "### Part 0" in page and "### Part 1" in page and "Not written yet: later" in page
    note("start_here.2")
    assert "| ✓ | [00 · Lesson a]" in (folder / "START.md").read_text()
    assert [path.name for path in folder.glob("START*")] == ["START.md"], "our own page is not kept"


def test_a_start_page_into_which_somebody_wrote_is_kept(folder: Path):
    note("start_here.1")
    page = folder / "START.md"
    own = page.read_text() + "my own note\n"
    page.write_text(own)
    note("start_here.2")
    (kept,) = [path for path in folder.glob("START*.md") if path != page]
    assert kept.read_text() == own and "my own note" not in page.read_text()


def test_the_command_shows_it_all(folder: Path, capsys: pytest.CaptureFixture[str]):
    for id in ("start_here.1", "b.blank.1"):
        note(id)
    assert not cli.app(["progress"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "00 · Lesson a" in printed and "1 of 3" in printed and "1 of 1" in printed
    assert "Next: Do exercise 01.1 · About 01.1 (3 points)" in printed
    assert str(folder / "exercises" / "00_a.ipynb") in printed


def test_the_command_without_a_folder_or_with_a_damaged_one_is_one_line(folder: Path, tmp_path_factory, capsys):
    empty = tmp_path_factory.mktemp("empty")
    assert cli.app(["progress", "--folder", str(empty)], standalone_mode=False) == 2
    assert "is not a course folder yet; `mmcourse lab` makes one" in capsys.readouterr().err
    (folder / ".mmcourse" / "course.json").write_text("{")
    assert cli.app(["progress"], standalone_mode=False) == 2
    error = capsys.readouterr().err
    assert "is damaged; `mmcourse lab` writes it anew and leaves your notebooks alone" in error
    assert len(error.splitlines()) == 1
