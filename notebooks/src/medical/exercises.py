"""ROC and average precision by hand, deploying elsewhere, the shortcut; the lesson's blanks; the open challenge."""

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
    "medical",
    promise="The ROC curve and average precision by hand, probabilities for another hospital, the shortcut among three models, "
    "a record encoder and one step of private training in PyTorch, and a challenge: risks for another hospital.",
    uses="NumPy; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def curve_and_ap(labels, scores):
    """False- and true-positive rates from nobody to everybody, and average precision: (k + 1,), (k + 1,), a number."""
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(labels)[ends]
    alarms = np.cumsum(1 - labels)[ends]
    fpr = np.append(0.0, alarms / alarms[-1])
    tpr = np.append(0.0, hits / hits[-1])
    precision = hits / (hits + alarms)
    ap = (np.diff(tpr) * precision).sum()
    return fpr, tpr, ap


def draw_scores(g, n, kind):
    """Labels with both classes; scores with or without ties, or all alike."""
    labels = (g.random(n) < 0.35).astype(int)
    labels[:3] = 1, 0, 0
    scores = (g.random(n) + 0.3 * labels).round(3)
    if kind == "ties":
        scores = np.round(3 * scores) / 3
    if kind == "alike":
        scores = np.full(n, 0.4)
    order = g.permutation(n)
    return labels[order], scores[order]


def without_start(labels, scores):
    """The answer with one mistake."""
    fpr, tpr, ap = curve_and_ap(labels, scores)
    return fpr[1:], tpr[1:], ap


def ties_apart(labels, scores):
    """The answer with one mistake."""
    order = np.argsort(-scores, kind="stable")
    y = labels[order]
    hits, alarms = np.cumsum(y), np.cumsum(1 - y)
    tpr = np.append(0.0, hits / hits[-1])
    return np.append(0.0, alarms / alarms[-1]), tpr, (np.diff(tpr) * hits / (hits + alarms)).sum()


ranks = exercise(
    "medical.1",
    curve_and_ap,
    title="ROC and average precision by hand",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "`labels` (n,) are 0 or 1 with at least one of each, `scores` (n,) are higher for those more likely 1."
        ),
        context("**Write** `curve_and_ap(labels, scores)`, without scikit-learn."),
        says("The curve begins with nobody called: (0, 0).", mistake="begins with nobody"),
        says("Then lower the threshold from the highest score,", mistake="highest score first"),
        says("one *different* score at a time: equal scores are called together.", mistake="equal scores"),
        says("`fpr` is the share of the 0s who are called,", mistake="share of the 0s"),
        says("`tpr` the share of the 1s.", mistake="share of the 1s"),
        says("Average precision is the sum of precision × gain in recall,", mistake="not an area by trapezoids"),
        says("with precision = 1s among those called / those called.", mistake="those who are called"),
        says("Return (fpr, tpr, ap).", mistake="exchanged"),
        example("""
labels, scores = np.array([1, 0, 1, 0]), np.array([0.9, 0.6, 0.6, 0.2])
print("fpr 0, 0, 0.5, 1   tpr 0, 0.5, 1, 1   ap = 0.5 · 1 + 0.5 · 2/3 =", 0.5 + 1 / 3)
"""),
    ],
    hints=[
        "Loop over `np.unique(scores)[::-1]`; those called are `scores >= value`.",
        "Keep the last recall: each threshold adds (recall − last recall) × precision to `ap`.",
    ],
    draw=draw_scores,
    parts=[
        part("different scores", weight=2, n=between(6, 12), kind="plain"),
        part("ties", weight=2, n=between(8, 14), kind="ties"),
        part("all scores alike", n=between(5, 9), kind="alike"),
        part("three patients", n=3, kind="plain"),
    ],
    own={"n": 5, "kind": "plain"},
    own_says="Five patients of your own",
    names=("the false-positive rates", "the true-positive rates", "average precision"),
    mistakes={
        "The curve begins with nobody called: put (0, 0) first.": without_start,
        "You call the lowest score first: the highest score first.": "order = np.argsort(scores, kind='stable')",
        "Patients with equal scores are called together: one point for each different score.": ties_apart,
        "`fpr` is the share of the 0s who are called, not of all patients.": "fpr = np.append(0.0, alarms / len(labels))",
        "`tpr` is the share of the 1s who are called, not of all patients.": edit(
            "return fpr, tpr, ap", "return fpr, tpr * labels.mean(), ap"
        ),
        "Average precision is a sum of precision × gain in recall, not an area by trapezoids.": (
            "ap = (np.diff(tpr) * (precision + np.append(precision[0], precision[:-1])) / 2).sum()"
        ),
        "This is the mean of all precisions: weight each with the recall that it gains.": "ap = precision.mean()",
        "Precision is the share of 1s among those who are called.": "precision = hits / len(labels)",
        "`fpr` and `tpr` are exchanged.": edit("return fpr, tpr, ap", "return tpr, fpr, ap"),
    },
    praise="Equal to scikit-learn's `roc_curve` (with `drop_intermediate=False`) and `average_precision_score`.",
)


