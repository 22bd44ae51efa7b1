"""Known right and wrong answers to the exercises of lesson deploy, as learners write them."""

import numpy as np
from exercise_harness import Answers
from scipy.stats import binom


# ---------------------------------------------------------------- deploy.1
def server(full=False, busy=True, come=True, limit=True, one=False, cost="right", since="arrival", wait_only=False):
    """A right answer with places to go wrong."""

    def answer(arrivals, fixed, each, max_batch):
        arrivals = [float(a) for a in arrivals]
        n, i, now = len(arrivals), 0, 0.0
        out, sizes = [0.0] * n, []
        while i < n:
            begin = now if not come else max(now, arrivals[i]) if busy else arrivals[i]
            if full:
                begin = max(now, arrivals[min(i + max_batch, n) - 1])
            j = i
            while j < n and (arrivals[j] <= begin or j == i) and (j - i < max_batch or not limit):
                j += 1
            j = i + 1 if one else j
            costs = {"right": fixed + each * (j - i), "all": (fixed + each) * (j - i), "max": fixed + each * max_batch}
            now = begin + costs[cost]
            for k in range(i, j):
                out[k] = now - {"arrival": arrivals[k], "start": begin}[since]
                if wait_only:
                    out[k] = begin - arrivals[k]
            sizes.append(j - i)
            i = j
        return np.array(out), np.array(sizes)

    return answer


# ---------------------------------------------------------------- deploy.2
def gate(own=True, floor=True, end=True, ghosts=False, stuck=False, what=None):
    """A right answer with places to go wrong."""

    def answer(arrivals, service, limit):
        free, ok, times, shut = 0.0, [], [], False
        for t in arrivals:
            wait = free - t
            if floor:
                wait = wait if wait > 0 else 0.0
            fine = (wait + service if own else wait) <= limit or not end
            fine = fine and not (stuck and shut)
            shut = shut or not fine
            if fine or ghosts:
                free = t + wait + service
            if fine:
                times.append(wait + service)
            ok.append(fine)
        times = sorted(times)
        p99 = times[-(-99 * len(times) // 100) - 1] if what is None else what(times)
        return np.array(ok), p99

    return answer


# ---------------------------------------------------------------- deploy.3
def watchman(share=True, half=False, threshold=None, tail="cdf", size=None, ask=True, above=True):
    """A right answer with places to go wrong."""

    def answer(reference, calm, live, right, good, budget):
        p = np.asarray(reference, float) / np.sum(reference)

        def psi(counts):
            q = np.asarray(counts, float)
            q = q / q.sum() if share else q
            return float(np.sum((q if half else q - p) * (np.log(q) - np.log(p))))

        today, quiet = psi(live), [psi(day) for day in calm]
        limit = np.quantile(quiet, 1 - budget, method="higher")
        limit = limit if threshold is None else threshold(quiet, today, budget)
        count, n = int(np.sum(right)), len(right) if size is None else size(live)
        chance = {
            "cdf": binom.cdf(count, n, good),
            "pmf": binom.pmf(count, n, good),
            "less": binom.cdf(count - 1, n, good),
            "more": binom.sf(count, n, good),
        }[tail]
        inputs, labels = (today > limit) == above, bool(chance <= budget) and ask
        word = "both" if inputs and labels else "inputs" if inputs else "labels" if labels else "none"
        return today, float(limit), float(chance), word

    return answer


ANSWERS = {
    "deploy.1": Answers(
        right=[server(), lambda *a: tuple(x.tolist() for x in server()(*a))],
        wrong=[
            (server(full=True), "waits until the batch is full"),
            (server(come=False), "before its first request"),
            (server(busy=False), "still busy"),
            (server(one=True), "one at a time"),
            (server(limit=False), "larger than"),
            (server(cost="all"), "once a batch"),
            (server(cost="max"), "whatever its size"),
            (server(since="start"), "not from the start"),
            (server(wait_only=True), "the wait alone"),
        ],
    ),
    "deploy.2": Answers(
        right=[gate(), lambda *a: (gate()(*a)[0].tolist(), gate()(*a)[1])],
        wrong=[
            (gate(end=False), "has no end"),
            (gate(own=False), "own service"),
            (gate(ghosts=True), "refused request"),
            (gate(floor=False), "idle server"),
            (gate(what=lambda t: float(np.mean(t))), "mean"),
            (gate(what=lambda t: float(np.percentile(t, 99))), "position"),
        ],
    ),
    "deploy.3": Answers(
        right=[watchman(), lambda *a: list(watchman()(*a))],
        wrong=[
            (watchman(share=False), "shares"),
            (watchman(half=True), "Kullback"),
            (watchman(threshold=lambda q, t, b: 0.25), "rule of thumb"),
            (watchman(threshold=lambda q, t, b: np.quantile([*q, t], 1 - b, method="higher")), "live day"),
            (watchman(threshold=lambda q, t, b: max(q)), "whatever the budget"),
            (watchman(tail="pmf"), "at most so many"),
            (watchman(size=lambda live: int(np.sum(live))), "size of the labeled"),
            (watchman(ask=False), "labels are not asked"),
            (watchman(above=False), "above its threshold"),
        ],
    ),
}
