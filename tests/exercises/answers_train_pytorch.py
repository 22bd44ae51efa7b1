"""Known right and wrong answers to the exercises of lesson train_pytorch, as learners write them."""

import math

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- train_pytorch.1
def by_numpy(step, total, warmup, peak):
    rise = step / warmup if warmup else 1
    fall = (1 + np.cos(np.pi * (step - warmup) / (total - warmup))) / 2
    return np.where(step < warmup, peak * rise, peak * fall)


def by_half_angle(step, total, warmup, peak):
    if step >= warmup:
        return peak * math.cos(math.pi / 2 * (step - warmup) / (total - warmup)) ** 2
    return peak / warmup * step


def rate(rise=lambda s, w: s / w, start=None, length=None, shape=lambda x: 0.5 + 0.5 * math.cos(math.pi * x)):
    """The right answer with parts replaced."""

    def learning_rate(step, total, warmup, peak):
        if step < warmup:
            return peak * rise(step, warmup)
        first = warmup if start is None else start
        return peak * shape((step - first) / (length or (lambda t, w: t - w))(total, warmup))

    return learning_rate


# ---------------------------------------------------------------- train_pytorch.2
def by_concatenation(gradients, largest):
    norm = np.linalg.norm(np.concatenate([np.ravel(g) for g in gradients]))
    return [g * min(1, largest / norm) for g in gradients]


def by_loops(gradients, largest):
    total = 0
    for g in gradients:
        for value in g.flatten():
            total += value * value
    length = total**0.5
    if length <= largest:
        return list(gradients)
    return [g / length * largest for g in gradients]


def clipped(length, shorten=lambda g, c, n: g * min(1, c / n)):
    """The right answer with another length, or another way to shorten."""
    return lambda gradients, largest: [shorten(g, largest, length(gradients)) for g in gradients]


def common(gradients):
    return np.sqrt(sum((g**2).sum() for g in gradients))


# ---------------------------------------------------------------- train_pytorch.3
def plainly(loss, val_loss, classes):
    ignorant = np.log(classes)
    if not (np.all(np.isfinite(loss)) and np.all(np.isfinite(val_loss))):
        return "diverged"
    if loss[0] < ignorant - 0.5 or loss[0] > ignorant + 0.5:
        return "bad start"
    if loss[-1] > 0.95 * ignorant:
        return "learned nothing"
    if val_loss[-1] > 1.1 * np.min(val_loss):
        return "overfits"
    return "healthy"


def in_one_go(loss, val_loss, classes):
    rules = [
        ("diverged", any(math.isnan(x) or math.isinf(x) for x in loss + val_loss)),
        ("bad start", not -0.5 <= loss[0] - math.log(classes) <= 0.5),
        ("learned nothing", loss[-1] / math.log(classes) > 0.95),
        ("overfits", val_loss[-1] / sorted(val_loss)[0] > 1.1),
        ("healthy", True),
    ]
    return [name for name, fits in rules if fits][0]


def saying(finite=None, ignorant=math.log, low=True, start=True, nothing=True, over=lambda a, b: b[-1] > 1.1 * min(b)):
    """The right answer with parts replaced or left out."""

    def diagnose(loss, val_loss, classes):
        ok = (finite or (lambda a, b: np.isfinite(a + b).all()))(loss, val_loss)
        off = loss[0] - ignorant(classes)
        if not ok:
            return "diverged"
        if start and (off > 0.5 or (low and off < -0.5)):
            return "bad start"
        if nothing and loss[-1] > 0.95 * ignorant(classes):
            return "learned nothing"
        return "overfits" if over(loss, val_loss) else "healthy"

    return diagnose


def backwards(loss, val_loss, classes):
    if val_loss[-1] > 1.1 * min(val_loss):
        return "overfits"
    return plainly(loss, val_loss, classes)


def start_first(loss, val_loss, classes):
    if abs(loss[0] - math.log(classes)) > 0.5:
        return "bad start"
    return plainly(loss, val_loss, classes)


