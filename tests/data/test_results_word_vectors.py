"""Stored figures of lesson word_vectors, held to what the lesson says and to shorter reruns."""

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results
from mmcourse.evaluate import mean_and_interval

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("word_vectors") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_word_vectors", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def with_real_data(monkeypatch, real_data):
    monkeypatch.setenv("MMCOURSE_REAL_DATA", str(real_data))
    monkeypatch.setenv("MMCOURSE_OFFLINE", "1")


def test_what_the_lesson_says_of_intents():
    for collection in results("word_vectors")["intents"].values():
        table = {name: {k: np.mean(v) for k, v in row.items()} for name, row in collection["accuracy"].items()}
        assert table["MiniLM"]["5"] > table["TF-IDF"]["20"] + 0.05
        assert table["mean of our word vectors"]["1"] > table["bag of words"]["1"] + 0.03
        assert table["mean of our word vectors"]["all"] < table["bag of words"]["all"]
        gap = {size: table["MiniLM"][size] - table["TF-IDF"][size] for size in ("1", "5", "all")}
        assert 0 < gap["all"] < gap["1"]
        for row in collection["accuracy"].values():
            assert all(len(row[size]) == 5 for size in ("1", "5", "20"))
    bank = results("word_vectors")["intents"]["BANKING77"]
    times = {}
    for size in ("1", "all"):
        errors = {name: 1 - np.mean(bank["accuracy"][name][size]) for name in ("MiniLM", "TF-IDF")}
        times[size] = errors["TF-IDF"] / errors["MiniLM"]
    assert times == pytest.approx({"1": 1.51, "all": 2.65}, abs=0.04)
    assert (bank["num_train"], bank["num_test"], bank["num_intents"]) == (10_003, 3_080, 77)


def test_what_the_lesson_says_of_neighbors():
    table = results("word_vectors")["neighbors"]
    agreement = {name: np.array(row) for name, row in table["agreement"].items()}
    assert sum(table["num_in_bin"]) == table["num_words"], "every word is in a bin"
    assert agreement["start, 100 steps"][-1] == pytest.approx(0.2, abs=0.03)
    assert agreement["start, 600 steps"][[0, -1]] == pytest.approx([0.34, 0.67], abs=0.03)
    assert agreement["sentences, 600 steps"][[0, -1]] == pytest.approx([0.08, 0.40], abs=0.03)
    for name, row in agreement.items():
        if "steps" in name:
            assert row.tolist() == sorted(row), "rarer words agree less"
    short, long = (np.mean(table["above the lowest"][steps]) for steps in ("100", "600"))
    assert short - long == pytest.approx(0.11, abs=0.01)
    assert agreement["sentences, PPMI + SVD"][0] > agreement["sentences, 600 steps"][0] + 0.1
    assert table["by_chance"] == pytest.approx(0.008, abs=0.0005)
    opposites = table["opposites"]["word2vec"]
    assert opposites["share"] > 0.5 and opposites["share, other pairs"] < 0.03


def test_what_the_lesson_says_of_interventions():
    stored = results("word_vectors")["interventions"]
    mean = {name: {key: np.mean(row) for key, row in rows.items()} for name, rows in stored["measures"].items()}
    assert all(len(row) == 5 for rows in stored["measures"].values() for row in rows.values())
    for name in ("shapes shuffled", "one word for all shapes"):
        assert mean[name]["right"] < 0.35 and mean[name]["rank, others"] > 9
    assert mean["sizes shuffled"]["right"] > 0.95
    assert mean["as many fewer, at random"]["cosine of offsets"] > 0.45
    for name in ("“red star” for “star in red”", "without captions with “in red”"):
        row = mean[name]
        assert row["right"] > 0.9 and row["no step"] > 0.9 and row["not excluded: c"] > 0.85
        assert row["cosine of offsets"] < 0.2 and row["rank, others"] < 1.1
    assert mean["“a” for “an”"]["rank, orange"] > mean["as it was"]["rank, orange"] + 1.5
    assert mean["as it was"]["wrong pair's step"] == pytest.approx(0.85, abs=0.03)


