"""TF-IDF of any table, stop words that are dangerous to remove, and a challenge; a module is in the file for PyTorch."""

import string
import unicodedata
from itertools import combinations

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.captions import ENGLISH, article, english
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
    "text",
    promise="Weigh words, judge which of them may go, and average word vectors by their weights in PyTorch.",
    uses="Python and NumPy; the last one PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def tf_idf(counts):
    """counts (n, v) → weights (n, v), each row of length 1, or 0 if the text is empty."""
    n = len(counts)
    df = (counts > 0).sum(axis=0)  # (v,)
    idf = np.log((1 + n) / (1 + df)) + 1
    weights = counts * idf
    lengths = np.linalg.norm(weights, axis=1, keepdims=True)  # (n, 1)
    return weights / np.where(lengths == 0, 1, lengths)


def draw_texts(g, n, v, empty=False):
    counts = g.poisson(0.9, (n, v))
    counts[:, 0] += 1
    if empty:
        counts[g.integers(n)] = 0
    return (counts,)


weighing = exercise(
    "text.1",
    tf_idf,
    title="TF-IDF for any table",
    points=2,
    difficulty=2,
    minutes=10,
    statement=[
        context("`counts[i, v]` says how often word `v` occurs in text `i`."),
        says(
            r"Of `n` texts, $\text{df}_v$ have word `v` at least once.",
            mistake="Your df counts all occurrences of a word",
        ),
        says(
            r"$$w_{iv} = \text{tf}_{iv}\left(\ln\frac{1 + n}{1 + \text{df}_v} + 1\right), \qquad \text{then each row "
            r"divided by its length}$$",
            mistake="Your idf has no ones in the fraction",
        ),
        example("""
counts = np.array([[1, 1, 0], [2, 0, 1]])  # two texts, three words
idf = np.log(3 / (1 + np.array([2, 1, 1]))) + 1
print("idf        ", idf.round(3))
print("first row  ", (counts[0] * idf).round(3), "of length", np.linalg.norm(counts[0] * idf).round(3))
"""),
        context("**Write** `tf_idf(counts)` for any table `(n, v)` of whole numbers."),
        says("Return numbers of the same shape.", ignored="return (weights / np.where(lengths == 0, 1, lengths)).T"),
        says("A text without any word keeps a row of zeros: no NaN.", mistake="0 / 0 is NaN"),
    ],
    hints=[
        "`df` is about texts, not about occurrences: a word that occurs twice in one text counts once. `counts > 0` is a "
        "good start.",
        "`np.linalg.norm(weights, axis=1, keepdims=True)` gives the lengths as a column. Put 1 where a length is 0, then "
        "divide.",
    ],
    draw=draw_texts,
    parts=[
        part(
            "small tables",
            public_only=True,
            inputs=[
                # texts that have a word once, more than once, and at all are three different numbers
                (np.array([[2, 1, 0], [3, 1, 1]]),),
                (np.array([[1, 1, 0], [2, 0, 1]]),),
                (np.array([[1, 2, 0], [0, 0, 0], [4, 0, 1]]),),
            ],
        ),
        part("several texts", weight=2, n=between(2, 6), v=between(2, 6)),
        part("an empty text", n=between(3, 5), v=4, empty=True),
        part("a single text", n=1, v=between(2, 5)),
    ],
    own=lambda g: (g.integers(0, 9, (2, 3)) + np.eye(2, 3, dtype=int),),
    own_says="Counts of your own to weigh by hand",
    mistakes={
        "There is no idf in it: these are counts of length 1. Weigh the columns first.": "weights = counts * 1.0",
        "Your idf has no ones in the fraction. Here it is ln((1 + n) / (1 + df)) + 1, as if one text more had it all.": (
            "idf = np.log(n / df) + 1"
        ),
        "The last + 1 is missing: a word that every text has would get weight 0 and vanish.": (
            "idf = np.log((1 + n) / (1 + df))"
        ),
        "You took the logarithm to base 10. `np.log`, the natural one, is meant.": edit("np.log(", "np.log10("),
        "Your df counts all occurrences of a word. It is the number of texts that have it: `(counts > 0).sum(axis=0)`.": (
            "df = counts.sum(axis=0)"
        ),
        "Your df leaves out texts that have the word more than once. Count all that have it: `counts > 0`.": (
            "df = (counts == 1).sum(axis=0)"
        ),
        "Your idf is not the one asked for: ln((1 + n) / (1 + df)) + 1. Each of the three ones has its place.": [
            "idf = np.log((1 + n) / (1 + df) + 1)",
            "idf = np.log(n / (1 + df)) + 1",
            "idf = np.log((1 + n) / df) + 1",
            "idf = np.log(1 + n / df)",
            "idf = np.log(1 + n / (1 + df))",
            "idf = np.log((1 + n) / (1 + df) + 1) + 1",
        ],
        "Your tf is not the plain count: no logarithm, and more than 0 and 1.": [
            "weights = np.log1p(counts) * idf",
            "weights = (counts > 0) * idf",
            "weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * idf",
        ],
        "You multiply by how common a word is. Rare words must weigh more: turn the fraction over and take its log.": (
            "idf = (1 + df) / (1 + n)"
        ),
        "The weights are right but not scaled. Divide each row by its length.": "return weights",
        "You divided each row by its sum. Its *length* is the root of the sum of squares: `np.linalg.norm`.": (
            "lengths = weights.sum(axis=1, keepdims=True)"
        ),
        "You scaled the columns to length 1. A text is a row: its length runs along `axis=1`.": (
            "lengths = np.linalg.norm(weights, axis=0, keepdims=True)"
        ),
        "You divided by one length for the whole table. Each row has its own: `axis=1, keepdims=True`.": (
            "lengths = np.linalg.norm(weights)"
        ),
        "An empty text has length 0, and 0 / 0 is NaN. Leave its row at 0: divide by 1 there.": (
            "return weights / lengths"
        ),
        "Your n leaves out empty texts. It is the number of all texts, `len(counts)`.": (
            "n = (counts.sum(axis=1) > 0).sum()"
        ),
        "You divided the counts by their length, before the idf was in them. Weigh first; the *weighted* row gets "
        "length 1.": [
            "lengths = np.linalg.norm(counts, axis=1, keepdims=True)",
            "lengths = counts.sum(axis=1, keepdims=True)",
        ],
        "You took the logarithm to base 2. `np.log`, the natural one, is meant.": edit("np.log(", "np.log2("),
    },
    praise="Equal to scikit-learn's TfidfTransformer.",
)


