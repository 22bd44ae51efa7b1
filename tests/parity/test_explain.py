"""Explanations: what mathematics says of them, the same in three backends, equal to captum; mistakes are noticed."""

from __future__ import annotations

from functools import partial
from itertools import permutations

import numpy as np
import pytest
import torch
from mutants_encoders import Mutant, mutated
from torch import nn

from mmcourse.numpy import explain as ours
from mmcourse.torch import explain as theirs

WHY = "extra `explain`: pip install 'mmcourse[explain]'"
RNG = np.random.default_rng(0)
W, V = RNG.normal(size=(5, 4)), RNG.normal(size=5)
X, BASE = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4))


def f(x):
    """A smooth function of each sample, (b, 4) → (b,)."""
    return np.tanh(x @ W.T) @ V


def slope(x):
    """Its gradient."""
    return (V * (1 - np.tanh(x @ W.T) ** 2)) @ W


def torch_f(x):
    """The same in PyTorch."""
    return torch.tanh(x @ torch.from_numpy(W).T) @ torch.from_numpy(V)


def keras_f(x):
    """The same in Keras."""
    from keras import ops

    return ops.matmul(ops.tanh(ops.matmul(x, W.T)), V[:, None])[:, 0]


def numpy_ig(steps):
    return ours.integrated_gradients(slope, X, BASE, steps)


def torch_ig(steps):
    return theirs.integrated_gradients(torch_f, torch.from_numpy(X), torch.from_numpy(BASE), steps).numpy()


def keras_ig(steps):
    from mmcourse.keras import explain

    return np.asarray(explain.integrated_gradients(keras_f, X, BASE, steps))


WAYS = {"numpy": numpy_ig, "torch": torch_ig, "keras": keras_ig}


# ---------------------------------------------------------------- integrated gradients
def check_completeness(way="numpy"):
    """What the parts sum to is the difference of the outputs; the midpoint rule's error falls with steps²."""
    gaps = [np.abs(WAYS[way](steps).sum(axis=1) - (f(X) - f(BASE))).max() for steps in (16, 64, 256)]
    assert gaps[2] < 1e-4 and gaps[0] > 10 * gaps[1] > 100 * gaps[2]


