"""Settings translated between the frameworks, a GRU's weights, and when early stopping stops."""

from __future__ import annotations

import numpy as np

from mmcourse.check import agree, exercise, rng


# ---------------------------------------------------------------- train_keras.1
def translate(momentum, eps, step, paper_decay, rate):
    """Keras's batch-norm momentum, Adam ε for one step, and AdamW weight decay."""
    return 1 - momentum, eps * np.sqrt(1 - 0.999**step), paper_decay / rate


def _translated(momentum=None, eps=None, decay=None):
    """`translate` with parts replaced."""

    def wrong(m, e, t, d, r):
        right = translate(m, e, t, d, r)
        return (
            momentum(m) if momentum else right[0],
            eps(e, t) if eps else right[1],
            decay(d, r) if decay else right[2],
        )

    return wrong


_SETTING_MISTAKES = [
    (
        _translated(momentum=lambda m: m),
        "momentum: that is PyTorch's own number. It weighs the new batch; Keras's weighs the old value.",
    ),
    (
        _translated(eps=lambda e, t: e / np.sqrt(1 - 0.999**t)),
        "ε: you divided by the root. That is how large Keras's ε counts; to make up for it, multiply.",
    ),
    (
        _translated(eps=lambda e, t: e * (1 - 0.999**t)),
        "ε: the factor lacks its root. ε stands beside √v, so it is scaled by √(1 − β₂ᵗ).",
    ),
    (
        _translated(eps=lambda e, t: e),
        "ε: the value alone is not enough. It stands in another place, where it counts 1/√(1 − β₂ᵗ) times.",
    ),
    (
        _translated(eps=lambda e, t: e * np.sqrt(1 - 0.9**t)),
        "ε: you took β₁ = 0.9. The second moment has β₂ = 0.999.",
    ),
    (
        _translated(eps=lambda e, t: e * np.sqrt(1 - 0.999 ** (t - 1))),
        "ε: steps count from 1 here, and you are one behind.",
    ),
    (
        _translated(eps=lambda e, t: 10 * e),
        "ε: 1e-7 is only Keras's default. What is wanted is the value that makes this step equal.",
    ),
    (
        _translated(decay=lambda d, r: d * r),
        "weight_decay: you multiplied by the rate. Keras does that already, so divide.",
    ),
    (
        _translated(decay=lambda d, r: d),
        "weight_decay: the paper's number goes without the rate, Keras multiplies by it: make up for that.",
    ),
]


@exercise("train_keras.1", title="Settings in translation", points=2, difficulty=1, minutes=9)
def check_translate(answer):
    g = rng("11.1")
    inputs = [(0.1, 1e-8, 1, 0.003, 0.01), (0.25, 1e-6, 40, 0.001, 0.02)]
    for _ in range(4):
        inputs.append((round(float(g.uniform(0.01, 0.4)), 2), 1e-8, int(g.integers(2, 5000)), 0.002, 0.004))
    names = ("momentum", "epsilon", "weight_decay")
    agree(answer, translate, inputs, mistakes=_SETTING_MISTAKES, names=names, atol=1e-14)
    return "As steps go by the factor tends to 1: the place of ε matters at the start, its value always."


# ---------------------------------------------------------------- train_keras.2
def to_keras(w_input, w_hidden, b_input, b_hidden):
    """PyTorch's GRU weights (3h, d), (3h, h), (3h,), (3h,) as Keras keeps them."""
    return _carried(w_input), _carried(w_hidden), np.stack([_carried(b_input), _carried(b_hidden)])


def _carried(weight, order=(1, 0, 2), turned=True):
    gates = np.split(np.asarray(weight), 3)
    joined = np.concatenate([gates[i] for i in order])
    return joined.T if turned else joined


def _gru(**how):
    def wrong(w_input, w_hidden, b_input, b_hidden):
        bias = np.stack([_carried(b_input, **how), _carried(b_hidden, **how)])
        return _carried(w_input, **how), _carried(w_hidden, **how), bias

    return wrong


def _blocks_after(w_input, w_hidden, b_input, b_hidden):
    def half(weight):
        return np.concatenate([np.split(weight.T, 3, axis=-1)[i] for i in (0, 1, 2)], axis=-1)

    return half(w_input), half(w_hidden), np.stack([_carried(b_input), _carried(b_hidden)])


