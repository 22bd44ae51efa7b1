"""Known right and wrong answers to the exercises of lesson word_vectors, as learners write them."""

from collections import Counter

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- word_vectors.1
def by_sorting(words):
    counts = {}
    for pieces, count in words.items():
        for i in range(len(pieces) - 1):
            pair = (pieces[i], pieces[i + 1])
            counts[pair] = counts.get(pair, 0) + count
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[0][0]


def unrolled(words):
    pairs = [p for pieces, n in words.items() for p in list(zip(pieces, pieces[1:], strict=False)) * n]
    most = max(map(pairs.count, pairs))
    return list(min(pair for pair in pairs if pairs.count(pair) == most))


def counted(words, weigh=True, once=False):
    found = Counter()
    for pieces, count in words.items():
        pairs = list(zip(pieces, pieces[1:], strict=False))
        for pair in set(pairs) if once else pairs:
            found[pair] += count if weigh else 1
    return found


def first(found):
    return min(found, key=lambda pair: (-found[pair], pair))


def one_text(words):
    text = [piece for pieces, n in words.items() for _ in range(n) for piece in pieces]
    return first(Counter(zip(text, text[1:], strict=False)))


def tie_by(words, key):
    found = counted(words)
    return sorted(found, key=lambda pair: (-found[pair], key(pair)))[0]


def every_two(words):
    found = Counter()
    for pieces, count in words.items():
        for i in range(len(pieces)):
            for j in range(i + 1, len(pieces)):
                found[pieces[i], pieces[j]] += count
    return first(found)


def by_str_count(words):
    found = Counter()
    for pieces, count in words.items():
        text = f" {'  '.join(pieces)} "
        for pair in set(zip(pieces, pieces[1:], strict=False)):
            found[pair] += count * text.count(f" {pair[0]}  {pair[1]} ")
    return first(found)


def by_letters(words):
    found = counted(words)
    return first({pair: n * (len(pair[0]) + len(pair[1])) for pair, n in found.items()})


# ---------------------------------------------------------------- word_vectors.2
def judged(v, q, rows=None, target=None, block=(0, 1, 2), block_last=(0, 1, 2), last=2, count=np.mean):
    """A right answer with places to go wrong."""
    e = (rows or (lambda x: x / np.sqrt((x * x).sum(1, keepdims=True))))(v)
    hits = [[], [], []]
    for k in q:
        k = [int(i) for i in k]
        t = (target or (lambda e, k: e[k[1]] - e[k[0]] + e[k[2]]))(e, k)
        for where, vector, left_out in ((0, t, block), (1, t, ()), (2, e[k[last]], block_last)):
            ranked = [i for i in (-(e @ vector)).argsort() if i not in [k[j] for j in left_out]]
            hits[where].append(ranked[0] == k[3])
    return [count(h) for h in hits]


def first_twice(v, q):
    usual, _, still = judged(v, q)
    return usual, usual, still


# ---------------------------------------------------------------- word_vectors.challenge is in test_challenges
ANSWERS = {
    "word_vectors.2": Answers(
        right=[judged, lambda v, q: np.array(judged(v, q)), lambda v, q: tuple(float(x) for x in judged(v, q))],
        wrong=[
            (lambda v, q: judged(v, q, rows=lambda x: x), "not scaled to length 1"),
            (lambda v, q: judged(v, q, target=lambda e, k: e[k[0]] - e[k[1]] + e[k[2]]), "other way round"),
            (lambda v, q: judged(v, q, block=()), "Your first share allows"),
            (lambda v, q: judged(v, q, block=(2,)), "Your first share excludes only c"),
            (first_twice, "Your second share excludes"),
            (lambda v, q: judged(v, q, last=1), "nearest to b"),
            (lambda v, q: judged(v, q, block_last=()), "nearest to itself"),
            (lambda v, q: judged(v, q, block_last=(2,)), "Your third share excludes only c"),
            (lambda v, q: judged(v, q, count=np.sum), "how many are right"),
            (lambda v, q: [1 - x for x in judged(v, q)], "how many are wrong"),
        ],
    ),
    "word_vectors.1": Answers(
        right=[by_sorting, unrolled, lambda words: first(counted(words)), lambda words: np.array(by_sorting(words))],
        wrong=[
            (lambda words: first(counted(words, weigh=False)), "counted each word once"),
            (lambda words: first(counted(words, once=True)), "counted once there"),
            (lambda words: "".join(by_sorting(words)), "joined the pair already"),
            (lambda words: by_sorting(words)[::-1], "wrong order"),
            (lambda words: counted(words).most_common(1)[0], "returned the count as well"),
            (lambda words: min(counted(words), key=lambda p: (counted(words)[p], p)), "rarest pair"),
            (lambda words: counted(words).most_common(1)[0][0], "the one met first"),
            (lambda words: max(counted(words), key=lambda p: (counted(words)[p], p)), "the last by alphabet"),
            (one_text, "across the edge"),
            (lambda words: tie_by(words, lambda pair: pair[0] + pair[1]), "compared them joined"),
            (lambda words: tie_by(words, lambda pair: pair[0]), "begin with the same piece"),
            (lambda words: tie_by(words, lambda pair: pair[1]), "compared their second pieces"),
            (every_two, "every later one"),
            (by_str_count, "skipped places that overlap"),
            (by_letters, "weighed a pair by its letters"),
            (lambda words: set(by_sorting(words)), "it is a set, which has no order"),
        ],
    ),
}
