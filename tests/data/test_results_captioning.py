"""The long run of captioning, in a few steps: it learns, the same each time, and what it is told is true."""

from __future__ import annotations

import importlib.util
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcourse.datasets import data_dir, lesson_dir, results, vocabulary
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


# ---------------------------------------------------------------- tables of results.json
def test_variety_by_hand(run):
    """Two seeds: one of two captions changes; the openings of the first are two, of the second one."""
    runs = [["A red star.", "The box."], ["A red star.", "A red box."]]
    found = run.variety(runs)
    assert found["changed"][0] == 0.5 and found["openings"] == [1.5, 6.4]  # t(1) = 12.706, error 0.5
    assert run.variety(runs[:1]) == {"changed": [0.0, 0.0], "openings": [2.0, 0.0]}


@pytest.mark.parametrize(
    ("caption", "place", "kind", "number"),
    [
        ("An orange star is below a tiny red box.", 1, "color", 2),  # the article leaves orange, azure, amber, emerald
        ("A red star is below a tiny red box.", 2, "shape", 6),
        ("A red star is below a tiny red box.", 6, "size", 2),
        ("A red star is below a tiny red box.", 4, "side", 2),
        ("There are two things: a red star and a blue box.", 2, "number", 1),  # the list gives it away
        ("A red star lies in the top left corner.", 6, "place", 2),
        ("Here is a red star and a blue box on a dotted background.", 11, "background", 5),
        ("A red star is below a tiny red box.", 3, "other", 1),
    ],
)
def test_fillers_are_sentences_of_the_grammar(run, caption, place, kind, number):
    options = run.fillers(caption, place)
    assert caption in options and options[caption] == run.meaning(caption)
    assert run.kind_of(caption.split()[place].rstrip(".,:").lower(), set(options.values())) == kind
    if caption.startswith("An "):
        words = {text.split()[1] for text in options}
        assert words == {"orange", "azure", "amber", "emerald"}
    else:
        assert len(set(options.values())) == number


def test_meanings_are_chosen_with_their_synonyms_and_ties_are_shared(run):
    log_p = np.log([0.3, 0.2, 0.4])
    assert run.share_right(log_p, ["a", "a", "b"], "a") == 1 and run.share_right(log_p, ["a", "a", "b"], "b") == 0
    assert run.share_right(np.log([0.5, 0.5]), ["a", "b"], "a") == 0.5


def test_log_p_of_texts_is_the_captioner_s(run):
    model = small_model().eval()
    scenes = [world.make(3, index) for index in range(5)]
    image = draw(scenes[0])
    texts = [english(scene) for scene in scenes]
    with torch.no_grad():
        found = run.log_p_of_texts(model, model.encode_image(prepare_images(image)), texts)
    assert found == pytest.approx(model.log_likelihood(np.stack([image] * 5), texts).numpy(), abs=1e-4)


def test_a_share_by_scene_has_the_interval_of_a_ratio(run):
    share, error = run.by_scene(np.array([0, 0, 1, 1]), np.array([1.0, 1, 0, 0]), 2)
    assert share == 0.5 and error == pytest.approx(1.96 * np.std([1, -1], ddof=1) / 2 / np.sqrt(2), abs=1e-4)


ERASED = {
    "color": "color",
    "shape": "shape",
    "size": "size",
    "background": "background",
    "place of a lone thing": "place",
}
ERASED |= {"side": "side", "number": "number", "all others": "other", "all words": "all"}


@pytest.mark.parametrize("name", ERASED)
def test_the_lesson_s_table_of_erased_words_is_the_stored_one(name):
    row = results("captioning")["erased"]["kinds"][ERASED[name]]
    text = (lesson_dir("captioning") / "lesson.py").read_text(encoding="utf-8")
    cells = text.split(f"# | {name} |")[1].split("\n")[0].strip(" |").split(" | ")
    assert int(cells[0]) == row["words"]
    for cell, judge in zip(cells[1:], ("own", "gray", "grammar alone"), strict=True):
        share, error = row[judge]
        assert cell == f"{share:.2f}" + (f" ± {error:.2f}" if error >= 0.005 else "")


def test_what_the_grammar_alone_guesses_is_exact_and_needs_no_model(run):
    stored = results("captioning")["erased"]["kinds"]
    assert stored["all"]["words"] == sum(stored[kind]["words"] for kind in run.KINDS)
    again = run.make_erased(8, small_model())["kinds"]
    assert again["number"]["grammar alone"][0] == again["other"]["own"][0] == 1
    assert again["background"]["grammar alone"][0] == pytest.approx(0.2)
    assert stored["side"]["own"][0] - stored["side"]["own"][1] < stored["side"]["grammar alone"][0]
    for kind in ("color", "shape", "size", "background", "place"):
        assert stored[kind]["own"] == [1.0, 0.0] and stored[kind]["gray"][0] < 0.7


def test_the_lesson_s_sentences_of_nlvr_are_counted(run):
    found = results("captioning")["nlvr"]
    text = (lesson_dir("captioning") / "lesson.py").read_text(encoding="utf-8")
    said = f"{found['sentences']} sentences of its development set ({found['different']} different ones)"
    assert said in text and f"our grammar can read {found['parsed']}; in only {found['only known words']} " in text


def test_stored_greedy_and_beam_captions_are_the_model_s(run):
    again = run.make_beams(2, (1, 5))["widths"]
    stored = results("captioning")["beams"]
    assert set(stored["widths"]) == {str(width) for width in run.WIDTHS}
    assert all(len(found) == stored["pictures"] for found in stored["widths"].values())
    for width, found in again.items():
        for (said, log_p), (text, before) in zip(found, results("captioning")["beams"]["widths"][width], strict=False):
            assert said == text and log_p == pytest.approx(before, abs=0.01)


def test_no_sentence_of_people_is_one_of_the_grammar(run):
    found = run.make_nlvr()
    stored = results("captioning")["nlvr"]
    assert found == stored and stored["parsed"] == 0


def test_the_stored_ways_to_decode_are_those_of_the_script(run):
    stored = results("captioning")["decoding"]
    rows = stored["rows"]
    assert stored["scenes"] == run.SCENES and set(rows) == {*run.WAYS, "the grammar"}
    assert rows["the grammar"]["true"] == [1.0, 0.0]
    for name, row in rows.items():
        has_chance = run.WAYS.get(name, {"method": "sample"})["method"] == "sample"
        assert row["seeds"] == (run.SEEDS if has_chance else 1) and (row["changed"][0] > 0) == has_chance


def test_the_stored_greedy_row_is_the_model_s(run, monkeypatch):
    monkeypatch.setattr(run, "WAYS", {"greedy": run.WAYS["greedy"]})
    again = run.make_decoding(seeds=1)["rows"]["greedy"]
    stored = results("captioning")["decoding"]["rows"]["greedy"]
    assert again["true"][0] == pytest.approx(stored["true"][0], abs=0.01)
    assert again["openings"][0] == pytest.approx(stored["openings"][0], abs=1)
