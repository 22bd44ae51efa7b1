"""A gate, the full tensor, samples kept apart, a choice from a table, the blanks and a challenge; modules are in their own files."""

import numpy as np

from mmcourse import ceilings
from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    in_turn,
    lesson,
    paragraph,
    part,
    remembered,
    right,
    says,
)

ceilings = remembered(ceilings)  # each table is solved once

lesson(
    "fusion",
    promise="Build a gate, find the full tensor inside a small one, keep samples apart that were mixed up, choose a "
    "method from a table, and write two fusion modules that work when a modality is missing.",
    uses="NumPy; the last two PyTorch and Keras",
    setup="""
import keras
import numpy as np
import torch
from keras import ops
from torch import nn

from mmcourse import ceilings
from mmcourse.check import check

np.set_printoptions(precision=3, suppress=True)
""",
)


def normals(g, *shapes):
    """Arrays of these shapes from a normal distribution, with two decimals."""
    return tuple(g.normal(size=shape).round(2) for shape in shapes)


# ---------------------------------------------------------------- 1
def gated_unit(x1, x2, w1, w2, wz):
    """Gated multimodal unit of two modalities, (b, k)."""
    both = np.concatenate([x1, x2], axis=1)  # (b, d1 + d2)
    s = both @ wz  # (b, k)
    z = 1 / (1 + np.exp(-s))
    h1 = np.tanh(x1 @ w1)
    h2 = np.tanh(x2 @ w2)
    return z * h1 + (1 - z) * h2


def draw_unit(g, b, d1, d2, k):
    return normals(g, (b, d1), (b, d2), (d1, k), (d2, k), (d1 + d2, k))


unit = exercise(
    "fusion.1",
    gated_unit,
    title="A gated unit by hand",
    points=1,
    difficulty=1,
    minutes=8,
    statement=[
        context("Two modalities, one gate (Arevalo et al. 2017, arXiv 1702.01992), no biases:"),
        says(
            r"$$h_1 = \tanh(x_1 W_1), \quad h_2 = \tanh(x_2 W_2), \quad z = \sigma([x_1; x_2]\, W_z), "
            r"\quad h = z \odot h_1 + (1 - z) \odot h_2$$",
            mistake="The gate lacks its sigmoid",
        ),
        context("**Example.** A gate of 0.9 takes nine parts of the first and one part of the second."),
        example("h1, h2, z = 0.5, -0.5, 0.9\nprint(z * h1 + (1 - z) * h2)"),
        says(
            "**Write** `gated_unit(x1, x2, w1, w2, wz)` for `x1` of shape `(b, d1)`, `x2` `(b, d2)`, `w1` `(d1, k)`, "
            "`w2` `(d2, k)` and `wz` `(d1 + d2, k)`.",
            mistake="You joined [x2; x1]",
        ),
        says("Return `(b, k)`.", ignored=edit("return z * h1 + (1 - z) * h2", "return (z * h1 + (1 - z) * h2)[0]")),
    ],
    hints=[
        "The gate must see both modalities: join `x1` and `x2` along the axis of features before multiplying by `wz`.",
        "`np.concatenate([x1, x2], axis=1)` is `(b, d1 + d2)`. σ is `1 / (1 + np.exp(-s))`, and tanh is not squashed "
        "again.",
    ],
    draw=draw_unit,
    parts=[
        part("modalities of two widths", b=between(2, 5), d1=2, d2=between(3, 5), k=between(2, 4)),
        part("modalities of one width", b=between(2, 5), d1=3, d2=3, k=between(2, 4)),
        part("one sample", b=1, d1=between(2, 4), d2=between(2, 4), k=between(2, 4)),
    ],
    own={"b": 1, "d1": 1, "d2": 1, "k": 1},
    mistakes={
        "Your gate looks at x1 only. It decides between both, so it must see both: [x1; x2] times all of wz.": (
            "s = x1 @ wz[: x1.shape[1]]"
        ),
        "Your gate looks at x2 only. It decides between both, so it must see both: [x1; x2] times all of wz.": (
            "s = x2 @ wz[x1.shape[1] :]"
        ),
        "Gate and rest are exchanged: z belongs to the first modality, 1 - z to the second.": (
            "z = 1 / (1 + np.exp(s))"
        ),
        "You multiplied both by z. The second gets what the first does not: 1 - z.": "return z * h1 + z * h2",
        "The second modality is not gated at all: multiply it by 1 - z.": "return z * h1 + h2",
        "You squashed the hidden vectors with a sigmoid. They take tanh, which can be negative; the gate is a "
        "sigmoid.": "h1 = 1 / (1 + np.exp(-x1 @ w1))\nh2 = 1 / (1 + np.exp(-x2 @ w2))",
        "The hidden vectors lack their tanh.": "h1 = x1 @ w1\nh2 = x2 @ w2",
        "Your gate is a tanh and can be negative. A gate is a share between 0 and 1: use the sigmoid.": (
            "z = np.tanh(s)"
        ),
        "You joined [x2; x1]. The rows of wz belong to [x1; x2], in that order.": (
            "both = np.concatenate([x2, x1], axis=1)"
        ),
        "The gate lacks its sigmoid, so it is no share between 0 and 1.": "z = s",
        "Your gate is one number for the whole sample. Each of the k features has a gate of its own.": [
            "z = 1 / (1 + np.exp(-s[:, :1]))",
            "z = 1 / (1 + np.exp(-s.mean(axis=1, keepdims=True)))",
            "z = (1 / (1 + np.exp(-s))).mean(axis=1, keepdims=True)",
        ],
        "Your gate is a softmax, so that the features share one unit. Each has a sigmoid of its own.": (
            "z = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)"
        ),
        "You mixed before the tanh. Take the tanh of each modality first, then mix.": (
            "return np.tanh(z * (x1 @ w1) + (1 - z) * (x2 @ w2))"
        ),
    },
    praise="Each entry of z is a share: what one modality gives up, the other gets.",
)


