"""Stored figures of lesson text on real film reviews, held to a rerun of one fold."""

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results
from mmcourse.evaluate import mean_and_interval

NUM_SENTENCES = 10_662


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
    """Mean difference over the folds and half of its interval, as the lesson computes it."""
    folds = results("text")["folds"][size]
    mean, half = mean_and_interval(np.subtract(folds[name]["accuracy"], folds[other]["accuracy"]))
    return mean, 1.5 * half


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
    """Stop words gain nothing at any size, and cost something beside pairs; few sentences favor TF-IDF over counts."""
    for size in ("250", "1000", "4000", "all"):
        assert gain("TF-IDF, no stop words", size)[0] < 0
        assert gain("TF-IDF, byte-level pieces", size)[0] < 0
        for name in ("TF-IDF, stems", "TF-IDF, punctuation kept", "TF-IDF, no stop words but negations"):
            mean, half = gain(name, size)
            assert abs(mean) < half, f"{name} at {size}: the interval no longer contains 0"
    for name in ("TF-IDF, no stop words", "TF-IDF, words and pairs", "counts", "TF-IDF, no stop words but 30"):
        mean, half = gain(name, "all")
        assert abs(mean) < half, name
    for size in ("250", "1000"):
        mean, half = gain("counts", size)
        assert mean + half < 0
    mean, half = gain("TF-IDF, words and pairs, no stop words", "all", other="TF-IDF, words and pairs")
    assert mean + half < 0
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