@right(weighing)
def text_by_text(counts):
    df = np.count_nonzero(counts, axis=0)
    rows = counts * (1 + np.log1p(len(counts)) - np.log1p(df))
    return np.array([row / (np.sqrt(row @ row) or 1) for row in rows])


# ---------------------------------------------------------------- 2
def dangerous(sentences, labels, stop_words):
    """sentences: list of str; labels: one each; stop_words: list of str. Return a sorted list of words."""
    found = []
    for word in stop_words:
        short = [[w for w in sentence.split() if w != word] for sentence in sentences]
        pairs = [(i, j) for i in range(len(short)) for j in range(i) if short[i] == short[j]]
        if any(labels[i] != labels[j] and sentences[i] != sentences[j] for i, j in pairs):
            found.append(word)
    return sorted(found)


def words_left(sentence, word):
    return [w for w in sentence.split() if w != word]


def bags_from_the_start(sentences, labels, stop_words):
    """Sentences are bags throughout: two with the same words in another order were never different."""
    return dangerous([" ".join(sorted(s.split())) for s in sentences], labels, stop_words)


def one_removed(sentence, word):
    words = sentence.split()
    if word in words:
        words.remove(word)
    return words


def comparing(cut):
    """The right answer with another way to compare what is left of two sentences."""

    def answer(sentences, labels, stop_words):
        told_apart = list(combinations(zip(sentences, labels, strict=True), 2))
        pairs = [(s, t) for (s, x), (t, y) in told_apart if x != y and s != t]
        return sorted(word for word in stop_words if any(cut(s, word) == cut(t, word) for s, t in pairs))

    return answer


