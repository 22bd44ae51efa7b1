"""Known right and wrong answers to the exercises of lesson bert, as learners write them."""

import math

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- bert.1
def with_loops(ids, chosen, fate, random_ids, mask_id):
    inputs, labels = ids.copy(), np.full(ids.shape, -100)
    for i in np.ndindex(ids.shape):
        if chosen[i]:
            labels[i] = ids[i]
            if fate[i] < 0.8:
                inputs[i] = mask_id
            elif fate[i] < 0.9:
                inputs[i] = random_ids[i]
    return inputs, labels


def by_index(ids, chosen, fate, random_ids, mask_id):
    inputs, labels = np.array(ids), np.array(ids)
    labels[~chosen] = -100
    other = chosen & (fate >= 0.8) & ~(fate >= 0.9)
    inputs[chosen & (fate < 0.8)] = mask_id
    inputs[other] = random_ids[other]
    return [inputs, labels]


def but_labels(make):
    return lambda ids, chosen, *rest: (with_loops(ids, chosen, *rest)[0], make(ids, chosen, *rest))


# ---------------------------------------------------------------- bert.2
def with_math(first_loss, vocab_size, accuracy, counting):
    gain = accuracy - max(counting)
    if math.log(vocab_size) - first_loss > 0.5:
        return "leak", gain
    return "reads" if accuracy > max(counting) else "counts", gain


def by_perplexity(first_loss, vocab_size, accuracy, counting):
    gain = float(np.min(accuracy - np.asarray(counting)))
    word = "counts" if gain <= 0 else "reads"
    return ("leak" if np.exp(first_loss + 0.5) < vocab_size else word), gain


def report(log=math.log, best=max, order="loss first", gain=lambda a, b: a - b):
    def judge(first_loss, vocab_size, accuracy, counting):
        leak, reads = first_loss < log(vocab_size) - 0.5, accuracy > best(counting)
        if order == "accuracy first" and not reads:
            leak = False
        return "leak" if leak else "reads" if reads else "counts", gain(accuracy, best(counting))

    return judge


def either_side(first_loss, vocab_size, accuracy, counting):
    word, gain = with_math(first_loss, vocab_size, accuracy, counting)
    return ("leak" if abs(first_loss - math.log(vocab_size)) > 0.5 else word), gain


# ---------------------------------------------------------------- bert.4
def packed(
    cut="longer",
    tie="second",
    ends=(1, 1),
    segments="right",
    mask="right",
    side="right",
    order="right",
    pad=True,
    end=-1,
):
    """A right answer with parts replaced."""

    def encode_pair(first, second, cls_id, sep_id, max_length):
        a, b = list(first), list(second)
        room = max_length - 1 - sum(ends)
        while len(a) + len(b) > room:
            longer = len(a) > len(b) or (tie == "first" and len(a) == len(b))
            if cut == "second":
                longer = not b
            if cut == "first":
                longer = bool(a)
            (a if longer else b).pop(end)
        head, tail = [cls_id, *a, sep_id], [*b, sep_id][: len(b) + ends[1]]
        ids, real = head + tail, [1] * len(head + tail)
        which = [0] * len(head) + [1] * len(tail)
        if segments == "early":
            which = [0] * (len(head) - 1) + [1] * (len(tail) + 1)
        if segments == "zeros":
            which = [0] * len(ids)
        if segments == "reversed":
            which = [1 - s for s in which]
        if mask == "words":
            real = [0, *[1] * len(a), 0, *[1] * len(b), 0]
        if pad:
            more = [0] * (max_length - len(ids))
            ids, which = (more + ids, more + which) if side == "left" else (ids + more, which + more)
            real = more + real if side == "left" else real + [int(mask == "ones")] * len(more)
        return (ids, real, which) if order == "mixed" else (ids, which, real)

    return encode_pair


def as_arrays(first, second, cls_id, sep_id, max_length):
    return tuple(np.array(x) for x in packed()(first, second, cls_id, sep_id, max_length))


ANSWERS = {
    "bert.4": Answers(
        right=[packed(), as_arrays],
        wrong=[
            (packed(cut="second"), "second text only"),
            (packed(cut="first"), "first text only"),
            (packed(tie="first"), "equally long"),
            (packed(segments="early"), "first separator belongs"),
            (packed(segments="zeros"), "all 0"),
            (packed(segments="reversed"), "exchanged"),
            (packed(mask="words"), "special tokens are real"),
            (packed(mask="ones"), "Padding has mask 0"),
            (packed(side="left"), "on the left"),
            (packed(order="mixed"), "other order"),
            (packed(pad=False), "Padding is missing"),
            (packed(end=0), "from the beginning"),
        ],
    ),
    "bert.1": Answers(
        right=[with_loops, by_index],
        wrong=[
            (lambda i, c, f, r, m: (np.where(c, m, i), np.where(c, i, -100)), "masked every chosen token"),
            (but_labels(lambda i, *rest: i), "Every token is asked"),
            (but_labels(lambda i, c, *rest: np.where(c, with_loops(i, c, *rest)[0], -100)), "come from the inputs"),
            (but_labels(lambda i, c, *rest: np.where(c, -100, i)), "wrong way round"),
            (but_labels(lambda i, c, *rest: np.where(c, i, 0)), "would be learned"),
            (but_labels(lambda i, c, f, *rest: np.where(c & (f < 0.8), i, -100)), "only for the masked"),
            (lambda *args: with_loops(*args)[::-1], "exchanged"),
        ],
    ),
    "bert.2": Answers(
        right=[with_math, by_perplexity],
        wrong=[
            (report(log=math.log2), "counted in bits"),
            (report(best=min), "weakest way of counting"),
            (either_side, "above ln V a leak"),
            (report(order="accuracy first"), "accuracy first"),
            (report(gain=lambda a, b: a / b - 1), "gain is relative"),
            (report(log=lambda v: -math.inf), "never call a leak"),
        ],
    ),
}