@right(unit)
def gate_in_parts(x1, x2, w1, w2, wz):
    s = x1 @ wz[: x1.shape[1]] + x2 @ wz[x1.shape[1] :]
    z = 1 / (1 + np.exp(-s))
    h2 = np.tanh(x2 @ w2)
    return h2 + z * (np.tanh(x1 @ w1) - h2)


@right(unit)
def gate_by_loops(x1, x2, w1, w2, wz):
    rows = []
    for a, b in zip(x1, x2, strict=True):
        z = 0.5 * (1 + np.tanh(np.hstack([a, b]) @ wz / 2))
        rows.append([z[i] * np.tanh(a @ w1[:, i]) + (1 - z[i]) * np.tanh(b @ w2[:, i]) for i in range(w1.shape[1])])
    return rows


# ---------------------------------------------------------------- 2
def full_weight(a, b, c):
    """The weight (n1, n2, n3, k) of the full tensor that low-rank factors stand for."""
    return np.einsum("rio,rjo,rko->ijko", a, b, c)


def draw_factors(g, rank, k, n):
    return normals(g, *((rank, size, k) for size in n))


def draw_any_factors(g, rank, k):
    return draw_factors(g, rank, k, g.integers(2, 5, 3))


weight = exercise(
    "fusion.2",
    full_weight,
    title="The full tensor inside the low-rank one",
    points=3,
    difficulty=3,
    minutes=14,
    statement=[
        context(
            r"Low-rank tensor fusion is $\sum_r (\bar x_1 A_r) \odot (\bar x_2 B_r) \odot (\bar x_3 C_r)$, each "
            r"$\bar x_m = [x_m; 1]$. It is tensor fusion with one big weight that is never formed."
        ),
        says("Form it: find $W$ with", mistake="You summed over the rank first"),
        says(
            r"$$\sum_{ijk} \bar x_{1i}\, \bar x_{2j}\, \bar x_{3k}\, W_{ijk,o} = \text{the same numbers, for every "
            r"input}$$",
            mistake="You took the mean over the rank",
        ),
        context("**Example** with two modalities, rank 1 and one output: the weight is an outer product."),
        example('a, b = np.array([1.0, 2.0]), np.array([3.0, -1.0, 0.5])\nprint(np.einsum("i,j->ij", a, b))'),
        says(
            "**Write** `full_weight(a, b, c)` for factors `(R, n1, k)`, `(R, n2, k)`, `(R, n3, k)`, their rows for "
            "the 1 included.",
            mistake="rows of the 1s",
        ),
        says("Return $W$, `(n1, n2, n3, k)`.", mistake="The axes are in reverse order"),
    ],
    hints=[
        r"Write out the product for one $r$ and one output $o$: which numbers stand beside "
        r"$\bar x_{1i}\, \bar x_{2j}\, \bar x_{3k}$?",
        r"$W_{ijk,o} = \sum_r A_{rio} B_{rjo} C_{rko}$. One `np.einsum` says exactly that: letters that are not in the "
        "result are summed, `o` stays in all four places.",
    ],
    draw=draw_any_factors,
    parts=[
        part("one output", rank=between(2, 4), k=1),
        part("several ranks and outputs", weight=2, rank=between(2, 4), k=between(2, 4)),
        part("rank 1", rank=1, k=between(2, 4)),
        part("modalities of one width", draw=draw_factors, rank=between(2, 4), k=3, n=(3, 3, 3)),
    ],
    own=lambda g: tuple(g.integers(-9, 10, (1, 2, 1)) * 1.0 for _ in range(3)),
    mistakes={
        "You summed over the rank first and then multiplied. A product of sums is not a sum of products: sum last.": (
            'return np.einsum("io,jo,ko->ijko", a.sum(0), b.sum(0), c.sum(0))'
        ),
        "These are the R outer products, one for each rank. They still need adding up over r.": (
            'return np.einsum("rio,rjo,rko->rijko", a, b, c)'
        ),
        "You took the mean over the rank. The formula sums.": (
            'return np.einsum("rio,rjo,rko->ijko", a, b, c) / len(a)'
        ),
        "The axes are in reverse order: the first modality comes first, (n1, n2, n3, k).": (
            'return np.einsum("rio,rjo,rko->kjio", a, b, c)'
        ),
        "The output axis comes last: (n1, n2, n3, k).": 'return np.einsum("rio,rjo,rko->oijk", a, b, c)',
        "You summed over the outputs as well. Each output o has a weight of its own: keep that axis, last.": (
            'return np.einsum("rio,rjo,rko->ijk", a, b, c)'
        ),
        "You cut off the rows of the 1s. They hold the terms of one and two modalities.": (
            'return np.einsum("rio,rjo,rko->ijko", a[:, :-1], b[:, :-1], c[:, :-1])'
        ),
        "You appended a row for the 1. The factors have theirs already, so that W is (n1, n2, n3, k).": (
            lambda a, b, c: full_weight(*(np.pad(f, ((0, 0), (0, 1), (0, 0)), constant_values=1) for f in (a, b, c)))
        ),
        "You added the three factors. Within one rank they are multiplied; the sum goes over the ranks.": (
            lambda a, b, c: (a[:, :, None, None] + b[:, None, :, None] + c[:, None, None]).sum(axis=0)
        ),
        "That is the first rank alone. Add the others.": ('return np.einsum("rio,rjo,rko->ijko", a[:1], b[:1], c[:1])'),
        "The numbers are right, but flat. Keep an axis for each modality: (n1, n2, n3, k).": (
            'return np.einsum("rio,rjo,rko->ijko", a, b, c).reshape(-1, a.shape[-1])'
        ),
        "You dropped the output axis where there is one output (`squeeze`). Keep it: (n1, n2, n3, 1).": (
            lambda a, b, c: full_weight(a, b, c).squeeze()
        ),
    },
    praise="The same function, with R·(n1 + n2 + n3)·k numbers in place of n1·n2·n3·k.",
)