def all_at_once(sentences, labels, stop_words):
    bare = [[w for w in s.split() if w not in stop_words] for s in sentences]
    found = set()
    for i, j in combinations(range(len(sentences)), 2):
        if labels[i] != labels[j] and sentences[i] != sentences[j] and bare[i] == bare[j]:
            found |= set(sentences[i].split()) ^ set(sentences[j].split())
    return sorted(found & set(stop_words))


def one_after_the_other(sentences, labels, stop_words):
    """Each word is removed from what the words before it have left."""
    found, current = [], list(sentences)
    for word in stop_words:
        short = [" ".join(words_left(s, word)) for s in current]
        for i, j in combinations(range(len(short)), 2):
            if short[i] == short[j] and current[i] != current[j] and labels[i] != labels[j]:
                found.append(word)
                break
        current = short
    return sorted(found)


def in_one_only(sentences, labels, stop_words):
    found = set()
    for word in stop_words:
        for (a, x), (b, y) in combinations(list(zip(sentences, labels, strict=True)), 2):
            if x != y and (word in a.split()) != (word in b.split()) and words_left(a, word) == words_left(b, word):
                found.add(word)
    return sorted(found)


def one_label_each(sentences, labels, stop_words):
    known = dict(zip(sentences, labels, strict=True))
    return dangerous(list(known), list(known.values()), stop_words)


CASES = {  # for each way to go wrong one, so that the message can name it
    "labels": (
        ["the film was good", "the film was not good", "a film was good", "good film"],
        ["praise", "blame", "praise", "praise"],
        ["the", "not", "was"],
    ),
    "one label": (["it was no help", "it was help", "it was very good", "it was good"], [0, 1, 1, 1], ["very", "no"]),
    "letters": (["nothing helps", "thing helps", "stay on", "stay"], [0, 1, 1, 0], ["no", "on"]),
    "equal before": (["good", "good", "stay on", "stay"], [0, 1, 0, 1], ["on", "is"]),
    "twice": (["so so good", "good", "stay on", "stay"], [0, 1, 0, 1], ["so", "on"]),
    "repetition": (["good good", "good", "stay on", "stay"], [0, 1, 0, 1], ["on", "is"]),
    "order": (["bad as good", "good as bad", "stay on", "stay"], [0, 1, 0, 1], ["on", "is"]),
    "alone": (
        ["we did not like it", "we like it", "we did like it", "stay on", "stay"],
        [0, 1, 1, 0, 1],
        ["not", "did", "on"],
    ),
    "alphabet": (
        ["she was up", "she was", "he was on", "he was", "was it on", "it was"],
        [1, 0] * 3,
        ["up", "on", "was"],
    ),
    "in both": (["is it good", "it is good", "stay on", "stay"], [0, 1, 0, 1], ["is", "on"]),
    "two labels": (["good", "not good", "good"], [0, 1, 1], ["not"]),
    "spaces": (["no where", "nowhere", "stay on", "stay"], [0, 1, 0, 1], ["on", "is"]),
    "in turn": (["a b c", "b", "c b", "stay on", "stay"], [0, 1, 1, 0, 1], ["a", "c", "on"]),
}


