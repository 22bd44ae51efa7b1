"""Known right and wrong answers to the exercises of lesson speech_to_text, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- speech_to_text.1
def lattice(start=2, ends=2, skip=lambda a, b: a != b and b != 0, total=sum, blanks=True):
    """A right answer with places to go wrong."""

    def answer(probs, labels):
        states = [0]
        for label in labels:
            states.extend([int(label), 0] if blanks else [int(label)])
        states = states if blanks else (states[1:] or [0])
        row = [probs[0][s] if i < start else 0.0 for i, s in enumerate(states)]
        for y in probs[1:]:
            new = []
            for i, s in enumerate(states):
                ways = [row[i]]
                if i > 0:
                    ways.append(row[i - 1])
                if i > 1 and skip(states[i - 2], s):
                    ways.append(row[i - 2])
                new.append(total(ways) * y[s])
            row = new
        return float(total(row[-ends:]))

    return answer


# ---------------------------------------------------------------- speech_to_text.2
def reading(best=np.argmax, repeats=True, blank=True, first=True, offset=1, joint=" "):
    """A right answer with places to go wrong."""

    def answer(scores, words):
        path = [int(best(row)) for row in scores]
        if not first:
            path = [p for p in path if p]
        found, last = [], 0 if first else -1
        for p in path:
            if (p != last or not repeats) and (p or not blank):
                found.append((["<blank>", *words] if offset else [*words, *words])[p])
            last = p
        return joint.join(found)

    return answer


# ---------------------------------------------------------------- speech_to_text.3
def levenshtein(a, b, substitute=1, insert=1, delete=1):
    table = {(i, 0): i * delete for i in range(len(a) + 1)} | {(0, j): j * insert for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            swap = 0 if a[i - 1] == b[j - 1] else substitute
            table[i, j] = min(table[i - 1, j - 1] + swap, table[i - 1, j] + delete, table[i, j - 1] + insert)
    return table[len(a), len(b)]


def corpus(split=str.split, over=0, most=None, **costs):
    """A right answer with places to go wrong."""

    def answer(references, hypotheses):
        pairs = [(split(r), split(h)) for r, h in zip(references, hypotheses, strict=True)]
        errors = sum(levenshtein(a, b, **costs) for a, b in pairs)
        value = errors / sum(len(pair[over]) for pair in pairs)
        return value if most is None else min(value, most)

    return answer


def sentence_mean(references, hypotheses):
    rates = [corpus()([a], [b]) for a, b in zip(references, hypotheses, strict=True) if a]
    return sum(rates) / len(references)


def place_by_place(references, hypotheses):
    wrong = total = 0
    for a, b in zip(references, hypotheses, strict=True):
        a, b = a.split(), b.split()
        total += len(a)
        for i in range(max(len(a), len(b))):
            wrong += i >= len(a) or i >= len(b) or a[i] != b[i]
    return wrong / total


ANSWERS = {
    "speech_to_text.1": Answers(
        right=[lattice(), lambda probs, labels: lattice()(np.asarray(probs, float), list(labels))],
        wrong=[
            (lattice(start=1), "begins in one state"),
            (lattice(ends=1), "ends in one state"),
            (lattice(skip=lambda a, b: False), "never skips"),
            (lattice(skip=lambda a, b: b != 0), "same label twice"),
            (lattice(skip=lambda a, b: True), "only a label is entered"),
            (lattice(total=max), "only the best path"),
            (lattice(blanks=False), "It is right with"),
        ],
    ),
    "speech_to_text.2": Answers(
        right=[reading(), lambda scores, words: reading()(np.exp(scores), list(words))],
        wrong=[
            (reading(best=np.argmin), "largest score"),
            (reading(repeats=False), "are one word"),
            (reading(first=False), "in this order"),
            (reading(joint=""), "one string"),
            (reading(offset=0), "off by one"),
            (reading(blank=False), "<blank>"),
        ],
    ),
    "speech_to_text.3": Answers(
        right=[corpus(), lambda r, h: np.float64(corpus()(r, h))],
        wrong=[
            (sentence_mean, "mean of the rates"),
            (place_by_place, "place by place"),
            (corpus(split=list), "letters"),
            (corpus(substitute=2), "counts 1"),
            (corpus(over=1), "words of the references"),
            (corpus(most=1), "may be above 1"),
        ],
    ),
}
