"""Quantization, pruning and distillation: what mathematics says of them, in three backends; mistakes are noticed."""

from __future__ import annotations

import importlib
from functools import partial

import numpy as np
import pytest
import torch
from mutants_encoders import Mutant, mutated

from mmcourse.torch import compress as in_torch

BACKENDS = ("numpy", "torch", "keras")
RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(4, 50)) * RNG.uniform(0.1, 3, size=(4, 1)) + 0.2


def module_of(backend):
    return importlib.import_module(f"mmcourse.{backend}.compress")


def array(backend, x):
    if backend == "torch":
        return torch.from_numpy(np.array(x))
    if backend == "keras":
        from keras import ops

        return ops.convert_to_tensor(np.array(x), dtype="float64")
    return np.array(x)


def whole(x):
    return x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)


def there_and_back(backend, x, bits=8, symmetric=False, low=None, high=None):
    m = module_of(backend)
    low, high = (x.min() if low is None else low, x.max() if high is None else high)
    scale, zero_point = m.affine_parameters(array(backend, low), array(backend, high), bits, symmetric)
    codes = m.quantize(array(backend, x), scale, zero_point, bits)
    return whole(codes), whole(m.dequantize(codes, scale, zero_point)), whole(scale), whole(zero_point)


def check_error(backend, symmetric=False):
    for bits in (2, 3, 8):
        codes, back, scale, _ = there_and_back(backend, NUMBERS, bits, symmetric)
        assert codes.min() >= -(2 ** (bits - 1)) and codes.max() <= 2 ** (bits - 1) - 1
        assert np.abs(back - NUMBERS).max() <= scale / 2 * (1 + 1e-9)
        if not symmetric:
            assert int(codes.max()) - int(codes.min()) == 2**bits - 1, "all codes are used"


def check_zero(backend):
    for low, high in ((-0.9, 1.6), (0.2, 1.0), (-2.0, -0.5), (0.0, 0.0)):
        _, back, _, zero_point = there_and_back(backend, np.zeros(3), low=low, high=high)
        assert np.array_equal(back, np.zeros(3)) and zero_point == np.round(zero_point) and abs(zero_point) <= 128


def check_outside(backend):
    codes, back, scale, _ = there_and_back(backend, np.array([-9.0, 9.0]), low=-1.0, high=1.0)
    assert codes.tolist() == [-128, 127] and np.abs(back).max() <= 1 + scale


def check_straight_through(backend):
    x, weights = np.array([-3.0, -0.26, 0.0, 0.74, 3.0]), np.arange(1.0, 6)
    if backend == "numpy":
        gradient = module_of("numpy").fake_quantize_backward(weights, x, 0.5, 0, 3)
    elif backend == "torch":
        leaf = torch.tensor(x, requires_grad=True)
        (in_torch.fake_quantize(leaf, 0.5, 0, 3) * torch.tensor(weights)).sum().backward()
        gradient = leaf.grad.numpy()
    else:
        import tensorflow as tf

        leaf = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(leaf)
            total = tf.reduce_sum(module_of("keras").fake_quantize(leaf, 0.5, 0, 3) * weights)
        gradient = np.asarray(tape.gradient(total, leaf))
    assert np.array_equal(gradient, [0, 2, 3, 4, 0])


def check_pruning(backend):
    weight = np.array([[0.9, -0.1, 0.4], [0.05, -0.6, 0.2]])
    for share, kept in ((0.5, [[1, 0, 1], [0, 1, 0]]), (0.0, [[1] * 3] * 2), (1.0, [[0] * 3] * 2)):
        found = whole(module_of(backend).keep_largest(array(backend, weight), share))
        assert np.array_equal(found, np.array(kept, bool))


def loss(backend, student, teacher, labels, temperature, alpha):
    labels = np.array(labels) if backend != "torch" else torch.tensor(labels)
    made = module_of(backend).distillation_loss(
        array(backend, student), array(backend, teacher), labels, temperature, alpha
    )
    return float(whole(made))


def check_distillation(backend):
    student, teacher = np.array([[1.0, 0.0, -1.0], [0.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 0.0], [1.0, 0.0, 0.0]])

    def softmax(z):
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    for temperature, alpha in ((1.0, 1.0), (4.0, 1.0), (2.0, 0.3), (3.0, 0.0)):
        p, q = softmax(teacher / temperature), softmax(student / temperature)
        soft = (p * np.log(p / q)).sum() / 2
        hard = -np.log(softmax(student)[[0, 1], [2, 1]]).mean()
        expected = (1 - alpha) * hard + alpha * temperature**2 * soft
        assert abs(loss(backend, student, teacher, [2, 1], temperature, alpha) - expected) < 1e-9
    certain = np.array([[0.0, -np.inf, -np.inf]])  # a known probability of 1: the loss is a cross-entropy
    assert abs(loss(backend, student[:1], certain, [0], 1.0, 1.0) + np.log(softmax(student)[0, 0])) < 1e-9


CHECKS = [check_error, partial(check_error, symmetric=True), check_zero, check_outside, check_straight_through]
CHECKS += [check_pruning, check_distillation]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda c: str(getattr(c, "__name__", "check_error, symmetric")))
def test_what_mathematics_says(check, backend):
    check(backend)


