"""Decoding: equal to the reference library, right where the answer is known, and every mistake noticed that is seen in
public code."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from mutants_encoders import Mutant, mutated

from mmcourse.keras import decoding as keras_decoding
from mmcourse.numpy import decoding as numpy_decoding
from mmcourse.numpy.attention import scaled_dot_product_attention
from mmcourse.numpy.losses import log_softmax
from mmcourse.parity import KerasBackend, NumpyBackend, TorchBackend, parity_cases, properties
from mmcourse.parity.compare import difference
from mmcourse.torch import decoding as torch_decoding

CASES = {case.name: case for case in parity_cases("decoding")}
BACKENDS = ("numpy", "torch", "keras")


def call(backend, name, *arrays, **options):
    """A formula of NumPy arrays in one backend: one array, or a tuple of them."""
    if backend == "numpy":
        found = getattr(numpy_decoding, name)(*arrays, **options)
        return found[0] if name == "token_cross_entropy" else found
    if backend == "torch":
        found = getattr(torch_decoding, name)(*map(torch.as_tensor, arrays), **options)
    else:
        from keras import ops

        tensors = [ops.convert_to_tensor(array, dtype=np.asarray(array).dtype.name) for array in arrays]
        found = getattr(keras_decoding, name)(*tensors, **options)
    return tuple(np.asarray(x) for x in found) if isinstance(found, tuple) else np.asarray(found)


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_properties(case):
    torch_backend = TorchBackend(case)
    inputs = case.inputs(np.random.default_rng(0))
    for backend in (torch_backend, KerasBackend(case, torch_backend, inputs)):
        properties.registered(backend, case)
        properties.learns(backend, inputs)


# --- equal to the reference library ---
def test_sampling_equals_the_warpers_of_transformers():
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = 3 * np.random.default_rng(0).normal(size=(6, 30))
    for temperature, top_k, top_p in product((0.6, 1.0, 1.7), (None, 1, 5), (None, 0.3, 0.95)):
        scores = TemperatureLogitsWarper(temperature)(None, torch.as_tensor(logits))
        scores = TopKLogitsWarper(top_k)(None, scores) if top_k else scores
        scores = TopPLogitsWarper(top_p)(None, scores) if top_p else scores
        want = scores.softmax(dim=-1).numpy()
        for backend in BACKENDS:
            found = call(backend, "sampling_probabilities", logits, temperature=temperature, top_k=top_k, top_p=top_p)
            assert np.abs(found - want).max() < 1e-12, (backend, temperature, top_k, top_p)


def test_loss_equals_that_of_a_language_model_of_transformers():
    """A tiny GPT-2 shifts its labels itself; −100 is its padding."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {
        "vocab_size": 11,
        "n_positions": 8,
        "n_embd": 8,
        "n_layer": 1,
        "n_head": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**sizes)).double().eval()
    ids = torch.randint(1, 11, (3, 6))
    real = torch.arange(6) < torch.tensor([[6], [4], [2]])
    with torch.no_grad():
        output = model(input_ids=ids, labels=ids.masked_fill(~real, -100))
    for backend in BACKENDS:
        loss = call(backend, "token_cross_entropy", output.logits.numpy(), ids.numpy(), real.numpy())
        assert loss == pytest.approx(output.loss.item(), abs=1e-6)  # which is computed in float32


# --- checks: each raises AssertionError for a mistake, and passes for what is right ---
def check_cache(backend):
    """A sequence written piece by piece is the whole one: each step gives its row."""
    rng = np.random.default_rng(1)
    q, k, v = rng.normal(size=(3, 2, 2, 6, 4))
    whole, _ = scaled_dot_product_attention(q, k, v, causal=True)
    for t in range(6):
        new = slice(t, t + 1)
        row = call(backend, "cached_attention", q[:, :, new], k[:, :, new], v[:, :, new], k[:, :, :t], v[:, :, :t])
        assert np.abs(row - whole[:, :, new]).max() < 1e-12, f"step {t} differs"
    last = call(backend, "cached_attention", q[:, :, 3:], k[:, :, 3:], v[:, :, 3:], k[:, :, :3], v[:, :, :3])
    assert np.abs(last - whole[:, :, 3:]).max() < 1e-12, "three at once differ"


