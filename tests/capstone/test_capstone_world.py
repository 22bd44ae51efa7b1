"""The world of both examples is what its table says, and intervals keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from mmcourse.capstone import hotline
from mmcourse.capstone.intervals import cluster_interval, coverage, expected_coverage


def test_the_table_is_a_distribution_with_the_stated_parts():
    table = hotline.table()
    assert table.shape == (2, 3, 2, 2) and table.sum() == pytest.approx(1) and (table > 0).all()
    assert table[1].sum() == pytest.approx(hotline.URGENT)
    assert table[..., 1].sum() == pytest.approx(hotline.LANDLINE)


def test_hearing_more_never_lowers_the_ceiling():
    ceilings = [hotline.ceiling(see) for see in ((), ("words",), ("words", "voice"), hotline.SEES)]
    assert ceilings == sorted(ceilings) and ceilings[0] == pytest.approx(0.6)
    assert hotline.ceiling(phone="landline") == pytest.approx(hotline.ceiling("words")), "a landline hides the voice"


@pytest.mark.parametrize("wrong", [{"see": ("smell",)}, {"phone": "pigeon"}])
def test_an_unknown_name_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        hotline.ceiling(**wrong)


def test_no_rule_beats_the_ceiling_and_the_best_one_reaches_it():
    calls = hotline.draw(5, 3000)
    cue = calls.inputs["words"].reshape(-1, 3, 4).sum(axis=2).argmax(axis=1)
    raised = (calls.inputs["voice"][:, 8:].mean(axis=1) > 0).astype(int)
    said = hotline.table().argmax(axis=0)[cue, raised, calls.inputs["phone"]]
    _, low, high = cluster_interval(said == calls.labels, calls.callers, level=0.999)
    assert low < hotline.ceiling() < high


def test_a_seed_gives_the_same_callers_again_and_no_two_seeds_share_one():
    first, again, other = hotline.draw(1, 30), hotline.draw(1, 30), hotline.draw(2, 30)
    assert all((first.inputs[name] == again.inputs[name]).all() for name in first.inputs)
    assert not set(first.callers) & set(other.callers)
    assert {split: len(np.unique(hotline.load(split).callers)) for split in hotline.SIZES} == hotline.SIZES


def test_a_caller_has_one_case_and_one_telephone():
    calls = hotline.draw(3, 50)
    for caller in np.unique(calls.callers):
        rows = calls.callers == caller
        assert len(set(calls.labels[rows])) == len(set(calls.inputs["phone"][rows])) == 1


def test_alone_in_its_group_each_sample_has_the_usual_error():
    values = np.random.default_rng(0).random(40)
    mean, low, high = cluster_interval(values, np.arange(40))
    half = 2.0227 * values.std(ddof=1) / np.sqrt(40)
    assert (mean, high - low) == (pytest.approx(values.mean()), pytest.approx(2 * half, rel=1e-4))


def test_one_group_has_no_interval_and_shapes_must_agree():
    assert np.isnan(cluster_interval([1, 0], [3, 3])[1])
    with pytest.raises(ValueError, match="shapes"):
        cluster_interval([1, 0], [3])


def test_all_right_is_not_certainty():
    mean, low, high = cluster_interval(np.ones(60), np.arange(60) // 10)
    assert (mean, high) == (1.0, 1.0) and 0.5 < low < 0.7, "six people, not sixty samples"


def test_what_is_expected_of_a_fresh_test_set():
    assert expected_coverage(1, 1) == pytest.approx(0.834, abs=1e-3)
    assert expected_coverage(1, 0) == pytest.approx(0.95)
    with pytest.raises(ValueError, match="half-widths"):
        expected_coverage(0, 1)


def test_coverage_has_an_interval_of_its_own():
    share, low, high = coverage([True] * 19 + [False])
    assert share == 0.95 and low < 0.95 < high
    with pytest.raises(ValueError, match="at least one"):
        coverage([])
