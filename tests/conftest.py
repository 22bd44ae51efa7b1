"""What all tests share: where real data lie, one thread a process, and tests that need the machine to themselves."""

from __future__ import annotations

import os
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

for name, value in {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}.items():
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
                tests[report.nodeid] += report.duration
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
