"""One comparison for all formulas: forward, gradients, five steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .backends import Arrays, KerasBackend, NumpyBackend, TorchBackend
from .case import ParityCase

# 2⁻⁵ is the same number in float32, in which Keras keeps its learning rate, and in float64.
RATE, STEPS = 2**-5, 5


@dataclass(frozen=True)
class Report:
    """Largest relative differences between two backends; NaN where one of them does not take part.

    Attributes
    ----------
    pair : "numpy–torch" or "torch–keras"
    forward, forward32 : of the outputs, in float64 and float32
    gradient : to inputs and parameters, float64
    sgd, adam : of the parameters after five steps, float64
    exact : whether the gradients of both are analytic; else NumPy's are central differences
    """

    name: str
    pair: str
    forward: float
    forward32: float
    gradient: float
    sgd: float
    adam: float
    exact: bool = True

    def limits(self) -> dict[str, float]:
        """Tolerances: 1e-10 (float64), 1e-5 (float32), 1e-7 where central differences are involved."""
        slope = 1e-10 if self.exact else 1e-7
        return {"forward": 1e-10, "forward32": 1e-5, "gradient": slope, "sgd": slope, "adam": 1e-9}

    def faults(self) -> list[str]:
        """What is outside tolerance."""
        return [f"{k} {getattr(self, k):.1e} > {v:.0e}" for k, v in self.limits().items() if getattr(self, k) > v]


def difference(a: Arrays, b: Arrays) -> float:
    """Largest |a − b| over all arrays, relative to the largest |b|.

    One scale for all: some gradients are zero by mathematics (a key's bias under softmax), and noise has no scale.

    Raises
    ------
    ValueError
        Where names or shapes differ.
    """
    shapes = [{k: np.shape(v) for k, v in arrays.items()} for arrays in (a, b)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"names and shapes differ: {shapes[0]} and {shapes[1]}")
    scale = max((np.abs(v).max(initial=0) for v in b.values()), default=0) or 1
    gap = max((np.abs(a[k] - b[k]).max(initial=0) for k in a), default=0)
    return float(gap / scale) if np.isfinite(gap) else np.inf


def compare(formula: ParityCase, seed: int = 0) -> list[Report]:
    """NumPy against PyTorch, and PyTorch against Keras, from the same weights and inputs."""
    rng = np.random.default_rng(seed)
    inputs = formula.inputs(rng)
    torch = TorchBackend(formula, seed=seed)
    backends: dict[str, Any] = {
        "numpy": NumpyBackend(formula, torch.weights, torch.trainable),
        "torch": torch,
        "keras": KerasBackend(formula, torch, inputs),
    }
    outputs = {backend: r.forward(inputs) for backend, r in backends.items()}
    single = _single_precision(formula, torch, inputs)
    target = {k: rng.normal(size=v.shape) for k, v in outputs["torch"].items()}
    slopes = {backend: _joined(r.gradients(inputs, target)) for backend, r in backends.items()}
    exact = formula.backward is not None
    # Central differences are taken once, above: five steps of them cost most of the time and show no more. And Adam
    # divides by the gradient's own size: their noise would come out as large as a step.
    learners = {backend: r for backend, r in backends.items() if formula.count and (exact or backend != "numpy")}
    sgd = {backend: r.steps(inputs, target, "sgd", RATE, STEPS) for backend, r in learners.items()}
    adam = {backend: r.steps(inputs, target, "adam", RATE, STEPS) for backend, r in learners.items()}

    def report(a: str, b: str) -> Report:
        columns = [difference(d[a], d[b]) if a in d else np.nan for d in (outputs, single, slopes, sgd, adam)]
        return Report(formula.name, f"{a}–{b}", *columns, exact or a != "numpy")  # type: ignore[call-arg, arg-type]

    return [report("numpy", "torch"), report("torch", "keras")]


def _single_precision(formula: ParityCase, torch: TorchBackend, inputs) -> dict[str, Arrays]:
    small = TorchBackend(formula, "float32", weights=torch.weights)
    array = NumpyBackend(formula, torch.weights, torch.trainable, "float32")
    return {
        "numpy": array.forward(inputs),
        "torch": small.forward(inputs),
        "keras": KerasBackend(formula, small, inputs, "float32").forward(inputs),
    }


def _joined(gradients: tuple[Arrays, Arrays]) -> Arrays:
    dx, dp = gradients
    return {**{f"input {k}": v for k, v in dx.items()}, **dp}


def table(parity_cases: Iterable[ParityCase]) -> Iterable[str]:
    """Lines of formula × pair of backends, one at a time since each takes a moment."""
    columns = ("forward", "forward32", "gradient", "sgd", "adam")
    yield f"{'formula':34} {'backends':12}" + "".join(f"{c:>11}" for c in columns)
    for formula in parity_cases:
        for r in compare(formula):
            cells = (getattr(r, c) for c in columns)
            line = "".join(f"{'·' if np.isnan(c) else f'{c:.1e}':>11}" for c in cells)
            yield f"{r.name:34} {r.pair:12}{line}{'' if r.exact else '  (central differences)'}" + "".join(
                f"  FAULT {f}" for f in r.faults()
            )
