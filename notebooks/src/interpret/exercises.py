"""Grad-CAM, integrated gradients and two games by hand, the lesson's blanks, and the open challenge; PyTorch has a file."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.datasets import mood
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    lesson,
    part,
    right,
    says,
)

lesson(
    "interpret",
    promise="Grad-CAM and integrated gradients by hand, the same message in two games, integrated gradients and a hook in "
    "PyTorch, and a challenge: Shapley values of sixteen players from too few coalitions.",
    uses="NumPy; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def class_map(activations, gradients, target):
    """Grad-CAM of one class, from 0 to 1: activations (k, h, w), gradients (classes, k, h, w) → (h, w)."""
    of_class = gradients[target]
    weights = of_class.mean(axis=(1, 2))
    total = (weights[:, None, None] * activations).sum(axis=0)
    heat = np.maximum(total, 0)
    largest = heat.max()
    scaled = heat / largest if largest > 0 else heat
    return scaled


def draw_layer(g, k, h, w, classes, kind):
    """Activations and gradients; `kind` "against": everything speaks against the class."""
    activations = np.abs(g.normal(size=(k, h, w))).round(2)
    gradients = g.normal(size=(classes, k, h, w)).round(2)
    if kind == "signed":
        activations = g.normal(size=(k, h, w)).round(2)
    gradients[:, 0] += 1.0
    if k > 1:
        gradients[:, 1] -= 1.0
    target = int(g.integers(classes))
    if kind == "against":
        gradients[target] = -np.abs(gradients[target]) - 0.1
    return activations, gradients, target


cam = exercise(
    "interpret.1",
    class_map,
    title="Grad-CAM by hand",
    points=2,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "`activations` (k, h, w) are the channels of a layer, `gradients` (classes, k, h, w) the gradients of each "
            "class's logit with respect to them."
        ),
        says("**Write** `class_map(activations, gradients, target)`: the Grad-CAM map", mistake="of one class"),
        says("of the class `target`.", mistake="of one class"),
        says(
            "The weight of a channel is the *mean* of its gradients over all places.",
            mistake="A channel has one weight",
        ),
        says("Add the channels with these weights, *then* apply ReLU:", mistake="after the sum"),
        says("what speaks against the class becomes 0.", mistake="ReLU is missing"),
        says("Divide by the largest value, so that the map ends at 1.", mistake="Divide by the largest value"),
        says(
            "A map that is 0 everywhere stays 0 (no NaN).",
            ignored="scaled = heat / largest if largest > 0 else heat + np.nan",
        ),
        example("""
