"""Checks of lesson bert: hiding words, and a report that may be too good."""

import numpy as np

from mmcourse.check import agree, exercise, rng


# ---------------------------------------------------------------- bert.1
def hide(ids, chosen, fate, random_ids, mask_id) -> tuple[np.ndarray, np.ndarray]:
    """Masked-language-model inputs and labels from thrown dice; all arrays of one shape."""
    return _hidden(ids, chosen, fate, random_ids, mask_id)


def _hidden(ids, chosen, fate, random_ids, mask_id, low=0.8, high=0.9, labels=None):
    inputs = np.where(chosen & (fate < low), mask_id, ids)
    inputs = np.where(chosen & (fate >= low) & (fate < high), random_ids, inputs)
    return inputs, np.where(chosen, ids, -100) if labels is None else labels(inputs)


def _with(**changes):
    return lambda *args: _hidden(*args, **changes)


def _labels(make):
    return lambda ids, chosen, *rest: _hidden(ids, chosen, *rest, labels=lambda inputs: make(ids, chosen, inputs))


def _everywhere(ids, chosen, fate, random_ids, mask_id):
    inputs, _ = _hidden(ids, np.ones_like(chosen), fate, random_ids, mask_id)
    return inputs, np.where(chosen, ids, -100)


def _only_masked(ids, chosen, fate, random_ids, mask_id):
    inputs, _ = hide(ids, chosen, fate, random_ids, mask_id)
    return inputs, np.where(chosen & (fate < 0.8), ids, -100)


_HIDE_MISTAKES = [
    (_with(low=1, high=1), "You masked every chosen token. Only 80 % are: a task later on has no [MASK] at all."),
    (_with(low=0.8, high=1), "None of the chosen tokens stays. From 0.9 on a chosen token is kept as it is."),
    (_with(low=0.8, high=0.8), "No token became a random one: from 0.8 up to 0.9 take it from `random_ids`."),
    (_with(low=0.9, high=1), "The borders are shifted: masked below 0.8, random from 0.8 up to 0.9, the rest stays."),
    (_with(low=0.1, high=0.2), "The borders are reversed: 80 % are masked, 10 % become random, 10 % stay."),
    (_everywhere, "Tokens that were not chosen changed too. Each condition needs `chosen & (…)`."),
    (_labels(lambda ids, chosen, inputs: ids), "Every token is asked. Where nothing was chosen the label is -100."),
    (
        _labels(lambda ids, chosen, inputs: np.where(chosen, inputs, -100)),
        "Your labels come from the inputs, so the answer to a masked token is [MASK]. Take them from `ids`.",
    ),
    (
        _labels(lambda ids, chosen, inputs: np.where(chosen, -100, ids)),
        "Your labels are the wrong way round: the true token where it was chosen, -100 elsewhere.",
    ),
    (
        _labels(lambda ids, chosen, inputs: np.where(chosen, ids, 0)),
        "Where nothing is asked the label is -100. A 0 is a token, [PAD], and would be learned.",
    ),
    (_only_masked, "You ask only for the masked. All chosen tokens are asked, the random and the kept ones too."),
    (
        lambda *args: hide(*args)[::-1],
        "The two results are exchanged: first what the model sees, then what it is asked.",
    ),
]


@exercise("bert.1", title="Hide words by the rule", points=2, difficulty=2, minutes=10)
def check_hide(answer):
    g = rng("08.2")
    first = (
        np.array([2, 11, 12, 13, 14, 3]),
        np.array([False, True, False, True, True, False]),
        np.array([0.1, 0.5, 0.2, 0.85, 0.95, 0.3]),
        np.array([90, 91, 92, 93, 94, 95]),
        4,
    )
    inputs = [first]
    for shape in ((40,), (5, 30), (2, 3, 20)):
        ids, other = g.integers(10, 50, size=shape), g.integers(50, 90, size=shape)
        inputs.append((ids, g.random(shape) < 0.5, g.random(shape), other, 5))
    edges = np.array([0.0, 0.8, 0.9, 0.7999, 0.8999])
    inputs.append((np.arange(10, 15), np.ones(5, bool), edges, np.arange(50, 55), 6))
    agree(answer, hide, inputs, mistakes=_HIDE_MISTAKES, names=("inputs", "labels"))
    return "The model never knows which of the words it sees are asked, so it must understand all of them."


