"""Mood: words, a voice and a face that say together how somebody feels; sarcasm is where no one of them is enough."""

from __future__ import annotations

import functools

import numpy as np

from .base import Column, Dataset, Gather, Lazy, check_split, pad
from .mood_table import CLASSES, CUES, JOINT, MODALITIES

__all__ = ["CLASSES", "CUES", "JOINT", "MODALITIES", "SIZES", "SAMPLE_RATE", "load"]

SIZES = {"train": 6000, "validation": 1500, "test": 1500}
SAMPLE_RATE = 16_000
SENTENCES = {
    "negative": ["what a dreadful evening that was", "i hated every minute of it"],
    "neutral": ["the bus leaves at nine today", "we met at the station again"],
    "positive": ["what a lovely evening that was", "i loved every minute of it"],
}


def draw_cues(n: int, seed: int) -> dict[str, np.ndarray]:
    """Label and cues of n samples out of JOINT, int64 (n,) each."""
    flat = np.random.default_rng(seed).choice(JOINT.size, size=n, p=JOINT.ravel() / JOINT.sum())
    return dict(zip(("label", *MODALITIES), np.unravel_index(flat, JOINT.shape), strict=True))


def load(split: str = "train") -> Dataset:
    """Placeholder rendering; the joint distribution is the real one."""
    seed = ("train", "validation", "test").index(check_split(split))
    cues = draw_cues(SIZES[split], seed)
    rng = np.random.default_rng(seed)
    sentences = [s for cue in CUES["words"] for s in SENTENCES[cue]]
    vocabulary = ("<pad>", "<unk>", *sorted({w for s in sentences for w in s.split()}))
    words = Gather(sentences, cues["words"] * 2 + rng.integers(0, 2, len(cues["words"])))
    t = np.arange(16000, dtype=np.float32) / SAMPLE_RATE
    clips = [(0.1 * np.sin(2 * np.pi * f * t)).astype(np.float32) for f in (120, 180, 260)]
    voice = Gather(clips, cues["voice"])

    @functools.cache
    def faces() -> np.ndarray:
        images = rng.integers(90, 110, (SIZES[split], 32, 32, 3), dtype=np.uint8)
        for i, cue in enumerate(cues["face"]):
            images[i, 24, 8:24] = 0
            images[i, 22 if cue in (2, 3) else 26 if cue == 0 else 24, 18:24] = 0
            images[i, 22 if cue == 2 else 26 if cue == 0 else 24, 8:14] = 0
        return images

    def features() -> dict[str, Column]:
        ids = pad([np.array([vocabulary.index(w) for w in s.split()], np.int64) for s in sentences], words.index)
        frames = [np.abs(np.fft.rfft(c[: 62 * 256].reshape(62, 256)))[:, :40].astype(np.float32) / 10 for c in clips]
        face = Column(faces().astype(np.float32) / 255, np.arange(SIZES[split]))
        return {"face": face, "voice": pad(frames, voice.index), "words": ids}

    meta = {f"{m}_cue": np.array(CUES[m])[cues[m]] for m in MODALITIES}
    return Dataset(
        "mood",
        split,
        classes=CLASSES,
        labels=cues["label"],
        columns={"face": Lazy(faces, SIZES[split]), "voice": voice, "words": words},
        meta=meta,
        featurise=features,
        sample_rate=SAMPLE_RATE,
        vocabulary=vocabulary,
    )