@right(ranks)
def by_thresholds(labels, scores):
    fpr, tpr, ap = [0.0], [0.0], 0.0
    for value in sorted(set(scores.tolist()), reverse=True):
        called = scores >= value
        tpr.append(labels[called].sum() / labels.sum())
        fpr.append((1 - labels)[called].sum() / (1 - labels).sum())
        ap += (tpr[-1] - tpr[-2]) * labels[called].mean()
    return np.array(fpr), np.array(tpr), ap


# ---------------------------------------------------------------- 2
def elsewhere(p, old, new, false_alarm, miss):
    """Probabilities at prevalence `new`, and who is called there: (n,) and bool (n,)."""
    ill = p * new / old
    healthy = (1 - p) * (1 - new) / (1 - old)
    moved = ill / (ill + healthy)
    threshold = false_alarm / (false_alarm + miss)
    return moved, moved >= threshold


def draw_elsewhere(g, n, old, new, miss):
    """Probabilities, some 0 and 1."""
    p = g.random(n).round(3)
    if n > 3:
        p[0], p[1] = 0.0, 1.0
    return p, old, new, 1.0 if miss != 2.0 else 3.0, miss


def draw_at_threshold(g, n):
    """Some exactly at the threshold, 0.5: the prevalence stays one half and both errors cost the same, so nothing is rounded."""
    p = g.random(n).round(3)
    p[g.permutation(n)[: 1 + n // 4]] = 0.5
    cost = float(g.integers(1, 5))
    return p, 0.5, 0.5, cost, cost


def only_ill(p, old, new, false_alarm, miss):
    """The answer with one mistake."""
    moved = np.minimum(p * new / old, 1.0)
    return moved, moved >= false_alarm / (false_alarm + miss)


def twice(p, old, new, false_alarm, miss):
    """The answer with one mistake."""
    moved = elsewhere(elsewhere(p, old, new, 1, 1)[0], old, new, 1, 1)[0]
    return moved, moved >= false_alarm / (false_alarm + miss)


deploy = exercise(
    "medical.2",
    elsewhere,
    title="Deploy elsewhere",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "A model was trained where a share `old` was ill (or as if: class weights). Its probabilities are `p` (n,). It is "
            "to be used where a share `new` is ill; the ill look the same there, and the healthy, too."
        ),
        context("**Write** `elsewhere(p, old, new, false_alarm, miss)`."),
        says("First the probabilities there: the odds are multiplied by the new prior odds", mistake="wrong way"),
        says("and divided by the old ones,", mistake="old prior odds"),
        says("once.", mistake="corrected twice"),
        says("Both the ill and the healthy change their weight, so that 0 ≤ p ≤ 1.", mistake="healthy change"),
        says("Then who is called: those whose corrected probability", mistake="corrected ones"),
        says("is at least", mistake="exactly at the threshold"),
        says("the cost threshold, false_alarm / (false_alarm + miss).", mistake="not 0.5"),
        says("Return (probabilities, called), the second as booleans.", mistake="booleans"),
        example("""
odds = 0.5 / (1 - 0.5) * (0.06 / 0.94) / (0.5 / 0.5)
print("0.5 at 50 % becomes", odds / (1 + odds), "at 6 %")
"""),
    ],
    hints=[
        "`ill = p * new / old` and `healthy = (1 - p) * (1 - new) / (1 - old)`. Then ill / (ill + healthy): safe at p = 0 and 1.",
        "`moved >= false_alarm / (false_alarm + miss)` is an array of booleans.",
    ],
    draw=draw_elsewhere,
    parts=[
        part("from half to rare", weight=2, n=between(30, 40), old=0.5, new=0.06, miss=19.0),
        part("from rare to rarer", n=between(20, 30), old=0.06, new=0.02, miss=9.0),
        part("to more frequent", n=between(20, 30), old=0.1, new=0.4, miss=2.0),
        part("the same prevalence", n=between(8, 12), old=0.3, new=0.3, miss=4.0),
        part("one patient", n=1, old=0.5, new=0.2, miss=4.0),
        part("some exactly at the threshold", draw=draw_at_threshold, n=between(6, 12)),
    ],
    own={"n": 3, "old": 0.5, "new": 0.1, "miss": 9.0},
    own_says="Three patients of your own",
    names=("the probabilities", "who is called"),
    mistakes={
        "The odds are multiplied the wrong way round: rarer must make the probabilities smaller.": edit(
            "    ill = p * new / old\n    healthy = (1 - p) * (1 - new) / (1 - old)",
            "    ill = p * old / new\n    healthy = (1 - p) * (1 - old) / (1 - new)",
        ),
        "You left out the old prior odds: divide by them.": edit(
            "    ill = p * new / old\n    healthy = (1 - p) * (1 - new) / (1 - old)",
            "    ill = p * new\n    healthy = (1 - p) * (1 - new)",
        ),
        "This is corrected twice.": twice,
        "The healthy change their weight, too: this only scales p.": only_ill,
        "The probabilities are not corrected; moving the threshold does not make them right.": "moved = p",
        "Call by the corrected ones, not by `p`.": edit(
            "return moved, moved >= threshold", "return moved, p >= threshold"
        ),
        "The cost threshold is false_alarm / (false_alarm + miss), not 0.5.": "threshold = 0.5",
        "This is not the cost threshold: the cost of a miss and of a false alarm are exchanged.": (
            "threshold = miss / (false_alarm + miss)"
        ),
        "This is not the cost threshold: divide by the sum of both costs.": "threshold = false_alarm / miss",
        "Whoever is exactly at the threshold is called, too: it says “at least”.": edit(
            "moved >= threshold", "moved > threshold"
        ),
        "`called` is to be booleans: compare with the threshold.": edit(
            "return moved, moved >= threshold", "return moved, moved - threshold"
        ),
    },
    praise="A threshold that depends on costs, a probability that depends on the place: two things, kept apart.",
)


