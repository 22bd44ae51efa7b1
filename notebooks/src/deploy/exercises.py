"""A micro-batcher, admission, two monitors and their budget, the lesson's blanks, and the open challenge; PyTorch has a file."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.datasets import mood
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
    one_of,
    part,
    right,
    says,
)
from mmcourse.serve import drift

lesson(
    "deploy",
    promise="A micro-batcher on the virtual clock, admission under a limit, two monitors with a budget of false alarms, label "
    "shift and MMD in PyTorch, and a challenge: five drifts, blind.",
    uses="NumPy; two PyTorch",
    setup="""
import numpy as np
import torch
from scipy.stats import binom
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def micro_batches(arrivals, fixed, each, max_batch):
    """Latency of each request (n,), and the size of each batch, of a server that takes what waits."""
    latency = np.zeros(len(arrivals))
    sizes = []
    free = 0.0
    first = 0
    while first < len(arrivals):
        start = max(free, arrivals[first])
        here = int(np.searchsorted(arrivals, start, side="right"))
        last = min(here, first + max_batch)
        size = last - first
        free = start + fixed + each * size
        latency[first:last] = free - arrivals[first:last]
        sizes.append(size)
        first = last
    return latency, np.array(sizes)


def draw_arrivals(g, n, gap, fixed, each, max_batch):
    """Arrival times with mean gap `gap`; 0: all at once."""
    times = np.cumsum(g.exponential(gap, n)).round(2) if gap else np.full(n, 1.0)
    return times, fixed, each, max_batch


def full_batches(arrivals, fixed, each, max_batch):
    """The answer with one mistake."""
    latency, sizes, free = np.zeros(len(arrivals)), [], 0.0
    for first in range(0, len(arrivals), max_batch):
        part_ = arrivals[first : first + max_batch]
        free = max(free, part_[-1]) + fixed + each * len(part_)
        latency[first : first + len(part_)] = free - part_
        sizes.append(len(part_))
    return latency, np.array(sizes)


def too_early(arrivals, fixed, each, max_batch):
    """The answer with one mistake."""
    latency, sizes, free, first = np.zeros(len(arrivals)), [], 0.0, 0
    while first < len(arrivals):
        here = max(first + 1, int(np.searchsorted(arrivals, free, side="right")))
        last = min(here, first + max_batch)
        free += fixed + each * (last - first)
        latency[first:last] = free - arrivals[first:last]
        sizes.append(last - first)
        first = last
    return latency, np.array(sizes)


