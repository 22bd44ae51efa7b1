"""Quantization per channel, the distillation loss, and a choice of what to ship; the lesson's blanks; the challenge."""

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
from mmcourse.numpy.losses import log_softmax

lesson(
    "compress",
    promise="Quantization per channel and the distillation loss by hand, *ship or not?*, a straight-through layer and a "
    "distillation step in PyTorch, and a challenge: a matrix in 3 bits.",
    uses="NumPy; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
from mmcourse.numpy.losses import log_softmax
""",
)


# ---------------------------------------------------------------- 1
def quantize_rows(w, bits):
    """Affine quantization of each row: w (n, d) → codes (n, d), scales (n,), zero points (n,)."""
    first = -(2 ** (bits - 1))
    last = 2 ** (bits - 1) - 1
    low = np.minimum(w.min(axis=1), 0)
    high = np.maximum(w.max(axis=1), 0)
    step = (high - low) / (last - first)
    scale = np.where(step > 0, step, 1.0)
    zero_point = np.round(first - low / scale)
    rounded = np.round(w / scale[:, None])
    codes = rounded + zero_point[:, None]
    return codes, scale, zero_point


def draw_rows(g, n, d, bits, kind):
    """Rows of very different sizes; `kind` says which side of 0 they lie on."""
    w = g.normal(size=(n, d)) * g.uniform(0.05, 5, size=(n, 1))
    if kind == "one side":
        w = np.abs(w) + 0.3
        w[1::2] *= -1
    if kind == "zeros":
        w[-1] = 0
    return w, bits


def for_all_rows(w, bits):
    """The answer with one mistake."""
    codes, scale, zero_point = quantize_rows(w.reshape(1, -1), bits)
    return codes.reshape(w.shape), np.repeat(scale, len(w)), np.repeat(zero_point, len(w))


def for_columns(w, bits):
    """The answer with one mistake."""
    codes, scale, zero_point = quantize_rows(w.T, bits)
    return codes.T, scale, zero_point


def from_magnitude(w, bits):
    """The answer with one mistake."""
    last = 2 ** (bits - 1) - 1
    step = np.abs(w).max(axis=1) / last
    scale = np.where(step > 0, step, 1.0)
    return np.round(w / scale[:, None]), scale, np.zeros(len(w))


rows = exercise(
    "compress.1",
    quantize_rows,
    title="A scale for each row",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context("`w` (n, d) are the weights of n outputs. Codes of `bits` bits go from $-2^{b-1}$ to $2^{b-1}-1$."),
        says("**Write** `quantize_rows(w, bits)`: affine quantization", mistake="This is symmetric"),
        says("with a scale and a zero point for each row.", mistake="each row has its own"),
        says("The range of a row goes from its minimum to its maximum,", mistake="maximum alone"),
        says("stretched so that 0 is in it.", mistake="stretched"),
        says(
            "The scale is the range divided by the number of steps from the lowest code to the highest.",
            mistake="number of steps",
        ),
        says("A row of zeros has scale 1.", mistake="divide by 0"),
        says("The zero point is a whole number: the code that stands for 0.", mistake="whole number"),
        says("Codes are rounded to the nearest, not cut off.", mistake="nearest"),
        says("Return (codes, scales, zero points): (n, d), (n,), (n,).", mistake="rows, not columns"),
        example("""
w = np.array([[-0.5, 0.0, 2.05]])
print("8 bits: scale", 2.55 / 255, "zero point", round(-128 + 0.5 / 0.01), "codes", [-128, -78, 127])
"""),
    ],
    hints=[
        "`low = np.minimum(w.min(axis=1), 0)` and `high = np.maximum(w.max(axis=1), 0)`.",
        "`scale[:, None]` is (n, 1), so `w / scale[:, None]` divides each row by its own scale.",
    ],
    draw=draw_rows,
    parts=[
        part("rows of different size", weight=2, n=between(3, 5), d=between(4, 7), bits=8, kind="both sides"),
        part("few bits", weight=2, n=4, d=6, bits=between(2, 4), kind="both sides"),
        part("rows on one side of 0", weight=2, n=4, d=5, bits=between(3, 8), kind="one side"),
        part("a row of zeros", n=3, d=between(3, 6), bits=8, kind="zeros"),
        part("one row", n=1, d=4, bits=between(4, 8), kind="both sides"),
        part("as many rows as columns", n=4, d=4, bits=6, kind="both sides"),
    ],
    own={"n": 2, "d": 3, "bits": 4, "kind": "both sides"},
    own_says="Weights of your own",
    names=("the codes", "the scales", "the zero points"),
    mistakes={
        "This is symmetric quantization: affine codes use the whole range from minimum to maximum.": from_magnitude,
        "This is one scale for the whole array: each row has its own.": for_all_rows,
        "Outputs are rows, not columns.": for_columns,
        "The range ends at the maximum alone: it begins at the minimum.": "step = high / (last - first)",
        "0 must be in the range: it is stretched to 0 where all values lie on one side.": [
            "low = w.min(axis=1)",
            "high = w.max(axis=1)",
        ],
        "Between 2^b codes there are 2^b − 1 steps: divide by the number of steps.": (
            "step = (high - low) / (last - first + 1)"
        ),
        "The lowest code is −2^(b−1): your codes begin one later.": [
            "first = -(2 ** (bits - 1)) + 1",
            "zero_point = np.round(first + 1 - low / scale)",
        ],
        "You divide by 0 in a row of zeros: its scale is 1.": "scale = step",
        "The zero point is a code, so it is a whole number.": "zero_point = first - low / scale",
        "The zero point has the wrong sign: 0 lies above the minimum.": "zero_point = np.round(first + low / scale)",
        "Round to the nearest code, do not cut off.": [
            "rounded = np.trunc(w / scale[:, None])",
            "rounded = np.floor(w / scale[:, None])",
        ],
        "The zero points are not added to the codes.": "codes = rounded",
    },
    praise="ONNX Runtime's unsigned codes are the same, moved by 128.",
)


@right(rows)
def by_loop(w, bits):
    codes, scales, points = [], [], []
    for row in w.tolist():
        low, high = min(0.0, *row), max(0.0, *row)
        s = (high - low) / (2**bits - 1) or 1.0
        z = round(-(2 ** (bits - 1)) - low / s)
        codes.append([round(v / s) + z for v in row])
        scales.append(s)
        points.append(z)
    return np.array(codes), np.array(scales), np.array(points)


# ---------------------------------------------------------------- 2
def kd_loss(student, teacher, labels, temperature, alpha):
    """Mean distillation loss of logits (b, C)."""
    logs = log_softmax(student)
    hard = -logs[np.arange(len(labels)), labels].mean()
    log_p = log_softmax(teacher / temperature)
    log_q = log_softmax(student / temperature)
    each = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    soft = each.mean()
    return (1 - alpha) * hard + alpha * temperature**2 * soft


def draw_logits(g, b, classes, temperature, alpha):
    """Logits of student and teacher, labels of different classes."""
    student, teacher = g.normal(size=(b, classes)) * 2, g.normal(size=(b, classes)) * 3
    labels = np.arange(b) % classes if b > 1 else np.array([classes - 1])
    return student.round(2), teacher.round(2), labels, temperature, alpha


def swapped(student, teacher, labels, temperature, alpha):
    """The answer with one mistake."""
    hard = kd_loss(student, teacher, labels, 1.0, 0.0)
    other = kd_loss(teacher, student, labels, temperature, 1.0)
    return (1 - alpha) * hard + alpha * other


loss = exercise(
    "compress.2",
    kd_loss,
    title="The distillation loss",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "`student` and `teacher` are logits (b, C), `labels` (b,) class numbers. `log_softmax` (over the last axis) is "
            "given."
        ),
        context("**Write** `kd_loss(student, teacher, labels, temperature, alpha)`, one number:"),
        says("(1 − α) times the cross-entropy with the labels", mistake="The labels' part"),
        says("of the student's logits *as they are*, without temperature,", mistake="without temperature"),
        says("plus α times the KL divergence of teacher and student,", mistake="parts of α"),
        says(
            "$\\sum_c p_c (\\log p_c - \\log q_c)$ with p the teacher's and q the student's,", mistake="other way round"
        ),
        says("both with their logits divided by the temperature,", mistake="Both"),
        says("multiplied by T².", mistake="T² is missing"),
        says("Sum over the classes, then take the mean over the messages.", mistake="Sum over the classes"),
        example("""
print("teacher at T = 1:", np.exp(log_softmax(np.array([3.0, 1.0, 0.0]))).round(3))
print("teacher at T = 4:", np.exp(log_softmax(np.array([3.0, 1.0, 0.0]) / 4)).round(3))
"""),
    ],
    hints=[
        "`log_p = log_softmax(teacher / temperature)`, `p = np.exp(log_p)`.",
        "The cross-entropy is `-log_softmax(student)[np.arange(len(labels)), labels].mean()`.",
    ],
    draw=draw_logits,
    parts=[
        part("several messages", weight=2, b=between(3, 6), classes=3, temperature=2.0, alpha=0.7),
        part("a high temperature", weight=2, b=4, classes=between(2, 5), temperature=5.0, alpha=0.5),
        part("temperature 1", b=3, classes=4, temperature=1.0, alpha=0.3),
        part("the teacher alone", b=between(2, 4), classes=3, temperature=3.0, alpha=1.0),
        part("the labels alone", b=3, classes=3, temperature=4.0, alpha=0.0),
        part("one message", b=1, classes=between(3, 4), temperature=2.0, alpha=0.9),
    ],
    own={"b": 2, "classes": 3, "temperature": 2.0, "alpha": 0.5},
    own_says="Logits of your own",
    mistakes={
        "T² is missing: a high temperature would make the teacher's part vanish.": edit(" * temperature**2", ""),
        "The factor is T², not T.": edit("temperature**2", "temperature"),
        "The KL divergence is the other way round: the teacher's probabilities weigh the difference.": swapped,
        "Sum over the classes, then take the mean over messages: this mean divides by the classes as well.": (
            "each = (np.exp(log_p) * (log_p - log_q)).mean(axis=1)"
        ),
        "This is a sum over the messages: take their mean.": "soft = each.sum()",
        "Both are divided by the temperature, the teacher's logits and the student's.": [
            "log_p = log_softmax(teacher)",
            "log_q = log_softmax(student)",
        ],
        "The cross-entropy is taken of the student's logits without temperature.": (
            "logs = log_softmax(student / temperature)"
        ),
        "The parts of α and 1 − α are exchanged: these are the parts of α.": edit(
            "(1 - alpha) * hard + alpha * temperature**2 * soft", "alpha * hard + (1 - alpha) * temperature**2 * soft"
        ),
        "The labels' part is missing, or does not use the labels.": [
            "hard = 0.0",
            "hard = -logs.max(axis=1).mean()",
        ],
        "This is a cross-entropy with the teacher: subtract the teacher's own entropy (log p).": (
            "each = -(np.exp(log_p) * log_q).sum(axis=1)"
        ),
        "The softmax is taken twice.": "log_p = log_softmax(np.exp(log_softmax(teacher / temperature)))",
    },
    praise="`F.kl_div(log_q, p, reduction='batchmean')` is the same: mind the order, and the reduction.",
)


@right(loss)
def with_probabilities(student, teacher, labels, temperature, alpha):
    def softmax(z):
        e = np.exp(z - z.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    p, q = softmax(teacher / temperature), softmax(student / temperature)
    kl = (p * np.log(p / q)).sum(1)
    cross = -np.log(softmax(student)[range(len(labels)), labels])
    return float(np.mean((1 - alpha) * cross + alpha * temperature * temperature * kl))


# ---------------------------------------------------------------- 3
def choose_rung(labels, answers, kilobytes, model_ms, before_ms, limits):
    """The smallest rung within all limits, or −1; the bounds (k,) and 99th percentiles (k,)."""
    max_kilobytes, max_p99, margin = limits
    is_right = (answers == labels).astype(float)
    change = is_right - is_right[0]
    error = change.std(axis=1, ddof=1) / np.sqrt(len(labels))
    bounds = change.mean(axis=1) - 1.645 * error
    total_ms = model_ms + before_ms
    p99 = np.quantile(total_ms, 0.99, axis=1)
    fits = (kilobytes <= max_kilobytes) & (p99 <= max_p99) & (bounds >= -margin)
    candidates = np.flatnonzero(fits)
    smallest = candidates[kilobytes[candidates].argmin()] if len(candidates) else -1
    rung = int(smallest)
    return rung, bounds, p99


def draw_rungs(g, n, rungs, calls, kind):
    """Rungs that get smaller and worse; limits that some or none of them keep."""
    labels = g.integers(0, 3, n)
    first = np.where(g.random(n) < 0.92, labels, (labels + 1) % 3)
    answers = [first]
    for k in range(1, rungs):
        change = g.random(n) < 0.012 * k
        answers.append(np.where(change, (first + g.integers(1, 3, n)) % 3, first))
    kilobytes = np.sort(g.uniform(30, 400, rungs))[::-1].round(0)
    order = g.permutation(np.arange(1, rungs))
    kilobytes[1:] = kilobytes[order]
    model_ms = g.gamma(2.0, 0.4, (rungs, calls)) + 0.3 * g.random((rungs, 1))
    before_ms = g.gamma(2.0, 0.5, (rungs, calls))
    p99 = np.quantile(model_ms + before_ms, 0.99, axis=1)
    limits = (float(kilobytes.max()), float(np.sort(p99)[-1] + 0.01), 0.02)
    if kind == "tight":
        limits = (float(np.sort(kilobytes)[-2]), float(np.sort(p99)[-2] + 0.001), 0.035)
    if kind == "none":
        limits = (float(kilobytes.min() - 1), float(p99.max() + 0.01), 0.5)
    return labels, np.array(answers), kilobytes, model_ms, before_ms, limits


def not_paired(labels, answers, kilobytes, model_ms, before_ms, limits):
    """The answer with one mistake."""
    rung, _, p99 = choose_rung(labels, answers, kilobytes, model_ms, before_ms, limits)
    share = (answers == labels).mean(axis=1)
    variance = share * (1 - share) / len(labels)
    return rung, share - share[0] - 1.645 * np.sqrt(variance + variance[0]), p99


ship = exercise(
    "compress.3",
    choose_rung,
    title="Ship or not?",
    points=4,
    difficulty=3,
    minutes=35,
    statement=[
        context(
            "`labels` (n,) and `answers` (k, n): what k rungs answer on the same n messages; rung 0 is the model as trained. "
            "`kilobytes` (k,); `model_ms` and `before_ms` (k, calls): milliseconds of the model and of the pre-processing "
            "before it, call by call."
        ),
        context(
            "**Write** `choose_rung(labels, answers, kilobytes, model_ms, before_ms, limits)` with "
            "`limits = (max_kilobytes, max_p99, margin)`."
        ),
        says("A rung may be shipped if its file is not larger than `max_kilobytes`,", mistake="too large"),
        says("if the 99th percentile of its time is at most `max_p99`,", mistake="This is a mean time"),
        says("where the time of a call is pre-processing and model *together*,", mistake="pre-processing"),
        says(
            "and if its accuracy is not worse than rung 0's by more than `margin`, with 95 % certainty:",
            mistake="point",
        ),
        says(
            "with d = right − right of rung 0, message by message, the bound mean(d) − 1.645 · std(d) / √n is at least "
            "−margin (`ddof=1`).",
            mistake="message by message",
        ),
        says("Of the rungs that may be shipped, take the smallest file,", mistake="smallest file"),
        says("or −1 if there is none.", mistake="−1"),
        says(
            "Return (rung, bounds (k,), 99th percentiles (k,)).",
            ignored="return rung, bounds[1:], p99",
        ),
        example("""
d = np.array([0, 0, 0, 0, 1, 0, -1, 0, -1, 0])
print("mean", d.mean(), "bound", (d.mean() - 1.645 * d.std(ddof=1) / np.sqrt(10)).round(3))
"""),
    ],
    hints=[
        "`is_right = (answers == labels).astype(float)`; `change = is_right - is_right[0]` is (k, n).",
        "`np.quantile(model_ms + before_ms, 0.99, axis=1)`; `np.flatnonzero(fits)` lists the rungs that may be shipped.",
    ],
    draw=draw_rungs,
    parts=[
        part("several rungs", weight=2, n=between(400, 600), rungs=4, calls=200, kind="wide"),
        part("tight limits", weight=3, n=500, rungs=between(4, 6), calls=150, kind="tight"),
        part("no rung fits", n=300, rungs=3, calls=between(80, 120), kind="none"),
        part("two rungs", n=between(200, 300), rungs=2, calls=100, kind="wide"),
    ],
    own={"n": 6, "rungs": 2, "calls": 4, "kind": "wide"},
    constant={"limits": "three limits, always"},
    own_says="A ladder of your own",
    names=("the rung", "the bounds", "the 99th percentiles"),
    mistakes={
        "This compares point estimates: subtract 1.645 standard errors.": "bounds = change.mean(axis=1)",
        "Both rungs answer the same messages: take the difference message by message.": not_paired,
        "The certainty is one-sided, 95 %: 1.645, not 1.96.": edit("1.645", "1.96"),
        "The bound lies below the mean: subtract the error.": edit("- 1.645", "+ 1.645"),
        "The standard error divides by √n.": "error = change.std(axis=1, ddof=1)",
        "This is a mean time: the 99th percentile is wanted.": "p99 = total_ms.mean(axis=1)",
        "This is the median, or the worst call: the 99th percentile is wanted.": [
            "p99 = np.median(total_ms, axis=1)",
            "p99 = total_ms.max(axis=1)",
        ],
        "The pre-processing is part of every call: add its time.": "total_ms = model_ms",
        "Add the times call by call, then take the percentile: two percentiles do not add up.": (
            "p99 = np.quantile(model_ms, 0.99, axis=1) + np.quantile(before_ms, 0.99, axis=1)"
        ),
        "Take the smallest file among those that fit.": [
            "smallest = candidates[0] if len(candidates) else -1",
            "smallest = candidates[p99[candidates].argmin()] if len(candidates) else -1",
        ],
        "Where no rung fits, the answer is −1.": edit("else -1", "else 0"),
        "Your rung is too large: its file is above the limit.": ("fits = (p99 <= max_p99) & (bounds >= -margin)"),
        "Your rung is too slow: its time is above the limit.": (
            "fits = (kilobytes <= max_kilobytes) & (bounds >= -margin)"
        ),
        "Your rung may be worse than the margin allows.": "fits = (kilobytes <= max_kilobytes) & (p99 <= max_p99)",
    },
    praise="Write such a rule down before you measure, and nobody can bend it afterwards.",
)


@right(ship)
def one_by_one(labels, answers, kilobytes, model_ms, before_ms, limits):
    best, bounds, slow = -1, [], []
    for k in range(len(answers)):
        d = [int(a == y) - int(f == y) for a, f, y in zip(answers[k], answers[0], labels, strict=True)]
        bounds.append(np.mean(d) - 1.645 * np.sqrt(np.var(d, ddof=1) / len(d)))
        slow.append(np.percentile(before_ms[k] + model_ms[k], 99))
        fits = kilobytes[k] <= limits[0] and slow[k] <= limits[1] and bounds[k] >= -limits[2]
        if fits and (best < 0 or kilobytes[k] < kilobytes[best]):
            best = k
    return best, np.array(bounds), np.array(slow)


# ---------------------------------------------------------------- the lesson's blanks
def two_models():
    rng = np.random.default_rng(0)
    for n in (10, 40, 7):
        labels = rng.integers(0, 3, n)
        first = np.where(rng.random(n) < 0.7, labels, (labels + 1) % 3)
        second = np.where(rng.random(n) < 0.6, first, rng.integers(0, 3, n))
        first[:4] = labels[:4] + np.array([0, 1, 1, 0])
        second[:4] = labels[:4] + np.array([1, 2, 0, 1])  # of each kind one, and two different wrong answers
        first, second = first % 3, second % 3
        yield labels, first, second


def compared(labels, first, second):
    a, b = first == labels, second == labels
    return (first == second).mean(), (a & ~b).sum(), (b & ~a).sum()


@blank(
    "compress.blank.1",
    title="Agreement and what changed",
    inputs=two_models,
    mistakes=[
        (
            lambda y, a, b: ((a == y).mean() - (b == y).mean(), *compared(y, a, b)[1:]),
            "Agreement is the share of equal answers, right or wrong: not a difference of accuracies.",
        ),
        (
            lambda y, a, b: (((a == y) == (b == y)).mean(), *compared(y, a, b)[1:]),
            "Two wrong answers agree only if they are the same answer.",
        ),
        (
            lambda y, a, b: (compared(y, a, b)[0], *compared(y, a, b)[:0:-1]),
            "Only the first and only the second are exchanged.",
        ),
        (
            lambda y, a, b: (compared(y, a, b)[0], (a == y).sum(), (b == y).sum()),
            "Count only messages that the *other* one gets wrong.",
        ),
        (
            lambda y, a, b: (compared(y, a, b)[0], (a != b).sum(), (a != b).sum()),
            "These are changed answers: count who is right, too.",
        ),
    ],
)
def compare(labels, first, second):
    return compared(labels, first, second)


def ranges():
    for low, high in ((-0.9, 1.65), (0.2, 1.0), (-2.0, -0.5), (-1.3, 0.7)):
        for bits in (8, 3):
            yield low, high, bits


def affine(low, high, bits, stretch=True, steps=0, first=None, rounded=round, sign=-1):
    first = -(2 ** (bits - 1)) if first is None else first
    last = 2 ** (bits - 1) - 1
    if stretch:
        low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (last - first + steps)
    return scale, rounded(first + sign * low / scale)


@blank(
    "compress.blank.2",
    title="Scale and zero point",
    inputs=ranges,
    mistakes=[
        (lambda low, high, bits=8: affine(low, high, bits, stretch=False), "Stretch the range until 0 is in it."),
        (lambda low, high, bits=8: affine(low, high, bits, steps=1), "Between 256 codes there are 255 steps."),
        (lambda low, high, bits=8: affine(low, high, 8), "Use `bits`: with 3 bits there are 8 codes."),
        (
            lambda low, high, bits=8: affine(low, high, bits, rounded=float),
            "The zero point is a code: round it.",
        ),
        (lambda low, high, bits=8: affine(low, high, bits, sign=1), "z = round(q₀ − min / s): mind the sign."),
        (
            lambda low, high, bits=8: (affine(low, high, bits)[0], 0),
            "z is the code of 0; it is 0 only in symmetric quantization.",
        ),
    ],
)
def affine_parameters(low, high, bits=8):
    return affine(low, high, bits)


def arrays():
    rng = np.random.default_rng(1)
    for bits, zero_point in ((8, -38), (8, 0), (3, 1), (4, -8)):
        yield rng.normal(size=(3, 4)) * 2 + 0.3, 0.0137 if bits == 8 else 0.31, zero_point, bits


def coded(x, scale, zero_point, bits, rounded=np.round, clip=True, add=True):
    first, last = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    codes = rounded(x / scale) + (zero_point if add else 0)
    return (np.clip(codes, first, last) if clip else codes).astype(int)


@blank(
    "compress.blank.3",
    title="The codes",
    inputs=arrays,
    mistakes=[
        (lambda x, s, z, bits=8: coded(x, s, z, bits, clip=False), "Clip to the codes that there are."),
        (lambda x, s, z, bits=8: coded(x, s, z, bits, rounded=np.trunc), "Round to the nearest, do not cut off."),
        (lambda x, s, z, bits=8: coded(x, s, z, bits, add=False), "Add the zero point."),
        (lambda x, s, z, bits=8: coded(x, s, z, 8), "Use `bits`: with 3 bits the codes go from −4 to 3."),
        (
            lambda x, s, z, bits=8: np.clip(np.round(x / s), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).astype(int) + z,
            "Add the zero point before you clip.",
        ),
        (
            lambda x, s, z, bits=8: s * (coded(x, s, z, bits) - z),
            "These are numbers again: the codes are wanted.",
        ),
    ],
)
def quantize(x, scale, zero_point, bits=8):
    return coded(x, scale, zero_point, bits)


# ---------------------------------------------------------------- challenge
OUTPUTS, INPUTS, SEEN = 48, 64, 400


def draw_challenge(g):
    """A weight matrix, inputs that go together and differ in size, and other inputs of the same kind."""
    rng = np.random.default_rng(int(g.integers(1 << 31)))
    mix = rng.normal(size=(INPUTS, 20)) @ rng.normal(size=(20, INPUTS)) / 12 + 0.5 * np.eye(INPUTS)
    sizes = np.exp(0.7 * rng.normal(size=INPUTS))
    x = (rng.normal(size=(2 * SEEN, INPUTS)) @ mix) * sizes
    weight = rng.normal(size=(OUTPUTS, INPUTS)) / np.sqrt(sizes) * np.exp(0.4 * rng.normal(size=(OUTPUTS, 1)))
    return Drawn({"weight": weight, "inputs": x[:SEEN]}, x[SEEN:])


def signal_kept(arrays, inputs, hidden):
    """1 − squared error of the outputs / squared size, on other inputs; 0 at least."""
    codes = np.clip(np.round(np.asarray(arrays["codes"], float)), -4, 3)
    back = np.asarray(arrays["scales"], float)[:, None] * codes
    truth = hidden @ inputs["weight"].T
    error = np.square(hidden @ back.T - truth).sum()
    return float(max(0.0, 1 - error / np.square(truth).sum())) if np.isfinite(error) else 0.0


challenge(
    "compress.challenge",
    title="A matrix in 3 bits",
    statement=[
        f"`weight` ({OUTPUTS}, {INPUTS}) is a layer without bias, y = x Wᵀ; `inputs` ({SEEN}, {INPUTS}) are examples of what "
        "it gets. Its inputs differ in size, and they go together.",
        "Write it with 3 bits per weight: `codes`, whole numbers from −4 to 3, and `scales`, one number for each output, so "
        "that W ≈ scales[:, None] · codes.",
        "The score is measured on *other* inputs of the same kind: 1 − (squared error of y / squared size of y). Rounding "
        "to the nearest code, with scale max|w| / 3, reaches 0.68 to 0.84, the best scale for each output about 0.96. Beat 0.97. What matters is the "
        "error of y, not that of W.",
    ],
    draw=draw_challenge,
    score=signal_kept,
    hand_in={"codes": Array((OUTPUTS, INPUTS), "integer"), "scales": Array((OUTPUTS,), "float")},
    to_beat=0.97,
    points_by_score={0.97: 1, 0.985: 2, 0.992: 3},
    minutes=60,
    score_name="signal kept",
)
