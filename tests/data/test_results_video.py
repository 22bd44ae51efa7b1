"""Lesson video's stored runs are whole: every way, budget and seed, every window and length, every recording."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results
from mmcourse.datasets.scenes import films


@pytest.fixture(scope="module")
def make():
    pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("make_results_video", lesson_dir("video") / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return results("video")


def test_all_tables_are_there(make, stored):
    assert set(make.TABLES) <= set(stored) and set(stored["seconds_of"]) == set(make.TABLES)


def test_every_way_has_all_budgets_and_seeds(make, stored):
    table = stored["networks"]
    assert table["seeds"] == make.SEEDS >= 5 and len(make.BUDGETS) >= 2
    assert set(table["ways"]) == set(make.WAYS)
    for way, row in table["ways"].items():
        assert set(row["accuracy"]) == {str(steps) for steps in make.BUDGETS}, way
        runs = np.array([row["accuracy"][str(steps)] for steps in make.BUDGETS])
        assert runs.shape == (len(make.BUDGETS), make.SEEDS) and ((0 <= runs) & (runs <= 1)).all()
        assert np.allclose(runs * table["test films"], np.round(runs * table["test films"])), "shares of whole films"
        assert row["weights"] == sum(p.numel() for p in make.Network(way).parameters()), way


def test_the_limits_are_those_of_the_formula(stored):
    table = stored["in_step"]
    assert table["windows"] == list(range(1, 13))
    for name, wrong in (("ceiling", 0.0), ("ceiling, false clicks", films.FALSE_CLICKS)):
        limits = [films.in_step_ceiling(window, wrong) for window in table["windows"]]
        assert table[name] == pytest.approx(limits, abs=1e-12)
    assert len(table["patterns"]) == len(table["films"]) == 12


def test_longer_films_are_easier(stored):
    table = stored["offsets"]
    for name in ("within 1", "exact", "changes within 1"):
        assert len(table[name]) == len(table["lengths"]) and table[name] == sorted(table[name])
    assert abs(table["hum within 1"] - table["best constant within 1"]) < 3 * np.sqrt(0.18 * 0.82 / table["films"])


def test_every_recording_is_shifted_four_times_and_heard_with_all_others(make, stored):
    table = stored["faces"]
    number = table["recordings"]
    assert len(table["best offsets"]) == len(table["best scores"]) == len(table["own minus other"]) == number == 10
    assert len(table["shifted"]) == 4 * number
    assert len(table["own curve"]) == len(table["other curve"]) == 2 * make.FACE_MOST + 1
    assert len(table["example"]["mouth"]) == len(table["example"]["sound"]) == table["frames"]
    wins = table["own beats other"] * number * (number - 1)
    assert wins == pytest.approx(round(wins))
