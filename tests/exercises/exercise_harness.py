"""Known answers, the attacks that every exercise must withstand, and the disguises that it must see through."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Answers:
    """Answers to one exercise.

    right: at least two, written differently from the model solution.
    wrong: at least four pairs (answer, fragment of the message that names this mistake).
    skip: {attack or disguise: reason why it does not apply here}; "*" leaves out all that wrap the answer in a
    function, for answers that must be classes or modules.
    """

    right: list[Any]
    wrong: list[tuple[Any, str]]
    skip: dict[str, str] = field(default_factory=dict)


@functools.cache
def known_answers(files: str = "answers_*.py") -> dict[str, Answers]:
    """The ANSWERS of every answers_SLUG.py beside this file; those of frameworks are in framework_answers_*.py."""
    found: dict[str, Answers] = {}
    for path in sorted(HERE.glob(files)):
        spec = importlib.util.spec_from_file_location(f"exercise_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= module.ANSWERS
    return found


@functools.cache
def judged(id: str, kind: str, k: int) -> Any:
    """The verdict on the k-th "right" or "wrong" answer to an exercise, judged once however many tests ask."""
    from mmcourse.check import judge  # the grading sandbox has this file, and no checks

    answers = known_answers()[id]
    return judge(id, answers.right[k] if kind == "right" else answers.wrong[k][0])


def on_result(answer: Any, change: Callable[[Any], Any]) -> Any:
    """The same answer with every value that it gives changed: the results of a function, or the value itself."""

    def changed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(changed(item) for item in value)
        if isinstance(value, dict):
            return {key: changed(item) for key, item in value.items()}
        return change(value)

    if isinstance(answer, type) or not callable(answer):
        return changed(answer)
    return lambda *args, **kwargs: changed(answer(*args, **kwargs))


# ---------------------------------------------------------------- attacks: all must be rejected
def _array(value: Any) -> np.ndarray:
    value = value.detach() if hasattr(value, "detach") else value
    return np.array(value)


def _numeric(change: Callable[[np.ndarray], Any], other: Any = 3.5) -> Callable:
    """`change` for numbers; text and other things become `other`."""

    def apply(value: Any) -> Any:
        array = _array(value)
        return change(array) if array.dtype.kind in "biufc" else other

    return apply


def _last_nan(a: np.ndarray) -> np.ndarray:
    a = np.array(a, dtype=complex if a.dtype.kind == "c" else float)
    a[(-1,) * a.ndim] = np.nan
    return a


def _off(a: np.ndarray) -> np.ndarray:
    return ~a if a.dtype.kind == "b" else a + 1


class Forged:
    """Claims to be equal to everything, and holds nothing."""

    __hash__ = None

    def __eq__(self, other: Any) -> bool:
        return True

    def __ne__(self, other: Any) -> bool:
        return False


class ForgedArray(Forged):
    """Claims to be equal to everything; as an array it holds wrong values."""

    def __init__(self, values: np.ndarray):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values


class LyingArray(np.ndarray):
    """An array whose own arithmetic always finds a difference of zero."""

    __hash__ = None

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        return np.zeros(self.shape)

    def __array_function__(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def __eq__(self, other: Any) -> Any:
        return np.ones(self.shape, bool)


def _spoil(args: tuple) -> bool:
    """Change the first argument that can be changed in place; False if there is none."""
    for value in args:
        if isinstance(value, np.ndarray) and value.size:
            value[...] = _off(value)
        elif hasattr(value, "add_"):  # a PyTorch tensor
            value.detach().add_(1)
        elif isinstance(value, list) and value:
            value.append(value[0])
        elif isinstance(value, dict) and value:
            value.popitem()
        else:
            continue
        return True
    return False


def _spoils_input(answer: Any) -> Callable:
    """The right result, but the input is spoilt; where no input can be, None."""

    def spoil(*args: Any) -> Any:
        result = answer(*args)
        return result if _spoil(args) else None

    return spoil


def _view_of_input(answer: Any) -> Callable:
    """The right result, written into the input and returned as a view of it, where it fits."""

    def view(*args: Any) -> Any:
        result = answer(*args)
        for array in (a for a in args if isinstance(a, np.ndarray) and a.size):
            if not isinstance(result, (tuple, dict)) and array.size >= np.size(result):
                flat = array.reshape(-1)[: np.size(result)]
                flat[...] = np.ravel(result)
                return flat.reshape(np.shape(result))
        return result if _spoil(args) else None

    return view


def _hard_coded(answer: Any) -> Callable:
    kept: list[Any] = []

    def first(*args: Any) -> Any:
        kept.append(answer(*args))
        return kept[0]

    return first


def _raises(answer: Any) -> Callable:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("on purpose")

    return fail


_VALUES: dict[str, Callable] = {
    "nan": _numeric(lambda a: np.full(a.shape, np.nan)),
    "one nan": _numeric(_last_nan),
    "string": lambda value: "" if isinstance(value, str) else str(value),
    "dtype text": _numeric(lambda a: a.astype(str)),
    "dtype object": _numeric(lambda a: a.astype(object)),
    "dtype bool": _numeric(lambda a: a.astype(float) if a.dtype.kind == "b" else a.astype(bool)),
    "extra axis": _numeric(lambda a: a[None], other=[3.5]),
    "cut short": _numeric(lambda a: a.reshape(-1)[:-1]),
    "all zero": _numeric(lambda a: np.zeros(a.shape), other=0),
    "forged eq": lambda value: Forged(),
    "forged array": _numeric(lambda a: ForgedArray(np.asarray(_off(a)))),
    "lying subclass": _numeric(lambda a: np.asarray(_off(a)).view(LyingArray)),
    "none inside": lambda value: None,
}
_FUNCTIONS: dict[str, Callable] = {
    "input changed": _spoils_input,
    "view of the input": _view_of_input,
    "hard-coded": _hard_coded,
    "raises": _raises,
    "not a function": lambda answer: 3.5,
}
_ANY: dict[str, Callable] = {"none": lambda answer: None, "forged itself": lambda answer: Forged()}


def _your_turn(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError("your turn")


def attacks(answer: Any, skip: Collection[str] = ()) -> dict[str, Any]:
    """Every generic wrong answer that can be made from a right one, by name."""
    made = {name: make(answer) for name, make in _ANY.items()}
    if isinstance(answer, type) or "*" in skip:
        return made
    made |= {name: on_result(answer, change) for name, change in _VALUES.items()}
    if callable(answer):
        made |= {name: make(answer) for name, make in _FUNCTIONS.items()}
    return {name: bad for name, bad in made.items() if name not in skip}


def blanks(answer: Any, skip: Collection[str] = ()) -> dict[str, Any]:
    """What counts as not attempted, by name."""
    inner = {"inner ellipsis": lambda *a, **k: ..., "your turn": _your_turn}
    made = {"ellipsis": ...} | (inner if callable(answer) and not isinstance(answer, type) and "*" not in skip else {})
    return {name: blank for name, blank in made.items() if name not in skip}


# ---------------------------------------------------------------- disguises: all must be accepted
def _if_float(dtype: str) -> Callable:
    return _numeric(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a)


def disguises(answer: Any, skip: Collection[str] = ()) -> dict[str, Any]:
    """The same right answer in other clothes: narrower floats, lists.

    Not float16: no statement allows it, and its rounding (5e-4) is five times the bar.
    """
    if isinstance(answer, type) or "*" in skip:
        return {}

    def plain_list(value: Any) -> Any:
        return value if isinstance(value, (str, list)) else _array(value).tolist()

    def narrow(dtype: str) -> Callable:
        return lambda value: value if isinstance(value, (str, list)) else _if_float(dtype)(value)

    changes = {"list": plain_list, "float32": narrow("float32")}
    return {name: on_result(answer, change) for name, change in changes.items() if name not in skip}


def rounded(answer: Any) -> tuple[Any, Any] | None:
    """The answer in float16, and the very same numbers in float64: both deserve the same verdict."""
    if isinstance(answer, type):
        return None

    def both(dtype: str) -> Callable:
        def change(value: Any) -> Any:
            if isinstance(value, (str, list)):
                return value
            return _if_float(dtype)(_if_float("float16")(value))

        return change

    return on_result(answer, both("float16")), on_result(answer, both("float64"))
