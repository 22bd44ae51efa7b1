"""The contrastive losses: equal to the reference library, right at the points where the answer is known, and with
every mistake noticed that is seen in public code."""

import math
import sys

import numpy as np
import pytest
import torch
from mutants_encoders import Mutant, mutated

from mmcourse.keras import contrastive as keras_contrastive
from mmcourse.numpy import contrastive as numpy_contrastive
from mmcourse.parity import KerasBackend, NumpyBackend, TorchBackend, parity_cases, properties
from mmcourse.parity.compare import difference
from mmcourse.torch import contrastive as torch_contrastive

CASES = {case.name: case for case in parity_cases("contrastive")}
CLIP, HARD, SIGMOID = CASES
BACKENDS = ("numpy", "torch", "keras")


def call(backend, name, *arrays):
    """A loss of NumPy arrays in one backend, as a float."""
    if backend == "numpy":
        return float(getattr(numpy_contrastive, name)(*arrays)[0])
    if backend == "torch":
        return float(getattr(torch_contrastive, name)(*map(torch.as_tensor, arrays)))
    from keras import ops

    tensors = [ops.convert_to_tensor(array, dtype="float64") for array in arrays]
    return float(getattr(keras_contrastive, name)(*tensors))


def vectors(b=6, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(b, d)), rng.normal(size=(b, d)), np.array(1.3)


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_properties(case):
    torch_backend = TorchBackend(case)
    inputs = case.inputs(np.random.default_rng(0))
    for backend in (torch_backend, KerasBackend(case, torch_backend, inputs)):
        properties.registered(backend, case)
        properties.learns(backend, inputs)


def test_equal_to_the_clip_loss_of_transformers():
    from transformers.models.clip.modeling_clip import image_text_contrastive_loss

    image, text, log_scale = map(torch.as_tensor, vectors())
    u, v = torch.nn.functional.normalize(image), torch.nn.functional.normalize(text)
    want = image_text_contrastive_loss(log_scale.exp() * v @ u.T).item()
    for backend in BACKENDS:
        assert call(backend, "contrastive_loss", *vectors()) == pytest.approx(want, abs=1e-12)


def test_equal_to_the_siglip_loss_of_transformers():
    """A tiny random SigLIP: its own loss against ours on the vectors that it gives."""
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(0)
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = SiglipConfig(
        text_config={**tower, "vocab_size": 32, "max_position_embeddings": 8},
        vision_config={**tower, "image_size": 16, "patch_size": 8},
    )
    model = SiglipModel(config).double().eval()
    with torch.no_grad():
        model.logit_scale.fill_(math.log(10))
        model.logit_bias.fill_(-3.0)
        output = model(
            input_ids=torch.randint(0, 32, (4, 8)),
            pixel_values=torch.randn(4, 3, 16, 16, dtype=torch.float64),
            return_loss=True,
        )
    arrays = [output.image_embeds.numpy(), output.text_embeds.numpy(), np.array(math.log(10)), np.array(-3.0)]
    for backend in BACKENDS:
        assert call(backend, "sigmoid_loss", *arrays) == pytest.approx(output.loss.item(), abs=1e-6)


# --- checks: each raises AssertionError for a mistake, and passes for what is right ---
def check_ignorance(backend):
    """All vectors alike: ln b, and ln(b + n) for pictures that have n more texts to choose from."""
    same, scale = np.ones((7, 3)), np.array(2.0)
    loss = call(backend, "contrastive_loss", same, same, scale)
    assert abs(loss - math.log(7)) < 1e-12, f"loss of ignorance {loss}"
    loss = call(backend, "contrastive_loss", same, same, scale, np.ones((5, 3)))
    assert abs(loss - (math.log(12) + math.log(7)) / 2) < 1e-12, f"loss of ignorance with hard texts {loss}"


def check_length(backend):
    """The length of a vector says nothing."""
    image, text, scale = vectors()
    for name, more in (("contrastive_loss", ()), ("sigmoid_loss", (np.array(-1.0),))):
        a = call(backend, name, image, text, scale, *more)
        b = call(backend, name, 7 * image, 0.1 * text, scale, *more)
        assert abs(a - b) < 1e-9, f"{name} depends on length"


