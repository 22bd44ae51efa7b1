"""Through the whole path, every right answer of tests/exercises earns full marks and every wrong one loses points."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from class_of import hand_in
from hostile import notebook

from mmcourse.authoring import select
from mmcourse.classroom.grade import grade
from mmcourse.classroom.release import unreleased

EXERCISES = Path(__file__).parents[1] / "exercises"
sys.path.insert(0, str(EXERCISES))
from exercise_harness import known_answers  # noqa: E402

KNOWN = known_answers()
# Inside, the answers' own harness is two lists.
HARNESS = """
import sys, types
sys.modules["exercise_harness"] = harness = types.ModuleType("exercise_harness")
class Answers:
    def __init__(self, right, wrong, skip=None):
        self.right, self.wrong = right, [answer for answer, _ in wrong]
harness.Answers = Answers
"""


@pytest.mark.parametrize("lesson", sorted({id[:2] for id in KNOWN}))
def test_right_earns_all_and_wrong_loses(sandbox, tmp_path, lesson):
    """The k-th right (wrong) answers to all exercises of a lesson are one student's notebook."""
    if not select([lesson])[0].exercise.is_file():
        pytest.fail(f"lesson {lesson} has answers, but its exercises are not built")
    names = {x.id: x.answer for x in unreleased([lesson], "").exercises}
    source = (EXERCISES / f"answers_{lesson}.py").read_text(encoding="utf-8")
    file = f"{select([lesson])[0].name}.ipynb"
    handed = set()
    for kind in ("right", "wrong"):
        for id in names:
            for k in range(len(getattr(KNOWN[id], kind))):
                handed.add((kind, k, id))
        for k in {k for what, k, _ in handed if what == kind}:
            mine = {id: name for id, name in names.items() if (kind, k, id) in handed}
            cells = [f"{name} = ANSWERS[{id!r}].{kind}[{k}]" for id, name in mine.items()]
            hand_in(tmp_path / "sub", f"{kind}-{k}", notebook(HARNESS, source, *cells), file)
    graded = grade(tmp_path / "sub", tmp_path / "out")
    assert not graded.problems and not any(record["cells"] for record in graded.records)
    unfair = []
    for record in graded.records:
        kind, k = record["student"].split("-")
        for x in record["exercises"]:
            if (kind, int(k), x["id"]) in handed and (x["points"] == x["max"]) != (kind == "right"):
                unfair.append((record["student"], x["id"], x["points"], [part for part in x["parts"] if not part[2]]))
    assert not unfair
