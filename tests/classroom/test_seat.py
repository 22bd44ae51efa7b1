"""A student's own server on the hub's machine: what it sees, whom it reaches, and how much it may use.

The student here is a script in the place of the notebook server, behind the same walls and doors.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("jupyterhub")

import mmcourse
from mmcourse.classroom import hub, quota, seat
from mmcourse.classroom.sandbox import _threads

ROOT = Path(mmcourse.__file__).parents[1]
MEGABYTE = 1 << 20
NO_GROUP = quota.Group()
USUAL = {"memory": 400 * MEGABYTE, "file": 8 * MEGABYTE, "processes": 60}


@pytest.fixture
def class_folder(sandbox, tmp_path) -> Path:
    """A class of two, with what no student may see beside it."""
    folder = tmp_path / "class"
    hub.prepare(folder, ["ada", "ben"])
    for name in ("results/grades.csv", "results/journal/secret.txt", "hub/cookie_secret", "release/solutions/00.ipynb"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("secret")
    (folder / "submissions" / "ben" / "work.ipynb").write_text("ben's")
    return folder


def sit(folder: Path, student: str, script: str, group: quota.Group = NO_GROUP, **limits: int) -> dict:
    """Run the script where the student's server would run; what it leaves in `said`, and the exit status.

    The hub's place is taken by a listener that counts.
    """
    hub.fill_home(folder, student)
    uid = seat.identity(folder, student)
    for name in ("students", "submissions", "feedback"):
        seat.give(folder / name / student, uid)
    asked = USUAL | limits
    asked["processes"] = asked["processes"] if uid else _threads(asked["processes"])

    async def run() -> dict:
        greeted = []

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            greeted.append(await reader.read(100))
            writer.write(b"the hub")
            writer.close()

        place = await asyncio.start_server(greet, "127.0.0.1", 0)
        hub_port, port = place.sockets[0].getsockname()[1], hub.free_port()
        doors = seat.Doors(port, hub_port, uid)
        await doors.open()
        settings = {"listener": doors.listener.fileno(), "port": port, "hub_port": hub_port, "uid": uid, **asked}
        settings |= {"hub_socket": seat.HUB_SOCKET, "home": f"/home/{student}"}
        denied = seat.filter_file()
        walls = seat.command(folder, student, uid, doors.outward, Path(doors.scratch.name), denied.fileno())
        ports = f"hub_port, port, others = {hub_port}, {port}, {[place.sockets[0].getsockname()[1]]}\n"
        tail = "\nimport json; open('said', 'w').write(json.dumps(said))"
        code = "import os, socket, sys\nsaid = {}\n" + ports + textwrap.dedent(script) + tail
        process = await asyncio.create_subprocess_exec(
            *walls,
            *(sys.executable, "-B", "/class/inside/doorway.py", json.dumps(settings), sys.executable, "-c", code),
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": seat.COURSE, "HOME": f"/home/{student}"},
            pass_fds=(doors.listener.fileno(), denied.fileno()),
            preexec_fn=group.enter,
            stderr=subprocess.PIPE,
        )
        doors.listener.close()
        denied.close()
        from_outside = asyncio.create_task(knock(port))
        _, error = await asyncio.wait_for(process.communicate(), 60)
        done, _ = await asyncio.wait([from_outside], timeout=0.5)
        answer = from_outside.result() if done else b""
        from_outside.cancel()
        doors.close()
        place.close()
        said = folder / "students" / student / "said"
        found = json.loads(said.read_text()) if said.is_file() else {}
        return {**found, "status": process.returncode, "greeted": greeted, "answer": answer, "error": error.decode()}

    return asyncio.run(run())


async def knock(port: int) -> bytes:
    """What the student's port says to the hub's machine, once somebody answers."""
    for _ in range(60):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello")
            said = await reader.read(100)
            writer.close()
            if said:
                return said
        except OSError:
            pass
        await asyncio.sleep(0.25)
    return b""


def test_only_the_own_home_the_course_and_the_system_are_seen(class_folder):
    look = f"""
    said["home"], said["class"] = os.listdir("/home"), sorted(os.listdir("/class"))
    said["run"], said["top"] = os.listdir("/run"), os.listdir("/")
    said["gone"] = [p for p in {[str(class_folder), str(Path.home()), "/root", "/var", "/srv", "/opt", "/mnt"]}
                    if os.path.exists(p) and (os.listdir(p) if os.access(p, os.R_OK) else []) not in ([], [".pyenv"])]
    said["etc"] = [n for n in ("shadow", "ssh", "ssl/private", "sudoers") if os.path.exists("/etc/" + n)]
    said["processes"] = sorted(int(n) for n in os.listdir("/proc") if n.isdigit())[-1]
    found = []
    for place, folders, names in os.walk("/"):
        folders[:] = [f for f in folders if os.path.join(place, f) not in ("/proc", "/usr", "/dev", "/sys", sys.prefix)]
        found += [os.path.join(place, n) for n in names if n in ("accounts.csv", "grades.csv", "secret.txt",
                  "cookie_secret", "00.ipynb", "lesson.py", "work.ipynb") or "solutions" in place or "/src/" in place]
    said["secrets"] = [f for f in found if sys.base_prefix not in f]
    import mmcourse, mmcourse.check
    said["course"] = mmcourse.__file__
    """
    said = sit(class_folder, "ada", look)
    assert said["home"] == ["ada"] and said["run"] == ["hub.sock"], said["error"]
    assert said["gone"] == [] and said["etc"] == [] and said["secrets"] == []
    assert said["processes"] < 100
    assert (ROOT / "notebooks").is_dir() is (said["course"] == f"{seat.COURSE}/mmcourse/__init__.py")


def test_handed_in_is_written_and_feedback_read(class_folder):
    work = """
    open("submitted/work.ipynb", "w").write("ada's")
    said["here"] = sorted(n for n in os.listdir(".") if not n.startswith("."))
    said["writable"] = [p for p in ("/", "/etc", "/usr", "/class", "/class/inside", "/run", "/dev", "/home", "feedback")
                        if os.access(p, os.W_OK)]
    """
    said = sit(class_folder, "ada", work)
    assert said["here"] == ["exercises", "feedback", "lessons", "submitted"], said["error"]
    assert said["writable"] == []
    assert (class_folder / "submissions/ada/work.ipynb").read_text() == "ada's"
    assert (class_folder / "submissions/ben/work.ipynb").read_text() == "ben's"


def test_the_server_is_no_root_and_has_no_powers(class_folder):
    powers = """
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    said["caps"] = sorted({status[k].strip() for k in ("CapInh", "CapPrm", "CapEff", "CapAmb")})
    said["uid"], said["nnp"], said["seccomp"] = os.getuid(), status["NoNewPrivs"].strip(), status["Seccomp"].strip()
    said["calls"] = [libc.unshare(0x10000000), libc.unshare(0x20000), libc.mount(b"x", b"/tmp", b"tmpfs", 0, 0),
                     libc.umount2(b"/etc/passwd", 2), libc.umount2(b"/home/ada/feedback", 2), libc.setuid(0)]
    said["families"] = []
    for family in range(1, 50):
        try:
            socket.socket(family, socket.SOCK_DGRAM).close()
            said["families"].append(family)
        except OSError:
            pass
    """
    said = sit(class_folder, "ada", powers)
    assert said["uid"] != 0 and said["caps"] == ["0" * 16], said["error"]
    assert (said["nnp"], said["seccomp"]) == ("1", "2")
    assert set(said["calls"]) == {-1} and set(said["families"]) <= {1, 2, 10, 16}
    if os.geteuid() == 0 and seat._is_root():
        assert said["uid"] in seat.UIDS and (class_folder / "students" / "ada").stat().st_uid == said["uid"]


def test_every_process_that_the_student_could_take_over_has_the_same_walls(class_folder):
    """bubblewrap leaves a process of its own inside. An ordinary user's has the student's id and can be written to."""
    others = """
    said["walls"], said["open"] = {}, []
    for number in filter(str.isdigit, os.listdir("/proc")):
        status = dict(line.split(":", 1) for line in open(f"/proc/{number}/status"))
        said["walls"][number] = [status[k].strip() for k in ("NoNewPrivs", "Seccomp", "CapPrm", "CapEff", "CapBnd")]
        try:
            os.close(os.open(f"/proc/{number}/mem", os.O_RDWR))
            said["open"].append(number)
        except OSError:
            pass
    """
    said = sit(class_folder, "ada", others)
    assert len(said["walls"]) > 2, said["error"]
    for number in said["open"]:
        assert said["walls"][number][:4] == ["1", "2", "0" * 16, "0" * 16], f"process {number} has other walls"


def test_the_doors_lead_to_the_hub_and_to_the_server_and_nowhere_else(class_folder):
    with socket.create_server(("127.0.0.1", 0)) as neighbor:
        meet = f"""
        with socket.create_connection(("127.0.0.1", hub_port), 5) as line:
            line.sendall(b"from ada")
            said["hub"] = line.recv(100).decode()
        said["neighbor"] = socket.socket().connect_ex(("127.0.0.1", {neighbor.getsockname()[1]}))
        said["abstract"] = sorted(l.split()[-1] for l in open("/proc/net/unix") if "@" in l)
        with socket.create_server(("127.0.0.1", port)) as server:
            line, _ = server.accept()
            said["asked"] = line.recv(100).decode()
            line.sendall(b"from the server")
            line.close()
        """
        said = sit(class_folder, "ada", meet)
        neighbor.settimeout(0.1)
        with pytest.raises(TimeoutError):
            neighbor.accept()
    assert said["hub"] == "the hub" and said["greeted"] == [b"from ada"], said["error"]
    assert said["asked"] == "hello" and said["answer"] == b"from the server"
    assert said["neighbor"] != 0 and said["abstract"] == []


def test_two_students_are_two_users_in_two_networks(class_folder):
    where = """
    import time
    said["net"], said["uid"] = os.readlink("/proc/self/ns/net"), os.getuid()
    open("ready", "w").close()
    end = time.monotonic() + 40  # until the other is there too: the number of a network that is gone is used again
    while not os.path.exists("go") and time.monotonic() < end:
        time.sleep(0.1)
    from mmcourse.exercise import registry
    said["lessons"] = registry.slugs()
    """
    homes = [class_folder / "students" / student for student in ("ada", "ben")]
    for home in homes:
        seat.identity(class_folder, home.name)
    with ThreadPoolExecutor(2) as pool:
        both = pool.map(lambda home: sit(class_folder, home.name, where), homes)
        end = time.monotonic() + 40
        while not all((home / "ready").exists() for home in homes) and time.monotonic() < end:
            time.sleep(0.1)
        for home in homes:
            (home / "go").touch()
        ada, ben = both
    assert ada["lessons"] == ben["lessons"] != [], "the course stays when another student comes"
    assert ada["net"] != ben["net"] != os.readlink("/proc/self/ns/net")
    assert ada["uid"] != ben["uid"] or not seat._is_root()


def test_a_hoard_in_one_process_a_large_file_and_a_full_tmp(class_folder):
    hoard = """
    try:
        held = bytearray(600 << 20)
        said["memory"] = "all"
    except MemoryError:
        said["memory"] = "limited"
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    def fill(path, most):
        with open(path, "wb", buffering=0) as file:
            try:
                while file.tell() < most:
                    file.write(bytes(1 << 20))
            except OSError:
                pass
            return file.tell() >> 20
    said["file"] = fill("big", 64 << 20)
    said["tmp"] = os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize
    said["shm"] = os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize
    """
    said = sit(class_folder, "ada", hoard)
    assert said["memory"] == "limited" and said["file"] == 8, said["error"]
    assert said["tmp"] == said["shm"] == seat.SMALL_TREE


def test_a_fork_bomb_stops_at_the_limit(class_folder):
    bomb = """
    count = 0
    try:
        while count < 2000:
            if os.fork() == 0:
                import time
                time.sleep(5)
                os._exit(0)
            count += 1
    except OSError:
        pass
    said["count"] = count
    """
    before = time.monotonic()
    said = sit(class_folder, "ada", bomb, processes=60)
    assert 10 < said["count"] < 2000, said["error"]
    assert time.monotonic() - before < 40


# ---------------------------------------------------------------- all together
def test_many_processes_together_use_no_more_than_one_student_may(class_folder):
    """By a control group, where this machine lets one be made."""
    group = quota.make_group("mmcourse-test", 300 * MEGABYTE, 100)
    if not group.folders:
        pytest.skip("no control group can be made here")
    many = """
    children = []
    for _ in range(6):
        if (child := os.fork()) == 0:
            held = bytearray(150 << 20)
            held[::4096] = b"x" * len(held[::4096])
            os._exit(0)
        children.append(child)
    import time
    said["ends"] = [os.waitpid(child, 0)[1] for child in children]
    """
    many = many.replace("os._exit(0)", "import time; time.sleep(2); os._exit(0)")
    try:
        said = sit(class_folder, "ada", many, group=group)
    finally:
        group.remove()
    assert 9 in said.get("ends", [9]), "six times 150 MB fit into 300 MB"
    assert not any(folder.exists() for folder in group.folders)


def test_the_watch_ends_the_largest_process_where_there_is_no_group():
    hold = "import time; held = bytearray(%d << 20); held[::4096] = b'x' * len(held[::4096]); time.sleep(60)"
    code = "import subprocess, sys, time\n"
    code += (
        f"many = [subprocess.Popen([sys.executable, '-c', {hold!r} % size]) for size in (40, 90, 40)]\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        end = time.monotonic() + 30
        used = [0]
        while (max(used) < 92 * MEGABYTE or sum(used) < 178 * MEGABYTE) and time.monotonic() < end:
            time.sleep(0.1)
            used = [quota.memory_of(pid) for pid in quota.family(parent.pid)]
        assert quota.largest_beyond(parent.pid, 500 * MEGABYTE, 1) == 0
        largest = quota.largest_beyond(parent.pid, 120 * MEGABYTE, 1)
        assert quota.memory_of(largest) > 85 * MEGABYTE and largest != parent.pid
        quota.end([largest])
        while quota.memory_of(largest) and time.monotonic() < end:
            time.sleep(0.1)
        assert quota.largest_beyond(parent.pid, 120 * MEGABYTE, 1) == 0
    finally:
        quota.end(quota.family(parent.pid))
        parent.wait()


def test_a_disk_is_counted_without_following_links(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "deep" / "er").mkdir(parents=True)
    (home / "deep" / "er" / "a").write_bytes(bytes(MEGABYTE))
    (home / "link").symlink_to(tmp_path)
    (tmp_path / "large").write_bytes(bytes(5 * MEGABYTE))
    size, count = quota.disk_used(home)
    assert MEGABYTE <= size < 2 * MEGABYTE and count == 4
    monkeypatch.setattr(quota, "MOST_FILES", 50)
    for k in range(100):
        (home / f"{k}").touch()
    assert quota.disk_used(home)[1] > 50


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_of_either_version_has_every_limit(tmp_path, version):
    """Played with folders and files; the kernel's own are used above where it lets us."""
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    if version == 2:
        (proc / "self" / "cgroup").write_text("0::/user/hub.scope\n")
        (root / "user" / "hub.scope").mkdir(parents=True)
        (root / "cgroup.controllers").write_text("cpu memory pids")
        (root / "user" / "hub.scope" / "cgroup.subtree_control").write_text("")
        expected = {"memory.max": "1000", "pids.max": "7"}
    else:
        (proc / "self" / "cgroup").write_text("4:memory:/own\n8:cpu,pids:/\n")
        (root / "memory" / "own").mkdir(parents=True)
        (root / "pids").mkdir()
        expected = {"memory.limit_in_bytes": "1000", "pids.max": "7"}
    group = quota.make_group("ada", 1000, 7, root, proc)
    written = {path.name: path.read_text() for folder in group.folders for path in folder.iterdir()}
    assert written.items() >= expected.items()
    if version == 2:
        assert (root / "user/hub.scope/cgroup.subtree_control").read_text() == "+memory +pids"
        assert (root / "user/hub.scope/mmcourse-hub/cgroup.procs").read_text() == "0"