A = np.array([[[4.0, 0.0]], [[0.0, 2.0]]])  # two channels, 1 × 2
print("0.5 · A[0] − 1 · A[1] =", 0.5 * A[0] - A[1], "→ ReLU, scaled: [[1, 0]]")
"""),
    ],
    hints=[
        "`gradients[target].mean(axis=(1, 2))` has one number for each channel.",
        "`weights[:, None, None] * activations` is (k, h, w). Sum over axis 0, then `np.maximum(…, 0)`.",
    ],
    draw=draw_layer,
    parts=[
        part("several channels", weight=2, k=between(3, 5), h=between(2, 4), w=5, classes=3, kind="plain"),
        part("activations below 0", weight=2, k=3, h=4, w=between(3, 5), classes=2, kind="signed"),
        part("everything speaks against the class", k=between(2, 3), h=3, w=2, classes=2, kind="against"),
        part("one channel", k=1, h=3, w=4, classes=between(2, 3), kind="signed"),
    ],
    own={"k": 2, "h": 2, "w": 2, "classes": 2, "kind": "plain"},
    own_says="A layer of your own",
    mistakes={
        "This is not the map of the class `target`, but of one class that is always the same, or of all.": [
            "of_class = gradients[0]",
            "of_class = gradients.sum(axis=0)",
        ],
        "A channel has one weight: the mean over all places of its gradients.": [
            "total = (of_class * activations).sum(axis=0)",
        ],
        "These weights are sums, or largest values: a mean over all places is wanted, and ReLU not on the gradients.": (
            "weights = np.maximum(of_class, 0).mean(axis=(1, 2))"
        ),
        "ReLU comes after the sum over the channels, not before.": (
            "total = np.maximum(weights[:, None, None] * activations, 0).sum(axis=0)"
        ),
        "The ReLU is missing: places that speak against the class are not 0.": "heat = total",
        "This takes the size: what speaks against the class is as hot as what speaks for it.": "heat = np.abs(total)",
        "Divide by the largest value, so that the map ends at 1.": "scaled = heat",
    },
    praise="Equal to captum's LayerGradCam, if you give it `relu_attributions=True`.",
)


@right(cam)
def by_einsum(activations, gradients, target):
    alpha = np.asarray(gradients)[target].reshape(len(activations), -1).mean(axis=1)
    heat = np.einsum("k,khw->hw", alpha, activations).clip(min=0)
    return heat / (heat.max() or 1.0)


# ---------------------------------------------------------------- 2
def network_parts(x, baseline, w, v, steps):
    """Integrated gradients of F(x) = v · tanh(W x): x and baseline (d,), w (h, d), v (h,) → (parts (d,), gap)."""
    total = np.zeros_like(x)
    for k in range(steps):
        share = (k + 0.5) / steps
        point = baseline + share * (x - baseline)
        slope = (v * (1 - np.tanh(w @ point) ** 2)) @ w
        total = total + slope
    parts = (x - baseline) * total / steps
    difference = v @ np.tanh(w @ x) - v @ np.tanh(w @ baseline)
    gap = abs(parts.sum() - difference)
    return parts, gap


def draw_network(g, d, h, steps, start):
    """A small network, an input and a baseline."""
    x = g.normal(size=d).round(2) * 2
    baseline = np.zeros(d) if start == "zero" else g.normal(size=d).round(2)
    return x, baseline, g.normal(size=(h, d)).round(2), g.normal(size=h).round(2), steps


def at_x_only(x, baseline, w, v, steps):
    """The answer with one mistake."""
    parts = (x - baseline) * ((v * (1 - np.tanh(w @ x) ** 2)) @ w)
    return parts, abs(parts.sum() - (v @ np.tanh(w @ x) - v @ np.tanh(w @ baseline)))


path = exercise(
    "interpret.2",
    network_parts,
    title="Integrated gradients, and their test",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(r"A network with one hidden layer: $F(x) = v \cdot \tanh(W x)$. Its gradient is in the example."),
        says("**Write** `network_parts(x, baseline, w, v, steps)`: the integrated gradients.", mistake="on the way"),
        says(
            "Take the gradient at `steps` points on the straight way from `baseline` to `x`, in the *middle* of equal parts,",
            mistake="begin at the baseline itself",
        ),
        says("and average it.", mistake="their mean is wanted"),
        says("Multiply by the difference of `x` and `baseline`.", mistake="minus the baseline"),
        says(
            "Return the parts (d,), and the completeness gap: the size of the difference between their sum",
            mistake="size of the difference",
        ),
        says("and F(x) − F(baseline).", mistake="F of the baseline"),
        example("""
