"""onnxruntime-web, fetched at build time: three files of one exact version, each checked by its SHA-256.

::

    python -m mmcourse.serve.page          # into the cache, or into the folder that MMCOURSE_WEB names

Nothing of it is in the repository or in the wheel: the WebAssembly alone is 14 MB. `web.lock.json` says which files.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

LOCK = Path(__file__).with_name("web.lock.json")
LIMIT = 64 << 20  # bytes of one file; more than the real ones have


class FetchError(Exception):
    """The files could not be had, or are not the expected ones; the message says what to do."""


@functools.cache
def lock() -> dict:
    """Package, version and the files' checksums."""
    return json.loads(LOCK.read_text(encoding="utf-8"))


def names() -> dict[str, str]:
    """File name → SHA-256."""
    return {Path(path).name: digest for path, digest in lock()["files"].items()}


def folder() -> Path:
    """Where the files lie: MMCOURSE_WEB, else `web` in the course's cache (not created here)."""
    if chosen := os.environ.get("MMCOURSE_WEB"):
        return Path(chosen)
    from mmcourse.datasets.download import cache_dir

    return cache_dir() / f"{lock()['package']}-{lock()['version']}"


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def complete(where: Path | None = None) -> bool:
    """Whether every file is there and is the expected one."""
    where = folder() if where is None else where
    return all((where / name).is_file() and digest(where / name) == wanted for name, wanted in names().items())


def fetch(where: Path | None = None, archive: Path | None = None) -> Path:
    """Put the files into `where` and return it; does nothing where they already lie.

    Parameters
    ----------
    where : folder, by default `folder()`
    archive : the package as a .tgz; by default npm downloads it

    Raises
    ------
    FetchError
        npm is missing or fails; a file is missing, too large or another one than `web.lock.json` says.
    """
    where = folder() if where is None else where
    if complete(where):
        return where
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where, prefix=".incomplete-") as scratch:
        archive = _download(Path(scratch)) if archive is None else archive
        for path, wanted in lock()["files"].items():
            part = Path(scratch) / Path(path).name
            part.write_bytes(_member(archive, f"package/{path}"))
            if (found := digest(part)) != wanted:
                raise FetchError(f"{path}: SHA-256 is {found}, expected {wanted}; do not use this file")
            part.chmod(0o644)
            os.replace(part, where / part.name)
    return where


def _download(scratch: Path) -> Path:
    """npm's own archive of the locked version."""
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError("npm is missing: install Node.js (apt install npm, brew install node), then run this again")
    wanted = f"{lock()['package']}@{lock()['version']}"
    run = subprocess.run([npm, "pack", "--silent", wanted], cwd=scratch, capture_output=True, text=True, timeout=300)
    found = list(scratch.glob("*.tgz"))
    if run.returncode or len(found) != 1:
        raise FetchError(f"npm pack {wanted} failed: {run.stderr.strip()[-400:] or 'no file'}; check the network")
    return found[0]


def _member(archive: Path, name: str) -> bytes:
    """One file of the archive, read without unpacking anything."""
    try:
        with tarfile.open(archive) as opened:
            member = opened.getmember(name)
            file = opened.extractfile(member) if member.isfile() and member.size <= LIMIT else None
            if file is None:
                raise FetchError(f"{archive.name}: {name} is no plain file, or too large")
            return file.read()
    except (KeyError, EOFError, tarfile.TarError, zlib.error, OSError) as error:
        raise FetchError(f"{archive.name}: {name} cannot be read ({error})") from None


def main() -> int:
    """Fetch, and say where to."""
    try:
        print(fetch())
    except (FetchError, OSError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
