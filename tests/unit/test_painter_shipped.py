"""The shipped painter: its card says what is measured, and a part of the figures is measured again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmcourse.cli import app
from mmcourse.datasets import data_dir, results
from mmcourse.datasets.scenes import icons
from mmcourse.figures.generation import ask, nearest_distance, shares
from mmcourse.torch.generation import Painter

FOLDER = data_dir() / "models" / "generation"
STORED = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
KEYS = ("picture_right", "picture_right_unseen", "frechet", "modes_covered")


@pytest.fixture(scope="module")
def model() -> Painter:
    return Painter.from_pretrained("generation")


@pytest.fixture(scope="module")
def recomputed() -> dict:
    """What `mmcourse figures generation -n 126 --json` prints."""
    result = CliRunner().invoke(app, ["figures", "generation", "-n", "126", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def flat(value, name: str = "") -> dict[str, float]:
    """Nested figures by dotted name."""
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in flat(inner, f"{name}.{key}").items()}
    if isinstance(value, list):
        return {k: v for i, inner in enumerate(value) for k, v in flat(inner, f"{name}.{i}").items()}
    return {name: value}


def test_it_is_small_and_described():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert (FOLDER / "model.safetensors").stat().st_size < 4_000_000
    assert STORED["sha256"] in card
    figures = STORED["figures"]
    for key in ("picture_right", "picture_right_unseen", "modes_covered"):
        assert f"**{figures[key]:.3f}**" in card
    assert f"{STORED['training']['steps']:,} steps" in card


def test_the_lesson_says_what_the_detector_makes_of_icons():
    """Text of section 11: it names the shapes of real icons no more often, so it is no judge of 16 pixels."""
    figures = STORED["figures"]
    assert (
        round(100 * figures["detector_shape_right"]) == 85
        and round(100 * figures["detector_shape_right_on_real"]) == 84
    )


def test_the_aim_is_reached():
    figures = STORED["figures"]
    assert figures["picture_right"] >= 0.9 and figures["judge_right_on_real"] == 1.0
    assert "The aim is reached." in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert figures["modes_covered"] == 1.0, "all pairs of training, without any caption"
    assert figures["nearest_training"][0] > 0.5 * figures["nearest_training_of_real"][0] > 0.01, "no copies"


def test_figures_of_126_captions_are_those_of_the_stored_model(recomputed: dict):
    assert set(KEYS) <= set(recomputed)
    stored, found = flat(STORED["figures_126"]), flat(recomputed)
    assert set(found) == set(stored)
    for name, value in stored.items():
        tolerance = 2.0 if "drawn_as" in name or "spread" in name else 0.12 if "by_kind" in name else 0.04
        assert found[name] == pytest.approx(value, abs=tolerance), name


def test_saved_model_comes_back(model: Painter, tmp_path: Path):
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (FOLDER / "model.safetensors").read_bytes()
    assert (tmp_path / "config.json").read_bytes() == (FOLDER / "config.json").read_bytes()


def test_it_reads_the_caption(model: Painter):
    """Pictures are right for their own caption, for synonyms too, and wrong for another one."""
    captions, kinds = ask(icons.SEEN_ICONS, 42, 3)
    painted = model.paint(captions, seed=3)
    assert shares(painted, kinds)["right"] > 0.85
    assert icons.parse(painted).right(kinds[::-1]).mean() < 0.15
    known, _, _ = icons.load(100, 40_001)
    assert nearest_distance(painted, known).min() > 0.02
    assert np.unique(model.paint(["a green star"] * 4), axis=0).shape[0] == 4


def test_stored_runs_are_whole():
    stored = results("generation")
    assert {"gan", "flow", "painters", "steps"} <= set(stored)
    for name in ("gan", "flow", "painters"):
        assert stored[name]["seeds"] == 5 and len(stored[name]["budgets"]) == 2
