"""Micro-batching that waits for nobody: while the model works, requests gather; what has gathered is the next batch.

With one client each batch is one request and nothing waits. Under load batches grow by themselves. The queue has an
end: who finds it full is refused at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Batcher", "Busy", "TooLate"]

Predict = Callable[[list[Any]], Awaitable[Sequence[Any]]]


class Busy(Exception):
    """The queue is full, or the service is shutting down: ask again after `retry_after` seconds."""

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(f"{reason}: ask again in {retry_after:.0f} s")
        self.reason, self.retry_after = reason, retry_after


class TooLate(Exception):
    """The client's deadline passed before there was an answer."""


@dataclass
class _Job:
    item: Any
    answer: asyncio.Future = field(repr=False)

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for the answer."""
        return not self.answer.done()


class Batcher:
    """One worker in front of a model.

    Parameters
    ----------
    predict : coroutine function, list of items → as many answers, in the same order
    max_batch : items that the model gets at once
    max_waiting : items that may wait; one more raises Busy
    on_batch : called with the size of each batch that was computed
    """

    def __init__(
        self,
        predict: Predict,
        max_batch: int = 16,
        max_waiting: int = 64,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        if max_batch < 1 or max_waiting < 1:
            raise ValueError(f"max_batch and max_waiting: expected 1 or more, got {max_batch} and {max_waiting}")
        self.predict, self.max_batch, self.max_waiting = predict, max_batch, max_waiting
        self.on_batch = on_batch or (lambda size: None)
        self._waiting: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task | None = None
        self._busy = False

    @property
    def waiting(self) -> int:
        """Items in the queue that somebody still waits for."""
        return sum(job.wanted for job in self._waiting)

    async def submit(self, item: Any, timeout: float | None = None) -> Any:
        """The model's answer to one item.

        Raises
        ------
        Busy
            The queue is full.
        TooLate
            No answer within `timeout` seconds. The item is not computed if it still waits.
        Exception
            What the model raised for this item.
        """
        if self.waiting >= self.max_waiting:
            raise Busy("the queue is full", 1.0)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="batcher")
        job = _Job(item, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._arrived.set()
        try:
            return await asyncio.wait_for(job.answer, timeout)  # a cancelled caller cancels the answer, too
        except TimeoutError:
            raise TooLate("no answer before the deadline") from None

    async def close(self) -> None:
        """Answer what waits, then stop."""
        while self._waiting or self._busy:
            await asyncio.sleep(0.005)
        if self._worker:
            self._worker.cancel()

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._take()
            if batch:
                self._busy = True
                await self._answer(batch)
                self._busy = False

    def _take(self) -> list[_Job]:
        """The oldest items that somebody still waits for, `max_batch` at most."""
        batch: list[_Job] = []
        while self._waiting and len(batch) < self.max_batch:
            job = self._waiting.popleft()
            if job.wanted:
                batch.append(job)
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _answer(self, batch: list[_Job]) -> None:
        """Compute a batch. If it fails, compute its items one by one, so that only the bad one gets the error."""
        try:
            answers = await self.predict([job.item for job in batch])
            if len(answers) != len(batch):
                raise ValueError(f"the model gave {len(answers)} answers to {len(batch)} items")
        except Exception as error:
            if len(batch) > 1:
                for job in batch:
                    await self._answer([job])
            elif batch[0].wanted:
                batch[0].answer.set_exception(error)
            return
        self.on_batch(len(batch))
        for job, answer in zip(batch, answers, strict=True):
            if job.wanted:
                job.answer.set_result(answer)
