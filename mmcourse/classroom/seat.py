"""One student's notebook server on the hub's machine: its sandbox, its two doors, its limits.

What the student sees is a list of what is allowed, as in the grader: the system's programs and libraries, Python with
its packages, the course as a wheel carries it, and the own home. The network is the student's alone. The hub reaches
the server through a socket that it passes in, and the server reaches the hub through a socket file; no student can
connect to, or listen for, anything of another.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from jupyterhub.spawner import SimpleLocalProcessSpawner
from jupyterhub.traitlets import ByteSpecification
from traitlets import Integer, Unicode

from mmcourse.authoring import notebooks_dir
from mmcourse.authoring.unedited import public_notebooks
from mmcourse.authoring.wheel_hook import FILES, READ_BY_LESSONS, public_half
from mmcourse.classroom import quota
from mmcourse.classroom.copies import copies
from mmcourse.classroom.hub import fill_home, free_port
from mmcourse.classroom.inside.doorway import forward
from mmcourse.classroom.inside.jail import packed_filter
from mmcourse.classroom.sandbox import ETC, INSIDE, PACKAGE, SYSTEM, NoSandbox, _is_root, _sites, _threads
from mmcourse.datasets import data_dir
from mmcourse.terminal import visible

COURSE = "/class/course"  # where a checkout's package is seen, laid out as an installed wheel
HUB_SOCKET = "/run/hub.sock"
PROGRAMS = (*SYSTEM, "/usr/include", "/usr/local/bin", "/usr/local/share", "/usr/share")
SETTINGS = (
    *ETC,
    "bash.bashrc",
    "ca-certificates",
    "inputrc",
    "mime.types",
    "profile",
    "terminfo",
    "ssl/certs",
    "ssl/openssl.cnf",
)  # not ssl/private
UIDS = range(62_000, 65_500)  # of students, where the hub runs as root
USER = 1000  # what a student's id reads inside, where the hub is an ordinary user
SMALL_TREE = 512 << 20  # bytes of /tmp, and of /dev/shm: both are memory
_WRITING, _WRITTEN = threading.Lock(), set[Path]()
CHECK_SECONDS, DISK_SECONDS = 1.0, 10.0
MOST_OF_A_LINE, SHOWN_BYTES, SHOWN_SECONDS = 4096, 64 << 10, 60.0  # of what one server says, in the hub's log
_RELAYS: set[asyncio.Future[None]] = set()  # a task that nobody holds may be collected as it runs


# ---------------------------------------------------------------- what is seen
def course_binds(public: Path) -> list[tuple[str, str]]:
    """(outside, inside) of the course, where it runs from a checkout; an installed one is among the packages.

    A checkout's sources hold solutions and hidden tests beside what `check` needs. So `public` has what the wheel
    carries of them, and only that is seen.
    """
    book = notebooks_dir()
    if book.parent == PACKAGE:
        return []
    parts = [part for part in PACKAGE.iterdir() if part.name != "__pycache__" and not part.name.startswith(".")]
    binds = [(str(part), f"{COURSE}/mmcourse/{part.name}") for part in parts]
    binds.append((str(data_dir()), f"{COURSE}/mmcourse/_data"))
    return binds + [(str(public / name), f"{COURSE}/mmcourse/{name}") for name in ("_lessons", "_notebooks")]


def write_public_half(public: Path) -> Path:
    """What the wheel carries of notebooks/, in this folder, made once: servers that run see the same files.

    Of each exercises.py the public half; of each notebook what was built, without the answers of whoever teaches.
    """
    with _WRITING:
        if public not in _WRITTEN:
            shutil.rmtree(public, ignore_errors=True)  # of an earlier hub, whose servers ended with it
            book = notebooks_dir()
            made = {Path("_notebooks") / path: content for path, content in public_notebooks()}
            for source in book.glob("src/*/*"):
                target = Path("_lessons") / source.parent.name / source.name
                if source.name in FILES:
                    made[target] = public_half(source.read_text(encoding="utf-8")).encode()
                elif source.name in READ_BY_LESSONS:
                    made[target] = source.read_bytes()
            if (book / "map.toml").is_file():
                made[Path("_notebooks/map.toml")] = (book / "map.toml").read_bytes()
            for name, content in made.items():
                (public / name).parent.mkdir(parents=True, exist_ok=True)
                (public / name).write_bytes(content)
            _WRITTEN.add(public)
    return public


def python_binds() -> list[str]:
    """Folders of Python, its environment and its packages, each seen at its own place."""
    wanted = dict.fromkeys([sys.base_prefix, sys.prefix, *_sites()])
    return [path for path in wanted if path != "/usr"]


@cache
def hidden_copies() -> tuple[Path, ...]:
    """Other copies of the course in what is seen: a checkout's solutions may be among them. Searched once."""
    found = copies([*PROGRAMS, *python_binds()])
    return tuple(path for path in found if path not in (PACKAGE, *PACKAGE.parents))


