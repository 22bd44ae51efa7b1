"""CTC: equal to PyTorch's and Keras' own loss and to the sum over all listed paths; and with every mistake noticed that
is seen in public code."""

import itertools
import math

import numpy as np
import pytest
import torch
from mutants_encoders import Mutant, mutated

from mmcourse.keras import ctc as keras_ctc
from mmcourse.numpy import ctc
from mmcourse.numpy.losses import log_softmax
from mmcourse.parity import NumpyBackend, TorchBackend, parity_cases
from mmcourse.parity.compare import difference
from mmcourse.torch import ctc as torch_ctc

(CASE,) = parity_cases("CTC")
BACKENDS = ("numpy", "torch", "keras")


def call(backend, logits, labels, input_lengths, label_lengths, blank=0):
    """The losses (b,) of one backend, as a float64 array."""
    arrays = (logits, labels, input_lengths, label_lengths)
    if backend == "numpy":
        return ctc.ctc_loss(*map(np.asarray, arrays), blank=blank)[0]
    if backend == "torch":
        return torch_ctc.ctc_loss(*map(torch.as_tensor, arrays), blank=blank).numpy()
    from keras import ops

    return ops.convert_to_numpy(keras_ctc.ctc_loss(*(ops.convert_to_tensor(np.asarray(a)) for a in arrays), blank))


def listed(log_probs, labels, blank=0):
    """p(text) by listing every path, and how many they are."""
    steps, number = log_probs.shape
    total = count = 0
    for path in itertools.product(range(number), repeat=steps):
        if ctc.collapse(path, blank) == list(labels):
            total += math.exp(sum(log_probs[t, label] for t, label in enumerate(path)))
            count += 1
    return total, count


def sample(seed=0, steps=6, number=4):
    return log_softmax(np.random.default_rng(seed).normal(size=(steps, number)))


TEXTS = ([1], [1, 2], [1, 1], [1, 2, 1], [2, 2, 2], [3, 3, 1], [])


@pytest.mark.parametrize("text", TEXTS, ids=str)
def test_the_loss_is_the_sum_over_all_paths(text):
    log_probs = sample()
    want, count = listed(log_probs, text)
    assert math.exp(ctc.log_probability(log_probs, text)) == pytest.approx(want, rel=1e-12)
    assert ctc.num_paths(6, text) == count
    padded = np.array([[*text, *[3] * (3 - len(text))]])
    for backend in BACKENDS:
        found = call(backend, log_probs[None], padded, np.array([6]), np.array([len(text)]))
        assert found == pytest.approx([-math.log(want)], rel=1e-6)


@pytest.mark.parametrize("blank", [0, 2, 3])
def test_the_blank_may_be_any_label(blank):
    log_probs = sample(1)
    text = [label for label in range(4) if label != blank][:2]
    want, _ = listed(log_probs, text, blank)
    for backend in BACKENDS:
        found = call(backend, log_probs[None], np.array([text]), np.array([6]), np.array([2]), blank)
        assert found == pytest.approx([-math.log(want)], rel=1e-6)


def test_the_probabilities_of_all_texts_add_up_to_one():
    log_probs = sample(2, steps=5, number=3)
    texts = [text for size in range(6) for text in itertools.product((1, 2), repeat=size)]
    total = sum(math.exp(ctc.log_probability(log_probs, text)) for text in texts)
    assert total == pytest.approx(1, abs=1e-12)


def test_numbers_of_paths():
    assert ctc.num_paths(4, [1, 2, 3]) == 7 and ctc.num_paths(5, [1, 2, 3]) == 28
    assert ctc.num_paths(4, [1, 2]) == math.comb(6, 4) == 15
    assert (math.comb(4 + 3, 2 * 3), math.comb(6 + 3, 2 * 3)) == (7, 84) and ctc.num_paths(6, [1, 2, 3]) == 84
    assert ctc.num_paths(5, [1, 2]) == 35
    assert ctc.num_paths(2, [1, 1]) == 0 and ctc.num_paths(3, [1, 1]) == 1 and ctc.num_paths(3, []) == 1


