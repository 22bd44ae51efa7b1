"""The speed measures run, and a broken promise is said; how fast this machine is, no test asks."""

import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import speed
from benchmarks.contestants import CONTESTANTS

ROOT = Path(__file__).resolve().parents[2]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# Limits on what hostile input may cost, time-outs and waiting: behavior, not speed.
CLOCKS = {"test_hostile.py", "hostile.py", "test_frameworks.py", "test_seat.py", "test_download.py", "test_hub.py"}
CLOCKS |= {"test_results_tune.py", "jupyterlab_page.py", "__main__.py", "test_cli.py", "test_io.py", "test_clues.py"}
CLOCKS |= {"test_container.py", "test_scale_launch.py"}


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


# ---------------------------------------------------------------- make bench
def figures(speed: float, seconds: float | None = 2.0, steady: float | None = None) -> dict:
    found = {"samples_per_second": speed, "to_goal_s": seconds, "after_first_epoch": steady or speed}
    return found | {"data_share": 0.1, "peak_mb": 500.0}


def test_a_ratio_has_students_interval():
    """By hand: logarithms 0, ln 4; mean ln 2, standard error ln 2, t of one degree of freedom 12.706."""
    middle, low, high = bench.interval([1.0, 4.0])
    assert middle == pytest.approx(2) and low == pytest.approx(2 ** (1 - 12.7062), rel=1e-3)
    assert high == pytest.approx(2 ** (1 + 12.7062), rel=1e-3)
    assert bench.interval([2.0])[1:] == (0.0, float("inf")), "one round says nothing"


def test_ratios_are_taken_within_a_round():
    rounds = [{"ours": figures(4), "bare loop": figures(2)}, {"ours": figures(40), "bare loop": figures(20, None)}]
    assert bench.ratios(rounds) == ["- speed, ours / bare loop: 2.00 (2.00 to 2.00)"]
    rounds[1]["bare loop"] = figures(20, 4.0)
    assert bench.ratios(rounds)[1].startswith("- seconds to the goal, ours / bare loop: 0.71 (")
    assert "(1 of 2 runs)" in bench.table([rounds[0], {name: figures(1, None) for name in rounds[0]}])


def test_the_schedule_that_reaches_the_goal_first_in_all_seeds_is_taken():
    always, sooner = {"epochs_to_goal": [4, 4, 4]}, {"epochs_to_goal": [2, 2, None]}
    assert min([sooner, always, {"epochs_to_goal": [5, 3, 5]}], key=bench.expected_epochs) is always
    assert bench.expected_epochs({"epochs_to_goal": [None]}) == (1, float("inf"))


def test_every_contestant_has_one_recipe_and_its_tuned_schedule():
    names = [name for names in bench.RECIPES.values() for name in names]
    assert sorted(names) == sorted(CONTESTANTS)
    tuned = json.loads((ROOT / "benchmarks/tuned.json").read_text(encoding="utf-8"))
    assert tuned.keys() == bench.RECIPES.keys()
    assert {len(recipe["trials"]) for recipe in tuned.values()} == {len(bench.GRID)}, "the same budget for all"
    for name in CONTESTANTS:
        assert bench.settings_of(name, tuned) in bench.GRID


def test_rounds_of_a_busy_machine_are_not_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert not bench.unquiet([{"ours": figures(1.0)}, {"ours": figures(1.2)}])
    assert "ours: its fastest round is 1.30 times" in bench.unquiet([{"ours": figures(1.0)}, {"ours": figures(1.3)}])
    speeds = iter([1.0, 1.3] * 9)
    monkeypatch.setattr(bench, "run", lambda *args: figures(next(speeds)))
    monkeypatch.setattr(sys, "argv", ["bench", "--rounds", "2", "--only", "ours", "--out", str(tmp_path)])
    monkeypatch.setattr(bench, "busy", lambda threads: "")
    with pytest.raises(SystemExit, match="Not written, the machine was not quiet: ours"):
        bench.main()
    monkeypatch.setattr(bench, "busy", lambda threads: "9.0 processes were running in the last minute")
    with pytest.raises(SystemExit, match=r"The machine is not quiet: 9\.0"):
        bench.main()
    assert not list(tmp_path.iterdir())
