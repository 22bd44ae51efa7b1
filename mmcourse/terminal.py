"""What commands print: one-line failures, tables, and progress on stderr so that stdout can be piped.

Text from outside is printed through `visible`: it can neither move the cursor nor turn the line around.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID
    from rich.table import Table


def fail(message: str, status: int = 2) -> NoReturn:
    """One line on stderr, and out."""
    print(f"mmcourse: {message}", file=sys.stderr)
    raise typer.Exit(status)


@contextmanager
def cell_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A function (name, cells done, all cells) that moves one bar a notebook."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    tasks: dict[str, TaskID] = {}
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("cells")
    with Progress(*columns, TimeElapsedColumn(), console=error_console()) as bar:

        def step(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done)

        yield step


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function (done, all) that moves one bar and tells the time."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=error_console()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def error_console() -> Console:
    """A console on stderr."""
    from rich.console import Console

    return Console(stderr=True)


def table(*headings: str) -> Table:
    """A plain table; a heading that starts with > is right-aligned."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        made.add_column(heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left")
    return made


def show(rows: Table) -> None:
    """Print a table; in a pipe it is as wide as it needs to be."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 200).print(rows)


def one_line(text: str) -> str:
    """First line of a message, without colors."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines() or ["unknown error"]
    return plain[0][:300]


def visible(text: str) -> str:
    """Text from outside, for a terminal, a page or a table: what would be obeyed is shown instead.

    Control characters, terminal escapes, marks that change the direction of writing, characters without width and
    lone surrogates appear as `\\x1b`, `\\u202e` and so on; line breaks and tabs too. Everything else stays.
    """
    return "".join(_shown(letter) for letter in text)


def _shown(letter: str) -> str:
    # Cc control, Cf format (direction, zero width), Cs surrogates, Zl and Zp line breaks
    if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return letter
    number = ord(letter)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
