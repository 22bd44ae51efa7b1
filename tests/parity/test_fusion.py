"""Fusion against brute force, against the libraries' own, at its start, at its limits, and saved and loaded."""

import itertools
import math

import keras
import numpy as np
import pytest
import torch

from mmcourse.keras import fusion as keras_fusion
from mmcourse.keras import losses as keras_losses
from mmcourse.numpy import fusion, losses
from mmcourse.parity import KerasBackend, TorchBackend, parity_cases
from mmcourse.parity.case import flatten
from mmcourse.torch import fusion as torch_fusion
from mmcourse.torch import losses as torch_losses

F = {f.name: f for f in parity_cases("fusion")}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def case(name, seed=0):
    """Inputs and random weights of a registered formula."""
    return F[name].inputs(np.random.default_rng(seed)), TorchBackend(F[name], seed=seed).weights


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(name, xs, p):
    """One sample, loops and sums as the formula is written."""
    if name == "sum gate":
        return sigmoid(
            sum(x @ p[f"maps.{m}.w"] + p[f"maps.{m}.b"] for m, x in enumerate(xs)) @ p["gate.w"] + p["gate.b"]
        )
    if name == "weighted sum":
        return sum(a * (x @ p[f"maps.{m}.w"]) for m, (a, x) in enumerate(zip(softmax(p["alpha"]), xs, strict=True)))
    if name == "late, mean":
        posts = [softmax(x @ p[f"heads.{m}.w"] + p[f"heads.{m}.b"]) for m, x in enumerate(xs)]
        return np.log(sum(w * q for w, q in zip(softmax(p["alpha"]), posts, strict=True)))
    if name == "late, product":
        posts = [softmax(x @ p[f"heads.{m}.w"] + p[f"heads.{m}.b"]) for m, x in enumerate(xs)]
        joint = np.prod(posts, axis=0) / np.exp(p["log_prior"]) ** (len(xs) - 1)
        return np.log(joint / joint.sum())
    if name == "gated unit of two":
        z = sigmoid(np.concatenate(xs) @ p["gates.0.w"])
        return z * np.tanh(xs[0] @ p["hidden.0.w"]) + (1 - z) * np.tanh(xs[1] @ p["hidden.1.w"])
    if name == "bilinear":
        pairs = itertools.product(range(3), range(4))
        return sum(xs[0][i] * p["w"][i, j] * xs[1][j] for i, j in pairs)
    if name == "low-rank bilinear":
        return (np.tanh(xs[0] @ p["maps.0.w"]) * np.tanh(xs[1] @ p["maps.1.w"])) @ p["out.w"] + p["out.b"]
    if name == "compact bilinear":
        a, b = xs[0] @ p["sketch_0"], xs[1] @ p["sketch_1"]
        z = np.array([sum(a[i] * b[(k - i) % 5] for i in range(5)) for k in range(5)])  # circular convolution
        z = z / np.sqrt((z**2).mean() + 1e-16)
        z = z / np.sqrt(np.abs(z) + 1e-3)
        return z / np.sqrt((z**2).sum() + 1e-6)
    if name == "tensor":
        a, b, c = (np.append(x, 1) for x in xs)
        return np.einsum("i,j,k->ijk", a, b, c).ravel() @ p["out.w"] + p["out.b"]
    if name == "low-rank tensor":
        full = np.einsum("rik,rjk,rlk->ijlk", *(p[f"factors.{m}"] for m in range(3)))
        return np.einsum("ijlk,i,j,l->k", full, *(np.append(x, 1) for x in xs))
    raise KeyError(name)


HAND = ["sum gate", "weighted sum", "late, mean", "late, product", "gated unit of two", "bilinear", "low-rank bilinear"]
HAND += ["compact bilinear", "tensor", "low-rank tensor"]


@pytest.mark.parametrize("name", HAND)
def test_equals_the_formula_by_hand(name):
    inputs, p = case(name)
    got = F[name].find("numpy")(**inputs, p=p)
    for b, row in enumerate(got):
        np.testing.assert_allclose(row, by_hand(name, [x[b] for x in inputs["xs"]], p), atol=1e-10)


