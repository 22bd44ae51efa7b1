"""Known right and wrong answers to the exercises of lesson train_keras, as learners write them."""

import math

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- train_keras.1
def translate_with_math(momentum, eps, step, paper_decay, rate):
    missing = 1 - math.pow(0.999, step)
    return [1 - momentum, math.sqrt(missing) * eps, paper_decay * (1 / rate)]


def translate_by_loop(momentum, eps, step, paper_decay, rate):
    left = 1.0
    for _ in range(step):
        left *= 0.999
    return np.array([1.0 - momentum, eps * (1 - left) ** 0.5, paper_decay / rate])


def translating(momentum=lambda m: 1 - m, eps=lambda e, t: e * (1 - 0.999**t) ** 0.5, decay=lambda d, r: d / r):
    """The right answer with parts replaced."""
    return lambda m, e, t, d, r: (momentum(m), eps(e, t), decay(d, r))


# ---------------------------------------------------------------- train_keras.2
def gru_by_reshape(w_input, w_hidden, b_input, b_hidden):
    def turn(w):
        return w.reshape(3, -1, w.shape[1])[[1, 0, 2]].reshape(w.shape).T

    return turn(w_input), turn(w_hidden), np.stack([b_input, b_hidden]).reshape(2, 3, -1)[:, [1, 0, 2]].reshape(2, -1)


def gru_by_index(w_input, w_hidden, b_input, b_hidden):
    h = w_hidden.shape[1]
    rows = [*range(h, 2 * h), *range(h), *range(2 * h, 3 * h)]
    return w_input[rows].T, w_hidden[rows].T, np.array([b_input[rows], b_hidden[rows]])


def moving(order=(1, 0, 2), turn=lambda w: w.T, bias=None, bias_order=None):
    """The right answer with parts replaced."""

    def sort(w, order):
        return np.concatenate([np.split(w, 3)[i] for i in order])

    def move(wi, wh, bi, bh):
        b = [sort(x, bias_order or order) for x in (bi, bh)]
        return turn(sort(wi, order)), turn(sort(wh, order)), bias(*b) if bias else np.stack(b)

    return move


# ---------------------------------------------------------------- train_keras.3
def stop_by_slices(val_losses, patience):
    for n in range(1, len(val_losses) + 1):
        best = val_losses.index(min(val_losses[:n]))
        if n - 1 - best >= patience:
            return n, best
    return len(val_losses), int(np.argmin(val_losses))


def stop_with_while(val_losses, patience):
    epoch = best = 0
    while epoch + 1 < len(val_losses) and epoch - best < patience:
        epoch += 1
        if val_losses[epoch] < val_losses[best]:
            best = epoch
    return [epoch + 1, best]


def shifted(ran=0, best=0):
    def wrong(val_losses, patience):
        n, b = stop_by_slices(val_losses, patience)
        return n + ran, b + best

    return wrong


def one_late(val_losses, patience):
    return stop_by_slices(val_losses, patience + 1)


def never_reset(val_losses, patience):
    best, wait = float("inf"), 0
    for epoch, loss in enumerate(val_losses):
        if loss < best:
            best = loss
        else:
            wait += 1
            if wait == patience:
                return epoch + 1, val_losses.index(best)
    return len(val_losses), val_losses.index(best)


def ties_are_better(val_losses, patience):
    best = 0
    for epoch, loss in enumerate(val_losses):
        if loss <= val_losses[best]:
            best = epoch
        elif epoch - best >= patience:
            return epoch + 1, best
    return len(val_losses), best


def neighbor(val_losses, patience):
    wait, n = 0, len(val_losses)
    for epoch in range(1, len(val_losses)):
        wait = wait + 1 if val_losses[epoch] >= val_losses[epoch - 1] else 0
        if wait == patience:
            n = epoch + 1
            break
    return n, int(np.argmin(val_losses[:n]))


ANSWERS = {
    "train_keras.1": Answers(
        right=[translate_with_math, translate_by_loop],
        wrong=[
            (translating(momentum=lambda m: m), "PyTorch's own number"),
            (translating(eps=lambda e, t: e / (1 - 0.999**t) ** 0.5), "divided by the root"),
            (translating(eps=lambda e, t: e * (1 - 0.999**t)), "lacks its root"),
            (translating(eps=lambda e, t: e), "value alone is not enough"),
            (translating(eps=lambda e, t: e * (1 - 0.9**t) ** 0.5), "took β₁"),
            (translating(eps=lambda e, t: 10 * e), "only Keras's default"),
            (translating(eps=lambda e, t: e * (1 - 0.999 ** (t - 1)) ** 0.5), "one behind"),
            (translating(decay=lambda d, r: d * r), "multiplied by the rate"),
            (translating(decay=lambda d, r: d), "make up for that"),
        ],
    ),
    "train_keras.2": Answers(
        right=[gru_by_reshape, gru_by_index],
        wrong=[
            (moving(order=(0, 1, 2)), "still stand as r, z, n"),
            (moving(turn=lambda w: w), "are not turned"),
            (moving(order=(2, 1, 0)), "reversed the three blocks"),
            (moving(order=(1, 2, 0)), "moved r to the end"),
            (moving(bias=lambda a, b: a + b), "added the biases up"),
            (moving(bias=lambda a, b: np.stack([b, a])), "rows of the bias are exchanged"),
            (moving(bias_order=(0, 1, 2)), "biases forgotten"),
            (moving(order=(0, 1, 2), bias_order=(1, 0, 2)), "matrices in PyTorch's order"),
        ],
    ),
    "train_keras.3": Answers(
        right=[stop_by_slices, stop_with_while],
        wrong=[
            (one_late, "One epoch too many"),
            (never_reset, "sets the count back"),
            (ties_are_better, "An equal loss is not lower"),
            (lambda losses, patience: (stop_by_slices(losses, patience)[0], int(np.argmin(losses))), "never run"),
            (
                lambda losses, p: (stop_by_slices(losses, p)[0], stop_by_slices(losses, p)[0] - 1),
                "last epoch's weights",
            ),
            (shifted(best=1), "counted from 0"),
            (shifted(ran=-1), "index of the last one plus 1"),
            (neighbor, "with the epoch before"),
            (lambda losses, patience: (len(losses), int(np.argmin(losses))), "As if it never stopped"),
        ],
    ),
}
