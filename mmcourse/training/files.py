"""Checkpoint files of both frameworks: safetensors with metadata as JSON and a checksum. Nothing is ever unpickled."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmcourse.io import atomic_write

FORMAT = "mmcourse 2"
REMEDY = "restore a copy of it, or start again in another folder"


def checksum(buffers: dict[str, Any], metadata: str) -> str:
    """CRC-32 of all names, all bytes and the metadata: safetensors notices a cut file, but not a flipped bit."""
    total = zlib.crc32(metadata.encode())
    for name in sorted(buffers):
        total = zlib.crc32(buffers[name], zlib.crc32(name.encode(), total))
    return str(total)


def make_header(buffers: dict[str, Any], metadata: dict[str, Any]) -> dict[str, str]:
    """The header of a checkpoint file."""
    text = json.dumps(metadata)
    return {"format": FORMAT, "metadata": text, "checksum": checksum(buffers, text)}


def write_checkpoint_bytes(path: Path, data: bytes) -> None:
    """Write a checkpoint atomically: until it is complete, the one before it stays.

    Raises
    ------
    OSError
        The disk is full, or the folder cannot be written.
    """
    try:
        atomic_write(path, data)
    except OSError as error:
        raise disk_error(path, len(data), error) from error


def disk_error(path: Path, size: int, error: OSError) -> OSError:
    """The error of a checkpoint that could not be written, with a remedy."""
    kept = "the one before it is kept" if path.is_file() else "there is none yet"
    return OSError(
        error.errno,
        f"checkpoint of {size / 1e6:.1f} MB not written ({error.strerror}); {kept}. "
        "Free some space and go on with resume=True",
        str(path),
    )


def check_exists(path: Path) -> None:
    """Raise FileNotFoundError unless there is such a file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint: expected the file {path}, which `fit(..., folder=...)` writes")


def damaged(path: Path, error: Exception) -> ValueError:
    """The error of a file that safetensors refuses."""
    return ValueError(f"{path}: expected a whole checkpoint, but it is cut or damaged ({error}); {REMEDY}")


def read_metadata(path: Path, header: dict[str, str] | None, buffers: dict[str, Any]) -> dict[str, Any]:
    """Metadata of a checkpoint, after its checksum has been compared.

    Raises
    ------
    ValueError
        The file is damaged, of another program, or of the first edition of this course.
    """
    header = header or {}
    if "facts" in header or "notes" in header:
        raise ValueError(
            f"{path}: a checkpoint of the first edition of this course (mmcourse 0.1), which this one does not read; "
            "train again in another folder"
        )
    if header.get("format") != FORMAT or "metadata" not in header:
        raise ValueError(f"{path}: not a checkpoint of this course; expected a file that `fit(..., folder=...)` wrote")
    if header.get("checksum") != checksum(buffers, header["metadata"]):
        raise ValueError(f"{path}: the checkpoint's checksum does not fit its content, so it is damaged; {REMEDY}")
    try:
        metadata = json.loads(header["metadata"])
    except (ValueError, RecursionError) as error:
        raise malformed(path, f"its metadata are no JSON ({error})") from error
    if not isinstance(metadata, dict):
        raise malformed(path, "its metadata are no JSON object")
    return metadata


def malformed(path: Path, what: str) -> ValueError:
    """The error of a checkpoint that is whole, and yet cannot come from `fit`."""
    return ValueError(f"{path}: a malformed checkpoint: {what}; {REMEDY}")


Test = tuple[str, Callable[[Any], bool]]


def check_form(path: Path, metadata: dict[str, Any], form: dict[str, Test]) -> None:
    """Raise ValueError with the entries that are missing or of another form.

    `form` is {name: (what is expected, test)}; the tests are the ones below.
    """
    wrong = []
    for name, (expected, test) in form.items():
        if name not in metadata:
            wrong.append(f"{name}: expected {expected}, got nothing")
        elif not test(metadata[name]):
            wrong.append(f"{name}: expected {expected}, got {str(metadata[name])[:40]}")
    if wrong:
        raise malformed(path, "; ".join(wrong[:3]))


def is_number(value: Any) -> bool:
    """Any number, NaN and infinity included."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def whole(low: int, high: int | None = None) -> Test:
    """A whole number within [low, high]."""
    wanted = f"a whole number ≥ {low}" if high is None else f"a whole number from {low} to {high}"
    return wanted, lambda x: is_number(x) and isinstance(x, int) and x >= low and (high is None or x <= high)


def optional_number() -> Test:
    """A finite number, or null."""
    return "a finite number or null", lambda x: x is None or (is_number(x) and math.isfinite(x))


def numbers_by_name() -> Test:
    """An object with numbers."""
    return "numbers by name", lambda x: isinstance(x, dict) and all(is_number(v) for v in x.values())


def history_of(length: int | None = None) -> Test:
    """A list of objects with numbers, one per epoch."""
    test = numbers_by_name()[1]
    wanted = "one set of numbers per epoch" if length is None else f"numbers of {length} epochs"
    return wanted, lambda x: isinstance(x, list) and (length is None or len(x) == length) and all(map(test, x))


def json_object() -> Test:
    """An object."""
    return "an object", lambda x: isinstance(x, dict)


def check_same_settings(current: dict[str, Any], saved: dict[str, Any], path: Path) -> None:
    """Raise ValueError with the settings that differ between a checkpoint's run and this one."""
    current, saved = _flat(current), _flat(saved)
    wrong = [
        f"{name}: {saved.get(name)} there, {current.get(name)} now"
        for name in sorted(current | saved)
        if current.get(name) != saved.get(name)
    ]
    if wrong:
        other_data = any(line.split(":")[0].endswith(("checksum", "labels")) for line in wrong)
        hint = "the data are not the same; " if other_data else ""
        raise ValueError(
            f"{path}: the run was made with other settings ({'; '.join(wrong)}); {hint}use the same, or another folder"
        )


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Nested settings as one dict: "train_loader.seed"."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": part for key, part in value.items()}
        else:
            flat[name] = value
    return flat
