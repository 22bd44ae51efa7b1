"""Hidden tests: parts of an exercise, on inputs that nobody can foretell without the course's secret.

They are written in `notebooks/src/SLUG/hidden.py`, outside the wheel, as inputs alone; what is right, and which
mistakes have a name, is taken from the public check. What a student may see of a part is its name and its advice.
"""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import RLock
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from mmcourse.authoring import select
from mmcourse.authoring.source import read
from mmcourse.check import NotAttempted, Wrong, agree, compare, info
from mmcourse.classroom.seal import hmac_digest
from mmcourse.classroom.variants import space, variant_cells
from mmcourse.exercise import Exercise, find
from mmcourse.exercise import parts as exercise_parts
from mmcourse.exercise.exercise import OWN_SEEDS

TRIES, MORE_TRIES = 10, 100  # draws for each part, and for a mistake that no part shows so far
GUESSED = "This could be a guess: it counts as soon as one of the other parts is right."
DIFFERENT = "Your result differs from the right one in this case."
RAISED = "Your function raised an error in this case."  # which one, a hidden input could have chosen
OWN_NUMBERS = "numbers of your own"  # the one part whose inputs the student has seen
ADVICE = {  # how a message of the checks begins → what may be shown of it
    "A function is wanted": "A function is wanted: pass its name, without calling it.",
    "Your function changes its input": "Your function changes its input in place: work on a copy.",
    "Your function returns None": "Your function returns None. Did you forget `return`?",
    "Your function raised TimeoutError": "Your function did not end in time. Does a loop never end?",
}


@dataclass(frozen=True)
class TestCase:
    """One part of an exercise: `judge(answer)` raises `Wrong` where it is not passed.

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


class Public(NamedTuple):
    """What the public check holds an answer to."""

    reference: Callable
    inputs: list[tuple]
    mistakes: list[tuple[Callable, str]]
    settings: dict[str, Any]


Inputs = list[tuple] | Callable[[], tuple]
Written = tuple[str, float, Inputs] | TestCase
_WRITTEN: dict[str, Callable[[np.random.Generator], Iterable[Written]]] = {}
_RECORDING = RLock()


def hidden(exercise: str) -> Callable:
    """Register a function of a generator that yields TestCases, or (name, weight, inputs).

    `inputs` is a list of argument tuples, or a function that draws one: the engine draws until mistakes are told apart.
    """

    def register(function: Callable) -> Callable:
        _WRITTEN[exercise] = function
        return function

    return register


# ---------------------------------------------------------------- grading
def grade_parts(exercise: str, answer: Any, secret: str, variant: dict[str, Any] | None = None) -> list[TestResult]:
    """Judge one answer, part by part; nothing that the answer does is raised."""
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
    except Wrong as error:
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
    return f"Your function raised {error}." if known else RAISED


# ---------------------------------------------------------------- parts
def parts(exercise: str, secret: str, variant: dict[str, Any] | None = None) -> list[TestCase]:
    """The parts of an exercise, their inputs drawn from (secret, exercise, variant).

    Raises
    ------
    FileNotFoundError
        Where the hidden tests are not: they are in the repository, not in an installed package.
    """
    return list(_parts(exercise, secret, tuple(sorted((variant or {}).items()))))


@lru_cache(maxsize=128)  # each run draws others
def _parts(exercise: str, secret: str, variant: tuple[tuple[str, Any], ...]) -> tuple[TestCase, ...]:
    g = np.random.default_rng(int.from_bytes(hmac_digest(secret, exercise, variant)))
    if data := find(exercise):
        if data.use is not None:  # the same for the whole class: what frameworks compute is computed once
            g = np.random.default_rng(int.from_bytes(hmac_digest(secret, exercise)))
        return tuple(_from_data(data, g, dict(variant)))
    write = _load(_lesson(exercise)).get(exercise)
    found = recorded(exercise, g)
    made = list(_own_case(exercise, dict(variant), found[0])) if found else []
    if write is None:
        made += _as_the_check(exercise, found, g)
    else:
        written = list(write(g))
        drawn = [item for item in written if not isinstance(item, TestCase)]
        made += [item for item in written if isinstance(item, TestCase)] + (_drawn(drawn, found[0]) if drawn else [])
    return tuple(made)


def _from_data(exercise: Exercise, g: np.random.Generator, variant: dict[str, Any]) -> Iterator[TestCase]:
    """The parts of an exercise that is written as data; first the student's own numbers, which the student has seen."""
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