def check_directions(backend):
    """Pictures and texts may be exchanged: both directions count."""
    image, text, scale = vectors()
    a, b = (call(backend, "contrastive_loss", *pair, scale) for pair in ((image, text), (text, image)))
    assert abs(a - b) < 1e-12, "exchanging pictures and texts changes the loss"
    rows = [image, np.repeat(text[:1], len(text), axis=0)]  # all texts alike: which text? ln b; which picture? not
    loss = call(backend, "contrastive_loss", *rows, scale)
    assert abs(loss - math.log(len(text))) > 0.01, "only one direction counts"


def check_temperature(backend):
    """log_scale is a logarithm: ln 2 doubles the cosines."""
    eye = np.eye(4)
    loss = call(backend, "contrastive_loss", eye, eye, np.array(math.log(2)))
    assert abs(loss - math.log(1 + 3 * math.exp(-2))) < 1e-9, f"loss at scale 2 is {loss}"


def check_overflow(backend):
    """Vectors turned away from each other at the largest scale: large and finite, not NaN."""
    eye = np.eye(4)
    loss = call(backend, "contrastive_loss", eye, -eye, np.array(math.log(1e6)))
    assert np.isfinite(loss) and loss > 1e5, f"loss {loss}"
    loss = call(backend, "sigmoid_loss", eye, -eye, np.array(math.log(1e6)), np.array(0.0))
    assert np.isfinite(loss) and loss > 1e5, f"loss {loss}"


def check_sigmoid_start(backend):
    """SigLIP's start: with bias −10 and cosine 0, each of the b² pairs is called wrong; the b right ones cost 10."""
    b = 8
    apart = np.eye(2 * b)
    loss = call(backend, "sigmoid_loss", apart[:b], apart[b:], np.array(math.log(10)), np.array(-10.0))
    want = math.log1p(math.exp(10)) + (b - 1) * math.log1p(math.exp(-10))
    assert abs(loss - want) < 1e-9, f"loss {loss}, want {want}"


def check_zero_vector(backend):
    """A vector of zeros has no direction: cosine 0, never NaN."""
    image, text, scale = vectors()
    image = image * 1.0
    image[0] = 0
    assert np.isfinite(call(backend, "contrastive_loss", image, text, scale)), "NaN for a vector of zeros"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("pictures", "texts", "hard", "says"),
    [(3, 5, None, r"got \(3, 4\) and \(5, 4\)"), (0, 0, None, "at least one row"), (3, 3, 6, "as wide as text")],
)
def test_what_has_no_loss_is_refused(backend, pictures, texts, hard, says):
    image, text, scale = np.ones((pictures, 4)), np.ones((texts, 4)), np.array(1.0)
    with pytest.raises(ValueError, match=says):
        call(backend, "contrastive_loss", image, text, scale, *([np.ones((2, hard))] if hard else []))
    if hard is None:
        with pytest.raises(ValueError, match=says):
            call(backend, "sigmoid_loss", image, text, scale, np.array(0.0))


CHECKS = [check_ignorance, check_length, check_directions, check_temperature, check_overflow, check_sigmoid_start]
CHECKS += [check_zero_vector]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_known_answers(check, backend):
    check(backend)


def test_gathered_halves_are_the_whole_batch_and_their_mean_is_not():
    """Two half batches: accumulating their gradients is another loss; gathering the vectors first is the same one."""
    image, text, scale = vectors(8)
    whole = call("torch", "contrastive_loss", image, text, scale)
    halves = [call("torch", "contrastive_loss", image[part], text[part], scale) for part in (slice(4), slice(4, None))]
    assert abs(np.mean(halves) - whole) > 0.1
    gathered = np.concatenate([image[:4], image[4:]]), np.concatenate([text[:4], text[4:]])
    assert call("torch", "contrastive_loss", *gathered, scale) == whole


def gradient_agrees(name, backend="numpy"):
    """A backend against PyTorch: loss and gradients."""

    def check():
        case = CASES[name]
        rng, reference = np.random.default_rng(0), TorchBackend(case)
        inputs = case.inputs(rng)
        other = (
            NumpyBackend(case, reference.weights, reference.trainable)
            if backend == "numpy"
            else KerasBackend(case, reference, inputs)
        )
        y, y2 = reference.forward(inputs), other.forward(inputs)
        assert difference(y2, y) < 1e-10, "losses differ"
        target = {"": rng.normal(size=y[""].shape)}
        for a, b in zip(reference.gradients(inputs, target), other.gradients(inputs, target), strict=True):
            assert difference(b, a) < 1e-9, "gradients differ"

    return check


