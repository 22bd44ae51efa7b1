"""Five streams with exact figures; distances against hand-made values and libraries; labels by the binomial."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from mmcourse.datasets import mood
from mmcourse.serve import drift


def cues(name: str) -> np.ndarray:
    return drift.STREAMS[name].joint.sum(axis=0)


def exact(name: str) -> tuple[float, float, float]:
    """Accuracy of the old rule, the stream's own ceiling, PSI of the cues."""
    joint = drift.STREAMS[name].joint
    told = drift.psi(cues("as before"), cues(name))
    return drift.accuracy(joint, drift.best_rule()), drift.accuracy(joint, drift.best_rule(joint)), told


def test_each_stream_is_a_distribution():
    assert all(s.joint.sum() == pytest.approx(1) and (s.joint >= 0).all() for s in drift.STREAMS.values())


def test_the_drift_that_no_monitor_of_inputs_can_see():
    rule, ceiling, psi = exact("D")
    assert (round(rule, 3), round(ceiling, 3), psi) == (0.691, 0.926, 0.0)
    assert np.array_equal(cues("D"), cues("as before"))


@pytest.mark.parametrize(
    ("name", "expected"), [("A", (0.926, 0.926, 0.0)), ("B", (0.93, 0.942, 0.404)), ("C", (0.933, 0.933, 0.333))]
)
def test_the_others(name: str, expected: tuple):
    assert tuple(round(value, 3) for value in exact(name)) == expected


def test_a_dead_channel_costs_and_is_seen():
    rule, ceiling, psi = exact("E")
    assert (round(rule, 3), round(ceiling, 3)) == (0.844, 0.891) and psi > 1


def test_labels_a_day():
    n, limit = drift.labels_needed(0.9258, 0.6912)
    assert drift.power(n, limit, 0.9258) <= 0.05 and drift.power(n, limit, 0.6912) >= 0.8
    assert drift.power(17, 13, 0.9258) == pytest.approx(0.033, abs=2e-3)
    assert drift.power(17, 13, 0.6912) == pytest.approx(0.82, abs=1e-2)
    assert drift.power(17, 13, 0.7) == pytest.approx(binom.cdf(13, 17, 0.7))
    with pytest.raises(ValueError, match="10,000"):
        drift.labels_needed(0.9, 0.8999)


def test_psi_by_hand():
    assert drift.psi([50, 50], [25, 75]) == pytest.approx(-0.25 * np.log(0.5) + 0.25 * np.log(1.5))
    assert drift.psi([1, 2, 3], [10, 20, 30]) == 0.0 and np.isfinite(drift.psi([1, 1, 0], [1, 1, 1]))


def test_mmd_is_about_0_for_equal_distributions_and_grows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    same = [drift.mmd2(x, rng.normal(size=(200, 3))) for _ in range(10)]
    assert abs(np.mean(same)) < 0.003 and drift.mmd2(x, rng.normal(0.5, 1, (200, 3))) > 0.02
    k = np.exp(-0.5)  # two pairs by hand: width 1, all distances 0 or 1
    assert drift.mmd2(np.array([[0.0], [0.0]]), np.array([[1.0], [1.0]]), 1.0) == pytest.approx(2 - 2 * k)


def test_bbse_finds_the_new_prior_from_predictions_alone():
    rule = drift.best_rule()
    old, new = mood.JOINT, drift.STREAMS["B"].joint
    confusion = np.array([[old[j][rule == i].sum() for j in range(3)] for i in range(3)])
    predicted = np.array([new[:, rule == i].sum() for i in range(3)])
    weights = drift.bbse(confusion, predicted)
    assert (weights * old.sum((1, 2, 3))) == pytest.approx([0.70, 0.15, 0.15])
    corrected = drift.best_rule(old * weights[:, None, None, None])
    assert drift.accuracy(new, corrected) == pytest.approx(0.942, abs=5e-4)


def test_streams_are_drawn_from_their_tables():
    found = drift.stream("E", 4000, np.random.default_rng(0))
    assert set(found["voice"]) == {1} and abs(found["brightness"].mean()) < 0.1
    assert abs(drift.stream("A", 4000, np.random.default_rng(0))["brightness"].mean() - 1.5) < 0.1
    smirk = drift.stream("as before", 20_000, np.random.default_rng(1))
    assert (smirk["face"] == 3).mean() == pytest.approx(cues("as before")[3].sum(), abs=0.015)
