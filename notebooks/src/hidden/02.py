"""Hidden tests of lesson 02."""

import string
from itertools import cycle

from mmcourse.check.lesson_02 import _SENTENCES
from mmcourse.classroom.hidden import hidden


def _letters(g, n):
    return g.choice(list(string.ascii_lowercase), n, replace=False).tolist()


def _words(g, pieces, n, counts, longest=5):
    """n words of these pieces; the fewer there are, the more pairs tie."""
    made = {}
    for _ in range(n):
        made[tuple(g.choice(pieces, g.integers(2, longest + 1)).tolist())] = int(g.choice(counts))
    return (made,)


def _longer(g):
    """Pairs that tie, but change their order when joined; or more letters, less often."""
    a, b, c, d = sorted(_letters(g, 4))
    n = int(g.integers(2, 6))
    tied, rare = {(a + b, c): n, (a, d): n, (c, d): 1}, {(a + b + c, d + c + b): n, (b, d): n + 1}
    return (tied if g.random() < 0.5 else rare,)


@hidden("02.1")
def _(g):
    yield "no ties", 2, lambda: _words(g, _letters(g, 4), 5, [3, 5, 7, 11, 19])
    yield "ties", 2, lambda: _words(g, _letters(g, 3), 4, [2], 3)
    yield "the same piece again and again", 1, lambda: _words(g, _letters(g, 2), 3, [1, 2, 3])
    yield "pieces of several letters", 1, lambda: _longer(g)


def _counts(g, n, v, empty=False):
    counts = g.poisson(0.9, (n, v))
    counts[:, 0] += 1
    if empty:
        counts[g.integers(n)] = 0
    return (counts,)


@hidden("02.2")
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


def _random(g):
    words = ["".join(_letters(g, 3)) for _ in range(5)]
    n = g.integers(6, 10)
    sentences = [" ".join(g.choice(words, g.integers(1, 4))) for _ in range(n)]
    return sentences, g.integers(0, 2, n).tolist(), words[:3]


@hidden("02.3")
def _(g):
    for name, k in (("words and labels", 0), ("order and repetition", 4), ("words that look alike", 8)):
        cases = cycle(_SENTENCES[k : k + 4])
        yield name, 1, lambda cases=cases: _disguised(g, *next(cases))
    yield "many sentences", 1, lambda: _random(g)
