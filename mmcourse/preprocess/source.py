"""Open what a loader is given: a path, bytes or a binary file."""

import os
from pathlib import Path

from mmcourse.preprocess.errors import InputError


def read_bytes(source, what: str, max_bytes: int = 2**30) -> tuple[bytes, str]:
    """Return the bytes of `source` and the name to use for it in messages.

    Parameters
    ----------
    source : path, bytes or binary file
    what : str
        What it should hold ("image", "sound", "text"), for messages.
    max_bytes : int
        Refuse more than this before reading it.

    Raises
    ------
    FileNotFoundError
        The path names no file.
    InputError
        A folder, an empty file, too many bytes, or something that is not a source.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        data, name = bytes(source), f"{what} bytes"
    elif isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        data = _read_path(Path(source), what, max_bytes)
    elif callable(getattr(source, "read", None)):
        data, name = source.read(max_bytes + 1), str(getattr(source, "name", f"{what} file"))
        if not isinstance(data, bytes):
            raise InputError(name, "opened as text", 'open it with mode "rb"')
    else:
        problem = f"expected a path, bytes or a binary file, got {type(source).__name__}"
        raise InputError(what, problem, "pass one of those")
    if not data:
        raise InputError(name, "empty (0 bytes)", f"check that the {what} was saved or downloaded whole")
    if len(data) > max_bytes:
        raise InputError(name, f"more than {max_bytes:,} bytes", "split it, or raise max_bytes")
    return data, name


def _read_path(path: Path, what: str, max_bytes: int) -> bytes:
    if path.is_dir():
        raise InputError(path, f"a folder, where one {what} file is expected", "name a file in it")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such {what} file. Check the path; it is looked up from {Path.cwd()}.")
    with path.open("rb") as file:
        return file.read(max_bytes + 1)
