"""What must hold of every layer before numbers are compared: parameters counted, learning, and samples kept apart."""

import numpy as np
import pytest
from mutants_encoders import FORMULAS

from mmcourse.parity import KerasBackend, NumpyBackend, TorchBackend, properties


def _backends(formula):
    torch = TorchBackend(formula)
    inputs = formula.inputs(np.random.default_rng(0))
    array = NumpyBackend(formula, torch.weights, torch.trainable)
    return inputs, {"numpy": array, "torch": torch, "keras": KerasBackend(formula, torch, inputs)}


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=lambda f: f.name)
def test_properties(formula):
    inputs, backends = _backends(formula)
    for backend in ("torch", "keras"):
        properties.registered(backends[backend], formula)
        properties.learns(backends[backend], inputs)
    if "mixes" in formula.tags:
        return
    for backend in backends.values():
        properties.batch_of_one(backend.forward, inputs)
        if "ids" not in inputs and "causal" not in inputs:
            properties.samples_independent(backend.forward, inputs)
