"""Visual tokens and LoRA: equal to the reference libraries, right where the answer is known, every mistake noticed."""

import math

import numpy as np
import pytest
import torch
from mutants_encoders import Mutant, mutated

from mmcourse.keras import lora as keras_lora
from mmcourse.keras import masks as keras_masks
from mmcourse.keras import visual_tokens as keras_visual
from mmcourse.numpy import lora as numpy_lora
from mmcourse.numpy import masks as numpy_masks
from mmcourse.numpy import visual_tokens as numpy_visual
from mmcourse.parity import KerasBackend, TorchBackend, parity_cases, properties
from mmcourse.torch import lora as torch_lora
from mmcourse.torch import masks as torch_masks
from mmcourse.torch import visual_tokens as torch_visual

CASES = {case.name: case for part in ("visual_tokens", "lora") for case in parity_cases(part)}
BACKENDS = ("numpy", "torch", "keras")
MODULES = {
    "numpy": (numpy_visual, numpy_lora, numpy_masks),
    "torch": (torch_visual, torch_lora, torch_masks),
    "keras": (keras_visual, keras_lora, keras_masks),
}
GIVES_CACHE = ("answer_cross_entropy", "lora_linear")


def call(backend, name, *arrays, **options):
    """A formula of NumPy arrays in one backend, as an array."""
    function = next(getattr(module, name) for module in MODULES[backend] if hasattr(module, name))
    if backend == "numpy":
        found = function(*arrays, **options)
        return found[0] if name in GIVES_CACHE else found
    if backend == "torch":
        return np.asarray(function(*map(torch.as_tensor, arrays), **options))
    from keras import ops

    tensors = [ops.convert_to_tensor(array, dtype=np.asarray(array).dtype.name) for array in arrays]
    return np.asarray(function(*tensors, **options))


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_properties(case):
    torch_backend = TorchBackend(case)
    inputs = case.inputs(np.random.default_rng(0))
    for backend in (torch_backend, KerasBackend(case, torch_backend, inputs)):
        properties.registered(backend, case)
        properties.learns(backend, inputs)


# --- checks: each raises AssertionError for a mistake, and passes for what is right ---
def check_merged(backend):
    """Neighbors come together, row by row, and nothing is lost."""
    grid = np.arange(24.0).reshape(1, 4, 6, 1)  # the number of each cell
    tokens = call(backend, "merge_patches", grid, 2)[0]
    assert tokens.shape == (6, 4), f"shape {tokens.shape}"
    assert tokens[0].tolist() == [0, 1, 6, 7], f"upper left token has {tokens[0]}"
    assert tokens[1].tolist() == [2, 3, 8, 9], f"the token to its right has {tokens[1]}"
    assert tokens[3].tolist() == [12, 13, 18, 19], f"the first of the second row has {tokens[3]}"


def check_inserted(backend):
    """The j-th placeholder of each text gets the j-th token of its own picture; words stay."""
    is_image = np.array([[False, True, True, False], [True, False, False, True]])
    visual = np.array([[[1.0], [2.0]], [[3.0], [4.0]]])
    found = call(backend, "insert_visual_tokens", np.full((2, 4, 1), 9.0), is_image, visual)[..., 0]
    assert found.tolist() == [[9, 1, 2, 9], [3, 9, 9, 4]], f"{found}"


def check_labels(backend):
    """Only the answer and its end; not the prompt, not padding, and not shifted."""
    ids = np.array([[1, 7, 8, 5, 6, 2, 0], [1, 7, 5, 2, 0, 0, 0]])
    found = call(backend, "answer_labels", ids, np.array([4, 2]), ids > 0)
    assert found.tolist() == [[-100] * 4 + [6, 2, -100], [-100] * 2 + [5, 2] + [-100] * 3], f"{found}"


def check_ignorance(backend):
    """All logits alike: ln V, however few labels there are; 0 where there is none."""
    labels = np.full((2, 5), -100)
    labels[0, 3] = 4
    logits = np.zeros((2, 5, 7))
    assert abs(call(backend, "answer_cross_entropy", logits, labels) - math.log(7)) < 1e-12, "loss of ignorance"
    none = float(call(backend, "answer_cross_entropy", logits, np.full((2, 5), -100)))
    assert none == 0, f"no label, and the loss is {none}"


