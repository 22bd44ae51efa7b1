"""Checks of lesson rnn: an LSTM's step, a GRU carried to Keras, and a gradient through time."""

from __future__ import annotations

import numpy as np

from mmcourse.check import agree, exercise, rng


def _sigmoid(s: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-s))


# ---------------------------------------------------------------- rnn.1
def lstm_step(x, h, c, W, U, b):
    """New h and new c, each (b, d)."""
    return _stepped(x @ W + h @ U + b, c)


def _stepped(sums, c, order=(0, 1, 2, 3), write=np.tanh, show=None, gates=_sigmoid):
    parts = np.split(sums, 4, axis=1)
    i, f, g, o = (parts[k] for k in order)
    new = gates(f) * c + gates(i) * write(g)
    return gates(o) * (np.tanh(new) if show is None else show(c, new)), new


def _step(**changes):
    return lambda x, h, c, W, U, b: _stepped(x @ W + h @ U + b, c, **changes)


def _one_minus(x, h, c, W, U, b):
    i, f, g, o = np.split(x @ W + h @ U + b, 4, axis=1)
    new = (1 - _sigmoid(i)) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(new), new


_SWAPS = [
    ((1, 0, 2, 3), "i and f"),
    ((2, 1, 0, 3), "i and g"),
    ((3, 1, 2, 0), "i and o"),
    ((0, 2, 1, 3), "f and g"),
    ((0, 3, 2, 1), "f and o"),
    ((0, 1, 3, 2), "g and o"),
]
_STEP_MISTAKES = [
    *((_step(order=order), f"You took {names} for each other: the order is i, f, g, o.") for order, names in _SWAPS),
    (_step(order=(0, 1, 3, 2), write=_sigmoid), "The order is i, f, g, o, and g passes through tanh."),
    (_step(write=_sigmoid), "Your candidate g passes through a sigmoid. It may be negative: tanh."),
    (_step(write=lambda g: g), "Your candidate g is not squeezed: it passes through tanh."),
    (_step(gates=np.tanh), "Your gates pass through tanh. A gate lies between 0 and 1: sigmoid."),
    (_step(gates=lambda s: s), "Your gates are raw sums. A gate lies between 0 and 1: sigmoid."),
    (_step(show=lambda c, new: np.tanh(c)), "Your h shows the old cell. It shows the new one: tanh of the new c."),
    (_step(show=lambda c, new: new), "Your h shows c itself. It shows tanh of c."),
    (_one_minus, "You keep 1 − i of the old cell, as a GRU would. Keeping has a gate of its own: f."),
    (lambda x, h, c, W, U, b: _stepped(x @ W + b, c), "Your gates do not see the old h: add `h @ U`."),
    (lambda x, h, c, W, U, b: _stepped(x @ W + h @ U, c), "You left out the bias b."),
    (lambda x, h, c, W, U, b: _stepped(x @ W + c @ U + b, c), "Your gates look at the cell c. They look at h."),
    (lambda x, h, c, W, U, b: lstm_step(x, h, c, W, U, b)[::-1], "Both are right, in the wrong order: h, then c."),
]


@exercise("rnn.1", title="One step of an LSTM", points=2, difficulty=1, minutes=8)
def check_lstm_step(answer):
    g = rng("06.1")
    zeros = np.zeros((1, 4))
    inputs = [(np.array([[1.0]]), np.array([[0.0]]), np.array([[2.0]]), zeros, zeros, np.array([0.0, 1.0, 0.5, -1.0]))]
    for b, d_in, d in ((2, 3, 2), (1, 2, 4), (5, 1, 3)):
        x, h, c = g.normal(size=(b, d_in)), g.normal(size=(b, d)), 2 * g.normal(size=(b, d))
        inputs.append((x, h, c, g.normal(size=(d_in, 4 * d)), g.normal(size=(d, 4 * d)), g.normal(size=4 * d)))
    agree(answer, lstm_step, inputs, mistakes=_STEP_MISTAKES, names=("h", "c"))
    return "Keep some, write some, show some: that is the whole cell."


# ---------------------------------------------------------------- rnn.2
def to_keras(weight_ih, weight_hh, bias_ih, bias_hh):
    """Kernel (d_in, 3d), recurrent kernel (d, 3d), bias (2, 3d); gates z, r, h."""
    return _carried(weight_ih, weight_hh, bias_ih, bias_hh)


def _ordered(a, order):
    return np.concatenate([np.split(a, 3, axis=-1)[k] for k in order], axis=-1)


def _carried(w, u, b, c, order=(1, 0, 2), bias_order=None, hidden_order=None, biases=lambda b, c: np.stack([b, c])):
    bias = _ordered(biases(b, c), order if bias_order is None else bias_order)
    return _ordered(w.T, order), _ordered(u.T, order if hidden_order is None else hidden_order), bias


