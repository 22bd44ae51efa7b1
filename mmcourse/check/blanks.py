"""Blanks inside a lesson: short gaps that the reader fills, each with a check.

In the lesson::

    def causal_mask(n):
        return ...          # the blank

    causal_mask = check("attention.blank.2", causal_mask)

`check` says what is right or wrong and hands back the reader's version once it is right. Until then it hands back the
course's own version, so that the cells below work and "Run All" reaches the end.

For authors, in `notebooks/src/SLUG/exercises.py`::

    from mmcourse.check.blanks import blank

    @blank(
        "attention.blank.2",
        title="The causal mask",
        inputs=[(1,), (4,)],
        mistakes=[(lambda n: np.triu(np.ones((n, n), bool)), "This lets positions see the future.")],
    )
    def causal_mask(n):
        return np.tril(np.ones((n, n), bool))

The decorated function is the course's version.
"""

from __future__ import annotations

import dis
import importlib.util
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import mmcourse
from mmcourse.exercise import registry
from mmcourse.exercise.compare import assert_close
from mmcourse.exercise.reference import Comparison, check_against_reference
from mmcourse.exercise.verdict import CheckFailed, NotAttempted

ID = re.compile(r"([a-z][a-z0-9_]*)\.blank\.([1-9]\d*)")
OURS = "The cells below use the course's own version until yours is right."
_REGISTER: dict[str, Blank] = {}


@dataclass(frozen=True)
class Blank:
    """One blank: the course's version, and what is needed to judge a reader's."""

    id: str
    title: str
    reference: Callable
    inputs: Callable[[], Iterable[tuple]] | Sequence[tuple] = field(repr=False)
    mistakes: Sequence[tuple[Callable, str]] = field(repr=False)
    judge: Callable[[Any, Any], None] | None = field(repr=False)
    value: bool
    settings: dict[str, Any] = field(repr=False)

    def cases(self) -> list[tuple]:
        """The argument tuples, made when they are needed."""
        return list(self.inputs() if callable(self.inputs) else self.inputs)

    def version(self, given: tuple = ()) -> Any:
        """The course's version: the function, or the value made from what the lesson hands over."""
        return self.reference(*given) if self.value else self.reference


def blank(
    id: str,
    *,
    title: str,
    mistakes: Sequence[tuple[Callable, str]],
    inputs: Callable[[], Iterable[tuple]] | Sequence[tuple] = ((),),
    judge: Callable[[Any, Any], None] | None = None,
    value: bool = False,
    **settings: Any,
) -> Callable:
    """Register the decorated function as the course's version of a blank.

    Parameters
    ----------
    id : "SLUG.blank.k", numbered from 1 within the lesson
    title : what is to be written, in a few words
    mistakes : pairs of a wrong version and the message that it gets; at least one
    inputs : argument tuples on which a reader's function is compared with the course's, a small one first; or a
        function that makes them, where a framework has to be loaded for that
    judge : for what no comparison of results can decide (a class, a module): function of the reader's version and the
        course's that raises `CheckFailed`
    value : the blank is a value or a class, and the decorated function returns the course's. It gets what the lesson
        hands to `check` after the answer; `inputs` are examples of that
    settings : `atol`, `rtol`, `names`, `what`, as in `assert_close`
    """
    if not ID.fullmatch(id):
        raise ValueError(f'blank id: expected "SLUG.blank.k" such as "attention.blank.2", got {id!r}')
    if not mistakes:
        raise ValueError(f"blank {id}: expected at least one mistake with its message, so that its check can be tried")

    def register(function: Callable) -> Callable:
        known = _REGISTER.get(id)
        if known and known.reference.__qualname__ != function.__qualname__:
            both = f"{known.reference.__qualname__} and {function.__qualname__}"
            raise ValueError(f"blank {id}: registered twice, by {both}")
        _REGISTER[id] = Blank(id, title, function, inputs, tuple(mistakes), judge, value, settings)
        return function

    return register