def draw_case(g, name):
    """A case in other letters, with other labels, its sentences and stop words in another order."""
    sentences, labels, stop_words = CASES[name]
    letters = list(string.ascii_lowercase)
    other = str.maketrans(dict(zip(letters, g.permutation(letters), strict=True)))
    order = g.permutation(len(sentences))
    names = dict(zip(sorted(set(labels)), g.permutation(["joy", "rage", "fear"]).tolist(), strict=False))
    stop = [word.translate(other) for word in stop_words]
    return (
        [sentences[i].translate(other) for i in order],
        [names[labels[i]] for i in order],
        g.permutation(stop).tolist(),
    )


def draw_sentences(g, n):
    first = g.choice(list(string.ascii_lowercase), 5, replace=False)  # no word comes twice
    words = [letter + "".join(g.choice(list(string.ascii_lowercase), 2)) for letter in first]
    sentences = [" ".join(g.choice(words, g.integers(1, 4))) for _ in range(n)]
    return sentences, g.integers(0, 2, n).tolist(), words[:3]


def draw_nothing_left(g):
    """A sentence that is nothing but a stop word, and an empty one."""
    word, other = g.permutation(["no", "oh", "so", "ah"])[:2].tolist()
    return [word, "", f"{other} {word}"], g.permutation([0, 1, 2]).tolist(), [other, word]


def draw_no_stop_words(g):
    sentences, labels, _ = draw_sentences(g, 4)
    return sentences, labels, []


def draw_own_sentences(g):
    thing = g.choice(["film", "song", "book", "play", "meal", "game", "trip", "talk", "team", "house"]).item()
    word = g.choice(["never", "hardly", "not", "barely", "seldom"]).item()
    verb = g.choice(["was", "is", "seems", "looks", "seemed", "looked"]).item()
    praise = g.choice(["good", "fine", "nice", "great", "bright"]).item()
    article = g.choice(["the", "this", "that", "my", "your", "our", "their"]).item()
    longest = f"{article} {thing} {verb} {word} {praise}"
    sentences = [longest, f"{article} {thing} {verb} {praise}", f"{thing} {verb} {praise}"]
    order = g.permutation(3)
    stop_words = g.permutation([article, word, thing]).tolist()
    return [sentences[i] for i in order], [[0, 1, 1][i] for i in order], stop_words


