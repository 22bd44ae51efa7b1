"""An instructor's own exercises: refused with file, line and remedy, handed out without answers, graded, mended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmcourse
from mmcourse.authoring.catalogue import lessons
from mmcourse.check import core, info, judge
from mmcourse.classroom import dry_run
from mmcourse.classroom.bank import close_bank, open_bank
from mmcourse.classroom.fingerprint import code_version
from mmcourse.classroom.grade import grade
from mmcourse.classroom.release import release

TEXT = dry_run.BANK_TEXT.read_text(encoding="utf-8").replace("DIVISOR", "(n - 1)")
ANSWER = "(left**2).sum() / (n - 1)"


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Path]:
    lay(tmp_path / "bank", TEXT)
    yield tmp_path / "bank"
    close_bank()


def lay(folder: Path, text: str, slug: str = "spread_out") -> Path:
    path = folder / slug / "exercises.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "    return x - total / len(x)",
            "    return x - total / len(x",
            r"exercises.py, line 2\d: .*; correct this line",
        ),
        ("    difficulty=1,\n", "", r"exercises.py, line \d+: .*difficulty"),
        ('"spread_out.2",', '"spread_out.1",', r"line \d+: exercise spread_out.1: registered twice"),
        ('"spread_out.2",', '"other.2",', r"line \d+: exercise other.2: write `lesson\('other'"),
        ("import numpy as np\n\nfrom", "import numpy_of_nowhere\n\nfrom", "line 3: ModuleNotFoundError"),
        ('lesson(\n    "spread_out",', 'print(\n    "spread_out",', "begins no lesson; write lesson\\('spread_out'"),
    ],
)
def test_a_bank_that_cannot_be_read_is_refused_by_line(bank: Path, old: str, new: str, said: str):
    assert old in TEXT
    lay(bank, TEXT.replace(old, new, 1))
    with pytest.raises(ValueError, match=said):
        open_bank(bank)
    assert "MMCOURSE_BANK" not in os.environ


def test_an_exercise_that_does_not_do_what_it_says_is_refused_when_it_is_handed_out(bank: Path):
    lay(bank, TEXT.replace('"return x - total"', '"return x - total / len(x)"'))
    with pytest.raises(ValueError, match=r"exercises.py, line \d+: spread_out.1: .*is what it does already"):
        open_bank(bank, verify=True)


def test_a_bank_may_not_lie_in_the_repository_nor_take_a_lessons_name(bank: Path, tmp_path: Path):
    root = Path(mmcourse.__file__).parents[1]
    with pytest.raises(ValueError, match="lies inside the course's repository; move it out"):
        open_bank(root / "tests")
    lay(bank, TEXT.replace("spread_out", "fusion"), "fusion")
    with pytest.raises(ValueError, match="the course has a lesson 'fusion'; rename the folder"):
        open_bank(bank)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        open_bank(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no SLUG/exercises.py"):
        open_bank(tmp_path / "bank" / "spread_out")
    lay(tmp_path / "odd", TEXT, "Spread Out")
    with pytest.raises(ValueError, match="rename the folder 'Spread Out'"):
        open_bank(tmp_path / "odd")


# ---------------------------------------------------------------- handing out
def test_students_get_blanks_and_no_answer(bank: Path, tmp_path: Path):
    (made,) = open_bank(bank, verify=True)
    (tmp_path / "roster.csv").write_text("student\nada\nben\n")
    released = release(["spread_out"], tmp_path / "hw", tmp_path / "roster.csv")
    assert [x.id for x in released.exercises] == ["spread_out.1", "spread_out.2", "spread_out.challenge"]
    for path in (tmp_path / "hw" / "students").rglob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert ANSWER not in text and "return x - total" not in text and "solutions" not in text
        assert "not measured" not in text and "blob/main" not in text and "graded_by_instructor" in text
    assert ANSWER in (tmp_path / "hw" / "solutions" / "90_spread_out.ipynb").read_text(encoding="utf-8")
    assert made.exercise.stat().st_mode & 0o077 == 0 == made.solution.stat().st_mode & 0o077
    assert "spread_out" not in {lesson.slug for lesson in lessons(Path(mmcourse.__file__).parents[1])}


def test_without_the_bank_a_students_check_says_who_grades(bank: Path, monkeypatch: pytest.MonkeyPatch):
    open_bank(bank)
    assert info("spread_out.1").points == 1 and judge("spread_out.1", lambda x: x - x.mean()).passed
    close_bank()
    assert judge("spread_out.1", len).status == "unknown exercise"
    monkeypatch.setattr(core, "_LATER", {"spread_out"})
    found = judge("spread_out.1", len)
    assert found.status == "graded later" and "There is an answer." in found.message and "graded later" in str(found)
    assert "no answer yet" in judge("spread_out.1").message and judge("nothing.1").status == "unknown exercise"
    assert core.judge_challenge("spread_out.challenge").status == "graded later"


# ---------------------------------------------------------------- grading
def test_grading_needs_the_bank_and_says_so(bank: Path, tmp_path: Path, without_sandbox: None):
    open_bank(bank)
    release(["spread_out"], tmp_path / "hw")
    close_bank()
    (tmp_path / "sub" / "ada").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"spread_out.1: not an exercise of the course; .* --bank DIR"):
        grade(tmp_path / "sub", tmp_path / "out", tmp_path / "hw")
    open_bank(bank)
    with pytest.raises(ValueError, match="Dask"):
        grade(tmp_path / "sub", tmp_path / "out", tmp_path / "hw", dask="tcp://x:1")


def test_mending_the_bank_changes_the_key_and_no_other_lessons(bank: Path):
    open_bank(bank)
    before, other = code_version("spread_out"), code_version("start_here")
    lay(bank, TEXT + "\n# mended\n")
    open_bank(bank)
    assert code_version("spread_out") != before and code_version("start_here") == other


def test_in_the_sandbox_the_bank_cannot_be_read(bank: Path, tmp_path: Path, sandbox: None):
    """A notebook that looks for the reference finds nothing, and the honest answer beside it is judged."""
    open_bank(bank)
    release(["spread_out"], tmp_path / "hw")
    book = json.loads((tmp_path / "hw" / "students" / "everyone" / "90_spread_out.ipynb").read_text(encoding="utf-8"))
    path = str(bank / "spread_out" / "exercises.py")
    read = f"def spread(x):\n    text = open({path!r}).read()\n    return float(len(text))\n"
    for cell in book["cells"]:
        text = "".join(cell["source"])
        if text.startswith("def centered("):
            cell["source"] = "def centered(x):\n    return x - x.mean()\n"
        if text.startswith("def spread("):
            cell["source"] = read
    (tmp_path / "sub" / "eve").mkdir(parents=True)
    (tmp_path / "sub" / "eve" / "90_spread_out.ipynb").write_text(json.dumps(book), encoding="utf-8")
    (record,) = grade(tmp_path / "sub", tmp_path / "out", tmp_path / "hw").records
    assert [x["points"] for x in record["exercises"]] == [1, 0]
    assert "FileNotFoundError" in json.dumps(record["exercises"][1]), "there is no such file inside"
    assert [text for *_, text in record["cells"] if "open challenge" not in text] == []
