"""The stored figures of lesson train_keras: five seeds in both frameworks, and the start of one of them made again."""

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, load, mood, results


@pytest.fixture(scope="module")
def figures():
    return results("train_keras")


def test_both_frameworks_end_within_a_point_at_the_ceiling(figures):
    accuracy = {name: np.array([run["accuracy"] for run in figures[name]]) for name in ("PyTorch", "Keras")}
    assert all(len(a) == 5 for a in accuracy.values())
    assert abs(accuracy["PyTorch"].mean() - accuracy["Keras"].mean()) < 0.01
    assert min(a.mean() for a in accuracy.values()) > 0.97 * mood.bayes_accuracy(["face", "voice", "words"])


def test_the_start_of_a_run_made_again(figures):
    pytest.importorskip("torch"), pytest.importorskip("keras")
    spec = importlib.util.spec_from_file_location(
        "make_results_train_keras", lesson_dir("train_keras") / "make_results.py"
    )
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    train = load("mood", "train")
    ours, theirs = make.both(train, 0)
    # The loss of the first epoch depends on the learning rates of the whole run: stop after one of ten.
    few = train.subset(np.arange(64))
    before = [
        make.torch_train.predict(ours, few.torch_loader(64)),
        make.keras_train.predict(theirs, few.tf_dataset(64)),
    ]
    np.testing.assert_allclose(*before, atol=1e-4)
    again = make.trial(few, few, 0, epochs=1)
    assert again["PyTorch"]["loss"] == pytest.approx(again["Keras"]["loss"], abs=1e-4)
    for name in ("PyTorch", "Keras"):
        for run in figures[name]:
            assert run["loss"][0] < np.log(3) and run["loss"][-1] < 0.35 < run["loss"][0]
