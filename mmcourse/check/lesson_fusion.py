"""A gate, the tensor inside its low-rank form, samples kept apart, and a choice from a table."""

from __future__ import annotations

import numpy as np

from mmcourse.check import agree, exercise, rng
from mmcourse.datasets import information


def _sigmoid(s: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-s))


# ---------------------------------------------------------------- fusion.1
def gated_unit(x1, x2, w1, w2, wz):
    """Gated multimodal unit of two modalities, (b, k)."""
    z = _gate(x1, x2, wz)
    return z * np.tanh(x1 @ w1) + (1 - z) * np.tanh(x2 @ w2)


def _gate(x1, x2, wz):
    return _sigmoid(np.concatenate([x1, x2], axis=1) @ wz)


def _with_gate(gate, hidden=np.tanh):
    def unit(x1, x2, w1, w2, wz):
        z = gate(x1, x2, wz)
        return z * hidden(x1 @ w1) + (1 - z) * hidden(x2 @ w2)

    return unit


def _both_gated(x1, x2, w1, w2, wz):
    return _gate(x1, x2, wz) * (np.tanh(x1 @ w1) + np.tanh(x2 @ w2))


_GATE_MISTAKES = [
    (
        _with_gate(lambda x1, x2, wz: _sigmoid(x1 @ wz[: x1.shape[1]])),
        "Your gate looks at x1 only. It decides between both, so it must see both: [x1; x2] times all of wz.",
    ),
    (
        _with_gate(lambda x1, x2, wz: _sigmoid(x2 @ wz[x1.shape[1] :])),
        "Your gate looks at x2 only. It decides between both, so it must see both: [x1; x2] times all of wz.",
    ),
    (
        _with_gate(lambda x1, x2, wz: 1 - _gate(x1, x2, wz)),
        "Gate and rest are exchanged: z belongs to the first modality, 1 - z to the second.",
    ),
    (
        _both_gated,
        "You multiplied both by z. The second gets what the first does not: 1 - z.",
    ),
    (
        lambda x1, x2, w1, w2, wz: _gate(x1, x2, wz) * np.tanh(x1 @ w1) + np.tanh(x2 @ w2),
        "The second modality is not gated at all: multiply it by 1 - z.",
    ),
    (
        _with_gate(_gate, hidden=_sigmoid),
        "You squashed the hidden vectors with a sigmoid. They take tanh, which can be negative; the gate is a sigmoid.",
    ),
    (
        _with_gate(_gate, hidden=lambda h: h),
        "The hidden vectors lack their tanh.",
    ),
    (
        _with_gate(lambda x1, x2, wz: np.tanh(np.concatenate([x1, x2], 1) @ wz)),
        "Your gate is a tanh and can be negative. A gate is a share between 0 and 1: use the sigmoid.",
    ),
    (
        _with_gate(lambda x1, x2, wz: _sigmoid(np.concatenate([x2, x1], 1) @ wz)),
        "You joined [x2; x1]. The rows of wz belong to [x1; x2], in that order.",
    ),
    (
        _with_gate(lambda x1, x2, wz: np.concatenate([x1, x2], 1) @ wz),
        "The gate lacks its sigmoid, so it is no share between 0 and 1.",
    ),
]


@exercise("fusion.1", title="A gated unit by hand", points=1, difficulty=1, minutes=8)
def check_gated_unit(answer):
    g = rng("09.1")
    inputs = []
    for b, d1, d2, k in ((2, 2, 3, 2), (5, 3, 3, 4), (1, 4, 2, 3)):
        shapes = ((b, d1), (b, d2), (d1, k), (d2, k), (d1 + d2, k))
        inputs.append(tuple(g.normal(size=shape).round(2) for shape in shapes))
    agree(answer, gated_unit, inputs, mistakes=_GATE_MISTAKES)
    return "Each entry of z is a share: what one modality gives up, the other gets."


# ---------------------------------------------------------------- fusion.2
def full_weight(a, b, c):
    """The weight (n1, n2, n3, k) of the full tensor that low-rank factors stand for."""
    return np.einsum("rio,rjo,rko->ijko", a, b, c)


