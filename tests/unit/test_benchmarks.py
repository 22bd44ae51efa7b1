"""The speed measures run, and a promise that is not kept is said; how fast this machine is, no test asks."""

import re
from pathlib import Path

import pytest

from benchmarks import speed

ROOT = Path(__file__).resolve().parents[2]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# Limits on what hostile input may cost, time-outs and waiting: behavior, not speed.
CLOCKS = {"test_hostile.py", "hostile.py", "test_frameworks.py", "test_seat.py", "test_download.py", "test_hub.py"}
CLOCKS |= {"test_results_tune.py", "jupyterlab_page.py", "__main__.py", "test_cli.py", "test_io.py", "test_clues.py"}


def test_each_measure_has_a_name_of_its_own_and_says_what_it_measures():
    names = [promise.name for promise in speed.PROMISES]
    assert len(set(names)) == len(names) >= 9
    assert all(promise.what and promise.unit and promise.limit > 0 for promise in speed.PROMISES)


@pytest.mark.parametrize("name", ["import", "scenes", "log_mel", "convolution"])
def test_a_measure_gives_a_number(name: str):
    (promise,) = [promise for promise in speed.PROMISES if promise.name == name]
    assert promise.best(rounds=1) > 0


def promise(limit: float, at_least: bool = False) -> speed.Promise:
    values = iter([3.0, 2.0, 4.0] * 9)
    return speed.Promise("x", "x", "s", limit, lambda: next(values), at_least)


@pytest.mark.parametrize(
    ("limit", "at_least", "kept"), [(2, False, True), (1.9, False, False), (4, True, True), (5, True, False)]
)
def test_the_best_round_decides(limit: float, at_least: bool, kept: bool, capsys: pytest.CaptureFixture[str]):
    assert speed.report([promise(limit, at_least)], rounds=3) is kept
    assert capsys.readouterr().out.startswith("✓" if kept else "✗")


def test_a_broken_promise_is_an_error_and_an_unknown_name_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speed, "PROMISES", [promise(1)])
    assert speed.main([]) == 1
    monkeypatch.setattr(speed, "PROMISES", [promise(2)])
    assert speed.main(["x", "--rounds", "2"]) == 0
    with pytest.raises(SystemExit):
        speed.main(["y"])


def test_no_test_measures_speed():
    clock = re.compile(r"\btime\.(perf_counter|process_time|monotonic|time)\(\)\s*-|-\s*start\s*<")
    measuring = {path.name for path in TESTS if clock.search(path.read_text(encoding="utf-8"))}
    assert measuring - {Path(__file__).name} <= CLOCKS
    perf = {path.name for path in TESTS if "perf_counter" in path.read_text(encoding="utf-8")}
    assert perf <= {Path(__file__).name}
