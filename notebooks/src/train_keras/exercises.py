"""Training in Keras: settings translated, a GRU carried over, when early stopping stops; and an open challenge."""

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
    paragraph,
    part,
    right,
    says,
)

lesson(
    "train_keras",
    promise="Translate settings, carry a GRU's weights over, write a layer and a training step in Keras, find a rare class.",
    setup="""
import keras
import numpy as np
import tensorflow as tf
from keras import ops

from mmcourse.check import check

np.set_printoptions(precision=3, suppress=True)
""",
)


# ---------------------------------------------------------------- 1
def translate(momentum, eps, step, paper_decay, rate):
    """Keras's batch-norm momentum, Adam ε for one step, and AdamW weight decay."""
    keras_momentum = 1 - momentum
    keras_eps = eps * np.sqrt(1 - 0.999**step)
    keras_decay = paper_decay / rate
    return keras_momentum, keras_eps, keras_decay


def draw_settings(g, first, last):
    """Settings with a step from `first` to `last`."""
    momentum = round(float(g.uniform(0.01, 0.45)), 3)
    eps = float(f"{10 ** g.uniform(-8, -5):.2e}")
    decay = round(float(g.uniform(1e-4, 5e-3)), 5)
    rate = round(float(g.uniform(1e-3, 5e-2)), 4)
    return momentum, eps, int(g.integers(first, last + 1)), decay, rate


settings = exercise(
    "train_keras.1",
    translate,
    title="Settings in translation",
    points=2,
    difficulty=1,
    minutes=9,
    statement=[
        context("A paper's code is in PyTorch, you work in Keras. Three settings need translating:"),
        says(
            "- batch normalization's `momentum`: PyTorch's is the share of the *new* batch, Keras's the share of the *old* "
            "value;",
            mistake="momentum: that is PyTorch's own number",
        ),
        says("- Adam's ε. At step $t$, counted from 1,", mistake="and you are one behind"),
        says(
            r"Keras's own Adam divides by $\sqrt{\hat v} + \varepsilon / \sqrt{1 - \beta_2^t}$, PyTorch's by $\sqrt{\hat v} + \varepsilon$,",
            mistake="ε: you divided by the root",
        ),
        says(r"with $\beta_2 = 0.999$.", mistake="ε: you took β₁"),
        says("Which ε makes Keras's step $t$ equal?", mistake="ε: 1e-7 is only Keras's default"),
        says(
            "- weight decay, given as in the paper of Loshchilov and Hutter: a weight shrinks by `paper_decay` times itself.",
            mistake="weight_decay: you multiplied by the rate",
        ),
        says(
            "Keras's AdamW shrinks it by `rate * weight_decay` times itself.",
            mistake="weight_decay: the paper's number goes without the rate",
        ),
        paragraph(),
        context("**Example.** How much of ε is left at step 1?"),
        example("print(np.sqrt(1 - 0.999**1))"),
        says(
            "**Write** `translate(momentum, eps, step, paper_decay, rate)`.",
            mistake="ε: the value alone is not enough",
        ),
        says(
            "Return Keras's three numbers: momentum, ε, weight decay.",
            ignored="return keras_momentum, keras_decay, keras_eps",
        ),
    ],
    hints=[
        'The two shares of batch normalization add up to 1. For the others write "what Keras computes = what is wanted" and '
        "solve.",
        "ε: `x / np.sqrt(1 - 0.999**step) == eps`, so what is `x`? Decay: `rate * y == paper_decay`, so what is `y`?",
    ],
    draw=draw_settings,
    parts=[
        part(
            "two runs",
            public_only=True,
            inputs=[(0.1, 1e-8, 1, 0.003, 0.01), (0.25, 1e-6, 40, 0.001, 0.02)],
        ),
        part("the first step", first=1, last=1),
        part("early steps", first=2, last=49),
        part("late steps", first=500, last=5000),
    ],
    own={"first": 1, "last": 40},
    own_says="Settings of your own",
    names=("momentum", "epsilon", "weight_decay"),
    atol=1e-14,
    mistakes={
        "momentum: that is PyTorch's own number. It weighs the new batch; Keras's weighs the old value.": (
            "keras_momentum = momentum"
        ),
        "ε: you divided by the root. That is how large Keras's ε counts; to make up for it, multiply.": (
            "keras_eps = eps / np.sqrt(1 - 0.999**step)"
        ),
        "ε: the factor lacks its root. ε stands beside √v, so it is scaled by √(1 − β₂ᵗ).": (
            "keras_eps = eps * (1 - 0.999**step)"
        ),
        "ε: the value alone is not enough. It stands in another place, where it counts 1/√(1 − β₂ᵗ) times.": (
            "keras_eps = eps"
        ),
        "ε: the root is that of 1 − β₂ᵗ, not of β₂ᵗ.": "keras_eps = eps * np.sqrt(0.999**step)",
        "momentum: Keras's is what PyTorch's leaves of 1: 1 − momentum.": [
            "keras_momentum = 1 + momentum",
            "keras_momentum = 1 / momentum",
            "keras_momentum = -momentum",
        ],
        "weight_decay: your fraction is upside down. `rate * weight_decay` must be `paper_decay`.": (
            "keras_decay = rate / paper_decay"
        ),
        "ε: you took β₁ = 0.9. The second moment has β₂ = 0.999.": "keras_eps = eps * np.sqrt(1 - 0.9**step)",
        "ε: steps count from 1 here, and you are one behind.": "keras_eps = eps * np.sqrt(1 - 0.999 ** (step - 1))",
        "ε: steps count from 1 here, and you are one ahead.": "keras_eps = eps * np.sqrt(1 - 0.999 ** (step + 1))",
        "ε: 1e-7 is only Keras's default. What is wanted is the value that makes this step equal.": [
            "keras_eps = 10 * eps",
            "keras_eps = 1e-7",
        ],
        "weight_decay: you multiplied by the rate. Keras does that already, so divide.": (
            "keras_decay = paper_decay * rate"
        ),
        "weight_decay: the paper's number goes without the rate, Keras multiplies by it: make up for that.": (
            "keras_decay = paper_decay"
        ),
        "ε: you did not use `step`. The root of 1 − β₂ᵗ is that of step 1 only where t is 1.": (
            "keras_eps = eps * np.sqrt(1 - 0.999)"
        ),
    },
    praise="As steps go by the factor tends to 1: the place of ε matters at the start, its value always.",
)


