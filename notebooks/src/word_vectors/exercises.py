"""The next byte pair, analogies with their luck, a challenge, and blanks; fastText's loss is in the file for PyTorch."""

import string
from collections import Counter
from itertools import combinations

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    in_turn,
    lesson,
    paragraph,
    part,
    right,
    says,
)

lesson(
    "word_vectors",
    promise="Learn the pieces of words by hand, judge analogies by their luck, and give vectors to words never seen.",
    uses="Python and NumPy; the third one PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

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


# ---------------------------------------------------------------- 2
def analogy_shares(vectors, questions):
    """vectors (n, d), questions (m, 4) ids a, b, c, d → share right: as usual, nothing excluded, without a step."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    usual, allowed, no_step = [], [], []
    for a, b, c, d in questions:
        scores = unit @ (unit[b] - unit[a] + unit[c])
        near_c = unit @ unit[c]
        allowed.append(np.argmax(scores) == d)
        scores[[a, b, c]] = -np.inf
        near_c[[a, b, c]] = -np.inf
        usual.append(np.argmax(scores) == d)
        no_step.append(np.argmax(near_c) == d)
    return np.mean(usual), np.mean(allowed), np.mean(no_step)


def found_answers(vectors, a, b, c):
    """The answers of the three ways, and of some wrong ones, so that questions can be drawn that tell them apart."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kept = [i for i in range(len(vectors)) if i not in (a, b, c)]
    with_step, raw = unit @ (unit[b] - unit[a] + unit[c]), vectors @ (vectors[b] - vectors[a] + vectors[c])

    def best(scores, among):
        return max(among, key=lambda i: scores[i])

    everything = range(len(vectors))
    return {
        "usual": best(with_step, kept),
        "allowed": best(with_step, everything),
        "no step": best(unit @ unit[c], kept),
        "raw": best(raw, kept),
        "raw, allowed": best(raw, everything),
        "back": best(unit @ (unit[a] - unit[b] + unit[c]), kept),
        "nearest to b": best(unit @ unit[b], kept),
        "not c": best(with_step, [i for i in everything if i != c]),
        "near c, not c": best(unit @ unit[c], [i for i in everything if i != c]),
    }


def draw_questions(g, n, d, m, scale=1.0):
    """Words of different lengths; each question's answer is what one of the ways finds."""
    vectors = (g.normal(size=(n, d)) * g.uniform(1, 1 + 3 * scale, (n, 1))).round(2)
    vectors[1 : n // 2] = vectors[0] + 0.7 * vectors[1 : n // 2]  # some lie close together
    questions = []
    for _ in range(m):
        a, b, c = g.choice(n, 3, replace=False).tolist()
        ways = list(found_answers(vectors, a, b, c).values())
        questions.append((a, b, c, int(g.choice(ways))))
    return vectors, np.array(questions)


def shares(vectors, questions, *, unit=True, step=1, exclude=(0, 1, 2), near=2, near_exclude=(0, 1, 2), nearest=max):
    """The right answer with other choices."""
    x = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if unit else vectors
    found = []
    for question in questions.tolist():
        a, b, c, d = question
        with_step, without = x @ (step * (x[b] - x[a]) + x[c]), x @ x[question[near]]
        row = []
        for scores, left_out in ((with_step, exclude), (with_step, ()), (without, near_exclude)):
            among = [i for i in range(len(x)) if i not in [question[k] for k in left_out]]
            row.append(nearest(among, key=lambda i: scores[i]) == d)
        found.append(row)
    return tuple(np.mean(found, axis=0))


def by_distance(vectors, questions):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = []
    for a, b, c, d in questions:
        far = np.linalg.norm(unit - (unit[b] - unit[a] + unit[c]), axis=1)
        near_c = np.linalg.norm(unit - unit[c], axis=1)
        row = [far.argmin() == d]
        far[[a, b, c]] = near_c[[a, b, c]] = np.inf
        found.append([far.argmin() == d, *row, near_c.argmin() == d])
    return tuple(np.mean(found, axis=0))


luck = exercise(
    "word_vectors.2",
    analogy_shares,
    title="Analogies and their luck",
    points=3,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            "A score of analogies says little without its controls. Compute it in three ways. `vectors` (n, d) holds one row "
            "per word, and each row of `questions` (m, 4) has the ids a, b, c, d: *a is to b as c is to d*."
        ),
        says("First scale every vector to length 1.", mistake="not scaled to length 1"),
        says(
            "The answer of a question is the word with the highest cosine with $v_b - v_a + v_c$;",
            mistake="other way round",
        ),
        context("it is right if it is d."),
        example("""
vectors = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 2.0], [-0.6, 0.8]])  # four words
directions = (vectors.T / np.linalg.norm(vectors, axis=1)).T  # every row has length 1
scores = directions @ (directions[1] - directions[0] + directions[2])  # 0 is to 1 as 2 is to ...?
print("scores", scores.round(2), "→ the answer is 3, whether 0, 1 and 2 may be answers or not")
"""),
        context("**Write** `analogy_shares(vectors, questions)`. Return three shares of right answers:"),
        says("as usual, where a, b and c themselves cannot be the answer;", mistake="Your first share allows"),
        says("with every word allowed;", mistake="Your second share excludes"),
        says("and without a step, where the answer is the word nearest to c", mistake="nearest to b"),
        says("and a, b and c cannot be it.", mistake="Your third share allows"),
    ],
    hints=[
        "Per question two rows of cosines are enough: one with the step, one without. Which of the three shares come from "
        "which row?",
        "`unit @ (unit[b] - unit[a] + unit[c])` ranks words as the cosine does, since the length of the right side is the same "
        "for all. Set `scores[[a, b, c]] = -np.inf` before `argmax`, but only after the second share is counted.",
    ],
    draw=draw_questions,
    parts=[
        part("a few words", n=8, d=2, m=between(6, 10)),
        part("more words and numbers", weight=2, n=between(10, 14), d=between(3, 5), m=12),
        part("vectors of very different lengths", n=10, d=3, m=12, scale=3.0),
        part("a single question", n=7, d=3, m=1),
    ],
    own={"n": 6, "d": 2, "m": 5},
    own_says="Words and questions of your own",
    mistakes={
        "The vectors were not scaled to length 1: a long vector counts more than a short one. Divide each row by its length.": (
            lambda v, q: shares(v, q, unit=False)
        ),
        "You used cosines of the unscaled step. First scale the vectors, then subtract and add.": (
            lambda v, q: unscaled_step(v, q)
        ),
        "You took the step the other way round. It leads from a to b: v_b - v_a.": lambda v, q: shares(v, q, step=-1),
        "Your first share allows a, b and c as answers. They are excluded there.": (
            lambda v, q: shares(v, q, exclude=())
        ),
        "Your first share excludes only c. The words a and b cannot be answers either.": (
            lambda v, q: shares(v, q, exclude=(2,))
        ),
        "Your second share excludes a, b and c. There every word is allowed.": (
            lambda v, q: (shares(v, q)[0], shares(v, q)[0], shares(v, q)[2])
        ),
        "Your third share looks for the word nearest to b. It should be the one nearest to c.": (
            lambda v, q: shares(v, q, near=1)
        ),
        "Your third share allows a, b and c as answers, and c is always nearest to itself.": (
            lambda v, q: shares(v, q, near_exclude=())
        ),
        "Your third share excludes only c. The words a and b cannot be answers either.": (
            lambda v, q: shares(v, q, near_exclude=(2,))
        ),
        "You took the lowest cosine. The answer has the highest.": lambda v, q: shares(v, q, nearest=min),
        "You returned how many are right. Shares are wanted: divide by the number of questions.": (
            lambda v, q: tuple(len(q) * share for share in shares(v, q))
        ),
        "You returned how many are wrong. The shares of right answers are wanted.": (
            lambda v, q: tuple(1 - share for share in shares(v, q))
        ),
    },
    praise="Put all three into every table of analogies.",
    names=("usual", "allowed", "no_step"),
)


