"""Stored figures of lesson transformers: what its sentences say holds in them, and one seed comes out again."""

import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mmcourse.datasets import lesson_dir, results  # noqa: E402


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("transformers") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_transformers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return results("transformers")


def test_all_parts_are_there_and_their_seconds_add_up(make, stored):
    assert set(make.PARTS) <= set(stored)
    assert stored["seconds"] == sum(stored["seconds_of"][name] for name in make.PARTS)
    assert stored["made_with"].startswith("1 CPU thread")


def test_the_race_is_at_equal_budget_and_the_cnn_is_ahead(make, stored):
    race = stored["race"]
    sizes = {name: make.num_parameters(model()) for name, model in make.RACERS.items()}
    assert sizes == {name: race[name]["parameters"] for name in make.RACERS}
    assert abs(sizes["CNN"] / sizes["ViT"] - 1) < 0.03
    short, long = str(make.SHORT), str(make.LONG)
    assert min(race["CNN"][short]["test"]) > max(race["ViT"][long]["test"])
    assert race["CNN"][long]["seconds"] < race["ViT"][long]["seconds"]
    assert max(race["logistic regression"], race["majority"]) < min(race["ViT"][short]["test"])


def test_a_seed_comes_out_again(make, stored):
    train, test = make.digits()
    model, _ = make.fit(lambda: make.ViT(8, 2, 1, 10, num_layers=make.APART_LAYERS), train, 3e-3, make.APART_STEPS, 0)
    assert make.accuracy(model, test) == pytest.approx(stored["apart"]["nothing"]["0.003"][0], abs=0.06)


def test_what_is_taken_away_is_away(make):
    x = torch.randn(2, 1, 8, 8)
    order = np.r_[2:8, 0:2]
    bag = make.ViT(8, 2, 1, 10, without="position")
    assert torch.allclose(bag(x), bag(x[:, :, order]), atol=1e-5)
    assert not torch.allclose(make.ViT(8, 2, 1, 10)(x), make.ViT(8, 2, 1, 10)(x[:, :, order]), atol=1e-3)
    alone = make.Block(8, 2, without="attention")
    tokens = torch.randn(1, 4, 8)
    changed = tokens.clone()
    changed[0, 0] = 0
    assert torch.equal(alone(tokens)[0, 1:], alone(changed)[0, 1:])
    assert torch.allclose(make.Block(8, 2, pre_norm=False)(tokens).mean(dim=-1), torch.zeros(1, 4), atol=1e-5)