@right(settings)
def one_by_one(momentum, eps, step, paper_decay, rate):
    left = np.prod(np.full(step, 0.999))
    return np.array([1 - momentum, (eps**2 * (1 - left)) ** 0.5, paper_decay * rate**-1])


# ---------------------------------------------------------------- 2
def to_keras(w_input, w_hidden, b_input, b_hidden):
    """PyTorch's GRU weights (3h, d), (3h, h), (3h,), (3h,) as Keras keeps them."""

    def carry(weight):
        r, z, n = np.split(weight, 3)  # along the first axis
        return np.concatenate([z, r, n]).T

    kernel = carry(w_input)
    recurrent_kernel = carry(w_hidden)
    bias = np.stack([carry(b_input), carry(b_hidden)])
    return kernel, recurrent_kernel, bias


def interleaved(w_input, w_hidden, b_input, b_hidden):
    """Every third column is taken for a gate."""

    def swap(a):
        return a.reshape(len(a), -1, 3)[..., [1, 0, 2]].reshape(a.shape)

    return swap(w_input.T), swap(w_hidden.T), swap(np.stack([b_input, b_hidden]))


def blocks_of_inputs(w_input, w_hidden, b_input, b_hidden):
    """Blocks as long as there are inputs change places."""
    d = w_input.shape[1]

    def carry(weight):
        return np.concatenate([weight[d : 2 * d], weight[:d], weight[2 * d :]]).T

    return carry(w_input), carry(w_hidden), np.stack([carry(b_input), carry(b_hidden)])


def draw_gru(g, d, h):
    return tuple(g.normal(size=shape).round(2) for shape in ((3 * h, d), (3 * h, h), (3 * h,), (3 * h,)))


