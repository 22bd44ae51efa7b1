"""What is true of a wrong answer that no known mistake explains: facts, found by running it on all public inputs.

Nothing here guesses. Each clue is a statement about the answer's results that was seen to hold: which kinds of inputs
go wrong, which sentence of the statement they need, which results are right, which argument has no effect, whether the
samples of a mini-batch influence one another, and how wrong numbers relate to the right ones.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcourse.exercise.compare import call, copied, matches, quietly
from mmcourse.exercise.mistaken import ignoring
from mmcourse.exercise.mutants import MutantError
from mmcourse.exercise.parts import Part
from mmcourse.exercise.probe import helper
from mmcourse.exercise.statement import Row
from mmcourse.exercise.values import relation
from mmcourse.exercise.verdict import CheckFailed, NotAttempted

if TYPE_CHECKING:
    from mmcourse.exercise.exercise import Exercise

SECONDS = 5  # for all runs of the answer together
MOST = 3  # clues in one message
TRIES = 3  # different inputs on which a clue must be seen, where it could hold by chance


@dataclass(frozen=True)
class Run:
    """The answer on one input: what came out (None if it raised), and whether that is right."""

    part: Part
    args: tuple
    got: Any
    want: Any
    right: bool


class _Late(Exception):
    """The time for all runs together is over."""


@dataclass
class Answer:
    """An answer that may run until a deadline.

    `seconds` are given to each run, whatever is left of the time for all: a framework that is stopped amid its work may
    not recover. Without them, a run is stopped at the deadline.
    """

    function: Any
    until: float
    seconds: float = 0

    def __call__(self, *args: Any) -> Any:
        """Its result, or None if it raises."""
        left = self.until - time.monotonic()
        if left < 0.05:
            raise _Late
        try:
            return call(self.function, *args, seconds=self.seconds or left)
        except (CheckFailed, NotAttempted):
            if time.monotonic() >= self.until:
                raise _Late from None
            return None


def clues(exercise: Exercise, function: Any, inputs: Sequence[tuple[Part, tuple]]) -> list[str]:
    """Up to three facts about a wrong answer, the most telling first.

    Parameters
    ----------
    exercise : whose reference says what is right
    function : the answer, as a function of inputs
    inputs : (part, arguments), the public ones
    """
    try:
        return find_clues(exercise, function, inputs)
    except Exception:  # a learner's message stands without clues too; the tests call `find_clues`, which hides nothing
        return []


def find_clues(exercise: Exercise, function: Any, inputs: Sequence[tuple[Part, tuple]]) -> list[str]:
    """As `clues`, but what goes wrong in the search is raised; only a lack of time ends it quietly."""
    answer = Answer(function, time.monotonic() + SECONDS, exercise.seconds if exercise.use is not None else 0)
    try:
        runs = [_run(exercise, answer, part, args) for part, args in inputs]
        if all(run.right for run in runs):
            return []
        if _is_random(exercise, answer, runs):
            return ["Called twice with the same input, it gives two results. Nothing may be left to chance here."]
        found = (clue for search in SEARCHES for clue in search(exercise, answer, runs))
        return list(islice(found, MOST))
    except _Late:
        return []


def _run(exercise: Exercise, answer: Answer, part: Part, args: tuple) -> Run:
    got, want = answer(*args), exercise.expected(*map(copied, args))
    return Run(part, args, got, want, got is not None and exercise.comparison.matches(got, want))


def _is_same(exercise: Exercise, one: Any, other: Any) -> bool:
    """Whether two results of the answer are equal."""
    if exercise.use is not None:
        return exercise.comparison.matches(one, other)
    return matches(one, other, _tolerances(exercise))


def _tolerances(exercise: Exercise) -> dict[str, Any]:
    """How near is equal; names of results are left out, for an answer may have another number of them."""
    return {key: value for key, value in exercise.comparison.settings.items() if key in ("atol", "rtol")}


def _is_random(exercise: Exercise, answer: Answer, runs: Sequence[Run]) -> bool:
    """Whether the same input gives another result: then no other clue could be trusted.

    Results that do not even equal themselves, such as a tuple with None, tell nothing.
    """
    tried = [run for run in runs if run.got is not None and _is_same(exercise, run.got, run.got)][:TRIES]
    if exercise.use is None:
        return any(not _is_same(exercise, answer(*run.args), run.got) for run in tried)
    probe = helper(exercise.framework)
    with probe.preserved_generators():
        probe.seed(len(runs))  # a probe leaves generators as they were: else the same numbers would be drawn again
        return any(not _is_same(exercise, answer(*run.args), run.got) for run in tried)


# ---------------------------------------------------------------- arguments without effect
def _unused(exercise: Exercise, answer: Answer, runs: Sequence[Run]) -> Iterator[str]:
    """Arguments that can change alone without changing the answer's result, though the right one changes."""
    if exercise.use is not None:
        return
    names = list(inspect.signature(exercise.reference).parameters)
    unused = [name for j, name in enumerate(names) if _has_no_effect(exercise, answer, runs, j)]
    if unused:
        verb = "changes" if len(unused) == 1 else "change"
        yield f"Your result does not change when only {_listed(unused)} {verb}. It should."


