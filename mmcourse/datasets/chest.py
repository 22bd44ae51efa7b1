"""1,000 chest X-rays of the NIH Clinical Center with a short record (Wang et al. 2017, arXiv 1705.02315); not shipped.

The file joins pictures and records that lie in two public places, so it has no single address to fetch it from: it is
read from the folder of real data. Labels were mined from the radiologists' reports by a program. NIH puts no
restriction on use and asks to be named: the X-rays were provided by the NIH Clinical Center.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

FILE = "nih_chest_1000.npz"
SHA256 = "9c88cf4ed1456eaf8fc6876420bfd0a4ce917bb18587f49e448a21c932f68612"
RECORD = ("age", "male", "AP view", "follow-up number")


class Chest(NamedTuple):
    """Pictures uint8 (n, 64, 64); record float (n, 4), as RECORD; label int (n,), 1 is pneumonia; patient (n,)."""

    image: np.ndarray
    record: np.ndarray
    label: np.ndarray
    patient: np.ndarray


def path() -> Path | None:
    """Where the file is on this machine: in the folder that ``MMCOURSE_REAL_DATA`` names, or nowhere."""
    folder = os.environ.get("MMCOURSE_REAL_DATA")
    found = Path(folder) / FILE if folder else None
    return found if found is not None and found.is_file() else None


def read() -> Chest:
    """The verified X-rays.

    Raises
    ------
    FileNotFoundError
        They are not on this machine.
    ValueError
        The file is not the one that is expected.
    """
    found = path()
    if found is None:
        raise FileNotFoundError(f"{FILE} is not in the folder of real data: set MMCOURSE_REAL_DATA")
    content = found.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(f"{found}: is damaged or another version (its SHA-256 is not {SHA256[:8]}…)")
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return Chest(stored["X"], stored["rec"].astype(float), stored["y"].astype(np.int64), stored["pid"])
