"""Which submissions look like copies of one another, whatever their names, comments and numbers."""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Iterator, Sequence

import numpy as np

SHINGLE = 5  # tokens in a row
LEAST = 30  # shingles of a student's own, below which likeness says nothing
MOST_LETTERS = 100_000  # of a student's code: no exercise needs as many
_LEFT_OUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def tokens(cells: Sequence[str]) -> list[str]:
    """Code as tokens: names by the order of their coming, numbers and texts by their kind, no comments."""
    found: list[str] = []
    names: dict[str, str] = {}
    for text in cells:
        try:
            for token in tokenize.generate_tokens(io.StringIO(text).readline):
                if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                    found.append(names.setdefault(token.string, f"n{len(names)}"))
                elif token.type in (tokenize.NUMBER, tokenize.STRING):
                    found.append(tokenize.tok_name[token.type])
                elif token.type not in _LEFT_OUT:
                    found.append(token.string)
        except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
            continue  # an unfinished cell: what was read of it counts
    return found


def shingles(cells: Sequence[str]) -> set[tuple[str, ...]]:
    """Every run of tokens in each cell; names are counted anew in each, so that moving cells changes nothing."""
    return {run for cell in cells for run in _runs(tokens([cell]))}


def _first(cells: Sequence[str]) -> Iterator[str]:
    """The cells as far as they are read."""
    left = MOST_LETTERS
    for cell in cells:
        yield cell[:left]
        left -= len(cell) + 1
        if left <= 0:
            return


def _runs(found: list[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(found[k : k + SHINGLE]) for k in range(len(found) - SHINGLE + 1))


def similar_pairs(
    submissions: Sequence[tuple[str, Sequence[str]]], blank: Sequence[str], least: float = 0.8
) -> list[tuple[float, str, str]]:
    """Pairs of students whose own code is the same to at least this share, likest first.

    What the blank notebook holds is left out, and a run of tokens weighs less the more students wrote it: the one
    short way to write an answer proves nothing.

    Parameters
    ----------
    submissions
        (student, code cells) of one lesson.
    blank
        The code cells that everyone was given.
    """
    given = shingles(blank)
    kept = [(student, shingles(list(_first(cells))) - given) for student, cells in submissions]
    kept = [(student, own) for student, own in kept if len(own) >= LEAST]
    index = {run: k for k, run in enumerate(sorted(set().union(*(own for _, own in kept))))}
    if not index:
        return []
    has = np.zeros((len(kept), len(index)), dtype=np.float32)
    for row, (_, own) in enumerate(kept):
        has[row, [index[run] for run in own]] = 1
    weight = np.log1p(len(kept) / has.sum(axis=0)) - np.log(2) + 1e-3  # what all wrote weighs next to nothing
    shared = (has * weight) @ has.T
    own_weight = shared.diagonal()
    share = shared / np.maximum(own_weight[:, None] + own_weight[None] - shared, 1e-9)
    places = np.argwhere(np.triu(share >= least, k=1))
    pairs = [(round(float(share[a, b]), 3), kept[a][0], kept[b][0]) for a, b in places]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))
