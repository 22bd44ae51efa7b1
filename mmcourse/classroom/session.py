"""One student's notebook, run in a sandbox that is started again when the student's code ends it."""

from __future__ import annotations

import builtins
import random
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mmcourse.classroom.inside import wire
from mmcourse.classroom.sandbox import Limits, Stopped, Worker

STARTS = 6  # of one submission; each is the cost of a cell or an exercise that ends its process
GRACE = 5.0  # seconds beyond the time that the worker itself keeps
BUILDING = 2.0  # seconds of this thread's processor to build one whole message; usual is a thousandth


class Session:
    """Cells in, answers out. `errors` holds (cell, line, what) of cells that broke."""

    def __init__(self, cells: list[str], limits: Limits, secret: Iterable[Path] = (), unsafe: bool = False):
        self.cells, self.limits, self.secret, self.unsafe = dict(enumerate(cells, 1)), limits, list(secret), unsafe
        self.end = time.monotonic() + limits.total
        self.worker: Worker | None = None
        self.starts = 0
        self.fatal: dict[int, tuple[int, int, str]] = {}
        self.errors: list[tuple[int, int, str]] = []

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process; the next question starts another."""
        if self.worker:
            self.worker.stop()
        self.worker = None

    def ask(self, name: str, seconds: float, **more: Any) -> dict:
        """Ask the student's process for the name, or to call it.

        Raises
        ------
        Stopped
            If it ends, breaks the protocol or takes too long. The process is ended then.
        """
        worker = self.worker or self._started()
        request = {"id": secrets.token_hex(8), "name": name, "seconds": seconds, **more}
        try:
            worker.send(request)
            reply = worker.receive(self._left(seconds + GRACE))
            if reply.get("id") != request["id"]:
                raise wire.BrokenWire("an answer that was not asked for")
            return reply
        except (OSError, wire.BrokenWire) as error:
            self.stop()
            raise Stopped("took too long" if isinstance(error, TimeoutError) else "ended its process") from None

    def _left(self, seconds: float) -> float:
        """At most `seconds`, and no more than this submission has left."""
        left = min(seconds, self.end - time.monotonic())
        if left <= 0:
            raise TimeoutError
        return left

    def _started(self) -> Worker:
        """A process in which all cells ran, but for those that ended an earlier one."""
        while self.starts < STARTS:
            self.starts += 1
            self.worker = Worker(self.limits, self.secret, self.unsafe)
            begun = time.monotonic()
            self.worker.begin([(k, text) for k, text in self.cells.items() if k not in self.fatal])
            self.end += time.monotonic() - begun  # loading a framework is not the student's time
            running = 0
            try:
                while "ran" not in (message := self.worker.receive(self._left(self.limits.cell + GRACE))):
                    running = _whole(message.get("cell"))
                self.errors = sorted([*map(_told, _dicts(message["ran"])), *self.fatal.values()])
                return self.worker
            except (OSError, wire.BrokenWire) as error:
                self.stop()
                why = "took too long" if isinstance(error, TimeoutError) else "ended its process"
                self.fatal[running] = (running, 0, why)
                self.errors = sorted(self.fatal.values())
                if time.monotonic() >= self.end or running not in self.cells:
                    break
        raise Stopped("was stopped again and again")


class Proxy:
    """Stands for a student's function: arguments go in as plain data, the result comes out as plain data."""

    def __init__(self, session: Session, name: str):
        self.session, self.__name__ = session, name
        self.end = time.monotonic() + session.limits.exercise
        self.stopped = ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._ask(args, {"kwargs": wire.encode(kwargs)})

    def run_probe(self, helpers: str, probe: str, use: str, args: tuple) -> Any:
        """Use the student's class or training function by a probe, which is sent as text."""
        return self._ask(args, {"helpers": helpers, "probe": probe, "use": use})

    def _ask(self, args: tuple, more: dict[str, Any]) -> Any:
        """Send arguments, get the result or the error."""
        seconds = min(self.session.limits.call, self.end - time.monotonic())
        if self.stopped or seconds <= 0:
            raise TimeoutError(self.stopped)
        try:
            sent = {"args": wire.encode(args), **more}
            reply = self.session.ask(self.__name__, seconds, **sent)
        except Stopped as error:
            self.stopped = str(error)
            raise (TimeoutError if "long" in self.stopped else ChildProcessError)(self.stopped) from None
        if "error" in reply:
            self._raise(reply)
        try:
            end = time.thread_time() + BUILDING
            result = wire.decode(reply.get("value"), end=end)
            self._write_back(args, reply, end)
        except wire.REFUSED:
            self.session.stop()
            self.stopped = "answered with what is no plain data"
            raise ChildProcessError(self.stopped) from None
        return result

    def _raise(self, reply: dict) -> None:
        """The error that the student's function raised, by its builtin kind and without its words."""
        if reply.get("blank") is True:
            raise NotImplementedError("your turn")
        kind = getattr(builtins, str(reply["error"]), None)
        if kind is TimeoutError:
            self.stopped = "took too long"  # the next call would do the same
        if not (isinstance(kind, type) and issubclass(kind, Exception)) or issubclass(kind, UnicodeError):
            kind = RuntimeError
        raise kind("in the student's function")

    def _write_back(self, args: tuple, reply: dict, end: float) -> None:
        """Do to our arguments and generators what the student's function did to its own, so that the check sees it."""
        for place, value in dict(reply.get("changed") or {}).items():
            _become(args[int(place)], wire.decode(value, end=end))
        moved = list(reply.get("moved") or []) + [False, False]
        if moved[0] is True:
            random.random()
        if moved[1] is True:
            np.random.random()


def _become(old: Any, new: Any) -> None:
    if isinstance(old, np.ndarray) and old.size:
        same = isinstance(new, np.ndarray) and new.shape == old.shape and new.dtype == old.dtype
        old[...] = new if same else ~old if old.dtype.kind == "b" else old + 1
    elif isinstance(old, list):
        old.append(None)
    elif isinstance(old, dict):
        old[object()] = None


def answer_of(session: Session, name: str) -> Any:
    """What the student's notebook has under this name: a proxy, a plain value, or ... where there is nothing."""
    try:
        reply = session.ask(name, session.limits.call)
        if reply.get("function") is True:
            return Proxy(session, name)
        return wire.decode(reply["value"], end=time.thread_time() + BUILDING) if "value" in reply else ...
    except wire.REFUSED:
        session.stop()
        raise Stopped("answered with what is no plain data") from None


def _whole(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 31 else 0


def _dicts(value: Any) -> list[dict]:
    return [item for item in value[:1000] if isinstance(item, dict)] if isinstance(value, list) else []


def _told(item: dict) -> tuple[int, int, str]:
    """One broken cell, from the student's process: numbers and short text, whatever it says."""
    error, message = (str(item.get(key, ""))[:300] for key in ("error", "message"))
    return _whole(item.get("cell")), _whole(item.get("line")), f"{error}: {message}".rstrip(": ")
