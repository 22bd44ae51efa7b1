"""The exercise notebook of a lesson as py:percent text, from its exercises as data."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import numpy as np

from mmcourse.exercise.challenge import Challenge
from mmcourse.exercise.exercise import OWN_SEEDS, Exercise
from mmcourse.exercise.mutants import source_of
from mmcourse.exercise.probe import without_kept
from mmcourse.exercise.registry import Lesson
from mmcourse.exercise.statement import statement_cells

BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"


def notebook_text(lesson: Lesson, title: str) -> str:
    """py:percent text with solution markers, as the build reads it; `title` is the lesson's."""
    points = f"{lesson.points} point{'s' * (lesson.points != 1)}"
    card = (
        f"# Exercises · {title}\n\n*{lesson.promise}*\n\n{{{{budget}}}}\n\n"
        f"**Lesson**: [{title}](../{lesson.slug}.ipynb) · **{points}, about {lesson.minutes} minutes** · "
        f"{lesson.uses}\n\n"
        "Replace each blank with your code, run the cell, then run the `check` below it. It says what is wrong, "
        "not only that it is."
    )
    done = (
        "## Done?\n\nRun the whole notebook once more from the top. One way to solve each task is in\n"
        f"[the solutions](../solutions/{lesson.slug}.ipynb). Another way that passes is just as right."
    )
    cells = [markdown(card), code(lesson.setup)]
    for exercise in lesson.exercises:
        cells += exercise_cells(exercise)
    if lesson.challenge:
        cells += challenge_cells(lesson.challenge)
    return "\n\n".join([*cells, markdown(done)]) + "\n"


def challenge_cells(challenge: Challenge) -> list[str]:
    """The cells of an open challenge: what it asks, its inputs, the check, and how the answer is handed in."""
    head = (
        f"## {challenge.id} · {challenge.title}\n\nOpen challenge · about {challenge.minutes} minutes · "
        f"up to {challenge.points} points, on top of those above\n\n" + " ".join(challenge.statement)
    )
    head += f"\n\nTo beat: {challenge.to_beat:g}. {challenge.steps()}"
    inputs = (
        "from mmcourse.check import challenge_inputs, save_hand_in\n\n"
        f'task = challenge_inputs("{challenge.id}", own=True)  # a draw of your own, which `check` scores\n'
        "for name, array in task.items():\n    print(name, array.shape, array.dtype)"
    )
    name = next(iter(challenge.hand_in))
    if len(challenge.hand_in) > 1:
        name = "answer"
    asked = ", ".join(f"`{key}` {array.shape} of kind {array.kind}" for key, array in challenge.hand_in.items())
    blank = f'{name} = ...  # your turn\n\ncheck("{challenge.id}", {name})'
    last = (
        f"What is handed in: {asked}. **To hand in**, put `{challenge.id}_inputs.npz` from your class beside this "
        f'notebook, do the same with `challenge_inputs("{challenge.id}")`, and write the file with '
        f'`save_hand_in("{challenge.id}", {name})`. Hand it in with the notebook.'
    )
    return [markdown(head), code(inputs), code(blank), markdown(last)]


def exercise_cells(exercise: Exercise) -> list[str]:
    """The cells of one exercise: statement, blank, hints, a student's own numbers, check."""
    worth = f"{exercise.points} point{'s' * (exercise.points != 1)}"
    time = f"{exercise.minutes} minute{'s' * (exercise.minutes != 1)}"
    head = f"## {exercise.id} · {exercise.title}\n\nDifficulty {exercise.difficulty} of 3 · {time} · {worth}"
    statement = statement_cells(exercise.statement)
    if statement[0][0] == "markdown":
        head, statement = f"{head}\n\n{statement[0][1]}", statement[1:]
    cells = [markdown(head), *(markdown(text) if kind == "markdown" else code(text) for kind, text in statement)]
    cells += [code(exercise.starter.strip("\n") or with_markers(source_of(exercise.reference)))]
    cells += [markdown("\n\n".join(_folded(k, hint) for k, hint in enumerate(exercise.hints, 1)))]
    if exercise.own is not None:
        cells += [code(own_cell(exercise), "variant")]
    return [*cells, code(f'check("{exercise.id}", {exercise.name})')]


