"""Preferences, DPO, group advantages, PPO's loss and k3: right where the answer is known, and every mistake is noticed
that is seen in public code."""

import math

import numpy as np
import pytest
import torch
from mutants_encoders import Mutant, mutated

from mmcourse.keras import preferences as keras_preferences
from mmcourse.numpy import preferences
from mmcourse.parity import NumpyBackend, TorchBackend, parity_cases
from mmcourse.parity.compare import difference
from mmcourse.torch import preferences as torch_preferences

CASES = {case.name: case for case in parity_cases("preferences")}
BACKENDS = ("numpy", "torch", "keras")
LOSSES = ("reward_loss", "dpo_loss")  # NumPy's give a cache, too


def call(backend, name, *arrays, **options):
    """A formula on NumPy arrays in one backend."""
    if backend == "numpy":
        found = getattr(preferences, name)(*map(np.asarray, arrays), **options)
        return np.asarray(found[0] if name in LOSSES else found)
    if backend == "torch":
        options = {k: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        return getattr(torch_preferences, name)(*map(torch.as_tensor, arrays), **options).numpy()
    from keras import ops

    tensors = [ops.convert_to_tensor(np.asarray(array)) for array in arrays]
    return ops.convert_to_numpy(getattr(keras_preferences, name)(*tensors, **options))


def four(seed=0, b=5):
    return np.random.default_rng(seed).normal(size=(4, b))


# --- checks: each raises AssertionError for a mistake, and passes for what is right ---
def check_ignorance(backend):
    """The policy is the reference, or the answers are equal: ln 2, whatever β."""
    a, b, _, _ = four()
    assert abs(call(backend, "dpo_loss", a, b, a, b, beta=0.7) - math.log(2)) < 1e-12
    assert abs(call(backend, "reward_loss", a, a) - math.log(2)) < 1e-12


def check_direction(backend):
    """A better chosen answer costs less, with and without a reference."""
    a, b, c, d = four()
    assert call(backend, "dpo_loss", a + 1, b, c, d) < call(backend, "dpo_loss", a, b, c, d)
    assert call(backend, "reward_loss", a + 1, b) < call(backend, "reward_loss", a, b)


def check_reference(backend):
    """Only log π − log π_ref counts, so what is added to both cancels."""
    a, b, c, d = four()
    same = call(backend, "dpo_loss", a + 3, b - 2, c + 3, d - 2, beta=0.5)
    assert abs(same - call(backend, "dpo_loss", a, b, c, d, beta=0.5)) < 1e-12


def check_beta(backend):
    """β multiplies the margin inside σ: one pair by hand."""
    loss = call(backend, "dpo_loss", np.array([-1.0]), np.array([-3.0]), np.array([-2.0]), np.array([-2.0]), beta=0.5)
    assert abs(loss - math.log1p(math.exp(-1.0))) < 1e-12


def check_overflow(backend):
    """Margins of thousands: large and finite."""
    big = np.array([2000.0])
    assert abs(call(backend, "dpo_loss", -big, big, 0 * big, 0 * big, beta=1.0) - 4000) < 1e-6
    assert call(backend, "dpo_loss", big, -big, 0 * big, 0 * big, beta=1.0) < 1e-12


def check_sum(backend):
    """log p of an answer is a sum: twice as many pieces, twice as much; what is masked does not count, even NaN."""
    row = np.full((1, 4), -0.5)
    mask = np.array([[False, True, True, False]])
    row[0, 0] = np.nan
    assert abs(call(backend, "answer_log_probs", row, mask)[0] + 1.0) < 1e-12
    row[0, 3] = -0.5
    mask[0, 3] = True
    assert abs(call(backend, "answer_log_probs", row, mask)[0] + 1.5) < 1e-12


def check_valid(backend):
    """A pair of which one answer is empty teaches nothing: the loss is that of the others, not ln 2 in every mean."""
    rng = np.random.default_rng(2)
    rows = -rng.random((4, 3, 5))
    masks = rng.random((4, 3, 5)) < 0.7
    masks[:, :, 0] = True
    masks[1, 2] = masks[0, 2] = masks[2, 2] = masks[3, 2] = False
    valid = masks.any(axis=2)[0] & masks.any(axis=2)[1]
    sums = [call(backend, "answer_log_probs", row, mask) for row, mask in zip(rows, masks, strict=True)]
    whole = call(backend, "dpo_loss", *sums, beta=0.5, valid=valid)
    assert abs(whole - call(backend, "dpo_loss", *(one[:2] for one in sums), beta=0.5)) < 1e-12
    assert call(backend, "dpo_loss", *sums, valid=np.zeros(3, bool)) == 0, "nothing is valid: 0, never NaN"


def check_valid_gradient():
    """NumPy's own gradient of an invalid pair is 0, that of the others the one without it."""
    sums = four(3, 3)
    _, cache = preferences.dpo_loss(*sums, beta=0.5, valid=np.array([True, True, False]))
    _, alone = preferences.dpo_loss(*sums[:, :2], beta=0.5)
    found = zip(preferences.dpo_loss_backward(1.0, cache), preferences.dpo_loss_backward(1.0, alone), strict=True)
    for whole, part in found:
        assert whole[2] == 0 and np.abs(whole[:2] - part).max() < 1e-12


def check_length(backend):
    """GRPO has no length bias: each piece of an answer pulls alike, whether the answer has one piece or four."""
    before = np.full((2, 4), -1.0)
    mask = np.array([[True, False, False, False], [True, True, True, True]])
    old = call(backend, "answer_log_probs", before, mask)
    new = call(backend, "answer_log_probs", before + 0.01, mask)
    found = call(backend, "clipped_loss", new, old, np.ones(2))
    assert abs(found + (math.exp(0.01) + math.exp(0.04)) / 2) < 1e-12


def check_length_gradient():
    """The same in NumPy's own gradient: −A / b for every piece."""
    mask = np.array([[True, False, False, False], [True, True, True, True]])
    dsum = preferences.clipped_loss_backward(1.0, np.zeros(2), np.zeros(2), np.ones(2))
    found = preferences.answer_log_probs_backward(dsum, mask)
    assert np.abs(found[mask] + 0.5).max() < 1e-12 and (found[~mask] == 0).all()


def check_groups(backend):
    """Each group has mean 0 by itself; without `divide` the size of the rewards stays."""
    rewards = np.array([[1.0, 2.0, 3.0], [10.0, 10.0, 40.0]])
    found = call(backend, "group_advantages", rewards)
    assert np.abs(found - [[-1, 0, 1], [-10, -10, 20]]).max() < 1e-12
    divided = call(backend, "group_advantages", rewards, divide=True)
    assert np.abs(divided.std(axis=1) - 1).max() < 1e-4 and np.abs(divided.mean(axis=1)).max() < 1e-12
    alike = call(backend, "group_advantages", np.full((2, 3), 5.0), divide=True)
    assert np.abs(alike).max() == 0, "equal rewards teach something"


def check_clip(backend):
    """The worse of both: a good answer stops at 1 + ε, a bad one at 1 − ε, but mistakes are always taken back."""
    for ratio, advantage, want in (
        (1.5, 1.0, -1.2),
        (0.5, 1.0, -0.5),
        (1.5, -1.0, 1.5),
        (0.5, -1.0, 0.8),
        (1.1, 2.0, -2.2),
    ):
        found = call(backend, "clipped_loss", np.array([math.log(ratio)]), np.zeros(1), np.array([advantage]))
        assert abs(found - want) < 1e-12, (ratio, advantage, found)


def check_k3(backend):
    """Never negative, 0 where both agree, and right in the mean over all answers."""
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.3, 0.3, 0.4])
    k3 = call(backend, "kl_estimate", np.log(p), np.log(q))
    assert (k3 > 0).all() and np.abs(call(backend, "kl_estimate", np.log(p), np.log(p))).max() < 1e-15
    assert abs(p @ k3 - preferences.kl_divergence(p, q)) < 1e-12
    far = call(backend, "kl_estimate", np.array([-800.0, -21.0, -20.0]), np.zeros(3))
    assert np.isfinite(far).all() and far[0] > far[1] > far[2], "one answer that is given up makes it infinite"
    assert abs(far[2] / (math.expm1(20) - 20) - 1) < 1e-12
    near = call(backend, "kl_estimate", np.log(p), np.log(p) + 1e-9)
    assert (near >= 0).all(), "small differences cancel badly"


