"""Feedback that teaches: `check("start_here.1", answer)` says what is wrong with an answer, not only that it is wrong.

For learners::

    from mmcourse.check import check
    check("start_here.1", my_function)

For authors of checks (`mmcourse/check/lesson_SLUG.py`)::

    from mmcourse.check import agree, exercise, rng

    @exercise("42.1", title="Column means", points=1, difficulty=1, minutes=5)
    def check_column_means(answer):
        inputs = [(np.array([[1.0, 2.0], [3.0, 5.0]]),), (rng("42.1").normal(size=(1, 3)),)]
        mistakes = [(lambda x: x.mean(axis=1), "Those are the means of rows: wrong axis.")]
        agree(answer, lambda x: x.mean(axis=0), inputs, mistakes=mistakes)
        return "A word of praise, or nothing."

Smaller pieces are `call` (the learner's function, on copies), `same` (values, with hints), `choice` (one of several
options) and `Wrong` (raise it with any message). Known answers go to `tests/exercises/answers_SLUG.py`.
"""

import sys
from types import ModuleType

from mmcourse.check.blanks import blank
from mmcourse.check.compare import agree, call, choice, plain, rng, same
from mmcourse.check.core import Exercise, Result, check, exercise, exercises, info, judge
from mmcourse.check.verdict import CheckFailed, NotAttempted, Wrong

__all__ = ["CheckFailed", "Exercise", "NotAttempted", "Result", "Wrong", "agree", "blank", "call", "check", "choice"]
__all__ += ["exercise", "exercises", "info", "judge", "plain", "rng", "same"]


class _Callable(ModuleType):
    """Lets a learner who wrote `from mmcourse import check` call it all the same."""

    def __call__(self, *args, **kwargs):
        return check(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