def test_what_the_lesson_says_of_single_pairs():
    rows = results("word_vectors")["probes"]
    found = {(row["first"], row["second"]): (row["MiniLM"], row["bag"]) for row in rows}
    printed = {
        ("where can I get cash", "how do people withdraw money"): (0.39, 0.0),
        ("where can I get cash", "where can I get cats"): (0.37, 0.80),
        ("the dog bit the man", "the man bit the dog"): (0.98, 1.0),
        ("the film was good", "the film was bad"): (0.79, 0.75),
        ("the film was good", "the film was not good"): (0.83, 0.89),
        ("the film was good", "the film was long"): (0.57, 0.75),
        ("the film was good", "I enjoyed this movie"): (0.66, 0.0),
        ("the film was good", "这部电影很好看"): (-0.05, 0.0),
        ("我的卡还没有到", "这部电影很好看"): (0.44, 0.0),
    }
    for pair, cosines in printed.items():
        assert found[pair] == pytest.approx(cosines, abs=0.006), pair


def test_associations_go_the_way_that_the_lesson_says():
    tests = results("word_vectors")["associations"]
    assert len(tests) == 3
    assert all(row["d"] > 0.8 and row["p"] < 0.05 for row in tests.values())
    assert tests["flowers, insects: pleasant, unpleasant"]["p"] < 0.001


def test_a_bag_of_words_finds_as_many_intents_as_stored(make, with_real_data):
    questions = make.bank_questions()
    (train, labels), (test, truth) = questions["train"], questions["test"]
    bag = make.CountVectorizer(analyzer=make.words_of).fit(train)
    chosen = make.some_of_each(labels, 1, seed=0)
    known = bag.transform([train[i] for i in chosen]).toarray()
    reached = (make.nearest_label(known, labels[chosen], bag.transform(test).toarray()) == truth).mean()
    stored = results("word_vectors")["intents"]["BANKING77"]["accuracy"]["bag of words"]["1"]
    assert reached == pytest.approx(stored[0], abs=0.002)


def test_the_number_of_words_is_as_stored(make, with_real_data):
    _, words, counted = make.review_words()
    table = results("word_vectors")["neighbors"]
    assert len(words) == table["num_words"] and sum(counted.values()) == table["num_tokens"]


def test_the_loss_on_counts_finds_the_best_scores(make):
    """Two words, wide enough vectors: each score becomes the shifted PMI."""
    counts = np.array([[6.0, 3.0], [2.0, 9.0]])
    noise = counts.sum(axis=0) ** 0.75 / (counts.sum(axis=0) ** 0.75).sum()
    best = np.log(counts / (make.NUM_NEGATIVES * counts.sum(axis=1, keepdims=True) * noise))  # (2, 2)
    for seed in range(2):
        centers, contexts = make.train_on_counts(counts, seed, width=4, steps=1500)
        assert np.allclose(centers @ contexts.T, best, atol=0.01)


def test_praise_and_blame_with_few_sentences(make):
    table = results("word_vectors")["opinions"]
    for size in ("250", str(make.NUM_REVIEWS)):
        means = {name: np.mean(row[size]) for name, row in table["accuracy"].items()}
        assert means["MiniLM"] > means["TF-IDF"]
    gains = np.subtract(table["accuracy"]["MiniLM"]["250"], table["accuracy"]["TF-IDF"]["250"])
    mean, half = mean_and_interval(gains)
    assert mean - half > 0, "the lesson says that MiniLM is better with 250 sentences"
    assert table["p"] < 0.05


def test_a_color_moves_in_front_and_shuffled_words_keep_their_number(make):
    sentence = "a tiny star in red is above a disc in front of a box in blue".split()
    moved = make.with_color_in_front(sentence)
    assert moved == "a tiny red star is above a disc in front of a blue box".split()
    shuffled = make.shuffled([sentence, ["a", "cross"]], make.SHAPES, seed=0)
    assert sorted(word for s in shuffled for word in s) == sorted([*sentence, "a", "cross"])
    assert [w in make.SHAPES for w in shuffled[0]] == [w in make.SHAPES for w in sentence]


def test_trained_loss_is_above_the_lowest(make):
    counts = np.array([[6.0, 3.0], [2.0, 9.0]])
    trained = make.train_on_counts(counts, 0, width=4, steps=1500)
    assert 0 <= make.expected_loss(counts, *trained) - make.lowest_loss(counts) < 1e-4
