"""A bigram language model: how probable a word is after the one before it, counted in texts and smoothed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["Bigram"]


class Bigram:
    """log p(label | the label before it), with add-k smoothing; label 0 stands for the beginning and the end of a text.

    What `mmcourse.preprocess.transcript.prefix_beam_search` takes as `language_model`, with ``end=0``.

    Parameters
    ----------
    texts : sequences of labels from 1 up to `size` − 1
    size : number of labels, 0 among them
    k : what is added to each count, so that nothing is impossible

    Attributes
    ----------
    log_p : float64 (size, size); row: the label before, column: the label
    """

    def __init__(self, texts: Iterable[Sequence[int]], size: int, k: float = 0.01) -> None:
        if k <= 0:
            raise ValueError(f"k: expected more than 0, got {k}; without it a new pair would be impossible")
        counts = np.full((size, size), float(k))
        for text in texts:
            padded = [0, *text, 0]
            np.add.at(counts, (padded[:-1], padded[1:]), 1)
        self.log_p: np.ndarray = np.log(counts / counts.sum(axis=1, keepdims=True))

    def __call__(self, before: Sequence[int], label: int) -> float:
        """log p(label) after the last of `before`."""
        return float(self.log_p[before[-1] if len(before) else 0, label])

    def log_probability(self, text: Sequence[int]) -> float:
        """log p of a whole text, its end included."""
        padded = [0, *text, 0]
        return float(self.log_p[padded[:-1], padded[1:]].sum())
