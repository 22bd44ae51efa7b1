"""Feedback that teaches: `check("00.1", answer)` says what is wrong with an answer, not only that it is wrong.

For learners::

    from mmcourse.check import check
    check("00.1", my_function)

For authors of checks (`mmcourse/check/lesson_NN.py`): `exercise`, `agree`, `call`, `same`, `choice`, `rng`, `Wrong`.
"""

import sys
from types import ModuleType

from mmcourse.check.compare import agree, call, choice, plain, rng, same
from mmcourse.check.core import Exercise, Result, check, exercise, exercises, info, judge
from mmcourse.check.verdict import NotAttempted, Wrong

__all__ = ["Exercise", "NotAttempted", "Result", "Wrong", "agree", "call", "check", "choice", "exercise"]
__all__ += ["exercises", "info", "judge", "plain", "rng", "same"]


class _Callable(ModuleType):
    """Lets a learner who wrote `from mmcourse import check` call it all the same."""

    def __call__(self, *args, **kwargs) -> Result:
        return check(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