def test_where_no_group_can_be_made_there_is_none(tmp_path):
    assert quota.make_group("ada", 1000, 7, tmp_path / "nowhere", tmp_path).folders == ()


SPEAKING = """
import os, stat, sys
kinds = {fd: stat.S_IFMT(os.fstat(fd).st_mode) for fd in (0, 1, 2)}
terminals = [fd for fd in range(3, 256) if os.path.exists(f"/proc/self/fd/{fd}") and os.isatty(fd)]
print(kinds == {0: stat.S_IFCHR, 1: stat.S_IFIFO, 2: stat.S_IFIFO}, os.isatty(0), terminals)
print("\\x1b]0;owned\\x07 \\u202e", file=sys.stderr)
"""


def test_a_server_has_no_terminal_of_the_hub_and_is_heard_all_the_same(class_folder, monkeypatch):
    """The hub runs in a terminal, whose descriptors are open for reading too."""
    started, shown = [], []

    async def start(spawner: seat.ClassSpawner) -> tuple[str, int]:
        command = [sys.executable, "-X", "utf8", "-c", SPEAKING]
        started.append(subprocess.Popen(command, **spawner.popen_kwargs))
        spawner.pid = started[0].pid
        return "127.0.0.1", spawner.port

    monkeypatch.setattr(seat.SimpleLocalProcessSpawner, "start", start)
    monkeypatch.setattr(quota, "make_group", lambda *_: quota.Group())

    async def run() -> None:
        spawner = seat.ClassSpawner(folder=str(class_folder))
        spawner.user, spawner.hub = SimpleNamespace(name="ada"), SimpleNamespace(port=hub.free_port())
        monkeypatch.setattr(spawner.log, "info", lambda form, *values: shown.append(form % values))
        await spawner.start()
        await asyncio.to_thread(started[0].wait)
        for _ in range(50):
            if len(shown) == 2:
                break
            await asyncio.sleep(0.1)
        spawner.leave()

    ours, theirs = os.openpty()
    kept = os.dup(0), os.dup(1), os.dup(2)
    try:
        for descriptor in (0, 1, 2):
            os.dup2(theirs, descriptor)
        asyncio.run(run())
    finally:
        for descriptor, old in enumerate(kept):
            os.dup2(old, descriptor)
            os.close(old)
        os.close(ours)
        os.close(theirs)
    assert shown == ["ada: True False []", "ada: \\x1b]0;owned\\x07 \\u202e"]


