"""Figures of the shipped recognizer: word error rate on voices it never heard, in noise, and what an answer loses."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmcourse.datasets.scenes import spoken
from mmcourse.evaluate.words import word_error_rate, word_errors
from mmcourse.figures.vlm import Questions, ask_all
from mmcourse.torch.speech_to_text import Recognizer, as_question
from mmcourse.torch.vlm import VLM

NOISE_DB = 10.0


def by_voice(references: list[str], heard: list[str], who: np.ndarray) -> list[float]:
    """Word error rate of each voice."""
    errors, words = word_errors(references, heard)
    return [float(errors[who == one].sum() / words[who == one].sum()) for one in sorted(set(who.tolist()))]


def spoken_answers(model: Recognizer, n: int = 1000, vlm: VLM | None = None) -> dict[str, Any]:
    """Right answers of the shipped vision–language model to questions that it reads, and to the same ones spoken."""
    vlm = VLM.from_pretrained("vlm") if vlm is None else vlm
    asked = Questions(n)
    transcripts, waves, who = spoken.spoken_questions(asked.text, "test")
    heard = model.transcribe(waves)
    texts = [as_question(words) if words else "?" for words in heard]
    read = asked.right(ask_all(vlm, asked.text, asked.images))
    listened = asked.right(ask_all(vlm, texts, asked.images))
    return {
        "questions": len(asked),
        "questions_wer": word_error_rate(transcripts, heard),
        "questions_wer_by_voice": by_voice(transcripts, heard, who),
        "questions_right_letters": float(np.mean([a == b for a, b in zip(asked.text, texts, strict=True)])),
        "answers_read": float(read.mean()),
        "answers_heard": float(listened.mean()),
        "spoken_question_loss": 100 * float(read.mean() - listened.mean()),
        "answers_by_kind": {"read": asked.by_kind(read), "heard": asked.by_kind(listened)},
    }


def compute(n: int = 1000, model: Recognizer | None = None) -> dict[str, Any]:
    """All figures of a model on `n` test captions; by default of the shipped one. Greedy, no language model."""
    model = Recognizer.from_pretrained("speech_to_text") if model is None else model
    texts, waves, who = spoken.spoken_captions("test", n)
    heard = model.transcribe(waves)
    noisy = model.transcribe(spoken.add_noise(waves, NOISE_DB))
    found: dict[str, Any] = {
        "wer": word_error_rate(texts, heard),
        "wer_by_voice": by_voice(texts, heard, who),
        "sentences_right": float(np.mean([a == b for a, b in zip(texts, heard, strict=True)])),
        "wer_noise_10db": word_error_rate(texts, noisy),
        "wer_noise_10db_by_voice": by_voice(texts, noisy, who),
    }
    known, known_waves, _ = spoken.spoken_captions("train", n)
    found["wer_ten_voices"] = word_error_rate(known, model.transcribe(known_waves))
    found |= spoken_answers(model, n)
    found["captions"] = n
    return found