@right(deploy)
def by_log_odds(p, old, new, false_alarm, miss):
    ratio = (new / (1 - new)) / (old / (1 - old))
    moved = ratio * p / (1 - p + ratio * p)
    return moved, ~(moved < false_alarm / (false_alarm + miss))


# ---------------------------------------------------------------- 3
def choose(same_site, other_site, record_alone, smallest_group):
    """Which model to ship, or -1: arrays (m,) of AUCs; a number."""
    adds = other_site > record_alone + 0.02
    holds = same_site - other_site < 0.05
    fair = smallest_group >= other_site - 0.1
    good = adds & holds & fair
    best = int(np.argmax(np.where(good, other_site, -1.0)))
    chosen = best if good.any() else -1
    return chosen


def draw_models(g, m, kind):
    """AUCs of models, so that each rule decides somewhere."""
    record_alone = float(np.round(g.uniform(0.70, 0.78), 3))
    other = (record_alone + g.uniform(0.04, 0.14, m)).round(3)
    same = (other + g.uniform(0.0, 0.04, m)).round(3)
    group = (other - g.uniform(0.0, 0.08, m)).round(3)
    best = int(np.argmax(other))
    if kind == "shortcut":
        same[best] = np.round(other[best] + g.uniform(0.06, 0.1), 3)
    if kind == "group":
        group[best] = np.round(other[best] - g.uniform(0.12, 0.2), 3)
    if kind == "record":
        other[:] = (record_alone + g.uniform(-0.03, 0.015, m)).round(3)
        same[:] = (other + g.uniform(0.0, 0.04, m)).round(3)
        group[:] = (other - g.uniform(0.0, 0.05, m)).round(3)
    if kind == "gain":  # the best is much better at the other hospital
        same[best] = np.round(other[best] - g.uniform(0.06, 0.1), 3)
    if kind == "near":  # its smallest group is more than 0.1 below the training hospital, but not below the other one
        same[best] = np.round(other[best] + g.uniform(0.03, 0.04), 3)
        group[best] = np.round(other[best] - g.uniform(0.08, 0.095), 3)
    if kind == "uneven":  # every other model is better in its smallest group, and at the training hospital
        other[:] = record_alone + 0.1 + g.permutation(30)[:m] / 1000
        best = int(np.argmax(other))
        same[:] = (other + g.uniform(0.036, 0.045, m)).round(3)
        same[best] = np.round(other[best] + g.uniform(0.0, 0.003), 3)
        group[:] = (other - g.uniform(0.0, 0.02, m)).round(3)
        group[best] = np.round(other[best] - g.uniform(0.06, 0.08), 3)
    sound = other[(same - other < 0.05) & (group > other - 0.1)]
    if (sound == sound.max(initial=0.0)).sum() > 1:  # a tie: which of them is the best?
        return draw_models(g, m, kind)
    order = g.permutation(m)
    same, group = same + 0.0003, group + 0.0002  # so that no difference is exactly 0.02, 0.05 or 0.1
    return same[order], other[order], record_alone + 0.0004, group[order]