@right(weight)
def weight_by_loops(a, b, c):
    total = 0
    for r in range(a.shape[0]):
        total = total + a[r][:, None, None] * b[r][None, :, None] * c[r][None, None]
    return total


@right(weight)
def weight_by_broadcasting(a, b, c):
    return (a[:, :, None, None] * b[:, None, :, None] * c[:, None, None]).sum(axis=0)


# ---------------------------------------------------------------- 3
def interaction(x1, x2, x3, w1, w2, w3):
    """Product of the three mapped vectors of each sample, (b, k)."""
    return (x1 @ w1) * (x2 @ w2) * (x3 @ w3)


def mixed(x1, x2, x3, w1, w2, w3):
    """The product of the first sample's vector with everybody else's, (b, b, k)."""
    return (x1 @ w1)[:, None] * (x2 @ w2)[None] * (x3 @ w3)


def signed_root(z):
    return np.sign(z) * np.sqrt(np.abs(z))


def length_one(z):
    return z / np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-12)


def draw_three(g, b, k):
    dims = g.integers(1, 6, 3)
    return normals(g, *((b, d) for d in dims), *((d, k) for d in dims))


def draw_own_three(g):
    inputs = (g.integers(-3, 4, (2, 1)) * 1.0 for _ in range(3))
    return *inputs, *(g.integers(1, 4, (1, 1)) * 1.0 for _ in range(3))


