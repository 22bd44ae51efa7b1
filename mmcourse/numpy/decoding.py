"""Formulas of a decoder that writes piece by piece: the step with a cache, its loss, sampling and beam search."""

import numpy as np
from jaxtyping import Bool, Float, Integer, Num
from numpy import ndarray

from mmcourse.numpy.attention import scaled_dot_product_attention
from mmcourse.numpy.losses import cross_entropy, cross_entropy_backward, log_softmax


def cached_attention(
    q: Float[ndarray, "batch heads n d"],
    k: Float[ndarray, "batch heads n d"],
    v: Float[ndarray, "batch heads n d"],
    past_k: Float[ndarray, "batch heads past d"],
    past_v: Float[ndarray, "batch heads past d"],
    padding_mask: Bool[ndarray, "batch m"] | None = None,
) -> Float[ndarray, "batch heads n d"]:
    """One decoding step of causal attention: the new queries attend to all keys before them and to their own.

    It gives the last n rows of causal attention over the whole sequence, and needs no query of the past (Shazeer 2019,
    arXiv 1911.02150).

    Parameters
    ----------
    q, k, v : float (b, heads, n, d), of the new positions
    past_k, past_v : float (b, heads, past, d), from the cache
    padding_mask : bool (b, past + n), True = real key

    Returns
    -------
    y : float (b, heads, n, d)
    """
    all_k = np.concatenate([past_k, k], axis=2)  # (b, heads, past + n, d)
    all_v = np.concatenate([past_v, v], axis=2)
    y, _ = scaled_dot_product_attention(q, all_k, all_v, padding_mask, causal=True)
    return y


def token_cross_entropy(
    logits: Float[ndarray, "batch n vocabulary"],
    ids: Integer[ndarray, "batch n"],
    padding_mask: Bool[ndarray, "batch n"],
) -> tuple[float | np.floating, tuple]:
    """Teacher forcing: position t predicts the piece at t + 1. Mean of −log p over the real pieces after the first.

    Parameters
    ----------
    logits : float (b, n, vocabulary), logits[:, t] from pieces 0 … t
    ids : int (b, n), `<bos>` first
    padding_mask : bool (b, n), True = real

    Returns
    -------
    loss : float, ln(vocabulary) for a model that knows nothing; cache
    """
    predicted = logits[:, :-1]  # the last position has nothing to predict
    labels = ids[:, 1:]  # `<bos>` is given, never predicted
    real = padding_mask[:, 1:]
    return cross_entropy(predicted, labels, mask=real)


def token_cross_entropy_backward(
    dloss: float | np.floating | Float[ndarray, ""], cache: tuple
) -> Float[ndarray, "batch n vocabulary"]:
    """Gradient to the logits; that of the last position is 0."""
    dpredicted = cross_entropy_backward(cache, dloss)  # (b, n − 1, vocabulary)
    return np.pad(dpredicted, ((0, 0), (0, 1), (0, 0)))


def sampling_probabilities(
    logits: Float[ndarray, "batch vocabulary"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[ndarray, "batch vocabulary"]:
    """What to draw the next piece from: softmax(logits / temperature), cut to the top k, then to the nucleus top p.

    Top p keeps the fewest most likely pieces whose probabilities sum to p or more (Holtzman et al. 2019, arXiv
    1904.09751). What is left is scaled to sum 1.

    Parameters
    ----------
    logits : float (b, vocabulary)
    temperature : above 0; top_k : 1 or more; top_p : above 0, up to 1; None cuts nothing
    """
    scaled = logits / temperature  # first: the nucleus of a flatter distribution is larger
    order = np.argsort(-scaled, axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1)  # 0 for the most likely piece
    if top_k is not None:
        scaled = np.where(rank >= top_k, -np.inf, scaled)
    if top_p is not None:
        falling = np.take_along_axis(np.exp(log_softmax(scaled)), order, axis=-1)
        before = np.cumsum(falling, axis=-1) - falling  # what the more likely pieces have together
        outside = np.take_along_axis(before >= top_p, rank, axis=-1)
        scaled = np.where(outside, -np.inf, scaled)
    return np.exp(log_softmax(scaled))


def length_penalty(length: Num[ndarray, "*rows"], alpha: float) -> Float[ndarray, "*rows"]:
    """What a beam's log p is divided by, ((5 + length) / 6)^alpha (Wu et al. 2016, arXiv 1609.08144); alpha 0: by 1."""
    return ((5 + length) / 6) ** alpha


def beam_step(
    log_probs: Float[ndarray, "batch beams vocabulary"],
    scores: Float[ndarray, "batch beams"],
    lengths: Integer[ndarray, "batch beams"],
    finished: Bool[ndarray, "batch beams"],
    alpha: float = 0.0,
    pad: int = 0,
) -> tuple[Float[ndarray, "batch beams"], Integer[ndarray, "batch beams"], Integer[ndarray, "batch beams"]]:
    """The best of all continuations of all beams of a sample, by log p divided by the length penalty.

    A finished beam has one continuation: itself, with `pad` behind it and the same score and length.

    Parameters
    ----------
    log_probs : float (b, beams, vocabulary) of the next piece
    scores : float (b, beams), log p of each beam so far
    lengths : int (b, beams), pieces so far
    finished : bool (b, beams)

    Returns
    -------
    scores : (b, beams), not divided, the best first
    parents : int (b, beams), which beam each continues
    pieces : int (b, beams)
    """
    b, num_beams, size = log_probs.shape
    going_on = scores[..., None] + log_probs  # (b, beams, vocabulary)
    is_pad = np.arange(size) == pad
    staying = np.where(is_pad, scores[..., None], -np.inf)
    totals = np.where(finished[..., None], staying, going_on)
    penalty = length_penalty(lengths + ~finished, alpha)  # (b, beams)
    ranking = (totals / penalty[..., None]).reshape(b, -1)  # (b, beams · vocabulary)
    chosen = np.argsort(-ranking, axis=1, kind="stable")[:, :num_beams]
    return np.take_along_axis(totals.reshape(b, -1), chosen, axis=1), chosen // size, chosen % size