gru = exercise(
    "train_keras.2",
    to_keras,
    title="A GRU moves house",
    points=3,
    difficulty=2,
    minutes=12,
    statement=[
        context(
            "PyTorch's GRU with $d$ inputs and $h$ units keeps `weight_ih` `(3h, d)`, `weight_hh` `(3h, h)` and two biases "
            "`(3h,)`, each with its three gates one below the other: r, z, n."
        ),
        says(
            "Keras keeps a kernel `(d, 3h)`, a recurrent kernel `(h, 3h)`",
            mistake="The order is right, the matrices are not turned",
        ),
        says("and *one* bias of shape `(2, 3h)`:", mistake="You added the biases up"),
        says("first the input's, then the hidden state's.", mistake="The rows of the bias are exchanged"),
        says(
            "Its gates stand side by side: z, r, h, where h is PyTorch's n.",
            mistake="Transposed, but the gates still stand as r, z, n",
        ),
        paragraph(),
        context("**Example** with $h = 1$: three rows, a name each."),
        example('print(np.array(["r", "z", "n"])[[1, 0, 2]])'),
        says(
            "**Write** `to_keras(w_input, w_hidden, b_input, b_hidden)`.",
            mistake="Matrices right, biases forgotten",
        ),
        says(
            "Return kernel, recurrent kernel and bias, as Keras's `set_weights` takes them.",
            ignored=edit("return kernel, recurrent_kernel, bias", "return recurrent_kernel, kernel, bias"),
        ),
    ],
    hints=[
        "Two things happen to each matrix: blocks of $h$ rows change places, then rows become columns. Biases have blocks "
        "too.",
        "`r, z, n = np.split(weight, 3)` cuts along the first axis. Join them in Keras's order with `np.concatenate`, then "
        "`.T`. For the biases use `np.stack`, which makes a new first axis.",
    ],
    draw=draw_gru,
    parts=[
        part("a state one number wide", d=between(1, 4), h=1),
        part("input and state of one width", d=3, h=3),
        part("input and state of two widths", weight=2, d=2, h=between(3, 5)),
    ],
    own=lambda g: tuple(g.integers(1, 100, shape) * 1.0 for shape in ((3, 1), (3, 1), (3,), (3,))),
    own_says="A GRU of your own, one number wide",
    names=("kernel", "recurrent kernel", "bias"),
    mistakes={
        "Transposed, but the gates still stand as r, z, n. Keras has z, r, h: exchange the first two blocks.": (
            edit("[z, r, n]", "[r, z, n]")
        ),
        "The order is right, the matrices are not turned: Keras multiplies x @ kernel, so kernel is (d, 3h).": (
            edit("[z, r, n]).T", "[z, r, n])")
        ),
        "You reversed the three blocks. Only r and z change places; n (Keras's h) stays last.": (
            edit("[z, r, n]", "[n, z, r]")
        ),
        "You moved n to the front. Only r and z change places; n (Keras's h) stays last.": edit(
            "[z, r, n]", "[n, r, z]"
        ),
        "You gave the matrices another shape, but did not transpose them: the numbers stand in other places now.": (
            edit("np.concatenate([z, r, n]).T", "np.concatenate([z, r, n]).reshape(weight.shape[::-1])")
        ),
        "The gates of your recurrent kernel stand side by side, but their blocks are not transposed: turn each of them too.": (
            "recurrent_kernel = np.concatenate([np.split(w_hidden, 3)[i] for i in (1, 0, 2)], axis=1)"
        ),
        "You moved r to the end. Only r and z change places; n (Keras's h) stays last.": edit("[z, r, n]", "[z, n, r]"),
        "You added the biases up, as for an LSTM. Here the hidden one stands inside r ⊙ (…): keep both, (2, 3h).": [
            "bias = carry(b_input) + carry(b_hidden)",
            "bias = np.stack([carry(b_input) + carry(b_hidden), 0 * carry(b_hidden)])",
        ],
        "The rows of the bias are exchanged: first the input's, then the hidden state's.": (
            "bias = np.stack([carry(b_hidden), carry(b_input)])"
        ),
        "Matrices right, biases forgotten: their gates change places too.": "bias = np.stack([b_input, b_hidden])",
        "Biases right, matrices in PyTorch's order: their gates change places too.": (
            "kernel = w_input.T\nrecurrent_kernel = w_hidden.T"
        ),
        "Joined end to end, the two biases are one long row. They are two rows: (2, 3h).": (
            "bias = np.concatenate([carry(b_input), carry(b_hidden)])"
        ),
        "You changed the sign of a gate's numbers. Both libraries mean the same by z: only places change, no number does.": [
            edit("[z, r, n]", "[-z, r, n]"),
            edit("[z, r, n]", "[z, -r, n]"),
        ],
        "You exchanged z and n. Only r and z change places; n (Keras's h) stays last: z, r, n.": (
            edit("[z, r, n]", "[r, n, z]")
        ),
        "You exchanged two single rows. A gate has h rows: exchange blocks of h.": (
            "def carry(weight):\n    return weight[[1, 0, *range(2, len(weight))]].T"
        ),
        "You exchanged every third column. A gate is a block of h columns: split the axis into three.": interleaved,
        "Your blocks have the wrong size: a gate has h rows, a third of the array, however many inputs there are.": (
            blocks_of_inputs
        ),
        "The recurrent kernel has gates too, in PyTorch's order: exchange its first two blocks as well.": (
            "recurrent_kernel = w_hidden.T"
        ),
    },
    praise="With these a Keras GRU says what PyTorch's says, step for step.",
)