def identity(folder: Path, student: str) -> int:
    """The student's own user id where the hub runs as root, whose home is given to it at once; else 0.

    Raises
    ------
    NoSandbox
        If every id is taken.
    """
    if not _is_root():
        return 0
    homes = folder / "students"
    owner = (homes / student).stat().st_uid
    if owner in UIDS:
        return owner
    taken = {home.stat().st_uid for home in homes.iterdir()} | {entry.pw_uid for entry in pwd.getpwall()}
    free = next((uid for uid in UIDS if uid not in taken), None)
    if free is None:
        raise NoSandbox(f"more than {len(UIDS)} students, or their user ids are taken: {UIDS.start} to {UIDS.stop - 1}")
    os.lchown(homes / student, free, free)  # the owner of the home is what remembers it
    return free


def give(place: Path, uid: int) -> None:
    """Make all of this folder the student's own; links are changed themselves, not followed."""
    if uid:
        os.lchown(place, uid, uid)
        for root, folders, names in os.walk(place):
            for name in (*folders, *names):
                os.lchown(os.path.join(root, name), uid, uid)


def filter_file() -> IO[bytes]:
    """The filter of system calls in a file without a name, for bubblewrap.

    bubblewrap puts it over its own process in the sandbox too. That one has the id of an ordinary user's students, and
    is seen in /proc: without the filter, a student who writes to its memory would be rid of it.
    """
    file = tempfile.TemporaryFile()
    file.write(packed_filter(programs=True, network=True))
    file.seek(0)
    return file


