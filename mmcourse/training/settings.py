"""The settings of a training run, checked before its first step. Both frameworks use this one table.

Numbers out of NumPy are taken, and kept as plain ones: a checkpoint holds them as JSON.
"""

from __future__ import annotations

import math
import numbers
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Settings:
    """What `check_settings` found to be right, as plain numbers."""

    epochs: int
    learning_rate: float
    weight_decay: float
    seed: int
    warmup: float
    clip: float | None
    ema: float | None
    patience: int | None
    folder: Path | None
    save_every: int | None
    resume: bool
    progress: bool

    def recorded(self, **more: Any) -> dict[str, Any]:
        """What a checkpoint keeps and a resumed run must share: all that decides the result, and `more`."""
        values = asdict(self)
        for name in ("folder", "save_every", "resume", "progress"):
            del values[name]
        return values | more


def check_settings(
    *,
    num_batches: int,
    has_validation: bool,
    epochs: Any,
    learning_rate: Any,
    weight_decay: Any,
    seed: Any,
    warmup: Any,
    clip: Any,
    ema: Any,
    patience: Any,
    folder: Any,
    resume: Any,
    progress: Any,
    save_every: Any = None,
) -> Settings:
    """The settings as plain values.

    Parameters
    ----------
    num_batches : batches per epoch
    has_validation : whether there is a validation set
    others : as in `fit`

    Raises
    ------
    ValueError
        A setting has another type, lies outside its range, or needs another one: it is named, with a remedy.
    """
    epochs = whole_number("epochs", epochs, 1)
    if patience is not None:
        patience = whole_number("patience", patience, 0)
        if not has_validation:
            raise ValueError("patience: early stopping watches the validation loss; give validation=… too")
    folder = check_folder(folder)
    if check_flag("resume", resume) and folder is None:
        raise ValueError("resume: there is no folder to go on from; give folder=… as in the run that was stopped")
    if save_every is not None:
        save_every = whole_number("save_every", save_every, 1)
        if folder is None:
            raise ValueError("save_every: there is no folder to save in; give folder=… too")
    return Settings(
        epochs=epochs,
        learning_rate=real_number("learning_rate", learning_rate, "above 0", lambda x: x > 0),
        weight_decay=real_number("weight_decay", weight_decay, "of 0 or more", lambda x: x >= 0),
        seed=whole_number("seed", seed, 0, LARGEST_SEED),
        warmup=_warmup(warmup, epochs * num_batches),
        clip=None if clip is None else real_number("clip", clip, "above 0, or None for no clipping", lambda x: x > 0),
        ema=None if ema is None else real_number("ema", ema, "between 0 and 1, or None", lambda x: 0 < x < 1),
        patience=patience,
        folder=folder,
        save_every=save_every,
        resume=check_flag("resume", resume),
        progress=check_flag("progress", progress),
    )


def plain_number(value: Any) -> Any:
    """A NumPy or PyTorch scalar, or an array without axes, as Python's own number; anything else as it is."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def whole_number(name: str, value: Any, low: int, high: int | None = None) -> int:
    """`value` as an int within [low, high], or a ValueError that names the setting."""
    number = plain_number(value)
    if isinstance(number, bool) or not isinstance(number, int) or number < low or (high is not None and number > high):
        wanted = f"≥ {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name}: expected a whole number {wanted}, got {value!r}")
    return number


def real_number(name: str, value: Any, wanted: str, test: Any) -> float:
    """`value` as a finite float that passes `test`, or a ValueError that names the setting."""
    number = plain_number(value)
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not is_number or not math.isfinite(number) or not test(number):
        raise ValueError(f"{name}: expected a number {wanted}, got {value!r}")
    return float(number)


def check_flag(name: str, value: Any) -> bool:
    """`value` as a bool, or a ValueError that names the setting."""
    if not isinstance(plain_number(value), bool):
        raise ValueError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def check_folder(folder: Any) -> Path | None:
    """The folder as a path, `~` resolved; nothing is created yet."""
    if folder is None:
        return None
    text = os.fspath(folder) if isinstance(folder, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"folder: expected a path, or None for a run without files, got {folder!r}")
    path = Path(text).expanduser()
    existing = next((p for p in (path, *path.parents) if p.exists()), None)
    if existing is not None and not existing.is_dir():
        raise ValueError(f"folder: expected a folder, but {existing} is a file; choose another path")
    return path


def _warmup(value: Any, total: int) -> float:
    """The share of the steps in which the rate rises."""
    number = plain_number(value)
    if isinstance(number, (int, float)) and not isinstance(number, bool) and number > 1:
        remedy = f"; for {number:g} of the {total} steps give warmup={number / total:.3g}" if number <= total else ""
        raise ValueError(f"warmup: expected a share of all steps, from 0 to 1, got {value!r}{remedy}")
    return real_number("warmup", value, "from 0 to 1, the share of all steps", lambda x: 0 <= x <= 1)
