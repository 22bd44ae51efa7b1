"""The shipped recognizer: small, as good as its figures say, on voices that it never heard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmcourse.cli import app
from mmcourse.datasets import data_dir
from mmcourse.datasets.scenes import spoken
from mmcourse.evaluate.words import word_error_rate
from mmcourse.torch.speech_to_text import Recognizer

FOLDER = data_dir() / "models" / "speech_to_text"
STORED = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
KEYS = ("wer", "wer_noise_10db", "spoken_question_loss")


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return Recognizer.from_pretrained("speech_to_text")


@pytest.fixture(scope="module")
def recomputed() -> dict:
    """The command's figures of 100 captions."""
    result = CliRunner().invoke(app, ["figures", "speech_to_text", "-n", "100", "--json"])
    assert result.exit_code == 0
    return json.loads(result.stdout)


def flat(tree: dict | list, name: str = "") -> dict:
    """Nested figures by dotted name."""
    if isinstance(tree, (dict, list)):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {key: leaf for k, v in items for key, leaf in flat(v, f"{name}.{k}").items()}
    return {name: tree}


def test_it_is_small_and_described():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert (FOLDER / "model.safetensors").stat().st_size < 4_000_000
    assert STORED["sha256"] in card
    figures = STORED["figures"]
    assert f"**{figures['wer']:.3f}**" in card and f"**{figures['wer_noise_10db']:.3f}**" in card
    assert f"**{figures['spoken_question_loss']:.1f}**" in card
    assert f"{STORED['training']['steps']:,} steps" in card


def test_the_aims_are_reached():
    assert 0 <= STORED["figures"]["wer"] <= 0.06 and STORED["figures"]["spoken_question_loss"] <= 3.0
    assert "Both aims are reached." in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_figures_of_100_captions_are_those_of_the_stored_model(recomputed: dict):
    assert set(KEYS) <= set(recomputed)
    stored, found = flat(STORED["figures_100"]), flat(recomputed)
    assert set(found) == set(stored)
    for name, value in stored.items():
        tolerance = 2.0 if "loss" in name else 0.06 if "kind" in name else 0.02
        assert found[name] == pytest.approx(value, abs=tolerance), name


def test_the_curve_is_whole():
    curve = STORED["training"]["curve"]
    steps = [row["step"] for row in curve]
    assert steps == sorted(steps) and steps[-1] == STORED["training"]["steps"]
    assert curve[-1]["wer"] < curve[0]["wer"] and curve[-1]["wer"] < 0.02


def test_saved_model_comes_back(model: Recognizer, tmp_path: Path):
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (FOLDER / "model.safetensors").read_bytes()
    assert (tmp_path / "config.json").read_bytes() == (FOLDER / "config.json").read_bytes()


def test_it_listens(model: Recognizer):
    """What it writes belongs to this sound, and not to the next one; noise costs, and silence is silent."""
    texts, waves, _ = spoken.spoken_captions("test", 30)
    heard = model.transcribe(waves)
    assert word_error_rate(texts, heard) < 0.08 < 0.6 < word_error_rate(texts[1:], heard[:-1])
    noisy = model.transcribe(spoken.add_noise(waves, -5.0))
    assert word_error_rate(texts, noisy) > word_error_rate(texts, heard) + 0.1
    assert model.transcribe([np.zeros(16_000, np.float32)]) == [""]


def test_no_voice_is_in_training_and_in_test():
    import importlib.util

    source = Path(__file__).parents[2] / "notebooks" / "src" / "speech_to_text" / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_speech_results", source)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    banks = [*spoken.full_voices("validation"), *spoken.full_voices("test")]
    unseen = {bank.name.split("+")[1].lower() for bank in banks}
    assert not unseen & {name.lower() for name in made.VARIANTS}
    near = {name.rstrip("0123456789") for name in unseen} - {"f", "m"}  # steph2 is a near relative of steph
    assert not near & {name.lower().rstrip("0123456789") for name in made.VARIANTS}


def test_streaming_says_the_same(model: Recognizer):
    _, waves, _ = spoken.spoken_captions("test", 3)
    for wave in waves:
        stream = model.stream()
        parts = np.array_split(wave, 12)
        said = [stream.feed(part, i == 11) for i, part in enumerate(parts)]
        assert " ".join(part for part in said if part) == model.transcribe([wave])[0]
