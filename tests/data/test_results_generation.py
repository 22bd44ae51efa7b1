"""The long runs of lesson generation: a critic under spectral norm, pairs of icons, and who knows their order."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from mmcourse.datasets import results
from mmcourse.datasets.scenes import icons
from mmcourse.datasets.stored import lesson_dir


@pytest.fixture(scope="module")
def runs():
    spec = importlib.util.spec_from_file_location("make_generation", lesson_dir("generation") / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_spectral_norm_is_in_the_critic_and_not_in_the_generator(runs):
    torch.manual_seed(0)
    generator, critic = runs.IconGenerator(), runs.IconCritic()
    kinds = torch.tensor(icons.SEEN_ICONS[:5])
    fake = generator(torch.randn(5, generator.noise_dim), kinds)
    assert fake.shape == (5, 3, 16, 16) and fake.abs().max() <= 1
    for _ in range(30):  # a round of power iteration each
        critic(fake.detach(), kinds)
    critic.eval()
    for layer in (*critic.convolutions, critic.score, critic.shape, critic.color):
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2) < 1.1
    assert not any("parametrizations" in name for name, _ in generator.named_parameters())
    wider = torch.linalg.matrix_norm(generator.first.weight, 2)
    assert wider > 1.1, "a check that could not fail"


def test_the_critic_sees_the_kind(runs):
    torch.manual_seed(0)
    critic, x = runs.IconCritic().eval(), torch.rand(2, 3, 16, 16)
    a, b = critic(x, torch.tensor([[0, 0], [0, 0]])), critic(x, torch.tensor([[0, 1], [3, 0]]))
    assert (a != b).all()


def test_real_icons_are_right_and_cover_all_pairs(runs):
    pictures, _, kinds = icons.load(2, 5)
    row = runs.judge_icons(pictures, kinds)
    assert row["right"] == 1 and row["pairs"] == 42 and row["covers"] > 20
    one = runs.judge_icons(pictures[:1].repeat(84, axis=0), kinds)
    assert one["pairs"] == 1 and one["covers"] == 1 and one["frechet"] > row["frechet"]


def test_pairs_are_judged_half_by_half(runs):
    _, asked = runs.ask_pairs(runs.APART, 30, 1)
    pictures = np.stack([runs.draw_pair(pair, (2, row)) for row, pair in enumerate(asked.tolist())])
    assert pictures.shape == (30, 16, 32, 3)
    assert set(runs.judge_pairs(pictures, asked).values()) == {1.0}
    swapped = runs.judge_pairs(pictures, asked[:, ::-1])
    assert swapped["right"] == swapped["sides_right"] == swapped["color_right"] == 0
    half = runs.judge_pairs(pictures, np.stack([asked[:, 0], asked[:, 0]], axis=1))
    assert half["thing_right"] == 0.5 and half["right"] == 0


def test_captions_say_what_is_on_the_left(runs):
    rng, said = np.random.default_rng(0), set()
    for _ in range(40):
        caption = runs.say_pair(((4, 0), (1, 4)), rng)  # a red star, a blue square
        first = caption.split(" of ")[0]
        assert ("star" in first) == ("left of" in caption)
        said.add("left of" in caption)
    assert said == {True, False}


def test_limit_of_who_does_not_know_the_order(runs):
    assert runs.limit_of_a_bag(np.array([[(0, 0), (1, 1)]])) == 0.25  # red circle, orange square: four arrangements
    assert runs.limit_of_a_bag(np.array([[(4, 4), (1, 0)]])) == 0.5, "a red star is never shown: two arrangements"


def test_a_bag_does_not_hear_the_order_and_parts_do(runs):
    captions = [
        "a red circle left of a blue box",
        "a blue circle left of a red box",
        "a blue box right of a red circle",
    ]
    torch.manual_seed(0)
    bag, parts = runs.PairPainter("bag"), runs.PairPainter("parts")
    with torch.no_grad():
        parts.scores.copy_(4.0 * torch.tensor([[[1.0, 0], [0, 1]], [[0, 1], [1, 0]]]))
        one, exchanged, said_otherwise = bag.encode(captions)
        assert torch.allclose(one, exchanged)
        one, exchanged, said_otherwise = parts.encode(captions)
        assert not torch.allclose(one, exchanged, atol=1e-3) and torch.allclose(one, said_otherwise, atol=1e-6)
        assert parts.encode([""]).shape == (1, 2, 64)
        assert parts.paint_pairs(captions[:1], 0).shape == (1, 16, 32, 3)


def test_stored_runs_are_whole():
    stored = results("generation")
    beside = stored["gan_icons"]
    assert beside["real"]["right"] == 1 and beside["real"]["pairs"] == 42
    for who in ("GAN", "painter"):
        assert len(beside[who]) == beside["seeds"] == 3
        assert all(str(seconds) in run for run in beside[who] for seconds in beside["budgets"])
    pairs = stored["two_things"]
    assert pairs["real"]["right"] == 1 and {run["encoding"] for run in pairs["runs"]} == {"parts", "bag"}
    assert all(len(ways["500"]["modes"]) == 5 for ways in stored["gan"].values() if isinstance(ways, dict))