def _mutants():
    numpy, torch_, keras = (f"mmcourse.{backend}.contrastive" for backend in BACKENDS)
    yield Mutant(
        "temperature not exponentiated",
        numpy,
        "scale = np.exp(log_scale)\n    cosine = u @ v.T  # (b, b + n)",
        "scale = log_scale\n    cosine = u @ v.T  # (b, b + n)",
        lambda: check_temperature("numpy"),
    )
    yield Mutant(
        "temperature not exponentiated",
        torch_,
        "logits = log_scale.exp() * u @ v.T  # (b, b + n)",
        "logits = log_scale * u @ v.T",
        lambda: check_temperature("torch"),
    )
    yield Mutant(
        "one direction only",
        torch_,
        "return (image_loss + text_loss) / 2",
        "return image_loss",
        lambda: check_directions("torch"),
    )
    yield Mutant(
        "one direction only",
        keras,
        "return (image_loss + text_loss) / 2",
        "return text_loss",
        lambda: check_directions("keras"),
    )
    yield Mutant(
        "softmax over the same axis twice",
        keras,
        "logits[:, :b], axis=0",
        "logits[:, :b], axis=1",
        lambda: check_directions("keras"),
    )
    yield Mutant(
        "no normalization",
        torch_,
        "u = F.normalize(image, dim=-1)  # (b, d)",
        "u = image",
        lambda: check_length("torch"),
    )
    yield Mutant(
        "normalized over the batch",
        keras,
        "v = ops.normalize(candidates, axis=-1)",
        "v = ops.normalize(candidates, axis=0)",
        gradient_agrees(CLIP, "keras"),
    )
    yield Mutant(
        "sum in place of mean",
        numpy,
        "image_loss = -log_rows[diagonal, diagonal].mean()",
        "image_loss = -log_rows[diagonal, diagonal].sum()",
        lambda: check_ignorance("numpy"),
    )
    yield Mutant(
        "texts choose among hard texts",
        torch_,
        "logits[:, : len(image)].T",
        "logits[:, -len(image) :].T",
        lambda: gradient_agrees(HARD)(),
    )
    yield Mutant(
        "sigmoid loss averaged over pairs",
        torch_,
        ".sum() / len(image)",
        ".mean()",
        lambda: check_sigmoid_start("torch"),
    )
    yield Mutant(
        "bias inside the scale",
        keras,
        "+ bias  # (b, b)",
        "+ ops.exp(log_scale) * bias  # (b, b)",
        lambda: check_sigmoid_start("keras"),
    )
    yield Mutant(
        "log of a sigmoid, which overflows",
        numpy,
        "np.logaddexp(0, -margin).sum()",
        "-np.log(1 / (1 + np.exp(-margin))).sum()",
        lambda: check_overflow("numpy"),
    )
    yield Mutant(
        "division by a length of zero",
        numpy,
        "return x / np.maximum(length, eps)",
        "return x / length",
        lambda: check_zero_vector("numpy"),
    )
    yield Mutant(
        "gradient of the temperature without the scale",
        numpy,
        "dlogits * scale * cosine).sum()\n    dimage = l2_normalize_backward(scale * dlogits @ v, image)\n    dcand",
        "dlogits * cosine).sum()\n    dimage = l2_normalize_backward(scale * dlogits @ v, image)\n    dcand",
        gradient_agrees(CLIP),
    )
    yield Mutant(
        "gradient through the norm forgotten",
        numpy,
        "return (dy - y * (dy * y).sum(-1, keepdims=True)) / length",
        "return dy / length",
        gradient_agrees(SIGMOID),
    )


MUTANTS = list(_mutants())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.module.removeprefix('mmcourse.')}: {m.name}")
def test_mutant_is_killed(mutant):
    mutant.check()  # passes as long as nothing is wrong
    with mutated(mutant), pytest.raises(AssertionError):
        mutant.check()


def test_every_backend_has_mutants():
    assert {mutant.module.split(".")[1] for mutant in MUTANTS} == set(BACKENDS)
    assert "mmcourse.numpy.contrastive" in sys.modules
