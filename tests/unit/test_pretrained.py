"""The first lesson's shipped model: small, as its card says, and safe with whatever a reader puts in."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from mmcourse import pretrained
from mmcourse.datasets import data_dir, load, mood
from mmcourse.training.torch import predict

FOLDER = data_dir() / "models" / "start_here"
FIGURES = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model():
    return pretrained.load_trimodal()


@pytest.fixture(scope="module")
def test():
    return load("mood", "test")


def test_the_shipped_model_is_small_and_as_good_as_its_card_says(model, test):
    assert (FOLDER / "model.safetensors").stat().st_size < 1_000_000
    logits = predict(model, test.torch_loader(batch_size=500))
    reached = float((logits.argmax(axis=1) == test.labels).mean())
    assert abs(reached - FIGURES["test accuracy"]) < 0.005
    assert f"{FIGURES['test accuracy']:.3f}" in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert FIGURES["sha256"] in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert mood.additive_accuracy() < reached < mood.bayes_accuracy() + 0.01


def test_figures_hold_five_seeds_below_their_ceilings():
    runs = FIGURES["test accuracy by seed"]
    assert {len(values) for values in runs.values()} == {5} and FIGURES["seeds"] == [1, 2, 3, 4, 5]
    for name in ("face", "voice", "words"):
        assert max(runs[name]) < mood.bayes_accuracy([name]) + 0.02
    assert min(runs["all three"]) > mood.additive_accuracy()


def test_learning_curves_of_five_seeds_rest_on_a_plateau_and_then_pass_the_best_addition():
    curves = {name: np.array(runs) for name, runs in FIGURES["accuracy by epoch with the lesson's loop"].items()}
    assert {name: runs.shape for name, runs in curves.items()} == {"training": (5, 11), "validation": (5, 11)}
    assert all((runs[:, 0] < 0.45).all() for runs in curves.values())  # before training
    assert curves["validation"][:, 1:4].max() < mood.additive_accuracy() < curves["validation"][:, 5:].min()
    assert curves["validation"].max() < mood.bayes_accuracy() < curves["training"][:, -1].min()  # overfitting


def test_what_is_left_out_is_taken_from_the_other_message(model, test):
    for row in (0, 7):
        rest = test.subset([row])
        same = pretrained.probabilities(model, pretrained.read_message(rest=rest))
        assert same == pytest.approx(pretrained.probabilities(model, rest), abs=1e-5)


def test_own_sentence_sound_and_picture_reach_the_model(model, tmp_path: Path):
    g = np.random.default_rng(0)
    seen = [pretrained.probabilities(model, pretrained.read_message())]
    seen.append(pretrained.probabilities(model, pretrained.read_message(words="I HATED the boring film!")))
    soundfile.write(tmp_path / "stereo.wav", g.normal(0, 0.1, (22_050, 2)), 22_050)
    seen.append(pretrained.probabilities(model, pretrained.read_message(voice=tmp_path / "stereo.wav")))
    for mode, size in (("RGB", (300, 200)), ("L", (20, 90)), ("RGBA", (1, 1))):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(g.integers(0, 256, (*size[::-1], 4), np.uint8), "RGBA").convert(mode).save(path)
        mine = pretrained.read_message(picture=str(path))
        assert mine[0]["face"].shape == (32, 32, 3)
        seen.append(pretrained.probabilities(model, mine))
    assert all(sum(p.values()) == pytest.approx(1, abs=1e-5) for p in seen)
    assert len({round(p["negative"], 6) for p in seen}) == len(seen)


@pytest.mark.parametrize("words", ["", "  ", "!?", "今天很好", 3])
def test_a_sentence_without_an_english_word_is_refused(words):
    with pytest.raises(ValueError, match="at least one English word"):
        pretrained.read_message(words=words)


def test_a_file_that_is_missing_or_of_another_kind_is_named(tmp_path: Path):
    (tmp_path / "me.jpg").write_text("no picture")
    (tmp_path / "voice.wav").write_text("no sound")
    for given in ({"picture": "you.jpg"}, {"voice": "you.wav"}):
        (name, file), *_ = given.items()
        with pytest.raises(FileNotFoundError, match=f"(?s){name}.*{file}.*me.jpg, voice.wav.*beside this notebook"):
            pretrained.read_message(**{name: tmp_path / file})
    with pytest.raises(ValueError, match="me.jpg"):
        pretrained.read_message(picture=tmp_path / "me.jpg")
    with pytest.raises(ValueError, match="voice.wav"):
        pretrained.read_message(voice=tmp_path / "voice.wav")
    with pytest.raises(FileNotFoundError):
        pretrained.read_message(picture=tmp_path)


def test_too_long_and_too_short_recordings_are_refused(tmp_path: Path):
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16_000)
    soundfile.write(tmp_path / "long.wav", np.zeros(31 * 8_000), 8_000)
    for name in ("short", "long"):
        with pytest.raises(ValueError, match=name):
            pretrained.read_message(voice=tmp_path / f"{name}.wav")


def test_silence_is_an_answer_and_no_nan(model, tmp_path: Path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    p = pretrained.probabilities(model, pretrained.read_message(voice=tmp_path / "silence.wav"))
    assert np.isfinite(list(p.values())).all()


def test_weights_that_do_not_belong_are_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        pretrained.load_trimodal(tmp_path)
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden": 64}))
    (tmp_path / "model.safetensors").write_bytes((FOLDER / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"(?s)model\.safetensors.*hidden"):
        pretrained.load_trimodal(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocabulary": 7}))
    with pytest.raises(ValueError, match="vocabulary of 7 words"):
        pretrained.load_trimodal(tmp_path)


def test_unknown_modalities_are_refused():
    with pytest.raises(ValueError, match="smell"):
        pretrained.mood_encoders("face", "smell")
    assert isinstance(pretrained.mood_encoders("words")["words"], torch.nn.Module)
