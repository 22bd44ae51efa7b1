"""Decoding in a process of its own, so that the event loop never waits for Python's lock.

A thread that decodes holds the lock for up to 5 ms whenever the loop wants it back, and the loop gives it up at every
read and write. With a process the loop answers `/live` and refuses what is too much while another core decodes. What a
hostile file does to a C library happens there, too: a process that dies, or works on one request longer than any
answer may take, is started again, and only the requests that were inside it fail.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

from mmcourse.serve import limits as checks
from mmcourse.serve.limits import Limits
from mmcourse.serve.problems import Problem

__all__ = ["DecodeFailed", "Decoder", "late", "run_worker", "understand"]

AHEAD = 3  # requests that are sent to the process before their turn, so that it never waits for the next


class DecodeFailed(Exception):
    """An error of ours in the process; `kind` is the name of its type."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def late() -> Problem:
    """What a request gets whose deadline has passed."""
    return Problem("deadline", "There was no answer before the deadline.")


def understand(
    given: bytes | dict[str, Any], end: float, limits: Limits, prepare: Callable[[dict[str, Any]], Any]
) -> tuple[list[str], Any]:
    """What is present, and what the model takes, of a JSON body or of a form's fields.

    Parameters
    ----------
    end : time.monotonic() at which nobody waits for it any more; it is not decoded then
    """
    if time.monotonic() > end:
        raise late()
    message = checks.decode(checks.parse_json(given, limits) if isinstance(given, bytes) else given, limits)
    return list(message), prepare(message)


# ---------------------------------------------------------------- in the service
class Decoder:
    """A process that takes one request after the other. One that nobody waits for any more is not sent to it.

    Parameters
    ----------
    module : what runs in it; it ends in `run_worker`
    """

    def __init__(self, limits: Limits, module: str = "mmcourse.serve.decoder") -> None:
        self.limits, self.module = limits, module
        self.restarts = 0
        self._waiting: deque[tuple[asyncio.Future, Any, float]] = deque()
        self._inside: deque[asyncio.Future] = deque()  # the process answers in order
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task | None = None
        self._watch: asyncio.TimerHandle | None = None  # over the request that the process works on

    async def start(self) -> None:
        """Start the process and wait until it has loaded what it needs.

        Raises
        ------
        Problem
            It cannot, and says why.
        """
        ready = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep(ready), name="decoder")
        await ready

    async def submit(self, given: bytes | dict[str, Any], end: float) -> tuple[list[str], Any]:
        """What the process makes of a request's JSON body or fields."""
        job = asyncio.get_running_loop().create_future()
        self._waiting.append((job, given, end))
        self._send()
        return await job

    def close(self) -> None:
        """End the process."""
        if self._keeper:
            self._keeper.cancel()
        if self._process:
            _kill(self._process)

    def _send(self) -> None:
        while self._waiting and len(self._inside) < AHEAD and self._process is not None:
            job, given, end = self._waiting.popleft()
            if job.done():
                continue
            if time.monotonic() > end:
                job.set_exception(late())
                continue
            assert self._process.stdin is not None
            self._inside.append(job)
            self._process.stdin.write(_packed((given, end)))
            if len(self._inside) == 1:
                self._time_next(self._process)

    def _time_next(self, process: asyncio.subprocess.Process) -> None:
        """Time the request that comes next; a process that hangs on it is ended, and so started again."""
        if self._watch:
            self._watch.cancel()
        kill = partial(_kill, process)
        self._watch = asyncio.get_running_loop().call_later(self.limits.timeout, kill) if self._inside else None

    async def _keep(self, ready: asyncio.Future) -> None:
        """Start the process, take its answers, start it again if it ends."""
        while True:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", self.module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the service, which lets it finish
                limit=1 << 20,
            )
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(_packed(self.limits))
            try:
                why = await _unpacked(process.stdout)  # None: it is there
                if why is not None:
                    ready.set_exception(why)
                    return
                self._process = process
                if not ready.done():
                    ready.set_result(None)
                self._send()
                while True:
                    found, problem = await _unpacked(process.stdout)
                    job = self._inside.popleft()
                    self._time_next(process)
                    self._send()
                    if job.done():
                        continue
                    if problem is None:
                        job.set_result(found)
                    else:
                        job.set_exception(problem)
            except (asyncio.IncompleteReadError, ConnectionError):
                self._process = None
                while self._inside:
                    if not (job := self._inside.popleft()).done():
                        job.set_exception(DecodeFailed("DecoderEnded"))
                self._time_next(process)  # nothing is inside
            finally:
                _kill(process)
            self.restarts += 1
            await asyncio.sleep(min(1.0, 0.1 * self.restarts))


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


def _packed(value: Any) -> bytes:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(4, "big") + data


async def _unpacked(stream: asyncio.StreamReader) -> Any:
    size = int.from_bytes(await stream.readexactly(4), "big")
    return pickle.loads(await stream.readexactly(size))  # our own process wrote it


# ---------------------------------------------------------------- in the process
Work = Callable[[Any, float], tuple[list[str], Any]]


def run_worker(begin: Callable[[Limits], Work]) -> None:
    """What a process does: load by `begin`, then answer until the service closes the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints goes to the log, not between the answers
    _run(sys.stdin.buffer, answers, begin)


def _run(requests: BinaryIO, answers: BinaryIO, begin: Callable[[Limits], Work]) -> None:
    def read() -> Any:
        head = requests.read(4)
        return pickle.loads(requests.read(int.from_bytes(head, "big"))) if len(head) == 4 else None

    def say(value: Any) -> None:
        answers.write(_packed(value))
        answers.flush()

    try:
        work = begin(read())
    except Problem as why:
        say(why)
        return
    say(None)
    while (job := read()) is not None:
        found: Any = None
        problem: Exception | None = None
        try:
            found = work(*job)
        except Problem as error:
            problem = error
        except Exception as error:  # never its text: it may quote the input
            problem = DecodeFailed(type(error).__name__)
        say((found, problem))


def begin(limits: Limits) -> Work:
    """Decoding, warm: what is imported or read at first use is here before the first request."""
    from mmcourse.serve.model import lighten, prepare, synthetic_files

    prepare(checks.decode(synthetic_files(), limits))
    lighten()
    return lambda given, end: understand(given, end, limits, prepare)


if __name__ == "__main__":
    from mmcourse.serve import decoder  # by its name: what is sent back names its module

    decoder.run_worker(decoder.begin)