# ---------------------------------------------------------------- finding them
def files() -> dict[str, Path]:
    """Each lesson's exercises.py by slug: the checkout's, else those inside an installed package."""
    package = Path(mmcourse.__file__).parent
    sources = package.parent / "notebooks" / "src"
    folder = sources if sources.is_dir() else package / "_lessons"
    return {path.parent.name: path for path in sorted(folder.glob("*/exercises.py"))}


def _load(slug: str, id: str = "") -> None:
    """Run what a lesson's blanks are written in; they register themselves.

    With an `id`, a file that loads a framework (exercises_torch.py, exercises_keras.py) is run only if it holds that
    blank.
    """
    path = files().get(slug)
    if path is None:
        return
    if registry.is_written(path):  # beside exercises, which are read by the same run
        registry.find(id) if id else registry.find_lesson(slug)
        return
    _run(path, f"mmcourse_exercises_{slug}")
    for framework in registry.FRAMEWORKS:
        other = path.with_name(f"exercises_{framework}.py")
        if other.is_file() and f'"{id}' in other.read_text(encoding="utf-8"):
            _run(other, f"mmcourse_exercises_{slug}_{framework}")


def _run(path: Path, name: str) -> None:
    """Run a file once, as a module of this name."""
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def blanks(slug: str | None = None) -> list[Blank]:
    """All blanks, or one lesson's, in order."""
    for each in [slug] if slug else files():
        _load(each)
    found = [b for b in _REGISTER.values() if slug in (None, b.id.split(".")[0])]
    return sorted(found, key=lambda b: (b.id.split(".")[0], int(b.id.split(".")[2])))


def find(id: str) -> Blank:
    """The blank of this id; a ValueError lists the lesson's blanks if there is none."""
    match = ID.fullmatch(id)
    if match and id not in _REGISTER:
        _load(match[1], id)
    if id in _REGISTER:
        return _REGISTER[id]
    known = blanks(match[1]) if match else []
    listed = ", ".join(b.id for b in known) or "none in this lesson"
    raise ValueError(f"There is no blank {id!r}. Blanks that exist: {listed}.")


# ---------------------------------------------------------------- judging
def judge(it: Blank, answer: Any, given: tuple = ()) -> None:
    """Return silently if the answer is right; raise `CheckFailed`, or `NotAttempted` while a gap is left."""
    if is_empty(answer):
        raise NotAttempted
    if answer is None:
        raise CheckFailed("The answer is None. Did a function without `return` make it?")
    if it.judge is not None:
        it.judge(answer, it.version(given))
        return
    if not it.value:
        check_against_reference(answer, it.reference, it.cases(), Comparison(it.settings), it.mistakes)
        return
    hints = [(lambda wrong=wrong: wrong(*given), message) for wrong, message in it.mistakes]
    assert_close(answer, it.version(given), hints=hints, **({"what": "The answer"} | it.settings))


def is_empty(answer: Any) -> bool:
    """Whether a gap of the lesson is still open in it: `...` as the answer itself, or assigned or returned by code."""
    if answer is ...:
        return True
    if isinstance(answer, (list, tuple)):
        return any(is_empty(item) for item in answer)
    if _does_nothing(getattr(answer, "__code__", None)):
        return True
    return any(_has_gap(code) for code in _codes(answer))


def _codes(answer: Any) -> Iterator[types.CodeType]:
    """The code of a function, or of everything that a class defines itself."""
    if isinstance(answer, type):
        for member in vars(answer).values():
            if not isinstance(member, type):
                yield from _codes(member)
        return
    members = [answer, getattr(answer, "__func__", None), getattr(answer, "__wrapped__", None)]
    if isinstance(answer, property):
        members = [answer.fget, answer.fset]
    for member in members:
        code = getattr(member, "__code__", None)
        if isinstance(code, types.CodeType):
            yield from _nested(code)


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _steps(code: types.CodeType) -> list[tuple[str, Any]]:
    """Name and argument of each bytecode instruction that does something."""
    skipped = ("RESUME", "NOP", "CACHE", "COPY_FREE_VARS", "MAKE_CELL")
    return [(step.opname, step.argval) for step in dis.get_instructions(code) if step.opname not in skipped]


