"""What checks are made of: call the learner's code safely, compare values by our own arithmetic, name the mistake."""

from __future__ import annotations

import copy
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mmcourse.check import values
from mmcourse.check.guard import explain, time_limit
from mmcourse.check.values import plain
from mmcourse.check.verdict import NotAttempted, Wrong

__all__ = ["agree", "assert_close", "call", "choice", "copied", "matches", "plain", "quietly", "refuted", "rng", "same"]

Hint = tuple[Any, str]


def rng(id: str) -> np.random.Generator:
    """The random numbers of a name: the same for every learner and every run. (Names are the first edition's ids.)"""
    return np.random.default_rng(zlib.crc32(id.encode()))


def call(function: Any, *args: Any, seconds: float = 20, **kwargs: Any) -> Any:
    """The learner's `function` on copies of the arguments.

    Raises
    ------
    Wrong
        If it is no function, raises, does not end, returns None, or changes what it was given.
    NotAttempted
        If it raises the blank's `NotImplementedError`.
    """
    if not callable(function):
        kind = values.kind(function)
        raise Wrong(f"A function is wanted, but the answer is {kind}. Pass its name, without calling it.")
    given, given_kw = tuple(map(copied, args)), {name: copied(value) for name, value in kwargs.items()}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), time_limit(seconds):
            warnings.simplefilter("ignore")
            result = function(*given, **given_kw)
    except NotImplementedError as error:
        if str(error) in ("", "your turn"):
            raise NotAttempted from None
        raise Wrong(explain(function, error, args, kwargs)) from None
    except (NotAttempted, Wrong):
        raise
    except (Exception, SystemExit) as error:
        raise Wrong(explain(function, error, args, kwargs)) from None
    _unchanged(given + tuple(given_kw.values()), args + tuple(kwargs.values()))
    if result is None:
        raise Wrong("Your function returns None. Did you forget `return`?")
    return result


def copied(value: Any) -> Any:
    """A deep copy; what cannot be copied (a tensor inside a graph, an open file) is handed over as it is."""
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def _unchanged(now: Sequence[Any], before: Sequence[Any]) -> None:
    for position, (new, old) in enumerate(zip(now, before, strict=True), start=1):
        if not values.identical(new, old):
            raise Wrong(
                f"Your function changes its input (argument {position}) in place: whoever called it loses the data. "
                "Work on a new array: `x = x * 2`, not `x *= 2`, or start with `x = x.copy()`."
            )


def assert_close(
    got: Any,
    want: Any,
    what: str = "The result",
    *,
    hints: Iterable[Hint] = (),
    names: Sequence[str] = (),
    atol: float = 1e-6,
    rtol: float = 1e-4,
) -> None:
    """Pass silently if `got` equals `want`; else raise `Wrong` with the likeliest mistake by name.

    Parameters
    ----------
    got : what the learner made: numbers, lists, arrays or tensors of any float width; text; tuples or dicts of those
    want : the right value. Its type decides what is accepted: bool only for bool, whole values only for int
    what : the subject of the message
    hints : (value, message) pairs: what a known mistake gives, and what to say to it. A value may be a function of
        no arguments. A hint that equals `want` here is passed over.
    names : names of the parts where `want` is a tuple
    """
    settings: dict[str, Any] = {"names": names, "atol": atol, "rtol": rtol}
    try:
        values.compare(got, want, what, **settings)
    except Wrong as generic:
        for value, message in hints:
            value = quietly(value)
            if matches(got, value, settings) and not matches(value, want, settings):
                where = f"\n{generic.where}" if isinstance(generic, values.Difference) else ""
                raise Wrong(message + where) from None
        raise


def quietly(value: Any) -> Any:
    """A mistake's value; a mistake that cannot even be computed here gives None, which equals nothing."""
    if not callable(value):
        return value
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return value()
    except Exception:
        return None


def matches(got: Any, value: Any, settings: dict) -> bool:
    """Whether two values count as equal under these settings."""
    try:
        values.compare(got, value, "", nan_equal=True, **settings)
    except (Wrong, NotAttempted):
        return False
    return True


same = assert_close  # as checks that have not moved to exercises.py call it


def agree(
    answer: Any,
    reference: Callable,
    inputs: Iterable[tuple],
    *,
    mistakes: Iterable[tuple[Callable, str]] = (),
    **settings: Any,
) -> None:
    """Call `answer` on each input tuple and hold it to `reference`; `mistakes` are (function, message) pairs.

    Put a small input first: it is shown in the message, so that the learner can repeat it by hand.
    """
    mistakes = list(mistakes)
    passed: list[tuple[tuple, Any]] = []
    for args in inputs:
        got, want = call(answer, *args), reference(*map(copied, args))
        try:
            assert_close(got, want, **settings)
        except Wrong:
            possible = [hint for hint in mistakes if not refuted(hint[0], passed, settings)]
            hints = [(lambda wrong=wrong, args=args: wrong(*map(copied, args)), text) for wrong, text in possible]
            try:
                assert_close(got, want, hints=hints, **settings)
            except Wrong as error:
                raise Wrong(f"{error}\nCalled as {values.format_call(answer, args)}.") from None
        passed.append((args, want))


def refuted(wrong: Callable, passed: Iterable[tuple[tuple, Any]], settings: dict) -> bool:
    """Whether the answer was right on an input where this mistake is not: then it is another mistake."""
    compared = {key: value for key, value in settings.items() if key != "what"}
    for args, want in passed:
        value = quietly(lambda args=args: wrong(*map(copied, args)))
        if value is not None and not matches(value, want, compared):
            return True
    return False


def choice(answer: Any, right: str, why_not: dict[str, str]) -> None:
    """A letter or word was to be chosen: `why_not` says of each other option why it is not the one."""
    if not isinstance(answer, str):
        raise Wrong(f"Answer with text, such as {min([right, *why_not])!r}; got {values.kind(answer)}.")
    chosen = str.strip(answer).lower()
    if chosen in why_not:
        raise Wrong(why_not[chosen])
    if chosen != right:
        options = ", ".join(repr(option) for option in sorted([right, *why_not]))
        raise Wrong(f"{chosen[:40]!r} is not one of the options: {options}.")
