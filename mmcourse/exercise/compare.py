"""What checks are made of: call the learner's code safely, compare values by our own arithmetic, name the mistake."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mmcourse.exercise import values
from mmcourse.exercise.guard import explain, time_limit
from mmcourse.exercise.values import to_numpy
from mmcourse.exercise.verdict import CheckFailed, NotAttempted

__all__ = ["assert_close", "call", "copied", "matches", "quietly", "to_numpy"]

Hint = tuple[Any, str]


def call(function: Any, *args: Any, seconds: float = 20, **kwargs: Any) -> Any:
    """The learner's `function` on copies of the arguments.

    Raises
    ------
    CheckFailed
        If it is no function, raises, does not end, returns None, or changes what it was given.
    NotAttempted
        If it raises the blank's `NotImplementedError`.
    """
    if not callable(function):
        kind = values.describe_type(function)
        raise CheckFailed(f"A function is wanted, but the answer is {kind}. Pass its name, without calling it.")
    given, given_kw = tuple(map(copied, args)), {name: copied(value) for name, value in kwargs.items()}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), time_limit(seconds):
            warnings.simplefilter("ignore")
            result = function(*given, **given_kw)
    except NotImplementedError as error:
        if str(error) in ("", "your turn"):
            raise NotAttempted from None
        raise CheckFailed(explain(function, error, args, kwargs)) from None
    except (NotAttempted, CheckFailed):
        raise
    except (Exception, SystemExit) as error:
        raise CheckFailed(explain(function, error, args, kwargs)) from None
    _unchanged(given + tuple(given_kw.values()), args + tuple(kwargs.values()))
    if result is None:
        raise CheckFailed("Your function returns None. Did you forget `return`?")
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
            raise CheckFailed(
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
    """Pass silently if `got` equals `want`; else raise `CheckFailed` with the likeliest mistake by name.

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
    except CheckFailed as generic:
        for value, message in hints:
            value = quietly(value)
            if matches(got, value, settings) and not matches(value, want, settings):
                where = f"\n{generic.where}" if isinstance(generic, values.Difference) else ""
                raise CheckFailed(message + where) from None
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
        values.compare(got, value, "", nan_equal=True, advise=False, **settings)
    except (CheckFailed, NotAttempted):
        return False
    return True
