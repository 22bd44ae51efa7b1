"""One reader for tables and JSON files that people, spreadsheets and other programs wrote.

A table is read as it was meant, or refused with its line, what is wrong there and what to do. Nothing is guessed
silently: a forgotten quotation mark would swallow the rest of a class, a double column would hide a value.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmcourse.terminal import visible

MOST_BYTES = 20 << 20
DEEPEST = 50  # levels of lists and objects in a JSON file that this package writes or reads
SEPARATORS = ",;\t"
_ARCHIVES = {b"PK\x03\x04": "a spreadsheet file (such as .xlsx)", b"\xd0\xcf\x11\xe0": "an old spreadsheet file (.xls)"}
_FLOAT_ID = re.compile(r"(\d+)\.0+")
_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?[eE][+-]?\d+")
_ERROR_VALUES = re.compile(r"#(N/A|NAME\?|REF!|VALUE!|DIV/0!|NUM!|NULL!|#+)")


# ---------------------------------------------------------------- tables
def read_table(path: Path, *columns: str, optional: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file with these columns, each cell stripped of blanks around it; empty lines are skipped.

    The separator may be a comma, a semicolon or a tab; headings may be in any letter case; other columns are ignored.
    Columns in `optional` are read where they are there.

    Raises
    ------
    ValueError
        For the first line that cannot be read safely, with what is wrong and what to do.
    """
    lines = _lines(path)
    first, separator, headings = _heading(path, lines, columns, optional)
    for number, line in lines[first:]:
        cells = _cells(path, number, line, separator)
        if not any(cells):
            continue
        if len(cells) > len(headings) and any(cells[len(headings) :]):
            raise ValueError(
                f"{path}, line {number}: has {len(cells)} cells under {len(headings)} headings; "
                f"put text that holds {_named(separator)} between quotation marks"
            )
        row = dict(zip(headings, cells, strict=False))
        if missing := [name for name in columns if name not in row]:
            raise ValueError(
                f"{path}, line {number}: has {len(cells)} of {len(headings)} cells, {missing[0]!r} is missing; "
                "complete the line or delete it"
            )
        wanted = {name: row[name] for name in [*columns, *(x for x in optional if x in row)]}
        for name, text in wanted.items():
            if fault := _spreadsheet_fault(text):
                raise ValueError(f"{path}, line {number}: {name} {visible(text)!r} {fault}")
        yield number, wanted


def _lines(path: Path) -> list[tuple[int, str]]:
    """The file's lines with their numbers, decoded."""
    data = path.read_bytes()
    for start, kind in _ARCHIVES.items():
        if data.startswith(start):
            raise ValueError(f"{path}: is {kind}; save it as CSV, UTF-8")
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path}: larger than {MOST_BYTES >> 20} MB; is it the right file?")
    try:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # as spreadsheets save "Unicode text"
            text = data.decode("utf-16")
        else:
            text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 text ({error.reason}); save it as CSV, UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{path}, line {text[: text.index(chr(0))].count(chr(10)) + 1}: holds a zero byte; save again")
    return list(enumerate(re.split(r"\r\n|\r|\n", text), start=1))


def _heading(
    path: Path, lines: list[tuple[int, str]], columns: tuple[str, ...], optional: Sequence[str] = ()
) -> tuple[int, str, list[str]]:
    """(lines up to the first row, separator, headings) of a table that has these columns."""
    first = next((k for k, (_, line) in enumerate(lines) if line.strip()), 0)
    declared = re.fullmatch(r'"?sep=([,;\t|])"?', lines[first][1].strip())  # a line that one spreadsheet writes
    if declared:
        first += 1
    number, line = lines[first] if first < len(lines) else (first + 1, "")
    candidates = [
        (separator, [cell.casefold() for cell in _cells(path, number, line, separator)])
        for separator in ([declared[1]] if declared else SEPARATORS)
        if declared or separator == "," or separator in line
    ]
    separator, headings = max(candidates, key=lambda made: (sum(name in made[1] for name in columns), len(made[1])))
    if doubled := [name for name in optional if headings.count(name) > 1]:
        raise ValueError(f"{path}, line {number}: several columns are called {doubled[0]!r}; keep one")
    for name in columns:
        if headings.count(name) > 1:
            raise ValueError(f"{path}, line {number}: {headings.count(name)} columns are called {name!r}; keep one")
        if name not in headings:
            got = ", ".join(repr(visible(heading)) for heading in headings if heading) or "nothing"
            raise ValueError(
                f"{path}, line {number}: expected a column {name!r}; got {got}. Rename the heading, or write one"
            )
    return first + 1, separator, headings


def _cells(path: Path, number: int, line: str, separator: str) -> list[str]:
    """One line by itself: a quotation mark that is not closed on it would take the next lines with it."""
    try:
        (cells,) = csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True) if line else ([],)
    except (csv.Error, ValueError):
        raise ValueError(
            f"{path}, line {number}: a quotation mark is not closed on this line, or stands inside a cell; "
            'close it, or double it ("") where it belongs to the text'
        ) from None
    return [cell.strip() for cell in cells]


def _named(separator: str) -> str:
    return {",": "a comma", ";": "a semicolon", "\t": "a tab"}.get(separator, repr(separator))


def _spreadsheet_fault(text: str) -> str:
    """What a spreadsheet made of a cell, where that is no longer what was typed."""
    if whole := _FLOAT_ID.fullmatch(text):
        if int(whole[1]) >= 100:  # points are smaller: 2.0 is 2
            return f"is the number {whole[1]} as a spreadsheet writes it; format the column as text and type {whole[1]}"
    if _SCIENTIFIC.fullmatch(text):
        return "is a number whose digits a spreadsheet has rounded; format the column as text and type it again"
    if _ERROR_VALUES.match(text):
        return "is a spreadsheet's error value; correct the formula or type the text itself"
    return ""


# ---------------------------------------------------------------- JSON
def read_json(source: Path | bytes, what: str = "", *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The object in a JSON file; keys are text, numbers are finite, nesting is shallow.

    Parameters
    ----------
    source
        The file, or its bytes.
    what
        What to call it in messages; the file's own path by default.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not such an object; the message says why.
    """
    what = what or (str(source) if isinstance(source, Path) else "this text")
    data = source.read_bytes() if isinstance(source, Path) else source
    if len(data) > most_bytes:
        raise ValueError(f"{what}: larger than {most_bytes:,} bytes")
    try:
        found = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_no_double_keys)
    except RecursionError:
        raise ValueError(f"{what}: nested too deeply") from None
    except ValueError as error:  # among them: no UTF-8
        raise ValueError(f"{what}: not readable as JSON ({visible(str(error))[:120]})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{what}: expected an object {{…}}, got {type(found).__name__}")
    if _depth(found, DEEPEST) > DEEPEST:
        raise ValueError(f"{what}: nested too deeply")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _no_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice")
    return made


def _depth(value: Any, most: int) -> int:
    if most < 0 or not isinstance(value, (dict, list)):
        return 0
    return 1 + max((_depth(x, most - 1) for x in (value.values() if isinstance(value, dict) else value)), default=0)