def _has_no_effect(exercise: Exercise, answer: Answer, runs: Sequence[Run], j: int) -> bool:
    seen = 0
    for run in runs:
        if run.got is None or j >= len(run.args):
            continue
        for value in _others(runs, run, j):
            args = (*run.args[:j], value, *run.args[j + 1 :])
            want = quietly(lambda args=args: exercise.expected(*map(copied, args)))
            if want is None or exercise.comparison.matches(want, run.want):
                continue
            got = answer(*args)
            if got is None or not _is_same(exercise, got, run.got):
                return False
            seen += 1
            break
    return seen >= TRIES


def _others(runs: Sequence[Run], run: Run, j: int) -> Iterator[Any]:
    """Values that may take the place of an argument: those of other inputs, and an array's own numbers turned round."""
    value = run.args[j]
    yield from (other.args[j] for other in runs if j < len(other.args) and _is_alike(value, other.args[j]))
    if isinstance(value, np.ndarray):
        yield from (np.flip(value, axis) for axis in range(value.ndim))


def _is_alike(value: Any, other: Any) -> bool:
    """Whether one may take the place of the other."""
    if isinstance(value, np.ndarray):
        return isinstance(other, np.ndarray) and (value.shape, value.dtype) == (other.shape, other.dtype)
    if isinstance(value, dict):
        return isinstance(other, dict) and set(value) == set(other)
    if isinstance(value, (list, tuple)):
        return type(value) is type(other) and len(value) == len(other)
    return isinstance(other, type(value))


# ---------------------------------------------------------------- samples that influence one another
def _mixed(exercise: Exercise, answer: Answer, runs: Sequence[Run]) -> Iterator[str]:
    """A sample's result that changes when the other samples are left out, where the right one does not."""
    touched = 0
    for run in runs:
        want, got = _rows(exercise, run.want), _rows(exercise, run.got)
        if want is None or got is None or got.shape != want.shape or len(want) < 2:
            continue
        plan = _plan(exercise, run.args, want)
        if plan is None:
            return
        for i in range(len(want)):
            alone = _rows(exercise, answer(*_only(run.args, plan, i)))
            if alone is None or alone.size != got[i].size:
                return
            if not matches(alone.reshape(got[i].shape), got[i], _tolerances(exercise)):
                touched += 1
    if touched:
        yield (
            "The samples of a mini-batch influence one another: for one sample alone, another result comes out. "
            "It should be the same."
        )


def _rows(exercise: Exercise, value: Any) -> np.ndarray | None:
    """What has one row for each sample: the result, or the first array of what a probe brings out."""
    if exercise.use is not None and isinstance(value, list) and value:
        value = next((item for item in value[0].values() if not isinstance(item, str)), None)
    if isinstance(value, tuple):
        value = value[0]
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return None
    return array if array.ndim >= 1 else None


def _plan(exercise: Exercise, args: tuple, want: np.ndarray) -> tuple[int | None, ...] | None:
    """The axis of each argument along which the samples lie, if the right result of each depends on itself alone."""
    n = len(want)
    axes = [
        [*(k for k, size in enumerate(value.shape) if size == n), None] if isinstance(value, np.ndarray) else [None]
        for value in args
    ]
    for plan in islice(product(*axes), 24):
        if all(axis is None for axis in plan):
            continue
        alone = [
            _rows(exercise, quietly(lambda i=i, plan=plan: exercise.expected(*map(copied, _only(args, plan, i)))))
            for i in range(n)
        ]
        if all(
            row is not None and row.shape == want[:1].shape and np.allclose(row[0], want[i], 1e-4, 1e-6, equal_nan=True)
            for i, row in enumerate(alone)
        ):
            return plan
    return None


def _only(args: tuple, plan: tuple[int | None, ...], i: int) -> tuple:
    """The arguments with the i-th sample alone."""
    return tuple(
        value if axis is None else np.take(value, [i], axis=axis) for value, axis in zip(args, plan, strict=True)
    )


# ---------------------------------------------------------------- results that are right
def _results(exercise: Exercise, answer: Answer, runs: Sequence[Run]) -> Iterator[str]:
    """Of several results, those that are right on all inputs."""
    if any(run.got is None for run in runs):
        return
    pairs = [(_parts(exercise, run.got), _parts(exercise, run.want)) for run in runs]
    names = list(pairs[0][1])
    if len(names) < 2 or any(list(got) != names or list(want) != names for got, want in pairs):
        return
    close = _tolerances(exercise)
    right = [name for name in names if all(matches(got[name], want[name], close) for got, want in pairs)]
    wrong = [name for name in names if name not in right]
    if right and wrong:
        yield f"Only {_listed(wrong)} can be wrong; {_listed(right)} came out right on all {len(runs)} inputs."


