"""The parity table as a page of the documentation: `mmcourse/parity/README.md`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from .case import ParityCase
from .compare import Report, compare

PAGE = Path(__file__).with_name("README.md")
# Column of a report -> (heading, smallest bound that is told: below it lies rounding noise, another on each processor).
COLUMNS = {
    "forward": ("outputs", 1e-14),
    "forward32": ("outputs, float32", 1e-6),
    "gradient": ("gradients", 1e-14),
    "sgd": ("five steps of SGD", 1e-14),
    "adam": ("five steps of Adam", 1e-12),
}
INTRODUCTION = """\
# The same formula three times

Every formula that the course teaches in NumPy, PyTorch and Keras, from the same weights: how far two backends differ at
most, relative to the largest value, in float64 unless the column says otherwise. `python -m mmcourse.parity` measures
and prints it; `python -m mmcourse.parity --markdown > mmcourse/parity/README.md` writes this page.

Each bound is three times what was measured, rounded up to a power of ten, or the tolerance where that is smaller; a
test holds every backend to it. ≈ : NumPy's gradient is a central difference. · : this pair takes no part, since the
formula has no weights or its NumPy gradient is a central difference, taken once.
"""


def bound(report: Report, column: str) -> float:
    """A power of ten, at least three times the measured value or else the tolerance; NaN where nothing was measured."""
    value, least, most = getattr(report, column), COLUMNS[column][1], report.limits()[column]
    if most == 1e-7:  # central differences: nothing below is more than noise
        least = most
    return value if math.isnan(value) else min(most, max(least, 10.0 ** math.ceil(math.log10(3 * value or least))))


def markdown(parity_cases: Iterable[ParityCase]) -> Iterator[str]:
    """Lines of the page, one row for each formula and pair of backends."""
    yield INTRODUCTION
    yield "| formula | backends | " + " | ".join(heading for heading, _ in COLUMNS.values()) + " |"
    yield "|---" * (2 + len(COLUMNS)) + "|"
    for formula in parity_cases:
        for report in compare(formula):
            cells = (f"{value:.0e}" if value == value else "·" for value in (bound(report, c) for c in COLUMNS))
            yield f"| {report.name} | {report.pair}{'' if report.exact else ' ≈'} | " + " | ".join(cells) + " |"


def bounds() -> dict[tuple[str, str], dict[str, float]]:
    """What the committed page promises: {(formula, pair of backends): {column: bound}}."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = line.strip("| ").split(" | ")
        if len(cells) == 2 + len(COLUMNS) and "–" in cells[1]:
            values = (float("nan" if cell == "·" else cell) for cell in cells[2:])
            found[cells[0], cells[1].removesuffix(" ≈")] = dict(zip(COLUMNS, values, strict=True))
    return found
