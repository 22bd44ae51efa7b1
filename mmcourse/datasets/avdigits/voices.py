"""Spoken digits for `avdigits`: 36 synthetic speakers that are shipped, or the six people of FSDD."""

from __future__ import annotations

import io
import json
import wave
from dataclasses import dataclass

import numpy as np

from mmcourse.preprocess import audio

from .. import public
from ..base import SPLITS, data_dir

SAMPLE_RATE = 8000
LONGEST = SAMPLE_RATE  # of a longer clip the second with most energy is kept: eight in a thousand of FSDD's
FSDD_SPEAKERS = {"train": ("george", "lucas", "yweweler"), "validation": ("jackson",), "test": ("nicolas", "theo")}


@dataclass(frozen=True)
class Clips:
    """All recordings of a source: waves float32 (t,) in [-1, 1], and for each its digit, speaker, take and splits."""

    waves: list[np.ndarray]
    digit: np.ndarray
    speaker: np.ndarray
    take: np.ndarray
    split: dict[str, np.ndarray]  # "clip" and "speaker" → name of the split that each recording belongs to


def read_clips(source: str) -> Clips:
    """All recordings of a source, in a fixed order."""
    waves, digit, speaker, take, of_speaker = _fsdd() if source == "real" else _shipped()
    tests, step = (
        (5, 5) if source == "real" else (1, 1)
    )  # FSDD's official test part: takes 0-4 of each speaker and digit
    of_clip = np.where(take < tests, "test", np.where(take < tests + step, "validation", "train"))
    return Clips(waves, digit, speaker, take, {"clip": of_clip, "speaker": of_speaker})


def _shipped():
    import soundfile

    folder = data_dir() / "avdigits" / "voices"
    index = json.loads((folder / "voices.json").read_text(encoding="utf-8"))
    waves, rows = [], []
    for speaker, entry in index["speakers"].items():
        sound, _ = soundfile.read(folder / entry["file"], dtype="float32")
        for digit, take, start, stop, *_ in entry["clips"]:
            waves.append(sound[start:stop])
            rows.append((digit, speaker, take, entry["split"]))
    digit, speaker, take, split = (np.array(column) for column in zip(*rows, strict=True))
    return waves, digit, speaker, take, split


def _fsdd():
    files = sorted(public.FSDD.read(public.progress_bar(public.FSDD)).items())
    waves = [_loudest(_wav(content)) for _, content in files]
    digit, speaker, take = zip(*(name.removesuffix(".wav").split("_") for name, _ in files), strict=True)
    home = {who: split for split in SPLITS for who in FSDD_SPEAKERS[split]}
    split = np.array([home[who] for who in speaker])
    return waves, np.array(digit, np.int64), np.array(speaker), np.array(take, np.int64), split


def _wav(content: bytes) -> np.ndarray:
    """A mono 16-bit WAV, as all of FSDD's are, as float32 (t,); three times faster than a general decoder."""
    with wave.open(io.BytesIO(content)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def _loudest(clip: np.ndarray) -> np.ndarray:
    """The `LONGEST` samples with most energy of a longer clip."""
    if len(clip) <= LONGEST:
        return clip
    energy = np.cumsum(np.square(clip, dtype=np.float64))
    start = int(np.argmax(energy[LONGEST:] - energy[:-LONGEST])) + 1
    return clip[start : start + LONGEST]


def add_noise(waves: list[np.ndarray], numbers: np.ndarray, snr_db: float, seed: int = 0) -> list[np.ndarray]:
    """Recordings by number, each with white noise of its own, scaled back into [-1, 1] where it would clip."""
    noisy = (audio.add_noise(waves[i], snr_db, np.random.default_rng([seed, i])) for i in numbers)
    return [clip / max(1.0, float(np.abs(clip).max())) for clip in noisy]


def log_mels(waves: list[np.ndarray]) -> list[np.ndarray]:
    """Log-mel frames of each wave, float32 (t, 32) in dB: windows of 32 ms every 16 ms."""
    return [audio.log_mel(clip, SAMPLE_RATE, n_fft=256, hop_length=128, n_mels=32, top_db=80.0) for clip in waves]
