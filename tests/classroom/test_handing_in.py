"""What comes back from a class: wrong and damaged files, platforms' folder names, and whose notebook it is."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from class_of import QUICK, hand_in, points
from hostile import HONEST, RIGHT, ZERO, notebook
from typer.testing import CliRunner

from mmcourse.authoring import select
from mmcourse.classroom.feedback import rows
from mmcourse.classroom.grade import grade
from mmcourse.classroom.release import read_release, release
from mmcourse.classroom.submission import collect, holds_answers
from mmcourse.cli import app

LESSON = select(["00"])[0]
WHOLE = notebook(HONEST, RIGHT)
GOOD = f"{LESSON.name}.ipynb"
CONFLICT = '\n<<<<<<< HEAD\n"nbformat": 4\n=======\n"nbformat": 5\n>>>>>>> other\n'
WRONG = {"empty": b"", "lesson": LESSON.notebook.read_bytes(), "cut": WHOLE.encode()[:-9]}


def problems(folder: Path) -> dict[str, str]:
    return {one.path.name: one.problem for one in collect(folder, [LESSON.name]) if one.problem}


# ---------------------------------------------------------------- one file
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty (0 bytes): it was not saved"),
        (b" \n", "empty"),
        (bytes(500), "nothing but zeros"),
        (WHOLE.encode()[:-30], "cut short after"),
        (WHOLE.encode()[: len(WHOLE) // 2], "cut short after"),
        (WHOLE.encode("utf-16"), "saved as UTF-16"),
        (WHOLE.encode("utf-16-le"), "saved as UTF-16"),
        (WHOLE.encode("utf-32"), "saved as UTF-16 or UTF-32"),
        (gzip.compress(WHOLE.encode()), "compressed with gzip; unpack it"),
        (b"PK\x03\x04" + bytes(100), "a ZIP archive; unpack it"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "a 7z archive"),
        (b"%PDF-1.7\n...", "a PDF; hand in the notebook"),
        (b"<!doctype html><html></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"{\\rtf1 text}", "a word processor"),
        (WHOLE.replace('"nbformat": 4', CONFLICT).encode(), "holds a conflict of Git (line 2)"),
        (b"import numpy as np\nprint(1)\n", "text, but no notebook"),
        (b'{"a": 1}', "it has no `cells`"),
        (b"[1, 2]", "it has no `cells`"),
        (WHOLE.replace('"cells"', '"cells" oops').encode(), "damaged in line 1"),
        ("Zoë".encode("latin-1"), "not UTF-8 text (byte 2)"),
        (b'{"cells": null}', "`cells` are damaged"),
        (b"[" * 100_000, "nested too deeply"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",  # gzip's bytes hold the time of day
)
def test_each_fault_of_a_file_has_its_own_advice(tmp_path, data, said):
    hand_in(tmp_path, "ada", "", GOOD).write_bytes(data)
    assert said in problems(tmp_path)[GOOD]


@pytest.mark.parametrize(
    "lesson", [x for x in select(["all"]) if x.exercise.is_file() and x.notebook.is_file()], ids=lambda x: x.slug
)
def test_a_lesson_is_no_exercise(tmp_path, lesson):
    hand_in(tmp_path, "ada", lesson.notebook.read_text(), lesson.notebook.name)
    found = list(collect(tmp_path, [lesson.name]))
    assert "the lesson itself or another notebook" in found[0].problem
    for path in (lesson.exercise, lesson.solution):
        hand_in(tmp_path, "ada", path.read_text(), path.name)
        assert [one.problem for one in collect(tmp_path, [lesson.name])] == [""]


def test_answers_count_without_their_checks():
    assert holds_answers(["import x", "bayes_accuracy = lambda joint: 1"], LESSON.name)
    assert holds_answers(["    x = 1; late_fusion = None"], LESSON.name)
    assert not holds_answers(["print(bayes_accuracy_of_mine)", "x = 1"], LESSON.name)


@pytest.mark.parametrize(
    "wrong", [b"", LESSON.notebook.read_bytes(), WHOLE.encode()[:-9]], ids=["empty", "lesson", "cut"]
)
def test_a_wrong_file_beside_the_right_one_changes_nothing(tmp_path, wrong):
    hand_in(tmp_path, "ada", "", GOOD).write_bytes(wrong)
    hand_in(tmp_path, "ada", WHOLE, f"{LESSON.name} (1).ipynb")
    found = list(collect(tmp_path, [LESSON.name]))
    assert [one.path.name for one in found if not one.problem] == [f"{LESSON.name} (1).ipynb"]


@pytest.mark.parametrize(
    "wrong", [b"", LESSON.notebook.read_bytes(), WHOLE.encode()[:-9]], ids=["empty", "lesson", "cut"]
)
def test_a_wrong_file_never_replaces_an_earlier_grade(tmp_path, without_sandbox, wrong):
    path = hand_in(tmp_path / "sub", "ada", WHOLE)
    first = grade(tmp_path / "sub", tmp_path / "out")
    path.write_bytes(wrong)
    again = grade(tmp_path / "sub", tmp_path / "out")
    assert points(again, "ada") == points(first, "ada") and points(first, "ada")["start_here.1"] == 1
    assert any("keeps its grade" in why for _, _, why in again.problems)


# ---------------------------------------------------------------- the student's own command
@pytest.fixture
def submit(tmp_path):
    box = tmp_path / "box"
    box.mkdir()

    def run(path: Path, to: Path = box):
        return CliRunner(env={"MMCOURSE_SUBMISSIONS": str(to)}).invoke(app, ["submit", str(path)]), box

    return run


def test_submit_keeps_the_exercise_when_a_wrong_file_follows(tmp_path, submit):
    done, box = submit(LESSON.exercise)
    assert done.exit_code == 0 and f"Handed in: {GOOD}" in done.output
    first = (box / GOOD).read_bytes()
    empty, cut = tmp_path / GOOD, tmp_path / f"{LESSON.name}_cut.ipynb"
    empty.touch()
    cut.write_bytes(first[:-20])
    for path, said in {LESSON.notebook: "the lesson itself", empty: "empty (0 bytes)", cut: "cut short"}.items():
        done, _ = submit(path)
        assert done.exit_code == 2 and "was not handed in" in done.output and said in done.output, done.output
    assert (box / GOOD).read_bytes() == first and [x.name for x in box.iterdir()] == [GOOD]


def test_a_renamed_copy_replaces_what_was_handed_in_before(tmp_path, submit):
    submit(LESSON.exercise)
    copy = tmp_path / f"Copy of {LESSON.name} (1).ipynb"
    copy.write_text(WHOLE)
    done, box = submit(copy)
    assert done.exit_code == 0 and [x.name for x in box.iterdir()] == [GOOD]
    assert (box / GOOD).read_text() == WHOLE


def test_a_box_that_is_a_file_is_named(tmp_path, submit):
    (tmp_path / "file").touch()
    for box in (tmp_path / "file", tmp_path / "nowhere"):
        done, _ = submit(LESSON.exercise, box)
        assert done.exit_code == 2 and "no folder" in done.output and "Traceback" not in done.output


def test_a_link_in_the_box_is_replaced_not_followed(tmp_path, submit):
    kept = tmp_path / "kept"
    kept.write_text("kept")
    _, box = submit(LESSON.exercise)
    (box / GOOD).unlink()
    (box / GOOD).symlink_to(kept)
    (box / f".{GOOD}.part").symlink_to(kept)
    assert submit(LESSON.exercise)[0].exit_code == 0 and kept.read_text() == "kept"


# ---------------------------------------------------------------- whose is it
@pytest.fixture(scope="module")
def homework(tmp_path_factory):
    folder = tmp_path_factory.mktemp("homework")
    (folder / "roster.csv").write_text("student\nada\nben\ncleo\ns123\n")
    release(["00"], folder / "hw", folder / "roster.csv")
    return folder / "hw"


def handed(homework: Path, folder: Path, name: str, whose: str, **changed: object) -> None:
    book = json.loads((homework / "students" / whose / GOOD).read_text())
    book["metadata"]["mmcourse"].update(changed)
    hand_in(folder, name, json.dumps(book), GOOD)


def graded_students(homework: Path, folder: Path) -> tuple[set[str], str]:
    done = grade(folder, folder.parent / "out", homework)
    here = {record["student"] for record in done.records}
    assert {row[0] for row in rows(done)} == here | {"ada", "ben", "cleo", "s123"}
    return here, "\n".join(f"{student}: {why}" for student, _, why in done.problems)


def test_platforms_names_and_letter_case_lead_to_the_roster(homework, tmp_path, without_sandbox):
    sub = tmp_path / "sub"
    handed(homework, sub, "ada_12345_assignsubmission_file_", "ada")
    handed(homework, sub, "Ben", "ben")
    handed(homework, sub, "Cleo Kaya_77_assignsubmission_file_", "cleo")
    hand_in(sub, "hw1_s123_attempt_2026-01-02-10-11-12", WHOLE)  # without metadata
    here, said = graded_students(homework, sub)
    assert here == {"ada", "ben", "cleo", "s123"}
    assert said.count("counted as") == 4 and "ben: counted as ben" in said


def test_nobody_becomes_another_by_a_forged_or_copied_mark(homework, tmp_path, without_sandbox):
    sub = tmp_path / "sub"
    handed(homework, sub, "ada", "ada")
    handed(homework, sub, "ben", "cleo")  # ben hands in cleo's notebook
    handed(homework, sub, "Eve_1_assignsubmission_file_", "ada")  # an outsider with a copy of ada's
    handed(homework, sub, "Mallory_2_assignsubmission_file_", "ben", student="s123")  # the seal is ben's
    here, said = graded_students(homework, sub)
    assert {"ada", "ben"} < here and "cleo" not in here and "s123" not in here
    assert "ben: this notebook was handed out to cleo" in said
    assert "not counted as ada, who has a folder of that name" in said


def test_of_two_strangers_with_one_notebook_nobody_is_believed(homework, tmp_path, without_sandbox):
    sub = tmp_path / "sub"
    handed(homework, sub, "A_1_assignsubmission_file_", "ada")
    handed(homework, sub, "B_2_assignsubmission_file_", "ada")
    handed(homework, sub, "C_3_assignsubmission_file_", "cleo")
    hand_in(sub, "C_3_assignsubmission_onlinetext_", "text", "onlinetext.html")
    here, said = graded_students(homework, sub)
    assert "ada" not in here and "cleo" in here and said.count("another folder claims the same") == 2


def test_a_roster_of_one_is_still_a_roster(tmp_path, without_sandbox):
    (tmp_path / "roster.csv").write_text("student\nada\n")
    release(["00"], tmp_path / "hw", tmp_path / "roster.csv")
    hand_in(tmp_path / "sub", "stranger", WHOLE)
    hand_in(tmp_path / "sub", "ada2", WHOLE)
    done = grade(tmp_path / "sub", tmp_path / "out", tmp_path / "hw")
    said = {student: why for student, _, why in done.problems}
    assert said["stranger"] == "not on the roster" and "ada" in {row[0] for row in rows(done)}
    assert read_release(tmp_path / "hw").students == ("ada",)


# ---------------------------------------------------------------- folders
@pytest.mark.parametrize("name", ["results", "Journal", "instructor", "release.json", "feedback", "students"])
def test_names_that_the_course_uses_are_no_students(tmp_path, name):
    hand_in(tmp_path, name, WHOLE)
    hand_in(tmp_path, "ada", WHOLE)
    found = {one.student: one.problem for one in collect(tmp_path, [LESSON.name])}
    assert found.pop("ada") == "" and "the course itself uses; rename" in found.popitem()[1]


def test_a_file_in_a_students_place_and_a_class_that_is_a_file(tmp_path, without_sandbox):
    hand_in(tmp_path / "sub", "ada", WHOLE)
    (tmp_path / "sub" / "ben").write_text(WHOLE)
    done = grade(tmp_path / "sub", tmp_path / "out")
    assert [(student, "no student's folder" in why) for student, _, why in done.problems] == [("ben", True)]
    for command in (["grade", str(tmp_path / "sub" / "ben")], ["grade", str(tmp_path / "sub"), "--out"]):
        out = [str(tmp_path / "sub" / "ben")] if command[-1] == "--out" else ["--out", str(tmp_path / "new")]
        said = CliRunner().invoke(app, [*command, *out])
        assert said.exit_code == 2 and "Traceback" not in said.output and "expected a folder" in said.output


def test_a_folder_for_pages_that_is_not_there_is_said_before_anything_is_graded(tmp_path):
    hand_in(tmp_path / "sub", "ada", notebook(HONEST, ZERO))
    missing = tmp_path / "no such folder"
    done = CliRunner().invoke(
        app, ["grade", str(tmp_path / "sub"), "--out", str(tmp_path / "out"), "--return", str(missing)]
    )
    assert done.exit_code == 2 and "Traceback" not in done.output
    said = " ".join(done.output.split())
    assert "no such folder; expected one with a folder for each student" in said and "Make it" in said
    assert not (tmp_path / "out").exists() and not missing.exists()


def test_a_page_cannot_be_returned_into_a_file(sandbox, tmp_path):
    hand_in(tmp_path / "sub", "ada", notebook(HONEST, ZERO))
    hand_in(tmp_path / "sub", "ben", notebook(HONEST, RIGHT))
    (tmp_path / "back" / "ben").mkdir(parents=True)
    (tmp_path / "back" / "ada").write_text("a file")
    command = ["grade", str(tmp_path / "sub"), "--out", str(tmp_path / "out"), "--jobs", "1", "--return"]
    done = CliRunner().invoke(app, [*command, str(tmp_path / "back")])
    assert done.exit_code == 0 and "Returned to 1 students" in done.output, done.output
    assert (tmp_path / "back" / "ada").read_text() == "a file"
    done = CliRunner().invoke(app, [*command, str(tmp_path / "back" / "ada")])
    assert done.exit_code == 2 and "--return" in done.output and "Traceback" not in done.output
    assert QUICK.total > 0 and os.path.exists(tmp_path / "back" / "ben" / "feedback.html")
