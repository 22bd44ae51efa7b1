"""A model that is three points worse is stopped, an equal one goes on, over many seeds; alerts on synthetic series."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from mmcourse.serve.rollout import SHARES, SPRT, Rollout, goes_to_canary
from mmcourse.serve.slo import ALERTS, alerts, burn_rate, prometheus_rules

SEEDS = 300


def roll(seed: int, disagree: float, error: float = 0.001, slow: float = 0.005, n: int = 1000) -> Rollout:
    rng, rollout = np.random.default_rng(seed), Rollout()
    for draw in rng.random((n, 3)):
        rollout.observe(draw[0] < error, draw[1] < slow, draw[2] < disagree)
    return rollout


def test_three_points_worse_is_stopped_before_a_thousand_requests():
    """Three points of accuracy lost are at least 3 % of answers that differ."""
    stopped = [bool(roll(seed, 0.03).stopped) for seed in range(SEEDS)]
    assert np.mean(stopped) >= 0.95


def test_an_equal_model_is_rarely_stopped_and_gets_all_requests():
    done = [roll(seed, 0.0005, n=12_000) for seed in range(60)]
    assert np.mean([bool(rollout.stopped) for rollout in done]) <= 0.05
    assert np.mean([rollout.share == 1.0 for rollout in done]) >= 0.9


@pytest.mark.parametrize(("fault", "name"), [({"error": 0.05}, "error"), ({"slow": 0.2}, "slow")])
def test_errors_and_slowness_stop_it_too(fault: dict, name: str):
    found = [roll(seed, 0.0, **fault) for seed in range(50)]
    assert all(rollout.stopped.startswith(name) and rollout.share == 0.0 for rollout in found)


def test_the_test_keeps_its_error_rates():
    """Wald's bounds: at most about α and β, whatever the sample."""
    rng = np.random.default_rng(0)

    def ends(rate: float) -> list[str]:
        found = []
        for _ in range(400):
            test = SPRT(0.05, 0.10)
            while not test.observe(bool(rng.random() < rate)):
                pass
            found.append(test.verdict)
        return found

    assert ends(0.05).count("bad") / 400 <= 0.05 + 0.03 and ends(0.10).count("good") / 400 <= 0.05 + 0.03


def test_a_request_meets_the_same_model_again_and_shares_are_right():
    ids = [f"request-{k}" for k in range(20_000)]
    for share in SHARES:
        taken = [goes_to_canary(i, share) for i in ids]
        assert abs(np.mean(taken) - share) < 0.01 and taken == [goes_to_canary(i, share) for i in ids]
    assert all(goes_to_canary(i, 0.5) for i in ids if goes_to_canary(i, 0.05)), "who has the new model keeps it"


def test_rates_are_checked():
    with pytest.raises(ValueError, match="good < bad"):
        SPRT(0.1, 0.05)


def test_the_budget_of_thirty_days():
    assert burn_rate(5, 1000) == pytest.approx(1) and burn_rate(0, 0) == 0.0
    total = np.full(400, 100.0)
    calm, bad_minute, outage, smoulder = (np.full(400, 0.2) for _ in range(4))
    bad_minute[-1] = 100
    outage[-60:] = 10
    smoulder[-360:] = 4
    assert alerts(calm, total) == [] and alerts(bad_minute, total) == []
    assert alerts(outage, total) == ["page"] and alerts(smoulder, total) == ["ticket"]
    outage[-5:] = 0
    assert alerts(outage, total) == [], "the short window ends it"


def test_the_rules_file_says_the_same():
    rules = yaml.safe_load(prometheus_rules())["groups"][0]["rules"]
    assert [rule["labels"]["severity"] for rule in rules] == [alert.name for alert in ALERTS]
    for rule, alert in zip(rules, ALERTS, strict=True):
        assert f"[{alert.long}m]" in rule["expr"] and f"> {alert.rate}" in rule["expr"] and "0.005" in rule["expr"]