danger = exercise(
    "text.2",
    dangerous,
    title="Which words are dangerous to remove?",
    points=3,
    difficulty=3,
    minutes=15,
    statement=[
        context(
            "A stop list from a book knows neither your sentences nor your labels. Here is a judgment that you can "
            "compute."
        ),
        says(
            "Removing a word is **dangerous** if it makes two sentences that were different,", mistake="from the start"
        ),
        says("*and have different labels*, the same.", mistake="only if their labels differ"),
        context("No model can tell them apart after that."),
        example("""
sentences = ["the film was good", "the film was not good", "film was good"]
labels = ["praise", "blame", "praise"]
for word in ("the", "not", "was"):
    print(f"without {word:4}", [[w for w in s.split() if w != word] for s in sentences])
"""),
        context(
            "Without *not*, the first two become one, though one is praise and one is blame: dangerous. Without *the*, "
            'first and third become one, but both are praise: harmless. So the answer is `["not"]`.'
        ),
        paragraph(),
        says(
            "**Write** `dangerous(sentences, labels, stop_words)`. Try each stop word *alone*, the others left in place,",
            mistake="You removed all stop words at once",
        ),
        says("and start each time from the whole sentences.", mistake="stay removed"),
        says("A stop word goes wherever it stands in a sentence.", mistake="only the first of several"),
        says("Words are separated by single spaces;", mistake="You removed letters, not words"),
        says("an empty sentence has none;", ignored=edit("sentence.split()", 'sentence.split(" ")')),
        says("their order counts.", mistake="You compared bags"),
        context("No stop word is listed twice."),
        says("Return the dangerous words as a list, sorted by alphabet.", mistake="sort them by alphabet"),
    ],
    hints=[
        "For one stop word: shorten all sentences, then compare each with each. Three things must hold for a pair that "
        "does harm.",
        "The shortened lists are equal, the labels differ, and the sentences themselves differed before. If any pair is "
        "like that, keep the word.",
    ],
    draw=draw_case,
    parts=[
        part("short lists", public_only=True, inputs=list(CASES.values())),
        part("words and labels", name=in_turn("labels", "one label", "equal before", "two labels")),
        part("each word alone", name=in_turn("alone", "in turn", "in both")),
        part("order and repetition", name=in_turn("twice", "repetition", "order", "alphabet")),
        part("words that look alike", name=in_turn("letters", "spaces")),
        part("many sentences", draw=draw_sentences, n=between(6, 9)),
        part("nothing left", draw=draw_nothing_left),
        part("no stop words", public_only=True, draw=draw_no_stop_words),
    ],
    own=draw_own_sentences,
    own_says="Sentences, labels and stop words of your own",
    mistakes={
        "You asked that one sentence has the word and the other has not. Both may have it, at different places.": (
            in_one_only
        ),
        "You kept one label for each sentence. The same sentence may stand there twice, with two labels: keep both.": (
            one_label_each
        ),
        'You joined the words without spaces: "no where" and "nowhere" became one. Compare lists of words.': (
            comparing(lambda s, word: "".join(words_left(s, word)))
        ),
        "You removed all stop words at once. Try each alone, the others left in place.": all_at_once,
        "Your words stay removed: each is taken out of what the ones before it left. Start from the whole sentences.": (
            one_after_the_other
        ),
        "These are the words that may go. The dangerous ones are wanted.": (
            "return sorted(set(stop_words) - set(found))"
        ),
        "You report every word whose removal makes two sentences equal. It does harm only if their labels differ.": (
            edit("labels[i] != labels[j] and ", "")
        ),
        "You report words because of sentences that were equal from the start. Removal did not cause that.": (
            edit(" and sentences[i] != sentences[j]", "")
        ),
        "You compared bags: the order of words was lost before any stop word was. Compare lists of words.": [
            comparing(lambda s, word: sorted(words_left(s, word))),
            bags_from_the_start,
        ],
        "You compared sets of words: order and repetition were lost. Compare lists of words.": (
            comparing(lambda s, word: set(words_left(s, word)))
        ),
        'You removed letters, not words: taking "no" out of "nothing" leaves "thing". Split the sentence first.': (
            comparing(lambda s, word: s.replace(word, "").split())
        ),
        "You removed only the first of several. A stop word goes wherever it stands.": comparing(one_removed),
        "The right words in the wrong order: sort them by alphabet.": [
            "return sorted(found, reverse=True)",
            "return found",
        ],
    },
    praise="No list from a book can know this: it depends on your sentences and on your labels.",
)


@right(danger)
def by_what_is_left(sentences, labels, stop_words):
    found = []
    for word in stop_words:
        groups = {}
        for sentence, label in zip(sentences, labels, strict=True):
            groups.setdefault(tuple(words_left(sentence, word)), set()).add((sentence, label))
        if any(s != t and x != y for group in groups.values() for s, x in group for t, y in group):
            found.append(word)
    return sorted(found)


# ---------------------------------------------------------------- an open challenge
NUM_CAPTIONS, NUM_QUERIES, NUM_FOUND = 1500, 40, 10


def draw_search(g):
    """New captions (1500,), queries (40,) in any of the caption's words; relevance (40, 1500) stays hidden."""
    seed = int.from_bytes(g.bytes(16), "little")  # too many to try one after another
    drawn = [world.make(seed, index) for index in range(NUM_CAPTIONS)]
    kinds = sorted({thing.names[1:] for scene in drawn for thing in scene.things})
    queries, relevant = [], []
    for index in g.choice(len(kinds), NUM_QUERIES, replace=False):
        color, shape = kinds[index]
        queries.append(article(f"{g.choice(ENGLISH[color])} {g.choice(ENGLISH[shape])}"))
        relevant.append([any(thing.names[1:] == (color, shape) for thing in scene.things) for scene in drawn])
    captions = np.array([english(scene) for scene in drawn])
    return Drawn({"captions": captions, "queries": np.array(queries)}, np.array(relevant))


