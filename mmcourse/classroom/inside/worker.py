"""Inside the sandbox: run a student's cells, then call the student's functions on what the grader sends.

Started as a script on a socket as standard input. It knows no hidden test and no right answer. The student's code
shares this process and may do to it what it likes: whatever comes out is judged outside, on inputs that are secret.
"""

from __future__ import annotations

import builtins
import importlib
import os
import random
import signal
import socket
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import cells
import jail
import numpy as np
import wire


def main() -> None:
    line = socket.socket(fileno=os.dup(0))
    hello = wire.receive(line)
    jail.confine(hello["limits"], hello["sandboxed"])
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    sys.path.remove(os.path.dirname(__file__))
    sys.path.insert(0, "")  # a cell may import the module that an earlier one wrote, as in a notebook
    os.chdir("/tmp" if hello["sandboxed"] else hello["folder"])
    load(hello["frameworks"], hello["spared"])
    jail.limit_memory(hello["limits"]["memory_mb"], hello["limits"]["cpu"])
    wire.send(line, {"ready": True})
    student = Student(hello["limits"]["cell"])
    for number, source in chain(hello["cells"], student.missed(hello["cells"])):
        wire.send(line, {"cell": number})
        student.run(number, source)
    wire.send(line, {"ran": list(student.broken.values())})
    while True:
        request = wire.receive(line)
        wire.send(line, {"id": request["id"], **student.serve(request)})


def load(frameworks: list[str], spared: list[str]) -> None:
    """Import these before the first cell, as if the `spared` packages were not installed: Keras does without them.

    One that is not installed is missed where a cell imports it.
    """
    nothing: Any = None  # in the place of a module: an import of it fails
    sys.modules.update(dict.fromkeys(spared, nothing))
    try:
        for name in frameworks:
            try:
                importlib.import_module(name)
            except ImportError:
                pass
    finally:
        for name in spared:
            del sys.modules[name]


def stub() -> types.ModuleType:
    """`mmcourse.check` as the student's notebook imports it: it shows nothing and knows nothing."""

    class Silent(types.ModuleType):
        def __call__(self, *_: Any, **__: Any) -> None:
            return None

    made = Silent("mmcourse.check")
    for name in ("check", "save_hand_in", "graded_by_instructor"):
        made.__dict__[name] = lambda *_, **__: None
    made.__dict__["challenge_inputs"] = _no_inputs
    return made


def _no_inputs(*_: Any, **__: Any) -> None:
    raise RuntimeError("an open challenge is not run while grading: what counts is the file that was handed in with it")


class Student:
    """The namespace of one notebook, and what went wrong in its cells."""

    def __init__(self, seconds: float):
        sys.modules["mmcourse.check"] = stub()
        sys.modules["__main__"] = module = types.ModuleType("__main__")
        self.names: dict[str, Any] = module.__dict__
        self.names["__builtins__"] = builtins
        self.notebook = cells.Notebook(module)
        self.seconds = seconds
        self.broken: dict[int, dict] = {}
        self.lacking: set[int] = set()

    def run(self, number: int, source: str) -> None:
        """One cell; an error is noted and the next cell runs all the same."""
        self.broken.pop(number, None)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                limited(self.seconds, self.notebook.run, source, f"cell {number}")
        except BaseException as error:
            if isinstance(error, NameError):
                self.lacking.add(number)
            self.broken[number] = {"cell": number, "line": line_of(error), "message": said(error), **told(error)}

    def missed(self, sources: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """Cells that lacked a name, for a second try: they may stand above the cell that gives it."""
        yield from [(number, source) for number, source in sources if number in self.lacking]

    def serve(self, request: dict) -> dict:
        """Answer one request: look a name up, or call it."""
        try:
            answer = self.names.get(request["name"], Ellipsis)
            if answer is Ellipsis:
                return {"missing": True}
            if "probe" in request:
                return {"value": wire.encode(probed(answer, request))}
            if "args" not in request:
                return {"function": True} if callable(answer) else {"value": wire.encode(answer)}
            return call(answer, wire.decode(request["args"]), wire.decode(request["kwargs"]), request["seconds"])
        except BaseException as error:
            return told(error)


def probed(answer: Any, request: dict) -> list[dict]:
    """What a probe of the grader's brings out: it uses the answer, a class or a training function, on plain inputs."""
    helpers: dict[str, Any] = {"__name__": "probe"}
    exec(compile(request["helpers"], "helpers", "exec"), helpers)
    names: dict[str, Any] = {"np": np}
    exec(compile(request["probe"], "probe", "exec"), names)
    use, probe = names[request["use"]], types.SimpleNamespace(**helpers)

    def ways() -> list[dict]:
        return [dict(way) for way in use(probe, answer, *wire.decode(request["args"]))]

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return limited(request["seconds"], ways)
        except probe.Problem as problem:
            return [{"problem": str(problem)}]


def limited(seconds: float, function: Callable, *args: Any, **kwargs: Any) -> Any:
    """Call within a time; who blocks the alarm is ended from outside."""

    def ring(*_: Any) -> None:
        raise TimeoutError("no end within the time")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return function(*args, **kwargs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def call(function: Any, args: tuple, kwargs: dict, seconds: float) -> dict:
    """The result as plain data, the arguments that were changed, and whether a global generator moved."""
    before = [wire.encode(value) for value in args]
    generators = _generators()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = wire.encode(limited(seconds, function, *args, **kwargs))
    after = [wire.encode(value) for value in args]
    changed = {str(k): new for k, (old, new) in enumerate(zip(before, after, strict=True)) if repr(old) != repr(new)}
    moved = [now != then for now, then in zip(_generators(), generators, strict=True)]
    return {"value": result, "changed": changed, "moved": moved}


def _generators() -> tuple[Any, Any]:
    _, key, position, *rest = np.random.get_state()
    return random.getstate(), (np.asarray(key).tobytes(), position, rest)


def told(error: BaseException) -> dict:
    """An error by its builtin kind: a name or message of the student's own could carry hidden inputs out."""
    kind = next((c.__name__ for c in type(error).__mro__ if vars(builtins).get(c.__name__) is c), "Exception")
    blank = isinstance(error, NotImplementedError) and str(error) in ("", "your turn")
    return {"error": kind, "blank": blank}


def said(error: BaseException) -> str:
    """The message of an error in a cell: no hidden input has come in yet."""
    try:
        return str(error)[:200]
    except BaseException:
        return ""


def line_of(error: BaseException) -> int:
    """The line of the cell where it broke; 0 if unknown."""
    if isinstance(error, SyntaxError):
        return error.lineno or 0
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("cell ")]
    return (lines or [0])[0] or 0


if __name__ == "__main__":
    main()
