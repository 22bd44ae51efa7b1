"""Answers that are modules, layers, losses or training functions: used by a probe, judged by what comes out.

A probe is a function of an exercise's author, `use(probe, answer, *inputs)`. It runs where the answer is, here or in
the grading sandbox, and yields dicts of plain values, one for each way in which weights could be copied. Inputs go in
and arrays come out; what is right is known outside only.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmcourse.exercise.compare import assert_close, matches
from mmcourse.exercise.mutants import source_of
from mmcourse.exercise.values import described
from mmcourse.exercise.verdict import CheckFailed

HELPERS = {"torch": "torch_probe", "keras": "keras_probe"}
Result = list[dict[str, Any]]


class Kept:
    """An argument that stays with the judge: labels of held-out data. Probes never see it."""

    def __init__(self, value: Any):
        self.value = value

    def __repr__(self) -> str:
        return "<kept by the judge>"


def without_kept(args: tuple) -> tuple:
    """The arguments that go to the probe."""
    return tuple(value for value in args if not isinstance(value, Kept))


class Probed:
    """An answer as a function of inputs: calling it uses the answer by the probe and gives what came out.

    Parameters
    ----------
    answer : a class or function, or the sandbox's stand-in for one, which has `run_probe`
    framework : "torch" or "keras"
    use : the author's probe
    """

    def __init__(self, answer: Any, framework: str, use: Callable):
        self.answer, self.framework, self.use = answer, framework, use
        if not hasattr(answer, "run_probe"):
            _load_in_time(framework, use)
        self.__name__ = getattr(answer, "__name__", type(answer).__name__)
        code = getattr(answer, "__code__", None) or _method_code(answer)
        if code is not None:
            self.__code__ = code  # where an error's own lines are looked for

    def describe_input(self, args: tuple) -> str:
        """With which input it was tried, for the message of an error."""
        return format_use(self.answer, self.use, args)

    @property
    def text(self) -> tuple[str, str, str]:
        """What the sandbox is sent: the helpers, the probe, and the probe's name."""
        return helper_source(self.framework), source_of(self.use), self.use.__name__

    def __call__(self, *args: Any) -> Result:
        args = without_kept(args)
        if hasattr(self.answer, "run_probe"):
            return checked(self.answer.run_probe(*self.text, args))
        return run(helper(self.framework), self.use, self.answer, args)


def run(probe: Any, use: Callable, answer: Any, args: tuple) -> Result:
    """What the probe brings out; a `Problem` becomes {"problem": its message}."""
    with probe.preserved_generators():
        try:
            return [dict(way) for way in use(probe, answer, *args)]
        except probe.Problem as problem:
            return [{"problem": str(problem)}]


def checked(result: Any) -> Result:
    """What came out of a sandbox, if it is what a probe gives: a list of dicts of plain values.

    Raises
    ------
    CheckFailed
        If it is something else.
    """
    if isinstance(result, list) and result and all(isinstance(way, dict) for way in result):
        return result
    raise CheckFailed("This answer could not be used.")


@cache
def helper(framework: str) -> Any:
    """The helper module of a framework; loads the framework."""
    return importlib.import_module(f"mmcourse.exercise.{HELPERS[framework]}")


@cache
def _load_in_time(framework: str, use: Callable) -> None:
    """Load all that a probe needs before any limit on time: a module whose loading was cut short stays broken."""
    helper(framework)
    if framework == "torch" and "optim" in source_of(use):
        importlib.import_module("torch._dynamo")  # which the first optimizer loads


@cache
def helper_source(framework: str) -> str:
    """Its text, for the sandbox; no framework is loaded."""
    return Path(__file__).with_name(f"{HELPERS[framework]}.py").read_text(encoding="utf-8")


def _method_code(answer: Any) -> Any:
    """Code of a method of a class, which names the file that it was written in."""
    for name in ("forward", "call", "__init__"):
        code = getattr(vars(answer).get(name) if isinstance(answer, type) else None, "__code__", None)
        if code is not None:
            return code
    return None


# ---------------------------------------------------------------- comparing
def assert_close_probed(got: Result, want: Result, **settings: Any) -> None:
    """Pass if one way of copying weights gives what the reference gives; else raise `CheckFailed`.

    The first thing that differs is reported, in the order in which the probe brings them out.
    """
    right = want[0]
    if any(matches(way, right, _compared(settings)) for way in got):
        return
    way = got[0]
    if "problem" in way:
        raise CheckFailed(str(way["problem"]))
    for name, value in right.items():
        if name not in way:
            raise CheckFailed(f"{_begun(name)} did not come out.")
        assert_close(way[name], value, _begun(name), **_compared(settings))
    raise CheckFailed("This answer could not be judged.")


def matches_probed(got: Any, made: Any, settings: dict[str, Any]) -> bool:
    """Whether one way of copying weights gives what a mistake gives."""
    ways, other = (value if isinstance(value, list) else [value] for value in (got, made))
    return any(matches(way, other[0], settings) for way in ways)


def format_use(answer: Any, use: Callable, args: tuple) -> str:
    """With which inputs an answer was tried, by the names of the probe's arguments."""
    names = list(inspect.signature(use).parameters)[2:]
    given = zip(names, without_kept(args), strict=False)
    told = [f"{name} = {described((value,), {})}" for name, value in given if not isinstance(value, dict)]
    return f"Tried with {', '.join(told)}"


def _begun(name: str) -> str:
    return name[:1].upper() + name[1:]


def _compared(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("what", "names")}


# ---------------------------------------------------------------- drawing
def drawn_weights(g: np.random.Generator, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Float32 weights of these shapes: name → array, scaled so that signals keep their size."""
    weights = {}
    for name, shape in shapes.items():
        scale = 1 / np.sqrt(max(1, shape[-1])) if len(shape) > 1 else 0.3
        weights[name] = (scale * g.normal(size=shape)).astype(np.float32)
    return weights
