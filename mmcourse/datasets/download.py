"""Fetch public files into a cache: verified, resumable, atomic, and safe when two processes ask at once.

A file is streamed to ``<cache>/.incomplete/<name>.part``, checked, and only then moved to its place by ``os.replace``:
what carries a final name is always complete. Every failure is one `DownloadError` whose single line says what to do.

A server is not trusted: it may send no more than the known size, in no more time than the size allows, and what it says
is shown without control characters. Links in the cache are not followed.

Environment: ``MMCOURSE_CACHE`` moves the cache, ``MMCOURSE_MIRROR`` replaces the public addresses by base addresses
(several are separated by spaces; ``https://user:password@host/folder`` signs in), ``MMCOURSE_OFFLINE=1`` refuses every
download at once.

Pooch was tried for this. It verifies and caches by a registry as we do (`urls` and `registry` are its words), but
restarts a download that was cut, tries one address, and waits for and writes whatever a server sends. Resuming,
mirrors, limits, locks and the messages would have to be written around it, so that nothing became shorter.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import http.client
import os
import shutil
import socket
import stat
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from mmcourse.io import atomic_write

CHUNK = 1 << 16
TIMEOUT = 30.0  # seconds without a byte before an address is given up
PATIENCE = 60.0  # seconds that an address may take for a file of no size, ...
SLOWEST = 20_000  # ... and bytes per second that it must send on average beyond that
MAX_BYTES = 200_000_000  # for a file whose size is not known
ATTEMPTS = 3  # per address; each one resumes where the last was cut
LOCK_PATIENCE = 600.0  # seconds to wait for another process that fetches the same file
MAX_VERSION = 500  # characters of an ETag or a date that are worth keeping
NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows knows no quota
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
AGAIN = "run `mmcourse data fetch` again"
Progress = Callable[[int, "int | None"], None]


class DownloadError(OSError):
    """A file could not be fetched or is not what it should be; one line that ends with the remedy.

    Whatever a server or an archive said is shown here, and only here: control characters cannot act on the terminal,
    and a mirror's password is replaced.
    """

    def __init__(self, message: str) -> None:
        from mmcourse.terminal import visible  # here, since a download that succeeds prints nothing

        for password in mirror_passwords():
            message = message.replace(password, "***")
        super().__init__(visible(" ".join(message.split())))


class _Cut(Exception):
    """The connection broke; the bytes so far are kept for the next attempt."""


class _Refused(Exception):
    """This address will not give the file, however often it is asked."""


def cache_dir() -> Path:
    """Folder for fetched files: ``MMCOURSE_CACHE``, else the platform's cache folder (not created here)."""
    if chosen := os.environ.get("MMCOURSE_CACHE"):
        try:
            return Path(chosen).expanduser()
        except RuntimeError as error:
            raise DownloadError(f"MMCOURSE_CACHE is {chosen!r}: {error}; set it to a folder that exists") from None
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mmcourse"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "mmcourse" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmcourse"


def offline() -> bool:
    """Whether ``MMCOURSE_OFFLINE`` forbids every download."""
    return os.environ.get("MMCOURSE_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


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
    max_bytes: int = MAX_BYTES,
    progress: Progress | None = None,
) -> Path:
    """Download to the ``.part`` file, verify it and return its path; the caller holds the lock and moves it.

    `max_bytes` is the limit where the exact `size` is not known.
    """
    if offline():
        raise DownloadError(f"{name} is not in {folder} and MMCOURSE_OFFLINE is set; unset it and {AGAIN}")
    candidates = candidate_urls(name, urls)
    part = incomplete_dir(folder) / f"{name}.part"
    _remove_link(part)
    require_free_space(folder, name, (size or 0) - _size_of(part))
    problems = []
    for url in candidates:
        try:
            _download(url, part, size, max_bytes, progress)
        except (_Cut, _Refused, http.client.HTTPException, OSError, ValueError, LookupError) as error:
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                _discard(part)
                raise DownloadError(disk_full_message(folder, name, size)) from None
            problems.append(f"{host_of(url)}: {_reason(error)}")
            continue
        problem = find_problem(part, sha256, size)
        if problem is None:
            return part
        _discard(part)
        problems.append(f"{host_of(url)}: {problem}, deleted")
    kept = f" ({_size_of(part)} bytes are kept and will be resumed)" if part.exists() else ""
    raise DownloadError(
        f"could not fetch {name}: {'; '.join(problems)}{kept}. "
        f"Check the network or name another address in MMCOURSE_MIRROR, then {AGAIN}"
    )


# ---- addresses ----------------------------------------------------------------------------------------------------


