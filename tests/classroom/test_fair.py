"""Through the whole path, every right answer of tests/exercises earns full marks and every wrong one loses points."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from class_of import hand_in
from hostile import notebook

from mmcourse.authoring import select
from mmcourse.classroom.grade import grade
from mmcourse.classroom.release import unreleased
from mmcourse.classroom.sandbox import Limits

EXERCISES = Path(__file__).parents[1] / "exercises"
sys.path.insert(0, str(EXERCISES))
from exercise_harness import attacks, blanks, disguises, known_answers  # noqa: E402

KNOWN = known_answers()
LESSONS = sorted({id.partition(".")[0] for id in KNOWN})
GENERIC = (
    LESSONS if os.environ.get("MMCOURSE_ALL") else ["start_here", "text", "multimodal_data"]
)  # arrays; dicts and texts; lists, generators
# An answer that loads a library in its first call gets the time on a busy machine; test_hostile.py tries the limits.
PATIENT = Limits(call=20, exercise=60, total=240)
# Inside there are no tests: the answers' own harness comes as text.
HARNESS = """
import sys, types
sys.modules["exercise_harness"] = harness = types.ModuleType("exercise_harness")
harness.__file__ = "/tmp/exercise_harness.py"
exec({source!r}, harness.__dict__)
from exercise_harness import attacks, blanks, disguises
"""


def expressions(lesson: str, generic: bool) -> dict[tuple[str, int], dict[str, str]]:
    """(kind, k) → the k-th answer of this kind to each exercise, as code."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    for id, known in KNOWN.items():
        if id.partition(".")[0] != lesson:
            continue
        made = {
            "right": [f"ANSWERS[{id!r}].right[{k}]" for k in range(len(known.right))],
            "wrong": [f"ANSWERS[{id!r}].wrong[{k}][0]" for k in range(len(known.wrong))],
        }
        for make in (attacks, blanks, disguises) if generic else ():
            call = f"{make.__name__}(ANSWERS[{id!r}].right[0], ANSWERS[{id!r}].skip)"
            made[make.__name__] = [f"{call}[{name!r}]" for name in make(known.right[0], known.skip)]
        for kind, codes in made.items():
            for k, code in enumerate(codes):
                found.setdefault((kind, k), {})[id] = code
    return found


@pytest.mark.parametrize("lesson", LESSONS)
def test_right_earns_all_and_wrong_loses(sandbox, tmp_path, lesson):
    """The k-th answers of a kind to all exercises of a lesson are one student's notebook."""
    file = f"{select([lesson])[0].name}.ipynb"
    names = {x.id: x.answer for x in unreleased([lesson], "").exercises}
    harness = HARNESS.format(source=(EXERCISES / "exercise_harness.py").read_text(encoding="utf-8"))
    source = (EXERCISES / f"answers_{lesson}.py").read_text(encoding="utf-8")
    handed = expressions(lesson, lesson in GENERIC)
    for (kind, k), codes in handed.items():
        cells = [f"{names[id]} = {code}" for id, code in codes.items()]
        hand_in(tmp_path / "sub", f"{kind}-{k}", notebook(harness, source, *cells), file)
    graded = grade(tmp_path / "sub", tmp_path / "out", limits=PATIENT)
    assert not graded.problems and not any(record["cells"] for record in graded.records)
    unfair = []
    for record in graded.records:
        kind, k = record["student"].split("-")
        for x in record["exercises"]:
            code = handed[kind, int(k)].get(x["id"])
            full, nothing = x["points"] == x["max"], x["points"] == 0
            if code and not (full if kind in ("right", "disguises") else nothing if kind == "blanks" else not full):
                unfair.append((code, x["points"], [part for part in x["parts"] if not part[2]]))
    assert not unfair
