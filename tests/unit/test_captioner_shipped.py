"""The shipped captioner: small, as good as its figures say, and never better than is possible."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mmcourse.cli import app
from mmcourse.datasets import data_dir, load, vocabulary
from mmcourse.datasets.scenes import foils, world
from mmcourse.datasets.scenes.captions import english
from mmcourse.datasets.scenes.truth import true_of
from mmcourse.figures import captioning as captioning_figures
from mmcourse.figures import figures
from mmcourse.figures.clip import draw_scenes
from mmcourse.torch.captioner import Captioner
from mmcourse.torch.clip import prepare_images

FOLDER = data_dir() / "models" / "captioning"
STORED = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
KEYS = ("all_true", "grammatical", "nll_per_token", "floor")


@pytest.fixture(scope="module")
def model() -> Captioner:
    return Captioner.from_pretrained("captioning")


@pytest.fixture(scope="module")
def recomputed() -> dict:
    """The command's figures of 100 scenes."""
    result = CliRunner().invoke(app, ["figures", "captioning", "-n", "100", "--json"])
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_it_is_small_and_described():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert (FOLDER / "model.safetensors").stat().st_size < 4_000_000
    assert STORED["sha256"] in card
    reached = STORED["figures"]
    for text in (f"{reached['all_true']:.3f}", f"{reached['grammatical']:.3f}", f"{reached['nll_per_token']:.3f}"):
        assert f"**{text}**" in card
    assert f"{reached['floor']:.4f}" in card and f"{reached['floor_order_known']:.4f}" in card


def test_figures_of_100_scenes_are_those_of_the_stored_model(recomputed: dict):
    assert set(KEYS) <= set(recomputed)
    assert set(recomputed) == set(STORED["figures_100"])
    for name, value in STORED["figures_100"].items():
        assert recomputed[name] == pytest.approx(value, abs=0.01), name


def test_nobody_is_below_the_floor():
    reached = STORED["figures"]
    assert reached["floor"] == pytest.approx(0.7191, abs=1e-4)
    assert reached["floor_order_known"] == pytest.approx(0.6615, abs=1e-4)
    assert reached["floor"] <= reached["nll_per_token"] < 1.364  # what a model without eyes can reach


def test_the_curve_is_whole_and_the_best_is_what_was_stored():
    curve = STORED["training"]["curve"]
    steps = [row["step"] for row in curve]
    assert steps == sorted(steps) and steps[-1] == STORED["training"]["steps"]
    assert curve[-1]["nll_per_token"] == pytest.approx(STORED["figures"]["nll_per_token"], abs=0.03)
    assert curve[-1]["nll_per_token"] < curve[0]["nll_per_token"]


def test_the_speed_of_the_cache_was_measured_by_length():
    found = {int(length): factor for length, factor in STORED["cache_speedup"].items()}
    assert sorted(found) == [16, 32, 64, 128, 256] and found[256] > found[16]


def test_decoding_was_measured_at_several_widths_and_temperatures():
    found = STORED["decoding"]
    assert list(found["beams"]) == ["5", "50"]
    for row in found["beams"].values():
        assert row["log_p"] == pytest.approx(found["greedy_log_p"] + row["minus_greedy"])
        assert row["higher"] + row["lower"] <= found["scenes"]
    assert [len(rows) for rows in found["samples"].values()] == [5, 5]
    for mode in found["modes"]:
        assert true_of(mode["caption"], draw_scenes(mode["row"] + 1)[0][mode["row"]])
        assert mode["log_p"] >= max(mode["greedy"], mode["beam"]) - 1e-3
    assert found["seconds"] > 0 and found["made_with"]["torch"]


def small_captioner(seed: int) -> Captioner:
    """Ten pieces, which end a text sooner or later; its embedding is large, so some texts are far more probable."""
    torch.manual_seed(seed)
    model = Captioner(dim=32, num_layers=1, hidden=32, vision_dim=32, max_length=4, vocabulary_size=10).eval()
    with torch.no_grad():
        model.embedding.weight *= 8
    return model


@pytest.mark.parametrize("seed", range(6))
def test_exact_search_finds_the_most_probable_of_all_texts(seed: int, monkeypatch: pytest.MonkeyPatch):
    """Against every text of up to three pieces, listed one by one."""
    model = small_captioner(seed)
    image = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pixels = prepare_images(image)
    every = {}
    with torch.no_grad():
        for length in range(3):
            for body in itertools.product([i for i in range(10) if i != vocabulary.EOS], repeat=length):
                ids = torch.tensor([[vocabulary.BOS, *body]])
                log_p = model(pixels, ids)[0].double().log_softmax(dim=-1)
                every[body] = float(sum(log_p[t, i] for t, i in enumerate([*body, vocabulary.EOS])))
    best = max(every, key=every.get)
    worst = min(every, key=every.get)
    # greedy would have found some text: here the worst, so that the search has to do all of it
    monkeypatch.setattr(model, "caption", lambda image: [worst])
    monkeypatch.setattr(model, "log_likelihood", lambda pixels, captions: torch.tensor([every[captions[0]]]))
    monkeypatch.setattr(vocabulary, "decode", lambda ids: tuple(ids.tolist()))
    found, log_p, count = captioning_figures.most_probable_caption(model, image)
    assert found == best and log_p == pytest.approx(every[best], abs=1e-4) and count > 0
    with pytest.raises(ValueError, match="expected at most 0 beginnings"):
        captioning_figures.most_probable_caption(model, image, most=0)


