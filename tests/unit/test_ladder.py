"""The parity ladder: differences, agreement, McNemar, intervals, times without the first calls."""

import numpy as np
import pytest

from mmcourse.evaluate.ladder import Rung, ladder_table, latencies, parity_ladder, peak_memory, wilson_interval


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
