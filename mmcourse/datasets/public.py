"""The public data that the course can fetch: what it is, where it lives, and how each byte of it is verified."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, cast

from mmcourse.datasets import download
from mmcourse.datasets.base import data_dir
from mmcourse.datasets.download import AGAIN, DownloadError, Progress

MAX_UNPACKED_BYTES = 200_000_000  # an archive that unpacks to more than this is not one of ours
MAX_MEMBERS = 20_000
MAX_HEADER_BYTES = 8_000_000  # of all headers together: what names and describes the members
MAX_HEADER = 1 << 16  # bytes of one header; tarfile reads it at once
MAX_READ = 1 << 21  # bytes of a member's content at once

Contents = dict[str, bytes]  # by file name; out here, since `Source` has a field of that name


@dataclass(frozen=True)
class Source:
    """Public data by name; `files` maps each file that it consists of to its SHA-256."""

    name: str
    description: str
    license: str
    bytes: int  # to download
    urls: tuple[str, ...]
    load_registry: Callable[[], dict[str, str]]

    @property
    def folder(self) -> Path:
        """Where the verified files lie."""
        return download.cache_dir() / self.name

    @property
    def registry(self) -> dict[str, str]:
        """File name → SHA-256."""
        return self.load_registry()

    def present(self) -> bool:
        """Whether all files are there (a quick look; `verify` reads them)."""
        return self.folder.is_dir() and set(self.registry) <= set(os.listdir(self.folder))

    def verify(self) -> list[str]:
        """Read every file; return one sentence for each that is missing or damaged (an empty list: all is well)."""
        checks = ((name, download.find_problem(self.folder / name, sha, None)) for name, sha in self.registry.items())
        return [f"{self.folder / name} {problem}" for name, problem in checks if problem]

    def fetch(self, progress: Progress | None = None) -> Path:
        """Make all files present and verified; return their folder. ``progress(bytes_so_far, bytes_in_all)``.

        Raises
        ------
        DownloadError
            That could not be done; what was there before still is.
        """
        if not (self.present() and not self.verify()):  # a cache that can only be read is fine when it is complete
            self._fetch(progress)
        return self.folder

    def read(self, progress: Progress | None = None) -> Contents:
        """The verified bytes of every file, which are fetched first where they are missing or damaged."""
        found = self._read()
        if any(hashlib.sha256(found.get(name, b"")).hexdigest() != sha for name, sha in self.registry.items()):
            self.fetch(progress)
            found = self._read()
        return found

    def _read(self) -> Contents:
        found = {}
        for name in self.registry:
            with contextlib.suppress(FileNotFoundError), open(os.path.join(self.folder, name), "rb") as file:
                found[name] = file.read()
        return found

    def _fetch(self, progress: Progress | None) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Files(Source):
    """Plain files, each fetched by itself from the first address that has it."""

    sizes: tuple[int, ...] = ()

    def _fetch(self, progress: Progress | None) -> None:
        done = 0
        for (name, sha256), size in zip(self.registry.items(), self.sizes, strict=True):

            def step(so_far: int, _: int | None, before: int = done) -> None:
                if progress is not None:
                    progress(before + so_far, self.bytes)

            urls = [f"{base.rstrip('/')}/{name}" for base in self.urls]
            download.fetch(name, urls, sha256=sha256, size=size, folder=self.folder, progress=step)
            done += size


@dataclass(frozen=True)
class Archive(Source):
    """A .tar.gz whose own bytes may change where it is published: its members are verified."""

    archive: str = ""  # its name on a mirror

    def _fetch(self, progress: Progress | None) -> None:
        cache = self.folder.parent
        with download.file_lock(cache, self.name):
            if self.present() and not self.verify():  # another process was faster
                return
            limit = max(2 * self.bytes, 1 << 24)  # the archive's own bytes may change where it is published
            packed = download.download(self.archive, self.urls, cache, max_bytes=limit, progress=progress)
            try:
                unpack(packed, self.folder, self.registry)
            finally:
                packed.unlink(missing_ok=True)  # good or bad, it is not needed again
                packed.with_suffix(".part.version").unlink(missing_ok=True)


def unpack(archive: Path, target: Path, wanted: dict[str, str]) -> None:
    """Extract the `wanted` members (file name → SHA-256) of a .tar.gz to `target`: all of them verified, or nothing.

    The caller holds the lock. Every member is looked at before one is written; one link, device or name that leaves
    the folder refuses them all.

    Raises
    ------
    DownloadError
        The archive is damaged, unsafe, incomplete or not the one expected; `target` is as before.
    """
    name = archive.name.removesuffix(".part")
    work = download.incomplete_dir(target.parent) / target.name  # the lock is ours: this is from a killed process
    old = work.with_name(f"{target.name}.old")
    needed = None
    try:
        _remove_tree(work)
        work.mkdir()
        with _open_archive(archive, name, MAX_HEADER_BYTES, MAX_HEADER) as tar:
            sizes = _check_members(tar, name)
        if missing := sorted(set(wanted) - set(sizes)):
            first = f"{len(missing)} of {len(wanted)} files, {missing[0]} first"
            raise DownloadError(f"{name} lacks {first}; deleted: {AGAIN}")
        needed = sum(sizes.values())
        download.require_free_space(target.parent, name, needed)
        with _open_archive(archive, name, MAX_UNPACKED_BYTES, MAX_READ) as tar:
            _extract(tar, wanted, work, name)
        if os.path.lexists(target):  # an older, damaged copy, or a link: it is replaced, not followed
            _remove_tree(old)
            os.replace(target, old)
        os.replace(work, target)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise DownloadError(f"{name} is damaged or cut short ({reason}); it was deleted: {AGAIN}") from None
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        if error.errno in download.NO_SPACE:
            raise DownloadError(download.disk_full_message(target.parent, name, needed)) from error
        raise DownloadError(f"cannot unpack {name} to {target}: {error.strerror or error}; {AGAIN}") from error
    finally:
        _remove_tree(work)
        _remove_tree(old)


def _remove_tree(path: Path) -> None:
    """Remove a folder, or the link that somebody put in its place."""
    if path.is_symlink():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


class _Unpacking(io.RawIOBase):
    """What a gzip file unpacks to, counted: tarfile itself would read a header of any length, and any number of them.

    Reading counts against `max_bytes`, reading and skipping together against MAX_UNPACKED_BYTES.
    """

    def __init__(self, file: gzip.GzipFile, name: str, max_bytes: int, max_at_once: int) -> None:
        self.file, self.name = file, name
        self.max_bytes, self.max_at_once = max_bytes, max_at_once
        self.num_read = 0

    def read(self, size: int = -1) -> bytes:
        self.num_read += size
        if not 0 <= size <= self.max_at_once:
            raise DownloadError(f"{self.name} was refused and deleted: it has a header of {size} bytes")
        if self.num_read > self.max_bytes:
            raise DownloadError(f"{self.name} was refused and deleted: its headers are too long")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset > MAX_UNPACKED_BYTES:
            raise _too_large(self.name)
        return self.file.seek(offset)

    def tell(self) -> int:
        return self.file.tell()


def _too_large(name: str) -> DownloadError:
    return DownloadError(f"{name} was refused and deleted: it unpacks to more than {MAX_UNPACKED_BYTES / 1e6:.0f} MB")


@contextlib.contextmanager
def _open_archive(archive: Path, name: str, max_bytes: int, max_at_once: int) -> Iterator[tarfile.TarFile]:
    with gzip.open(archive, "rb") as file:
        counted = cast(IO[bytes], _Unpacking(file, name, max_bytes, max_at_once))
        with tarfile.open(fileobj=counted, mode="r:") as tar:
            yield tar


def _members(tar: tarfile.TarFile, name: str) -> Iterator[tarfile.TarInfo]:
    """The members one by one, without tarfile's list of them; an archive of too many is refused."""
    for _ in range(MAX_MEMBERS):
        member = tar.next()
        if member is None:
            return
        yield member
        tar.members.clear()  # type: ignore[attr-defined]
    raise DownloadError(f"{name} was refused and deleted: it has more than {MAX_MEMBERS:,} members")


