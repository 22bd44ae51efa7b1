"""Variants: an exercise's own space of values, declared in its source, and which student gets which.

A code cell tagged `variant` stands before the exercise's check. Its lines `seed = 1  # of: 1 to 500` or
`k = 2  # of: 2, 3, 5` span the space; `yours`, a tuple of arguments, is made from them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from itertools import count
from math import prod
from typing import Any, NamedTuple

from mmcourse.authoring.source import CHECK, Source, SourceError
from mmcourse.classroom.seal import hmac_digest
from mmcourse.exercise import find
from mmcourse.exercise.notebook import own_cell

LINE = re.compile(r"^(?P<name>[a-z]\w*) = (?P<value>[^#\n]+?)[ \t]+# of: (?P<choices>.+)$", re.MULTILINE)


class ParameterSpace(NamedTuple):
    """Where an exercise can vary: the cell's text, and the values that each of its names may take."""

    text: str
    choices: dict[str, Sequence[Any]]
    default: dict[str, Any]

    def filled(self, values: dict[str, Any]) -> str:
        """The cell as a student sees it: these values, and no word of other ones."""
        told = {name: repr(value) for name, value in values.items()}
        return LINE.sub(lambda line: f"{line['name']} = {told.get(line['name'], line['value'])}", self.text)


def fill(exercise: str, text: str, values: dict[str, Any]) -> str:
    """The variant cell of an exercise with these values, and no word of other ones.

    `text` is the cell as its source has it; its numbers are drawn anew.
    """
    data = find(exercise)
    if data is not None and "seed" in values:
        text = own_cell(data, values["seed"])
    return space(text).filled(values)


def variant_cells(source: Source) -> dict[str, int]:
    """Exercise → the index of its variant cell; exercises without one are left out.

    Raises
    ------
    SourceError
        If a variant cell declares no space of at least two values, or no check comes after it.
    """
    found: dict[str, int] = {}
    waiting: int | None = None
    for index, cell in enumerate(source.cells):
        if "variant" in cell.metadata.get("tags", []):
            try:
                space(cell.source)
            except ValueError as error:
                raise SourceError(f"{source.where(index)}: {error}") from None
            waiting = index
        elif cell.cell_type == "code" and waiting is not None and (numbers := CHECK.findall(cell.source)):
            found[numbers[0]], waiting = waiting, None
    if waiting is not None:
        raise SourceError(f"{source.where(waiting)}: no check comes after this variant cell; move it before its own")
    return found


def space(text: str) -> ParameterSpace:
    """The space that a variant cell's text declares; ValueError where it declares none."""
    try:
        lines = [(line["name"], line["value"], _choices(line["choices"])) for line in LINE.finditer(text)]
        default = {name: ast.literal_eval(value) for name, value, _ in lines}
    except (ValueError, SyntaxError):
        raise ValueError("values after `# of:` are written `1 to 500` or `2, 3, 5`") from None
    choices = {name: values for name, _, values in lines}
    if prod(map(len, choices.values())) < 2:
        raise ValueError("a variant cell needs a line such as `seed = 1  # of: 1 to 500`")
    return ParameterSpace(text, choices, default)


def _choices(text: str) -> Sequence[Any]:
    if span := re.fullmatch(r"(-?\d+) to (-?\d+)", text.strip()):
        return range(int(span[1]), int(span[2]) + 1)
    return ast.literal_eval(f"[{text}]")


def assign(secret: str, exercise: str, students: Iterable[str], space: ParameterSpace) -> dict[str, dict[str, Any]]:
    """Everybody's values: from secret, exercise and student alone, but never those of the student just before."""
    given: dict[str, dict[str, Any]] = {}
    before = None
    for student in students:
        draws = (_drawn(secret, exercise, student, attempt, space) for attempt in count())
        given[student] = before = next(values for values in draws if values != before)
    return given


def _drawn(secret: str, exercise: str, student: str, attempt: int, space: ParameterSpace) -> dict[str, Any]:
    number = int.from_bytes(hmac_digest(secret, exercise, student, attempt))
    values = {}
    for name, choices in space.choices.items():
        number, at = divmod(number, len(choices))
        values[name] = choices[at]
    return values