product = exercise(
    "fusion.3",
    interaction,
    title="Who is mixed with whom?",
    points=2,
    difficulty=2,
    minutes=8,
    statement=[
        context(
            "This layer should give each sample the product of its own three mapped vectors. It runs without an error."
        ),
        example('''
def broken(x1, x2, x3, w1, w2, w3):
    """Three-way product: xm is (b, dm), wm is (dm, k)."""
    pairs = (x1 @ w1)[:, None] * (x2 @ w2)[None]
    return pairs * (x3 @ w3)


rng = np.random.default_rng(0)
xs, ws = [rng.normal(size=(4, d)) for d in (3, 2, 5)], [rng.normal(size=(d, 6)) for d in (3, 2, 5)]
print("4 samples, 6 outputs each, but:", broken(*xs, *ws).shape)
'''),
        says(
            "**Write** `interaction(x1, x2, x3, w1, w2, w3)` that returns `(b, k)`:",
            mistake="You summed over the outputs",
        ),
        says(
            "row $i$ depends on row $i$ of the inputs and on nobody else's.",
            mistake="you summed the mixture over the batch",
        ),
    ],
    hints=[
        "What do `[:, None]` and `[None]` do to shapes `(4, 6)`? Which entries of the result belong to one sample only?",
        "All three mapped arrays are `(b, k)` already. Multiply them as they are; a sum over the extra axis would hide "
        "the fault, not mend it.",
    ],
    draw=draw_three,
    parts=[
        part("several samples", weight=2, b=between(2, 4), k=between(5, 6)),
        part("more samples than outputs", b=between(4, 6), k=between(2, 3)),
        part("as many samples as outputs", draw=lambda g: draw_three(g, *[g.integers(2, 6)] * 2)),
        part("one sample", b=1, k=between(2, 5)),
    ],
    own=draw_own_three,
    mistakes={
        "One output for every pair of samples: the batch is mixed. One person's face still meets another's words.": (
            mixed
        ),
        "The shape is right, but you summed the mixture over the batch: each row now depends on everybody.": [
            lambda *args: mixed(*args).sum(0),
            lambda *args: mixed(*args).sum(1),
        ],
        "The shape is right, but you averaged the mixture over the batch: each row now depends on everybody.": [
            lambda *args: mixed(*args).mean(0),
            lambda *args: mixed(*args).mean(1),
        ],
        "You kept what belongs to the first sample of one modality, beside the others of the rest: still mixed.": [
            lambda *args: mixed(*args)[0],
            lambda *args: mixed(*args)[:, 0],
        ],
        "You took the diagonal over samples and outputs. The two axes of samples are 0 and 1; the outputs stay.": (
            lambda *args: np.diagonal(mixed(*args), axis1=0, axis2=2).T
        ),
        "You multiplied matrices: `@` adds up over samples, so everybody meets everybody. Multiply entry by entry, `*`.": (
            "return ((x1 @ w1) @ (x2 @ w2).T) @ (x3 @ w3)"
        ),
        "You dropped an axis of length 1 (`squeeze`). One sample is still (1, k).": (
            lambda *args: interaction(*args).squeeze()
        ),
        "That is a sum. Samples are kept apart now, but the interaction is gone: multiply.": (
            "return (x1 @ w1) + (x2 @ w2) + (x3 @ w3)"
        ),
        "The third modality is missing from the product.": "return (x1 @ w1) * (x2 @ w2)",
        "You summed over the outputs. Keep all k of them: (b, k).": [
            "return ((x1 @ w1) * (x2 @ w2) * (x3 @ w3)).sum(1)",
            "return ((x1 @ w1) * (x2 @ w2) * (x3 @ w3)).sum(1, keepdims=True)",
        ],
        "You added the third modality. All three are multiplied.": "return (x1 @ w1) * (x2 @ w2) + (x3 @ w3)",
        "You scaled the product, by a signed root or a norm, as bilinear pooling does. The product itself is wanted.": [
            lambda *args: length_one(signed_root(interaction(*args))),
            lambda *args: signed_root(interaction(*args)),
            lambda *args: length_one(interaction(*args)),
        ],
    },
    praise="Change one sample, and only its own row moves. Test every layer of yours this way.",
)


@right(product)
def by_sample(x1, x2, x3, w1, w2, w3):
    rows = []
    for i in range(len(x1)):
        rows.append((x1[i] @ w1) * (x2[i] @ w2) * (x3[i] @ w3))
    return np.array(rows)


@right(product)
def diagonal(x1, x2, x3, w1, w2, w3):
    return np.einsum("bi,ik,bj,jk,bl,lk->bk", x1, w1, x2, w2, x3, w3)


# ---------------------------------------------------------------- 4
def choose(joint):
    """The simplest family within 0.01 of the joint ceiling."""
    best = ceilings.bayes_accuracy(joint)
    single = max(ceilings.bayes_accuracy(ceilings.marginal(joint, [m])) for m in (0, 1))
    late = ceilings.additive_accuracy(joint)
    if single >= best - 0.01:
        return "single"
    if late >= best - 0.01:
        return "late"
    return "interaction"


