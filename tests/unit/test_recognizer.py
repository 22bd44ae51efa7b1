"""The recognizer: shapes, padding, its receptive field, streaming equal to offline, texts, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import questions
from mmcourse.datasets.scenes.spoken import spoken_questions, spoken_words, transcript
from mmcourse.numpy.ctc import ctc_loss
from mmcourse.preprocess.errors import InputError
from mmcourse.torch.speech_to_text import Recognizer, as_question, output_lengths, pad_frames, prepare_wave

SMALL = {"dim": 16, "num_layers": 2, "kernel_size": 5}


@pytest.fixture(scope="module")
def model() -> Recognizer:
    torch.manual_seed(0)
    return Recognizer(**SMALL).eval()


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=int(16_000 * seconds)) * 0.1).astype(np.float32)


def test_a_step_for_every_40_ms(model: Recognizer):
    for seconds in (0.1, 0.5, 1.0, 1.01, 1.02, 1.03):
        (found,) = model.log_probs([noise(seconds)])
        assert found.shape == (int(output_lengths(torch.tensor(int(seconds * 100 + 1e-6)))), len(spoken_words()) + 1)
        assert np.exp(found).sum(axis=1) == pytest.approx(np.ones(len(found)), abs=1e-5)


def test_a_batch_says_what_each_says_alone(model: Recognizer):
    waves = [noise(seconds, i) for i, seconds in enumerate((0.3, 1.7, 0.8, 1.0))]
    together = model.log_probs(waves)
    for wave, found in zip(waves, together, strict=True):
        np.testing.assert_allclose(model.log_probs([wave])[0], found, atol=1e-5)


def test_the_receptive_field_is_what_it_says(model: Recognizer):
    frames = torch.randn(1, 400, 80, requires_grad=True)
    logits = model(frames, torch.tensor([400]))
    logits[0, 50].sum().backward()
    touched = frames.grad[0].abs().sum(dim=1).nonzero()[:, 0]
    assert touched.min() == 200 - model.context and touched.max() == 200 + model.context


@pytest.mark.parametrize("size", [400, 1600, 4000, 16_000])
def test_streaming_is_equal_to_offline(model: Recognizer, size: int):
    """In pieces of any size, where nothing that comes can change it; the rest at the end."""
    wave = noise(5.03, 3)
    (want,) = model.log_probs([wave])
    stream = model.stream()
    found = []
    for start in range(0, len(wave), size):
        part = wave[start : start + size]
        out = stream.log_probs(part, last=start + size >= len(wave))
        found.append(out)
        given, heard = sum(map(len, found)), min(start + size, len(wave)) / 16_000
        if start + size < len(wave):
            assert given * 0.04 >= heard - stream.latency - 0.1
    np.testing.assert_allclose(np.concatenate(found), want, atol=2e-5)
    with pytest.raises(ValueError, match="stream: it has ended"):
        stream.feed(wave)
    words = model.stream()
    said = [words.feed(wave[start : start + 8000], start + 8000 >= len(wave)) for start in range(0, len(wave), 8000)]
    assert " ".join(part for part in said if part) == model.transcribe([wave])[0]


def test_a_long_stream_forgets_what_it_no_longer_needs(model: Recognizer):
    stream = model.stream()
    for seed in range(20):
        stream.feed(noise(1.0, seed))
    assert len(stream._wave) / 16_000 < 2 * stream.latency + 1.5


def test_the_loss_is_that_of_the_sum_over_paths(model: Recognizer):
    frames, lengths = pad_frames([prepare_wave(noise(1.0)), prepare_wave(noise(1.5, 1))])
    texts = ["A red star.", "is there a blue box"]
    logits = model(frames, lengths).detach().numpy()
    labels = [model.labels(text) for text in texts]
    padded = np.array([row + [1] * (5 - len(row)) for row in labels])
    want, _ = ctc_loss(logits, padded, output_lengths(lengths).numpy(), np.array([3, 5]))
    assert model.loss(frames, lengths, texts).item() == pytest.approx(want.sum() / 8, rel=1e-4)


def test_a_text_that_does_not_fit_is_an_error(model: Recognizer):
    frames, lengths = pad_frames([prepare_wave(noise(0.2))])
    model.loss(frames, lengths, ["a red star"])
    with pytest.raises(ValueError, match="needs 6 time steps, its sound has 5"):
        model.loss(frames, lengths, ["a red red star is"])
    with pytest.raises(ValueError, match="no word 'zebra'"):
        model.loss(frames, lengths, ["a zebra"])


def test_gradients_reach_every_weight():
    torch.manual_seed(0)
    model = Recognizer(**SMALL)
    frames, lengths = pad_frames([prepare_wave(noise(1.0)), prepare_wave(noise(0.6, 1))])
    model.loss(frames, lengths, ["a red star", "a box"]).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_words_are_those_of_the_shared_vocabulary(model: Recognizer):
    assert model.words == spoken_words()
    assert [vocabulary.pieces()[i] for i in model.config["pieces"]] == list(model.words)
    assert model.text(model.labels("A tiny star, please".replace(", please", "."))) == "a tiny star"
    few = Recognizer(**SMALL, pieces=[vocabulary.id_of("red"), vocabulary.id_of("star")])
    assert few.words == ("red", "star") and few.to_label.out_features == 3


def test_questions_are_written_as_questions():
    kinds = questions.QUESTION_KINDS + questions.MORE_KINDS
    for i in range(600):
        text = questions.ask(3, i, kind=kinds[i % 8])[1]
        assert as_question(transcript(text)) == text


def test_saved_and_loaded(model: Recognizer, tmp_path: Path):
    model.save_pretrained(tmp_path)
    again = Recognizer.from_pretrained(tmp_path)
    np.testing.assert_allclose(again.log_probs([noise(1.0)])[0], model.log_probs([noise(1.0)])[0], atol=0.01)
    with pytest.raises(FileNotFoundError):
        Recognizer.from_pretrained(tmp_path / "nowhere")


def test_decoding_by_beam(model: Recognizer):
    wave = noise(1.0)
    assert isinstance(model.transcribe([wave], "beam", beam_width=3, cutoff=-12.0)[0], str)
    _, spoken, _ = spoken_questions(["Is there a star?"], "test")
    assert len(model.transcribe(spoken)) == 1


def test_bad_input(model: Recognizer):
    for wave, words in (
        (np.zeros((2, 9000)), "expected mono sound"),
        (np.zeros(1000), "expected 0.1 to 60 seconds at 16 kHz, got 0.06"),
        (np.zeros(16_000 * 61), "got 61.00"),
        (np.full(9000, np.nan), "wave"),
    ):
        with pytest.raises(InputError, match=words):
            model.transcribe([wave])
    with pytest.raises(InputError, match="Put it into a list"):
        model.transcribe(np.zeros(9000, np.float32))
    with pytest.raises(ValueError, match="method: expected one of greedy, beam, got 'sample'"):
        model.transcribe([noise(1)], "sample")
    with pytest.raises(ValueError, match="kernel_size: expected an odd number, got 4"):
        Recognizer(kernel_size=4)
    assert model.transcribe([]) == []
