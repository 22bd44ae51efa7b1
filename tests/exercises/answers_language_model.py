"""Known right and wrong answers to the exercises of lesson language_model, as learners write them."""

import math

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- language_model.1
def measured(
    base=math.e, mean=None, per=lambda text: len(bytes(text, "utf8")), bit=0.6931471805599453, flip=False, over=None
):
    """A right answer with places to go wrong."""

    def answer(batches, texts):
        every = [float(x) for row in batches for x in row]
        average = sum(every) / len(every) if mean is None else mean(batches)
        size = sum(per(text) for text in texts) if over is None else over(batches, texts)
        found = base**average, sum(every) / bit / size
        return found[::-1] if flip else found

    return answer


def by_batch(batches):
    return sum(sum(row) / len(row) for row in batches) / len(batches)


# ---------------------------------------------------------------- language_model.2
def turned(first=lambda start: start, power=lambda i, d: -2 * i / d, pair=lambda i, d: (i, i + d // 2), sign=1):
    """A right answer with places to go wrong."""

    def answer(x, start, base):
        out = np.array(x, float)
        d = out.shape[1]
        for row in range(len(out)):
            for i in range(d // 2):
                angle = sign * (first(start) + row) * base ** power(i, d)
                a, b = pair(i, d)
                out[row, a] = x[row, a] * math.cos(angle) - x[row, b] * math.sin(angle)
                out[row, b] = x[row, b] * math.cos(angle) + x[row, a] * math.sin(angle)
        return out

    return answer


# ---------------------------------------------------------------- language_model.3
def padded(position=lambda j, s: max(j - s, 0), sees=lambda i, j, s: s <= j <= i, self=True, flip=False):
    """A right answer with places to go wrong."""

    def answer(padding_mask):
        b, n = padding_mask.shape
        places = [[0] * n for _ in range(b)]
        keep = [[[False] * n for _ in range(n)] for _ in range(b)]
        for row in range(b):
            s = n - int(padding_mask[row].sum())
            for i in range(n):
                places[row][i] = position(i, s)
                for j in range(n):
                    keep[row][i][j] = sees(i, j, s) or (self and i == j)
        found = np.array(places), np.array(keep)
        return found[::-1] if flip else found

    return answer


ANSWERS = {
    "language_model.1": Answers(
        right=[measured(), lambda b, t: measured()(list(map(np.asarray, b)), tuple(t))],
        wrong=[
            (measured(mean=by_batch), "mean of the batches' means"),
            (measured(base=2), "The base belongs to the unit"),
            (measured(bit=1), "still nats"),
            (measured(per=len), "characters"),
            (measured(over=lambda batches, texts: sum(map(len, batches))), "bits per token"),
            (measured(flip=True), "other way round"),
        ],
    ),
    "language_model.2": Answers(
        right=[turned(), lambda x, start, base: turned()(np.asarray(x, float), int(start), float(base))],
        wrong=[
            (turned(first=lambda start: 0), "start again at 0"),
            (turned(first=lambda start: start + 1), "one too far"),
            (turned(power=lambda i, d: -i / d), "−2i / d"),
            (turned(power=lambda i, d: 2 * i / d), "exponent is negative"),
            (turned(pair=lambda i, d: (2 * i, 2 * i + 1)), "You pair neighbors"),
            (turned(sign=-1), "the other way"),
        ],
    ),
    "language_model.3": Answers(
        right=[padded(), lambda mask: padded()(np.array(mask, dtype=bool))],
        wrong=[
            (padded(position=lambda j, s: j), "numbers of columns"),
            (padded(position=lambda j, s: j - s if j >= s else -1), "below 0"),
            (padded(position=lambda j, s: max(j - s + 1, 0)), "start at 1"),
            (padded(sees=lambda i, j, s: j >= s), "to later tokens"),
            (padded(sees=lambda i, j, s: j <= i), "attend to padding"),
            (padded(self=False), "softmax over nothing"),
            (padded(flip=True), "other way round"),
        ],
    ),
}