TABLES = {  # p(y, x1, x2) in whole numbers: for each answer, and for each way to go wrong
    "neither cue alone": [[[1, 0], [0, 1]], [[0, 1], [1, 0]]],
    "either cue says all": [[[1, 0], [0, 0]], [[0, 0], [0, 1]]],
    "the first cue says all": [[[1, 1], [0, 0]], [[0, 0], [1, 1]]],
    "only the first cue says something": [[[9, 9], [1, 1]], [[1, 1], [9, 9]]],
    "only the second cue says something": [[[9, 1], [9, 1]], [[1, 9], [1, 9]]],
    "independent given y": [[[64, 16], [16, 4]], [[9, 21], [21, 49]]],
    "the second cue adds half a point": [[[400, 50], [45, 5]], [[45, 55], [200, 200]]],
    "the likeliest sum is not the best": [[[5, 6], [0, 6]], [[3, 4], [5, 2]]],
    "two steps of 0.008 down": [[[175, 121], [75, 129]], [[75, 129], [175, 121]]],
    "single 0.008 below 0.624": [[[165, 121], [85, 85]], [[85, 129], [165, 165]]],
    "late 0.008 below 0.624": [[[165, 85], [85, 129]], [[85, 165], [165, 121]]],
    "the second cue is a worse copy of the first": [[[780, 20], [5, 195]], [[195, 5], [20, 780]]],
}


def draw_table(g, name):
    """This table with labels and values of the cues in another order; the right answer stays."""
    joint = np.array(TABLES[name])
    for axis in range(3):
        joint = np.take(joint, g.permutation(joint.shape[axis]), axis)
    return (joint / joint.sum(),)


def draw_own_table(g):
    return (g.multinomial(40, np.ones(8) / 8).reshape(2, 2, 2) / 40,)


choice = exercise(
    "fusion.4",
    choose,
    title="Which method would you choose?",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context("You are given `joint[y, x1, x2]`, the probability of label and two cues."),
        says(
            "Name the *simplest* family whose ceiling is at most 0.01 below the joint ceiling:",
            mistake="You allow no slack",
        ),
        says('- `"single"`: the better of the two cues alone,', mistake="take the better of the two"),
        says(
            '- `"late"`: the best sum of separate scores, `ceilings.additive_accuracy(joint)`,',
            mistake="That is what maximum likelihood picks",
        ),
        says('- `"interaction"`: anything less will not do.', mistake='You always choose "late"'),
        paragraph(),
        context("No ceiling is exactly 0.01 below the joint one."),
        context(
            "The other ceilings: `ceilings.bayes_accuracy(table)`, and `ceilings.marginal(joint, [0])` is the "
            "table of the first cue."
        ),
        example("""
xor = np.zeros((2, 2, 2))
xor[[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]] = 1 / 4
alone = ceilings.bayes_accuracy(ceilings.marginal(xor, [0]))
print("XOR:", alone, ceilings.additive_accuracy(xor), ceilings.bayes_accuracy(xor), "-> interaction")
"""),
        says("**Write** `choose(joint)`, which returns one of the three words.", ignored=lambda joint: joint.argmax()),
    ],
    hints=[
        "Three numbers first: the larger single ceiling, the additive one, the joint one. Compare with the joint one, "
        "not with 1.",
        "Ask in the order single, late, interaction, and return at the first that is enough. `ceiling >= best - 0.01`.",
    ],
    draw=draw_table,
    parts=[
        part("is one cue enough?", name=in_turn("only the first cue says something", "neither cue alone")),
        part("is the other one?", name=in_turn("only the second cue says something", "independent given y")),
        part("is a sum enough?", name=in_turn("the likeliest sum is not the best", "neither cue alone")),
        part("close calls", weight=2, name=in_turn(*list(TABLES)[6:])),
        part("no noise", name=in_turn(*list(TABLES)[:3])),
    ],
    constant={"joint": "two labels and two cues with two values each, so the sizes stay"},
    own=draw_own_table,
    mistakes={
        "That is what maximum likelihood picks among the sums, not the best sum: use `additive_accuracy`.": (
            "late = ceilings.loglinear_accuracy(joint)"
        ),
        "You allow no slack. A ceiling at most 0.01 below the joint one counts as enough.": edit("0.01", "0.0"),
        "You allow the slack for a single cue only. Late fusion, too, is enough at most 0.01 below the joint ceiling.": (
            edit("late >= best - 0.01", "late >= best - 1e-9")
        ),
        "Your slack is too wide: 0.01 is meant, one percentage point of accuracy.": edit("0.01", "0.1"),
        "You allow one percent of the ceiling. The slack is 0.01 itself, one percentage point.": edit(
            "best - 0.01", "0.99 * best"
        ),
        "You compare a single cue with late fusion. Compare each ceiling with the joint one: two small steps down can "
        "be too far together.": edit("single >= best", "single >= late"),
        "You looked at the first cue only. Either of the two may be enough alone.": edit("(0, 1)", "(0,)"),
        "You compare with 1. Nobody reaches 1 here: the joint ceiling is the measure.": "best = 1.0",
        "You always choose interaction. It is never below, but often no better: the simplest that is enough is "
        "wanted.": lambda joint: "interaction",
        "Here one cue is enough: take the better of the two, and ask it first.": [
            edit("max(", "min("),
            edit("(0, 1)", "(1,)"),
        ],
        'You never answer "single". Where one cue is enough, joining only adds weights: ask that first.': "single = 0",
        'You always choose "late". Compare its ceiling with the single one and with the joint one.': (
            lambda joint: "late"
        ),
        "You averaged the two single ceilings. The better of the two cues counts.": (
            "single = np.mean([ceilings.bayes_accuracy(ceilings.marginal(joint, [m])) for m in (0, 1)])"
        ),
    },
    praise="Two ceilings, computed before any training, say whether fusion and interaction are worth their weights.",
)


