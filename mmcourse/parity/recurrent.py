"""RNN, LSTM and GRU along time in NumPy, PyTorch and Keras, with and without padding."""

import numpy as np

from mmcourse.numpy import recurrent

from .case import ParityCase

DIM_IN, DIM, GATES = 3, 4, {"RNN": 1, "LSTM": 4, "GRU": 3}


def sequences(rng):
    """Inputs: four sequences of five steps."""
    return {"x": rng.normal(size=(4, 5, DIM_IN))}


def padded(rng):
    """Inputs: the same, of lengths 5, 3, 1 and 0."""
    mask = np.arange(5)[None] < np.array([5, 3, 1, 0])[:, None]
    return {**sequences(rng), "padding_mask": mask}


def _backward(function):
    def run(dy, inputs, p, options):
        dx, _, dp = recurrent.recurrent_backward(dy, function(**inputs, p=p)[1])
        return {"x": dx}, dp

    return run


def _formula(kind, inputs, suffix):
    k = GATES[kind]
    return ParityCase(
        kind + suffix,
        numpy=f"recurrent.{kind.lower()}",
        layer=f"recurrent.{kind}",
        config={"input_size": DIM_IN, "dim": DIM},
        inputs=inputs,
        count=k * (DIM_IN * DIM + DIM + DIM * DIM) + (k * DIM if kind == "GRU" else 0),
        numpy_call=lambda f, inputs, p, options: f(**inputs, p=p)[0],
        torch_call=lambda layer, inputs: layer(**inputs)[0],
        keras_call=lambda layer, inputs: layer(**inputs)[0],
        backward=_backward(getattr(recurrent, kind.lower())),
    )


FORMULAS = [
    _formula(kind, inputs, suffix) for kind in GATES for inputs, suffix in ((sequences, ""), (padded, ", padded"))
]