x, w, v = np.array([1.0, -1.0]), np.array([[1.0, 0.0], [0.5, 2.0]]), np.array([1.0, -1.0])
print("gradient of F at x:", (v * (1 - np.tanh(w @ x) ** 2)) @ w)
"""),
    ],
    hints=[
        "The shares for two steps are 1/4 and 3/4: (k + 0.5) / steps.",
        "Both values come from one loop: first the sum of gradients, then `parts`, then the gap.",
    ],
    draw=draw_network,
    parts=[
        part("a baseline that is not 0", weight=2, d=between(3, 4), h=4, steps=between(3, 5), start="any"),
        part("baseline 0", d=3, h=between(2, 5), steps=4, start="zero"),
        part("one step", d=between(2, 4), h=3, steps=1, start="any"),
        part("many steps", d=2, h=3, steps=between(40, 60), start="any"),
    ],
    own={"d": 2, "h": 2, "steps": 2, "start": "any"},
    own_says="A network of your own",
    names=("the parts", "the gap"),
    mistakes={
        "This is the gradient at x alone: average the gradients on the way from the baseline.": at_x_only,
        "Your points begin at the baseline itself: take them in the middle of equal parts.": "share = k / steps",
        "Your points end at x itself: take them in the middle of equal parts.": "share = (k + 1) / steps",
        "Your way does not begin at the baseline.": "point = share * x",
        "Multiply by x minus the baseline, not by x.": "parts = x * total / steps",
        "These are mean gradients: they are not multiplied by the difference yet.": "parts = total / steps",
        "This is the sum of the gradients: their mean is wanted.": "parts = (x - baseline) * total",
        "The gap compares with F(x) alone: F of the baseline is to be subtracted.": "difference = v @ np.tanh(w @ x)",
        "The gap is the size of the difference: never negative.": "gap = -abs(parts.sum() - difference)",
    },
    praise="Now you know of each map how far it is from being complete.",
)


@right(path)
def all_points_at_once(x, baseline, w, v, steps):
    shares = (np.arange(steps) + 0.5) / steps
    points = baseline + shares[:, None] * (x - baseline)
    inner = np.tanh(points @ w.T)
    parts = (x - baseline) * ((v * (1 - inner**2)) @ w).mean(axis=0)
    ends = np.tanh(np.stack([x, baseline]) @ w.T) @ v
    return parts, np.abs(parts.sum() - (ends[0] - ends[1]))


# ---------------------------------------------------------------- 3
def face_part(joint, cell, label):
    """The face's Shapley value among face and words, for p(label): observational and interventional."""
    face, words = cell
    cues = joint.sum(axis=0)
    posterior = joint[label] / cues
    nobody = joint[label].sum()
    both = posterior[face, words]

    def share(face_alone, words_alone):
        first = face_alone - nobody
        last = both - words_alone
        return (first + last) / 2

    face_known = joint[label, face].sum() / cues[face].sum()
    words_known = joint[label, :, words].sum() / cues[:, words].sum()
    observational = share(face_known, words_known)
    face_kept = (posterior[face] * cues.sum(axis=0)).sum()
    words_kept = (posterior[:, words] * cues.sum(axis=1)).sum()
    interventional = share(face_kept, words_kept)
    return observational, interventional


def draw_table(g, faces, words, labels, kind):
    """A joint table p(label, face, words), and a cell."""
    if kind == "mood":
        joint = mood.JOINT.sum(axis=2)
    else:
        joint = g.dirichlet(np.full(labels * faces * words, 0.7)).reshape(labels, faces, words) + 0.004
        joint = joint / joint.sum()
    if kind == "independent":
        cues = joint.sum(axis=0)
        joint = joint / cues * np.outer(cues.sum(axis=1), cues.sum(axis=0))
    cell = (int(g.integers(joint.shape[1])), int(g.integers(joint.shape[2])))
    return joint, cell, int(g.integers(joint.shape[0]))


def twice_conditional(joint, cell, label):
    """The answer with one mistake."""
    value = face_part(joint, cell, label)[0]
    return value, value


def twice_marginal(joint, cell, label):
    """The answer with one mistake."""
    value = face_part(joint, cell, label)[1]
    return value, value


def all_alike(joint, cell, label):
    """The answer with one mistake."""
    cues = joint.sum(axis=0)
    posterior = joint[label] / cues
    both, nobody = posterior[cell], joint[label].sum()
    second = (posterior[cell[0]].mean() - nobody + both - posterior[:, cell[1]].mean()) / 2
    return face_part(joint, cell, label)[0], second


