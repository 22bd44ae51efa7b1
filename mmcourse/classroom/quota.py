"""Limits on all that one student runs together: a control group where this system lets us make one, else a watch.

The limits of single processes (`inside/jail.py`) can be had once for each process; these cannot.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")
MOST_FILES = 200_000  # of a home: file systems run out of these too


@dataclass(frozen=True)
class Group:
    """A control group: one folder under version 2, one for each controller under version 1, none where none is."""

    folders: tuple[Path, ...] = ()

    def enter(self) -> None:
        """Put the calling process in; what it starts is in as well."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text("0")

    def remove(self) -> None:
        """Take it away. A group in which something still runs stays until the machine restarts."""
        for folder in self.folders:
            try:
                folder.rmdir()
            except OSError:
                pass


def make_group(name: str, memory: int, processes: int, root: Path = ROOT, proc: Path = PROC) -> Group:
    """A group below our own with these limits; an empty one where none may be made (see `watch` for those)."""
    own = _own_groups(proc)
    if (root / "cgroup.controllers").is_file():
        wanted = {"memory.max": memory, "memory.swap.max": 0, "pids.max": processes}
        parent = root / own.get("", "").lstrip("/")
        return Group(tuple(_made(parent, name, wanted, needed=("memory.max", "pids.max"), enable=True)))
    folders: list[Path] = []
    # version 2 counts what waits in sockets as memory; here it has a limit of its own
    in_memory = {"memory.limit_in_bytes": memory, "memory.kmem.tcp.limit_in_bytes": memory}
    for controller, wanted in (("memory", in_memory), ("pids", {"pids.max": processes})):
        parent = root / controller / own.get(controller, "").lstrip("/")
        folders += _made(parent, name, wanted, needed=("memory.limit_in_bytes", "pids.max"), enable=False)
    return Group(tuple(folders))


def _own_groups(proc: Path) -> dict[str, str]:
    """Our own group by controller; "" is version 2's."""
    try:
        rows = [line.split(":", 2) for line in (proc / "self" / "cgroup").read_text().splitlines()]
    except OSError:
        return {}
    return {name: path for _, names, path in rows for name in names.split(",")}


def _made(parent: Path, name: str, wanted: dict[str, int], needed: tuple[str, ...], enable: bool) -> Iterator[Path]:
    """The folder of one group, if it could be made and holds the limits that are needed."""
    folder = parent / name
    try:
        if enable:
            _delegate(parent)
        folder.mkdir(exist_ok=True)
        for key, value in wanted.items():
            if key in needed or (folder / key).exists():
                (folder / key).write_text(str(value))
    except OSError:
        try:
            folder.rmdir()
        except OSError:
            pass
        return
    yield folder


def _delegate(parent: Path) -> None:
    """Version 2: a group that gives controllers on may hold no process itself, so we move into one below it."""
    given = (parent / "cgroup.subtree_control").read_text().split()
    if {"memory", "pids"} <= set(given):
        return
    own = parent / "mmcourse-hub"
    own.mkdir(exist_ok=True)
    (own / "cgroup.procs").write_text("0")
    (parent / "cgroup.subtree_control").write_text("+memory +pids")


# ---------------------------------------------------------------- watching
def family(pid: int, proc: Path = PROC) -> list[int]:
    """A process and all that descend from it, parents first."""
    found = [pid]
    for one in found:
        for task in sorted((proc / str(one) / "task").glob("*/children")):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def memory_of(pid: int, proc: Path = PROC) -> int:
    """Bytes of memory that are this process's own: neither files nor what it shares with others."""
    try:
        rows = (proc / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    fields = dict(row.split(":", 1) for row in rows if ":" in row)
    return sum(int(fields.get(key, "0 kB").split()[0]) * 1024 for key in ("RssAnon", "RssShmem", "VmSwap"))


def largest_beyond(pid: int, limit: int, spare: int, proc: Path = PROC) -> int:
    """Which process to end so that all together use less than `limit`; 0 for none. The first `spare` are kept."""
    everyone = family(pid, proc)
    used = {one: memory_of(one, proc) for one in everyone}
    if sum(used.values()) <= limit:
        return 0
    return max(everyone[spare:], key=lambda one: used[one], default=0)


def disk_used(*folders: Path) -> tuple[int, int]:
    """Bytes and number of files below these; links are not followed, and counting ends at MOST_FILES."""
    size = count = 0
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                try:
                    size += os.lstat(os.path.join(place, name)).st_blocks * 512
                except OSError:
                    continue
            count += len(names) + 1
            if count > MOST_FILES:
                return size, count
    return size, count


def end(pids: list[int]) -> None:
    """Kill these processes, those that are gone already excepted."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
