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

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import rms_norm

from mmcourse.datasets import Dataset, data_dir
from mmcourse.datasets.mood import words as mood_words
from mmcourse.messages import FACE_SIZE, MAX_SECONDS, read_message
from mmcourse.torch.encoders import AudioEncoder, ImageEncoder, TextEncoder

__all__ = ["MAX_SECONDS", "Trimodal", "load_trimodal", "mood_encoders", "probabilities", "read_message"]

FOLDER = "models/start_here"
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
        self.hidden = nn.Linear(sum(encoder.width for encoder in encoders.values()), hidden)
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
