"""Known right and wrong answers to the exercises of lesson transformers, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- transformers.1
def norm(x, axis=-1):
    x = x - x.mean(axis=axis, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=axis, keepdims=True) + 1e-12)


def word_by_word(x, look, w1, w2):
    out = []
    for i in range(len(x)):
        h = x[i] + sum(look[i, j] * x[j] for j in range(len(x)))
        h = (h - h.mean()) / np.sqrt(h.var() + 1e-12)
        y = h + np.maximum(0, w1.T @ h) @ w2
        out.append((y - y.mean()) / np.sqrt(y.var() + 1e-12))
    return np.stack(out)


def with_identity(x, look, w1, w2):
    h = norm((np.eye(len(x)) + look) @ x)
    wide = h @ w1
    return norm(h + (wide * (wide > 0)) @ w2)


def think(h, w1, w2):
    return np.maximum(0, h @ w1) @ w2


def pre_norm(x, look, w1, w2):
    x = x + look @ norm(x)
    return x + think(norm(x), w1, w2)


def last_norm_forgotten(x, look, w1, w2):
    h = norm(x + look @ x)
    return h + think(h, w1, w2)


def over_words(x, look, w1, w2):
    h = norm(x + look @ x, 0)
    return norm(h + think(h, w1, w2), 0)


ANSWERS = {
    "transformers.1": Answers(
        right=[word_by_word, with_identity],
        wrong=[
            (pre_norm, "pre-norm block"),
            (lambda x, look, w1, w2: norm(think(norm(look @ x), w1, w2)), "Both residuals are missing"),
            (lambda x, look, w1, w2: norm(think(norm(x + look @ x), w1, w2)), "second residual is missing"),
            (last_norm_forgotten, "second norm is missing"),
            (over_words, "normalized over the words"),
            (lambda x, look, w1, w2: with_identity(x, look.T, w1, w2), "`look` transposed"),
            (lambda x, look, w1, w2: norm(norm(x + look @ x) + think(x, w1, w2)), "feed-forward part reads `x`"),
        ],
    ),
}
