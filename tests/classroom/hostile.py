"""Submissions that cheat or do harm. Each cheats on 00.1 and answers 00.2 and 00.3 honestly.

Nothing here leaves the machine or outlives its process; the worst of it fills a sandbox's memory for a moment.
"""

from __future__ import annotations

import json
import platform
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARM = platform.machine() == "aarch64"  # whose system calls have other numbers
HONEST = """
import numpy as np
from mmcourse.check import check

T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}

def late_fusion(p_words, p_voice, p_face, prior):
    product = p_words * p_voice * p_face / prior**2
    return product / product.sum(axis=1, keepdims=True)

def worth_it(single, fused, ceiling):
    d = fused - single
    gain, gap = d.mean(), ceiling - single.mean()
    if len(single) == 1:
        return 100 * gain, gain / gap, False
    return 100 * gain, gain / gap, gain > T95[len(single)] * d.std(ddof=1) / np.sqrt(len(single))
"""
RIGHT = "def bayes_accuracy(joint):\n    return joint.max(axis=0).sum()\n"
ZERO = "def bayes_accuracy(joint):\n    return 0.0\n"


@dataclass(frozen=True)
class Attack:
    """Cells, what holds it back, and the points (of 5) that its honest answers still earn; None: any.

    `before` is what it did when it was first tried, if that was not nothing.
    """

    cells: list[str]
    contained: str
    honest: float | None = 5.0
    before: str = "held"


@dataclass(frozen=True)
class TestedAttack:
    """What was tried, what it did when first tried, what holds it back, and the test that tries it."""

    name: str
    before: str
    contained: str
    test: str


def notebook(*cells: str, **metadata: object) -> str:
    """A notebook of these code cells, as Jupyter writes it."""
    made = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": c} for c in cells]
    return json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def answer(body: str, before: str = "") -> list[str]:
    """Honest cells, then 00.1 answered by `body`."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return [HONEST, before, f"def bayes_accuracy(joint):\n{lines}"]


def cell(text: str) -> list[str]:
    """Honest cells with a hostile one between them, and 00.1 answered by 0."""
    return [ZERO, text, HONEST]


READ = """
import glob, json, re
found = []
for path in [*%r, *glob.glob("/env/course/**/*.py", recursive=True), *glob.glob("/env/site*/mmcourse/**/*.py")]:
    try:
        text = open(path, encoding="utf-8").read()
    except OSError:
        continue
    if path.endswith(".ipynb"):
        text = "\\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    if path.endswith("ceilings.py"):
        continue  # the library's own, which everyone may read: see "calls the library"
    found += re.findall(r"^def bayes_accuracy\\(joint.*?^    return [^\\n]+", text, re.DOTALL | re.MULTILINE)
"""
FORGED = """
class Forged:
    __hash__ = None
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __array__(self, *a, **k): return np.zeros(())
    def __sub__(self, other): return self
    def __rsub__(self, other): return self
    def __abs__(self): return self
    def __le__(self, other): return True
    def __lt__(self, other): return True
    def __float__(self): return 0.7
    def __reduce__(self): return (eval, ("1",))
"""
LYING = """
class Lying(np.ndarray):
    __hash__ = None
    def __array_ufunc__(self, ufunc, method, *args, **kwargs): return np.zeros(self.shape)
    def __array_function__(self, *args, **kwargs): return True
    def __eq__(self, other): return np.ones(self.shape, bool)
    def tobytes(self, *a): return b"\\0" * 8
"""
PATCHED = """
import numpy.testing
for module in (np, np.testing):
    for name in ("allclose", "isclose", "array_equal", "assert_allclose", "all", "any", "abs"):
        if hasattr(module, name):
            setattr(module, name, lambda *a, **k: True)
np.array = np.asarray = lambda *a, **k: np.zeros(())
"""
CHECK = """
import mmcourse, sys, types
forged = types.ModuleType("mmcourse.check")
forged.check = forged.judge = forged.agree = lambda *a, **k: "passed"
for name in list(sys.modules):
    if "check" in name or "hidden" in name or "grade" in name:
        sys.modules[name] = forged
mmcourse.check = forged
"""
RUNNER = """
import gc, socket, sys
lines = [x for x in gc.get_objects() if isinstance(x, socket.socket)]
wire, worker = sys.modules["wire"], sys.modules["worker"]
"""
SENDS = RUNNER + "import struct\nfor line in lines:\n    line.setblocking(False)\n    "
COLLIDING = (
    RUNNER
    + "pairs = [[%s, None] for k in range(1, 9000)]\n"
    + "wire.encode = lambda v, depth=0: {'list': [{'dict': pairs}] * 12}"
)
BLOCKED = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {9, 19})\n"
BLOCKED += "signal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
LOOP = "while True:\n    try:\n        while True: pass\n    except BaseException: pass\n"
# Memory that is no process's own: what was sent to a listener that nobody accepts from stays with the kernel.
HOARD = """
import socket, time
def hoard(family, place):
    listener, end, sent = socket.socket(family), time.monotonic() + 2, 0
    listener.bind(place)
    listener.listen(4096)
    while time.monotonic() < end:
        with socket.socket(family) as line:
            line.connect(listener.getsockname())
            line.setblocking(False)
            try:
                while True:
                    sent += line.send(bytes(1 << 20))
            except OSError:
                pass
    assert sent > 100 << 20
"""
WIDENED = """
import socket
def hoard():
    kept, sent = [], 0
    for _ in range(20):
        kept += socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for line in kept[-2:]:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 28)
            line.setblocking(False)
            try:
                while True:
                    sent += line.send(bytes(50_000))
            except BlockingIOError:
                pass
    return sent
