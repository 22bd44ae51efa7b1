"""What a submission sees and may do inside, and that nothing runs without walls unless asked to."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from mmcourse.classroom import sandbox as walls
from mmcourse.classroom.inside import wire
from mmcourse.classroom.sandbox import Limits, NoSandbox, Stopped, require
from mmcourse.classroom.session import Proxy, Session, answer_of

ROOT = Path(__file__).resolve().parents[2]
QUICK = Limits(cell=4, call=2, exercise=4, total=25, cpu=20, memory_mb=1000)


@pytest.fixture(scope="module")
def inside(sandbox):
    """A function that evaluates an expression inside, on a second machine's worth of secrets."""
    cell = "import os, sys, glob, resource\ndef look(expression):\n    return eval(expression)"
    with Session([cell], QUICK, [ROOT / "tests"]) as session:
        yield lambda expression: Proxy(session, "look")(expression)


def test_only_the_environment_and_the_course_without_its_checks_are_there(inside):
    parts = {Path(name).stem for name in inside("os.listdir('/env/course/mmcourse')")}
    assert parts <= walls.ALLOWED | {"_data"}
    assert not parts & {"_lessons", "_notebooks", "authoring", "check", "classroom", "cli", "exercises"}
    assert inside("sorted(os.listdir('/env/inside'))") == sorted(p.name for p in walls.INSIDE.iterdir())
    assert inside("os.listdir('/tmp')") == [] and inside("os.path.exists('/home')") is False
    for path in (ROOT, ROOT / "notebooks", ROOT / "tests", ROOT / "mmcourse" / "check", Path.home() / ".ssh"):
        assert inside(f"os.path.exists({str(path)!r})") is False or not any(Path(path).iterdir())


def test_the_environment_tells_nothing(inside):
    assert set(inside("dict(os.environ)")) <= {*walls.ENVIRONMENT, "PWD", "LC_CTYPE"}
    assert set(inside("os.listdir('/proc')")) <= {"cpuinfo", "meminfo", "self"}, "no process can be looked into"
    assert inside("os.listdir('/proc/self')") == ["exe"] and inside("os.path.exists('/proc/self/exe')") is False


def test_powers_are_given_up(inside):
    c = "__import__('ctypes')"
    assert inside(f"{c}.CDLL(None).prctl(39, 0, 0, 0, 0)") == 1, "no new privileges"
    assert inside(f"{c}.CDLL(None).prctl(21, 0, 0, 0, 0)") == 2, "a filter of system calls"
    ask = f"(lambda held: [{c}.CDLL(None).capget(b'\\x22\\x05\\x08\\x20' + bytes(4), held), held.raw.hex()])"
    assert inside(f"{ask}({c}.create_string_buffer(24))") == [0, "00" * 24], "no capabilities"


def test_only_a_small_private_folder_can_be_written(inside):
    places = [
        "/",
        "/tmp",
        "/dev",
        "/dev/shm",
        "/env",
        "/env/site0",
        "/env/course/mmcourse",
        "/env/inside",
        "/proc",
        "/usr",
    ]
    places += [sys.base_prefix, "/env/course/mmcourse/_data"]
    assert inside(f"[place for place in {places} if os.access(place, os.W_OK)]") == ["/tmp"]
    assert inside("[os.statvfs('/tmp').f_blocks * os.statvfs('/tmp').f_frsize, os.statvfs('/tmp').f_files]") == [
        QUICK.files_mb << 20,
        5000,
    ]


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 3, -(10**40), 0.1, float("nan"), float("-inf"), 2 + 1j, "naïve ☃", "", [], (), {}, set()),
        [1, (2.5, "x"), {"a": [None]}],
        {("r", "e"): 5, 3: "x"},
        {1, 2},
        frozenset({"a"}),
        np.float32(1.5),
        np.array(3),
        np.zeros((0, 3)),
        np.arange(6, dtype=np.int8).reshape(2, 3).T,
        np.array([1 + 2j]),
        np.array([True, False]),
        np.array(["a", "bc"]),
        np.array([np.nan, np.inf], dtype=np.float16),
        np.arange(3, dtype=">i4"),
    ],
    ids=repr,
)
def test_plain_data_comes_through_unchanged(value):
    back = wire.decode(wire.json.loads(wire.json.dumps(wire.encode(value))))
    assert type(back) is type(value)
    if isinstance(value, (np.ndarray, np.generic)):
        assert back.shape == value.shape and back.dtype == value.dtype.newbyteorder("<")
        assert np.array_equal(back, value, equal_nan=value.dtype.kind == "f")
    else:
        assert repr(back) == repr(value)


