"""Gradebooks of Moodle and Canvas: their own headings, names of any kind, nothing that a spreadsheet would compute."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmcourse.classroom.gradebook import (
    CANVAS,
    MOODLE,
    Person,
    gradebook,
    read_gradebook,
    read_people,
    safe_cell,
)
from mmcourse.cli import app

LESSONS = {"start_here.1": "00_start_here", "start_here.2": "00_start_here", "cnn.challenge": "07_cnn"}
NAMES = {"ada": "Lovelace, Ada", "s-2": '=HYPERLINK("x")', "s3": "王小明", "s4": 'Ben "B" O’Hara', "s5": "+1; 2"}
ROWS = [(s, x, 1.25, 2.0, 0.1, "passed") for s in NAMES for x in LESSONS]
PEOPLE = {
    s: Person(s, {"name": name, "email": f"{s}@x.org", "sis user id": f"0{k}"})
    for k, (s, name) in enumerate(NAMES.items())
}


@pytest.mark.parametrize("kind", ["moodle", "canvas"])
def test_what_is_written_is_read_back(kind: str):
    headings, lines = read_gradebook(gradebook(kind, ROWS, LESSONS, PEOPLE))
    lines = [line for line in lines if "Points Possible" not in line.get("Student", "")]
    assert headings[-2:] == ["00_start_here", "cnn.challenge"] and len(lines) == len(NAMES)
    for (student, name), line in zip(sorted(NAMES.items()), lines, strict=True):
        assert float(line["00_start_here"]) == 2.5 and float(line["cnn.challenge"]) == 1.25
        if kind == "moodle":
            assert line["ID number"] == student and line["Email address"] == f"{student}@x.org"
            assert sorted(f"{line['First name']} {line['Last name']}".replace(",", "").split()) == sorted(
                name.replace(",", "").split()
            )
        else:
            assert line["SIS Login ID"] == student and line["SIS User ID"] == PEOPLE[student].get("sis user id")


def test_moodle_gets_the_headings_of_its_own_export():
    text = gradebook("moodle", ROWS, LESSONS)
    assert text.splitlines()[0] == ",".join([*MOODLE, "00_start_here", "cnn.challenge"])
    assert text.endswith("\r\n") and not text.startswith("\ufeff")


def test_canvas_gets_its_five_columns_and_the_points_possible():
    """As its importer asks for: Student, ID, the two SIS columns, Section before the assignments; the points below."""
    rows = list(csv.reader(io.StringIO(gradebook("canvas", ROWS, LESSONS, PEOPLE))))
    assert tuple(rows[0][:5]) == CANVAS and rows[1] == ["    Points Possible", "", "", "", "", "4", "2"]
    assert rows[2][0] == "Lovelace, Ada" and {len(row) for row in rows} == {7}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "|x", "%x"])
def test_no_cell_is_a_formula(text: str):
    assert safe_cell(text).startswith("'") and safe_cell("ada") == "ada" and safe_cell("") == ""


@pytest.mark.parametrize("kind", ["moodle", "canvas"])
def test_a_hostile_name_is_text(kind: str):
    people = {s: Person(s, {"name": "=cmd|' /C calc'!A0", "email": "@x", "section": "-2"}) for s in NAMES}
    for row in csv.reader(io.StringIO(gradebook(kind, ROWS, LESSONS, people))):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_points_have_a_decimal_point_and_no_float_noise():
    rows = [("ada", "start_here.1", 0.1, 1, 0, ""), ("ada", "start_here.2", 0.2, 2, 0, "")]
    assert gradebook("moodle", rows, LESSONS).splitlines()[1] == ",ada,ada,,0.3"


def test_names_come_from_their_columns_or_from_a_whole_name():
    assert Person("a", {"first name": "Ada", "last name": "L", "name": "x y"}).names == ("Ada", "L")
    assert Person("a", {"name": "Ada King Lovelace"}).names == ("Ada King", "Lovelace")
    assert Person("a", {"name": "王小明"}).sortable == "王小明" and Person("a", {}).sortable == "a"


def test_a_roster_is_read_with_what_it_has(tmp_path: Path):
    path = tmp_path / "r.csv"
    path.write_text('student;Name;E-Mail;email\nada;"Lovelace, Ada";x;a@x\n', encoding="utf-8")
    (person,) = read_people(path).values()
    assert person.names == ("Ada", "Lovelace") and person.get("email") == "a@x" and person.get("section") == ""
    path.write_text("student,name,name\nada,a,b\n")
    with pytest.raises(ValueError, match="several columns are called 'name'"):
        read_people(path)
    path.write_text("student\nada\nada\n")
    with pytest.raises(ValueError, match="line 3: student 'ada' is empty or there twice"):
        read_people(path)


def test_who_is_missing_on_the_roster_is_named():
    with pytest.raises(ValueError, match="s-2 was graded and is not on it"):
        gradebook("canvas", ROWS, LESSONS, {"ada": PEOPLE["ada"]})
    assert len(read_gradebook(gradebook("moodle", ROWS, LESSONS, PEOPLE, only=["ada", "nobody"]))[1]) == 1


def test_a_name_that_canvas_would_take_for_the_points_is_refused():
    with pytest.raises(ValueError, match="points possible"):
        gradebook("canvas", ROWS, LESSONS, {s: Person(s, {"name": "Points Possible, Mr"}) for s in NAMES})


def test_the_options_are_checked_before_anything_is_graded(tmp_path: Path):
    for wrong, said in [
        (["--gradebook", "blackboard"], "expected moodle or canvas"),
        (["--roster", "x.csv"], "belongs to --gradebook"),
        (["--gradebook", "moodle", "--roster", str(tmp_path / "none.csv")], "none.csv"),
    ]:
        done = CliRunner().invoke(app, ["grade", str(tmp_path), *wrong])
        assert done.exit_code == 2 and said in done.output