games = exercise(
    "interpret.3",
    face_part,
    title="Which game?",
    points=4,
    difficulty=3,
    minutes=35,
    statement=[
        context(
            "`joint` (labels, faces, words) is p(label, face, words), all of it known. `cell` is (face, words), the cues of "
            "one message; `label` the label that is asked for. Players are the face and the words."
        ),
        context("**Write** `face_part(joint, cell, label)`: the face's Shapley value for p(label), in two games."),
        says(
            "With two players it is the mean of two differences: the face comes first, or after the words.",
            mistake="comes first",
        ),
        says("The value of nobody is p(label); of both, p(label | face, words).", mistake="The value of nobody"),
        says(
            "*Observational*: a missing cue is averaged as it goes with the known one,",
            mistake="Both are the interventional",
        ),
        says("so the value of the face alone is p(label | face).", mistake="Both are the interventional"),
        says(
            "*Interventional*: a missing cue is drawn from its own distribution, whatever the known one is:",
            mistake="Both are the observational",
        ),
        says("the mean of p(label | face, w) over p(w).", mistake="not all alike"),
        says("Use probabilities, not their logarithms.", mistake="logarithms"),
        says("Return (observational, interventional).", mistake="other way"),
        example("""
joint = np.array([[[0.3, 0.1], [0.1, 0.0]], [[0.1, 0.0], [0.1, 0.3]]])  # 2 labels, 2 faces, 2 words
cues = joint[0] + joint[1]
print("p(label 1 | face 0) =", joint[1, 0].sum() / cues[0].sum())
print("mean over all words  =", (joint[1, 0] / cues[0] * cues.sum(axis=0)).sum())
"""),
    ],
    hints=[
        "Four values are needed in each game: nobody, face, words, both. Nobody and both are the same in both games.",
        "φ = ½ (v(face) − v(nobody)) + ½ (v(both) − v(words)). Interventional: "
        "`(posterior[face] * cues.sum(axis=0)).sum()`.",
    ],
    draw=draw_table,
    parts=[
        part("any table", weight=2, faces=between(2, 4), words=3, labels=between(2, 3), kind="any"),
        part("the table of mood, voice unknown", weight=2, faces=4, words=3, labels=3, kind="mood"),
        part("independent cues: both games agree", faces=3, words=between(2, 4), labels=2, kind="independent"),
    ],
    own={"faces": 2, "words": 2, "labels": 2, "kind": "any"},
    constant={"cell": "one place for each of the two players"},
    own_says="A table of your own",
    names=("the observational value", "the interventional value"),
    mistakes={
        "Both are the observational value: in the second game the missing cue does not follow the known one.": (
            twice_conditional
        ),
        "Both are the interventional value: in the first, observational game the missing cue goes with the known one.": (
            twice_marginal
        ),
        "The two are returned the other way round.": edit(
            "return observational, interventional", "return interventional, observational"
        ),
        "The missing cue is drawn from its own distribution: its values are not all alike.": [
            "face_kept = posterior[face].mean()",
            all_alike,
        ],
        "This is what the face adds when it comes first: take the mean with the other order.": edit(
            "(first + last) / 2", "first"
        ),
        "This is what the face adds when it comes last: take the mean with the other order.": edit(
            "(first + last) / 2", "last"
        ),
        "This is the sum over both orders, not their mean.": edit("(first + last) / 2", "first + last"),
        "The value of nobody is p(label), not 0 and not the same for all labels.": [
            "nobody = 0.0",
            "nobody = 1 / len(joint)",
        ],
        "These are differences of logarithms: use probabilities.": edit(
            "return (first + last) / 2",
            "return (np.log(face_alone / nobody) + np.log(both / words_alone)) / 2",
        ),
        "The part of the words was asked of nobody: this is theirs, not the face's.": (
            lambda joint, cell, label: face_part(joint.swapaxes(1, 2), cell[::-1], label)
        ),
    },
    praise="Where the cues are independent the two games agree; the more they go together, the further they are apart.",
)


@right(games)
def by_coalitions(joint, cell, label):
    cues = joint.sum(0)
    free = np.outer(cues.sum(1), cues.sum(0))
    found = []
    for weights in (cues, free):
        target = joint[label] / cues * weights

        def value(rows, columns, target=target, weights=weights):
            return target[np.ix_(rows, columns)].sum() / weights[np.ix_(rows, columns)].sum()

        every = range(cues.shape[0]), range(cues.shape[1])
        face, words = [cell[0]], [cell[1]]
        start = joint[label].sum()
        found.append(0.5 * (value(face, every[1]) - start + value(face, words) - value(every[0], words)))
    return tuple(found)


# ---------------------------------------------------------------- the lesson's blanks
def cube(x):
    return 3 * x**2 + np.roll(x, 1)


def ways():
    rng = np.random.default_rng(0)
    for size, steps in ((3, 4), (2, 1), (4, 7), (1, 2)):
        yield cube, rng.normal(size=size).round(2) + 1, rng.normal(size=size).round(2), steps


def path_with(gradient, x, baseline, steps, middle=0.5, factor=None):
    total = sum(gradient(baseline + (k + middle) / steps * (x - baseline)) for k in range(steps))
    return (x - baseline if factor is None else factor(x)) * total / steps


