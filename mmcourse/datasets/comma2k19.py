"""One minute of comma2k19: what a car's own bus and radar said while somebody drove to work.

Schafer, Santana, Haden, Biasini 2018, arXiv 1812.05752. License MIT. Each signal is two NumPy files, `t` (seconds) and
`value`. The course ships none of it; the files of this minute are checked byte for byte.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Drive", "Signal", "read_drive", "read_signal"]

KNOWN = {
    "CAN/radar/t": "b41517d6f7081b389b9726208d1b100f052f80ea28fd589562067c53fbb7d3db",
    "CAN/radar/value": "4f4dddddf2a890aa4bb8acb83e3523327d3c9c1e6f327ac936754beabca4b6f9",
    "CAN/speed/t": "53d2a88becfc45f9dcb804f2f78436f2bb6246d80386ff18ded10af679d5d6f3",
    "CAN/speed/value": "ba40ded2c9d2a6d5f98801f5438d0cb5d811ccf1444e3a3f680d7addb707551f",
}
RADAR_COLUMNS = 7  # ahead (m), to the left (m), relative speed (m/s), two that are empty here, track, new track


@dataclass(frozen=True)
class Signal:
    """A signal by its own clock: `time` float (n,), in seconds and never backwards; `value` float (n,) or (n, c)."""

    time: np.ndarray
    value: np.ndarray


@dataclass(frozen=True)
class Drive:
    """`speed` of the car by its wheels, m/s; `radar`: ahead (m), to the left (m), relative speed (m/s), track."""

    speed: Signal
    radar: Signal


def read_signal(folder: str | Path) -> Signal:
    """A folder with `t` and `value`.

    Raises
    ------
    FileNotFoundError
        One of the two is missing.
    ValueError
        They are no plain arrays of numbers, differ in length, or time goes backwards.
    """
    folder = Path(folder)
    arrays = []
    for name in ("t", "value"):
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"comma2k19: expected {path}, an array saved by NumPy")
        try:
            array = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(
                f"{path}: expected an array of numbers saved by NumPy, got something else ({error})"
            ) from error
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
            raise ValueError(f"{path}: expected an array of numbers, got {getattr(array, 'dtype', type(array))}")
        arrays.append(array.astype(np.float64))
    time, value = arrays
    if time.ndim != 1 or len(time) != len(value) or not len(time):
        raise ValueError(f"{folder}: expected one value for each time, got {time.shape} times and {value.shape} values")
    if not np.isfinite(time).all() or (np.diff(time) < 0).any():
        raise ValueError(f"{folder}: expected times that never go backwards; sort by time, or drop the bad ones")
    return Signal(time, value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value)


def read_drive(folder: str | Path, verify: bool = True) -> Drive:
    """The minute's speed and radar.

    Parameters
    ----------
    verify : whether the files must be those of the course's minute, byte for byte; False for another drive

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_signal`; or a file is another one; or the radar has other columns.
    """
    folder = Path(folder)
    signals = {name: read_signal(folder / "CAN" / name) for name in ("speed", "radar")}
    if verify:
        for name, wanted in KNOWN.items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != wanted:
                raise ValueError(f"{folder / name}: not this minute's file (its SHA-256 differs); or pass verify=False")
    value = signals["radar"].value
    if value.ndim != 2 or value.shape[1] != RADAR_COLUMNS:
        raise ValueError(f"{folder}: radar: expected {RADAR_COLUMNS} columns, got shape {value.shape}")
    radar = Signal(signals["radar"].time, value[:, [0, 1, 2, 5]])
    if not np.isfinite(radar.value).all() or not np.isfinite(signals["speed"].value).all():
        raise ValueError(f"{folder}: expected finite speeds and detections, got some that are not")
    return Drive(signals["speed"], radar)
