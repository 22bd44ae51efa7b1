"""Gradients of unequal parts of a batch: put together, they are the gradient of the whole.

With nₖ samples (or tokens) in part k and N in all, g = Σₖ (nₖ/N) gₖ, where gₖ is the gradient of part k's *mean* loss.
The mean of the gₖ is something else as soon as two nₖ differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def shares(counts: Sequence[int]) -> np.ndarray:
    """nₖ/N for each part, (k,) in float64.

    Raises
    ------
    ValueError
        A count is negative, or all are 0.
    """
    numbers = np.asarray(counts, dtype=np.float64)
    if (numbers < 0).any() or numbers.sum() == 0:
        raise ValueError(f"counts: expected numbers of at least 0, and one above; got {list(counts)}")
    return numbers / numbers.sum()


def combine(gradients: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Gradient of the whole from the gradients of the parts' mean losses: (k, d), (k,) → (d,)."""
    return np.tensordot(shares(counts), np.asarray(gradients), axes=1)


def accumulate(model: Any, loss_sum: Any, parts: Iterable[tuple[Any, int]], number: int | None = None) -> float:
    """Add up, in `.grad`, the gradient of the mean loss over all parts of a PyTorch batch; returns that loss.

    Parameters
    ----------
    model : nn.Module
    loss_sum : function of (model, part) → the *summed* loss of this part
    parts : pairs of a part and its number of samples (or tokens)
    number : all samples; default: the sum over the parts, which are then kept in a list
    """
    pairs = list(parts) if number is None else parts
    total = sum(n for _, n in pairs) if number is None else number
    mean = 0.0
    for part, _ in pairs:
        loss = loss_sum(model, part) / total
        loss.backward()
        mean += float(loss.detach())
    return mean