shortcut = exercise(
    "medical.3",
    choose,
    title="Which model is shipped?",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "Several image models were judged. `same_site` (m,) are their AUCs on new patients of the training hospital, "
            "`other_site` (m,) at another hospital; `smallest_group` (m,) is the AUC of the group where each is worst, at the "
            "other hospital; `record_alone` is a number: a model *without any image*, at the other hospital."
        ),
        context("**Write** `choose(...)`: the position of the model that you would ship. It must pass three checks:"),
        says("at the other hospital it is *more than* 0.02 above the record alone;", mistake="record alone"),
        says(
            "from the training hospital to the other it loses *less than* 0.05 (or it has a shortcut);",
            mistake="with a shortcut got through",
        ),
        says("its worst group is not more than 0.1 below its AUC at the other hospital.", mistake="worst group"),
        says("Of those that pass, take the best *at the other hospital*.", mistake="first that passes"),
        says("If none passes, return -1: ship nothing.", mistake="ship nothing"),
        example("""
same, other = np.array([0.97, 0.90]), np.array([0.84, 0.88])
print("losses:", (same - other).round(2), "→ the first one has a shortcut")
"""),
    ],
    hints=[
        "Three arrays of booleans, joined with `&`.",
        "`np.where(good, other_site, -1).argmax()`, after you have asked `good.any()`.",
    ],
    draw=draw_models,
    parts=[
        part("all are sound", m=between(3, 5), kind="plain"),
        part("the best has a shortcut", weight=2, m=between(3, 5), kind="shortcut"),
        part("the best fails a group", weight=2, m=between(3, 5), kind="group"),
        part("no better than the record", weight=2, m=between(3, 5), kind="record"),
        part("the best gains elsewhere", m=between(3, 5), kind="gain"),
        part("the best has a group just good enough", m=between(3, 5), kind="near"),
        part("the others are better in their worst group", m=between(3, 5), kind="uneven"),
        part("one model", m=1, kind="shortcut"),
    ],
    own={"m": 3, "kind": "shortcut"},
    own_says="Three models of your own",
    mistakes={
        "You took the best of the training hospital: of those that pass, the best at the other hospital counts.": (
            "best = int(np.argmax(np.where(good, same_site, -1.0)))"
        ),
        "No check at all: you took the best at the other hospital, whether it has a shortcut or not.": (
            lambda same_site, other_site, record_alone, smallest_group: int(np.argmax(other_site))
        ),
        "A model with a shortcut got through: it loses 0.05 or more at the other hospital.": "good = adds & fair",
        "A model with a bad worst group got through.": "good = adds & holds",
        "The record alone has it already: a model must be more than 0.02 above it.": "good = holds & fair",
        "If none passes, ship nothing: -1.": "chosen = best if good.any() else int(np.argmax(other_site))",
        "You took the first that passes, not the best at the other hospital.": "best = int(np.argmax(good))",
        "`abs` refuses a model that is better at the other hospital: only a loss counts.": (
            "holds = np.abs(same_site - other_site) < 0.05"
        ),
        "You compare the smallest group with the training hospital: the AUC at the other hospital counts.": (
            "fair = smallest_group >= same_site - 0.1"
        ),
        "You took the best by its smallest group: of those that pass, the best AUC at the other hospital counts.": (
            "best = int(np.argmax(np.where(good, smallest_group, -1.0)))"
        ),
    },
    praise="And the sentence for the report: which check would have let the wrong one through.",
)