def test_a_synonym_keeps_a_caption_true():
    changed = 0
    for index in range(300):
        scene = world.make(9, index)
        caption = english(scene)
        other = captioning_figures.with_synonym(caption)
        assert true_of(other, scene), (caption, other)
        changed += other != caption
    assert changed > 280
    for caption, other in (
        ("Here is a blue box in the middle.", "Here is an azure box in the middle."),
        ("An amber star lies on the left.", "An orange star lies on the left."),
        ("A tiny star in red is on the left.", "A small star in red is on the left."),
        ("A white star is on the left.", "A white star is on the left."),
    ):
        assert captioning_figures.with_synonym(caption) == other


def test_saved_model_comes_back(model: Captioner, tmp_path: Path):
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (FOLDER / "model.safetensors").read_bytes()
    assert (tmp_path / "config.json").read_bytes() == (FOLDER / "config.json").read_bytes()


def test_the_picture_decides_what_is_said(model: Captioner):
    """Captions of other pictures are less likely; a gray picture helps nobody."""
    test = load("scenes", "test", n=40)
    images = np.stack([test[i]["image"] for i in range(40)])
    captions = [test[i]["words"] for i in range(40)]
    own = model.log_likelihood(images, captions)
    other = model.log_likelihood(np.roll(images, 1, axis=0), captions)
    gray = model.log_likelihood(np.full_like(images, 128), captions)
    assert (own > other).float().mean() > 0.9 and own.mean() > gray.mean()


def test_figures_are_refused_for_other_lessons_and_few_samples():
    with pytest.raises(ValueError, match="expected one of clip, captioning"):
        figures("cnn")
    with pytest.raises(ValueError, match="expected 100 or more"):
        figures("captioning", 7)


# ---------------------------------------------------------------- what is false in a caption
def two_things() -> world.Scene:
    """A small red circle on the left of a large blue star, on a striped background."""
    circle = world.Thing(0, world.COLORS.index("red"), 0, 14, 30, 6.0, 0)
    star = world.Thing(4, world.COLORS.index("blue"), 1, 48, 34, 10.0, 0)
    return world.Scene((circle, star), world.TEXTURES.index("striped"), (1, 2))


def one_thing() -> world.Scene:
    return replace(two_things(), things=two_things().things[:1])


@pytest.mark.parametrize(
    ("caption", "faults"),
    [
        ("Left of a blue star is a red circle.", []),
        ("A blue star lies right of a tiny red disc on a striped background.", []),
        ("Right of a blue star is a red circle.", ["relation"]),
        ("There is a red circle above a blue star.", ["relation"]),
        ("There are two things: a red star and a blue circle.", ["thing"]),
        ("There are two things: a large red circle and a blue star.", ["thing"]),
        ("There are three things: a red circle, a blue star and a red circle.", ["number"]),
        ("There are three things: a red circle, a blue star and a green cross.", ["number", "thing"]),
        ("A red circle is on the left.", ["number"]),
        ("There are three things: a red circle and a blue star.", ["number"]),
        ("Left of a blue star is a red circle on a plain background.", ["background"]),
        ("Right of a blue star is a red circle on a plain background.", ["relation", "background"]),
        ("Left of a blue star is a red cross.", ["thing"]),  # where it is cannot be said of what is not there
        ("circle red a", ["not a sentence"]),
        ("", ["not a sentence"]),
    ],
)
def test_each_fault_of_a_caption_is_named(caption: str, faults: list[str]):
    assert captioning_figures.find_faults(caption, two_things()) == faults


def test_place_of_a_lone_thing():
    assert captioning_figures.find_faults("A red circle is on the left.", one_thing()) == []
    assert captioning_figures.find_faults("A red circle is on the right.", one_thing()) == ["place"]
    assert captioning_figures.find_faults("A blue circle is in the middle.", one_thing()) == ["thing", "place"]


def test_no_fault_means_true_and_a_fault_means_false():
    """On true captions, captions of other scenes, and foils, with one to four things."""
    scenes = [world.make(77, index) for index in range(150)]
    captions = [english(scene) for scene in scenes]
    other = captions[1:] + captions[:1]
    mirrored = [english(foils.mirrored(scene)) for scene in scenes]
    swapped = [english(foils.swapped_colors(scene) or scene) for scene in scenes]
    found = set()
    for said in (captions, other, mirrored, swapped):
        for caption, scene in zip(said, scenes, strict=True):
            faults = captioning_figures.find_faults(caption, scene)
            assert (not faults) == true_of(caption, scene), (caption, faults)
            assert set(faults) <= set(captioning_figures.FAULTS) and len(set(faults)) == len(faults)
            found |= set(faults)
    assert found == set(captioning_figures.FAULTS) - {"not a sentence"}
