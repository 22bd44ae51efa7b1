"""The open project: briefs, a rubric, a folder to start from, checks, a re-test on fresh data, cards and a defense.

`mmcourse capstone new NAME --brief a` makes a folder; `check`, `card`, `retest` and `defend` read it. What `check` can
find by itself is what the rubric caps: a leak between splits, a score above the exact ceiling, a missing baseline, a
claim without an interval. `retest` knows more: it draws a test split that nobody has seen, and runs the submission's
own `predict` on it in the grading sandbox.
"""
