"""Stored figures of lesson train_pytorch: parts are run again; what the lesson says of them holds in the file."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, load, results


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("train_pytorch") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_train_pytorch", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return results("train_pytorch")


def test_the_voice_of_a_mood_comes_out_as_stored(make, stored):
    assert make.mood_voice() == pytest.approx(stored["mood_voice"], abs=0.02)


def test_a_mood_is_not_in_its_average_sound(stored):
    """Length gives the voice's cue away; the average sound hardly beats the commonest feeling, 0.38."""
    assert stored["mood_voice"]["average sound"] < 0.45 < 0.62 < stored["mood_voice"]["length"]


def test_the_linear_model_on_averages_comes_out_as_stored(make, stored):
    train, test = load("avdigits", "train"), load("avdigits", "test")
    both = [np.concatenate([make.pixels(ds), make.averages(ds, 8)], axis=1) for ds in (train, test)]
    again = make.linear(*both, train.labels, test.labels)
    assert again == pytest.approx(stored["linear"]["pixels + 8 averages"], abs=0.01)


def test_order_counts_for_a_spoken_digit(stored):
    linear = stored["linear"]
    assert linear["1 averages"] + 0.2 < linear["4 averages"] < linear["8 averages"]
    assert linear["pixels + 8 averages"] > linear["pixels"] + 0.2, "hearing helps, joined early and without a network"
