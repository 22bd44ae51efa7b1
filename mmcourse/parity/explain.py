"""Explanations in three backends: from the same gradients, attention and values of coalitions the same numbers."""

import numpy as np

from .case import ParityCase


def layer(rng):
    """Channels of a layer and gradients with respect to them; some places speak against the class."""
    shape = (3, 4, 5, 6)
    return {"activations": rng.normal(size=shape), "gradients": rng.normal(size=shape)}


def rows(rng):
    """Attention of three layers, rows that sum to 1."""
    weights = np.exp(rng.normal(size=(3, 2, 5, 5)))
    return {"attention": weights / weights.sum(axis=-1, keepdims=True)}


def games(players):
    """The values of all coalitions, in four games at once."""
    return lambda rng: {"values": rng.normal(size=(2**players, 4))}


def channels_last(f, inputs, **options):
    """Keras's pictures have their channels last."""
    from keras import ops

    return f(**{name: ops.transpose(value, (0, 2, 3, 1)) for name, value in inputs.items()}, **options)


def cam(title, relu):
    """Grad-CAM with or without its ReLU."""
    return ParityCase(
        title,
        numpy="explain.grad_cam",
        layer="explain.grad_cam",
        inputs=layer,
        count=0,
        numpy_call=lambda f, inputs, p, options: f(**inputs, relu=relu),
        torch_call=lambda f, inputs: f(**inputs, relu=relu),
        keras_call=lambda f, inputs: channels_last(f, inputs, relu=relu),
    )


def shapley(title, players):
    """A game of this many players."""
    return ParityCase(
        title,
        numpy="explain.shapley",
        layer="explain.shapley",
        inputs=games(players),
        count=0,
        numpy_call=lambda f, inputs, p, options: f(**inputs),
        tags=frozenset({"mixes"}),
    )


FORMULAS = [
    cam("Grad-CAM", relu=True),
    cam("Grad-CAM without ReLU", relu=False),
    ParityCase(
        "attention rollout",
        numpy="explain.attention_rollout",
        layer="explain.attention_rollout",
        inputs=rows,
        count=0,
        numpy_call=lambda f, inputs, p, options: f(**inputs),
        tags=frozenset({"mixes"}),
    ),
    shapley("Shapley values, 2 players", 2),
    shapley("Shapley values, 4 players", 4),
]
