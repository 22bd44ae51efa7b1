"""Stored figures of lesson cnn: whole, true to its sentences, and reproduced by short reruns."""

import importlib.util

import numpy as np
import pytest
import torch

from mmcourse.datasets import lesson_dir, results


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("cnn") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_cnn_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return results("cnn")


def test_all_tables_are_there_with_every_seed(make, stored):
    assert set(make.PARTS) <= set(stored)
    for n in (300, 3000):
        for name in make.MODELS:
            row = stored["wandering"][f"{name}, {n} digits"]
            assert row["rate"] in make.RATES
            assert [len(row[f"{steps} steps"]) for steps in make.BUDGETS] == [make.SEEDS] * 2
    for name in (*make.MODELS, "CNN, blurred pooling", "the same weights, no stride"):
        assert np.shape(stored["shift"][name]) == (make.SEEDS, 8)
    for name in ("MLP", "CNN, positions kept", "CNN, positions forgotten"):
        assert [len(stored["hard"][name][f"{e} epochs"]) for e in make.HARD_EPOCHS] == [make.SEEDS] * 3


def test_strides_make_the_dip_at_two_pixels_in_each_seed_and_the_same_weights_without_have_none(stored):
    strided = np.array(stored["shift"]["CNN, positions forgotten"])  # (seeds, 8)
    dense = np.array(stored["shift"]["the same weights, no stride"])
    assert ((strided[:, 0] + strided[:, 4]) / 2 - strided[:, 2] > 0.1).all()
    assert (np.abs((dense[:, 0] + dense[:, 4]) / 2 - dense[:, 2]) < 0.05).all()


def test_without_strides_every_fourth_position_is_the_old_map(make):
    torch.manual_seed(0)
    model = make.SmallCnn()
    pictures = torch.zeros(3, 1, 28, 28)
    pictures[:, :, 7:21, 7:21] = torch.rand(3, 1, 14, 14)
    with torch.no_grad():
        before = make.dense_logits(model, pictures)
        one_further = make.dense_logits(model, pictures.roll(1, dims=3))
        assert before.shape == (3, 10)
        assert (before - one_further).abs().max() < 0.05  # only the border differs


def test_a_digit_is_placed_where_it_should_be(make):
    small = torch.rand(2, 14, 14)
    pictures = make.place(small, torch.tensor([0, 14]), torch.tensor([3, 5]))
    assert torch.equal(pictures[0, 0, :14, 3:17], small[0]) and torch.equal(pictures[1, 0, 14:, 5:19], small[1])
    assert pictures.sum() == pytest.approx(small.sum().item(), rel=1e-5)


def test_frozen_convolutions_stay_as_they_were(make):
    digits = torch.rand(8, 14, 14), torch.arange(8)
    torch.manual_seed(0)
    start = make.SmallCnn()
    model = make.train(make.SmallCnn, digits, True, 1e-2, 3, 0, "conv1")
    assert torch.equal(model.conv1.weight, start.conv1.weight)
    assert not torch.equal(model.conv2.weight, start.conv2.weight)


def test_a_photograph_changes_less_when_it_moves_by_a_whole_step_of_the_last_maps(stored):
    """Sentences of section 15."""
    rows = [np.array(found["probability"]) for ways in stored["photo"].values() for found in ways.values()]
    assert [len(row) for row in rows] == [65] * 6
    change = {move: np.array([np.abs(p[move:] - p[:-move]).mean() for p in rows]) for move in (8, 16, 24, 32, 40)}
    mean = {move: round(by_row.mean(), 2) for move, by_row in change.items()}
    assert mean == {8: 0.04, 16: 0.03, 24: 0.04, 32: 0.02, 40: 0.04}
    assert (change[32] < change[8]).sum() == 5
    widest = max(rows, key=np.ptp)
    assert [round(widest.min(), 2), round(widest.max(), 2)] == [0.1, 0.44]
    assert all(found["other_names"] > 0 for ways in stored["photo"].values() for found in ways.values())
    for ways in stored["photo"].values():  # both ways pass through the middle
        assert ways["right"]["probability"][32] == ways["down"]["probability"][32]


def test_what_the_lesson_says_of_moved_digits(stored):
    """Sentences of section 14."""
    shift = {name: np.array(by_seed) for name, by_seed in stored["shift"].items() if name != "num_test"}
    mean = {name: by_seed.mean(axis=0) for name, by_seed in shift.items()}
    assert mean["CNN, positions forgotten"][[0, 2, 4]].round(2).tolist() == [0.95, 0.74, 0.95]
    assert mean["the same weights, no stride"][:5].round(2).tolist() == pytest.approx([0.86] * 5, abs=0.011)
    gain = (shift["CNN, blurred pooling"] - shift["CNN, positions forgotten"])[:, 2]
    assert [round(gain.min(), 2), round(gain.max(), 2)] == [0.06, 0.17]
    for name in ("linear", "MLP", "CNN, positions kept"):
        assert mean[name][5:7].max() < 0.15


def test_what_the_lesson_says_of_wandering_digits(stored):
    """Sentences of section 13, and of frozen convolutions in section 14."""
    table, budgets = stored["wandering"], ("300 steps", "900 steps")
    lost = []
    for n in (300, 3000):
        for budget in budgets:
            names = ("linear", "MLP", "CNN, positions kept", "CNN, positions forgotten")
            linear, mlp, kept, forgotten = (np.array(table[f"{name}, {n} digits"][budget]) for name in names)
            assert (forgotten > np.maximum(mlp, kept)).all() and (linear < np.minimum(mlp, kept)).all()
            if (n, budget) != (3000, "300 steps"):
                assert (kept > mlp).all()
    for name in ("linear", "MLP", "CNN, positions kept", "CNN, positions forgotten"):
        many, few = (np.mean(table[f"{name}, {n} digits"]["900 steps"]) for n in (3000, 300))
        lost.append(many - few)
    assert max(lost) < 0.065 and round(lost[-1], 2) == 0.04
    rates = [row["rate"] for name, row in table.items() if name.endswith(" digits")]
    assert sorted(rates) == [0.003] + [0.01] * 7
    unlucky = table["rate of one seed"]
    assert [sum(a < 0.13 for a in unlucky[budget]) for budget in budgets] == [2, 1]
    frozen = {name: row["900 steps"] for name, row in stored["frozen"].items() if name != "num_test"}
    assert np.mean(frozen["all convolutions random"]).round(2) == 0.24
    assert np.mean(frozen["first convolution random"]).round(2) in (0.91, 0.92)
    gain = np.subtract(frozen["all trained"], frozen["first convolution random"])
    assert (gain > 0).all() and gain.mean().round(2) == 0.04


def test_the_neighbors_lead_on_hard_digits_at_every_budget_and_in_each_pair(stored):
    """Sentences of section 13."""
    hard = stored["hard"]
    rival, n = hard["3 components, 40 neighbors"], hard["num_test"]
    leads = []
    for name in ("MLP", "CNN, positions kept", "CNN, positions forgotten"):
        assert max(max(hard[name][f"{e} epochs"]) for e in (3, 8, 16)) < rival
        for accuracy, (only_network, only_rival) in zip(hard[name]["16 epochs"], hard[name]["alone"], strict=True):
            lead = (only_rival - only_network) / n
            assert lead == pytest.approx(rival - accuracy, abs=1e-6)
            assert lead > 1.96 * np.sqrt(((only_rival + only_network) / n - lead**2) / n)
            leads.append(lead)
    assert [min(leads), max(leads)] == pytest.approx([0.025, 0.058])
