"""A module whose functions remember what they gave: for references that solve the same problem again and again."""

from __future__ import annotations

from functools import wraps
from types import ModuleType
from typing import Any

import numpy as np

MOST = 2000  # values kept of one function


class Remembered:
    """Stands for a module in an exercises.py: `ceilings = remembered(ceilings)`."""

    def __init__(self, module: ModuleType):
        self._module = module
        self._known: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)
        if not callable(function):
            return function

        if name not in self._known:
            self._known[name] = remembering(function)
        return self._known[name]


def remembering(function: Any) -> Any:
    """The function, computing each value once; errors are not remembered."""
    known: dict[Any, Any] = {}

    @wraps(function)
    def once(*args: Any) -> Any:
        key = tuple(map(_key, args))
        if key not in known:
            if len(known) >= MOST:
                known.clear()
            known[key] = function(*args)
        return known[key]

    return once


def remembered(module: ModuleType) -> Any:
    """The module with functions that compute each value once; arguments are plain values."""
    return Remembered(module)


def _key(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, (list, tuple)):
        return type(value), *map(_key, value)
    if isinstance(value, dict):
        return tuple((key, _key(item)) for key, item in value.items())
    return repr(value)