def _agreeing(name: str, weight: float, inputs: list[tuple], public: Public) -> TestCase:
    """A part that holds the answer to the public check's reference on these inputs."""

    def judge(answer: Any) -> None:
        agree(answer, public.reference, inputs, mistakes=public.mistakes, **public.settings)

    results = [public.reference(*map(compare.copied, args)) for args in inputs]
    compared = {key: value for key, value in public.settings.items() if key != "what"}
    alike = all(compare.matches(result, results[0], compared) for result in results)
    return TestCase(name, weight, judge, tuple(text for _, text in public.mistakes), guessable=alike)


def _drawn(written: list[tuple[str, float, Inputs]], public: Public, least: int = 3) -> list[TestCase]:
    """Parts of some drawn inputs, and of those that tell a mistake apart; in the end each mistake shows somewhere."""
    inputs = [list(draw) if isinstance(draw, list) else [] for _, _, draw in written]
    untold = [public.mistakes for _ in written]

    def look(k: int, draw: Callable[[], tuple]) -> None:
        args = draw()
        passed = [(args, public.reference(*map(compare.copied, args)))]
        left = [mistake for mistake in untold[k] if not compare.refuted(mistake[0], passed, public.settings)]
        if len(inputs[k]) < least or len(left) < len(untold[k]):
            inputs[k].append(args)
        untold[k] = left

    drawing = [(k, draw) for k, (_, _, draw) in enumerate(written) if not isinstance(draw, list)]
    for k, draw in drawing * TRIES:
        if len(inputs[k]) < least or untold[k]:
            look(k, draw)
    for k, draw in drawing * MORE_TRIES:
        if any(all(mistake in left for left in untold) for mistake in public.mistakes):
            look(k, draw)
    return [_agreeing(name, weight, inputs[k], public) for k, (name, weight, _) in enumerate(written)]


def _own_case(exercise: str, variant: dict[str, Any], public: Public) -> Iterator[TestCase]:
    """The numbers of the student's own variant cell: the one part whose inputs the student has seen."""
    if text := _variant_texts(_lesson(exercise)).get(exercise):
        names: dict[str, Any] = {"np": np, "print": lambda *_, **__: None}
        exec(space(text).filled(variant), names)  # our own source, not a student's
        yield _agreeing(OWN_NUMBERS, 1, [names["yours"]], public)


@cache
def _variant_texts(lesson: str) -> dict[str, str]:
    source = read(select([lesson])[0].exercise_source)
    return {exercise: source.cells[index].source for exercise, index in variant_cells(source).items()}


def _as_the_check(exercise: str, found: list[Public], g: np.random.Generator) -> list[TestCase]:
    """Where no part is written: the public check itself, with secret random numbers."""
    if found:
        return [_agreeing("as the check says", 2, public.inputs, public) for public in found]
    judge = info(exercise).judge

    def salted(answer: Any) -> None:
        with _RECORDING, mock.patch.dict(judge.__globals__, rng=lambda _: g):
            judge(answer)

    return [TestCase("as the check says", 2, salted)]


def recorded(exercise: str, g: np.random.Generator) -> list[Public]:
    """What the public check would compare with, were its random numbers those of `g`."""
    judge, found = info(exercise).judge, []

    def record(_: Any, reference: Callable, inputs: Iterable, *, mistakes: Iterable = (), **settings: Any) -> None:
        found.append(Public(reference, list(inputs), list(mistakes), settings))

    with _RECORDING, mock.patch.dict(judge.__globals__, agree=record, rng=lambda _: g):
        try:
            judge(lambda *_: None)
        except Exception:  # a check that asks more than `agree` can: its parts are written by hand
            return []
    return found


def _lesson(exercise: str) -> str:
    """The slug in an exercise's id."""
    return exercise.partition(".")[0]


@cache
def _load(lesson: str) -> dict[str, Callable]:
    """The written parts of a lesson; none where it has no file."""
    folder = select([lesson])[0].home
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: the hidden tests are not here. Grade in a clone of the course's repository")
    path = folder / "hidden.py"
    if path.is_file():
        spec = importlib.util.spec_from_file_location(f"mmcourse_hidden_{lesson}", path)
        assert spec and spec.loader
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return {key: write for key, write in _WRITTEN.items() if _lesson(key) == lesson}
