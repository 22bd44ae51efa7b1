"""Marginalizing and expected costs: right where the answer is known, in three backends; every mistake is noticed."""

import numpy as np
import pytest
import torch

from mmcourse.keras import decisions as in_keras
from mmcourse.numpy import decisions as in_numpy
from mmcourse.torch import decisions as in_torch

BACKENDS = ("numpy", "torch", "keras")


def call(backend, name, *arrays, function=None):
    """A formula on NumPy arrays in one backend."""
    if function is not None:
        return function(*arrays)
    if backend == "numpy":
        return getattr(in_numpy, name)(*arrays)
    if backend == "torch":
        return getattr(in_torch, name)(*map(torch.as_tensor, arrays)).numpy()
    from keras import ops

    return ops.convert_to_numpy(getattr(in_keras, name)(*map(ops.convert_to_tensor, arrays)))


def check_marginal(backend="numpy", function=None):
    """By hand: 0.6 · (0.9, 0.1) + 0.4 · (0.2, 0.8); scores that are not normalized; scores of −2,000."""
    given = np.log(np.array([[[0.9, 0.1], [0.2, 0.8]]]))
    want = np.log(np.array([[0.62, 0.38]]))
    for shift in (0.0, 5.0, -2000.0):
        scores = np.log(np.array([[0.6, 0.4]])) + shift
        assert np.abs(call(backend, "marginalize", scores, given, function=function) - want).max() < 1e-9


def check_one_hypothesis(backend="numpy", function=None):
    """One hypothesis, whatever its score: its own labels; the result sums to 1."""
    given = np.log(np.array([[[0.3, 0.5, 0.2]]]))
    found = call(backend, "marginalize", np.array([[-7.0]]), given, function=function)
    assert np.abs(found - given[:, 0]).max() < 1e-12 and abs(np.exp(found).sum() - 1) < 1e-12


def check_chow(backend="numpy", function=None):
    """Costs of answering and refusing: the least expected cost refuses exactly where max p < 1 − c."""
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=500)
    for refusal in (0.1, 0.3, 0.6):
        costs = np.concatenate([1 - np.eye(4), np.full((1, 4), refusal)])
        found = call(backend, "expected_costs", p, costs, function=function)
        assert found.shape == (500, 5) and np.abs(found[:, :4] - (1 - p)).max() < 1e-12
        assert np.array_equal(found.argmin(axis=1) == 4, p.max(axis=1) < 1 - refusal)


def check_asymmetric(backend="numpy", function=None):
    """Rows are actions, columns the truth: cancelling a wanted order is dear, keeping an unwanted one is not."""
    costs = np.array([[0.0, 10.0], [1.0, 0.0]])
    found = call(backend, "expected_costs", np.array([[0.8, 0.2]]), costs, function=function)
    assert np.abs(found - [[2.0, 0.8]]).max() < 1e-12


CHECKS = (check_marginal, check_one_hypothesis, check_chow, check_asymmetric)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_known_answers(check, backend):
    check(backend)


def softmax(scores):
    return np.exp(scores - scores.max(axis=1, keepdims=True)) / np.exp(scores - scores.max(axis=1, keepdims=True)).sum(
        axis=1, keepdims=True
    )


MUTANTS = {
    "1-best only": (check_marginal, lambda s, g: g[np.arange(len(s)), s.argmax(axis=1)]),
    "plain mean of the hypotheses": (check_marginal, lambda s, g: np.log(np.exp(g).mean(axis=1))),
    "logs averaged": (check_marginal, lambda s, g: (softmax(s)[:, :, None] * g).sum(axis=1)),
    "scores not normalized": (check_marginal, lambda s, g: np.logaddexp.reduce(s[:, :, None] + g, axis=1)),
    "costs turned round": (check_asymmetric, lambda p, c: p @ c),
    "costs forgotten": (check_chow, lambda p, c: np.concatenate([1 - p, np.full((len(p), 1), 0.5)], axis=1)),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mistake_is_noticed(name):
    check, mutant = MUTANTS[name]
    with pytest.raises((AssertionError, ValueError)), np.errstate(over="ignore"):
        check(function=mutant)


def test_marginalizing_is_what_the_helpdesk_does():
    from mmcourse.datasets.helpdesk import channel

    found = channel.hypotheses("where in my order")
    with np.errstate(divide="ignore"):
        given = np.log(channel.given_texts()[found.places])[None]
    p = np.exp(in_numpy.marginalize(np.log(found.p)[None], given))[0]
    np.testing.assert_allclose(p, channel.exact_posterior("where in my order"), atol=1e-12)
