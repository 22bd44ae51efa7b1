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
        first, last = (table["MiniLM"][size] - table["TF-IDF"][size] for size in ("1", "all"))
        assert 0 < last < first
        for row in collection["accuracy"].values():
            assert all(len(row[size]) == 5 for size in ("1", "5", "20"))
    bank = results("word_vectors")["intents"]["BANKING77"]
    assert (bank["num_train"], bank["num_test"], bank["num_intents"]) == (10_003, 3_080, 77)


def test_what_the_lesson_says_of_neighbors():
    table = results("word_vectors")["neighbors"]
    agreement = {name: np.array(row) for name, row in table["agreement"].items()}
    assert agreement["seeds"][-1] == pytest.approx(0.2, abs=0.03)
    assert agreement["sentences"][-1] == pytest.approx(0.12, abs=0.03)
    assert (agreement["sentences"] < agreement["seeds"]).all()
    for name in ("seeds", "sentences"):
        assert agreement[name].tolist() == sorted(agreement[name]), "rarer words agree less"
    counted = agreement["sentences, PPMI + SVD"]
    assert (counted > 0.2).all() and (counted < 0.4).all()
    assert table["by_chance"] == pytest.approx(0.008, abs=0.0005)
    assert dict(table["looked_at"]["boring"])["funny"] == 4


def test_what_the_lesson_says_of_single_pairs():
    rows = results("word_vectors")["probes"]
    found = {(row["first"], row["second"]): (row["MiniLM"], row["bag"]) for row in rows}
    printed = {
        ("where can I get cash", "how do people withdraw money"): (0.39, 0.0),
        ("where can I get cash", "where can I get cats"): (0.37, 0.80),
        ("the dog bit the man", "the man bit the dog"): (0.98, 1.0),
        ("the film was good", "the film was bad"): (0.79, 0.75),
        ("the film was good", "the film was not good"): (0.83, 0.89),
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