batches = exercise(
    "deploy.1",
    micro_batches,
    title="A micro-batcher on the virtual clock",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "`arrivals` (n,) are times in seconds, ascending. One server computes batches, first come, first served."
        ),
        context("**Write** `micro_batches(arrivals, fixed, each, max_batch)`."),
        says("The server never waits for a batch to fill:", mistake="waits until the batch is full"),
        says("as soon as it is free and somebody is there, it starts,", mistake="before its first request"),
        says("but not while it still computes the batch before.", mistake="still busy"),
        says("It takes everybody who has come by then,", mistake="one at a time"),
        says(
            "also those who come at that very moment,",
            ignored='here = max(first + 1, int(np.searchsorted(arrivals, start, side="left")))',
        ),
        says("`max_batch` at most.", mistake="larger than `max_batch`"),
        says("A batch of n takes `fixed` + `each` · n seconds:", mistake="The fixed part"),
        says("n is its own size.", mistake="whatever its size"),
        says("Return the latencies (n,), from arrival to answer,", mistake="the wait alone"),
        says("and the sizes of the batches, in order.", ignored="return latency, np.array(sizes)[::-1]"),
        example("""
arrivals = np.array([0.0, 1.0, 1.5, 9.0])  # fixed 2, each 0, max_batch 2
print("batches: [0.0], then [1.0, 1.5], then [9.0]; latencies 2, 3, 2.5, 2")
"""),
    ],
    hints=[
        "Keep two numbers: when the server is free again, and the first request that has not been taken.",
        '`np.searchsorted(arrivals, start, side="right")` is how many have come by `start`.',
    ],
    draw=draw_arrivals,
    parts=[
        part("under load", weight=2, n=between(20, 30), gap=0.5, fixed=1.0, each=0.25, max_batch=between(4, 6)),
        part("hardly any load", n=between(5, 8), gap=9.0, fixed=one_of(0.5, 0.75), each=0.5, max_batch=4),
        part("all at once", n=between(7, 11), gap=0.0, fixed=0.5, each=0.25, max_batch=3),
        part("batches of one", n=between(5, 9), gap=0.5, fixed=0.25, each=0.5, max_batch=1),
        part("one request", n=1, gap=2.0, fixed=0.5, each=one_of(0.125, 0.25), max_batch=8),
    ],
    own={"n": 6, "gap": 0.5, "fixed": 1.0, "each": 0.5, "max_batch": 3},
    names=("the latencies", "the sizes"),
    mistakes={
        "Your server waits until the batch is full: take what is there.": full_batches,
        "A batch of yours starts before its first request has come.": too_early,
        "Your server starts a batch while it is still busy with the one before.": "start = arrivals[first]",
        "This takes one at a time: everybody who has come goes into the batch.": "last = first + 1",
        "A batch of yours is larger than `max_batch`.": "last = here",
        "The fixed part is paid once a batch, not once a request.": edit(
            "start + fixed + each * size", "start + (fixed + each) * size"
        ),
        "This batch costs as much as a full one, whatever its size.": edit(
            "start + fixed + each * size", "start + fixed + each * max_batch"
        ),
        "Latency counts from arrival, not from the start of the batch.": "latency[first:last] = free - start",
        "This is the wait alone: latency is from arrival to answer.": "latency[first:last] = start - arrivals[first:last]",
    },
    praise="Batches grow only under load: nobody told the server to.",
)


@right(batches)
def with_a_queue(arrivals, fixed, each, max_batch):
    waiting, latency, sizes, now, todo = [], {}, [], 0.0, list(enumerate(arrivals))
    while todo or waiting:
        if not waiting:
            now = max(now, todo[0][1])
        while todo and todo[0][1] <= now:
            waiting.append(todo.pop(0))
        batch, waiting = waiting[:max_batch], waiting[max_batch:]
        now += fixed + each * len(batch)
        sizes.append(len(batch))
        latency.update({i: now - came for i, came in batch})
    return np.array([latency[i] for i in range(len(arrivals))]), np.array(sizes)


# ---------------------------------------------------------------- 2
def admit(arrivals, service, limit):
    """Who is admitted (n,), so that each admitted request is answered within `limit`; and their p99."""
    admitted = np.zeros(len(arrivals), dtype=bool)
    latency = []
    free = 0.0
    for i, now in enumerate(arrivals):
        wait = max(0.0, free - now)
        total = wait + service
        if total <= limit:
            admitted[i] = True
            free = now + total
            latency.append(total)
    ordered = np.sort(latency)
    p99 = ordered[int(np.ceil(0.99 * len(ordered))) - 1]
    return admitted, p99


def draw_load(g, n, load, service, limit, whole):
    """Arrivals at a load; `whole`: at whole seconds, so that totals meet the limit exactly."""
    gaps = g.integers(1, 4, n).astype(float) if whole else g.exponential(service / load, n)
    return np.cumsum(gaps), service, limit


def ghosts(arrivals, service, limit):
    """The answer with one mistake."""
    admitted, latency, free = np.zeros(len(arrivals), bool), [], 0.0
    for i, now in enumerate(arrivals):
        total = max(0.0, free - now) + service
        free = now + total
        if total <= limit:
            admitted[i] = True
            latency.append(total)
    return admitted, np.sort(latency)[int(np.ceil(0.99 * len(latency))) - 1]