def check_shift(backend):
    """Position t predicts the label at t + 1: once, not never, not twice."""
    labels = np.array([[-100, -100, 4, 2]])
    for by, small in ((1, True), (0, False), (2, False)):
        aim = np.roll(np.array([[1, 3, 4, 2]]), -by, axis=1)
        loss = call(backend, "answer_cross_entropy", 50 * np.eye(7)[aim], labels)
        assert (loss < 1e-9) == small, f"predicted {by} ahead: loss {loss}"


def check_only_answers(backend):
    """What is predicted in the prompt does not matter; each label counts the same, whatever the length of its text."""
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(2, 5, 7)), np.array([[-100, -100, 3, 2, -100], [-100, -100, -100, 2, -100]])
    loss = call(backend, "answer_cross_entropy", logits, labels)
    other = logits.copy()
    other[:, 0], other[:, 3:] = 5, -5 + np.arange(7)
    other[1, 1] = 9
    assert abs(call(backend, "answer_cross_entropy", other, labels) - loss) < 1e-12, "the prompt counts"
    alone = [call(backend, "answer_cross_entropy", logits[i : i + 1], labels[i : i + 1]) for i in range(2)]
    assert abs((2 * alone[0] + alone[1]) / 3 - loss) < 1e-12, "a mean of means"


def check_lora_scale(backend):
    """α/r, not α and not 1: the correction of rank 2 with α = 6 is three times B A."""
    x, weight = np.array([[1.0, 2.0]]), np.zeros((2, 2))
    a, b = np.eye(2), np.array([[1.0, 1.0], [0.0, 2.0]])
    found = call(backend, "lora_linear", x, weight, a, b, alpha=6.0)
    assert np.abs(found - 3 * x @ b.T).max() < 1e-12, f"{found}"
    merged = call(backend, "merge_lora", weight, a, b, alpha=6.0)
    assert np.abs(merged - 3 * b).max() < 1e-12, f"{merged}"


def check_lora_merged(backend):
    """The merged matrix does the same, in float64 to rounding; and B = 0 changes nothing at all."""
    rng = np.random.default_rng(2)
    x, weight, a, b = (rng.normal(size=size) for size in ((7, 6), (5, 6), (3, 6), (5, 3)))
    merged = call(backend, "merge_lora", weight, a, b, alpha=7.0)
    found = call(backend, "lora_linear", x, weight, a, b, alpha=7.0)
    assert np.abs(found - x @ merged.T).max() < 1e-12, "merged differs"
    assert np.array_equal(call(backend, "merge_lora", weight, a, 0 * b, alpha=7.0), weight)


def check_segments(backend):
    """Each text sees the picture, what is before it in itself, and nothing of another text or of padding."""
    segments = np.array([[0, 0, 1, 1, 2, 2, -1]])
    keep = call(backend, "segment_mask", segments)[0].astype(int)
    want = [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 1, 1, 0],
        [1, 1, 0, 0, 0, 0, 1],
    ]
    assert keep.tolist() == want, f"{keep}"
    prefix = call(backend, "segment_mask", segments, prefix=True)[0].astype(int)
    want[0][1] = 1
    assert prefix.tolist() == want, f"with prefix: {prefix}"


CHECKS = [check_merged, check_inserted, check_labels, check_ignorance, check_shift, check_only_answers]
CHECKS += [check_lora_scale, check_lora_merged, check_segments]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_known_answers(check, backend):
    check(backend)


