"""The walls around one submission: bubblewrap's command line, and the process behind it.

Inside there is a read-only system, Python with its packages, and the course without its checks, tests and notebooks;
no network, no home, no other process. What bubblewrap cannot limit, `inside/jail.py` does before any student's code.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import mmcourse
from mmcourse.classroom.copies import copies
from mmcourse.classroom.inside import wire
from mmcourse.datasets import data_dir

INSIDE = Path(__file__).with_name("inside")
PACKAGE = Path(mmcourse.__file__).parent
ALLOWED = {"__init__", "course", "datasets", "evaluate", "io", "keras", "numpy", "plot", "preprocess", "quiet"}
ALLOWED |= {"ceilings", "draw", "environment", "runtime", "terminal", "torch", "training", "widgets"}
SYSTEM = tuple(f"/usr/{name}" for name in ("bin", "lib", "lib32", "lib64", "libexec", "local/lib", "sbin"))
SYSTEM += tuple(f"/usr/share/{name}" for name in ("fontconfig", "fonts", "zoneinfo"))
ETC = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime")
# What /proc/self/exe says. TensorFlow ends the process where it cannot read this link, and where the link's name
# contains "python" it goes on to read /proc/self/cmdline, which is not there either.
PROGRAM = "/env/worker"
# A framework that is imported anywhere is loaded before the first cell: neither its time nor its address space is
# the student's. An import that this does not find works all the same, within the cell's own limits.
# Possessive (`++`): a student's line of a million blanks is read once, not once for each of them.
FRAMEWORK = re.compile(r"^[ \t]*+(?:import|from)[ \t]++(?:[\w., \t]*[., \t])?(torch|keras|tensorflow)\b", re.MULTILINE)
# Keras loads these for parts that few notebooks name, at a third of its own time: {package: the word that needs it}.
OPTIONAL = {"sklearn": "wrappers", "matplotlib": "visualization"}
BOOT = "import sys; sys.path += sys.argv[1:]; import worker; worker.main()"
START_SECONDS = 120  # a framework's first import on a busy machine, before its files are in memory
ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "KERAS_BACKEND": "tensorflow",  # the course's own; a cell that sets another still may
    "MALLOC_ARENA_MAX": "2",  # each thread's own arena would reserve address space that nothing uses
    "MPLBACKEND": "Agg",
    "PATH": "/usr/bin:/bin",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "USER": "student",
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "TF_INTRAOP", "TF_INTEROP")},
}


class NoSandbox(Exception):
    """Untrusted code cannot be walled in on this machine; the message says why, and the remedy."""


class Stopped(Exception):
    """The student's process is no more: it ended itself, broke the protocol, or was stopped for its time."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Seconds are of the clock, but for `cpu`."""

    cell: float = 20
    call: float = 10
    exercise: float = 30
    total: float = 120
    cpu: int = 120
    memory_mb: int = 3000
    files_mb: int = 64
    answer_mb: int = 8
    threads: int = 64


@cache
def _mapped_ids() -> int:
    """How many user ids exist here; a container may have few."""
    try:
        rows = Path("/proc/self/uid_map").read_text().splitlines()
    except OSError:
        return 0
    return max((int(row.split()[2]) for row in rows), default=0)


def _is_root() -> bool:
    return os.geteuid() == 0 and _mapped_ids() > 65000


def _threads(limit: int) -> int:
    """The limit on threads: before Linux 5.14 all processes of this user count, so they are added."""
    if _is_root():
        return limit
    mine, uid = 0, os.getuid()
    for entry in os.scandir("/proc") if os.path.isdir("/proc/self/task") else ():
        try:
            if entry.name.isdecimal() and entry.stat().st_uid == uid:
                mine += len(os.listdir(f"/proc/{entry.name}/task"))
        except OSError:
            continue
    return limit + mine


def _python() -> str:
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _sites() -> list[str]:
    return [path for path in sys.path if path.endswith(("site-packages", "dist-packages")) and os.path.isdir(path)]


def _binds() -> list[tuple[str, str]]:
    """(outside, inside) of everything that can be read inside, besides the system's own folders."""
    binds = _packages()
    binds += [(str(part), f"/env/course/mmcourse/{part.name}") for part in PACKAGE.iterdir() if part.stem in ALLOWED]
    return [*binds, (str(data_dir()), "/env/course/mmcourse/_data"), (str(INSIDE), "/env/inside")]


def _packages() -> list[tuple[str, str]]:
    """(outside, inside) of Python and its packages, not ours."""
    binds = [] if sys.base_prefix == "/usr" else [(sys.base_prefix, sys.base_prefix)]
    return binds + [(path, f"/env/site{k}") for k, path in enumerate(_sites())]


def _system() -> list[str]:
    """Programs, libraries, fonts and time zones; not all of /usr, where classes and courses may lie too."""
    arguments = ["--dir", "/usr", "--dir", "/usr/local", "--dir", "/usr/share"]
    for path in SYSTEM:
        arguments += ["--ro-bind-try", path, path]
    for name in ("bin", "lib", "lib32", "lib64", "sbin"):
        if os.path.islink(f"/{name}"):
            arguments += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
        elif os.path.isdir(f"/{name}"):
            arguments += ["--ro-bind", f"/{name}", f"/{name}"]
    for name in ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return arguments


def other_copies() -> tuple[Path, ...]:
    """Copies of the course, the one that runs included, in what the sandbox shows of this machine."""
    return copies([*SYSTEM, *(outside for outside, _ in _packages())])


