"""Stored figures of lesson text on real film reviews, held to a rerun of one fold."""

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results
from mmcourse.evaluate import mean_and_interval

NUM_SENTENCES = 10_662
SIZES = ("250", "1000", "4000", "all")


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("text") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_text", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def splits(make, real_data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMCOURSE_REAL_DATA", str(real_data))
        patch.setenv("MMCOURSE_OFFLINE", "1")
        return make.load()


def gain(name, size, other="TF-IDF"):
    """Mean difference over the folds and half of its corrected interval (Nadeau and Bengio 2003), as in the lesson."""
    folds = results("text")["folds"][size]
    mean, half = mean_and_interval(np.subtract(folds[name]["accuracy"], folds[other]["accuracy"]))
    return mean, widening(size) * half


def widening(size):
    """The correction's factor, for the training sentences of this size."""
    num_train = np.mean(results("text")["num_train"]) if size == "all" else int(size)
    return np.sqrt(1 + 10 * NUM_SENTENCES / 10 / num_train)


def test_factors_of_the_intervals():
    factors = [widening(size) for size in SIZES]
    assert np.round(factors, 1).tolist() == [6.6, 3.4, 1.9, 1.5]


def test_the_lesson_computes_these_intervals():
    """The lesson's own `gain_over`, run as it is written there, widens every size by its own factor."""
    source = (lesson_dir("text") / "lesson.py").read_text(encoding="utf-8")
    cell = source[source.index('num_test = stored["num_sentences"] / 10') :]
    cell = cell[: cell.index("\n\n\nprint(")]
    stored = results("text")
    names = {"np": np, "stored": stored, "folds": stored["folds"], "mean_and_interval": mean_and_interval}
    exec(cell, names)
    for size in SIZES:
        for name in stored["folds"][size]:
            if name != "TF-IDF":
                assert names["gain_over"](name, "TF-IDF", size) == pytest.approx(gain(name, size)), (name, size)


def test_stored_figures_are_whole(make):
    stored = results("text")
    names = {*make.RECIPES, make.NAIVE_BAYES, "majority class"}
    assert stored["num_sentences"] == NUM_SENTENCES
    assert set(stored["folds"]) == {str(size or "all") for size in make.SIZES}
    for size, table in stored["folds"].items():
        assert set(table) == names
        for name, row in table.items():
            assert len(row["accuracy"]) == make.FOLDS
            if name != "majority class":
                assert np.mean(row["accuracy"]) > np.mean(table["majority class"]["accuracy"]) + 0.05, (size, name)
    assert len(stored["telling_stop_words"]) == make.NUM_TELLING
    assert set(stored["telling_stop_words"]) <= make.NO_STOP


def test_more_sentences_are_better_for_each_recipe(make):
    folds = results("text")["folds"]
    for name in (*make.RECIPES, make.NAIVE_BAYES):
        means = [np.mean(folds[str(size or "all")][name]["accuracy"]) for size in make.SIZES]
        assert means == sorted(means), name


def test_what_the_lesson_says_of_the_figures():
    """No recipe is shown to differ from TF-IDF; beside pairs, stop words cost something with all sentences."""
    stored = results("text")
    for size in SIZES:
        assert gain("TF-IDF, no stop words", size)[0] < 0
        for name in stored["folds"][size]:
            if name not in ("TF-IDF", "majority class"):
                mean, half = gain(name, size)
                assert abs(mean) < half, f"{name} at {size}: the interval no longer contains 0"
    for name in ("TF-IDF, byte-level pieces", "counts"):  # behind, and less with more sentences
        means = [gain(name, size)[0] for size in SIZES]
        assert means == sorted(means) and means[-1] < 0, name
    pairs, no_stop = "TF-IDF, words and pairs", "TF-IDF, no stop words"
    printed = {
        (no_stop, "4000", "TF-IDF"): (-0.016, 0.017),
        (no_stop, "all", "TF-IDF"): (-0.008, 0.017),
        (pairs, "all", "TF-IDF"): (0.013, 0.015),
        (f"{pairs}, no stop words", "4000", pairs): (-0.015, 0.017),
        (f"{pairs}, no stop words", "all", pairs): (-0.021, 0.013),
        ("counts", "1000", "TF-IDF"): (-0.013, 0.022),
        ("counts", "all", "TF-IDF"): (-0.004, 0.010),
        ("TF-IDF, byte-level pieces", "all", "TF-IDF"): (-0.009, 0.011),
        ("TF-IDF, no stop words but 30", "all", no_stop): (0.007, 0.015),
    }
    for (name, size, other), expected in printed.items():
        assert np.round(gain(name, size, other), 3).tolist() == list(expected), (name, size)
    usual = stored["usual_split"]
    on_one_split = usual[no_stop] - usual["TF-IDF"]
    assert 1.9 < on_one_split / gain(no_stop, "all")[0] < 2.2, "the lesson says: twice as bad"
    table = results("text")["folds"]["all"]
    better = [
        name for name in table if np.mean(table[name]["accuracy"]) > np.mean(table["naive Bayes on counts"]["accuracy"])
    ]
    assert better == ["TF-IDF, words and pairs"], "the lesson says: at least as good as anything but pairs"
    assert results("text")["frequencies"]["pairs"]["once"] > 0.8


def test_each_sentence_is_tested_once_and_never_trained_on_in_that_fold(make, splits):
    parts = make.cross_validation(splits)
    assert sum(len(part["test"][1]) for part in parts) == NUM_SENTENCES
    for part in parts:
        sets = [{make.re.sub(r"\W+", " ", s.lower()).strip() for s in part[name][0]} for name in part]
        assert not sets[0] & sets[1] and not sets[0] & sets[2] and not sets[1] & sets[2]
        assert sum(len(part[name][1]) for name in part) == NUM_SENTENCES


def test_the_first_fold_comes_out_as_stored(make, splits):
    part = make.cross_validation(splits)[0]
    for size in (1000, None):
        stored = results("text")["folds"][str(size or "all")]
        smaller = make.with_fewer(part, size, seed=0)
        for name in (make.BASELINE, "TF-IDF, no stop words"):
            reached, c = make.accuracy(name, smaller)
            assert abs(reached - stored[name]["accuracy"][0]) < 0.005, (size, name)
            assert c == stored[name]["C"][0]
        assert abs(make.naive_bayes(smaller) - stored[make.NAIVE_BAYES]["accuracy"][0]) < 0.003
        assert abs(make.majority(smaller) - stored["majority class"]["accuracy"][0]) < 1e-4


def test_frequencies_come_out_as_stored(make, splits):
    found, stored = make.frequencies(splits["train"][0]), results("text")["frequencies"]
    for name in ("words", "pairs"):
        assert found[name]["counts"] == stored[name]["counts"]
        assert found[name]["once"] == pytest.approx(stored[name]["once"])
