"""Checks of lesson transformers: the post-norm block."""

import numpy as np

from mmcourse.check import agree, exercise, rng


# ---------------------------------------------------------------- transformers.1
def _norm(x, axis=-1):
    x = x - x.mean(axis=axis, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=axis, keepdims=True) + 1e-12)


def _think(h, w1, w2):
    return np.maximum(0, h @ w1) @ w2


def block(x: np.ndarray, look: np.ndarray, w1: np.ndarray, w2: np.ndarray) -> np.ndarray:
    """Post-norm block with a given attention table: x (n, d) → (n, d)."""
    h = _norm(x + look @ x)
    return _norm(h + _think(h, w1, w2))


def _pre_norm(x, look, w1, w2):
    x = x + look @ _norm(x)
    return x + _think(_norm(x), w1, w2)


def _no_residual(x, look, w1, w2):
    return _norm(_think(_norm(look @ x), w1, w2))


def _no_second_residual(x, look, w1, w2):
    return _norm(_think(_norm(x + look @ x), w1, w2))


def _no_first_residual(x, look, w1, w2):
    h = _norm(look @ x)
    return _norm(h + _think(h, w1, w2))


def _no_last_norm(x, look, w1, w2):
    h = _norm(x + look @ x)
    return h + _think(h, w1, w2)


def _one_norm(x, look, w1, w2):
    h = x + look @ x
    return _norm(h + _think(h, w1, w2))


def _from_the_start(x, look, w1, w2):
    return _norm(_norm(x + look @ x) + _think(x, w1, w2))


def _back_to_the_start(x, look, w1, w2):
    return _norm(x + _think(_norm(x + look @ x), w1, w2))


def _over_words(x, look, w1, w2):
    h = _norm(x + look @ x, axis=0)
    return _norm(h + _think(h, w1, w2), axis=0)


def _no_bend(x, look, w1, w2):
    h = _norm(x + look @ x)
    return _norm(h + h @ w1 @ w2)


_BLOCK_MISTAKES = [
    (_pre_norm, "That is the pre-norm block: the norm acts on what goes in. In BERT it acts last, on the sum."),
    (_no_residual, "Both residuals are missing: what went in must be added to what comes out, in each half."),
    (_no_first_residual, "The first residual is missing: `x + look @ x`. Without it each word forgets who it was."),
    (_no_second_residual, "The second residual is missing: add `h` to what the feed-forward part gives."),
    (_no_last_norm, "The second norm is missing: it acts last, after the second addition."),
    (_one_norm, "The first norm is missing: normalise after the first addition too."),
    (_from_the_start, "Your feed-forward part reads `x`. It has to read `h`, what the first half made."),
    (_back_to_the_start, "You added `x` in the second half. Its residual is `h`, what went into that half."),
    (_over_words, "You normalised over the words. A layer norm takes each word alone: `axis=-1`."),
    (lambda x, look, w1, w2: block(x, look.T, w1, w2), "You used `look` transposed. Row i says where word i looks."),
    (_no_bend, "The bend is missing: `np.maximum(0, h @ w1)`. Without it the two matrices are only one."),
]


@exercise("transformers.1", title="A post-norm block", points=2, difficulty=2, minutes=12)
def check_block(answer):
    g = rng("08.1")
    inputs = []
    for n, d, hidden in ((2, 3, 4), (4, 3, 5), (3, 6, 2), (1, 4, 4)):
        look = 0.1 + g.random((n, n))
        look /= look.sum(axis=1, keepdims=True)
        inputs.append((g.normal(size=(n, d)), look, g.normal(size=(d, hidden)), g.normal(size=(hidden, d))))
    agree(answer, block, inputs, mistakes=_BLOCK_MISTAKES)
    return "Mix, add, norm; think, add, norm. With learned attention this is the block of BERT."
