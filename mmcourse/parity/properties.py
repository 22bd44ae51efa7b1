"""What must hold of a formula before any number is compared. Each check raises AssertionError with the reason.

`forward` is any backend's: inputs by name -> outputs by path. `backend` is a TorchBackend or a KerasBackend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .backends import Arrays
from .case import ParityCase, flatten, is_real, replace
from .compare import difference

Forward = Callable[[dict[str, Any]], Arrays]
TIGHT = 1e-12


def registered(backend, formula: ParityCase) -> None:
    """The optimizer gets as many numbers as the formula has."""
    got = backend.num_trainable
    assert got == formula.count, f"{got} parameters are registered where the formula has {formula.count}"


def learns(backend, inputs: dict[str, Any], seed: int = 1) -> None:
    """Every parameter has a gradient that is finite and not zero, and so has every input."""
    rng = np.random.default_rng(seed)
    target = {k: rng.normal(size=v.shape) for k, v in backend.forward(inputs).items()}
    for name, slope in {k: v for part in backend.gradients(inputs, target) for k, v in part.items()}.items():
        assert np.isfinite(slope).all(), f"the gradient of {name} is not finite"
        assert np.abs(slope).max() > 0, f"the gradient of {name} is zero"


def changed(inputs: dict[str, Any], change: Callable[[str, np.ndarray], np.ndarray]) -> dict[str, Any]:
    """The inputs with `change(path, copy)` made to every array."""
    leaves = flatten(inputs)
    arrays = {k: change(k, v.copy()) if isinstance(v, np.ndarray) else v for k, v in leaves.items()}
    return replace(inputs, arrays)


def samples_independent(forward: Forward, inputs: dict[str, Any]) -> None:
    """Changing sample 0 changes no other sample's output, and the output has one row per sample."""

    def other(path, array):
        if is_real(array):
            array[0] = 7 - 2 * array[0]
        return array

    before, after = forward(inputs), forward(changed(inputs, other))
    size = len(next(v for v in flatten(inputs).values() if isinstance(v, np.ndarray)))
    for k, y in before.items():
        assert len(y) == size and y.ndim < 2 + max(np.ndim(v) for v in flatten(inputs).values()), (
            f"output of shape {y.shape}"
        )
        assert np.abs(after[k][1:] - y[1:]).max() < TIGHT, "a sample's output depends on another sample"


def batch_of_one(forward: Forward, inputs: dict[str, Any]) -> None:
    """A sample alone gives what it gives in a batch."""
    whole, alone = forward(inputs), forward(changed(inputs, lambda path, array: array[1:2]))
    rows = {k: v[1:2] for k, v in whole.items()}
    assert difference(alone, rows) < TIGHT, "a sample alone gives something else than in a batch"


def absent_ignored(forward: Forward, inputs: dict[str, Any]) -> None:
    """What stands in an absent modality's place does not matter, not even NaN (`xs` and `modality_mask`)."""

    def poison(path, array):
        if path.startswith("xs."):
            array[~inputs["modality_mask"][:, int(path.split(".")[1])]] = np.nan
        return array

    before, after = forward(inputs), forward(changed(inputs, poison))
    assert all(np.isfinite(v).all() for v in after.values()), "NaN in an absent modality comes through"
    assert difference(after, before) < TIGHT, "an absent modality's content comes through"


def present_matters(forward: Forward, inputs: dict[str, Any]) -> None:
    """Absent is something else than there, for a sample that has everything (row 1)."""

    def remove(path, array):
        if path == "modality_mask":
            array[1, 0] = False
        return array

    before, after = forward(inputs), forward(changed(inputs, remove))
    assert difference(after, before) > 1e-6, "taking a modality away changes nothing"


def padding_ignored(forward: Forward, inputs: dict[str, Any], pairs: dict[str, str], extra: int = 5) -> None:
    """Neither the content of padded steps nor more of them matters. `pairs`: path of a sequence -> path of its mask."""
    leaves = flatten(inputs)
    rng = np.random.default_rng(0)

    def longer(path, array):
        if path in pairs:
            if is_real(array):
                array[~leaves[pairs[path]]] = 1e3
            shape = (len(array), extra, *array.shape[2:])
            fill = rng.normal(size=shape) if is_real(array) else rng.integers(array.max() + 1, size=shape)
            return np.concatenate([array, fill.astype(array.dtype)], 1)
        if path in pairs.values():
            return np.concatenate([array, np.zeros((len(array), extra), bool)], 1)
        return array

    before, after = forward(inputs), forward(changed(inputs, longer))
    assert difference(after, before) < TIGHT, "padding comes through"
