"""Connectionist temporal classification: sum over all alignments, and read the most probable text (Graves et al. 2006).

A network says at every time step how probable each label is, or that there is none, the blank. A path is one label or
blank for each step; `collapse` makes a text of it. The probability of a text is the sum over all of its paths.

Labels are whole numbers; `blank` is one of them, 0 unless it is said. Probabilities are natural logarithms throughout:
a product over a few hundred steps would be smaller than the smallest float.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ..preprocess.transcript import Labels, collapse, greedy_decode, prefix_beam_search
from .losses import log_softmax

__all__ = [
    "backward_variables", "collapse", "ctc_loss", "forward_variables", "greedy_decode", "log_probability",
    "may_skip", "min_input_length", "num_paths", "occupancy", "prefix_beam_search", "with_blanks",
]  # fmt: skip


def min_input_length(labels: Labels) -> int:
    """Fewest time steps in which a text fits: one for each label, and a blank between two equal neighbors."""
    text = np.asarray(labels)
    return len(text) + int(np.sum(text[1:] == text[:-1]))


def num_paths(num_steps: int, labels: Labels) -> int:
    """How many paths of `num_steps` steps are read as this text; C(T + L, 2 L) where no two neighbors are equal."""
    repeats = min_input_length(labels) - len(labels)
    return math.comb(num_steps + len(labels) - repeats, 2 * len(labels)) if len(labels) <= num_steps else 0


def with_blanks(labels: Labels, blank: int = 0) -> np.ndarray:
    """A blank before, between and after the labels: (l,) → (2 l + 1,)."""
    states = np.full(2 * len(labels) + 1, blank, np.int64)
    states[1::2] = labels
    return states


def may_skip(states: np.ndarray, blank: int = 0) -> np.ndarray:
    """Which states may be entered from two before: labels that differ from the label before them. bool (2 l + 1,)."""
    skip = np.zeros(len(states), bool)
    skip[2:] = (states[2:] != blank) & (states[2:] != states[:-2])
    return skip


def forward_variables(log_probs: np.ndarray, labels: Labels, blank: int = 0) -> np.ndarray:
    """log α: for each step and state, log p of all beginnings of paths that end there; (t, v) → (t, 2 l + 1).

    α_t(s) = (α_{t−1}(s) + α_{t−1}(s−1) [+ α_{t−1}(s−2)]) · y_t(state s); the bracket only where `may_skip`.
    """
    states = with_blanks(labels, blank)
    skip = may_skip(states, blank)
    emitted = log_probs[:, states]  # (t, 2 l + 1)
    alpha = np.full(emitted.shape, -np.inf)
    alpha[0, :2] = emitted[0, :2]  # a path begins with a blank or with the first label
    for t in range(1, len(alpha)):
        stay = alpha[t - 1]
        step = np.concatenate([[-np.inf], stay[:-1]])
        jump = np.concatenate([[-np.inf, -np.inf], stay[:-2]])[: len(states)]
        jump = np.where(skip, jump, -np.inf)
        alpha[t] = np.logaddexp(np.logaddexp(stay, step), jump) + emitted[t]
    return alpha


def backward_variables(log_probs: np.ndarray, labels: Labels, blank: int = 0) -> np.ndarray:
    """log β: log p of all ends of paths *after* step t that go on from a state; (t, v) → (t, 2 l + 1).

    α_t(s) · β_t(s) is the probability of all paths that are in state s at step t. The same recursion, run backwards.
    """
    turned = forward_variables(log_probs[::-1], np.asarray(labels)[::-1], blank)[::-1, ::-1]
    return turned - log_probs[:, with_blanks(labels, blank)] if len(turned) else turned


def ctc_loss(
    logits: Float[ndarray, "batch time labels"],
    labels: Int[ndarray, "batch length"],
    input_lengths: Int[ndarray, " batch"],
    label_lengths: Int[ndarray, " batch"],
    blank: int = 0,
) -> tuple[Float[ndarray, " batch"], tuple]:
    """−log p(text) in nats for each sample; infinite where a text does not fit into its time steps.

    Parameters
    ----------
    logits : (b, t, v), before softmax
    labels : (b, l), texts without blanks; what stands after `label_lengths` is padding
    input_lengths, label_lengths : time steps and labels of each sample

    Returns
    -------
    losses : (b,), and what `ctc_loss_backward` needs

    Raises
    ------
    ValueError
        A text holds the blank, or a sample has no time step.
    """
    log_probs = log_softmax(logits)
    texts = [row[:n] for row, n in zip(labels, label_lengths, strict=True)]
    losses = np.zeros(len(texts), log_probs.dtype)
    for row, (text, length) in enumerate(zip(texts, input_lengths, strict=True)):
        if blank in text.tolist():
            raise ValueError(f"labels: hold the blank, {blank}; a text has none")
        if length < 1:
            raise ValueError("input_lengths: expected 1 or more time steps, got 0")
        losses[row] = -log_probability(log_probs[row, :length], text, blank)
    return losses, (log_probs, texts, np.asarray(input_lengths), blank)


def ctc_loss_backward(dlosses: Float[ndarray, " batch"], cache: tuple) -> Float[ndarray, "batch time labels"]:
    """Gradient with respect to the logits: softmax minus `occupancy`, times what comes from above.

    0 in the padding, and everywhere for a text that does not fit, as `zero_infinity=True` does in PyTorch.
    """
    log_probs, texts, input_lengths, blank = cache
    found = np.zeros(log_probs.shape, log_probs.dtype)
    for row, (text, length) in enumerate(zip(texts, input_lengths, strict=True)):
        if length >= min_input_length(text):
            part = log_probs[row, :length]
            found[row, :length] = dlosses[row] * (np.exp(part) - occupancy(part, text, blank))
    return found


def log_probability(log_probs: np.ndarray, labels: Labels, blank: int = 0) -> float:
    """log p(text), the sum over all of its paths; (t, v) → nats, −∞ where it has none."""
    ends = forward_variables(log_probs, labels, blank)[-1, -2:]  # in the last label or in the last blank
    return float(np.logaddexp.reduce(ends))


def occupancy(log_probs: np.ndarray, labels: Labels, blank: int = 0) -> np.ndarray:
    """How probable each label is at each step, given that the text is `labels`: (t, v), rows sum to 1.

    The share of paths, weighted by their probability, that have this label there.
    """
    both = forward_variables(log_probs, labels, blank) + backward_variables(log_probs, labels, blank)
    total = np.logaddexp.reduce(both, axis=1, keepdims=True)  # log p(text), the same at every step
    share = np.exp(both - total)
    found = np.zeros(log_probs.shape)
    for state, label in enumerate(with_blanks(labels, blank)):
        found[:, label] += share[:, state]
    return found