def candidate_urls(name: str, urls: Sequence[str]) -> list[str]:
    """The addresses to try: those of ``MMCOURSE_MIRROR`` (base + name) when it is set, else `urls`.

    Raises
    ------
    DownloadError
        One of them is no http or https address.
    """
    mirrors = os.environ.get("MMCOURSE_MIRROR", "").split()
    found = [f"{base.rstrip('/')}/{name}" for base in mirrors] or list(urls)
    for url in found:
        if problem := _problem_with_url(url):
            where = "MMCOURSE_MIRROR" if mirrors else "the list of addresses"
            remedy = "expected an http:// or https:// address"
            raise DownloadError(f"cannot fetch from {host_of(url)} ({problem}): {remedy} in {where}")
    return found


def _problem_with_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https"):
        return f"its scheme is {parts.scheme!r}"
    if not parts.hostname:
        return "it names no host"
    if port == 0:
        return "port 0 does not exist"
    if any(character.isspace() or not character.isprintable() for character in url):
        return "it holds characters that an address cannot hold"
    try:
        parts.hostname.encode("idna")
    except UnicodeError as error:
        return f"its host is no name ({error})"
    return None


def host_of(url: str) -> str:
    """The host and port of an address, for messages: without the user and the password in front of them."""
    try:
        netloc = urlsplit(url).netloc
    except ValueError:
        netloc = url.split("://")[-1].split("/")[0]
    return netloc.rpartition("@")[2] or "an address without a host"


def mirror_passwords() -> list[str]:
    """The passwords in ``MMCOURSE_MIRROR``, as written and decoded: what no message may show."""
    found = []
    for base in os.environ.get("MMCOURSE_MIRROR", "").split():
        user_info = base.split("://")[-1].split("/")[0].rpartition("@")[0]
        password = user_info.partition(":")[2]
        found += [text for text in (password, unquote(password)) if text]
    return sorted(set(found), key=len, reverse=True)


def _request(url: str, headers: dict[str, str]) -> urllib.request.Request:
    """A request in which the user and password of the address have become a header that no redirection carries on."""
    parts = urlsplit(url)
    user_info, _, host = parts.netloc.rpartition("@")
    path = quote(parts.path, safe="/%:=&?~+!$,;'@()*[]")
    request = urllib.request.Request(SplitResult(parts.scheme, host, path, parts.query, "").geturl(), headers=headers)
    if user_info:
        user, _, password = user_info.partition(":")
        token = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode("ascii")
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


# ---- files in the cache -------------------------------------------------------------------------------------------


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
    """The folder for unfinished work inside a cache folder, created on demand; never a link that leads elsewhere."""
    place = folder / ".incomplete"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DownloadError(
            f"cannot write to {folder}: {reason}; set MMCOURSE_CACHE to a folder that can be written"
        ) from None
    if place.is_symlink():
        raise DownloadError(f"{place} is a link, which is not followed; remove it, then {AGAIN}")
    return place


def _open_part(part: Path, *, keep: bool) -> IO[bytes]:
    """Open a file of unfinished work for writing, without following a link."""
    flags = os.O_RDWR | os.O_CREAT | NO_FOLLOW | (0 if keep else os.O_TRUNC)
    return open(part, "r+b" if keep else "wb", opener=lambda path, _: os.open(path, flags, 0o666))


def _remove_link(path: Path) -> None:
    """Remove a link, symbolic or hard, or anything else that is no file of our own, where unfinished work should be."""
    with contextlib.suppress(FileNotFoundError):
        state = path.lstat()
        if stat.S_ISDIR(state.st_mode):
            raise DownloadError(f"{path} is a folder, where a file should be; remove it, then {AGAIN}")
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
            path.unlink()


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def require_free_space(folder: Path, name: str, needed: int) -> None:
    """Refuse before the first byte when the disk cannot hold `needed` more bytes."""
    if needed > 0 and shutil.disk_usage(folder).free < needed:
        raise DownloadError(disk_full_message(folder, name, needed))


