"""Stored figures of lesson driving: exact tables again, a small network, and commands whose fits are recounted."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from mmcourse import datasets
from mmcourse.datasets import road
from mmcourse.datasets.road import table

STORED = datasets.results("driving")


@pytest.fixture(scope="module")
def script():
    """make_results.py as a module."""
    path = datasets.lesson_dir("driving") / "make_results.py"
    spec = importlib.util.spec_from_file_location("driving_make_results", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_a_gate_can_win_is_what_the_table_says(script):
    row = STORED["tables"]["fog of road"]
    accuracy, log_loss = script.fitted_vote(road.JOINT.reshape(4, 12, 4, 4))
    assert row["all told"] == pytest.approx(road.bayes_accuracy())
    assert row["best without weather"] == pytest.approx(road.bayes_accuracy(told=False))
    assert accuracy == pytest.approx(row["vote"], abs=2e-3) and log_loss == pytest.approx(
        row["log loss of the vote"], abs=1e-3
    )
    posterior = road.JOINT / road.JOINT.sum(axis=0)
    assert row["log loss, all told"] == pytest.approx(-(road.JOINT * np.log(posterior)).sum())
    blinded = table.joint_table(table.sensor_tables(scattered=0)).reshape(4, 12, 4, 4)
    found = script.searched_vote(blinded, seed=0, sweeps=1)
    assert 0.8 < found <= STORED["tables"]["fog blinds the camera"]["all told"] + 1e-9


def test_no_network_passes_its_ceiling_by_more_than_chance():
    for kind in ("gate", "vote", "concatenate", "no_dropout"):
        runs = STORED[kind]["subsets"]["camera + lidar + radar"]
        assert len(runs) == 5
        for run in runs:
            assert run["all"] < road.bayes_accuracy() + 0.015
            for weather in road.WEATHERS:
                assert run[weather] < road.bayes_accuracy(weather=weather) + 0.05


def test_a_small_network_again(script):
    """A quarter of the steps, a third of the test scenes: on the way to the stored accuracy."""
    from mmcourse.torch.road import BirdView, evaluate, fit, to_tensors

    train = to_tensors(datasets.load("road", "train").subset(np.arange(800)))
    test = to_tensors(datasets.load("road", "test").subset(np.arange(400)))
    torch.manual_seed(0)
    model = BirdView("gate")
    losses = fit(model, train, epochs=4, lr=script.LR, sensor_dropout=script.DROPOUT)
    truth = test["classes"].numpy()
    right = (evaluate(model, test).argmax(axis=-1) == truth)[truth >= 0].mean()
    stored = np.mean([run["all"] for run in STORED["gate"]["subsets"]["camera + lidar + radar"]])
    assert losses[-1] < losses[0] and 0.6 < right < stored + 0.05
    assert sum(p.numel() for p in model.parameters()) == STORED["gate"]["parameters"] < 60_000


def test_a_missing_sensor_changes_nothing_whatever_its_values():
    from mmcourse.torch.road import BirdView, sample_modality_mask

    torch.manual_seed(1)
    batch = {"camera": torch.rand(2, 3, 32, 96), "lidar": torch.rand(2, 4, 16, 16), "radar": torch.rand(2, 3, 16, 16)}
    for fusion in ("vote", "gate", "concatenate"):
        model = BirdView(fusion).eval()
        for k, name in enumerate(road.MODALITIES):
            mask = torch.ones(2, 3, dtype=torch.bool)
            mask[0, k] = False
            first, other = model(batch, mask), model({**batch, name: batch[name] + 1}, mask)
            assert torch.allclose(first[0], other[0]) and not torch.allclose(first[1], other[1])
    mask = sample_modality_mask(500, 0.6, torch.Generator().manual_seed(0))
    assert mask.any(dim=1).all() and 0.35 < mask.float().mean() < 0.6
    with pytest.raises(ValueError, match="vote, gate, concatenate"):
        BirdView("sum")


def test_commands_fit_one_thing_two_or_none(script):
    scenes, phrases, fits = script.draw_commands(30, 281)
    assert fits == STORED["intent"]["fits"][:30] and len(phrases) == len(scenes) == 30
    assert [min(len(f), 2) for f in fits] == [1, 2, 0] * 10


def test_what_is_said_agrees_with_the_stored_recall():
    for weather, runs in STORED["confused"].items():
        column = road.WEATHERS.index(weather)
        for counts, recalls in zip(np.array(runs), STORED["gate"]["recall"], strict=True):
            for kind, name in enumerate(road.CLASSES):
                share = counts[kind, kind] / counts[kind].sum()
                assert share == pytest.approx(recalls[f"{name}, weather"][column], abs=0.02)
