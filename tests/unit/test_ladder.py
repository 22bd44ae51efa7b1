"""The parity ladder: differences, agreement, McNemar, intervals, times without the first calls."""

import numpy as np
import pytest

from mmcourse.evaluate.ladder import (
    Rung,
    ladder_table,
    latencies,
    paired_interval,
    parity_ladder,
    peak_memory,
    wilson_interval,
)


def test_rows_say_what_changed(tmp_path):
    file = tmp_path / "weights"
    file.write_bytes(b"12345")
    logits = np.eye(3)[[0, 1, 2, 0, 1]]
    other = logits.copy()
    other[0] = [0, 0, 2.0]  # right before, wrong now
    other[4] = [1.5, 1, 0]  # wrong before, right now
    labels = np.array([0, 1, 2, 1, 0])
    batches = [slice(0, 2), slice(2, 5)]
    rungs = [Rung("first", lambda b: logits[b]), Rung("other", lambda b: other[b], [file, file], 12.0)]
    first, second = parity_ladder(rungs, batches, labels, calls=5)
    assert first["difference"] == 0 and first["agreement"] == 1 and first["p"] == 1
    assert second["difference"] == 2 and second["agreement"] == pytest.approx(0.6)
    assert (second["only_first"], second["only_this"]) == (1, 1)
    assert second["accuracy"] == first["accuracy"] == pytest.approx(0.6)
    assert second["bytes"] == 10 and second["memory"] == 12.0
    assert 0 < second["p50"] <= second["p99"]
    lines = ladder_table([first, second]).splitlines()
    assert len(lines) == 3 and "0.6000" in lines[2]
    assert "p99" not in ladder_table([first, second], timing=False)


def test_the_first_calls_are_thrown_away():
    calls = []
    assert latencies(calls.append, 1, calls=20).shape == (20,)
    assert len(calls) == 22


def test_wilson_interval():
    low, high = wilson_interval(81, 263)  # Newcombe 1998, table I: 0.2553 to 0.3662
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=2e-4)
    assert wilson_interval(0, 20)[0] == pytest.approx(0, abs=1e-12)
    assert wilson_interval(20, 20)[1] == pytest.approx(1, abs=1e-12)


def test_memory_is_that_of_the_new_process():
    small, large = peak_memory("pass"), peak_memory("x = bytearray(80_000_000)")
    if small is not None and large is not None:
        assert small < 60 and 60 < large - small < 110


def test_paired_interval_is_the_published_one():
    # Fagerland, Lydersen and Laake 2017, chapter 8 (complete response before and after therapy): -0.1240 to -0.0054
    assert paired_interval(16, 6, 161) == pytest.approx((-0.1240, -0.0054), abs=5e-5)


@pytest.mark.parametrize(("only_first", "only_this", "n"), [(3, 0, 40), (2, 5, 30), (0, 1, 20), (7, 7, 25)])
def test_paired_interval_by_brute_force(only_first, only_this, n):
    """The likeliest shares under each change by search, in place of the formula."""
    counts = np.array([only_first, only_this, n - only_first - only_this])
    lost = np.linspace(1e-9, 1, 20_001)
    inside = []
    for d in np.linspace(-0.6, 0.6, 241):
        shares = np.stack([lost, lost + d, 1 - 2 * lost - d])
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(counts[:, None] > 0, counts[:, None] * np.log(shares), 0.0).sum(axis=0)
        logs[(shares < 0).any(axis=0)] = -np.inf
        q = lost[np.nanargmax(logs)]
        sd = np.sqrt(max(n * (2 * q + d - d**2), 1e-12))
        if abs(only_this - only_first - n * d) <= 1.96 * sd:
            inside.append(d)
    assert paired_interval(only_first, only_this, n) == pytest.approx((min(inside), max(inside)), abs=0.006)


def test_paired_interval_does_not_shrink_to_a_point_and_can_be_turned_around():
    low, high = paired_interval(0, 0, 1500)
    assert high == pytest.approx(1.96**2 / (1500 + 1.96**2)) and low == pytest.approx(-high)
    assert high == pytest.approx(wilson_interval(0, 1500)[1])
    low, high = paired_interval(9, 2, 50)
    assert paired_interval(2, 9, 50) == pytest.approx((-high, -low))
    with pytest.raises(ValueError, match="counts"):
        paired_interval(3, 3, 5)
