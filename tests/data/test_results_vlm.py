"""The long run of the vision–language model, in a few steps: it learns, the same each time, from what is true."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest
import torch

from mmcourse.datasets import lesson_dir, vocabulary
from mmcourse.datasets.scenes import questions, world
from mmcourse.datasets.scenes.captions import ENGLISH, english
from mmcourse.datasets.scenes.truth import true_of
from mmcourse.figures import vlm as figures
from mmcourse.torch.clip import prepare_images
from mmcourse.torch.visual_tokens import answer_cross_entropy
from mmcourse.torch.vlm import DESCRIBE, VLM, pack, question_ids

TIMES = {"cpu seconds": 0, "seconds": 0}


@pytest.fixture(scope="module")
def run():
    path = lesson_dir("vlm") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_vlm", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_results_vlm"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_results_vlm"]


@pytest.fixture(scope="module")
def samples(run):
    return run.make_samples(90)


@pytest.fixture(scope="module")
def images(run, samples):
    return run.drawn(samples, None)


def small_model() -> VLM:
    torch.manual_seed(0)
    return VLM(dim=32, num_layers=1, hidden=32, vision_dim=32, merge=2)


def test_it_learns_and_the_same_each_time(run, samples, images):
    options = {"fast": False, "every": 3, "num_validation": 14, "stages": run.RECIPES["at once"]}
    curves = [run.train(small_model(), 6, samples, images, **options) for _ in range(2)]
    assert [{**row, **TIMES} for row in curves[0]] == [{**row, **TIMES} for row in curves[1]]
    assert [row["step"] for row in curves[0]] == [3, 6]
    assert curves[0][1]["nats, answers"] < curves[0][0]["nats, answers"]
    assert set(questions.QUESTION_KINDS) < set(curves[0][0])


def test_time_that_runs_out_ends_it(run, samples, images):
    curve = run.train(small_model(), 10_000, samples, images, fast=False, minutes=1e-4, num_validation=7)
    assert len(curve) == 1 and curve[0]["step"] < 100


@pytest.mark.parametrize("number", range(4))
def test_only_the_parts_of_a_stage_change(run, samples, images, number: int):
    stage = run.STAGES[number]
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run.train(model, 2, samples, images, fast=False, stages=(stage,), num_validation=7)
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(stage.trained)


def test_stages_come_in_order_and_cover_the_training(run):
    for stages in run.RECIPES.values():
        ends = [stage.until for stage in stages]
        assert ends == sorted(ends) and ends[-1] == 1
        assert all(stage.captions or stage.kinds for stage in stages)
    assert [run.stage_at(p).name for p in (0, 0.03, 0.1, 0.5, 1.0)] == [
        "language",
        "projector",
        "captions first",
        "questions",
        "questions",
    ]


def test_what_is_said_of_a_picture_is_true(run, samples):
    """Questions and captions of scenes and of their mirror images, read back from the ids."""
    asker = run.Asker(0)
    for sample in samples[:40]:
        for scene in (sample.scene, run.mirrored(sample.scene)):
            found = asker.dialogues(sample, scene, run.STAGES[3])
            assert 3 <= len(found) <= 10 and len({str(dialogue) for dialogue in found}) == len(found)
            assert true_of(vocabulary.decode(found[0][1]), scene)
            for asked, answer in found[1:]:
                assert asked[0] == vocabulary.id_of("<user>") and answer[-1] == vocabulary.EOS
                text, said = vocabulary.decode(asked[1:-1]), vocabulary.decode(answer)
                assert said in {true for true in true_answers(text, scene)}, text


def true_answers(text: str, scene: world.Scene) -> list[str]:
    """The answers of all questions that can be put in these words."""

    class Pattern:
        def __init__(self, number: int) -> None:
            self.number = number

        def integers(self, n: int) -> int:
            return self.number

    return [
        answer
        for kind in questions.QUESTION_KINDS + questions.MORE_KINDS
        for question, answer in questions.about(scene, kind)
        if text in (questions.words(question, Pattern(0)), questions.words(question, Pattern(1)))
    ]


def test_the_loss_is_that_of_the_answers_and_of_the_captions(run, samples, images, monkeypatch):
    monkeypatch.setattr(run, "SIDE_WEIGHT", 1.0)
    model = small_model().eval()
    asker, stage = run.Asker(1), run.STAGES[3]
    dialogues = [asker.dialogues(sample, sample.scene, stage) for sample in samples[:5]]
    pixels = prepare_images(images[:5])
    with torch.no_grad():
        loss, parts = run.batch_loss(model, pixels, dialogues, stage, fast=False)
        for name, chosen in (("captions", [d[:1] for d in dialogues]), ("answers", [d[1:] for d in dialogues])):
            ids, labels, segments, position_ids = pack(chosen, model.num_visual)
            hidden = model.packed_hidden_states(model.encode_image(pixels), ids, segments, position_ids)
            want = answer_cross_entropy(model.language.to_logits(hidden), labels).item()
            assert parts[name] == pytest.approx(want, abs=1e-4)
    assert loss.item() == pytest.approx(parts["answers"] + run.CAPTION_WEIGHT * parts["captions"], abs=1e-5)


def test_what_a_caption_says_of_sides_counts_more(run):
    texts = ["a large red star lies to the left of a small blue circle", "a star and a cross"]
    asked = ("Where is the star, seen from the cross?", "left")
    dialogues = [
        [(question_ids(DESCRIBE), run.encode_answer(text)), (question_ids(asked[0]), run.encode_answer(asked[1]))]
        for text in texts
    ]
    _, labels, segments, _ = pack(dialogues, 4)
    following = labels[:, 1:]
    marked = run.says_side(following, segments[:, 1:], captions=1) & (following != -100)
    said = [vocabulary.decode(row[mask].tolist()) for row, mask in zip(following, marked, strict=True)]
    assert said == ["left of a small blue circle", ""]  # from the side on, in captions only
    assert not run.says_side(following, segments[:, 1:], captions=0).any()


def test_the_words_of_sides_are_those_of_the_grammar(run):
    wordings = [wording for side in ("left", "right", "above", "below") for wording in ENGLISH[side]]
    assert all(set(wording.split()) & set(run.SIDE_WORDS) for wording in wordings)


def test_fast_encoding_is_the_vocabulary_s(run):
    for index in range(200):
        caption = english(world.make(4, index))
        assert run.encode_answer(caption) == [*vocabulary.encode(caption), vocabulary.EOS]


def test_easy_batches_have_few_things(run, samples):
    order = run.batches(samples, np.random.default_rng(0))
    next(order)
    assert max(len(samples[row].scene.things) for row in order.send(2)) == 2
    assert max(len(samples[row].scene.things) for row in order.send(world.MOST)) == world.MOST


def test_every_weight_has_one_optimizer(run):
    model = small_model()
    found = [p for optimizer in run.Optimizers(model).all for group in optimizer.param_groups for p in group["params"]]
    assert len(found) == len({id(p) for p in found}) == len(list(model.parameters()))


# ---------------------------------------------------------------- figures
class Speaker:
    """Answers by a rule in place of a model."""

    def __init__(self, rule) -> None:
        self.rule = rule

    def answer(self, images, texts, max_length=8):
        return [self.rule(number, text) for number, text in enumerate(texts)]


def test_whoever_does_not_look_reaches_the_limit_and_no_more():
    asked = figures.Questions(120)
    limit = asked.language_only()
    known = dict(zip(asked.text, asked.answer, strict=True))  # one answer of each question: the best without eyes
    right = asked.right(Speaker(lambda _, text: known[text]).answer(asked.images, asked.text))
    assert right.mean() == pytest.approx(limit["all"], abs=1e-12)
    assert asked.by_kind(right) == pytest.approx({k: limit[k] for k in questions.QUESTION_KINDS})
    assert asked.right(asked.answer).all() and not asked.right(["Yes."] * len(asked)).any()


def test_exchanged_pictures_are_the_same_ones_and_of_other_questions():
    asked = figures.Questions(100)
    partner = asked.exchanged()
    assert sorted(partner.tolist()) == list(range(len(asked)))
    assert (asked.group[partner] != asked.group).all()


def test_false_yes_and_false_premises_are_counted():
    always = figures.false_yes(Speaker(lambda *_: "yes"), 5)
    assert always == {f"false_yes_{name}": 1.0 for name in ("conjunction", "half", "neither")}
    assert set(figures.false_yes(Speaker(lambda *_: "no"), 5).values()) == {0.0}
    found = figures.false_premise(Speaker(lambda *_: "red"), 20)
    assert found["false_premise_color"] == 1 and 0 < found["false_premise_color_of_another"] < 1
    assert set(figures.false_premise(Speaker(lambda *_: "none"), 20).values()) == {0.0}


def test_things_that_are_not_there_are_counted():
    scenes = [world.make(20_003, index) for index in range(40)]
    captions = [english(scene) for scene in scenes]
    assert figures.mentioned_but_absent(captions, scenes) == 0
    assert figures.mentioned_but_absent(captions[1:] + captions[:1], scenes) > 0.8
    assert np.isnan(figures.mentioned_but_absent(["babble"], scenes[:1]))


@pytest.mark.parametrize(("right", "number", "low", "high"), [(0, 10, 0, 0.2775), (8, 10, 0.4902, 0.9433)])
def test_intervals_are_wilson_s(right: int, number: int, low: float, high: float):
    assert figures.wilson_interval(right, number) == pytest.approx((low, high), abs=1e-3)
    mirrored = figures.wilson_interval(number - right, number)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-3)


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="right: expected 0 to 3 of at least one, got 4 of 3"):
        figures.wilson_interval(4, 3)


def test_figures_have_the_keys_that_are_shown_and_a_card_comes_of_them(run, samples, images, tmp_path):
    """With an untrained model: all is computed, nothing is right by itself, and the card says what falls short."""
    model = small_model().eval()
    found = figures.compute(100, model)
    assert {"accuracy", "worst_kind", "exchanged_pictures", "gray_pictures", "language_only"} <= set(found)
    assert found["accuracy"] < 0.2 and found["language_only"] == pytest.approx(0.278, abs=0.02)
    curve = run.train(model, 1, samples, images, fast=False, num_validation=7, stages=run.RECIPES["at once"])
    stages = [{"name": s.name, "first step": n, "trained": list(s.trained)} for n, s in enumerate(run.STAGES)]
    training = {"seed": 0, "recipe": "whole", "tower": "clip", "scenes": 90, "steps": 1, "stages": stages}
    training |= {"cpu seconds": 1, "curve": curve, "note": "A code of row and column was added."}
    run.write_card(tmp_path, model, {"figures": found, "training": training, "sha256": "0" * 64})
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"**{found['accuracy']:.3f}**" in card and "Not reached: right answers" in card


def test_the_card_says_what_falls_short(run):
    good = {kind: 0.95 for kind in questions.QUESTION_KINDS}
    good |= {"accuracy": 0.96, "exchanged_pictures": 0.27, "gray_pictures": 0.2}
    assert run.verdict(good) == "All four aims are reached."
    assert "relation (below 0.88)" in run.verdict({**good, "relation": 0.5})
    assert "gray pictures (0.400, above 0.30)" in run.verdict({**good, "gray_pictures": 0.4})


def test_a_run_that_goes_on_counts_on(run, tmp_path):
    earlier = [{"step": n, "cpu seconds": 10.0 * n, "seconds": 11.0 * n} for n in (1, 2, 3)]
    stages = [{"name": name, "first step": n, "trained": []} for name, n in (("language", 0), ("questions", 2))]
    path = tmp_path / "curve.json"
    path.write_text(json.dumps({"curve": earlier, "stages": stages}), encoding="utf-8")
    curve = [{"step": 5, "cpu seconds": 1.0, "seconds": 2.0}]
    begun = [{"name": "questions", "first step": 0, "trained": []}]
    rows, joined = run.join_runs(path, curve, begun, 2)
    assert rows == [*earlier[:2], {"step": 7, "cpu seconds": 21.0, "seconds": 24.0}]
    assert [stage["first step"] for stage in joined] == [0, 2]
    assert run.join_runs(None, curve, begun, 0) == (curve, begun)


# ---------------------------------------------------------------- experiments that the lesson shows
BOX = [{"x_loc": 20, "y_loc": 30, "size": 20, "color": "Yellow", "type": "square"}]
TWO = [{"x_loc": x, "y_loc": 60, "size": 10, "color": "Black", "type": "circle"} for x in (10, 50)]


def test_a_box_is_drawn_from_its_list_of_things(run):
    picture = run.nlvr_box(BOX)
    assert picture.shape == (64, 64, 3)
    assert picture[25, 19].tolist() == [255, 255, 0] and picture[50, 50].tolist() == [211, 211, 211]


@pytest.mark.parametrize(
    ("sentence", "boxes", "true"),
    [
        ("There are 2 black circles", [BOX, TWO, []], True),
        ("There are 2 black circles", [TWO[:1], TWO[1:], []], True),  # in all boxes together
        ("There is a box with 2 black circles", [TWO[:1], TWO[1:], []], False),
        ("There is a box with a yellow square and no black circles.", [TWO, BOX, []], True),
        ("There is a box with a yellow square and no black circles.", [TWO + BOX, TWO, []], False),
        ("There is 1 black circle", [TWO, BOX, []], False),
    ],
)
def test_sentences_of_people_are_read(run, sentence, boxes, true):
    text = run.in_words(sentence)
    assert text.endswith(".") and not any(letter.isdigit() for letter in text)
    assert run.full_reading(text, boxes) == true


@pytest.mark.parametrize("circle", [True, False])
@pytest.mark.parametrize("square", [True, False])
def test_scenes_have_what_they_are_made_for(run, circle: bool, square: bool):
    for scene in run.scenes_with(circle, square, 5, 20):
        looks = [(thing.shape, thing.color) for thing in scene.things]
        assert looks.count(run.RED_CIRCLE) == circle
        assert [look for look in looks if look[0] == run.BLUE_SQUARE[0]] == [run.BLUE_SQUARE] * square
        assert 1 <= len(looks) <= world.MOST


@pytest.mark.parametrize("kind", ["linear", "mlp", "resampler"])
def test_small_models_learn_the_same_each_time(run, samples, kind: str):
    features = torch.randn(len(samples), 64, 128, generator=torch.Generator().manual_seed(0))
    stages = (run.Stage("questions", 1.0, ("projector", "language"), 1, run.SMALL_KINDS),)
    one, two = (run.train_small(kind, stages, (features, samples), 2, seed=1) for _ in range(2))
    assert one.num_visual == 16 and not one.training
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    asked = [(run.question_ids("Is there a red circle?"), run.encode_answer("no"))]
    assert run.first_right(one, features[:1], asked).shape == (1,)
