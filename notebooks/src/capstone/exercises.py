"""Faults of a report, a gain over seeds and limits by hand, the lesson's blanks, and the open challenge; PyTorch has a file."""

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
    in_turn,
    lesson,
    paragraph,
    part,
    right,
    says,
)

lesson(
    "capstone",
    promise="Find the faults in a report, say whether a gain is real, write the limits of a card, predict in PyTorch as a "
    "re-test needs it, change one knob at a time, and a challenge: intervals that are narrow and keep their promise.",
    uses="NumPy; the last two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def find_faults(
    train_people,
    test_people,
    accuracy,
    interval,
    ceiling,
    baseline,
    chosen_on,
):
    """Five faults of a report, True where it has one.

    leak, above the ceiling, no interval, no baseline, chosen on test
    """
    leak = len(np.intersect1d(train_people, test_people)) > 0
    has_interval = not np.isnan(interval).any()
    least = interval[0] if has_interval else accuracy
    above = bool(least > ceiling)
    no_interval = not has_interval
    no_baseline = bool(np.isnan(baseline))
    on_test = chosen_on == "test"
    return leak, above, no_interval, no_baseline, on_test


def draw_report(g, people, leak, place, interval, baseline=True, chosen_on="validation"):
    """A report; `place`: its score and interval against the ceiling."""
    names = g.permutation(1000)[: 3 * people]
    train, test = names[: 2 * people].copy(), names[2 * people :].copy()
    if leak:
        test[int(g.integers(people))] = train[int(g.integers(2 * people))]
    ceiling = round(float(g.uniform(0.7, 0.9)), 3)
    off = {"below": -0.08, "close": -0.02, "by luck": 0.02, "above": 0.08}[place]
    accuracy = round(ceiling + off + float(g.uniform(-0.005, 0.005)), 3)
    half = 0.04
    given = np.array([accuracy - half, accuracy + half]).round(3) if interval else np.full(2, np.nan)
    known = round(float(g.uniform(0.4, 0.6)), 3) if baseline else float("nan")
    return train, test, accuracy, given, ceiling, known, chosen_on


def in_order(train_people, test_people, *rest):
    """The answer with one mistake: who stands at the same place in both lists."""
    n = min(len(train_people), len(test_people))
    found = find_faults(train_people, test_people, *rest)
    return (bool((train_people[:n] == test_people[:n]).any()), *found[1:])


faults = exercise(
    "capstone.1",
    find_faults,
    title="Five faults",
    points=2,
    difficulty=1,
    minutes=15,
    statement=[
        context(
            "You mark a report. You know who is in its training and test set (arrays of numbers, one per person), its "
            "accuracy, `interval` (two numbers, NaN where none is given), the exact ceiling, the accuracy of the majority "
            'class (NaN where it is not given), and the set on which the shipped model was chosen ("train", "validation" or '
            '"test").'
        ),
        context("**Write** `find_faults(…)`: five values, True where the report has the fault, in this order:"),
        paragraph(),
        says("**leak**: at least one person is on both sides,", mistake="at any place"),
        says("**above the ceiling**: if there is an interval, all of it lies above;", mistake="by luck"),
        says("if there is none, the accuracy itself does;", mistake="Without an interval"),
        says("**no interval**,", mistake="no interval"),
        says("**no baseline**,", mistake="no baseline"),
        says("**chosen on the test**.", mistake="chosen on the test"),
        example("""
print(np.intersect1d([3, 1, 7], [9, 7]))
print(np.isnan(np.array([np.nan, np.nan])).any())
"""),
    ],
    hints=[
        "`np.intersect1d(a, b)` has whoever is in both.",
        "First find the lowest value that the report admits: the low end of the interval, or the accuracy where there is "
        "no interval. Compare that with the ceiling.",
    ],
    draw=draw_report,
    parts=[
        part(
            "a score below the ceiling",
            weight=2,
            people=between(3, 6),
            leak=in_turn(False, True),
            place=in_turn("below", "close"),
            interval=True,
            chosen_on=in_turn("validation", "test", "train"),
        ),
        part(
            "a score above by luck",
            weight=2,
            people=between(3, 5),
            leak=False,
            place="by luck",
            interval=in_turn(True, False),
            baseline=in_turn(False, True),
        ),
        part(
            "far above the ceiling",
            weight=2,
            people=4,
            leak=in_turn(True, False),
            place="above",
            interval=in_turn(True, True, False),
            chosen_on=in_turn("test", "validation"),
        ),
        part("one person to test", people=1, leak=in_turn(True, False), place="below", interval=in_turn(False, True)),
    ],
    own={"people": 2, "leak": True, "place": "by luck", "interval": True},
    own_says="A report of your own",
    constant={"interval": "a low and a high end"},
    names=("leak", "above the ceiling", "no interval", "no baseline", "chosen on the test"),
    mistakes={
        "A person may be at any place in the two lists: look for whoever is in both.": in_order,
        "A leak is whoever is in both sets, and that is missing here.": "leak = False",
        "A score may be above the ceiling by luck: where there is an interval, its low end decides.": (
            "least = accuracy"
        ),
        "The high end of the interval is often above the ceiling; the low end decides.": (
            "least = interval[1] if has_interval else accuracy"
        ),
        "Without an interval the accuracy itself decides; NaN > ceiling is always False.": "least = interval[0]",
        "The third value is True where there is no interval.": "no_interval = has_interval",
        "The fourth value is True where there is no baseline: a NaN.": "no_baseline = not np.isnan(baseline)",
        "NaN equals nothing, not even itself: ask `np.isnan`.": "no_baseline = baseline == np.nan",
        "The fifth value is True where the model was chosen on the test: on training is another fault.": (
            'on_test = chosen_on != "validation"'
        ),
    },
    praise="`mmcourse capstone check` does the same, with names.",
)