CHECKS = [check_ignorance, check_direction, check_reference, check_beta, check_overflow, check_sum, check_groups]
CHECKS += [check_clip, check_k3, check_valid, check_length]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_known_answers(check, backend):
    check(backend)


@pytest.mark.parametrize("check", [check_valid_gradient, check_length_gradient], ids=lambda check: check.__name__)
def test_numpys_own_gradients(check):
    check()


def test_the_clipped_gradient_is_autograds():
    rng = np.random.default_rng(0)
    new, old, advantages = rng.normal(size=(3, 40)) * 0.4
    leaf = torch.tensor(new, requires_grad=True)
    torch_preferences.clipped_loss(leaf, torch.tensor(old), torch.tensor(advantages)).backward()
    ours = preferences.clipped_loss_backward(1.0, new, old, advantages)
    assert np.abs(leaf.grad.numpy() - ours).max() < 1e-12
    assert (ours == 0).any(), "something is clipped"


def test_the_loss_is_zero_and_its_gradient_is_not():
    """New groups: every ratio is 1, advantages have mean 0, so the loss is 0. It learns all the same."""
    rewards = np.array([[1.0, 2.0, 6.0]])
    advantages = torch.tensor(preferences.group_advantages(rewards).ravel())
    leaf = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    loss = torch_preferences.clipped_loss(leaf, leaf.detach(), advantages)
    loss.backward()
    assert abs(loss.item()) < 1e-12 and leaf.grad.abs().max() > 0.5


