"""The statement of an exercise as a list of rows; each sentence names what goes wrong when it is ignored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mmcourse.exercise.mutants import Written


@dataclass(frozen=True)
class Row:
    """One row of a statement, in Markdown. `says` rows ask for something, `context` rows only explain."""

    text: str
    kind: str = "context"
    ignored: Written | None = None
    mistake: str = ""


def says(text: str, *, ignored: Written | None = None, mistake: str = "") -> Row:
    """A sentence that asks for something.

    Parameters
    ----------
    text : Markdown
    ignored : what an answer does that ignores this sentence: lines, an edit of the reference, or a function
    mistake : instead of `ignored`, a piece of the message of the mistake that it is

    Raises
    ------
    ValueError
        If neither or both are given: then no input could show that the sentence was read.
    """
    if (ignored is None) == (not mistake):
        raise ValueError(
            f"statement: {text[:60]!r} needs `ignored=` or `mistake=`, what happens if it is not read; "
            "if it only explains, write `context(...)`"
        )
    return Row(text, "says", ignored, mistake)


def context(text: str) -> Row:
    """A sentence that asks for nothing: why, an example in words, where the formula is from."""
    return Row(text)


def example(code: str) -> Row:
    """A code cell within the statement; it runs in the notebook."""
    return Row(code.strip("\n"), "example")


def paragraph() -> Row:
    """A new paragraph starts here."""
    return Row("", "paragraph")


def checked_rows(rows: Any, where: str) -> tuple[Row, ...]:
    """The rows, each of them marked.

    Raises
    ------
    ValueError
        If a row is a plain string: it must say whether it asks for something.
    """
    for row in rows:
        if not isinstance(row, Row):
            raise ValueError(f"{where}: statement row {str(row)[:60]!r}: write `says(...)` or `context(...)`")
    if not any(row.kind == "says" for row in rows):
        raise ValueError(f"{where}: the statement asks for nothing; mark what it asks for with `says(...)`")
    return tuple(rows)


def statement_cells(rows: tuple[Row, ...]) -> list[tuple[str, str]]:
    """(kind, text) of each cell: "markdown" or "code"."""
    cells: list[tuple[str, str]] = []
    paragraphs: list[list[str]] = [[]]

    def finish() -> None:
        blocks = [" ".join(sentences) for sentences in paragraphs if sentences]
        text = "\n\n".join(blocks)
        text = re.sub(r"(?m)^(- .*)\n\n(?=- )", r"\1\n", text)  # one list, not many
        if text:
            cells.append(("markdown", text))
        paragraphs[:] = [[]]

    for row in rows:
        if row.kind == "example":
            finish()
            cells.append(("code", row.text))
        elif row.kind == "paragraph":
            paragraphs.append([])
        elif row.text.startswith(("$$", "- ", "|", "**")):  # a block of its own
            paragraphs += [[row.text]] if not row.text.startswith("$$") else [[row.text], []]
        else:
            paragraphs[-1].append(row.text)
    finish()
    return cells
