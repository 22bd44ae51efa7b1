"""Hidden parts keep what is right, cost what is wrong, differ between secrets, and give nothing away."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "exercises"))
from exercise_harness import attacks, blanks, disguises, known_answers  # noqa: E402

from mmcourse.classroom import hidden  # noqa: E402
from mmcourse.classroom.hidden import grade_parts, parts, score  # noqa: E402
from mmcourse.exercise import find  # noqa: E402
from mmcourse.exercise.exercise import OWN_SEEDS  # noqa: E402

KNOWN = known_answers()
SECRETS = ("a test's secret", "another one")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("id", KNOWN)
def test_right_answers_keep_every_point(id: str, secret: str):
    for answer in KNOWN[id].right:
        outcomes = grade_parts(id, answer, secret, variant(id, 3))
        assert score(outcomes) == 1, [x for x in outcomes if not x.passed]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("id", KNOWN)
def test_wrong_answers_lose_points_and_are_told_no_more_than_a_fixed_sentence(id: str, secret: str):
    fixed = {text for part in parts(id, secret) for text in (*part.mistakes, part.advice)}
    fixed |= {hidden.GUESSED, hidden.RAISED, hidden.LATE, *hidden.ADVICE.values()}
    for answer, fragment in KNOWN[id].wrong:
        outcomes = grade_parts(id, answer, secret)
        assert score(outcomes) < 1, fragment
        told = {(x.name, x.advice) for x in outcomes if not x.passed and x.advice not in fixed}
        kinds = {advice for name, advice in told if name == hidden.OWN_NUMBERS}
        assert len(kinds) == len(told), "the kind of an error is said of the student's own numbers only"
        assert all(re.fullmatch(r"Your function raised [A-Z]\w+\.", advice) for advice in kinds), told


@pytest.mark.parametrize("id", KNOWN)
def test_attacks_blanks_and_disguises(id: str):
    known = KNOWN[id]
    for name, answer in attacks(known.right[0], known.skip).items():
        earned = score(grade_parts(id, answer, SECRETS[0], variant(id, 0)))
        assert earned == 0 if name == "hard-coded" else earned < 1, name
    for name, answer in blanks(known.right[0], known.skip).items():
        outcomes = grade_parts(id, answer, SECRETS[0])
        assert {(x.passed, x.advice) for x in outcomes} == {(False, "Not attempted yet.")}, name
    if "list" not in known.skip:
        assert score(grade_parts(id, disguises(known.right[0], known.skip)["list"], SECRETS[0])) == 1


def variant(id: str, at: int) -> dict[str, Any]:
    """The student's seed at this place of the list; {} where nobody has numbers of their own."""
    return {"seed": OWN_SEEDS[at]} if find(id).own is not None else {}


def inputs(id: str, *settings: Any) -> list[str]:
    """What each part calls an answer with, as text."""
    seen: list[str] = []

    def spy(*args: Any) -> Any:
        seen.append(repr(args))
        return KNOWN[id].right[0](*args)

    grade_parts(id, spy, *settings)
    return seen


def test_inputs_follow_from_secret_exercise_and_variant_alone():
    first = inputs("start_here.1", "s1", {"seed": 1})
    hidden._parts.cache_clear()
    assert inputs("start_here.1", "s1", {"seed": 1}) == first
    for other in (inputs("start_here.1", "s2", {"seed": 1}), inputs("start_here.1", "s1", {"seed": 2})):
        assert not set(first) & set(other[1:])
    assert inputs("start_here.1", "s2", {"seed": 1})[0] == first[0], (
        "the student's own numbers do not depend on the secret"
    )


def test_an_answer_learned_from_the_public_check_earns_its_own_case_alone():
    public = find("start_here.2").public_inputs
    right = KNOWN["start_here.2"].right[0]
    known = {repr(args): right(*args) for _, args in public}
    outcomes = grade_parts("start_here.2", lambda *args: known.get(repr(args), 0.5), "s")
    assert not any(x.passed for x in outcomes)


@pytest.mark.parametrize(
    "kind", [ValueError, type("E_0_25_0_5", (Exception,), {}), SystemExit, RecursionError, TimeoutError]
)
def test_what_an_error_says_is_not_shown(kind: type):
    def tell(joint: Any) -> Any:
        raise kind(f"the input was {joint.tolist()}")

    own, *rest = grade_parts("start_here.1", tell, "s", {"seed": 1})
    assert own.name == hidden.OWN_NUMBERS and not re.search(r"\d", own.advice)
    assert own.advice in {f"Your function raised {kind.__name__}.", hidden.RAISED, hidden.LATE}
    assert {outcome.advice for outcome in rest} == {hidden.RAISED}, "a hidden input could have chosen the kind"


def test_partial_credit():
    forgets_single_seeds = lambda s, f, c: KNOWN["start_here.3"].right[0](s, f, c) if len(s) > 1 else (0, 0, True)  # noqa: E731
    outcomes = {x.name: x.passed for x in grade_parts("start_here.3", forgets_single_seeds, "s")}
    assert not outcomes.pop("a single seed") and all(outcomes.values())


def test_what_the_reference_warns_of_is_not_printed(monkeypatch: pytest.MonkeyPatch):
    """nbgrader gives 0 points to a cell that wrote to stderr."""
    clipping = find("train_pytorch.2")
    assert clipping is not None
    zeros = [([np.zeros(1)], 0.0)]  # 0 / 0
    part = hidden._part_of(clipping, clipping.parts[0], zeros)
    monkeypatch.setattr(hidden, "parts", lambda *_: [part])
    with pytest.warns(RuntimeWarning, match="invalid value"):
        clipping.reference(*zeros[0])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert score(grade_parts("train_pytorch.2", clipping.right[0], "s")) == 0
    assert not seen


@pytest.mark.parametrize("arrays", [1, 2])
def test_no_gradients_to_clip_are_all_0(arrays: int):
    clipping = find("train_pytorch.2")
    assert clipping is not None and clipping.draw is not None
    g = np.random.default_rng(0)
    drawn = [clipping.draw(g, arrays=arrays, limit=(0.05, 0.9)) for _ in range(20_000)]
    assert min(largest for _, largest in drawn) > 0


def test_an_unknown_exercise_is_named():
    with pytest.raises(ValueError, match="There is no exercise 'start_here.9'. The nearest are: start_here"):
        parts("start_here.9", "s")
