"""Fetch public files into a cache: verified, resumable, atomic, and safe when two processes ask at once.

A file is streamed to ``<cache>/.incomplete/<name>.part``, checked, and only then moved to its place by ``os.replace``:
what carries a final name is always whole. Every failure is one `DownloadError` whose single line says what to do.

Environment: ``MMCOURSE_CACHE`` moves the cache, ``MMCOURSE_MIRROR`` replaces the public homes by base addresses
(several are separated by spaces), ``MMCOURSE_OFFLINE=1`` refuses every download at once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

CHUNK = 1 << 16
TIMEOUT = 30.0  # seconds without a byte before an address is given up
ATTEMPTS = 3  # per address; each one resumes where the last was cut
LOCK_PATIENCE = 600.0  # seconds to wait for another process that fetches the same file
NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows knows no quota
AGAIN = "run `mmcourse data fetch` again"
Progress = Callable[[int, "int | None"], None]


class DownloadError(OSError):
    """A file could not be fetched or is not what it should be; one line that ends with the remedy."""


class _Cut(Exception):
    """The connection broke; the bytes so far are kept for the next attempt."""


def cache_dir() -> Path:
    """Folder for fetched files: ``MMCOURSE_CACHE``, else the platform's cache folder (not created here)."""
    if chosen := os.environ.get("MMCOURSE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mmcourse"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "mmcourse" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmcourse"


def fetch(
    name: str,
    urls: Sequence[str],
    *,
    sha256: str,
    size: int,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the path of a verified file, downloading it if it is not in the cache yet.

    Parameters
    ----------
    name : str
        File name inside `folder`.
    urls : sequence of str
        Full addresses, tried in order.
    sha256, size : str, int
        What the bytes must be.
    folder : Path, optional
        Default: `cache_dir()`.
    progress : callable, optional
        Called as ``progress(bytes_so_far, bytes_in_all)``.

    Raises
    ------
    DownloadError
        No address gave the right bytes; nothing carries the final name then.
    """
    folder = cache_dir() if folder is None else Path(folder)
    target = folder / name
    with file_lock(folder, name):
        if find_problem(target, sha256, size) is None:
            return target
        part = download(name, urls, folder, sha256=sha256, size=size, progress=progress)
        os.replace(part, target)
    return target


def download(
    name: str,
    urls: Sequence[str],
    folder: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download to the ``.part`` file, verify it and return its path; the caller holds the lock and moves it."""
    if os.environ.get("MMCOURSE_OFFLINE", "0") not in ("", "0"):
        raise DownloadError(f"{name} is not in {folder} and MMCOURSE_OFFLINE is set; unset it and {AGAIN}")
    part = incomplete_dir(folder) / f"{name}.part"
    require_free_space(folder, name, (size or 0) - (part.stat().st_size if part.exists() else 0))
    problems = []
    for url in candidate_urls(name, urls):
        try:
            _download(url, part, size, progress)
        except (_Cut, urllib.error.URLError, http.client.HTTPException, OSError) as error:
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                _discard(part)
                raise DownloadError(disk_full_message(folder, name, size)) from error
            problems.append(f"{urlsplit(url).netloc}: {_reason(error)}")
            continue
        problem = find_problem(part, sha256, size)
        if problem is None:
            return part
        _discard(part)
        problems.append(f"{urlsplit(url).netloc}: {problem}, deleted")
    kept = f" ({part.stat().st_size} bytes are kept and will be resumed)" if part.exists() else ""
    raise DownloadError(
        f"could not fetch {name}: {'; '.join(problems)}{kept}. "
        f"Check the network or name another home in MMCOURSE_MIRROR, then {AGAIN}"
    )


def candidate_urls(name: str, urls: Sequence[str]) -> list[str]:
    """The addresses to try: those of ``MMCOURSE_MIRROR`` (base + name) when it is set, else `urls`."""
    mirrors = os.environ.get("MMCOURSE_MIRROR", "").split()
    found = [f"{base.rstrip('/')}/{name}" for base in mirrors] or list(urls)
    for url in found:
        if urlsplit(url).scheme not in ("http", "https"):
            raise DownloadError(
                f"cannot fetch from {url!r}: expected an http:// or https:// address in MMCOURSE_MIRROR"
            )
    return found


def digest(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_problem(path: Path, sha256: str | None, size: int | None) -> str | None:
    """Say in a few words how a file differs from what it should be; None when it does not."""
    if not path.is_file():
        return "is missing"
    got = path.stat().st_size
    if size is not None and got != size:
        return f"wrong size: expected {size} bytes, got {got}"
    if sha256 is not None and (found := digest(path)) != sha256:
        return f"wrong checksum: expected sha256 {sha256[:12]}…, got {found[:12]}…"
    return None


def incomplete_dir(folder: Path) -> Path:
    """The folder for unfinished work inside a cache folder, created on demand."""
    place = folder / ".incomplete"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            f"cannot write to {folder}: {error.strerror}; set MMCOURSE_CACHE to a folder that can be written"
        ) from error
    return place


def require_free_space(folder: Path, name: str, needed: int) -> None:
    """Refuse before the first byte when the disk cannot hold `needed` more bytes."""
    if needed > 0 and shutil.disk_usage(folder).free < needed:
        raise DownloadError(disk_full_message(folder, name, needed))


@contextlib.contextmanager
def file_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold `name` for this process alone; the system frees the lock when a process dies, so none goes stale."""
    with open(incomplete_dir(folder) / f"{name}.lock", "a+b") as file:
        deadline = time.monotonic() + LOCK_PATIENCE
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise DownloadError(
                    f"another process has been fetching {name} for {LOCK_PATIENCE:.0f} s; end it, then {AGAIN}"
                )
            time.sleep(0.1)
        yield  # closing the file releases the lock


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _download(url: str, part: Path, size: int | None, progress: Progress | None) -> None:
    """Stream one address into `part`, resuming after a cut for as long as attempts bring new bytes."""
    for attempt in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            return _stream(url, part, size, progress)
        except _Cut:
            if attempt == ATTEMPTS - 1 or part.stat().st_size <= before:
                raise
            time.sleep(0.2 * (attempt + 1))


def _stream(url: str, part: Path, size: int | None, progress: Progress | None) -> None:
    note = part.with_suffix(".part.version")  # ETag or date of the bytes we hold: others are never appended to them
    have = part.stat().st_size if part.exists() and note.exists() else 0
    if size is not None and have == size:
        return
    headers = {"User-Agent": "mmcourse", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": note.read_text()}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        _discard(part)  # the server's file is shorter than what we hold
        return _stream(url, part, size, progress)
    with answer:
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0  # the server sends the whole file
        _note_version(note, answer.headers)
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else size
        _write(answer, part, have, total, progress)


def _write(
    answer: http.client.HTTPResponse, part: Path, have: int, total: int | None, progress: Progress | None
) -> None:
    with open(part, "r+b" if have else "wb") as file:
        file.seek(have)
        while chunk := _read(answer):
            file.write(chunk)
            have += len(chunk)
            if progress is not None:
                progress(have, total)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and have < total:
        raise _Cut(f"the connection was cut after {have} of {total} bytes")


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(CHUNK)
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _Cut(f"the connection was cut ({type(error).__name__})") from error


def _note_version(note: Path, headers: http.client.HTTPMessage) -> None:
    tag = headers.get("ETag", "")
    version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
    if version:
        note.write_text(version)
    else:
        note.unlink(missing_ok=True)


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_suffix(".part.version").unlink(missing_ok=True)


def disk_full_message(folder: Path, name: str, needed: int | None) -> str:
    """The line that says what does not fit where, how much it takes and how much is free."""
    amount = f"{needed / 1e6:.1f} MB are needed" if needed else "more space is needed"
    free = shutil.disk_usage(folder).free / 1e6
    return (
        f"the disk is full: {name} does not fit in {folder} ({amount}, {free:.1f} MB are free); "
        f"free some space or set MMCOURSE_CACHE to another disk, then {AGAIN}"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    if isinstance(error, OSError) and error.strerror:
        return f"no connection ({error.strerror})"
    return str(error) or type(error).__name__