@contextlib.contextmanager
def file_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold `name` for this process alone; the system frees the lock when a process dies, so none goes stale."""
    path = incomplete_dir(folder) / f"{name}.lock"
    try:
        file = open(path, "a+b", opener=lambda path, flags: os.open(path, flags | NO_FOLLOW, 0o666))
    except OSError as error:
        remedy = "is a link, which is not followed; remove it" if path.is_symlink() else f"cannot be opened: {error}"
        raise DownloadError(f"{path} {remedy}, then {AGAIN}") from None
    with file:
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


# ---- the network --------------------------------------------------------------------------------------------------


class _Deadline:
    """Ends a connection when an address has had all the time that its file may take.

    A socket's own timeout starts again at every byte, so that a server which sends one now and then would hold the
    connection, and the lock, forever.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.end = seconds, time.monotonic() + seconds
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._shut)

    def __enter__(self) -> _Deadline:
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self.end

    def watch(self, connected: socket.socket) -> None:
        self._socket = connected
        if self.passed:
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _open(request: urllib.request.Request, deadline: _Deadline) -> http.client.HTTPResponse:
    """Send a request over http or https, and nothing else even when redirected, under a deadline."""

    def connection(kind: type[http.client.HTTPConnection]) -> Any:
        class Watched(kind):  # type: ignore[misc, valid-type]
            def connect(self) -> None:
                super().connect()
                deadline.watch(self.sock)

        return Watched

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req):
            return self.do_open(connection(http.client.HTTPConnection), req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req):
            return self.do_open(connection(http.client.HTTPSConnection), req)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        Http(),
        Https(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener.open(request, timeout=min(TIMEOUT, deadline.seconds))


def seconds_allowed(size: int) -> float:
    """How long an address may take for a file of `size` bytes."""
    return PATIENCE + size / SLOWEST


def _download(url: str, part: Path, size: int | None, max_bytes: int, progress: Progress | None) -> None:
    """Stream one address into `part`, resuming after a cut for as long as attempts bring new bytes."""
    limit = max_bytes if size is None else size
    with _Deadline(seconds_allowed(limit)) as deadline:
        for attempt in range(ATTEMPTS):
            before = _size_of(part)
            try:
                return _stream(url, part, size, limit, progress, deadline)
            except (_Cut, OSError, ValueError, http.client.HTTPException) as error:
                if deadline.passed:
                    slow = f"too slow: {_size_of(part)} bytes after {deadline.seconds:.0f} s"
                    raise _Refused(slow) from None
                if not isinstance(error, _Cut) or attempt == ATTEMPTS - 1 or _size_of(part) <= before:
                    raise
                time.sleep(0.2 * (attempt + 1))


def _stream(url: str, part: Path, size: int | None, limit: int, progress: Progress | None, deadline: _Deadline) -> None:
    note = part.with_suffix(".part.version")  # ETag or date of the bytes we hold: others are never appended to them
    version = _read_version(note)
    have = _size_of(part) if version else 0
    if size is not None and have == size:
        return
    headers = {"User-Agent": "mmcourse", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    try:
        answer = _open(_request(url, headers), deadline)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416 or not have:
            raise
        _discard(part)  # the server's file is shorter than what we hold
        return _stream(url, part, size, limit, progress, deadline)
    with answer:
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0  # the server sends the whole file
        length = _content_length(answer.headers)
        total = size if length is None else have + length
        if total is not None and total > limit:
            _discard(part)
            raise _Refused(f"it offers {total} bytes, more than the {limit} expected")
        _note_version(note, answer.headers)
        try:
            _write(answer, part, have, total, limit, progress)
        except _Refused:
            _discard(part)
            raise
    if deadline.passed:  # we closed the connection ourselves, which looks like the end of a file of unknown length
        raise _Cut("the time was up")


def _content_length(headers: http.client.HTTPMessage) -> int | None:
    text = headers.get("Content-Length")
    if text is None:
        return None
    if not (text.isascii() and text.strip().isdigit() and len(text) < 20):
        raise _Refused(f"its Content-Length is {text[:50]!r}, not a number")
    return int(text)


def _write(
    answer: http.client.HTTPResponse, part: Path, have: int, total: int | None, limit: int, progress: Progress | None
) -> None:
    with _open_part(part, keep=bool(have)) as file:
        file.seek(have)
        file.truncate()
        while chunk := _read(answer):
            if have + len(chunk) > limit:
                raise _Refused(f"it sends more than the {limit} bytes expected, deleted")
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
    except (http.client.HTTPException, ConnectionError, TimeoutError, ValueError) as error:
        raise _Cut(f"the connection was cut ({type(error).__name__})") from error


def _read_version(note: Path) -> str:
    """The version noted beside a part; empty if there is none that a server could have given."""
    try:
        version = "" if note.is_symlink() else note.read_text(encoding="latin-1")
    except OSError:
        return ""
    return version if len(version) <= MAX_VERSION and version.isprintable() else ""


def _note_version(note: Path, headers: http.client.HTTPMessage) -> None:
    tag = headers.get("ETag", "")
    version = (tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")) or ""
    if version and len(version) <= MAX_VERSION and version.isprintable():
        atomic_write(note, version.encode("latin-1", "replace"))
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
        return f"the server answered {error.code} {str(error.reason)[:200]}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    if isinstance(error, OSError) and error.strerror:
        return f"no connection ({error.strerror})"
    return str(error)[:300] or type(error).__name__
