"""Checks of lesson attention: attention by hand, masks, and what a weight does not say."""

from __future__ import annotations

import numpy as np

from mmcourse.check import agree, exercise, rng


def _softmax(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


# ---------------------------------------------------------------- attention.1
def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """softmax(QKᵀ/√d_k)V and its weights; q (n, d_k), k (m, d_k), v (m, d_v)."""
    return _mixed(q @ k.T / np.sqrt(k.shape[1]), v)


def _mixed(scores: np.ndarray, v: np.ndarray, axis: int = -1) -> tuple[np.ndarray, np.ndarray]:
    weights = _softmax(scores, axis)
    return weights @ v, weights


def _overflows(q, k, v):
    e = np.exp(q @ k.T / np.sqrt(k.shape[1]))
    weights = e / e.sum(axis=1, keepdims=True)
    return weights @ v, weights


_ATTEND_MISTAKES = [
    (
        lambda q, k, v: _mixed(q @ k.T / np.sqrt(k.shape[1]), v, axis=0),
        "Columns of your weights sum to 1, rows do not: softmax over the wrong axis. Each query spends one unit.",
    ),
    (
        lambda q, k, v: _mixed(q @ k.T, v),
        "You forgot to divide the scores by the root of d_k.",
    ),
    (
        lambda q, k, v: _mixed(q @ k.T / k.shape[1], v),
        "You divided by d_k itself. The variance of q·k is d_k, so its spread is the root of it.",
    ),
    (
        lambda q, k, v: _mixed(q @ k.T * np.sqrt(k.shape[1]), v),
        "You multiplied by the root of d_k where it divides.",
    ),
    (
        lambda q, k, v: _mixed(q @ k.T / np.sqrt(k.shape[0]), v),
        "You divided by the root of m, the number of keys. It is the *width* of a key that sets the variance.",
    ),
    (
        lambda q, k, v: _mixed(q @ k.T / np.sqrt(v.shape[1]), v),
        "You divided by the root of d_v, the width of the values. The scores come from keys: d_k.",
    ),
    (
        _overflows,
        "Your softmax overflows when scores are large. Subtract each row's maximum before `np.exp`.",
    ),
    (
        lambda q, k, v: attend(q, k, v)[::-1],
        "Both arrays are right, in the wrong order: first the output, then the weights.",
    ),
    (
        lambda q, k, v: (q @ k.T / np.sqrt(k.shape[1]) @ v, q @ k.T / np.sqrt(k.shape[1])),
        "These are the scaled scores, and values mixed by them: the softmax is missing.",
    ),
]


@exercise("attention.1", title="Attention in four lines", points=2, difficulty=1, minutes=8)
def check_attend(answer):
    g = rng("07.1")
    q, k = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 2.0, 1.0, 0.0], [0.0, 1.0, 3.0, 1.0]]), np.eye(4)[:3]
    inputs = [(q, k, np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]))]
    for n, m, d_k, d_v in ((5, 3, 8, 2), (1, 4, 2, 5), (4, 4, 3, 3), (3, 1, 2, 2)):
        inputs.append((g.normal(size=(n, d_k)), g.normal(size=(m, d_k)), g.normal(size=(m, d_v))))
    inputs.append((np.array([[2000.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0], [3.0]])))
    agree(answer, attend, inputs, mistakes=_ATTEND_MISTAKES, names=("output", "weights"))
    return "Score, scale, softmax, mix: that is every attention layer there is."


# ---------------------------------------------------------------- attention.2
def masked_weights(scores: np.ndarray, padding_mask: np.ndarray, causal: bool) -> np.ndarray:
    """Softmax of scores (b, n, n) among real (and, if causal, not later) keys; rows with none are zero."""
    return _kept(scores, _keep(padding_mask, causal))


def _keep(padding_mask: np.ndarray, causal: bool) -> np.ndarray:
    b, n = padding_mask.shape
    keep = np.broadcast_to(padding_mask[:, None], (b, n, n))
    return keep & np.tri(n, dtype=bool) if causal else keep


def _kept(scores: np.ndarray, keep: np.ndarray, empty: float = 0.0) -> np.ndarray:
    e = np.where(keep, np.exp(scores - scores.max(axis=-1, keepdims=True)), 0)
    total = e.sum(axis=-1, keepdims=True)
    return np.where(total > 0, e / np.where(total > 0, total, 1), empty)


def _rows_masked(scores, padding_mask, causal):
    n = scores.shape[-1]
    keep = np.broadcast_to(padding_mask[:, :, None], scores.shape)
    return _kept(scores, keep & np.tri(n, dtype=bool) if causal else keep)


def _triangle(shape):
    def wrong(scores, padding_mask, causal):
        keep = _keep(padding_mask, False)
        return _kept(scores, keep & shape(scores.shape[-1]) if causal else keep)

    return wrong


