"""Convolution and pooling: the definition, the frameworks' own layers, receptive fields, and speed."""

import itertools

import keras
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from own_layers import check_keras, check_torch, in_order, torch_state
from scipy.signal import convolve2d
from torch.nn import functional as F

from mmcourse.numpy import convolution, weight_conversion
from mmcourse.parity.layers import FORMULAS, channels_first

BY_NAME = {f.name: f for f in FORMULAS}
CONVOLUTIONS = [name for name in BY_NAME if name.startswith("convolution")]


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_equals_torchs_own(name):
    config = dict(BY_NAME[name].config)
    pad = config.pop("padding", 0)
    one_sided = not isinstance(pad, int) and not isinstance(pad[0], int)
    theirs = torch.nn.Conv2d(
        config["in_channels"], config["out_channels"], config["kernel_size"],
        config.get("stride", 1), 0 if one_sided else pad,
        config.get("dilation", 1),
    )  # fmt: skip

    def call(layer, inputs):
        x = inputs["x"].movedim(-1, 1)
        return layer(F.pad(x, (*pad[1], *pad[0])) if one_sided else x).movedim(1, -1)

    check_torch(BY_NAME[name], theirs, torch_state, call)


@pytest.mark.parametrize("name", ["convolution, plain", "convolution, channels", "convolution, dilation"])
def test_convolution_equals_kerass_own(name):
    config = BY_NAME[name].config
    theirs = keras.layers.Conv2D(
        config["out_channels"], config["kernel_size"], dilation_rate=config.get("dilation", 1), dtype="float64"
    )
    check_keras(BY_NAME[name], theirs, in_order)


def check_same_padding():
    """Keras's "same" under stride 2 is ours with `same_padding`: one-sided, unlike PyTorch's padding=1."""
    name = "convolution, one-sided padding"
    assert convolution.same_padding(6, 3, 2) == (0, 1) == BY_NAME[name].config["padding"][0]
    check_keras(BY_NAME[name], keras.layers.Conv2D(2, 3, strides=2, padding="same", dtype="float64"), in_order)


def test_same_padding():
    check_same_padding()
    for size, kernel, stride, dilation in itertools.product(range(1, 9), (1, 2, 3, 5), (1, 2, 3), (1, 2)):
        if stride == 1 or dilation == 1:  # Keras allows no more
            pad = convolution.same_padding(size, kernel, stride, dilation)
            assert convolution.output_size(size, kernel, stride, pad, dilation) == -(-size // stride)
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 6, 6, 1)), rng.normal(size=(3, 3, 1, 1))
    keras_way = convolution.conv2d(x, w, stride=2, padding=((0, 1), (0, 1)))[0]
    torch_way = convolution.conv2d(x, w, stride=2, padding=1)[0]
    assert keras_way.shape == torch_way.shape and np.abs(keras_way - torch_way).min() > 1e-3


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 3)] * 2), st.tuples(*[st.integers(1, 3)] * 2), st.tuples(*[st.integers(1, 2)] * 2),
    st.tuples(*[st.tuples(*[st.integers(0, 2)] * 2)] * 2), st.integers(1, 3), st.integers(1, 3),
)  # fmt: skip
def test_convolution_equals_the_loop(kernel, stride, dilation, padding, in_channels, out_channels):
    rng = np.random.default_rng(0)
    x, w, b = (
        rng.normal(size=(2, 6, 7, in_channels)),
        rng.normal(size=(*kernel, in_channels, out_channels)),
        rng.normal(size=out_channels),
    )
    y, _ = convolution.conv2d(x, w, b, stride, padding, dilation)
    np.testing.assert_allclose(y, convolution.conv2d_loop(x, w, b, stride, padding, dilation), atol=1e-12)
    sizes = zip(x.shape[1:3], kernel, stride, padding, dilation, strict=True)
    assert y.shape[1:3] == tuple(convolution.output_size(*s) for s in sizes)