"""
# A TCP socket that is given its own port by chance is connected with itself: one of some thousands.
ITSELF = """
import socket, time
port = 32770
def hoard():
    end = time.monotonic() + 8
    while time.monotonic() < end:
        line = socket.socket()
        try:
            line.sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", port))
            return 1
        except ConnectionRefusedError:
            line.close()
    return 0
"""
# The same reply but for what is given here: `wire.send` is the worker's own, in the process of the student.
REPLY = RUNNER + "old = wire.send\nwire.send = lambda line, m: old(line, {**m, **%s} if 'id' in m else m)"
FRAMES = """
import gc, sys
words = ("want", "wanted", "expected", "reference", "right", "result")
def known():
    frame, seen = sys._getframe(), []
    while frame:
        seen += [frame.f_locals, frame.f_globals]
        frame = frame.f_back
    seen += [o for o in gc.get_objects() if type(o) is dict]
    return [o[w] for o in seen for w in words if isinstance(o.get(w), (float, np.floating))]
"""
TRACED = """
import sys
caught = []
def spy(frame, *_):
    caught.extend(v for k, v in list(frame.f_locals.items()) if isinstance(v, float) and k in ("want", "expected"))
    return spy
sys.settrace(spy)
sys.setprofile(lambda frame, *_: spy(frame))
"""
SECRETS = [
    ROOT / "notebooks/solutions/00_start_here.ipynb",
    ROOT / "notebooks/src/start_here/exercises.py",
    ROOT / "mmcourse/classroom/hidden.py",
    ROOT / "tests/exercises/answers_start_here.py",
]


# Only made, never connected to anything: (name, family, kind, protocol).
SOCKETS = [("AF_NETLINK", 16, 3, 0), ("AF_ALG", 38, 5, 0), ("AF_VSOCK", 40, 1, 0), ("AF_PACKET", 17, 2, 0)]
# On x86_64 and aarch64 alike, as all newer calls: each succeeds for an ordinary user of some machine.
SYSTEM_CALLS = [
    ("open_tree on /", 428, "-100, b'/', 1"),
    ("io_uring_setup", 425, "1, bytearray(120)"),
    ("pidfd_open on itself", 434, "os.getpid(), 0"),
    ("quotactl_fd", 443, "0, 0, 0, 0"),
]
CALLS = """import ctypes, os
held = [bytes(x) if isinstance(x, bytearray) else x for x in (%d, %s)]
assert ctypes.CDLL(None).syscall(*held) >= 0
return joint.max(axis=0).sum()"""
REFERENCE = "def bayes_accuracy(joint):\n    return joint.max(axis=0).sum()\n"
# Where a second copy of the course may lie among the packages, and how it is packed. The references in them are our
# own line above: what counts is whether the sandbox shows the file, not what the course calls it this year.
SECOND_COPIES = {
    "a package": {"lib/site-packages/mmcourse/check/answers.py": REFERENCE},
    "a package in the user's own folder": {"user/site-packages/mmcourse/check/answers.py": REFERENCE},
    "the lessons of a wheel": {"lib/site-packages/course_data/_lessons/start_here/exercises.py": REFERENCE},
    "the sources of a checkout": {"lib/site-packages/work/notebooks/src/start_here/exercises.py": REFERENCE},
    "a package under another name": {
        "lib/site-packages/old/check/answers.py": REFERENCE,
        "lib/site-packages/old/classroom/__init__.py": "",
        "lib/site-packages/old/datasets/__init__.py": "",
    },
    "an egg": {"lib/site-packages/mmcourse-0.1-py3.11.egg!mmcourse/check/answers.py": REFERENCE},
    "a wheel that was never unpacked": {"lib/site-packages/cached/course.whl!mmcourse/_lessons/answers.py": REFERENCE},
    "a nameless zip on a .pth line": {
        "lib/site-packages/bundle!mmcourse/check/answers.py": REFERENCE,
        "lib/site-packages/bundle.pth": "bundle\n",
    },
}
SEEK = """
import glob, os, zipfile
names = {'np': np}
for site in [*sorted(glob.glob('/env/site*')), *%r]:
    place, _, member = os.path.join(site, %r).partition('!')
    try:
        text = zipfile.ZipFile(place).read(member).decode() if member else open(place).read()
        exec(text, names)
    except (OSError, KeyError, zipfile.BadZipFile):
        pass
