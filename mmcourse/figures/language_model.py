"""Figures of the shipped language model: how far it is from the exact entropy of its corpus, and where it loses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from mmcourse.datasets.scenes import texts
from mmcourse.torch.gpt import CausalLM

TEST_SEED = 30_009  # of the test texts; no training text is drawn with it


def test_texts(n: int = 1000, seed: int = TEST_SEED) -> list[list[str]]:
    """`n` texts as words."""
    return texts.draw_texts(n, seed)


def exact_nats(found: list[list[str]]) -> list[np.ndarray]:
    """−ln p of each word and of the end, by the grammar itself."""
    return [-texts.log_probs(words) for words in found]


def grammatical(written: list[str]) -> float:
    """Share of texts that the grammar can write, to their last word."""
    known = set(texts.vocabulary_words())
    right = 0
    for text in written:
        for sign in texts.SIGNS:
            text = text.replace(sign, f" {sign}")
        words = text.split()
        right += bool(words) and set(words) <= known and bool(np.isfinite(texts.log_probs(words)).all())
    return right / len(written)


def compute(n: int = 1000, model: CausalLM | None = None) -> dict[str, Any]:
    """All figures of a model on `n` test texts; by default of the shipped one.

    excess_perplexity : perplexity of the model over that of the grammar, minus 1, on the same texts
    """
    model = CausalLM.from_pretrained("language_model") if model is None else model
    found = test_texts(n)
    exact = exact_nats(found)
    ours = [row.double().numpy() for row in model.nats([texts.join(words) for words in found])]
    gaps = np.array([a.sum() - b.sum() for a, b in zip(ours, exact, strict=True)])
    pieces = np.array([len(row) for row in exact])
    gap = gaps.sum() / pieces.sum()
    rest = gaps - gap * pieces  # of a ratio of means
    error = math.sqrt((rest**2).sum() / (n - 1) / n) / pieces.mean()
    per_text, words_per_text = texts.entropy()
    flat_ours, flat_exact = np.concatenate(ours), np.concatenate(exact)
    forced = flat_exact < 1e-9  # only one word can stand there
    generator = torch.Generator().manual_seed(0)
    written = model.generate([""] * min(n, 500), method="sample", generator=generator)
    return {
        "excess_perplexity": math.exp(gap) - 1,
        "excess_low": math.exp(gap - 1.96 * error) - 1,
        "excess_high": math.exp(gap + 1.96 * error) - 1,
        "nats_per_piece": float(flat_ours.sum() / pieces.sum()),
        "exact_nats_per_piece": float(flat_exact.sum() / pieces.sum()),
        "entropy_per_text": per_text,
        "pieces_per_text": words_per_text,
        "entropy_per_piece": per_text / words_per_text,
        "perplexity": float(math.exp(flat_ours.sum() / pieces.sum())),
        "exact_perplexity": math.exp(per_text / words_per_text),
        "excess_where_forced": float(flat_ours[forced].mean()),
        "excess_where_open": float((flat_ours - flat_exact)[~forced].mean()),
        "share_forced": float(forced.mean()),
        "sampled_grammatical": grammatical(written),
        "texts": n,
        "weights": model.num_weights(embedding=True),
    }
