"""Every copy of the course that can be read below some folders, whatever it is called and however it is packed.

The grader shows a submission the system's libraries and Python's packages. Another copy of the course may lie there:
an installed wheel beside the checkout that grades, a copy in the user's own packages, an egg, a zip on a .pth line, a
checkout under /usr/local. Any of them holds references and checks, so all of them are found and hidden.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ARCHIVES = (".egg", ".pyz", ".whl", ".zip")
PACKED = (*ARCHIVES, ".7z", ".bz2", ".gz", ".tar", ".tgz", ".xz", ".zst")
METADATA = (".dist-info", ".egg-info")  # a name and a version, and no code
SITES = ("dist-packages", "site-packages")
PACKAGE_PARTS = {"check", "classroom", "datasets"}  # the package, under whatever name
CHECKOUT_PARTS = {"mmcourse", "notebooks"}


def copies(folders: Iterable[str]) -> tuple[Path, ...]:
    """Folders and archives below these that hold a copy of the course, or its lessons' sources."""
    return _copies(tuple(sorted({os.path.realpath(folder) for folder in folders})))


@cache
def _copies(folders: tuple[str, ...]) -> tuple[Path, ...]:
    """Some hundred thousand names are read, in about a second: once for all submissions of a process."""
    found: set[Path] = set()
    waiting = list(folders)
    seen: set[str] = set()
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue  # the sandbox has no more rights than we have
        names = {entry.name for entry in entries}
        if folder not in folders and _is_copy(os.path.basename(folder), names):
            found.add(Path(folder))
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif _is_packed_copy(entry.path, entry.name.casefold()):
                found.add(Path(entry.path))
            elif entry.name.endswith(".pth"):
                found.update(path for path in _listed(folder, entry.path) if _holds_course(str(path)))
    return tuple(sorted(found))


def _is_copy(name: str, names: set[str]) -> bool:
    """Whether a folder of this name, with these names in it, is a copy of the course or a part with answers in it."""
    if name in SITES:
        return False  # what is in it is looked at one by one
    if name == "_lessons" or (name == "notebooks" and "src" in names):
        return True
    if name.casefold().startswith("mmcourse") and not name.endswith(METADATA):
        return True
    return names >= PACKAGE_PARTS or names >= CHECKOUT_PARTS


def _is_packed_copy(path: str, name: str) -> bool:
    if name.startswith("mmcourse") and name.endswith(PACKED):
        return True
    return name.endswith(ARCHIVES) and _holds_course(path)


def _holds_course(path: str) -> bool:
    """Whether a zip, of whatever name, has the course in it. What looks like one and cannot be read is hidden too."""
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            parts = [set(name.split("/")) for name in archive.namelist()]
    except OSError:
        return False
    except Exception:
        return True
    return any("_lessons" in part or any(name.startswith("mmcourse") for name in part) for part in parts)


def _listed(folder: str, pth: str) -> Iterator[Path]:
    """Files that a .pth line puts on the path: Python imports from a zip of any name."""
    try:
        lines = Path(pth).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        path = Path(folder, line.strip())
        try:
            is_file = path.is_file()
        except (OSError, ValueError):
            continue  # no path at all: weights of a network have the same ending
        if line.strip() and not line.startswith(("#", "import ", "import\t")) and is_file:
            yield path.resolve()
