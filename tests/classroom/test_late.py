"""Late days: begun days, time zones, free days across a term, extensions, and how it is shown."""

from __future__ import annotations

import csv
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from class_of import hand_in
from hostile import HONEST, RIGHT, notebook
from typer.testing import CliRunner

from mmcourse.classroom import late
from mmcourse.classroom.feedback import counted, rows, student_page, summary_page, write_reports
from mmcourse.classroom.grade import grade, with_lateness
from mmcourse.classroom.late import Late, lateness, make_policy, read_policy, read_times, read_used
from mmcourse.cli import app

ONE = "00_start_here"


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def one(policy: late.Policy, when: str, student: str = "ada", **more) -> Late:
    return lateness([(student, ONE, at(when))], policy, **more)[student, ONE]


# ---------------------------------------------------------------- days
@pytest.mark.parametrize(
    ("when", "days", "percent_off"),
    [
        ("2027-03-01T23:59:00+08:00", 0, 0),
        ("2027-03-01T15:59:00+00:00", 0, 0),  # the same moment elsewhere
        ("2027-03-01T23:59:01+08:00", 1, 10),
        ("2027-03-02T23:59:00+08:00", 1, 10),
        ("2027-03-02T23:59:30+08:00", 2, 20),
        ("2027-03-01T23:59:00-05:00", 1, 10),  # midnight on another continent is too late
        ("2027-03-20T00:00:00+08:00", 19, 100),
        ("2027-02-01T00:00:00+08:00", 0, 0),
    ],
)
def test_days_are_begun_days(when: str, days: int, percent_off: float):
    found = one(make_policy("2027-03-01 23:59", zone="Asia/Shanghai"), when)
    assert (found.days, found.percent_off) == (days, percent_off)


def test_free_days_come_first_and_are_spent_over_the_term():
    policy = make_policy(
        {"start_here": "2027-03-01 12:00", "cnn": "2027-03-08 12:00"}, zone="UTC", late_days=3, penalty=20
    )
    handed = [("ada", "07_cnn", at("2027-03-10T12:00+00:00")), ("ada", ONE, at("2027-03-03T12:00+00:00"))]
    found = lateness(handed, policy)
    assert found["ada", ONE][2:5] == (2, 2, 1.0) and found["ada", "07_cnn"][2:5] == (2, 1, 0.8)
    assert one(policy, "2027-03-02T12:00+00:00", used={"ada": 3})[2:5] == (1, 0, 0.8)
    assert one(policy, "2027-03-02T12:00+00:00", used={"ben": 3})[2:5] == (1, 1, 1.0)


def test_extensions_grace_and_the_last_day(tmp_path: Path):
    path = tmp_path / "late.toml"
    path.write_text(
        'due = 2027-03-01 12:00:00\ntime_zone = "Europe/Berlin"\npenalty = 25\nlast_day = 3\ngrace_minutes = 10\n'
        '[extensions]\nada = 2\nben = "2027-03-05 12:00"\n'
    )
    policy = read_policy(path)
    assert one(policy, "2027-03-03T12:00+01:00").days == 0 == one(policy, "2027-03-05T12:00+01:00", "ben").days
    assert one(policy, "2027-03-01T12:10+01:00", "cleo").days == 0
    assert one(policy, "2027-03-01T12:11+01:00", "cleo").percent_off == 25
    assert one(policy, "2027-03-05T12:00+01:00", "cleo")[2:5] == (4, 0, 0.0), "too late, and no free day is lost"


def test_a_deadline_on_the_day_that_clocks_change_must_say_its_offset():
    for text in ("2027-10-31 02:30", "2027-03-28 02:30"):  # twice, and never
        with pytest.raises(ValueError, match="clocks are changed"):
            make_policy(text, zone="Europe/Berlin")
    assert make_policy("2027-10-31 02:30+01:00", zone="Europe/Berlin").due[""].utcoffset() is not None
    days = make_policy("2027-03-27 12:00", zone="Europe/Berlin")
    assert one(days, "2027-03-28T12:00+02:00").days == 1


def test_a_challenge_has_its_lessons_deadline_or_its_own():
    policy = make_policy({"cnn": "2027-03-01 12:00", "clip.challenge": "2027-04-01 12:00"}, zone="UTC")
    assert policy.due_of("a", "cnn.challenge") == policy.due_of("a", "07_cnn") == datetime(2027, 3, 1, 12, tzinfo=UTC)
    assert policy.due_of("a", "clip.challenge") == datetime(2027, 4, 1, 12, tzinfo=UTC)
    assert policy.due_of("a", "19_clip") is None and policy.due_of("a", ONE) is None
    assert lateness([("a", ONE, 0.0)], policy) == {}