def _parts(exercise: Exercise, value: Any) -> dict[str, Any]:
    """Results by name; empty where there is only one."""
    if exercise.use is not None:
        return dict(value[0]) if isinstance(value, list) and len(value) == 1 else {}
    names = exercise.settings.get("names") or ()
    if not names or not isinstance(value, (tuple, list)) or len(value) != len(names):
        return {}
    return dict(zip(names, value, strict=True))


# ---------------------------------------------------------------- numbers
def _numbers(exercise: Exercise, answer: Answer, runs: Sequence[Run]) -> Iterator[str]:
    """How wrong numbers relate to the right ones, if it is the same way on all inputs that go wrong."""
    wrong = [run for run in runs if not run.right]
    if exercise.use is not None or len(wrong) < TRIES:
        return
    names = list(_parts(exercise, wrong[0].want)) or [""]
    for name in names:
        got = [_parts(exercise, run.got).get(name) if name else run.got for run in wrong]
        want = [_parts(exercise, run.want)[name] if name else run.want for run in wrong]
        try:
            arrays = [(np.asarray(a), np.asarray(b)) for a, b in zip(got, want, strict=True)]
        except ValueError:  # rows of different lengths
            continue
        if any(a.dtype.kind not in "iuf" or b.dtype.kind not in "iuf" or a.shape != b.shape for a, b in arrays):
            continue
        a, b = (np.concatenate([pair[k].ravel() for pair in arrays]).astype(float) for k in (0, 1))
        found = relation(a, b)
        if found:
            yield f"On all {len(wrong)} inputs that go wrong, {name or 'the result'} is {found}."


# ---------------------------------------------------------------- sentences and kinds of inputs
def _sentence(exercise: Exercise, answer: Answer, runs: Sequence[Run]) -> Iterator[str]:
    """The one sentence of the statement that, ignored, goes wrong on just the inputs that go wrong here."""
    wrong = frozenset(k for k, run in enumerate(runs) if not run.right)
    if 3 * len(wrong) > len(runs):  # many sentences have nearly all inputs in common
        return
    fitting = [text for text, where in _ignored(exercise, [run.args for run in runs]) if where == wrong]
    if len(set(fitting)) == 1 and not fitting[0].startswith(("$$", "|")):  # no formula or table within a sentence
        yield f"It goes wrong on just those inputs for which this sentence counts: “{_plain(fitting[0])}”"


def _ignored(exercise: Exercise, inputs: Sequence[tuple]) -> list[tuple[str, frozenset[int]]]:
    """(sentence, inputs that go wrong if it is ignored) of each sentence that asks for something; computed once."""
    key = "_inputs_of_sentences"
    if key not in exercise.__dict__:
        found = []
        for row in exercise.statement:
            for mutant in _ignoring(exercise, row):
                where = frozenset(k for k, args in enumerate(inputs) if _fails(exercise, mutant, args))
                found.append((row.text, where))
        exercise.__dict__[key] = found
    return exercise.__dict__[key]


def _ignoring(exercise: Exercise, row: Row) -> list[Any]:
    """Answers that ignore a sentence; none where it asks for nothing, or is not yet sound (which `verify` names)."""
    if row.kind != "says":
        return []
    try:
        return list(map(exercise.usable, ignoring(exercise, row)))
    except (ValueError, MutantError):
        return []


def _fails(exercise: Exercise, mutant: Any, args: tuple) -> bool:
    value = quietly(lambda: mutant(*map(copied, args)))
    return value is None or not exercise.comparison.matches(value, exercise.expected(*map(copied, args)))


def _plain(text: str) -> str:
    """A sentence without Markdown and without what leads on to the next one."""
    text = re.sub(r"\*+([^*]+)\*+", r"\1", " ".join(text.split()))
    return text.removeprefix("- ").rstrip(",;:")


def _kinds(exercise: Exercise, answer: Answer, runs: Sequence[Run]) -> Iterator[str]:
    """Names of the kinds of inputs that go wrong, and of those that are right."""
    own = [run for run in runs if run.part.hidden]  # not those of the check alone
    wrong = list(dict.fromkeys(run.part.name for run in own if not run.right))
    right = [name for name in dict.fromkeys(run.part.name for run in own) if name not in wrong]
    if wrong and right:
        told = f"It goes wrong with: {_quoted(wrong)}." if len(wrong) <= len(right) else ""
        if len(right) <= max(len(wrong), 3):
            told += f" It is right with: {_quoted(right)}."
        yield told.strip()


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)


def _listed(names: Sequence[str]) -> str:
    marked = [f"`{name}`" if name.isidentifier() else f"“{name}”" for name in names]
    return marked[0] if len(marked) == 1 else f"{', '.join(marked[:-1])} and {marked[-1]}"


SEARCHES = (_unused, _mixed, _numbers, _sentence, _results, _kinds)