def _carry(**changes):
    return lambda w, u, b, c: _carried(w, u, b, c, **changes)


def _reshaped(w, u, b, c):
    """Rows read on as columns: the shape is right, the places are not."""
    parts = [_ordered(a.T, (1, 0, 2)).T.reshape(a.shape[::-1]) for a in (w, u)]
    return (*parts, _carried(w, u, b, c)[2])


def _square_left(w, u, b, c):
    """Each gate's square block of the recurrent kernel left as it was."""
    blocks = np.split(u, 3, axis=0)
    return _carried(w, u, b, c)[0], np.concatenate([blocks[k] for k in (1, 0, 2)], axis=1), _carried(w, u, b, c)[2]


_SAME = (0, 1, 2)
_CARRY_MISTAKES = [
    (_carry(order=_SAME), "Your gates still stand as r, z, n. Keras has z first: swap the first two thirds."),
    (_carry(bias_order=_SAME), "The kernels are right. The biases have gates too: swap them as well."),
    (_carry(hidden_order=_SAME), "You swapped the kernel's gates, not the recurrent kernel's."),
    (_carry(order=_SAME, bias_order=(1, 0, 2)), "You swapped the biases' gates, not those of the two kernels."),
    (_carry(hidden_order=_SAME, bias_order=_SAME), "You swapped the kernel alone; the other two have gates too."),
    (_carry(order=(2, 1, 0)), "You reversed the gates to n, z, r. Only r and z change places: z, r, n."),
    (_carry(order=(0, 2, 1)), "You swapped z and n. It is r and z that change places: z, r, n."),
    (_carry(order=(1, 2, 0)), "You moved r to the end: z, n, r. The candidate n stays last: z, r, n."),
    (_carry(order=(2, 0, 1)), "You moved n to the front. The candidate n stays last: z, r, n."),
    (
        _carry(biases=lambda b, c: np.stack([c, b])),
        "The rows of your bias stand upside down: first the input's, then the hidden's.",
    ),
    (
        _carry(biases=lambda b, c: b + c),
        "You added the two biases. In an LSTM that is right; in a GRU the reset gate stands between: keep both.",
    ),
    (
        _carry(biases=lambda b, c: np.stack([b + c, 0 * b])),
        "You moved both biases into the first row. The reset gate stands between them: keep each.",
    ),
    (_reshaped, "You used `reshape` where the axes must change places: `.T`."),
    (_square_left, "The blocks of your recurrent kernel are not turned: take `weight_hh.T` first."),
]


@exercise("rnn.2", title="From PyTorch to Keras", points=2, difficulty=2, minutes=10)
def check_to_keras(answer):
    inputs = []
    for d_in, d in ((2, 1), (2, 3), (4, 2), (1, 2)):
        sizes = (3 * d, d_in), (3 * d, d), (3 * d,), (3 * d,)
        starts = 1, 101, 201, 301  # whole numbers, so that a learner sees what went where
        arrays = (s + np.arange(np.prod(n), dtype=float).reshape(n) for s, n in zip(starts, sizes, strict=True))
        inputs.append(tuple(arrays))
    names = ("kernel", "recurrent kernel", "bias")
    agree(answer, to_keras, inputs, mistakes=_CARRY_MISTAKES, names=names)
    return "Turned, swapped, both biases kept: the same network in the other house."


# ---------------------------------------------------------------- rnn.3
def judge(U, h, dlast):
    """Lengths of the gradient from the last state to the first, mean factor a step, verdict over 100 steps."""
    return _judged(_lengths(U, h, dlast))


def _lengths(U, h, dlast, slope=lambda now, before: 1 - now**2, turn=np.transpose, order=None):
    gradient, norms = dlast, [np.linalg.norm(dlast)]
    for k in range(len(h) - 1, 0, -1):
        s = slope(h[k], h[k - 1])
        gradient = s * (gradient @ turn(U)) if order == "late" else (gradient * s) @ turn(U)
        norms.append(np.linalg.norm(gradient))
    return np.array(norms)


def _judged(norms, rate=None, verdict=None, low=0.01, high=100.0):
    rate = (norms[-1] / norms[0]) ** (1 / (len(norms) - 1)) if rate is None else rate(norms)
    left = rate**100.0
    found = "vanishes" if left < low else "explodes" if left > high else "holds"
    return norms, float(rate), found if verdict is None else verdict(norms, rate)


def _way_back(**changes):
    return lambda U, h, dlast: _judged(_lengths(U, h, dlast, **changes))


def _slope(slope):
    return _way_back(slope=slope)


def _with(**changes):
    return lambda U, h, dlast: _judged(_lengths(U, h, dlast), **changes)