def check_steps(way="numpy"):
    """With few steps, too, the points are in the middle of equal parts."""
    by_hand = sum(slope(BASE + share * (X - BASE)) for share in (1 / 6, 3 / 6, 5 / 6)) / 3 * (X - BASE)
    np.testing.assert_allclose(WAYS[way](3), by_hand, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_integrated_gradients_are_complete_and_exact(way):
    check_completeness(way)
    check_steps(way)


def test_a_linear_function_needs_one_step():
    weights = RNG.normal(size=4)
    found = ours.integrated_gradients(lambda x: np.broadcast_to(weights, x.shape), X, BASE, 1)
    np.testing.assert_allclose(found, weights * (X - BASE))


@pytest.mark.parametrize("steps", [8, 64])  # captum keeps 1 / steps in float32, exact for powers of two only
def test_integrated_gradients_equal_captum(steps):
    attr = pytest.importorskip("captum.attr", reason=WHY)
    x, base = torch.from_numpy(X), torch.from_numpy(BASE)
    way = {"n_steps": steps, "method": "riemann_middle"}
    expected = attr.IntegratedGradients(torch_f).attribute(x, base, **way).numpy()
    np.testing.assert_allclose(torch_ig(steps), expected, atol=1e-9)


def test_saliency_is_the_gradient():
    found = theirs.saliency(torch_f, torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(found, slope(X), atol=1e-12)
    from mmcourse.keras import explain

    np.testing.assert_allclose(np.asarray(explain.saliency(keras_f, X)), slope(X), atol=1e-6)


# ---------------------------------------------------------------- Grad-CAM
def network():
    """A small network with an in-place ReLU behind the layer that is explained."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    return nn.Sequential(*layers).double().eval()


@pytest.mark.parametrize("relu", [True, False])
def test_grad_cam_equals_captum_with_its_flag(relu):
    attr = pytest.importorskip("captum.attr", reason=WHY)
    model, x = network(), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    model[1] = nn.ReLU()  # captum keeps what an in-place ReLU has changed
    found = theirs.grad_cam(*theirs.layer_gradients(lambda z: model(z)[:, 1], model[0], x), relu=relu)
    cam = attr.LayerGradCam(model, model[0]).attribute(x, 1, relu_attributions=relu)[:, 0]
    np.testing.assert_allclose(found.numpy(), cam.detach().numpy(), atol=1e-12)
    if relu:
        without = attr.LayerGradCam(model, model[0]).attribute(x, 1)[:, 0]
        assert (found - without).abs().max() > 1e-3, "captum's default has no ReLU"


def test_an_in_place_relu_changes_nothing():
    model, x = network(), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    kept, gradients = theirs.layer_gradients(lambda z: model(z)[:, 0], model[0], x)
    np.testing.assert_allclose(kept.numpy(), model[0](x).detach().numpy())
    assert (kept < 0).any() and gradients.shape == kept.shape
    assert not model[0]._forward_hooks, "the hook is taken off again"


def test_a_layer_that_is_not_used_is_named():
    model = network()
    with pytest.raises(RuntimeError, match="part of the model"):
        theirs.layer_gradients(lambda z: model(z)[:, 0], nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8).double())


def check_grad_cam():
    """With a mean over all places and a linear layer behind it, Grad-CAM is the class's own weighted sum (CAM)."""
    activations, weights = np.abs(RNG.normal(size=(2, 3, 4, 4))), np.array([1.0, -2.0, 0.5])
    gradients = np.broadcast_to(weights[:, None, None] / 16, activations.shape)
    raw = np.einsum("bkhw,k->bhw", activations, weights) / 16
    np.testing.assert_allclose(ours.grad_cam(activations, gradients), np.maximum(raw, 0), atol=1e-12)
    np.testing.assert_allclose(ours.grad_cam(activations, gradients, relu=False), raw, atol=1e-12)
    uneven = gradients * np.linspace(0, 2, 16).reshape(4, 4)  # the same mean: places are not weighted
    np.testing.assert_allclose(ours.grad_cam(activations, uneven, relu=False), raw, atol=1e-12)


def test_grad_cam_is_cam():
    check_grad_cam()


# ---------------------------------------------------------------- rollout
def check_rollout():
    """By hand for two layers; rows stay distributions; without attention between tokens nothing moves."""
    a, b = np.array([[[0.5, 0.5], [0.0, 1.0]]]), np.array([[[1.0, 0.0], [0.8, 0.2]]])
    by_hand = (0.5 * (b + np.eye(2))) @ (0.5 * (a + np.eye(2)))
    found = ours.attention_rollout(np.stack([a, b]))
    np.testing.assert_allclose(found, by_hand, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=-1), 1)
    still = np.broadcast_to(np.eye(3), (4, 1, 3, 3))
    np.testing.assert_allclose(ours.attention_rollout(still), np.eye(3)[None])


def test_rollout():
    check_rollout()


# ---------------------------------------------------------------- Shapley
def by_orders(values, players):
    """The definition: all orders of arrival."""
    total = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        there = 0
        for player in order:
            total[player] += values[there | 1 << player] - values[there]
            there |= 1 << player
    return total / len(orders)


def check_shapley(module=ours, convert=np.asarray):
    """Equal to the mean over all orders; sums to v(all) − v(nobody); a player who adds nothing gets nothing."""
    rng = np.random.default_rng(1)
    for players in (1, 2, 3, 4):
        values = rng.normal(size=2**players)
        found = np.asarray(module.shapley(convert(values)))
        np.testing.assert_allclose(found, by_orders(values, players), atol=1e-12)
        assert found.sum() == pytest.approx(values[-1] - values[0])


def test_shapley_values():
    from mmcourse.keras import explain

    check_shapley()
    check_shapley(theirs, torch.tensor)
    check_shapley(explain)
    lazy = np.array([0.0, 1, 0, 1, 2, 5, 2, 5])  # player 1 changes nothing
    assert ours.shapley(lazy)[1] == 0


@pytest.mark.parametrize("number", [0, 1, 3, 6])
def test_a_wrong_number_of_coalitions_is_named(number):
    for module, convert in ((ours, np.asarray), (theirs, torch.tensor)):
        with pytest.raises(ValueError, match="coalitions"):
            module.shapley(convert(np.zeros(number)))


def test_shapley_values_equal_captum():
    attr = pytest.importorskip("captum.attr", reason=WHY)
    x, base = torch.from_numpy(X), torch.zeros(1, 4, dtype=torch.float64)
    expected = attr.ShapleyValues(torch_f).attribute(x, base)
    values = []
    for coalition in range(16):
        known = torch.tensor([bool(coalition >> m & 1) for m in range(4)])
        values.append(torch_f(torch.where(known, x, base)))
    found = theirs.shapley(torch.stack(values)).T  # (b, players)
    mean = np.array([by_orders([v[i].item() for v in values], 4) for i in range(3)])
    np.testing.assert_allclose(found.numpy(), mean, atol=1e-12)
    assert expected.shape == found.shape
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)  # captum's are float32


# ---------------------------------------------------------------- mutants
NUMPY, TORCH, KERAS = "mmcourse.numpy.explain", "mmcourse.torch.explain", "mmcourse.keras.explain"


def _everywhere(name, old, new, check):
    """The same mistake in three backends; `check` takes the backend."""
    return [Mutant(name, m, old, new, partial(check, m.split(".")[1])) for m in (NUMPY, TORCH, KERAS)]


MUTANTS = [
    *_everywhere("left Riemann sum", "(k + 0.5) / steps", "k / steps", check_steps),
    *_everywhere("the gradient at x alone", "share * (x - baseline)", "(x - baseline)", check_completeness),
    *_everywhere(
        "the baseline not subtracted", "return (x - baseline) * total", "return x * total", check_completeness
    ),
    *_everywhere("the sum, not the mean", "* total / steps", "* total", check_steps),
    Mutant(
        "gradients not averaged over places",
        NUMPY,
        "gradients.mean(axis=(2, 3), keepdims=True)",
        "gradients",
        check_grad_cam,
    ),
    Mutant("no ReLU", NUMPY, "np.maximum(heat, 0) if relu else heat", "heat", check_grad_cam),
    Mutant(
        "ReLU before the sum",
        NUMPY,
        "(weights * activations).sum(axis=1)",
        "np.maximum(weights * activations, 0).sum(axis=1)",
        check_grad_cam,
    ),
    Mutant("no residual connection", NUMPY, "0.5 * (attention + np", "1.0 * (attention + 0 * np", check_rollout),
    Mutant("first layer last", NUMPY, "layer @ rollout", "rollout @ layer", check_rollout),
    Mutant("all coalitions alike", NUMPY, "weights[-1] * size / (players - size)", "weights[-1]", check_shapley),
    Mutant(
        "weights by the wrong size",
        TORCH,
        "comb(players - 1, others)",
        "comb(players, others)",
        lambda: check_shapley(theirs, torch.tensor),
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.module.split('.')[1]}: {m.name}")
def test_mistakes_are_noticed(mutant):
    mutant.check()
    with mutated(mutant), pytest.raises(AssertionError):
        mutant.check()