"""


def second_copies(out: Path) -> Path:
    """Where copies of the course are laid for a run that writes to `out`: beside it, where nothing is hidden."""
    return out.parent.parent / f"{out.parent.name}-second"


def lay_second_copies(out: Path) -> list[str]:
    """Make every second copy; returns the folders of packages that they are in, for sys.path."""
    for files in SECOND_COPIES.values():
        for name, text in files.items():
            place, _, member = name.partition("!")
            path = second_copies(out) / place
            path.parent.mkdir(parents=True, exist_ok=True)
            if member:
                with zipfile.ZipFile(path, "w") as archive:
                    archive.writestr(member, text)
            else:
                path.write_text(text)
    return [str(second_copies(out) / name / "site-packages") for name in ("lib", "user")]


def seeks(out: Path, files: dict[str, str]) -> list[str]:
    """Cells that take the reference from a second copy, wherever the packages are seen."""
    first = next(iter(files)).split("/site-packages/")[1]
    sites = [str(second_copies(out) / name / "site-packages") for name in ("lib", "user")]
    return answer("return names['bayes_accuracy'](joint)", SEEK % (sites, first))


def attacks(out: Path, port: int) -> dict[str, Attack]:
    """Every attack by name; `out` is where the grader writes, `port` where something of ours listens."""
    journal = str(out / "journal")
    read = READ % [str(path) for path in [*SECRETS, out / "journal" / "secret.txt", out / "grades.csv"]]
    return {
        # ------------------------------------------------ looking for what is right
        "reads solutions, checks and hidden tests": Attack(
            answer("exec(found[0], names := {'np': np})\nreturn names['bayes_accuracy'](joint)", read),
            "none of them is in the sandbox",
        ),
        "imports the checks": Attack(
            answer("from mmcourse.exercise import find\nreturn find('start_here.1').reference(joint)"),
            "the checks are not in the sandbox",
        ),
        "imports the hidden tests": Attack(
            answer("from mmcourse.classroom import hidden\nreturn hidden.find('start_here.1').reference(joint)"),
            "the grader is not in the sandbox",
        ),
        **{
            f"imports a second copy: {name}": Attack(
                seeks(out, files), "every copy among the packages is hidden", before="the full point"
            )
            for name, files in SECOND_COPIES.items()
        },
        "looks for the answer in memory": Attack(
            answer(
                "import gc\nfor f in gc.get_objects():\n"
                "    if callable(f) and getattr(f, '__name__', '') == 'bayes_accuracy' and f is not bayes_accuracy:\n"
                "        return f(joint)\nreturn 0.0"
            ),
            "no right answer is in the process",
        ),
        "reads other processes": Attack(
            answer(
                "import os\nfound = [open(f'/proc/{p}/environ').read() for p in os.listdir('/proc') if p.isdigit()]\n"
                "open('/proc/1/mem', 'r+b').read(0)\nreturn joint.max(axis=0).sum()"
            ),
            "no /proc; no right to trace",
        ),
        "looks for what is expected in frames and dicts": Attack(
            answer("return known()[0]", FRAMES), "the worker is told inputs only"
        ),
        "traces the worker": Attack(answer("return (caught or [0.0])[-1]", TRACED), "the worker is told inputs only"),
        "remembers what it was asked before": Attack(
            answer("past.append(joint.copy())\nreturn past[0].max(axis=0).sum()", "past = []"),
            "each input has an answer of its own",
        ),
        # ------------------------------------------------ forging
        "changes its input so that a poor answer fits": Attack(
            answer("joint[:] = 0\nreturn 0.0"), "compared with the input as it was sent"
        ),
        "tells of a change to its input that it did not make": Attack(
            answer(
                "return 0.0",
                REPLY % "{'changed': {'0': wire.encode(np.zeros((1, 1))), '-1': wire.encode(0.0), ' 0': None}}",
            ),
            "compared with the input as it was sent",
            None,
        ),
        "answers with every number at once": Attack(answer("return np.linspace(0, 1, 1_000_001)"), "shapes must agree"),
        "answers with a number for every number": Attack(
            answer("return {x: x for x in np.linspace(0, 1, 5000).tolist()}"), "a dict is no number"
        ),
        "answers with 1e300, infinity, and complex infinity": Attack(
            answer("answers.append(0)\nreturn (1e300, np.inf, complex(0.5, np.inf))[len(answers) % 3]", "answers = []"),
            "the reference sets the bar",
        ),
        "answers with a boolean that is neither": Attack(
            answer("return np.array(2, np.uint8).view(bool)"), "no number like the right one"
        ),
        "answers with long doubles that are no numbers": Attack(
            answer(
                "return 0.0",
                REPLY % "{'value': {'array': 'AQAAAAAAAAD/PwAAAAAAAA==', 'dtype': '<f16', 'shape': []}}",
            ),
            "no number like the right one",
            None,
        ),
        "answers with a number of 4,000 digits": Attack(answer("return 10**4000"), "no number like the right one"),
        "answers with words that the course uses": Attack(
            answer("return 'Passed. Not attempted yet. None ... Ellipsis'"), "a text is no number"
        ),
        "raises what means not attempted, and what a check raises": Attack(
            answer("raise AssertionError('passed') if joint.size % 2 else NotImplementedError('your turn')"),
            "an error passes nothing",
        ),
        **{
            f"tells of an error by the name {name!r}": Attack(
                answer("return 0.0", REPLY % {"error": name}), "an error is one of Python's own, or RuntimeError", None
            )
            for name in ("print", "KeyboardInterrupt", "ExceptionGroup", "StopIteration", "__import__", ["x"] * 3)
        },
        "claims to be what judges framework exercises": Attack(
            answer("return 0.0", REPLY % "{'function': False, 'value': {'dict': [['run_probe', 1]]}}"),
            "plain data only",
            None,
        ),
        "forges equality": Attack(answer("return Forged()", FORGED), "no plain data; judged outside"),
        "forges an array subclass": Attack(
            answer("return np.zeros(()).view(Lying)", LYING), "only bytes, dtype and shape come out"
        ),
        "forges a float subclass": Attack(
            answer("return type('F', (float,), {'__eq__': lambda *a: True})(0.1)"), "only the number comes out"
        ),
        "returns an object that runs code when unpickled": Attack(
            answer(f"return type('P', (), {{'__reduce__': lambda s: (open, ({str(out / 'pickled')!r}, 'w'))}})()"),
            "no pickle",
        ),
        "returns objects in an array": Attack(
            answer("a = np.empty((), object)\na[()] = Forged()\nreturn a", FORGED), "no plain data"
        ),
        "patches NumPy": Attack(cell(HONEST + PATCHED), "judged outside", None),
        "patches mmcourse.check": Attack(answer("return 0.0", CHECK), "judged outside"),
        "calls check in the cell": Attack(
            cell("check('start_here.1', lambda joint: joint.max(axis=0).sum())"), "a silent stub"
        ),
        # ------------------------------------------------ the runner's own protocol
        "makes the runner say passed": Attack(
            answer(
                "return 0.0",
                RUNNER + "old = wire.send\nwire.send = lambda line, m: old(line, {**m, 'passed': True, 'points': 1})",
            ),
            "only values are read",
        ),
        "answers before it is asked": Attack(
            answer("return 0.0", SENDS + "wire.send(line, {'id': '0', 'value': 0.7, 'function': True})"),
            "an answer without its question ends the process",
            None,
        ),
        "sends what is no message": Attack(
            cell(SENDS + "line.sendall(b'\\0' * 7 + b'\\x05hello')"),
            "no JSON: the process is ended",
            None,
        ),
        "announces a message of a terabyte": Attack(
            answer("for line in lines: line.sendall((1 << 40).to_bytes(8, 'big'))\nreturn 0.0", RUNNER),
            "limit on size",
        ),
        "answers with 1 GB": Attack(answer("return 'x' * (1 << 30)"), "limit on size"),
        "answers with colliding keys": Attack(
            answer("return {k * (2**61 - 1): 0 for k in range(1, 200_000)}"), "limit on the entries of a dict"
        ),
        "answers with many dicts of colliding keys": Attack(
            answer("return 0.0", COLLIDING % "{'int': str(k * (2**61 - 1))}"),
            "processor time of a message",
            None,
        ),
        "answers with colliding tuples as keys": Attack(
            answer("return 0.0", COLLIDING % "{'tuple': [{'int': '7'}, {'int': str(k * (2**61 - 1))}]}"),
            "processor time of a message",
            None,
        ),
        "answers with sets of colliding members": Attack(
            answer(
                "return 0.0",
                COLLIDING.replace("'dict': pairs", "'set': [key for key, _ in pairs]")
                % "{'int': str(k * (2**61 - 1))}",
            ),
            "processor time of a message",
            None,
        ),
        "lowers the bar by its dtype": Attack(
            answer("return np.float16(joint.max(axis=0).sum() + 0.002)"), "the reference sets the bar"
        ),
        "answers minus infinity and NaN": Attack(
            answer("return np.array(joint.max(axis=0).sum(), dtype=np.float16) * np.nan"),
            "no number like the right one",
        ),
        "answers with a million small things": Attack(answer("return [[]] * 300_000"), "time of an exercise"),
        "answers in endless nesting": Attack(
            answer(
                "for line in lines: line.sendall((200_000).to_bytes(8, 'big') + b'[' * 200_000)\nreturn 0.0", RUNNER
            ),
            "no JSON",
        ),
        "answers a list in itself": Attack(answer("a = []\na.append(a)\nreturn a"), "limit on depth"),
        "answers with an array of objects by dtype": Attack(
            answer(
                "wire.encode = lambda v, depth=0: {'array': 'AAAAAAAAAAA=', 'dtype': '|O', 'shape': []}\nreturn 0.0",
                RUNNER,
            ),
            "dtypes of numbers only",
            None,
        ),
        "answers with a shape beyond memory": Attack(
            answer(
                "wire.encode = lambda v, depth=0: {'array': '', 'dtype': '<f8', 'shape': [0, 1 << 39, 1 << 39]}\n"
                "return 0.0",
                RUNNER,
            ),
            "shape and bytes must agree",
            None,
        ),
        "answers with a complex number beyond floats": Attack(
            [HONEST, RUNNER + "wire.encode = lambda v, depth=0: {'complex': [10**400, 0]}\nbayes_accuracy = 1"],
            "floats only; the process is ended",
            None,
        ),
        "answers with texts in the room of the longest": Attack(
            answer(
                "wire.encode = lambda v, depth=0: {'texts': ['x' * 2000] + [''] * 50_000, 'shape': [50_001]}\n"
                "return 0.0",
                RUNNER,
            ),
            "limit on letters",
            None,
        ),
        "tells of changes to what was not given": Attack(
            answer(
                "return 0.0",
                RUNNER + "old = wire.send\nwire.send = lambda line, m: old(line, {**m, 'changed': {'7': 1}})",
            ),
            "the process is ended",
            None,
        ),
        "tells of broken cells in deep nesting": Attack(
            cell(
                RUNNER + "text = b'{\"ran\": [{\"error\": ' + b'[' * 940 + b']' * 940 + b'}]}'\n"
                "for line in lines: line.sendall(len(text).to_bytes(8, 'big') + text)"
            ),
            "short text; an answer without its question ends the process",
            None,
        ),
        "tells of cells without end": Attack(
            cell(RUNNER + "while True:\n    for line in lines: wire.send(line, {'cell': 1})"), "time in all", None
        ),
        "never reads its questions": Attack(
            cell(RUNNER + "import time\nwire.receive = lambda *a: time.sleep(99)"), "time", None
        ),
        # ------------------------------------------------ writing
        "writes its own grade": Attack(
            answer(
                "import os\n"
                f"for name in ({journal!r}, {str(out)!r}):\n"
                "    os.makedirs(name, exist_ok=True)\n"
                "    open(name + '/grades.csv', 'w').write('me,00.1,1,1,0,passed')\n"
                "return 0.0"
            ),
            "the results are not in the sandbox",
        ),
        "writes over the course": Attack(
            answer(
                "import os\nfor root, _, names in os.walk('/env/course'):\n    for n in names:\n"
                "        os.remove(os.path.join(root, n))\nreturn 0.0"
            ),
            "read-only",
        ),
        "writes a million files": Attack(
            cell("for k in range(1_000_000): open(f'/tmp/{k}', 'w').close()"), "5,000 files in a private /tmp"
        ),
        "fills the disk": Attack(
            cell("with open('/tmp/big', 'wb') as f:\n    while True: f.write(bytes(1 << 20))"),
            "64 MB in a private /tmp",
        ),
        "leaves a note for its next process": Attack(
            answer(
                "import os\nif os.path.exists('/tmp/inputs'): return joint.max(axis=0).sum()\n"
                "open('/tmp/inputs', 'w').write(repr(joint))\nos._exit(0)"
            ),
            "/tmp ends with its process",
        ),
        "prints 1 GB": Attack(
            cell("import sys\nfor _ in range(1024): sys.stdout.write('x' * (1 << 20))"), "output goes nowhere"
        ),
        # ------------------------------------------------ not ending, or ending too early
        "os._exit in a cell": Attack(cell("import os\nos._exit(0)"), "run again without that cell"),
        "os._exit in a call": Attack(answer("import os\nos._exit(0)"), "a new process for the next exercise"),
        "sys.exit in a cell": Attack(cell("import sys\nsys.exit(0)"), "caught"),
        "sys.exit in a call": Attack(answer("import sys\nsys.exit(0)"), "caught"),
        "kills everything it sees": Attack(
            answer("import os, signal\nfor p in (1, 0, -1): \n    os.kill(p, signal.SIGKILL)\nreturn 0.0"),
            "own process ids",
        ),
        "loops in a cell": Attack(cell("while True: pass"), "time of a cell"),
        "loops in a call": Attack(answer("while True: pass"), "time of a call"),
        "loops and catches everything": Attack(answer(LOOP), "ended from outside"),
        "loops with signals blocked": Attack(answer(LOOP, BLOCKED), "ended from outside"),
        "loops inside C": Attack(answer("return sum(iter(int, 1))"), "ended from outside"),
        "sleeps for ever": Attack(answer("import time\ntime.sleep(1e6)"), "time of a call"),
        "hangs at import": Attack(
            cell(
                "open('/tmp/slow.py', 'w').write('while True: pass')\nimport sys\nsys.path.append('/tmp')\nimport slow"
            ),
            "time of a cell",
        ),
        "hangs at exit": Attack(
            cell(
                "import atexit, time\natexit.register(time.sleep, 1e6)\n"
                "class D:\n    def __del__(self): time.sleep(1e6)\nd = D()"
            ),
            "ended from outside",
        ),
        "stops itself": Attack(answer("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"), "ended from outside"),
        "becomes another program": Attack(
            answer("import os\nos.set_inheritable(3, True)\nos.execv('/bin/sleep', ['sleep', '1000'])"),
            "denied by the filter",
        ),
        "raises what never ends to be told": Attack(
            answer(
                "class Endless(Exception):\n    def __str__(self):\n        while True: pass\nraise Endless()",
            ),
            "told by its builtin kind",
        ),
        "raises what ends the iteration": Attack(answer("raise StopIteration"), "a wrong answer like any other"),
        "raises what ends the process when told": Attack(
            cell("import os\nclass Last(Exception):\n    def __str__(self): os._exit(0)\nraise Last()"),
            "run again without that cell",
        ),
        "raises what is no Exception": Attack(answer("raise BaseException('x')"), "caught"),
        "recurses without end": Attack(
            answer("import sys\nsys.setrecursionlimit(10**9)\nf = lambda n: f(n + 1)\nreturn f(0)"), "memory limit"
        ),
        # ------------------------------------------------ eating the machine
        "fork bomb": Attack(cell("import os\nwhile True: os.fork()"), "a second process is denied"),
        "fork bomb that does not mind": Attack(
            answer("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"), "denied, and time of a call"
        ),
        "fork by system call": Attack(
            cell(
                "import ctypes\nlibc = ctypes.CDLL(None)\n"
                "assert libc.syscall(57) == 0 or libc.syscall(56, 17, 0, 0, 0, 0) == 0"
            ),
            "denied by the filter",
        ),
        "starts programs": Attack(
            cell("import subprocess\nsubprocess.run(['sh', '-c', 'while :; do :; done'])"), "denied"
        ),
        "thread bomb": Attack(
            cell(
                "import threading, time\nthreading.stack_size(32768)\n"
                "while True: threading.Thread(target=time.sleep, args=(999,), daemon=True).start()"
            ),
            "limit on threads",
        ),
        "memory bomb": Attack(cell("hoard = []\nwhile True: hoard.append(bytearray(1 << 26))"), "memory limit"),
        "memory bomb in NumPy": Attack(answer("return np.ones((1 << 20, 1 << 20)).sum()"), "memory limit"),
        "memory outside the limit": Attack(cell("import os\nos.ftruncate(os.memfd_create('x'), 1 << 34)"), "denied"),
        "zip bomb": Attack(
            cell(
                "import zlib\nbomb = zlib.compress(bytes(1 << 28), 9)\n"
                "held = [zlib.decompress(bomb) for _ in range(64)]"
            ),
            "memory limit",
        ),
        "opens every file there is": Attack(
            cell("kept = [open('/dev/null') for _ in range(100_000)]"), "128 open files"
        ),
        "reaches the network": Attack(
            answer(
                f"import socket\nwith socket.create_connection(('127.0.0.1', {port}), 1) as s:\n"
                "    s.sendall(b'hello')\n"
                "return joint.max(axis=0).sum()"
            ),
            "no network, not even the machine's own",
        ),
        "mounts and becomes root": Attack(
            cell(
                "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
                "assert libc.unshare(0x10000000) == 0 or libc.mount(b'x', b'/tmp', b'tmpfs', 0, 0) == 0\nos.setuid(0)"
            ),
            "no capabilities",
        ),
        **{
            f"opens a socket of family {name}": Attack(
                answer(f"import socket\nsocket.socket({family}, {kind}, {protocol})\nreturn joint.max(axis=0).sum()"),
                "the filter allows three families",
                before="made, where the kernel has this family",
            )
            for name, family, kind, protocol in SOCKETS
        },
        **{
            f"calls {name}": Attack(
                answer(CALLS % (number, arguments)),
                "denied by the filter",
                before="reached the kernel's own check",
            )
            for name, number, arguments in SYSTEM_CALLS
        },
        # ------------------------------------------------ what the kernel keeps, and what the machine has once
        "hoards memory in sockets that nobody reads": Attack(
            [HONEST, HOARD, RIGHT.replace("    return", "    hoard(socket.AF_INET, ('127.0.0.1', 0))\n    return")],
            "bind, listen and connect are denied",
            before="1.8 GB in 4 s, outside every limit",
        ),
        "hoards memory in sockets with names": Attack(
            [HONEST, HOARD, RIGHT.replace("    return", "    hoard(socket.AF_UNIX, b'\\0x')\n    return")],
            "bind, listen and connect are denied",
            before="0.9 GB in 4 s, outside every limit",
        ),
        "hoards memory in sockets with large buffers": Attack(
            [HONEST, WIDENED, RIGHT.replace("    return", "    hoard()\n    return")],
            "no buffer is made larger",
            before="1.0 GB where the machine allows buffers of 4 MB, outside every limit",
        ),
        "connects a socket with itself": Attack(
            [HONEST, ITSELF, RIGHT.replace("    return", "    assert hoard()\n    return")],
            "no message connects",
            before="in 0.8 s; each holds 4 MB outside every limit",
        ),
        "takes the machine's asynchronous reading": Attack(
            answer(
                "import ctypes\nheld = ctypes.c_ulong(0)\n"
                f"assert ctypes.CDLL(None).syscall({0 if ARM else 206}, 20_000, ctypes.byref(held)) == 0\n"
                "return joint.max(axis=0).sum()"
            ),
            "denied by the filter",
            before="20,000 of the machine's 65,536",
        ),
        "takes the user's watches of files": Attack(
            answer(
                "import ctypes\nlibc = ctypes.CDLL(None)\nassert min(libc.inotify_init1(0) for _ in range(100)) >= 0\n"
                "return joint.max(axis=0).sum()"
            ),
            "denied by the filter",
            before="123 of the user's 128",
        ),
        "imports with a million blanks": Attack(
            cell("import" + " " * 1_000_000 + "x"), "each line is read once", before="the grader itself, for hours"
        ),
        "has a hundred thousand cells": Attack([ZERO, *["1"] * 100_000, HONEST], "time in all", None),
        "has a cell of 10 MB": Attack(cell("x = '" + "y" * 10_000_000 + "'"), "time in all"),
        "has many cells that take long": Attack(
            [HONEST, ZERO, *["import time\ntime.sleep(3.5)"] * 30], "time in all", None
        ),
        "nests brackets without end": Attack(cell("(" * 100_000), "the cell's own error"),
        "nests an expression without end": Attack(cell("x = " + "-" * 200_000 + "1"), "the cell's own error"),
        "nests a type that is compared": Attack(
            answer("a = b = ()\nfor _ in range(30): a, b = (a, a), (b, b)\nreturn a"), "limit on depth and size"
        ),
        "matches a pattern without end": Attack(
            answer("import re\nre.match('(a+)+$', 'a' * 60 + 'b')\nreturn 0.0"), "time of a call"
        ),
        "reads from nowhere": Attack(cell("import ctypes\nctypes.string_at(0)"), "run again without that cell"),
        "writes into the interpreter": Attack(
            answer("import ctypes\nctypes.memset(id(None), 0, 64)\nreturn 0.0"), "a new process for the next exercise"
        ),
        "closes every descriptor": Attack(
            answer("import os\nos.closerange(0, 128)\nreturn 0.0"), "a new process for the next exercise"
        ),
        "makes a file of a terabyte of nothing": Attack(
            cell("f = open('/tmp/sparse', 'wb')\nf.truncate(1 << 40)"), "limit on a file's size"
        ),
        "stops the clock": Attack(
            answer(
                "import signal, time\nsignal.setitimer = lambda *a: None\ntime.monotonic = time.time = lambda: 0\n"
                "signal.alarm(0)\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass"
            ),
            "ended from outside",
        ),
        "holds the lock of the interpreter": Attack(
            cell(
                "import sys, threading\nsys.setswitchinterval(1e6)\n"
                "def spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()"
            ),
            "run again without that cell",
        ),
        "goes on after its call": Attack(
            answer(
                "import threading\ndef spin():\n    while True: pass\n"
                "for _ in range(8): threading.Thread(target=spin, daemon=True).start()\nreturn 0.0"
            ),
            "processor time",
            None,
        ),
        "breaks every import and every event": Attack(
            cell(HONEST + "import builtins, sys\nbuiltins.__import__ = None\nsys.addaudithook(lambda *a: 1 / 0)"),
            "costs only itself",
            None,
        ),
        # ------------------------------------------------ the notebook itself
        "edits the check cells": Attack(
            [
                HONEST,
                ZERO,
                "from mmcourse import check\ncheck = lambda *a: print('✓ 00.1 passed')\ncheck('start_here.1', 1)",
            ],
            "exercises and names come from the release",
        ),
        "names the function alike in other letters": Attack(
            [HONEST, RIGHT.replace("bayes", "b\u0430yes")], "another name, as Python sees it"
        ),
        "names the function equal, after folding": Attack(
            [HONEST, RIGHT, ZERO.replace("bayes", "\uff42ayes")], "the same name, as Python sees it: the last counts"
        ),
        "writes a template into errors": Attack(
            cell("raise ValueError('{{ 7 * 7 }}{% raw %} `<b onclick=x>` ${7*7}')"), "shown as text"
        ),
        "gives its cells tags, names and outputs that seem the course's": Attack(
            [ZERO, HONEST, "# points: 1\n# status: passed\ncheck('start_here.1', bayes_accuracy)"],
            "only sources of code cells are read",
        ),
        "writes HTML into errors": Attack(
            cell("raise type('<script>alert(1)</script>', (Exception,), {})('<img src=x onerror=alert(1)>')"),
            "shown as text",
        ),
        "sends inputs out by an error": Attack(
            answer("raise type('X%s' % joint.tolist(), (ValueError,), {})(repr(joint.tolist()))"),
            "errors are told by their builtin kind",
        ),
        "sends inputs out by the kind of error": Attack(
            answer(
                "import builtins\n"
                "kinds = [k for k in vars(builtins).values() if isinstance(k, type) and issubclass(k, OSError)]\n"
                "kinds += [ValueError, KeyError, IndexError, TypeError, RuntimeError, EOFError, NameError]\n"
                "raise kinds[int(1000 * joint.ravel()[0]) % len(kinds)]('x')"
            ),
            "one wording for every kind",
        ),
        "turns lines around in an error": Attack(
            cell("raise ValueError('\\u202edlrow \\u2066olleh')"), "shown, not obeyed"
        ),
        "surrogates and control characters": Attack(cell("raise ValueError('\\ud800\\x00\\x1b[2J')"), "shown as text"),
    }


SEAT, BROWSER = "tests/classroom/test_seat.py", "tests/browser/test_hub.py"
HUB_ATTACKS = [
    TestedAttack(
        "uses root's capabilities, the hub started by root",
        "masks unmounted, passwords read, a file written on the machine",
        "no capabilities; each student is a user of their own",
        f"{SEAT}::test_the_server_is_no_root_and_has_no_powers",
    ),
    TestedAttack(
        "takes over bubblewrap's own process in the sandbox, the hub started by an ordinary user",
        "wrote to its memory: a process without the filter",
        "the filter is over every process",
        f"{SEAT}::test_every_process_that_the_student_could_take_over_has_the_same_walls",
    ),
    TestedAttack(
        "reads what is typed in the hub's terminal, and writes what the terminal obeys",
        "a line typed there was in the student's home; escapes and forged lines in the log",
        "a pipe into the hub's log, whose text is shown and not obeyed, up to a size a minute",
        f"{SEAT}::test_a_server_has_no_terminal_of_the_hub_and_is_heard_all_the_same",
    ),
    TestedAttack(
        "has a neighbor log in to the hub under the attacker's own host name",
        "the hub's login page and cookies were of the origin of the attacker's server",
        "the hub answers under its own name only",
        "tests/classroom/test_hub_folder.py::test_the_hub_answers_under_its_own_name_only",
    ),
    TestedAttack(
        "reads what the instructor solved in the checkout",
        "each home and the course held the solved notebooks",
        "homes take notebooks as they were built",
        "tests/classroom/test_hub_folder.py::test_homes_and_the_course_of_a_class_are_blank_whatever_the_instructor_solved",
    ),
    TestedAttack(
        "makes a namespace in which it is root, mounts, unmounts",
        "possible",
        "no new privileges; denied by the filter",
        f"{SEAT}::test_the_server_is_no_root_and_has_no_powers",
    ),
    TestedAttack(
        "reads results, journals, secrets, solutions and other homes",
        "all that lay outside the instructor's home and the class folder",
        "a list of what is seen, instead of what is not",
        f"{SEAT}::test_only_the_own_home_the_course_and_the_system_are_seen",
    ),
    TestedAttack(
        "writes to feedback, to the course, to another's box",
        "held",
        "read-only; the own box alone is there",
        f"{SEAT}::test_handed_in_is_written_and_feedback_read",
    ),
    TestedAttack(
        "talks to services through /run and abstract sockets",
        "connected",
        "/run holds the hub's socket alone; a network of its own",
        f"{SEAT}::test_the_doors_lead_to_the_hub_and_to_the_server_and_nowhere_else",
    ),
    TestedAttack(
        "listens to a neighbor's kernels as they run",
        "read code and output",
        "a network for each student",
        f"{BROWSER}::test_two_students_answer_hand_in_and_are_graded",
    ),
    TestedAttack(
        "connects to a neighbor's notebook server and to the port that the hub forwards",
        "connected",
        "a network for each student",
        f"{BROWSER}::test_two_students_answer_hand_in_and_are_graded",
    ),
    TestedAttack(
        "has a neighbor click on a port where it listens",
        "received the hub's cookies",
        "nobody can listen where a browser looks; a host name for each student",
        f"{BROWSER}::test_no_click_takes_cookies_to_another_student",
    ),
    TestedAttack(
        "reaches a neighbor's pages from a page of its own server",
        "the same origin",
        "a host name for each student, and routing by host",
        f"{BROWSER}::test_no_click_takes_cookies_to_another_student",
    ),
    TestedAttack(
        "takes memory with many processes",
        "4 GB for each of them",
        "a control group, else a watch",
        f"{SEAT}::test_many_processes_together_use_no_more_than_one_student_may",
    ),
    TestedAttack(
        "takes memory by files in /tmp and /dev/shm",
        "half of the machine's, each",
        "sizes of both",
        f"{SEAT}::test_a_hoard_in_one_process_a_large_file_and_a_full_tmp",
    ),
    TestedAttack(
        "fork bomb",
        "no limit",
        "limit on the student's processes",
        f"{SEAT}::test_a_fork_bomb_stops_at_the_limit",
    ),
    TestedAttack(
        "fills the disk, by one file or by many",
        "no limit",
        "limit on a file; a watch on the home",
        f"{SEAT}::test_a_disk_is_counted_without_following_links",
    ),
    TestedAttack(
        "is struck off and keeps the account",
        "kept it",
        "accounts follow the roster; sessions are looked at again",
        f"{BROWSER}::test_who_is_struck_off_is_out",
    ),
]
HOSTILE, TRUST, TABLES, HANDING_IN = (
    f"tests/classroom/test_{name}.py" for name in ("hostile", "trust", "tables", "handing_in")
)
DOWNLOADS = "tests/data/test_download.py"
OTHER_ATTACKS = [
    TestedAttack(*row)
    for row in (
        (
            "names folders and files with bytes that are no text, escapes, tags and turned lines",
            "held",
            "tame names; shown as text",
            f"{HOSTILE}::test_names_of_files_that_are_no_text_or_act_on_a_page",
        ),
        (
            "marks a notebook as another's, with surrogates, or with a path",
            "held",
            "a mark counts with its seal only",
            f"{HOSTILE}::test_marks_that_nobody_sealed",
        ),
        (
            "hands in 20 MB of empty brackets",
            "6 s and 1 GB in the grader itself, for each of three files",
            "limit on the parts of a notebook",
            f"{HOSTILE}::test_notebooks_of_millions_of_parts_are_refused_before_they_are_built",
        ),
        (
            "changes a folder into a link between listing and opening",
            "full marks from a neighbor's box, and from the solutions",
            "folders are opened once, without following links",
            f"{TRUST}::test_a_link_that_appears_between_listing_and_opening_earns_nothing",
        ),
        (
            "calls its folder `results`, and lays a journal and a secret in it",
            "300 points of 3",
            "names of the tool are no student's; results are sealed",
            f"{TRUST}::test_a_students_folder_named_results_is_not_the_instructors",
        ),
        (
            "lays a record of full marks into the journal",
            "believed",
            "records are sealed",
            f"{TRUST}::test_a_record_that_somebody_else_wrote_is_graded_again",
        ),
        (
            "lays a release of its own",
            "believed",
            "releases are sealed",
            f"{TRUST}::test_a_release_that_a_student_laid_is_not_the_instructors",
        ),
        (
            "guesses the class's secret from its own numbers",
            "in a moment, where it was weak",
            "weak ones are refused; each guess costs 0.1 s",
            f"{TRUST}::test_a_secret_that_can_be_guessed_is_refused",
        ),
        (
            "has its page returned through a link",
            "written elsewhere",
            "folders are opened once, without following links",
            f"{TRUST}::test_a_page_is_not_returned_through_a_link_that_appears",
        ),
        (
            "copies or forges another's mark",
            "held",
            "marks are sealed; two who claim one name are not believed",
            f"{HANDING_IN}::test_nobody_becomes_another_by_a_forged_or_copied_mark",
        ),
        (
            "writes a table that hides or doubles a student",
            "lost silently",
            "one reader, which refuses by the line",
            f"{TABLES}::test_no_line_of_a_roster_is_ever_lost",
        ),
        (
            "writes deep or odd JSON",
            "traceback",
            "one reader, which refuses by name",
            f"{TABLES}::test_deep_and_odd_json_is_refused_by_name",
        ),
        (
            "serves a file that never ends",
            "3.9 GB for 1,000 bytes",
            "ends at the known size",
            f"{DOWNLOADS}::test_a_server_that_never_ends_stops_at_the_known_size",
        ),
        (
            "serves a byte now and then, in the file or before it",
            "held the lock for ever",
            "a deadline from the size",
            f"{DOWNLOADS}::test_a_slow_drip_ends_at_a_deadline_and_frees_the_lock",
        ),
        (
            "says `100 Continue` without end",
            "held",
            "a deadline from the size",
            f"{DOWNLOADS}::test_a_slow_drip_ends_at_a_deadline_and_frees_the_lock",
        ),
        (
            "serves an archive of headers",
            "616 MB of memory for 2.75 MB",
            "limit on members and bytes",
            f"{DOWNLOADS}::test_a_flood_of_headers_is_refused_in_little_memory",
        ),
        (
            "serves words that act on the terminal",
            "acted",
            "control characters are shown",
            f"{DOWNLOADS}::test_no_word_of_a_server_acts_on_the_terminal",
        ),
    )
]
