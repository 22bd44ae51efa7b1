"""How a check ends before its last line: the answer is wrong, or there is no answer yet."""


class CheckFailed(Exception):
    """Raised by a check (or its helpers) with a message for the learner: what is wrong, and where to look."""


class NotAttempted(Exception):
    """Raised when the blank is still there: nothing to judge, nothing to be ashamed of."""
