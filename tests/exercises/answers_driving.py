"""Known right and wrong answers to the exercises of lesson driving, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- driving.1
def projecting(
    move=lambda x, r, t: (r @ x.T).T + t,
    flat=lambda x, r: np.einsum("ij,pj->pi", r, x),
    lens=lambda x, k: np.einsum("ij,pj->pi", k, x),
    divide=True,
    front=True,
    borders=True,
    order=(0, 1),
):
    """A right answer with places to go wrong."""

    def answer(points, turn, shift, rectify, intrinsics, width, height):
        x = lens(flat(move(points, turn, shift), rectify), intrinsics)
        u, v, z = x.T
        if divide:
            u, v = u / z, v / z
        keep = np.ones(len(x), dtype=bool)
        if front:
            keep &= z > 0
        if borders:
            keep &= (0 <= u) & (u < width) & (0 <= v) & (v < height)
        return np.column_stack([u, v])[keep][:, order]

    return answer


# ---------------------------------------------------------------- driving.2
def fusing(missing=0.0, use_mask=True, priors=1, mean=False, squash=True, floor=1e-6):
    """A right answer with places to go wrong."""

    def answer(likely, unlikely, there, prior):
        out = []
        for a, b, seen in zip(likely, unlikely, there, strict=True):
            evidence = []
            for p, q, real in zip(a, b, seen, strict=True):
                if real or not use_mask:
                    evidence.append(np.log(max(p, floor)) - np.log(max(q, floor)))
                else:
                    evidence.append(missing)
            real = max(int(seen.sum()), 1) if use_mask else len(seen)
            score = sum(evidence) / real if mean else sum(evidence)
            score += (len(a) if priors == "each" else priors) * (np.log(prior) - np.log1p(-prior))
            out.append(np.exp(-np.logaddexp(0, -score)) if squash else score)
        return np.array(out)

    return answer


def averaged(likely, unlikely, there, prior):
    p = likely / (likely + unlikely)
    return (np.where(there, p, 0).sum(axis=1) + prior) / (there.sum(axis=1) + 1)


# ---------------------------------------------------------------- driving.3
def watching(keep=True, width=None, hours=True, source="calm", step=0, first=True, swap=False, mean=False, at=False):
    """A right answer with places to go wrong."""

    def answer(calm, broken, every, window, frames_per_hour, most_per_hour):
        def sums(scores):
            kept = np.asarray(scores)[:: every if keep else 1]
            n = window if width is None else width
            total = np.cumsum(np.concatenate([[0.0], kept]))
            found = total[n:] - total[:-n]
            return found / n if mean else found

        allowed = int(most_per_hour * (len(calm) / frames_per_hour if hours else 1))
        ordered = np.sort(sums(calm if source == "calm" else broken))[::-1]
        threshold = ordered[max(allowed + step, 0)]
        late = np.flatnonzero(sums(broken) > threshold + (-1e-9 if at else 1e-9))
        delay = (window if first else 0) + int(late[0]) if len(late) else -1
        return (delay, threshold) if swap else (threshold, delay)

    return answer


ANSWERS = {
    "driving.1": Answers(
        right=[projecting(), lambda *a: [tuple(row) for row in projecting()(*a)] or np.zeros((0, 2))],
        wrong=[
            (projecting(move=lambda x, r, t: (x + t) @ r.T), "shifted before it was turned"),
            (projecting(move=lambda x, r, t: x @ r + t), "wrong way round"),
            (projecting(flat=lambda x, r: x), "R0_rect is left out"),
            (projecting(lens=lambda x, k: x), "K is missing"),
            (projecting(divide=False), "not divided by depth"),
            (projecting(front=False), "behind the camera"),
            (projecting(borders=False), "outside the picture"),
            (projecting(order=(1, 0)), "v comes first"),
        ],
    ),
    "driving.2": Answers(
        right=[fusing(), lambda *a: list(fusing()(*a))],
        wrong=[
            (fusing(use_mask=False), "old numbers"),
            (fusing(missing=np.log(0.5)), "must add 0"),
            (fusing(priors="each"), "once for each sensor"),
            (fusing(priors=0), "without the prior"),
            (fusing(mean=True), "Evidence is averaged"),
            (averaged, "Probabilities are averaged"),
            (fusing(squash=False), "still log-odds"),
            (fusing(floor=1e-300), "infinitely sure"),
        ],
    ),
    "driving.3": Answers(
        right=[watching(), lambda *a: list(watching()(*a))],
        wrong=[
            (watching(keep=False), "repeat each other"),
            (watching(width=1), "one frame alone"),
            (watching(mean=True), "mean over the window"),
            (watching(hours=False), "for an hour"),
            (watching(source="broken"), "broken drive"),
            (watching(step=-1), "too far up"),
            (watching(step=1), "too far down"),
            (watching(first=False), "first window"),
            (watching(at=True), "sum at the threshold"),
            (watching(swap=True), "other way round"),
        ],
    ),
}
