"""Recurrence: gradients, the frameworks' own layers, padding, and gradients that vanish or explode."""

import numpy as np
import pytest
import torch
from own_layers import check_gradient, check_keras, check_torch

from mmcourse.numpy import recurrent, weight_conversion
from mmcourse.parity.case import parity_cases
from mmcourse.parity.recurrent import DIM, DIM_IN, FORMULAS, padded, sequences

KINDS = ("RNN", "LSTM", "GRU")
BY_NAME = {f.name: f for f in FORMULAS}


def parameters(kind, rng, scale=0.5):
    """Random parameters of a kind, in this backend's layout."""
    k = recurrent_gates(kind)
    p = {"input.w": (DIM_IN, k * DIM), "input.b": (k * DIM,), "hidden.w": (DIM, k * DIM)}
    p |= {"hidden.b": (k * DIM,)} if kind == "GRU" else {}
    return {name: rng.normal(0, scale, shape) for name, shape in p.items()}


def recurrent_gates(kind):
    """How many gates."""
    return {"RNN": 1, "LSTM": 4, "GRU": 3}[kind]


def packed(layer, inputs):
    """PyTorch's own way with padding; it refuses lengths of 0, so call with at least 1."""
    lengths = inputs["padding_mask"].sum(1)
    pack = torch.nn.utils.rnn.pack_padded_sequence(inputs["x"], lengths, batch_first=True, enforce_sorted=False)
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(layer(pack)[0], batch_first=True, total_length=inputs["x"].shape[1])
    return y


def at_least_one(rng):
    """The padded inputs without the empty sequence."""
    return {k: v[:3] for k, v in padded(rng).items()}


def check_torch_recurrent(kind):
    """Plain and packed. PyTorch's second bias must not learn, or the sum of both would move twice as far."""
    frozen = () if kind == "GRU" else ("bias_hh_l0",)
    for suffix, inputs, call in (
        ("", sequences, lambda layer, i: layer(i["x"])[0]),
        (", padded", at_least_one, packed),
    ):
        formula = _with(BY_NAME[kind + suffix], inputs)
        theirs = getattr(torch.nn, kind)(DIM_IN, DIM, batch_first=True)
        convert = weight_conversion.torch_recurrent
        check_torch(formula, theirs, lambda p, c=convert: c(p), call, frozen)


def _with(formula, inputs):
    from dataclasses import replace

    return replace(formula, inputs=inputs)


def check_keras_recurrent(kind):
    """Plain and masked. Keras repeats the last output at padded steps by default."""
    import keras

    name = {"RNN": "SimpleRNN"}.get(kind, kind)
    convert = weight_conversion.keras_gru if kind == "GRU" else weight_conversion.keras_recurrent
    for suffix in ("", ", padded"):
        theirs = getattr(keras.layers, name)(DIM, return_sequences=True, zero_output_for_mask=True, dtype="float64")
        check_keras(BY_NAME[kind + suffix], theirs, lambda p, c=convert: c(p), _keras_call)


