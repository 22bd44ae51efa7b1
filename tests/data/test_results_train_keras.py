"""The stored figures of lesson train_keras: whole, true to its sentences, and the start of one of them made again."""

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, load, mood, results
from mmcourse.exercise import find_challenge


@pytest.fixture(scope="module")
def figures():
    return results("train_keras")


@pytest.fixture(scope="module")
def make():
    pytest.importorskip("torch"), pytest.importorskip("keras")
    path = lesson_dir("train_keras") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_train_keras", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_tables_are_there_with_every_seed(make, figures):
    assert set(make.PARTS) <= set(figures)
    for table in figures["weights"]["recalls"].values():
        assert [np.shape(table[f"{b} epochs"]) for b in make.WEIGHT_BUDGETS] == [(make.SEEDS, 2)] * 2
    for size in make.SIZES:
        assert {len(scores) for scores in figures["mask"][f"{size} sentences"].values()} == {make.SEEDS}
        assert {np.shape(v) for v in figures["stopping"][f"{size} sentences"].values()} == {(make.SEEDS, 20)}
        assert {len(figures["reviews"][f"{size} sentences"][kind]) for kind in ("mean", "convolution")} == {make.SEEDS}


def test_sampling_has_every_seed(make, figures):
    for name in ("oversampling", "undersampling"):
        assert [np.shape(figures["sampling"][name][f"{b} epochs"]) for b in make.WEIGHT_BUDGETS] == [
            (make.SEEDS, 2)
        ] * 2


@pytest.mark.parametrize("budget", ["2 epochs", "10 epochs"])
def test_both_frameworks_end_within_a_point(figures, budget):
    table = figures["frameworks"][budget]
    accuracy = {name: np.array([run["accuracy"] for run in table[name]]) for name in ("PyTorch", "Keras")}
    assert all(len(a) == 5 for a in accuracy.values())
    assert abs(accuracy["PyTorch"].mean() - accuracy["Keras"].mean()) < 0.01
    if budget == "10 epochs":
        assert min(a.mean() for a in accuracy.values()) > 0.97 * mood.bayes_accuracy(["face", "voice", "words"])


def test_the_start_of_a_run_made_again(make, figures):
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
        for run in figures["frameworks"]["10 epochs"][name]:
            assert run["loss"][0] < np.log(3) and run["loss"][-1] < 0.35 < run["loss"][0]


def test_balanced_weights_count_each_class_the_same(make):
    labels = np.repeat([0, 1, 2], [50, 30, 4])
    weights = make.balanced_weights(labels)
    totals = [weights[k] * (labels == k).sum() for k in range(3)]
    np.testing.assert_allclose(totals, len(labels) / 3)


def test_the_challenge_says_what_simple_ways_reach(make, figures):
    stored, text = figures["challenge"], " ".join(find_challenge("train_keras").statement)
    assert f"one answer for all reaches {stored['guessing']:.2f}" in text
    assert f"balanced class weights {stored['linear']:.2f}" in text
    for name, before in (("network", "64 units reached "), ("network, class weights", "with balanced class weights ")):
        first, second = (f"{score:.2f}" for score in stored[name])
        assert f"{before}{first} and {second}" in text
    assert f"{stored['network_seconds']} seconds" in text
    assert max(stored["network, class weights, 10 epochs"]) > 0.86
    assert make.guessing() == stored["guessing"]
    assert make.linear_challenge() == pytest.approx(stored["linear"], abs=0.02)
