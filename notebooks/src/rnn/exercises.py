"""An LSTM's step, a GRU carried to Keras, a gradient through time, the blanks and a challenge; two modules are in their own file."""

import numpy as np

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
    lesson,
    part,
    right,
    says,
)

lesson(
    "rnn",
    promise="One step of an LSTM by hand, a GRU carried from PyTorch to Keras, a gradient through time that you judge, and "
    "in PyTorch a classifier that stops at the last word and training on a long text in pieces.",
    uses="NumPy; the last two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse.check import check


def sigmoid(s):
    return 1 / (1 + np.exp(-s))
""",
)


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


# ---------------------------------------------------------------- 1
def lstm_step(x, h, c, W, U, b):
    """Return the new h and the new c, both (batch, d)."""
    sums = x @ W + h @ U + b
    i, f, g, o = np.split(sums, 4, axis=1)  # each (batch, d)
    new_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    new_h = sigmoid(o) * np.tanh(new_c)
    return new_h, new_c


def draw_cell(g, b, d_in, d):
    shapes = (b, d_in), (b, d), (b, d), (d_in, 4 * d), (d, 4 * d), (4 * d,)
    return tuple(g.normal(size=shape).round(2) for shape in shapes)


SWAPS = {
    "i and f": edit("i, f, g, o =", "f, i, g, o ="),
    "i and g": edit("i, f, g, o =", "g, f, i, o ="),
    "i and o": edit("i, f, g, o =", "o, f, g, i ="),
    "f and g": edit("i, f, g, o =", "i, g, f, o ="),
    "f and o": edit("i, f, g, o =", "i, o, g, f ="),
    "g and o": edit("i, f, g, o =", "i, f, o, g ="),
}

cell = exercise(
    "rnn.1",
    lstm_step,
    title="One step of an LSTM",
    points=2,
    difficulty=1,
    minutes=8,
    statement=[
        says(r"$$i, f, g, o = \text{four parts of } xW + hU + b$$", mistake="You left out the bias b"),
        says(
            r"$$c' = \sigma(f) \odot c + \sigma(i) \odot \tanh(g) \qquad h' = \sigma(o) \odot \tanh(c')$$",
            mistake="Your h shows the old cell",
        ),
        context(
            r"**Example.** State 1 wide, all weights 0: every gate is $\sigma(0) = 0.5$, so half of $c = 2$ stays."
        ),
        example("""
c_new = 0.5 * 2.0 + 0.5 * np.tanh(0.0)
print("c'", c_new, "  h'", (0.5 * np.tanh(c_new)).round(3))
"""),
        says(
            "**Write** `lstm_step(x, h, c, W, U, b)` for `x` (batch, d_in), `h` and `c` (batch, d), `W` (d_in, 4d), `U` "
            "(d, 4d), `b` (4d,).",
            mistake="Your gates look at the cell c",
        ),
        says(
            "Return two arrays: the new $h$ and the new $c$, each (batch, d).", mistake="in the wrong order: h, then c"
        ),
    ],
    hints=[
        "Compute `x @ W + h @ U + b` once; `np.split(…, 4, axis=1)` cuts its columns into i, f, g, o, in this order.",
        "Three gates pass through `sigmoid`, the candidate g through `np.tanh`. And h' shows the *new* cell: "
        "`np.tanh(c_new)`.",
    ],
    draw=draw_cell,
    parts=[
        part(
            "all weights 0",
            public_only=True,
            inputs=[
                (
                    np.array([[1.0]]),
                    np.array([[0.0]]),
                    np.array([[2.0]]),
                    np.zeros((1, 4)),
                    np.zeros((1, 4)),
                    np.array([0.0, 1.0, 0.5, -1.0]),
                )
            ],
        ),
        part("one sample", b=1, d_in=between(1, 4), d=between(2, 4)),
        part("a batch", weight=2, b=between(2, 5), d_in=between(2, 5), d=between(2, 5)),
        part("a state one number wide", b=between(1, 3), d_in=between(1, 3), d=1),
    ],
    own={"b": 1, "d_in": 1, "d": 1},
    own_says="Numbers of your own",
    mistakes={
        **{f"You took {names} for each other: the order is i, f, g, o.": change for names, change in SWAPS.items()},
        "The order is i, f, g, o, and g passes through tanh.": edit(
            "i, f, g, o =", "i, f, o, g =", "np.tanh(g)", "sigmoid(g)"
        ),
        "Your candidate g passes through a sigmoid. It may be negative: tanh.": edit("np.tanh(g)", "sigmoid(g)"),
        "Your candidate g is not squeezed: it passes through tanh.": edit("np.tanh(g)", "g"),
        "Your gates pass through tanh. A gate lies between 0 and 1: sigmoid.": edit("sigmoid(", "np.tanh("),
        "Your gates are raw sums. A gate lies between 0 and 1: sigmoid.": edit("sigmoid(", "("),
        "Your h shows the old cell. It shows the new one: tanh of the new c.": "new_h = sigmoid(o) * np.tanh(c)",
        "Your h shows c itself. It shows tanh of c.": "new_h = sigmoid(o) * new_c",
        "You keep 1 − i of the old cell, as a GRU would. Keeping has a gate of its own: f.": (
            "new_c = (1 - sigmoid(i)) * c + sigmoid(i) * np.tanh(g)"
        ),
        "You write 1 − f of the candidate, as a GRU would. Writing has a gate of its own: i.": (
            "new_c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(g)"
        ),
        "You write the candidate without its gate: multiply it by σ(i).": "new_c = sigmoid(f) * c + np.tanh(g)",
        "You carry on h in place of the cell: the new c keeps σ(f) of the *old c*.": (
            "new_c = sigmoid(f) * h + sigmoid(i) * np.tanh(g)"
        ),
        "Your new h is the gate's share of c with tanh around all of it: tanh of the new c first, then σ(o).": (
            "new_h = np.tanh(sigmoid(o) * new_c)"
        ),
        "Your second result is h again. Return the new cell c there.": "return new_h, new_h",
        "You keep the old cell without its gate: multiply it by σ(f).": "new_c = c + sigmoid(i) * np.tanh(g)",
        "You show tanh of the new c without its gate: multiply it by σ(o).": "new_h = np.tanh(new_c)",
        "Your gates do not see the old h: add `h @ U`.": "sums = x @ W + b",
        "You left out the bias b.": "sums = x @ W + h @ U",
        "Your gates look at the cell c. They look at h.": "sums = x @ W + c @ U + b",
        "Both are right, in the wrong order: h, then c.": "return new_c, new_h",
        "You added 1 to the forget gate. `b` holds such a start already: use the sums as they are.": edit(
            "sigmoid(f)", "sigmoid(f + 1)"
        ),
        "You took every fourth column for a gate. The four parts are blocks of d columns, side by side.": (
            "i, f, g, o = np.moveaxis(sums.reshape(len(sums), -1, 4), -1, 0)"
        ),
    },
    praise="Keep some, write some, show some: that is the whole cell.",
    names=("h", "c"),
)


@right(cell)
def by_slices(x, h, c, W, U, b):
    d = c.shape[1]
    sums = np.hstack([x, h]) @ np.vstack([W, U]) + b
    gates = 0.5 + 0.5 * np.tanh(sums / 2)
    new = gates[:, d : 2 * d] * c + gates[:, :d] * np.tanh(sums[:, 2 * d : 3 * d])
    return np.tanh(new) * gates[:, 3 * d :], new


# ---------------------------------------------------------------- 2
def to_keras(weight_ih, weight_hh, bias_ih, bias_hh):
    """Return kernel (d_in, 3d), recurrent kernel (d, 3d) and bias (2, 3d), gates z, r, h."""

    def swap(a):
        r, z, n = np.split(a, 3, axis=-1)
        return np.concatenate([z, r, n], axis=-1)

    bias = np.stack([bias_ih, bias_hh])
    return swap(weight_ih.T), swap(weight_hh.T), swap(bias)


def ordered(a, gates):
    """The last axis in this order of gates, out of r, z, n."""
    parts = dict(zip("rzn", np.split(a, 3, axis=-1), strict=True))
    return np.concatenate([parts[gate] for gate in gates], axis=-1)


def carrying(kernel="zrn", recurrent="zrn", bias="zrn"):
    """The right answer with other orders of gates."""
    return lambda w, u, b, c: (ordered(w.T, kernel), ordered(u.T, recurrent), ordered(np.stack([b, c]), bias))


def reshaped(w, u, b, c):
    """Rows read on as columns: the shape is right, the places are not."""
    kernel, recurrent, bias = to_keras(w, u, b, c)
    return kernel.T.reshape(kernel.shape), recurrent.T.reshape(recurrent.shape), bias


def kernel_reshaped(w, u, b, c):
    return reshaped(w, u, b, c)[0], *to_keras(w, u, b, c)[1:]


def recurrent_reshaped(w, u, b, c):
    kernel, _, bias = to_keras(w, u, b, c)
    return kernel, reshaped(w, u, b, c)[1], bias


def square_left(w, u, b, c):
    """Each gate's square block of the recurrent kernel left as it was."""
    r, z, n = np.split(u, 3, axis=0)
    kernel, _, bias = to_keras(w, u, b, c)
    return kernel, np.concatenate([z, r, n], axis=1), bias


def signed(gate):
    """The right answer with the sign of one gate's numbers changed."""

    def turned(a):
        parts = dict(zip("zrn", np.split(a, 3, axis=-1), strict=True))
        parts[gate] = -parts[gate]
        return np.concatenate(list(parts.values()), axis=-1)

    return lambda *given: tuple(map(turned, to_keras(*given)))


def rows_swapped(w, u, b, c):
    """The first two rows change places, whatever d is."""
    order = [1, 0, *range(2, len(b))]
    return w[order].T, u[order].T, np.stack([b[order], c[order]])


def interleaved(w, u, b, c):
    """Every third column is taken for a gate."""

    def swap(a):
        return a.reshape(len(a), -1, 3)[..., [1, 0, 2]].reshape(a.shape)

    return swap(w.T), swap(u.T), swap(np.stack([b, c]))


def draw_gru(g, d_in, d):
    return tuple(g.normal(size=shape).round(2) for shape in ((3 * d, d_in), (3 * d, d), (3 * d,), (3 * d,)))


def counting_gru(d_in, d):
    """Whole numbers, so that a learner sees what went where."""
    sizes = (3 * d, d_in), (3 * d, d), (3 * d,), (3 * d,)
    return tuple(
        start + np.arange(np.prod(size), dtype=float).reshape(size)
        for start, size in zip((1, 101, 201, 301), sizes, strict=True)
    )


carried = exercise(
    "rnn.2",
    to_keras,
    title="From PyTorch to Keras",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context("Somebody trained a GRU in PyTorch; you serve it with Keras."),
        says(
            "You get the four arrays of `nn.GRU`, whose gates are stacked in the order **r, z, n** along the *first* "
            "axis:",
            mistake="still stand as r, z, n",
        ),
        says(
            "| PyTorch | shape | | Keras wants | shape |\n"
            "|---|---|---|---|---|\n"
            "| `weight_ih` | (3d, d_in) | | kernel | (d_in, 3d) |\n"
            "| `weight_hh` | (3d, d) | | recurrent kernel | (d, 3d) |\n"
            "| `bias_ih`, `bias_hh` | (3d,) each | | bias: input's, then hidden's | (2, 3d) |",
            mistake="The rows of your bias",
        ),
        says(
            "Keras's order is **z, r, h** along the *last* axis ($h$ is its name for the candidate $n$).",
            mistake="You reversed the gates",
        ),
        context("**Example.** $d = 1$: three numbers, one for each gate."),
        example("""
r, z, n = 10, 20, 30
print("PyTorch's bias", [r, z, n], "  Keras's bias", [z, r, n])
"""),
        says(
            "**Write** `to_keras(weight_ih, weight_hh, bias_ih, bias_hh)`. Return three arrays: kernel, recurrent "
            "kernel, bias.",
            mistake="You added the two biases",
        ),
    ],
    hints=[
        "First bring every array into Keras's shape (`.T` for the weights, `np.stack` for the biases). Then all three "
        "need the same swap.",
        "Write a small function that splits the last axis in three and joins the parts again as second, first, third.",
    ],
    draw=draw_gru,
    parts=[
        part(
            "whole numbers",
            public_only=True,
            inputs=[counting_gru(d_in, d) for d_in, d in ((2, 1), (2, 3), (4, 2), (1, 2))],
        ),
        part("a state one number wide", d_in=between(1, 4), d=1),
        part("input and state of one width", d_in=3, d=3),
        part("input and state of two widths", weight=2, d_in=2, d=between(3, 5)),
    ],
    own=lambda g: tuple(g.integers(1, 100, shape) * 1.0 for shape in ((3, 1), (3, 1), (3,), (3,))),
    own_says="A GRU of your own, one number wide",
    mistakes={
        "Your gates still stand as r, z, n. Keras has z first: swap the first two thirds.": (
            carrying("rzn", "rzn", "rzn")
        ),
        "The kernels are right. The biases have gates too: swap them as well.": carrying(bias="rzn"),
        "You swapped the kernel's gates, not the recurrent kernel's.": carrying(recurrent="rzn"),
        "You swapped the biases' gates, not those of the two kernels.": carrying("rzn", "rzn"),
        "You swapped the kernel alone; the other two have gates too.": carrying(recurrent="rzn", bias="rzn"),
        "You reversed the gates to n, z, r. Only r and z change places: z, r, n.": carrying("nzr", "nzr", "nzr"),
        "You swapped z and n. It is r and z that change places: z, r, n.": carrying("rnz", "rnz", "rnz"),
        "You moved r to the end: z, n, r. The candidate n stays last: z, r, n.": carrying("znr", "znr", "znr"),
        "You moved n to the front. The candidate n stays last: z, r, n.": carrying("nrz", "nrz", "nrz"),
        "The rows of your bias stand upside down: first the input's, then the hidden's.": (
            "bias = np.stack([bias_hh, bias_ih])"
        ),
        "You added the two biases. In an LSTM that is right; in a GRU the reset gate stands between: keep both.": (
            "bias = bias_ih + bias_hh"
        ),
        "You moved both biases into the first row. The reset gate stands between them: keep each.": (
            "bias = np.stack([bias_ih + bias_hh, 0 * bias_hh])"
        ),
        "You used `reshape` where the axes must change places: `.T`.": [reshaped, kernel_reshaped, recurrent_reshaped],
        "The blocks of your recurrent kernel are not turned: take `weight_hh.T` first.": square_left,
        "You changed the sign of a gate's numbers. Both libraries mean the same by z: only places change, no number does.": [
            signed("z"),
            signed("r"),
        ],
        "You swapped two single rows. A gate has d rows: swap blocks of d.": rows_swapped,
        "You swapped every third column. A gate is a block of d columns: split the axis into three.": interleaved,
    },
    praise="Turned, swapped, both biases kept: the same network in the other house.",
    names=("kernel", "recurrent kernel", "bias"),
)