def for_ever(arrivals, service, limit):
    """The answer with one mistake."""
    admitted, _ = admit(arrivals, service, limit)
    first = np.argmin(admitted) if not admitted.all() else len(admitted)
    admitted[first:] = False
    _, p99 = admit(arrivals[: max(first, 1)], service, limit)
    return admitted, p99


door = exercise(
    "deploy.2",
    admit,
    title="Whom to let in",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "One server; each request takes `service` seconds, first come, first served. `arrivals` (n,) are ascending, "
            "`limit` is at least `service`."
        ),
        context(
            "**Write** `admit(arrivals, service, limit)`. A request is admitted if its latency will be within `limit`:"
        ),
        says("its wait *and* its own service.", mistake="own service"),
        says("Exactly `limit` is still in time.", ignored="total = wait + service + 1e-9"),
        says("It waits for the requests that were admitted before it;", mistake="has no end"),
        says("those that were refused take no time,", mistake="refused request takes"),
        says("and the next request has its own chance.", mistake="for ever"),
        says("The wait is never below 0.", mistake="idle"),
        says("Return who is admitted, bool (n,),", ignored="return ~admitted, p99"),
        says("and the 99th percentile of the latencies of the admitted:", mistake="mean"),
        says(
            "the value at position ⌈0.99 k⌉ of k sorted ones, counted from 1, without interpolation.",
            mistake="position",
        ),
        example("""
print("arrivals 0, 1, 2, 3; service 2; limit 3")
print("0: total 2, in. 1: total 3, in. 2: total 4, refused. 3: total 3, in.")
"""),
    ],
    hints=[
        "Keep `free`: when the server will have answered everybody who is admitted so far.",
        "Change `free` only for those who are admitted: `free = now + wait + service`.",
    ],
    draw=draw_load,
    parts=[
        part("overload", weight=2, n=between(240, 280), load=1.8, service=one_of(0.5, 0.4), limit=2.3, whole=False),
        part("little load", n=between(20, 30), load=0.4, service=0.5, limit=one_of(2.1, 2.7), whole=False),
        part("at the limit exactly", n=between(15, 25), load=1.0, service=3.0, limit=one_of(4.0, 5.0), whole=True),
        part("no wait allowed", n=between(12, 20), load=1.5, service=0.5, limit=0.5, whole=False),
        part("one request", n=1, load=1.0, service=one_of(0.5, 1.0), limit=1.5, whole=False),
    ],
    own={"n": 12, "load": 1.0, "service": 3.0, "limit": 5.0, "whole": True},
    names=("who is admitted", "p99"),
    mistakes={
        "Your queue has no end: under overload everybody is admitted, and nobody is answered in time.": edit(
            "if total <= limit:", "if True:"
        ),
        "Its own service counts too: the latency is wait plus service.": edit(
            "if total <= limit:", "if wait <= limit:"
        ),
        "A refused request takes no time of the server: after one refusal you refuse nearly everybody, for ever.": [
            ghosts,
            for_ever,
        ],
        "An idle server saves no time up: the wait is never below 0.": "wait = free - now",
        "This is the mean, which hides the slow ones.": "p99 = ordered.mean()",
        "This is the median.": "p99 = ordered[int(np.ceil(0.5 * len(ordered))) - 1]",
        "p99 is the value at position ⌈0.99 k⌉: not the largest, and no interpolation.": [
            "p99 = ordered[-1]",
            "p99 = np.percentile(ordered, 99)",
        ],
    },
    praise="Whoever is let in is answered in time; whoever is not knows at once.",
)


