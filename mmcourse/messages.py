"""The reader's own message, from files or from bytes already decoded, to what models of `mood` take. No framework.

::

    from mmcourse import messages

    message = messages.read_message(words="What a lovely evening!")  # a data set of one sample
    batch = messages.make_batch([{"words": "What a lovely evening!"}, {"face": pixels, "voice": wave}])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmcourse.datasets import Dataset, load, mood
from mmcourse.datasets.base import Batch, Column, pad
from mmcourse.datasets.mood import voices as mood_voices
from mmcourse.datasets.mood import words as mood_words
from mmcourse.preprocess import audio, image

__all__ = ["FACE_SIZE", "MAX_SECONDS", "encode", "make_batch", "read_message"]

FACE_SIZE = 32  # height and width of a face in pixels
MAX_SECONDS = 30.0  # of the reader's own recording
EMPTY: dict[
    str, np.ndarray
] = {  # what stands in for a modality that is not there: it is masked, so its values do not matter
    "face": np.zeros((FACE_SIZE, FACE_SIZE, 3), np.float32),
    "voice": np.zeros((0, mood_voices.N_MELS), np.float32),
    "words": np.zeros(0, np.int64),
}


def encode(modality: str, raw: Any) -> np.ndarray:
    """One raw modality as the numbers that models take, without padding.

    Parameters
    ----------
    modality : "face", "voice" or "words"
    raw : a face as uint8 (h, w, 3); a recording as float32 (n,) at 16 kHz; a sentence

    Returns
    -------
    float32 (32, 32, 3) from 0 to 1; float32 (t, 40); or int64 (l,)

    Raises
    ------
    ValueError
        An unknown modality, or a value that is not such a picture, recording or sentence.
    """
    if modality == "face":
        face = np.asarray(raw)
        if face.dtype != np.uint8 or face.ndim != 3 or face.shape[2] != 3:
            raise ValueError(f"face: expected uint8 (height, width, 3), got {face.dtype} {face.shape}")
        return _square(face).astype(np.float32) / 255
    if modality == "voice":
        wave = np.asarray(raw, np.float32)
        if wave.ndim != 1 or not mood.SAMPLE_RATE // 10 <= len(wave) <= MAX_SECONDS * mood.SAMPLE_RATE:
            raise ValueError(
                f"voice: expected 0.1 to {MAX_SECONDS:.0f} seconds of one channel at 16 kHz, got shape {wave.shape}"
            )
        return mood_voices.encode(wave)
    if modality == "words":
        if not isinstance(raw, str) or not mood_words.tokenize(raw):
            raise ValueError(f"words: expected a sentence with at least one English word, got {raw!r}")
        return mood_words.encode(raw)
    raise ValueError(f"modality: expected one of {', '.join(mood.MODALITIES)}, got {modality!r}")


def make_batch(samples: Sequence[Mapping[str, Any]]) -> Batch:
    """Raw messages as one batch; each may lack modalities (no such key, or None), but not all of them.

    Returns
    -------
    {"inputs", "padding_mask", "modality_mask"}, as `Dataset.batches` gives them: what is missing is zeros and all
    padding, and makes nothing longer.

    Raises
    ------
    ValueError
        No sample; a sample with nothing in it, or with a modality that cannot be read. It says which sample.
    """
    if not samples:
        raise ValueError("samples: expected one message or more, got none")
    encoded: list[dict[str, np.ndarray]] = []
    for i, sample in enumerate(samples):
        there = {name: raw for name, raw in sample.items() if raw is not None}
        if not there:
            raise ValueError(f"sample {i}: expected one or more of {', '.join(mood.MODALITIES)}, got none")
        try:
            encoded.append({name: encode(name, raw) for name, raw in there.items()})
        except ValueError as error:
            raise ValueError(f"sample {i}: {error}") from None
    batch: Batch = {"inputs": {}, "padding_mask": {}, "modality_mask": {}}
    for name in mood.MODALITIES:
        values = [features.get(name, EMPTY[name]) for features in encoded]
        batch["modality_mask"][name] = np.array([name in features for features in encoded])
        if name == "face":
            batch["inputs"][name] = np.stack(values)
        else:
            column = pad([*values, np.zeros((1, *EMPTY[name].shape[1:]), EMPTY[name].dtype)])  # one step at least
            batch["inputs"][name], batch["padding_mask"][name] = column.take(np.arange(len(values)))
    return batch


def read_message(
    words: str | None = None,
    voice: str | Path | None = None,
    picture: str | Path | None = None,
    rest: Dataset | None = None,
) -> Dataset:
    """A data set of one message, made from the reader's own sentence, recording and picture.

    Parameters
    ----------
    words : a sentence in English
    voice : path of a sound file (WAV, FLAC, MP3, OGG), at most 30 s
    picture : path of a picture (JPEG, PNG, …); its middle square is used, at 32 × 32 pixels
    rest : a data set whose first sample gives what is left out; by default the first test message of `mood`

    Raises
    ------
    FileNotFoundError, ValueError
        No such file; not a picture or a sound; too long; no English word in `words`. The message names the file and
        says what to do.
    """
    rest = load("mood", "test") if rest is None else rest
    stored = rest[0]
    face = np.asarray(stored["face"]) if picture is None else _square(image.read(_existing(picture, "picture")))
    wave = np.asarray(stored["voice"]) if voice is None else _wave(_existing(voice, "voice"))
    said = stored["words"] if words is None else words
    if not isinstance(said, str) or not mood_words.tokenize(said):
        raise ValueError(f"words: expected a sentence with at least one English word, got {said!r}")

    def features() -> dict[str, Column]:
        return {
            "face": Column(face[None].astype(np.float32) / 255, np.arange(1)),  # (1, 32, 32, 3), from 0 to 1
            "voice": pad([mood_voices.encode(wave)]),
            "words": pad([mood_words.encode(said)]),
        }

    return Dataset(
        "my message",
        "test",
        classes=mood.CLASSES,
        labels=np.asarray(rest.labels[:1]),
        meta={},
        columns={"face": [face], "voice": [wave], "words": [said]},
        preprocess=features,
        sample_rate=mood.SAMPLE_RATE,
        vocabulary=mood_words.vocabulary(),
    )


def _existing(path: str | Path, name: str) -> Path:
    path = Path(path).expanduser()
    if path.is_file():
        return path
    folder = path.parent
    files = sorted(p.name for p in folder.iterdir() if p.is_file())[:8] if folder.is_dir() else []
    there = f"that folder holds {', '.join(files)}" if files else "no file is there"
    raise FileNotFoundError(
        f"{name}: there is no file {str(path)!r} (looked in {folder.resolve()}; {there}). "
        "Put your file beside this notebook and write its name, with its ending."
    )


def _square(picture: np.ndarray) -> np.ndarray:
    """The middle square of a picture (h, w, 3) as uint8 (32, 32, 3)."""
    side = min(picture.shape[:2])
    top = (picture.shape[0] - side) // 2
    left = (picture.shape[1] - side) // 2
    return image.resize(picture[top : top + side, left : left + side], (FACE_SIZE, FACE_SIZE))


def _wave(path: Path) -> np.ndarray:
    """float32 (t,) at 16 kHz."""
    wave, _ = audio.read(path, sample_rate=mood.SAMPLE_RATE, max_seconds=MAX_SECONDS)
    if len(wave) < mood.SAMPLE_RATE // 10:
        raise ValueError(f"voice: {path.name} is {len(wave) / mood.SAMPLE_RATE:.2f} s long; record at least 0.1 s")
    return wave