@right(gru)
def by_slices(w_input, w_hidden, b_input, b_hidden):
    h = w_hidden.shape[1]

    def turn(columns):
        return np.concatenate([columns[..., h : 2 * h], columns[..., :h], columns[..., 2 * h :]], axis=-1)

    return [turn(w_input.T), turn(w_hidden.T), turn(np.array([b_input, b_hidden]))]


# ---------------------------------------------------------------- 3
def early_stopping(val_losses, patience):
    """How many epochs run, and which one's weights remain (counted from 0)."""
    best = 0
    for epoch, loss in enumerate(val_losses):
        if loss < val_losses[best]:
            best = epoch
        if epoch - best >= patience:
            return epoch + 1, best
    return len(val_losses), best


def never_reset(val_losses, patience):
    best, wait = 0, 0
    for epoch in range(1, len(val_losses)):
        if val_losses[epoch] < val_losses[best]:
            best = epoch
            continue
        wait += 1
        if wait >= patience:
            return epoch + 1, best
    return len(val_losses), best


def against_the_epoch_before(val_losses, patience):
    wait = 0
    for epoch in range(1, len(val_losses)):
        wait = 0 if val_losses[epoch] < val_losses[epoch - 1] else wait + 1
        if wait >= patience:
            return epoch + 1, int(np.argmin(val_losses[: epoch + 1]))
    return len(val_losses), int(np.argmin(val_losses))


def draw_losses(g, epochs, patience, slope=0.0, digits=2):
    """Losses around a falling line; few digits make ties."""
    return [round(float(x), digits) for x in g.normal(0.8, 0.1, epochs) - slope * np.arange(epochs)], patience


def draw_almost_equal(g, epochs, patience):
    return [round(0.3 + 1e-5 * int(k), 5) for k in g.integers(0, 8, epochs)], patience


def draw_falling(g, epochs, patience):
    return sorted({round(float(x), 3) for x in g.uniform(0.1, 1, epochs)}, reverse=True), patience


def draw_own_losses(g):
    return g.normal(0.6, 0.1, 8).round(2).tolist(), int(g.integers(1, 4))


EXACTLY = "return epoch + 1, best"
AT_THE_END = "return len(val_losses), best"

