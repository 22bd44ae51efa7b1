"""RMSNorm, rotary positions and SwiGLU in three backends."""

import numpy as np

from mmcourse.numpy import llama

from .case import ParityCase


def norm_inputs(rng):
    """Vectors whose mean is not 0, so that a mean that is subtracted would be seen, and a weight."""
    return {"x": rng.normal(size=(3, 4, 6)) + 0.7, "weight": rng.normal(size=6) + 1}


def rotary_inputs(shift):
    """Queries of two texts, whose positions need not begin at 0."""

    def draw(rng):
        positions = np.arange(5)[None] + np.array([[0], [shift]])
        return {"x": rng.normal(size=(2, 3, 5, 8)), "positions": positions}

    return draw


def swiglu_inputs(rng):
    """Vectors, and three matrices."""
    return {
        "x": rng.normal(size=(2, 3, 4)),
        "gate": rng.normal(size=(7, 4)),
        "up": rng.normal(size=(7, 4)),
        "down": rng.normal(size=(4, 7)),
    }


def norm_backward(dy, inputs, p, options):
    """NumPy's own gradients."""
    dx, dweight = llama.rms_norm_backward(dy, llama.rms_norm(**inputs)[1])
    return {"x": dx, "weight": dweight}, {}


def rotary_gradient(dy, inputs, p, options):
    """NumPy's own gradient."""
    return {"x": llama.rotary_backward(dy, inputs["positions"])}, {}


def swiglu_gradients(dy, inputs, p, options):
    """NumPy's own gradients."""
    found = llama.swiglu_backward(dy, llama.swiglu(**inputs)[1])
    return dict(zip(("x", "gate", "up", "down"), found, strict=True)), {}


def rotation(title, shift):
    """Rotary positions, one text beginning at `shift`."""
    return ParityCase(
        title,
        numpy="llama.rotary",
        layer="llama.rotary",
        inputs=rotary_inputs(shift),
        count=0,
        backward=rotary_gradient,
        numpy_call=lambda f, inputs, p, options: f(**inputs),
    )


FORMULAS = [
    ParityCase(
        "RMSNorm",
        numpy="llama.rms_norm",
        layer="llama.rms_norm",
        inputs=norm_inputs,
        count=0,
        backward=norm_backward,
        numpy_call=lambda f, inputs, p, options: f(**inputs)[0],
        tags=frozenset({"mixes"}),
    ),
    rotation("rotary positions", 0),
    rotation("rotary positions, a text that goes on", 7),
    ParityCase(
        "SwiGLU",
        numpy="llama.swiglu",
        layer="llama.swiglu",
        inputs=swiglu_inputs,
        count=0,
        backward=swiglu_gradients,
        numpy_call=lambda f, inputs, p, options: f(**inputs)[0],
        tags=frozenset({"mixes"}),
    ),
]
