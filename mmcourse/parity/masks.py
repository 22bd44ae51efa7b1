"""Masked operations in NumPy, PyTorch and Keras."""

import numpy as np

from mmcourse.numpy import masks

from .case import ParityCase
from .fusion import DIMS, LENGTHS, some_absent, vectors

BATCH, TIME, WIDTH = 4, 5, 3


def _scores(rng):
    """Scores (b, n, m) and what is kept of them: one row keeps nothing, one everything."""
    keep = rng.random((BATCH, 2, TIME)) > 0.4
    keep[0, 0], keep[1, 1] = False, True
    return {"scores": 3 * rng.normal(size=keep.shape), "keep": keep}


def _padding(rng, steps):
    """bool (b, t): real steps come first; the first sample has none, the second no padding."""
    lengths = rng.integers(1, steps + 1, BATCH)
    lengths[0], lengths[1] = 0, steps
    return np.arange(steps) < lengths[:, None]


def _steps(rng):
    return {"x": rng.normal(size=(BATCH, TIME, WIDTH)), "mask": _padding(rng, TIME)}


def _sequences(rng):
    steps = list(zip(LENGTHS, DIMS, strict=True))
    return {
        "xs": [rng.normal(size=(BATCH, t, d)) for t, d in steps],
        "padding_masks": [_padding(rng, t) for t, _ in steps],
        "modality_mask": some_absent(rng, len(DIMS)),
    }


def _softmax_backward(dy, inputs, p, options):
    weights = masks.masked_softmax(**inputs)
    return {"scores": masks.masked_softmax_backward(dy, weights)}, {}


def _function(name, concept, inputs, backward=None, pick=lambda y: y):
    """A function without weights that has the same name in all three; `pick` is what is compared of its result."""
    return ParityCase(
        name,
        numpy=f"masks.{concept}",
        layer=f"masks.{concept}",
        inputs=inputs,
        count=0,
        backward=backward,
        numpy_call=lambda f, inputs, p, options: pick(f(**inputs)),
        torch_call=lambda f, inputs: pick(f(**inputs)),
        keras_call=lambda f, inputs: pick(f(**inputs)),
    )


FORMULAS = [
    _function("masked softmax", "masked_softmax", _scores, _softmax_backward),
    _function("masked mean", "masked_mean", _steps),
    _function("masked modalities", "masked", lambda rng: vectors(DIMS, absent=True)(rng)),
    _function("real steps", "real_steps", _sequences, pick=lambda y: y[0]),
]