def _masks(secret: Iterable[Path], empty: Path) -> list[str]:
    """An empty folder or file over each secret place that lies inside something bound."""
    places = {path.resolve() for path in secret if path.exists()}
    arguments = []
    for outside, inside in [*((path, path) for path in SYSTEM), *_binds()]:
        root = Path(outside).resolve()
        here = {place for place in places if root in place.parents}
        for place in sorted(here):
            if not here & set(place.parents):
                cover = empty if place.is_dir() else empty.with_name("nothing")
                arguments += ["--ro-bind", str(cover), f"{inside}/{place.relative_to(root)}"]
    return arguments


def bwrap(secret: Iterable[Path], empty: Path, paths: list[str]) -> list[str]:
    """The command that starts the worker behind walls; `secret` folders are never seen inside."""
    program = shutil.which("bwrap")
    if program is None:
        raise NoSandbox("bubblewrap (bwrap) is not installed; `apt install bubblewrap`, or --unsafe for code you trust")
    command = [program, "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    command += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", "exam", "--clearenv", "--cap-drop", "ALL"]
    command += ["--cap-add", "CAP_SYS_ADMIN"]  # to mount /tmp; given up in jail.py
    command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if _is_root() else []
    command += [] if _is_root() else ["--unshare-user", "--uid", "0", "--gid", "0"]
    for name, value in ENVIRONMENT.items():
        command += ["--setenv", name, value]
    command += [*_system(), "--dev", "/dev", "--dir", "/tmp", "--dir", "/proc"]
    for name in ("cpuinfo", "meminfo"):  # and no more of /proc: through it, bwrap's own process could be written to
        command += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    command += ["--dir", "/proc/self", "--symlink", PROGRAM, "/proc/self/exe"]
    for folder in sorted({str(parent) for _, inside in _binds() for parent in Path(inside).parents} - {"/"}):
        command += ["--dir", folder]  # those that bwrap makes by itself, only root may enter
    for outside, inside in _binds():
        command += ["--ro-bind", outside, inside]
    hidden = [*secret, *other_copies(), PACKAGE]
    hidden += [PACKAGE.parent] if (PACKAGE.parent / "notebooks").is_dir() else []
    command += [*_masks(hidden, empty), "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"]
    return [*command, *_start("/env/inside", *paths)]


def _start(*paths: str) -> list[str]:
    return [_python(), "-I", "-S", "-B", "-c", BOOT, *paths]


def frameworks(cells: Iterable[str]) -> list[str]:
    """The frameworks that these cells import; Keras runs on TensorFlow here, whose import is the slow part."""
    found = {name for text in cells for name in FRAMEWORK.findall(text)}
    return sorted({"tensorflow" if name == "keras" else name for name in found})


def spared(cells: Iterable[str]) -> list[str]:
    """Packages that Keras need not find when it is loaded for these cells; the cells themselves may import them."""
    texts = list(cells)
    return [name for name, word in OPTIONAL.items() if not any(word in text for text in texts)]


class Worker:
    """One process with a student's cells in it; `ready` before the first `ask`."""

    def __init__(self, limits: Limits, secret: Iterable[Path] = (), unsafe: bool = False):
        self.limits, self.unsafe = limits, unsafe
        self.folder = tempfile.TemporaryDirectory(prefix="mmcourse-")
        empty, home = (Path(self.folder.name) / name for name in ("empty", "home"))
        empty.mkdir(mode=0o755)
        (empty.parent / "nothing").touch(mode=0o644)
        home.mkdir()
        sites = [f"/env/site{k}" for k in range(len(_sites()))]
        self.paths = [str(PACKAGE.parent), *_sites()] if unsafe else ["/env/course", *sites]
        command = _start(str(INSIDE), *self.paths) if unsafe else bwrap(secret, empty, self.paths)
        environment = {**ENVIRONMENT, "HOME": str(home), "TMPDIR": str(home)} if unsafe else {}
        self.line, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                command,
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )

    def begin(self, cells: list[tuple[int, str]]) -> None:
        """Hand over limits and cells; returns when the last wall stands."""
        limits = asdict(self.limits) | {"threads": _threads(self.limits.threads)}
        if _is_root() and not self.unsafe:
            limits["uid"] = 10_000 + secrets.randbelow(50_000)
        hello = {"limits": limits, "cells": cells, "sandboxed": not self.unsafe, "paths": self.paths}
        hello["frameworks"] = frameworks(text for _, text in cells)
        hello["spared"] = spared(text for _, text in cells)
        try:
            self.send({**hello, "folder": str(Path(self.folder.name) / "home")})
            if self.receive(START_SECONDS) != {"ready": True}:
                raise wire.BrokenWire("not ready")
        except (OSError, wire.BrokenWire):
            self.process.kill()
            said = self.process.communicate()[1].decode(errors="replace").strip()[-400:]
            raise NoSandbox(f"the sandbox does not start here: {said or 'no word from it'}") from None

    def send(self, message: dict) -> None:
        self.line.settimeout(20)
        wire.send(self.line, message)

    def receive(self, seconds: float) -> dict:
        return wire.receive(self.line, seconds, self.limits.answer_mb << 20)

    def stop(self) -> None:
        """End it and all that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.process.kill()
        self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()
        self.line.close()
        self.folder.cleanup()


def require(unsafe: bool) -> None:
    """NoSandbox, with the remedy, where untrusted code cannot be walled in."""
    worker = Worker(Limits(), unsafe=unsafe)
    try:
        worker.begin([(0, "import numpy.random, scipy")])
        worker.receive(60)
        if broken := worker.receive(60).get("ran"):
            why = broken[0].get("message")
            raise NoSandbox(f"inside the sandbox: {why}; make {sys.prefix} readable for all (chmod -R o+rX)")
    finally:
        worker.stop()
