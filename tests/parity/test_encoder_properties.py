"""What must hold of every layer before numbers are compared: parameters counted, learning, and samples kept apart."""

import numpy as np
import pytest
from mutants_encoders import FORMULAS

from mmcourse.parity import KerasBackend, NumpyBackend, TorchBackend, properties


def _rooms(formula):
    torch = TorchBackend(formula)
    inputs = formula.inputs(np.random.default_rng(0))
    array = NumpyBackend(formula, torch.weights, torch.trainable)
    return inputs, {"numpy": array, "torch": torch, "keras": KerasBackend(formula, torch, inputs)}


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=lambda f: f.name)
def test_properties(formula):
    inputs, rooms = _rooms(formula)
    for room in ("torch", "keras"):
        properties.registered(rooms[room], formula)
        properties.learns(rooms[room], inputs)
    if "mixes" in formula.tags:
        return
    for room in rooms.values():
        properties.batch_of_one(room.forward, inputs)
        if "ids" not in inputs and "causal" not in inputs:
            properties.samples_independent(room.forward, inputs)