def command(folder: Path, student: str, uid: int, hub_socket: Path, scratch: Path, filter: int) -> list[str]:
    """bubblewrap's command line around one student's server; later mounts lie on top of earlier ones.

    `filter` is the descriptor of a `filter_file`, which the process must be passed.

    Raises
    ------
    NoSandbox
        If bubblewrap is not installed.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise NoSandbox("bubblewrap (bwrap) is not installed; `apt install bubblewrap`")
    home, inside = folder / "students" / student, f"/home/{student}"
    made = [program, "--die-with-parent", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    made += ["--unshare-cgroup-try", "--hostname", "class", "--cap-drop", "ALL", "--seccomp", str(filter)]
    if uid:
        made += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]  # to become the student; given up in jail.py
    else:
        made += ["--unshare-user", "--uid", str(USER), "--gid", str(USER)]
    binds = [(path, path) for path in python_binds()] + course_binds(write_public_half(folder / "hub" / "public"))
    binds.append((str(INSIDE), "/class/inside"))
    seen = ["/usr", "/usr/local", "/etc", "/etc/ssl", "/run", "/tmp", "/home", inside, "/class"]
    seen += sorted({str(parent) for _, place in binds for parent in Path(place).parents} - {"/"})
    for place in dict.fromkeys(seen):
        made += ["--dir", place]  # those that bwrap makes by itself, only root may enter
    for path in PROGRAMS:
        made += ["--ro-bind-try", path, path]
    for name in ("bin", "lib", "lib32", "lib64", "sbin"):
        if os.path.islink(f"/{name}"):
            made += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
        elif os.path.isdir(f"/{name}"):
            made += ["--ro-bind", f"/{name}", f"/{name}"]
    for name in SETTINGS:
        made += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name, text in accounts_of_the_system(student, uid or USER).items():
        (scratch / name).write_text(text, encoding="utf-8")
        (scratch / name).chmod(0o644)
        made += ["--ro-bind", str(scratch / name), f"/etc/{name}"]
    for outside, place in binds:
        made += ["--ro-bind", outside, place]
    for copy in hidden_copies():
        made += ["--tmpfs", str(copy)] if copy.is_dir() else ["--ro-bind", "/dev/null", str(copy)]
    made += ["--proc", "/proc", "--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"]
    made += ["--dev", "/dev", "--size", str(SMALL_TREE), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    made += ["--size", str(SMALL_TREE), "--tmpfs", "/tmp", "--chmod", "1777", "/tmp", "--chmod", "1777", "/dev/shm"]
    made += ["--ro-bind", str(hub_socket), HUB_SOCKET]
    made += ["--bind", str(home), inside, "--bind", str(folder / "submissions" / student), f"{inside}/submitted"]
    made += ["--ro-bind", str(folder / "feedback" / student), f"{inside}/feedback"]
    return [*made, "--remount-ro", "/", "--chdir", "/", "--"]


def accounts_of_the_system(student: str, uid: int) -> dict[str, str]:
    """/etc/passwd and the like as the student sees them: nobody else's account."""
    return {
        "passwd": f"root:x:0:0::/:/bin/false\n{student}:x:{uid}:{uid}::/home/{student}:/bin/bash\n",
        "group": f"root:x:0:\n{student}:x:{uid}:\n",
        "hosts": "127.0.0.1 localhost\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }


# ---------------------------------------------------------------- the two doors
class Doors:
    """Both ways between a student's network and ours: in to the server, out to the hub, and nowhere else."""

    def __init__(self, port: int, hub_port: int, uid: int):
        self.port, self.hub_port, self.uid = port, hub_port, uid
        # not in the class folder: the path of a socket may have no more than 107 bytes
        self.scratch = tempfile.TemporaryDirectory(prefix="mmcourse-hub-")
        self.inward, self.outward = (Path(self.scratch.name) / name for name in ("server.sock", "hub.sock"))
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.inward))
        self.listener.listen(64)
        self.servers: list[asyncio.Server] = []

    async def open(self) -> None:
        async def to_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await forward((reader, writer), lambda: asyncio.open_unix_connection(str(self.inward)))

        async def to_hub(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await forward((reader, writer), lambda: asyncio.open_connection("127.0.0.1", self.hub_port))

        self.servers.append(await asyncio.start_server(to_server, "127.0.0.1", self.port))
        self.servers.append(await asyncio.start_unix_server(to_hub, str(self.outward)))
        if self.uid:
            os.chown(self.outward, self.uid, self.uid)

    def close(self) -> None:
        for server in self.servers:
            server.close()
        self.listener.close()
        self.scratch.cleanup()


# ---------------------------------------------------------------- what it says
@contextmanager
def pipe_to(show: Callable[[str], None]) -> Iterator[int]:
    """The end of a pipe for a server to write to; `show` gets each line, as long as the server and its kernels run.

    The hub's own stdout and stderr are the instructor's terminal, as a rule, and open for reading too. A student who
    had them would read what is typed there, and write what the terminal obeys.
    """
    reading, writing = os.pipe()
    task = asyncio.ensure_future(relay(reading, show))
    _RELAYS.add(task)
    task.add_done_callback(_RELAYS.discard)
    try:
        yield writing
    finally:
        os.close(writing)


async def relay(reading: int, show: Callable[[str], None]) -> None:
    """Read to the end; `show` each line so that no terminal obeys it, up to SHOWN_BYTES in SHOWN_SECONDS."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(reading, "rb", buffering=0)
    )
    try:
        rest, left, since = b"", SHOWN_BYTES, loop.time()
        while chunk := await lines.read(MOST_OF_A_LINE):
            if loop.time() - since > SHOWN_SECONDS:
                left, since = SHOWN_BYTES, loop.time()
            *whole, rest = (rest + chunk).split(b"\n")
            if len(rest) > MOST_OF_A_LINE:
                whole, rest = [*whole, rest], b""
            for line in whole:
                if 0 < left <= len(line) + 1:
                    show("more than fits into this log; the rest of this minute is left out")
                elif left > 0:
                    show(visible(line[:MOST_OF_A_LINE].decode(errors="replace")))
                left -= len(line) + 1
            if left <= 0:  # read on, or the server would wait; but not as fast as it can write
                rest = b""
                await asyncio.sleep(0.02)
        if rest:
            show(visible(rest.decode(errors="replace")))
    finally:
        transport.close()


# ---------------------------------------------------------------- the spawner
class ClassSpawner(SimpleLocalProcessSpawner):
    """A student's server behind walls, with limits on all that the student runs together."""

    folder = Unicode(help="The class folder.").tag(config=True)
    disk_limit = ByteSpecification("2G", help="Of a home and what was handed in.").tag(config=True)
    file_limit = ByteSpecification("1G", help="Of one file.").tag(config=True)
    process_limit = Integer(512, help="Processes and threads of one student.").tag(config=True)

    doors: Doors | None = None
    group = quota.Group()
    watcher: asyncio.Task | None = None

    @property
    def home(self) -> str:
        return f"/home/{self.user.name}"

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        own = {"USER": self.user.name, "HOME": self.home, "SHELL": "/bin/bash", "OMP_NUM_THREADS": "1"}
        own |= {"MMCOURSE_SUBMISSIONS": f"{self.home}/submitted", "PYTHONPATH": COURSE, "LANG": "C.UTF-8"}
        own["PATH"] = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        return {key: value for key, value in env.items() if key.startswith("JUPYTER")} | own

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        return self.group.enter

    async def start(self) -> tuple[str, int]:
        folder, student = Path(self.folder), self.user.name
        port = int(getattr(self, "port", 0)) or free_port()
        self.port = port
        await asyncio.to_thread(hidden_copies)
        uid = identity(folder, student)
        fill_home(folder, student)
        for name in ("students", "submissions", "feedback"):
            give(folder / name / student, uid)
        memory = int(self.mem_limit or 4 << 30)
        self.group = quota.make_group(f"mmcourse-{os.getpid()}-{student}", memory, self.process_limit)
        self.doors = Doors(port, self.hub.port, uid)
        await self.doors.open()
        settings = {
            **{"listener": self.doors.listener.fileno(), "port": port, "hub_port": self.hub.port},
            **{"hub_socket": HUB_SOCKET, "home": self.home, "uid": uid, "memory": memory, "file": int(self.file_limit)},
            "processes": self.process_limit if uid else _threads(self.process_limit),
        }
        denied = filter_file()
        walls = command(folder, student, uid, self.doors.outward, Path(self.doors.scratch.name), denied.fileno())
        door = [sys.executable, "-B", "/class/inside/doorway.py", json.dumps(settings)]
        self.cmd = [*walls, *door, sys.executable, "-m", "jupyterhub.singleuser"]
        passed = (self.doors.listener.fileno(), denied.fileno())
        with denied, pipe_to(lambda line: self.log.info("%s: %s", student, line)) as writing:
            said = {"stdin": subprocess.DEVNULL, "stdout": writing, "stderr": writing}
            self.popen_kwargs = {"pass_fds": passed, **said}
            address = await super().start()
        self.doors.listener.close()  # ours: with the server gone, a connection is refused, not left waiting
        self.watcher = asyncio.create_task(self.watch(memory, int(self.disk_limit)))
        return address

    async def watch(self, memory: int, disk: int) -> None:
        """End what uses more than a student may have. The server itself stays, so that files can be deleted."""
        places = [Path(self.folder) / name / self.user.name for name in ("students", "submissions")]
        keep = 4  # bwrap outside and inside, the doors, the server
        seconds = 0.0
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            seconds += CHECK_SECONDS
            if not self.group.folders and (largest := quota.largest_beyond(self.pid, memory, keep)):
                self.log.warning("%s: more than %d MB of memory; a process is ended", self.user.name, memory >> 20)
                quota.end([largest])
            if seconds % DISK_SECONDS < CHECK_SECONDS:
                size, count = await asyncio.to_thread(quota.disk_used, *places)
                if size > disk or count > quota.MOST_FILES:
                    self.log.warning("%s: %d MB in %d files; kernels are ended", self.user.name, size >> 20, count)
                    quota.end(quota.family(self.pid)[keep:])

    async def poll(self) -> int | None:
        status = await super().poll()
        if status is not None:
            self.leave()
        return status

    def leave(self) -> None:
        """Close the doors and drop the group once the server is gone."""
        if self.watcher:
            self.watcher.cancel()
        if self.doors:
            self.doors.close()
        self.group.remove()
        self.watcher, self.doors, self.group = None, None, quota.Group()
