"""Stored figures of lesson sentiment: a short part is run again; what the lesson says of the rest holds in the file."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, load, mood, results
from mmcourse.exercise import find_challenge

JOINT = ("concatenate", "gated unit", "tensor", "attention")


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("make_results_sentiment", lesson_dir("sentiment") / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data():
    return {split: load("mood", split) for split in ("train", "validation", "test")}


def test_a_run_with_all_and_with_gaps_comes_out_as_stored(make, data):
    again = make.by_subset(make.trained("attention + dropout", 0, data), data["test"])
    np.testing.assert_allclose(again, results("sentiment")["subsets"]["with"][0], atol=0.03)
    assert abs(again[-1] - results("sentiment")["subsets"]["with"][0][-1]) < 0.015


def test_the_words_alone_come_out_as_stored(make, data):
    again = make.compare_methods(data, [0], ["words"])["words"]
    stored = results("sentiment")["methods"]["words"]
    assert abs(again["accuracy"][0] - stored["accuracy"][0]) < 0.02
    assert abs(again["sarcasm"][0] - stored["sarcasm"][0]) < 0.08


def test_the_race_comes_out_as_stored(make, data):
    for way, tolerance in (("nothing", 0.03), ("losses of their own", 0.03)):
        again = make.race(way, 0, data)
        stored = results("sentiment")["speed"][way][0]
        assert abs(again["accuracy"] - stored["accuracy"]) < tolerance
        np.testing.assert_allclose(again["probes"][-1], stored["probes"][-1], atol=0.05)


def test_stored_figures_are_whole_and_below_their_ceilings(make):
    stored = results("sentiment")
    assert stored["seconds"] < 3000 and "PyTorch" in stored["made_with"]
    assert set(stored["methods"]) == {*make.METHODS, "late, trained apart"}
    assert all(len(v["accuracy"]) == len(v["sarcasm"]) == 5 for v in stored["methods"].values())
    for name, figures in stored["methods"].items():
        best = mood.bayes_accuracy([name] if name in make.NAMES else make.NAMES)
        assert np.mean(figures["accuracy"]) < best + 0.015  # 1,500 samples: a hair of luck
    for way in ("with", "without"):
        assert np.shape(stored["subsets"][way]) == (5, 7)
    assert np.shape([run["probes"] for run in stored["speed"]["nothing"]]) == (3, make.SPEED_EPOCHS, 3)


def test_how_long_the_untreated_model_stays_on_its_plateau_is_luck():
    """What the lesson says of two budgets: ten epochs are enough for every cured seed, and for two of eight without."""
    stored = results("sentiment")
    untreated = np.array(stored["untreated, ten epochs"])
    assert len(untreated) == 8
    assert np.sum(untreated > 0.91) == 2  # the text says two of eight
    assert np.sum(untreated < 0.81) >= 2
    for way in ("own losses, ten epochs", "unit scale, ten epochs"):
        assert len(stored[way]) == 5 and min(stored[way]) > 0.905
    assert len(stored["untreated, twenty epochs"]) == 5 and min(stored["untreated, twenty epochs"]) > 0.9


def test_interaction_beats_every_vote_by_four_points():
    """Paired over five seeds: theory says that no vote passes 0.858, and these do, by far."""
    methods = results("sentiment")["methods"]
    late = np.max([methods[f"late, trained {how}"]["accuracy"] for how in ("apart", "together")], axis=0)
    for name in JOINT:
        reached = np.array(methods[name]["accuracy"])
        assert np.mean(reached - mood.additive_accuracy()) >= 0.04
        assert np.min(reached - late) > 0.05


def test_the_ladder_and_stacking_are_whole(make):
    """One change at a time, five seeds, two budgets; and what reads nine log-probabilities."""
    stored = results("sentiment")
    assert set(stored["ladder"]) == {*make.RUNGS, make.CONTROL}
    assert all(np.shape(rows) == (5, 2) for rows in stored["ladder"].values())
    linear, network = ([run["accuracy"] for run in stored["stacking"][way]] for way in ("linear", "network"))
    assert max(linear) < mood.additive_accuracy() < min(network)


def test_real_people_have_baselines_and_intervals_beside_them():
    stored = results("sentiment")
    for name in ("reviews", "meld"):
        for accuracy, low, high in stored[name]["accuracy"].values():
            assert low < accuracy < high
    assert {"majority", "length", "speaker only"} <= set(stored["meld"]["accuracy"])
    voices = stored["emodb"]["accuracy"]
    assert len(stored["emodb"]["speakers"]) == 10 and all(np.shape(rows)[-1] == 10 for rows in voices.values())
    by_speaker = stored["mustard"]["folds by speaker"]["accuracy"]
    assert by_speaker["speaker only"] == by_speaker["majority"], "a new name tells nothing"


def test_the_challenge_says_what_simple_ways_reach():
    made, stored = find_challenge("sentiment.challenge"), results("sentiment")["challenge"]
    text = " ".join(made.statement)
    for value in (stored["one answer"], stored["linear"], stored["forest"], stored["network 0"]):
        assert f"{value:.2f}" in text
    points = [made.points_of(stored[name]) for name in ("one answer", "linear", "forest", "network 0")]
    assert points == [0, 0, 1, 2]
