"""A module whose functions remember what they gave: for references that solve the same problem again and again."""

from __future__ import annotations

from functools import wraps
from types import ModuleType
from typing import Any

import numpy as np

MOST = 10_000  # values kept of one module


class Remembered:
    """Stands for a module in an exercises.py: `information = remembered(information)`."""

    def __init__(self, module: ModuleType):
        self._module = module
        self._known: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)
        if not callable(function):
            return function

        @wraps(function)
        def remembering(*args: Any) -> Any:
            key = (name, *map(_key, args))
            if key not in self._known:
                if len(self._known) >= MOST:
                    self._known.clear()
                self._known[key] = function(*args)
            return self._known[key]

        return remembering


def remembered(module: ModuleType) -> Any:
    """The module with functions that compute each value once; arguments are arrays, numbers, lists of numbers."""
    return Remembered(module)


def _key(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    return repr(value)
