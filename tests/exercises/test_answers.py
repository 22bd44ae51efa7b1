"""Every exercise accepts what is right in any clothes, and tells each known mistake by its own name."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np
import pytest
from exercise_harness import attacks, blanks, disguises, judged, known_answers, rounded

from mmcourse.check import exercises, judge

HERE = Path(__file__).parent
pytestmark = pytest.mark.xdist_group("answers")  # in one process each answer is judged once
KNOWN = known_answers()
RIGHT = [(id, k) for id, known in KNOWN.items() for k in range(len(known.right))]
WRONG = [(id, k) for id, known in KNOWN.items() for k in range(len(known.wrong))]


EVERYWHERE = {"input changed", "hard-coded"}  # these depend on the exercise; the others on the kind of value alone


def _first(name):
    """(id, name of one attack, blank or disguise) for each exercise."""
    return [(id, key) for id, known in KNOWN.items() for key in name(known.right[0], known.skip)]


@functools.cache
def kind_of_value(id):
    """What an exercise's right answer is or gives: types, dtype and number of axes of the first value."""
    answer, seen = KNOWN[id].right[0], []

    def describe(value):
        if isinstance(value, (tuple, list)):
            return type(value).__name__, tuple(sorted({str(describe(item)) for item in value}))
        if isinstance(value, dict):
            return "dict", tuple(sorted({str(describe(item)) for item in value.values()}))
        array = np.asarray(value.detach() if hasattr(value, "detach") else value)
        return type(value).__name__, array.dtype.kind, min(array.ndim, 2)

    if not callable(answer) or isinstance(answer, type):
        return "class" if isinstance(answer, type) else str(describe(answer))

    def watched(*args, **kwargs):
        value = answer(*args, **kwargs)
        seen.append(value)
        return value

    judge(id, watched)
    return str(describe(seen[0])) if seen else "never called"


def representatives(name):
    """Exercises that an attack is tried on: all of them, or the first two of each kind of value."""
    open_to = [id for id, known in KNOWN.items() if name in attacks(known.right[0], known.skip)]
    if name in EVERYWHERE:
        return open_to
    kinds = {}
    for id in open_to:
        kinds.setdefault(kind_of_value(id), []).append(id)
    return [id for ids in kinds.values() for id in ids[:2]]


def test_every_exercise_has_answers():
    frameworks = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("framework_answers_*.py"))
    elsewhere = set(re.findall(r'^    "(\w+\.\d+)": Answers\(', frameworks, re.MULTILINE))
    assert {e.id for e in exercises()} == set(KNOWN) | elsewhere


@pytest.mark.parametrize("id", KNOWN)
def test_there_are_enough_of_them(id):
    known = KNOWN[id]
    assert len(known.right) >= 2 and len(known.wrong) >= 4
    right = known.right[0]
    assert set(known.skip) <= {"*", *attacks(right), *blanks(right), *disguises(right)}
    assert all(reason.strip() for reason in known.skip.values())


@pytest.mark.parametrize(("id", "k"), RIGHT)
def test_right_is_accepted(id, k):
    result = judged(id, "right", k)
    assert result.status == "passed", result.message
    assert result.points == result.max_points > 0


@pytest.mark.parametrize(("id", "k"), WRONG)
def test_wrong_is_rejected_with_its_own_message(id, k):
    result = judged(id, "wrong", k)
    assert result.status == "wrong" and result.points == 0
    assert KNOWN[id].wrong[k][1] in result.message


@pytest.mark.parametrize("id", KNOWN)
def test_feedback_does_not_differ_from_one_run_to_the_next(id):
    assert judge(id, KNOWN[id].wrong[0][0]) == judged(id, "wrong", 0)


@pytest.mark.parametrize("id", KNOWN)
def test_no_two_mistakes_share_a_message(id):
    fragments = [fragment for _, fragment in KNOWN[id].wrong]
    messages = [judged(id, "wrong", k).message for k in range(len(fragments))]
    assert len(set(messages)) == len(messages)
    for fragment in fragments:
        assert sum(fragment in message for message in messages) == 1, fragment


@pytest.mark.parametrize("name", sorted({name for _, name in _first(attacks)}))
def test_attack_is_rejected(name):
    tried = representatives(name)
    assert tried
    for id in tried:
        result = judge(id, attacks(KNOWN[id].right[0])[name])
        assert result.status == "wrong", (id, name)
        assert result.message and " at 0x" not in result.message, id
        assert "could not be judged" not in result.message, (id, result.message)


@pytest.mark.parametrize(("id", "name"), _first(blanks))
def test_blank_is_not_attempted(id, name):
    result = judge(id, blanks(KNOWN[id].right[0])[name])
    assert (result.status, result.points) == ("not attempted yet", 0)


@pytest.mark.parametrize(("id", "name"), _first(disguises))
def test_disguise_is_accepted(id, name):
    result = judge(id, disguises(KNOWN[id].right[0])[name])
    assert result.status == "passed", result.message


@pytest.mark.parametrize("id", [id for id, known in KNOWN.items() if "*" not in known.skip])
def test_the_dtype_of_an_answer_does_not_move_the_bar(id):
    """Known mistakes gained points by `astype(float16)`; a right answer is held to the same bar in every dtype."""
    for answer in [KNOWN[id].right[0], *(wrong for wrong, _ in KNOWN[id].wrong)]:
        if pair := rounded(answer):
            half, double = (judge(id, one).status for one in pair)
            assert half == double


@pytest.mark.parametrize("id", KNOWN)
def test_checking_leaves_the_global_generator_alone(id):
    before = np.random.get_state()[1].copy()
    judge(id, KNOWN[id].right[0])
    assert np.array_equal(np.random.get_state()[1], before)
