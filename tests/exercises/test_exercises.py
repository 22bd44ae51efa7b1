"""Every exercise does what it says, and `mmcourse.exercise.verify` sees when one does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmcourse.check import CheckFailed
from mmcourse.exercise import all_exercises, edit, find_lesson, registry
from mmcourse.exercise.compare import assert_close
from mmcourse.exercise.mutants import MutantError, make_mutant
from mmcourse.exercise.notebook import own_cell
from mmcourse.exercise.verify import problems

ROOT = Path(__file__).parents[2]
EXERCISES = {x.id: x for x in all_exercises()}
EXAMPLE = re.search(r"```python\n(import numpy.*?)```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL)[1]


@pytest.mark.parametrize("id", EXERCISES)
def test_exercise_is_sound(id: str):
    assert problems(EXERCISES[id]) == []


# ---------------------------------------------------------------- the example that CONTRIBUTING gives
def written(tmp_path: Path, *changes: tuple[str, str]) -> registry.Lesson:
    """The example with pieces replaced."""
    text = EXAMPLE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path / "example" / "exercises.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return registry.load(path)


def test_the_example_in_contributing_is_sound(tmp_path: Path):
    assert problems(written(tmp_path).exercises[0]) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"return total / x.shape[1]"', '"total = x.sum(axis=0) * 1.0"', "no public input shows the mistake"),
        ('edit(" / len(x)", "")', 'edit(" / len(y)", "")', "' / len(y)' is not in its source"),
        ('"return total / x.shape[1]"', '"mean = total / 2"', "no statement like 'mean = total / 2'"),
        ('"return total / x.shape[1]"', '"return total / len(x)"', "is what it does already"),
        ("lambda x: x.mean(axis=1)", "lambda x: x.sum(axis=0)", "gets another message"),
        ('ignored="return (total / len(x))[None]"', 'ignored="total = sum(x)"', "no public input fails when it is"),
        ('mistake="means of rows"', 'mistake="medians"', "mistake='medians' is in 0 messages"),
        ('own={"n": 2, "d": 2}', 'own={"n": 9, "d": 9}', "choose smaller ones"),
        ('own={"n": 2, "d": 2}', "own=lambda g: (np.ones((1, 2)),)", "own numbers are the same"),
        ("sum(column) / len(column)", "sum(column)", "the right answer `by_loop` is refused"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, old: str, new: str, said: str):
    found = problems(written(tmp_path, (old, new)).exercises[0])
    assert any(said in problem for problem in found), found


def test_an_argument_that_never_varies_is_named(tmp_path: Path):
    parts = EXAMPLE[EXAMPLE.index("    parts=[") : EXAMPLE.index("    own=")]
    fixed = "    parts=[part('always the same', draw=lambda g: (np.arange(6.0).reshape(3, 2),))],\n"
    found = problems(written(tmp_path, (parts, fixed)).exercises[0])
    assert any("`x` is the same in all public inputs" in problem for problem in found)
    assert any("`x` has one size in all public inputs" in problem for problem in found)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (', ignored="return (total / len(x))[None]"', "", "needs `ignored=` or `mistake=`"),
        ('context("Rows are samples, columns are features.")', '"Rows are samples."', "write `says"),
        ('["Which axis are the samples on?", ', "[", "two hints or more, got 1"),
        ('"example.1"', '"other.1"', "before its exercises"),
        ("points=1", "points=0", "points and minutes of at least 1"),
        ('part("one row"', 'part("several rows"', "names of their own"),
        (
            'one row", n=1',
            'one row", inputs=[(np.ones((1, 2)),)], n=1',
            "beside `inputs=`, which are fixed; got `n=`, `d=`",
        ),
        ('one row", n=1', 'one row", rows=1', "'one row': `draw_table` has no option rows; its options are n, d"),
        ('one row", n=1', 'one row", publik_only=True, n=1', "has no option publik_only"),
    ],
)
def test_a_malformed_exercise_is_refused_when_it_is_read(tmp_path: Path, old: str, new: str, said: str):
    with pytest.raises(ValueError, match=re.escape(said)):
        written(tmp_path, (old, new))


# ---------------------------------------------------------------- messages
def message(exercise, answer) -> str:
    with pytest.raises(CheckFailed) as error:
        exercise.check(answer)
    return str(error.value)


def test_it_is_said_on_how_many_inputs_an_answer_was_right(tmp_path: Path):
    exercise = written(tmp_path).exercises[0]
    assert "right on" not in message(exercise, lambda x: x.sum(axis=0))
    last = message(exercise, lambda x: x.mean(axis=0) if len(x) > 1 else x[0] * 0)
    assert "right on the 2 inputs before this one." in last
    second = message(exercise, lambda x: x.mean(axis=0) if len(x) != x.shape[1] else x[0] * 0)
    assert "right on the input before this one." in second


def test_a_mistake_that_agrees_by_chance_is_not_named(tmp_path: Path):
    """On the first input this answer gives what the mistake gives; on later ones it does not."""
    change = ("return total / len(x)", "return bool((total / len(x)).sum() > 0)")
    signs = [
        change,
        ("lambda x: x.mean(axis=1)", "lambda x: bool(x[0].sum() > 0)"),
        ('"return total / x.shape[1]"', "lambda x: bool(x[:, 0].sum() > 0)"),
        ('edit(" / len(x)", "")', "lambda x: True"),
    ]
    exercise = written(tmp_path, *signs).exercises[0]
    inputs = [args for _, args in exercise.public_inputs]
    right = [exercise.reference(*args) for args in inputs]
    first = right.index(False)
    answers = iter([*right[:first], True, *(not value for value in right[first + 1 :])])
    text = message(exercise, lambda x: next(answers))
    assert not any(text.startswith(mistake.message) for mistake in exercise.mistakes)
    assert message(exercise, lambda x: True).startswith("These are sums")


def test_a_single_zero_is_not_called_every_value():
    for want in (0.4, 3.0, np.array(0.4), np.array([0.4])):
        with pytest.raises(CheckFailed) as error:
            assert_close(np.zeros_like(want), want)
        assert "Every value" not in str(error.value) and "whole numbers" not in str(error.value)
    with pytest.raises(CheckFailed, match="Every value is 0"):
        assert_close(np.zeros(2), np.ones(2))


# ---------------------------------------------------------------- mutants
def steps(x):
    """Docstring with y = 1 in it."""
    y = x + 1
    if y > 3:
        y = 0
    return y * 2


def test_lines_and_edits_make_mutants():
    assert make_mutant(steps, "return y * 3")(1) == 6
    assert make_mutant(steps, edit("x + 1", "x + 2"))(0) == 4
    with pytest.raises(MutantError, match="2 statements like 'y = 5'"):
        make_mutant(steps, "y = 5")
    with pytest.raises(MutantError, match="not in its source"):
        make_mutant(steps, edit("Docstring", "x"))


def test_reading_exercises_loads_no_framework():
    """How quick it is, `make bench-speed` measures."""
    code = "import sys\nfrom mmcourse.exercise import registry\n"
    code += "for slug in registry.slugs():\n    registry.without_frameworks(slug), registry.framework_headings(slug)\n"
    code += "print('torch' in sys.modules or 'tensorflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_one_command_lists_exercises_with_their_counts():
    command = [sys.executable, "-m", "mmcourse.cli", "exercises", "fusion", "--rows"]
    environment = {**os.environ, "COLUMNS": "250"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    for exercise in find_lesson("fusion").exercises:
        counts = r"\s+".join(map(str, (exercise.points, exercise.minutes, *exercise.counts())))
        assert re.search(rf"{exercise.id}\s+{re.escape(exercise.title)}\s+{counts}\s", run.stdout)
    assert "6 exercises, 13 points, 75 minutes." in run.stdout
    assert "says: Return `(b, k)`." in run.stdout and "nothing!" not in run.stdout


def test_numbers_of_a_students_own_are_written_out(tmp_path: Path):
    exercise = written(tmp_path).exercises[0]
    names: dict = {"np": np}
    exec(own_cell(exercise, 7), names)
    assert np.array_equal(names["yours"][0], exercise.own_input(7)[0])