@right(carried)
def by_places(weight_ih, weight_hh, bias_ih, bias_hh):
    d = len(bias_ih) // 3
    places = [*range(d, 2 * d), *range(d), *range(2 * d, 3 * d)]
    return weight_ih[places].T, weight_hh[places].T, np.array([bias_ih[places], bias_hh[places]])


# ---------------------------------------------------------------- 3
def judge(U, h, dlast):
    """Return norms (t,), rate and "vanishes", "explodes" or "holds"."""
    gradient, norms = dlast, [np.linalg.norm(dlast)]
    for state in h[:0:-1]:  # the last state back to the second
        gradient = (gradient * (1 - state**2)) @ U.T
        norms.append(np.linalg.norm(gradient))
    rate = (norms[-1] / norms[0]) ** (1 / (len(norms) - 1))
    left = rate**100
    verdict = "vanishes" if left < 0.01 else "explodes" if left > 100 else "holds"
    return np.array(norms), rate, verdict


def going_back(step):
    """The right answer with another step from state k to state k - 1."""

    def answer(U, h, dlast):
        norms, gradient = [np.linalg.norm(dlast)], dlast
        for k in range(len(h) - 1, 0, -1):
            gradient = step(gradient, U, h[k], h[k - 1])
            norms.append(np.linalg.norm(gradient))
        return judged(np.array(norms))

    return answer


