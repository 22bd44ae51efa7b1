"""Plans for a term: whatever they name exists, the long one has every lesson, and hours are counted."""

from __future__ import annotations

import csv
import io

import pytest
from typer.testing import CliRunner

from mmcourse.authoring.catalogue import course_map, lessons
from mmcourse.classroom import plans
from mmcourse.classroom.plans import PlannedLesson, Week
from mmcourse.cli import app

PLANS = plans.plans()


@pytest.mark.parametrize("weeks", [12, 24])
def test_every_lesson_exercise_and_reading_exists(weeks: int):
    assert list(plans.problems(PLANS[weeks])) == []


def test_the_long_plan_has_every_lesson_of_the_map_in_order():
    assert PLANS[24].slugs == [entry.slug for entry in course_map()] and not PLANS[24].left_out


@pytest.mark.parametrize("weeks", [12, 24])
def test_no_lesson_comes_twice_and_none_is_forgotten(weeks: int):
    plan = PLANS[weeks]
    assert sorted([*plan.slugs, *plan.left_out]) == sorted(entry.slug for entry in course_map())
    assert len(plan.weeks) == weeks and all(week.assessment for week in plan.weeks)


def test_hours_are_the_cards_minutes_and_the_exercises_minutes():
    week = Week(1, (PlannedLesson("start_here", (1, 3)),), "")
    assert plans.reading_minutes("start_here") == 60 and week.minutes == 60 + 5 + 12
    assert week.row()[-1] == "1.3"


def test_every_lesson_that_is_here_says_how_long_it_takes():
    missing = [x.slug for x in lessons() if x.source.is_file() and not plans.reading_minutes(x.slug)]
    assert not missing, f"no `**Time to read:** N minutes` on the card of {missing}"


@pytest.mark.parametrize("weeks", [12, 24])
def test_no_week_asks_for_too_much(weeks: int):
    assert max(week.minutes for week in PLANS[weeks].weeks) <= 9 * 60


def test_a_lesson_that_is_not_here_yet_breaks_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plans, "lessons", lambda: [])
    plans.reading_minutes.cache_clear()
    try:
        row = Week(1, (PlannedLesson("capstone"),), "Project").row()
    finally:
        plans.reading_minutes.cache_clear()
    assert row[1] == "35 capstone (not here yet)" and row[-1].endswith("+") and "capstone" in row[3]


def test_what_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch):
    planned = (PlannedLesson("start_here", (1, 9), "arXiv 9999.99999"), PlannedLesson("nonsense"))
    said = list(plans.problems(plans.Plan("", (Week(1, planned, ""),))))
    assert said[0] == "nonsense: no lesson of the map" and "start_here.9: no such exercise" in said
    assert any("does not cite 'arXiv 9999.99999'" in text for text in said)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "plans.toml"
    path.write_text("[[plan]]\nweeks = 2\n")
    with pytest.raises(ValueError, match="damaged"):
        plans.plans(path)


def test_the_command_prints_both_forms():
    page = CliRunner().invoke(app, ["term", "plan", "--weeks", "12"])
    assert page.exit_code == 0 and page.output.count("\n| ") == 13 and "# A plan of 12 weeks" in page.output
    table = CliRunner().invoke(app, ["term", "plan", "--weeks", "24", "--format", "csv"])
    rows = list(csv.reader(io.StringIO(table.output)))
    assert rows[0] == list(plans.COLUMNS) and len(rows) == 25 and {len(row) for row in rows} == {6}
    for wrong in (["--weeks", "13"], ["--format", "pdf"]):
        assert CliRunner().invoke(app, ["term", "plan", *wrong]).exit_code == 2
