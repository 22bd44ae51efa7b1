"""What students hand in for an open challenge: arrays in a file, read as data and scored outside the sandbox.

Nothing is unpickled and nothing of the student's is run. Sizes, shapes and dtypes are compared with the declared ones
before anything of that size is allocated; a compressed array is unpacked only as far as it may be long.
"""

from __future__ import annotations

import hashlib
import io
import tokenize
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from mmcourse.classroom.seal import hmac_digest
from mmcourse.classroom.untrusted import Unreadable
from mmcourse.exercise.challenge import MOST_BYTES, Array, Challenge, Drawn, names
from mmcourse.exercise.verdict import CheckFailed

ENDINGS = {".npz", ".safetensors"}
MOST_HEADER = 1 << 16  # bytes that describe arrays
MOST_NPY_HEADER = 1000  # of one array in an .npz; NumPy writes about 120
TOO_LARGE = f"larger than {MOST_BYTES >> 20} MB, the most that a challenge takes"


def class_inputs(challenge: Challenge, key: str) -> Drawn:
    """What a class gets, drawn from its secret; the same for all, so that scores can be compared."""
    return challenge.drawn_from(hmac_digest(key, "challenge", challenge.id))


def inputs_file(challenge: Challenge, key: str) -> bytes:
    """The inputs without what is hidden, as .npz."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = class_inputs(challenge, key).inputs
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def require_same_inputs(challenge: Challenge, key: str, handed_out: Path) -> None:
    """ValueError where the inputs are drawn otherwise here than when they were handed out: labels would be wrong too.

    Another version of NumPy or of the course may draw other numbers from one secret. A few numbers in a thousand may
    differ: another processor rounds otherwise.
    """
    if not handed_out.is_file():
        raise FileNotFoundError(f"{handed_out}: missing; it is part of the release, which must be whole to be graded")
    drawn = class_inputs(challenge, key).inputs
    with np.load(handed_out, allow_pickle=False) as file:
        before = {name: file[name] for name in file.files}
    same = before.keys() == drawn.keys() and all(
        before[name].shape == array.shape and _equal(before[name], array).mean() > 0.99 for name, array in drawn.items()
    )
    if not same:
        raise ValueError(
            f"{challenge.id}: its inputs are drawn otherwise here than when they were handed out, so no score would be "
            "right; grade with the versions of the course and of NumPy that made the release"
        )


def _equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Number by number, up to rounding; text as it is."""
    return a == b if a.dtype.kind in "US" else np.isclose(a, b)


# ---------------------------------------------------------------- reading
def read_arrays(data: bytes, ending: str, declared: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """The declared arrays from the bytes of a file that a student handed in.

    Parameters
    ----------
    data : the whole file
    ending : ".npz" or ".safetensors"
    declared : name → shape and kind

    Raises
    ------
    Unreadable
        It is too large, damaged, holds something else than declared, or lies about what it holds; the message says
        what is expected.
    """
    if len(data) > MOST_BYTES:
        raise Unreadable(TOO_LARGE)
    if not data:
        raise Unreadable("empty (0 bytes): write it with `save_hand_in` and hand it in again")
    arrays = _from_npz(data, declared) if ending == ".npz" else _from_safetensors(data, declared)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Unreadable(f"{name} holds NaN or infinity: every number must be finite")
        if array.dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:  # a True of 255 would count 255 times
            raise Unreadable(f"{name} holds bytes that are neither True nor False; write it with `save_hand_in`")
    return arrays


def _expect_names(found: list[str], declared: Mapping[str, Array]) -> None:
    if sorted(found) != sorted(declared):
        raise Unreadable(f"expected {names(declared)} and nothing else, got {names(found)}")


def _from_npz(data: bytes, declared: Mapping[str, Array]) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _expect_names([entry.filename.removesuffix(".npy") for entry in entries], declared)
            return {entry.filename.removesuffix(".npy"): _entry(archive, entry, declared) for entry in entries}
    except Unreadable:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds: it is the student's file that is damaged
        raise Unreadable(
            f"damaged ({type(error).__name__}): write it with `save_hand_in` and hand it in again"
        ) from None


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, declared: Mapping[str, Array]) -> np.ndarray:
    """One array of an archive; no more of it is unpacked than the declared array can take."""
    name = entry.filename.removesuffix(".npy")
    most = declared[name].most_bytes + MOST_HEADER
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise Unreadable(f"{name} is encrypted or packed in an unusual way; write it with `save_hand_in`")
    if entry.file_size > most:
        raise Unreadable(f"{name} unpacks to {entry.file_size:,} bytes; expected at most {most:,}")
    with archive.open(entry) as file:
        unpacked = file.read(most + 1)  # the directory may lie about the size
    if len(unpacked) > most:
        raise Unreadable(f"{name} unpacks to more than {most:,} bytes")
    return _npy(io.BytesIO(unpacked), name, declared[name])


def _npy(file: IO[bytes], name: str, declared: Array) -> np.ndarray:
    """One .npy: its header is compared with what is declared before its numbers are looked at."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise Unreadable(f"{name} is of version {version} of the .npy format; write it with `save_hand_in`")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, by_columns, dtype = read(file, max_header_size=MOST_NPY_HEADER)
    # NumPy gives the header to Python's parser; one that is nested too deep ends there in its own ways
    except (ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError) as error:
        raise Unreadable(f"{name}: damaged header ({type(error).__name__}); write it with `save_hand_in`") from None
    if fault := declared.fault(shape, dtype):  # an object array is none of the kinds
        raise Unreadable(f"{name}: {fault}")
    numbers = file.read()
    size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if len(numbers) != size:
        raise Unreadable(f"{name}: its header promises {size:,} bytes, it holds {len(numbers):,}")
    order: Any = "F" if by_columns else "C"
    return np.frombuffer(numbers, dtype).reshape(shape, order=order).astype(dtype.newbyteorder("="))


def _from_safetensors(data: bytes, declared: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """By the library, which holds every offset and size against the file's own length; then compared."""
    from safetensors.numpy import load

    if int.from_bytes(data[:8], "little") > MOST_HEADER:
        raise Unreadable("its header is too long or damaged: write the file anew")
    try:
        arrays = load(data)
    except Exception as error:  # the library's own kind, and what NumPy says of a dtype that it does not have
        raise Unreadable(f"damaged ({type(error).__name__}): write the file anew") from None
    _expect_names(list(arrays), declared)
    for name, array in arrays.items():
        if fault := declared[name].fault(array.shape, array.dtype):
            raise Unreadable(f"{name}: {fault}")
    return arrays


def arrays_digest(challenge: Challenge, data: bytes, ending: str) -> str:
    """Equal for files that hold the same numbers, however they are packed.

    Raises
    ------
    Unreadable
        As in `read_arrays`.
    """
    arrays = read_arrays(data, ending, challenge.hand_in)
    digest = hashlib.sha256()
    for name, declared in challenge.hand_in.items():
        digest.update(declared.for_scoring(arrays[name]).tobytes())
    return digest.hexdigest()


# ---------------------------------------------------------------- scoring
def score_file(
    challenge: Challenge, drawn: Drawn, data: bytes, ending: str, most: float | None = None
) -> tuple[float | None, str]:
    """(score, note) of a file that was handed in: None with what is wrong with it, where it has no score.

    `most`: the points that the class gives in all, for the note.
    """
    try:
        score = challenge.scored(read_arrays(data, ending, challenge.hand_in), drawn)
    except (Unreadable, CheckFailed) as error:
        return None, str(error)
    return score, challenge.told(score, most)
