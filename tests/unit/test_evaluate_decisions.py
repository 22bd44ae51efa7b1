"""Scores of a rare class: equal to scikit-learn, exact identities, weights as counts, and mistakes named."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from mmcourse.evaluate import (
    auc,
    average_precision,
    brier,
    brier_parts,
    brier_score,
    by_group,
    cost_threshold,
    group_bootstrap,
    net_benefit,
    precision_recall,
    prior_corrected,
    roc,
    wilson,
)


def drawn(seed, n=200, ties=False, share=0.2):
    """Labels and probabilities; with `ties` many are equal."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(int)
    labels[:2] = 0, 1
    p = np.clip(0.3 * labels + 0.5 * rng.random(n), 0, 1)
    return labels, p.round(1) if ties else p


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_scikit_learn(seed, ties, weighted):
    labels, p = drawn(seed, ties=ties)
    weights = np.random.default_rng(seed).integers(1, 4, len(p)).astype(float) if weighted else None
    fpr, tpr, thresholds = roc(labels, p, weights)
    theirs = metrics.roc_curve(labels, p, sample_weight=weights, drop_intermediate=False)
    for ours, other in zip((fpr, tpr, thresholds), theirs, strict=True):
        np.testing.assert_allclose(ours, other, atol=1e-12)
    assert auc(labels, p, weights) == pytest.approx(metrics.roc_auc_score(labels, p, sample_weight=weights), abs=1e-12)
    expected = metrics.average_precision_score(labels, p, sample_weight=weights)
    assert average_precision(labels, p, weights) == pytest.approx(expected, abs=1e-12)
    precision, recall, cut = precision_recall(labels, p, weights)
    prec, rec, thr = metrics.precision_recall_curve(labels, p, sample_weight=weights)
    np.testing.assert_allclose(precision, prec[:-1][::-1], atol=1e-12)
    np.testing.assert_allclose(recall, rec[:-1][::-1], atol=1e-12)
    np.testing.assert_allclose(cut, thr[::-1], atol=1e-12)
    assert brier_score(labels, p, weights) == pytest.approx(
        metrics.brier_score_loss(labels, p, sample_weight=weights), abs=1e-12
    )


def test_auc_is_the_share_of_pairs():
    labels, p = drawn(5, n=60, ties=True)
    pairs = np.subtract.outer(p[labels == 1], p[labels == 0])
    assert auc(labels, p) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean(), abs=1e-12)
    assert auc(labels, np.full(60, 0.3)) == 0.5
    assert average_precision(labels, np.full(60, 0.3)) == pytest.approx(labels.mean())