def by_first_loss(loss, val_loss, classes):
    answer = plainly(loss, val_loss, classes)
    if answer in ("diverged", "bad start"):
        return answer
    if loss[-1] > 0.95 * loss[0]:
        return "learned nothing"
    return "overfits" if val_loss[-1] > 1.1 * min(val_loss) else "healthy"


ANSWERS = {
    "train_pytorch.1": Answers(
        right=[by_numpy, by_half_angle],
        wrong=[
            (rate(rise=lambda s, w: (s + 1) / w), "count steps from 1"),
            (rate(rise=lambda s, w: 1), "no warm-up"),
            (rate(start=0, length=lambda t, w: t), "rate jumps where the warm-up ends"),
            (rate(length=lambda t, w: t), "does not reach 0"),
            (rate(rise=lambda s, w: (1 - math.cos(math.pi * s / w)) / 2), "warm-up is curved"),
            (rate(length=lambda t, w: t - 1 - w), "last step has rate 0"),
            (rate(shape=lambda x: 1), "stays at the peak"),
            (rate(shape=lambda x: 1 + math.cos(math.pi * x)), "Twice too high"),
            (lambda s, t, w, p: by_half_angle(s, t, w, p if s < w else 1), "lacks the peak"),
            (rate(shape=lambda x: 1 - x), "falls in a straight line"),
            (rate(shape=lambda x: math.cos(math.pi * x)), "goes below 0"),
            (rate(shape=lambda x: math.cos(math.pi * x / 2)), "quarter of a cosine"),
            (rate(shape=lambda x: (1 + math.cos(x)) / 2), "lacks its π"),
            (lambda step, total, warmup, peak: by_half_angle(step, total, warmup, 1), "Multiply it by the peak"),
        ],
    ),
    "train_pytorch.2": Answers(
        right=[by_concatenation, by_loops],
        wrong=[
            (lambda gs, c: [np.clip(g, -c, c) for g in gs], "cut each number for itself"),
            (lambda gs, c: [g * min(1, c / max(np.linalg.norm(g), 1e-9)) for g in gs], "by its own length"),
            (clipped(common, lambda g, c, n: g * c / n), "short ones too"),
            (clipped(lambda gs: sum(np.linalg.norm(g) for g in gs)), "added up the lengths"),
            (clipped(lambda gs: common(gs) ** 2), "root is missing"),
            (clipped(lambda gs: np.linalg.norm(gs[0])), "2.236 times"),
            (clipped(lambda gs: np.linalg.norm(gs[-1])), "length of one array"),
            (clipped(lambda gs: max(np.abs(g).max() for g in gs)), "largest single number"),
            (clipped(common, lambda g, c, n: g / max(n, c)), "lacks the limit"),
            (clipped(common, lambda g, c, n: g * (n <= c)), "throw long gradients away"),
        ],
    ),
    "train_pytorch.3": Answers(
        right=[plainly, in_one_go],
        wrong=[
            (saying(finite=lambda a, b: True), "never say that a run diverged"),
            (saying(finite=lambda a, b: not math.isnan(a[-1])), "A NaN or inf escapes you"),
            (saying(ignorant=math.log2), "base 2"),
            (saying(ignorant=lambda c: math.log(3)), "compare with ln 3 always"),
            (saying(low=False), "far *below* ln C"),
            (saying(start=False), "first loss is more than 0.5 from ln C"),
            (saying(over=lambda a, b: b[-1] > 1.1 * a[-1]), "compare validation with training"),
            (saying(over=lambda a, b: b[-1] > 1.1 * b[0]), "first validation loss"),
            (saying(over=lambda a, b: False), "never say that a run overfits"),
            (saying(nothing=False), "never say that a run learned nothing"),
            (saying(ignorant=math.log10), "natural logarithm"),
            (saying(over=lambda a, b: b[-1] > 1.1 * b[-2]), "with the epoch before"),
            (saying(over=lambda a, b: max(b) > 1.1 * min(b)), "highest validation loss"),
            (saying(finite=lambda a, b: np.isfinite(b).all()), "inf, 0.8, 0.7], [1.0, 0.9, 0.85"),
            (by_first_loss, "the last training loss with the first"),
            (start_first, "start_first([7.5"),
            (backwards, "backwards([9.0"),
        ],
    ),
}