@right(shortcut)
def by_loop(same_site, other_site, record_alone, smallest_group):
    best, where = -1.0, -1
    for i, value in enumerate(other_site):
        if (
            value - record_alone > 0.02
            and same_site[i] < value + 0.05
            and smallest_group[i] >= value - 0.1
            and value > best
        ):
            best, where = value, i
    return where


# ---------------------------------------------------------------- the lesson's blanks
def rankings():
    rng = np.random.default_rng(0)
    yield np.array([1, 0, 1, 0, 0, 0]), np.array([0.9, 0.8, 0.6, 0.6, 0.3, 0.1])  # not as many ill as healthy
    for n, digits in ((6, 1), (9, 3), (12, 1), (5, 0)):
        labels = (rng.random(n) < 0.4).astype(int)
        labels[:2] = 1, 0
        yield labels, (rng.random(n) + 0.2 * labels).round(digits)


def pairs_with(labels, scores, tie=0.5):
    ahead = scores[labels == 1][:, None] - scores[labels == 0]
    return ((ahead > 0) + tie * (ahead == 0)).mean()


@blank(
    "medical.blank.1",
    title="AUC by pairs",
    inputs=rankings,
    mistakes=[
        (lambda y, s: pairs_with(y, s, tie=0), "A tie counts half a point, not nothing."),
        (lambda y, s: pairs_with(y, s, tie=1), "A tie counts half a point, not a whole one."),
        (lambda y, s: pairs_with(1 - y, s), "This counts the pairs in which the healthy one is ahead."),
        (lambda y, s: pairs_with(y, s) * y.sum() * (1 - y).sum(), "A share is wanted: divide by the number of pairs."),
    ],
)
def auc_by_pairs(labels, scores):
    return pairs_with(labels, scores)


def ap_with(labels, scores, ties=True, precision=None, weigh=True):
    total, before, values = 0.0, 0.0, np.unique(scores)[::-1] if ties else np.sort(scores)[::-1]
    found = []
    for k, value in enumerate(values):
        called = scores >= value if ties else np.argsort(-scores, kind="stable")[: k + 1]
        recall = labels[called].sum() / labels.sum()
        share = labels[called].mean() if precision is None else precision(labels, called)
        total += (recall - before) * share
        found.append(share)
        before = recall
    return total if weigh else float(np.mean(found))


def ap_slip(labels, scores, trapezoid=False):
    """Average precision with one mistake: trapezoids, or the whole recall at each threshold."""
    total, before, last = 0.0, 0.0, None
    for value in np.unique(scores)[::-1]:
        called = scores >= value
        recall, precision = labels[called].sum() / labels.sum(), labels[called].mean()
        last = precision if last is None else last
        total += (recall - before) * (precision + last) / 2 if trapezoid else recall * precision
        before, last = recall, precision
    return total


