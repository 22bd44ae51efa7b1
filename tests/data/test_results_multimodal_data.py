"""Stored figures of lesson multimodal_data: what its sentences say holds in them, and a part comes out again."""

import importlib.util

import numpy as np
import pytest

from mmcourse.authoring.real import data_folder
from mmcourse.datasets import lesson_dir, results
from mmcourse.evaluate import cohen_kappa, fleiss_kappa, mean_and_interval
from mmcourse.exercise import find_challenge


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("multimodal_data") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_multimodal_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return results("multimodal_data")


def test_all_tables_are_there(make, stored):
    assert set(make.TABLES) <= set(stored)


def test_an_unseen_person_is_far_harder_than_an_unseen_clip(stored):
    for name, least in (("digits", 0.2), ("emotions", 0.04)):
        for model in ("SVC", "linear"):
            row = stored["people"][name][model]
            assert np.mean(row["at random"]) - np.mean(row["by group"]) > least
    row = stored["people"]["digits"]["SVC"]
    mean, interval = mean_and_interval(np.mean(row["at random"]) - np.array(row["by group"]))
    assert mean - interval > 0.2 and np.ptp(row["at random"]) < 0.01
    row = stored["people"]["emotions"]["linear"]
    mean, interval = mean_and_interval(row["by group"])
    assert abs(np.mean(row["at random"]) - mean) < interval  # "it is not clear of the interval"


def test_it_is_not_what_every_frame_has_in_common(stored):
    digits = stored["people"]["digits"]
    gain = np.subtract(digits["mean over time taken off"]["by group"], digits["SVC"]["by group"])
    mean, interval = mean_and_interval(gain)
    assert mean - interval < 0 < mean + interval and gain.min() < -0.1 < 0.1 < gain.max()
    assert digits["nearest is the same person, mean taken off"] > 0.95


def test_the_nearest_is_the_same_person_saying_the_same_and_of_others_the_match_is_worse(stored):
    digits, emotions = stored["people"]["digits"], stored["people"]["emotions"]
    assert min(digits["nearest is the same person"], digits["nearest has the same label"]) > 0.95
    assert abs(digits["nearest of another person has the same label"] - 0.5) < 0.05
    names = ("nearest has the same label", "nearest of another person has the same label")
    assert [round(emotions[name], 2) for name in names] == [0.5, 0.44]


def test_noise_opens_the_gap_most_and_more_voices_close_it(stored):
    rooms = stored["rooms"]
    gaps = {
        name: np.mean(rooms[name]["new takes"]) - np.mean(rooms[name]["new voices"])
        for name in rooms
        if name != "seconds"
    }
    assert gaps["voices only"] < gaps["noise"] < gaps["microphones and noise"]
    assert abs(gaps["microphones"] - gaps["voices only"]) < 0.05
    voices = [np.mean(stored["voices"][str(n)]["new voices"]) for n in (2, 3, 6, 12, 18)]
    assert voices == sorted(voices) and round(voices[0], 1) == 0.1 and round(voices[-1], 2) == 0.83


def test_a_leak_pushes_a_score_either_way(stored):
    nlvr, mustard = stored["sentences"]["nlvr"], stored["sentences"]["mustard"]
    for name in ("bag of words", "nearest sentence"):
        assert max(nlvr[name]["at random"]) < 0.45 < 0.5 < min(nlvr[name]["by group"])
    assert abs(np.mean(nlvr["bag of words"]["by group"]) - nlvr["majority"]) < 0.01
    assert np.mean(mustard["name alone"]["at random"]) > 0.65 > 0.5 > np.mean(mustard["name alone"]["by group"])
    assert round(np.mean(mustard["most frequent label of the training set"]["by group"]), 2) == 0.33
    assert round(np.mean(mustard["bag of words"]["at random"]), 2) == 0.6
    assert round(np.mean(mustard["bag of words"]["by group"]), 2) == 0.52


def test_the_published_recordings_are_those_that_were_heard_as_intended(stored):
    table = stored["listeners"]
    assert table["published"]["least"] >= 0.8
    assert (table["all"]["heard as intended"], table["published"]["heard as intended"]) == (0.8523, 0.9354)
    assert table["left out"]["natural"] < table["published"]["natural"]


def test_votes_have_no_three_against_two(stored):
    patterns = stored["votes"]["counts of true, false, nonsense"]
    assert not {"3 2 0", "2 3 0"} & set(patterns)
    assert sum(patterns.values()) == stored["votes"]["num"] == 989
    assert stored["votes"]["all five agree"] == round((patterns["5 0 0"] + patterns["0 5 0"]) / 989, 4)


def test_votes_again_from_the_counts(make, stored):
    """Agreement from the stored patterns alone."""
    rows = [
        [int(count) for count in pattern.split()]
        for pattern, times in stored["votes"]["counts of true, false, nonsense"].items()
        for _ in range(times)
    ]
    pairs, chance, kappa = make.agreement(np.array(rows))
    found = [round(x, 4) for x in (pairs, chance, kappa, make.alpha(np.array(rows)))]
    assert found == [stored["votes"][name] for name in ("pairs", "chance", "fleiss", "krippendorff")]


def test_alpha_by_its_definition(make):
    """Pairs of different answers within items against pairs of different answers among all."""
    counts = np.array([[2, 1, 0], [0, 3, 0], [1, 1, 1], [0, 0, 3]])
    answers = [[k for k, times in enumerate(row) for _ in range(times)] for row in counts]

    def different(values):
        return np.mean([a != b for i, a in enumerate(values) for j, b in enumerate(values) if i != j])

    within = np.mean([different(row) for row in answers])
    assert np.isclose(make.alpha(counts), 1 - within / different(sum(answers, [])))
    assert make.alpha(counts) > fleiss_kappa(counts)  # a little: pairs are drawn without replacement


def test_groups_mixed_up_keep_their_sizes(make):
    groups = np.repeat([3, 1, 2], [5, 2, 7])
    fake = make.mixed_up(groups, 0)
    assert np.array_equal(np.sort(fake), np.sort(groups)) and not np.array_equal(fake, groups)
    assert make.weighted([1.0, 0.0, 0.5], groups) == round((2 * 1 + 7 * 0 + 5 * 0.5) / 14, 4)
    assert abs(cohen_kappa(groups, fake)) < 0.5


def test_whom_to_believe_is_worth_more_than_a_vote(make, stored):
    table = stored["challenge"]
    challenge = find_challenge("multimodal_data.challenge")
    assert table["majority vote"] < table["the four best annotators"] < challenge.to_beat
    assert challenge.to_beat < table["votes weighted by accuracy on the known"]
    assert table["EM, a table per annotator"] > max(challenge.points_by_score)
    drawn = challenge.public()
    votes = make.majority_vote(drawn.inputs["votes"], 4)
    assert round(challenge.scored(challenge.checked(votes), drawn), 4) == table["majority vote"]


@pytest.mark.skipif(data_folder() is None or not (data_folder() / "nlvr").is_dir(), reason="needs NLVR")
def test_votes_come_out_again(make, stored):
    assert make.make_votes() == {k: v for k, v in stored["votes"].items() if k != "seconds"}
