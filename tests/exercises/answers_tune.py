"""Known right and wrong answers to the exercises of lesson tune, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- tune.1
def honest(validation, test):
    means = [sum(row) / len(row) for row in validation.tolist()]
    k = means.index(max(means))
    reported = sum(test[k].tolist()) / test.shape[1]
    return k, reported, means[k] - reported


def honest_sorted(validation, test):
    k = np.argsort(-validation.mean(1), kind="stable")[0]
    return [k, np.mean(test[k]), np.mean(validation[k] - test[k])]


def changed(**parts):
    """The honest report with parts replaced by functions of (validation, test)."""

    def report(validation, test):
        k = parts["choose"](validation, test) if "choose" in parts else honest(validation, test)[0]
        reported = parts["report"](validation, test) if "report" in parts else test[k].mean()
        return k, reported, validation[k].mean() - reported

    return report


def one_run(validation, test, k):
    j = validation[k].argmax()
    return k, test[k, j], validation[k, j] - test[k, j]


ANSWERS = {
    "tune.1": Answers(
        right=[honest, honest_sorted],
        wrong=[
            (changed(choose=lambda v, t: t.mean(1).argmax()), "chose by the test set"),
            (changed(report=lambda v, t: t.mean(1).max()), "best test accuracy of all settings"),
            (changed(choose=lambda v, t: v.max(1).argmax()), "luckiest seed"),
            (changed(report=lambda v, t: v.mean(1).max()), "report the validation accuracy"),
            (changed(choose=lambda v, t: v.mean(0).argmax()), "averaged over settings"),
            (changed(choose=lambda v, t: np.median(v, 1).argmax()), "the median over seeds"),
            (lambda v, t: one_run(v, t, v.max(1).argmax()), "one lucky run"),
            (lambda v, t: one_run(v, t, v.mean(1).argmax()), "one seed of the right setting"),
            (lambda v, t: (honest(v, t)[0] + 1, *honest(v, t)[1:]), "count from 1"),
            (lambda v, t: (*honest(v, t)[:2], -honest(v, t)[2]), "wrong sign"),
            (lambda v, t: honest(v, t)[:2], "should be 3 values"),
        ],
    ),
}
