"""The filter of system calls, read step by step for both machines, and tried in the sandbox on this one."""

from __future__ import annotations

import errno
import platform
import sys
from pathlib import Path

import pytest

from mmcourse.classroom.sandbox import INSIDE, Limits
from mmcourse.classroom.session import Proxy, Session

sys.path.insert(0, str(INSIDE))
import jail  # noqa: E402

sys.path.remove(str(INSIDE))

MACHINES = {"x86_64": 0, "aarch64": 1}
ALLOW, KILL = 0x7FFF0000, 0x80000000
DENY, NO_CALL, NO_FAMILY = (0x00050000 | number for number in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT))
THREAD = 0x3D0F00  # what pthread_create passes to clone
NAMESPACES = {"MOUNT": 0x20000, "CGROUP": 1 << 25, "UTS": 1 << 26, "IPC": 1 << 27, "USER": 1 << 28, "PID": 1 << 29}
NAMESPACES["NETWORK"] = 1 << 30


def verdict(
    machine: str,
    number: int,
    argument: int = 0,
    third: int = 0,
    arch: int | None = None,
    programs: bool = False,
    network: bool = False,
    fourth: int = 0,
) -> int:
    """What the kernel would do with this call: the filter, interpreted."""
    shown = {0: number, 4: jail._ARCH[machine] if arch is None else arch, 16: argument & 0xFFFFFFFF}
    shown |= {32: third, 40: fourth}
    code, at, held = jail.filter_of(machine, programs, network), 0, 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        if operation == jail._LOAD:
            held = shown[value]
        elif operation == jail._RETURN:
            return value
        else:
            true = {jail._EQUAL: held == value, jail._AT_LEAST: held >= value, jail._HAS_BIT: bool(held & value)}
            at += yes if true[operation] else no


@pytest.mark.parametrize("machine", MACHINES)
def test_every_named_call_is_denied_and_ordinary_ones_are_not(machine):
    column = MACHINES[machine]
    for name, numbers in (jail._DENIED | jail._PROCESSES | jail._KEPT_BY_THE_KERNEL).items():
        if numbers[column] is not None:
            assert verdict(machine, numbers[column]) == DENY, name
            expected = ALLOW if name in jail._PROCESSES else DENY
            assert verdict(machine, numbers[column], programs=True) == expected, name
            expected = ALLOW if name in jail._KEPT_BY_THE_KERNEL else DENY
            assert verdict(machine, numbers[column], network=True) == expected, name
    ordinary = {"read": (0, 63), "write": (1, 64), "mmap": (9, 222), "futex": (202, 98), "openat": (257, 56)}
    ordinary |= {"rt_sigaction": (13, 134), "kill": (62, 129), "exit_group": (231, 94), "mseal": (462, 462)}
    for name, numbers in ordinary.items():
        assert verdict(machine, numbers[column]) == ALLOW, name


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_start_and_neither_processes_nor_namespaces_do(machine):
    clone = jail._CLONE[machine]
    assert verdict(machine, clone, THREAD) == ALLOW
    assert verdict(machine, clone, 17) == DENY and verdict(machine, clone, 0x4111) == DENY, "fork and vfork"
    assert verdict(machine, clone, 17, programs=True) == verdict(machine, clone, 0x4111, programs=True) == ALLOW
    for name, flag in NAMESPACES.items():
        assert verdict(machine, clone, 17 | flag, programs=True) == DENY, name
        assert verdict(machine, clone, THREAD | flag) == DENY and verdict(machine, clone, 17 | flag) == DENY, name
    assert verdict(machine, 435) == NO_CALL, "clone3"


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_of_three_families_and_no_other(machine):
    for number in (jail._SOCKET[machine], jail._SOCKETPAIR[machine]):
        allowed = [family for family in range(50) if verdict(machine, number, family) == ALLOW]
        assert allowed == [1, 2, 10]
        assert {verdict(machine, number, family) for family in range(50)} == {ALLOW, NO_FAMILY}
        # where a student works, a kernel may list the interfaces of its own network, and ask netlink nothing else
        allowed = [family for family in range(50) if verdict(machine, number, family, programs=True) == ALLOW]
        assert allowed == [1, 2, 10, 16]
        assert {verdict(machine, number, 16, third, programs=True) for third in range(1, 30)} == {NO_FAMILY}


@pytest.mark.parametrize("machine", MACHINES)
def test_no_message_connects_by_a_flag_in_the_grader(machine):
    fast_open = 0x20000000
    for name, numbers, place in (
        ("sendto", (44, 206), "fourth"),
        ("sendmsg", (46, 211), "third"),
        ("sendmmsg", (307, 269), "fourth"),
    ):
        number = numbers[MACHINES[machine]]
        for other in (0, 0x40, 0x4000):  # MSG_DONTWAIT, MSG_NOSIGNAL
            assert verdict(machine, number, **{place: fast_open | other}) == DENY, name
            assert verdict(machine, number, **{place: other}) == ALLOW, name
            assert verdict(machine, number, network=True, **{place: fast_open | other}) == ALLOW, name


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_that_the_list_does_not_know_and_other_sets_of_numbers(machine):
    assert verdict(machine, 463) == verdict(machine, 467) == verdict(machine, 9999) == NO_CALL
    assert verdict(machine, 0x40000000) == verdict(machine, 0x40000039) == verdict(machine, 0xFFFFFFFF) == KILL
    assert verdict(machine, 0, arch=0x40000003) == KILL, "32-bit calls"


def test_the_numbers_are_those_of_this_machine_s_headers():
    """Where the kernel's headers are installed; the table above them is the same everywhere."""
    places = Path("/usr/include").glob("**/asm/unistd_64.h") if platform.machine() == "x86_64" else []
    header = next(iter(places), None)
    if header is None:
        pytest.skip("linux-libc-dev is not installed")
    known = dict(line.split()[1:3] for line in header.read_text().splitlines() if line.startswith("#define __NR_"))
    for name, (number, _) in (jail._DENIED | jail._PROCESSES).items():
        assert known.get(f"__NR_{name}", str(number)) == str(number), name


TRIED = """
import ctypes, errno, socket, threading
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *args):
    ctypes.set_errno(0)
    return [libc.syscall(number, *args), ctypes.get_errno()]

def families():
    made = []
    for family in range(1, 50):
        try:
            socket.socket(family, socket.SOCK_DGRAM).close()
            made.append(family)
        except OSError:
            pass
    return made

def pair():
    one, other = socket.socketpair()
    one.send(b"x")
    return other.recv(1) == b"x"

def thread():
    seen = []
    t = threading.Thread(target=seen.append, args=(1,))
    t.start()
    t.join()
    return seen
"""


def test_in_the_sandbox(sandbox):
    with Session([TRIED], Limits()) as session:
        assert set(Proxy(session, "families")()) <= {1, 2, 10}
        assert Proxy(session, "pair")() is True and Proxy(session, "thread")() == [1]
        column = MACHINES[platform.machine()]
        for name, numbers in (jail._DENIED | jail._PROCESSES).items():
            if numbers[column] is not None:
                assert Proxy(session, "call")(numbers[column], 0, 0, 0, 0) == [-1, errno.EPERM], name
        assert Proxy(session, "call")(467, 0, 0, 0, 0) == [-1, errno.ENOSYS]


def test_another_kind_of_machine_is_refused_and_not_left_half_open(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(OSError, match="no numbers for riscv64, only for x86_64 and aarch64"):
        jail._filter_calls(None)