def judged(norms, rate=None):
    rate = (norms[-1] / norms[0]) ** (1 / (len(norms) - 1)) if rate is None else rate
    return norms, rate, "vanishes" if rate**100 < 0.01 else "explodes" if rate**100 > 100 else "holds"


def with_norms(change):
    return lambda U, h, dlast: (change(judge(U, h, dlast)[0]), *judge(U, h, dlast)[1:])


def with_rate(rate):
    return lambda U, h, dlast: judged(judge(U, h, dlast)[0], rate(judge(U, h, dlast)[0]))


def spectral_radius(U, h, dlast):
    return judged(judge(U, h, dlast)[0], np.abs(np.linalg.eigvals(U)).max())


def draw_past(g, scale, size, turn=False, t=None):
    """A matrix, states and the last gradient; with `turn` the matrix keeps lengths."""
    d = g.integers(2, 5)
    matrix = g.normal(size=(d, d))
    matrix = np.linalg.qr(matrix)[0] if turn else matrix
    states = size * g.uniform(-1, 1, (g.integers(3, 8) if t is None else t, d))
    matrix = scale * matrix
    return matrix if turn else matrix.round(3), states.round(4), (3 * g.normal(size=d)).round(2)


def draw_own_past(g):
    return g.uniform(0.3, 1.5, (1, 1)).round(2), g.uniform(-0.9, 0.9, (3, 1)).round(2), np.array([1.0])


