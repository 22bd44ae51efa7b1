"""A hundred points, caps that no row can make up for, and questions from different rows."""

from __future__ import annotations

import pytest

from mmcourse.capstone.defense import all_questions, defense_seed, draw_questions
from mmcourse.capstone.new import EXAMPLES
from mmcourse.capstone.project import read_project
from mmcourse.capstone.rubric import as_text, rubric, total

ROWS, CAPS = rubric()
FULL = {row.name: row.points for row in ROWS}


def test_the_rows_give_a_hundred_points():
    assert [row.points for row in ROWS] == [10, 15, 15, 15, 20, 15, 10] and sum(FULL.values()) == 100


@pytest.mark.parametrize(
    ("faults", "points"),
    [
        ((), 100),
        (("leak",), 50),
        (("above ceiling",), 50),
        (("no baseline",), 60),
        (("no interval",), 90),
        (("leak", "no baseline", "no interval"), 50),
    ],
)
def test_caps(faults, points):
    assert total(FULL, faults) == points


def test_what_is_taken_off_comes_before_the_cap_and_nobody_owes_points():
    assert total(FULL | {"data": 0, "evaluation": 0, "method": 0}, ["no interval", "leak"]) == 40
    assert total(dict.fromkeys(FULL, 0) | {"data": 5}, ["no interval"]) == 0


@pytest.mark.parametrize(
    ("points", "faults", "says"),
    [({"data": 5}, (), "one number for each"), (FULL | {"data": 16}, (), "0 to 15"), (FULL, ("ugly",), "no fault")],
)
def test_what_the_rubric_does_not_know_is_refused(points, faults, says):
    with pytest.raises(ValueError, match=says):
        total(points, faults)


def test_the_page_fits_the_notebook():
    lines = as_text().splitlines()
    assert max(map(len, lines)) <= 88 and all(any(row.title in line for line in lines) for row in ROWS)


def test_questions_come_from_different_rows_and_stay_the_same():
    project = read_project(EXAMPLES / "good")
    drawn = draw_questions(project, 3)
    assert len(drawn) == 5 == len({question.row for question in drawn}) and drawn == draw_questions(project, 3)
    assert {question.row for question in all_questions()} == set(FULL)
    assert any(draw_questions(project, seed) != drawn for seed in range(4, 9))
    assert defense_seed(project) != defense_seed(project, "a secret")
    with pytest.raises(ValueError, match="1 to 7"):
        draw_questions(project, 3, number=8)


def test_every_blank_of_a_question_is_filled_in():
    project = read_project(EXAMPLES / "good")
    asked = [question.text for seed in range(60) for question in draw_questions(project, seed, number=7)]
    assert len(set(asked)) == len(all_questions()) and not [text for text in asked if "{" in text]
    assert any("0.803" in text for text in asked)
