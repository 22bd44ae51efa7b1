"""Running a learner's code: endless loops are stopped, and errors are explained in plain words."""

from __future__ import annotations

import inspect
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmcourse.exercise import values


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError inside the block after `seconds`; without alarms (Windows, threads) there is no limit."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise TimeoutError(f"no result after {seconds:g} s; does a loop never end?")

    before = signal.signal(signal.SIGALRM, ring)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def explain(function: Any, error: BaseException, args: tuple, kwargs: dict) -> str:
    """The error, the learner's own line where it happened, and the input that caused it."""
    message = f"Your function raised {type(error).__name__}: {error}".rstrip(": ")
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first frame is ours
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame for frame in frames if frame.filename == file] or frames[:1]
    if own:
        name = "your function" if own[-1].name == "<lambda>" else f"`{own[-1].name}`"
        message += f"\nIn {name}, line {own[-1].lineno}" + (f": `{own[-1].line}`" if own[-1].line else "")
    elif not frames:
        message += "\nIt could not even be called: do the names and number of its arguments match the exercise?"
    if hasattr(function, "describe_input"):
        return f"{message}\n{function.describe_input(args)}."
    return f"{message}\nThe input was {_described_by_name(function, args, kwargs)}."


def _described_by_name(function: Any, args: tuple, kwargs: dict) -> str:
    """Several arguments by the names that the function gives them; one alone, or where it names none, as it is."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[: len(args)]
    except (TypeError, ValueError):
        parameters = []
    plain = inspect.Parameter.POSITIONAL_OR_KEYWORD
    if len(args) < 2 or len(parameters) < len(args) or any(p.kind is not plain for p in parameters):
        return values.described(args, kwargs)
    return values.described((), {p.name: arg for p, arg in zip(parameters, args, strict=True)} | kwargs)