def precision_of_ten(handed_in, inputs, relevant):
    """Mean share of relevant captions among the ten, each caption counted once."""
    hits = []
    for row, is_relevant in zip(handed_in["found"], relevant, strict=True):
        listed = {index for index in row.tolist() if 0 <= index < len(is_relevant)}
        hits.append(sum(is_relevant[index] for index in listed) / NUM_FOUND)
    return np.mean(hits)


challenge(
    "text.challenge",
    title="A search engine that understands more",
    statement=[
        "`captions` holds 1,500 new captions, `queries` 40 queries such as “a scarlet disc”. Color and shape may be named",
        "by any word that captions use for them: a caption with a red circle is wanted as well. For each query hand in the",
        "positions of ten captions in `captions`. Which of them have the thing is hidden; the score is precision at 10, each",
        "caption counted once. TF-IDF on words reaches about 0.7, on words and pairs about 0.88. Which words mean the same?",
        "And in what other ways do captions join a color to its shape?",
    ],
    draw=draw_search,
    score=precision_of_ten,
    hand_in={"found": Array((NUM_QUERIES, NUM_FOUND), "integer")},
    to_beat=0.9,
    points_by_score={0.9: 1, 0.96: 2, 0.99: 3},
    minutes=60,
    score_name="precision at 10",
)


# ---------------------------------------------------------------- blanks of the lesson
def cleaned(form="NFKC", lower=True, cut=lambda s: " ".join(s.split())):
    """A version of `clean` with parts replaced."""

    def version(string):
        string = unicodedata.normalize(form, string) if form else string
        return cut(string.lower() if lower else string)

    return version


@blank(
    "text.blank.1",
    title="Cleaning a string",
    # the first tells the cuts apart, the second the forms
    inputs=[
        (" Red  Star",),
        ("caf\u00e9 cafe\u0301 Ｒｅｄ",),
        ("\t\u3000ﬁne\n",),
        ("",),
        ("红色，蓝色",),
        ("CAFÉ 2²",),
    ],
    mistakes=[
        (cleaned(form=None), "Full-width letters and separate accents stay as they were: normalize with NFKC."),
        (cleaned(form="NFC"), "This is NFC. The K in NFKC turns full-width and joined letters into ordinary ones."),
        (cleaned(form="NFKD"), "This is NFKD, which takes accents off their letters. NFKC joins them."),
        (cleaned(lower=False), "Capital letters stay: lower-case them."),
        (cleaned(cut=str.strip), "Only the ends are clean: inside, a run of spaces must become one space."),
        (cleaned(cut=lambda s: "".join(s.split())), "The words grew together: join them with a space."),
        (cleaned(cut=lambda s: s), "Spaces are still as they were typed: one between words, none at the ends."),
    ],
    what="The text",
)
def clean(string):
    string = unicodedata.normalize("NFKC", string)
    string = string.lower()
    return " ".join(string.split())


@blank(
    "text.blank.2",
    title="A bag of words",
    inputs=[
        (["red", "star", "red"], ["a", "red", "star"]),
        (["a", "puce", "star"], ["star", "a", "star s", "red"]),
        ([], ["a", "b"]),
        (["stars"], ["star", "stars"]),
    ],
    mistakes=[
        (
            lambda tokens, vocabulary: np.array([int(word in tokens) for word in vocabulary]),
            "This says whether a word occurs. A bag says how often.",
        ),
        (
            lambda tokens, vocabulary: np.array([vocabulary.count(token) for token in tokens]),
            "One number per token of the text came back. A bag has one per word of the vocabulary.",
        ),
        (
            lambda tokens, vocabulary: np.array([" ".join(tokens).count(word) for word in vocabulary]),
            "You counted inside the joined text: “star” is also in “stars”. Count whole tokens.",
        ),
        (
            lambda tokens, vocabulary: np.array([tokens.count(word) for word in sorted(vocabulary)]),
            "The counts are in another order. Keep the order of the vocabulary.",
        ),
        (
            lambda tokens, vocabulary: np.array([tokens.count(word) for word in vocabulary]) / max(len(tokens), 1),
            "You divided by the number of tokens. Counts are whole numbers.",
        ),
    ],
    what="The bag",
)
def bag_of_words(tokens, vocabulary):
    counts = [tokens.count(word) for word in vocabulary]
    return np.array(counts)


