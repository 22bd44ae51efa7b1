"""One exercise on word vectors: the next byte pair."""

import string
from collections import Counter
from itertools import combinations

from mmcourse.exercise import context, edit, example, exercise, in_turn, lesson, paragraph, part, right, says

lesson(
    "word_vectors",
    promise="One short task: learn the pieces of words, one pair at a time.",
    uses="Python and NumPy only",
    setup="""
import numpy as np

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def next_pair(words):
    """words: {tuple of pieces: how often the word occurs}. Return the commonest pair of neighbors."""
    found = {}
    for pieces, count in words.items():
        for pair in zip(pieces, pieces[1:], strict=False):
            found[pair] = found.get(pair, 0) + count
    return min(found, key=lambda pair: (-found[pair], pair))


def count_pairs(words, inside=list):
    found = Counter()
    for pieces, count in words.items():
        for pair in inside(list(zip(pieces, pieces[1:], strict=False))):
            found[pair] += count
    return found


def commonest(found):
    return min(found, key=lambda pair: (-found[pair], pair))


def apart(pairs):
    """Places of one word's pairs, without those that share a piece with the same pair just before."""
    kept = []
    for pair in pairs:
        kept.append(None if kept and kept[-1] == pair else pair)
    return [pair for pair in kept if pair]


def all_pairs(words):
    found = Counter()
    for pieces, count in words.items():
        for pair in combinations(pieces, 2):
            found[pair] += count
    return commonest(found)


def by_length(words):
    return commonest({pair: count * len("".join(pair)) for pair, count in count_pairs(words).items()})


def by_share(words, first=False, second=False):
    """Counts of pairs divided by those of their first piece, their second, or both (as WordPiece does)."""
    found, firsts, seconds = count_pairs(words), Counter(), Counter()
    for (a, b), count in found.items():
        firsts[a] += count
        seconds[b] += count
    share = {(a, b): n / (firsts[a] if first else 1) / (seconds[b] if second else 1) for (a, b), n in found.items()}
    return commonest(share)


def unordered(words):
    found = Counter()
    for pair, count in count_pairs(words).items():
        found[tuple(sorted(pair))] += count
    return found


def across(words):
    text = [piece for pieces, count in words.items() for _ in range(count) for piece in pieces]
    return commonest(Counter(zip(text, text[1:], strict=False)))


WORDS = [
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


def draw_letters(g, n):
    return g.choice(list(string.ascii_lowercase), n, replace=False).tolist()


def draw_words(g, letters, n, counts, longest=5):
    """n words of these many letters; the fewer there are, the more pairs tie."""
    pieces, made = draw_letters(g, letters), {}
    for _ in range(n):
        made[tuple(g.choice(pieces, g.integers(2, longest + 1)).tolist())] = int(g.choice(counts))
    return (made,)


def draw_longer(g, kind):
    """Pairs that tie, but change their order when joined; or more letters, less often."""
    a, b, c, d = sorted(draw_letters(g, 4))
    n = int(g.integers(2, 6))
    if kind == "tied":
        return ({(a + b, c): n, (a, d): n, (c, d): 1},)
    return ({(a + b + c, d + c + b): n, (b, d): n + 1},)


merging = exercise(
    "word_vectors.1",
    next_pair,
    title="The next byte pair",
    points=1,
    difficulty=1,
    minutes=7,
    statement=[
        says("Byte-pair encoding joins the commonest pair of neighboring pieces.", mistake="Neighbors alone count"),
        says(
            "`words` says how each word is cut so far, and how often the word occurs.",
            mistake="You counted each word once",
        ),
        context("At least one word has two pieces or more."),
        example("""
words = {("r", "e", "d"): 5, ("r", "e", "d", "d", "e", "r"): 2, ("b", "e", "d"): 3}
for pieces, count in words.items():
    print(f"{' '.join(pieces):12}", count, "times, pairs:", list(zip(pieces, pieces[1:], strict=False)))
"""),
        context(
            "*e d* stands once in each of the three words, so it comes 5 + 2 + 3 = 10 times; *r e* only 7 times. The "
            'answer is `("e", "d")`.'
        ),
        says(
            "Every place counts, overlapping ones too: in *a a a* the pair *a a* stands twice.",
            mistake="You skipped places that overlap",
        ),
        paragraph(),
        says(
            "**Write** `next_pair(words)`. Return the pair as `(first, second)`.", mistake="You joined the pair already"
        ),
        says(
            "If several come equally often, take the first by alphabet (Python's own order of tuples), so that everyone "
            "learns the same merges.",
            mistake="you took the one met first",
        ),
    ],
    hints=[
        "Keep a dict from pair to count. Go through the words, and through the neighbors in each; what do you add each "
        "time?",
        "Add the word's count, not 1. At the end `min(found, key=lambda pair: (-found[pair], pair))` takes the largest "
        "count first and then the first by alphabet.",
    ],
    draw=draw_words,
    parts=[
        part("small vocabularies", public_only=True, inputs=[(words,) for words in WORDS]),
        part("no ties", weight=2, letters=4, n=5, counts=[3, 5, 7, 11, 19]),
        part("ties", weight=2, letters=3, n=4, counts=[2], longest=3),
        part("the same piece again and again", letters=2, n=3, counts=[1, 2, 3]),
        part("pieces of several letters", draw=draw_longer, kind=in_turn("tied", "rare")),
    ],
    own={"letters": 3, "n": 3, "counts": [2, 3, 4, 5], "longest": 4},
    own_says="Words of your own",
    mistakes={
        "Several pairs come equally often, and you compared them joined to one text. Compare the tuples: "
        "first piece with first piece, then second with second.": edit(
            "(-found[pair], pair)", '(-found[pair], "".join(pair))'
        ),
        "Pairs that come equally often may begin with the same piece: then the second decides. Compare whole tuples.": (
            edit("(-found[pair], pair)", "(-found[pair], pair[0])")
        ),
        "Several pairs come equally often, and you compared their second pieces. The first piece decides first.": edit(
            "(-found[pair], pair)", "(-found[pair], pair[1])"
        ),
        "You skipped places that overlap. In `a a a` the pair (a, a) stands twice: count every place.": (
            lambda words: commonest(count_pairs(words, apart))
        ),
        "You paired each piece with every later one. Neighbors alone count: `zip(pieces, pieces[1:])`.": all_pairs,
        "You weighed a pair by its letters. Only how often it stands counts, however long its pieces are.": by_length,
        "You divided a pair's count by that of its pieces. The plain count decides, however common the pieces are.": [
            lambda words: by_share(words, first=True),
            lambda words: by_share(words, second=True),
            lambda words: by_share(words, first=True, second=True),
        ],
        "You counted each word once. A word that occurs 5 times adds 5 to each of its pairs.": edit("+ count", "+ 1"),
        "A pair that stands twice in one word was counted once there. Count every place where it stands.": (
            lambda words: commonest(count_pairs(words, set))
        ),
        "You joined the pair already. Return its two pieces, as (first, second).": (
            lambda words: "".join(next_pair(words))
        ),
        "You counted (a, b) and (b, a) together. Which piece comes first matters.": (
            lambda words: commonest(unordered(words))
        ),
        "You looked at the first two pieces of each word only. Every pair of neighbors counts.": (
            lambda words: commonest(count_pairs(words, lambda pairs: pairs[:1]))
        ),
        "You returned how often the pair comes. Return the pair.": lambda words: count_pairs(words)[next_pair(words)],
        "The two pieces are in the wrong order: first the left one, then the right one.": (
            lambda words: next_pair(words)[::-1]
        ),
        "You returned the count as well. Return the pair alone: (first, second).": [
            lambda words: (next_pair(words), count_pairs(words)[next_pair(words)]),
            lambda words: count_pairs(words).most_common(1)[0],
        ],
        "That is the rarest pair. Join what comes most often.": edit("-found[pair]", "found[pair]"),
        "Several pairs come equally often, and you took the one met first. Take the first by alphabet, so that "
        "everyone learns the same merges.": edit("(-found[pair], pair)", "-found[pair]"),
        "Several pairs come equally often, and you took the last by alphabet. Take the first.": (
            lambda words: max(count_pairs(words), key=lambda pair: (count_pairs(words)[pair], pair))
        ),
        "You counted pairs across the edge of two words. Pieces of different words are no neighbors.": across,
    },
    praise="Call it again and again, and you have a tokenizer.",
    names=("first", "second"),
)


@right(merging)
def by_counting_all(words):
    found = count_pairs(words)
    most = max(found.values())
    return sorted(pair for pair, count in found.items() if count == most)[0]
