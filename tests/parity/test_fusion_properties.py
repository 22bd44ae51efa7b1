"""What must hold of every fusion method, the loss and the small encoders in each backend, before they are compared."""

import numpy as np
import pytest

from mmcourse.parity import KerasBackend, NumpyBackend, TorchBackend, parity_cases, properties

FORMULAS = {f.name: f for f in parity_cases("fusion") + parity_cases("encoders")}
ENCODERS = {"text encoder": "ids", "audio encoder": "x"}


def of(tag_free=True, has=None):
    """Names of the formulas, without those that mix samples, that take a certain input."""
    rng = np.random.default_rng(0)
    return [n for n, f in FORMULAS.items() if not (tag_free and f.tags) and (has is None or has in f.inputs(rng))]


@pytest.fixture(scope="module")
def backends():
    """All three backends of each formula, made when first asked for."""
    made = {}

    def get(name):
        if name not in made:
            formula = FORMULAS[name]
            inputs = formula.inputs(np.random.default_rng(3))
            torch = TorchBackend(formula, seed=3)
            array = NumpyBackend(formula, torch.weights, torch.trainable)
            made[name] = inputs, {"numpy": array, "torch": torch, "keras": KerasBackend(formula, torch, inputs)}
        return made[name]

    return get


BACKEND = pytest.mark.parametrize("backend", ["numpy", "torch", "keras"])
FRAMEWORK = pytest.mark.parametrize("backend", ["torch", "keras"])


@FRAMEWORK
@pytest.mark.parametrize("name", of(tag_free=False))
def test_registered(backends, name, backend):
    properties.registered(backends(name)[1][backend], FORMULAS[name])


@FRAMEWORK
@pytest.mark.parametrize("name", of())
def test_learns(backends, name, backend):
    inputs, by_backend = backends(name)
    if name.startswith("bilinear") and "modality_mask" in inputs:
        inputs["modality_mask"][:3] = True  # with one of two absent it is 0 by definition, and with it every gradient
    properties.learns(by_backend[backend], inputs)


@BACKEND
@pytest.mark.parametrize("name", of())
def test_samples_are_independent_and_one_is_enough(backends, name, backend):
    inputs, by_backend = backends(name)
    if "ids" not in inputs:
        properties.samples_independent(by_backend[backend].forward, inputs)
    properties.batch_of_one(by_backend[backend].forward, inputs)


@BACKEND
@pytest.mark.parametrize("name", of(has="modality_mask"))
def test_absent_modalities(backends, name, backend):
    inputs, by_backend = backends(name)
    properties.absent_ignored(by_backend[backend].forward, inputs)
    properties.present_matters(by_backend[backend].forward, inputs)


@BACKEND
@pytest.mark.parametrize("name", of(has="padding_masks") + ["cross-attention"] + list(ENCODERS))
def test_padding(backends, name, backend):
    inputs, by_backend = backends(name)
    if "padding_masks" in inputs:
        pairs = {f"xs.{m}": f"padding_masks.{m}" for m in range(3)}
    else:
        pairs = {ENCODERS.get(name, "context"): "padding_mask"}
    properties.padding_ignored(by_backend[backend].forward, inputs, pairs)


def test_every_gradient_survives_nan_in_absent_modalities(backends):
    for name in of(has="modality_mask"):
        inputs, by_backend = backends(name)
        poisoned = properties.changed(inputs, lambda path, a: a)
        for m, x in enumerate(poisoned["xs"]):
            x[~poisoned["modality_mask"][:, m]] = np.nan
        for backend in ("torch", "keras"):
            target = {k: np.zeros_like(v) for k, v in by_backend[backend].forward(inputs).items()}
            slopes = by_backend[backend].gradients(poisoned, target)[1]
            assert all(np.isfinite(g).all() for g in slopes.values()), f"{name} in {backend}"


@pytest.mark.parametrize("name", ["sum gate", "weighted sum", "late, mean", "late, product", "gated unit of three"])
def test_order_of_modalities_is_only_a_name(backends, name):
    """Where the formula is a sum over modalities, inputs and weights may change places together."""
    inputs, by_backend = backends(name)
    array = by_backend["numpy"]
    order = [2, 0, 1]
    weights = {}
    for k, w in array.weights.items():
        head, *rest = k.split(".")
        moved = ".".join([head, str(order.index(int(rest[0]))), *rest[1:]]) if rest and rest[0].isdigit() else k
        weights[moved] = w[order] if k == "alpha" else w
    if "gates.0.w" in weights:  # a gate reads all modalities in a row
        rows = np.concatenate([np.split(np.arange(9), [3, 7])[m] for m in order])
        weights |= {k: w[rows] for k, w in weights.items() if k.startswith("gates")}
    moved = NumpyBackend(FORMULAS[name], weights, array.trainable).forward({"xs": [inputs["xs"][m] for m in order]})
    np.testing.assert_allclose(moved[""], array.forward(inputs)[""], atol=1e-12)