def _keras_call(layer, inputs):
    return layer(inputs["x"], mask=inputs.get("padding_mask"))


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f.name)
def test_gradient_equals_central_differences(formula):
    check_gradient(formula)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_torchs_own(kind):
    check_torch_recurrent(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_kerass_own(kind):
    check_keras_recurrent(kind)


def test_two_learning_biases_move_twice_as_far():
    theirs = torch.nn.LSTM(DIM_IN, DIM, batch_first=True).double()
    before = (theirs.bias_ih_l0 + theirs.bias_hh_l0).detach().clone()
    theirs(torch.ones(2, 3, DIM_IN).double())[0].sum().backward()
    torch.optim.SGD(theirs.parameters(), lr=0.5).step()
    moved = (theirs.bias_ih_l0 + theirs.bias_hh_l0).detach() - before
    torch.testing.assert_close(moved, -2 * 0.5 * theirs.bias_ih_l0.grad)


def test_keras_without_reset_after_is_another_formula():
    import keras

    rng = np.random.default_rng(0)
    p, x = parameters("GRU", rng), sequences(rng)["x"]
    p["hidden.b"][:] = 0  # reset_after=False has one bias only
    theirs = keras.layers.GRU(DIM, return_sequences=True, reset_after=False, dtype="float64")
    theirs.build(x.shape)
    kernel, recurrent_kernel, biases = weight_conversion.keras_gru(p)
    theirs.set_weights([kernel, recurrent_kernel, biases[0]])
    assert np.abs(np.array(theirs(x)) - recurrent.gru(x, p)[0]).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_padding_equals_a_loop_over_single_sequences(kind):
    rng = np.random.default_rng(3)
    p, inputs = parameters(kind, rng), padded(rng)
    run = getattr(recurrent, kind.lower())
    y, cache = run(inputs["x"], p, inputs["padding_mask"])
    for i, length in enumerate(inputs["padding_mask"].sum(1)):
        alone, cache_alone = run(inputs["x"][i : i + 1, :length], p) if length else (np.zeros((1, 0, DIM)), None)
        np.testing.assert_allclose(y[i, :length], alone[0], atol=1e-14)
        assert not y[i, length:].any()
        for state, expected in zip(
            cache["last"], cache_alone["last"] if length else np.zeros((2, 1, DIM)), strict=False
        ):
            np.testing.assert_allclose(state[i], expected[0], atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_at_padded_steps_changes_nothing(kind):
    rng = np.random.default_rng(4)
    p, inputs = parameters(kind, rng), padded(rng)
    other = np.where(inputs["padding_mask"][..., None], inputs["x"], 99.0)
    run = getattr(recurrent, kind.lower())
    (y, cache), (y2, cache2) = (run(x, p, inputs["padding_mask"]) for x in (inputs["x"], other))
    np.testing.assert_array_equal(y, y2)
    np.testing.assert_array_equal(cache["last"], cache2["last"])


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_the_last_state(kind):
    """`dlast` and the gradient to the first state, which the registry does not see, against PyTorch's autograd."""
    import mmcourse.torch.recurrent as ours

    rng = np.random.default_rng(5)
    p, inputs = parameters(kind, rng), padded(rng)
    parts = 2 if kind == "LSTM" else 1
    state = tuple(rng.normal(size=(4, DIM)) for _ in range(parts))
    dlast = [rng.normal(size=(4, DIM)) for _ in range(parts)]
    y, cache = recurrent.recurrent(kind.lower(), inputs["x"], p, inputs["padding_mask"], state)
    dx, dstate, _ = recurrent.recurrent_backward(np.zeros_like(y), cache, dlast)
    layer = getattr(ours, kind)(DIM_IN, DIM).double()
    layer.load_state_dict({_torch_name(k): torch.tensor(v.T) for k, v in p.items()})
    leaves = [torch.tensor(a, requires_grad=True) for a in (inputs["x"], *state)]
    _, last = layer(leaves[0], torch.tensor(inputs["padding_mask"]), tuple(leaves[1:]))
    loss = sum((a * torch.tensor(d)).sum() for a, d in zip(last, dlast, strict=True))
    for got, expected in zip((dx, *dstate), torch.autograd.grad(loss, leaves), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), atol=1e-13)


def _torch_name(name):
    return name.replace(".w", ".weight").replace(".b", ".bias")


@pytest.mark.parametrize("radius", [0.5, 0.9, 1.1])
def test_gradient_through_time_follows_the_spectral_radius(radius):
    """Without the tanh's help (x = 0, h = 0: slope 1), ‖∂L/∂h_t‖ changes by the spectral radius at each step."""
    rng = np.random.default_rng(6)
    d, t = 16, 60
    u = rng.normal(size=(d, d))
    u = u + u.T  # symmetric: no transient growth, so the rate is clean
    u *= radius / recurrent.spectral_radius(u)
    p = {"input.w": np.zeros((2, d)), "input.b": np.zeros(d), "hidden.w": u}
    y, cache = recurrent.rnn(np.zeros((1, t, 2)), p)
    trace = []
    recurrent.recurrent_backward(np.zeros_like(y), cache, (rng.normal(size=(1, d)),), trace)
    norms = np.array([np.linalg.norm(h) for h in trace])
    rate = (norms[-1] / norms[t // 2]) ** (1 / (t - 1 - t // 2))
    assert rate == pytest.approx(radius, rel=0.02)


def test_lstm_with_open_forget_gate_keeps_the_gradient():
    """The cure: with f ≈ 1 the gradient of the cell state passes 60 steps where the plain cell loses it."""
    rng = np.random.default_rng(7)
    p = parameters("LSTM", rng, scale=0.05)
    p["input.b"][DIM : 2 * DIM] = 6  # σ(6) = 0.9975
    y, cache = recurrent.lstm(rng.normal(size=(1, 60, DIM_IN)), p)
    _, dstate, _ = recurrent.recurrent_backward(np.zeros_like(y), cache, (np.zeros((1, DIM)), np.ones((1, DIM))))
    assert np.linalg.norm(dstate[1]) > 0.5 * np.linalg.norm(np.ones(DIM))


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="kind.*'elman'"):
        recurrent.recurrent("elman", np.zeros((1, 1, 1)), {})


def test_the_registry_finds_them():
    assert {f.name for f in FORMULAS} <= {f.name for f in parity_cases("recurrent")}
