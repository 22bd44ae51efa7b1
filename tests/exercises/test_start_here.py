"""What the learners of lesson start_here are given is right."""

import re

import pytest
from scipy import stats

from mmcourse.exercise.registry import find_lesson


def test_the_table_of_t_is_students():
    given = {}
    exec("\n".join(re.findall(r"^T95 .*$", find_lesson("start_here").setup, re.MULTILINE)), given)
    assert sorted(given["T95"]) == list(range(2, 11))
    for runs, factor in given["T95"].items():
        assert factor == pytest.approx(stats.t.ppf(0.975, runs - 1), abs=5e-4)