through_time = exercise(
    "rnn.3",
    judge,
    title="Will it learn that far back?",
    points=3,
    difficulty=3,
    minutes=12,
    statement=[
        context(
            r"A plain RNN, $h_t = \tanh(x_t W + h_{t-1} U + b)$, has read a sequence. You get its matrix `U` (d, d),"
        ),
        says(
            "its states `h` (t, d), two or more, the first to the last,",
            mistake="You walked the states in the wrong direction",
        ),
        says(
            r"and `dlast` (d,), not 0 everywhere, the gradient $\partial L/\partial h_t$ at the last one. One step back:",
            mistake="You took the slope at the earlier state",
        ),
        says(
            r"$$\frac{\partial L}{\partial h_{t-1}} = \Big(\frac{\partial L}{\partial h_t} \odot (1 - h_t^2)\Big)\, "
            r"U^\top$$",
            mistake="You multiplied by U",
        ),
        context(
            "**Example.** One number of memory, $u = 0.5$, two states. The slope at the second is $1 - 0.6^2 = 0.64$."
        ),
        example('print("at the second state 1.0, at the first", 1.0 * (1 - 0.6**2) * 0.5)'),
        says("**Write** `judge(U, h, dlast)`. Return three things:", ignored="return np.array(norms), rate"),
        says(
            r"- `norms` (t,): the length $\lVert\partial L/\partial h_k\rVert$ from the **last** state back to the "
            "**first**;",
            mistake="run from the first state to the last",
        ),
        says(
            r"- `rate`: the factor per step, on (geometric) average: $(\text{last of norms} / \text{first of "
            r"norms})^{1/(t-1)}$;",
            mistake="t-th root",
        ),
        says(
            '- `verdict`: what 100 steps at this rate would do. `"vanishes"` if less than 1 % is left,',
            mistake="You never say that it vanishes",
        ),
        says('`"explodes"` if it grows more than 100-fold,', mistake="You never say that it explodes"),
        says('else `"holds"`.', mistake="too strict"),
    ],
    hints=[
        "There are t states and t − 1 steps between them. The step from state k to state k − 1 uses the slope at state "
        "**k**, the later one.",
        "`for state in h[:0:-1]:` runs from the last state to the second. In it: `gradient = (gradient * (1 - state**2)) "
        "@ U.T`.",
    ],
    draw=draw_past,
    parts=[
        part(
            "one number wide",
            public_only=True,
            inputs=[(np.array([[0.5]]), np.array([[0.8], [0.6], [0.3]]), np.array([1.0]))],
        ),
        part("gradients that vanish", scale=0.4, size=0.9),
        part("gradients that explode", scale=3, size=0.3),
        part("gradients that hold", weight=2, scale=1, size=0.15, turn=True),
        part("gradients that hardly change", scale=1, size=0.01, turn=True),
        part("two states", scale=1, size=0.5, t=2),
    ],
    own=draw_own_past,
    own_says="A matrix, states and a last gradient of your own",
    mistakes={
        "You multiplied by U. The way back goes through its transpose: `U.T`.": edit("U.T", "U"),
        "You left out the slope of tanh, 1 − h².": "gradient = gradient @ U.T",
        "You took the slope at the earlier state. A step back starts at the later.": (
            going_back(lambda g, U, now, before: (g * (1 - before**2)) @ U.T)
        ),
        "h is after the tanh already: 1 − h², without another tanh.": edit("state**2", "np.tanh(state) ** 2"),
        "Your slope is 1 − h. That of tanh is 1 − h².": edit("state**2", "state"),
        "h(1 − h) is the slope of the sigmoid. That of tanh is 1 − h².": edit("(1 - state**2)", "state * (1 - state)"),
        "Your slope is h². That of tanh is 1 − h².": edit("(1 - state**2)", "state**2"),
        "First the slope, then U.T: tanh came last going forward, so it comes first going back.": (
            going_back(lambda g, U, now, before: (1 - now**2) * (g @ U.T))
        ),
        "You walked the states in the wrong direction: start at the last one.": (
            lambda U, h, dlast: judge(U, h[::-1], dlast)
        ),
        "Your `norms` run from the first state to the last. They should run backwards: last state first.": (
            with_norms(lambda norms: norms[::-1])
        ),
        "Your `norms` are squared lengths: take the root.": with_norms(lambda norms: norms**2),
        "Your `norms` are shares of the first one. Asked are the lengths themselves.": (
            with_norms(lambda norms: norms / norms[0])
        ),
        "Your `rate` takes the t-th root; there are t − 1 steps.": with_rate(lambda n: (n[-1] / n[0]) ** (1 / len(n))),
        "Your `rate` is upside down: last over first.": with_rate(lambda n: (n[0] / n[-1]) ** (1 / (len(n) - 1))),
        "Your `rate` is the plain mean. Factors multiply: geometric mean.": with_rate(
            lambda n: (n[1:] / n[:-1]).mean()
        ),
        "Your `rate` is for all steps together. It should be for one step: take the root.": with_rate(
            lambda n: n[-1] / n[0]
        ),
        "Your `rate` is that of the first step back only.": with_rate(lambda n: n[1] / n[0]),
        "Your `rate` is the spectral radius of U. Tanh's slopes take their share too: measure.": spectral_radius,
        "Your `verdict` asks if the rate is below or above 1. It should look at rate**100.": (
            'verdict = "vanishes" if rate < 1 else "explodes" if rate > 1 else "holds"'
        ),
        "Your `verdict` looks at this sequence. It should say what 100 steps would leave.": "left = norms[-1] / norms[0]",
        "Your `verdict` is too strict: from 1 % to 100-fold it holds.": edit("< 0.01", "< 0.99", "> 100", "> 1.01"),
        'Your `verdict` has its words exchanged: little left is "vanishes", much more is "explodes".': (
            'verdict = "explodes" if left < 0.01 else "vanishes" if left > 100 else "holds"'
        ),
        "Your `verdict` takes another number of steps. It should say what 100 would leave: rate**100.": [
            f"left = rate**{steps}" for steps in (10, 50)
        ],
        "Your `norms` add up sizes. A length is the root of the sum of squares: `np.linalg.norm`.": edit(
            "np.linalg.norm(dlast)", "np.abs(dlast).sum()", "np.linalg.norm(gradient)", "np.abs(gradient).sum()"
        ),
        "You never say that it explodes.": edit("> 100", "> np.inf"),
        "You never say that it vanishes.": edit("< 0.01", "< 0"),
    },
    praise="Measured on this network, on this sequence: better than any rule of thumb.",
    names=("norms", "rate", "verdict"),
)


