"""Every formula taught, compared among NumPy, PyTorch and Keras from the same weights.

A topic is a module of this package with a list ``FORMULAS`` of :class:`Formula`; it is found by itself::

    FORMULAS = [
        Formula("linear map", numpy="layers.linear", layer="layers.Linear", config={"dim": 3, "width": 2},
                inputs=lambda rng: {"x": rng.normal(size=(4, 3))}, count=3 * 2 + 2),
    ]

``python -m mmcourse.parity [part of a name]`` prints formula × pair of backends: largest difference forward, of the
gradient, after five steps. :mod:`mmcourse.parity.properties` has the checks that come before any comparison.
"""

from .backends import LAYOUTS, KerasBackend, NumpyBackend, TorchBackend, copy_weights, keras_epsilon
from .case import ParityCase, parity_cases
from .compare import Report, compare

__all__ = [
    "LAYOUTS",
    "ParityCase",
    "KerasBackend",
    "NumpyBackend",
    "Report",
    "TorchBackend",
    "compare",
    "copy_weights",
    "parity_cases",
    "keras_epsilon",
]
