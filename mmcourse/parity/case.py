"""What a topic says about a formula, and the trees of arrays that go in and out of it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ParityCase:
    """One formula in NumPy, PyTorch and Keras.

    Attributes
    ----------
    name : unique, in plain words
    numpy : "file.function" inside `mmcourse.numpy`
    layer : "file.Class" inside `mmcourse.torch` and `mmcourse.keras`; a function there for a formula without weights
    config : constructor arguments, the same in both (`layer` a function: empty)
    inputs : generator -> keyword arguments of the call, with the same names in all backends. Lists, tuples and dicts
        may nest. Floating-point arrays (float64) are differentiated; masks and ids are not.
    count : number of trainable parameters, in closed form
    options : further keyword arguments that only the NumPy function needs, since its layers know them (``num_heads``)
    backward : (dy, inputs, p, options) -> ({"input name": gradient}, {"parameter name": gradient}); names of nested
        inputs are dotted ("xs.0"). None: central differences.
    numpy_call, torch_call, keras_call : (function or layer, inputs, ...) -> output, where the plain call with keywords
        will not do: a cache to drop, channels to move. NumPy's gets (function, inputs, p, options).
        Output and inputs are compared in NumPy's layout.
    tags : what else holds, for tests: "mixes" (samples of a batch depend on each other, as in batch norm)
    """

    name: str
    numpy: str
    layer: str
    inputs: Callable[[np.random.Generator], dict[str, Any]]
    count: int
    config: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    backward: Callable | None = None
    numpy_call: Callable = lambda f, inputs, p, options: f(**inputs, p=p, **options)
    torch_call: Callable = lambda layer, inputs: layer(**inputs)
    keras_call: Callable = lambda layer, inputs: layer(**inputs)
    tags: frozenset[str] = frozenset()

    def find(self, backend: str):
        """The function or class of this formula in backend "numpy", "torch" or "keras"."""
        file, name = (self.numpy if backend == "numpy" else self.layer).rsplit(".", 1)
        return getattr(import_module(f"mmcourse.{backend}.{file}"), name)


def parity_cases(part: str = "") -> list[ParityCase]:
    """The registered formulas whose topic or name has `part` in it, by topic.

    Raises
    ------
    ValueError
        Where two formulas share a name.
    """
    found: dict[str, tuple[str, ParityCase]] = {}
    package = import_module("mmcourse.parity")
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.startswith("_"):
            continue
        for formula in getattr(import_module(f"mmcourse.parity.{info.name}"), "FORMULAS", []):
            if formula.name in found:
                raise ValueError(f"name: {formula.name!r} is registered by {found[formula.name][0]} and {info.name}")
            found[formula.name] = info.name, formula
    return [formula for topic, formula in found.values() if part in topic or part in formula.name]


def flatten(tree: Any, path: str = "") -> dict[str, Any]:
    """Nested dicts, lists and tuples as one dict by dotted path; None is left out."""
    if tree is None:
        return {}
    if isinstance(tree, (dict, list, tuple)):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {key: leaf for k, v in items for key, leaf in flatten(v, f"{path}.{k}" if path else str(k)).items()}
    return {path: tree}


def replace(tree: Any, leaves: dict[str, Any], path: str = "") -> Any:
    """The same tree with the leaves of that dict, which `flatten` may have given."""
    if isinstance(tree, dict):
        return {k: replace(v, leaves, f"{path}.{k}" if path else str(k)) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(replace(v, leaves, f"{path}.{i}" if path else str(i)) for i, v in enumerate(tree))
    return tree if tree is None else leaves[path]


def is_real(array: Any) -> bool:
    """Floating point: what a gradient is taken of."""
    return isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.floating)


def cast(inputs: dict[str, Any], dtype: str) -> dict[str, Any]:
    """The same inputs with the floating-point arrays in `dtype`; masks, ids and plain numbers as they are."""
    return replace(inputs, {k: v.astype(dtype) if is_real(v) else v for k, v in flatten(inputs).items()})
