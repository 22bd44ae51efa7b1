"""Known right and wrong answers to the exercises of lesson interpret, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- interpret.1
def map_of(choose=lambda g, t: g[t], weigh=None, mix=None, cut=lambda z: np.where(z > 0, z, 0.0), scale=True):
    """A right answer with places to go wrong."""

    def answer(activations, gradients, target):
        g = choose(gradients, target)
        alpha = [float(np.mean(c)) for c in g] if weigh is None else weigh(g)
        if mix is None:
            heat = cut(sum(a * c for a, c in zip(alpha, activations, strict=True)))
        else:
            heat = mix(alpha, activations)
        top = heat.max()
        return heat / top if scale and top > 0 else heat

    return answer


# ---------------------------------------------------------------- interpret.2
def along(middle=0.5, start=True, ahead=lambda x, b: x - b, mean=True, gap=lambda s, a, b: abs(s - (a - b))):
    """A right answer with places to go wrong."""

    def answer(x, baseline, w, v, steps):
        def value(z):
            return float(v @ np.tanh(w @ z))

        slopes = []
        for k in range(steps):
            z = (baseline if start else 0 * x) + (k + middle) / steps * (x - (baseline if start else 0))
            slopes.append(w.T @ (v / np.cosh(w @ z) ** 2))
        parts = ahead(x, baseline) * (np.mean(slopes, axis=0) if mean else np.sum(slopes, axis=0))
        return parts, gap(parts.sum(), value(x), value(baseline))

    return answer


def only_here(x, baseline, w, v, steps):
    parts = (x - baseline) * (w.T @ (v / np.cosh(w @ x) ** 2))
    return parts, abs(parts.sum() - v @ np.tanh(w @ x) + v @ np.tanh(w @ baseline))


# ---------------------------------------------------------------- interpret.3
def played(first="own", second="free", order="both", log=False, flip=False, swap=False, start=True):
    """A right answer with places to go wrong."""

    def answer(joint, cell, label):
        if swap:
            joint, cell = np.transpose(joint, (0, 2, 1)), cell[::-1]
        p_x = joint.sum(0)
        p = joint[label] / p_x

        def value(game, face, words):
            weights = p_x if game == "own" else np.outer(p_x.sum(1), p_x.sum(0))
            weights = np.ones_like(p_x) if game == "alike" else weights
            keep = np.ones_like(p_x)
            if face:
                keep[[i for i in range(len(p_x)) if i != cell[0]]] = 0
            if words:
                keep[:, [j for j in range(p_x.shape[1]) if j != cell[1]]] = 0
            return (p * weights * keep).sum() / (weights * keep).sum()

        found = []
        for game in (first, second):
            nobody = joint[label].sum() if start else 1 / len(joint)
            v = [nobody, value(game, 1, 0), value(game, 0, 1), p[cell[0], cell[1]]]
            v = np.log(v) if log else v
            come_first, come_last = v[1] - v[0], v[3] - v[2]
            sums = {"both": (come_first + come_last) / 2, "first": come_first, "last": come_last}
            found.append(sums[order] if order in sums else come_first + come_last)
        return tuple(found[::-1] if flip else found)

    return answer


ANSWERS = {
    "interpret.1": Answers(
        right=[map_of(), map_of(cut=lambda z: (z + np.abs(z)) / 2)],
        wrong=[
            (map_of(choose=lambda g, t: g[0]), "of one class"),
            (map_of(weigh=lambda g: list(g)), "A channel has one weight"),
            (map_of(cut=lambda z: z), "ReLU is missing"),
            (map_of(cut=np.abs), "takes the size"),
            (map_of(scale=False), "Divide by the largest value"),
            (
                map_of(mix=lambda a, c: sum(np.maximum(i * j, 0) for i, j in zip(a, c, strict=True))),
                "after the sum",
            ),
            (map_of(weigh=lambda g: [np.maximum(c, 0).mean() for c in g]), "not on the gradients"),
        ],
    ),
    "interpret.2": Answers(
        right=[along(), lambda *a: [np.asarray(part) for part in along()(*a)]],
        wrong=[
            (only_here, "at x alone"),
            (along(middle=0), "begin at the baseline itself"),
            (along(middle=1), "end at x itself"),
            (along(start=False), "does not begin"),
            (along(ahead=lambda x, b: x), "minus the baseline"),
            (along(ahead=lambda x, b: np.ones_like(x)), "mean gradients"),
            (along(mean=False), "sum of the gradients"),
            (along(gap=lambda s, a, b: abs(s - a)), "F of the baseline"),
        ],
    ),
    "interpret.3": Answers(
        right=[played(), lambda *a: np.array(played()(*a))],
        wrong=[
            (played(second="own"), "Both are the observational"),
            (played(first="free"), "Both are the interventional"),
            (played(flip=True), "other way round"),
            (played(swap=True), "not the face's"),
            (played(order="first"), "comes first"),
            (played(order="last"), "comes last"),
            (played(order="sum"), "not their mean"),
            (played(log=True), "logarithms"),
            (played(second="alike"), "not all alike"),
            (played(start=False), "value of nobody"),
        ],
    ),
}
