"""The queue against theory: M/D/1 and M/M/1 by simulation, small cases by hand, Little's law exactly."""

from __future__ import annotations

import numpy as np
import pytest

from mmcourse.serve import queueing as q


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
def test_the_mean_wait_is_pollaczek_and_khinchines(load: float):
    n, runs = 100_000, 8
    found = [q.waits(q.poisson_arrivals(load, n, seed), 1.0).mean() for seed in range(runs)]
    error = np.std(found, ddof=1) / np.sqrt(runs)
    assert abs(np.mean(found) - q.md1_wait(load, 1.0)) < 4 * error + 0.01


def test_random_service_waits_twice_as_long():
    rng = np.random.default_rng(1)
    arrivals = q.poisson_arrivals(0.7, 400_000)
    found = q.waits(arrivals, rng.exponential(1.0, 400_000)).mean()
    assert found == pytest.approx(q.mm1_wait(0.7, 1.0), rel=0.05)


def test_a_small_case_by_hand():
    assert q.waits(np.array([0.0, 1.0, 1.5, 9.0]), 2.0).tolist() == [0.0, 1.0, 2.5, 0.0]
    found = q.simulate(np.array([0.0, 1.0, 1.5, 9.0]), 2.0, 0.0, max_batch=2)
    assert found.latency.tolist() == [2.0, 3.0, 2.5, 2.0] and found.batches.tolist() == [1, 2, 1]
    found = q.simulate(np.array([0.0, 0.1, 0.2, 0.3]), 1.0, 0.0, max_waiting=2)
    assert found.refused.tolist() == [False, False, False, True] and found.latency.tolist()[:3] == [1.0, 1.9, 2.8]


def test_the_loop_and_the_recursion_agree():
    arrivals = q.poisson_arrivals(80, 3000, 3)
    found = q.simulate(arrivals, 0.0, 0.01)
    assert np.abs(found.latency - 0.01 - q.waits(arrivals, 0.01)).max() < 1e-9


def test_littles_law_holds_exactly():
    """The integral of how many are inside is the sum of their times inside."""
    arrivals = q.poisson_arrivals(0.8, 2000)
    latency = q.waits(arrivals, 1.0) + 1.0
    events = np.sort(np.concatenate([arrivals, arrivals + latency]))
    ends = np.sort(arrivals + latency)
    inside = np.searchsorted(np.sort(arrivals), events, side="right") - np.searchsorted(ends, events, side="right")
    assert (inside[:-1] * np.diff(events)).sum() == pytest.approx(latency.sum())


def test_without_an_end_of_the_queue_overload_answers_nobody_in_time():
    arrivals = q.poisson_arrivals(200, 4000)
    endless = q.simulate(arrivals, 0.0, 0.01, deadline=0.5, drop_late=False)
    bounded = q.simulate(arrivals, 0.0, 0.01, deadline=0.5, max_waiting=20)
    assert bounded.goodput > 95 and endless.goodput < 10


def test_percentiles_keep_the_endless():
    assert q.percentile(np.array([3.0, 1.0, 2.0, np.inf]), 75) == 3.0
    assert q.percentile(np.array([3.0, 1.0, 2.0, np.inf]), 99) == np.inf
    with pytest.raises(ValueError, match="below 1"):
        q.md1_wait(2.0, 0.5)