_MASK_MISTAKES = [
    (
        lambda s, p, c: _softmax(s),
        "Neither mask has any effect: these are the weights of a plain softmax.",
    ),
    (
        lambda s, p, c: _kept(s, _keep(~p, c)),
        "Your mask is upside down: True means real, so keep what is True.",
    ),
    (
        _rows_masked,
        "You masked rows, those who look. Padding must not be *looked at*: mask columns, `padding_mask[:, None, :]`.",
    ),
    (
        lambda s, p, c: _softmax(s) * _keep(p, c),
        "You set weights to 0 after the softmax, so rows no longer sum to 1. Mask first, then divide by the sum.",
    ),
    (
        lambda s, p, c: _softmax(np.where(_keep(p, c), s, 0)),
        "You set masked scores to 0, but e to the 0 is 1: they still get weight. Minus infinity gets none.",
    ),
    (
        _triangle(lambda n: np.tri(n, dtype=bool).T),
        "Your causal mask looks at the future and closes the past: it is the other triangle.",
    ),
    (
        _triangle(lambda n: np.tri(n, k=-1, dtype=bool)),
        "Your causal mask closes a word's view of itself. Place i may look at i: the diagonal belongs to it.",
    ),
    (
        lambda s, p, c: _kept(s, _keep(p, False)),
        "Padding is right, but `causal` has no effect.",
    ),
    (
        lambda s, p, c: _kept(s, _keep(p, True)),
        "You close the future even where `causal` is False.",
    ),
    (
        lambda s, p, c: _kept(s, _keep(np.ones_like(p), c)),
        "The causal mask is right, but the padding mask has no effect.",
    ),
    (
        lambda s, p, c: _kept(s, _keep(p, c), empty=np.nan),
        "A row that may look at nothing became NaN (0 divided by 0). It should be all zeros.",
    ),
    (
        lambda s, p, c: _kept(s, _keep(p, c), empty=1 / s.shape[-1]),
        "A row that may look at nothing spreads over everything, padding included. It should be all zeros.",
    ),
    (
        lambda s, p, c: _softmax(np.where(_keep(p, c), s, -1e9)),
        "A row that may look at nothing spreads over everything: scores of −1e9 everywhere are equal. It should be 0.",
    ),
]


@exercise("attention.2", title="Masks that hold in every corner", points=2, difficulty=2, minutes=12)
def check_masked_weights(answer):
    g = rng("07.2")
    right_padded = np.array([[True, True, False], [True, True, True]])
    left_padded = np.array([[False, True, True, True], [False, False, True, True]])
    nothing = np.array([[False] * 4, [True, False, True, False]])
    inputs = [(g.normal(size=(2, 3, 3)), right_padded, causal) for causal in (True, False)]
    inputs += [(g.normal(size=(2, 4, 4)), mask, causal) for mask in (left_padded, nothing) for causal in (True, False)]
    agree(answer, masked_weights, inputs, mistakes=_MASK_MISTAKES, what="The weights")
    return "Padding gets nothing, the future stays closed, and an empty row stays finite."


# ---------------------------------------------------------------- attention.3
def who_mattered(weights: np.ndarray, values: np.ndarray, readout: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Contributions w_j (v_j · u) to the logit, the most looked at word and the one that moves the logit most."""
    return _who(weights, weights * (values @ readout))


def _who(weights, contributions, looked_at=None, strength=np.abs):
    looked_at = weights.argmax() if looked_at is None else looked_at
    return contributions, int(looked_at), int(strength(contributions).argmax())


def _by_norm(w, v, u):
    contributions, looked_at, _ = who_mattered(w, v, u)
    return contributions, looked_at, int((w * np.linalg.norm(v, axis=1)).argmax())


def _by_weight(w, v, u):
    return who_mattered(w, v, u)[0], int(w.argmax()), int(w.argmax())


_MATTERED_MISTAKES = [
    (
        lambda w, v, u: _who(w, v @ u),
        "Your contributions leave out the weights: a word that is hardly looked at cannot say much.",
    ),
    (
        lambda w, v, u: _who(w, w * np.linalg.norm(v, axis=1)),
        "You took the values' size. What counts is the part that the readout sees: `values @ readout`.",
    ),
    (
        _by_norm,
        "Your `mattered` goes by the values' size. What counts is the part that the readout sees.",
    ),
    (
        lambda w, v, u: _who(w, w * (v @ u), strength=lambda c: c),
        "Your `mattered` is the largest contribution upwards. One that pushes down hard moves the logit too: `np.abs`.",
    ),
    (
        _by_weight,
        "Your `mattered` is the most looked-at word. The whole point is that it may be another.",
    ),
    (
        lambda w, v, u: _who(w, np.abs(w * (v @ u))),
        "Your contributions lost their sign. They must add up to the logit.",
    ),
    (
        lambda w, v, u: _who(w, w * (v @ u) / (w * (v @ u)).sum()),
        "You divided the contributions by their sum. They must add up to the logit itself.",
    ),
    (
        lambda w, v, u: _who(w, w * (v @ u), looked_at=np.abs(w * (v @ u)).argmax()),
        "Your `looked_at` goes by contributions. It is the index of the largest weight.",
    ),
]


@exercise("attention.3", title="Which word really mattered?", points=2, difficulty=2, minutes=10)
def check_who_mattered(answer):
    g = rng("07.3")
    # Looked at most: 0. Moves the logit most: 1, downwards. Largest value: 2. Moves it most upwards: 3.
    values = np.array([[0.1, 0.0], [-8.0, 1.0], [0.0, 20.0], [2.0, 1.0]])
    inputs = [(np.array([0.6, 0.1, 0.1, 0.2]), values, np.array([1.0, 0.0]))]
    for n, d in ((4, 3), (6, 2), (5, 8), (1, 2)):
        inputs.append((_softmax(2 * g.normal(size=n)), g.normal(size=(n, d)), g.normal(size=d)))
    agree(answer, who_mattered, inputs, mistakes=_MATTERED_MISTAKES, names=("contributions", "looked_at", "mattered"))
    return "Where a model looks and what moves its answer are two questions."
