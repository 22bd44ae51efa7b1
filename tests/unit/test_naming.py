"""The world of 34 answers: its probabilities, its optimum, and that methods reach it or miss it as the lesson says."""

import numpy as np
import pytest

from mmcourse.datasets.scenes import truth
from mmcourse.figures import naming
from mmcourse.numpy.preferences import kl_divergence, total_variation

NAMES = naming.ways()
BEST = NAMES.best(1.0)


def test_34_ways_with_the_grammars_own_probabilities():
    assert len(NAMES.texts) == 34 and NAMES.reference.sum() == pytest.approx(1)
    for text, log_p in zip(NAMES.texts, NAMES.log_reference, strict=True):
        assert truth._phrase(text).log_p == pytest.approx(log_p)


def test_a_larger_beta_stays_closer():
    kl = [kl_divergence(NAMES.best(beta), NAMES.reference) for beta in (0.5, 1.0, 2.0)]
    assert np.round(kl, 3).tolist() == [0.815, 0.336, 0.125]
    no_size = NAMES.lengths == 3
    assert NAMES.reference[no_size].sum() == pytest.approx(1 / 6) and BEST[no_size].sum() == pytest.approx(
        0.443, abs=5e-4
    )


def test_dpo_reaches_the_optimum_where_log_p_is_summed():
    summed = naming.dpo(NAMES, 10_000, seed=0)
    averaged = naming.dpo(NAMES, 10_000, seed=0, average=True, steps=4000)
    assert total_variation(summed.policy, BEST) < 0.05 < 0.4 < total_variation(averaged.policy, BEST)


def test_grpo_reaches_it_with_the_kl_in_the_reward():
    assert total_variation(naming.grpo(NAMES, seed=0).policy, BEST) < 0.02
    alone = naming.grpo(NAMES, seed=0, kl_in="nothing")
    assert total_variation(alone.policy, BEST) > 0.5 and alone.policy[NAMES.lengths == 3].sum() > 0.99


def test_a_reward_model_finds_the_differences():
    learned = naming.reward_model(NAMES, 200_000)
    true = NAMES.reward - NAMES.reference @ NAMES.reward
    often = NAMES.reference > 0.01
    assert np.abs(learned - true)[often].max() < 0.2


def test_where_the_mistakes_lead_is_known_exactly():
    wrong = naming.averaged_optimum(NAMES, 1.0)
    assert wrong.sum() == pytest.approx(1) and total_variation(wrong, BEST) == pytest.approx(0.527, abs=1e-3)
    found = naming.dpo(NAMES, 300_000, seed=1, average=True, steps=4000).policy
    assert total_variation(found, wrong) < 0.05
    turned = naming.forward_kl_optimum(NAMES, 8 / 7)  # an advantage has 7/8 of its size: each of 8 is in its own mean
    assert turned.sum() == pytest.approx(1)
    found = naming.grpo(NAMES, seed=0, kl_in="loss", steps=6000).policy
    assert total_variation(found, turned) < 0.01 < 0.05 < total_variation(found, BEST)


def test_ppo_arrives_and_with_large_steps_only_clipped():
    """Its baseline is learned; a step ten times as large is held by the clip, and ends with one answer without it."""
    small = naming.grpo(NAMES, seed=0, epochs=4, rate=0.125, learned=True)
    assert total_variation(small.policy, BEST) < 0.02 and small.clipped < 0.01
    large = {"epochs": 8, "rate": 5.0, "learned": True, "steps": 600}
    held = naming.grpo(NAMES, seed=0, **large)
    assert total_variation(held.policy, BEST) < 0.02 and held.clipped > 0.05
    free = naming.grpo(NAMES, seed=0, clip=np.inf, **large)
    assert total_variation(free.policy, BEST) > 0.8 and free.policy.max() > 0.9 and free.clipped == 0
