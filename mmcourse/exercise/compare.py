"""Hold an answer to a reference on several inputs, and name the mistake that explains what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmcourse.check import CheckFailed, NotAttempted, call
from mmcourse.check.compare import assert_close, copied, matches, quietly
from mmcourse.check.values import format_call

Mutant = tuple[Callable, str]


def differs(answer: Callable, reference: Callable, args: tuple, settings: Any) -> bool:
    """Whether a mistake shows on this input: it can be computed, and its value is not the right one."""
    value = quietly(lambda: answer(*map(copied, args)))
    if value is None:
        return False
    return not matches(value, reference(*map(copied, args)), _compared(settings))


def check_against_reference(
    answer: Any,
    reference: Callable,
    inputs: Sequence[tuple],
    *,
    mistakes: Sequence[Mutant] = (),
    **settings: Any,
) -> None:
    """Call `answer` on each input and compare with `reference`.

    At the first difference, the first mistake is named that gives the same value there and was not refuted by any
    other input, before or after it. Where only values of chance agree, no mistake is named.

    Raises
    ------
    CheckFailed
        With the mistake by name, the first difference, the call, and on how many inputs the answer was right.
    NotAttempted
        If the blank is still there.
    """
    results: list[tuple[tuple, Any, Any]] = []
    for k, args in enumerate(inputs):
        got, want = call(answer, *args), reference(*map(copied, args))
        try:
            assert_close(got, want, **settings)
        except CheckFailed as difference:
            named = _named(answer, reference, inputs, k, got, results, mistakes, settings)
            raise CheckFailed(f"{_message(difference, named)}\n{_where(answer, args, k)}") from None
        results.append((args, got, want))


def _message(difference: CheckFailed, named: str) -> str:
    if not named:
        return str(difference)
    where = getattr(difference, "where", "")
    return f"{named}\n{where}" if where else named


def _where(answer: Any, args: tuple, before: int) -> str:
    """The call as code, and on how many inputs before it the answer was right."""
    text = f"Called as {format_call(answer, args)}"
    if not before:
        return f"{text}."
    many = "the input" if before == 1 else f"the {before} inputs"
    return f"{text}; right on {many} before this one."


def _named(
    answer: Any,
    reference: Callable,
    inputs: Sequence[tuple],
    k: int,
    got: Any,
    results: Sequence[tuple[tuple, Any, Any]],
    mistakes: Sequence[Mutant],
    settings: dict[str, Any],
) -> str:
    """Message of the mistake that explains the answer's results; "" if none does."""
    compared = _compared(settings)
    right = reference(*map(copied, inputs[k]))

    def explains(mutant: Mutant, args: tuple, value: Any) -> bool | None:
        """True or False; None where the mistake cannot be computed."""
        made = quietly(lambda: mutant[0](*map(copied, args)))
        return None if made is None else matches(value, made, compared)

    possible = []
    for mutant in mistakes:
        made = quietly(lambda mutant=mutant: mutant[0](*map(copied, inputs[k])))
        if made is not None and matches(got, made, compared) and not matches(made, right, compared):
            if all(explains(mutant, args, value) is not False for args, value, _ in results):
                possible.append(mutant)
    if not possible:
        return ""
    left = possible
    for args in inputs[k + 1 :]:
        try:
            value = call(answer, *args)
        except (CheckFailed, NotAttempted):
            break
        left = [mutant for mutant in left if explains(mutant, args, value) is not False]
        if not left:
            return possible[0][1] if _is_telling(got) else ""
    return left[0][1]


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


def _compared(settings: Any) -> dict[str, Any]:
    return {key: value for key, value in dict(settings).items() if key != "what"}
