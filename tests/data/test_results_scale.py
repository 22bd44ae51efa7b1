"""Stored figures of lesson scale: Ray runs for real, Keras again, and what the lesson says of the rest holds."""

from __future__ import annotations

import importlib.util
import os
import sys

import numpy as np
import pytest

from mmcourse import datasets
from mmcourse.evaluate import mean_and_interval
from mmcourse.training.scale.launch import run_group

STORED = datasets.results("scale")
HERE = datasets.lesson_dir("scale")
pytestmark = pytest.mark.xdist_group("launches")


@pytest.fixture(scope="module")
def script():
    """make_results.py as a module."""
    spec = importlib.util.spec_from_file_location("scale_make_results", HERE / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ray_two_actors_one_killed_same_result(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed (extra `scale`)")
    sys.path.insert(0, str(HERE))
    import scale_train

    scale_train.save_data(tmp_path, datasets.load("mood", "train").subset(range(297)))
    command = [sys.executable, str(HERE / "scale_ray.py"), str(tmp_path), "one killed"]
    found = run_group(command, dict(os.environ), timeout=240).result["one killed"]
    assert found["actors lost"] == 1 and len(found["largest difference by step"]) == 5
    assert max(found["largest difference by step"]) <= 1e-12, "three steps with both actors, two after one was killed"


def test_ray_as_stored():
    for name, lost in (("two actors", 0), ("one killed", 1)):
        assert (
            max(STORED["ray"][name]["largest difference by step"]) <= 1e-12
            and STORED["ray"][name]["actors lost"] == lost
        )
    assert STORED["ray"]["same batches"]


def test_keras_as_stored_says_what_the_lesson_says():
    found = STORED["keras"]
    for name in ("fit, even batches", "loop, odd batch, divided by all", "accumulation, 20 + 20"):
        assert found[name] <= 1e-12
    for name in ("fit, odd last batch", "accumulation, 21 + 20"):
        assert found[name] > 1e-6
    assert "21 and 20" in found["loop, odd batch, losses by sample"]
    assert "torch" not in found["keras.distribution has a file for"] and found["of it unfinished on TensorFlow"]


def test_keras_runs_again_where_it_is_asked_for():
    """Two minutes on a busy machine: only with MMCOURSE_LONG=1."""
    if os.environ.get("MMCOURSE_LONG") != "1":
        pytest.skip("runs with MMCOURSE_LONG=1: TensorFlow in a process of its own")
    found = run_group([sys.executable, str(HERE / "scale_keras.py")], dict(os.environ), timeout=300).result
    assert found["fit, even batches"] <= 1e-12 < found["fit, odd last batch"]


def test_precision_by_seed(script):
    table = STORED["precision"]["accuracy"]
    assert len(table) == len(script.WAYS) * len(script.RATES)
    for rows in table.values():
        assert set(rows) == {"4", "16"} and all(len(row) == script.SEEDS for row in rows.values())
    gain, half = mean_and_interval(
        np.subtract(table["bfloat16 by autocast, 0.001"]["16"], table["float32, 0.001"]["16"])
    )
    assert abs(gain) < 0.02 and half < 0.05


def test_rounding_the_weights_is_what_costs(script):
    digits, base = STORED["digits"], STORED["precision"]["accuracy"]
    assert len(digits["accuracy"]) == len(script.ROUNDED) * len(script.RATES)
    for epochs in ("4", "16"):
        gain, half = mean_and_interval(
            np.subtract(digits["accuracy"]["weights, 0.0001"][epochs], base["float32, 0.0001"][epochs])
        )
        assert gain + half < 0
        gain, half = mean_and_interval(
            np.subtract(digits["accuracy"]["means, 0.0001"][epochs], base["float32, 0.0001"][epochs])
        )
        assert abs(gain) <= half < 0.005
    assert min(digits["undone"]["0.0001"]) > 0.8 > 0.5 > max(digits["undone"]["0.001"])


def test_rounding_is_to_eight_bits_and_counts_steps_that_it_undoes(script):
    import torch

    value = torch.tensor([1.0, 1.001, 1.006])
    script.round_all([value])
    assert value.tolist() == [1.0, 1.0, 1.0078125]
    torch.manual_seed(0)
    x, y = torch.randn(64, 4), torch.randint(0, 2, (64,))
    shares = {}
    for rate in (1e-6, 1.0):
        net = torch.nn.Linear(4, 2)
        torch.nn.init.ones_(net.weight)
        shares[rate] = script.train_rounded(net, x, y, x, y, "weights", rate, (1,))[1]
    assert shares[1e-6] > 0.7 and shares[1.0] == 0


def test_compile_as_stored():
    found = STORED["compile"]
    assert found["largest difference"] <= 1e-12 and found["graphs so far"] == sorted(found["graphs so far"])
    assert found["compiled"]["first step, s"] > found["eager"]["first step, s"]
