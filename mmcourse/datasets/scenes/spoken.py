"""Spoken captions and spoken questions, with the words that questions need beyond those of captions.

`speech.voices` has the words of captions; the same 16 voices also recorded those of questions. Here both are one bank
for each voice. A recognizer writes these words, lower-cased and without marks: `transcript`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence

import numpy as np

from mmcourse.preprocess import audio

from .. import scenes
from ..base import check_split, data_dir
from . import captions, questions, world
from .captions import tokens
from .speech import GAP, SAMPLE_RATE, VoiceBank, say, voices

__all__ = [
    "GAP",
    "QUESTION_WORDS",
    "SAMPLE_RATE",
    "VoiceBank",
    "add_noise",
    "full_voices",
    "join",
    "say",
    "spoken_captions",
    "spoken_questions",
    "spoken_words",
    "transcript",
]

# every word of a question that no caption has, of all eight kinds
QUESTION_WORDS: tuple[str, ...] = tuple(sorted({*scenes.QUESTION_WORDS, "size"} - set(captions.vocabulary())))


def spoken_words() -> tuple[str, ...]:
    """All words that were recorded, in alphabetical order: those of captions, then those of questions alone."""
    return (*captions.vocabulary(), *QUESTION_WORDS)


def transcript(text: str) -> str:
    """What a recognizer should write: the text's words, lower-cased, without marks."""
    return " ".join(tokens(text))


@functools.cache
def full_voices(split: str) -> tuple[VoiceBank, ...]:
    """The split's voices, with the words of captions and of questions; no two splits share one."""
    import soundfile

    check_split(split)
    folder = data_dir() / "scenes"
    index = json.loads((folder / "question_words.json").read_text(encoding="utf-8"))
    starts = {entry["name"]: entry for entry in index["voices"]}
    found = []
    for bank in voices(split):
        entry = starts[bank.name]
        more, _ = soundfile.read(folder / "question_words" / entry["file"], dtype="float32")
        bounds = [len(bank.sound) + start for start in entry["starts"]]
        spans = map(slice, bounds, bounds[1:])
        place = {**bank.place, **dict(zip(index["words"], spans, strict=True))}
        sound = np.concatenate([bank.sound, more])
        sound.setflags(write=False)
        found.append(VoiceBank(bank.name, split, sound, place))
    return tuple(found)


def join(words: Sequence[str], voice: VoiceBank, gaps: Sequence[float] | float = GAP) -> np.ndarray:
    """Words spoken one after another: float32 (t,). `gaps` are seconds of silence between two of them."""
    if not words:
        return np.zeros(int(GAP * SAMPLE_RATE), np.float32)
    between = [gaps] * (len(words) - 1) if isinstance(gaps, (int, float)) else list(gaps)
    parts = []
    for word, gap in zip(words, [*between, 0.0], strict=True):
        parts += [voice.sound[voice.place[word]], np.zeros(int(gap * SAMPLE_RATE), np.float32)]
    return np.concatenate(parts)


def spoken_captions(split: str, n: int, seed: int | None = None) -> tuple[list[str], list[np.ndarray], np.ndarray]:
    """The first captions of a split as `load("scenes", split)` speaks them: texts, waves, which voice (n,).

    `seed` gives those of other scenes. Texts are transcripts.
    """
    check_split(split)
    own = {"train": 20_001, "validation": 20_002, "test": 20_003}[split] if seed is None else seed
    texts = [transcript(captions.english(world.make(own, index))) for index in range(n)]
    return _spoken(texts, split)


def spoken_questions(texts: Sequence[str], split: str) -> tuple[list[str], list[np.ndarray], np.ndarray]:
    """Questions spoken by the split's voices in turn: transcripts, waves, which voice (n,)."""
    return _spoken([transcript(text) for text in texts], split)


def _spoken(texts: list[str], split: str) -> tuple[list[str], list[np.ndarray], np.ndarray]:
    banks = full_voices(split)
    who = np.arange(len(texts)) % len(banks)
    return texts, [say(text, banks[i]) for text, i in zip(texts, who, strict=True)], who


def add_noise(waves: Sequence[np.ndarray], snr_db: float, seed: int = 0) -> list[np.ndarray]:
    """Each wave with white noise of its own, `snr_db` below it in power."""
    return [audio.add_noise(wave, snr_db, np.random.default_rng([seed, i])) for i, wave in enumerate(waves)]


def random_question(seed: int, index: int) -> str:
    """The transcript of question number `index` of the endless questions `seed`, of any kind."""
    kinds = questions.QUESTION_KINDS + questions.MORE_KINDS
    return transcript(questions.ask(seed, index, kind=kinds[index % len(kinds)])[1])
