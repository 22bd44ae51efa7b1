"""Known right and wrong answers to the exercises of lesson fusion, as learners write them."""

import numpy as np
from exercise_harness import Answers

from mmcourse import ceilings


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


# ---------------------------------------------------------------- fusion.1
def gate_in_parts(x1, x2, w1, w2, wz):
    z = sigmoid(x1 @ wz[: x1.shape[1]] + x2 @ wz[x1.shape[1] :])
    h1, h2 = np.tanh(np.matmul(x1, w1)), np.tanh(np.matmul(x2, w2))
    return h2 + z * (h1 - h2)


def gate_by_loops(x1, x2, w1, w2, wz):
    rows = []
    for a, b in zip(x1, x2, strict=True):
        z = 0.5 * (1 + np.tanh(np.hstack([a, b]) @ wz / 2))
        rows.append([z[i] * np.tanh(a @ w1[:, i]) + (1 - z[i]) * np.tanh(b @ w2[:, i]) for i in range(w1.shape[1])])
    return rows


def gated(gate=None, hidden=np.tanh, rest=lambda z: 1 - z):
    """The right answer with parts replaced."""

    def unit(x1, x2, w1, w2, wz):
        z = (gate or (lambda a, b, w: sigmoid(np.hstack([a, b]) @ w)))(x1, x2, wz)
        return z * hidden(x1 @ w1) + rest(z) * hidden(x2 @ w2)

    return unit


# ---------------------------------------------------------------- fusion.2
def weight_by_loops(a, b, c):
    total = 0
    for r in range(a.shape[0]):
        total = total + a[r][:, None, None] * b[r][None, :, None] * c[r][None, None]
    return total


def weight_by_broadcasting(a, b, c):
    return (a[:, :, None, None] * b[:, None, :, None] * c[:, None, None]).sum(axis=0)


# ---------------------------------------------------------------- fusion.3
def by_sample(x1, x2, x3, w1, w2, w3):
    rows = []
    for i in range(len(x1)):
        rows.append((x1[i] @ w1) * (x2[i] @ w2) * (x3[i] @ w3))
    return np.array(rows)


def diagonal(x1, x2, x3, w1, w2, w3):
    return np.einsum("bi,ik,bj,jk,bl,lk->bk", x1, w1, x2, w2, x3, w3)


def broken(x1, x2, x3, w1, w2, w3):
    pairs = (x1 @ w1)[:, None] * (x2 @ w2)[None]
    return pairs * (x3 @ w3)


# ---------------------------------------------------------------- fusion.4
def from_the_top(joint):
    top = joint.max(axis=0).sum()
    if top - ceilings.additive_accuracy(joint) > 0.01:
        return "interaction"
    alone = [joint.sum(axis=axis).max(axis=0).sum() for axis in (1, 2)]
    return "late" if top - max(alone) > 0.01 else "single"


def by_order(joint):
    limits = {
        "single": max(ceilings.bayes_accuracy(joint.sum(axis=1)), ceilings.bayes_accuracy(joint.sum(axis=2))),
        "late": ceilings.additive_accuracy(joint),
        "interaction": ceilings.bayes_accuracy(joint),
    }
    return next(name for name, value in limits.items() if value + 0.01 >= limits["interaction"])


def choosing(slack=0.01, additive=ceilings.additive_accuracy, top=ceilings.bayes_accuracy, cues=(0, 1), least=0):
    """The right answer with parts replaced."""

    def choose(joint):
        best = top(joint)
        singles = [ceilings.bayes_accuracy(ceilings.marginal(joint, [m])) for m in cues]
        if not least and max(singles) >= best - slack:
            return "single"
        return "late" if additive(joint) >= best - slack else "interaction"

    return choose


ANSWERS = {
    "fusion.1": Answers(
        right=[gate_in_parts, gate_by_loops],
        wrong=[
            (gated(lambda a, b, w: sigmoid(a @ w[: a.shape[1]])), "looks at x1 only"),
            (gated(lambda a, b, w: sigmoid(b @ w[a.shape[1] :])), "looks at x2 only"),
            (gated(lambda a, b, w: sigmoid(-np.hstack([a, b]) @ w)), "are exchanged"),
            (gated(rest=lambda z: z), "multiplied both by z"),
            (gated(rest=lambda z: 1), "not gated at all"),
            (gated(hidden=sigmoid), "hidden vectors with a sigmoid"),
            (gated(hidden=lambda h: h), "lack their tanh"),
            (gated(lambda a, b, w: np.tanh(np.hstack([a, b]) @ w)), "gate is a tanh"),
            (gated(lambda a, b, w: sigmoid(np.hstack([b, a]) @ w)), "joined [x2; x1]"),
            (gated(lambda a, b, w: np.hstack([a, b]) @ w), "lacks its sigmoid"),
        ],
    ),
    "fusion.2": Answers(
        right=[weight_by_loops, weight_by_broadcasting],
        wrong=[
            (lambda a, b, c: np.einsum("io,jo,ko->ijko", a.sum(0), b.sum(0), c.sum(0)), "summed over the rank first"),
            (lambda a, b, c: np.einsum("rio,rjo,rko->rijko", a, b, c), "still need adding up"),
            (lambda a, b, c: weight_by_loops(a, b, c) / len(a), "mean over the rank"),
            (lambda a, b, c: weight_by_loops(a, b, c).transpose(2, 1, 0, 3), "in reverse order"),
            (lambda a, b, c: np.moveaxis(weight_by_loops(a, b, c), -1, 0), "output axis comes last"),
            (lambda a, b, c: weight_by_loops(a, b, c).sum(-1), "summed over the outputs"),
            (lambda a, b, c: weight_by_loops(a[:, :-1], b[:, :-1], c[:, :-1]), "rows of the 1s"),
            (lambda a, b, c: weight_by_loops(a[:1], b[:1], c[:1]), "first rank alone"),
            (lambda a, b, c: weight_by_loops(a, b, c).reshape(-1, a.shape[2]), "but flat"),
        ],
    ),
    "fusion.3": Answers(
        right=[by_sample, diagonal],
        wrong=[
            (broken, "the batch is mixed"),
            (lambda *args: broken(*args).sum(axis=0), "summed the mixture"),
            (lambda *args: broken(*args).mean(axis=1), "averaged the mixture"),
            (lambda *args: broken(*args)[0], "still mixed"),
            (lambda x1, x2, x3, w1, w2, w3: x1 @ w1 + x2 @ w2 + x3 @ w3, "the interaction is gone"),
            (lambda x1, x2, x3, w1, w2, w3: (x1 @ w1) * (x2 @ w2), "third modality is missing"),
            (lambda *args: by_sample(*args).sum(axis=1), "summed over the outputs"),
        ],
    ),
    "fusion.4": Answers(
        right=[from_the_top, by_order],
        wrong=[
            (lambda joint: "interaction", "always choose interaction"),
            (lambda joint: "late", 'always choose "late"'),
            (choosing(top=lambda joint: 1.0), "compare with 1"),
            (choosing(slack=0), "allow no slack"),
            (choosing(slack=0.1), "too wide"),
            (choosing(cues=(0,)), "first cue only"),
            (choosing(additive=ceilings.loglinear_accuracy), "maximum likelihood"),
            (choosing(least=1), 'never answer "single"'),
            (choosing(cues=(1,)), "take the better of the two"),
        ],
    ),
}
