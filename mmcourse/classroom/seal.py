"""Seals: what this instructor's course wrote can be told from what somebody laid in its place.

A folder is not trusted for its name or place. Journals, releases and results carry an HMAC made with a secret that
lies outside every class folder: the instructor's own key (`~/.config/mmcourse/instructor.key`, or the folder named by
MMCOURSE_CONFIG), the secret of a release, or a file given by `--secret`.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmcourse import __version__
from mmcourse.classroom.tables import read_json
from mmcourse.classroom.untrusted import Unreadable, read_file
from mmcourse.io import PART, atomic_write, private_folder

KEY_NAME = "instructor.key"
MARK = ".mmcourse.json"  # in a folder of results
LEAST_LETTERS, LEAST_DISTINCT = 16, 8
SCRYPT: dict[str, Any] = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 1 << 26, "dklen": 32}  # 0.1 s and 32 MB a guess


# ---------------------------------------------------------------- keys
def config_dir() -> Path:
    """Where a user's own settings lie."""
    if own := os.environ.get("MMCOURSE_CONFIG"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "mmcourse"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "mmcourse"


def instructor_key() -> str:
    """The key of whoever runs the command: made once, readable for its owner only.

    Raises
    ------
    OSError
        It can be neither read nor made, or others can read it; the message says what to do.
    """
    folder = config_dir()
    path = folder / KEY_NAME
    try:
        private_folder(folder)
        if not os.path.lexists(path):
            _make_key(path)
        text = read_file(str(path)).decode("ascii").strip()
        mode = path.stat().st_mode
    except (OSError, RuntimeError, UnicodeDecodeError, Unreadable) as error:
        raise OSError(
            f"{path}: {getattr(error, 'strerror', None) or error}; the instructor's key is kept there. "
            "Set MMCOURSE_CONFIG to a folder of your own (`mmcourse grade` also takes --secret FILE)"
        ) from None
    if os.name == "posix" and mode & 0o077:
        raise PermissionError(f"{path}: others can read this key; delete it (a new one is made), or chmod 600 it")
    if len(text) < LEAST_LETTERS:
        raise OSError(f"{path}: holds no key; delete it, and a new one is made")
    return text


def _make_key(path: Path) -> None:
    """Of two processes that make a key at once, both get the one that was there first."""
    own = path.with_name(f"{KEY_NAME}.{secrets.token_hex(4)}")
    atomic_write(own, secrets.token_urlsafe(32) + "\n", private=True)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(own, path)
    finally:
        own.unlink()


def typed_secret(path: Path) -> str:
    """The secret in a file that a person wrote.

    Raises
    ------
    ValueError
        It could be guessed: from one's own variant everyone can try secrets.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: a secret is a line of text; leave --secret out and one is made") from None
    steps = {ord(b) - ord(a) for a, b in zip(text, text[1:], strict=False)}
    remedy = "leave --secret out and one is made"
    if len(text) < LEAST_LETTERS:
        raise ValueError(f"{path}: a secret needs {LEAST_LETTERS} characters or more; {remedy}")
    if len(set(text)) < LEAST_DISTINCT or len(steps) < LEAST_DISTINCT // 2:
        raise ValueError(f"{path}: this secret can be guessed (few different characters, or a sequence); {remedy}")
    return text


@lru_cache(maxsize=64)
def stretched(secret: str) -> str:
    """A key from a secret: each guess at the secret costs a tenth of a second (scrypt, RFC 7914)."""
    return hashlib.scrypt(secret.encode(), salt=b"mmcourse classroom", **SCRYPT).hex()


def hmac_digest(key: str, *what: object) -> bytes:
    """A digest of `what` that nobody can foretell without the key (HMAC-SHA-256)."""
    return hmac.digest(key.encode(), repr(what).encode(), hashlib.sha256)


# ---------------------------------------------------------------- sealing
def sealed(key: str, kind: str, told: dict[str, Any]) -> dict[str, Any]:
    """`told` (JSON) with a seal; `kind` says what it is, so that one file cannot stand for another."""
    plain = {name: value for name, value in told.items() if name != "seal"}
    return plain | {"seal": _seal(key, kind, plain)}


def is_sealed(key: str, kind: str, told: dict[str, Any]) -> bool:
    """Whether this object carries the seal of this key."""
    plain = {name: value for name, value in told.items() if name != "seal"}
    seal = told.get("seal")
    return isinstance(seal, str) and hmac.compare_digest(seal.encode(), _seal(key, kind, plain).encode())


def _seal(key: str, kind: str, told: dict[str, Any]) -> str:
    return hmac_digest(key, "seal", kind, json.dumps(told, sort_keys=True)).hex()


def write_sealed(path: Path, key: str, kind: str, told: dict[str, Any]) -> None:
    """A sealed JSON file, readable for its owner only."""
    atomic_write(path, json.dumps(sealed(key, kind, told), indent=1) + "\n", private=True)


def read_sealed(path: Path, key: str, kind: str) -> dict[str, Any] | None:
    """A JSON file that carries this key's seal; None where there is none, or one that somebody else wrote."""
    try:
        told = read_json(read_file(str(path)), str(path))
    except (Unreadable, ValueError):
        return None
    return told if is_sealed(key, kind, told) else None


# ---------------------------------------------------------------- folders of results
def open_results(out: Path, key: str, owner: str, *, named: str = "--out") -> str:
    """Make or open a folder of results that only this class may use; returns the class's own token.

    Parameters
    ----------
    out
        The folder: new, empty, or one that an earlier run with the same key and owner made.
    key
        What its mark is sealed with.
    owner
        Which class it is for, such as the folder of its submissions.

    Raises
    ------
    ValueError
        It holds something else, or the results of another class or another instructor.
    OSError
        It is a link or another user's, or cannot be written.
    """
    mark = out / MARK
    if os.path.lexists(out) and not os.path.lexists(mark):
        if out.is_dir() and any(not entry.name.endswith(PART) for entry in out.iterdir()):
            raise ValueError(f"{named} {out}: holds files that `mmcourse grade` did not write; choose a new folder")
    elif os.path.lexists(mark) and read_sealed(mark, key, "results") is None:
        raise ValueError(
            f"{named} {out}: was not made with this instructor's key or this release; "
            "choose a new folder, or grade with the secret that it was made with"
        )
    private_folder(out)
    if not os.path.lexists(mark):
        told = {"made_by": f"mmcourse {__version__}", "kind": "results", "class": secrets.token_hex(16), "of": owner}
        write_sealed(mark, key, "results", told)
    found = read_sealed(mark, key, "results") or {"of": "another class"}
    if found["of"] != owner:
        raise ValueError(f"{named} {out}: holds the results of {found['of']}; choose another folder for {owner}")
    return str(found["class"])