@right(choice)
def from_the_top(joint):
    top = joint.max(axis=0).sum()
    if top - ceilings.additive_accuracy(joint) > 0.01:
        return "interaction"
    alone = [joint.sum(axis=axis).max(axis=0).sum() for axis in (1, 2)]
    return "late" if top - max(alone) > 0.01 else "single"


@right(choice)
def by_order(joint):
    best = ceilings.bayes_accuracy(joint)
    limits = {
        "single": max(ceilings.bayes_accuracy(joint.sum(axis=1)), ceilings.bayes_accuracy(joint.sum(axis=2))),
        "late": ceilings.additive_accuracy(joint),
        "interaction": best,
    }
    return next(name for name, value in limits.items() if value + 0.01 >= best)


# ---------------------------------------------------------------- blanks
def softmax(scores):
    """Over the last axis."""
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def draw_votes():
    g = np.random.default_rng(0)
    found = []
    for readers, n, classes in ((2, 1, 2), (3, 4, 3), (1, 2, 3)):
        opinions = np.log(softmax(g.normal(size=(readers, n, classes)).round(1)))
        found.append((opinions, np.log(softmax(g.normal(size=classes).round(1)))))
    return found


@blank(
    "fusion.blank.1",
    title="A vote in which the prior counts once",
    inputs=draw_votes,
    mistakes=[
        (
            lambda p, prior: np.log(softmax(p.sum(axis=0))),
            "The prior is forgotten: each opinion contains it, so take it out M − 1 times.",
        ),
        (
            lambda p, prior: np.log(softmax(p.sum(axis=0) - len(p) * prior)),
            "You take the prior out M times, so that it does not count at all. M − 1 times.",
        ),
        (
            lambda p, prior: np.log(softmax(p.sum(axis=0) + prior)),
            "You added the prior. The opinions contain it already: take it out M − 1 times.",
        ),
        (
            lambda p, prior: p.sum(axis=0) - (len(p) - 1) * prior,
            "Not normalized yet: the exponentials of each row must sum to 1.",
        ),
        (
            lambda p, prior: softmax(p.sum(axis=0) - (len(p) - 1) * prior),
            "These are probabilities. Return their logarithms.",
        ),
        (
            lambda p, prior: np.log(softmax((p.sum(axis=0) - (len(p) - 1) * prior).T).T),
            "You normalized over the samples. Each sample's classes sum to 1.",
        ),
        (lambda p, prior: np.log(softmax(p.mean(axis=0))), "That is the mean of the logarithms. Sum them."),
    ],
    what="The log-probabilities",
)
def log_linear_vote(log_opinions, log_prior):
    scores = log_opinions.sum(axis=0) - (len(log_opinions) - 1) * log_prior
    return np.log(softmax(scores))


def draw_opinions():
    g = np.random.default_rng(1)
    return [(g.normal(size=shape).round(1),) for shape in ((2, 3, 2), (3, 4, 3), (3, 1, 3))]