def _does_nothing(code: Any) -> bool:
    """Whether a function is only `...`, `pass` or a docstring: Python leaves nothing of it but `return None`."""
    if not isinstance(code, types.CodeType):
        return False
    return _steps(code) in ([("LOAD_CONST", None), ("RETURN_VALUE", None)], [("RETURN_CONST", None)])


def _has_gap(code: types.CodeType) -> bool:
    """Whether `...` is assigned or returned: `x = ...`, `self.x = ...`, `return ...`. `x[..., 0]` is no gap."""
    steps = _steps(code)
    for position, (name, value) in enumerate(steps):
        if value is not ...:
            continue
        following = [name for name, _ in steps[position + 1 : position + 3]]
        if name == "RETURN_CONST" or following[:1] == ["RETURN_VALUE"]:
            return True
        if following and following[0].startswith("STORE_") and following[0] != "STORE_SUBSCR":
            return True
        # `self.x = ...` loads `self` before it stores
        if len(following) == 2 and following[0].startswith("LOAD_") and following[1] == "STORE_ATTR":
            return True
    return False


# ---------------------------------------------------------------- is the check itself any good?
def faults(it: Blank) -> list[str]:
    """Everything that makes this blank unfit for a lesson, in sentences.

    Its check refuses the course's version, accepts nonsense, or gives a mistake another message than its own. Run by
    `mmcourse build` and the tests, not by learners.
    """
    found = []
    if not it.cases():
        return [f"blank {it.id} has no inputs to be judged on"]
    cases = it.cases() if it.value else [()]
    for given in cases:
        verdict = _verdict(it, it.version(given), given)
        if verdict is not None:
            found.append(f"blank {it.id} refuses the course's own version: {verdict}")
        for wrong, message in it.mistakes:
            answer = wrong(*given) if it.value else wrong
            verdict = _verdict(it, answer, given)
            if verdict is None:
                found.append(f"blank {it.id} accepts the mistake that should get: {message!r}")
            elif message not in verdict and given == cases[0]:
                found.append(f"blank {it.id}: the mistake that should get {message!r} gets {verdict!r}")
        for name, nonsense in _nonsense(it):
            if _verdict(it, nonsense, given) is None:
                found.append(f"blank {it.id} accepts {name}")
    return list(dict.fromkeys(found))


def _verdict(it: Blank, answer: Any, given: tuple) -> str | None:
    """None if the answer is accepted, else why not."""
    try:
        judge(it, answer, given)
    except NotAttempted:
        return "not attempted"
    except Exception as error:
        return str(error) or type(error).__name__
    return None


def _nonsense(it: Blank) -> list[tuple[str, Any]]:
    """Answers that no check may accept."""
    if it.value:
        return [
            ("0", 0),
            ("an empty text", ""),
            ("an object of no kind", object()),
            ("an empty class", type("Empty", (), {})),
        ]

    def nans(*args: Any, **kwargs: Any) -> Any:
        right = it.reference(*args, **kwargs)
        return np.full(np.shape(right), np.nan)

    return [
        ("a function that returns 0", lambda *args, **kwargs: 0),
        ("a function that returns an empty text", lambda *args, **kwargs: ""),
        ("a function that returns its first argument", lambda *args, **kwargs: args[0] if args else None),
        ("a function that returns NaN of the right shape", nans),
        (
            "a function that returns an array with one axis more",
            lambda *a, **k: np.asarray(it.reference(*a, **k))[None],
        ),
    ]