def test_a_server_that_talks_without_end_fills_no_log_and_is_read_on(monkeypatch):
    monkeypatch.setattr(seat, "SHOWN_SECONDS", 0.5)
    shown: list[str] = []

    async def run() -> None:
        with seat.pipe_to(shown.append) as writing:
            code = f"print('x' * {3 * seat.MOST_OF_A_LINE})\nfor _ in range(20_000): print('0123456789')"
            talks = subprocess.Popen([sys.executable, "-c", code], stdout=writing)
        assert await asyncio.to_thread(talks.wait, 30) == 0, "it was read to its end"
        await asyncio.sleep(1.5 * seat.SHOWN_SECONDS)

    asyncio.run(run())
    assert max(map(len, shown)) <= seat.MOST_OF_A_LINE
    assert sum("left out" in line for line in shown) >= 1
    assert sum(map(len, shown)) < 4 * seat.SHOWN_BYTES


def test_the_last_words_of_a_server_are_shown_without_a_line_break():
    shown: list[str] = []

    async def run() -> None:
        with seat.pipe_to(shown.append) as writing:
            os.write(writing, b"first\nwhy it ended \xff")
        while len(shown) < 2:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 10))
    assert shown == ["first", "why it ended \ufffd"]


def test_without_bubblewrap_no_server_starts(class_folder, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(seat.NoSandbox, match="apt install bubblewrap"):
        seat.command(class_folder, "ada", 0, Path("/x"), class_folder, 3)


# ---------------------------------------------------------------- a server that is just starting
def _accepts_and_breaks_off(listening: socket.socket) -> None:
    line, _ = listening.accept()
    line.recv(1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets the connection
    line.close()
    listening.close()


def _gives_its_port_up(listening: socket.socket) -> None:
    time.sleep(0.3)  # the connection waits to be accepted meanwhile
    listening.close()


@pytest.mark.parametrize("end", [_accepts_and_breaks_off, _gives_its_port_up])
def test_a_connection_that_the_server_breaks_off_ends_for_the_hub_too(end):
    """A server tries its port before it serves there: what the hub asked in between was never answered nor refused."""

    async def ask() -> bytes:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]

        async def door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await seat.forward((reader, writer), lambda: asyncio.open_connection("127.0.0.1", port))

        server = await asyncio.start_server(door, "127.0.0.1", 0)
        ending = asyncio.create_task(asyncio.to_thread(end, listening))
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET /user/ada/api HTTP/1.1\r\n\r\n")  # and the hub's end stays open
        answer = await asyncio.wait_for(reader.read(), 5)
        await ending
        writer.close()
        server.close()
        return answer

    assert asyncio.run(ask()) == b""