_WEIGHT_MISTAKES = [
    (
        lambda a, b, c: np.einsum("io,jo,ko->ijko", a.sum(0), b.sum(0), c.sum(0)),
        "You summed over the rank first and then multiplied. A product of sums is not a sum of products: sum last.",
    ),
    (
        lambda a, b, c: np.einsum("rio,rjo,rko->rijko", a, b, c),
        "These are the R outer products, one for each rank. They still need adding up over r.",
    ),
    (
        lambda a, b, c: np.einsum("rio,rjo,rko->ijko", a, b, c) / len(a),
        "You took the mean over the rank. The formula sums.",
    ),
    (
        lambda a, b, c: np.einsum("rio,rjo,rko->kjio", a, b, c),
        "The axes are in reverse order: the first modality comes first, (n1, n2, n3, k).",
    ),
    (
        lambda a, b, c: np.einsum("rio,rjo,rko->oijk", a, b, c),
        "The output axis comes last: (n1, n2, n3, k).",
    ),
    (
        lambda a, b, c: np.einsum("rio,rjo,rko->ijk", a, b, c),
        "You summed over the outputs as well. Each output o has a weight of its own: keep that axis, last.",
    ),
    (
        lambda a, b, c: full_weight(a[:, :-1], b[:, :-1], c[:, :-1]),
        "You cut off the rows of the 1s. They hold the terms of one and two modalities.",
    ),
    (
        lambda a, b, c: np.einsum("io,jo,ko->ijko", a[0], b[0], c[0]),
        "That is the first rank alone. Add the others.",
    ),
    (
        lambda a, b, c: full_weight(a, b, c).reshape(-1, a.shape[-1]),
        "The numbers are right, but flat. Keep an axis for each modality: (n1, n2, n3, k).",
    ),
]


@exercise("fusion.2", title="The full tensor inside the low-rank one", points=3, difficulty=3, minutes=14)
def check_full_weight(answer):
    g = rng("09.2")
    inputs = []
    for rank, n1, n2, n3, k in ((2, 2, 2, 2, 1), (3, 4, 2, 3, 5), (1, 2, 3, 4, 2), (4, 3, 3, 3, 3)):
        inputs.append(tuple(g.normal(size=(rank, n, k)).round(2) for n in (n1, n2, n3)))
    agree(answer, full_weight, inputs, mistakes=_WEIGHT_MISTAKES)
    return "The same function, with R·(n1 + n2 + n3)·k numbers in place of n1·n2·n3·k."


# ---------------------------------------------------------------- fusion.3
def interaction(x1, x2, x3, w1, w2, w3):
    """Product of the three mapped vectors of each sample, (b, k)."""
    return (x1 @ w1) * (x2 @ w2) * (x3 @ w3)


def _broken(x1, x2, x3, w1, w2, w3):
    return (x1 @ w1)[:, None] * (x2 @ w2)[None] * (x3 @ w3)


_MIXING_MISTAKES = [
    (
        _broken,
        "One output for every pair of samples: the batch is mixed. One person's face still meets another's words.",
    ),
    (
        lambda *args: _broken(*args).sum(0),
        "The shape is right, but you summed the mixture over the batch: each row now depends on everybody.",
    ),
    (
        lambda *args: _broken(*args).sum(1),
        "The shape is right, but you summed the mixture over the batch: each row now depends on everybody.",
    ),
    (
        lambda *args: _broken(*args).mean(0),
        "The shape is right, but you averaged the mixture over the batch: each row now depends on everybody.",
    ),
    (
        lambda *args: _broken(*args).mean(1),
        "The shape is right, but you averaged the mixture over the batch: each row now depends on everybody.",
    ),
    (
        lambda *args: _broken(*args)[0],
        "You kept what belongs to the first sample of one modality, beside the others of the rest: still mixed.",
    ),
    (
        lambda *args: _broken(*args)[:, 0],
        "You kept what belongs to the first sample of one modality, beside the others of the rest: still mixed.",
    ),
    (
        lambda x1, x2, x3, w1, w2, w3: x1 @ w1 + x2 @ w2 + x3 @ w3,
        "That is a sum. Samples are kept apart now, but the interaction is gone: multiply.",
    ),
    (
        lambda x1, x2, x3, w1, w2, w3: (x1 @ w1) * (x2 @ w2),
        "The third modality is missing from the product.",
    ),
    (
        lambda *args: interaction(*args).sum(1),
        "You summed over the outputs. Keep all k of them: (b, k).",
    ),
    (
        lambda *args: interaction(*args).sum(1, keepdims=True),
        "You summed over the outputs. Keep all k of them: (b, k).",
    ),
]