@right(door)
def by_backlog(arrivals, service, limit):
    found, totals, backlog, before = [], [], 0.0, 0.0
    for now in arrivals:
        backlog = max(backlog - (now - before), 0.0)
        before = now
        found.append(bool(backlog + service <= limit + 1e-12))
        if found[-1]:
            backlog += service
            totals.append(backlog)
    return np.array(found), sorted(totals)[-(-99 * len(totals) // 100) - 1]


# ---------------------------------------------------------------- 3
def monitor(reference, calm, live, right, good, budget):
    """PSI of the live day, its threshold, the chance of so few right answers, and which monitor rings."""
    p = reference / reference.sum()

    def psi(counts):
        q = counts / counts.sum()
        return float(((q - p) * np.log(q / p)).sum())

    today = psi(live)
    quiet = [psi(day) for day in calm]
    threshold = float(np.quantile(quiet, 1 - budget, method="higher"))
    chance = float(binom.cdf(right.sum(), len(right), good))
    inputs = today > threshold
    labels = chance <= budget
    rings = {(False, False): "none", (True, False): "inputs", (False, True): "labels", (True, True): "both"}
    return today, threshold, chance, rings[inputs, labels]


from scipy.stats import binom  # noqa: E402  (the exercises' set-up cell imports it, too)


def draw_days(g, stream, days, n, m, accuracy, budget, alone=False):
    """Counts of face × words, or of the face alone, and a labeled sample of m answers."""
    away = (0, 2, 3) if alone else (0, 2)
    cells = mood.JOINT.sum(axis=away).ravel()
    cells = np.maximum(cells, 0.01) / np.maximum(cells, 0.01).sum()
    shifted = drift.STREAMS[stream].joint.sum(axis=away).ravel()
    shifted = np.maximum(shifted, 0.01) / np.maximum(shifted, 0.01).sum()
    reference = g.multinomial(4000, cells) + 1
    calm = np.array([g.multinomial(n, cells) + 1 for _ in range(days)])
    live = g.multinomial(n, shifted) + 1
    right_ = np.arange(m) < round(accuracy * m)
    return reference, calm, live, g.permutation(right_), 0.926, budget


watch = exercise(
    "deploy.3",
    monitor,
    title="Two monitors and their budget",
    points=4,
    difficulty=3,
    minutes=30,
    statement=[
        context(
            "`reference` (k,) counts the cells of the training inputs, `live` (k,) today's, `calm` (days, k) those of days on "
            "which nothing was wrong. No count is 0. `right` (m,) says of each *labeled* answer of today whether it was right; "
            "`good` is the accuracy that the model used to have. `budget` is the rate of false alarms that you may have."
        ),
        context("**Write** `monitor(reference, calm, live, right, good, budget)`, which returns four things:"),
        says("1. the PSI of today, Σ (q − p) ln(q / p),", mistake="Kullback"),
        says("p and q the *shares* of reference and today;", mistake="shares"),
        says(
            'its threshold: the (1 − `budget`) quantile of the PSI of the calm days (`method="higher"`),',
            mistake="rule of thumb",
        ),
        says("set before today is looked at;", mistake="live day in it"),
        says("3. the chance of *at most* so many right answers, if the accuracy is still `good`:", mistake="at most"),
        says("binomial, with the size of the labeled sample;", mistake="size of the labeled"),
        says('4. "inputs" if the PSI is above its threshold,', mistake="above its threshold"),
        says('"labels" if the chance is at most `budget`, "both" or "none".', mistake="labels are not asked"),
        example('print("3 of 5 right, accuracy used to be 0.9:", binom.cdf(3, 5, 0.9).round(4))'),
    ],
    hints=[
        "Write PSI as a function of counts, and use it for today and for each calm day.",
        '`np.quantile(values, 1 - budget, method="higher")`; `binom.cdf(right.sum(), len(right), good)`.',
    ],
    draw=draw_days,
    parts=[
        part("nothing is wrong", stream="as before", days=60, n=500, m=between(17, 40), accuracy=0.95, budget=0.05),
        part("label shift", stream="B", days=40, n=between(400, 600), m=20, accuracy=0.95, budget=0.05, alone=True),
        part(
            "a smirk changes its meaning", stream="D", days=between(150, 200), n=500, m=20, accuracy=0.65, budget=0.02
        ),
        part(
            "sarcasm doubles, and labels are few",
            stream="C",
            days=30,
            n=300,
            m=5,
            accuracy=1.0,
            budget=one_of(0.1, 0.2),
        ),
        part("both", stream="E", days=50, n=400, m=between(40, 60), accuracy=0.6, budget=0.05),
    ],
    own={"stream": "B", "days": 3, "n": 40, "m": 5, "accuracy": 0.8, "budget": 0.1, "alone": True},
    constant={"good": "the accuracy of the course's rule, in every part"},
    names=("the PSI of today", "its threshold", "the chance", "which rings"),
    rtol=1e-6,
    mistakes={
        "PSI compares shares: divide the counts by their sums.": edit("q = counts / counts.sum()", "q = counts"),
        "This is the Kullback–Leibler divergence: the PSI has (q − p) before the logarithm.": edit(
            "((q - p) * np.log(q / p))", "(q * np.log(q / p))"
        ),
        "A rule of thumb (0.25, 0.1) knows neither your counts nor your budget: take the calm days' quantile.": [
            "threshold = 0.25",
            "threshold = 0.1",
        ],
        "Your threshold was set with the live day in it.": (
            'threshold = float(np.quantile([*quiet, today], 1 - budget, method="higher"))'
        ),
        "Your threshold is the largest or the middle value of the calm days, whatever the budget is.": [
            "threshold = float(np.max(quiet))",
            "threshold = float(np.median(quiet))",
        ],
        "This is the chance of *exactly* so many right answers, or of fewer: at most so many is wanted.": [
            "chance = float(binom.pmf(right.sum(), len(right), good))",
            "chance = float(binom.cdf(right.sum() - 1, len(right), good))",
            "chance = float(binom.sf(right.sum(), len(right), good))",
        ],
        "The binomial has the size of the labeled sample, not that of all inputs.": (
            "chance = float(binom.cdf(right.sum(), live.sum(), good))"
        ),
        "The labels are not asked: PSI alone never sees that a smirk has changed its meaning.": "labels = False",
        "The inputs ring when the PSI is above its threshold.": ["inputs = today < threshold", "inputs = False"],
    },
    praise="The second monitor is the only one that sees stream D, and it costs labels.",
)


@right(watch)
def with_rows(reference, calm, live, right, good, budget):
    shares = np.concatenate([[reference], [live], calm]).astype(float)
    shares /= shares.sum(1, keepdims=True)
    values = ((shares - shares[0]) * (np.log(shares) - np.log(shares[0]))).sum(1)[1:]
    ordered = np.sort(values[1:])
    threshold = ordered[int(np.ceil((1 - budget) * (len(ordered) - 1) - 1e-9))]
    chance = sum(binom.pmf(k, len(right), good) for k in range(int(np.sum(right)) + 1))
    names = [["none", "labels"], ["inputs", "both"]]
    return values[0], threshold, chance, names[int(values[0] > threshold)][int(chance <= budget)]


# ---------------------------------------------------------------- the lesson's blanks
def some_arrivals():
    rng = np.random.default_rng(0)
    yield np.array([0.0, 1.0, 1.5, 9.0]), 2.0
    yield np.cumsum(rng.exponential(1.0, 30)).round(2), 0.9
    yield np.array([0.5]), 1.0
    yield np.array([3.0, 3.0, 3.0]), 0.5


def waits_with(arrivals, service, floor=True, count=0.0, free=None):
    found, done = [], 0.0
    for now in arrivals:
        wait = done - now if not floor else max(0.0, done - now)
        found.append(wait + count * service)
        done = now + wait + service if free is None else free(now, done, service)
    return np.array(found)


@blank(
    "deploy.blank.1",
    title="How long does each request wait?",
    inputs=some_arrivals,
    mistakes=[
        (lambda a, s: waits_with(a, s, floor=False), "An idle server does not make a wait negative: use max(0, …)."),
        (lambda a, s: waits_with(a, s, count=1), "This is the whole latency: the wait ends where service begins."),
        (
            lambda a, s: waits_with(a, s, free=lambda now, done, service: now + service),
            "The server is free after the wait *and* the service of the one before.",
        ),
        (
            lambda a, s: waits_with(a, s, free=lambda now, done, service: done + service),
            "A server that was idle starts when the request comes, not earlier.",
        ),
    ],
)
def request_waits(arrivals, service):
    return waits_with(arrivals, service)


def some_shares():
    yield np.array([50.0, 50.0]), np.array([25.0, 75.0])
    yield np.array([1.0, 2.0, 3.0, 4.0]), np.array([40.0, 10.0, 20.0, 30.0])
    yield np.array([0.2, 0.3, 0.5]), np.array([0.2, 0.3, 0.5])


def psi_with(p, q, formula=lambda p, q: (q - p) * np.log(q / p), share=True):
    p, q = (p / p.sum(), q / q.sum()) if share else (p, q)
    return float(formula(p, q).sum())


@blank(
    "deploy.blank.3",
    title="The population stability index",
    inputs=some_shares,
    mistakes=[
        (lambda p, q: psi_with(p, q, share=False), "Counts are not shares: divide each array by its sum."),
        (
            lambda p, q: psi_with(p, q, lambda p, q: q * np.log(q / p)),
            "This is the Kullback–Leibler divergence: multiply the logarithm by (q − p).",
        ),
        (lambda p, q: -psi_with(p, q), "The sign is turned round: the PSI is never negative."),
        (lambda p, q: psi_with(p, q, lambda p, q: np.abs(q - p)), "The logarithm is missing."),
    ],
)
def stability_index(reference, live):
    return psi_with(np.asarray(reference, float), np.asarray(live, float))


def some_events():
    rng = np.random.default_rng(1)
    for rate in (0.005, 0.03, 0.2):
        yield rng.random(400) < rate, 0.005, 0.03
    yield np.zeros(300, bool), 0.01, 0.05
    yield np.ones(5, bool), 0.01, 0.05
    yield np.zeros(3, bool), 0.005, 0.03


def sprt_with(
    events, good, bad, up=2.9444389791664403, down=-2.9444389791664403, only=False, flip=False, restart=False
):
    ratio = 0.0
    for k, event in enumerate(events):
        step = np.log(bad / good) if event else np.log((1 - bad) / (1 - good))
        step = 0.0 if only and not event else step
        ratio = (0.0 if restart and not event else ratio) + (-step if flip else step)
        if ratio >= up:
            return "stop", k + 1
        if ratio <= down:
            return "go on", k + 1
    return "undecided", len(events)


@blank(
    "deploy.blank.2",
    title="Wald's sequential test",
    inputs=some_events,
    mistakes=[
        (lambda e, g, b: sprt_with(e, g, b, only=True), "Good requests count too: they move the ratio down a little."),
        (lambda e, g, b: sprt_with(e, g, b, flip=True), "The ratio is turned round: bad events must move it up."),
        (
            lambda e, g, b: sprt_with(e, g, b, up=np.inf),
            "It never stops a bad model: compare with the upper bound, too.",
        ),
        (
            lambda e, g, b: sprt_with(e, g, b, down=-np.inf),
            "It never lets a good model go on: compare with the lower bound, too.",
        ),
    ],
)
def sequential_test(events, good, bad):
    return sprt_with(events, good, bad)


def some_labels():
    yield 17, 0.926, 0.05
    yield 40, 0.9, 0.01
    yield 5, 0.8, 0.05
    yield 60, 0.95, 0.1


def limit_with(n, good, budget, at=0):
    return int(max(k for k in range(-1, n + 1) if k < 0 or binom.cdf(k, n, good) <= budget)) + at


@blank(
    "deploy.blank.4",
    title="When do the labels ring?",
    inputs=some_labels,
    mistakes=[
        (
            lambda n, good, budget: limit_with(n, good, budget, at=1),
            "With this limit false alarms are more often than the budget: one right answer fewer.",
        ),
        (
            lambda n, good, budget: limit_with(n, good, budget, at=-1),
            "The budget allows one right answer more: take the largest limit within it.",
        ),
        (
            lambda n, good, budget: round(n * good),
            "This is what is expected: the alarm would ring on every second day.",
        ),
    ],
)
def alarm_limit(n, good, budget):
    return limit_with(n, good, budget)


# ---------------------------------------------------------------- challenge
DAYS, MESSAGES, LABELS = 90, 300, 24
HARMLESS, HARMFUL = ("as before", "A", "B", "C"), ("D", "E")


def draw_challenge(g):
    """Days of six kinds: cues and brightness of all messages, labels of some."""
    rng = np.random.default_rng(int(g.integers(1 << 31)))
    kinds = rng.permutation(np.resize(np.array([*HARMLESS, *HARMFUL, *HARMFUL]), DAYS))
    cues = np.zeros((DAYS, MESSAGES, 3), np.int64)
    brightness = np.zeros((DAYS, MESSAGES))
    labels = np.zeros((DAYS, LABELS), np.int64)
    for day, kind in enumerate(kinds):
        drawn = drift.stream(str(kind), MESSAGES, rng)
        cues[day] = np.stack([drawn[name] for name in mood.MODALITIES], axis=1)
        brightness[day] = drawn["brightness"]
        labels[day] = drawn["label"][:LABELS]
    before = drift.stream("as before", 20 * MESSAGES, rng)
    calm = np.stack([before[name] for name in mood.MODALITIES], axis=1).reshape(20, MESSAGES, 3)
    inputs = {"calm_cues": calm, "calm_brightness": before["brightness"].reshape(20, MESSAGES)}
    inputs |= {"cues": cues, "brightness": brightness, "labels": labels}
    return Drawn(inputs, np.isin(kinds, HARMFUL))


def detection_minus_false_alarms(arrays, inputs, hidden):
    """Share of harmful days with an alarm, less the share of harmless days with one; not below 0."""
    alarm = np.asarray(arrays["alarm"]) != 0
    return float(max(0.0, alarm[hidden].mean() - alarm[~hidden].mean()))


challenge(
    "deploy.challenge",
    title="Five drifts, blind",
    statement=[
        f"{DAYS} days of {MESSAGES} messages each. `cues` ({DAYS}, {MESSAGES}, 3) are face, voice and words as in `mood.CUES`, "
        f"`brightness` that of the pictures. Of the first {LABELS} messages of each day you have the true label, `labels`. The "
        "model that serves answers with the most probable label, `mood.JOINT.argmax(axis=0)[face, voice, words]`, and it will not be changed. `calm_cues` and `calm_brightness` are 20 days "
        "without drift.",
        "On each day all is as before, or one of the lesson's streams A to E is live; which one, you have to find out. Ring on the days "
        "when the model is *worse than it was* (D and E), and on no other: A, B and C do no harm.",
        f"Hand in `alarm`, integers ({DAYS},), 1 for an alarm. The score is the share of harmful days with an alarm, less the share "
        "of harmless days with one. An input monitor alone (PSI of all cues, calm days' largest value) reaches about 0.",
    ],
    draw=draw_challenge,
    score=detection_minus_false_alarms,
    hand_in={"alarm": Array((DAYS,), "integer")},
    to_beat=0.75,
    points_by_score={0.75: 1, 0.88: 2, 0.95: 3},
    minutes=60,
    score_name="detection − false alarms",
)