@blank(
    "interpret.blank.1",
    title="Integrated gradients",
    inputs=ways,
    mistakes=[
        (
            lambda *a: path_with(*a, middle=0),
            "Your points begin at the baseline: take the middle of each part, k + 0.5.",
        ),
        (lambda *a: path_with(*a, middle=1), "Your points end at x: take the middle of each part, k + 0.5."),
        (lambda *a: path_with(*a, factor=lambda x: x), "Multiply by x minus the baseline, not by x."),
        (lambda *a: path_with(*a, factor=np.ones_like), "Multiply the mean gradient by x minus the baseline."),
        (lambda g, x, b, steps: path_with(g, x, b, steps) * steps, "Divide by the number of steps: a mean is wanted."),
        (lambda g, x, b, steps: (x - b) * g(x), "This is the gradient at x alone: collect it on the way."),
    ],
)
def path_gradients(gradient, x, baseline, steps):
    return path_with(gradient, x, baseline, steps)


def maps():
    rng = np.random.default_rng(2)
    for rows, columns, row, column in ((8, 8, 1, 6), (8, 8, 6, 1), (4, 8, 3, 2), (16, 16, 9, 3)):
        heat = rng.random((rows, columns))
        heat[row, column] = 3.0
        x, y = (column + 0.5) * 64 / columns, (row + 0.5) * 64 / rows
        yield heat, (int(x - 6), int(y - 6), int(x + 6), int(y + 6)), 64
        yield heat, (int(y - 6), int(x - 6), int(y + 6), int(x + 6)), 64
    yield np.array([[0.0, 1.0]]), (32, 0, 64, 64), 64
    yield np.array([[0.0, 1.0]]), (0, 0, 48, 64), 64  # its center, x = 48, is just outside


def points_with(heat, box, side, swap=False, corner=0.5, scale=True, least=False):
    row, column = np.unravel_index(heat.argmin() if least else heat.argmax(), heat.shape)
    x = (column + corner) * (side / heat.shape[1] if scale else 1)
    y = (row + corner) * (side / heat.shape[0] if scale else 1)
    if swap:
        x, y = y, x
    left, top, right_, bottom = box
    return bool(left <= x < right_ and top <= y < bottom)


@blank(
    "interpret.blank.3",
    title="The pointing game",
    inputs=maps,
    mistakes=[
        (lambda *a: points_with(*a, swap=True), "x and y are exchanged: rows are y, columns are x."),
        (lambda *a: points_with(*a, scale=False), "Cells are not pixels: multiply by the size of a cell."),
        (lambda *a: points_with(*a, least=True), "The *hottest* cell is wanted."),
        (lambda *a: points_with(*a, corner=0), "Take the center of the cell, not its corner: add a half."),
        (lambda heat, box, side: True, "Not every map points at its thing."),
    ],
)
def points_at(heat, box, side):
    return points_with(heat, box, side)


def coalitions():
    for known in ((2, None, 0), (None, None, None), (2, 0, 0), (None, 1, None), (3, None, None), (None, 0, 2)):
        for game in ("observational", "interventional"):
            yield mood.JOINT, known, game


def value_with(joint, known, game, weights="own"):
    cues = joint.sum(axis=0)
    index = tuple(slice(None) if k is None else k for k in known)
    if game == "observational":
        return joint[2][index].sum() / cues[index].sum()
    if weights == "alike":
        return (joint[2] / cues)[index].mean()
    there = tuple(axis for axis, k in enumerate(known) if k is not None)
    return ((joint[2] / cues)[index] * cues.sum(axis=there)).sum()


@blank(
    "interpret.blank.4",
    title="The value of a coalition",
    inputs=coalitions,
    mistakes=[
        (
            lambda joint, known, game: value_with(joint, known, "observational"),
            "Both games are the observational one: in the other, the unknown cues do not follow the known ones.",
        ),
        (
            lambda joint, known, game: value_with(joint, known, "interventional"),
            "Both games are the interventional one: in the other, the unknown cues go with the known ones.",
        ),
        (
            lambda joint, known, game: value_with(joint, known, game, weights="alike"),
            "The unknown cues are not all alike: weight them by how frequent they are.",
        ),
        (
            lambda joint, known, game: (
                joint[2][tuple(slice(None) if k is None else k for k in known)].sum()
                if game == "observational"
                else value_with(joint, known, game)
            ),
            "This is p(positive *and* the known cues): divide by the probability of the known cues.",
        ),
    ],
)
def coalition_value(joint, known, game):
    return value_with(joint, known, game)


