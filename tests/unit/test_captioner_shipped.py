"""The shipped captioner: small, as good as its figures say, and never better than is possible."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmcourse.cli import app
from mmcourse.datasets import data_dir, load
from mmcourse.datasets.scenes import foils, world
from mmcourse.datasets.scenes.captions import english
from mmcourse.datasets.scenes.truth import true_of
from mmcourse.figures import captioning as captioning_figures
from mmcourse.figures import figures
from mmcourse.torch.captioner import Captioner

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