def draw_cosines():
    g = np.random.default_rng(0)
    return [
        (np.array([1.0, 1.0]), np.array([[2.0, 0.0], [3.0, 3.0]])),
        *((g.normal(size=v).round(2), g.normal(size=(n, v)).round(2)) for n, v in ((1, 3), (4, 2), (3, 3))),
    ]


@blank(
    "text.blank.3",
    title="Cosine similarity",
    inputs=draw_cosines,
    mistakes=[
        (lambda query, texts: texts @ query, "These are dot products: divide by both lengths."),
        (
            lambda query, texts: texts @ query / np.linalg.norm(texts, axis=1),
            "You divided by the lengths of the texts only: the query has a length too.",
        ),
        (
            lambda query, texts: texts @ query / np.linalg.norm(query),
            "You divided by the length of the query only: each text has a length too.",
        ),
        (
            lambda query, texts: texts @ query / np.linalg.norm(texts) / np.linalg.norm(query),
            "You divided by one length of the whole table. Each row has its own: `axis=1`.",
        ),
        (
            lambda query, texts: texts @ query / (texts**2).sum(axis=1) / (query**2).sum(),
            "You divided by squared lengths: take the root, or `np.linalg.norm`.",
        ),
        (
            lambda query, texts: texts @ query / np.abs(texts).sum(axis=1) / np.abs(query).sum(),
            "You divided by sums. A length is the root of the sum of squares.",
        ),
        (
            lambda query, texts: np.linalg.norm(texts - query, axis=1),
            "These are distances. Cosine similarity is large where directions agree.",
        ),
    ],
    what="The similarity",
)
def cosine(query, texts):
    dots = texts @ query  # (n,)
    lengths = np.linalg.norm(texts, axis=1) * np.linalg.norm(query)  # (n,)
    return dots / lengths


def padded(sequences, length=max, left=False, value=0):
    """A version of `pad` with parts replaced."""
    size = length(len(sequence) for sequence in sequences)
    ids = np.full((len(sequences), size), value)
    mask = np.zeros((len(sequences), size), dtype=bool)
    for row, sequence in enumerate(sequences):
        kept = sequence[:size]
        at = slice(size - len(kept), size) if left else slice(0, len(kept))
        ids[row, at] = kept
        mask[row, at] = True
    return ids, mask


@blank(
    "text.blank.4",
    title="A padded batch",
    inputs=[([[5, 2], [3, 4, 6, 2]],), ([[7]],), ([[2, 3, 4], [5], [6, 7]],), ([[2], []],)],
    mistakes=[
        (lambda sequences: padded(sequences, left=True), "The padding is on the left. Fill up on the right."),
        (
            lambda sequences: (padded(sequences)[0], ~padded(sequences)[1]),
            "This mask is the opposite: True is a real token.",
        ),
        (
            lambda sequences: padded(sequences, length=min),
            "You cut to the shortest sequence. Fill up to the longest instead.",
        ),
        (lambda sequences: padded(sequences, value=1), "Padding has the id 0."),
        (
            lambda sequences: (padded(sequences)[0], np.ones_like(padded(sequences)[1])),
            "Your mask is True everywhere: padding is False.",
        ),
    ],
    names=("ids", "mask"),
)
def pad(sequences):
    return padded(sequences)
