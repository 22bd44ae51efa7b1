"""What a `make_results.py` ends with: make the tables that are asked for, store each as soon as it is made."""

import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

from mmcourse import datasets


def make_tables(
    lesson: str, tables: dict[str, Callable[[], dict]], names: Sequence[str] = (), packages: Sequence[str] = ("numpy",)
) -> None:
    """Make the named tables of a lesson's `results.json`, or all of them; the others stay as they are.

    The file is read again before each table is added, since another process may have stored one meanwhile. Beside the
    tables it gets "date", "made_with" (one CPU thread, and the versions of `packages`), "seconds_of" with each table's
    processor time, and "seconds", the sum.

    Parameters
    ----------
    lesson : the slug, such as "cnn"
    tables : the function that makes each table, by name
    names : which to make; empty means all
    packages : what the figures depend on, by the names that pip knows

    Raises
    ------
    SystemExit
        A name that is no table.
    """
    if unknown := [name for name in names if name not in tables]:
        raise SystemExit(f"{lesson}: there is no table {', '.join(unknown)}; there are {', '.join(tables)}")
    for name in names or tables:
        start = time.process_time()
        made = tables[name]()
        seconds = round(time.process_time() - start)
        try:
            figures = datasets.results(lesson)
        except FileNotFoundError:
            figures = {}
        figures[name] = made
        figures["seconds_of"] = figures.get("seconds_of", {}) | {name: seconds}
        figures["seconds"] = sum(figures["seconds_of"].values())
        figures["date"] = time.strftime("%Y-%m-%d")
        versions = ", ".join(f"{package} {version(package).split('+')[0]}" for package in packages)
        figures["made_with"] = f"1 CPU thread ({platform.machine()}), {versions}"
        datasets.save_results(lesson, figures)
