"""Whatever a mask hides does not matter, and the three backends answer alike: values, gradients and errors."""

from importlib import import_module

import numpy as np
import pytest
from checked_shapes import BACKENDS, to_tensors

BACKEND = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def call(backend, name, *args, **options):
    """A function of masks.py on arrays, its result as arrays."""
    function = getattr(import_module(f"mmcourse.{backend}.masks"), name)
    result = function(*(to_tensors(backend, x) if isinstance(x, (list, np.ndarray)) else x for x in args), **options)
    return to_arrays(result)


def to_arrays(result):
    if isinstance(result, (list, tuple)):
        return [to_arrays(item) for item in result]
    return result if result is None else np.asarray(result)


def check_hidden_values(backend):
    """NaN and infinity under a mask change nothing."""
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    mask = np.array([[True, True, False, False], [False] * 4, [True] * 4])
    hidden = np.where(mask[..., None], x, np.nan)
    hidden[0, 3] = np.inf
    expected = [x[0, :2].mean(0), np.zeros(2), x[2].mean(0)]
    assert np.allclose(call(backend, "masked_mean", hidden, mask), expected)
    steps, masks = call(backend, "real_steps", [hidden], [mask])
    assert np.array_equal(steps[0], np.where(mask[..., None], x, 0)) and np.array_equal(masks[0], mask)
    weights = call(backend, "masked_softmax", hidden[..., 0], mask)
    assert np.allclose(weights.sum(1), [1, 0, 1]) and not weights[~mask].any()
    (kept,) = call(backend, "masked", [hidden[:, 0]], np.array([[True], [False], [True]]))
    assert np.array_equal(kept, x[:, 0] * [[1], [0], [1]])


@BACKEND
def test_hidden_nan_and_infinity_do_not_matter(backend):
    check_hidden_values(backend)


@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_a_hidden_nan_gives_no_gradient_that_is_nan(backend):
    x = np.array([[[1.0], [np.nan]]])
    masks = import_module(f"mmcourse.{backend}.masks")
    mask = to_tensors(backend, np.array([[True, False]]))
    if backend == "torch":
        tensor = to_tensors(backend, x).requires_grad_()
        masks.masked_mean(tensor, mask).sum().backward()
        gradient = tensor.grad
    else:
        import tensorflow

        tensor = tensorflow.constant(x)
        with tensorflow.GradientTape() as tape:
            tape.watch(tensor)
            loss = tensorflow.reduce_sum(masks.masked_mean(tensor, mask))
        gradient = tape.gradient(loss, tensor)
    assert np.array_equal(np.asarray(gradient), [[[1.0], [0.0]]])


@BACKEND
def test_ones_and_zeros_are_a_mask_too(backend, rng):
    x, mask = rng.normal(size=(2, 3, 2)), np.array([[True, False, True], [False] * 3])
    assert np.array_equal(call(backend, "masked_mean", x, mask.astype(float)), call(backend, "masked_mean", x, mask))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("ndim", [3, 4])
def test_one_attention_mask_in_all_three(causal, ndim):
    padding = np.array([[True, True, False, True], [False] * 4])
    found = [call(backend, "attention_mask", 3, 4, padding, causal, ndim) for backend in BACKENDS]
    assert found[0].dtype == bool and found[0].ndim == ndim
    assert all(np.array_equal(found[0], other) for other in found[1:])
    sees = np.broadcast_to(found[0], (2, *[1] * (ndim - 3), 3, 4)).reshape(2, 3, 4)
    assert not sees[..., 2].any() and not sees[1].any()  # padding is hidden from every query
    assert sees[0, 0].tolist() == [True, True, False, not causal]  # the first of three queries stands at key 1


@BACKEND
def test_without_mask_all_is_allowed(backend):
    assert call(backend, "attention_mask", 3, 4) is None


def check_width(backend):
    """(2, 6) holds as many numbers as (4, 3): reshaped, it would hide keys of other samples."""
    for mask in (np.ones((2, 6), bool), np.ones((2, 3)), np.ones(3, bool)):
        try:
            call(backend, "attention_mask", 3, 3, mask)
        except ValueError as error:
            assert str(error).startswith("padding_mask: expected bool (batch, 3), True = real; got")
        else:
            raise AssertionError(f"{backend} takes a padding mask of {mask.dtype} {mask.shape} for 3 keys")


@BACKEND
def test_a_mask_of_another_width_or_kind_is_refused(backend):
    check_width(backend)


@BACKEND
def test_all_real_is_a_padding_mask_without_padding(backend):
    mask = call(backend, "all_real", np.zeros((2, 3, 4)))
    assert mask.dtype == bool and mask.shape == (2, 3) and mask.all()
