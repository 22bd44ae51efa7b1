"""Folders that students can change while we read them: each step is opened by itself and follows no link.

A path that was checked may lead elsewhere a moment later. So nothing is opened by its path: a folder is opened in the
folder above it, refused if it is a link, and its files are opened in that very folder (`openat` with O_NOFOLLOW).
Each file is read once; what is graded, shown and compared is that one copy.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 20 << 20
MOST_BYTES_IN_ALL = 60 << 20  # of one student
MOST_FILES, DEEPEST = 200, 8  # of one student: files, and folders in folders
MOST_FOLDERS = 50  # in one folder
LITTER = {".DS_Store", ".git", ".gitkeep", ".ipynb_checkpoints", "Thumbs.db", "__MACOSX", "desktop.ini"}
_COMMON = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_AS_FOLDER = _COMMON | getattr(os, "O_DIRECTORY", 0)


class Unreadable(Exception):
    """A file that cannot be graded; the message says why, and what to do."""


@dataclass(frozen=True)
class File:
    """One file as it was read: its place below the student's folder, its bytes or what is wrong with it, its time."""

    path: Path
    data: bytes = b""
    problem: str = ""
    when: float = 0.0  # seconds since 1970 of its last change, as the file system says


@contextlib.contextmanager
def opened_folder(path: str | os.PathLike[str], dir_fd: int | None = None) -> Iterator[int]:
    """A descriptor of a folder that is no link.

    Raises
    ------
    Unreadable
        It is missing, a link, no folder, or may not be read.
    """
    try:
        handle = os.open(path, _AS_FOLDER, dir_fd=dir_fd)
    except OSError as error:
        raise Unreadable(_why(path, error, dir_fd)) from None
    try:
        yield handle
    finally:
        os.close(handle)


def read_files(folder: int, below: Path = Path()) -> Iterator[File]:
    """Every file in an open folder and in the folders in it, in order of names, notebooks first.

    `below` stands before each path. What is not read, because there is too much of it, is said once.
    """
    yield from _walk(folder, below, 0, _Left())


@dataclass
class _Left:
    """How much more is read of one student."""

    files: int = MOST_FILES
    size: int = MOST_BYTES_IN_ALL
    said: bool = False

    def out(self, place: Path, why: str) -> Iterator[File]:
        """Says that something is left out, the first time."""
        if not self.said:
            self.said = True
            yield File(place, problem=f"not read: {why}; hand in the notebook alone")


def _walk(folder: int, below: Path, depth: int, left: _Left) -> Iterator[File]:
    owner = os.fstat(folder).st_uid
    folders, many = [], f"the folder holds more than {MOST_FILES} files"
    names = sorted(set(os.listdir(folder)) - LITTER, key=lambda name: (not name.lower().endswith(".ipynb"), name))
    for name in names[:MOST_FILES]:
        if left.files <= 0:
            yield from left.out(below / name, many)
            return
        if _is_folder(name, folder):
            folders.append(name)
            continue
        left.files -= 1
        try:
            if left.size <= 0:
                raise Unreadable(f"left out: the folder holds more than {MOST_BYTES_IN_ALL >> 20} MB")
            data = read_file(name, folder, owner)
            left.size -= len(data)
            yield File(below / name, data, when=_when(name, folder))
        except Unreadable as error:
            yield File(below / name, problem=str(error))
    if len(names) > MOST_FILES:
        yield from left.out(below / names[MOST_FILES], many)
    if folders and depth >= DEEPEST:
        yield from left.out(below / folders[0], f"folders in folders are opened {DEEPEST} deep")
    elif len(folders) > MOST_FOLDERS:
        yield from left.out(below / folders[MOST_FOLDERS], f"more than {MOST_FOLDERS} folders in one")
    for name in folders[:MOST_FOLDERS] if depth < DEEPEST else ():
        try:
            with opened_folder(name, folder) as inner:
                yield from _walk(inner, below / name, depth + 1, left)
        except Unreadable as error:  # it is no folder any more
            yield File(below / name, problem=str(error))


def _when(name: str, folder: int) -> float:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
    except OSError:
        return 0.0


def _is_folder(name: str, folder: int) -> bool:
    """As it is now; who changes it afterwards gets it refused."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def read_file(name: str, folder: int | None = None, owner: int | None = None) -> bytes:
    """The bytes of one regular file in an open folder.

    Raises
    ------
    Unreadable
        It is a link, a pipe or a device, too large, may not be read, or is another user's file under a second name.
    """
    try:
        handle = os.open(name, _COMMON, dir_fd=folder)
    except OSError as error:
        raise Unreadable(_why(name, error, folder)) from None
    state = os.fstat(handle)
    if not stat.S_ISREG(state.st_mode):  # asked of the descriptor: the name may mean something else by now
        os.close(handle)
        raise Unreadable("no regular file")
    with open(handle, "rb") as file:
        if owner is not None and state.st_uid != owner and state.st_nlink > 1:
            raise Unreadable("another user's file under a second name (a hard link); hand in a copy")
        try:
            data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise Unreadable(f"larger than {MOST_BYTES >> 20} MB; clear its outputs and hand it in again")
    return data


def _why(path: str | os.PathLike[str], error: OSError, dir_fd: int | None) -> str:
    with contextlib.suppress(OSError):
        if stat.S_ISLNK(os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode):
            return "cannot be opened: a link; hand in the file itself"
    return f"cannot be opened: {error.strerror}"