def random_batch(seed=0, batch=4, steps=20, number=7, most=6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, number, (batch, most))
    label_lengths = rng.integers(1, most + 1, batch)
    input_lengths = rng.integers(2 * most, steps + 1, batch)
    return rng.normal(size=(batch, steps, number)) * 2, labels, input_lengths, label_lengths


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_pytorch_with_its_gradient(seed):
    logits, labels, input_lengths, label_lengths = random_batch(seed)
    leaf = torch.tensor(logits, requires_grad=True)
    log_probs = leaf.log_softmax(-1).transpose(0, 1)
    lengths = torch.tensor(input_lengths), torch.tensor(label_lengths)
    want = torch.nn.functional.ctc_loss(log_probs, torch.tensor(labels), *lengths, reduction="none")
    weights = np.random.default_rng(seed).normal(size=len(want))
    (want * torch.tensor(weights)).sum().backward()
    for backend in BACKENDS:
        assert call(backend, logits, labels, input_lengths, label_lengths) == pytest.approx(want.detach().numpy())
    _, cache = ctc.ctc_loss(logits, labels, input_lengths, label_lengths)
    assert ctc.ctc_loss_backward(weights, cache) == pytest.approx(leaf.grad.numpy(), abs=1e-10)


def test_equal_to_keras():
    from keras import ops

    logits, labels, input_lengths, label_lengths = random_batch(7)
    # the target is masked by its lengths; PyTorch's backend of Keras takes logits as well
    want = ops.ctc_loss(
        ops.convert_to_tensor(labels, dtype="int32"),
        ops.convert_to_tensor(logits.astype("float32")),
        ops.convert_to_tensor(label_lengths, dtype="int32"),
        ops.convert_to_tensor(input_lengths, dtype="int32"),
        mask_index=0,
    )
    for backend in BACKENDS:
        found = call(backend, logits, labels, input_lengths, label_lengths)
        assert found == pytest.approx(ops.convert_to_numpy(want), rel=1e-4)


def test_a_text_that_does_not_fit_has_an_infinite_loss_and_no_gradient():
    logits = np.random.default_rng(0).normal(size=(3, 3, 5))
    labels = np.array([[1, 2, 3, 4], [1, 1, 2, 0], [1, 2, 3, 0]])
    lengths = np.array([3, 3, 3]), np.array([4, 3, 3])  # too long; a repeated label needs one step more; just fits
    assert [ctc.min_input_length(row[:n]) for row, n in zip(labels, lengths[1], strict=True)] == [4, 4, 3]
    for backend in BACKENDS:
        found = call(backend, logits, labels, *lengths)
        assert np.isinf(found[:2]).all() and np.isfinite(found[2])
    losses, cache = ctc.ctc_loss(logits, labels, *lengths)
    gradient = ctc.ctc_loss_backward(np.ones(3), cache)
    assert not gradient[:2].any() and np.isfinite(gradient).all() and gradient[2].any()
    leaf = torch.tensor(logits, requires_grad=True)
    log_probs = leaf.log_softmax(-1).transpose(0, 1)
    arguments = log_probs, torch.tensor(labels), torch.tensor([3, 3, 3]), torch.tensor([4, 3, 3])
    hidden = torch.nn.functional.ctc_loss(*arguments, reduction="none", zero_infinity=True)
    assert not hidden[:2].any()  # what `zero_infinity` shows for them
    hidden.sum().backward()
    assert gradient == pytest.approx(leaf.grad.numpy(), abs=1e-12)
    own = torch.tensor(logits, requires_grad=True)
    losses = torch_ctc.ctc_loss(own, *map(torch.tensor, (labels, *lengths)))
    losses[torch.isfinite(losses)].sum().backward()
    assert own.grad.numpy() == pytest.approx(gradient, abs=1e-12)


def test_the_mean_of_pytorch_divides_by_the_lengths_first():
    logits, labels, input_lengths, label_lengths = random_batch(3)
    each = call("numpy", logits, labels, input_lengths, label_lengths)
    log_probs = torch.tensor(logits).log_softmax(-1).transpose(0, 1)
    rest = torch.tensor(labels), torch.tensor(input_lengths), torch.tensor(label_lengths)
    mean = float(torch.nn.functional.ctc_loss(log_probs, *rest))
    assert mean == pytest.approx(float(np.mean(each / label_lengths)))
    assert abs(mean - each.mean()) > 1


def test_without_log_softmax_the_loss_can_be_negative():
    logits = np.full((1, 4, 3), 2.0)
    found = torch.nn.functional.ctc_loss(
        torch.tensor(logits).transpose(0, 1), torch.tensor([[1]]), torch.tensor([4]), torch.tensor([1])
    )
    assert float(found) < 0 < call("numpy", logits, np.array([[1]]), np.array([4]), np.array([1]))[0]


