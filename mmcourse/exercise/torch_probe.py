"""What a probe needs to use an answer in PyTorch: copy weights into it, run it, and bring plain arrays out.

This file runs where the answer is: in the learner's process, or, sent as text, in the grading sandbox. It imports
nothing of the course, knows no right answer, and what it brings out is judged elsewhere.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

MOST_WAYS = 24  # ways to copy weights that are tried: four layers of one shape have 24 orders


class Problem(Exception):
    """The answer cannot be used at all; the message says why."""


def tensor(value):
    """An array as a tensor: float32 for floats, int64 for whole numbers, bool for bool; other values as they are."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind == "f":
        return torch.tensor(value, dtype=torch.float32)
    return torch.tensor(value)


def array(value):
    """A tensor as an array; numbers as they are.

    Raises
    ------
    Problem
        If it is no tensor and no number.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, (bool, int, float, np.ndarray, np.generic)):
        return value
    if isinstance(value, (tuple, list)):
        raise Problem(f"A tensor was expected; a {type(value).__name__} of {len(value)} came out.")
    raise Problem(f"A tensor was expected; {'None' if value is None else type(value).__name__} came out.")


def seed(number):
    """Seed every generator that a PyTorch answer can draw from."""
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


@contextmanager
def preserved_generators():
    """Leave every global generator as it was found: a check changes no later draw of the program."""
    python, numpy, framework = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(framework)


def is_module(model):
    """Raise `Problem` unless this is an `nn.Module`."""
    if not isinstance(model, nn.Module):
        raise Problem(f"An `nn.Module` was expected; got {type(model).__name__}. Inherit from `nn.Module`.")


def num_parameters(model):
    """How many trainable numbers a module has."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


# ---------------------------------------------------------------- copied weights
def load_ways(model, weights) -> Iterator[dict]:
    """Copy `weights` (name → array) into the module in every way that their shapes allow; yields name → parameter.

    Where names and shapes are those of `weights` there is one way. Else the layers of one shape are tried in every
    order, so that a right answer with other attribute names is found.

    Raises
    ------
    Problem
        If the shapes do not fit.
    """
    is_module(model)
    have = dict(model.named_parameters())
    wanted = {name: tuple(value.shape) for name, value in weights.items()}
    if {name: tuple(p.shape) for name, p in have.items()} == wanted:
        yield _copied(have, weights, {name: name for name in weights})
        return
    ours, theirs = _units(wanted), _units({name: tuple(p.shape) for name, p in have.items()})
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


def _copied(have, weights, names):
    with torch.no_grad():
        for name, value in weights.items():
            have[names[name]].copy_(tensor(value))
    return {name: have[names[name]] for name in weights}


def _units(shapes):
    """(kind, names) of each layer: parameters that share a prefix; its kind is their own names and shapes."""
    layers: dict = {}
    for name in shapes:
        owner, _, leaf = name.rpartition(".")
        layers.setdefault(owner or name, []).append((leaf, name))
    found = []
    for owner, members in layers.items():
        alone = len(members) == 1 and owner == members[0][1]
        members = sorted(members)
        kind = repr([("" if alone else leaf, shapes[name]) for leaf, name in members])
        found.append((kind, [name for _, name in members]))
    return found


def _shapes_differ(have, wanted):
    got = sorted((tuple(p.shape) for p in have.values()), key=str)
    if not got:
        return (
            "Your module has no parameters. Layers must be attributes of the module, or in `nn.ModuleList` or "
            "`nn.Sequential`: a plain list hides them."
        )
    missing = list(wanted.values())
    extra = []
    for shape in got:
        if shape in missing:
            missing.remove(shape)
        else:
            extra.append(shape)
    return f"The parameters have other shapes than asked for: missing {missing}, not wanted {extra}."


# ---------------------------------------------------------------- what comes out
def output(value, shape=None):
    """The output of a module as an array; `Problem` if it is no tensor."""
    if not isinstance(value, torch.Tensor):
        array(value)
        raise Problem(f"A tensor was expected as output; a number of type {type(value).__name__} came out.")
    return array(value)


def gradients(value, parameters, inputs=()):
    """Gradients of a weighted sum of `value`: "the gradient of NAME" → array, for parameters and for inputs.

    The weights differ from entry to entry, so that entries that change places show.
    """
    for p in [*parameters.values(), *dict(inputs).values()]:
        p.grad = None
    if not value.requires_grad:
        raise Problem("No gradient flows through the output: was it detached, or made under `torch.no_grad()`?")
    factors = torch.linspace(-1, 1, value.numel()).reshape(value.shape)
    (value * factors).sum().backward()
    found = {}
    for name, p in [*parameters.items(), *dict(inputs).items()]:
        found[f"the gradient of {name}"] = array(torch.zeros_like(p) if p.grad is None else p.grad)
    return found


def state(model):
    """All parameters and buffers in order of name, as one flat array; integers are left out."""
    values = [value for _, value in sorted(model.state_dict().items()) if value.is_floating_point()]
    return np.concatenate([array(value).ravel() for value in values]) if values else np.zeros(0, np.float32)
