"""Figures of the shipped recognizer: word error rate on voices it never heard, in noise, and what an answer loses."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmcourse.datasets.scenes import spoken
from mmcourse.evaluate.words import word_error_rate, word_errors
from mmcourse.figures.vlm import Questions, ask_all
from mmcourse.preprocess.ngram import Bigram
from mmcourse.torch.speech_to_text import Recognizer, as_question
from mmcourse.torch.vlm import VLM

NOISE_DB = 10.0
QUESTION_SEED = 30_002  # of the questions whose bigrams are counted
# not tuned: on the three validation voices, every setting that was tried makes no error
FUSION: dict[str, Any] = {"beam_width": 10, "cutoff": -7.0, "weight": 0.5, "end": 0}


def by_voice(references: list[str], heard: list[str], who: np.ndarray) -> list[float]:
    """Word error rate of each voice."""
    errors, words = word_errors(references, heard)
    return [float(errors[who == one].sum() / words[who == one].sum()) for one in sorted(set(who.tolist()))]


def question_bigrams(model: Recognizer, number: int = 3_000) -> Bigram:
    """Bigrams of the labels of other questions."""
    texts = (spoken.random_question(QUESTION_SEED, index) for index in range(number))
    return Bigram([model.labels(text) for text in texts], len(model.words) + 1)


def spoken_answers(model: Recognizer, n: int = 1000, vlm: VLM | None = None) -> dict[str, Any]:
    """Right answers of the shipped vision–language model to questions that it reads, and to the same ones spoken.

    The recognizer knows that it will hear a question: prefix beam search with bigrams of questions. Beside it: greedy.
    """
    vlm = VLM.from_pretrained("vlm") if vlm is None else vlm
    asked = Questions(n)
    transcripts, waves, who = spoken.spoken_questions(asked.text, "test")
    read = asked.right(ask_all(vlm, asked.text, asked.images))
    found: dict[str, Any] = {"questions": len(asked), "answers_read": float(read.mean())}
    fusion = {"language_model": question_bigrams(model), **FUSION}
    for name, method, options in (("", "beam", fusion), ("_greedy", "greedy", {})):
        heard = model.transcribe(waves, method, **options)
        texts = [as_question(words) if words else "?" for words in heard]
        listened = asked.right(ask_all(vlm, texts, asked.images))
        found |= {
            f"questions_wer{name}": word_error_rate(transcripts, heard),
            f"questions_right_letters{name}": float(np.mean([a == b for a, b in zip(asked.text, texts, strict=True)])),
            f"answers_heard{name}": float(listened.mean()),
            f"spoken_question_loss{name}": 100 * float(read.mean() - listened.mean()),
        }
        if not name:
            found["questions_wer_by_voice"] = by_voice(transcripts, heard, who)
            found["answers_by_kind"] = {"read": asked.by_kind(read), "heard": asked.by_kind(listened)}
    return found


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
