"""Stored figures of lesson train_pytorch: parts are run again; what the lesson says of them holds in the file."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from mmcourse.datasets import lesson_dir, load, results
from mmcourse.evaluate import mean_and_interval
from mmcourse.exercise import find_challenge


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
    """Length gives the voice's cue away; the average sound hardly beats the commonest feeling in training, 0.36."""
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


def test_what_is_commonest_is_learned_from_training_labels(stored):
    train, test = load("mood", "train"), load("mood", "test")
    share = round(float((np.asarray(test.labels) == np.bincount(train.labels[:1000]).argmax()).mean()), 4)
    assert stored["mistakes"]["majority"] == stored["knobs"]["majority"] == share


def test_eighths_out_of_order_are_worth_no_more_than_one_average(stored):
    mixed, linear = stored["order"], stored["linear"]
    assert max(mixed["8 averages"]) < linear["1 averages"] + 0.03 < linear["8 averages"] - 0.2
    assert max(mixed["pixels + 8 averages"]) < linear["pixels + 8 averages"] - 0.1


def test_all_tables_are_there_with_every_seed(make, stored):
    assert set(make.PARTS) <= set(stored)
    for part, names, budgets in (
        ("knobs", make.KNOBS, (10, 30)),
        ("mistakes", make.MISTAKES, (4, 10)),
        ("digits", ("image", "voice", "image + voice"), (5, 20)),
        ("real", ("image", "voice", "image + voice"), (3, 10)),
    ):
        for name in names:
            rows = stored[part][name]
            assert [len(rows[f"{kind}{n} epochs"]) for n in budgets for kind in ("", "loss, ")] == [make.SEEDS] * 4


def test_a_run_on_the_messages_comes_out_as_stored(make, stored):
    """The first seed of the recipe's smaller budget; rounding differs between processors."""
    known, new, num_words = make.messages()
    torch.manual_seed(0)
    model = make.MoodModel(num_words)
    make.train(model, known, epochs=4, rate=1e-2)
    assert make.accuracy(model, new) == pytest.approx(stored["mistakes"]["none"]["4 epochs"][0], abs=0.03)


def test_the_linear_model_is_ahead_at_five_epochs_and_level_at_twenty(stored):
    linear = stored["linear"]["pixels + 8 averages"]
    few, many = (mean_and_interval(stored["digits"]["image + voice"][f"{n} epochs"]) for n in (5, 20))
    assert sum(few) < linear and many[0] - many[1] < linear < sum(many)


def test_the_challenge_statement_says_what_simple_ways_reach(stored):
    made, table = find_challenge("train_pytorch.challenge"), stored["challenge"]
    first, second = (f"{score:.2f}" for score in table["standardized, 30 epochs"])
    assert f"reaches {first} and {second} from two starts" in " ".join(made.statement)
    low = [table["logistic regression"], *table["as they are, 30 epochs"], *table["standardized, 30 epochs"]]
    assert [made.points_of(score) for score in low] == [0] * 5
    careful = [*table["standardized, 8 epochs"], *table["dropout and weight decay, 40 epochs"]]
    assert [made.points_of(score) for score in careful] == [2] * 4


@pytest.mark.parametrize("key", [None, b"a class", b"another"])
def test_knowing_what_the_class_is_reaches_the_last_step(key):
    """Two linear readers whose codes are added mod 5, and a label that is wrong now and then."""
    made = find_challenge("train_pytorch.challenge")
    drawn = made.public() if key is None else made.drawn_from(key)
    inputs = drawn.inputs
    x = {}
    for name in ("picture", "sound"):
        known = inputs[name]
        mean, spread = known.mean(axis=0), known.std(axis=0)
        x[name] = [torch.tensor((v - mean) / spread).float() for v in (known, inputs[f"test_{name}"])]

    def probabilities(readers, which, rows=slice(None)):
        p, q = (reader(x[name][which][rows]).softmax(1) for reader, name in zip(readers, x, strict=True))
        return torch.stack([sum(p[:, i] * q[:, (k - i) % 5] for i in range(5)) for k in range(5)], dim=1)

    torch.manual_seed(0)
    readers = nn.Linear(24, 5), nn.Linear(40, 5)
    optimizer = torch.optim.Adam([*readers[0].parameters(), *readers[1].parameters()], lr=3e-2)
    labels = torch.tensor(inputs["labels"])
    for _ in range(40):
        for rows in torch.randperm(len(labels)).split(64):
            loss = nn.functional.nll_loss((0.7 * probabilities(readers, 0, rows) + 0.06).log(), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    answers = probabilities(readers, 1).argmax(1).numpy()
    assert made.points_of(made.scored(made.checked(answers), drawn)) == 3