@blank(
    "medical.blank.2",
    title="Average precision",
    inputs=rankings,
    mistakes=[
        (lambda y, s: ap_with(y, s, ties=False), "Patients with the same score are called together: mind the ties."),
        (lambda y, s: ap_with(y, s, weigh=False), "Weight each precision with the recall that it gains."),
        (lambda y, s: ap_slip(y, s, trapezoid=True), "No trapezoids: precision times the gain in recall."),
        (lambda y, s: ap_slip(y, s), "Only the *gain* in recall counts: keep the last one in `before`."),
        (lambda y, s: pairs_with(y, s), "This is the AUC, not average precision."),
        (lambda y, s: ap_with(y, -s), "You begin with the lowest score: the highest comes first."),
    ],
)
def ap_by_hand(labels, scores):
    return ap_with(labels, scores)


def gappy():
    rng = np.random.default_rng(1)
    for n, f in ((4, 3), (2, 5), (1, 2)):
        values = rng.normal(5, 3, (n, f)).round(2)
        values[rng.random((n, f)) < 0.4] = np.nan
        values[0, 0] = np.nan
        values[-1, -1] = 4.5
        yield values, rng.normal(5, 1, f).round(2), (1 + rng.random(f)).round(2)


def flags_with(values, mean, std, scale=True, flip=False, fill="mean"):
    there = ~np.isnan(values)
    spread = std if scale else 1.0
    numbers = np.where(there, (values - mean) / spread, 0.0 if fill == "mean" else (0 - mean) / spread)
    return np.hstack([numbers, there ^ flip])


@blank(
    "medical.blank.3",
    title="Fill the gaps and flag them",
    inputs=gappy,
    mistakes=[
        (lambda v, m, s: flags_with(v, m, s)[:, : v.shape[1]], "The flags are missing: (n, 2f) is wanted."),
        (
            lambda v, m, s: flags_with(v, m, s, flip=True),
            "A flag is 1 where there is a number, not where there is a gap.",
        ),
        (lambda v, m, s: flags_with(v, m, s, scale=False), "Divide by `std`, too."),
        (
            lambda v, m, s: flags_with(v, m, s, fill="zero"),
            "A gap is filled after standardizing: 0 there is the mean. You filled in the raw value 0.",
        ),
        (
            lambda v, m, s: np.hstack([(v - m) / s, ~np.isnan(v)]),
            "There is still NaN where nothing is there.",
        ),
    ],
)
def impute_and_flag(values, mean, std):
    return flags_with(values, mean, std)


def places():
    for p in (np.array([0.1, 0.2, 0.5, 0.9]), 0.3, np.array([0.0, 0.5, 1.0])):
        for old, new in ((0.5, 0.06), (0.06, 0.02), (0.1, 0.4), (0.3, 0.3)):
            yield p, old, new


def prior_with(p, old, new, times=1):
    for _ in range(times):
        ill, healthy = p * new / old, (1 - p) * (1 - new) / (1 - old)
        p = ill / (ill + healthy)
    return p


