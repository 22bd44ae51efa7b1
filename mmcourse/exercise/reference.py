"""Hold an answer to a reference on several inputs, and name the mistake that explains what came."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmcourse.exercise.compare import assert_close, call, copied, matches, quietly
from mmcourse.exercise.values import format_call
from mmcourse.exercise.verdict import CheckFailed, NotAttempted

Mutant = tuple[Callable, str]


class Unexplained(CheckFailed):
    """A difference, or an error of the answer's own, that no known mistake explains."""


@dataclass(frozen=True)
class Comparison:
    """How results are compared and shown: plain values as they are; what probes bring out, in its own way."""

    settings: Mapping[str, Any]
    close: Callable[..., None] = assert_close
    match: Callable[[Any, Any, dict[str, Any]], bool] = matches
    show: Callable[[Any, tuple], str] = lambda answer, args: f"Called as {format_call(answer, args)}"
    seconds: float = 20

    def check(self, got: Any, want: Any) -> None:
        """Raise `CheckFailed` with the first difference."""
        self.close(got, want, **self.settings)

    def matches(self, got: Any, value: Any) -> bool:
        """Whether two results count as equal."""
        return self.match(got, value, {key: value for key, value in self.settings.items() if key != "what"})


def differs(answer: Callable, reference: Callable, args: tuple, comparison: Comparison) -> bool:
    """Whether a mistake shows on this input: it can be computed, and its value is not the right one."""
    value = quietly(lambda: answer(*map(copied, args)))
    if value is None:
        return False
    return not comparison.matches(value, reference(*map(copied, args)))


def check_against_reference(
    answer: Any,
    reference: Callable,
    inputs: Sequence[tuple],
    comparison: Comparison,
    mistakes: Sequence[Mutant] = (),
) -> None:
    """Call `answer` on each input and compare with `reference`.

    At the first difference, the first mistake is named that gives the same value there and was not refuted by any
    other input, before or after it. Where all are refuted, the one is named that explains most of what is wrong, if
    that is half of it or more. Where only values of chance agree, no mistake is named.

    Raises
    ------
    CheckFailed
        With the mistake by name, the first difference, the call, and on how many inputs the answer was right.
    Unexplained
        If no mistake explains it, or the answer raised an error.
    NotAttempted
        If the blank is still there.
    """
    results: list[tuple[tuple, Any]] = []
    for k, args in enumerate(inputs):
        try:
            got = call(answer, *args, seconds=comparison.seconds)
        except CheckFailed as failure:
            if str(failure).startswith(("Your function raised", "Your function returns None")):
                raise Unexplained(str(failure)) from None
            raise
        try:
            comparison.check(got, reference(*map(copied, args)))
        except CheckFailed as difference:
            named = _named(answer, reference, inputs[k:], got, results, comparison, mistakes)
            where = _where(comparison.show(answer, args), k)
            kind = CheckFailed if named else Unexplained
            raise kind(f"{_message(difference, named)}\n{where}") from None
        results.append((args, got))


def _message(difference: CheckFailed, named: str) -> str:
    if not named:
        return str(difference)
    where = getattr(difference, "where", "")
    return f"{named}\n{where}" if where else named


def _where(shown: str, before: int) -> str:
    """The call as code, and on how many inputs before it the answer was right."""
    if not before:
        return f"{shown}."
    many = "the input" if before == 1 else f"the {before} inputs"
    return f"{shown}; right on {many} before this one."


def _named(
    answer: Any,
    reference: Callable,
    inputs: Sequence[tuple],
    got: Any,
    earlier: Sequence[tuple[tuple, Any]],
    comparison: Comparison,
    mistakes: Sequence[Mutant],
) -> str:
    """Message of the mistake that explains the answer's results; "" if none does.

    `inputs` begin with the one that failed, where `got` came out; `earlier` holds inputs with the right results.
    """
    right = reference(*map(copied, inputs[0]))

    def explains(mutant: Mutant, args: tuple, value: Any) -> bool | None:
        """True or False; None where the mistake cannot be computed."""
        made = quietly(lambda: mutant[0](*map(copied, args)))
        return None if made is None else comparison.matches(value, made)

    possible = []
    for mutant in mistakes:
        made = quietly(lambda mutant=mutant: mutant[0](*map(copied, inputs[0])))
        if made is None or not comparison.matches(got, made) or comparison.matches(made, right):
            continue
        if all(explains(mutant, args, value) is not False for args, value in earlier):
            possible.append(mutant)
    if not possible:
        return ""
    left, shown, wrong = list(possible), dict.fromkeys(range(len(possible)), 1), 1
    for args in inputs[1:]:
        try:
            value = call(answer, *args, seconds=comparison.seconds)
        except (CheckFailed, NotAttempted):
            break
        is_wrong = not comparison.matches(value, reference(*map(copied, args)))
        wrong += is_wrong
        for k, mutant in enumerate(possible):
            explained = explains(mutant, args, value)
            if explained is False and mutant in left:
                left.remove(mutant)
            shown[k] += bool(explained and is_wrong)
    if left:
        return left[0][1]
    most = max(shown, key=lambda k: shown[k])  # the first of those that explain as much
    return possible[most][1] if _is_telling(got) and 2 * shown[most] >= wrong else ""


def _is_telling(value: Any) -> bool:
    """Whether two answers hardly give the same value by chance: it holds numbers that are not whole."""
    if isinstance(value, dict):
        return any(_is_telling(item) for item in value.values())
    if isinstance(value, (tuple, list)):
        return any(_is_telling(item) for item in value)
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return False
    return bool(np.any(array != np.round(array)))
