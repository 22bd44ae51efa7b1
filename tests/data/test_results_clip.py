"""The long run of clip, in a few steps: it learns, the same each time, and what it draws is what its text says."""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import pytest
import torch

from mmcourse.datasets import lesson_dir, results
from mmcourse.datasets.scenes import truth, world
from mmcourse.datasets.scenes.captions import english
from mmcourse.datasets.scenes.foils import swapped_colors
from mmcourse.exercise.registry import find
from mmcourse.torch.clip import CLIP


@pytest.fixture(scope="module")
def run():
    path = lesson_dir("clip") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_clip", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_model() -> CLIP:
    torch.manual_seed(0)
    return CLIP(dim=32, out_dim=32, num_layers=1, hidden=32)


def test_phrases_are_learned_and_the_same_each_time(run):
    losses = [run.train_phrases(small_model(), 15, fast=False, per_kind=3) for _ in range(2)]
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0] - 0.3


def test_sentences_are_learned_and_measured(run):
    curve = run.train_sentences(small_model(), 3, 2, fast=False, num_scenes=300)
    assert [row["step"] for row in curve] == [3]
    assert 0 <= curve[0]["text to image R@1 among 500"] <= 1 and 3 < curve[0]["loss"] < 7


def test_without_foils_no_hard_negative_is_made(run, monkeypatch):
    """The run that says what foils are worth never asks for one, and the command refuses to ship it."""

    def refused(*_):
        raise AssertionError("a hard negative was made")

    monkeypatch.setattr(run.foils, "hard_negative", refused)
    run.train_sentences(small_model(), 1, 1, fast=False, num_scenes=300, share_hard=0.0)
    with pytest.raises(AssertionError, match="a hard negative"):
        run.train_sentences(small_model(), 1, 1, fast=False, num_scenes=300)
    monkeypatch.setattr("sys.argv", ["make_results.py", "--no-foils"])
    with pytest.raises(SystemExit):
        run.main()


def test_stored_short_runs_learned_something():
    stored = results("clip")["foils"]
    assert set(stored["runs"]) == {"with", "without"} and stored["runs"]["without"]
    for row in itertools.chain(*stored["runs"].values()):
        assert row["num_foils_color"] == 370 and row["num_foils_relation"] == 213
        assert row["text_to_image_r1"] > 0.5


def test_stored_answers_to_peoples_sentences_are_those_of_the_shipped_model(run):
    try:
        (found,) = run.nlvr_experiment()
    except FileNotFoundError:
        pytest.skip("NLVR is not here")
    for name in ("true", "false", "exchanged"):
        assert found[name]["share"] == pytest.approx(results("clip")["nlvr"][name]["share"], abs=0.01)


def test_the_exercises_foil_is_the_courses_fair_foil():
    """clip.4 on scenes: the same things as `swapped_colors`; what is said of them is false, and undone by twice."""
    answer = find("clip.4").reference
    lacking = np.array([kind for kind in world.ALL_KINDS if not world.is_seen(kind)])
    made = 0
    for scene in (world.make(6, index) for index in range(300)):
        kinds = np.array([(thing.shape, thing.color, thing.size) for thing in scene.things])
        if len(kinds) < 2:
            continue
        foil = answer(kinds, lacking)
        other = swapped_colors(scene)
        assert (other is None) == np.array_equal(foil, kinds)
        if other is not None:
            made += 1
            assert foil.tolist() == [[thing.shape, thing.color, thing.size] for thing in other.things]
            assert not truth.true_of(english(other), scene) and np.array_equal(answer(foil, lacking), kinds)
    assert made > 100


def test_words_that_training_never_had_are_left_out(run):
    assert run.known_words('There are 2 yellow boxes, and "a circle" is on the left.') == (
        "there are yellow and a circle is on the left",
        10,
        12,
    )


def test_first_batches_have_few_things_and_an_epoch_has_no_row_twice(run):
    scenes = [world.make(5, index) for index in range(600)]
    rows = list(itertools.islice(run.batches(scenes, np.random.default_rng(0)), 204))
    assert all(len(batch) == run.BATCH for batch in rows)
    assert max(len(scenes[row].things) for batch in rows[:200] for row in batch) == 2
    later = [row for batch in rows[200:] for row in batch]
    assert len(set(later)) == len(later) and max(len(scenes[row].things) for row in later) == world.MOST


def test_cut_outs_hold_their_thing_whole(run):
    """The thing's square lies inside the cut-out: cut the same window from a picture of coordinates."""
    rows, columns = np.mgrid[:64, :64]
    coordinates = np.stack([rows, columns, rows], axis=2)
    rng = np.random.default_rng(0)
    for index in range(300):
        thing = world.make(9, index).things[0]
        cut = run.cut_out(coordinates, thing, rng)
        assert cut.shape == (32, 32, 3)
        for axis, center in ((0, thing.y), (1, thing.x)):
            assert cut[..., axis].min() <= center - thing.radius + 1
            assert cut[..., axis].max() >= center + thing.radius - 1


def test_groups_of_texts_come_back_in_order(run):
    model = small_model().eval()
    texts = ["a red star", "there is a small blue circle and a huge green cross", "a box", "一个红色的圆形", "a disc"]
    with torch.no_grad():
        found = torch.nn.functional.normalize(run.text_features(model, texts, groups=3), dim=-1)
    assert torch.allclose(found, model.encode_text(texts), atol=1e-5)
