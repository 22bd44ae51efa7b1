"""Stored figures of lesson evaluate: what its sentences say holds in them, and short reruns come out again."""

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results
from mmcourse.evaluate import log_loss, mcnemar, mean_and_interval
from mmcourse.exercise import find_challenge


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("evaluate") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_evaluate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return results("evaluate")


def test_all_tables_are_there(make, stored):
    assert set(make.TABLES) <= set(stored)
    assert stored["nested"]["num_configurations"] == len(make.configurations()) == 49
    assert len(stored["nested"]["random"]["best"]) == make.REPEATS
    assert all(len(stored["seeds"][name]["test"]) == make.SEEDS for name in make.EPOCHS)


def test_a_search_flatters_itself_and_nesting_mends_it(stored):
    for name in ("random", "mood"):
        table = {key: np.array(stored["nested"][name][key]) for key in ("best", "nested", "truth")}
        mean, half = mean_and_interval(table["best"] - table["truth"])
        assert mean - half > 0, name
        mean, half = mean_and_interval(table["nested"] - table["truth"])
        assert abs(mean) < half, name
    assert abs(np.mean(stored["nested"]["random"]["truth"]) - 1 / 3) < 0.02


def test_eight_epochs_are_better_than_three_and_two_seeds_say_little(stored):
    three, eight = (np.array(stored["seeds"][name]["test"]) for name in ("three epochs", "eight epochs"))
    assert eight.mean() - three.mean() > 0.03 and three.std() < 0.015 and eight.std() < 0.02
    g = np.random.default_rng(1)
    order = np.argsort(g.random((5000, len(three))), axis=1)
    difference = three[order[:, :2]] - three[order[:, 2:4]]
    wrong = abs(difference.mean(axis=1)) > 2 * difference.std(axis=1, ddof=1) / np.sqrt(2) + 1e-12
    assert abs(wrong.mean() - 0.295) < 0.03  # 1 - 2 arctan(2) / pi for normal values


def test_people_lose_more_by_person_than_by_sentence(stored):
    people = stored["people"]
    assert people["num_clips"] == sum(people["clips_per_speaker"]) == 535
    weights = people["clips_per_speaker"]
    by = {name: np.average(people[name], weights=weights) for name in ("by recording", "by sentence", "by speaker")}
    assert [round(value, 2) for value in by.values()] == [0.65, 0.63, 0.54]
    mean, half = mean_and_interval(np.subtract(people["by speaker"], people["by recording"]))
    assert mean + half < 0 and round(mean, 2) == -0.11
    assert np.allclose(np.divide(people["right_by_speaker"], weights), people["by speaker"], atol=1e-4)


def test_two_models_of_reviews_are_equally_right_and_not_equally_calibrated(stored):
    films = stored["reviews"]
    truth = np.array(films["positive"]["test"])
    p = {name: np.array(values) for name, values in films["p"]["test"].items()}
    first, second = ((values > 0.5).astype(int) for values in p.values())
    assert len(truth) == 1089 and mcnemar(truth, first, second)[2] > 0.5
    losses = [log_loss(truth, np.stack([1 - values, values], axis=1)) for values in p.values()]
    assert losses[1] > losses[0] + 0.05


def test_the_reviews_come_out_as_stored(make, stored, real_data):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMCOURSE_REAL_DATA", str(real_data))
        patch.setenv("MMCOURSE_OFFLINE", "1")
        train, test = (make.reviews.load(split) for split in ("train", "test"))
    model = make_pipeline(CountVectorizer(analyzer=make.words), MultinomialNB())
    model.fit(list(train.column("words")), train.labels)
    p = model.predict_proba(list(test.column("words")))[:, 1]
    assert np.abs(p - stored["reviews"]["p"]["test"]["naive Bayes"]).max() < 1e-4


def test_what_the_challenge_says_of_simple_ways(make, stored):
    made = find_challenge("evaluate.challenge")
    table, text = make.make_challenge(), " ".join(made.statement)
    for name, value in table.items():
        assert value == pytest.approx(stored["challenge"][name], abs=0.005), name
    assert f"as they are reaches {table['as they are']:.2f}" in text
    assert f"the classes {table['shares']:.2f}" in text
    assert f"one temperature for all {table['one temperature']:.2f}" in text
    points = [made.points_of(value) for value in table.values()]
    assert dict(zip(table, points, strict=True)) == {
        "shares": 0,
        "as they are": 0,
        "one temperature": 1,
        "a temperature for each": 2,
        "a regression for each": 3,
    }
    for key in (b"one class", b"another class", b"a third"):
        drawn = made.drawn_from(key)
        earned = [
            made.points_of(made.scored({"probabilities": way(drawn)}, drawn)) for way in make.CHALLENGE_WAYS.values()
        ]
        assert earned == [0, 0, 1, 2, 3]
