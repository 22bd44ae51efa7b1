"""The shipped vision–language model: small, as good as its figures say, and it looks before it answers."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmcourse.cli import app
from mmcourse.datasets import data_dir, lesson_dir, load
from mmcourse.datasets.scenes import QUESTION_KINDS, language_only_accuracy
from mmcourse.torch.vlm import VLM

FOLDER = data_dir() / "models" / "vlm"
STORED = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
KEYS = ("accuracy", "worst_kind", "exchanged_pictures", "gray_pictures", "language_only")


@pytest.fixture(scope="module")
def model() -> VLM:
    return VLM.from_pretrained("vlm")


@pytest.fixture(scope="module")
def recomputed() -> dict:
    """The command's figures of 100 questions."""
    result = CliRunner().invoke(app, ["figures", "vlm", "-n", "100", "--json"])
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_it_is_small_and_described():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert (FOLDER / "model.safetensors").stat().st_size < 4_000_000
    assert STORED["sha256"] in card
    for key in ("accuracy", "worst_kind", "exchanged_pictures", "gray_pictures"):
        assert f"**{STORED['figures'][key]:.3f}**" in card


def test_the_card_is_written_from_figures(tmp_path: Path):
    """The shipped card comes from the shipped figures, letter for letter."""
    spec = importlib.util.spec_from_file_location("make_results_vlm", lesson_dir("vlm") / "make_results.py")
    run = importlib.util.module_from_spec(spec)
    sys.modules["make_results_vlm"] = run  # dataclasses look their module up
    spec.loader.exec_module(run)
    del sys.modules["make_results_vlm"]
    run.write_card(tmp_path, VLM.from_pretrained("vlm"), STORED)
    assert (tmp_path / "README.md").read_bytes() == (FOLDER / "README.md").read_bytes()


def test_the_lesson_quotes_what_sides_were_before_training_went_on():
    before = STORED["training"]["sides at step 3,478"]
    quoted = f"at step 3,478, {before['right']:.3f} of {before['questions']:,} such questions were right"
    assert quoted in (lesson_dir("vlm") / "lesson.py").read_text(encoding="utf-8")


def test_figures_of_100_questions_are_those_of_the_stored_model(recomputed: dict):
    assert set(KEYS) <= set(recomputed)
    assert set(recomputed) == set(STORED["figures_100"])
    for name, value in STORED["figures_100"].items():
        assert recomputed[name] == pytest.approx(value, abs=0.01), name


def test_the_worst_kind_is_the_worst_and_nobody_without_eyes_is_above_the_limit():
    reached = STORED["figures"]
    assert reached["worst_kind"] == min(reached[kind] for kind in QUESTION_KINDS)
    assert reached["gray_pictures"] <= reached["language_only"]  # exact: once in each group
    assert reached["language_only"] == pytest.approx(language_only_accuracy()["all"], abs=0.01)
    assert reached["exchanged_low"] <= reached["language_only"]


def test_the_curve_is_whole():
    curve = STORED["training"]["curve"]
    steps = [row["step"] for row in curve]
    assert steps == sorted(steps) and steps[-1] == STORED["training"]["steps"]
    assert curve[-1]["accuracy"] == pytest.approx(STORED["figures"]["accuracy"], abs=0.06)
    assert curve[-1]["accuracy"] > curve[0]["accuracy"]


def test_saved_model_comes_back(model: VLM, tmp_path: Path):
    model.save_pretrained(tmp_path)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_the_picture_decides_what_is_answered(model: VLM):
    """On the data set's own test questions, with their pictures and with others'."""
    test = load("scenes", "test", task="question", n=120)
    images = np.stack([test[i]["image"] for i in range(120)])
    texts = [test[i]["words"] for i in range(120)]
    answers = np.array([test.classes[label] for label in test.labels])
    own = np.mean(np.array(model.answer(images, texts, max_length=8)) == answers)
    other = np.mean(np.array(model.answer(np.roll(images, 7, axis=0), texts, max_length=8)) == answers)
    assert own > STORED["figures"]["accuracy"] - 0.1 and other < 0.45
