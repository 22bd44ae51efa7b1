"""A gated unit in Keras that works with a missing modality."""

import keras
import numpy as np
from keras import ops

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 6
class GatedFusion(keras.Layer):
    """Vectors of several modalities and a mask (b, M) → (b, width)."""

    def __init__(self, num_modalities, width):
        super().__init__()
        self.hidden = []
        self.gates = []
        for _ in range(num_modalities):
            self.hidden.append(keras.layers.Dense(width, activation="tanh", use_bias=False))
            self.gates.append(keras.layers.Dense(width, activation="sigmoid", use_bias=False))

    def call(self, xs, there):
        kept = []
        for m, x in enumerate(xs):
            here = there[:, m : m + 1]  # (b, 1)
            kept.append(ops.where(here, x, 0.0))
        everything = ops.concatenate(kept, axis=-1)
        parts = []
        for m, x in enumerate(kept):
            z = self.gates[m](everything)
            h = self.hidden[m](x)
            parts.append(z * h)
        return sum(parts)


def use_unit(probe, answer, dims, width, x, there, weights):
    """Output and gradients with copied weights; then with NaN where a modality is absent."""
    layer = answer(len(dims), width)
    parts = np.split(x, np.cumsum(dims)[:-1], axis=1)
    xs = [probe.tensor(vector) for vector in parts]
    noise = [probe.tensor(np.where(there[:, m, None], vector, np.nan)) for m, vector in enumerate(parts)]
    mask = probe.tensor(there)
    probe.is_layer(layer)
    layer(xs, mask)  # makes the weights
    for parameters in probe.load_ways(layer, weights):
        yield {
            "the output": probe.output(layer(xs, mask)),
            **probe.gradients(lambda: layer(xs, mask), parameters),
            "the output where absent modalities hold NaN": probe.output(layer(noise, mask)),
        }


def draw_unit(g, b, num_modalities, missing):
    dims = [int(d) for d in g.permutation([2, 3, 4])[:num_modalities]]
    width = int(g.integers(2, 4))
    x = g.normal(size=(b, sum(dims))).round(2)
    there = np.ones((b, num_modalities), bool)
    if missing:
        there[np.arange(b), g.integers(0, num_modalities, b)] = False
    shapes = {}
    for m, d in enumerate(dims):
        shapes[f"hidden_{m}/kernel"] = (d, width)
    for m in range(num_modalities):
        shapes[f"gates_{m}/kernel"] = (sum(dims), width)
    return tuple(dims), width, x, there, drawn_weights(g, shapes)


gated = exercise(
    "fusion.6",
    GatedFusion,
    framework="keras",
    use=use_unit,
    title="A gated unit in Keras, with gaps",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            r"The gated unit of the lesson, for two modalities or more: $h_m = \tanh(W_m x_m)$, $z_m = \sigma(G_m [x_1; x_2; \ldots])$, "
            r"$h = \sum_m z_m \odot h_m$. Each modality has a gate of its own, also where there are two."
        ),
        says(
            "**Write** the class `GatedFusion(num_modalities, width)`, a `keras.Layer` of `Dense` layers,",
            mistake="lacks its sigmoid",
        ),
        says("without biases;", ignored=edit(", use_bias=False", "")),
        says("the hidden vectors pass through tanh.", mistake="lack their tanh"),
        says(
            "`call(self, xs, there)` takes a list of tensors (b, d_m) and a bool mask (b, M), True where a modality is there, "
            "and returns (b, width).",
            mistake="That is the mean",
        ),
        says(
            "An absent modality counts as zeros, also in what the gates see,",
            mistake="The gates still see",
        ),
        says("whatever its vector holds, even NaN.", mistake="NaN comes through"),
        example("""
layers = [keras.layers.Dense(4, use_bias=False) for _ in range(3)]
x = np.ones((2, 5), "float32")
print("a Dense layer learns its input's width at the first call:", [layer(x).shape for layer in layers])
"""),
    ],
    hints=[
        "Clean all inputs first, with `ops.where`; then join them once, and let every gate see the joined vector.",
        "`ops.where(there[:, m : m + 1], x, 0.0)` for each modality. Keras tracks layers in lists.",
    ],
    draw=draw_unit,
    parts=[
        part("everybody there", b=between(2, 3), num_modalities=2, missing=False),
        part("one modality missing in each sample", weight=2, b=4, num_modalities=2, missing=True),
        part("three modalities", b=2, num_modalities=3, missing=True),
        part("one sample", b=1, num_modalities=2, missing=True),
    ],
    mistakes={
        "Your gate lacks its sigmoid: it is a share between 0 and 1.": edit('activation="sigmoid", ', ""),
        "The hidden vectors lack their tanh.": edit('activation="tanh", ', ""),
        "The hidden vectors take tanh, which can be negative, and not the sigmoid.": edit('"tanh"', '"sigmoid"'),
        "Gate and hidden vector are added. The gate multiplies.": "parts.append(z + h)",
        "That is the mean over the modalities. The formula sums.": "return sum(parts) / len(xs)",
        "The mask has no effect: an absent modality counts as zeros.": "kept.append(x)",
        "The gates still see what an absent modality holds: clean the inputs before you join them.": (
            "everything = ops.concatenate(xs, axis=-1)"
        ),
        "NaN comes through: 0 · NaN is NaN. Choose with `ops.where` instead of multiplying by the mask.": (
            "kept.append(x * ops.cast(here, x.dtype))"
        ),
        "No gradient reaches the gates: they were stopped.": "z = ops.stop_gradient(self.gates[m](everything))",
    },
    praise="The same unit as in PyTorch, and a list of layers that Keras tracks by itself.",
)


@right(gated)
class Stacked(keras.Layer):
    """Stacked along an axis of modalities; the activations outside the layers."""

    def __init__(self, num_modalities, width, **kwargs):
        super().__init__(**kwargs)
        self.maps = [keras.layers.Dense(width, use_bias=False) for _ in range(num_modalities)]
        self.doors = [keras.layers.Dense(width, use_bias=False) for _ in range(num_modalities)]

    def call(self, xs, there):
        xs = [ops.where(there[:, m, None], x, ops.zeros_like(x)) for m, x in enumerate(xs)]
        joined = ops.concatenate(xs, 1)
        doors = ops.stack([ops.sigmoid(door(joined)) for door in self.doors], axis=1)
        values = ops.stack([ops.tanh(f(x)) for f, x in zip(self.maps, xs, strict=True)], axis=1)
        return ops.sum(doors * values, axis=1)
