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


def test_the_table_is_whole(make, stored):
    table = make.search.Table.read(stored["table"])
    assert table.validation.shape == (612, 3, make.search.EPOCHS) and table.test.shape == (612, 3, make.BLOCKS)
    assert len(table.settings) == 612 and 0 <= table.validation.min() and table.validation.max() < 1
    for row in (0, 100, 611):
        assert make.search.row_of(table.settings[row]) == row, "each setting finds its own row"


def test_runs_of_the_table_come_out_again(make, folder, stored):
    table, data = make.search.Table.read(stored["table"]), make.search.load(folder)
    for row, seed in ((300, 0), (410, 2)):
        validation, test, _ = make.one_run(data, table.settings[row], seed)
        again = np.array(validation) / make.search.MESSAGES
        assert again == pytest.approx(table.validation[row, seed], abs=0.03)
        assert sum(test) / make.search.MESSAGES == pytest.approx(table.test[row, seed].mean(), abs=0.03)


def test_a_short_search_gives_the_stored_figures(make, stored):
    """Optuna's random and grid search are the same everywhere; TPE's first ten trials are random ones."""
    for name, first in (("random", 24), ("grid", 24), ("TPE", 10)):
        again = make.make_search((name,), repeats=2)[name]["rows"]
        for line, kept in zip(again, stored["search"][name]["rows"][:2], strict=True):
            assert line.split()[:first] == kept.split()[:first], name


def test_stored_searches_are_whole(make, stored):
    for name, found in stored["search"].items():
        rows = np.array([line.split() for line in found["rows"]], int)
        assert rows.shape == (make.REPEATS, make.search.BUDGET) and rows.min() >= 0 and rows.max() < 612, name


def test_pruners_spend_no_more_than_their_budget(make, stored):
    for name, found in stored["pruning"].items():
        epochs = np.array(found["epochs"].split(), int)
        assert epochs.max() <= make.search.BUDGET * make.search.EPOCHS, name
    assert set(stored["pruning"]["none"]["trials"].split()) == {str(make.search.BUDGET)}


def test_film_reviews_have_the_default_where_it_is_said(stored):
    films = stored["text"]
    assert films["settings"][films["default"]] == "1 1 False logistic regression 1.0"
    assert len(films["settings"]) == 216 and len(films["validation"]) == len(films["test"]) == 10


def test_the_trimodal_model_learns_as_stored(make, stored):
    learning = stored["learning"]
    assert make.trimodal(learning["n"][0], seed=0) == pytest.approx(np.mean(learning["trimodal"], axis=0)[0], abs=0.04)


def test_the_small_network_learns_as_stored(make, folder, stored):
    data, learning = make.search.load(folder), stored["learning"]
    for column in (0, 2):
        again = make.small_network(data, learning["n"][column], seed=0)
        assert again == pytest.approx(learning["small"][0][column], abs=0.03)


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


def test_the_winners_wanted_a_wider_network_and_no_more_dropout(make, stored):
    """The space ended at both: from the same seeds, one of them pays and the other does not."""
    counts = {name: np.array(found) / make.search.MESSAGES for name, found in stored["edge"]["validation"].items()}
    assert all(len(found) == make.NEW_SEEDS for found in counts.values())
    assert counts["128 0.8"] == pytest.approx(np.array(stored["finalists"]["validation"][3]) / 1500)
    assert counts["256 0.8"].mean() > counts["128 0.8"].mean()
    assert all(counts[f"{width} 0.9"].mean() < counts[f"{width} 0.8"].mean() for width in (128, 256, 512))
