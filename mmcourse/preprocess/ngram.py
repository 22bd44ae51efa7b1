"""N-gram language models: how probable a word is after those before it, counted in texts and smoothed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["Bigram", "InterpolatedNgram"]


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


class InterpolatedNgram:
    """p(label | the labels before it) from counts of all orders up to `order`: interpolated Kneser–Ney.

    The highest order counts how often a label follows its context; lower orders count after how *many different* labels
    it follows a context. From each count `discount` is taken, and what is taken is given to the next lower order
    (Kneser & Ney 1995; Chen & Goodman 1999). The lowest order is uniform.

    Parameters
    ----------
    labels : one long sequence of integers from 0 up to `size` − 1
    size : number of labels
    order : 1 looks at no context, 3 at two labels
    discount : what is taken from each count, above 0 and below 1
    """

    def __init__(self, labels: Sequence[int], size: int, order: int = 5, discount: float = 0.75) -> None:
        if order < 1 or not 0 < discount < 1:
            raise ValueError(f"order, discount: expected 1 or more and between 0 and 1, got {order} and {discount}")
        self.size, self.order, self.discount = size, order, discount
        labels = tuple(labels)
        # tables[n]: context of n labels → {label: count}
        self.tables: list[dict[tuple[int, ...], dict[int, int]]] = [{} for _ in range(order)]
        top = self.tables[-1]
        for end in range(order - 1, len(labels)):
            row = top.setdefault(labels[end - order + 1 : end], {})
            row[labels[end]] = row.get(labels[end], 0) + 1
        for n in range(order - 1, 0, -1):  # each (context, label) above counts once for the shorter context
            lower = self.tables[n - 1]
            for context, counts in self.tables[n].items():
                row = lower.setdefault(context[1:], {})
                for label in counts:
                    row[label] = row.get(label, 0) + 1
        self._totals = [{context: sum(row.values()) for context, row in table.items()} for table in self.tables]

    def probability(self, before: Sequence[int], label: int) -> float:
        """p(label | the last of `before`)."""
        p = 1 / self.size
        before = tuple(before[max(0, len(before) - self.order + 1) :])
        for n in range(min(self.order, len(before) + 1)):
            context = before[len(before) - n :]
            row = self.tables[n].get(context)
            if row is None:
                break  # a longer context was not seen either
            total = self._totals[n][context]
            kept = max(row.get(label, 0) - self.discount, 0.0)
            p = (kept + self.discount * len(row) * p) / total
        return p

    def nats(self, labels: Sequence[int]) -> np.ndarray:
        """−ln p of each label after those before it: float64 (n,)."""
        labels = tuple(labels)
        reach = self.order - 1
        return np.array(
            [-np.log(self.probability(labels[max(0, end - reach) : end], label)) for end, label in enumerate(labels)]
        )
