"""The same exercises for nbgrader: its `source/` notebooks, with solutions and hidden tests in its own markers.

nbgrader runs a student's code beside the hidden tests, so a hostile notebook gets full marks there; for people you
do not know, use `mmcourse grade`. The hidden block draws from a key of its own, not from the course's secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nbformat import NotebookNode

from mmcourse.authoring.catalogue import lesson_numbers
from mmcourse.authoring.source import BEGIN, BLANK, CHECK, END, Source, exercise_text
from mmcourse.classroom.seal import hmac_digest
from mmcourse.runtime import SLUG

if TYPE_CHECKING:
    from mmcourse.classroom.release import Release

TEST = """\
{points} * check("{id}", {answer}).passed
### BEGIN HIDDEN TESTS
from mmcourse.classroom.hidden import grade_parts, score

round({points} * score(grade_parts("{id}", {answer}, "{key}")), 2)
### END HIDDEN TESTS"""


def source_notebook(source: Source, made: Release) -> NotebookNode:
    """An exercise source as nbgrader's master copy: `nbgrader generate_assignment` makes the blank from it."""
    nb = exercise_text(source, SLUG, {}, lesson_numbers(), solved=True)
    nb.cells[0].source = re.sub(r"^.*\n\n|\*\*Budget:.*\n\n", "", nb.cells[0].source)
    marked = [source.cells[0], None, *source.cells[1:]]  # the build puts its set-up cell second
    exercises = {x.id: x for x in made.exercises}
    for number, (cell, original) in enumerate(zip(nb.cells, marked, strict=True)):
        if original is None or cell.cell_type != "code":
            continue
        if BEGIN in original.source:
            cell.source = _marked(original.source)
            cell.metadata["nbgrader"] = _flags(f"solution-{number:03}", solution=True, locked=False)
        elif numbers := CHECK.findall(cell.source):
            x = exercises[numbers[0]]
            key = hmac_digest(made.key, "nbgrader", x.id).hex()
            cell.source = TEST.format(points=f"{x.points:g}", id=x.id, answer=x.answer, key=key)
            cell.metadata["nbgrader"] = _flags(f"check-{x.id.replace('.', '-')}", grade=True, points=x.points)
    del nb.metadata["mmcourse"]
    return nb


def _marked(text: str) -> str:
    """A solution cell in nbgrader's markers."""
    lines = [line for line in text.split("\n") if not line.strip().startswith(BLANK)]
    marks = {BEGIN: "### BEGIN SOLUTION", END: "### END SOLUTION"}
    return "\n".join(line.replace(line.strip(), marks.get(line.strip(), line.strip())) for line in lines)


def _flags(name: str, **changed: Any) -> dict[str, Any]:
    usual = {"grade": False, "solution": False, "locked": True, "task": False, "schema_version": 3}
    return usual | {"grade_id": name} | changed
