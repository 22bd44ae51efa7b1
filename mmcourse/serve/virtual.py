"""A clock that jumps: asyncio code runs in virtual seconds, exactly the same each time and in no time at all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["VirtualLoop", "run_virtual"]


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer: for code that waits by timers, not for threads or sockets."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        really_select = self._selector.select  # type: ignore[attr-defined]

        def select(timeout: float | None = None) -> Any:
            if timeout is None:
                raise RuntimeError("everybody waits and no timer is set: this would wait for ever")
            self._now += max(timeout, 0.0)
            return really_select(0)

        self._selector.select = select  # type: ignore[attr-defined]

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def block(self, seconds: float) -> None:
        """What computing inside the event loop does: the time passes, and nobody else gets a turn."""
        self._now += seconds


def run_virtual(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function to its end in virtual time. Also works in a notebook, whose own loop is running."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        loop = VirtualLoop()
        try:
            asyncio.set_event_loop(loop)
            outcome["result"] = loop.run_until_complete(main())
        except BaseException as error:
            outcome["error"] = error
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]