def test_the_occupancy_is_a_distribution_at_every_step():
    log_probs = sample(4, steps=9, number=5)
    for text in ([1, 2, 2, 4], [3], []):
        found = ctc.occupancy(log_probs, text)
        assert found.sum(axis=1) == pytest.approx(np.ones(9)) and (found >= 0).all()
        assert not found[:, [label for label in range(1, 5) if label not in text]].any()


def test_collapse():
    assert ctc.collapse([0, 1, 1, 0, 1, 2, 2, 0]) == [1, 1, 2]
    assert ctc.collapse([1, 1, 1]) == [1] and ctc.collapse([]) == [] and ctc.collapse([0, 0]) == []
    assert ctc.collapse([1, 4, 1, 4], blank=4) == [1, 1]


def texts_by_probability(log_probs, blank=0):
    """Every text that fits, the most probable first."""
    steps, number = log_probs.shape
    labels = [label for label in range(number) if label != blank]
    texts = [text for size in range(steps + 1) for text in itertools.product(labels, repeat=size)]
    scored = [(text, ctc.log_probability(log_probs, text, blank)) for text in texts]
    return sorted((pair for pair in scored if pair[1] > -math.inf), key=lambda pair: -pair[1])


@pytest.mark.parametrize("blank", [0, 2])
def test_a_wide_beam_is_exact(blank):
    for seed in range(6):
        log_probs = sample(10 + seed, steps=5, number=3)
        want = texts_by_probability(log_probs, blank)
        found = ctc.prefix_beam_search(log_probs, beam_width=10_000, blank=blank)
        assert [text for text, _ in found[:5]] == [text for text, _ in want[:5]]
        scores = dict(found)
        for text, log_p in want:
            assert scores[text] == pytest.approx(log_p, abs=1e-9)


def test_the_best_path_need_not_be_the_best_text():
    log_probs = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))  # the best path is two blanks, 0.36; the text [1] has 0.64
    assert ctc.greedy_decode(log_probs) == []
    (best, score), *_ = ctc.prefix_beam_search(log_probs)
    assert best == (1,) and math.exp(score) == pytest.approx(0.64)


def test_keras_decodes_the_same():
    from keras import ops

    for seed in range(4):
        logits = np.random.default_rng(seed).normal(size=(1, 9, 5)).astype("float32") * 2
        (decoded,), _ = ops.ctc_decode(logits, np.array([9], "int32"), strategy="greedy", mask_index=0)
        want = [int(label) for label in ops.convert_to_numpy(decoded)[0] if label >= 0]
        assert ctc.greedy_decode(logits[0]) == want


def test_a_language_model_is_asked_for_every_new_label():
    log_probs = sample(3, steps=6, number=3)

    def likes_two(before, label):
        return math.log(0.9 if label == 2 else 0.1)

    plain = dict(ctc.prefix_beam_search(log_probs, beam_width=10_000))
    fused = dict(ctc.prefix_beam_search(log_probs, 10_000, likes_two, weight=0.7, bonus=0.2))
    for text, score in plain.items():
        added = sum(0.7 * likes_two(text[:i], label) + 0.2 for i, label in enumerate(text))
        assert fused[text] == pytest.approx(score + added)
    ended = dict(ctc.prefix_beam_search(log_probs, 10_000, likes_two, weight=1.0, end=2))
    assert ended[(1,)] == pytest.approx(plain[(1,)] + math.log(0.1) + math.log(0.9))


def test_a_cutoff_only_leaves_out_what_is_improbable():
    log_probs = sample(5, steps=12, number=6) * 4
    log_probs = log_softmax(log_probs)
    want = ctc.prefix_beam_search(log_probs, 50)[0]
    text, score = ctc.prefix_beam_search(log_probs, 50, cutoff=-9.0)[0]
    assert text == want[0] and score == pytest.approx(want[1], abs=0.01)


def test_bad_input():
    logits = np.zeros((1, 4, 3))
    with pytest.raises(ValueError, match="labels: hold the blank, 0"):
        ctc.ctc_loss(logits, np.array([[1, 0]]), np.array([4]), np.array([2]))
    with pytest.raises(ValueError, match="input_lengths: expected 1 or more"):
        ctc.ctc_loss(logits, np.array([[1, 2]]), np.array([0]), np.array([2]))