@blank(
    "fusion.blank.2",
    title="What the stacked model sees",
    inputs=draw_opinions,
    mistakes=[
        (
            lambda logits: np.log(softmax(logits)).reshape(logits.shape[1], -1),
            "This mixes the samples: bring the batch axis to the front (`swapaxes(0, 1)`) before you reshape.",
        ),
        (
            lambda logits: logits.swapaxes(0, 1).reshape(logits.shape[1], -1),
            "These are the logits. Take the log-softmax of each reader first.",
        ),
        (
            lambda logits: softmax(logits).swapaxes(0, 1).reshape(logits.shape[1], -1),
            "These are probabilities. Their logarithms are wanted.",
        ),
        (
            lambda logits: np.log(softmax(logits)).transpose(1, 2, 0).reshape(logits.shape[1], -1),
            "These are the numbers class by class. Reader by reader is wanted: all classes of the first reader, then of the next.",
        ),
        (
            lambda logits: np.log(softmax(logits.swapaxes(0, 1).reshape(logits.shape[1], -1))),
            "One softmax over all numbers. Each reader's probabilities sum to 1 by themselves.",
        ),
        (
            lambda logits: np.log(softmax(logits)).sum(axis=0),
            "That is a vote. Keep all M · classes numbers side by side.",
        ),
        (
            lambda logits: np.log(softmax(logits)).swapaxes(0, 1),
            "Nearly: flatten the last two axes, so that each sample has one row of M · classes numbers.",
        ),
    ],
    what="The features",
)
def stacking_features(logits):
    log_p = np.log(softmax(logits))
    return log_p.swapaxes(0, 1).reshape(logits.shape[1], -1)


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def draw_gates():
    g = np.random.default_rng(2)
    found = []
    for b, dims, k in ((2, (1, 2), 2), (3, (3, 2, 4), 5), (1, (2, 2, 2), 3)):
        xs = [g.normal(size=(b, d)).round(1) for d in dims]
        hidden = [g.normal(size=(d, k)).round(1) for d in dims]
        gates = [g.normal(size=(sum(dims), k)).round(1) for _ in dims]
        found.append((xs, hidden, gates))
    return found


def _gated(xs, hidden, gates, gate=sigmoid, bend=np.tanh, sees=None):
    both = np.concatenate(xs, axis=1)
    seen = [both] * len(xs) if sees is None else sees(xs)
    return sum(gate(s @ g) * bend(x @ w) for s, x, w, g in zip(seen, xs, hidden, gates, strict=True))


@blank(
    "fusion.blank.3",
    title="A gated unit",
    inputs=draw_gates,
    mistakes=[
        (lambda *a: _gated(*a, gate=lambda s: s), "The gate lacks its sigmoid, so it is no share between 0 and 1."),
        (lambda *a: _gated(*a, gate=np.tanh), "Your gate is a tanh and can be negative. Use the sigmoid."),
        (lambda *a: _gated(*a, bend=lambda s: s), "The hidden vectors lack their tanh."),
        (lambda *a: _gated(*a, bend=sigmoid), "The hidden vectors take tanh, not the sigmoid: they may be negative."),
        (
            lambda xs, hidden, gates: sum(np.tanh(x @ w) for x, w in zip(xs, hidden, strict=True)),
            "Nothing is gated: multiply each tanh by its gate.",
        ),
        (lambda *a: _gated(*a) / len(a[0]), "That is the mean over the modalities. The formula sums."),
        (
            lambda *a: _gated(*a, gate=lambda s: sigmoid(s).mean(axis=1, keepdims=True)),
            "One gate for the whole vector. Each of the k features has a gate of its own.",
        ),
    ],
    what="The result",
)
def gated_unit(xs, hidden, gates):
    return _gated(xs, hidden, gates)


def draw_vectors():
    g = np.random.default_rng(3)
    sizes = ((1, (2, 1)), (2, (3, 2, 4)), (3, (2,)), (2, (2, 2, 2)))
    return [([g.normal(size=(b, d)).round(1) for d in dims],) for b, dims in sizes]


def with_one(x):
    return np.hstack([x, np.ones((len(x), 1))])


def _products(xs, extend=with_one, order="last fastest"):
    made = np.ones((len(xs[0]), 1))
    for x in xs:
        pair = made[:, :, None] * extend(x)[:, None, :]
        made = (pair if order == "last fastest" else pair.swapaxes(1, 2)).reshape(len(x), -1)
    return made


@blank(
    "fusion.blank.4",
    title="All products, with the 1s",
    inputs=draw_vectors,
    mistakes=[
        (
            lambda xs: _products(xs, extend=lambda x: x),
            "The 1s are missing: without them no term has one modality alone.",
        ),
        (
            lambda xs: _products(xs, extend=lambda x: np.hstack([np.ones((len(x), 1)), x])),
            "The 1 comes *behind* each vector: [x; 1].",
        ),
        (
            lambda xs: _products(xs, order="first fastest"),
            "The order is turned around: the last modality varies fastest.",
        ),
        (
            lambda xs: np.hstack([with_one(x) for x in xs]),
            "These are the vectors side by side. Multiply: every entry with every entry.",
        ),
        (
            lambda xs: np.hstack([_products(xs, extend=lambda x: x), np.ones((len(xs[0]), 1))]),
            "One 1 for all is not enough: each vector gets its own *before* the products.",
        ),
        (
            lambda xs: _products(xs).sum(axis=0, keepdims=True),
            "You summed over the batch. Each sample has its own products: (b, …).",
        ),
    ],
    what="The products",
)
def tensor_with_ones(xs):
    return _products(xs)


