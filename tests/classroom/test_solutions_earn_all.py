"""Whoever hands in the solutions of a lesson, graded as a class is, earns every point that its exercises give."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmcourse import authoring
from mmcourse.classroom.grade import grade
from mmcourse.classroom.release import release
from mmcourse.exercise import find_challenge

LESSONS = [lesson for lesson in authoring.lessons() if lesson.has_exercises]


@pytest.mark.parametrize("lesson", LESSONS, ids=[lesson.slug for lesson in LESSONS])
def test_the_solutions_earn_all_points(sandbox, tmp_path: Path, lesson: authoring.Lesson):
    """The challenge is left out: it is handed in as a file of its own (test_challenge_files)."""
    (tmp_path / "roster.csv").write_text("student\nada\n", encoding="utf-8")
    (tmp_path / "secret").write_text("a secret for tests only", encoding="utf-8")
    release([lesson.slug], tmp_path / "out", tmp_path / "roster.csv", secret=tmp_path / "secret")
    (tmp_path / "in" / "ada").mkdir(parents=True)
    shutil.copy(tmp_path / "out" / "solutions" / lesson.solution.name, tmp_path / "in" / "ada")
    graded = grade(tmp_path / "in", tmp_path / "graded", tmp_path / "out", hidden_seed="all points")
    assert not graded.problems
    (record,) = graded.records
    broken = [cell for cell in record["cells"] if "an open challenge is not run while grading" not in cell[-1]]
    assert not broken, "cells of the solutions that end with an error when graded"
    short = {
        exercise["id"]: (exercise["points"], exercise["max"], exercise["note"], exercise["parts"])
        for exercise in record["exercises"]
        if exercise["points"] != exercise["max"] and not find_challenge(exercise["id"])
    }
    assert not short
    assert len(record["exercises"]) > 1