def square_of_first(mean):
    return float(mean[0] ** 2 + mean.sum())


def sentences():
    rng = np.random.default_rng(5)
    for length, width in ((3, 2), (2, 1), (5, 3)):
        for shrink in (True, False):
            yield square_of_first, rng.normal(size=(length, width)).round(2) + 0.5, shrink


def left_out(score, vectors, shrink=True, sign=1, keep=False, always=None):
    shrink = shrink if always is None else always
    length, start = len(vectors), score(vectors.mean(axis=0))
    parts = []
    for i in range(length):
        others = vectors[i] if keep else vectors.sum(axis=0) - vectors[i]
        parts.append(sign * (start - score(others / (length - 1 if shrink else length))))
    return np.array(parts)


@blank(
    "interpret.blank.5",
    title="Leave one out",
    inputs=sentences,
    mistakes=[
        (
            lambda *a: left_out(*a, sign=-1),
            "The sign is wrong: the score of the whole sentence minus the score without the word.",
        ),
        (
            lambda *a: left_out(*a, always=True),
            "With shrink=False the length stays the same: divide by all words, not by one less.",
        ),
        (
            lambda *a: left_out(*a, always=False),
            "With shrink=True the word is gone: divide by the number of the other words.",
        ),
        (lambda *a: left_out(*a, keep=True), "You kept the word alone: leave it out, and keep the others."),
        (
            lambda score, v, shrink: np.array(
                [score(v.mean(axis=0)) - left_out(score, v, shrink)[i] for i in range(len(v))]
            ),
            "These are the scores without each word: a part is how much the score falls.",
        ),
    ],
)
def leave_one_out(score, vectors, shrink=True):
    return left_out(score, vectors, shrink)


# ---------------------------------------------------------------- challenge
NUM_GAMES, NUM_PLAYERS, NUM_COALITIONS = 20, 16, 120


def draw_challenge(g):
    """Games with single, pairwise and triple effects, each seen in 120 coalitions with noise."""
    rng = np.random.default_rng(int(g.integers(1 << 31)))
    there = rng.random((NUM_GAMES, NUM_COALITIONS, NUM_PLAYERS)) < rng.random((NUM_GAMES, NUM_COALITIONS, 1))
    there[:, 0], there[:, 1] = False, True
    values, exact = [], []
    for game in range(NUM_GAMES):
        single = rng.normal(size=NUM_PLAYERS) * (rng.random(NUM_PLAYERS) < 0.5)
        v, phi = there[game] @ single, single.copy()
        for size, number in ((2, 6), (3, 3)):
            for _ in range(number):
                team = rng.choice(NUM_PLAYERS, size, replace=False)
                effect = rng.normal() * 1.2
                v = v + effect * there[game][:, team].all(axis=1)
                phi[team] += effect / size  # an effect of a team is shared equally
        values.append(v + 0.05 * rng.normal(size=NUM_COALITIONS))
        exact.append(phi)
    return Drawn({"there": there, "values": np.array(values)}, np.array(exact))


def share_explained(arrays, inputs, hidden):
    """1 − squared error / squared size, over all games, not below 0."""
    error = np.square(np.asarray(arrays["shapley"], float) - hidden).sum()
    return float(max(0.0, 1 - error / np.square(hidden).sum()))


challenge(
    "interpret.challenge",
    title="Sixteen players, 120 coalitions",
    statement=[
        f"{NUM_GAMES} games of {NUM_PLAYERS} players. All 65,536 coalitions would be too many; each game was played with "
        f"{NUM_COALITIONS} of them. `there` (20, 120, 16) says who was in each coalition, `values` (20, 120) what it was worth, "
        "with a little noise. The first coalition is nobody, the second everybody.",
        "Players have effects of their own, and some pairs and triples have an effect when all of them are there.",
        "Estimate the Shapley values: `shapley`, floats (20, 16).",
        "The score is 1 − (squared error / squared size of the exact values). A linear regression of the values on who was "
        "there reaches about 0.94. Beat it.",
    ],
    draw=draw_challenge,
    score=share_explained,
    hand_in={"shapley": Array((NUM_GAMES, NUM_PLAYERS), "float")},
    to_beat=0.96,
    points_by_score={0.96: 1, 0.975: 2, 0.985: 3},
    minutes=60,
    score_name="share explained",
)
