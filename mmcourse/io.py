"""Files written atomically: complete, or not there at all. Every module of the package writes through this one.

The bytes go to a new file of a random name beside the target, are flushed to the disk, and the file is then renamed.
Until that moment the old file stays. The temporary file is created exclusively, so a link that somebody planted is
never followed; a link in the target's own place is replaced, not followed.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PART = ".part"  # how the names of temporary files end; they begin with a dot
STALE_SECONDS = 3600  # an older temporary file was left by a process that was killed
LONGEST_NAME = 200  # bytes of the target's name in the temporary one, which must fit the usual 255


@contextlib.contextmanager
def atomic_open(path: str | os.PathLike[str], *, private: bool = False, dir_fd: int | None = None) -> Iterator[IO]:
    """A binary file to write; on leaving the block it becomes `path`. After an error `path` is as it was.

    Parameters
    ----------
    path
        The file to write. Its folder must exist.
    private
        Only the owner may read it (mode 0600), from the first byte.
    dir_fd
        A descriptor of the folder that `path` is relative to, as in `os.open`.

    Raises
    ------
    OSError
        The folder is missing or cannot be written, the disk is full, or `path` is a folder.
    """
    path = os.fspath(path)
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{_shortened(name)}.{secrets.token_hex(6)}{PART}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(part, flags, 0o600 if private else 0o666, dir_fd=dir_fd)
    try:
        with open(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # on the disk before it takes the old file's name
        os.replace(part, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=dir_fd)
        raise
    _sync_folder(folder or ".", dir_fd)


def atomic_write(
    path: str | os.PathLike[str], data: str | bytes, *, private: bool = False, dir_fd: int | None = None
) -> None:
    """Write `data` (text as UTF-8) to `path` atomically; parameters and errors as in `atomic_open`."""
    encoded = data.encode("utf-8") if isinstance(data, str) else data
    with atomic_open(path, private=private, dir_fd=dir_fd) as file:
        file.write(encoded)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], *, private: bool = False) -> Iterator[Path]:
    """For libraries that write to a name, not to a file: a name in a new folder, whose file becomes `path`.

    The name ends as `path` does, since some libraries choose the format by it. Errors as in `atomic_open`;
    FileNotFoundError if the block wrote nothing.
    """
    path = Path(path)
    place = tempfile.TemporaryDirectory(prefix=f".{_shortened(path.name)}.", suffix=PART, dir=path.parent)
    with place as folder:  # readable and writable for its owner only
        part = Path(folder) / path.name
        yield part
        if private:
            part.chmod(0o600)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    _sync_folder(path.parent, None)


def keep_dated_copy(path: Path) -> Path:
    """Copy a file beside itself under a new name with today's date, such as `notes.2026-11-28.md`; returns that name.

    Raises
    ------
    OSError
        The file cannot be read, or the copy cannot be written.
    """
    content = path.read_bytes()
    copy = dated_name(path)
    atomic_write(copy, content)
    return copy


def dated_name(path: Path, word: str = "") -> Path:
    """A name beside `path` with today's date in it that no file has yet: `notes.2026-11-28.md`, then `…-28-2.md`."""
    day = f"{word}{datetime.date.today().isoformat()}"
    name = path.with_name(f"{path.stem}.{day}{path.suffix}")
    count = 1
    while os.path.lexists(name):
        count += 1
        name = path.with_name(f"{path.stem}.{day}-{count}{path.suffix}")
    return name


def private_folder(path: str | os.PathLike[str]) -> Path:
    """A folder that only its owner may enter (mode 0700), made with its parents if it is missing.

    Raises
    ------
    OSError
        A link or a file is in its place, the folder belongs to another user, or it cannot be made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    state = path.lstat()
    if not stat.S_ISDIR(state.st_mode):
        kind = "a link" if stat.S_ISLNK(state.st_mode) else "a file"
        raise NotADirectoryError(f"{path}: expected a folder, found {kind}; remove it or choose another folder")
    if hasattr(os, "getuid") and state.st_uid != os.getuid():
        raise PermissionError(f"{path}: the folder belongs to another user; choose another folder")
    if stat.S_IMODE(state.st_mode) & 0o077:
        path.chmod(stat.S_IMODE(state.st_mode) & 0o700)
    return path


def remove_stale_parts(folder: str | os.PathLike[str]) -> None:
    """Remove temporary files that killed processes left in `folder` more than an hour ago."""
    oldest = time.time() - STALE_SECONDS
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not (entry.name.startswith(".") and entry.name.endswith(PART)):
                continue
            with contextlib.suppress(OSError):
                if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < oldest:
                    os.unlink(entry.path)


def _shortened(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:LONGEST_NAME])


def _sync_folder(folder: str | os.PathLike[str], dir_fd: int | None) -> None:
    """Bring the rename itself to the disk, where the system allows it."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