@right(through_time)
def by_matrices(U, h, dlast):
    back, norms = dlast, [np.linalg.norm(dlast)]
    for k in range(1, len(h)):
        back = back @ (np.diag(1 - h[-k] ** 2) @ U.T)
        norms.append(np.sqrt(back @ back))
    rate = np.exp(np.log(norms[-1] / norms[0]) / (len(h) - 1))
    hundred = 100 * np.log10(rate)
    return np.array(norms), rate, "explodes" if hundred > 2 else "vanishes" if hundred < -2 else "holds"


# ---------------------------------------------------------------- the blanks of the lesson
def draw_blank_steps():
    g = np.random.default_rng(0)
    for b, d_in, d in ((1, 1, 1), (2, 3, 4), (3, 2, 2)):
        shapes = (b, d_in), (b, d), (d_in, d), (d, d), (d,)
        yield tuple(g.normal(size=shape).round(2) for shape in shapes)


@blank(
    "rnn.blank.1",
    title="One step of an RNN",
    inputs=draw_blank_steps,
    mistakes=[
        (lambda x, h, W, U, b: np.tanh(x @ W + b), "The old state is missing: add `h @ U`."),
        (lambda x, h, W, U, b: np.tanh(h @ U + b), "The new input is missing: add `x @ W`."),
        (lambda x, h, W, U, b: np.tanh(x @ W + h @ U), "The bias is missing."),
        (lambda x, h, W, U, b: x @ W + h @ U + b, "The tanh is missing: this is the sum before it."),
        (lambda x, h, W, U, b: np.tanh(x @ W) + np.tanh(h @ U + b), "One tanh around the whole sum, not one per part."),
        (lambda x, h, W, U, b: np.tanh(x @ W + h @ U.T + b), "`h @ U`, without a transpose: rows are samples."),
        (lambda x, h, W, U, b: 1 / (1 + np.exp(-(x @ W + h @ U + b))), "That is the sigmoid. This layer uses tanh."),
        (
            lambda x, h, W, U, b: h + np.tanh(x @ W + h @ U + b),
            "The old state is only in the sum; it is not added again.",
        ),
    ],
    what="The new state",
)
def rnn_step(x, h, W, U, b):
    return np.tanh(x @ W + h @ U + b)


