"""What simple ways reach in the lesson's challenge: the statement says so, and full points can be had."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betaln, stdtrit

from mmcourse.exercise import find_challenge

CHALLENGE = find_challenge("capstone.challenge")


@pytest.fixture(scope="module")
def drawn():
    return [CHALLENGE.drawn_from(bytes([k]) * 32) for k in range(3)]


def reached(drawn, way):
    scores = []
    for each in drawn:
        low, high = way(each.inputs["calls"].astype(float), each.inputs["hits"].astype(float))
        scores.append(CHALLENGE.scored({"intervals": np.stack([low, high], axis=1)}, each))
    return float(np.mean(scores))


def as_if_independent(calls, hits):
    n = calls.sum(axis=1)
    mean = hits.sum(axis=1) / n
    half = 1.96 * np.sqrt(mean * (1 - mean) / n)
    return mean - half, mean + half


def by_caller(calls, hits):
    n, callers = calls.sum(axis=1), calls.shape[1]
    mean = hits.sum(axis=1) / n
    sums = hits - mean[:, None] * calls
    half = stdtrit(callers - 1, 0.975) * np.sqrt(callers / (callers - 1) * (sums**2).sum(axis=1)) / n
    return mean - half, mean + half


def by_bayes(calls, hits):
    """Quantiles of the posterior on a grid: what the statement's own model allows."""
    grid, alike = np.linspace(0.6, 0.95, 29), np.linspace(0.04, 0.4, 6)
    log = np.zeros((len(calls), len(grid), len(alike)))
    for i, truth in enumerate(grid):
        for j, share in enumerate(alike):
            a, b = truth * (1 / share - 1), (1 - truth) * (1 / share - 1)
            log[:, i, j] = (betaln(hits + a, calls - hits + b) - betaln(a, b)).sum(axis=1)
    p = np.exp(log - log.max(axis=(1, 2), keepdims=True)).sum(axis=2)
    below = (p / p.sum(axis=1, keepdims=True)).cumsum(axis=1)
    return tuple(np.array([np.interp(q, row, grid) for row in below]) for q in (0.025, 0.975))


def test_simple_ways_reach_what_the_statement_says(drawn):
    text = " ".join(CHALLENGE.statement)
    for way, told in ((as_if_independent, 0.58), (by_caller, 0.69)):
        score = reached(drawn, way)
        assert abs(score - told) < 0.03 and f"{told:.2f}" in text and score < CHALLENGE.to_beat


def test_all_points_can_be_had(drawn):
    assert reached(drawn[:1], by_bayes) > max(CHALLENGE.points_by_score)


def test_an_interval_that_says_nothing_is_worth_little(drawn):
    assert reached(drawn, lambda calls, hits: (np.zeros(len(calls)), np.ones(len(calls)))) == 0
