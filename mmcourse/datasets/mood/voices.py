"""How people sound in mood: one sentence, spoken in three moods by many voices (data/mood/make.py rendered them)."""

from __future__ import annotations

import functools
import hashlib
import io
import json
from dataclasses import dataclass

import numpy as np

from ...preprocess.audio import log_mel
from ..base import data_dir
from .table import CUES

N_FFT, HOP, N_MELS = 512, 256, 40
FLOOR = 60.0  # decibels below a clip's loudest band; what is softer counts as silence


@dataclass(frozen=True)
class Clip:
    """One recording: who speaks, in which mood (index into CUES["voice"]), which take, and where it is in its file."""

    speaker: str
    file: str
    cue: int
    take: int
    start: int
    stop: int


@functools.cache
def index() -> dict:
    """voices.json: the sentence, the sample rate and what each file holds."""
    return json.loads((data_dir() / "mood" / "voices.json").read_text(encoding="utf-8"))


@functools.cache
def clips(split: str) -> tuple[Clip, ...]:
    """All recordings of a split; no voice is in two splits."""
    return tuple(
        Clip(voice["name"], voice["file"], CUES["voice"].index(clip["mood"]), clip["take"], clip["start"], clip["stop"])
        for voice in index()["voices"]
        if voice["split"] == split
        for clip in voice["clips"]
    )


@functools.cache
def waves(split: str) -> list[np.ndarray]:
    """Sound of each clip, float32 (t,) in [-1, 1] at 16 kHz, in the order of `clips`."""
    whole = {file: _read(file) for file in {clip.file for clip in clips(split)}}
    return [whole[clip.file][clip.start : clip.stop] for clip in clips(split)]


def _read(file: str) -> np.ndarray:
    """One voice's file, if it is what was shipped."""
    import soundfile  # here, so that the table and the words load without it

    path = data_dir() / "mood" / "voices" / file
    data = path.read_bytes()
    expected = next(voice["sha256"] for voice in index()["voices"] if voice["file"] == file)
    if hashlib.sha256(data).hexdigest() != expected:
        raise ValueError(f"{path}: expected the file that mmcourse ships, its content differs; install mmcourse again")
    wave = soundfile.read(io.BytesIO(data), dtype="float32")[0]
    wave.setflags(write=False)  # many samples share it
    return wave


@functools.cache
def _levels(split: str) -> list[np.ndarray]:
    """Log-mel frames in decibels, float32 (t, N_MELS) for each clip, less the clip's own mean.

    The mean frame is how this voice colors every sound; without it, a model learns the mood rather than the speaker.
    """
    return [_level(wave) for wave in waves(split)]


def _level(wave: np.ndarray) -> np.ndarray:
    level = log_mel(wave, index()["sample_rate"], N_FFT, HOP, N_MELS, top_db=FLOOR)  # (t, N_MELS)
    return level - level.mean(axis=0)


@functools.cache
def _spread() -> np.ndarray:
    """Standard deviation of each band over the frames of all training clips, (N_MELS,)."""
    return np.concatenate(_levels("train")).std(axis=0)


def features(split: str) -> list[np.ndarray]:
    """Frames that models take, float32 (t, N_MELS) for each clip: `_levels` over the training clips' deviation."""
    return [level / _spread() for level in _levels(split)]


def encode(wave: np.ndarray) -> np.ndarray:
    """Frames that models take, float32 (t, N_MELS), of any recording (n,) at 16 kHz."""
    return _level(wave) / _spread()


def forget() -> None:
    """Drop the recordings and keep the training voices' spread: all that `encode` needs, and 40 MB less."""
    _spread()
    waves.cache_clear()
    _levels.cache_clear()
