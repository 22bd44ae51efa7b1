"""Tables that people and spreadsheets wrote: read as they were meant, or refused with line, reason and remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmcourse.classroom.roster import read_points, read_roster
from mmcourse.classroom.tables import read_json, read_table


def roster(folder: Path, text: str | bytes) -> Path:
    path = folder / "roster.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "student,name\nada,Ada\nben,Ben\n",
        "student;name\nada;Ada\nben;Ben\n",
        "student\tname\r\nada\tAda\r\nben\tBen\r\n",
        "name;student\nLovelace, Ada;ada\nK., Ben;ben\n",
        "sep=;\nstudent;name\nada;Ada\nben;Ben\n",
        "\n\nStudent , NAME\n ada , Ada\n\nben,Ben\n,\n",
        'student,name\nada,"Lovelace, Ada"\n"ben","Ben ""B"" K."\n',
        "student,name\rada,Ada\rben,Ben\r",
        "\ufeffSTUDENT;name\nada;Ada\nben;\n",
        "student\tname\nada\tZoë\nben\tB\n".encode("utf-16"),
        "student,name,,\nada,A,,\nben,B,,\n",
        "student,name\nada\nben,B\n",
    ],
)
def test_what_spreadsheets_save_is_read(tmp_path, text):
    assert read_roster(roster(tmp_path, text)) == ["ada", "ben"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('student,name\nada,"Ada\nben,Ben\ncleo,Cleo\n', "line 2: a quotation mark is not closed"),
        ('student,name\nada,Ada\nben,"Ben\ncleo,"Cleo\n', "line 3: a quotation mark"),
        ('student,name\nada,"Ada\nben,Ben"\n', "line 2: a quotation mark"),
        ('student,name\nada,"Ada" L.\n', "line 2: a quotation mark"),
        ("student,name,student\nada,A,anna\n", "line 1: 2 columns are called 'student'; keep one"),
        ("Student;student\nada;A\n", "2 columns are called 'student'"),
        ("student,name\nada,Lovelace, Ada\n", "line 2: has 3 cells under 2 headings; put text that holds a comma"),
        ("name,student\nAda\n", "line 2: has 1 of 2 cells, 'student' is missing"),
        ("login;name\nada;A\n", "line 1: expected a column 'student'; got 'login', 'name'"),
        ("ada\nben\n", "line 1: expected a column 'student'; got 'ada'"),
        ("student\n1234.0\n", "line 2: student '1234.0' is the number 1234 as a spreadsheet writes it"),
        ("student\n1.23457E+11\n", "line 2: .* rounded; format the column as text"),
        ("student\n1,2E+5\n", "line 2: has 2 cells under 1 headings"),
        ("student\nada\n#N/A\n", "line 3: .* error value"),
        ("student\n#NAME?\n", "line 2: .* error value"),
        ("student\nresults\n", "line 2: student 'results' is a name that the course itself uses"),
        ("student\nada\nEveryone\n", "line 3: .* the course itself uses"),
        ("student\nada\u202e\n", r"line 2: student 'ada\\u202e' holds RIGHT-TO-LEFT OVERRIDE"),
        ("student\nada\x1b[2J\n", r"line 2: student 'ada\\x1b\[2J'"),
        (b"student\nada\nb\xe9n\n", "line 3: not UTF-8 text .*; save it as CSV, UTF-8"),
        (b"student\nada\x00\n", "line 2: holds a zero byte"),
        (b"PK\x03\x04...", "is a spreadsheet file .*; save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old spreadsheet file"),
    ],
)
def test_what_cannot_be_read_safely_is_refused_with_line_and_reason(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        read_roster(roster(tmp_path, text))


def test_no_line_of_a_roster_is_ever_lost(tmp_path):
    """One quotation mark at any place: every student is there, or the file is refused."""
    text = "student,name\nada,Ada L.\nben,Ben K.\ncleo,Cleo\n"
    for position in range(len(text)):
        path = roster(tmp_path, f'{text[:position]}"{text[position:]}')
        try:
            assert len(read_roster(path)) == 3, position
        except ValueError as error:
            assert "line " in str(error)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("start_here.1=1,start_here.1=2", "given twice"),
        ("exercise;points\nstart_here.1;1,5\n", "write the decimal sign as a point"),
        ("exercise,points\nstart_here.1,1\nstart_here.1,2\n", "line 3: points of start_here.1 are given twice"),
        ("exercise,points\nstart_here.1,1e400\n", "line 2"),
        ("exercise,points,points\nstart_here.1,1,2\n", "2 columns are called 'points'"),
    ],
)
def test_points_are_refused_with_their_reason(tmp_path, given, said):
    if "\n" in given:
        given = str(roster(tmp_path, given))
    with pytest.raises(ValueError, match=said):
        read_points(given, ["start_here.1"])


def test_points_may_have_decimals_and_semicolons(tmp_path):
    assert read_points(str(roster(tmp_path, "Exercise;Points\nstart_here.1;2.0\n")), ["start_here.1"]) == {
        "start_here.1": 2
    }


def test_an_empty_file_and_other_columns(tmp_path):
    with pytest.raises(ValueError, match="got nothing"):
        list(read_table(roster(tmp_path, ""), "student"))
    assert list(read_table(roster(tmp_path, "a,b\n1,2\n"), "b")) == [(2, {"b": "2"})]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' * 60 + b"1" + b"}" * 60, "nested too deeply"),
        (b"[1]", "expected an object"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": 1, "a": 2}', "a key stands twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not readable as JSON"),
        (b'{"a": 1', "not readable as JSON"),
        (b"\xff\xfe{\x00}\x00", "not readable as JSON"),
        (b"", "not readable as JSON"),
        (b'{"a": 1}' + b" " * 100, "larger than 50 bytes"),
    ],
)
def test_deep_and_odd_json_is_refused_by_name(data, said):
    with pytest.raises(ValueError, match=f"the journal: .*{said}"):
        read_json(data, "the journal", most_bytes=50 if "larger" in said else 1 << 20)


def test_json_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": [1]}).encode())
    assert read_json(tmp_path / "x.json") == {"a": [1]}
