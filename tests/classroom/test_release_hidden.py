"""Hidden parts keep what is right, cost what is wrong, differ between secrets, and give nothing away."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "exercises"))
from exercise_harness import known_answers  # noqa: E402

from mmcourse.classroom.hidden import grade_parts, share  # noqa: E402

KNOWN = known_answers()
SECRETS = ("a test's secret", "another one")
RIGHT = [(id, k) for id, known in KNOWN.items() for k in range(len(known.right))]
WRONG = [(id, k) for id, known in KNOWN.items() for k in range(len(known.wrong))]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(("id", "k"), RIGHT)
def test_right_answers_keep_every_point(id: str, k: int, secret: str):
    outcomes = grade_parts(id, KNOWN[id].right[k], secret)
    assert share(outcomes) == 1, [x for x in outcomes if not x.passed]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(("id", "k"), WRONG)
def test_wrong_answers_lose_points(id: str, k: int, secret: str):
    answer, fragment = KNOWN[id].wrong[k]
    assert share(grade_parts(id, answer, secret)) < 1, fragment
