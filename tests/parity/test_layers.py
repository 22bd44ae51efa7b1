"""Small layers and normalization: gradients, the frameworks' own layers, and their defaults."""

import inspect

import keras
import numpy as np
import pytest
import torch
from own_layers import check_gradient, check_keras, check_torch, in_order, torch_state
from torch.nn import functional as F

from mmcourse.numpy import convolution, layers, norm, weight_conversion
from mmcourse.parity.layers import FORMULAS, channels_first

BY_NAME = {f.name: f for f in FORMULAS}


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f.name)
def test_gradient_equals_central_differences(formula):
    check_gradient(formula)


def check_activations():
    """relu and both forms of GELU against both frameworks; Keras's float64 GELU holds √2 in float32."""
    for name, own in (
        ("relu", F.relu),
        ("gelu, exact", lambda x: F.gelu(x)),
        ("gelu, tanh", lambda x: F.gelu(x, approximate="tanh")),
    ):
        check_torch(BY_NAME[name], own, call=lambda f, inputs: f(inputs["x"]))
    check_keras(BY_NAME["relu"], keras.activations.relu)
    x = np.linspace(-4, 4, 101)
    for approximate in (False, True):
        theirs = np.array(keras.activations.gelu(x, approximate=approximate))
        np.testing.assert_allclose(theirs, layers.gelu(x, approximate)[0], atol=1e-7)


def test_activations_equal_the_frameworks_own():
    check_activations()


def test_the_two_gelus_differ_by_less_than_five_ten_thousandths():
    x = np.linspace(-6, 6, 2001)
    gap = np.abs(layers.gelu(x)[0] - layers.gelu(x, approximate=True)[0]).max()
    assert 1e-4 < gap < 5e-4


def test_linear_embedding_and_layer_norm_equal_the_frameworks_own():
    check_torch(BY_NAME["linear map"], torch.nn.Linear(6, 5), torch_state)
    check_keras(BY_NAME["linear map"], keras.layers.Dense(5, dtype="float64"), in_order)
    check_torch(BY_NAME["layer norm"], torch.nn.LayerNorm(6), torch_state)
    check_keras(BY_NAME["layer norm"], keras.layers.LayerNormalization(epsilon=1e-5, dtype="float64"), in_order)
    check_torch(
        BY_NAME["embedding"],
        torch.nn.Embedding(7, 4),
        lambda p: {"weight": p["w"]},
        lambda layer, inputs: layer(inputs["ids"]),
    )
    check_keras(
        BY_NAME["embedding"],
        keras.layers.Embedding(7, 4, dtype="float64"),
        in_order,
        lambda layer, inputs: layer(inputs["ids"]),
    )


def test_embedding_adds_repeated_ids_and_skips_padding():
    ids = np.array([[1, 1, 0]])
    _, cache = layers.embedding(ids, np.zeros((3, 2)))
    grad = layers.embedding_backward(np.ones((1, 3, 2)), cache, padding_id=0)
    np.testing.assert_array_equal(grad, [[0, 0], [2, 2], [0, 0]])
    own = torch.nn.Embedding(3, 2, padding_idx=0)
    own(torch.tensor(ids)).sum().backward()
    np.testing.assert_array_equal(own.weight.grad, grad)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_equals_the_frameworks_own(training):
    name = f"batch norm, {'training' if training else 'evaluation'}"
    theirs = torch.nn.BatchNorm2d(3).train(training)
    check_torch(BY_NAME[name], theirs, torch_state, channels_first)
    own = keras.layers.BatchNormalization(epsilon=1e-5, dtype="float64")
    check_keras(BY_NAME[name], own, in_order, lambda layer, inputs: layer(inputs["x"], training=training))


def check_running_statistics(momentum=0.3):
    """Three batches: PyTorch weighs the new one and divides by n − 1, Keras weighs the old and divides by n."""
    rng = np.random.default_rng(4)
    theirs = torch.nn.BatchNorm2d(2, momentum=momentum).double()
    other = weight_conversion.other_momentum(momentum)
    own = keras.layers.BatchNormalization(momentum=other, epsilon=1e-5, dtype="float64")
    running = {unbiased: (np.zeros(2), np.ones(2)) for unbiased in (True, False)}
    for _ in range(3):
        x = rng.normal(3, 2, size=(2, 3, 3, 2))
        for unbiased, old in running.items():
            cache = norm.batch_norm(x, np.ones(2), np.zeros(2), old, momentum=momentum, unbiased=unbiased)[1]
            running[unbiased] = cache["running"]
        theirs(torch.tensor(x).movedim(-1, 1))
        own(x, training=True)
    np.testing.assert_allclose(theirs.running_mean, running[True][0], rtol=1e-6)
    np.testing.assert_allclose(theirs.running_var, running[True][1], rtol=1e-6)
    np.testing.assert_allclose(own.moving_mean.numpy(), running[False][0], rtol=1e-6)
    np.testing.assert_allclose(own.moving_variance.numpy(), running[False][1], rtol=1e-6)


