"""The callers' voices: the 16 of `scenes`, which also recorded the words of this data set."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence

import numpy as np

from ..base import check_split, data_dir
from ..scenes import spoken
from ..scenes.speech import FLOOR, GAP, HOP, SAMPLE_RATE, JoinedMels, Spoken, VoiceBank, _floored, _statistics
from . import grammar

__all__ = ["SAMPLE_RATE", "JoinedWords", "VoiceBank", "banks", "say", "spoken_sentences"]


@functools.cache
def banks(split: str) -> tuple[VoiceBank, ...]:
    """The split's voices with all words of the helpdesk; no two splits share one."""
    import soundfile

    check_split(split)
    folder = data_dir() / "helpdesk"
    index = json.loads((folder / "voices.json").read_text(encoding="utf-8"))
    entries = {entry["name"]: entry for entry in index["voices"]}
    found = []
    for bank in spoken.full_voices(split):
        entry = entries[bank.name]
        more, _ = soundfile.read(folder / "voices" / entry["file"], dtype="float32")
        bounds = [len(bank.sound) + start for start in entry["starts"]]
        place = {**bank.place, **dict(zip(index["words"], map(slice, bounds, bounds[1:]), strict=True))}
        sound = np.concatenate([bank.sound, more])
        sound.setflags(write=False)
        found.append(VoiceBank(bank.name, split, sound, place))
    return tuple(found)


def say(text: str, voice: VoiceBank) -> np.ndarray:
    """A sentence spoken by a voice: float32 (t,) at 16 kHz.

    Raises
    ------
    ValueError
        For a word that was not recorded.
    """
    missing = [word for word in text.split() if word not in voice.place]
    if missing:
        raise ValueError(f"text: {', '.join(missing)} not recorded; grammar.vocabulary() lists what is")
    return spoken.join(text.split(), voice)


def spoken_sentences(texts: Sequence[str], split: str) -> list[np.ndarray]:
    """Sentences spoken by the split's voices in turn."""
    voices = banks(split)
    return [say(text, voices[i % len(voices)]) for i, text in enumerate(texts)]


class SpokenWords(Spoken):
    """Column of spoken sentences, each joined when it is looked at."""

    def __getitem__(self, i):
        if isinstance(i, (int, np.integer)):
            return say(self.texts[i], self.banks[self.who[i]])
        rows = np.arange(len(self))[i]
        return SpokenWords([self.texts[row] for row in rows], self.who[rows], self.banks)


@functools.cache
def word_mels(split: str) -> tuple[dict[str, np.ndarray], ...]:
    """Log-mel frames of each word of the grammar by each of the split's voices, standardized as in `scenes`."""
    mean, spread = _statistics()
    return tuple(
        {word: (_floored(bank.sound[bank.place[word]]) - mean) / spread for word in grammar.vocabulary()}
        for bank in banks(split)
    )


class JoinedWords(JoinedMels):
    """Store of a `Column`: log-mels of spoken sentences, put together from those of their words when rows are taken."""

    def __init__(self, speech: SpokenWords, split: str):
        self._spoken, self._mels = speech, word_mels(split)
        self._words = [text.split() for text in speech.texts]
        mean, spread = _statistics()
        pause = ((FLOOR - mean) / spread).astype(np.float32)
        self._silence = pause[None].repeat(round(GAP * SAMPLE_RATE / HOP), axis=0)
        self.lengths = np.array([self._length(row) for row in range(len(speech))], np.int64)
        self.shape = (len(speech), int(self.lengths.max()), len(mean))
        self.dtype = np.dtype(np.float32)
