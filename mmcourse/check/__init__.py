"""Feedback that teaches: `check("start_here.1", answer)` says what is wrong with an answer, not only that it is wrong.

For learners::

    from mmcourse.check import check
    check("start_here.1", my_function)

Exercises are written in `notebooks/src/SLUG/exercises.py`, blanks of a lesson beside them; CONTRIBUTING.md shows how.
This package shows the verdict. What finds it is `mmcourse.exercise`, which it stands on: `compare.call` runs an answer
on copies, `compare.assert_close` compares values by our own arithmetic, `reference.check_against_reference` names the
mistake; `CheckFailed` says what is wrong.
"""

import sys
from types import ModuleType

from mmcourse.check.blanks import blank
from mmcourse.check.challenges import challenge_inputs, save_hand_in
from mmcourse.check.core import Result, check, exercises, graded_by_instructor, info, judge
from mmcourse.exercise.compare import assert_close, call, to_numpy
from mmcourse.exercise.verdict import CheckFailed, NotAttempted

__all__ = ["CheckFailed", "NotAttempted", "Result", "assert_close", "blank", "call", "check", "exercises", "info"]
__all__ += ["challenge_inputs", "graded_by_instructor", "judge", "save_hand_in", "to_numpy"]


class _Callable(ModuleType):
    """Lets a learner who wrote `from mmcourse import check` call it all the same."""

    def __call__(self, *args, **kwargs):
        return check(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
