"""Quantization, pruning and distillation in three backends: the same codes, the same loss, the same gradients."""

import numpy as np

from .case import ParityCase

TEACHER = np.array([[2.0, 0.5, -1.0], [0.0, -np.inf, 1.5], [0.3, 0.3, 0.3], [-2.0, 4.0, 0.0]])
LABELS = np.array([0, 2, 1, 1])


def tensor(rng):
    """Some values lie outside the range that the codes cover, none on an edge between two codes."""
    codes = rng.integers(-90, 90, size=(3, 4, 5))
    return {"x": 0.05 * (codes + rng.uniform(-0.4, 0.4, size=codes.shape))}


def parameters(title, **options):
    """Scale plus zero point of a range that is fixed by the data."""

    def call(f, inputs, *_):
        low, high = (inputs["ends"][i] for i in (0, 1))
        scale, zero_point = f(low, high, **options)
        return scale + 0 * zero_point  # a zero point is a whole number: no gradient

    return ParityCase(
        title,
        numpy="compress.affine_parameters",
        layer="compress.affine_parameters",
        inputs=lambda rng: {"ends": np.stack([-rng.uniform(0.5, 1, 6), rng.uniform(1.5, 2, 6)])},
        count=0,
        numpy_call=call,
        torch_call=call,
        keras_call=call,
        tags=frozenset({"mixes"}),
    )


def rounding(title, scale, zero_point, bits):
    """Fake quantization with fixed parameters, and its straight-through gradient."""

    def call(f, inputs, *_):
        return f(inputs["x"], scale, zero_point, bits)

    def backward(dy, inputs, p, options):
        from mmcourse.numpy.compress import fake_quantize_backward

        return {"x": fake_quantize_backward(dy, inputs["x"], scale, zero_point, bits)}, {}

    return ParityCase(
        title,
        numpy="compress.fake_quantize",
        layer="compress.fake_quantize",
        inputs=tensor,
        count=0,
        backward=backward,
        numpy_call=call,
        torch_call=call,
        keras_call=call,
    )


def distillation(title, temperature, alpha):
    """The loss of four samples; the teacher is a constant, sure in one place."""
    return ParityCase(
        title,
        numpy="compress.distillation_loss",
        layer="compress.distillation_loss",
        inputs=lambda rng: {"student": rng.normal(size=(4, 3)), "labels": LABELS},
        count=0,
        numpy_call=lambda f, inputs, p, options: f(inputs["student"], TEACHER, inputs["labels"], temperature, alpha),
        torch_call=lambda f, inputs: f(
            inputs["student"], inputs["student"].new_tensor(TEACHER), inputs["labels"], temperature, alpha
        ),
        keras_call=lambda f, inputs: f(inputs["student"], TEACHER, inputs["labels"], temperature, alpha),
        tags=frozenset({"mixes"}),
    )


FORMULAS = [
    parameters("scale of affine quantization"),
    parameters("scale of symmetric quantization, 4 bits", bits=4, symmetric=True),
    rounding("fake quantization, 8 bits", 0.05, 3, 8),
    rounding("fake quantization, symmetric, 4 bits", 0.3, 0, 4),
    distillation("distillation loss, T = 2", 2.0, 0.9),
    distillation("distillation loss, T = 5, with labels", 5.0, 0.4),
]