def test_running_statistics_equal_the_frameworks_own():
    check_running_statistics()


@pytest.mark.parametrize("unbiased", [True, False])
def test_running_statistics_are_equal_in_all_backends(unbiased):
    import mmcourse.keras.norm as keras_norm
    import mmcourse.torch.norm as torch_norm

    x = np.random.default_rng(5).normal(3, 2, size=(4, 3, 3, 2))
    ours = norm.batch_norm(x, np.ones(2), np.zeros(2), (np.zeros(2), np.ones(2)), unbiased=unbiased)[1]["running"]
    a, b = (
        torch_norm.BatchNorm(2, unbiased=unbiased).double(),
        keras_norm.BatchNorm(2, unbiased=unbiased, dtype="float64"),
    )
    a(torch.tensor(x).movedim(-1, 1))
    b(x, training=True)
    for got in ((a.mean, a.var), (b.mean.value, b.var.value)):
        np.testing.assert_allclose(got[0].numpy(), ours[0], rtol=1e-6)
        np.testing.assert_allclose(got[1].numpy(), ours[1], rtol=1e-6)


def test_defaults_are_what_the_frameworks_say():
    def default(f, name):
        return inspect.signature(f).parameters[name].default

    read = {
        "Adam epsilon": (default(torch.optim.Adam, "eps"), default(keras.optimizers.Adam, "epsilon")),
        "AdamW weight decay": tuple(default(o.AdamW, "weight_decay") for o in (torch.optim, keras.optimizers)),
        "batch norm momentum": (
            default(torch.nn.BatchNorm2d, "momentum"),
            default(keras.layers.BatchNormalization, "momentum"),
        ),
        "batch norm epsilon": (
            default(torch.nn.BatchNorm2d, "eps"),
            default(keras.layers.BatchNormalization, "epsilon"),
        ),
        "layer norm epsilon": (
            default(torch.nn.LayerNorm, "eps"),
            default(keras.layers.LayerNormalization, "epsilon"),
        ),
    }
    assert read.items() <= weight_conversion.DEFAULTS.items()
    assert torch.nn.GELU().approximate == "none" and default(keras.activations.gelu, "approximate") is False
    lstm = keras.layers.LSTM(4)
    lstm.build((None, 3, 2))
    np.testing.assert_array_equal(lstm.trainable_variables[2].numpy()[4:8], 1)


def test_first_weights_fill_the_stated_interval():
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(300)
    dense.build((None, 100))
    both = (
        (torch.nn.Linear(100, 300).weight.detach().numpy(), weight_conversion.kaiming_bound(100)),
        (torch.nn.Conv2d(4, 300, 5).weight.detach().numpy(), weight_conversion.kaiming_bound(100)),
        (dense.kernel.numpy(), weight_conversion.glorot_bound(100, 300)),
    )
    for weights, bound in both:
        assert 0.999 * bound < np.abs(weights).max() <= bound * (1 + 1e-6)
        assert weights.var() == pytest.approx(bound**2 / 3, rel=0.02)


def test_adamw_decays_alike_when_told_the_same():
    """Both take lr · decay · w off every weight, biases and norms included; only the defaults differ."""
    w, g, steps, decay = np.array([1.0, -2.0]), np.array([0.3, 0.1]), 3, 0.1
    ours = torch.tensor(w, requires_grad=True)
    optim = torch.optim.AdamW([ours], lr=2**-5, weight_decay=decay, eps=1e-7)
    theirs = keras.Variable(w, dtype="float64")
    own = keras.optimizers.AdamW(2**-5, weight_decay=decay, epsilon=1e-7)
    for _ in range(steps):
        ours.grad = torch.tensor(g)
        optim.step()
        own.apply_gradients([(keras.ops.convert_to_tensor(g), theirs)])
    np.testing.assert_allclose(theirs.numpy(), ours.detach().numpy(), rtol=2e-5)
    assert np.abs(ours.detach().numpy() - w).max() > 0.09


def test_wrong_shapes_are_named():
    x, w = np.zeros((1, 4, 4, 2)), np.zeros((3, 3, 1, 1))
    with pytest.raises(ValueError, match=r"x: expected \(b, h, w, 1\)"):
        convolution.conv2d(x, w)
    with pytest.raises(ValueError, match="kernel: spans 5 but the padded image has 4"):
        convolution.conv2d(x[..., :1], w, dilation=2)
    with pytest.raises(ValueError, match="ids: expected values in"):
        layers.embedding(np.array([3]), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="ids: expected integers"):
        layers.embedding(np.array([]), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="enlarge the batch"):
        norm.batch_norm(np.zeros((1, 2)), np.ones(2), np.zeros(2), (np.zeros(2), np.ones(2)))
