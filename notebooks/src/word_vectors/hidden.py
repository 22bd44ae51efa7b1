"""Hidden tests of lesson word_vectors."""

import string

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


@hidden("word_vectors.1")
def _(g):
    yield "no ties", 2, lambda: _words(g, _letters(g, 4), 5, [3, 5, 7, 11, 19])
    yield "ties", 2, lambda: _words(g, _letters(g, 3), 4, [2], 3)
    yield "the same piece again and again", 1, lambda: _words(g, _letters(g, 2), 3, [1, 2, 3])
    yield "pieces of several letters", 1, lambda: _longer(g)
