"""A recognizer whose errors are known: each word is heard as itself or as a word that is spelled like it.

p(heard | said) is in the code, so is p(said): so the posterior of what was said, and of the intent, is exact.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import grammar

LIKENESS = 7.0  # how strongly a wrong word resembles the right one
NOISE = 0.3  # chance that a word is heard as another one


def edits(said: str, heard: str) -> int:
    """The fewest letters to change, drop or add."""
    row = list(range(len(heard) + 1))
    for i, letter in enumerate(said, 1):
        above, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(above[j - 1] + (letter != other), above[j] + 1, row[j - 1] + 1))
    return row[-1]


@functools.cache
def similarity() -> np.ndarray:
    """p(heard | said, another word is heard), float64 (v, v): rows sum to 1, zeros on the diagonal."""
    words = grammar.vocabulary()
    distance = np.array([[edits(a, b) / max(len(a), len(b)) for b in words] for a in words], float)
    weights = np.exp(-LIKENESS * distance)
    np.fill_diagonal(weights, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def confusion(noise: float = NOISE) -> np.ndarray:
    """p(heard | said), float64 (v, v) over `grammar.vocabulary()`.

    Raises
    ------
    ValueError
        For a noise outside [0, 1).
    """
    if not 0 <= noise < 1:
        raise ValueError(f"noise: expected 0 ≤ noise < 1, got {noise}")
    return (1 - noise) * np.eye(len(grammar.vocabulary())) + noise * similarity()


def ids(text: str) -> np.ndarray:
    """Places of a text's words in the vocabulary, int64 (l,).

    Raises
    ------
    ValueError
        For a word that is not in it.
    """
    place = _places()
    missing = [word for word in text.split() if word not in place]
    if missing:
        raise ValueError(f"text: {missing[0]!r} is not in grammar.vocabulary()")
    return np.array([place[word] for word in text.split()], np.int64)


@functools.cache
def _places() -> dict[str, int]:
    return {word: i for i, word in enumerate(grammar.vocabulary())}


def hear(texts: Sequence[str], rng: np.random.Generator, noise: float = NOISE) -> list[str]:
    """What is heard of each text: every word passes the channel by itself."""
    words, table = grammar.vocabulary(), confusion(noise).cumsum(axis=1)
    found = []
    for text in texts:
        said = ids(text)
        heard = (rng.random((len(said), 1)) > table[said]).sum(axis=1)
        found.append(" ".join(words[min(i, len(words) - 1)] for i in heard))
    return found


@functools.cache
def _by_length(templates: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """{number of words: (places of these texts (n,), their words (n, l))}."""
    every = [ids(text) for text in grammar.texts(templates)]
    lengths = np.array([len(row) for row in every])
    return {
        int(length): (
            np.flatnonzero(lengths == length),
            np.stack([every[i] for i in np.flatnonzero(lengths == length)]),
        )
        for length in sorted(set(lengths.tolist()))
    }


@dataclass(frozen=True)
class Hypotheses:
    """Texts that may have been said, the most probable first.

    Attributes
    ----------
    places : int64 (n,), places in `grammar.texts`
    p : float64 (n,), p(text | what was heard), sums to 1
    """

    places: np.ndarray
    p: np.ndarray

    def best(self, n: int) -> Hypotheses:
        """The n most probable, their probabilities made to sum to 1 again."""
        p = self.p[:n]
        return Hypotheses(self.places[:n], p / p.sum())


def hypotheses(
    heard: str, noise: float = NOISE, templates: str = "seen", table: np.ndarray | None = None
) -> Hypotheses:
    """p(text | heard) over all texts of the grammar: prior times channel, normalized. Exact.

    Raises
    ------
    ValueError
        For a number of words that no text has, or a word outside the vocabulary.
    """
    words = ids(heard)
    group = _by_length(templates).get(len(words))
    if group is None:
        raise ValueError(f"heard: the grammar has no text of {len(words)} words")
    places, said = group
    table = confusion(noise) if table is None else table
    weights = grammar.joint(templates)[:, places].sum(axis=0) * table[said, words].prod(axis=1)
    order = np.argsort(-weights, kind="stable")
    order = order[weights[order] > 0]
    if not len(order):
        raise ValueError("heard: without noise, no text of the grammar sounds like this")
    return Hypotheses(places[order], weights[order] / weights[order].sum())


def given_texts(templates: str = "seen") -> np.ndarray:
    """p(intent | text), float64 (number of texts, 13)."""
    table = grammar.joint(templates)
    return (table / table.sum(axis=0)).T


def posterior(found: Hypotheses, templates: str = "seen") -> np.ndarray:
    """p(intent | heard), float64 (13,): Σ p(text | heard) p(intent | text), marginalized over the hypotheses."""
    return found.p @ given_texts(templates)[found.places]


def exact_posterior(heard: str, noise: float = NOISE, templates: str = "seen") -> np.ndarray:
    """p(intent | heard), float64 (13,), by Bayes' rule on the whole joint table, without hypotheses in between."""
    words = ids(heard)
    places, said = _by_length(templates)[len(words)]
    scores = (grammar.joint(templates)[:, places] * confusion(noise)[said, words].prod(axis=1)).sum(axis=1)
    return scores / scores.sum()
