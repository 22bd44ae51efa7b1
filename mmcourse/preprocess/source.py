"""Open what a loader is given: a path, bytes or a binary file."""

import os
import stat
from pathlib import Path

from mmcourse.preprocess.errors import InputError


def read_bytes(source, what: str, max_bytes: int = 2**30) -> tuple[bytes, str]:
    """Return the bytes of `source` and the name to use for it in messages.

    Parameters
    ----------
    source : path, bytes or binary file
        "~" at the start of a path is the home folder.
    what : str
        What it should hold ("image", "sound", "text"), for messages.
    max_bytes : int
        Refuse more than this before reading it.

    Raises
    ------
    FileNotFoundError
        The path names no file.
    InputError
        A folder, a pipe or a device, a file that cannot be opened, an empty file, too many bytes, or something that
        is not a source.
    """
    remedy = f"check that the {what} was saved or downloaded whole"
    if isinstance(source, bytes | bytearray | memoryview):
        data, name = bytes(source), f"{what} bytes"
    elif isinstance(source, str | os.PathLike):
        name = os.fsdecode(source)
        data = _read_path(name, what, max_bytes)
    elif callable(getattr(source, "read", None)):
        name = str(getattr(source, "name", f"{what} file"))
        data = _read_file(source, name, max_bytes)
        remedy += ", and that nobody has read this file object before: source.seek(0) goes back to its start"
    else:
        problem = f"expected a path, bytes or a binary file, got {type(source).__name__}"
        raise InputError(what, problem, "pass one of those")
    if not data:
        raise InputError(name, "empty (0 bytes)", remedy)
    if len(data) > max_bytes:
        raise InputError(name, f"more than {max_bytes:,} bytes", "split it into several files")
    return data, name


def expand_home(name: str | os.PathLike) -> Path:
    """A path in which "~" has become the home folder; as it was where the system knows none."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; False for what can be no path."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def _read_file(file, name: str, max_bytes: int) -> bytes:
    """All that an open file still holds; an unbuffered one gives it in pieces."""
    pieces, length = [], 0
    while length <= max_bytes:
        try:
            piece = file.read(max_bytes + 1 - length)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            raise InputError(name, f"cannot be read ({error})", 'open it with mode "rb"') from None
        if isinstance(piece, str):
            raise InputError(name, "opened as text", 'open it with mode "rb"')
        if not isinstance(piece, bytes | bytearray | memoryview | type(None)):
            raise InputError(name, f"its read() returns {type(piece).__name__}, not bytes", "pass a binary file")
        if not piece:
            break
        pieces.append(bytes(piece))
        length += len(piece)
    return b"".join(pieces)


def _read_path(name: str, what: str, max_bytes: int) -> bytes:
    if not name:
        raise InputError(what, "the path is empty", f"name the {what} file")
    path = expand_home(name)
    if is_folder(path):
        raise InputError(path, f"a folder, where one {what} file is expected", "name a file in it")
    try:  # without blocking: opening a pipe would wait for somebody to write to it
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        message = f"{path}: no such {what} file. Check the path; it is looked up from {Path.cwd()}."
        if "://" in name:
            message = f"{name}: no such {what} file. This is an address: download it first, then name the file."
        raise FileNotFoundError(message) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise InputError(name, f"cannot be opened ({reason})", "check the path and its permissions") from None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            remedy = f"read it yourself and pass the bytes, or save it as a file and name that {what} file"
            raise InputError(path, "a pipe, a socket or a device, not a file", remedy)
        return _read_file(file, name, max_bytes)
