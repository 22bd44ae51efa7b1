"""A whole term with 30 made-up students, in the sandbox: what each hands in, earns, loses, and what is left of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmcourse.classroom.dry_run import CHALLENGE, dry_run, students
from mmcourse.cli import app


@pytest.fixture(scope="module")
def term(sandbox: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, str]:
    """(log, folder, what the command printed)."""
    folder = tmp_path_factory.mktemp("term")
    before = os.environ["MMCOURSE_CONFIG"]
    done = CliRunner().invoke(app, ["term", "dry-run", "--to", str(folder / "class"), "--log", str(folder / "log")])
    assert done.exit_code == 0, done.output
    assert os.environ["MMCOURSE_CONFIG"] == before and "MMCOURSE_BANK" not in os.environ
    return (folder / "log").read_text(encoding="utf-8"), folder / "class", done.output


def part(log: str, title: str) -> str:
    return log.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_thirty_students_are_graded_and_what_went_wrong_is_named(term):
    log = term[0]
    said = part(log, "Grade")
    assert "33 submissions of 28 students, 33 graded now" in said and "Late: 2 of 33" in said
    for student, what in {
        "s20": "empty", "s21": "cut short", "s22": "handed out to s01", "s23": "left out", "s19": "counted as s19",
        "s07": "damaged", "guest": "not counted as s02",
    }.items():  # fmt: skip
        assert re.search(rf"mmcourse: {student}: .*{what}", said), student
    assert len(students()) == 30 and set(CHALLENGE) == {2, 3, 4, 5, 6, 7}


def test_a_mended_reference_changes_those_whom_it_concerns_and_nobody_twice(term):
    log = term[0]
    changed = set(re.findall(r"Changed: (s\d\d): spread_out\.2: 0 → 2", part(log, "Regrade")))
    lost = set(re.findall(r"Changed: (s\d\d): spread_out\.2: 2 → 0", part(log, "Regrade")))
    assert lost == {"s28", "s29"} and len(changed) == 22 and not changed & {"s20", "s21", "s24", "s25", "s26", "s27"}
    assert "0 graded now" in part(log, "Again: nothing has changed, so nothing is graded")


def test_points_late_days_and_the_gradebook(term):
    log = term[0]
    grades = dict(re.findall(r"^(s\d\d),spread_out\.2,([\d.]+),", part(log, "grades.csv"), re.MULTILINE))
    assert grades["s01"] == grades["s15"] == grades["s17"] == grades["s18"] == grades["s19"] == grades["s23"] == "2.0"
    assert grades["s16"] == "1.2" and {grades[s] for s in ("s20", "s21", "s24", "s25", "s26", "s27", "s28")} == {"0.0"}
    assert "s16,90_spread_out,2027-03-01 23:59+08:00,2027-03-04 10:59+08:00,3,1,40" in part(log, "late.csv")
    book = part(log, "gradebook_canvas.csv").splitlines()
    assert len(book) >= 32 and '"O’Neil, ""Max""",,,s29,,1,0' in book and "王小明,,,s30,,3,0" in book
    assert "Returned to 30 students" in part(log, "Return the pages, write the gradebook")


def test_the_leaderboard_has_a_tie_and_no_names(term):
    lines = part(term[0], "leaderboard.csv").strip().splitlines()[1:]
    ranks = [line.split(",")[1] for line in lines]
    assert ranks == ["1", "1", "3", "4", "", "5"] or ranks.count("1") == 2
    assert not re.search(r"\bs\d\d\b", "\n".join(lines))


def test_one_student_and_then_all_are_deleted(term):
    log, folder, _ = term
    assert "Searched what is left: no name is in it." in part(log, "A student leaves")
    assert "31 submissions of 27 students, 0 graded now" in part(log, "The others' table without that student")
    assert "Searched what is left: no name is in it." in part(log, "The term is over")
    left = {path for place in ("hw1", "results", "returned") for path in (folder / place).rglob("*") if path.is_file()}
    assert left and not any(re.search(r"\bs\d\d\b|guest", path.name) for path in left)
    assert not any(re.search(rb"\bs[0-3]\d\b", path.read_bytes()) for path in left if path.suffix in (".csv", ".json"))
    assert "spread_out.2,30,69,21" in part(log, "statistics.csv")


def test_the_log_can_be_reproduced(term):
    """No times, no places, no random numbers are in it."""
    log, folder, printed = term
    assert str(folder) not in log and printed.strip() == log.strip()
    assert not re.search(r"\b\d+:\d\d:\d\d\b|━|0x[0-9a-f]{6}|[0-9a-f]{16}|/tmp/", log)


def test_a_folder_that_is_not_new_is_refused(tmp_path: Path):
    (tmp_path / "x").write_text("")
    with pytest.raises(ValueError, match="is not empty"):
        dry_run(tmp_path, lambda arguments: "", print)
