"""The small trained model of the first lesson, and the reader's own message as its input.

::

    from mmcourse import pretrained

    model = pretrained.load_trimodal()
    message = pretrained.read_message(words="What a lovely evening!")
    pretrained.probabilities(model, message)  # {"negative": 0.03, "neutral": 0.01, "positive": 0.96}

The weights are in `data/models/start_here`, with a card and the script that made them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import rms_norm

from mmcourse.datasets import Dataset, data_dir, load, mood
from mmcourse.datasets.base import Column, pad
from mmcourse.datasets.mood import voices as mood_voices
from mmcourse.datasets.mood import words as mood_words
from mmcourse.preprocess import audio, image
from mmcourse.torch.encoders import AudioEncoder, ImageEncoder, TextEncoder

__all__ = ["MAX_SECONDS", "Trimodal", "load_trimodal", "mood_encoders", "probabilities", "read_message"]

FOLDER = "models/start_here"
FACE_SIZE = 32  # height and width of a face in pixels
MAX_SECONDS = 30.0  # of the reader's own recording
VOICE_BANDS, WIDTH = 40, 32


def mood_encoders(*modalities: str) -> dict[str, nn.Module]:
    """Untrained encoders of these modalities of `mood`, each to a vector of 32 numbers."""
    makers = {
        "face": lambda: ImageEncoder(width=WIDTH, size=FACE_SIZE),
        "voice": lambda: AudioEncoder(bands=VOICE_BANDS, width=WIDTH),
        "words": lambda: TextEncoder(vocabulary=len(mood_words.vocabulary()), width=WIDTH),
    }
    unknown = [name for name in modalities if name not in makers]
    if unknown or not modalities:
        raise ValueError(f"modalities: expected one or more of {', '.join(makers)}; got {list(modalities)}")
    return {name: makers[name]() for name in modalities}


class Trimodal(nn.Module):
    """An encoder per modality, their vectors joined end to end, one hidden layer: batch dict → logits (b, classes)."""

    def __init__(self, encoders: dict[str, nn.Module], hidden: int = 128, classes: int = 3) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.hidden = nn.Linear(WIDTH * len(encoders), hidden)
        self.logits = nn.Linear(hidden, classes)

    def forward(self, batch: dict[str, Any]) -> torch.Tensor:
        """Logits (b, classes), one score per class."""
        vectors = []
        for name, encoder in self.encoders.items():
            vector = encoder(batch["inputs"][name], batch["padding_mask"].get(name))  # (b, 32)
            vectors.append(rms_norm(vector, vector.shape[-1:], eps=1e-5))
        joined = torch.cat(vectors, dim=-1)  # (b, 96)
        return self.logits(self.hidden(joined).relu())


def load_trimodal(folder: Path | None = None) -> Trimodal:
    """The trained model, in evaluation mode. Weights are read by safetensors, which runs no code.

    Raises
    ------
    FileNotFoundError
        The folder lacks `model.safetensors` or `config.json`.
    ValueError
        The weights do not belong to this model or to this vocabulary.
    """
    folder = data_dir() / FOLDER if folder is None else Path(folder)
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder / name} is missing: install mmcourse again, or run make.py in that folder"
            )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    words = len(mood_words.vocabulary())
    if config["vocabulary"] != words:
        raise ValueError(
            f"{folder.name}: trained with a vocabulary of {config['vocabulary']} words, this course has {words}: "
            "run make.py in that folder again"
        )
    model = Trimodal(mood_encoders(*config["modalities"]), config["hidden"], len(config["classes"]))
    weights = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{folder.name}/model.safetensors: {error}") from None
    return model.eval()


@torch.no_grad()
def probabilities(model: nn.Module, message: Dataset) -> dict[str, float]:
    """Class → probability, of the first sample of `message`."""
    batch = next(iter(message.subset([0]).torch_loader(batch_size=1)))
    values = model(batch).softmax(dim=-1)[0]
    return dict(zip(message.classes, values.tolist(), strict=True))


# ---------------------------------------------------------------- the reader's own message
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