def test_no_gradient_reaches_the_teacher():
    teacher = torch.randn(2, 3, requires_grad=True)
    student = torch.randn(2, 3, requires_grad=True)
    in_torch.distillation_loss(student, teacher, torch.tensor([0, 1])).backward()
    assert teacher.grad is None and student.grad is not None


def test_t_squared_keeps_the_size_of_the_gradient():
    student, teacher = torch.randn(8, 3, dtype=torch.float64), 3 * torch.randn(8, 3, dtype=torch.float64)
    sizes = []
    for temperature in (16.0, 32.0):
        leaf = student.clone().requires_grad_()
        in_torch.distillation_loss(leaf, teacher, torch.zeros(8, dtype=torch.long), temperature, 1.0).backward()
        sizes.append(leaf.grad.norm().item())
    assert sizes[1] / sizes[0] == pytest.approx(1, abs=0.1)


def test_onnx_runtime_has_the_same_weights():
    onnx = pytest.importorskip("onnx")
    from onnx.numpy_helper import to_array

    from mmcourse.datasets import data_dir

    tensors = {}
    for name in ("model.onnx", "model.int8.onnx"):
        graph = onnx.load(data_dir() / "models" / "start_here" / name).graph
        tensors |= {t.name: to_array(t) for t in graph.initializer}
    weight = tensors["model.hidden.weight"].astype(np.float64)
    m = module_of("numpy")
    largest = np.abs(weight).max(axis=1, keepdims=True)
    scale, _ = m.affine_parameters(-largest, largest, symmetric=True)
    np.testing.assert_allclose(scale[:, 0], tensors["model.hidden.weight_Transposed_scale"], rtol=1e-6)
    theirs = tensors["model.hidden.weight_Transposed_quantized"].T
    assert (m.quantize(weight, scale) != theirs).mean() < 1e-3


def test_torchao_has_the_same_weights_with_its_own_scale():
    pytest.importorskip("torchao")
    from mmcourse.export import quiet_export

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(40, 8))
    weight = net[0].weight.detach().clone()
    with quiet_export():
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(net, Int8WeightOnlyConfig())
    scale = weight.abs().amax(dim=1, keepdim=True) / 127.5
    ours = in_torch.fake_quantize(weight, scale)
    apart = (net[0].weight.dequantize().detach() - ours).abs()
    assert (apart > 1e-6).float().mean() < 0.01  # exact halves may be rounded to either side
    assert (apart <= scale * 1.001).all()


# ---------------------------------------------------------------- mutants
NUMPY, TORCH, KERAS = (f"mmcourse.{backend}.compress" for backend in BACKENDS)


def _everywhere(name, old, new, check):
    """The same mistake in three backends; `check` takes the backend."""
    return [Mutant(name, m, old, new, partial(check, m.split(".")[1])) for m in (NUMPY, TORCH, KERAS)]


MUTANTS = [
    *_everywhere("one step too many", "/ (last - first)", "/ (last - first + 1)", check_error),
    *_everywhere("scale from the maximum alone", "(high - low) / (last", "high / (last", check_error),
    *_everywhere("zero point not rounded", "round(first - low / scale)", "abs(first - low / scale)", check_zero),
    *_everywhere("T² forgotten", "alpha * temperature**2 *", "alpha *", check_distillation),
    *_everywhere("α exchanged", "(1 - alpha) *", "alpha *", check_distillation),
    Mutant("0 not in the range", NUMPY, "np.minimum(low, 0.0)", "np.asarray(low)", partial(check_zero, "numpy")),
    Mutant(
        "not clipped",
        NUMPY,
        "np.clip(np.round(x / scale) + zero_point, first, last)",
        "(np.round(x / scale) + zero_point)",
        partial(check_outside, "numpy"),
    ),
    Mutant(
        "gradient where it was clipped",
        NUMPY,
        "return dy * inside",
        "return dy + 0 * inside",
        partial(check_straight_through, "numpy"),
    ),
    Mutant(
        "gradient where it was clipped",
        TORCH,
        "return inside + (rounded - inside).detach()",
        "return x + (rounded - x).detach()",
        partial(check_straight_through, "torch"),
    ),
    Mutant(
        "no straight-through",
        TORCH,
        "return inside + (rounded - inside).detach()",
        "return rounded + 0 * inside",
        partial(check_straight_through, "torch"),
    ),
    Mutant(
        "mean over the classes",
        TORCH,
        'reduction="batchmean"',
        'reduction="mean"',
        partial(check_distillation, "torch"),
    ),
    Mutant(
        "KL the other way round",
        NUMPY,
        "p = np.exp(log_p)",
        "log_p, log_q = log_q, log_p\n    p = np.exp(log_p)",
        partial(check_distillation, "numpy"),
    ),
    Mutant(
        "largest removed",
        TORCH,
        ".flatten().argsort(stable=True)",
        ".flatten().argsort(stable=True, descending=True)",
        partial(check_pruning, "torch"),
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.module.split('.')[1]}: {m.name}")
def test_mistakes_are_noticed(mutant):
    mutant.check()
    with mutated(mutant), pytest.raises(AssertionError):
        mutant.check()
