"""Hidden tests: parts of an exercise, on inputs that nobody can foretell without the course's secret.

They come from the exercise itself: the same parts as the public check, drawn from another generator. What a student may
see of a part is its name and its advice.
"""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mmcourse.check import CheckFailed, NotAttempted, info
from mmcourse.classroom.seal import hmac_digest
from mmcourse.exercise import Exercise, find
from mmcourse.exercise import parts as exercise_parts
from mmcourse.exercise.exercise import OWN_SEEDS

GUESSED = "This could be a guess: it counts as soon as one of the other parts is right."
DIFFERENT = "Your result differs from the right one in this case."
RAISED = "Your function raised an error, or did not end in time, in this case."  # a hidden input could choose which
LATE = "Your function did not end in time. Does a loop never end?"
OWN_NUMBERS = "numbers of your own"  # the one part whose inputs the student has seen
ADVICE = {  # how a message of the checks begins → what may be shown of it
    "A function is wanted": "A function is wanted: pass its name, without calling it.",
    "Your function changes its input": "Your function changes its input in place: work on a copy.",
    "Your function returns None": "Your function returns None. Did you forget `return`?",
}


@dataclass(frozen=True)
class TestCase:
    """One part of an exercise: `judge(answer)` raises `CheckFailed` where it is not passed.

    A `guessable` part has one right answer for all its inputs: whoever always says that has not solved anything.
    """

    name: str
    weight: float
    judge: Callable[[Any], object]
    mistakes: tuple[str, ...] = ()
    advice: str = DIFFERENT
    guessable: bool = False


class TestResult(NamedTuple):
    """What came of one part; nothing here tells an input or an expected value."""

    name: str
    weight: float
    passed: bool
    advice: str


# ---------------------------------------------------------------- grading
def grade_parts(exercise: str, answer: Any, secret: str, variant: dict[str, Any] | None = None) -> list[TestResult]:
    """Judge one answer, part by part; nothing that the answer does is raised, and nothing is warned of.

    nbgrader takes whatever is on stderr for a failure: a warning of the reference would cost every point.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        asked = parts(exercise, secret, variant)
        outcomes = [_outcome(part, answer) for part in asked]
    telling = [x.passed for x, part in zip(outcomes, asked, strict=True) if not part.guessable]
    if telling and not any(telling):
        return [x._replace(passed=False, advice=GUESSED) if x.passed else x for x in outcomes]
    return outcomes


def score(outcomes: Iterable[TestResult]) -> float:
    """What was earned, between 0 and 1."""
    outcomes = list(outcomes)
    return sum(x.weight for x in outcomes if x.passed) / sum(x.weight for x in outcomes)


def _outcome(part: TestCase, answer: Any) -> TestResult:
    try:
        if answer is ... or answer is None:
            raise NotAttempted
        part.judge(answer)
    except NotAttempted:
        return TestResult(part.name, part.weight, False, "Not attempted yet.")
    except CheckFailed as error:
        return TestResult(part.name, part.weight, False, _advice(str(error), part))
    except Exception:  # an answer odd enough to break the judge itself is still only a wrong answer
        return TestResult(part.name, part.weight, False, "This answer could not be judged.")
    return TestResult(part.name, part.weight, True, "")


def _advice(message: str, part: TestCase) -> str:
    """The sentence that fits, out of fixed ones: an error's own text could carry a hidden input to the student."""
    for text in part.mistakes:
        if message.startswith(text):
            return text
    for start, advice in ADVICE.items():
        if message.startswith(start):
            return advice
    if not message.startswith("Your function raised "):
        return part.advice
    error = message.removeprefix("Your function raised ").partition(":")[0].split("\n")[0]
    known = part.name == OWN_NUMBERS and hasattr(builtins, error) and error.isalpha()
    if not known:
        return RAISED
    return LATE if error == "TimeoutError" else f"Your function raised {error}."


# ---------------------------------------------------------------- parts
def parts(exercise: str, secret: str, variant: dict[str, Any] | None = None) -> list[TestCase]:
    """The parts of an exercise, their inputs drawn from (secret, exercise, variant).

    Raises
    ------
    ValueError
        If there is no such exercise.
    """
    return list(_parts(exercise, secret, tuple(sorted((variant or {}).items()))))


@lru_cache(maxsize=128)  # each run draws others
def _parts(exercise: str, secret: str, variant: tuple[tuple[str, Any], ...]) -> tuple[TestCase, ...]:
    found = find(exercise)
    if found is None:
        info(exercise)  # raises, and names the nearest ones
    assert found is not None
    # The same for the whole class where a framework computes: what it gives is computed once.
    key = (secret, exercise, variant) if found.use is None else (secret, exercise)
    g = np.random.default_rng(int.from_bytes(hmac_digest(*key)))
    return tuple(_drawn(found, g, dict(variant)))


def _drawn(exercise: Exercise, g: np.random.Generator, variant: dict[str, Any]) -> Iterator[TestCase]:
    """The parts of an exercise; first the student's own numbers, which the student has seen."""
    own = exercise.own_input(variant.get("seed", OWN_SEEDS[0]))
    if own is not None:
        yield _part_of(exercise, exercise_parts.Part(OWN_NUMBERS), [own])
    for part, inputs in exercise.hidden_inputs(g):
        yield _part_of(exercise, part, inputs)


def _part_of(exercise: Exercise, part: exercise_parts.Part, inputs: list[tuple]) -> TestCase:
    """One part with its inputs, as grading needs it."""
    drawn = [(part, args) for args in inputs]
    messages = tuple(mistake.message for mistake in exercise.mistakes)
    guessable = exercise.same_result(part, inputs)
    return TestCase(
        part.name,
        part.weight,
        lambda answer: exercise.check_on(answer, drawn),
        messages,
        part.advice or DIFFERENT,
        guessable,
    )