# ---------------------------------------------------------------- bert.2
def judge(first_loss: float, vocab_size: int, accuracy: float, counting: np.ndarray) -> tuple[str, float]:
    """ "leak", "counts" or "reads", and the gain over the best baseline."""
    return _verdict(first_loss, vocab_size, accuracy, counting)


def _verdict(first_loss, vocab_size, accuracy, counting, log=np.log, best=np.max, leaks=None, gain=None, late=False):
    difference = float(accuracy - best(counting))
    start = log(vocab_size)
    leak = first_loss < start - 0.5 if leaks is None else leaks(first_loss, start)
    word = "reads" if difference > 0 else "counts"
    if leak and not (late and word == "counts"):
        word = "leak"
    return word, difference if gain is None else gain(accuracy, counting)


def _but(**changes):
    return lambda *args: _verdict(*args, **changes)


# A mistake comes before those that look like it on some report.
_JUDGE_MISTAKES = [
    (
        _but(leaks=lambda loss, start: loss < start),
        "A first loss just below ln V is chance. Call it a leak from 0.5 on.",
    ),
    (_but(late=True), "You looked at the accuracy first. If the first loss leaks, no other number counts."),
    (_but(best=np.min), "You compared with the weakest way of counting. A claim must beat the strongest: `max`."),
    (_but(best=np.mean), "You compared with the mean of the baselines. A claim must beat the strongest: `max`."),
    (_but(best=lambda c: c[0]), "You compared with the first baseline only. A claim must beat the strongest: `max`."),
    (
        _but(leaks=lambda loss, start: abs(loss - start) > 0.5),
        "You call a first loss above ln V a leak. That start is clumsy, but it gives nothing away: only below counts.",
    ),
    (_but(leaks=lambda loss, start: False), "You never call a leak. Compare the first loss with `np.log(vocab_size)`."),
    (_but(gain=lambda a, c: a / c.max() - 1), "Your gain is relative. Asked is accuracy minus the best of `counting`."),
    (_but(gain=lambda a, c: a), "Your gain is the accuracy itself. Take off the best of `counting`."),
    (
        _but(gain=lambda a, c: max(a - c.max(), 0)),
        "Your gain stops at 0. A model worse than counting has a negative one.",
    ),
    (
        _but(gain=lambda a, c: abs(a - c.max())),
        "Your gain has lost its sign. A model worse than counting has a negative one.",
    ),
    (_but(log=np.log2), "You counted in bits. The loss is in nats: `np.log`, not `np.log2`."),
    (_but(log=np.log10), "You took the logarithm to base 10. The loss is in nats: `np.log`."),
]

_REPORTS = [
    (6.6, 668, 0.60, [0.14, 0.51, 0.34]),
    (6.2, 668, 0.45, [0.14, 0.34, 0.51]),
    (2.1, 30_000, 0.90, [0.10, 0.40]),
    (5.0, 668, 0.80, [0.14, 0.51]),
    (4.0, 668, 0.30, [0.14, 0.51]),
    (9.2, 668, 0.62, [0.51, 0.34, 0.14]),
    (6.3, 668, 0.51, [0.51, 0.20]),
    (10.2, 30_000, 0.55, [0.60]),
]


@exercise("bert.2", title="Judge a report", points=2, difficulty=2, minutes=8)
def check_judge(answer):
    inputs = [(loss, size, accuracy, np.array(counting)) for loss, size, accuracy, counting in _REPORTS]
    agree(answer, judge, inputs, mistakes=_JUDGE_MISTAKES, names=("verdict", "gain"))
    return "First the loss that it started from, then the best that counting can do: two questions for every report."
