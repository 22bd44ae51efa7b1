"""The public data that the course can fetch: what it is, where it lives, and how each byte of it is verified."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from mmcourse.datasets import download
from mmcourse.datasets.base import data_dir
from mmcourse.datasets.download import AGAIN, DownloadError, Progress

MAX_UNPACKED_BYTES = 200e6  # bytes; an archive that unpacks to more than this is not one of ours

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
    """Plain files, each fetched by itself from the first home that has it."""

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
    """A .tar.gz whose own bytes may change at its home: its members are what is verified."""

    archive: str = ""  # its name on a mirror

    def _fetch(self, progress: Progress | None) -> None:
        cache = self.folder.parent
        with download.file_lock(cache, self.name):
            if self.present() and not self.verify():  # another process was faster
                return
            packed = download.download(self.archive, self.urls, cache, progress=progress)
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
    work = (
        download.incomplete_dir(target.parent) / target.name
    )  # the lock is ours: what lies there is from a killed process
    old = work.with_name(f"{target.name}.old")
    needed = None
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        with tarfile.open(archive, "r:gz") as tar:
            members = _safe_members(tar, name)
            needed = sum(member.size for member in members.values())
            download.require_free_space(target.parent, name, needed)
            _extract(tar, members, wanted, work, name)
        if target.exists():  # an older, damaged copy
            shutil.rmtree(old, ignore_errors=True)
            os.replace(target, old)
        os.replace(work, target)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DownloadError(f"{name} is damaged or cut short ({error}); it was deleted: {AGAIN}") from error
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        if error.errno in download.NO_SPACE:
            raise DownloadError(download.disk_full_message(target.parent, name, needed)) from error
        raise DownloadError(f"cannot unpack {name} to {target}: {error.strerror or error}; {AGAIN}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _safe_members(tar: tarfile.TarFile, name: str) -> dict[str, tarfile.TarInfo]:
    """Base name → member for every regular file; an unsafe archive raises."""
    found, room = {}, MAX_UNPACKED_BYTES
    for member in tar:
        posix, windows = PurePosixPath(member.name), PureWindowsPath(member.name)
        if ".." in windows.parts or posix.is_absolute() or windows.is_absolute() or windows.drive:
            raise DownloadError(f"{name} was refused and deleted: its member {member.name!r} would leave the folder")
        if not (member.isfile() or member.isdir()):
            raise DownloadError(f"{name} was refused and deleted: its member {member.name!r} is a link or a device")
        room -= member.size
        if room < 0:
            raise DownloadError(
                f"{name} was refused and deleted: it unpacks to more than {MAX_UNPACKED_BYTES / 1e6:.0f} MB"
            )
        if member.isfile():
            found[posix.name] = member
    return found


def _extract(
    tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], wanted: dict[str, str], folder: Path, name: str
) -> None:
    if missing := sorted(set(wanted) - set(members)):
        raise DownloadError(f"{name} lacks {len(missing)} of {len(wanted)} files, {missing[0]} first; deleted: {AGAIN}")
    for base, member in sorted(members.items(), key=lambda item: item[1].offset):
        if base not in wanted:
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
    description="MNIST test part: 10,000 handwritten digits, 28×28 grey (LeCun, Cortes and Burges)",
    license="no licence stated by its authors; derived from NIST SD 3 and 7, free for research and teaching",
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
