"""Formulas of a decoder that writes piece by piece: the step with a cache, its loss, sampling and beam search."""

from typing import Any

from jaxtyping import Bool, Float, Integer, Num
from keras import ops

from mmcourse.keras.attention import scaled_dot_product_attention
from mmcourse.keras.losses import cross_entropy


def cached_attention(
    q: Float[Any, "batch heads n d"],
    k: Float[Any, "batch heads n d"],
    v: Float[Any, "batch heads n d"],
    past_k: Float[Any, "batch heads past d"],
    past_v: Float[Any, "batch heads past d"],
    padding_mask: Bool[Any, "batch m"] | None = None,
) -> Float[Any, "batch heads n d"]:
    """One decoding step of causal attention: the new queries attend to all keys before them and to their own.

    It gives the last n rows of causal attention over the whole sequence (Shazeer 2019, arXiv 1911.02150).

    q, k, v: (b, heads, n, d) of the new positions; past_k, past_v: (b, heads, past, d) from the cache; padding_mask:
    bool (b, past + n), True = real. Returns (b, heads, n, d).
    """
    all_k = ops.concatenate([past_k, k], axis=2)  # (b, heads, past + n, d)
    all_v = ops.concatenate([past_v, v], axis=2)
    y, _ = scaled_dot_product_attention(q, all_k, all_v, padding_mask, causal=True)
    return y


def token_cross_entropy(
    logits: Float[Any, "batch n vocabulary"],
    ids: Integer[Any, "batch n"],
    padding_mask: Bool[Any, "batch n"],
) -> Float[Any, ""]:
    """Teacher forcing: position t predicts the piece at t + 1. Mean of −log p over the real pieces after the first.

    logits: (b, n, vocabulary), logits[:, t] from pieces 0 … t; ids: int (b, n), `<bos>` first; padding_mask: bool
    (b, n), True = real. Returns a scalar; a model that knows nothing has ln(vocabulary).
    """
    predicted = logits[:, :-1]  # the last position has nothing to predict
    labels = ids[:, 1:]  # `<bos>` is given, never predicted
    real = padding_mask[:, 1:]
    return cross_entropy(predicted, labels, mask=real)


def sampling_probabilities(
    logits: Float[Any, "batch vocabulary"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Any, "batch vocabulary"]:
    """What to draw the next piece from: softmax(logits / temperature), cut to the top k, then to the nucleus top p.

    Top p keeps the fewest most likely pieces whose probabilities sum to p or more (Holtzman et al. 2019, arXiv
    1904.09751). What is left is scaled to sum 1.

    logits: (b, vocabulary); temperature: above 0; top_k: 1 or more; top_p: above 0, up to 1; None cuts nothing. Returns
    (b, vocabulary).
    """
    scaled = logits / temperature  # first: the nucleus of a flatter distribution is larger
    order = ops.argsort(-scaled, axis=-1)
    rank = ops.argsort(order, axis=-1)  # 0 for the most likely piece
    if top_k is not None:
        scaled = ops.where(rank >= top_k, -float("inf"), scaled)
    if top_p is not None:
        falling = ops.take_along_axis(ops.softmax(scaled, axis=-1), order, axis=-1)
        before = ops.cumsum(falling, axis=-1) - falling  # what the more likely pieces have together
        before = ops.take_along_axis(before, rank, axis=-1)
        scaled = ops.where(before >= top_p, -float("inf"), scaled)
    return ops.softmax(scaled, axis=-1)


def length_penalty(length: Num[Any, "*rows"], alpha: float) -> Float[Any, "*rows"]:
    """What a beam's log p is divided by, ((5 + length) / 6)^alpha (Wu et al. 2016, arXiv 1609.08144); alpha 0: by 1."""
    return ((5 + length) / 6) ** alpha


def beam_step(
    log_probs: Float[Any, "batch beams vocabulary"],
    scores: Float[Any, "batch beams"],
    lengths: Integer[Any, "batch beams"],
    finished: Bool[Any, "batch beams"],
    alpha: float = 0.0,
    pad: int = 0,
) -> tuple[Float[Any, "batch beams"], Integer[Any, "batch beams"], Integer[Any, "batch beams"]]:
    """The best of all continuations of all beams of a sample, by log p divided by the length penalty.

    A finished beam has one continuation: itself, with `pad` behind it and the same score and length.

    log_probs: (b, beams, vocabulary) of the next piece; scores: (b, beams), log p of each beam so far; lengths: int
    (b, beams), pieces so far; finished: bool (b, beams). Returns scores (b, beams), not divided, the best first;
    parents int (b, beams), which beam each continues; pieces int (b, beams).
    """
    b, num_beams, size = log_probs.shape
    going_on = scores[..., None] + log_probs  # (b, beams, vocabulary)
    is_pad = ops.arange(size) == pad
    staying = ops.where(is_pad, scores[..., None], -float("inf"))
    totals = ops.where(finished[..., None], staying, going_on)
    new_lengths = lengths + ops.cast(ops.logical_not(finished), lengths.dtype)
    penalty = length_penalty(ops.cast(new_lengths, scores.dtype), alpha)  # (b, beams)
    ranking = ops.reshape(totals / penalty[..., None], (b, -1))  # (b, beams · vocabulary)
    chosen = ops.argsort(-ranking, axis=1)[:, :num_beams]
    return ops.take_along_axis(ops.reshape(totals, (b, -1)), chosen, axis=1), chosen // size, chosen % size
