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


ANSWERS = {
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
