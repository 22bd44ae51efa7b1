"""Stored figures of lesson tune, held to short reruns; several processes on one study; a search that was killed."""

import importlib.util
import subprocess
import sys
import time

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results

SEARCH = lesson_dir("tune") / "tune_search.py"


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("make_results_tune", SEARCH.with_name("make_results.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.optuna.logging.set_verbosity(module.optuna.logging.ERROR)
    return module


@pytest.fixture(scope="module")
def folder(make, tmp_path_factory):
    path = tmp_path_factory.mktemp("search")
    make.write_vectors(path)
    return path


@pytest.fixture(scope="module")
def stored():
    return results("tune")


def test_a_short_search_gives_the_stored_figures(make, folder, stored):
    tried = make.searches(make.search.load(folder), repeats=1, budget=3)
    assert set(tried) == set(stored["search"])
    for name, trials in tried.items():
        same = 1 if name == "Gaussian process" else 3  # KerasTuner takes seed 0 for none: only its first trial is fixed
        again = make.search_figures(trials)["best"][0][:same]
        assert again == pytest.approx(stored["search"][name]["best"][0][:same], abs=0.02), name


def test_stored_searches_are_whole(make, stored):
    for name, found in stored["search"].items():
        best = np.array(found["best"])
        assert best.shape == (16, make.search.BUDGET) and (np.diff(best, axis=1) >= 0).all(), name
        assert np.shape(found["test"]) == (16,)


def test_the_trimodal_model_learns_as_stored(make, stored):
    learning = stored["learning"]
    assert make.trimodal(learning["n"][0], seed=0) == pytest.approx(np.mean(learning["trimodal"], axis=0)[0], abs=0.04)


def test_the_small_network_learns_as_stored(make, folder, stored):
    data, learning = make.search.load(folder), stored["learning"]
    for column in (0, 2):
        again = make.small_network(data, learning["n"][column], seed=0)
        assert again == pytest.approx(learning["small"][0][column], abs=0.03)


def test_the_winner_promises_more_than_it_keeps(make, stored):
    g = np.random.default_rng(0)
    equal = [[(0.7, g.binomial(150, 0.7, make.BLOCKS).tolist()) for _ in range(60)] for _ in range(2)]
    curse = make.winners_curse(equal, rounds=1000)
    gain = np.array(curse["promised"]) - curse["fresh"]
    assert abs(gain[0]) < 0.01, "one setting is not flattered"
    assert gain[-1] == pytest.approx(0.091, abs=0.02), "the best of 100 equal ones is: E[max] of binomials"
    assert np.diff(stored["curse"]["promised"]).min() > 0


def test_several_processes_share_one_study(make, folder):
    shared = make.together(folder, processes=2, trials=8)
    assert 8 <= sum(shared["trials"]) <= 9 and min(shared["trials"]) >= 1


def test_a_killed_search_is_resumed(make, folder):
    (folder / "journal.log").unlink(missing_ok=True)

    def finished():
        try:
            study = make.optuna.load_study(study_name="mood", storage=make.search.storage(folder))
        except KeyError:
            return []
        return [t.number for t in study.trials if t.state.name == "COMPLETE"]

    worker = subprocess.Popen([sys.executable, str(SEARCH), str(folder), "1000", "0"])
    deadline = time.monotonic() + 120
    while len(finished()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    worker.kill()
    worker.wait()
    survived = finished()
    assert len(survived) >= 2
    make.search.join(folder, len(survived) + 2, seed=1)
    resumed = finished()
    assert resumed[: len(survived)] == survived and len(resumed) == len(survived) + 2
