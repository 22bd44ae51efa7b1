"""Text from a model that predicts one piece after the other: greedy, beam search and sampling, with a key–value cache.

Every function here takes a *step*: it gets the pieces that are new, and gives the logits of the piece that follows. The
same loops serve a captioner, a vision-language model and a language model::

    def step(ids, cache):  # ids int64 (b, n): what is new since the last call
        ...                # cache: keys and values of all before
        return logits      # float (b, vocabulary)

    ids = greedy(step, cache, prompt, max_length=60)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from mmcourse.datasets.vocabulary import EOS, PAD
from mmcourse.torch.attention import scaled_dot_product_attention
from mmcourse.torch.losses import cross_entropy

Step = Callable[[Tensor, "KVCache"], Tensor]
METHODS = ("greedy", "beam", "sample")


class KVCache:
    """Keys and values of the positions that a decoder has already seen, one pair for each block.

    A decoder without it computes them again for every new piece. Also what stays the same for a whole text is kept
    here: keys and values of the picture.

    Attributes
    ----------
    context : one (k, v) per block, each (b, heads, m, d): what cross-attention looks at; [] without it
    past : one (k, v) per block, each (b, heads, length, d)
    """

    def __init__(self, context: list[tuple[Tensor, Tensor]] | None = None) -> None:
        self.context = context or []
        self.past: list[tuple[Tensor, Tensor]] = []

    @property
    def length(self) -> int:
        """How many positions are in it."""
        return self.past[0][0].shape[2] if self.past else 0

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add keys and values (b, heads, n, d) of one block; returns all of this block, (b, heads, length + n, d)."""
        if layer == len(self.past):
            self.past.append((k, v))
        else:
            past_k, past_v = self.past[layer]
            self.past[layer] = torch.cat([past_k, k], dim=2), torch.cat([past_v, v], dim=2)
        return self.past[layer]

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, in this order; a row may come twice. Beam search follows its parents so."""
        self.context = [(k[rows], v[rows]) for k, v in self.context]
        self.past = [(k[rows], v[rows]) for k, v in self.past]


# ---------------------------------------------------------------- formulas
def cached_attention(
    q: Float[Tensor, "batch heads n d"],
    k: Float[Tensor, "batch heads n d"],
    v: Float[Tensor, "batch heads n d"],
    past_k: Float[Tensor, "batch heads past d"],
    past_v: Float[Tensor, "batch heads past d"],
    padding_mask: Bool[Tensor, "batch m"] | None = None,
) -> Float[Tensor, "batch heads n d"]:
    """One decoding step of causal attention: the new queries attend to all keys before them and to their own.

    It gives the last n rows of causal attention over the whole sequence (Shazeer 2019, arXiv 1911.02150).

    q, k, v: (b, heads, n, d) of the new positions; past_k, past_v: (b, heads, past, d) from the cache; padding_mask:
    bool (b, past + n), True = real. Returns (b, heads, n, d).
    """
    all_k = torch.cat([past_k, k], dim=2)  # (b, heads, past + n, d)
    all_v = torch.cat([past_v, v], dim=2)
    y, _ = scaled_dot_product_attention(q, all_k, all_v, padding_mask, causal=True)
    return y


def token_cross_entropy(
    logits: Float[Tensor, "batch n vocabulary"],
    ids: Integer[Tensor, "batch n"],
    padding_mask: Bool[Tensor, "batch n"],
) -> Float[Tensor, ""]:
    """Teacher forcing: position t predicts the piece at t + 1. Mean of −log p over the real pieces after the first.

    logits: (b, n, vocabulary), logits[:, t] from pieces 0 … t; ids: int64 (b, n), `<bos>` first; padding_mask: bool
    (b, n), True = real. Returns a scalar; a model that knows nothing has ln(vocabulary).
    """
    predicted = logits[:, :-1]  # the last position has nothing to predict
    labels = ids[:, 1:]  # `<bos>` is given, never predicted
    real = padding_mask[:, 1:]
    return cross_entropy(predicted, labels, mask=real)


def sampling_probabilities(
    logits: Float[Tensor, "batch vocabulary"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, "batch vocabulary"]:
    """What to draw the next piece from: softmax(logits / temperature), cut to the top k, then to the nucleus top p.

    Top p keeps the fewest most likely pieces whose probabilities sum to p or more (Holtzman et al. 2019, arXiv
    1904.09751). What is left is scaled to sum 1.

    logits: (b, vocabulary); temperature: above 0; top_k: 1 or more; top_p: above 0, up to 1; None cuts nothing. Returns
    (b, vocabulary).
    """
    scaled = logits / temperature  # first: the nucleus of a flatter distribution is larger
    order = scaled.argsort(dim=-1, descending=True, stable=True)
    rank = order.argsort(dim=-1)  # 0 for the most likely piece
    if top_k is not None:
        scaled = scaled.masked_fill(rank >= top_k, -torch.inf)
    if top_p is not None:
        falling = scaled.softmax(dim=-1).gather(-1, order)
        before = falling.cumsum(dim=-1) - falling  # what the more likely pieces have together
        outside = (before >= top_p).gather(-1, rank)
        scaled = scaled.masked_fill(outside, -torch.inf)
    return scaled.softmax(dim=-1)


def length_penalty(length: Tensor, alpha: float) -> Tensor:
    """What a beam's log p is divided by, ((5 + length) / 6)^alpha (Wu et al. 2016, arXiv 1609.08144); alpha 0: by 1."""
    return ((5 + length) / 6) ** alpha


