"""Spoken captions: words that were recorded once by synthetic voices, joined as they are needed."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmcourse.preprocess import audio

from ..base import data_dir
from .captions import tokens

SAMPLE_RATE = 16_000
GAP = 0.04  # seconds between two words
HOP = 256
FLOOR = -70.0  # dB; below lies only the files' own hiss


@dataclass(frozen=True)
class VoiceBank:
    """One voice: the sound of all words, float32 (n,), and where each word lies in it."""

    name: str
    split: str
    sound: np.ndarray
    place: dict[str, slice]


@functools.cache
def voices(split: str) -> tuple[VoiceBank, ...]:
    """The split's voices; no two splits share one."""
    import soundfile

    folder = data_dir() / "scenes"
    index = json.loads((folder / "voices.json").read_text(encoding="utf-8"))
    banks = []
    for entry in index["voices"]:
        if entry["split"] == split:
            sound, _ = soundfile.read(folder / "voices" / entry["file"], dtype="float32")
            spans = map(slice, entry["starts"], entry["starts"][1:])
            banks.append(VoiceBank(entry["name"], split, sound, dict(zip(index["words"], spans, strict=True))))
    return tuple(banks)


def say(text: str, voice: VoiceBank) -> np.ndarray:
    """A caption spoken by a voice: float32 (t,) in [-1, 1] at 16 kHz.

    Raises
    ------
    ValueError
        For a word that was not recorded.
    """
    missing = [word for word in tokens(text) if word not in voice.place]
    if missing:
        raise ValueError(f"text: {', '.join(missing)} not recorded; scenes_captions.vocabulary() lists what is")
    pause = np.zeros(int(GAP * SAMPLE_RATE), np.float32)
    parts = [part for word in tokens(text) for part in (voice.sound[voice.place[word]], pause)]
    return np.concatenate(parts[:-1]) if parts else pause


class Spoken(Sequence):
    """Column of spoken captions, each joined when it is looked at: element i is float32 (t_i,)."""

    def __init__(self, texts: Sequence[str], who: np.ndarray, banks: Sequence[VoiceBank]):
        self.texts, self.who, self.banks = list(texts), np.asarray(who), banks

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i):
        if isinstance(i, (int, np.integer)):
            return say(self.texts[i], self.banks[self.who[i]])
        rows = np.arange(len(self))[i]
        return Spoken([self.texts[row] for row in rows], self.who[rows], self.banks)


@functools.cache
def word_mels(split: str) -> tuple[dict[str, np.ndarray], ...]:
    """Log-mel frames of each word by each of the split's voices, float32 (t, 40), standardized."""
    mean, spread = _statistics()
    return tuple(
        {word: ((_floored(bank.sound[span]) - mean) / spread) for word, span in bank.place.items()}
        for bank in voices(split)
    )


def _floored(wave: np.ndarray) -> np.ndarray:
    return np.maximum(audio.log_mel(wave, SAMPLE_RATE, hop_length=HOP), np.float32(FLOOR))


@functools.cache
def _statistics() -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of each band over the training voices, float32 (40,)."""
    mel = _floored(np.concatenate([bank.sound for bank in voices("train")]))
    return mel.mean(axis=0), mel.std(axis=0)


class JoinedMels:
    """Store of a `Column`: log-mels of spoken captions, put together from those of their words when rows are taken.

    Each word's frames are computed once. Between words stand two frames of silence, as long as the gap in the sound.
    """

    def __init__(self, spoken: Spoken, split: str):
        self._spoken, self._mels = spoken, word_mels(split)
        self._words = [tokens(text) for text in spoken.texts]
        mean, spread = _statistics()
        self._silence = (
            ((FLOOR - mean) / spread).astype(np.float32)[None].repeat(round(GAP * SAMPLE_RATE / HOP), axis=0)
        )
        self.lengths = np.array([self._length(row) for row in range(len(spoken))], np.int64)
        self.shape = (len(spoken), int(self.lengths.max()), len(mean))
        self.dtype = np.dtype(np.float32)

    def _length(self, row: int) -> int:
        mels, words = self._mels[self._spoken.who[row]], self._words[row]
        return sum(len(mels[word]) for word in words) + len(self._silence) * (len(words) - 1)

    def __len__(self) -> int:
        return len(self._spoken)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Rows, or (rows, slice of frames): float32 (b, t, 40), zeros after the end."""
        rows, frames = key if isinstance(key, tuple) else (key, slice(None))
        out = np.zeros((len(rows), len(range(*frames.indices(self.shape[1]))), self.shape[2]), np.float32)
        for line, row in zip(out, rows, strict=True):
            mels = self._mels[self._spoken.who[row]]
            parts = [part for word in self._words[row] for part in (mels[word], self._silence)][:-1]
            joined = np.concatenate(parts)[frames]
            line[: len(joined)] = joined
        return out