def _radius(U, h, dlast):
    r = np.abs(np.linalg.eigvals(U)).max()
    return _judged(_lengths(U, h, dlast), rate=lambda n: r)


def _by_sign(norms, rate):
    return "vanishes" if rate < 1 else "explodes" if rate > 1 else "holds"


def _by_this_one(norms, rate):
    left = norms[-1] / norms[0]
    return "vanishes" if left < 0.01 else "explodes" if left > 100 else "holds"


_JUDGE_MISTAKES = [
    (_way_back(turn=lambda U: U), "You multiplied by U. The way back goes through its transpose: `U.T`."),
    (_slope(lambda now, before: 1), "You left out the slope of tanh, 1 − h²."),
    (
        _slope(lambda now, before: 1 - before**2),
        "You took the slope at the earlier state. A step back starts at the later.",
    ),
    (_slope(lambda now, before: 1 - np.tanh(now) ** 2), "h is after the tanh already: 1 − h², without another tanh."),
    (_slope(lambda now, before: 1 - now), "Your slope is 1 − h. That of tanh is 1 − h²."),
    (_slope(lambda now, before: now * (1 - now)), "h(1 − h) is the slope of the sigmoid. That of tanh is 1 − h²."),
    (_slope(lambda now, before: now**2), "Your slope is h². That of tanh is 1 − h²."),
    (_way_back(order="late"), "First the slope, then U.T: tanh came last going forward, so it comes first going back."),
    (
        lambda U, h, dlast: _judged(_lengths(U, h[::-1], dlast)),
        "You walked the states in the wrong direction: start at the last one.",
    ),
    (
        lambda U, h, dlast: (judge(U, h, dlast)[0][::-1], *judge(U, h, dlast)[1:]),
        "Your `norms` run from the first state to the last. Asked is the way back: last state first.",
    ),
    (
        lambda U, h, dlast: (judge(U, h, dlast)[0] ** 2, *judge(U, h, dlast)[1:]),
        "Your `norms` are squared lengths: take the root.",
    ),
    (
        lambda U, h, dlast: (judge(U, h, dlast)[0] / np.linalg.norm(dlast), *judge(U, h, dlast)[1:]),
        "Your `norms` are shares of the first one. Asked are the lengths themselves.",
    ),
    (_with(rate=lambda n: (n[-1] / n[0]) ** (1 / len(n))), "Your `rate` takes the t-th root; there are t − 1 steps."),
    (_with(rate=lambda n: (n[0] / n[-1]) ** (1 / (len(n) - 1))), "Your `rate` is upside down: last over first."),
    (_with(rate=lambda n: (n[1:] / n[:-1]).mean()), "Your `rate` is the plain mean. Factors multiply: geometric mean."),
    (_with(rate=lambda n: n[-1] / n[0]), "Your `rate` is for all steps together. Asked is one step: take the root."),
    (_with(rate=lambda n: n[1] / n[0]), "Your `rate` is that of the first step back only."),
    (_radius, "Your `rate` is the spectral radius of U. Tanh's slopes take their share too: measure."),
    (_with(verdict=_by_sign), "Your `verdict` asks if the rate is below or above 1. Asked is rate**100."),
    (_with(verdict=_by_this_one), "Your `verdict` looks at this sequence. Asked is what 100 steps would leave."),
    (_with(low=0.99, high=1.01), "Your `verdict` is too strict: from 1 % to 100-fold it holds."),
    (_with(high=np.inf), "You never say that it explodes."),
    (_with(low=0), "You never say that it vanishes."),
]


@exercise("rnn.3", title="Will it learn that far back?", points=3, difficulty=3, minutes=12)
def check_judge(answer):
    g = rng("06.3")
    inputs = [(np.array([[0.5]]), np.array([[0.8], [0.6], [0.3]]), np.array([1.0]))]
    for d, t, scale, size in ((3, 5, 0.6, 0.9), (2, 8, 2.5, 0.4), (2, 3, 1.6, 0.3)):
        inputs.append((scale * g.normal(size=(d, d)), size * g.uniform(-1, 1, (t, d)), 3 * g.normal(size=d)))
    for d, t, scale, size in ((4, 6, 1, 0.1), (3, 4, 1, 0.25), (2, 5, 1.03, 0.02)):
        turn = np.linalg.qr(g.normal(size=(d, d)))[0]  # keeps lengths: with small states the gradient holds
        inputs.append((scale * turn, size * g.uniform(-1, 1, (t, d)), 3 * g.normal(size=d)))
    agree(answer, judge, inputs, mistakes=_JUDGE_MISTAKES, names=("norms", "rate", "verdict"))
    return "Measured on this network, on this sequence: better than any rule of thumb."