def _check_members(tar: tarfile.TarFile, name: str) -> dict[str, int]:
    """File name → size of every regular file; an unsafe archive raises."""
    sizes: dict[str, int] = {}
    room = MAX_UNPACKED_BYTES
    for member in _members(tar, name):
        posix, windows = PurePosixPath(member.name), PureWindowsPath(member.name)
        shown = repr(member.name[:200])
        if ".." in windows.parts or posix.is_absolute() or windows.is_absolute() or windows.drive:
            raise DownloadError(f"{name} was refused and deleted: its member {shown} would leave the folder")
        if not (member.isfile() or member.isdir()) or member.issparse():
            raise DownloadError(f"{name} was refused and deleted: its member {shown} is a link or a device")
        room -= max(member.size, 0)
        if room < 0 or member.size < 0:
            raise _too_large(name)
        if member.isfile():
            sizes[posix.name] = member.size
    return sizes


def _extract(tar: tarfile.TarFile, wanted: dict[str, str], folder: Path, name: str) -> None:
    for member in _members(tar, name):
        base = PurePosixPath(member.name).name
        if base not in wanted or not member.isfile():
            continue
        with tar.extractfile(member) as packed, open(folder / base, "wb") as file:  # type: ignore[union-attr]
            shutil.copyfileobj(packed, file)
        if problem := download.find_problem(folder / base, wanted[base], None):
            raise DownloadError(f"{base} in {name}: {problem}; the archive was deleted: {AGAIN}")