@right(faults)
def faults_by_sets(train_people, test_people, accuracy, interval, ceiling, baseline, chosen_on):
    both = set(np.asarray(train_people).tolist()) & set(np.asarray(test_people).tolist())
    low = float(interval[0])
    missing = low != low
    return bool(both), (accuracy if missing else low) > ceiling, missing, baseline != baseline, chosen_on == "test"


# ---------------------------------------------------------------- 2
def gain(first, second, t):
    """How much better the second model is, paired over seeds: mean, low, high, and whether it is real."""
    differences = second - first
    mean = differences.mean()
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    low = mean - t * error
    high = mean + t * error
    real = bool(low > 0)
    return mean, low, high, real


T95 = {3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 8: 2.365, 10: 2.262}


def draw_seeds(g, seeds, kind):
    """Scores (seeds,) of two models, which share what a seed does to both."""
    luck = g.normal(0, 0.03, seeds)
    better, noise = {"gain": (0.015, 0.003), "nothing": (0.002, 0.008), "loss": (-0.02, 0.004)}[kind]
    first = 0.75 + luck
    second = first + better + noise * g.normal(size=seeds)
    return first.round(4), second.round(4), T95[seeds]


def with_gain(mean=None, error=None, real=None, t=None, flip=False):
    """The answer with one mistake."""

    def answer(first, second, own_t):
        first, second = (second, first) if flip else (first, second)
        d = second - first
        n = len(d)
        m = d.mean() if mean is None else mean(first, second)
        e = d.std(ddof=1) / np.sqrt(n) if error is None else error(first, second)
        q = own_t if t is None else t
        low, high = m - q * e, m + q * e
        return m, low, high, bool(low > 0) if real is None else real(first, second, own_t, m, low, high)

    return answer


def spread(x):
    return x.std(ddof=1) / np.sqrt(len(x))