def draw_blank_ways_back():
    g = np.random.default_rng(1)
    for b, d in ((1, 1), (2, 3), (1, 4)):
        yield g.normal(size=(b, d)).round(2), g.uniform(-0.9, 0.9, (b, d)).round(2), g.normal(size=(d, d)).round(2)


@blank(
    "rnn.blank.2",
    title="One step back through time",
    inputs=draw_blank_ways_back,
    mistakes=[
        (lambda dh, h, U: dh @ U.T, "The derivative of tanh is missing: multiply by 1 − h² first."),
        (lambda dh, h, U: (dh * (1 - h**2)) @ U, "The way back goes through the transpose: `U.T`."),
        (
            lambda dh, h, U: (dh @ U.T) * (1 - h**2),
            "First the derivative of tanh, then `U.T`: tanh came last going forward.",
        ),
        (lambda dh, h, U: (dh * (1 - np.tanh(h) ** 2)) @ U.T, "h is the tanh already: 1 − h², without another tanh."),
        (lambda dh, h, U: (dh * (1 - h)) @ U.T, "The derivative of tanh is 1 − h², not 1 − h."),
        (
            lambda dh, h, U: (dh * h * (1 - h)) @ U.T,
            "h (1 − h) is the derivative of the sigmoid. That of tanh is 1 − h².",
        ),
        (lambda dh, h, U: dh * (1 - h**2), "Not yet at the earlier state: go on through `U.T`."),
    ],
    what="The gradient at the earlier state",
)
def step_back(dh, h, U):
    return (dh * (1 - h**2)) @ U.T


