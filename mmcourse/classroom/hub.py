"""A class on one machine: JupyterHub on loopback, each student's server alone with its own files.

`prepare` makes the class folder, `jupyterhub_config.py` beside this file hands it to JupyterHub, and `ClassSpawner`
starts each student's server inside bubblewrap. What a student sees in the home folder: lessons/, exercises/,
submitted/ (written by `mmcourse submit`) and feedback/ (read-only).
"""

from __future__ import annotations

import csv
import hmac
import os
import re
import resource
import secrets
import shutil
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets import Unicode

from mmcourse.authoring import notebooks_dir

FOLDERS = ("students", "submissions", "feedback", "hub")


def prepare(folder: Path, students: Iterable[str]) -> dict[str, str]:
    """Make what is missing of a class folder; returns every account's password (accounts.csv, for the instructor).

    Passwords that exist are kept, and so is all that a student wrote.
    """
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    accounts = read_accounts(folder)
    for student in students:
        accounts.setdefault(student, secrets.token_urlsafe(6))
        for name in FOLDERS[:3]:
            (folder / name / student).mkdir(exist_ok=True, mode=0o700)
    part = folder / "accounts.part"
    part.touch(mode=0o600)
    with part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("student", "password"), *accounts.items()])
    os.replace(part, folder / "accounts.csv")
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
        with roster.open(newline="", encoding="utf-8") as file:
            found = [row.get("student", "") for row in csv.DictReader(file)]
    if bad := [name for name in found if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", name)]:
        raise ValueError(f"student {bad[0]!r}: expected 1 to 32 of a-z, 0-9, - and _, not starting with - or _")
    return found


def read_accounts(folder: Path) -> dict[str, str]:
    """Password of each student; empty where the class has none yet."""
    path = folder / "accounts.csv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["student"]: row["password"] for row in csv.DictReader(file)}


def plain_folder(path: Path) -> Path:
    """A real folder there, whatever a student laid in its place: a link would lead our writing elsewhere."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    path.mkdir(exist_ok=True)
    return path


def fill_home(folder: Path, student: str) -> None:
    """Lessons, and the student's own exercises where DIR/release has them; nothing that is there is overwritten."""
    home, released = folder / "students" / student, folder / "release" / "students" / student
    book = notebooks_dir()
    exercises = released if released.is_dir() else book / "exercises"
    sources = {"lessons": book.glob("[0-9]*.ipynb"), "exercises": exercises.glob("*.ipynb")}
    for name, paths in sources.items():
        place = plain_folder(home / name)
        for path in paths:
            if not os.path.lexists(copy := place / path.name):
                shutil.copyfile(path, copy)
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


def hidden_paths() -> list[Path]:
    """Folders of this course that no student may read: solutions, hidden tests, answers, history."""
    root = notebooks_dir().parent
    return [root / name for name in ("notebooks/solutions", "notebooks/src", "tests", ".git") if (root / name).is_dir()]


def walls(folder: Path, student: str) -> list[str]:
    """The bubblewrap command line around one student's server; later mounts lie on top of earlier ones.

    The network is shared, since the server must reach the hub: this is for trying a class, not for strangers.
    """
    home = folder / "students" / student
    command = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--ro-bind", "/", "/"]
    command += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", str(Path.home())]
    for path in dict.fromkeys([sys.base_prefix, sys.prefix, str(Path(__file__).parents[1])]):
        command += ["--ro-bind", path, path]
    for path in map(str, [folder, *hidden_paths()]):
        command += ["--tmpfs", path]
    command += ["--bind", str(home), str(home)]
    command += ["--bind", str(folder / "submissions" / student), str(home / "submitted")]
    command += ["--ro-bind", str(folder / "feedback" / student), str(home / "feedback")]
    return [*command, "--chdir", str(home), "--"]


class ClassAuthenticator(Authenticator):
    """Name and password of accounts.csv, and no others."""

    folder = Unicode(help="The class folder.").tag(config=True)

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str | None:
        known = read_accounts(Path(self.folder)).get(data["username"], "")
        right = hmac.compare_digest(known.encode(), data["password"].encode())
        return data["username"] if known and right else None


class ClassSpawner(SimpleLocalProcessSpawner):
    """A student's server inside bubblewrap, at low priority, with a limit on each process's memory."""

    folder = Unicode(help="The class folder.").tag(config=True)

    @property
    def home(self) -> Path:
        return Path(self.folder) / "students" / self.user.name

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        home = str(self.home)
        own = {"USER": self.user.name, "HOME": home, "SHELL": "/bin/bash", "MMCOURSE_SUBMISSIONS": f"{home}/submitted"}
        return {**env, **own, "OMP_NUM_THREADS": "1"}

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        memory = self.mem_limit or resource.RLIM_INFINITY

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.nice(5)

        return limit

    async def start(self) -> tuple[str, int]:
        fill_home(Path(self.folder), self.user.name)
        self.cmd = [*walls(Path(self.folder), self.user.name), sys.executable, "-m", "jupyterhub.singleuser"]
        return await super().start()