# ---------------------------------------------------------------- what people write
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("due = 'soon'\n", "'soon' is no time; write it as 2027-03-01 23:59"),
        ("", "`due` is missing"),
        ("due = '2027-03-01'\nlatedays = 3\n", "no field 'latedays'"),
        ("due = '2027-03-01'\nlate_days = -1\n", "late_days should be a whole number"),
        ("due = '2027-03-01'\nlate_days = 1.5\n", "late_days should be a whole number"),
        ("due = '2027-03-01'\npenalty = 120\n", "penalty should be percent"),
        ("due = '2027-03-01'\ntime_zone = 'Mars/Olympus'\n", "no time zone 'Mars/Olympus'"),
        ("due = '2027-03-01'\ntime_zone = '../etc'\n", "no time zone"),
        ("due = '2027-03-01'\n[extensions]\nada = -2\n", "the extension of ada"),
        ("due = '2027-03-01'\n[extensions]\nada = 'later'\n", "extension of ada: 'later' is no time"),
        ("due = \n", "no TOML"),
        ("[due]\n", "`due` is missing"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(tmp_path: Path, text: str, said: str):
    path = tmp_path / "late.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_policy(path)


def test_times_and_spent_days_are_read_from_tables(tmp_path: Path):
    path = tmp_path / "times.csv"
    path.write_text("Student;Time;lesson\nada;2027-03-02 08:00;\nben;2027-03-01T10:00:00Z;start_here\n")
    times = read_times(path, late.time_zone("Asia/Shanghai", ""))
    policy = make_policy("2027-03-01 23:59", zone="Asia/Shanghai")
    assert one(policy, "2027-01-01T00:00+00:00", times=times).days == 1, "the table counts, not the file"
    assert one(policy, "2027-09-01T00:00+00:00", "ben", times=times).days == 0
    path.write_text("student,time\nada,2027-03-02\nada,2027-03-03\n")
    with pytest.raises(ValueError, match="line 3: a second time of ada"):
        read_times(path, None)
    path.write_text("student,free_days\nada,1\nada,2\n")
    assert read_used([path, path]) == {"ada": 6}
    path.write_text("student,free_days\nada,x\n")
    with pytest.raises(ValueError, match="whole number"):
        read_used([path])


# ---------------------------------------------------------------- in a class
@pytest.fixture
def graded(tmp_path: Path, without_sandbox: None):
    for student, when in (("ada", "2027-03-01T10:00+00:00"), ("ben", "2027-03-03T10:00+00:00")):
        path = hand_in(tmp_path / "sub", student, notebook(HONEST, RIGHT))
        os.utime(path, (at(when), at(when)))
    return grade(tmp_path / "sub", tmp_path / "out")


def test_points_are_taken_off_in_the_table_and_shown_on_the_page(graded, tmp_path: Path):
    done = with_lateness(graded, make_policy("2027-03-01 12:00", zone="UTC", late_days=1, penalty=20))
    write_reports(done, tmp_path / "out")
    with (tmp_path / "out" / "grades.csv").open(newline="") as file:
        table = {(row["student"], row["exercise"]): row for row in csv.DictReader(file)}
    ben = table["ben", "start_here.2"]
    assert (ben["points"], ben["points_before"], ben["days_late"], ben["percent_off"]) == ("1.6", "2", "2", "20.0")
    assert table["ada", "start_here.2"]["points"] == "2.0"
    page = student_page("ben", done)
    assert "2 days late" in page and "20% is taken off" in page and "4.8 of 6 points count" in page
    assert "1 of your late days covers it, 0 left" in page
    assert "in time" in student_page("ada", done) and "taken off" not in student_page("ada", done)
    assert "<h2>Late</h2>" in summary_page(done, counted(done), b"")
    assert rows(done) == rows(graded), "what was earned stays in the journal"
    assert (
        (tmp_path / "out" / "late.csv")
        .read_text()
        .splitlines()[2]
        .startswith("ben,00_start_here,2027-03-01 12:00+00:00")
    )
    write_reports(graded, tmp_path / "out")
    assert (
        not (tmp_path / "out" / "late.csv").exists()
        and "points_before" not in (tmp_path / "out" / "grades.csv").read_text()
    )


def test_a_damaged_file_later_does_not_make_the_kept_grade_late(graded, tmp_path: Path):
    path = hand_in(tmp_path / "sub", "ada", "")
    os.utime(path, (at("2027-04-01T10:00+00:00"),) * 2)
    again = with_lateness(grade(tmp_path / "sub", tmp_path / "out"), make_policy("2027-03-01 12:00", zone="UTC"))
    assert again.late["ada", ONE].days == 0


def test_the_command_says_who_was_late_and_what_is_missing(tmp_path: Path, without_sandbox: None):
    path = hand_in(tmp_path / "sub", "ada", notebook(HONEST, RIGHT))
    os.utime(path, (at("2027-03-03T10:00+00:00"),) * 2)
    command = ["grade", str(tmp_path / "sub"), "--out", str(tmp_path / "out"), "--jobs", "1"]
    done = CliRunner().invoke(
        app, [*command, "--due", "2027-03-01 12:00", "--time-zone", "UTC", "--gradebook", "moodle"]
    )
    assert done.exit_code == 0 and "Late: 1 of 1 submissions" in done.output
    assert (tmp_path / "out" / "gradebook_moodle.csv").read_text().splitlines()[1].endswith(",4.8")
    wrong = CliRunner().invoke(app, [*command, "--late-days", "2"])
    assert wrong.exit_code == 2 and "need a deadline" in wrong.output
    wrong = CliRunner().invoke(app, [*command, "--due", "tomorrow"])
    assert wrong.exit_code == 2 and "is no time" in wrong.output
