"""The last walls, put up inside the sandbox before any of the student's code: what bubblewrap alone cannot limit."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import resource
import struct
from typing import Any

MEGABYTE = 1 << 20
_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE, _CLONE3 = {"x86_64": 56, "aarch64": 220}, 435
# Numbers (x86_64, aarch64) of calls that are denied: a second process; memory that no limit counts; other kernel doors.
_DENIED = {
    "fork": (57, None),
    "vfork": (58, None),
    "unshare": (272, 97),
    "setns": (308, 268),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "add_key": (248, 217),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
}
_CLONE_THREAD = 0x10000
_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _DENY, _NO_SUCH_CALL, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000


def confine(limits: dict[str, Any], sandboxed: bool) -> None:
    """Limit this process for good: its own small /tmp, another user, few resources, one process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if sandboxed:
        size = f"size={limits['files_mb']}m,nr_inodes=5000,mode=1777".encode()
        _done(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 2 | 4, size), "mount /tmp")
    _resources(limits)
    if sandboxed and limits.get("uid"):  # root outside would be exempt from the limit on processes
        os.setgroups([])
        os.setresgid(*[limits["uid"]] * 3)
        os.setresuid(*[limits["uid"]] * 3)
    if hasattr(libc, "prctl"):
        _done(libc.prctl(38, 1, 0, 0, 0), "no new privileges")
        _no_powers(libc)
        _one_process(libc)
    elif sandboxed:
        raise OSError("prctl: this C library has none")


def _done(status: int, what: str) -> None:
    if status:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def limit_memory(megabytes: int, seconds: int) -> None:
    """Limit what is used from here on: memory of every kind beyond what is mapped now, and processor time.

    A framework reserves more than a gigabyte of address space when it is loaded, most of it its own code. So the
    limit is set after that, and relative to it; an absolute one would have to be as large as the largest framework.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower("RLIMIT_CPU", int(used.ru_utime + used.ru_stime) + 1 + seconds)
    _lower("RLIMIT_AS", address_space() + megabytes * MEGABYTE)


def address_space() -> int:
    """Bytes that are mapped now, to within a megabyte: the least limit under which one more page can be mapped.

    /proc/self/statm would say so, but it is not in the sandbox.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    hard = before[1]
    low, high = 0, 1 << 47
    try:
        while high - low > MEGABYTE:
            middle = (low + high) // 2
            try:
                resource.setrlimit(resource.RLIMIT_AS, (middle, hard))
                mmap.mmap(-1, mmap.PAGESIZE).close()
                high = middle
            except (MemoryError, OSError, ValueError):
                low = middle
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    return high


def _lower(name: str, value: int) -> None:
    """Set a limit for good, where this system has it; never above one that is there already."""
    number = getattr(resource, name, None)
    if number is None:
        return
    hard = resource.getrlimit(number)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(number, (value, value))


def _resources(limits: dict[str, Any]) -> None:
    wanted = {
        "RLIMIT_FSIZE": limits["files_mb"] * MEGABYTE,
        "RLIMIT_NOFILE": 128,
        "RLIMIT_NPROC": limits["threads"],
        "RLIMIT_CORE": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_MEMLOCK": 0,
    }
    for name, value in wanted.items():
        _lower(name, value)


def _no_powers(libc: Any) -> None:
    """Give up every capability, the inheritable and ambient ones too."""
    libc.prctl(47, 4, 0, 0, 0)
    header, nothing = struct.pack("Ii", 0x20080522, 0), bytes(24)
    _done(libc.capset(header, nothing), "give up capabilities")


def _one_process(libc: Any) -> None:
    """A seccomp filter: threads may start, processes may not; nothing that mounts, traces, or hides memory."""
    machine = platform.machine()
    if machine not in _ARCH:
        return  # the limit on processes remains
    code = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _ARCH[machine]), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    code += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]  # x86's second set of numbers
    code += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _NO_SUCH_CALL)]  # its flags lie in memory; who is told uses clone
    for number in filter(None, (numbers[machine == "aarch64"] for numbers in _DENIED.values())):
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _DENY)]
    code += [(_EQUAL, 0, 3, _CLONE[machine]), (_LOAD, 0, 0, 16), (_HAS_BIT, 1, 0, _CLONE_THREAD)]
    code += [(_RETURN, 0, 0, _DENY), (_RETURN, 0, 0, _ALLOW)]
    filter_ = b"".join(struct.pack("HBBI", *step) for step in code)
    held = ctypes.create_string_buffer(filter_, len(filter_))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(held))
    _done(libc.prctl(22, 2, program, 0, 0), "seccomp")