def test_weights_are_counts():
    labels, p = drawn(6, n=30, ties=True)
    weights = np.random.default_rng(6).integers(0, 4, 30)
    weights[:2] = 1
    often = np.repeat(np.arange(30), weights)
    for metric in (auc, average_precision, brier_score, lambda *a, **k: net_benefit(*a, [0.2, 0.4], **k)[1]):
        assert metric(labels, p, weights=weights) == pytest.approx(metric(labels[often], p[often]), abs=1e-12)
    np.testing.assert_allclose(brier_parts(labels, p, weights), brier_parts(labels[often], p[often]), atol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_brier_parts_are_exact(seed, ties):
    labels, p = drawn(seed, ties=ties)
    reliability, resolution, uncertainty = brier_parts(labels, p)
    assert reliability - resolution + uncertainty == pytest.approx(brier_score(labels, p), abs=1e-12)
    assert brier(labels, np.stack([1 - p, p], 1)) == pytest.approx(2 * brier_score(labels, p), abs=1e-12)
    assert uncertainty == pytest.approx(labels.mean() * (1 - labels.mean()))
    bins = np.minimum((p * 5).astype(int), 4)
    forecast = np.array([p[bins == b].mean() for b in bins])
    binned = brier_parts(labels, p, bins=5)
    assert binned[0] - binned[1] + binned[2] == pytest.approx(brier_score(labels, forecast), abs=1e-12)


def test_a_constant_forecast_of_the_base_rate_has_only_uncertainty():
    labels, _ = drawn(7)
    reliability, resolution, uncertainty = brier_parts(labels, np.full(len(labels), labels.mean()))
    assert (reliability, resolution) == pytest.approx((0, 0), abs=1e-15) and uncertainty > 0


def test_prior_correction():
    p = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    moved = prior_corrected(p, 0.5, 0.06)
    assert moved[2] == pytest.approx(0.06) and moved[0] == 0 and moved[4] == 1
    odds = moved[3] / (1 - moved[3])
    assert odds == pytest.approx(9 * 0.06 / 0.94)
    np.testing.assert_allclose(prior_corrected(moved, 0.06, 0.5), p, atol=1e-12)
    np.testing.assert_allclose(prior_corrected(p, 0.3, 0.3), p, atol=1e-12)
    rng = np.random.default_rng(0)  # against Bayes' rule, from the likelihoods
    like = rng.random((2, 50))
    at = {prior: prior * like[1] / (prior * like[1] + (1 - prior) * like[0]) for prior in (0.5, 0.02)}
    np.testing.assert_allclose(prior_corrected(at[0.5], 0.5, 0.02), at[0.02], atol=1e-12)


def test_the_cost_threshold_is_the_cheapest():
    assert cost_threshold(1, 19) == pytest.approx(0.05) and cost_threshold(1, 1) == 0.5
    rng = np.random.default_rng(1)
    p = rng.random(4000)
    labels = (rng.random(4000) < p).astype(float)  # calibrated
    grid = np.linspace(0.01, 0.99, 99)
    expected = [(np.where(p >= t, 1 - p, 19 * p)).mean() for t in grid]  # costs by the true probabilities
    assert abs(grid[int(np.argmin(expected))] - 0.05) < 0.011
    assert labels.mean() == pytest.approx(0.5, abs=0.05)


def test_net_benefit():
    labels, p = drawn(8)
    rate = labels.mean()
    found = net_benefit(labels, p, [0.0, 0.1, 0.3])
    assert found[0] == pytest.approx(rate)
    by_hand = [((p >= t) & (labels == 1)).mean() - ((p >= t) & (labels == 0)).mean() * t / (1 - t) for t in (0.1, 0.3)]
    np.testing.assert_allclose(found[1:], by_hand, atol=1e-12)
    everybody = net_benefit(labels, np.ones(len(labels)), [0.1])[0]
    assert everybody == pytest.approx(rate - (1 - rate) * 0.1 / 0.9)
    assert net_benefit(labels, np.zeros(len(labels)), [0.1])[0] == 0


def test_wilson():
    low, high = wilson(0, 12)
    assert low == 0 and high == pytest.approx(0.2425, abs=1e-3)
    assert wilson(12, 12)[1] == 1 and wilson(0, 0) == (0, 1)
    from scipy.stats import binomtest

    for hits, n in ((3, 12), (50, 100), (199, 200)):
        theirs = binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson(hits, n) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_groups_equal_fairlearn():
    fairlearn = pytest.importorskip("fairlearn.metrics", reason="extra `reference`: pip install 'mmcourse[reference]'")
    labels, p = drawn(9, n=400)
    groups = np.random.default_rng(9).choice(["a", "b", "c"], 400)
    called = (p >= 0.4).astype(int)
    names = {
        "selected": fairlearn.selection_rate,
        "tpr": fairlearn.true_positive_rate,
        "fpr": fairlearn.false_positive_rate,
        "ppv": metrics.precision_score,
    }
    frame = fairlearn.MetricFrame(metrics=names, y_true=labels, y_pred=called, sensitive_features=groups)
    found = by_group(labels, called, groups)
    assert set(found) == {"a", "b", "c"}
    for group, row in found.items():
        for name in names:
            value, low, high = row[name]
            assert value == pytest.approx(frame.by_group.loc[group, name], abs=1e-12) and low < value < high


def test_groups_with_weights_and_coins():
    labels, called = np.array([1, 1, 0, 0]), np.array([1.0, 0.5, 0.25, 0.0])
    row = by_group(labels, called, np.zeros(4), weights=np.array([0.1, 0.3, 0.4, 0.2]))[0.0]
    assert row["tpr"][0] == pytest.approx(0.25 / 0.4) and row["fpr"][0] == pytest.approx(0.1 / 0.6)
    assert row["ppv"][0] == pytest.approx(0.25 / 0.35) and row["tpr"][0] == row["tpr"][1]
    assert np.isnan(by_group([0, 0], [0, 0], [1, 1])[1]["ppv"][0])
    with pytest.raises(ValueError, match="0 or 1"):
        by_group(labels, called, np.zeros(4))


def test_whole_patients_are_drawn():
    labels, p = drawn(10, n=50)
    patient = np.repeat(np.arange(50), 8)
    labels, p = np.repeat(labels, 8), np.repeat(p, 8)
    by_patient = group_bootstrap(auc, patient, labels, p, seed=0, rounds=200)
    by_sample = group_bootstrap(auc, np.arange(400), labels, p, seed=0, rounds=200)
    assert by_patient[1] - by_patient[0] > 2 * (by_sample[1] - by_sample[0])
    assert by_patient[0] < auc(labels, p) < by_patient[1]
    assert by_patient == group_bootstrap(auc, patient, labels, p, seed=0, rounds=200)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: roc([0, 1], [0.1]), "shapes"),
        (lambda: roc([0, 2], [0.1, 0.2]), "expected 0"),
        (lambda: roc([1, 1], [0.1, 0.2]), "at least one"),
        (lambda: auc([0, 1], [np.nan, 0.2]), "NaN"),
        (lambda: auc([0, 1], [0.1, 0.2], weights=[1, -1]), "weights"),
        (lambda: brier_score([0, 1], [0.1, 2.0]), "sigmoid"),
        (lambda: net_benefit([0, 1], [0.1, 0.2], [1.0]), "thresholds"),
        (lambda: prior_corrected([0.1], 0.5, 0), "new"),
        (lambda: cost_threshold(0, 0), "costs"),
        (lambda: by_group([0, 1], [0, 1], [1]), "groups"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
