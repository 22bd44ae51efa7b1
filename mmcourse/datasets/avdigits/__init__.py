"""`avdigits`: a handwritten digit and the same digit spoken, each too unclear alone.

``load("avdigits", split)`` pairs scikit-learn's real handwriting with 36 shipped synthetic voices;
``source="real"`` pairs MNIST's test part with the Free Spoken Digit Dataset, fetched and verified at the first call.
What was measured on it stands in ``data/avdigits/README.md``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..base import SPLITS, Column, Dataset, IndexedView, check_split, pad
from . import images, voices

SIZES = {"embedded": (4000, 1000, 1000), "real": (8000, 1000, 1000)}  # samples: train, validation, test
Settings = dict[str, dict[str, Any]]
HARD: Settings = {  # what `difficulty="hard"` leaves: principal components, gray noise (of 255), signal to noise (dB)
    "embedded": {"components": 3, "noise": 24.0, "snr_db": -7.0},
    "real": {"components": 5, "noise": 16.0, "snr_db": 20.0},
}


def load(
    split: str = "train",
    *,
    source: str = "embedded",
    split_by: str = "speaker",
    difficulty: str = "hard",
    seed: int = 0,
) -> Dataset:
    """One split of the audio-visual digits: modalities "image" and "voice", classes "0".."9".

    Parameters
    ----------
    split : "train", "validation" or "test"
        No image is in two splits.
    source : "embedded" or "real"
    split_by : "speaker" or "clip"
        Whether the splits share no speaker, or only no recording (speakers are known then: much easier).
    difficulty : "hard" or "easy"
        Hard images are a few principal components with noise, hard voices have noise; easy ones are as recorded.
    seed : int
        Of the pairing of images with voices.

    Returns
    -------
    Dataset
        Raw: image uint8 (28, 28, 1), voice float32 (t,) at 8 kHz. Features: image float32 (n, 28, 28, 1) in [0, 1],
        voice float32 (n, t, 32), log-mel standardized band by band with the training recordings' statistics.
        Meta: "speaker", "take", "clip" and "image_index" (which recording and image of the source it is).

    Raises
    ------
    ValueError
        An argument is none of its choices.
    DownloadError
        ``source="real"`` could not be fetched.
    """
    check_split(split)
    _check("source", source, SIZES)
    _check("split_by", split_by, ("speaker", "clip"))
    _check("difficulty", difficulty, ("hard", "easy"))
    pixels, digits, number = _images(split, source, difficulty)
    clips = voices.read_clips(source)
    mine, train = (np.flatnonzero(clips.split[split_by] == name) for name in (split, "train"))
    hear = functools.partial(_hear, clips.waves, HARD[source]["snr_db"] if difficulty == "hard" else None)
    image, clip = _pair(digits, clips.digit, mine, SIZES[source][SPLITS.index(split)], [seed, SPLITS.index(split)])
    waves, which = hear(mine), np.searchsorted(mine, clip)
    return Dataset(
        "avdigits",
        split,
        classes=[str(digit) for digit in range(10)],
        labels=digits[image],
        columns={"image": pixels[image], "voice": IndexedView(waves, which)},
        meta={"speaker": clips.speaker[clip], "take": clips.take[clip], "clip": clip, "image_index": number[image]},
        preprocess=lambda: {
            "image": Column(pixels.astype(np.float32) / 255, image),
            "voice": pad(_standardized(waves, waves if split == "train" else hear(train)), which),
        },
        sample_rate=voices.SAMPLE_RATE,
    )


def _check(argument: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{argument}: expected one of {', '.join(choices)}, got {value!r}")


def _images(split: str, source: str, difficulty: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The split's images uint8 (n, 28, 28, 1), their digits and their numbers in the source."""
    pixels, digits = images.read_images(source)
    parts = images.split_images(source, len(digits))
    at = SPLITS.index(split)
    chosen = pixels[parts[at]]
    if difficulty == "hard":
        hard = HARD[source]
        chosen = images.blur(chosen, pixels[parts[0]], hard["components"], hard["noise"], seed=at)
    return chosen[..., None], digits[parts[at]], parts[at]


def _pair(
    digits: np.ndarray, spoken: np.ndarray, clips: np.ndarray, n: int, seed: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """For each of n samples an image and a recording of the same digit: images in turn, recordings by chance."""
    rng = np.random.default_rng(seed)
    rounds = -(-n // len(digits))
    image = np.concatenate([rng.permutation(len(digits)) for _ in range(rounds)])[:n]
    clip = np.empty(n, np.int64)
    for digit in range(10):
        rows = np.flatnonzero(digits[image] == digit)
        clip[rows] = rng.choice(clips[spoken[clips] == digit], len(rows))
    return image, clip


def _hear(waves: list[np.ndarray], snr_db: float | None, numbers: np.ndarray) -> list[np.ndarray]:
    """Some recordings, as they are or with noise."""
    return [waves[i] for i in numbers] if snr_db is None else voices.add_noise(waves, numbers, snr_db)


def _standardized(waves: list[np.ndarray], train: list[np.ndarray]) -> list[np.ndarray]:
    """Log-mels (t, 32) of each recording, by the mean and spread that each band has in the training recordings."""
    mels = voices.log_mels(waves)
    known = np.concatenate(mels if train is waves else voices.log_mels(train))
    mean, spread = known.mean(0), known.std(0)
    return [(mel - mean) / spread for mel in mels]
