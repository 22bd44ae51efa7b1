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
# Calls that are denied, by what they would open, with their numbers (x86_64, aarch64; None: not there).
# Whoever adds a call: a newer number than NEWEST is refused by itself.
# In the grader: another process, and every way to have the kernel keep data outside this process's memory. What was
# sent to a listening socket that nobody accepts from costs neither memory nor a descriptor of the sender.
_PROCESSES = {"fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281)}
_KEPT_BY_THE_KERNEL = {
    **{"bind": (49, 200), "listen": (50, 201), "connect": (42, 203)},
    **{"setsockopt": (54, 208)},  # makes buffers larger: with 4 MB each, 120 sockets hold a gigabyte
    **{"inotify_init": (253, None), "inotify_init1": (294, 26)},  # a user has 128 of them
}
# Whoever sends with MSG_FASTOPEN connects as well, with nobody but itself: {name: (numbers, place of the flags)}.
_CONNECTING = {"sendto": ((44, 206), 40), "sendmsg": ((46, 211), 32), "sendmmsg": ((307, 269), 40)}
_FAST_OPEN = 0x20000000
_DENIED = {
    # new namespaces, in which this process would have every capability
    **{"unshare": (272, 97), "setns": (308, 268)},
    # mounts, old and new, and ways to a file around its path
    **{"mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51)},
    **{"move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430), "fsconfig": (431, 431)},
    **{"fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442)},
    **{"name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262)},
    **{"quotactl": (179, 60), "quotactl_fd": (443, 443)},
    # memory that no limit of ours counts
    **{"shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180)},
    **{"memfd_create": (319, 279), "memfd_secret": (447, 447)},
    # large parts of the kernel that a lesson has no use for
    **{"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)},
    **{"userfaultfd": (323, 282), "bpf": (321, 280), "perf_event_open": (298, 241)},
    **{"add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219)},
    # a number that the whole machine has once: requests of asynchronous reading, 65,536
    **{"io_setup": (206, 0)},
    # what is mounted from where
    **{"statmount": (457, 457), "listmount": (458, 458)},
    # other processes
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272)},
    **{"process_madvise": (440, 440), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438)},
    # the machine itself; each needs a capability that is given up as well
    **{"init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106)},
    **{"kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "acct": (163, 89)},
    **{"swapon": (167, 224), "swapoff": (168, 225), "syslog": (103, 116), "vhangup": (153, 58)},
    **{"sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170)},
    **{"clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171)},
    **{"iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "personality": (135, 92)},
    **{"lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "uselib": (134, None)},
}
NEWEST = 462  # mseal, Linux 6.10
_SOCKET, _SOCKETPAIR = {"x86_64": 41, "aarch64": 198}, {"x86_64": 53, "aarch64": 199}
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: in a network of its own, where there is nobody
_NETLINK, _NETLINK_ROUTE = 16, 0
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_CLONE_THREAD, _CLONE_NEW = 0x10000, 0x7E020000  # the second: any new namespace
_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_STEP = struct.Struct("HBBI")
_DENY, _NO_SUCH_CALL, _NO_SUCH_FAMILY = _ERRNO | 1, _ERRNO | 38, _ERRNO | 97
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 32  # places in what the filter is shown of a call


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
        if sandboxed or platform.machine() in _ARCH:
            _filter_calls(libc, network=not sandboxed)
    elif sandboxed:
        raise OSError("prctl: this C library has none")


def confine_server(settings: dict[str, Any]) -> None:
    """Limit a student's own server and all that it starts: another user where we are root, no powers, few resources."""
    libc = ctypes.CDLL(None, use_errno=True)
    _lower("RLIMIT_DATA", settings["memory"])
    _lower("RLIMIT_FSIZE", settings["file"])
    _lower("RLIMIT_NPROC", settings["processes"])
    for name in ("RLIMIT_CORE", "RLIMIT_MSGQUEUE"):
        _lower(name, 0)
    if settings["uid"]:
        os.setgroups([])
        os.setresgid(*[settings["uid"]] * 3)
        os.setresuid(*[settings["uid"]] * 3)
    _done(libc.prctl(38, 1, 0, 0, 0), "no new privileges")
    _no_powers(libc)
    _filter_calls(libc, programs=True, network=True)


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


def filter_of(machine: str, programs: bool = False, network: bool = False) -> list[tuple[int, int, int, int]]:
    """The seccomp filter for x86_64 or aarch64, as (operation, jump if true, jump if false, value).

    Not an allow list: Python and three frameworks make several hundred different calls. Denied are the calls named
    above, all that are newer than NEWEST, processes (threads may start), new namespaces, and sockets of every family
    but three. Where a student works, other `programs` may be started, the own network's interfaces be listed, and its
    `network` be used.
    """
    denied_here = dict(_DENIED)
    denied_here |= {} if programs else _PROCESSES
    denied_here |= {} if network else _KEPT_BY_THE_KERNEL
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, _ARCH[machine]), (_RETURN, 0, 0, _KILL)]
    code += [(_LOAD, 0, 0, _NUMBER)]
    code += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]  # x86's second set of numbers
    code += [(_AT_LEAST, 0, 1, NEWEST + 1), (_RETURN, 0, 0, _NO_SUCH_CALL)]
    # The flags of clone3 lie in memory, where no filter sees them; C libraries then take clone.
    code += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _NO_SUCH_CALL)]
    for numbers in denied_here.values():
        number = numbers[machine == "aarch64"]
        if number is not None:
            code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _DENY)]
    for numbers, flags in () if network else _CONNECTING.values():
        code += [(_EQUAL, 0, 4, numbers[machine == "aarch64"]), (_LOAD, 0, 0, flags)]
        code += [(_HAS_BIT, 0, 1, _FAST_OPEN), (_RETURN, 0, 0, _DENY), (_RETURN, 0, 0, _ALLOW)]
    code += [(_EQUAL, 0, 5, _CLONE[machine]), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
    code += [(_HAS_BIT, 0, 2, 0xFFFFFFFF if programs else _CLONE_THREAD)]
    code += [(_HAS_BIT, 1, 0, _CLONE_NEW), (_RETURN, 0, 0, _ALLOW)]
    code += [(_RETURN, 0, 0, _DENY)]
    allowed, denied = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _NO_SUCH_FAMILY)
    judge = [(_LOAD, 0, 0, _FIRST_ARGUMENT)]
    for family in _FAMILIES:
        judge += [(_EQUAL, 0, 1, family), allowed]
    if programs:  # Jupyter's kernels ask for the names of the network's interfaces, which are this network's own
        judge += [(_EQUAL, 0, 3, _NETLINK), (_LOAD, 0, 0, _THIRD_ARGUMENT), (_EQUAL, 0, 1, _NETLINK_ROUTE), allowed]
    judge += [denied]
    code += [(_EQUAL, 1, 0, _SOCKET[machine]), (_EQUAL, 0, len(judge), _SOCKETPAIR[machine])]
    code += [*judge, allowed]
    return code


def _filter_calls(libc: Any, programs: bool = False, network: bool = False) -> None:
    """Put the filter over every thread of this process, for good."""
    packed = packed_filter(programs, network)
    held = ctypes.create_string_buffer(packed, len(packed))
    program = struct.pack("HxxxxxxP", len(packed) // _STEP.size, ctypes.addressof(held))
    set_filter, all_threads = 1, 1
    _done(libc.syscall(_SECCOMP[platform.machine()], set_filter, all_threads, program), "seccomp")


def packed_filter(programs: bool = False, network: bool = False) -> bytes:
    """The filter for this machine as the kernel, and bubblewrap's `--seccomp`, read it.

    Raises
    ------
    OSError
        If the filter has no numbers for this processor.
    """
    machine = platform.machine()
    if machine not in _ARCH:
        raise OSError(f"seccomp: the filter has no numbers for {machine}, only for {' and '.join(_ARCH)}")
    return b"".join(_STEP.pack(*step) for step in filter_of(machine, programs, network))
