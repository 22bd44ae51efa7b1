"""Stored figures of lesson text on real film reviews, held to a rerun of its main recipes."""

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results


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


def test_stored_figures_are_whole(make):
    stored = results("text")
    names = {*make.RECIPES, "naive Bayes on counts"}
    for size, draws in (("1000", make.DRAWS), ("all", 1)):
        assert set(stored[size]) == names
        for row in stored[size].values():
            assert len(row["accuracy"]) == len(row["negated"]) == draws
            assert min(row["accuracy"]) > stored["majority"] + 0.1, "far above the majority class"
    for row in stored["all"].values():
        gain, low, high = row["gain"]
        assert low <= gain <= high


def test_what_the_lesson_says_of_the_figures():
    """Removing stop words costs something with all sentences and nothing that shows with 1,000; pairs gain nothing."""
    stored = results("text")
    gain, _, high = stored["all"]["TF-IDF, no stop words"]["gain"]
    assert gain < 0 and high < 0
    small = stored["1000"]
    difference = np.subtract(small["TF-IDF, no stop words"]["accuracy"], small["TF-IDF"]["accuracy"])
    assert abs(difference.mean()) < 0.01
    for name in ("TF-IDF, words and pairs", "TF-IDF, stems", "counts", "naive Bayes on counts"):
        _, low, high = stored["all"][name]["gain"]
        assert low < 0 < high, f"{name}: the interval no longer contains 0; the lesson says that nothing is measured"


def test_the_main_recipes_come_out_as_stored(make, splits):
    stored = results("text")
    truth = splits["test"][1]
    assert len(truth) == stored["num_test"] and make.negated(splits["test"][0]).sum() == stored["num_negated"]
    chosen = make.draw(splits["train"][1], None, seed=0)
    for name in (make.BASELINE, "TF-IDF, no stop words"):
        predicted, c = make.predict(name, splits, chosen)
        assert abs((predicted == truth).mean() - stored["all"][name]["accuracy"][0]) < 0.005, name
        assert c == stored["all"][name]["C"][0]