def markdown(text: str) -> str:
    """A Markdown cell in py:percent."""
    return "# %% [markdown]\n" + "\n".join(f"# {line}".rstrip() for line in text.split("\n"))


def code(text: str, tag: str = "") -> str:
    """A code cell in py:percent."""
    return f'# %% tags=["{tag}"]\n{text}' if tag else f"# %%\n{text}"


def _folded(k: int, hint: str) -> str:
    return f"<details><summary>Hint {k}</summary>\n\n{hint}\n</details>"


# ---------------------------------------------------------------- the blank
def with_markers(source: str) -> str:
    """The source of a function or class with solution markers around each body, so that the build can empty it."""
    lines = source.rstrip("\n").split("\n")
    for first, last, indent in reversed(_bodies(ast.parse(source).body[0])):
        lines[last:last] = [" " * indent + END]
        lines[first - 1 : first - 1] = [" " * indent + BEGIN]
    return "\n".join(lines)


def _bodies(definition: ast.stmt) -> list[tuple[int, int, int]]:
    """(first line, last line, indentation) of each body to be emptied; docstrings and `super().__init__()` stay."""
    if isinstance(definition, ast.ClassDef):
        methods = [item for item in definition.body if isinstance(item, ast.FunctionDef)]
        return [body for method in methods for body in _bodies(method)]
    assert isinstance(definition, ast.FunctionDef)
    body = list(definition.body)
    while body and _stays(body[0]):
        body = body[1:]
    if not body:
        return []
    return [(body[0].lineno, body[-1].end_lineno or body[-1].lineno, body[0].col_offset)]


def _stays(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr):
        return False
    is_docstring = isinstance(statement.value, ast.Constant)
    return is_docstring or ast.unparse(statement).startswith("super().__init__(")


# ---------------------------------------------------------------- a student's own numbers
def own_cell(exercise: Exercise, seed: int = OWN_SEEDS[0]) -> str:
    """The cell with the numbers that belong to a seed, written out, so that nothing needs to be drawn."""
    values = exercise.own_input(seed)
    assert values is not None
    says = exercise.own_says or f"Numbers of your own, to try it on: {exercise.name}(*yours)"
    lines = [f"seed = {seed}  # of: {OWN_SEEDS[0]} to {OWN_SEEDS[-1]}", f"# {says}", "yours = ("]
    for name, value in zip(argument_names(exercise), without_kept(values), strict=True):
        if exercise.use is None or not isinstance(value, dict):  # a network's weights are too many to be written out
            lines.append(f"    {literal(value)},  # {name}")
    return "\n".join([*lines, ")"])


def argument_names(exercise: Exercise) -> list[str]:
    """Names of an input's values, in order: the arguments of the reference, or of the probe after the answer."""
    if exercise.use is not None:
        return list(inspect.signature(exercise.use).parameters)[2:]
    return list(inspect.signature(exercise.reference).parameters)


def literal(value: Any) -> str:
    """Python source that makes this value: numbers, text, arrays, lists, tuples and dicts.

    Raises
    ------
    TypeError
        For anything else; such an exercise draws its own numbers otherwise.
    """
    if isinstance(value, np.ndarray) and not value.size:
        return f"np.zeros({value.shape}, dtype={value.dtype.name!r})"
    if isinstance(value, np.ndarray):
        dtype = "" if value.dtype in (np.float64, np.int64, np.bool_) or value.dtype.kind == "U" else value.dtype.name
        return f"np.array({value.tolist()!r}{f', dtype={dtype!r}' if dtype else ''})"
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(literal, value)) + ("," if len(value) == 1 else "") + ")"
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be written out as code")
