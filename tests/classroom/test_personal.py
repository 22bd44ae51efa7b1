"""Deleting what is held of students: listed first, only in folders of this course, nothing left, others unharmed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from class_of import hand_in
from hostile import HONEST, RIGHT, ZERO, notebook
from typer.testing import CliRunner

from mmcourse.classroom.feedback import return_feedback, write_reports
from mmcourse.classroom.grade import grade, read_returned
from mmcourse.classroom.personal import deletion, statistics, still_named
from mmcourse.classroom.release import read_release, release
from mmcourse.cli import app

CLASS = ("ada", "ben", "cleo", "dan", "eve", "finn")


@pytest.fixture
def term(tmp_path: Path, without_sandbox: None) -> Path:
    (tmp_path / "roster.csv").write_text("student\n" + "\n".join(CLASS) + "\n")
    release(["start_here"], tmp_path / "hw", tmp_path / "roster.csv")
    for student in CLASS:
        hand_in(tmp_path / "hw" / "submitted", student, notebook(HONEST, ZERO if student == "dan" else RIGHT))
        (tmp_path / "back" / student).mkdir(parents=True)
    graded(tmp_path)
    return tmp_path


def graded(folder: Path):
    done = grade(folder / "hw" / "submitted", folder / "out", folder / "hw")
    write_reports(done, folder / "out")
    return_feedback(folder / "out", folder / "back", done)
    return done


def of(who: str, folder: Path):
    return deletion(who, folder / "hw" / "submitted", folder / "out", folder / "hw", folder / "back")


def test_one_student_goes_and_the_others_keep_their_numbers(term: Path):
    before = read_release(term / "hw")
    variants = {s: before.variant(s, "start_here.1") for s in CLASS}
    made = of("ben", term)
    assert (term / "hw" / "submitted" / "ben").is_dir(), "nothing goes before it is asked for"
    assert made.run() == []
    after = read_release(term / "hw")
    assert after.students == tuple(s for s in CLASS if s != "ben")
    assert {s: after.variant(s, "start_here.1") for s in after.students} == {s: variants[s] for s in after.students}
    assert not list(term.rglob("*ben*.html")) and not list((term / "out" / "journal").glob("ben__*"))
    with (term / "out" / "grades.csv").open(newline="") as file:
        assert {row["student"] for row in csv.DictReader(file)} == {s for s in CLASS if s != "ben"}
    done = graded(term)
    assert done.done_now == 0 and "ben" not in read_returned(term / "out", done.key)
    with pytest.raises(ValueError, match="no such student; known: ada, cleo"):
        of("ben", term)


def test_all_go_and_numbers_without_names_stay(term: Path):
    made = of("all", term)
    assert made.run() == []
    left = sorted(p.relative_to(term).as_posix() for p in term.rglob("*") if p.is_file())
    assert left == [
        "hw/instructor/secret.txt", "hw/points.csv", "hw/release.json", "hw/solutions/00_start_here.ipynb",
        "out/.mmcourse.json", "out/statistics.csv", "roster.csv",
    ]  # fmt: skip
    assert still_named([term / "hw", term / "out", term / "back"], CLASS) == []
    assert (term / "out" / "statistics.csv").read_text().splitlines()[1].startswith("start_here.1,6,83,-")
    assert json.loads((term / "hw" / "release.json").read_text())["students"] == []
    assert of("all", term).gone == [], "done twice, nothing more is found"


def test_what_is_not_the_courses_is_left_and_said(term: Path):
    (term / "out" / "notes.txt").write_text("ada was ill in March")
    made = of("all", term)
    assert made.kept == [term / "out" / "notes.txt"]
    assert made.run() == [term / "out" / "notes.txt"], "a name that is left is found"


def test_foreign_folders_are_refused(term: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "taxes.txt").write_text("x")
    with pytest.raises(ValueError, match="holds no results"):
        deletion("all", term / "hw" / "submitted", home, term / "hw")
    with pytest.raises(ValueError, match="holds no results of"):
        deletion("all", home, term / "out")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        deletion("all", term / "hw" / "submitted", term / "nowhere", term / "hw")
    monkeypatch.setenv("MMCOURSE_CONFIG", str(home / "other"))
    with pytest.raises(ValueError, match="was not made with your own key"):
        of("all", term)
    assert (home / "taxes.txt").is_file() and (term / "hw" / "submitted" / "ada").is_dir()


def test_links_are_not_followed(term: Path, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "thesis.txt").write_text("x")
    (term / "hw" / "submitted" / "zed").symlink_to(home)
    (term / "back" / "ada" / "feedback.html").unlink()
    (term / "back" / "ada").rmdir()
    (home / "feedback.html").write_text("mine")
    (term / "back" / "ada").symlink_to(home)
    of("all", term).run()
    assert sorted(path.name for path in home.iterdir()) == ["feedback.html", "thesis.txt"]


def test_statistics_tell_nothing_about_few(tmp_path: Path):
    path = tmp_path / "grades.csv"
    rows = [f"s{k},x.1,{1 if k < 6 else 0},1,0,{'passed' if k < 6 else 'wrong'}" for k in range(12)]
    path.write_text("student,exercise,points,max,seconds,status\n" + "\n".join(rows) + "\n")
    assert statistics(path).splitlines()[1] == "x.1,12,50,6"
    path.write_text("student,exercise,points,max,seconds,status\n" + "\n".join(rows[:4]) + "\n")
    assert statistics(path) == ""
    assert statistics(tmp_path / "none.csv") == ""


def test_the_command_lists_first_and_deletes_with_yes(term: Path):
    command = ["grade", str(term / "hw"), "--out", str(term / "out"), "--return", str(term / "back")]
    shown = CliRunner().invoke(app, [*command, "--delete-personal-data", "ada"])
    assert shown.exit_code == 0 and "Nothing was deleted" in shown.output and "submitted/ada/" in shown.output
    assert (term / "hw" / "submitted" / "ada").is_dir()
    done = CliRunner().invoke(app, [*command, "--delete-personal-data", "ada", "--yes"])
    assert (
        done.exit_code == 0 and "no name is in it" in done.output and not (term / "hw" / "submitted" / "ada").exists()
    )
    wrong = CliRunner().invoke(app, [*command, "--delete-personal-data", "nobody"])
    assert wrong.exit_code == 2 and "no such student" in wrong.output
    assert CliRunner().invoke(app, [*command, "--yes"]).exit_code == 2