gains = exercise(
    "capstone.2",
    gain,
    title="Is the gain real?",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "`first` and `second` hold one accuracy per seed; place k of both was trained with seed k, on the same data. `t` "
            "is Student's quantile for that many seeds (for five seeds 2.776)."
        ),
        context("**Write** `gain(first, second, t)`, which returns four values:"),
        paragraph(),
        says("the mean over *all* seeds of how much the second is better than the first,", mistake="best seeds"),
        says("(second minus first),", mistake="first minus second"),
        says("the low and high end of its 95 % interval, **paired** over seeds,", mistake="not paired"),
        says("with standard deviation of a sample (`ddof=1`) over √n, times `t`;", mistake="1.96"),
        says("and whether the gain is real: the whole interval is above 0.", mistake="A positive mean"),
        example("""
first, second = np.array([0.70, 0.80, 0.75]), np.array([0.71, 0.82, 0.76])
print("differences:", (second - first).round(3), "  spread of each:", first.std(ddof=1).round(3))
"""),
    ],
    hints=[
        "Subtract first: a seed that is bad for both models is no news about their difference.",
        "`differences.std(ddof=1) / np.sqrt(len(differences))` is the standard error; low and high are t of them away.",
    ],
    draw=draw_seeds,
    parts=[
        part("a small gain that every seed shows", weight=2, seeds=in_turn(5, 8), kind="gain"),
        part("nothing to see", weight=2, seeds=in_turn(4, 6, 10), kind="nothing"),
        part("a loss", seeds=in_turn(5, 3), kind="loss"),
        part("three seeds", seeds=3, kind=in_turn("gain", "nothing")),
    ],
    own={"seeds": 3, "kind": "gain"},
    own_says="Scores of your own",
    names=("the mean gain", "the low end", "the high end", "whether it is real"),
    mistakes={
        "This is the gain of the best seeds: a report of maxima says how often one tried. Take the mean over all seeds.": (
            with_gain(mean=lambda a, b: b.max() - a.max())
        ),
        "This is one seed: take the mean over all seeds.": with_gain(mean=lambda a, b: (b - a)[0]),
        "This is first minus second: a gain is what the *second* has more.": with_gain(flip=True),
        "This interval is not paired: what a seed does to both models is in it. Subtract first, then take the spread.": (
            with_gain(error=lambda a, b: np.sqrt(spread(a) ** 2 + spread(b) ** 2))
        ),
        "Two intervals that overlap do not say that the models are equal: look at the interval of the difference.": (
            with_gain(real=lambda a, b, t, m, low, high: bool(b.mean() - t * spread(b) > a.mean() + t * spread(a)))
        ),
        "1.96 is for endless seeds: use t.": with_gain(t=1.96),
        "The spread of a sample divides by n − 1: ddof=1.": with_gain(
            error=lambda a, b: (b - a).std() / np.sqrt(len(a))
        ),
        "This is the spread of single seeds; the mean of n is surer, by √n.": (
            with_gain(error=lambda a, b: (b - a).std(ddof=1))
        ),
        "A positive mean is not enough: the whole interval must be above 0.": (
            with_gain(real=lambda a, b, t, m, low, high: bool(m > 0))
        ),
        "A loss is no gain: the interval must be *above* 0, not only leave it out.": (
            with_gain(real=lambda a, b, t, m, low, high: bool(low > 0 or high < 0))
        ),
    },
    praise="The same rule marks every claim of your report.",
)


@right(gains)
def gain_by_hand(first, second, t):
    pairs = [b - a for a, b in zip(first, second, strict=True)]
    n = len(pairs)
    mean = sum(pairs) / n
    half = t * (sum((d - mean) ** 2 for d in pairs) / (n - 1) / n) ** 0.5
    return mean, mean - half, mean + half, mean > half


# ---------------------------------------------------------------- 3
def limits(errors, counts, least):
    """Limits for a card: rows (group, condition, error rate, extra errors per 1,000), the worst first: (k, 4)."""
    overall = errors.sum() / counts.sum()
    rate = errors / np.maximum(counts, 1)
    half = 1.96 * np.sqrt(rate * (1 - rate) / np.maximum(counts, 1))
    known = counts >= least
    worse = rate - half > overall
    group, condition = np.nonzero(known & worse)
    cells = rate[group, condition]
    extra = 1000 * (cells - overall)
    order = np.argsort(-cells, kind="stable")
    return np.stack([group, condition, cells, extra], axis=1)[order]


