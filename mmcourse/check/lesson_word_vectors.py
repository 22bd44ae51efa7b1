"""Checks of lesson word_vectors: the next byte pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations

from mmcourse.check import agree, exercise


# ---------------------------------------------------------------- word_vectors.1
def next_pair(words: dict) -> tuple:
    """The commonest pair of neighbouring pieces, words counted as often as they occur; ties: first by alphabet."""
    return _best(_pairs(words))


def _pairs(words: dict, weigh: Callable = lambda count: count, inside: Callable = list) -> Counter:
    found: Counter = Counter()
    for pieces, count in words.items():
        for pair in inside(zip(pieces, pieces[1:], strict=False)):
            found[pair] += weigh(count)
    return found


def _best(found: Counter, sign: int = -1) -> tuple:
    return min(found, key=lambda pair: (sign * found[pair], pair))


def _across(words: dict) -> tuple:
    text = [piece for pieces, count in words.items() for _ in range(count) for piece in pieces]
    return _best(Counter(zip(text, text[1:], strict=False)))


def _with_count(words: dict) -> tuple:
    found = _pairs(words)
    return _best(found), found[_best(found)]


def _all_pairs(words: dict) -> tuple:
    found: Counter = Counter()
    for pieces, count in words.items():
        for pair in combinations(pieces, 2):
            found[pair] += count
    return _best(found)


def _by_length(words: dict) -> tuple:
    return _best(Counter({pair: count * len("".join(pair)) for pair, count in _pairs(words).items()}))


def _apart(pairs) -> list:
    """Places of one word's pairs, without those that share a piece with the same pair just before."""
    kept: list = []
    for pair in pairs:
        kept.append(None if kept and kept[-1] == pair else pair)
    return [pair for pair in kept if pair]


def _tied(words: dict, key: Callable) -> tuple:
    found = _pairs(words)
    return min(found, key=lambda pair: (-found[pair], key(pair)))


_PAIR_MISTAKES = [
    (
        lambda w: _tied(w, "".join),
        "Several pairs come equally often, and you compared them joined to one text. Compare the tuples: "
        "first piece with first piece, then second with second.",
    ),
    (
        lambda w: _tied(w, lambda pair: pair[0]),
        "Pairs that come equally often may begin with the same piece: then the second decides. Compare whole tuples.",
    ),
    (
        lambda w: _tied(w, lambda pair: pair[1]),
        "Several pairs come equally often, and you compared their second pieces. The first piece decides first.",
    ),
    (
        lambda w: _best(_pairs(w, inside=_apart)),
        "You skipped places that overlap. In `a a a` the pair (a, a) stands twice: count every place.",
    ),
    (_all_pairs, "You paired each piece with every later one. Neighbours alone count: `zip(pieces, pieces[1:])`."),
    (_by_length, "You weighed a pair by its letters. Only how often it stands counts, however long its pieces are."),
    (
        lambda w: _best(_pairs(w, weigh=lambda count: 1)),
        "You counted each word once. A word that occurs 5 times adds 5 to each of its pairs.",
    ),
    (
        lambda w: _best(_pairs(w, inside=set)),
        "A pair that stands twice in one word was counted once there. Count every place where it stands.",
    ),
    (lambda w: "".join(next_pair(w)), "You joined the pair already. Return its two pieces, as (first, second)."),
    (lambda w: next_pair(w)[::-1], "The two pieces are in the wrong order: first the left one, then the right one."),
    (_with_count, "You returned the count as well. Asked is the pair alone: (first, second)."),
    (lambda w: _best(_pairs(w), sign=1), "That is the rarest pair. Join what comes most often."),
    (
        lambda w: _pairs(w).most_common(1)[0][0],
        "Several pairs come equally often, and you took the one met first. Take the first by alphabet, so that "
        "everyone learns the same merges.",
    ),
    (
        lambda w: max(_pairs(w), key=lambda pair: (_pairs(w)[pair], pair)),
        "Several pairs come equally often, and you took the last by alphabet. Take the first.",
    ),
    (_across, "You counted pairs across the edge of two words. Pieces of different words are no neighbours."),
]
_WORDS = [
    {("r", "e", "d"): 5, ("r", "e", "d", "d", "e", "r"): 2, ("b", "e", "d"): 3, ("r", "i", "c", "h"): 9},
    {("x", "y"): 1, ("x", "y", "z"): 1, ("u", "v"): 4},
    {("n", "a", "n", "a", "n", "a"): 2, ("t", "o"): 5},
    {("a",): 6, ("b", "c"): 2},
    {("m", "u"): 3, ("z", "o"): 3, ("b", "i"): 3},
    {("b", "a"): 3, ("b", "c"): 3, ("b", "d"): 3},
    {("红", "色"): 4, ("蓝", "色"): 3, ("红", "色", "圆"): 1, ("圆", "形"): 4},
    {("st", "ar"): 2, ("st", "ar", "s"): 2, ("c", "ar"): 3},
    {("long", "est"): 2, ("a", "b"): 3},
    {("b", "z"): 2, ("c", "a"): 2},
    {("b", "d"): 3, ("b", "a"): 3},
    {("ab", "c"): 2, ("a", "d"): 2},
    {("a", "x", "c"): 2, ("a", "y", "c"): 2, ("b", "d"): 3},
    {("a", "a", "a"): 2, ("b", "c"): 3},
]


@exercise("word_vectors.1", title="The next byte pair", points=1, difficulty=1, minutes=7)
def check_next_pair(answer):
    agree(answer, next_pair, [(words,) for words in _WORDS], mistakes=_PAIR_MISTAKES, names=("first", "second"))
    return "Call it again and again, and you have a tokeniser."
