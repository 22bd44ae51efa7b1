"""Known right and wrong answers to the NumPy exercises of lesson neural_networks, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- neural_networks.1
def step_in_one_go(w, b, x, y, learning_rate, weight_decay):
    rows = np.column_stack([x, np.ones(len(x))])
    both = np.append(w, b)
    p = 0.5 * (1 + np.tanh(rows @ both / 2))
    both = both - learning_rate * (rows.T @ (p - y) / len(x) + weight_decay * np.append(w, 0))
    return both[:-1], both[-1]


def step_that_shrinks_first(w, b, x, y, learning_rate, weight_decay):
    e = 1 / (1 + np.exp(-(np.dot(x, w) + b))) - y
    shrunk = np.asarray(w) * (1 - learning_rate * weight_decay)
    return shrunk - learning_rate * np.mean(e[:, None] * x, axis=0), b - learning_rate * np.mean(e)


def stepping(squash=lambda s: 1 / (1 + np.exp(-s)), average=len, sign=1, decay=1.0, on_bias=0.0, rate=True):
    """The right answer with parts replaced."""

    def step(w, b, x, y, learning_rate, weight_decay):
        e = squash(x @ w + b) - y
        eta = sign * (learning_rate if rate else 1)
        new_w = w - eta * (x.T @ e / average(x) + decay * weight_decay * w)
        return new_w, b - eta * (e.sum() / average(x) + on_bias * weight_decay * b)

    return step


# ---------------------------------------------------------------- neural_networks.2
def by_running_minimum(losses, patience):
    lowest = np.minimum.accumulate(losses)
    for n in range(1, len(losses) + 1):
        keep = int(np.argmax(lowest[:n] == lowest[n - 1]))
        if n - 1 - keep == patience:
            return keep, n
    return keep, len(losses)


def with_while(losses, patience):
    keep, seen = 0, 1
    while seen < len(losses) and seen - 1 - keep < patience:
        if losses[seen] < losses[keep]:
            keep = seen
        seen += 1
    return keep, seen


def last_of_equals(losses, patience):
    keep = 0
    for epoch, loss in enumerate(losses):
        if loss <= losses[keep]:
            keep = epoch
        if epoch - keep >= patience:
            return keep, epoch + 1
    return keep, len(losses)


def with_patience(more):
    return lambda losses, patience: with_while(losses, patience + more)


def changed(change):
    return lambda losses, patience: change(losses, *with_while(losses, patience))


ANSWERS = {
    "neural_networks.1": Answers(
        right=[step_in_one_go, step_that_shrinks_first],
        wrong=[
            (stepping(squash=lambda s: s), "sigmoid is missing"),
            (stepping(average=lambda x: 1), "sums over the samples"),
            (stepping(sign=-1), "uphill"),
            (stepping(decay=0.0), "Weight decay is missing"),
            (stepping(on_bias=1.0), "bias is not decayed"),
            (stepping(decay=-1.0), "wrong sign"),
            (stepping(rate=False), "learning rate is missing"),
        ],
    ),
    "neural_networks.2": Answers(
        right=[by_running_minimum, with_while],
        wrong=[
            (changed(lambda losses, keep, seen: (int(np.argmin(losses)), seen)), "into the future"),
            (last_of_equals, "Equal is no improvement"),
            (changed(lambda losses, keep, seen: (seen - 1, seen)), "kept the last epoch"),
            (changed(lambda losses, keep, seen: (keep + 1, seen)), "count from 0"),
            (changed(lambda losses, keep, seen: (keep, seen - 1)), "number of epochs"),
            (with_patience(1), "one epoch late"),
        ],
    ),
}
