"""The number to report, expected improvement, successive halving, and a challenge; a trial that stops is for PyTorch."""

import numpy as np
from scipy.stats import binom, norm

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
    in_turn,
    lesson,
    paragraph,
    part,
    right,
    says,
)

lesson(
    "tune",
    promise="The number to report after a search, where to look next, who goes on to the next round, and a trial that stops when told.",
    uses="NumPy; the fourth one PyTorch",
    setup="""
import numpy as np
import torch
from scipy.stats import norm
from torch import nn

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def report(validation, test):
    """Return setting, reported, flattered."""
    setting = validation.mean(axis=1).argmax()
    reported = test[setting].mean()
    flattered = validation[setting].mean() - reported
    return setting, reported, flattered


def one_run(validation, test, setting):
    """One run of a setting alone, the one that validation liked best."""
    seed = validation[setting].argmax()
    return setting, test[setting, seed], validation[setting, seed] - test[setting, seed]


def by_medians(validation, test):
    """Medians over seeds throughout."""
    scores, tests = np.median(validation, axis=1), np.median(test, axis=1)
    setting = scores.argmax()
    return setting, tests[setting], scores[setting] - tests[setting]


def draw_search(g, settings, seeds, luck=0.08):
    """Validation and test accuracies; no two settings tie for the best mean."""
    while True:
        level = g.uniform(0.5, 0.8, (settings, 1))
        validation, test = ((level + luck * g.normal(size=(settings, seeds))).round(3) for _ in range(2))
        means = np.sort(validation.mean(axis=1))
        if settings == 1 or means[-1] - means[-2] > 1e-3:
            return validation, test


search = exercise(
    "tune.1",
    report,
    title="Which number may be reported?",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context("A search tried several settings, each with several seeds."),
        says(
            "For every run there is a validation accuracy and a test accuracy, which nobody should have looked at yet.",
            mistake="You chose by the test set",
        ),
        context("The report names one setting and one number. Which?"),
        example("""
validation = np.array([[0.70, 0.72], [0.76, 0.74], [0.60, 0.78], [0.66, 0.70]])  # (settings, seeds)
test = np.array([[0.71, 0.70], [0.70, 0.72], [0.69, 0.73], [0.75, 0.73]])
print("mean validation accuracy of each setting:", validation.mean(axis=1).round(2))
"""),
        context(
            "Some candidates: 0.78, the best run; 0.74, the best setting on the test set; 0.75; 0.71. One of them is an "
            "honest forecast."
        ),
        paragraph(),
        says("**Write** `report(validation, test)`, both `(settings, seeds)`.", mistake="You averaged over settings"),
        context("No two settings tie for the best mean."),
        says(
            "Return three values: the number of the `setting` that a careful person chooses,", mistake="luckiest seed"
        ),
        says("the accuracy `reported` for it", mistake="You report the validation accuracy"),
        says("(a mean over seeds),", mistake="one seed of the right setting"),
        says(
            "and by how much the score that chose it had `flattered` it (validation minus test; negative if it had "
            "not).",
            mistake="the wrong sign",
        ),
    ],
    hints=[
        "What chooses cannot judge. Which of the two tables may choose? And one lucky seed should not decide.",
        "Mean over seeds is `axis=1`, the largest of these means gives the setting. In the example: setting 1, "
        "reported 0.71, flattered by 0.04.",
    ],
    draw=draw_search,
    parts=[
        part(
            "two small searches",
            public_only=True,
            inputs=[
                (
                    np.array([[0.70, 0.72], [0.76, 0.74], [0.60, 0.78], [0.66, 0.70]]),
                    np.array([[0.71, 0.70], [0.70, 0.72], [0.69, 0.73], [0.75, 0.73]]),
                ),
                (
                    np.array([[0.74, 0.74, 0.74], [0.70, 0.91, 0.70]]),
                    np.array([[0.75, 0.74, 0.73], [0.72, 0.71, 0.73]]),
                ),
            ],
        ),
        part("several seeds", weight=2, settings=between(2, 6), seeds=between(3, 6)),
        part("much luck", settings=8, seeds=3, luck=0.3),
        part("one seed", settings=between(3, 6), seeds=1),
        part("one setting", settings=1, seeds=between(2, 4)),
    ],
    own={"settings": 3, "seeds": 2},
    own_says="Validation and test accuracies of your own",
    mistakes={
        "You chose by the test set. What chooses cannot judge: choose by the mean validation accuracy.": (
            "setting = test.mean(axis=1).argmax()"
        ),
        "You report the best test accuracy of all settings. Report that of the one which validation chose.": [
            "reported = test.mean(axis=1).max()",
            lambda v, t: (report(v, t)[0], t.mean(axis=1).max(), report(v, t)[2]),
        ],
        "You chose the setting with the luckiest seed. Take the mean over seeds first, then the best setting.": (
            "setting = validation.max(axis=1).argmax()"
        ),
        "You chose the worst setting. Take the largest mean validation accuracy.": (
            "setting = validation.mean(axis=1).argmin()"
        ),
        "You chose the steadiest setting. Take the one with the largest mean.": (
            "setting = validation.std(axis=1).argmin()"
        ),
        "Your third value takes another validation score. What chose is the mean over seeds of the chosen setting.": [
            edit("validation[setting].mean() - reported", "validation[setting].max() - reported"),
            edit("validation[setting].mean() - reported", "validation.mean() - reported"),
            edit("validation[setting].mean() - reported", "validation.max() - reported"),
        ],
        "You chose by the median over seeds. The mean is asked for.": [
            "setting = np.median(validation, axis=1).argmax()",
            by_medians,
        ],
        "You report one lucky run. Choose by the mean over seeds, and report the mean over seeds.": (
            lambda v, t: one_run(v, t, v.max(axis=1).argmax())
        ),
        "You report one seed of the right setting. The number to report is the mean over seeds.": [
            lambda v, t: one_run(v, t, v.mean(axis=1).argmax()),
            "reported = test[setting, validation[setting].argmax()]",
            "reported = test[setting].max()",
            "reported = test[setting, 0]",
        ],
        "Your settings count from 1. The first row is setting 0, as `argmax` counts.": (
            "return setting + 1, reported, flattered"
        ),
        "You report the validation accuracy. It chose the winner, so it flatters it: report the test accuracy.": [
            "reported = validation[setting].mean()",
            lambda v, t: (report(v, t)[0], v.mean(axis=1).max(), report(v, t)[2]),
            lambda v, t: (report(v, t)[0], v.mean(axis=1).max(), -report(v, t)[2]),
            lambda v, t: (report(v, t)[0], v.max(), v.max() - report(v, t)[1]),
        ],
        "You averaged over settings. Rows are settings, columns are seeds: the mean over seeds is `axis=1`.": (
            "setting = validation.mean(axis=0).argmax()"
        ),
        "Your third value has the wrong sign: validation minus test, positive where validation promised too much.": (
            edit("validation[setting].mean() - reported", "reported - validation[setting].mean()")
        ),
        "You let the test set take part in the choice. What chooses cannot judge: choose by validation alone.": (
            "setting = (validation + test).mean(axis=1).argmax()"
        ),
        "Your third value is never negative. Keep its sign: below 0, validation promised too little.": (
            edit("validation[setting].mean() - reported", "abs(validation[setting].mean() - reported)")
        ),
    },
    praise="Chosen by validation, judged by the test set, once.",
    names=("setting", "reported", "flattered"),
)


@right(search)
def by_sorting(validation, test):
    setting = max(range(len(validation)), key=lambda k: sum(validation[k]))
    gaps = validation[setting] - test[setting]
    return setting, np.mean(test[setting]), gaps.mean()


# ---------------------------------------------------------------- 2
def next_trial(mean, deviation, losses, tried):
    """Return chosen, improvement."""
    best = losses.min()
    gain = best - mean  # (m,)
    z = gain / np.where(deviation > 0, deviation, 1)
    improvement = gain * norm.cdf(z) + deviation * norm.pdf(z)
    improvement = np.where(deviation > 0, improvement, np.maximum(gain, 0))
    improvement[tried] = 0
    chosen = improvement.argmax()
    return chosen, improvement


def draw_beliefs(g, candidates, num_tried, known=False, twins=False):
    """Expected losses and deviations of the candidates, and what was tried; where `known`, three have deviation 0."""
    mean = g.uniform(0.5, 1.5, candidates).round(2)
    deviation = g.uniform(0.05, 0.5, candidates).round(2)
    tried = g.permutation(candidates)[:num_tried]
    losses = (mean[tried] + 0.1 * g.normal(size=num_tried)).round(2)
    others = np.setdiff1d(np.arange(candidates), tried)
    if known:
        deviation[others[:3]] = 0
        mean[others[:3]] = losses.min() + g.permutation([-0.3, 0, 0.2])
    if twins:  # two that have not been tried and promise most, and just as much
        mean[others[:2]], deviation[others[:2]] = losses.min() - 0.4, 0.3
    return mean, deviation, losses, tried


def without_guard(mean, deviation, losses, tried):
    with np.errstate(all="ignore"):
        z = (losses.min() - mean) / deviation
        improvement = (losses.min() - mean) * norm.cdf(z) + deviation * norm.pdf(z)
    improvement[tried] = 0
    return improvement.argmax(), improvement


acquisition = exercise(
    "tune.2",
    next_trial,
    title="Where to look next, for a loss",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        context("A surrogate model has a belief about the validation **loss** of each candidate: normal, with a"),
        says("`mean` (m,)", mistake="ignore the mean"),
        says("and a standard `deviation` (m,).", mistake="ignore the deviation"),
        says("Low losses are good.", mistake="A loss improves downwards"),
        says("The best so far is the lowest of the `losses` (n,) that were measured,", mistake="not the highest"),
        says(
            "those of the candidates `tried` (n,), given by their numbers. One that was tried need not be tried again: its "
            "improvement is 0.",
            mistake="already tried",
        ),
        paragraph(),
        says(
            r"The **expected improvement** of a loss is $\mathbb E[\max(0, b - \text{loss})]$ with $b$ the best so far:",
            mistake="the part with the density",
        ),
        says(
            r"$$(b - \mu)\,\Phi(z) + \sigma\,\varphi(z), \qquad z = \frac{b - \mu}{\sigma}$$",
            mistake="density and distribution",
        ),
        says(
            r"Where $\sigma = 0$ nothing is uncertain: the improvement is $\max(0, b - \mu)$.",
            mistake="gives 0/0",
        ),
        example("""
mean, deviation = np.array([1.0, 0.9, 0.7]), np.array([0.1, 0.4, 0.0])
best = 0.8
z = (best - mean[1]) / deviation[1]
print("candidate 1:", round((best - mean[1]) * norm.cdf(z) + deviation[1] * norm.pdf(z), 3))
"""),
        paragraph(),
        says(
            "**Write** `next_trial(mean, deviation, losses, tried)`. Return two values: the number of the candidate that is",
            mistake="least improvement",
        ),
        says("`chosen`, the one with the largest improvement (of equals, the first),", mistake="Of equals"),
        says("and the `improvement` of every candidate (m,).", mistake="improvement of the chosen one only"),
    ],
    hints=[
        "`gain = losses.min() - mean` is positive where a lower loss is expected. `norm.cdf` is Φ, `norm.pdf` is φ.",
        "Divide by `np.where(deviation > 0, deviation, 1)`, and replace the result where the deviation is 0. At the end "
        "`improvement[tried] = 0`.",
    ],
    draw=draw_beliefs,
    parts=[
        part("several candidates", weight=2, candidates=between(5, 9), num_tried=between(2, 4)),
        part("one tried", candidates=between(4, 6), num_tried=1),
        part("a deviation of 0", candidates=6, num_tried=2, known=True),
        part("equal candidates", candidates=6, num_tried=between(2, 3), twins=True),
        part("one left", candidates=4, num_tried=3),
        part(
            "a tried one promised most",
            inputs=[
                (
                    np.array([0.7, 0.65, 1.0, 0.9]),
                    np.array([0.5, 0.05, 0.3, 0.2]),
                    np.array([0.8, 0.95]),
                    np.array([0, 3]),
                )
            ],
        ),
    ],
    own={"candidates": 4, "num_tried": 2},
    own_says="Beliefs of your own: mean, deviation, losses, tried",
    mistakes={
        "A loss improves downwards: the gain is best − mean, not mean − best.": edit("best - mean", "mean - best"),
        "The best so far is the lowest of the measured losses, not the highest.": "best = losses.max()",
        "The best so far is the lowest of the measured losses, not their mean.": "best = losses.mean()",
        "The best so far is the lowest of the *measured* losses. You took the lowest expected one.": "best = mean.min()",
        "The best so far is the lowest of the measured losses, not the last one.": "best = losses[-1]",
        "You propose what was already tried: its improvement is 0.": edit("    improvement[tried] = 0\n", ""),
        "You set the improvement of all but the tried candidates to 0.": (
            edit("improvement[tried] = 0", "improvement[np.setdiff1d(np.arange(len(mean)), tried)] = 0")
        ),
        "This is half of the formula: the part with the density, σ φ(z), is missing.": (
            edit("gain * norm.cdf(z) + deviation * norm.pdf(z)", "gain * norm.cdf(z)")
        ),
        "This is half of the formula: the part with the gain, (b − μ) Φ(z), is missing.": (
            edit("gain * norm.cdf(z) + deviation * norm.pdf(z)", "deviation * norm.pdf(z)")
        ),
        "You exchanged density and distribution: the gain goes with Φ (`norm.cdf`), the deviation with φ (`norm.pdf`).": (
            edit("gain * norm.cdf(z) + deviation * norm.pdf(z)", "gain * norm.pdf(z) + deviation * norm.cdf(z)")
        ),
        "A deviation of 0 gives 0/0. Nothing is uncertain there: max(0, b − μ).": [
            without_guard,
        ],
        "Where the deviation is 0 your improvement may be negative: max(0, b − μ).": (
            edit("improvement, np.maximum(gain, 0))", "improvement, gain)")
        ),
        "Where the deviation is 0 your improvement is 0. A loss that is sure to be lower does improve: max(0, b − μ).": (
            edit("improvement, np.maximum(gain, 0))", "improvement, 0)")
        ),
        "You ignore the mean: the improvement is not the deviation.": edit(
            "np.where(deviation > 0, improvement, np.maximum(gain, 0))", "deviation.copy()"
        ),
        "You ignore the deviation: an uncertain candidate may improve though its mean does not.": (
            edit("np.where(deviation > 0, improvement, np.maximum(gain, 0))", "np.maximum(gain, 0)")
        ),
        "Your z is not divided by the deviation.": "z = gain",
        "You chose the candidate with the least improvement.": "chosen = improvement.argmin()",
        "You chose before setting the tried ones to 0.": edit(
            "    improvement[tried] = 0\n    chosen = improvement.argmax()\n",
            "    chosen = improvement.argmax()\n    improvement[tried] = 0\n",
        ),
        "You chose the lowest expected loss. The largest expected improvement is wanted.": "chosen = mean.argmin()",
        "Of equals the first one is wanted. You took the last.": (
            "chosen = len(improvement) - 1 - improvement[::-1].argmax()"
        ),
        "You returned the improvement of the chosen one only. Two values are wanted: its number, and the improvement of "
        "every candidate.": "return chosen, improvement[chosen]",
    },
    praise="The search knows where to look, in the direction of a loss.",
    names=("chosen", "improvement"),
)


@right(acquisition)
def one_by_one(mean, deviation, losses, tried):
    best, found = min(losses), []
    for k in range(len(mean)):
        gain = best - mean[k]
        if k in tried:
            found.append(0.0)
        elif deviation[k] == 0:
            found.append(max(gain, 0.0))
        else:
            found.append(
                deviation[k] * (gain / deviation[k] * norm.cdf(gain / deviation[k]) + norm.pdf(gain / deviation[k]))
            )
    return int(np.argmax(found)), found


# ---------------------------------------------------------------- 3
def halve(curves, first, factor):
    """Return winner, spent."""
    num_epochs = curves.shape[1]
    left = np.arange(len(curves))
    spent, before, epoch = 0, 0, first
    while True:
        spent += len(left) * (epoch - before)
        scores = curves[left, epoch - 1]
        if epoch == num_epochs:
            break
        keep = -(-len(left) // factor)
        order = np.argsort(-scores, kind="stable")[:keep]
        left = np.sort(left[order])
        before = epoch
        epoch = min(epoch * factor, num_epochs)
    winner = left[scores.argmax()]
    return winner, spent


def draw_curves(g, settings, epochs, first, factor, equal=False, crossing=False):
    """Learning curves (settings, epochs) in hundredths, so that ties occur; where `equal`, many."""
    rise = g.uniform(0.2, 0.9, (settings, 1)) * (1 - np.exp(-np.arange(1, epochs + 1) / g.uniform(1, 5, (settings, 1))))
    curves = (rise + 0.03 * g.normal(size=rise.shape)).round(1 if equal else 2)
    if crossing:  # the best at the end is the worst at first; another one is best at first, and falls
        late, early = g.permutation(settings)[:2]
        curves[late] = np.linspace(0, 0.99, epochs).round(2)
        curves[early] = np.linspace(0.95, 0.1, epochs).round(2)
    return curves, first, factor


ONE_BY_ROUND = "spent += len(left) * (epoch - before)"

halving = exercise(
    "tune.3",
    halve,
    title="Successive halving, with odd numbers and ties",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            "`curves` (n, e) holds the validation accuracy that each of n settings *would* have after each of e epochs."
        ),
        says("All settings are trained for `first` epochs.", ignored=edit("0, 0, first", "0, 0, 1")),
        says("Then one in `factor` goes on,", mistake="You always halve"),
        says(
            "rounded **up** (of 5 settings with a factor of 2, three go on): those with the highest accuracy",
            mistake="rounded down",
        ),
        says("at that moment.", mistake="as if it could see the future"),
        says("Of equals, the one with the lower number goes on.", mistake="Of equals"),
        says(
            "Those that go on are trained until they have had `factor` times as many epochs as before,",
            mistake="same number of epochs",
        ),
        says(
            "but never more than e in all.",
            ignored=edit(
                "min(epoch * factor, num_epochs)",
                "epoch * factor if epoch * factor <= num_epochs else num_epochs - 1 if epoch < num_epochs - 1 else num_epochs",
            ),
        ),
        says(
            "And so on, until those that are left have had all e epochs.", mistake="stopped when one setting was left"
        ),
        says(
            "The `winner` is the best of them at the end (of equals, the lowest number).",
            ignored="winner = len(curves) - 1 - np.flatnonzero(np.isin(np.arange(len(curves))[::-1], left[scores == scores.max()]))[0]",
        ),
        example("""
curves = np.array([[0.3, 0.5, 0.6, 0.6], [0.5, 0.6, 0.6, 0.7], [0.1, 0.3, 0.8, 0.9]])
# first = 1, factor = 2: three settings, 1 epoch each; two go on (1 and 0), to 2 epochs; one (1) goes on, to 4
print("winner 1, epochs spent:", 3 * 1 + 2 * 1 + 1 * 2)
"""),
        paragraph(),
        says(
            "**Write** `halve(curves, first, factor)`. Return two values: the number of the `winner`,",
            mistake="place among those that were left",
        ),
        says("and how many epochs were `spent` in all.", mistake="count one setting only"),
        says(
            "A training that goes on starts where it was, so earlier epochs are not paid twice.",
            mistake="pay for earlier epochs again",
        ),
    ],
    hints=[
        "Keep `left`, the numbers of the settings that are left, and remember how many epochs they have had. Each round "
        "costs `len(left) * (epoch - before)`.",
        'Rounding up without floats: `-(-len(left) // factor)`. The best ones: `np.argsort(-scores, kind="stable")`; sort '
        "`left` again afterwards, so that of equals the lower number stays first.",
    ],
    draw=draw_curves,
    parts=[
        part("three rounds", weight=2, settings=between(7, 12), epochs=8, first=2, factor=2),
        part("a factor of 3", settings=between(8, 11), epochs=9, first=1, factor=3),
        part("an odd number of settings", settings=in_turn(5, 7, 9), epochs=4, first=1, factor=2),
        part("many equals", settings=between(8, 12), epochs=4, first=1, factor=2, equal=True),
        part("a late bloomer", settings=between(6, 9), epochs=8, first=1, factor=2, crossing=True),
        part("epochs that are no power", settings=between(6, 9), epochs=in_turn(7, 10), first=2, factor=2),
        part("no cut at all", settings=between(3, 5), epochs=4, first=4, factor=2),
        part("one setting", settings=1, epochs=in_turn(4, 6), first=1, factor=2),
    ],
    own={"settings": 5, "epochs": 4, "first": 1, "factor": 2},
    own_says="Learning curves of your own: curves, first, factor",
    mistakes={
        "You rounded down. One in `factor` goes on, rounded up.": "keep = max(1, len(left) // factor)",
        "You always halve: one in `factor` goes on.": "keep = -(-len(left) // 2)",
        "You always keep one more than wanted.": "keep = min(len(left), -(-len(left) // factor) + 1)",
        "You kept the worst ones.": 'order = np.argsort(scores, kind="stable")[:keep]',
        "You cut by the accuracy at the end, as if it could see the future. Cut by the accuracy at that moment.": (
            ['order = np.argsort(-curves[left, -1], kind="stable")[:keep]', "winner = curves[:, -1].argmax()"]
        ),
        "You cut by the best accuracy up to that moment. The accuracy at that moment decides.": (
            'order = np.argsort(-curves[left, :epoch].max(axis=1), kind="stable")[:keep]'
        ),
        "You look one epoch too far: after k epochs, the accuracy stands in column k − 1.": (
            "scores = curves[left, min(epoch, num_epochs - 1)]"
        ),
        "Of equals, the lower number goes on. You kept the higher one.": (
            'order = (len(left) - 1 - np.argsort(-scores[::-1], kind="stable"))[:keep]'
        ),
        "Every round of yours gives the same number of epochs. It is `factor` times as many in all.": (
            "epoch = min(epoch + first, num_epochs)"
        ),
        "The epochs of yours are doubled in each round: they are `factor` times as many.": (
            "epoch = min(epoch * 2, num_epochs)"
        ),
        "You stopped when one setting was left: it is trained to the end, and that is paid for.": edit(
            "if epoch == num_epochs:", "if epoch == num_epochs or len(left) == 1:"
        ),
        "You pay for earlier epochs again: a training that goes on starts where it was.": "spent += len(left) * epoch",
        "You count one setting only in each round: all that are left are trained.": "spent += epoch - before",
        "That is the price of training everything to the end.": "return winner, len(curves) * num_epochs",
        "Your winner is a place among those that were left, not the number of a setting.": "winner = scores.argmax()",
        "Your winner is the one that was best after the first round.": "winner = curves[:, first - 1].argmax()",
        "Your numbers count from 1.": "return winner + 1, spent",
    },
    praise="Many started, few finished, and the bill is right.",
    names=("winner", "spent"),
)


@right(halving)
def with_sets(curves, first, factor):
    n, e = curves.shape
    alive, had, bill = list(range(n)), 0, 0
    until = first
    while had < e:
        bill += (until - had) * len(alive)
        had = until
        if had < e:
            alive = sorted(alive, key=lambda k: (-curves[k, had - 1], k))[: int(np.ceil(len(alive) / factor))]
        until = min(e, had * factor)
    return min(alive, key=lambda k: (-curves[k, -1], k)), bill


# ---------------------------------------------------------------- an open challenge
NUM_SEARCHES, NUM_SETTINGS, MOST_SEEDS, NOISE = 200, 40, 4, 0.08


def draw_quality(g):
    """Settings (40, 2) between 0 and 1, and what each is truly worth (40,): a smooth hill with a ripple."""
    x = g.random((NUM_SETTINGS, 2)).round(3)
    center, width = g.uniform(0.15, 0.85, 2), g.uniform(0.2, 0.8, 2)
    hill = np.exp(-(((x - center) / width) ** 2).sum(axis=1))
    turn, phase = g.normal(size=(3, 2)) * 5, g.uniform(0, 2 * np.pi, 3)
    ripple = np.cos(x @ turn.T + phase).mean(axis=1)
    return x, 0.55 + 0.15 * hill + 0.02 * ripple


def draw_search_challenge(g):
    """200 searches: settings, noisy scores of one to four seeds each (0 where there is none), and the true quality."""
    found = [draw_quality(g) for _ in range(NUM_SEARCHES)]
    settings, quality = np.array([x for x, _ in found]), np.array([q for _, q in found])
    num_seeds = 1 + (g.random((NUM_SEARCHES, NUM_SETTINGS, 1)) < [0.4, 0.25, 0.15]).cumprod(axis=2).sum(axis=2)
    scores = quality[:, :, None] + NOISE * g.normal(size=(NUM_SEARCHES, NUM_SETTINGS, MOST_SEEDS))
    scores = np.where(np.arange(MOST_SEEDS) < num_seeds[:, :, None], scores.round(3), 0)
    return Drawn({"settings": settings, "scores": scores, "num_seeds": num_seeds}, quality)


def share_of_gain(handed_in, inputs, quality):
    """What choosing gained over a random setting, as a share of what the best choices would have gained."""
    chosen = np.clip(handed_in["chosen"], 0, NUM_SETTINGS - 1)
    got = quality[np.arange(len(quality)), chosen]
    chance = quality.mean(axis=1)
    return (got - chance).sum() / (quality.max(axis=1) - chance).sum()


challenge(
    "tune.challenge",
    title="Two hundred searches, one choice each",
    statement=[
        "In each of 200 searches, 40 settings were tried and the budget is spent. `settings` (200, 40, 2) holds two",
        "hyperparameters of each, both scaled to lie between 0 and 1. `scores` (200, 40, 4) holds validation accuracies of one to",
        "four seeds (`num_seeds`, (200, 40)), and 0 where there was no such seed. The seeds are noisy: their standard deviation is",
        "0.08. What a setting is truly worth is a smooth function of the two hyperparameters, another one in each search, and",
        "stays hidden. Hand in `chosen` (200,), the number of one setting for each search. The score is the share of the possible",
        "gain: 0 for choosing at random, 1 for choosing the truly best setting each time. On the draw below, the best single run reaches 0.62, the best mean over seeds 0.60, and",
        "means pulled towards the average where there are few seeds 0.68.",
        "What do you know about a setting besides its own score? Judge your own way on searches that you draw yourself.",
    ],
    draw=draw_search_challenge,
    score=share_of_gain,
    hand_in={"chosen": Array((NUM_SEARCHES,), "integer")},
    to_beat=0.65,
    points_by_score={0.65: 1, 0.72: 2, 0.79: 3},
    minutes=45,
    score_name="share of the possible gain",
)


# ---------------------------------------------------------------- blanks of the lesson
@blank(
    "tune.blank.1",
    title="Uniform on a log scale",
    inputs=[
        (np.array([0.0, 0.25, 0.5, 1.0]), 1e-4, 1.0),
        (np.array([0.1, 0.9]), 2.0, 512.0),
        (np.array([0.3, 0.7, 0.2]), 1e-5, 1e-1),
    ],
    mistakes=[
        (lambda u, low, high: low + u * (high - low), "This is uniform, not on a log scale: u should be an exponent."),
        (
            lambda u, low, high: np.log(low) + u * (np.log(high) - np.log(low)),
            "This is the logarithm of the result: take `np.exp` of it.",
        ),
        (lambda u, low, high: (high / low) ** u, "Begin at `low`: multiply by it."),
        (lambda u, low, high: low * high**u, "The factor from one end to the other is `high / low`, not `high`."),
        (lambda u, low, high: high * (low / high) ** u, "At u = 0 this gives the upper end; it should give `low`."),
    ],
)
def log_uniform(u, low, high):
    return low * (high / low) ** u


def draw_kernels():
    g = np.random.default_rng(0)
    for n, m in ((2, 3), (4, 1), (3, 6)):
        x, new = g.uniform(-2, 2, n), g.uniform(-2, 2, m)
        K = np.exp(-((x[:, None] - x) ** 2)) + 0.01 * np.eye(n)
        yield K, np.exp(-((new[:, None] - x) ** 2)), g.normal(size=n)


def _posterior(K, k, y, mean=None, deviation=None):
    weights = np.linalg.solve(K, k.T)
    m = y @ weights if mean is None else mean(K, k, y)
    s = np.sqrt(np.maximum(1 - (k * weights.T).sum(axis=1), 0)) if deviation is None else deviation(K, k, y)
    return m, s


@blank(
    "tune.blank.2",
    title="The posterior of a Gaussian process",
    inputs=draw_kernels,
    mistakes=[
        (
            lambda K, k, y: _posterior(
                K, k, y, deviation=lambda K, k, y: 1 - (k * np.linalg.solve(K, k.T).T).sum(axis=1)
            ),
            "This is the variance: the deviation is its square root.",
        ),
        (
            lambda K, k, y: _posterior(K, k, y, mean=lambda K, k, y: k @ y),
            "The mean lacks the inverse of K: tried points that are close to each other count twice.",
        ),
        (
            lambda K, k, y: _posterior(
                K, k, y, deviation=lambda K, k, y: np.sqrt(np.maximum((k * np.linalg.solve(K, k.T).T).sum(axis=1), 0))
            ),
            "This is how much is known, not how much is unknown: the variance is 1 minus it.",
        ),
        (
            lambda K, k, y: _posterior(
                K, k, y, deviation=lambda K, k, y: np.sqrt(np.maximum(1 - (k**2).sum(axis=1), 0))
            ),
            "The variance lacks the inverse of K.",
        ),
        (lambda K, k, y: _posterior(K, k, y)[::-1], "Mean and deviation are exchanged."),
    ],
)
def posterior(K, k, y):
    weights = np.linalg.solve(K, k.T)
    mean = y @ weights
    variance = 1 - (k * weights.T).sum(axis=1)
    return mean, np.sqrt(np.maximum(variance, 0))


@blank(
    "tune.blank.3",
    title="Expected improvement",
    inputs=[
        (np.array([0.7, 0.66, 0.7, 0.5]), np.array([0.01, 0.06, 0.06, 0.2]), 0.7),
        (np.array([1.0, -1.0]), np.array([2.0, 0.5]), 0.0),
        (np.array([0.2]), np.array([0.3]), 0.5),
    ],
    mistakes=[
        (
            lambda mean, deviation, best: np.maximum(mean - best, 0),
            "This ignores the deviation: a point with a lower mean may still exceed the best.",
        ),
        (
            lambda mean, deviation, best: norm.cdf((mean - best) / deviation),
            "This is the probability of an improvement, not its expected size.",
        ),
        (
            lambda mean, deviation, best: (mean - best) * norm.cdf((mean - best) / deviation),
            "The second part, the deviation times the density, is missing.",
        ),
        (
            lambda mean, deviation, best: (
                (mean - best) * norm.pdf((mean - best) / deviation) + deviation * norm.cdf((mean - best) / deviation)
            ),
            "`cdf` and `pdf` are exchanged.",
        ),
        (
            lambda mean, deviation, best: (
                (best - mean) * norm.cdf((best - mean) / deviation) + deviation * norm.pdf((best - mean) / deviation)
            ),
            "This is for a loss, which should fall. An accuracy improves when it exceeds the best: mean − best.",
        ),
    ],
)
def expected_improvement(mean, deviation, best):
    z = (mean - best) / deviation
    return (mean - best) * norm.cdf(z) + deviation * norm.pdf(z)


@blank(
    "tune.blank.4",
    title="Who goes on",
    inputs=[
        (np.array([0.4, 0.9, 0.6, 0.1, 0.7, 0.3, 0.2, 0.5]), 2),
        (np.array([0.4, 0.9, 0.6, 0.1, 0.7, 0.3, 0.2, 0.5]), 4),
        (np.array([0.2, 0.5, 0.5, 0.5, 0.1]), 2),
        (np.array([0.3, 0.8]), 3),
    ],
    mistakes=[
        (
            lambda scores, factor: np.argsort(scores, kind="stable")[: max(1, len(scores) // factor)],
            "These are the worst ones: sort `-scores`.",
        ),
        (
            lambda scores, factor: np.argsort(-scores, kind="stable")[: len(scores) // factor],
            "At least one goes on: `max(1, …)`.",
        ),
        (
            lambda scores, factor: np.argsort(-scores, kind="stable")[: max(1, len(scores) // 2)],
            "How many go on depends on `factor`.",
        ),
        (
            lambda scores, factor: np.argsort(scores, kind="stable")[::-1][: max(1, len(scores) // factor)],
            'Of equals the one that comes first goes on: sort `-scores` with `kind="stable"` and do not turn the order round.',
        ),
        (
            lambda scores, factor: np.sort(-scores)[: max(1, len(scores) // factor)] * -1,
            "These are scores. Return the *numbers* of the settings: `argsort`.",
        ),
    ],
)
def survivors(scores, factor):
    keep = max(1, len(scores) // factor)
    return np.argsort(-scores, kind="stable")[:keep]


@blank(
    "tune.blank.5",
    title="The best of many equals",
    inputs=[(1, 0.72, 150), (10, 0.72, 150), (5, 0.3, 20), (100, 0.5, 10)],
    mistakes=[
        (
            lambda num_models, q, n: np.sum(1 - binom.cdf(np.arange(n), n, q) ** num_models),
            "This is the number of right answers: divide by n for the accuracy.",
        ),
        (
            lambda num_models, q, n: np.mean((1 - binom.cdf(np.arange(n), n, q)) ** num_models),
            "This is the *worst* of N: the power belongs to F(k), before it is subtracted from 1.",
        ),
        (
            lambda num_models, q, n: np.mean(1 - binom.pmf(np.arange(n), n, q) ** num_models),
            "F(k) is the probability of *at most* k right: `binom.cdf`, not `pmf`.",
        ),
        (
            lambda num_models, q, n: np.mean(1 - binom.cdf(np.arange(1, n + 1), n, q) ** num_models),
            "k runs from 0 to n − 1: `np.arange(n)`.",
        ),
        (
            lambda num_models, q, n: np.mean(1 - binom.cdf(np.arange(n), n, q)),
            "The number of models has no effect: the power N is missing.",
        ),
    ],
)
def best_of(num_models, q, n):
    k = np.arange(n)
    return np.mean(1 - binom.cdf(k, n, q) ** num_models)