def test_the_optimum_has_the_largest_value():
    rng = np.random.default_rng(1)
    reference, reward = rng.dirichlet(np.ones(9)), rng.normal(size=9)
    for beta in (0.3, 1.0, 5.0):
        best = preferences.optimal_policy(np.log(reference), reward, beta)

        def value(p, beta=beta):
            return p @ reward - beta * preferences.kl_divergence(p, reference)

        others = [rng.dirichlet(np.ones(9)) for _ in range(200)] + [0.95 * best + 0.05 * rng.dirichlet(np.ones(9))]
        assert all(value(best) > value(p) for p in others)
        assert abs(value(best) - beta * np.log(reference @ np.exp(reward / beta))) < 1e-9
    near, far = (preferences.optimal_policy(np.log(reference), reward, beta) for beta in (10.0, 0.1))
    assert preferences.kl_divergence(near, reference) < preferences.kl_divergence(far, reference)


def test_total_variation_and_kl():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5])
    assert preferences.total_variation(p, q) == 0.5 and preferences.total_variation(p, p) == 0
    assert preferences.kl_divergence(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(math.log(2))


def gradient_agrees(name):
    """NumPy against PyTorch: loss and gradients."""

    def check():
        case = CASES[name]
        rng, reference = np.random.default_rng(0), TorchBackend(case)
        inputs = case.inputs(rng)
        other = NumpyBackend(case, reference.weights, reference.trainable)
        y, y2 = reference.forward(inputs), other.forward(inputs)
        assert difference(y2, y) < 1e-10, "losses differ"
        target = {"": rng.normal(size=y[""].shape)}
        for a, b in zip(reference.gradients(inputs, target), other.gradients(inputs, target), strict=True):
            assert difference(b, a) < 1e-9, "gradients differ"

    return check


def _mutants():
    numpy, torch_, keras = (f"mmcourse.{backend}.preferences" for backend in BACKENDS)
    yield Mutant("averaged", torch_, ", 0.0).sum(dim=1)", ", 0.0).mean(dim=1)", lambda: check_sum("torch"))
    yield Mutant(
        "averaged",
        numpy,
        "np.where(mask, log_probs, 0.0).sum(axis=1)",
        "np.where(mask, log_probs, 0.0).sum(axis=1) / mask.sum(axis=1)",
        lambda: check_sum("numpy"),
    )
    yield Mutant(
        "divided by the padded length",
        keras,
        "return ops.sum(ops.where(mask, log_probs, ops.zeros_like(log_probs)), axis=1)",
        "return ops.mean(ops.where(mask, log_probs, ops.zeros_like(log_probs)), axis=1)",
        lambda: check_sum("keras"),
    )
    yield Mutant(
        "mask by multiplication",
        torch_,
        "log_probs.masked_fill(~mask, 0.0)",
        "(log_probs * mask)",
        lambda: check_sum("torch"),
    )
    yield Mutant(
        "reference forgotten",
        torch_,
        "beta * (rejected - reference_rejected)",
        "beta * rejected",
        lambda: check_reference("torch"),
    )
    yield Mutant(
        "reference exchanged",
        keras,
        "beta * (chosen - reference_chosen)",
        "beta * (chosen - reference_rejected)",
        lambda: check_reference("keras"),
    )
    yield Mutant(
        "winner and loser exchanged",
        torch_,
        "reward_loss(implied_chosen, implied_rejected, valid)",
        "reward_loss(implied_rejected, implied_chosen, valid)",
        lambda: check_direction("torch"),
    )
    yield Mutant(
        "β outside σ",
        numpy,
        "loss, cache = reward_loss(implied_chosen, implied_rejected, valid)",
        "loss, cache = reward_loss(implied_chosen / beta, implied_rejected / beta, valid)\n    loss = loss * beta",
        lambda: check_beta("numpy"),
    )
    yield Mutant(
        "β divides", keras, "implied_chosen = beta * (", "implied_chosen = 1 / beta * (", lambda: check_beta("keras")
    )
    yield Mutant(
        "log of sigmoid by hand",
        torch_,
        "-F.logsigmoid(chosen - rejected)",
        "-torch.log(torch.sigmoid(chosen - rejected))",
        lambda: check_overflow("torch"),
    )
    yield Mutant(
        "the sign of the gradient",
        numpy,
        "return slope, -slope",
        "return -slope, slope",
        gradient_agrees("Bradley–Terry loss"),
    )
    yield Mutant(
        "β forgotten in the gradient",
        numpy,
        "return beta * dchosen, beta * drejected, ",
        "return dchosen, drejected, ",
        gradient_agrees("DPO loss"),
    )
    yield Mutant(
        "mean over the batch",
        torch_,
        "rewards.mean(dim=1, keepdim=True)",
        "rewards.mean()",
        lambda: check_groups("torch"),
    )
    yield Mutant(
        "mean over the batch",
        keras,
        "ops.mean(rewards, axis=1, keepdims=True)",
        "ops.mean(rewards, axis=0, keepdims=True)",
        lambda: check_groups("keras"),
    )
    yield Mutant(
        "deviation 0",
        numpy,
        "(rewards.std(axis=1, keepdims=True) + eps)",
        "rewards.std(axis=1, keepdims=True)",
        lambda: check_groups("numpy"),
    )
    yield Mutant("sample deviation", torch_, "correction=0", "correction=1", lambda: check_groups("torch"))
    yield Mutant("maximum for minimum", torch_, "-torch.minimum(", "-torch.maximum(", lambda: check_clip("torch"))
    yield Mutant(
        "clipped alone",
        keras,
        "ops.minimum(ratio * advantages, kept * advantages)",
        "kept * advantages",
        lambda: check_clip("keras"),
    )
    yield Mutant(
        "ratio upside down",
        numpy,
        "ratio = np.exp(log_probs - old_log_probs)\n    kept = np.clip(ratio, 1 - clip, 1 + clip)\n    return",
        "ratio = np.exp(old_log_probs - log_probs)\n    kept = np.clip(ratio, 1 - clip, 1 + clip)\n    return",
        lambda: check_clip("numpy"),
    )
    yield Mutant(
        "k3 the wrong way round",
        torch_,
        "d = reference - log_probs",
        "d = log_probs - reference",
        lambda: check_k3("torch"),
    )
    yield Mutant("k3 without −1", numpy, "return np.expm1(held)", "return np.exp(held)", lambda: check_k3("numpy"))
    for module, hold, free, name in (
        (numpy, "np.minimum(d, 20.0)", "d", "numpy"),
        (torch_, "d.clamp(max=20.0)", "d", "torch"),
        (keras, "ops.minimum(d, 20.0)", "d", "keras"),
    ):
        yield Mutant("k3 overflows", module, hold, free, lambda name=name: check_k3(name))
    yield Mutant(
        "k3 cut off: no pull back from far away",
        torch_,
        " + held.exp() * (d - held) - d",
        " - held",
        lambda: check_k3("torch"),
    )
    yield Mutant(
        "invalid pairs count ln 2", numpy, "np.where(valid, losses, 0.0)", "losses", lambda: check_valid("numpy")
    )
    yield Mutant(
        "invalid pairs are in the divisor",
        torch_,
        "/ valid.sum().clamp(min=1)",
        "/ len(losses)",
        lambda: check_valid("torch"),
    )
    yield Mutant(
        "`valid` forgotten in DPO", keras, "implied_rejected, valid)", "implied_rejected)", lambda: check_valid("keras")
    )
    yield Mutant("nothing valid: NaN", torch_, "valid.sum().clamp(min=1)", "valid.sum()", lambda: check_valid("torch"))
    yield Mutant(
        "an invalid pair has a gradient",
        numpy,
        "each = np.where(valid, np.exp(-np.logaddexp(0, margin)), 0.0)",
        "each = np.exp(-np.logaddexp(0, margin))",
        check_valid_gradient,
    )
    yield Mutant(
        "length bias: divided by each answer's own length",
        torch_,
        ", 0.0).sum(dim=1)",
        ", 0.0).sum(dim=1) / mask.sum(dim=1)",
        lambda: check_length("torch"),
    )
    yield Mutant(
        "length bias in the gradient",
        numpy,
        "np.where(mask, dy[:, None], 0.0)",
        "np.where(mask, dy[:, None] / mask.sum(axis=1, keepdims=True), 0.0)",
        check_length_gradient,
    )


@pytest.mark.parametrize("mutant", list(_mutants()), ids=lambda mutant: f"{mutant.module.split('.')[1]}: {mutant.name}")
def test_mutants(mutant):
    with mutated(mutant), pytest.raises(AssertionError):
        mutant.check()
