"""Stored figures of lesson attention on real film reviews, held to a rerun of one seed."""

import importlib.util

import numpy as np
import pytest
from loopback import serve

from mmcourse.datasets import lesson_dir, results

FILES = ("rt-polarity.neg", "rt-polarity.pos")


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("attention") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_attention", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def splits(make, real_data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, serve(files={n: (real_data / n).read_bytes() for n in FILES}) as server:
        patch.setenv("MMCOURSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MMCOURSE_MIRROR", server.url)
        patch.setenv("no_proxy", "127.0.0.1")
        patch.delenv("MMCOURSE_OFFLINE", raising=False)
        return {name: make.load(name) for name in ("train", "validation", "test")}


def test_stored_figures_are_whole(make):
    stored = results("attention")
    assert stored["num_test"] > 1000 and 100 < stored["num_negated"] < stored["num_test"]
    for name in make.MODELS:
        runs = np.array(stored[name])
        assert runs.shape == (make.SEEDS, 3)
        assert (runs[:, 0] > stored["majority"][0] + 0.2).all(), "far above the majority class"
        assert (runs[:, 2] < make.EPOCHS).all(), "the best epoch came before the last: the budget was enough"


def test_the_bag_of_words_comes_out_as_stored(make, splits):
    stored = results("attention")
    right = make.bag_of_words(splits)
    has_not = make.negated(splits["test"][2])
    assert len(right) == stored["num_test"] and has_not.sum() == stored["num_negated"]
    again = [right.mean(), right[has_not].mean()]
    np.testing.assert_allclose(again, stored["TF-IDF and logistic regression"][0], atol=0.01)


def test_one_seed_comes_out_as_stored(make, splits):
    right, _ = make.train(make.MODELS[0], 0, splits)
    assert abs(right.mean() - results("attention")[make.MODELS[0]][0][0]) < 0.02
