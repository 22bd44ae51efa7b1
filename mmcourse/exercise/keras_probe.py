"""What a probe needs to use an answer in Keras: copy weights into it, run it, and bring plain arrays out.

This file runs where the answer is: in the learner's process, or, sent as text, in the grading sandbox. It imports
nothing of the course, knows no right answer, and what it brings out is judged elsewhere.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

MOST_WAYS = 24  # ways to copy weights that are tried: four layers of one shape have 24 orders


class Problem(Exception):
    """The answer cannot be used at all; the message says why."""


def tensor(value):
    """An array as a tensor: float32 for floats; other values as they are."""
    if not isinstance(value, np.ndarray):
        return value
    return keras.ops.convert_to_tensor(value.astype(np.float32) if value.dtype.kind == "f" else value)


def array(value):
    """A tensor as an array; numbers as they are.

    Raises
    ------
    Problem
        If it is no tensor and no number.
    """
    if keras.ops.is_tensor(value) or isinstance(value, (keras.Variable, tf.Variable)):
        return np.array(keras.ops.convert_to_numpy(value))
    if isinstance(value, (bool, int, float, np.ndarray, np.generic)):
        return value
    if isinstance(value, (tuple, list)):
        raise Problem(f"A tensor was expected; a {type(value).__name__} of {len(value)} came out.")
    raise Problem(f"A tensor was expected; {'None' if value is None else type(value).__name__} came out.")


def seed(number):
    """Seed every generator that a Keras answer can draw from."""
    random.seed(number)
    keras.utils.set_random_seed(number)


@contextmanager
def preserved_generators():
    """Leave the generators of Python and NumPy as they were found; TensorFlow's cannot be read."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def is_layer(model):
    """Raise `Problem` unless this is a `keras.Layer` (a model is one)."""
    if not isinstance(model, keras.Layer):
        raise Problem(f"A `keras.Layer` was expected; got {type(model).__name__}. Inherit from `keras.Layer`.")


def num_parameters(model):
    """How many trainable numbers a built layer or model has."""
    return int(sum(np.prod(v.shape) for v in model.trainable_variables))


# ---------------------------------------------------------------- copied weights
def load_ways(model, weights) -> Iterator[dict]:
    """Copy `weights` (name → array) into a built layer in every way that their shapes allow; yields name → variable.

    Names are "q_proj/kernel". Where names and shapes are those of `weights` there is one way. Else the layers of one
    shape are tried in every order, so that a right answer with other attribute names is found.

    Raises
    ------
    Problem
        If the shapes do not fit.
    """
    is_layer(model)
    have = _named(model)
    wanted = {name: tuple(value.shape) for name, value in weights.items()}
    if {name: tuple(v.shape) for name, v in have.items()} == wanted:
        yield _copied(have, weights, {name: name for name in weights})
        return
    ours, theirs = _units(wanted), _units({name: tuple(v.shape) for name, v in have.items()})
    kinds = sorted({kind for kind, _ in ours} | {kind for kind, _ in theirs})
    groups = []
    for kind in kinds:
        mine = [names for k, names in ours if k == kind]
        found = [names for k, names in theirs if k == kind]
        if len(mine) != len(found):
            raise Problem(_shapes_differ(have, wanted))
        groups.append([list(zip(mine, order)) for order in itertools.permutations(found)])  # noqa: B905
    for way in itertools.islice(itertools.product(*groups), MOST_WAYS):
        pairs = [pair for group in way for pair in group]
        names = {a: b for mine, found in pairs for a, b in zip(mine, found)}  # noqa: B905
        yield _copied(have, weights, names)


def _named(model):
    """Trainable variables by "layer/kernel": the last two steps of their paths, made unique."""
    found = {}
    for variable in model.trainable_variables:
        name = "/".join(variable.path.split("/")[-2:])
        while name in found:
            name = f"{name}+"
        found[name] = variable
    return found


def _copied(have, weights, names):
    for name, value in weights.items():
        have[names[name]].assign(tensor(value))
    return {name: have[names[name]] for name in weights}


def _units(shapes):
    """(kind, names) of each layer: variables that share a prefix; its kind is their own names and shapes."""
    layers: dict = {}
    for name in shapes:
        owner, _, leaf = name.partition("/")
        layers.setdefault(owner, []).append((leaf, name))
    found = []
    for members in layers.values():
        members = sorted(members)
        found.append((repr([(leaf, shapes[name]) for leaf, name in members]), [name for _, name in members]))
    return found


def _shapes_differ(have, wanted):
    got = sorted((tuple(v.shape) for v in have.values()), key=str)
    if not got:
        return (
            "Your layer has no weights after it was called. Layers must be attributes, made in `__init__` or `build`."
        )
    missing = list(wanted.values())
    extra = []
    for shape in got:
        if shape in missing:
            missing.remove(shape)
        else:
            extra.append(shape)
    return f"The weights have other shapes than asked for: missing {missing}, not wanted {extra}."


# ---------------------------------------------------------------- what comes out
def output(value):
    """The output of a layer as an array; `Problem` if it is no tensor."""
    if not keras.ops.is_tensor(value):
        array(value)
        raise Problem(f"A tensor was expected as output; a value of type {type(value).__name__} came out.")
    return array(value)


def gradients(function, parameters):
    """Gradients of a weighted sum of what `function()` gives: "the gradient of NAME" → array.

    The weights differ from entry to entry, so that entries that change places show.
    """
    with tf.GradientTape() as tape:
        value = function()
        factors = tf.reshape(tf.linspace(-1.0, 1.0, tf.size(value)), tf.shape(value))
        total = tf.reduce_sum(value * tf.cast(factors, value.dtype))
    variables = [getattr(p, "value", p) for p in parameters.values()]
    found = tape.gradient(total, variables)
    if all(gradient is None for gradient in found):
        raise Problem("No gradient flows through the output: was it made a NumPy array, or stopped?")
    pairs = zip(parameters.items(), found, strict=True)
    return {
        f"the gradient of {name}": array(tf.zeros_like(p.value) if gradient is None else tf.convert_to_tensor(gradient))
        for (name, p), gradient in pairs
    }


def state(model):
    """All weights in order of path, as one flat array; integers are left out."""
    values = [array(v).ravel() for v in sorted(model.weights, key=lambda v: v.path) if "float" in str(v.dtype)]
    return np.concatenate(values) if values else np.zeros(0, np.float32)