@pytest.mark.parametrize(
    "hostile",
    [
        *([], [1], 3, {"int": 3}, {"int": "x"}, {"int": "9" * 10_000}, {"list": 3}, {"list": [[]]}, {}, {"what": 1}),
        *({"dict": [["a"]]}, {"dict": [[{"list": []}, 1]]}, {"complex": [1]}, {"opaque": 0, "x": 1}),
        {"array": "AAAA", "dtype": "|O", "shape": []},
        {"array": "AAAA", "dtype": "<f8", "shape": [1]},
        {"array": "AAAA", "dtype": "V3", "shape": [1]},
        {"array": "", "dtype": "<f8", "shape": [0, 1 << 62]},
        {"array": "", "dtype": "<f8", "shape": [-1, 0]},
        {"array": "", "dtype": "<f8", "shape": [0.0]},
        {"array": "é", "dtype": "<f8", "shape": []},
        {"array": "A" * 12, "dtype": "<f9", "shape": [1]},
        {"texts": ["a"], "shape": [2]},
        {"set": [{"int": str(k)} for k in range(20_000)]},
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_no_worker_writes_is_refused(hostile):
    try:
        value = wire.decode(hostile)
    except (ValueError, TypeError):
        return
    assert isinstance(value, wire.Opaque)


def test_deep_answers_are_refused():
    deep: dict = {"int": "1"}
    for _ in range(100):
        deep = {"list": [deep]}
    with pytest.raises(ValueError, match="protocol"):
        wire.decode(deep)


def test_calls_show_changed_inputs_and_moved_generators(sandbox):
    cells = [
        "import random, numpy as np",
        "def spoil(x, words, table):\n    x[0] += 1; words.append('x'); table['k'] = 1\n    return x",
        "def draw(n):\n    random.random(); return np.random.rand(n)",
        "def blank():\n    raise NotImplementedError('your turn')",
        "value = {'a': np.arange(3)}",
    ]
    with Session(cells, QUICK) as session:
        x, words, table = np.arange(3.0), ["a"], {"a": 1}
        assert Proxy(session, "spoil")(x, words, table).tolist() == [1, 1, 2]
        assert x.tolist() == [1, 1, 2] and len(words) == 2 and len(table) == 2
        before = walls.secrets.token_hex, np.random.get_state()[2]
        Proxy(session, "draw")(3)
        assert np.random.get_state()[2] != before[1]
        with pytest.raises(NotImplementedError, match="your turn"):
            Proxy(session, "blank")()
        assert answer_of(session, "value")["a"].tolist() == [0, 1, 2]
        assert answer_of(session, "nothing") is ... and session.starts == 1


def test_a_dead_process_costs_one_exercise(sandbox):
    with Session(["import os\ndef die(): os._exit(1)\ndef live(): return 1"], QUICK) as session:
        die = Proxy(session, "die")
        with pytest.raises(ChildProcessError):
            die()
        with pytest.raises(TimeoutError):
            die()
        assert Proxy(session, "live")() == 1 and session.starts == 2


def test_dying_again_and_again_is_no_way_to_get_time(sandbox):
    with Session(["import os\nos._exit(0)"] * 30 + ["def f(): return 1"], QUICK) as session:
        with pytest.raises(Stopped, match="again and again"):
            session.ask("f", 1)
        assert len(session.errors) == session.starts


def test_without_bubblewrap_it_refuses_and_names_the_remedy(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NoSandbox, match="apt install bubblewrap.*--unsafe"):
        require(unsafe=False)
    require(unsafe=True)


def test_a_bubblewrap_that_may_not_is_told_in_its_own_words(monkeypatch, tmp_path):
    false = tmp_path / "bwrap"
    false.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    false.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(NoSandbox, match="No permissions to create new namespace"):
        require(unsafe=False)


def test_secret_places_inside_what_is_bound_are_covered(sandbox, monkeypatch):
    """As where the course lies in /usr/src/app, or in site-packages."""
    place = Path(np.__file__).parent / "typing"
    cell = "import os\ndef look(): return os.listdir('/env/site0/numpy/typing')"
    with Session([cell], QUICK, [place, place / "tests"]) as session:
        assert Proxy(session, "look")() == []


def test_the_same_python_runs_inside(inside):
    assert inside("sys.version") == sys.version and inside("sys.flags.isolated") == 1


def test_what_is_in_the_sandbox_imports_nothing_of_the_course_that_is_not():
    """Else a notebook's set-up cell breaks there, and with it every exercise."""
    package = Path(walls.__file__).parents[1]
    shown = [package / name for name in walls.ALLOWED] + [package / f"{name}.py" for name in walls.ALLOWED]
    files = [file for path in shown for file in ([path] if path.is_file() else path.rglob("*.py"))]
    missing = {}
    for file in files:
        for name in re.findall(r"^\s*(?:from|import) mmcourse\.([a-z_]+)", file.read_text("utf-8"), re.MULTILINE):
            if name not in walls.ALLOWED:
                missing[file.name] = name
    for source in (package.parent / "notebooks" / "src").glob("*/exercises*.py"):
        for name in re.findall(r"^from mmcourse import ([a-z_]+)", source.read_text("utf-8"), re.MULTILINE):
            if name not in walls.ALLOWED:
                missing[str(source)] = name
    assert not missing


def test_weights_whose_name_ends_like_a_list_of_paths_are_passed_over(tmp_path):
    """PyTorch's weights are called .pth too: their bytes, read as lines, name no file."""
    from mmcourse.classroom.copies import _listed

    (tmp_path / "weights.pth").write_bytes(b"x" * 5000 + b"\n" + bytes(range(256)) + b"\n")
    (tmp_path / "list.pth").write_text("course.zip\nmissing.zip\n")
    (tmp_path / "course.zip").write_bytes(b"")
    assert list(_listed(str(tmp_path), str(tmp_path / "weights.pth"))) == []
    assert list(_listed(str(tmp_path), str(tmp_path / "list.pth"))) == [(tmp_path / "course.zip").resolve()]