def check_cache_padding(backend):
    """What is padded in the cache changes nothing."""
    rng = np.random.default_rng(2)
    q, k, v = rng.normal(size=(3, 2, 1, 1, 4))
    past_k, past_v = rng.normal(size=(2, 2, 1, 3, 4))
    real = np.array([[False, True, True, True]] * 2)
    found = call(backend, "cached_attention", q, k, v, past_k, past_v, real)
    want = call(backend, "cached_attention", q, k, v, past_k[:, :, 1:], past_v[:, :, 1:])
    assert np.abs(found - want).max() < 1e-12, "padding is seen"


def check_ignorance(backend):
    """All logits alike: ln V, whatever is padded."""
    ids = np.array([[1, 3, 2, 0, 0], [1, 2, 0, 0, 0]])
    loss = call(backend, "token_cross_entropy", np.zeros((2, 5, 7)), ids, ids > 0)
    assert abs(loss - math.log(7)) < 1e-12, f"loss of ignorance {loss}"


def check_shift(backend):
    """A model that is sure of the next piece has loss 0; one that is sure of the present piece does not."""
    ids = np.array([[1, 3, 4, 2], [1, 5, 2, 0]])
    following = np.roll(ids, -1, axis=1)
    loss = call(backend, "token_cross_entropy", 50 * np.eye(7)[following], ids, ids > 0)
    assert loss < 1e-9, f"the next piece is predicted, and yet the loss is {loss}"
    loss = call(backend, "token_cross_entropy", 50 * np.eye(7)[ids], ids, ids > 0)
    assert loss > 10, f"copying the input has loss {loss}: the answer leaks"


def check_padding(backend):
    """Neither what is predicted at padding counts, nor how much padding there is."""
    rng = np.random.default_rng(3)
    logits, ids = rng.normal(size=(2, 5, 7)), np.array([[1, 3, 4, 2, 0], [1, 5, 2, 0, 0]])
    loss = call(backend, "token_cross_entropy", logits, ids, ids > 0)
    other = logits.copy()
    other[0, 3:], other[1, 2:] = 9, -9 + np.arange(7)
    assert abs(call(backend, "token_cross_entropy", other, ids, ids > 0) - loss) < 1e-12, "padding counts"
    wider = np.concatenate([logits, rng.normal(size=(2, 3, 7))], axis=1)
    more = np.concatenate([ids, np.zeros((2, 3), int)], axis=1)
    found = call(backend, "token_cross_entropy", wider, more, more > 0)
    assert abs(found - loss) < 1e-12, "more padding is another loss"
    alone = []
    for i in range(2):
        row = slice(i, i + 1)
        alone.append(call(backend, "token_cross_entropy", logits[row], ids[row], ids[row] > 0))
    assert abs((3 * alone[0] + 2 * alone[1]) / 5 - loss) < 1e-12, "a short text counts as much as a long one"


def check_temperature(backend):
    """Temperature 2 halves the logits; the nucleus is that of the flatter distribution."""
    logits = np.log(np.array([[0.7, 0.2, 0.1]]))
    found = call(backend, "sampling_probabilities", logits, temperature=2.0)
    want = np.sqrt([0.7, 0.2, 0.1]) / np.sqrt([0.7, 0.2, 0.1]).sum()
    assert np.abs(found - want).max() < 1e-12, "temperature"
    found = call(backend, "sampling_probabilities", logits, temperature=2.0, top_p=0.6)
    assert (found > 0).sum() == 2, "the nucleus is cut before the temperature"  # 0.7 alone is 0.6; 0.53 is not