def draw_low_ranks():
    g = np.random.default_rng(4)
    found = []
    for b, dims, rank, k in ((1, (1, 1), 2, 1), (2, (3, 2, 4), 4, 5), (3, (2, 2), 1, 2)):
        xs = [g.normal(size=(b, d)).round(1) for d in dims]
        found.append((xs, [g.normal(size=(rank, d + 1, k)).round(1) for d in dims]))
    return found


def _mapped(xs, factors):
    return [np.einsum("bi,rik->brk", with_one(x), f) for x, f in zip(xs, factors, strict=True)]


@blank(
    "fusion.blank.5",
    title="Low-rank tensor fusion",
    inputs=draw_low_ranks,
    mistakes=[
        (
            lambda xs, fs: np.prod([m.sum(axis=1) for m in _mapped(xs, fs)], axis=0),
            "You summed over r before multiplying. A product of sums is not a sum of products: sum last.",
        ),
        (lambda xs, fs: np.prod(_mapped(xs, fs), axis=0), "Nearly: the sum over r, axis 1, is missing."),
        (lambda xs, fs: np.sum(_mapped(xs, fs), axis=0).sum(axis=1), "You added the modalities. Multiply their maps."),
        (lambda xs, fs: np.prod(_mapped(xs, fs), axis=0).mean(axis=1), "That is the mean over r. The formula sums."),
        (lambda xs, fs: np.prod(_mapped(xs, fs), axis=0).prod(axis=1), "You multiplied over r as well. Over r, sum."),
        (
            lambda xs, fs: np.prod(
                [np.einsum("bi,rik->brk", x, f[:, :-1]) for x, f in zip(xs, fs, strict=True)], axis=0
            ).sum(axis=1),
            "The 1s are missing: append one to each vector; the factors have a row for it.",
        ),
    ],
    what="The result",
)
def low_rank_tensor(xs, factors):
    return np.prod(_mapped(xs, factors), axis=0).sum(axis=1)


# ---------------------------------------------------------------- an open challenge
NUM_TRAIN, NUM_TEST, WIDTH = 1500, 1000, 12


def draw_turned_challenge(g):
    """Three vectors per sample, some missing: the second turns the first around, the third adds."""
    directions = g.normal(size=(3, WIDTH))
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    n = NUM_TRAIN + NUM_TEST
    x = g.normal(size=(n, 3, WIDTH)).astype(np.float32)
    s = np.einsum("nmd,md->nm", x, directions)
    score = s[:, 0] * s[:, 1] + 0.6 * s[:, 2] + 0.15 * g.normal(size=n)
    there = np.ones((n, 3), bool)
    gone = np.flatnonzero(g.random(n) < 0.25)
    there[gone, g.integers(0, 3, len(gone))] = False
    labels = np.digitize(score, np.quantile(score[:NUM_TRAIN], [1 / 3, 2 / 3]))
    x = np.where(there[:, :, None], x, 0)
    given = {"train": x[:NUM_TRAIN], "train_there": there[:NUM_TRAIN], "train_labels": labels[:NUM_TRAIN]}
    return Drawn(given | {"test": x[NUM_TRAIN:], "test_there": there[NUM_TRAIN:]}, labels[NUM_TRAIN:])


def turned_accuracy(handed_in, inputs, labels):
    """Share of the hidden labels that were predicted."""
    return np.mean(handed_in["predictions"] == labels)


challenge(
    "fusion.challenge",
    title="Which fusion fits?",
    statement=[
        "Each sample has three modalities, vectors of 12 numbers: `train` (1500, 3, 12) with `train_labels` 0, 1, 2, and `test` "
        "(1000, 3, 12). In a quarter of the samples one modality is missing: its numbers are 0, and `train_there` and "
        "`test_there`, bool (n, 3), say so. What the first modality means depends on the second; the third counts by itself. Predict the labels "
        "of `test`, in any way. On the draw below, one answer for all reaches 0.35, a linear model 0.54, a linear model on all products of "
        "two modalities 0.58, and a gated unit 0.66 (its epoch chosen on 300 samples held back). With 1,500 "
        "samples, *few* weights in the right form matter more than many.",
    ],
    draw=draw_turned_challenge,
    score=turned_accuracy,
    hand_in={"predictions": Array((NUM_TEST,), "integer")},
    to_beat=0.62,
    points_by_score={0.62: 1, 0.67: 2, 0.72: 3},
    minutes=60,
    score_name="accuracy",
)