# --- equal to the reference libraries ---
def test_loss_equals_that_of_a_language_model_of_transformers():
    """A tiny GPT-2 shifts its labels itself and leaves −100 out."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": 11, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2}
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=1, eos_token_id=2)).double().eval()
    ids = torch.randint(1, 11, (3, 6))
    labels = torch_visual.answer_labels(ids, torch.tensor([2, 3, 5]), torch.arange(6) < torch.tensor([[6], [5], [6]]))
    with torch.no_grad():
        output = model(input_ids=ids, labels=labels)
    for backend in BACKENDS:
        loss = call(backend, "answer_cross_entropy", output.logits.numpy(), labels.numpy())
        assert loss == pytest.approx(output.loss.item(), abs=1e-6)  # which is computed in float32


def test_merged_patches_are_pytorch_s_pixel_unshuffle_in_another_order():
    grid = torch.randn(2, 4, 6, 3, dtype=torch.float64)
    want = torch.nn.functional.pixel_unshuffle(grid.permute(0, 3, 1, 2), 2)  # (2, 3 · 4, 2, 3)
    want = want.unflatten(1, (3, 4)).permute(0, 3, 4, 2, 1).flatten(3).flatten(1, 2)
    for backend in BACKENDS:
        assert np.array_equal(call(backend, "merge_patches", grid.numpy(), 2), want.numpy())


# --- input that does not fit ---
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_does_not_fit_is_refused(backend):
    with pytest.raises(ValueError, match="size: 3 does not divide a grid of 4 × 6; choose a divisor of both"):
        call(backend, "merge_patches", np.zeros((1, 4, 6, 2)), 3)
    for is_image, counts in (([[True, False]] * 2, r"\[1, 1\]"), ([[True, True], [True, False]], r"\[2, 1\]")):
        with pytest.raises(ValueError, match=f"expected 2 placeholders in each text, .*got {counts}"):
            call(backend, "insert_visual_tokens", np.zeros((2, 2, 1)), np.array(is_image), np.zeros((2, 2, 1)))


# --- mutants ---
MISTAKES = [
    ("rows and columns mixed", "torch", "visual_tokens", "permute(0, 1, 3, 2, 4, 5)", "permute(0, 3, 1, 2, 4, 5)"),
    ("rows and columns mixed", "numpy", "visual_tokens", "transpose(0, 1, 3, 2, 4, 5)", "transpose(0, 3, 1, 2, 4, 5)"),
    ("blocks left apart", "keras", "visual_tokens", "(0, 1, 3, 2, 4, 5)", "(0, 1, 2, 3, 4, 5)"),
    ("one token too late", "torch", "visual_tokens", "is_image.cumsum(dim=1) - 1)", "is_image.cumsum(dim=1) - 2)"),
    ("one token too late", "numpy", "visual_tokens", "np.cumsum(is_image, axis=1) - 1,", "np.cumsum(is_image, 1) - 2,"),
    ("words replaced", "keras", "visual_tokens", "placed, embeddings)", "embeddings, placed)"),
    ("prompt trained", "torch", "visual_tokens", "~(in_answer & padding_mask)", "~padding_mask"),
    ("prompt trained", "numpy", "visual_tokens", "in_answer & padding_mask, ids", "padding_mask, ids"),
    ("padding trained", "keras", "visual_tokens", "ops.logical_and(in_answer, padding_mask)", "in_answer"),
    ("first piece of the answer left out", "torch", "visual_tokens", ">= prompt_lengths", "> prompt_lengths"),
    ("first piece of the answer left out", "numpy", "visual_tokens", ">= prompt_lengths", "> prompt_lengths"),
    ("last of the prompt trained", "keras", "visual_tokens", ">= prompt_lengths", "+ 1 >= prompt_lengths"),
    ("labels not shifted", "torch", "visual_tokens", "following = labels[:, 1:]", "following = labels[:, :-1]"),
    ("labels not shifted", "numpy", "visual_tokens", "following = labels[:, 1:]", "following = labels[:, :-1]"),
    ("labels not shifted", "keras", "visual_tokens", "following = labels[:, 1:]", "following = labels[:, :-1]"),
    ("everything counts", "torch", "visual_tokens", ", mask=counts)", ")"),
    ("everything counts", "keras", "visual_tokens", ", mask=counts)", ")"),
    ("scale forgotten", "torch", "lora", "return weight + alpha / len(lora_a) * lora_b", "return weight + lora_b"),
    ("scale forgotten", "numpy", "lora", "return weight + alpha / len(lora_a) * lora_b", "return weight + lora_b"),
    ("scale without the rank", "keras", "lora", "scale = alpha / lora_a.shape[0]", "scale = alpha"),
    ("rows of B in reverse", "numpy", "lora", "hidden @ lora_b.T,", "hidden @ lora_b.T[::-1],"),
    ("texts see one another", "torch", "masks", "(key == 0) | (key == query)", "key == key"),
    ("texts do not see the picture", "keras", "masks", "ops.logical_or(key == 0, key == query)", "key == query"),
    ("a text sees its own future", "numpy", "masks", "keep = causal & ((key", "keep = ((key"),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m[2]}, {m[1]}: {m[0]}")
def test_every_mistake_is_noticed(mistake):
    name, backend, file, old, new = mistake
    mutant = Mutant(name, f"mmcourse.{backend}.{file}", old, new, "")
    with mutated(mutant):
        failed = []
        for check in CHECKS:
            try:
                check(backend)
            except (AssertionError, ValueError, IndexError, RuntimeError):
                failed.append(check.__name__)
    assert failed, f"{name} in {backend}.{file} was not noticed"
    for check in CHECKS:
        check(backend)
