"""Known right and wrong answers to the exercises of lesson compress, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- compress.1
def rows_with(
    low=lambda r: min(0.0, r.min()),
    high=lambda r: max(0.0, r.max()),
    steps=lambda b: 2**b - 1,
    first=lambda b: -(2 ** (b - 1)),
    cut=np.rint,
    whole=np.rint,
    sign=-1,
    safe=True,
    shift=True,
):
    """A right answer with places to go wrong."""

    def answer(w, bits):
        codes, scales, points = [], [], []
        for row in w:
            a, b = low(row), high(row)
            s = (b - a) / steps(bits)
            if safe and s <= 0:
                s = 1.0
            with np.errstate(all="ignore"):
                z = whole(first(bits) + sign * a / s)
                codes.append(cut(row / s) + (z if shift else 0))
            scales.append(s)
            points.append(z)
        return np.array(codes), np.array(scales), np.array(points)

    return answer


def one_scale(w, bits):
    codes, s, z = rows_with()(w.reshape(1, -1), bits)
    return codes.reshape(w.shape), np.full(len(w), s[0]), np.full(len(w), z[0])


def by_columns(w, bits):
    codes, s, z = rows_with()(w.T, bits)
    return codes.T, s, z


def no_zero_point(w, bits):
    s = np.abs(w).max(1) / (2 ** (bits - 1) - 1)
    s[s == 0] = 1
    return np.rint(w / s[:, None]), s, np.zeros(len(w))


# ---------------------------------------------------------------- compress.2
def logs(z):
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def loss_with(
    power=2, hot=(True, True, False), over=lambda k: k.sum(axis=1), many=np.mean, flip=False, share=None, entropy=True
):
    """A right answer with places to go wrong."""

    def answer(student, teacher, labels, temperature, alpha):
        t, s, h = (temperature if warm else 1.0 for warm in hot)
        a, b = logs(teacher / t), logs(student / s)
        if flip:
            a, b = b, a
        kl = many(over(np.exp(a) * ((a if entropy else 0) - b)))
        rows = logs(student / h)
        ce = -np.mean([row[y] for row, y in zip(rows, labels, strict=True)])
        weight = alpha if share is None else share(alpha)
        return ce * (1 - weight) + weight * temperature**power * kl

    return answer


# ---------------------------------------------------------------- compress.3
def ship_with(
    bound=lambda d, n: d.mean(1) - 1.645 * d.std(1, ddof=1) / np.sqrt(n),
    slow=lambda m, b: np.percentile(m + b, 99, axis=1),
    pick=lambda ok, size, p99: min(ok, key=lambda k: size[k]),
    nothing=-1,
    size_counts=True,
    time_counts=True,
    loss_counts=True,
):
    """A right answer with places to go wrong."""

    def answer(labels, answers, kilobytes, model_ms, before_ms, limits):
        d = (answers == labels) * 1.0 - (answers[0] == labels)
        lower, p99 = bound(d, len(labels)), slow(model_ms, before_ms)
        ok = [
            k
            for k in range(len(answers))
            if (kilobytes[k] <= limits[0] or not size_counts)
            and (p99[k] <= limits[1] or not time_counts)
            and (lower[k] >= -limits[2] or not loss_counts)
        ]
        return (int(pick(ok, kilobytes, p99)) if ok else nothing), lower, p99

    return answer


def unpaired(labels, answers, kilobytes, model_ms, before_ms, limits):
    rung, _, p99 = ship_with()(labels, answers, kilobytes, model_ms, before_ms, limits)
    p = (answers == labels).mean(1)
    se = np.sqrt((p * (1 - p) + p[0] * (1 - p[0])) / len(labels))
    return rung, p - p[0] - 1.645 * se, p99


ANSWERS = {
    "compress.1": Answers(
        right=[rows_with(), lambda w, bits: [part.tolist() for part in rows_with()(w, bits)]],
        wrong=[
            (one_scale, "each row has its own"),
            (by_columns, "rows, not columns"),
            (no_zero_point, "symmetric"),
            (rows_with(low=lambda r: r.min()), "stretched"),
            (rows_with(steps=lambda b: 2**b), "number of steps"),
            (rows_with(first=lambda b: 1 - 2 ** (b - 1)), "begin one later"),
            (rows_with(cut=np.trunc), "nearest"),
            (rows_with(whole=lambda z: z), "whole number"),
            (rows_with(sign=1), "wrong sign"),
            (rows_with(safe=False), "A row of zeros has scale 1"),
            (rows_with(shift=False), "not added"),
        ],
    ),
    "compress.2": Answers(
        right=[loss_with(), lambda *a: np.float64(loss_with()(*a))],
        wrong=[
            (loss_with(power=0), "T² is missing"),
            (loss_with(power=1), "not T"),
            (loss_with(flip=True), "other way round"),
            (loss_with(over=lambda k: k.mean(axis=1)), "divides by the classes"),
            (loss_with(many=np.sum), "sum over the messages"),
            (loss_with(hot=(False, True, False)), "Both"),
            (loss_with(hot=(True, True, True)), "without temperature"),
            (loss_with(share=lambda a: 1 - a), "exchanged"),
            (loss_with(entropy=False), "own entropy"),
        ],
    ),
    "compress.3": Answers(
        right=[ship_with(), lambda *a: list(ship_with()(*a))],
        wrong=[
            (ship_with(bound=lambda d, n: d.mean(1)), "point estimates"),
            (unpaired, "message by message"),
            (ship_with(bound=lambda d, n: d.mean(1) - 1.96 * d.std(1, ddof=1) / n**0.5), "not 1.96"),
            (ship_with(bound=lambda d, n: d.mean(1) + 1.645 * d.std(1, ddof=1) / n**0.5), "subtract the error"),
            (ship_with(bound=lambda d, n: d.mean(1) - 1.645 * d.std(1, ddof=1)), "divides by √n"),
            (ship_with(slow=lambda m, b: (m + b).mean(1)), "mean time"),
            (ship_with(slow=lambda m, b: np.median(m + b, axis=1)), "median, or the worst"),
            (ship_with(slow=lambda m, b: np.percentile(m, 99, axis=1)), "add its time"),
            (
                ship_with(slow=lambda m, b: np.percentile(m, 99, axis=1) + np.percentile(b, 99, axis=1)),
                "do not add up",
            ),
            (ship_with(pick=lambda ok, size, p99: ok[0]), "smallest file"),
            (ship_with(nothing=0), "−1"),
            (ship_with(size_counts=False), "too large"),
            (ship_with(time_counts=False), "too slow"),
            (ship_with(loss_counts=False), "worse than the margin"),
        ],
    ),
}
