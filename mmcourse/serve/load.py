"""A load generator of the open kind: requests start when they are meant to, whether or not earlier ones are answered.

Latency counts from the *intended* start. A client that waits for an answer before it asks again (closed) stops asking
just while the service is stuck, and never measures it: coordinated omission (Tene).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from mmcourse.serve.queueing import percentile, poisson_arrivals

__all__ = ["Report", "Send", "closed_loop", "open_loop"]

Send = Callable[[int], Awaitable[int]]  # number of the request → status


@dataclass(frozen=True)
class Report:
    """Latency in seconds from the intended start and status of each request, both (n,); how long it all took."""

    latency: np.ndarray
    status: np.ndarray
    seconds: float

    @property
    def goodput(self) -> float:
        """Right answers per second."""
        return float((self.status == 200).sum() / self.seconds)

    def latency_at(self, q: float) -> float:
        """q-th percentile of the latency of answered requests."""
        return percentile(self.latency[self.status == 200], q)


async def open_loop(send: Send, rate: float, n: int, seed: int = 0) -> Report:
    """n requests at Poisson times of this rate. `send` returns a status; 0 where there was no answer."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    intended = start + poisson_arrivals(rate, n, seed)
    latency, status = np.zeros(n), np.zeros(n, int)

    async def one(i: int) -> None:
        await asyncio.sleep(max(0.0, intended[i] - loop.time()))
        status[i] = await send(i)
        latency[i] = loop.time() - intended[i]

    await asyncio.gather(*[one(i) for i in range(n)])
    return Report(latency, status, loop.time() - start)


async def closed_loop(send: Send, clients: int, n: int) -> Report:
    """n requests by clients who each wait for their answer before they ask again."""
    loop = asyncio.get_running_loop()
    start, numbers = loop.time(), iter(range(n))
    latency, status = np.zeros(n), np.zeros(n, int)

    async def client() -> None:
        for i in numbers:
            began = loop.time()
            status[i] = await send(i)
            latency[i] = loop.time() - began

    await asyncio.gather(*[client() for _ in range(clients)])
    return Report(latency, status, loop.time() - start)