def draw_blank_clips():
    g = np.random.default_rng(2)
    yield [np.array([3.0]), np.array([4.0])], 1.0
    yield [np.array([3.0]), np.array([4.0])], 10.0
    yield [g.normal(size=(2, 3)).round(2), g.normal(size=3).round(2)], 0.5
    yield [np.array([[0.1, -0.2]]), np.array([0.05])], 1.0


def _scaled(gradients, factor):
    return [gradient * factor for gradient in gradients]


def _length(gradients):
    return np.sqrt(sum((gradient**2).sum() for gradient in gradients))


@blank(
    "rnn.blank.3",
    title="Gradient clipping",
    inputs=draw_blank_clips,
    mistakes=[
        (
            lambda gs, m: _scaled(gs, m / _length(gs)),
            "Gradients that are short enough were stretched: leave them as they are.",
        ),
        (
            lambda gs, m: [g * min(1, m / np.linalg.norm(g)) for g in gs],
            "Each array was clipped by itself, which turns the direction. The norm is that of all numbers together.",
        ),
        (lambda gs, m: [np.clip(g, -m, m) for g in gs], "Single numbers were cut. It is the norm that is limited."),
        (lambda gs, m: gs, "Nothing is clipped."),
        (
            lambda gs, m: _scaled(gs, min(1, m / _length(gs) ** 2)),
            "Your norm is squared: take the square root of the sum of squares.",
        ),
        (
            lambda gs, m: _scaled(gs, min(1, m / sum(_length([g]) for g in gs))),
            "Norms do not add up: add the squares, then the root.",
        ),
    ],
    what="The gradients",
)
def clip_by_norm(gradients, max_norm):
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    factor = min(1, max_norm / norm)
    return [gradient * factor for gradient in gradients]


def draw_blank_cells():
    g = np.random.default_rng(3)
    for b, d_in, d in ((1, 1, 1), (2, 3, 2), (3, 2, 4)):
        yield draw_cell(g, b, d_in, d)


def _lstm(x, h, c, W, U, b, keep="f", write="i", candidate=np.tanh, show=np.tanh, gate=sigmoid, old=None):
    parts = dict(zip("ifgo", np.split(x @ W + h @ U + b, 4, axis=-1), strict=True))
    new_c = gate(parts[keep]) * (c if old is None else old(h, c)) + gate(parts[write]) * candidate(parts["g"])
    return gate(parts["o"]) * show(new_c), new_c


