"""Known right and wrong answers to the exercises of lesson text, as learners write them."""

from collections import defaultdict

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- text.1
def with_loops(counts):
    n, v = counts.shape
    out = np.zeros((n, v))
    for j in range(v):
        df = sum(1 for i in range(n) if counts[i, j] > 0)
        for i in range(n):
            out[i, j] = counts[i, j] * (np.log((1 + n) / (1 + df)) + 1)
    for i in range(n):
        length = sum(x**2 for x in out[i]) ** 0.5
        if length:
            out[i] = out[i] / length
    return out


def by_diagonal(counts):
    idf = 1 - np.log1p(np.count_nonzero(counts, axis=0)) + np.log1p(counts.shape[0])
    weights = counts @ np.diag(idf)
    squares = np.einsum("ij,ij->i", weights, weights)
    return weights / np.sqrt(np.maximum(squares, 1e-12))[:, None]


def by_scikit_learn(counts):
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer().fit_transform(counts).toarray()


def weigh(counts, idf=None, df=None, norm=lambda w: np.sqrt((w**2).sum(axis=1, keepdims=True))):
    df = (counts > 0).sum(axis=0) if df is None else df(counts)
    n = len(counts)
    w = counts * (np.log((1 + n) / (1 + df)) + 1 if idf is None else idf(n, df))
    length = norm(w)
    return w / np.where(length == 0, 1, length)


def nan_for_empty(counts):
    w = counts * (np.log((1 + len(counts)) / (1 + (counts > 0).sum(axis=0))) + 1)
    return w / np.linalg.norm(w, axis=1, keepdims=True)


# ---------------------------------------------------------------- text.2
def by_groups(sentences, labels, stop_words):
    found = []
    for word in stop_words:
        groups = defaultdict(set)
        for sentence, label in zip(sentences, labels, strict=True):
            cut = tuple(w for w in sentence.split() if w != word)
            groups[cut].add((sentence, label))
        for members in groups.values():
            if any(a != b and x != y for a, x in members for b, y in members):
                found.append(word)
                break
    return sorted(found)


def with_while(sentences, labels, stop_words):
    def remove(sentence, word):
        words = sentence.split(" ")
        while word in words:
            words.remove(word)
        return " ".join(words)

    bad = set()
    for word in stop_words:
        short = [remove(s, word) for s in sentences]
        for i in range(len(short)):
            for j in range(i):
                if short[i] == short[j] and labels[i] != labels[j] and sentences[i] != sentences[j]:
                    bad.add(word)
    return sorted(bad)


def pairwise(sentences, labels, stop_words, cut=lambda s, w: [x for x in s.split() if x != w], label=True, new=True):
    n = len(sentences)
    return sorted(
        word
        for word in stop_words
        if any(
            cut(sentences[i], word) == cut(sentences[j], word)
            and (labels[i] != labels[j] or not label)
            and (sentences[i] != sentences[j] or not new)
            for i in range(n)
            for j in range(i)
        )
    )


def words_left(s, w):
    return [x for x in s.split() if x != w]


def once(s, w):
    a, found, b = f" {s} ".partition(f" {w} ")
    return f"{a} {b}".split() if found else s.split()


def missing_in_one(sentences, labels, stop_words):
    found = []
    for word in stop_words:
        for a, x in zip(sentences, labels, strict=True):
            for b, y in zip(sentences, labels, strict=True):
                alone = word in a.split() and word not in b.split()
                if alone and x != y and words_left(a, word) == b.split() and word not in found:
                    found.append(word)
    return sorted(found)


def label_of_sentence(sentences, labels, stop_words):
    label = {s: y for s, y in zip(sentences, labels, strict=True)}
    return pairwise(list(label), list(label.values()), stop_words)


def together(sentences, labels, stop_words):
    bare = [[x for x in s.split() if x not in stop_words] for s in sentences]
    bad = set()
    for i in range(len(bare)):
        for j in range(i):
            if bare[i] == bare[j] and labels[i] != labels[j] and sentences[i] != sentences[j]:
                bad |= set(sentences[i].split()) ^ set(sentences[j].split())
    return sorted(bad & set(stop_words))


ANSWERS = {
    "text.1": Answers(
        right=[with_loops, by_diagonal, by_scikit_learn],
        wrong=[
            (lambda c: weigh(c, idf=lambda n, df: np.ones(len(df))), "no idf in it"),
            (lambda c: weigh(c, idf=lambda n, df: np.log(n / df) + 1), "no ones in the fraction"),
            (lambda c: weigh(c, idf=lambda n, df: np.log((1 + n) / (1 + df))), "last + 1 is missing"),
            (lambda c: weigh(c, idf=lambda n, df: np.log10((1 + n) / (1 + df)) + 1), "base 10"),
            (lambda c: weigh(c, df=lambda c: c.sum(axis=0)), "all occurrences"),
            (lambda c: weigh(c, df=lambda c: (c == 1).sum(axis=0)), "more than once"),
            (lambda c: weigh(c, idf=lambda n, df: (1 + df) / (1 + n)), "how common a word is"),
            (lambda c: weigh(c, norm=lambda w: np.ones((len(w), 1))), "not scaled"),
            (lambda c: weigh(c, norm=lambda w: w.sum(axis=1, keepdims=True)), "by its sum"),
            (lambda c: weigh(c, norm=lambda w: np.sqrt((w**2).sum(axis=0, keepdims=True))), "scaled the columns"),
            (lambda c: weigh(c, norm=lambda w: np.sqrt((w**2).sum())), "one length for the whole table"),
            (nan_for_empty, "0 / 0 is NaN"),
            (lambda c: weigh(c).T, "should have shape (2, 3), got shape (3, 2)"),
        ],
    ),
    "text.2": Answers(
        right=[by_groups, with_while, lambda s, y, w: np.array(by_groups(s, y, w))],
        wrong=[
            (lambda s, y, w: sorted(set(w) - set(by_groups(s, y, w))), "that may go"),
            (lambda s, y, w: pairwise(s, y, w, label=False), "only if their labels differ"),
            (lambda s, y, w: pairwise(s, y, w, new=False), "equal from the start"),
            (lambda s, y, w: pairwise(s, y, w, cut=lambda a, x: sorted(words_left(a, x))), "compared bags"),
            (lambda s, y, w: pairwise(s, y, w, cut=lambda a, x: set(words_left(a, x))), "compared sets"),
            (lambda s, y, w: pairwise(s, y, w, cut=lambda a, x: a.replace(x, "").split()), "removed letters"),
            (lambda s, y, w: pairwise(s, y, w, cut=once), "only the first of several"),
            (together, "all stop words at once"),
            (missing_in_one, "one sentence has the word and the other has not"),
            (label_of_sentence, "one label for each sentence"),
            (lambda s, y, w: pairwise(s, y, w, cut=lambda a, x: "".join(words_left(a, x))), "without spaces"),
            (lambda s, y, w: set(by_groups(s, y, w)), "should be a list of words; it is a set"),
            (lambda s, y, w: [], "should be 1 value; got 0: expected ['not'], got []"),
            (lambda s, y, w: by_groups(s, y, w)[::-1], "in the wrong order"),
        ],
    ),
}
