"""The rubric: rows with points, and caps for what no row can make up for."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PLACE = Path(__file__).with_name("rubric.toml")


@dataclass(frozen=True)
class Row:
    """One row: what it asks, and what full, half and no points mean."""

    name: str
    title: str
    points: int
    asks: str
    full: str
    half: str
    nothing: str


@dataclass(frozen=True)
class Cap:
    """A fault and what it costs: at most `most` points in all, or `minus` points."""

    fault: str
    says: str
    most: int | None = None
    minus: int = 0

    @property
    def cost(self) -> str:
        """In words."""
        return f"at most {self.most} points" if self.most is not None else f"−{self.minus} points"


@functools.cache
def rubric() -> tuple[tuple[Row, ...], tuple[Cap, ...]]:
    """Rows and caps, in order."""
    read = tomllib.loads(PLACE.read_text(encoding="utf-8"))
    return tuple(Row(**row) for row in read["row"]), tuple(Cap(**cap) for cap in read["cap"])


def total(points: Mapping[str, float], faults: Iterable[str] = ()) -> float:
    """Points in all: the sum of the rows, less what faults cost, and no more than the lowest cap.

    Raises
    ------
    ValueError
        A row is missing, unknown, or has more points than it may; a fault has no cap.
    """
    rows, caps = rubric()
    most = {row.name: row.points for row in rows}
    if set(points) != set(most):
        raise ValueError(
            f"points: expected one number for each of {', '.join(most)}; got {', '.join(points) or 'none'}"
        )
    for name, value in points.items():
        if not 0 <= value <= most[name]:
            raise ValueError(f"{name}: expected 0 to {most[name]} points, got {value:g}")
    known = {cap.fault: cap for cap in caps}
    found = sorted(set(faults))
    if unknown := [fault for fault in found if fault not in known]:
        raise ValueError(f"there is no fault {unknown[0]!r}; there are {', '.join(known)}")
    reached = sum(points.values()) - sum(known[fault].minus for fault in found)
    limits = [known[fault].most for fault in found]
    return float(max(0, min([reached, *(limit for limit in limits if limit is not None)])))


def as_text() -> str:
    """The rubric as a page of plain text, at most 88 letters wide."""
    import textwrap

    rows, caps = rubric()
    lines = [f"Rubric: {sum(row.points for row in rows)} points"]
    for row in rows:
        lines += ["", f"{row.title} · {row.points}"]
        for word, text in (("asks", row.asks), ("full", row.full), ("half", row.half), ("nothing", row.nothing)):
            lines += textwrap.wrap(text, 86, initial_indent=f"  {word:8}", subsequent_indent=" " * 10)
    lines += ["", "Caps, whatever the rows say"]
    for cap in caps:
        lines += textwrap.wrap(f"{cap.says} → {cap.cost}", 86, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)