def _load_fsdd_registry() -> dict[str, str]:
    lines = (data_dir() / "avdigits" / "fsdd-v1.0.10.sha256").read_text(encoding="ascii").splitlines()
    return {name: sha for sha, name in (line.split() for line in lines)}


MNIST = Files(
    name="mnist-t10k",
    description="MNIST test part: 10,000 handwritten digits, 28×28 gray (LeCun, Cortes and Burges)",
    license="no license stated by its authors; derived from NIST SD 3 and 7, free for research and teaching",
    bytes=1_648_877 + 4_542,
    urls=("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
    load_registry=lambda: {
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    sizes=(1_648_877, 4_542),
)

FSDD = Archive(
    name="fsdd-1.0.10",
    description="Free Spoken Digit Dataset v1.0.10: 3,000 recordings by 6 speakers, 8 kHz (Jakobovski and others)",
    license="CC BY-SA 4.0",
    bytes=15_596_412,
    urls=("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz",),
    load_registry=_load_fsdd_registry,
    archive="fsdd-1.0.10.tar.gz",
)

REVIEWS = Files(
    name="reviews",
    description="Sentence polarity v1.0: 10,662 film-review sentences, positive or negative (Pang and Lee 2005)",
    license="none stated by its authors; published for research",
    bytes=612_506 + 626_395,
    urls=(
        "https://raw.githubusercontent.com/dennybritz/cnn-text-classification-tf/"
        "a0d0e9742b3dc42194955e78858f7be93027c75e/data/rt-polaritydata",
    ),
    load_registry=lambda: {
        "rt-polarity.neg": "2d11cfbc790f1cd96d78339f41ce53ced1efa83cd22d37d6788fa3fe3d17e2fd",
        "rt-polarity.pos": "4134882974a28d0c7b5151256f0e33a6169984ee7372c279e673f1114f475d58",
    },
    sizes=(612_506, 626_395),
)


def progress_bar(source: Source) -> Progress:
    """A progress callback that draws a bar from the first byte on, and so draws none when nothing is fetched."""
    drawn: list = []

    def step(done: int, total: int | None) -> None:
        if not drawn:
            from tqdm.auto import tqdm

            drawn.append(tqdm(desc=source.name, total=total or source.bytes, unit="B", unit_scale=True))
        drawn[0].update(done - drawn[0].n)
        if done == total:
            drawn[0].close()

    return step


def sources() -> list[Source]:
    """Everything that ``mmcourse data`` can list, fetch and verify."""
    return [MNIST, FSDD, REVIEWS]