def test_cross_attention_by_loops():
    inputs, p = case("cross-attention")
    got = fusion.cross_attention(**inputs, p=p)
    for b, i in itertools.product(range(4), range(4)):
        q = inputs["target"][b, i] @ p["q_proj.w"]
        real = inputs["context"][b][inputs["padding_mask"][b]]
        weights = softmax(np.array([q @ (s @ p["k_proj.w"]) for s in real]) / math.sqrt(5))
        np.testing.assert_allclose(got[b, i], sum(w * (s @ p["v_proj.w"]) for w, s in zip(weights, real, strict=True)))


def test_film_is_per_channel(rng):
    """A feature map (b, h, w, d) gets one γ and β a channel, the same at every position."""
    _, p = case("FiLM")
    c = [rng.normal(size=(2, 4)), rng.normal(size=(2, 2))]
    image = rng.normal(size=(2, 6, 7, 3))
    got = fusion.film([image, *c], p)
    alone = fusion.film([image[:, 4, 5], *c], p)
    np.testing.assert_allclose(got[:, 4, 5], alone)
    layer = torch_fusion.FiLM([3, 4, 2], 5)
    assert layer([torch.from_numpy(x).float() for x in [image, *c]]).shape == got.shape


def test_compact_bilinear_estimates_the_outer_product(rng):
    """⟨Ψx₁ ∗ Ψx₂, Ψy₁ ∗ Ψy₂⟩ has mean ⟨x₁, y₁⟩⟨x₂, y₂⟩ over the hashes."""
    x1, x2, y1, y2 = rng.normal(size=(4, 6))
    estimates = []
    for _ in range(4000):
        s1, s2 = fusion.count_sketch_matrix(6, 32, rng), fusion.count_sketch_matrix(6, 32, rng)
        spectra = [np.fft.rfft(a @ s1) * np.fft.rfft(b @ s2) for a, b in ((x1, x2), (y1, y2))]
        estimates.append(np.dot(*(np.fft.irfft(s, 32) for s in spectra)))
    error = np.std(estimates) / math.sqrt(len(estimates))
    assert abs(np.mean(estimates) - (x1 @ y1) * (x2 @ y2)) < 4 * error


@pytest.mark.parametrize("size", [1e-2, 1, 1e2])
def test_compact_bilinear_does_not_depend_on_the_size_of_its_inputs(size):
    """As in the paper, whose signed square root and unit length are scale-free; the softened root is close to it."""
    inputs, p = case("compact bilinear")
    xs = [size * x for x in inputs["xs"]]
    got = fusion.compact_bilinear(xs, p)
    np.testing.assert_allclose(got, fusion.compact_bilinear(inputs["xs"], p), rtol=1e-6)
    a, b = (x @ p[f"sketch_{m}"] for m, x in enumerate(xs))
    z = np.fft.irfft(np.fft.rfft(a) * np.fft.rfft(b), n=a.shape[1])
    papers = np.sign(z) * np.sqrt(np.abs(z))
    papers /= np.linalg.norm(papers, axis=1, keepdims=True)
    np.testing.assert_allclose(got, papers, atol=5e-3)


def test_late_product_with_nothing_is_the_prior(rng):
    inputs, p = case("late, product")
    got = fusion.late_product(inputs["xs"], p, np.zeros((4, 3), bool))
    np.testing.assert_allclose(np.exp(got), np.tile([0.1, 0.3, 0.2, 0.25, 0.15], (4, 1)), atol=1e-7)


def test_bottleneck_hears_of_others_one_layer_late(rng):
    inputs, p = case("bottleneck")
    streams = [rng.normal(size=(4, t, 5)) for t in (4, 6, 3)]
    z, masks = rng.normal(size=(4, 2, 5)), inputs["padding_masks"]
    moved = [streams[0], streams[1] + 1, streams[2]]
    one, other = (fusion.bottleneck_layer(s, z, masks, p, "layers.0") for s in (streams, moved))
    np.testing.assert_allclose(one[0][0], other[0][0])
    two, another = (fusion.bottleneck_layer(*r, masks, p, "layers.1") for r in (one, other))
    assert np.abs(two[0][0] - another[0][0]).max() > 1e-6


DRAWS = {
    "numpy": lambda modality_mask, rate: fusion.sample_modality_mask(modality_mask, rate, np.random.default_rng(0)),
    "torch": lambda modality_mask, rate: torch_fusion.sample_modality_mask(
        torch.from_numpy(modality_mask), rate, torch.Generator().manual_seed(0)
    ).numpy(),
    "keras": lambda modality_mask, rate: np.array(
        keras_fusion.sample_modality_mask(modality_mask, rate, keras.random.SeedGenerator(0))
    ),
}


