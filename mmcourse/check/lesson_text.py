"""Checks of lesson text: TF-IDF of any table, and stop words that are dangerous to remove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations

import numpy as np

from mmcourse.check import agree, exercise, rng


# ---------------------------------------------------------------- text.1
def tf_idf(counts: np.ndarray) -> np.ndarray:
    """Counts (n, v) times idf, each row of length 1, empty rows left at 0."""
    return _weighed(counts)


def _smooth(n: int, df: np.ndarray) -> np.ndarray:
    return np.log((1 + n) / (1 + df)) + 1


def _unit(w: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(w, axis=1, keepdims=True)
    return w / np.where(norms == 0, 1, norms)


def _weighed(
    counts: np.ndarray, idf: Callable = _smooth, df: Callable = lambda c: (c > 0).sum(axis=0), scale: Callable = _unit
) -> np.ndarray:
    return scale(counts * idf(len(counts), df(counts)))


def _by(order: int, axis: int | None) -> Callable:
    def scale(w):
        norms = np.abs(w).sum(axis, keepdims=True) if order == 1 else np.sqrt((w**2).sum(axis, keepdims=True))
        return w / np.where(norms == 0, 1, norms)

    return scale


_TFIDF_MISTAKES = [
    (lambda c: _unit(c.astype(float)), "There is no idf in it: these are counts of length 1. Weigh the columns first."),
    (
        lambda c: _weighed(c, idf=lambda n, df: np.log(n / df) + 1),
        "Your idf has no ones in the fraction. Here it is ln((1 + n) / (1 + df)) + 1, as if one text more had it all.",
    ),
    (
        lambda c: _weighed(c, idf=lambda n, df: np.log((1 + n) / (1 + df))),
        "The last + 1 is missing: a word that every text has would get weight 0 and vanish.",
    ),
    (
        lambda c: _weighed(c, idf=lambda n, df: np.log10((1 + n) / (1 + df)) + 1),
        "You took the logarithm to base 10. `np.log`, the natural one, is meant.",
    ),
    (
        lambda c: _weighed(c, df=lambda c: c.sum(axis=0)),
        "Your df counts all occurrences of a word. It is the number of texts that have it: `(counts > 0).sum(axis=0)`.",
    ),
    (
        lambda c: _weighed(c, df=lambda c: (c == 1).sum(axis=0)),
        "Your df leaves out texts that have the word more than once. Count all that have it: `counts > 0`.",
    ),
    (
        lambda c: _weighed(c, idf=lambda n, df: (1 + df) / (1 + n)),
        "You multiply by how common a word is. Rare words must weigh more: turn the fraction over and take its log.",
    ),
    (lambda c: _weighed(c, scale=lambda w: w), "The weights are right but not scaled. Divide each row by its length."),
    (
        lambda c: _weighed(c, scale=_by(1, 1)),
        "You divided each row by its sum. Its *length* is the root of the sum of squares: `np.linalg.norm`.",
    ),
    (
        lambda c: _weighed(c, scale=_by(2, 0)),
        "You scaled the columns to length 1. A text is a row: its length runs along `axis=1`.",
    ),
    (
        lambda c: _weighed(c, scale=_by(2, None)),
        "You divided by one length for the whole table. Each row has its own: `axis=1, keepdims=True`.",
    ),
    (
        lambda c: _weighed(c, scale=lambda w: w / np.linalg.norm(w, axis=1, keepdims=True)),
        "An empty text has length 0, and 0 / 0 is NaN. Leave its row at 0: divide by 1 there.",
    ),
]


@exercise("text.1", title="TF-IDF for any table", points=2, difficulty=2, minutes=10)
def check_tf_idf(answer):
    g = rng("02.2")
    # In the first, texts that have a word once, more than once, and at all are three different numbers.
    tables = [np.array([[2, 1, 0], [3, 1, 1]]), np.array([[1, 1, 0], [2, 0, 1]])]
    tables += [
        g.poisson(0.9, (6, 5)) + np.eye(6, 5, dtype=int),
        np.array([[3, 1, 2]]),
        np.array([[1, 2, 0], [0, 0, 0], [4, 0, 1]]),
    ]
    agree(answer, tf_idf, [(table,) for table in tables], mistakes=_TFIDF_MISTAKES)
    return "Equal to scikit-learn's TfidfTransformer."


# ---------------------------------------------------------------- text.2
def dangerous(sentences: list, labels: list, stop_words: list) -> list:
    """Stop words whose removal, alone, makes two different sentences of different labels the same; sorted."""
    return _dangerous(sentences, labels, stop_words)


def _without(sentence: str, word: str) -> list:
    return [w for w in sentence.split() if w != word]


def _first_only(sentence: str, word: str) -> object:
    words = sentence.split()
    if word in words:
        words.remove(word)
    return words


def _dangerous(sentences, labels, stop_words, cut=_without, ask_label=True, ask_new=True) -> list:
    found = []
    for word in stop_words:
        for i, j in combinations(range(len(sentences)), 2):
            differ = not ask_label or labels[i] != labels[j]
            new = not ask_new or sentences[i] != sentences[j]
            if differ and new and cut(sentences[i], word) == cut(sentences[j], word):
                found.append(word)
                break
    return sorted(found)


def _all_at_once(sentences, labels, stop_words) -> list:
    bare = [[w for w in s.split() if w not in stop_words] for s in sentences]
    found = set()
    for i, j in combinations(range(len(sentences)), 2):
        if labels[i] != labels[j] and sentences[i] != sentences[j] and bare[i] == bare[j]:
            found |= set(sentences[i].split()) ^ set(sentences[j].split())
    return sorted(found & set(stop_words))


def _in_one_only(sentences, labels, stop_words) -> list:
    found = set()
    for word in stop_words:
        for (a, x), (b, y) in combinations(list(zip(sentences, labels, strict=True)), 2):
            if x != y and (word in a.split()) != (word in b.split()) and _without(a, word) == _without(b, word):
                found.add(word)
    return sorted(found)


def _one_label_each(sentences, labels, stop_words) -> list:
    known = dict(zip(sentences, labels, strict=True))
    return dangerous(list(known), list(known.values()), stop_words)


_DANGER_MISTAKES = [
    (
        _in_one_only,
        "You asked that one sentence has the word and the other has not. Both may have it, at different places.",
    ),
    (
        _one_label_each,
        "You kept one label for each sentence. The same sentence may stand there twice, with two labels: keep both.",
    ),
    (
        lambda s, y, w: _dangerous(s, y, w, cut=lambda t, x: "".join(_without(t, x))),
        'You joined the words without spaces: "no where" and "nowhere" became one. Compare lists of words.',
    ),
    (_all_at_once, "You removed all stop words at once. Try each alone, the others left in place."),
    (
        lambda s, y, w: sorted(set(w) - set(dangerous(s, y, w))),
        "These are the words that may go. Asked are the dangerous ones.",
    ),
    (
        lambda s, y, w: _dangerous(s, y, w, ask_label=False),
        "You report every word whose removal makes two sentences equal. It does harm only if their labels differ.",
    ),
    (
        lambda s, y, w: _dangerous(s, y, w, ask_new=False),
        "You report words because of sentences that were equal from the start. Removal did not cause that.",
    ),
    (
        lambda s, y, w: _dangerous(s, y, w, cut=lambda t, x: Counter(_without(t, x))),
        "You compared bags: the order of words was lost before any stop word was. Compare lists of words.",
    ),
    (
        lambda s, y, w: _dangerous(s, y, w, cut=lambda t, x: set(_without(t, x))),
        "You compared sets of words: order and repetition were lost. Compare lists of words.",
    ),
    (
        lambda s, y, w: _dangerous(s, y, w, cut=lambda t, x: " ".join(t.replace(x, "").split())),
        'You removed letters, not words: taking "no" out of "nothing" leaves "thing". Split the sentence first.',
    ),
    (
        lambda s, y, w: _dangerous(s, y, w, cut=_first_only),
        "You removed only the first of several. A stop word goes wherever it stands.",
    ),
    (
        lambda s, y, w: sorted(dangerous(s, y, w), reverse=True),
        "The right words in the wrong order: sort them by alphabet.",
    ),
]
# One list for each way to go wrong, so that the message can name it.
_SENTENCES = [
    (
        ["the film was good", "the film was not good", "a film was good", "good film"],
        ["praise", "blame", "praise", "praise"],
        ["the", "not", "was"],
    ),
    (["it was no help", "it was help", "it was very good", "it was good"], [0, 1, 1, 1], ["very", "no", "it"]),
    (["nothing helps", "thing helps", "stay on", "stay"], [0, 1, 1, 0], ["no", "on"]),
    (["good", "good", "stay on", "stay"], [0, 1, 0, 1], ["on", "is"]),
    (["so so good", "good", "stay on", "stay"], [0, 1, 0, 1], ["so", "on"]),
    (["good good", "good", "stay on", "stay"], [0, 1, 0, 1], ["on", "is"]),
    (["bad as good", "good as bad", "stay on", "stay"], [0, 1, 0, 1], ["on", "is"]),
    (["we did not like it", "we like it", "we did like it", "stay on", "stay"], [0, 1, 1, 0, 1], ["not", "did", "on"]),
    (["she was up", "she was", "he was on", "he was", "was it on", "it was"], [1, 0, 1, 0, 1, 1], ["up", "on", "was"]),
    (["is it good", "it is good", "stay on", "stay"], [0, 1, 0, 1], ["is", "on"]),
    (["good", "not good", "good"], [0, 1, 1], ["not"]),
    (["no where", "nowhere", "stay on", "stay"], [0, 1, 0, 1], ["on", "is"]),
]


@exercise("text.2", title="Which words are dangerous to remove?", points=3, difficulty=3, minutes=15)
def check_dangerous(answer):
    agree(answer, dangerous, _SENTENCES, mistakes=_DANGER_MISTAKES)
    return "No list from a book can know this: it depends on your sentences and on your labels."