def test_true_convolution_is_the_flipped_kernel():
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(6, 7)), rng.normal(size=(3, 2))
    true = convolve2d(x, w, mode="valid")
    ours = convolution.conv2d(x[None, ..., None], convolution.flip_kernel(w)[..., None, None])[0][0, ..., 0]
    np.testing.assert_allclose(ours, true, atol=1e-12)
    plain = convolution.conv2d(x[None, ..., None], w[..., None, None])[0][0, ..., 0]
    assert np.abs(plain - true).max() > 0.1


@pytest.mark.parametrize("shift", [1, 3])
def test_translation_equivariance_away_from_borders(shift):
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(1, 12, 12, 2)), rng.normal(size=(3, 3, 2, 3))
    y, moved = (convolution.conv2d(a, w, padding=1)[0] for a in (x, np.roll(x, shift, axis=(1, 2))))
    inside = slice(shift + 1, -1)
    np.testing.assert_allclose(np.roll(y, shift, axis=(1, 2))[:, inside, inside], moved[:, inside, inside], atol=1e-12)
    assert np.abs(np.roll(y, shift, axis=(1, 2)) - moved).max() > 1e-3  # at the border zeros, not the other side


def test_stride_is_equivariant_only_to_its_multiples():
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(1, 13, 13, 1)), rng.normal(size=(3, 3, 1, 1))
    y = convolution.conv2d(x, w, stride=2)[0]
    by_two, by_one = (convolution.conv2d(np.roll(x, -s, (1, 2)), w, stride=2)[0] for s in (2, 1))
    np.testing.assert_allclose(by_two[:, :4, :4], y[:, 1:5, 1:5], atol=1e-12)
    assert np.abs(by_one[:, :4, :4] - y[:, 1:5, 1:5]).max() > 1e-3


@pytest.mark.parametrize(
    "stack", [[(3, 1, 1)], [(3, 1, 1), (3, 2, 1), (3, 1, 1)], [(5, 2, 1), (2, 2, 1), (3, 1, 2)], [(3, 1, 1), (3, 1, 2)]]
)
def test_receptive_field_equals_the_measured_one(stack):
    """Which pixels have a gradient from one output: kernels of ones hide nothing."""
    x = np.zeros((1, 41, 41, 1))
    caches = []
    for kernel, stride, dilation in stack:
        x, cache = convolution.conv2d(x, np.ones((kernel, kernel, 1, 1)), None, stride, 0, dilation)
        caches.append(cache)
    dy = np.zeros_like(x)
    dy[0, x.shape[1] // 2, x.shape[2] // 2] = 1
    for cache in reversed(caches):
        dy = convolution.conv2d_backward(dy, cache)[0]
    rows = np.flatnonzero(dy[0, :, :, 0].any(1))
    assert rows[-1] - rows[0] + 1 == convolution.receptive_field(stack)


@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize("size, stride", [(2, None), ((3, 2), (2, 1))])
def test_pooling_equals_both_frameworks_own(kind, size, stride):
    words = {"max": "max", "avg": "mean"}
    name = f"{words[kind]} pooling{'' if stride is None else ', overlapping'}"
    own = getattr(F, f"{kind}_pool2d")
    check_torch(BY_NAME[name], lambda x: own(x, size, stride), call=channels_first)
    layer = {"max": keras.layers.MaxPooling2D, "avg": keras.layers.AveragePooling2D}[kind]
    check_keras(BY_NAME[name], layer(size, stride, dtype="float64"))


def test_max_pooling_gives_the_gradient_of_a_tie_to_the_first():
    x = np.ones((1, 2, 2, 1))
    y, cache = convolution.max_pool2d(x)
    np.testing.assert_array_equal(convolution.max_pool2d_backward(np.ones_like(y), cache)[0, ..., 0], [[1, 0], [0, 0]])


def test_channels_go_there_and_back():
    x = np.random.default_rng(6).normal(size=(2, 3, 4, 5))
    first = weight_conversion.channels_first(x)
    assert first.shape == (2, 5, 3, 4) and first[1, 4, 2, 3] == x[1, 2, 3, 4]
    np.testing.assert_array_equal(weight_conversion.channels_last(first), x)
