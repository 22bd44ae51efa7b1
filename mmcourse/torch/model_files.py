"""How a shipped model is kept: `model.safetensors` in float16, `config.json`, and the vocabulary it was trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from mmcourse.datasets import data_dir, vocabulary
from mmcourse.io import atomic_write


def half(value: torch.Tensor) -> torch.Tensor:
    """float16 where it is a float: half the size, and far finer than training's own noise."""
    return value.detach().cpu().half().contiguous() if value.is_floating_point() else value.detach().cpu().contiguous()


def write_model(model: Any, folder: str | Path) -> None:
    """Write `model.safetensors` (float16) and `config.json`, each atomically.

    model : an `nn.Module` whose `config` holds the arguments that build it again
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    known = sum(not piece.startswith("<spare_") for piece in vocabulary.pieces())
    config = {**model.config, "vocabulary": {"pieces": known, "sha256": vocabulary.digest(known)}}
    weights = {name: half(value) for name, value in model.state_dict().items()}
    atomic_write(folder / "model.safetensors", save(weights))
    atomic_write(folder / "config.json", json.dumps(config, indent=1) + "\n")


def read_model(kind: type, folder: str | Path) -> Any:
    """A trained model of class `kind`, in evaluation mode. Weights are read by safetensors, which runs no code.

    Parameters
    ----------
    folder : the name of a shipped model, or a folder that `write_model` wrote

    Raises
    ------
    FileNotFoundError
        No such folder, or a file in it is missing.
    ValueError
        The weights are damaged, belong to another architecture, or to another vocabulary.
    """
    path = Path(folder)
    if not path.is_dir():
        path = data_dir() / "models" / str(folder)
    for name in ("config.json", "model.safetensors"):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path / name} is missing: expected a shipped model's name or its folder")
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        words = config.pop("vocabulary")
        same_vocabulary = vocabulary.digest(words["pieces"]) == words["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path.name}/config.json: expected what save_pretrained writes, got another ({error})"
        ) from None
    if not same_vocabulary:
        raise ValueError(
            f"{path.name}: trained with another vocabulary; the ids of the first {words['pieces']} pieces must not "
            "change"
        )
    try:
        model = kind(**config)
    except TypeError as error:  # an argument that this class does not have
        raise ValueError(f"{path.name}/config.json: made for another model than {kind.__name__} ({error})") from None
    try:
        weights = load((path / "model.safetensors").read_bytes())
        model.load_state_dict(
            {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
        )
    except Exception as error:  # safetensors has no public error class of its own
        raise ValueError(f"{path.name}/model.safetensors: {error}") from None
    return model.eval()