stopping = exercise(
    "train_keras.3",
    early_stopping,
    title="When does it stop, and with what?",
    points=2,
    difficulty=2,
    minutes=9,
    statement=[
        says(
            '`EarlyStopping("val_loss", patience=p, restore_best_weights=True)` ends a run at the $p$-th epoch',
            mistake="One epoch too many",
        ),
        says("in a row", mistake="You count all epochs without a lower loss"),
        says("whose loss is not lower", mistake="An equal loss is not lower"),
        says("(by however little)", mistake="by however little"),
        says("than the best before it.", mistake="You compare with the epoch before"),
        says("Then it puts the weights of the best epoch back.", mistake="The last epoch's weights"),
        says(
            "You get the losses that the run *would* show if nothing stopped it.",
            mistake="The second number names an epoch that was never run",
        ),
        paragraph(),
        context(
            "**Example.** With patience 2 the run below ends with the epoch of 0.75, its fourth, and never sees 0.5. The "
            "weights are those of epoch 1, counted from 0."
        ),
        example("""
losses = [0.9, 0.7, 0.8, 0.75, 0.6, 0.5]
print("epochs run: 4, best epoch:", int(np.argmin(losses[:4])))
"""),
        says(
            "**Write** `early_stopping(val_losses, patience)` for one loss or more and a patience of at least 1.",
            mistake="As if it never stopped",
        ),
        says("Return how many epochs run,", mistake="The first number is how many epochs run"),
        says("and the best one's number, counted from 0.", mistake="The best epoch is counted from 0"),
    ],
    hints=[
        "Walk through the epochs and remember the best so far. How many epochs have passed since it?",
        "After epoch `e` it has waited `e - best` epochs. When that reaches `patience`, `e + 1` epochs have run. Equal is "
        "not lower.",
    ],
    draw=draw_losses,
    parts=[
        part(
            "runs by hand",
            public_only=True,
            inputs=[
                ([0.9, 0.7, 0.8, 0.75, 0.76, 0.77, 0.6, 0.5], 2),
                ([0.9, 0.7, 0.8, 0.75, 0.6, 0.65, 0.64, 0.63, 0.2], 3),
                ([0.9, 0.8, 0.8, 0.8, 0.7], 2),
                ([1.0, 0.9, 0.8, 0.7], 1),
                ([0.5, 0.6, 0.4, 0.45, 0.3, 0.35, 0.2, 0.3], 2),
            ],
        ),
        part("losses that go up and down", weight=2, epochs=between(8, 15), patience=between(1, 4)),
        part("losses that fall slowly", epochs=between(8, 15), patience=between(2, 3), slope=0.04),
        part("equal losses", epochs=between(6, 11), patience=between(1, 3), digits=1),
        part("always better", draw=draw_falling, epochs=between(3, 7), patience=between(1, 3)),
        part("a patience longer than the run", epochs=between(3, 5), patience=between(6, 9)),
        part("a single epoch", epochs=1, patience=between(1, 3)),
        part("hardly lower", draw=draw_almost_equal, epochs=between(8, 12), patience=between(2, 3)),
    ],
    own=draw_own_losses,
    own_says="Losses and a patience of your own",
    names=("epochs run", "best epoch"),
    mistakes={
        "One epoch too many: it stops *at* the patience-th epoch without a lower loss, not after it.": (
            edit(">= patience", "> patience")
        ),
        "You count all epochs without a lower loss. A new best sets the count back to 0.": never_reset,
        "An equal loss is not lower: it counts as an epoch without a new best.": edit("loss < ", "loss <= "),
        "The second number names an epoch that was never run: look for the best among those before the stop.": (
            edit(EXACTLY, "return epoch + 1, int(np.argmin(val_losses))")
        ),
        "The last epoch's weights are not what remains: restore_best_weights puts the best one's back.": (
            edit(EXACTLY, "return epoch + 1, epoch", AT_THE_END, "return len(val_losses), len(val_losses) - 1")
        ),
        "A run that is never stopped does not keep its last weights: restore_best_weights puts the best one's back "
        "there, too.": edit(AT_THE_END, "return len(val_losses), len(val_losses) - 1"),
        "A run that is never stopped has as many epochs as there are losses, not as the last one's index says.": edit(
            AT_THE_END, "return len(val_losses) - 1, best"
        ),
        "The second number is that of the best epoch, not its loss.": edit(
            EXACTLY, "return epoch + 1, val_losses[best]", AT_THE_END, "return len(val_losses), val_losses[best]"
        ),
        "A *lower* loss is better: you look for the highest.": edit("loss < ", "loss > "),
        "The best epoch is counted from 0.": edit(
            EXACTLY, "return epoch + 1, best + 1", AT_THE_END, "return len(val_losses), best + 1"
        ),
        "The first number is how many epochs run, so the index of the last one plus 1.": edit(
            EXACTLY, "return epoch, best", AT_THE_END, "return len(val_losses) - 1, best"
        ),
        "You compare with the epoch before. It must beat the *best* so far.": against_the_epoch_before,
        "Not every run is stopped: it cannot have more epochs than there are losses.": edit(
            AT_THE_END, "return best + patience + 1, best"
        ),
        "As if it never stopped: after `patience` epochs in a row without a lower loss the run ends.": (
            lambda val_losses, patience: (len(val_losses), int(np.argmin(val_losses)))
        ),
        "Both numbers are right, in the wrong order: first how many epochs run, then the best one.": edit(
            EXACTLY, "return best, epoch + 1", AT_THE_END, "return best, len(val_losses)"
        ),
        "A lower loss is a new best by however little: `min_delta` is 0 unless you set it.": [
            edit("loss < val_losses[best]", f"loss < val_losses[best] - {least}")
            for least in (0.1, 0.01, 0.001, 0.0001)
        ],
    },
    praise="So a short patience can miss a later best: it is a bet, like any other setting.",
)


@right(stopping)
def with_a_counter(val_losses, patience):
    lowest, best, waited, ran = float("inf"), 0, 0, 0
    for loss in val_losses:
        ran += 1
        waited += 1
        if loss < lowest:
            lowest, best, waited = loss, ran - 1, 0
        if waited == patience:
            break
    return [ran, best]


