"""The long run of captioning, in a few steps: it learns, the same each time, and what it is told is true."""

from __future__ import annotations

import importlib.util
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcourse.datasets import data_dir, lesson_dir, vocabulary
from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.captions import english
from mmcourse.datasets.scenes.drawing import RGB, draw
from mmcourse.datasets.scenes.truth import true_of
from mmcourse.torch.captioner import Captioner
from mmcourse.torch.clip import prepare_images
from mmcourse.torch.decoding import token_cross_entropy


@pytest.fixture(scope="module")
def run():
    path = lesson_dir("captioning") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_captioning", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_model() -> Captioner:
    torch.manual_seed(0)
    return Captioner(dim=32, num_layers=1, hidden=32, vision_dim=32)


def test_it_learns_and_the_same_each_time(run):
    scenes = [world.make(run.TRAIN_SEED, index) for index in range(200)]
    images = np.stack([draw(scene) for scene in scenes])
    options = {"fast": False, "frozen_steps": 2, "every": 3, "num_validation": 10}
    curves = [run.train(small_model(), 6, scenes, images, **options) for _ in range(2)]
    for first, second in zip(*curves, strict=True):
        assert {**first, "cpu seconds": 0, "seconds": 0} == {**second, "cpu seconds": 0, "seconds": 0}
    assert [row["step"] for row in curves[0]] == [3, 6]
    assert curves[0][1]["nll_per_token"] < curves[0][0]["nll_per_token"]


def test_time_that_runs_out_ends_it_and_says_where(run):
    scenes = [world.make(run.TRAIN_SEED, index) for index in range(100)]
    images = np.stack([draw(scene) for scene in scenes])
    curve = run.train(small_model(), 10_000, scenes, images, fast=False, minutes=1e-3, num_validation=5)
    assert len(curve) == 1 and curve[0]["step"] < 100


def test_frozen_steps_leave_the_tower_alone(run):
    scenes = [world.make(run.TRAIN_SEED, index) for index in range(100)]
    images = np.stack([draw(scene) for scene in scenes])
    model = small_model()
    before = {name: value.clone() for name, value in model.vision.state_dict().items()}
    run.train(model, 2, scenes, images, fast=False, frozen_steps=2, num_validation=5)
    assert all(torch.equal(before[name], value) for name, value in model.vision.state_dict().items())
    run.train(model, 2, scenes, images, fast=False, frozen_steps=0, num_validation=5)
    assert not any(torch.equal(before[name], value) for name, value in model.vision.named_parameters())


def test_the_loss_of_groups_is_that_of_the_whole_batch(run):
    model = small_model().eval()
    scenes = [world.make(3, index) for index in range(9)]
    captions = [[run.encode(english(replace(s, seed=(n, k)))) for k in range(3)] for n, s in enumerate(scenes)]
    pixels = prepare_images(np.stack([draw(scene) for scene in scenes]))
    with torch.no_grad():
        loss = run.batch_loss(model, pixels, captions, fast=False, frozen=True)
        ids, real = run.padded([row for picture in captions for row in picture])
        whole = token_cross_entropy(model(pixels.repeat_interleave(3, dim=0), ids), ids, real)
    assert loss.item() == pytest.approx(whole.item(), abs=1e-5)


def test_fast_encoding_is_the_vocabulary_s(run):
    for index in range(300):
        caption = english(world.make(4, index))
        assert run.encode(caption) == [vocabulary.BOS, *vocabulary.encode(caption), vocabulary.EOS]


def test_a_mirrored_picture_is_the_one_of_the_mirrored_scene(run):
    """Where a lone thing's color is after the flip is where the mirrored scene has it; the grammar agrees."""
    for index in range(400):
        scene = world.make(6, index)
        other = run.mirrored(scene)
        assert true_of(english(other), other) and run.mirrored(other) == scene
        if len(scene.things) > 1 or world.COLORS[scene.things[0].color] in ("white", "black"):
            continue
        thing = other.things[0]
        flipped = draw(scene)[:, ::-1].astype(float)
        near = np.abs(flipped - RGB[world.COLORS[thing.color]]).sum(axis=2) < 60
        assert near.sum() > 20
        columns = np.nonzero(near)[1]
        assert abs((columns.min() + columns.max()) / 2 - thing.x) <= 1.5


def test_first_batches_have_few_things_and_an_epoch_has_no_row_twice(run):
    scenes = [world.make(5, index) for index in range(300)]
    rows = list(itertools.islice(run.batches(scenes, np.random.default_rng(0), easy=5), 9))
    assert all(len(batch) == run.BATCH for batch in rows)
    assert max(len(scenes[row].things) for batch in rows[:5] for row in batch) == 2
    later = [row for batch in rows[5:] for row in batch]
    assert len(set(later)) == len(later) and max(len(scenes[row].things) for row in later) == world.MOST


def test_every_weight_has_one_optimizer(run):
    model = small_model()
    optimizers = run.Optimizers(model)
    found = [p for optimizer in optimizers.all for group in optimizer.param_groups for p in group["params"]]
    assert len(found) == len({id(p) for p in found}) == len(list(model.parameters()))


def test_the_card_says_what_falls_short(run):
    good = {"all_true": 0.96, "grammatical": 0.995, "nll_per_token": 0.75, "statements": 1.0, "floor": 0.72}
    good["foils_relation"] = 0.9
    assert run.verdict(good) == "All four aims are reached."
    assert "It has not learned sides" in run.verdict({**good, "foils_relation": 0.51})
    assert "truth, number of statements" in run.verdict({**good, "all_true": 0.9, "statements": 0.8})


def test_the_card_is_written_from_figures(run, tmp_path):
    """The shipped card comes from the shipped figures, letter for letter."""
    folder = data_dir() / "models" / "captioning"
    found = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    run.write_card(tmp_path, Captioner.from_pretrained("captioning"), found)
    assert (tmp_path / "README.md").read_bytes() == (folder / "README.md").read_bytes()