def beam_step(
    log_probs: Float[Tensor, "batch beams vocabulary"],
    scores: Float[Tensor, "batch beams"],
    lengths: Integer[Tensor, "batch beams"],
    finished: Bool[Tensor, "batch beams"],
    alpha: float = 0.0,
    pad: int = PAD,
) -> tuple[Float[Tensor, "batch beams"], Integer[Tensor, "batch beams"], Integer[Tensor, "batch beams"]]:
    """The best of all continuations of all beams of a sample, by log p divided by the length penalty.

    A finished beam has one continuation: itself, with `pad` behind it and the same score and length.

    log_probs: (b, beams, vocabulary) of the next piece; scores: (b, beams), log p of each beam so far; lengths: int64
    (b, beams), pieces so far; finished: bool (b, beams). Returns scores (b, beams), not divided, the best first;
    parents int64 (b, beams), which beam each continues; pieces int64 (b, beams).
    """
    num_beams, size = log_probs.shape[1:]
    going_on = scores[..., None] + log_probs  # (b, beams, vocabulary)
    is_pad = torch.arange(size, device=log_probs.device) == pad
    staying = scores[..., None].masked_fill(~is_pad, -torch.inf)
    totals = torch.where(finished[..., None], staying, going_on)
    penalty = length_penalty(lengths + (~finished).long(), alpha)  # (b, beams)
    ranking = (totals / penalty[..., None]).flatten(1)  # (b, beams · vocabulary)
    chosen = ranking.argsort(dim=1, descending=True, stable=True)[:, :num_beams]
    return totals.flatten(1).gather(1, chosen), chosen // size, chosen % size


# ---------------------------------------------------------------- loops
@torch.no_grad()
def greedy(
    step: Step, cache: KVCache, prompt: Tensor, max_length: int, eos: int = EOS, pad: int = PAD
) -> Integer[Tensor, "batch n"]:
    """Always the most likely piece.

    Parameters
    ----------
    step : (new ids (b, n), cache) → logits (b, vocabulary) of the piece that follows
    cache : what the step keeps its keys and values in
    prompt : int64 (b, n), the beginning, for instance `<bos>`
    max_length : most pieces to write

    Returns
    -------
    ids : int64 (b, m), m ≤ max_length, without the prompt; up to `eos`, then `pad`
    """
    check_length(max_length)
    return _one_by_one(step, cache, prompt, max_length, lambda logits: logits.argmax(dim=-1), eos, pad)


@torch.no_grad()
def sample(
    step: Step,
    cache: KVCache,
    prompt: Tensor,
    max_length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    eos: int = EOS,
    pad: int = PAD,
) -> Integer[Tensor, "batch n"]:
    """Each piece drawn by chance, with `sampling_probabilities`. The rest as in `greedy`."""
    check_length(max_length)
    check_sampling(temperature, top_k, top_p)

    def draw(logits: Tensor) -> Tensor:
        probabilities = sampling_probabilities(logits, temperature, top_k, top_p)
        return torch.multinomial(probabilities, 1, generator=generator)[:, 0]

    return _one_by_one(step, cache, prompt, max_length, draw, eos, pad)


