"""The batcher on a virtual clock: nothing waits in vain, batches grow under load, one bad item fails alone."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from mmcourse.serve.batcher import Batcher, Busy, TooLate
from mmcourse.serve.load import closed_loop, open_loop
from mmcourse.serve.queueing import simulate
from mmcourse.serve.virtual import run_virtual

FIXED, EACH = 0.010, 0.001


class Slow:
    """A model that takes FIXED + EACH · n virtual seconds, and remembers what it got."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        await asyncio.sleep(FIXED + EACH * len(items))
        if -1 in items:
            raise ValueError("a bad item")
        return [10 * item for item in items]


def test_one_client_waits_for_nothing():
    async def main():
        model = Slow()
        batcher, loop = Batcher(model), asyncio.get_running_loop()
        for item in range(5):
            start = loop.time()
            assert await batcher.submit(item) == 10 * item
            assert loop.time() - start == pytest.approx(FIXED + EACH)
        return model.batches

    assert run_virtual(main) == [[k] for k in range(5)]


def test_what_gathers_while_the_model_works_is_the_next_batch_and_answers_are_not_mixed():
    async def main():
        model = Slow()
        batcher = Batcher(model, max_batch=4)
        answers = await asyncio.gather(*[batcher.submit(item) for item in range(10)])
        return answers, [len(batch) for batch in model.batches]

    answers, sizes = run_virtual(main)
    assert answers == [10 * item for item in range(10)] and sizes == [4, 4, 2]


def test_a_bad_item_fails_alone():
    async def main():
        batcher = Batcher(Slow())
        return await asyncio.gather(*[batcher.submit(item) for item in (1, -1, 2)], return_exceptions=True)

    first, bad, last = run_virtual(main)
    assert (first, last) == (10, 20) and isinstance(bad, ValueError)


def test_a_model_that_loses_an_answer_is_an_error_not_a_swap():
    async def short(items):
        return items[:-1]

    async def main():
        return await asyncio.gather(*[Batcher(short).submit(k) for k in range(3)], return_exceptions=True)

    assert all(isinstance(error, ValueError) for error in run_virtual(main))


def test_the_queue_has_an_end():
    async def main():
        batcher = Batcher(Slow(), max_batch=1, max_waiting=3)
        found = await asyncio.gather(*[batcher.submit(k) for k in range(9)], return_exceptions=True)
        return [isinstance(x, Busy) for x in found]

    assert run_virtual(main) == [False] * 3 + [True] * 6


def test_a_late_or_cancelled_item_is_not_computed():
    async def main():
        model = Slow()
        batcher = Batcher(model, max_batch=1)
        first = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0.001)
        late = asyncio.create_task(batcher.submit(2, timeout=0.005))
        gone = asyncio.create_task(batcher.submit(3))
        last = asyncio.create_task(batcher.submit(4))
        await asyncio.sleep(0.001)
        gone.cancel()
        found = await asyncio.gather(first, late, gone, last, return_exceptions=True)
        assert batcher.waiting == 0
        return found, model.batches

    found, batches = run_virtual(main)
    assert found[0] == 10 and isinstance(found[1], TooLate) and isinstance(found[2], asyncio.CancelledError)
    assert found[3] == 40 and batches == [[1], [4]]


def test_closing_answers_what_waits():
    async def main():
        batcher = Batcher(Slow(), max_batch=2)
        tasks = [asyncio.create_task(batcher.submit(k)) for k in range(5)]
        await asyncio.sleep(0)
        await batcher.close()
        return await asyncio.gather(*tasks)

    assert run_virtual(main) == [0, 10, 20, 30, 40]


async def loaded(rate: float, n: int, max_waiting: int, max_batch: int = 16):
    """Goodput and latency of the real batcher under an open load."""
    batcher = Batcher(Slow(), max_batch, max_waiting)

    async def send(i):
        try:
            await batcher.submit(i)
        except Busy:
            return 503
        return 200

    return await open_loop(send, rate, n)


def test_goodput_at_twice_the_capacity_stays_and_refusals_are_immediate():
    capacity = 16 / (FIXED + 16 * EACH)
    once = run_virtual(lambda: loaded(capacity, 4000, 64))
    twice = run_virtual(lambda: loaded(2 * capacity, 4000, 64))
    assert twice.goodput >= 0.9 * once.goodput
    refused = twice.latency[twice.status == 503]
    assert len(refused) > 1000 and refused.max() < 0.010
    assert twice.latency_at(99) <= (64 / 16 + 2) * (FIXED + 16 * EACH)  # the queue's end bounds the wait


def test_batching_multiplies_the_throughput():
    alone = run_virtual(lambda: loaded(2000, 2000, 64, max_batch=1))
    batched = run_virtual(lambda: loaded(2000, 2000, 64))
    assert batched.goodput >= 2.5 * alone.goodput


def test_the_batcher_is_the_queue_of_the_lesson():
    """The real asyncio code and the simulation by arithmetic give the same latencies."""
    report = run_virtual(lambda: loaded(300, 500, 10_000, max_batch=8))
    from mmcourse.serve.queueing import poisson_arrivals

    expected = simulate(poisson_arrivals(300, 500, 0), FIXED, EACH, max_batch=8)
    assert np.abs(np.sort(report.latency) - np.sort(expected.latency)).max() < 1e-6


def test_a_closed_loop_hides_a_stall_that_an_open_one_shows():
    async def main(kind):
        batcher, loop = Batcher(Slow(), max_batch=1), asyncio.get_running_loop()
        start = loop.time()

        async def send(i):
            elapsed = loop.time() - start
            if 1.0 < elapsed < 1.1:
                await asyncio.sleep(2.0)  # the service is stuck for those who come now
            await batcher.submit(i)
            return 200

        return await (closed_loop(send, 1, 400) if kind == "closed" else open_loop(send, 60, 400))

    closed = run_virtual(lambda: main("closed"))
    opened = run_virtual(lambda: main("open"))
    assert closed.latency_at(99) < 0.05 < 1.0 < opened.latency_at(99)


def test_a_virtual_clock_that_nobody_winds_says_so():
    async def main():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="for ever"):
        run_virtual(main)
