"""Wrong answers made from the reference: with a known mistake, or ignoring one sentence of the statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmcourse.exercise.mutants import make_mutant
from mmcourse.exercise.statement import Row

if TYPE_CHECKING:
    from mmcourse.exercise.exercise import Exercise, Mistake


def made(exercise: Exercise, mistake: Mistake) -> list[Callable]:
    """Answers that make one of the exercise's known mistakes."""
    return [mutant for mutant, message in exercise.mutants if message == mistake.message]


def ignoring(exercise: Exercise, row: Row) -> list[Callable]:
    """Answers that ignore one sentence of the statement."""
    if row.ignored is not None:
        return [make_mutant(exercise.reference, row.ignored)]
    named = [mistake for mistake in exercise.mistakes if row.mistake in mistake.message]
    if len(named) != 1:
        raise ValueError(f"mistake={row.mistake!r} is in {len(named)} messages, expected one")
    return made(exercise, named[0])