def unscaled_step(vectors, questions):
    """Cosines of the raw step with unit vectors."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = []
    for a, b, c, d in questions:
        scores = unit @ (vectors[b] - vectors[a] + vectors[c])
        near_c = unit @ unit[c]
        row = [scores.argmax() == d]
        scores[[a, b, c]] = near_c[[a, b, c]] = -np.inf
        found.append([scores.argmax() == d, *row, near_c.argmax() == d])
    return tuple(np.mean(found, axis=0))


@right(luck)
def all_questions_at_once(vectors, questions):
    unit = vectors / np.sqrt((vectors**2).sum(axis=1))[:, None]
    a, b, c, d = questions.T
    rows = np.arange(len(questions))[:, None]
    with_step = (unit[b] - unit[a] + unit[c]) @ unit.T  # (m, n)
    without = unit[c] @ unit.T
    allowed = (with_step.argmax(axis=1) == d).mean()
    with_step[rows, questions[:, :3]] = without[rows, questions[:, :3]] = -9
    return (with_step.argmax(axis=1) == d).mean(), allowed, (without.argmax(axis=1) == d).mean()


# ---------------------------------------------------------------- an open challenge
NUM_CONCEPTS, NUM_TWO, NUM_GLUE = 160, 60, 12
NUM_WORDS = NUM_CONCEPTS + NUM_TWO + NUM_GLUE
NUM_SENTENCES, LENGTH = 4000, 12


def draw_language(g):
    """Sentences of a made-up language (4000, 12), words that have a synonym (120,); the synonyms stay hidden.

    A concept is followed by one of 14 others, its own, or by any. Small words stand between. 60 concepts have two names,
    of which the second is used in 5 to 15 % of the cases.
    """
    followers = np.array([g.choice(NUM_CONCEPTS, 14, replace=False) for _ in range(NUM_CONCEPTS)])
    frequency = g.dirichlet(np.ones(NUM_CONCEPTS))
    glue = g.dirichlet(0.7 * np.ones(NUM_GLUE))
    two = g.permutation(NUM_CONCEPTS)[:NUM_TWO]
    share_of_first = np.ones(NUM_CONCEPTS)
    share_of_first[two] = g.uniform(0.85, 0.95, NUM_TWO)
    second_name = np.arange(NUM_CONCEPTS)
    second_name[two] = NUM_CONCEPTS + np.arange(NUM_TWO)
    sentences = np.zeros((NUM_SENTENCES, LENGTH), int)
    concept = g.choice(NUM_CONCEPTS, NUM_SENTENCES, p=frequency)
    for position in range(LENGTH):
        is_glue = g.random(NUM_SENTENCES) < 0.45
        following = followers[concept, g.integers(0, followers.shape[1], NUM_SENTENCES)]
        anything = g.choice(NUM_CONCEPTS, NUM_SENTENCES, p=frequency)
        following = np.where(g.random(NUM_SENTENCES) < 0.4, anything, following)
        concept = np.where(is_glue, concept, following)
        first = g.random(NUM_SENTENCES) < share_of_first[concept]
        name = np.where(first, concept, second_name[concept])
        small = NUM_CONCEPTS + NUM_TWO + g.choice(NUM_GLUE, NUM_SENTENCES, p=glue)
        sentences[:, position] = np.where(is_glue, small, name)
    renamed = g.permutation(NUM_WORDS)  # an id says nothing
    words = np.concatenate([two, second_name[two]])
    synonyms = np.concatenate([second_name[two], two])
    order = g.permutation(len(words))
    inputs = {"sentences": renamed[sentences], "queries": renamed[words[order]]}
    return Drawn(inputs, renamed[synonyms[order]])


def share_of_synonyms(handed_in, inputs, synonyms):
    """The share of queries whose synonym was named."""
    return np.mean(handed_in["synonyms"] == synonyms)


challenge(
    "word_vectors.challenge",
    title="Synonyms of a language that nobody speaks",
    statement=[
        "`sentences` (4000, 12) holds sentences of a made-up language as word ids, 232 words in all. 60 of its concepts have",
        "two names, a frequent one and a rare one, used in the same places; `queries` (120,) lists both names of each, in random",
        "order. For each query hand in the id of the other name. The score is the share of right ones; by chance it would be",
        "below 0.01. The nearest by counts within two words reaches about 0.15, by PPMI about 0.45. Does it matter on which side",
        "a word stands? What are the small words good for? And whose synonym can a word be?",
    ],
    draw=draw_language,
    score=share_of_synonyms,
    hand_in={"synonyms": Array((2 * NUM_TWO,), "integer")},
    to_beat=0.6,
    points_by_score={0.6: 1, 0.75: 2, 0.85: 3},
    minutes=60,
    score_name="share of synonyms",
)


# ---------------------------------------------------------------- blanks of the lesson
def counted(sentences, num_words, window, own=False, before=True, after=True, once=False):
    """A version of `count_pairs` with parts replaced."""
    counts = np.zeros((num_words, num_words))
    for sentence in sentences:
        for i, center in enumerate(sentence):
            first = max(0, i - window) if before else i
            last = min(len(sentence), i + window + 1) if after else i + 1
            near = [sentence[j] for j in range(first, last) if own or j != i]
            for word in set(near) if once else near:
                counts[center, word] += 1
    return counts


def slice_below_zero(sentences, num_words, window):
    """i - window may be negative: then the slice is empty."""
    counts = np.zeros((num_words, num_words))
    for sentence in sentences:
        for i, center in enumerate(sentence):
            for word in sentence[i - window : i] + sentence[i + 1 : i + 1 + window]:
                counts[center, word] += 1
    return counts


@blank(
    "word_vectors.blank.1",
    title="Counting pairs",
    inputs=[
        ([[0, 1, 2, 3]], 4, 1),
        ([[0, 1, 0, 2, 1]], 3, 2),
        ([[2, 2, 1], [0]], 3, 2),
        ([[1, 0, 3, 0, 1], [3, 1]], 5, 3),
    ],
    mistakes=[
        (lambda s, n, w: counted(s, n, w, own=True), "The center counts as its own context: leave out j = i."),
        (lambda s, n, w: counted(s, n, w, before=False), "Contexts before the center are missing."),
        (lambda s, n, w: counted(s, n, w, after=False), "Contexts after the center are missing."),
        (
            slice_below_zero,
            "Near the beginning of a sentence contexts are missing: i - window is negative there, and such a slice is empty.",
        ),
        (lambda s, n, w: counted(s, n, w + 1), "Your window is one word too wide."),
        (
            lambda s, n, w: counted(s, n, max(w - 1, 0)),
            "Your window is one word too narrow: `range` leaves out its end.",
        ),
        (lambda s, n, w: counted(s, n, w, once=True), "A word that is twice in the window counts twice."),
        (
            lambda s, n, w: counted([[word for sentence in s for word in sentence]], n, w),
            "You counted across the ends of sentences.",
        ),
    ],
    what="The table",
)
def count_in_windows(sentences, num_words, window):
    return counted(sentences, num_words, window)


def pmi_of(counts, log=np.log, rows=True, columns=True, cut=True, total=None):
    """A version of `positive_pmi` with parts replaced."""
    total = counts.sum() if total is None else total
    expected = np.ones_like(counts)
    if rows:
        expected = expected * counts.sum(axis=1, keepdims=True)
    if columns:
        expected = expected * counts.sum(axis=0, keepdims=True)
    with np.errstate(divide="ignore"):
        pmi = log(counts * total / expected)
    return np.maximum(pmi, 0) if cut else np.where(counts > 0, pmi, 0)


@blank(
    "word_vectors.blank.2",
    title="Positive PMI",
    inputs=[
        (np.array([[2.0, 6, 5, 5], [6, 0, 0, 2], [5, 0, 0, 1], [5, 2, 1, 0]]),),
        (np.array([[4.0, 1], [1, 3], [2, 2]]),),
        (np.array([[9.0, 1, 1], [1, 0, 7]]),),
    ],
    mistakes=[
        (lambda c: pmi_of(c, cut=False), "Negative values are still there: everything below 0 becomes 0."),
        (lambda c: pmi_of(c, log=np.log2), "You took the logarithm to base 2. `np.log`, the natural one, is meant."),
        (lambda c: pmi_of(c, log=np.log10), "You took the logarithm to base 10. `np.log`, the natural one, is meant."),
        (lambda c: pmi_of(c, log=lambda x: x), "The logarithm is missing."),
        (
            lambda c: pmi_of(c, total=1.0),
            "The total is missing: the shares are counts divided by the sum of all counts.",
        ),
        (
            lambda c: np.maximum(c - c.sum(axis=1, keepdims=True) * c.sum(axis=0) / c.sum(), 0),
            "You subtracted the expected count. PMI is the logarithm of the ratio.",
        ),
        (
            lambda c: np.log1p(pmi_of(c, log=lambda x: x, cut=False)),
            "You added 1 before the logarithm. Take the logarithm of the ratio itself, and 0 where it is negative.",
        ),
    ],
    what="The table",
)
def positive_pmi(counts):
    return pmi_of(counts)


def stepped(v, u, target=1, first=True, swap=False, sign=1):
    """A version of `gradients` with parts replaced."""
    g = 1 / (1 + np.exp(-(u @ v)))
    if first:
        g[0] -= target
    return sign * (g @ u), sign * np.outer(g, v)


def draw_vectors():
    g = np.random.default_rng(0)
    return [
        (g.normal(size=d).round(2), g.normal(size=(1 + k, d)).round(2)) for d, k in ((2, 1), (3, 4), (4, 2), (2, 0))
    ]


@blank(
    "word_vectors.blank.3",
    title="Gradients of negative sampling",
    inputs=draw_vectors,
    mistakes=[
        (
            lambda v, u: stepped(v, u, first=False),
            "The real pair is treated as a negative: subtract its target 1 from g[0].",
        ),
        (lambda v, u: stepped(v, u, sign=-1), "The sign is wrong: g is probability minus target."),
        (
            lambda v, u: (stepped(v, u)[0], stepped(v, u)[1] * 0 + stepped(v, u)[1].sum(axis=0)),
            "Each row of u has a gradient of its own, its g times v. You gave all rows the sum.",
        ),
        (
            lambda v, u: (stepped(v, u)[0] / len(u), stepped(v, u)[1]),
            "The gradient of v is a sum over the rows, not a mean.",
        ),
        (
            lambda v, u: (u.T @ (u @ v - np.eye(len(u))[0]), np.outer(u @ v - np.eye(len(u))[0], v)),
            "The scores went in without the sigmoid: g is a probability minus a target.",
        ),
        (
            lambda v, u: softmax_version(v, u),
            "That is the gradient of the softmax. Here each row is a question of its own: use the sigmoid.",
        ),
    ],
    names=("grad_v", "grad_u"),
)
def gradients(v, u):
    return stepped(v, u)


def softmax_version(v, u):
    p = np.exp(u @ v) / np.exp(u @ v).sum()
    g = p - np.eye(len(u))[0]
    return g @ u, np.outer(g, v)