# ---------------------------------------------------------------- mistakes
def check_paths(backend="numpy"):
    """Equal to the listed paths, with a repeated label."""
    log_probs = sample(8, steps=5, number=4)
    for text in ([1, 1], [1, 2, 1], [3]):
        want = -math.log(listed(log_probs, text)[0])
        padded = np.array([[*text, *[2] * (3 - len(text))]])
        found = call(backend, log_probs[None], padded, np.array([5]), np.array([len(text)]))
        assert found == pytest.approx([want], rel=1e-9)


def check_lengths(backend):
    """What is after the end of a sample does not matter."""
    logits, labels, input_lengths, label_lengths = random_batch(11)
    want = call(backend, logits, labels, input_lengths, label_lengths)
    other = logits.copy()
    for row, length in enumerate(input_lengths):
        other[row, length:] = 7.0
    assert call(backend, other, labels, input_lengths, label_lengths) == pytest.approx(want)


def check_beam():
    test_a_wide_beam_is_exact(0)


def check_gradient():
    torch_backend = TorchBackend(CASE)
    inputs = CASE.inputs(np.random.default_rng(0))
    own = NumpyBackend(CASE, torch_backend.weights, torch_backend.trainable)
    target = {"": np.zeros(3)}
    for a, b in zip(torch_backend.gradients(inputs, target), own.gradients(inputs, target), strict=True):
        assert difference(a, b) < 1e-10


NUMPY, TORCH, KERAS = "mmcourse.numpy.ctc", "mmcourse.torch.ctc", "mmcourse.keras.ctc"
DECODING = "mmcourse.preprocess.transcript"
MUTANTS = [
    Mutant(
        "skips over a blank between equal labels",
        NUMPY,
        "(states[2:] != blank) & (states[2:] != states[:-2])",
        "(states[2:] != blank)",
        check_paths,
    ),
    Mutant(
        "skips everywhere",
        TORCH,
        "jump = torch.where(skip, jump, log_zero)",
        "pass",
        lambda: check_paths("torch"),
    ),
    Mutant(
        "begins in one state only",
        NUMPY,
        "alpha[0, :2] = emitted[0, :2]",
        "alpha[0, :1] = emitted[0, :1]",
        check_paths,
    ),
    Mutant("ends in the last label only", NUMPY, "[-1, -2:]", "[-1, -2:-1]", check_paths),
    Mutant(
        "adds logarithms",
        NUMPY,
        "np.logaddexp(np.logaddexp(stay, step), jump)",
        "np.maximum(np.maximum(stay, step), jump)",
        check_paths,
    ),
    Mutant(
        "input length ignored",
        TORCH,
        "alpha = torch.where((t < input_lengths)[:, None], new, alpha)",
        "alpha = new",
        lambda: check_lengths("torch"),
    ),
    Mutant(
        "input length ignored",
        KERAS,
        "alpha = ops.where(ops.expand_dims(t < input_lengths, 1), new, alpha)",
        "alpha = new",
        lambda: check_lengths("keras"),
    ),
    Mutant(
        "blanks go before equal neighbors are one",
        DECODING,
        "        previous = label\n",
        "        previous = label if label != blank else previous\n",
        test_collapse,
    ),
    Mutant(
        "a repeated label grows from both ends",
        DECODING,
        "before = after_blank if text and label == text[-1] else either",
        "before = either",
        check_beam,
    ),
    Mutant(
        "a label that goes on comes from both ends",
        DECODING,
        "add(text, 1, after_label + float(frame[text[-1]]))",
        "add(text, 1, either + float(frame[text[-1]]))",
        check_beam,
    ),
    Mutant(
        "a beginning keeps its better way only",
        DECODING,
        "entry[which] = float(np.logaddexp(entry[which], log_p))",
        "entry[which] = max(entry[which], log_p)",
        check_beam,
    ),
    Mutant(
        "the emission counted twice in alpha times beta",
        NUMPY,
        "return turned - log_probs[:, with_blanks(labels, blank)] if len(turned) else turned",
        "return turned",
        check_gradient,
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.module.split('.')[1]}: {m.name}")
def test_mistakes_are_noticed(mutant):
    mutant.check()
    with mutated(mutant), pytest.raises((AssertionError, KeyError)):
        mutant.check()