@right(stopping)
def by_slices_of_losses(val_losses, patience):
    for ran in range(1, len(val_losses) + 1):
        best = int(np.argmin(val_losses[:ran]))
        if ran - best > patience:
            break
    return ran, best


# ---------------------------------------------------------------- the lesson's blank
def draw_blank_labels():
    yield (np.array([0] * 8 + [1] * 2),)
    yield (np.array([2, 0, 1, 1, 2, 2, 2]),)
    yield (np.array([0, 1, 0, 1]),)
    yield (np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3], [50, 3, 20, 7])),)


def _weights(labels, weight):
    counts = np.bincount(labels)
    return {k: float(weight(len(labels), len(counts), count)) for k, count in enumerate(counts)}


@blank(
    "train_keras.blank.5",
    title="Balanced class weights",
    inputs=draw_blank_labels,
    mistakes=[
        (
            lambda labels: _weights(labels, lambda n, k, c: n / c),
            "Each class has the same total weight, but the mean weight is the number of classes: divide by it.",
        ),
        (
            lambda labels: _weights(labels, lambda n, k, c: 1 / c),
            "The proportions are right. Multiply by n and divide by the number of classes, so that the mean weight is 1.",
        ),
        (
            lambda labels: _weights(labels, lambda n, k, c: c / n),
            "These are the shares of the classes: a *rare* class should count more, so divide by its count.",
        ),
        (
            lambda labels: _weights(labels, lambda n, k, c: k * c / n),
            "Upside down: a *rare* class should count more.",
        ),
    ],
    what="The dict of weights",
)
def balanced_weights(labels):
    counts = np.bincount(labels)
    return {k: len(labels) / (len(counts) * count) for k, count in enumerate(counts)}


# ---------------------------------------------------------------- an open challenge
SHARES = (0.86, 0.08, 0.04, 0.02)  # of the classes in training
NUM_TRAIN, NUM_TEST, NUM_FEATURES = 3000, 1000, 8


def draw_patterns(g, labels, mixing):
    """Class k lies in two opposite quadrants of its own pair of hidden axes; the others are noise. (n, 8)"""
    n = len(labels)
    hidden = g.normal(size=(n, NUM_FEATURES))
    sign = g.choice([-1.0, 1.0], n)
    for k in (1, 2, 3):
        rows = labels == k
        for axis in (2 * (k - 1), 2 * (k - 1) + 1):
            hidden[rows, axis] = 0.5 * hidden[rows, axis] + 2.0 * sign[rows]
    return hidden @ mixing


def draw_rare_challenge(g):
    """Training rows with rare classes, and test rows with all classes equally often, whose labels stay hidden."""
    mixing = np.linalg.qr(g.normal(size=(NUM_FEATURES, NUM_FEATURES)))[0]
    labels = g.permutation(np.repeat(np.arange(4), [round(share * NUM_TRAIN) for share in SHARES]))
    hidden = g.permutation(np.repeat(np.arange(4), NUM_TEST // 4))
    train = draw_patterns(g, labels, mixing)
    return Drawn({"train": train, "train_labels": labels, "test": draw_patterns(g, hidden, mixing)}, hidden)


def balanced_accuracy(handed_in, inputs, labels):
    """Mean of the four recalls."""
    right_ones = handed_in["predictions"] == labels
    return np.mean([right_ones[labels == k].mean() for k in range(4)])


challenge(
    "train_keras.challenge",
    title="A very rare class",
    statement=[
        "`train` has 3,000 rows of 8 numbers with `train_labels`: 86 % are class 0, and only 60 rows are class 3. In `test` all four",
        "classes are equally frequent, and an answer is scored by **balanced accuracy**, the mean of the four recalls. What tells the",
        "classes apart is not linear. Predict the labels of `test`, in any way: class weights, sample weights, a corrected threshold, early",
        "stopping on rows that you keep back. On the draw below, one answer for all reaches 0.25 and a linear model with balanced class",
        "weights 0.30. A network with two hidden layers of 64 units reached 0.75 and 0.70 from two starts, in 60 epochs or 4.3 seconds of",
        "one processor core; with balanced class weights 0.84 and 0.81. Around 0.89 is possible.",
    ],
    draw=draw_rare_challenge,
    score=balanced_accuracy,
    hand_in={"predictions": Array((NUM_TEST,), "integer")},
    to_beat=0.6,
    points_by_score={0.6: 1, 0.8: 2, 0.86: 3},
    minutes=60,
    score_name="balanced accuracy",
)