def check_nucleus(backend):
    """The fewest pieces that reach p: the one that crosses it is in; at least one is left; p = 1 keeps all."""
    logits = np.log(np.array([[0.1, 0.5, 0.15, 0.25]]))
    for top_p, kept in ((0.4, [1]), (0.6, [1, 3]), (0.8, [1, 3, 2]), (1.0, [0, 1, 2, 3]), (1e-9, [1])):
        found = call(backend, "sampling_probabilities", logits, top_p=top_p)[0]
        want = np.isin(np.arange(4), kept) * np.exp(logits[0])
        assert np.abs(found - want / want.sum()).max() < 1e-12, f"top p {top_p}: {found}"
    found = call(backend, "sampling_probabilities", logits, top_k=2)[0]
    assert np.abs(found - np.array([0, 2 / 3, 0, 1 / 3])).max() < 1e-12, f"top k: {found}"
    found = call(backend, "sampling_probabilities", logits, top_k=2, top_p=0.6)[0]
    assert np.abs(found - np.array([0, 1, 0, 0])).max() < 1e-12, f"top p of what top k left: {found}"
    found = call(backend, "sampling_probabilities", np.zeros((1, 4)), top_k=2)[0]
    assert (found > 0).sum() == 2, f"ties: {found}"


BEAMS = np.log(np.array([[[0.1, 0.6, 0.3], [0.2, 0.7, 0.1]]]))  # (1, 2, 3): piece 0 is padding, 2 the end


def check_beam(backend):
    """The best two of all six continuations, not the best of each beam."""
    scores, parents, pieces = call(
        backend, "beam_step", BEAMS, np.array([[-1.0, -9.0]]), np.array([[2, 2]]), np.zeros((1, 2), bool)
    )
    assert parents.tolist() == [[0, 0]] and pieces.tolist() == [[1, 2]], "best of each beam"
    assert np.abs(scores - (-1 + np.log([0.6, 0.3]))).max() < 1e-12, f"scores {scores}"


def check_finished_beam(backend):
    """A finished beam stays as it is, once."""
    scores, parents, pieces = call(
        backend, "beam_step", BEAMS, np.array([[-1.0, -1.2]]), np.array([[2, 2]]), np.array([[True, False]])
    )
    assert parents.tolist() == [[0, 1]] and pieces.tolist() == [[0, 1]], f"{parents} {pieces}"
    assert np.abs(scores - np.array([-1, -1.2 + math.log(0.7)])).max() < 1e-12, f"scores {scores}"


def check_length_penalty(backend):
    """Without normalization the short text wins, with it the long one; a finished beam no longer grows."""
    inputs = (BEAMS, np.array([[-2.0, -1.9]]), np.array([[9, 2]]), np.array([[True, True]]))
    scores, parents, _ = call(backend, "beam_step", *inputs)
    assert parents.tolist() == [[1, 0]] and scores.tolist() == [[-1.9, -2.0]], "without length penalty"
    _, parents, _ = call(backend, "beam_step", *inputs, alpha=1.0)
    assert parents.tolist() == [[0, 1]], "the longer one is better per piece"
    assert abs(float(call(backend, "length_penalty", np.array(7.0), alpha=0.5)) - math.sqrt(2)) < 1e-12
    # −2 / (11/6) for the finished beam of 6; the other one of 6 grows to 7: −2.05 / 2
    one = np.log(np.array([[[0.5, 0.25, 0.25], [1e-9, 1 - 2e-9, 1e-9]]]))
    inputs = (one, np.array([[-2.0, -2.1]]), np.array([[6, 6]]), np.array([[True, False]]))
    assert call(backend, "beam_step", *inputs, alpha=1.0)[1].tolist() == [[1, 0]], "a finished beam grows"


