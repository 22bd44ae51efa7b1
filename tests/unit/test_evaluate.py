"""Metrics equal scikit-learn's where it has them, and by definition elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from mmcourse import evaluate


@pytest.fixture
def predicted():
    g = np.random.default_rng(0)
    labels = g.integers(0, 4, 200)
    return labels, np.where(g.random(200) < 0.7, labels, g.integers(0, 4, 200))


def test_accuracy_and_confusion_equal_scikit_learn(predicted):
    labels, predictions = predicted
    assert evaluate.accuracy(labels, predictions) == metrics.accuracy_score(labels, predictions)
    expected = metrics.confusion_matrix(labels, predictions)
    assert np.array_equal(evaluate.confusion_matrix(labels, predictions), expected)
    assert evaluate.confusion_matrix([0, 0], [0, 0], 3).shape == (3, 3)


def test_scores_are_accepted_in_place_of_classes(predicted):
    labels, predictions = predicted
    assert evaluate.accuracy(labels, np.eye(4)[predictions]) == evaluate.accuracy(labels, predictions)


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0, 1, 1], "got \\(2,\\) and \\(3,\\)"),
        ([], [], "n > 0"),
        ([0, 1], [0.2, 0.9], "argmax"),
        ([0, 1], [[0.1, np.nan], [0.2, 0.3]], "diverge"),
    ],
)
def test_what_cannot_be_compared_is_refused(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        evaluate.accuracy(labels, predictions)


@pytest.mark.parametrize("n", [1, 2])
def test_confusion_refuses_labels_outside(n):
    with pytest.raises(ValueError, match="n_classes"):
        evaluate.confusion_matrix([0, n], [0, 0], n)


@pytest.mark.parametrize(
    ("value", "target", "tolerance", "said"),
    [
        (0.9413, 0.93, 0.02, "0.941, expected 0.93 ± 0.02"),
        (0.95, 0.93, 0.02, "0.950, expected 0.93 ± 0.02"),  # the edge
        (0.9131, 0.9, 0.02, "0.913, expected 0.90 ± 0.02"),
        (0.79123, 0.791, 0.001, "0.7912, expected 0.791 ± 0.001"),
        (1203.4, 1200, 50, "1203.4, expected 1200 ± 50"),
        (-1.26, -1.3, 0.1, "-1.26, expected -1.3 ± 0.1"),
        (0.0000012, 0, 1e-5, "0.000001, expected 0.00000 ± 0.00001"),
        (np.float32(0.5), np.float64(0.5), np.float64(0.25), "0.500, expected 0.50 ± 0.25"),
    ],
)
def test_an_expected_number_is_printed_with_its_band(capsys, value, target, tolerance, said):
    evaluate.expect_within("accuracy", value, target, tolerance)
    assert capsys.readouterr().out == f"accuracy {said}\n"


@pytest.mark.parametrize("value", [0.9512, 0.9, float("nan")])
def test_an_unexpected_number_is_shown_by_the_failure(value):
    with pytest.raises(AssertionError, match=f"fused is {value:.4g}, outside 0.93 ± 0.02"):
        evaluate.expect_within("fused", value, 0.93, 0.02)


def test_interval_is_student_t():
    values = [0.71, 0.74, 0.69, 0.73]
    mean, half = evaluate.mean_and_interval(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert evaluate.standard_error(values) == pytest.approx(stats.sem(values))


def test_one_seed_has_no_interval():
    mean, half = evaluate.mean_and_interval([0.7])
    assert mean == 0.7 and np.isnan(half) and np.isnan(evaluate.standard_error([0.7]))
    with pytest.raises(ValueError, match="seeds"):
        evaluate.mean_and_interval([])


def test_bootstrap_equals_resampling_by_hand(predicted):
    labels, predictions = predicted
    low, high = evaluate.bootstrap_interval(labels, predictions, seed=0)
    g, right = np.random.default_rng(1), labels == predictions
    by_hand = [right[g.integers(0, 200, 200)].mean() for _ in range(4000)]
    assert (low, high) == pytest.approx(np.quantile(by_hand, [0.025, 0.975]), abs=0.011)
    assert (low, high) == evaluate.bootstrap_interval(labels, predictions, seed=0)


def test_ceilings():
    assert evaluate.share_of_ceiling(0.45, 0.9) == pytest.approx(0.5)
    assert evaluate.gap_closed(0.7, 0.8, 0.9) == pytest.approx(0.5)
    assert evaluate.gap_closed(0.7, 0.6, 0.9) == pytest.approx(-0.5)
    with pytest.raises(ValueError, match="ceiling"):
        evaluate.share_of_ceiling(0.5, 91)
    with pytest.raises(ValueError, match="ceiling"):
        evaluate.gap_closed(0.9, 0.95, 0.9)


@pytest.mark.parametrize("seed", range(5))
def test_cohen_kappa_equals_scikit_learn(seed):
    g = np.random.default_rng(seed)
    first = g.integers(0, 4, 60)
    second = np.where(g.random(60) < 0.6, first, g.integers(0, 4, 60))
    assert evaluate.cohen_kappa(first, second) == pytest.approx(metrics.cohen_kappa_score(first, second), abs=1e-12)


def test_cohen_kappa_at_its_limits():
    assert evaluate.cohen_kappa([0, 1, 2], [0, 1, 2]) == 1
    assert evaluate.cohen_kappa([0, 0, 0, 1], [0, 0, 0, 0]) == 0
    assert np.isnan(evaluate.cohen_kappa([1, 1], [1, 1]))
    assert evaluate.cohen_kappa([0, 1], [1, 0]) == -1


@pytest.mark.parametrize("raters", [2, 3, 6])
def test_fleiss_kappa_equals_all_pairs_one_by_one(raters):
    votes = np.random.default_rng(raters).integers(0, 3, (25, raters)) // np.array([1] * (raters - 1) + [2])
    agreeing = [a == b for row in votes for i, a in enumerate(row) for j, b in enumerate(row) if i != j]
    expected = sum((votes == c).mean() ** 2 for c in range(3))
    counts = np.stack([np.bincount(row, minlength=3) for row in votes])
    by_hand = (np.mean(agreeing) - expected) / (1 - expected)
    assert evaluate.fleiss_kappa(counts) == pytest.approx(by_hand, abs=1e-12)


def test_fleiss_kappa_of_the_published_example():
    counts = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]]
    counts += [[7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
    assert evaluate.fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)


@pytest.mark.parametrize("counts", [[[1, 0], [0, 1]], [[2, 0], [1, 2]], [[1.5, 0.5]], [[3, -1]], [], [2, 0]])
def test_fleiss_kappa_refuses_what_it_cannot_count(counts):
    with pytest.raises(ValueError, match="counts: expected whole numbers"):
        evaluate.fleiss_kappa(counts)


# ---------------------------------------------------------------- each class, and two models
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), classes=st.integers(2, 5))
@settings(deadline=None, max_examples=60)
def test_precision_recall_f1_equal_scikit_learn(seed, n, classes):
    labels, predictions = np.random.default_rng(seed).integers(0, classes, (2, n))
    ours = evaluate.precision_recall_f1(labels, predictions, classes)
    settings = {"labels": range(classes), "zero_division": 0}
    assert np.allclose(ours, metrics.precision_recall_fscore_support(labels, predictions, **settings)[:3])
    share = np.bincount(labels, minlength=classes) / n
    for average, value in {"macro": ours[2].mean(), "weighted": ours[2] @ share}.items():
        assert value == pytest.approx(metrics.f1_score(labels, predictions, average=average, **settings))
    micro = metrics.f1_score(labels, predictions, average="micro")
    assert evaluate.accuracy(labels, predictions) == pytest.approx(micro)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 80))
@settings(deadline=None, max_examples=60)
def test_mcnemar_equals_the_binomial_test(seed, n):
    labels, first, second = np.random.default_rng(seed).integers(0, 2, (3, n))
    a, b, p = evaluate.mcnemar(labels, first, second)
    assert a == ((first == labels) & (second != labels)).sum()
    assert b == ((first != labels) & (second == labels)).sum()
    assert p == pytest.approx(stats.binomtest(a, a + b).pvalue if a + b else 1.0)
    assert evaluate.mcnemar(labels, second, first) == (b, a, p), "no model is preferred"


def test_paired_bootstrap_equals_resampling_by_hand():
    g = np.random.default_rng(0)
    labels, noise = np.zeros(200, int), g.random(200)
    first, second = (noise > 0.7).astype(int), (noise > 0.8).astype(int)
    difference, low, high = evaluate.paired_bootstrap(labels, first, second, seed=0)
    gain = (second == labels).astype(float) - (first == labels)
    by_hand = [gain[g.integers(0, 200, 200)].mean() for _ in range(4000)]
    assert difference == pytest.approx(gain.mean()) and low > 0
    assert (low, high) == pytest.approx(np.quantile(by_hand, [0.025, 0.975]), abs=0.006)
    swapped = evaluate.paired_bootstrap(labels, second, first, seed=1)
    assert swapped == pytest.approx((-difference, -high, -low), abs=0.006)
    assert evaluate.paired_bootstrap(labels, first, first, seed=0) == (0, 0, 0)


def test_two_models_need_one_test_set():
    with pytest.raises(ValueError, match="got \\(2,\\) and \\(3,\\)"):
        evaluate.mcnemar([0, 1], [0, 1], [0, 1, 1])