def draw_errors(g, groups, conditions, kind):
    """A table of errors and counts, and `least`; among few samples, one cell has exactly `least` answers."""
    least = int(g.integers(20, 50))
    counts = g.integers(150, 400, (groups, conditions))
    rate = np.full((groups, conditions), 0.1) + 0.01 * g.normal(size=(groups, conditions))
    if kind != "all alike":
        places = g.permutation(groups * conditions)
        rate.flat[places[0]] = 0.42
        if groups * conditions > 3:
            rate.flat[places[1]] = 0.30
            rate.flat[places[2]] = 0.15  # worse, but not surely
            counts.flat[places[2]] = 60
            counts.flat[places[1]] = 900  # most errors, not the highest rate
    if kind == "few samples":
        small = places[3]
        counts.flat[small], rate.flat[small] = 12, 0.8
        counts.flat[places[4]], rate.flat[places[4]] = 0, 0
        counts.flat[places[5]], rate.flat[places[5]] = least, 0.6  # just enough, and surely worse
    errors = np.minimum(np.round(rate * counts).astype(int), counts)
    return errors, counts, least


cards = exercise(
    "capstone.3",
    limits,
    title="The limits on the card",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "`errors` and `counts` (groups, conditions) say how many answers were wrong, and how many there were. A limit on a "
            "card names a group, a condition, a number and a consequence."
        ),
        says("**Write** `limits(errors, counts, least)`: an array (k, 4), a row for each limit,", mistake="Rows are"),
        says("its columns group, condition (their numbers in the table), error *rate*,", mistake="The third column"),
        says(
            "and how many more errors than overall that means per 1,000 answers.",
            mistake="more than overall",
        ),
        says("The overall rate is that of all answers together.", mistake="mean of the rates"),
        says(
            "A cell is a limit if its rate minus $1.96\\sqrt{r(1-r)/n}$ is still above the overall rate:",
            mistake="takes every cell above",
        ),
        says("what may be luck does not go on the card.", mistake="cells that may be worse"),
        says("Cells with fewer than `least` answers are left out (their rate is not known).", mistake="few answers"),
        says("With `least` answers or more, a cell counts.", mistake="exactly `least`"),
        says("The highest rate comes first.", mistake="highest rate"),
        example("""
errors, counts = np.array([[10, 45]]), np.array([[100, 100]])
print("overall", errors.sum() / counts.sum(), "  rates", errors / counts)
"""),
    ],
    hints=[
        "`np.nonzero(mask)` gives the groups and the conditions of all cells that are True.",
        "Divide by `np.maximum(counts, 1)`, so that an empty cell gives no NaN; `counts >= least` leaves it out.",
    ],
    draw=draw_errors,
    parts=[
        part("some cells are worse", weight=2, groups=between(2, 3), conditions=between(3, 4), kind="some"),
        part(
            "few samples, just enough, an empty cell", weight=2, groups=3, conditions=between(3, 4), kind="few samples"
        ),
        part("all alike: no limits", groups=2, conditions=between(2, 3), kind="all alike"),
        part("one group", groups=1, conditions=between(4, 5), kind="some"),
    ],
    own={"groups": 2, "conditions": 3, "kind": "some"},
    own_says="A table of your own",
    mistakes={
        "The overall rate is that of all answers together, not the mean of the rates.": (
            "overall = (errors / np.maximum(counts, 1)).mean()"
        ),
        "This takes every cell above the overall rate, also where that is only luck.": "worse = rate > overall",
        "This takes cells that may be worse: subtract, so that only luck is left out.": "worse = rate + half > overall",
        "Cells with few answers are left out: their rate is not known.": "known = counts > 0",
        "A cell with exactly `least` answers stays: only those with fewer are left out.": "known = counts > least",
        "The third column is an error rate: errors divided by answers.": edit(
            "np.stack([group, condition, cells, extra]", "np.stack([group, condition, errors[group, condition], extra]"
        ),
        "The last column says how many errors more than overall there are per 1,000 answers.": [
            "extra = 1000 * cells",
            "extra = cells - overall",
        ],
        "The highest rate comes first.": ["order = np.argsort(cells, kind='stable')", "order = np.arange(len(cells))"],
        "Rows are limits: group, condition, rate, extra. Group and condition are exchanged.": edit(
            "np.stack([group, condition, cells, extra]", "np.stack([condition, group, cells, extra]"
        ),
    },
    praise="Now say it in words: “for group 1 in condition 2, 42 of 100 answers are wrong, so somebody must look at each”.",
)


