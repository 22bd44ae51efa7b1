"""How many words of a transcript are wrong: the alignment of two texts by edit distance, and the word error rate.

The word error rate of a set of texts is all substitutions, deletions and insertions together, over all words of the
references. The mean of the rates of single texts is another number, in which short texts count as much as long ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Alignment", "align", "edit_distance", "word_error_rate", "word_errors"]

OPERATIONS = ("equal", "substitute", "delete", "insert")


@dataclass(frozen=True)
class Alignment:
    """Which word of the hypothesis stands for which word of the reference.

    Attributes
    ----------
    steps : (operation, word of the reference or None, word of the hypothesis or None) in order; operations are those
        of OPERATIONS
    """

    steps: tuple[tuple[str, str | None, str | None], ...]

    def count(self, operation: str) -> int:
        """How many steps are this operation."""
        return sum(step[0] == operation for step in self.steps)

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together: the edit distance."""
        return sum(step[0] != "equal" for step in self.steps)

    def __str__(self) -> str:
        """Two lines, word under word; *** stands for a word that is missing."""
        pairs = [(a or "***", b or "***") for _, a, b in self.steps]
        pairs = [(a.upper(), b.upper()) if a != b else (a, b) for a, b in pairs]
        widths = [max(len(a), len(b)) for a, b in pairs]
        lines = [" ".join(pair[i].ljust(w) for pair, w in zip(pairs, widths, strict=True)) for i in (0, 1)]
        return f"said  {lines[0].rstrip()}\nheard {lines[1].rstrip()}"


def distance_table(reference: Sequence[str], hypothesis: Sequence[str]) -> np.ndarray:
    """Least number of edits that turn the first i words of one into the first j of the other: int (m + 1, n + 1).

    (Levenshtein 1966; Wagner and Fischer 1974.)
    """
    table = np.zeros((len(reference) + 1, len(hypothesis) + 1), np.int64)
    table[:, 0] = np.arange(len(reference) + 1)
    table[0] = np.arange(len(hypothesis) + 1)
    for i, word in enumerate(reference, 1):
        for j, other in enumerate(hypothesis, 1):
            table[i, j] = min(table[i - 1, j - 1] + (word != other), table[i - 1, j] + 1, table[i, j - 1] + 1)
    return table


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that turn one sequence into the other; each counts 1."""
    return int(distance_table(reference, hypothesis)[-1, -1])


def align(reference: str, hypothesis: str) -> Alignment:
    """One alignment with the fewest errors; where several have as few, a substitution comes before the others."""
    said, heard = reference.split(), hypothesis.split()
    table = distance_table(said, heard)
    i, j = len(said), len(heard)
    steps: list[tuple[str, str | None, str | None]] = []
    while i or j:
        if i and j and table[i, j] == table[i - 1, j - 1] + (said[i - 1] != heard[j - 1]):
            i, j = i - 1, j - 1
            steps.append(("equal" if said[i] == heard[j] else "substitute", said[i], heard[j]))
        elif i and table[i, j] == table[i - 1, j] + 1:
            i -= 1
            steps.append(("delete", said[i], None))
        else:
            j -= 1
            steps.append(("insert", None, heard[j]))
    return Alignment(tuple(reversed(steps)))


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Errors and words of the reference of each pair, int (n,) both.

    Raises
    ------
    ValueError
        Another number of hypotheses than of references, or one string instead of a list.
    """
    if isinstance(references, str) or isinstance(hypotheses, str):
        raise ValueError("references, hypotheses: expected lists of texts, got one string; put it into a list")
    if len(references) != len(hypotheses):
        raise ValueError(f"hypotheses: expected one for each of {len(references)} references, got {len(hypotheses)}")
    errors = [edit_distance(a.split(), b.split()) for a, b in zip(references, hypotheses, strict=True)]
    words = [len(text.split()) for text in references]
    return np.array(errors, np.int64), np.array(words, np.int64)


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """All errors over all words of the references; may be above 1, since words can be inserted.

    Words are what `split` gives: lower-case the texts and take out their marks before, if these shall not count.

    Raises
    ------
    ValueError
        The references hold no word at all: then no rate exists. Or what `word_errors` refuses.
    """
    errors, words = word_errors(references, hypotheses)
    if not words.sum():
        raise ValueError("references: hold no word; an error rate needs at least one")
    return float(errors.sum() / words.sum())
