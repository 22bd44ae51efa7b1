"""Every exercise that is written as data does what it says: see `mmcourse.exercise.verify`."""

from __future__ import annotations

import pytest

from mmcourse.exercise import all_exercises
from mmcourse.exercise.verify import problems

EXERCISES = {x.id: x for x in all_exercises()}


@pytest.mark.parametrize("id", EXERCISES)
def test_exercise_is_sound(id: str):
    assert problems(EXERCISES[id]) == []