@right(cards)
def limits_by_loop(errors, counts, least):
    mean = errors.sum() / counts.sum()
    rows = []
    for i in range(len(errors)):
        for j in range(len(errors[i])):
            n = counts[i, j]
            if n < least:
                continue
            r = errors[i, j] / n
            if r - 1.96 * (r * (1 - r) / n) ** 0.5 > mean:
                rows.append((i, j, r, 1000 * (r - mean)))
    return np.array(sorted(rows, key=lambda row: -row[2])).reshape(-1, 4)


# ---------------------------------------------------------------- the lesson's blanks
def splits():
    yield np.array([1, 1, 2, 3]), np.array([3, 4, 4])
    yield np.array([1, 2]), np.array([3, 4, 5])
    yield np.array([5, 2, 2, 9]), np.array([9, 5, 5])
    yield np.array([4, 4, 1]), np.array([4, 2])
    yield np.array([7]), np.array([7])


@blank(
    "capstone.blank.1",
    title="Who is on both sides",
    inputs=splits,
    mistakes=[
        (lambda a, b: np.isin(b, a).sum(), "You counted calls: count each caller once."),
        (lambda a, b: np.isin(a, b).sum(), "You counted calls: count each caller once."),
        (lambda a, b: len(np.union1d(a, b)), "This is everybody: only those on both sides count."),
        (lambda a, b: bool(len(np.intersect1d(a, b))), "Say how many, not only whether there are any."),
    ],
)
def num_shared(train, test):
    return len(set(np.asarray(train).tolist()) & set(np.asarray(test).tolist()))


def flags():
    rng = np.random.default_rng(0)
    yield np.array([1.0, 1.0, 0.0, 1.0]), np.array([0, 0, 1, 1])
    for n, callers in ((12, 4), (30, 7), (9, 9)):
        yield (rng.random(n) < 0.7).astype(float), np.arange(n) % callers
    yield np.array([1.0, 0.0, 1.0, 1.0, 0.0]), np.array([31, 31, 40, 40, 37])  # numbers with gaps


def error_with(right_, callers, by=True, square=True, mean=True, divide="n"):
    deviation = right_ - right_.mean() if mean else right_
    names = np.unique(callers) if by else np.arange(len(right_))
    where = callers if by else np.arange(len(right_))
    sums = np.array([deviation[where == name].sum() for name in names])
    total = (sums**2).sum() if square else np.abs(sums).sum() ** 2
    k = len(names)
    return np.sqrt(k / (k - 1) * total) / (len(right_) if divide == "n" else k)


def error_by_numbers(right_, callers):
    """K from the largest number of a caller."""
    sums = np.bincount(callers, right_ - right_.mean())
    return np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(right_)


@blank(
    "capstone.blank.2",
    title="A standard error by callers",
    inputs=flags,
    mistakes=[
        (
            lambda *a: error_with(*a, by=False),
            "This takes each call for itself: add up the deviations of a caller first.",
        ),
        (lambda *a: error_with(*a, mean=False), "Subtract the mean first: deviations are wanted."),
        (lambda *a: error_with(*a, square=False), "Square the sum of each caller, then add up."),
        (lambda *a: error_with(*a, divide="k"), "Divide by the number of calls, not of callers."),
        (error_by_numbers, "The callers' numbers have gaps: K counts callers, not numbers. `np.unique` helps."),
    ],
)
def caller_error(right_, callers):
    return error_with(right_, callers)


def reported():
    yield np.array([0.1, 0.4]), np.array([0.3, 0.6]), 0.2
    yield np.array([0.5, 0.6, 0.7, 0.71]), np.array([0.7, 0.8, 0.9, 0.75]), 0.72
    yield np.array([0.2, 0.3]), np.array([0.4, 0.5]), 0.9
    yield np.array([0.2, 0.3]), np.array([0.4, 0.5]), 0.4


