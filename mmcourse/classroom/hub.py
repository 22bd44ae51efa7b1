"""A class on one machine: JupyterHub on loopback, each student's server alone with its own files and network.

`prepare` makes the class folder, `jupyterhub_config.py` beside this file hands it to JupyterHub, and `ClassSpawner`
in `seat.py` starts each student's server inside bubblewrap. What a student sees in the home folder: lessons/,
exercises/, submitted/ (written by `mmcourse submit`) and feedback/ (read-only).
"""

from __future__ import annotations

import csv
import hmac
import io
import os
import re
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from jupyterhub.utils import subdomain_hook_idna
from traitlets import Unicode

from mmcourse.authoring.unedited import public_notebooks
from mmcourse.classroom.tables import read_table
from mmcourse.io import atomic_write

HOST = "mmcourse"  # the hub is at mmcourse.localhost, a student's server at <student>.localhost
FOLDERS = ("students", "submissions", "feedback", "hub")


def prepare(folder: Path, students: Iterable[str]) -> dict[str, str]:
    """Make what is missing of a class folder; returns every account's password (accounts.csv, for the instructor).

    Passwords that exist are kept, and so is all that a student wrote. Where there is a roster, whoever is not on it
    any more has no account; without one, accounts are only added.
    """
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    accounts, students = read_accounts(folder), list(students)
    if (folder / "roster.csv").is_file():
        accounts = {student: accounts[student] for student in students if student in accounts}
    for student in students:
        accounts.setdefault(student, secrets.token_urlsafe(6))
        for name in FOLDERS[:3]:
            (folder / name / student).mkdir(exist_ok=True, mode=0o700)
    text = io.StringIO()
    csv.writer(text).writerows([("student", "password"), *accounts.items()])
    atomic_write(folder / "accounts.csv", text.getvalue(), private=True)
    return accounts


def names(students: str, folder: Path) -> list[str]:
    """The students asked for, or those of DIR/roster.csv (its column `student`).

    Raises
    ------
    ValueError
        For a name that is no plain account name: it becomes a folder and a login.
    """
    roster = folder / "roster.csv"
    found = [name.strip() for name in students.split(",")]
    if roster.is_file():
        found = [row["student"] for _, row in read_table(roster, "student")]
    if HOST in found:
        raise ValueError(f"student {HOST!r}: this name is the hub's own; choose another")
    if bad := [name for name in found if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", name)]:
        raise ValueError(f"student {bad[0]!r}: expected 1 to 32 of a-z, 0-9, - and _, not starting with - or _")
    return found


def read_accounts(folder: Path) -> dict[str, str]:
    """Password of each student; empty where the class has none yet."""
    path = folder / "accounts.csv"
    if not path.is_file():
        return {}
    return {row["student"]: row["password"] for _, row in read_table(path, "student", "password")}


def plain_folder(path: Path) -> Path:
    """A real folder there, whatever a student laid in its place: a link would lead our writing elsewhere."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    path.mkdir(exist_ok=True)
    return path


def fill_home(folder: Path, student: str) -> None:
    """Lessons, and the student's own exercises where DIR/release has them; nothing that is there is overwritten."""
    home, released = folder / "students" / student, folder / "release" / "students" / student
    places: dict[str, dict[str, bytes]] = {"lessons": {}, "exercises": {}}
    for path, content in public_notebooks():
        places["lessons" if path.parent == Path() else "exercises"][path.name] = content
    if released.is_dir():
        handed_out = [*released.glob("*.ipynb"), *released.glob("*.challenge_inputs.npz")]
        places["exercises"] = {path.name: path.read_bytes() for path in handed_out}
    for name, notebooks in places.items():
        place = plain_folder(home / name)
        for file, content in notebooks.items():
            if not os.path.lexists(copy := place / file):
                copy.write_bytes(content)
    for name in ("submitted", "feedback"):
        plain_folder(home / name)


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def require_free(port: int) -> None:
    """OSError with the remedy where something listens on this port already."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise OSError(f"port {port}: {error.strerror}; choose another with --port") from None


class ClassAuthenticator(Authenticator):
    """Name and password of accounts.csv, and no others."""

    folder = Unicode(help="The class folder.").tag(config=True)

    def validate_username(self, username: str) -> bool:
        """Whoever is struck off is deleted when the hub starts; see `delete_invalid_users` in the configuration."""
        return super().validate_username(username) and username in read_accounts(Path(self.folder))

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> bool:
        """Whoever is struck off while the hub runs must log in again, and cannot."""
        return user.name in read_accounts(Path(self.folder))

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str | None:
        known = read_accounts(Path(self.folder)).get(data["username"], "")
        right = hmac.compare_digest(known.encode(), data["password"].encode())
        return data["username"] if known and right else None


def host_of(name: str, _: str, kind: str) -> str:
    """The host name of a student's server, beside the hub's and not below it.

    Browsers take every name under `localhost` for this machine, and `localhost` for a public suffix: no page of one
    such name can read or set another's cookies, whatever the port.
    """
    return subdomain_hook_idna(name, "localhost", kind)
