"""Random states for a checkpoint: NumPy's and Python's generators, those that a learner's own loader holds included."""

from __future__ import annotations

import functools
import json
import random
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

LARGEST_SEARCH = 20_000  # objects; enough for any loader, and a bound for one that holds its whole data set in lists
FIRST_ELEMENTS = 50  # of a long list: generators stand beside the data, not among them
LIBRARIES = ("torch", "numpy", "builtins", "mmcourse", "tensorflow", "keras", "collections", "abc", "typing")


def find_generators(**roots: Any) -> dict[str, Any]:
    """Random generators within reach of some objects, by the path to them.

    Looks through attributes, dicts, lists, closures, defaults, and the global names that a function or the methods
    of a class use: wherever a loader's own augmentation may keep its generator.

    Returns
    -------
    {"train_loader.dataset.rng": generator}; NumPy's and Python's global generators are not among them.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    waiting = list(reversed(roots.items()))
    keep = []  # objects made on the way must live as long as their ids are compared
    while waiting and len(seen) < LARGEST_SEARCH:
        path, value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        keep.append(value)
        if is_generator(value):
            found[path] = value
        else:
            waiting.extend(reversed([(f"{path}.{name}", part) for name, part in _parts(value)]))
    return found


def is_generator(value: Any) -> bool:
    """Whether this is a random generator of NumPy, Python or PyTorch."""
    of_torch = type(value).__name__ == "Generator" and type(value).__module__.startswith("torch")
    return of_torch or isinstance(value, (np.random.Generator, np.random.RandomState, random.Random))


def _parts(value: Any) -> list[tuple[str, Any]]:
    """What an object holds, by name; nothing for data and for modules."""
    if isinstance(value, (str, bytes, int, float, complex, bool, type(None), np.ndarray, np.generic)):
        return []
    if isinstance(value, types.ModuleType) or type(value).__name__ in ("Tensor", "Parameter"):
        return []
    if isinstance(value, Mapping):
        return [(str(k), v) for k, v in list(value.items())[:FIRST_ELEMENTS]]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(str(i), v) for i, v in enumerate(list(value)[:FIRST_ELEMENTS])]
    if isinstance(value, functools.partial):
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    if isinstance(value, types.MethodType):
        return [("self", value.__self__), ("func", value.__func__)]
    if isinstance(value, types.FunctionType):
        return _parts_of_function(value)
    if isinstance(value, type):
        return [(k, v) for k, v in vars(value).items() if not k.startswith("__") or k in _METHODS]
    parts = list(getattr(value, "__dict__", {}).items())
    for slot in getattr(type(value), "__slots__", ()):
        if isinstance(slot, str) and hasattr(value, slot):
            parts.append((slot, getattr(value, slot)))
    for cls in type(value).__mro__:
        if cls.__module__.split(".")[0] not in LIBRARIES:
            parts.append((cls.__name__, cls))
    return parts


_METHODS = ("__getitem__", "__getitems__", "__iter__", "__call__", "__next__")


def _parts_of_function(function: types.FunctionType) -> list[tuple[str, Any]]:
    """A function's closure, defaults, and the global names that it uses."""
    parts = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            parts.append((name, cell.cell_contents))
        except ValueError:  # not filled yet
            continue
    parts += [(f"default {i}", value) for i, value in enumerate(function.__defaults__ or ())]
    parts += list((function.__kwdefaults__ or {}).items())
    if (function.__module__ or "").split(".")[0] not in LIBRARIES:
        names = function.__code__.co_names
        parts += [(name, function.__globals__[name]) for name in names if name in function.__globals__]
    return parts


def get_state(generator: Any) -> str:
    """State of a NumPy or Python generator as JSON text."""
    if isinstance(generator, np.random.Generator):
        state: Any = generator.bit_generator.state
    elif isinstance(generator, np.random.RandomState):
        state = generator.get_state(legacy=False)
    else:
        state = generator.getstate()
    return json.dumps(state, default=_encode)


def set_state(generator: Any, text: str) -> None:
    """Restore what `get_state` returned.

    Raises
    ------
    ValueError
        The text is no state of such a generator.
    """
    try:
        state = json.loads(text, object_hook=_decode)
        if isinstance(generator, np.random.Generator):
            generator.bit_generator.state = state
        elif isinstance(generator, np.random.RandomState):
            generator.set_state(state)
        else:
            version, numbers, gauss = state
            generator.setstate((version, tuple(numbers), gauss))
    except (TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(f"not the state of a {type(generator).__name__} ({error})") from error


def global_generators() -> dict[str, Any]:
    """NumPy's and Python's global generators."""
    return {"numpy": np.random.mtrand._rand, "python": random._inst}


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a random state")


def _decode(value: dict) -> Any:
    return np.array(value["array"], dtype=value["dtype"]) if set(value) == {"array", "dtype"} else value