_GRU_MISTAKES = [
    (
        _gru(order=(0, 1, 2)),
        "Transposed, but the gates still stand as r, z, n. Keras has z, r, h: exchange the first two blocks.",
    ),
    (
        _gru(turned=False),
        "The order is right, the matrices are not turned: Keras multiplies x @ kernel, so kernel is (d, 3h).",
    ),
    (
        _gru(order=(2, 1, 0)),
        "You reversed the three blocks. Only r and z change places; n (Keras's h) stays last.",
    ),
    (
        _gru(order=(1, 2, 0)),
        "You moved r to the end. Only r and z change places; n (Keras's h) stays last.",
    ),
    (
        lambda wi, wh, bi, bh: (*to_keras(wi, wh, bi, bh)[:2], _carried(bi) + _carried(bh)),
        "You added the biases up, as for an LSTM. Here the hidden one stands inside r ⊙ (…): keep both, (2, 3h).",
    ),
    (
        lambda wi, wh, bi, bh: (*to_keras(wi, wh, bi, bh)[:2], np.stack([_carried(bh), _carried(bi)])),
        "The rows of the bias are exchanged: first the input's, then the hidden state's.",
    ),
    (
        lambda wi, wh, bi, bh: (*to_keras(wi, wh, bi, bh)[:2], np.stack([bi, bh])),
        "Matrices right, biases forgotten: their gates change places too.",
    ),
    (
        _blocks_after,
        "Biases right, matrices in PyTorch's order: their gates change places too.",
    ),
]


@exercise("train_keras.2", title="A GRU moves house", points=3, difficulty=2, minutes=12)
def check_to_keras(answer):
    g = rng("11.2")
    inputs = []
    for h, d in ((1, 2), (2, 3), (4, 4), (3, 1)):
        inputs.append(tuple(g.normal(size=shape).round(2) for shape in ((3 * h, d), (3 * h, h), (3 * h,), (3 * h,))))
    agree(answer, to_keras, inputs, mistakes=_GRU_MISTAKES, names=("kernel", "recurrent kernel", "bias"))
    return "With these a Keras GRU says what PyTorch's says, step for step."


# ---------------------------------------------------------------- train_keras.3
def early_stopping(val_losses, patience):
    """How many epochs run, and which one's weights remain (counted from 0)."""
    return _stopped(val_losses, patience)


def _stopped(losses, patience, late=0, ties=False, total=False):
    """Epochs that run and the best of them. `late`: epochs too many; `ties` count as better; `total`: never reset."""
    best, wait = 0, 0
    for epoch, loss in enumerate(losses):
        if epoch == 0 or loss < losses[best] or (ties and loss == losses[best]):
            best, wait = epoch, wait if total else 0
            continue
        wait += 1
        if wait >= patience + late:
            return epoch + 1, best
    return len(losses), best


def _against_the_epoch_before(losses, patience):
    wait = 0
    for epoch in range(1, len(losses)):
        wait = 0 if losses[epoch] < losses[epoch - 1] else wait + 1
        if wait >= patience:
            return epoch + 1, int(np.argmin(losses[: epoch + 1]))
    return len(losses), int(np.argmin(losses))


_STOP_MISTAKES = [
    (
        lambda losses, patience: _stopped(losses, patience, late=1),
        "One epoch too many: it stops *at* the patience-th epoch without a lower loss, not after it.",
    ),
    (
        lambda losses, patience: _stopped(losses, patience, total=True),
        "You count all epochs without a lower loss. A new best sets the count back to 0.",
    ),
    (
        lambda losses, patience: _stopped(losses, patience, ties=True),
        "An equal loss is not lower: it counts as an epoch without a new best.",
    ),
    (
        lambda losses, patience: (_stopped(losses, patience)[0], int(np.argmin(losses))),
        "The second number names an epoch that was never run: look for the best among those before the stop.",
    ),
    (
        lambda losses, patience: (_stopped(losses, patience)[0], _stopped(losses, patience)[0] - 1),
        "The last epoch's weights are not what remains: restore_best_weights puts the best one's back.",
    ),
    (
        lambda losses, patience: (_stopped(losses, patience)[0], _stopped(losses, patience)[1] + 1),
        "The best epoch is counted from 0.",
    ),
    (
        lambda losses, patience: (_stopped(losses, patience)[0] - 1, _stopped(losses, patience)[1]),
        "The first number is how many epochs run, so the index of the last one plus 1.",
    ),
    (
        _against_the_epoch_before,
        "You compare with the epoch before. It must beat the *best* so far.",
    ),
    (
        lambda losses, patience: (len(losses), int(np.argmin(losses))),
        "As if it never stopped: after `patience` epochs in a row without a lower loss the run ends.",
    ),
]


@exercise("train_keras.3", title="When does it stop, and with what?", points=2, difficulty=2, minutes=9)
def check_early_stopping(answer):
    g = rng("11.3")
    inputs = [
        ([0.9, 0.7, 0.8, 0.75, 0.76, 0.77, 0.6, 0.5], 2),
        ([0.9, 0.7, 0.8, 0.75, 0.6, 0.65, 0.64, 0.63, 0.2], 3),
        ([0.9, 0.8, 0.8, 0.8, 0.7], 2),
        ([1.0, 0.9, 0.8, 0.7], 1),
        ([0.5, 0.6, 0.4, 0.45, 0.3, 0.35, 0.2, 0.3], 2),
    ]
    inputs += [(g.normal(0.6, 0.1, 12).round(2).tolist(), int(patience)) for patience in (1, 2, 3, 5)]
    agree(answer, early_stopping, inputs, mistakes=_STOP_MISTAKES, names=("epochs run", "best epoch"))
    return "So a short patience can miss a later best: it is a bet, like any other setting."
