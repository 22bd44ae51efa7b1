"""Does an exercise do what it says? Asked by `mmcourse build` and by the tests, never at import.

Each mistake can be made, is shown by the public check and by a hidden part, and gets its own message; each sentence of
the statement has an input that fails when it is ignored; every argument varies; every right answer is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mmcourse.exercise.exercise import OWN_SEEDS, Exercise
from mmcourse.exercise.mistaken import ignoring, made
from mmcourse.exercise.mutants import MutantError
from mmcourse.exercise.notebook import argument_names, literal, own_cell
from mmcourse.exercise.parts import Part
from mmcourse.exercise.verdict import CheckFailed, NotAttempted

HIDDEN_SEEDS = (1, 2)
OWN_NUMBERS_AT_MOST = 40  # numbers and words of a student's own case: they are written out in the notebook


def problems(exercise: Exercise) -> list[str]:
    """Everything that is wrong with an exercise, one sentence each; empty when it is sound."""
    try:
        exercise.mutants  # noqa: B018
    except MutantError as error:
        return [f"{exercise.id}: {error}"]
    if message := verdict(exercise, exercise.reference):
        return [f"{exercise.id}: the reference itself is refused: {message}"]
    found = [*_right_answers(exercise), *_mistakes(exercise), *_statement(exercise)]
    found += [*_arguments(exercise), *_own_numbers(exercise)]
    return [f"{exercise.id}: {problem}" for problem in found]


def verdict(exercise: Exercise, answer: Callable) -> str:
    """An empty string if the public check accepts the answer, else its message."""
    try:
        exercise.check(answer)
    except CheckFailed as error:
        return str(error)
    except NotAttempted:
        return "not attempted"
    return ""


def failed_parts(exercise: Exercise, answer: Callable, seed: int) -> Iterator[str]:
    """Names of the hidden parts, drawn from this seed, that the answer does not pass."""
    for part, inputs in hidden_inputs(exercise, seed):
        try:
            exercise.check_on(answer, [(part, args) for args in inputs])
        except (CheckFailed, NotAttempted):
            yield part.name


def loses(exercise: Exercise, answer: Callable, seed: int) -> bool:
    """Whether some hidden part, drawn from this seed, is not passed."""
    return next(failed_parts(exercise, answer, seed), None) is not None


def hidden_seeds(exercise: Exercise) -> tuple[int, ...]:
    """Seeds of hidden inputs to try; one where answers run in a framework, which takes its time."""
    return HIDDEN_SEEDS[:1] if exercise.use is not None else HIDDEN_SEEDS


def hidden_inputs(exercise: Exercise, seed: int) -> list[tuple[Any, list[tuple]]]:
    """The hidden parts with inputs drawn from a seed; drawn once."""
    drawn = exercise.__dict__.setdefault("_drawn_for_verification", {})
    if seed not in drawn:
        drawn[seed] = exercise.hidden_inputs(np.random.default_rng(seed))
    return drawn[seed]


# ---------------------------------------------------------------- answers
def _right_answers(exercise: Exercise) -> Iterator[str]:
    for answer in [exercise.reference, *exercise.right]:
        name = getattr(answer, "__name__", "a right answer")
        if message := verdict(exercise, answer):
            yield f"the right answer `{name}` is refused: {message}"
        for seed in hidden_seeds(exercise):
            for part in failed_parts(exercise, answer, seed):
                yield f"the right answer `{name}` fails the hidden part {part!r} (seed {seed})"


def _mistakes(exercise: Exercise) -> Iterator[str]:
    for mistake in exercise.mistakes:
        for answer in made(exercise, mistake):
            message = verdict(exercise, answer)
            if not message:
                yield f"no public input shows the mistake {mistake.message!r}"
            elif not message.startswith(mistake.message):
                yield f"the mistake {mistake.message!r} gets another message: {message!r}"
            for seed in hidden_seeds(exercise):
                if message and not loses(exercise, answer, seed):
                    yield f"no hidden part (seed {seed}) shows the mistake {mistake.message!r}"


# ---------------------------------------------------------------- statement
def _statement(exercise: Exercise) -> Iterator[str]:
    for row in exercise.statement:
        if row.kind != "says":
            continue
        try:
            answers = ignoring(exercise, row)
        except (MutantError, ValueError) as error:
            yield f"statement {row.text[:60]!r}: {error}"
            continue
        for answer in answers:
            if not verdict(exercise, answer):
                yield f"statement {row.text[:60]!r}: no public input fails when it is ignored"
            for seed in hidden_seeds(exercise):
                if not loses(exercise, answer, seed):
                    yield f"statement {row.text[:60]!r}: no hidden part (seed {seed}) fails when it is ignored"


def rows_and_parts(exercise: Exercise) -> Iterator[tuple[str, list[str]]]:
    """(sentence of the statement or message of a mistake, parts with a public input that shows it ignored or made)."""
    for row in exercise.statement:
        if row.kind == "says":
            shown = [parts_that_show(exercise, answer) for answer in ignoring(exercise, row)]
            yield f"says: {row.text}", list(dict.fromkeys(sum(shown, [])))
    for mistake in exercise.mistakes:
        shown = [parts_that_show(exercise, answer) for answer in made(exercise, mistake)]
        yield f"mistake: {mistake.message}", list(dict.fromkeys(sum(shown, [])))


def parts_that_show(exercise: Exercise, answer: Callable) -> list[str]:
    """Names of the parts with a public input on which this answer is wrong."""
    names = [part.name for part, args in exercise.public_inputs if _is_wrong(exercise, answer, part, args)]
    return list(dict.fromkeys(names))


def _is_wrong(exercise: Exercise, answer: Callable, part: Any, args: tuple) -> bool:
    try:
        exercise.check_on(answer, [(part, args)])
    except (CheckFailed, NotAttempted):
        return True
    return False


# ---------------------------------------------------------------- inputs
def _arguments(exercise: Exercise) -> Iterator[str]:
    """Every argument varies, and so does the shape of every array, unless `constant` says why not."""
    inputs = [args for _, args in exercise.public_inputs]
    names = argument_names(exercise)
    if unknown := set(exercise.constant) - set(names):
        yield f"constant: there is no argument {sorted(unknown)[0]!r}"
    for position, name in enumerate(names):
        if name in exercise.constant:
            continue
        values = [args[position] for args in inputs if position < len(args)]
        if exercise.use is not None and isinstance(values[0], dict):  # weights, whose shapes follow from the sizes
            continue
        if len({_fingerprint(value) for value in values}) < 2:
            yield f"the argument `{name}` is the same in all public inputs; vary it, or say why in `constant`"
        sizes = {_size(value) for value in values}
        if None not in sizes and len(sizes) < 2:
            yield f"the argument `{name}` has one size in all public inputs; vary it, or say why in `constant`"


def _fingerprint(value: Any) -> str:
    try:
        return literal(value)
    except TypeError:
        return repr(value)


def _size(value: Any) -> Any:
    """Shape of an array, length of a container; None for a single value."""
    if isinstance(value, np.ndarray):
        return value.shape
    return len(value) if isinstance(value, (list, tuple, dict)) else None


def _own_numbers(exercise: Exercise) -> Iterator[str]:
    if exercise.own is None:
        if exercise.use is None:
            yield "no student has numbers of their own: give `own=`"
        return
    cases = [exercise.own_input(seed) for seed in OWN_SEEDS]
    if len({_fingerprint(case) for case in cases}) < len(cases):
        yield "two students' own numbers are the same: let `own=` vary more"
    if max(own_cell(exercise, seed).count(",") for seed in list(OWN_SEEDS)[:5]) > OWN_NUMBERS_AT_MOST:
        yield f"more than {OWN_NUMBERS_AT_MOST} own numbers: choose smaller ones, they are written out"
    for answer in [exercise.reference, *exercise.right]:
        for case in cases[:5]:
            try:
                exercise.check_on(answer, [(Part("numbers of your own"), case)])  # type: ignore[list-item]
            except (CheckFailed, NotAttempted) as error:
                yield f"the right answer `{answer.__name__}` is wrong on a student's own numbers: {error}"
