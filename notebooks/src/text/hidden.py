"""Hidden tests of lesson text."""

import string
from itertools import cycle

from mmcourse.check.lesson_text import _SENTENCES
from mmcourse.classroom.hidden import hidden


def _counts(g, n, v, empty=False):
    counts = g.poisson(0.9, (n, v))
    counts[:, 0] += 1
    if empty:
        counts[g.integers(n)] = 0
    return (counts,)


@hidden("text.1")
def _(g):
    yield "several texts", 2, lambda: _counts(g, *g.integers(2, 7, 2))
    yield "an empty text", 1, lambda: _counts(g, g.integers(3, 6), 4, empty=True)
    yield "a single text", 1, lambda: _counts(g, 1, g.integers(2, 6))


def _disguised(g, sentences, labels, stop_words):
    """The same case in other letters, the sentences in another order."""
    other = str.maketrans(dict(zip(string.ascii_lowercase, g.permutation(list(string.ascii_lowercase)), strict=True)))
    order = g.permutation(len(sentences))
    names = dict(zip(sorted(set(labels)), g.permutation(["joy", "rage", "fear"]).tolist(), strict=False))
    said, stop = [sentences[i].translate(other) for i in order], [word.translate(other) for word in stop_words]
    return said, [names[labels[i]] for i in order], g.permutation(stop).tolist()


def _letters(g, n):
    return g.choice(list(string.ascii_lowercase), n, replace=False).tolist()


def _random(g):
    words = ["".join(_letters(g, 3)) for _ in range(5)]
    n = g.integers(6, 10)
    sentences = [" ".join(g.choice(words, g.integers(1, 4))) for _ in range(n)]
    return sentences, g.integers(0, 2, n).tolist(), words[:3]


@hidden("text.2")
def _(g):
    for name, k in (("words and labels", 0), ("order and repetition", 4), ("words that look alike", 8)):
        cases = cycle(_SENTENCES[k : k + 4])
        yield name, 1, lambda cases=cases: _disguised(g, *next(cases))
    yield "many sentences", 1, lambda: _random(g)
