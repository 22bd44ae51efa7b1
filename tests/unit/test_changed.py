"""`--changed` keeps every test that a change can touch, and few others."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from changed import touches  # noqa: E402


@pytest.mark.parametrize(
    ("test", "changed", "kept"),
    [
        ("tests/unit/test_plot.py", {"mmcourse/plot.py"}, True),
        ("tests/unit/test_plot.py", {"mmcourse/classroom/roster.py"}, False),
        ("tests/unit/test_plot.py", {"tests/unit/test_plot.py"}, True),
        ("tests/unit/test_plot.py", {"README.md"}, False),
        ("tests/unit/test_plot.py", {"pyproject.toml"}, True),
        ("tests/unit/test_plot.py", {"mmcourse/__init__.py"}, True),
        ("tests/unit/test_authoring.py", {"tests/unit/tiny_course.py"}, True),
        ("tests/exercises/test_answers.py", {"notebooks/src/fusion/exercises.py"}, True),
    ],
)
def test_what_a_change_touches(test: str, changed: set[str], kept: bool):
    assert touches(test, changed) is kept


def test_a_notebook_is_touched_by_its_own_lesson_and_by_what_it_imports():
    test = "tests/notebooks/test_notebooks.py"
    name = f"{test}::test_running_it_gives_the_committed_outputs[13_fusion]"
    assert touches(test, {"notebooks/src/fusion/lesson.py"}, name)
    assert not touches(test, {"notebooks/src/audio/lesson.py"}, name)
    assert touches(test, {"mmcourse/plot.py"}, name)
    assert not touches(test, {"mmcourse/classroom/roster.py"}, name)
