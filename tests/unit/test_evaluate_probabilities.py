"""Probabilities are judged as scikit-learn judges them; a known temperature is found again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics
from sklearn.calibration import calibration_curve

from mmcourse import evaluate


def drawn(seed, n=300, classes=4, temperature=1.0):
    """Logits, and labels drawn from their softmax: calibrated as long as the temperature is 1."""
    g = np.random.default_rng(seed)
    logits = 2 * g.normal(size=(n, classes))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < g.random((n, 1))).sum(axis=1).clip(0, classes - 1)
    return labels, logits * temperature


@given(seed=st.integers(0, 10**6), n=st.integers(2, 60), classes=st.integers(2, 6))
@settings(deadline=None, max_examples=40)
def test_log_loss_and_brier_equal_scikit_learn(seed, n, classes):
    labels, logits = drawn(seed, n, classes)
    p = softmax(logits, axis=1)
    assert evaluate.log_loss(labels, p) == pytest.approx(metrics.log_loss(labels, p, labels=range(classes)))
    ours = evaluate.brier(labels, p)
    assert ours == pytest.approx(metrics.brier_score_loss(labels, p, labels=range(classes), scale_by_half=False))


def test_who_knows_nothing():
    p = np.full((6, 3), 1 / 3)
    assert evaluate.log_loss([0, 1, 2] * 2, p) == pytest.approx(np.log(3))
    assert evaluate.brier([0, 1, 2] * 2, p) == pytest.approx(2 / 3)
    assert evaluate.calibration_error([0, 1, 2] * 2, p) == pytest.approx(0)
    assert np.isfinite(evaluate.log_loss([1], [[1.0, 0.0]])), "sure and wrong is dear, not infinite"


@given(seed=st.integers(0, 10**6), bins=st.integers(2, 20))
@settings(deadline=None, max_examples=40)
def test_reliability_equals_scikit_learn(seed, bins):
    labels, logits = drawn(seed)
    p = softmax(logits, axis=1)
    confidence, right, share = evaluate.reliability(labels, p, bins)
    theirs = calibration_curve(labels == p.argmax(1), p.max(1), n_bins=bins)
    filled = share > 0
    assert np.allclose(right[filled], theirs[0]) and np.allclose(confidence[filled], theirs[1])
    assert np.isnan(confidence[~filled]).all() and share.sum() == pytest.approx(1)
    by_hand = sum(s * abs(a - c) for c, a, s in zip(confidence, right, share, strict=True) if s)
    assert evaluate.calibration_error(labels, p, bins) == pytest.approx(by_hand)


def test_ten_predictions_that_are_too_sure():
    p = np.tile([0.9, 0.1], (10, 1))
    assert evaluate.calibration_error([0] * 6 + [1] * 4, p) == pytest.approx(0.3)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5, 8.0])
def test_a_known_temperature_is_found(temperature):
    labels, logits = drawn(0, n=20_000, temperature=temperature)
    assert evaluate.fit_temperature(labels, logits) == pytest.approx(temperature, rel=0.04)


def test_temperature_is_the_least_of_a_grid():
    labels, logits = drawn(3, temperature=3.0)
    grid = np.geomspace(0.5, 20, 400)
    losses = [evaluate.log_loss(labels, softmax(logits / t, axis=1)) for t in grid]
    assert evaluate.fit_temperature(labels, logits) == pytest.approx(grid[np.argmin(losses)], rel=0.02)


def test_temperature_of_confident_nonsense_and_of_perfection():
    labels, logits = drawn(1)
    assert evaluate.fit_temperature(labels, 1000 * logits) > 50, "huge logits do not stop the search"
    assert evaluate.fit_temperature(logits.argmax(axis=1), logits) < 0.1


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [[2.0, -1.0], [0.5, 0.5]], "softmax first"),
        ([0, 1], [0.5, 0.5], r"got shape \(2,\)"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "expected 0 to 1, got 0 to 2"),
        ([0, 1], [[0.5, 0.5]], r"got \(2,\) and \(1,\)"),
        ([0], [[np.nan, 0.5]], "softmax first"),
    ],
)
def test_what_is_no_probability_is_refused(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        evaluate.log_loss(labels, probabilities)
