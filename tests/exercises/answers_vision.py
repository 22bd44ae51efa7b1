"""Known right and wrong answers to the exercises of lesson vision, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- vision.1
def fold_by_einsum(weight, bias, gamma, beta, mean, variance, eps):
    s = gamma * (variance + eps) ** -0.5
    return np.einsum("oikl,o->oikl", weight, s), s * bias + (beta - s * mean)


def fold_one_by_one(weight, bias, gamma, beta, mean, variance, eps):
    new_weight, new_bias = weight.copy(), np.zeros(len(bias))
    for c, root in enumerate(np.sqrt(variance + eps)):
        new_weight[c] *= gamma[c] / root
        new_bias[c] = beta[c] + gamma[c] * (bias[c] - mean[c]) / root
    return new_weight, new_bias


def folded(scale=None, bias=None):
    def answer(w, b, g, beta, m, v, eps):
        s = scale(g, v, eps) if scale else g / np.sqrt(v + eps)
        return w * s[:, None, None, None], bias(b, m, s, beta) if bias else (b - m) * s + beta

    return answer


# ---------------------------------------------------------------- vision.2
def by_counting(a, b, c, d):
    n = len(a)
    if np.sum(b > a) == n:
        return "degradation"
    if np.sum(d > c) == n:
        return "overfitting"
    return "deeper helps" if np.sum(d < c) == n else "not shown"


def by_means(a, b, c, d):
    if b.mean() > a.mean():
        return "degradation"
    if d.mean() > c.mean():
        return "overfitting"
    return "deeper helps" if d.mean() < c.mean() else "not shown"


def test_error_only(a, b, c, d):
    if (d > c).all():
        return "overfitting"
    return "deeper helps" if (d < c).all() else "not shown"


def by_sorting(a, b, c, d):
    if np.sort(b - a)[0] > 0:
        return "degradation"
    gaps = np.sort(d - c)
    if gaps[0] > 0:
        return "overfitting"
    return "deeper helps" if gaps[-1] < 0 else "not shown"


def judging(higher=lambda gap: (gap > 0).all(), lower=lambda gap: (gap < 0).all(), sign=1):
    """The right answer with parts replaced."""

    def answer(a, b, c, d):
        if higher(sign * (b - a)):
            return "degradation"
        if higher(sign * (d - c)):
            return "overfitting"
        return "deeper helps" if lower(sign * (d - c)) else "not shown"

    return answer


ANSWERS = {
    "vision.1": Answers(
        right=[fold_by_einsum, fold_one_by_one],
        wrong=[
            (folded(scale=lambda g, v, eps: g / (v + eps)), "divide by the variance"),
            (folded(scale=lambda g, v, eps: g / np.sqrt(v)), "`eps` is missing"),
            (folded(scale=lambda g, v, eps: g / (np.sqrt(v) + eps)), "under the root"),
            (folded(scale=lambda g, v, eps: 1 / np.sqrt(v + eps)), "γ is missing"),
            (folded(bias=lambda b, m, s, beta: b - m * s + beta), "old bias is not scaled"),
            (folded(bias=lambda b, m, s, beta: (b - m) * s), "forgets β"),
            (folded(bias=lambda b, m, s, beta: (b + m) * s + beta), "wrong sign"),
        ],
    ),
    "vision.2": Answers(
        right=[by_counting, by_sorting],
        wrong=[
            (by_means, "compare means"),
            (test_error_only, "test error only"),
            (judging(higher=lambda gap: (gap > 0).any()), "One seed is enough"),
            (judging(higher=lambda gap: (gap >= 0).all()), "Equal errors count"),
            (judging(sign=-1), "changed places"),
            (judging(lower=lambda gap: (gap < 0).any()), "where not all seeds agree"),
        ],
    ),
}