def check_divided(backend):
    """Scores stay log p: divided once, they would be divided again at the next step."""
    scores, _, _ = call(
        backend, "beam_step", BEAMS, np.array([[-1.0, -9.0]]), np.array([[7, 7]]), np.zeros((1, 2), bool), alpha=1.0
    )
    assert np.abs(scores - (-1 + np.log([0.6, 0.3]))).max() < 1e-12, f"scores {scores}"


CHECKS = [check_cache, check_cache_padding, check_ignorance, check_shift, check_padding, check_temperature]
CHECKS += [check_nucleus, check_beam, check_finished_beam, check_length_penalty, check_divided]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_known_answers(check, backend):
    check(backend)


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_parents_and_pieces_are_the_same_in_all_backends(alpha):
    case = CASES["beam step"]
    for seed in range(20):
        arrays = case.inputs(np.random.default_rng(seed)).values()
        found = [call(backend, "beam_step", *arrays, alpha=alpha) for backend in BACKENDS]
        for other in found[1:]:
            assert np.array_equal(other[1], found[0][1]) and np.array_equal(other[2], found[0][2])


# --- the loops ---
def table_step(table):
    """A language model that knows only the last piece: logits from a table (V, V)."""

    def step(ids, cache):
        return table[ids[:, -1]]

    return step


def all_texts(table, longest, start=1, eos=2, pad=0):
    """Every text up to a length with its log p: {pieces: log p}."""
    log_p = log_softmax(table.numpy())
    found, open_texts = {}, [((), 0.0, start)]
    for length in range(1, longest + 1):
        following = []
        for text, score, last in open_texts:
            for piece in range(len(log_p)):
                if piece == pad:
                    continue
                new = (*text, piece), score + log_p[last, piece], piece
                if piece == eos or length == longest:
                    found[new[0]] = new[1]
                else:
                    following.append(new)
        open_texts = following
    return found


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_a_beam_that_is_wide_enough_finds_the_best_of_all_texts(alpha):
    for seed in range(8):
        table = 2 * torch.randn(5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        table[:, 0] = -torch.inf  # padding is never written
        every = all_texts(table, 4)
        best = max(every, key=lambda text: every[text] / ((5 + len(text)) / 6) ** alpha)
        cache = torch_decoding.KVCache()
        ids, scores = torch_decoding.beam_search(
            table_step(table), cache, torch.tensor([[1]]), 4, num_beams=300, alpha=alpha
        )
        assert tuple(i for i in ids[0, 0].tolist() if i) == best
        assert scores[0, 0].item() == pytest.approx(every[best], abs=1e-5)


def test_one_beam_is_greedy_and_samples_of_one_in_a_batch_do_not_meet():
    table = torch.randn(6, 6, generator=torch.Generator().manual_seed(3))
    table[:, 0] = -torch.inf
    prompt = torch.tensor([[1], [3], [4]])
    step = table_step(table)
    found = torch_decoding.greedy(step, torch_decoding.KVCache(), prompt, 7)
    beams, _ = torch_decoding.beam_search(step, torch_decoding.KVCache(), prompt, 7, num_beams=1)
    assert torch.equal(found, beams[:, 0])
    together, _ = torch_decoding.beam_search(step, torch_decoding.KVCache(), prompt, 7, num_beams=4)
    for row in range(3):
        alone, _ = torch_decoding.beam_search(step, torch_decoding.KVCache(), prompt[row : row + 1], 7, num_beams=4)
        width = alone.shape[2]
        assert torch.equal(together[row, :, :width], alone[0])
        assert not together[row, :, width:].any()  # only padding behind the end


def test_greedy_equals_generate_of_transformers():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    config = GPT2Config(vocab_size=13, n_positions=32, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2)
    model = GPT2LMHeadModel(config).eval()
    torch.nn.init.normal_(model.transformer.wte.weight, std=1.0)
    prompt = torch.tensor([[1, 5, 7], [1, 9, 3]])
    want = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False, pad_token_id=0
    )[:, 3:]
    seen = []

    def step(ids, cache):
        seen.append(ids)
        return model(torch.cat(seen, dim=1)).logits[:, -1]

    found = torch_decoding.greedy(step, torch_decoding.KVCache(), prompt, 12)
    assert torch.equal(found, want[:, : found.shape[1]])


