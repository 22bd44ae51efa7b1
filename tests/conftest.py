"""What all tests share: where real data lie, one thread a process, and tests that need the machine to themselves."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

for name, value in {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",  # as `runtime.setup` has it: a test that calls it must change nothing for the next
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
}.items():
    os.environ.setdefault(name, value)  # before any framework is imported

ROOT = Path(__file__).resolve().parent.parent
# long ones first, so that two workers end together
FIRST = ("tests/browser/", "tests/notebooks/", "tests/exercises/", "tests/classroom/", "tests/data/")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings and images: ``MMCOURSE_REAL_DATA``, else ``../shared/data`` beside the repository."""
    folder = Path(os.environ.get("MMCOURSE_REAL_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real data are not here: no folder {folder} (set MMCOURSE_REAL_DATA to have this tested)")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--changed", action="store_true", help="only tests that a change since main can touch")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course's wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that holds ``notebooks/`` as the course has it, for tests that run or compare built notebooks.

    It is this checkout; where a learner worked in some of its notebooks, a copy with those as git has them.
    """
    return untouched_course(ROOT, tmp_path_factory)


def untouched_course(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`root` itself, or a copy of its notebooks in which nobody worked; skips where that cannot be known."""
    worked_in = {path: text for path in (root / "notebooks").rglob("*.ipynb") if (text := _as_committed(path, root))}
    if not worked_in:
        return root
    copy = tmp_path_factory.mktemp("course")
    shutil.copytree(root / "notebooks", copy / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for path, text in worked_in.items():
        name = path.relative_to(root).as_posix()
        print(f"{name}: you worked in it. It stays as it is; the tests take the course's own version from git.")
        (copy / name).write_bytes(text)
    return copy


def _as_committed(path: Path, root: Path) -> bytes | None:
    """What git has of a notebook in which somebody worked after it was committed; None where nobody did."""
    from mmcourse.authoring.fingerprint import holds_own_work

    if not holds_own_work(path) and '"version": "3.' not in path.read_text(encoding="utf-8"):
        return None  # a built notebook names no version; JupyterLab writes it in on saving
    name = path.relative_to(root).as_posix()
    shown = subprocess.run(["git", "-C", str(root), "show", f"HEAD:{name}"], capture_output=True)
    if shown.returncode == 0:
        return None if shown.stdout == path.read_bytes() else shown.stdout
    known = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True)
    if known.returncode == 0 or os.environ.get("CI"):
        return None  # a learner's own notebook, or a new one: whoever asks for it by name will judge it
    pytest.skip(f"{name}: you worked in it, and without git the course's own version is not known")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests first, serial ones last. Under xdist a module stays on one worker; notebooks are spread singly."""
    if config.getoption("--changed"):
        _keep_touched(config, items)
    items.sort(key=_turn)
    for item in items:
        if item.get_closest_marker("serial"):
            item.add_marker(pytest.mark.xdist_group("serial"))
        elif not item.get_closest_marker("xdist_group") and not item.nodeid.startswith("tests/notebooks/"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))


def _keep_touched(config: pytest.Config, items: list[pytest.Item]) -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from changed import changed_files, touches

    changed = changed_files()
    kept = [item for item in items if touches(item.nodeid.split("::")[0], changed, item.nodeid)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Worker-seconds of each folder beside its budget in pyproject.toml, and the twenty slowest tests."""
    folders, tests = Counter[str](), Counter[str]()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                folders["/".join(report.nodeid.split("/")[:2])] += report.duration
                tests[report.nodeid.rpartition("@")[0] or report.nodeid] += report.duration  # xdist appends the group
    if sum(folders.values()) < 60:
        return
    budgets = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mmcourse"]["test-minutes"]
    terminalreporter.section("minutes of one worker, by folder")
    for folder, seconds in folders.most_common():
        budget = budgets.get(folder.removeprefix("tests/"), 0)
        over = f"  OVER its budget of {budget}" if seconds > 60 * budget else f"  (budget {budget})"
        terminalreporter.write_line(f"{seconds / 60:7.1f}  {folder}{over}")
    terminalreporter.section("the twenty slowest tests, in seconds")
    for test, seconds in tests.most_common(20):
        terminalreporter.write_line(f"{seconds:7.1f}  {test}")


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("serial"):
        return len(FIRST) + 1
    return next((i for i, folder in enumerate(FIRST) if item.nodeid.startswith(folder)), len(FIRST))


def pytest_configure() -> None:
    """Keep TensorFlow's log handler away from pytest's own files.

    It is made with the stderr of the moment of import, and closes that stream when Jupyter configures logging anew and
    another stderr is in place: the worker's capture file, and every later test failed in pytest's own code.
    """
    with contextlib.suppress(ImportError):
        from absl import logging as absl_logging

        absl_logging.get_absl_handler().python_handler.setStream(sys.__stderr__)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: waiting does not count towards a test's time limit
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Any number of ordinary tests hold the machine together; a serial one holds it alone."""
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run_id is None:  # one process: everything is serial
        return (yield)
    import fcntl

    with open(Path(tempfile.gettempdir()) / f"mmcourse-tests-{run_id}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if item.get_closest_marker("serial") else fcntl.LOCK_SH)
        return (yield)