@pytest.mark.parametrize("backend", DRAWS)
def test_modalities_drop_out_one_sample_at_a_time(rng, backend):
    everything = np.ones((20_000, 3), bool)
    drawn = DRAWS[backend](everything, 0.4)
    # with the rescue of those who lost all: 0.6 + 0.4³ / 3
    np.testing.assert_allclose(drawn.mean(0), 0.6 + 0.4**3 / 3, atol=0.015)
    assert drawn.any(1).all() and len(np.unique(drawn, axis=0)) == 7
    some = rng.random((20_000, 3)) > 0.5
    drawn = DRAWS[backend](some, 0.9)
    assert not (drawn & ~some).any() and (drawn.any(1) == some.any(1)).all()


def test_keras_modulation_leaves_the_head():
    encoders = [keras.layers.Dense(2), keras.layers.Dense(2)]
    head = keras.layers.Dense(1)
    for layer in (*encoders, head):
        layer.build((None, 2))
    variables = [v for layer in (*encoders, head) for v in layer.trainable_variables]
    ones = [np.ones(v.shape) for v in variables]
    got = keras_fusion.modulate_gradients(ones, variables, encoders, [0.2, 1.0])
    assert [float(g.mean()) for g in got] == [0.2, 0.2, 1, 1, 1, 1]


def test_confidence_is_equal_in_all_backends(rng):
    logits, labels = rng.normal(size=(3, 6, 4)), rng.integers(4, size=6)
    want = fusion.confidence(logits, labels)
    np.testing.assert_allclose(torch_fusion.confidence(torch.from_numpy(logits), torch.from_numpy(labels)), want)
    tensor = keras.ops.convert_to_tensor(logits, "float64")
    np.testing.assert_allclose(keras_fusion.confidence(tensor, labels), want)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_the_frameworks_own(rng, smoothing):
    logits, labels = rng.normal(size=(6, 4)), rng.integers(4, size=6)
    want = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(labels), label_smoothing=smoothing
    ).item()
    assert losses.cross_entropy(logits, labels, smoothing)[0] == pytest.approx(want, abs=1e-12)
    own = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    assert float(own(np.eye(4)[labels], logits)) == pytest.approx(want, abs=1e-6)


def test_cross_entropy_is_finite_and_ignorance_costs_ln_c():
    labels = np.array([0, 2])
    for logits in (np.zeros((2, 3)), np.full((2, 3), 1e4), np.full((2, 3), -1e4)):
        assert losses.cross_entropy(logits, labels)[0] == pytest.approx(math.log(3))
        assert torch_losses.cross_entropy(*map(torch.from_numpy, (logits, labels))).item() == pytest.approx(math.log(3))
        assert float(keras_losses.cross_entropy(logits, labels)) == pytest.approx(math.log(3), rel=1e-5)
    extreme = np.array([[1e4, -1e4, 0.0], [0.0, 1e4, -1e4]])
    assert losses.cross_entropy(extreme, labels)[0] == pytest.approx(1e4)
    assert losses.cross_entropy(extreme, labels, mask=np.array([True, False]))[0] == 0


@pytest.mark.parametrize("name", [n for n, f in F.items() if f.config and "absent" not in n])
def test_keras_layers_come_back_from_their_config(name):
    inputs = F[name].inputs(np.random.default_rng(0))
    backend = KerasBackend(F[name], TorchBackend(F[name], "float32"), inputs, "float32")
    again = keras.layers.deserialize(keras.layers.serialize(backend.layer))
    F[name].keras_call(again, backend.tensors(inputs))
    again.set_weights(backend.layer.get_weights())
    before = backend.outputs(backend.tensors(inputs))
    after = flatten(F[name].keras_call(again, backend.tensors(inputs)))
    for path, output in before.items():
        np.testing.assert_array_equal(output, after[path])


def test_a_bilinear_form_takes_two():
    for backend in (torch_fusion, keras_fusion):
        with pytest.raises(ValueError, match="dims: a bilinear form takes two modalities, got 3"):
            backend.Bilinear([2, 3, 4], 5)
