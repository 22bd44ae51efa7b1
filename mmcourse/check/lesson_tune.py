"""Checks of lesson tune: the number that may be reported."""

from __future__ import annotations

import numpy as np

from mmcourse.check import agree, exercise, rng


# ---------------------------------------------------------------- tune.1
def report(validation: np.ndarray, test: np.ndarray) -> tuple[int, float, float]:
    """The setting chosen, the test accuracy that may be reported, and what choosing had flattered it by."""
    return _reported(validation, test)


def _reported(valid, test, chosen=None, value=None, flattered=None):
    chosen = int(valid.mean(axis=1).argmax()) if chosen is None else int(chosen)
    value = test[chosen].mean() if value is None else value
    return chosen, float(value), float(valid[chosen].mean() - value if flattered is None else flattered)


def _run(valid, test, k):
    """One run of setting k alone, the one that validation liked best."""
    j = valid[k].argmax()
    return int(k), float(test[k, j]), float(valid[k, j] - test[k, j])


_REPORT_MISTAKES = [
    (
        lambda v, t: _reported(v, t, t.mean(axis=1).argmax()),
        "You chose by the test set. What chooses cannot judge: choose by the mean validation accuracy.",
    ),
    (
        lambda v, t: _reported(v, t, value=t.mean(axis=1).max()),
        "You report the best test accuracy of all settings. Report that of the one which validation chose.",
    ),
    (
        lambda v, t: _reported(v, t, v.max(axis=1).argmax()),
        "You chose the setting with the luckiest seed. Take the mean over seeds first, then the best setting.",
    ),
    (
        lambda v, t: _reported(v, t, np.median(v, axis=1).argmax()),
        "You chose by the median over seeds. The mean is asked for.",
    ),
    (
        lambda v, t: _run(v, t, v.argmax() // v.shape[1]),
        "You report one lucky run. Choose by the mean over seeds, and report the mean over seeds.",
    ),
    (
        lambda v, t: _run(v, t, v.mean(axis=1).argmax()),
        "You report one seed of the right setting. The number to report is the mean over seeds.",
    ),
    (
        lambda v, t: (report(v, t)[0] + 1, *report(v, t)[1:]),
        "Your settings count from 1. The first row is setting 0, as `argmax` counts.",
    ),
    (
        lambda v, t: _reported(v, t, value=v.mean(axis=1).max()),
        "You report the validation accuracy. It chose the winner, so it flatters it: report the test accuracy.",
    ),
    (
        lambda v, t: _reported(v, t, v.mean(axis=0).argmax()),
        "You averaged over settings. Rows are settings, columns are seeds: the mean over seeds is `axis=1`.",
    ),
    (
        lambda v, t: (*report(v, t)[:2], -report(v, t)[2]),
        "Your third value has the wrong sign: validation minus test, positive where validation promised too much.",
    ),
]


@exercise("tune.1", title="Which number may be reported?", points=2, difficulty=2, minutes=10)
def check_report(answer):
    g, inputs = rng("12.4"), []
    first = (
        [[0.70, 0.72], [0.76, 0.74], [0.60, 0.78], [0.66, 0.70]],
        [[0.71, 0.70], [0.70, 0.72], [0.69, 0.73], [0.75, 0.73]],
    )
    inputs.append(tuple(map(np.array, first)))
    one_good_seed = [[0.74, 0.74, 0.74], [0.70, 0.91, 0.70]], [[0.75, 0.74, 0.73], [0.72, 0.71, 0.73]]
    inputs.append(tuple(map(np.array, one_good_seed)))
    for settings, seeds in ((6, 3), (20, 5), (4, 1), (2, 8)):
        quality = g.uniform(0.6, 0.7, (settings, 1))
        inputs.append(tuple(np.round(quality + g.normal(0, 0.04, (2, settings, seeds)), 3)))
    agree(answer, report, inputs, mistakes=_REPORT_MISTAKES, names=("setting", "reported", "flattered"))
    return "Chosen by validation, judged by the test set, once."