@blank(
    "rnn.blank.4",
    title="The LSTM's two lines",
    inputs=draw_blank_cells,
    mistakes=[
        (lambda *a: _lstm(*a, keep="i", write="f"), "i and f are exchanged: f says what to keep, i what to write."),
        (
            lambda *a: _lstm(*a, candidate=sigmoid),
            "The candidate g passes through tanh, not through a sigmoid: it may be negative.",
        ),
        (lambda *a: _lstm(*a, candidate=lambda s: s), "The candidate g passes through tanh."),
        (lambda *a: _lstm(*a, show=lambda s: s), "h shows tanh of the new cell, not the cell itself."),
        (lambda *a: _lstm(*a, gate=np.tanh), "A gate lies between 0 and 1: sigmoid, not tanh."),
        (lambda *a: _lstm(*a, gate=lambda s: s), "A gate passes through the sigmoid."),
        (lambda *a: _lstm(*a, old=lambda h, c: h), "What is kept is the old cell c, not the old h."),
        (
            lambda x, h, c, W, U, b: (
                sigmoid(np.split(x @ W + h @ U + b, 4, axis=-1)[3]) * np.tanh(c),
                _lstm(x, h, c, W, U, b)[1],
            ),
            "h shows the new cell; yours shows the old one.",
        ),
        (lambda *a: _lstm(*a)[::-1], "Both are right, in the wrong order: first h, then c."),
    ],
    names=("h", "c"),
)
def lstm_step_of_lesson(x, h, c, W, U, b):
    i, f, g, o = np.split(x @ W + h @ U + b, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, c


def draw_blank_masks():
    g = np.random.default_rng(4)
    for lengths, t in (((4, 2), 4), ((1, 3, 2), 5), ((3,), 3)):
        states = g.normal(size=(len(lengths), t, 3)).round(2)
        yield states, np.arange(t) < np.array(lengths)[:, None]


@blank(
    "rnn.blank.5",
    title="The last real state",
    inputs=draw_blank_masks,
    mistakes=[
        (lambda states, mask: states[:, -1], "That is the last column, and padding for short sentences."),
        (
            lambda states, mask: states[np.arange(len(states)), np.minimum(mask.sum(1), states.shape[1] - 1)],
            "One too far: the last of n real steps is at position n − 1.",
        ),
        (
            lambda states, mask: (states * mask[..., None]).sum(1) / mask.sum(1)[:, None],
            "That is the mean of the real states. One state per sentence is wanted: the last real one.",
        ),
        (lambda states, mask: states[:, 0], "That is the first state."),
        (
            lambda states, mask: states[:, mask.sum(1) - 1],
            "This takes every sentence's position from every sentence. Pair them: `states[rows, positions]`.",
        ),
    ],
    what="The states",
)
def last_real(states, padding_mask):
    rows = np.arange(len(states))
    lengths = padding_mask.sum(axis=1)
    return states[rows, lengths - 1]


# ---------------------------------------------------------------- an open challenge
LAMPS, NUM_TRAIN, NUM_TEST, LONGEST = 6, 1000, 1000, 40


def draw_machine(g):
    """Where each of eight buttons moves the light from each of six lamps: (8, 6)."""
    lamps = np.arange(LAMPS)
    swapped = lamps.copy()
    swapped[[0, 1]] = 1, 0
    moves = [
        (lamps + 1) % LAMPS,
        (lamps - 1) % LAMPS,
        (lamps + 2) % LAMPS,
        -lamps % LAMPS,
        swapped,
        0 * lamps,
        lamps,
        lamps,
    ]
    return np.stack(moves)[g.permutation(len(moves))]


def press(g, machine, n, shortest, longest):
    """Buttons 1 to 8 (n, 40), 0 for padding, and the lamp that is lit at the end (n,)."""
    lengths = g.integers(shortest, longest + 1, n)
    buttons = g.integers(len(machine), size=(n, LONGEST))
    lit = np.zeros(n, int)
    for t in range(LONGEST):
        lit = np.where(t < lengths, machine[buttons[:, t], lit], lit)
    return np.where(np.arange(LONGEST) < lengths[:, None], buttons + 1, 0), lit


def draw_lamp_challenge(g):
    """Short sequences with labels to train on, and long ones whose labels stay hidden."""
    machine = draw_machine(g)
    train, train_labels = press(g, machine, NUM_TRAIN, 2, 20)
    test, test_labels = press(g, machine, NUM_TEST, 30, LONGEST)
    return Drawn({"train": train, "train_labels": train_labels, "test": test}, test_labels)


def lamp_accuracy(handed_in, inputs, labels):
    """Share of the hidden labels that were predicted."""
    return np.mean(handed_in["predictions"] == labels)


challenge(
    "rnn.challenge",
    title="Which lamp is lit?",
    statement=[
        "A machine has six lamps in a circle, one of them lit: lamp 0 at the start. It has eight buttons, and each press of a",
        "button may move the light. What a button does depends only on which lamp is lit, and nobody knows what that is. `train`",
        "has 1,000 sequences of 2 to 20 presses (numbers 1 to 8, then 0 for padding) with `train_labels`, the lamp that is lit at",
        "the end. `test` has 1,000 sequences of **30 to 40** presses. Predict their lamps, in any way: a network of this lesson,",
        "another one, or by finding out what the buttons do. On the draw below, one answer for all reaches 0.32, a bag of button",
        "counts 0.26, and a plain RNN with 64 units 0.52 and 0.52 from two starts. An LSTM of the same width reached 0.90 and 0.94, in 40",
        "epochs or 3 seconds of one processor core.",
    ],
    draw=draw_lamp_challenge,
    score=lamp_accuracy,
    hand_in={"predictions": Array((NUM_TEST,), "integer")},
    to_beat=0.6,
    points_by_score={0.6: 1, 0.8: 2, 0.97: 3},
    minutes=60,
    score_name="accuracy",
)