def odds_with(p, old, new, odds=False):
    """By the formula: not a number at p = 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.divide(p, 1 - np.asarray(p)) * (new / (1 - new)) / (old / (1 - old))
        return moved if odds else moved / (1 + moved)


@blank(
    "medical.blank.4",
    title="Prior correction",
    inputs=places,
    mistakes=[
        (lambda p, old, new: prior_with(p, new, old), "The wrong way round: rarer must make p smaller."),
        (lambda p, old, new: prior_with(p, old, new, 2), "This is corrected twice."),
        (lambda p, old, new: p * new / old, "The healthy change their weight, too: p could pass 1."),
        (odds_with, "Right but for p = 1, where the odds are 1/0: use ill / (ill + healthy), as in the hint."),
        (lambda p, old, new: odds_with(p, old, new, odds=True), "These are the odds: p is odds / (1 + odds)."),
        (lambda p, old, new: prior_with(p, 0.5, new), "Divide by the old prior odds: `old` need not be a half."),
    ],
)
def correct_prior(p, old, new):
    return prior_with(p, old, new)


def tables():
    yield from ((0.1, 0.5, 0.8), (0.03, 0.2, 0.9), (0.5, 0.75, 0.6), (0.2, 1.0, 0.4))


@blank(
    "medical.blank.5",
    title="What ties the rates together",
    inputs=tables,
    mistakes=[
        (
            lambda pi, ppv, tpr: 1 - ppv,
            "1 − PPV is the share of healthy among the called, not of the called among the healthy.",
        ),
        (
            lambda pi, ppv, tpr: pi * tpr / ppv * (1 - ppv),
            "This is the share of false alarms among all: divide by the healthy, 1 − π.",
        ),
        (
            lambda pi, ppv, tpr: pi / (1 - pi) * (1 - ppv) / ppv,
            "This assumes that all of the ill are called: TPR is missing.",
        ),
        (lambda pi, ppv, tpr: tpr * (1 - ppv) / ppv, "The prevalence is missing: multiply by π / (1 − π)."),
        (lambda pi, ppv, tpr: (1 - pi) / pi * (1 - ppv) / ppv * tpr, "The prior odds are the wrong way round."),
    ],
)
def fpr_from(prevalence, ppv, tpr):
    return prevalence / (1 - prevalence) * (1 - ppv) / ppv * tpr


# ---------------------------------------------------------------- challenge
NUM_HERE, NUM_THERE, NUM_FIELDS, SHARE, GAP = 6000, 6000, 8, 0.03, -9.0


def draw_hospitals(g):
    """Records here with labels, records elsewhere without; one field is a shortcut here, gaps carry information."""
    rng = np.random.default_rng(int(g.integers(1 << 31)))
    few = NUM_FIELDS - 1
    pull = np.append(rng.permutation(np.linspace(0.3, 0.9, few)) * rng.choice([-1, 1], few), 0.0)
    bend = rng.choice([-0.5, 0.5], 2)
    missing = np.append(rng.permutation(np.linspace(0.2, 0.5, few)), 0.0)
    ordered = np.append(rng.permutation(np.linspace(0.3, 0.9, few)), 1.0)

    def hospital(n, share, marker):
        y = (rng.random(n) < share).astype(int)
        x = rng.normal(size=(n, NUM_FIELDS)) + pull * y[:, None]
        x[:, :2] += bend * y[:, None] * (x[:, 2:4] > 0)
        gap = rng.random((n, NUM_FIELDS)) < missing * np.where(y[:, None] == 1, ordered, 1.0)
        x[gap] = GAP
        x[:, -1] = rng.normal(size=n) + marker * y
        return x.round(3), y

    here, y = hospital(NUM_HERE, 0.15, 2.0)
    there, hidden = hospital(NUM_THERE, SHARE, 0.0)
    return Drawn({"records": here, "ill": y, "elsewhere": there}, hidden)


def skill(arrays, inputs, hidden):
    """1 − log loss / log loss of the prevalence for all, not below −1."""
    p = np.clip(np.asarray(arrays["probabilities"], float), 1e-6, 1 - 1e-6)
    loss = -np.where(hidden == 1, np.log(p), np.log(1 - p)).mean()
    rate = hidden.mean()
    plain = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    return float(max(-1.0, 1 - loss / plain))


challenge(
    "medical.challenge",
    title="Risks for another hospital",
    statement=[
        f"`records` ({NUM_HERE}, {NUM_FIELDS}) with gaps (−9 stands there) and `ill` ({NUM_HERE},) are of one hospital, where 15 % are ill. "
        f"`elsewhere` ({NUM_THERE}, {NUM_FIELDS}) are records of another one, where 3 % are ill; which of them, you do not know.",
        "The last field says which machine was used. At the first hospital it goes with the disease, at the other it does not. "
        "The other fields, and their gaps, mean the same in both.",
        "Predict `probabilities`, floats (6000,), for the other hospital.",
        "The score is 1 − log loss / log loss of saying 3 % to everybody. A logistic regression on all fields, with means in the "
        "gaps, is *below 0*: worse than saying 3 %.",
    ],
    draw=draw_hospitals,
    score=skill,
    hand_in={"probabilities": Array((NUM_THERE,), "float")},
    to_beat=0.1,
    points_by_score={0.1: 1, 0.2: 2, 0.24: 3},
    minutes=60,
    score_name="skill",
)
