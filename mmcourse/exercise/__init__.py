"""Exercises, each written once, as data.

For learners: `from mmcourse.check import check`. For authors, in `notebooks/src/SLUG/exercises.py`::

    from mmcourse.exercise import between, context, edit, example, exercise, lesson, part, right, says

CONTRIBUTING.md, "An exercise", takes you through one.
"""

from mmcourse.exercise.challenge import Array, Challenge, Drawn
from mmcourse.exercise.exercise import Exercise
from mmcourse.exercise.memo import remembered
from mmcourse.exercise.mutants import edit
from mmcourse.exercise.parts import between, in_turn, one_of, part
from mmcourse.exercise.probe import Kept, drawn_weights
from mmcourse.exercise.registry import (
    all_exercises,
    challenge,
    exercise,
    find,
    find_challenge,
    find_lesson,
    lesson,
    right,
)
from mmcourse.exercise.statement import context, example, paragraph, says

__all__ = ["Array", "Challenge", "Drawn", "Exercise", "Kept", "all_exercises", "between", "challenge", "context"]
__all__ += ["drawn_weights", "edit", "example", "exercise", "find", "find_challenge", "find_lesson", "in_turn"]
__all__ += ["lesson", "one_of", "paragraph", "part", "remembered", "right", "says"]