@exercise("fusion.3", title="Who is mixed with whom?", points=2, difficulty=2, minutes=8)
def check_interaction(answer):
    g = rng("09.3")
    inputs = []
    for b, dims, k in ((2, (1, 2, 1), 3), (4, (3, 2, 5), 6), (3, (2, 2, 2), 3), (1, (3, 1, 2), 2)):
        shapes = [(b, d) for d in dims] + [(d, k) for d in dims]
        inputs.append(tuple(g.normal(size=shape).round(2) for shape in shapes))
    agree(answer, interaction, inputs, mistakes=_MIXING_MISTAKES)
    return "Change one sample, and only its own row moves. Test every layer of yours this way."


# ---------------------------------------------------------------- fusion.4
def choose(joint):
    """The simplest family within 0.01 of the joint ceiling."""
    return _simplest(*_ceilings(joint))


def _ceilings(joint) -> tuple[list[float], float, float]:
    single = [information.bayes_accuracy(information.marginal(joint, [m])) for m in (0, 1)]
    return single, information.additive_accuracy(joint), information.bayes_accuracy(joint)


def _simplest(single, additive, best, *, pick=max, slack=0.01):
    if pick(single) >= best - slack:
        return "single"
    return "late" if additive >= best - slack else "interaction"


# Told apart by order: on the tables in turn, the first that fits names the mistake.
_CHOICE_MISTAKES = [
    (
        lambda joint: _simplest(_ceilings(joint)[0], information.loglinear_accuracy(joint), _ceilings(joint)[2]),
        "That is what maximum likelihood picks among the sums, not the best sum: use `additive_accuracy`.",
    ),
    (
        lambda joint: _simplest(*_ceilings(joint), slack=0.0),
        "You allow no slack. A ceiling at most 0.01 below the joint one counts as enough.",
    ),
    (
        lambda joint: _simplest(*_ceilings(joint), slack=0.1),
        "Your slack is too wide: 0.01 was asked, one point of accuracy.",
    ),
    (
        lambda joint: _simplest(_ceilings(joint)[0][:1], *_ceilings(joint)[1:]),
        "You looked at the first cue only. Either of the two may be enough alone.",
    ),
    (
        lambda joint: _simplest(_ceilings(joint)[0], _ceilings(joint)[1], 1.0),
        "You compare with 1. Nobody reaches 1 here: the joint ceiling is the measure.",
    ),
    (
        lambda joint: "interaction",
        "You always choose interaction. It is never below, but often no better: the simplest that is enough was asked.",
    ),
    (
        lambda joint: _simplest([0.0], *_ceilings(joint)[1:]),
        'You never answer "single". Where one cue is enough, joining only adds weights: ask that first.',
    ),
    (
        lambda joint: _simplest(*_ceilings(joint), pick=min),
        "Here one cue is enough: take the better of the two, and ask it first.",
    ),
    (
        lambda joint: _simplest(_ceilings(joint)[0][1:], *_ceilings(joint)[1:]),
        "Here one cue is enough: take the better of the two, and ask it first.",
    ),
    (
        lambda joint: "late",
        "You always choose late fusion. Compare its ceiling with the single one and with the joint one.",
    ),
]


def _tables() -> list[np.ndarray]:
    """p(y, x1, x2): a table for each answer and for each way to go wrong; the sums are of whole numbers."""
    xor = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]]])
    twins = np.array([[[1, 0], [0, 0]], [[0, 0], [0, 1]]])  # either cue says all
    clean = np.array([[[1, 1], [0, 0]], [[0, 0], [1, 1]]])  # the first cue says all, without noise
    first = np.array([[[9, 9], [1, 1]], [[1, 1], [9, 9]]])  # only the first cue says something
    second = first.transpose(0, 2, 1)
    both = np.array([[[64, 16], [16, 4]], [[9, 21], [21, 49]]])  # independent given y, so a vote is all it takes
    hair = np.array([[[400, 50], [45, 5]], [[45, 55], [200, 200]]])  # the second cue adds half a point
    odd = np.array([[[5, 6], [0, 6]], [[3, 4], [5, 2]]])  # the likeliest sum of scores is not the best one
    return [table / table.sum() for table in (xor, twins, clean, first, second, both, hair, odd)]


@exercise("fusion.4", title="Which method would you choose?", points=2, difficulty=2, minutes=10)
def check_choose(answer):
    agree(answer, choose, [(table,) for table in _tables()], mistakes=_CHOICE_MISTAKES)
    return "Two ceilings, computed before any training, say whether fusion and interaction are worth their weights."