@torch.no_grad()
def beam_search(
    step: Step,
    cache: KVCache,
    prompt: Tensor,
    max_length: int,
    num_beams: int = 5,
    alpha: float = 0.0,
    eos: int = EOS,
    pad: int = PAD,
) -> tuple[Integer[Tensor, "batch beams n"], Float[Tensor, "batch beams"]]:
    """The `num_beams` most likely beginnings are continued at once; longer texts are excused by `length_penalty`.

    Returns
    -------
    ids : int64 (b, num_beams, m), the best first, without the prompt
    scores : float (b, num_beams), log p of each, not divided by the penalty
    """
    check_length(max_length)
    if num_beams < 1:
        raise ValueError(f"num_beams: expected 1 or more, got {num_beams}; 1 is greedy")
    if not 0 <= alpha < float("inf"):
        raise ValueError(f"alpha: expected 0 (no normalization of length) or more, got {alpha}")
    b = len(prompt)
    device = prompt.device
    first_row = torch.arange(b, device=device)[:, None] * num_beams  # of each sample, in the flat batch
    cache.select(torch.arange(b, device=device).repeat_interleave(num_beams))
    new = prompt.repeat_interleave(num_beams, dim=0)  # (b · beams, n)
    ids = torch.zeros(b, num_beams, 0, dtype=torch.long, device=device)
    scores = torch.full((b, num_beams), -torch.inf, device=device)
    scores[:, 0] = 0  # at first all beams are the same: only one counts
    lengths = torch.zeros(b, num_beams, dtype=torch.long, device=device)
    finished = torch.zeros(b, num_beams, dtype=torch.bool, device=device)
    for _ in range(max_length):
        log_probs = F.log_softmax(check_logits(step(new, cache)).float(), dim=-1).unflatten(0, (b, num_beams))
        scores, parents, pieces = beam_step(log_probs, scores, lengths, finished, alpha, pad)
        cache.select((first_row + parents).flatten())
        ids = torch.cat([ids.gather(1, parents[..., None].expand_as(ids)), pieces[..., None]], dim=2)
        was_finished = finished.gather(1, parents)
        lengths = lengths.gather(1, parents) + (~was_finished).long()
        finished = was_finished | (pieces == eos)
        if finished.all():
            break
        new = pieces.flatten()[:, None]  # (b · beams, 1)
    best_first = (scores / length_penalty(lengths, alpha)).argsort(dim=1, descending=True, stable=True)
    return ids.gather(1, best_first[..., None].expand_as(ids)), scores.gather(1, best_first)


def generate(
    step: Step,
    cache: KVCache,
    prompt: Tensor,
    max_length: int,
    method: str = "greedy",
    num_beams: int = 5,
    alpha: float = 0.0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Integer[Tensor, "batch n"]:
    """One text for each prompt by one of `METHODS`: `greedy`, the best of `beam_search`, or `sample`.

    Each method takes its own settings and ignores those of the others. Shapes as in `greedy`.

    Raises
    ------
    ValueError
        For another method, or settings that do not fit.
    """
    check_settings(method, max_length, temperature, top_k, top_p)
    if method == "greedy":
        return greedy(step, cache, prompt, max_length)
    if method == "beam":
        beams, _ = beam_search(step, cache, prompt, max_length, num_beams, alpha)
        return beams[:, 0]
    return sample(step, cache, prompt, max_length, temperature, top_k, top_p, generator)


def _one_by_one(
    step: Step, cache: KVCache, prompt: Tensor, max_length: int, choose: Callable[[Tensor], Tensor], eos: int, pad: int
) -> Tensor:
    """Choose a piece, give it to the model, until every text has its end."""
    new, pieces = prompt, []
    finished = torch.zeros(len(prompt), dtype=torch.bool, device=prompt.device)
    for _ in range(max_length):
        logits = check_logits(step(new, cache))  # (b, vocabulary)
        piece = choose(logits).masked_fill(finished, pad)
        pieces.append(piece)
        finished = finished | (piece == eos)
        if finished.all():
            break
        new = piece[:, None]
    return torch.stack(pieces, dim=1)


# ---------------------------------------------------------------- checks
def check_length(max_length: int) -> None:
    """A ValueError unless there is room for one piece."""
    if max_length < 1:
        raise ValueError(f"max_length: expected 1 or more, got {max_length}")


def check_settings(method: str, max_length: int, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """A ValueError for another method than one of `METHODS`, or settings that leave nothing to write."""
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    check_length(max_length)
    check_sampling(temperature, top_k, top_p)


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """A ValueError for settings that leave nothing to draw."""
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature: expected above 0, got {temperature}; greedy is the limit at 0")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k: expected 1 or more, or None for all, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p: expected above 0 and at most 1, or None for all, got {top_p}")


def check_logits(logits: Tensor) -> Tensor:
    """The logits, or a ValueError where one is NaN: argmax would choose it without a word."""
    if logits.isnan().any():
        row = int(logits.isnan().any(dim=-1).nonzero()[0])
        raise ValueError(f"logits: NaN in row {row}; look at the model's inputs and weights for NaN or overflow")
    return logits
