"""A queue on a virtual clock, and what queueing theory says about it exactly.

Times are seconds. `arrivals` are times, ascending. Nothing here waits or looks at a clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

__all__ = ["Outcome", "md1_wait", "mm1_wait", "percentile", "poisson_arrivals", "simulate", "throughput", "waits"]


def poisson_arrivals(rate: float, n: int, seed: int = 0) -> np.ndarray:
    """n arrival times of an open model: clients who come whether or not others have been served, float64 (n,)."""
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, n))


def md1_wait(rate: float, service: float) -> float:
    """Mean wait before service in M/D/1, ρ / (2μ(1 − ρ)): Pollaczek–Khinchine with no variance of service."""
    load = _load(rate, service)
    return load * service / (2 * (1 - load))


def mm1_wait(rate: float, service: float) -> float:
    """Mean wait before service in M/M/1, ρ / (μ(1 − ρ)): twice that of M/D/1."""
    return 2 * md1_wait(rate, service)


def _load(rate: float, service: float) -> float:
    load = rate * service
    if not 0 <= load < 1:
        raise ValueError(f"load: expected below 1 (rate · service), got {load:.3f}; the queue would grow for ever")
    return load


def waits(arrivals: np.ndarray, service: np.ndarray | float) -> np.ndarray:
    """Wait of each request before one server takes it, first come, first served, float64 (n,).

    Lindley's recursion, W' = max(0, W + S − A), without a loop: a walk less its lowest point so far.
    """
    arrivals = np.asarray(arrivals, float)
    service = np.broadcast_to(np.asarray(service, float), arrivals.shape)
    steps = np.concatenate([[0.0], service[:-1] - np.diff(arrivals)])
    walk = np.cumsum(steps)
    return walk - np.minimum.accumulate(walk)


def throughput(batch: int, fixed: float, each: float) -> float:
    """Answers per second of batches of n, if a batch takes fixed + each · n seconds: n / (a + b n)."""
    return batch / (fixed + each * batch)


@dataclass(frozen=True)
class Outcome:
    """What became of each request. `latency` (n,) is inf where refused or too late; `batches` the sizes of batches."""

    latency: np.ndarray
    refused: np.ndarray
    batches: np.ndarray
    finished: float

    @property
    def goodput(self) -> float:
        """Answers that came in time, per second."""
        return float(np.isfinite(self.latency).sum() / self.finished)


def simulate(
    arrivals: np.ndarray,
    fixed: float,
    each: float,
    max_batch: int = 1,
    max_waiting: int | None = None,
    deadline: float = np.inf,
    drop_late: bool = True,
) -> Outcome:
    """One server that takes what waits, up to `max_batch`; a batch of n takes fixed + each · n seconds.

    Who finds `max_waiting` others is refused. An answer later than `deadline` is worth nothing; with `drop_late`, a
    request that is already too late when its turn comes is not computed.
    """
    n = len(arrivals)
    latency, refused = np.full(n, np.inf), np.zeros(n, bool)
    waiting: deque[int] = deque()
    batches, now, i = [], 0.0, 0
    while i < n or waiting:
        if not waiting:
            now = max(now, arrivals[i])
        while i < n and arrivals[i] <= now:  # those who came while the server was busy
            if max_waiting is not None and len(waiting) >= max_waiting:
                refused[i] = True
            else:
                waiting.append(i)
            i += 1
        batch: list[int] = []
        while waiting and len(batch) < max_batch:
            k = waiting.popleft()
            if not (drop_late and now - arrivals[k] > deadline):
                batch.append(k)
        if not batch:
            continue
        now += fixed + each * len(batch)
        batches.append(len(batch))
        for k in batch:
            took = now - arrivals[k]
            latency[k] = took if took <= deadline else np.inf
    return Outcome(latency, refused, np.array(batches), float(max(now, arrivals[-1])))


def percentile(values: np.ndarray, q: float) -> float:
    """The smallest value that at least q percent do not exceed (no interpolation, so inf stays inf)."""
    ordered = np.sort(np.asarray(values, float))
    return float(ordered[max(0, int(np.ceil(q / 100 * len(ordered))) - 1)])