def test_samples_have_the_frequencies_of_their_probabilities():
    logits = torch.log(torch.tensor([0.05, 0.05, 0.4, 0.3, 0.2]))
    generator = torch.Generator().manual_seed(0)
    found = torch_decoding.sample(
        lambda ids, cache: logits.expand(len(ids), 5),
        torch_decoding.KVCache(),
        torch.ones(20_000, 1, dtype=torch.long),
        1,
        top_p=0.85,
        generator=generator,
        eos=99,
    )
    share = torch.bincount(found[:, 0], minlength=5) / 20_000
    assert torch.allclose(share, torch.tensor([0, 0, 4 / 9, 3 / 9, 2 / 9]), atol=0.015)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("greedy", {"max_length": 0}, "max_length: expected 1 or more, got 0"),
        ("beam_search", {"num_beams": 0}, "num_beams: expected 1 or more, got 0; 1 is greedy"),
        ("beam_search", {"alpha": float("nan")}, "alpha: expected 0"),
        ("beam_search", {"max_length": -1}, "max_length: expected 1"),
        ("sample", {"temperature": 0.0}, "temperature: expected above 0, got 0.0; greedy is the limit"),
        ("sample", {"temperature": float("nan")}, "temperature: expected above 0, got nan"),
        ("sample", {"top_k": 0}, "top_k: expected 1 or more"),
        ("sample", {"top_p": 0.0}, "top_p: expected above 0"),
        ("sample", {"top_p": 1.5}, "top_p: expected above 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name, options, message):
    step = table_step(torch.zeros(4, 4))
    with pytest.raises(ValueError, match=message):
        getattr(torch_decoding, name)(
            step, torch_decoding.KVCache(), torch.tensor([[1]]), **{"max_length": 3, **options}
        )


@pytest.mark.parametrize("name", ["greedy", "beam_search", "sample"])
def test_nan_is_named_and_never_chosen(name):
    logits = torch.zeros(4, 4)
    logits[3, 1] = torch.nan
    with pytest.raises(ValueError, match="logits: NaN in row"):
        getattr(torch_decoding, name)(table_step(logits), torch_decoding.KVCache(), torch.tensor([[1], [3]]), 3)


# --- mutants ---
def agrees(name, backend):
    """A backend against PyTorch: outputs and gradients of a registered formula."""

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
        assert difference(y2, y) < 1e-10, "outputs differ"
        target = {"": rng.normal(size=y[""].shape)}
        for a, b in zip(reference.gradients(inputs, target), other.gradients(inputs, target), strict=True):
            assert difference(b, a) < 1e-7, "gradients differ"

    return check


MISTAKES = [
    ("causal mask missing", "torch", ", padding_mask, causal=True)", ", padding_mask)", check_cache),
    ("causal mask missing", "keras", ", padding_mask, causal=True)", ", padding_mask)", check_cache),
    (
        "new before old",
        "torch",
        "all_k = torch.cat([past_k, k], dim=2)",
        "all_k = torch.cat([k, past_k], dim=2)",
        check_cache,
    ),
    (
        "new before old",
        "numpy",
        "np.concatenate([past_v, v], axis=2)",
        "np.concatenate([v, past_v], axis=2)",
        check_cache,
    ),
    ("padding thrown away", "keras", "all_v, padding_mask, causal", "all_v, None, causal", check_cache_padding),
    ("padding thrown away", "numpy", "all_v, padding_mask, causal", "all_v, None, causal", check_cache_padding),
    ("labels not shifted", "torch", "labels = ids[:, 1:]", "labels = ids[:, :-1]", check_shift),
    ("labels not shifted", "numpy", "labels = ids[:, 1:]", "labels = ids[:, :-1]", check_shift),
    ("mask not shifted", "torch", "real = padding_mask[:, 1:]", "real = padding_mask[:, :-1]", check_padding),
    ("mask not shifted", "keras", "real = padding_mask[:, 1:]", "real = padding_mask[:, :-1]", check_padding),
    ("mask forgotten", "keras", "labels, mask=real)", "labels)", check_padding),
    ("mask the wrong way round", "numpy", "labels, mask=real)", "labels, mask=~real)", check_padding),
    (
        "gradient at the wrong end",
        "numpy",
        "((0, 0), (0, 1), (0, 0))",
        "((0, 0), (1, 0), (0, 0))",
        "token cross-entropy",
    ),
    (
        "temperature multiplied",
        "torch",
        "scaled = logits / temperature",
        "scaled = logits * temperature",
        check_temperature,
    ),
    (
        "temperature after the nucleus",
        "numpy",
        "np.take_along_axis(np.exp(log_softmax(scaled)), order",
        "np.take_along_axis(np.exp(log_softmax(scaled * temperature)), order",
        check_temperature,
    ),
    ("crossing piece cut", "torch", "falling.cumsum(dim=-1) - falling", "falling.cumsum(dim=-1)", check_nucleus),
    (
        "crossing piece cut",
        "keras",
        "ops.cumsum(falling, axis=-1) - falling",
        "ops.cumsum(falling, axis=-1)",
        check_nucleus,
    ),
    (
        "cut in sorted order",
        "numpy",
        "outside = np.take_along_axis(before >= top_p, rank, axis=-1)",
        "outside = before >= top_p",
        check_nucleus,
    ),
    ("one too many", "keras", "rank >= top_k", "rank > top_k", check_nucleus),
    ("order for rank", "torch", "rank = order.argsort(dim=-1)", "rank = order", check_nucleus),
    (
        "finished beam goes on",
        "torch",
        "torch.where(finished[..., None], staying, going_on)",
        "going_on",
        check_finished_beam,
    ),
    (
        "finished beam stays once for each piece",
        "numpy",
        "np.where(is_pad, scores[..., None], -np.inf)",
        "scores[..., None] + np.zeros(size)",
        check_finished_beam,
    ),
    (
        "finished beam grows",
        "keras",
        "lengths + ops.cast(ops.logical_not(finished), lengths.dtype)",
        "lengths + 1",
        check_length_penalty,
    ),
    ("finished beam grows", "torch", "lengths + (~finished).long()", "lengths + 1", check_length_penalty),
    ("sums of unequal length compared", "numpy", "(totals / penalty[..., None])", "totals", check_length_penalty),
    (
        "best of each beam",
        "keras",
        "chosen // size, chosen % size",
        "chosen // size * 0 + ops.arange(num_beams), chosen % size",
        check_beam,
    ),
    (
        "divided score kept",
        "numpy",
        "np.take_along_axis(totals.reshape(b, -1), chosen",
        "np.take_along_axis(ranking, chosen",
        check_divided,
    ),
]


def _mutants():
    for name, backend, old, new, check in MISTAKES:
        killer = agrees(check, backend) if isinstance(check, str) else (lambda c=check, b=backend: c(b))
        yield Mutant(name, f"mmcourse.{backend}.decoding", old, new, killer)


MUTANTS = list(_mutants())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.module.removeprefix('mmcourse.')}: {m.name}")
def test_mutant_is_killed(mutant):
    mutant.check()  # passes as long as nothing is wrong
    with mutated(mutant), pytest.raises(AssertionError):
        mutant.check()


def test_every_backend_has_mutants():
    assert {mutant.module.split(".")[1] for mutant in MUTANTS} == set(BACKENDS)
