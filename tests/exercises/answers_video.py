"""Known right and wrong answers to the exercises of lesson video, as learners write them."""

import math

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- video.1
def spread(step=lambda n, k: (n - 1) / (k - 1), near=lambda x: math.floor(x + 0.5), one=lambda n: (n - 1) // 2, more=0):
    """A right answer with places to go wrong."""

    def answer(num_frames, k):
        if k == 1:
            return [one(num_frames)]
        width = step(num_frames, k)
        return [near(i * width) for i in range(k + more)]

    return answer


def last_again(num_frames, k):
    return spread()(num_frames, k) if k <= num_frames else [min(i, num_frames - 1) for i in range(k)]


# ---------------------------------------------------------------- video.2
def best_offset(
    first=lambda m: -m,
    last=lambda m: m,
    center=True,
    scale=True,
    sign=1,
    size=lambda r: r,
    flat=0.0,
    wrap=False,
    give=lambda d, r, m: (d, r),
):
    """A right answer with places to go wrong."""

    def answer(seen, heard, most):
        t, best = len(seen), None
        for d in range(first(most), last(most) + 1):
            pairs = [(i, i + sign * d) for i in range(t) if wrap or 0 <= i + sign * d < t]
            a = np.array([seen[i] for i, _ in pairs])
            b = np.array([heard[j % t] for _, j in pairs])
            if center:
                a, b = a - a.mean(), b - b.mean()
            norm = np.linalg.norm(a) * np.linalg.norm(b)
            r = flat if norm < 1e-12 and scale else size(a @ b) / (norm if scale else 1.0)
            if best is None or r > best[1] or r != r:
                best = (d, r)
            if r != r:
                break
        return give(*best, most)

    return answer


# ---------------------------------------------------------------- video.3
def cover(gain=None, banned=True, start=(), finish=sorted, latest=False, stop=False):
    """A right answer with places to go wrong."""

    def answer(similarity, k):
        t, chosen = len(similarity), list(start)
        while len(chosen) < k:
            best = max((max((similarity[i][j] for j in chosen), default=0.0) for i in range(t)), default=0.0)
            before = [max((similarity[i][j] for j in chosen), default=0.0) for i in range(t)]
            gains = []
            for j in range(t):
                if gain is not None:
                    value = gain(similarity, j, before)
                else:
                    value = sum(max(similarity[i][j] - before[i], 0.0) for i in range(t))
                gains.append(-1e9 if banned and j in chosen else round(value, 9))
            best = max(gains)
            if stop and best <= 0:
                break
            places = [j for j in range(t) if gains[j] == best]
            chosen.append(places[-1 if latest else 0])
        return finish(chosen)

    return answer


ANSWERS = {
    "video.1": Answers(
        right=[spread(), lambda num_frames, k: [int(x) for x in spread()(num_frames, k)]],
        wrong=[
            (lambda n, k: [i * n // k for i in range(k)], "never taken"),
            (spread(step=lambda n, k: (n - 2) / (k - 1)), "last frame is missing"),
            (spread(near=int), "cut off"),
            (spread(near=round), "equally near"),
            (last_again, "bunch"),
            (spread(more=1), "as many as asked"),
            (spread(one=lambda n: 0), "only one is wanted"),
        ],
    ),
    "video.2": Answers(
        right=[best_offset(), lambda seen, heard, most: best_offset()(list(seen), list(heard), int(most))],
        wrong=[
            (best_offset(sign=-1), "sign"),
            (best_offset(wrap=True), "wrap"),
            (best_offset(center=False), "from both parts first"),
            (best_offset(scale=False), "two sizes"),
            (best_offset(size=abs), "negative correlation"),
            (best_offset(flat=float("nan")), "does not vary"),
            (best_offset(last=lambda m: m - 1), "both included"),
            (best_offset(give=lambda d, r, m: (d + m, r)), "index"),
        ],
    ),
    "video.3": Answers(
        right=[cover(), lambda similarity, k: cover()(np.asarray(similarity).tolist(), k)],
        wrong=[
            (cover(banned=False), "twice"),
            (cover(finish=list), "order of time"),
            (cover(stop=True), "too few"),
            (cover(latest=True), "the earliest"),
            (cover(start=(0,)), "begin with none"),
            (cover(gain=lambda s, j, before: sum(s[i][j] for i in range(len(s)))), "alone"),
        ],
    ),
}
