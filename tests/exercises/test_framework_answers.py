"""Exercises in PyTorch and Keras accept right modules of any shape and name each known mistake."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from exercise_harness import attacks, blanks, known_answers

from mmcourse.check import judge

HERE = Path(__file__).parent


@pytest.fixture(scope="module", params=["torch", "keras"])
def known(request):
    """The answers of one framework; it is loaded for its own tests only."""
    pytest.importorskip(request.param)
    return known_answers(f"framework_answers_{request.param}.py")


def test_right_is_accepted_and_generators_are_left_alone(known):
    for id, answers in known.items():
        assert len(answers.right) >= 2 and len(answers.wrong) >= 4
        for answer in answers.right:
            before = np.random.get_state()[1].copy()
            result = judge(id, answer)
            assert result.passed, (id, answer, result.message)
            assert np.array_equal(np.random.get_state()[1], before)


def test_wrong_is_rejected_with_its_own_message(known):
    for id, answers in known.items():
        said: dict[str, str] = {}  # message → fragment
        for answer, fragment in answers.wrong:
            result = judge(id, answer)
            assert result.status == "wrong" and fragment in result.message, (id, fragment, result.message)
            # two ways to make one mistake have one fragment
            assert said.setdefault(result.message, fragment) == fragment, (id, fragment, result.message)


def test_attacks_are_rejected_and_blanks_are_not_attempted(known):
    for id, answers in known.items():
        bad = attacks(answers.right[0], ("*",)) | {
            "a number": 3.5,
            "text": "module",
            "none from a call": lambda *_: None,
            "raises": _raises,
            "a class of something else": dict,
        }
        for name, answer in bad.items():
            result = judge(id, answer)
            assert result.status == "wrong", (id, name)
            assert "could not be judged" not in result.message, (id, name, result.message)
        for name, answer in (blanks(answers.right[0], ("*",)) | {"your turn": _your_turn}).items():
            assert judge(id, answer).status == "not attempted yet", (id, name)


def test_the_file_for_a_framework_loads_no_other():
    import subprocess

    code = "import sys; from mmcourse.exercise import find; find('attention.4'); print('tensorflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def _raises(*_args):
    raise ValueError("on purpose")


def _your_turn(*_args):
    raise NotImplementedError("your turn")
