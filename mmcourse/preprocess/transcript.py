"""From what a network says at each time step to a text: the decoding side of CTC, whatever framework the network is in.

Log-probabilities come as NumPy arrays. Labels are whole numbers; `blank` is one of them, 0 unless it is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy import ndarray

__all__ = ["Labels", "LanguageModel", "collapse", "greedy_decode", "prefix_beam_search"]

Labels = Sequence[int] | ndarray
LanguageModel = Callable[[tuple[int, ...], int], float]


def collapse(path: Labels, blank: int = 0) -> list[int]:
    """The text of a path: first equal neighbors become one, then blanks go. 1 1 0 1 2 → 1 1 2."""
    found = []
    previous = None
    for label in np.asarray(path, np.int64).tolist():
        if label != previous and label != blank:
            found.append(label)
        previous = label
    return found


def greedy_decode(log_probs: np.ndarray, blank: int = 0) -> list[int]:
    """The text of the most probable path, (t, v) → labels; not always the most probable text."""
    return collapse(np.asarray(log_probs).argmax(axis=-1), blank)


def prefix_beam_search(
    log_probs: np.ndarray,
    beam_width: int = 10,
    language_model: LanguageModel | None = None,
    weight: float = 0.5,
    bonus: float = 0.0,
    blank: int = 0,
    end: int | None = None,
    cutoff: float = -math.inf,
) -> list[tuple[tuple[int, ...], float]]:
    """The most probable texts, found by growing beginnings step by step (Hannun et al. 2014, arXiv 1408.2873).

    Of each beginning two probabilities are kept: of its paths that end in a blank, and of those that end in its last
    label. Only after a blank does the same label again make a second one.

    Parameters
    ----------
    log_probs : (t, v)
    beam_width : beginnings that are kept after each step
    language_model : log p(label | the labels before it), or None
    weight, bonus : each new label adds weight · log p of the language model + bonus
    end : a label that the language model knows as the end of a text, added at the end where it is given
    cutoff : labels less probable than this (log) at a step are not tried there; the blank always is

    Returns
    -------
    (labels, log score) of up to `beam_width` texts, the best first; without a language model, the score is at most
    log p(text): beginnings that were dropped are missing in it
    """
    said: dict[tuple[int, ...], float] = {(): 0.0}  # what the language model has added

    def score_of(text: tuple[int, ...]) -> float:
        if text not in said:
            added = 0.0 if language_model is None else weight * language_model(text[:-1], text[-1])
            said[text] = score_of(text[:-1]) + added + bonus
        return said[text]

    beams: dict[tuple[int, ...], list[float]] = {(): [0.0, -math.inf]}  # log p: ends in a blank, in its last label
    for frame in np.asarray(log_probs, np.float64):
        labels = np.flatnonzero(frame >= cutoff).tolist()
        grown: dict[tuple[int, ...], list[float]] = {}

        def add(text: tuple[int, ...], which: int, log_p: float, grown=grown) -> None:
            entry = grown.setdefault(text, [-math.inf, -math.inf])
            entry[which] = float(np.logaddexp(entry[which], log_p))

        for text, (after_blank, after_label) in beams.items():
            either = float(np.logaddexp(after_blank, after_label))
            add(text, 0, either + float(frame[blank]))
            if text:
                add(text, 1, after_label + float(frame[text[-1]]))  # the same label goes on
            for label in labels:
                if label == blank:
                    continue
                before = after_blank if text and label == text[-1] else either
                if before > -math.inf:
                    add((*text, label), 1, before + float(frame[label]))
        ranked = sorted(grown, key=lambda text: -float(np.logaddexp(*grown[text])) - score_of(text))
        beams = {text: grown[text] for text in ranked[:beam_width]}
    scores = {text: float(np.logaddexp(*both)) + score_of(text) for text, both in beams.items()}
    if end is not None and language_model is not None:
        scores = {text: score + weight * language_model(text, end) for text, score in scores.items()}
    return sorted(scores.items(), key=lambda pair: -pair[1])