@blank(
    "capstone.blank.3",
    title="Coverage",
    inputs=reported,
    mistakes=[
        (lambda low, high, x: ((low <= x) & (x <= high)).sum(), "This is how many; the share is wanted."),
        (lambda low, high, x: (x <= high).mean(), "Look at the low end, too."),
        (lambda low, high, x: (low <= x).mean(), "Look at the high end, too."),
        (lambda low, high, x: 1 - ((low <= x) & (x <= high)).mean(), "This is the share that missed."),
        (lambda low, high, x: ((low < x) & (x < high)).mean(), "The ends belong to the interval."),
    ],
)
def covered(low, high, truth):
    return ((low <= truth) & (truth <= high)).mean()


def marked():
    yield 83, [50], 0
    yield 46, [50], 10
    yield 90, [50, 60], 10
    yield 90, [], 10
    yield 88, [], 0
    yield 95, [60, 50], 0
    yield 8, [], 10
    yield 55, [50], 10


@blank(
    "capstone.blank.4",
    title="The caps",
    inputs=marked,
    mistakes=[
        (lambda points, caps, minus: max(0, points - minus), "The lowest cap is the most that is left."),
        (lambda points, caps, minus: max(0, min([points, *caps]) - minus), "First take off, then cap."),
        (lambda points, caps, minus: min([points, *caps]) - minus, "First take off, then cap; nobody has below 0."),
        (lambda points, caps, minus: max(0, min(points - minus, max(caps, default=100))), "The *lowest* cap counts."),
        (lambda points, caps, minus: max(0, min([points, *caps])), "A claim without an interval costs points, too."),
        (lambda points, caps, minus: min([points - minus, *caps]), "Nobody has fewer than 0 points."),
    ],
)
def final_points(points, caps, minus):
    return max(0, min([points - minus, *caps]))


# ---------------------------------------------------------------- challenge
NUM_REPORTS, NUM_CALLERS = 1000, 20


def draw_challenge(g):
    """Test results of 1,000 projects: calls and right answers of 20 callers each; hidden: each model's true accuracy."""
    rng = np.random.default_rng(int(g.integers(1 << 31)))
    truth = rng.uniform(0.6, 0.95, NUM_REPORTS)
    alike = rng.uniform(0.02, 0.4, NUM_REPORTS)  # how alike the calls of a caller are
    calls = rng.integers(1, 13, (NUM_REPORTS, NUM_CALLERS))
    size = (1 / alike - 1)[:, None]
    of_caller = rng.beta(truth[:, None] * size, (1 - truth[:, None]) * size, calls.shape)
    return Drawn({"calls": calls, "hits": rng.binomial(calls, of_caller)}, truth)


def interval_score(arrays, inputs, hidden):
    """1 − mean interval score at 95 % (Gneiting and Raftery 2007): width, and 40 times what was missed."""
    low, high = np.asarray(arrays["intervals"], float).T
    low, high = np.minimum(low, high), np.maximum(low, high)
    missed = np.maximum(low - hidden, 0) + np.maximum(hidden - high, 0)
    return float(max(0.0, 1 - (high - low + 40 * missed).mean()))


challenge(
    "capstone.challenge",
    title="Narrow, and true",
    statement=[
        f"{NUM_REPORTS:,} projects tested their models on the calls of {NUM_CALLERS} callers each. `calls` (1000, 20) says how "
        "many calls each caller made, `hits` (1000, 20) how many were answered right. Calls of one caller are alike, in some "
        "projects more than in others.",
        "Every model has a true accuracy, over all callers that there are. Give an interval for each: `intervals`, floats "
        "(1000, 2), low and high.",
        "The score is 1 − the mean over all projects of (high − low) + 40 · (how far the truth lies outside). So a wide "
        "interval costs its width, and one that misses costs far more. Intervals as if all calls were independent reach about "
        "0.58, intervals by caller about 0.69.",
    ],
    draw=draw_challenge,
    score=interval_score,
    hand_in={"intervals": Array((NUM_REPORTS, 2), "float")},
    to_beat=0.72,
    points_by_score={0.72: 1, 0.75: 2, 0.78: 3},
    minutes=60,
    score_name="1 − interval score",
)
