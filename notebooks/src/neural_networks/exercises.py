"""Neural networks: the lesson's blanks, and two exercises in NumPy. Those in PyTorch are in exercises_torch.py."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    between,
    context,
    edit,
    example,
    exercise,
    in_turn,
    lesson,
    one_of,
    part,
    right,
    says,
)

lesson(
    "neural_networks",
    promise="Take one step by hand, stop in time, then write a network as a module, one step of its training, and a "
    "training that holds on new data.",
    uses="NumPy and PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- blanks of the lesson
def _line(n, seed):
    g = np.random.default_rng(seed)
    return g.normal(), g.normal(), g.normal(size=n).round(2), g.normal(size=n).round(2)


@blank(
    "neural_networks.blank.1",
    title="The gradient of the mean squared error",
    inputs=[(0.5, 1.0, np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 4.0])), _line(1, 1), _line(6, 2)],
    names=("dw", "db"),
    mistakes=[
        (
            lambda w, b, x, y: (2 * ((w * x + b - y) * x).sum(), 2 * (w * x + b - y).sum()),
            "These are sums over the samples: the loss is a mean, so its derivatives are means.",
        ),
        (
            lambda w, b, x, y: (((w * x + b - y) * x).mean(), (w * x + b - y).mean()),
            "The factor 2 is missing: it comes from the square.",
        ),
        (
            lambda w, b, x, y: (2 * ((y - w * x - b) * x).mean(), 2 * (y - w * x - b).mean()),
            "The signs are reversed: the error is prediction minus target.",
        ),
        (
            lambda w, b, x, y: (2 * (w * x + b - y).mean(), 2 * (w * x + b - y).mean()),
            "The derivative with respect to w lacks the factor x.",
        ),
        (
            lambda w, b, x, y: (2 * (w * x + b - y).mean(), 2 * ((w * x + b - y) * x).mean()),
            "The two derivatives have changed places.",
        ),
    ],
)
def mse_gradient(w, b, x, y):
    errors = w * x + b - y
    return 2 * (errors * x).mean(), 2 * errors.mean()


@blank(
    "neural_networks.blank.2",
    title="Softmax over each row",
    inputs=[
        (np.array([[2.0, 1.0, 0.1], [0.0, 0.0, 3.0]]),),
        (np.array([[1000.0, 1001.0]]),),
        (np.array([[-1000.0, -1001.0], [3.0, -2.0]]),),
        (np.random.default_rng(3).normal(size=(4, 5)),),
    ],
    mistakes=[
        (
            lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
            "Large logits overflow: subtract the largest logit of each row first.",
        ),
        (
            lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum(),
            "You summed over the whole table: each row must sum to 1.",
        ),
        (
            lambda z: np.exp(z - z.max(0)) / np.exp(z - z.max(0)).sum(axis=0),
            "Each column sums to 1: the classes are on axis 1.",
        ),
        (
            lambda z: z / z.sum(axis=1, keepdims=True),
            "The exponentials are missing.",
        ),
        (
            lambda z: np.exp(z - z.max(axis=1, keepdims=True)),
            "Divide the exponentials by their sum.",
        ),
    ],
)
def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _network(n, d, h, k, seed):
    """x, w1, b1, w2, b2."""
    g = np.random.default_rng(seed)
    return tuple(g.normal(size=shape).round(2) for shape in ((n, d), (d, h), (h,), (h, k), (k,)))


@blank(
    "neural_networks.blank.3",
    title="A network with one hidden layer",
    inputs=[_network(2, 2, 3, 2, 4), _network(1, 3, 4, 3, 5), _network(5, 2, 6, 4, 6)],
    names=("hidden", "logits"),
    mistakes=[
        (
            lambda x, w1, b1, w2, b2: (x @ w1 + b1, (x @ w1 + b1) @ w2 + b2),
            "The ReLU is missing: without it, this is one linear layer.",
        ),
        (
            lambda x, w1, b1, w2, b2: (
                np.maximum(x @ w1 + b1, 0),
                np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0),
            ),
            "The logits have a ReLU: they may be negative.",
        ),
        (
            lambda x, w1, b1, w2, b2: (x @ w1 + b1, np.maximum(x @ w1 + b1, 0) @ w2 + b2),
            "You returned the values before the ReLU as `hidden`.",
        ),
        (
            lambda x, w1, b1, w2, b2: (np.maximum(x @ w1, 0), np.maximum(x @ w1, 0) @ w2 + b2),
            "The bias of the hidden layer is missing.",
        ),
        (
            lambda x, w1, b1, w2, b2: (np.maximum(x @ w1 + b1, 0), np.maximum(x @ w1 + b1, 0) @ w2),
            "The bias of the output layer is missing.",
        ),
    ],
)
def forward(x, w1, b1, w2, b2):
    hidden = np.maximum(x @ w1 + b1, 0)
    return hidden, hidden @ w2 + b2


def _trained(n, d, h, k, seed):
    """x, hidden, probabilities, targets, w2."""
    x, w1, b1, w2, b2 = _network(n, d, h, k, seed)
    hidden, logits = forward(x, w1, b1, w2, b2)
    return x, hidden, softmax(logits), np.random.default_rng(seed).integers(0, k, n), w2


def _gradients(x, hidden, probabilities, targets, w2, mask=True, mean=True, sign=1):
    dlogits = sign * (probabilities - np.eye(probabilities.shape[1])[targets]) / (len(x) if mean else 1)
    dbefore = dlogits @ w2.T * ((hidden > 0) if mask else 1)
    return x.T @ dbefore, dbefore.sum(axis=0), hidden.T @ dlogits, dlogits.sum(axis=0)


@blank(
    "neural_networks.blank.4",
    title="Backpropagation",
    inputs=[_trained(3, 2, 4, 3, 7), _trained(1, 3, 5, 2, 8), _trained(6, 4, 3, 5, 9)],
    names=("dw1", "db1", "dw2", "db2"),
    mistakes=[
        (
            lambda *given: _gradients(*given, mask=False),
            "The ReLU passes a gradient only where `hidden` is above 0: multiply by `(hidden > 0)`.",
        ),
        (
            lambda *given: _gradients(*given, mean=False),
            "These are sums over the samples: `dlogits` already holds the division by n.",
        ),
        (
            lambda *given: _gradients(*given, sign=-1),
            "All signs are reversed: start from probabilities minus one-hot targets.",
        ),
        (
            lambda *given: _gradients(*given)[2:] + _gradients(*given)[:2],
            "The order is dw1, db1, dw2, db2: the layers have changed places.",
        ),
        (
            lambda x, hidden, p, t, w2: (
                _gradients(x, hidden, p, t, w2)[0],
                _gradients(x, hidden, p, t, w2)[1] / len(x) * 1.5,
                *_gradients(x, hidden, p, t, w2)[2:],
            ),
            "The gradient of b1 is the sum over samples of the gradient before the ReLU.",
        ),
    ],
)
def backward(x, hidden, probabilities, targets, w2):
    return _gradients(x, hidden, probabilities, targets, w2)


def _masked(n, h, rate, seed):
    g = np.random.default_rng(seed)
    return g.normal(size=(n, h)).round(2), g.random((n, h)) >= rate, rate


@blank(
    "neural_networks.blank.5",
    title="Dropout",
    inputs=[
        (np.array([[2.0, 4.0, 1.0, 3.0]]), np.array([[True, False, True, False]]), 0.4),
        _masked(3, 5, 0.2, 1),
        _masked(2, 4, 0.0, 2),
        _masked(4, 3, 0.75, 3),
    ],
    mistakes=[
        (lambda hidden, keep, rate: hidden * keep, "What is kept must be scaled up: divide by 1 − rate."),
        (lambda hidden, keep, rate: hidden * ~keep / (1 - rate), "You kept what should be dropped."),
        (
            lambda hidden, keep, rate: hidden * keep / np.maximum(rate, 1e-9),
            "Divide by the share that is kept, 1 − rate, not by the share that is dropped.",
        ),
        (lambda hidden, keep, rate: hidden * keep * (1 - rate), "You multiplied by 1 − rate: divide by it."),
    ],
)
def dropout(hidden, keep, rate):
    return hidden * keep / (1 - rate)


# ---------------------------------------------------------------- 1
def logistic_step(w, b, x, y, learning_rate, weight_decay):
    """One gradient step of logistic regression: the new w (d,) and the new b."""
    score = x @ w + b  # (n,)
    p = 1 / (1 + np.exp(-score))
    error = p - y  # (n,)
    dw = x.T @ error / len(x) + weight_decay * w  # (d,)
    db = error.mean()
    return w - learning_rate * dw, b - learning_rate * db


def draw_step(g, n, d, decay):
    w, x = g.normal(size=d).round(2), g.normal(size=(n, d)).round(2)
    b = round(float(g.normal()), 2)
    rate = float(g.choice([0.1, 0.5, 2.0]))
    return w, b, x, g.integers(0, 2, n), rate, decay


step = exercise(
    "neural_networks.1",
    logistic_step,
    title="One step by hand",
    points=1,
    difficulty=1,
    minutes=10,
    statement=[
        context(
            "Logistic regression with two classes has one score for each sample, and $p_i$ is the probability of "
            "class 1. The loss is the mean cross-entropy. Its gradient is as short as for the softmax: $p_i - y_i$ for "
            "each score."
        ),
        says(r"$$p_i = \sigma(x_i \cdot w + b)$$", mistake="The sigmoid is missing"),
        says(
            r"$$\frac{\partial L}{\partial w} = \frac{1}{n}\sum_i (p_i - y_i)\, x_i \qquad "
            r"\frac{\partial L}{\partial b} = \frac{1}{n}\sum_i (p_i - y_i)$$",
            mistake="sums over the samples",
        ),
        context("**Example.** A score of 0 gives p = 0.5; if y is 1, the error is −0.5. Two errors at once:"),
        example("probabilities, labels = np.array([0.5, 0.8]), np.array([1, 0])\nprint(probabilities - labels)"),
        says(
            "**Write** `logistic_step(w, b, x, y, learning_rate, weight_decay)` for `w` of shape `(d,)`, a number `b`, "
            "`x` `(n, d)` and `y` `(n,)` of zeros and ones: one step of gradient descent.",
            mistake="uphill",
        ),
        says("Weight decay adds `weight_decay * w` to the gradient of `w`,", mistake="Weight decay is missing"),
        says("and leaves the bias alone.", mistake="bias is not decayed"),
        says(
            "Both gradients come from the old `w` and `b`.",
            mistake="Your b uses the new w",
        ),
        says("Return the pair (new `w`, new `b`).", ignored="return b - learning_rate * db, w - learning_rate * dw"),
    ],
    hints=[
        "Five lines: score, p, error, the two gradients; then the step. `x.T @ error` sums over the samples.",
        "`dw = x.T @ (p - y) / len(x) + weight_decay * w`, and `db = (p - y).mean()`.",
    ],
    draw=draw_step,
    parts=[
        part("no weight decay", n=between(3, 6), d=between(2, 4), decay=0.0),
        part("with weight decay", weight=2, n=between(3, 6), d=between(2, 4), decay=one_of(0.1, 0.5)),
        part("one sample", n=1, d=between(2, 3), decay=0.2),
        part("one feature", n=between(2, 5), d=1, decay=0.1),
    ],
    own={"n": 2, "d": 2, "decay": 0.1},
    names=("w", "b"),
    mistakes={
        "The sigmoid is missing: p is a probability, not the score itself.": "p = score",
        "These are sums over the samples: the loss is a mean.": (
            "dw = x.T @ error + weight_decay * w\ndb = error.sum()"
        ),
        "This goes uphill: subtract the gradient.": [
            "return w + learning_rate * dw, b + learning_rate * db",
            "error = y - p",
        ],
        "Weight decay is missing: add `weight_decay * w` to the gradient of w.": "dw = x.T @ error / len(x)",
        "The bias is not decayed: it shifts scores, it does not make them steep.": (
            "db = error.mean() + weight_decay * b"
        ),
        "Weight decay has the wrong sign: it shrinks weights.": "dw = x.T @ error / len(x) - weight_decay * w",
        "The weight decay was divided by n as well: it belongs to the step, not to each sample.": (
            "dw = (x.T @ error + weight_decay * w) / len(x)"
        ),
        "The score lacks its bias: x @ w + b.": "score = x @ w",
        "You judge by the class that is named. The error is p − y, with the probability p itself.": (
            "p = (score > 0) * 1.0"
        ),
        "Your b does not move: it has a gradient too, the mean of p − y.": "return w - learning_rate * dw, b",
        "The gradient of b is a sum over the samples; the loss is a mean, so it is one too.": "db = error.sum()",
        "This is the step alone: subtract it from the old w and b.": (
            "return -learning_rate * dw, -learning_rate * db"
        ),
        "The gradient of the weight decay is `weight_decay * w`: no square, no sign, no factor of its own.": [
            "dw = x.T @ error / len(x) + weight_decay * w**2",
            "dw = x.T @ error / len(x) + weight_decay * np.sign(w)",
            "dw = x.T @ error / len(x) + 2 * weight_decay * w",
            "dw = x.T @ error / len(x) + weight_decay * w / 2",
            "dw = x.T @ error / len(x) + weight_decay",
        ],
        "The learning rate is missing: multiply each gradient by it.": "return w - dw, b - db",
        "Your b uses the new w. Both gradients belong to the old w and b: compute both, then step.": edit(
            "db = error.mean()", "db = (1 / (1 + np.exp(-(x @ (w - learning_rate * dw) + b))) - y).mean()"
        ),
        "Your weight decay is not multiplied by the learning rate. It is a part of the gradient: `+ weight_decay * w` "
        "in dw.": "return w - learning_rate * x.T @ error / len(x) - weight_decay * w, b - learning_rate * db",
        "You multiplied by the slope p(1 − p): that is the gradient of the squared error. With cross-entropy it cancels: "
        "p − y.": "error = (p - y) * p * (1 - p)",
    },
    praise="Every trainer in this course repeats this step, with more layers.",
)


@right(step)
def step_by_loops(w, b, x, y, learning_rate, weight_decay):
    total, bias = [0.0] * len(w), 0.0
    for row, target in zip(x, y, strict=True):
        p = 1 / (1 + np.exp(-(sum(a * c for a, c in zip(row, w, strict=True)) + b)))
        total = [t + (p - target) * a for t, a in zip(total, row, strict=True)]
        bias += p - target
    new = [v - learning_rate * (t / len(x) + weight_decay * v) for v, t in zip(w, total, strict=True)]
    return new, b - learning_rate * bias / len(x)


# ---------------------------------------------------------------- 2
def early_stopping(losses, patience):
    """Validation losses, one per epoch → (epoch to keep, number of epochs trained); epochs count from 0."""
    best = 0
    trained = 1
    for epoch in range(1, len(losses)):
        trained = epoch + 1
        if losses[epoch] < losses[best]:
            best = epoch
        if epoch - best >= patience:
            break
    return best, trained


def draw_losses(g, n, patience, kind, levels=(0.3, 0.4, 0.5, 0.6)):
    losses = g.choice(levels, n)
    if kind == "falling":
        losses = np.linspace(0.9, 0.2, n).round(3)
    elif kind == "rising":
        losses = np.linspace(0.2, 0.9, n).round(3)
    elif kind == "late dip":
        losses = np.append(losses, 0.1)
    return losses, patience


ALMOST_EQUAL = (0.3, 0.30001, 0.30002, 0.30003, 0.30004, 0.30005)


def wrong_at_the_end(change):
    """Right where training stops early; where it does not, `change(best, trained)`."""

    def answer(losses, patience):
        best, trained = early_stopping(losses, patience)
        return (best, trained) if trained - 1 - best >= patience else change(best, trained)

    return answer


def counted_against_the_epoch_before(losses, patience, equal):
    """The best epoch is right, but an epoch counts as bad if it is worse than the one before."""
    bad = 0
    for epoch in range(1, len(losses)):
        is_better = losses[epoch] < losses[epoch - 1] or (equal and losses[epoch] == losses[epoch - 1])
        bad = 0 if is_better else bad + 1
        if bad >= patience:
            return int(np.argmin(losses[: epoch + 1])), epoch + 1
    return int(np.argmin(losses)), len(losses)


stopping = exercise(
    "neural_networks.2",
    early_stopping,
    title="Stop in time",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        context(
            "A training watches the validation loss after each epoch. It must decide while it runs: later epochs do "
            "not exist yet."
        ),
        says(
            "**Write** `early_stopping(losses, patience)`, where `losses` has the validation loss of each epoch in turn, "
            "one or more, and `patience` is at least 1.",
            mistake="looked into the future",
        ),
        says(
            "Training stops as soon as `patience` epochs in a row have brought no new lowest loss;",
            mistake="in a row",
        ),
        says("a loss equal to the lowest one so far is no improvement,", mistake="Equal is no improvement"),
        says("and a lower one is, by however little.", mistake="no minimum difference"),
        says("If that never happens, it trains to the end of `losses`.", ignored="return best, best + patience + 1"),
        says(
            "Return the pair, in this order, of the epoch with the lowest loss so far, whose parameters are kept,",
            mistake="in the wrong order",
        ),
        says("counted from 0,", mistake="count from 0"),
        says("and the number of epochs that were trained.", mistake="number of epochs"),
        context(
            "Unlike in the lesson, epochs count from 0 here. **Example.** With patience 2, the losses 0.5, 0.3, 0.4, 0.3, "
            "0.1 give (1, 4): epoch 1 is kept, four epochs (0 to 3) were trained; the loss 0.1 is never seen. The lowest "
            "loss so far, epoch by epoch:"
        ),
        example("print(np.minimum.accumulate([0.5, 0.3, 0.4, 0.3]))"),
    ],
    hints=[
        "Go through the epochs in a loop. Keep the number of the best epoch; how long ago was it?",
        "`if losses[epoch] < losses[best]: best = epoch`, then `if epoch - best >= patience: break`.",
    ],
    draw=draw_losses,
    parts=[
        part("ups and downs", weight=2, n=between(5, 12), patience=in_turn(1, 2, 3), kind="random"),
        part("a dip after the end", n=between(6, 10), patience=in_turn(1, 2), kind="late dip"),
        part("losses that only fall", n=between(3, 6), patience=in_turn(1, 2, 5), kind="falling"),
        part("losses that only rise", n=between(4, 8), patience=in_turn(1, 2, 3), kind="rising"),
        part("one epoch", n=1, patience=in_turn(1, 3), kind="random"),
        part("hardly lower", n=between(6, 10), patience=in_turn(2, 3), kind="random", levels=ALMOST_EQUAL),
    ],
    own={"n": 8, "patience": 2, "kind": "random", "levels": tuple(np.arange(30, 60) / 100)},
    names=("epoch to keep", "epochs trained"),
    mistakes={
        "You looked into the future: the lowest loss of all epochs may come after the stop.": edit(
            "return best, trained", "return int(np.argmin(losses)), trained"
        ),
        "Patience counts epochs in a row: a new lowest loss starts the count again.": edit(
            "epoch - best >= patience", "sum(losses[k] >= min(losses[:k]) for k in range(1, epoch + 1)) >= patience"
        ),
        "Equal is no improvement: only a lower loss is.": edit(
            "losses[epoch] < losses[best]", "losses[epoch] <= losses[best]"
        ),
        "This compares with the epoch before, not with the lowest loss so far.": [
            edit("losses[epoch] < losses[best]", "losses[epoch] < losses[epoch - 1]"),
            lambda losses, patience: counted_against_the_epoch_before(losses, patience, equal=False),
            lambda losses, patience: counted_against_the_epoch_before(losses, patience, equal=True),
        ],
        "You kept the last epoch; the best one is wanted.": "return trained - 1, trained",
        "The first result is the number of the best epoch, not its loss.": "return losses[best], trained",
        "A *lower* loss is better: you look for the highest.": edit(
            "losses[epoch] < losses[best]", "losses[epoch] > losses[best]"
        ),
        "Patience counts from the best epoch so far, not from the start.": edit(
            "epoch - best >= patience", "trained >= patience"
        ),
        "Where training never stops early, all epochs were trained: return how many, not the last one's "
        "number.": wrong_at_the_end(lambda best, trained: (best, trained - 1)),
        "Where training never stops early, it still keeps the best epoch, not the last one.": wrong_at_the_end(
            lambda best, trained: (trained - 1, trained)
        ),
        "Epochs count from 0.": "return best + 1, trained",
        "The second result is the number of epochs that were trained, one more than the last epoch's number.": (
            "return best, trained - 1"
        ),
        "It stops one epoch late: `patience` epochs without a new lowest loss are enough.": edit(
            ">= patience", "> patience"
        ),
        "It stops one epoch early.": edit(">= patience", ">= max(patience - 1, 1)"),
        "A lower loss is an improvement by however little: no minimum difference is asked for.": [
            edit("losses[epoch] < losses[best]", f"losses[epoch] < losses[best] - {least}")
            for least in (0.1, 0.01, 0.001, 0.0001)
        ],
        "Both numbers are right, in the wrong order: first the epoch to keep, then how many were trained.": (
            "return trained, best"
        ),
    },
    praise="The test set was not needed for this, and that is the point of a validation set.",
)


@right(stopping)
def with_a_counter(losses, patience):
    lowest, keep, waited = float("inf"), None, 0
    for epoch, loss in enumerate(losses):
        if loss < lowest:
            lowest, keep, waited = loss, epoch, 0
        else:
            waited += 1
            if waited == patience:
                return keep, epoch + 1
    return keep, len(losses)
