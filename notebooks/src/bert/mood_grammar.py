"""What the best possible reader knows about a gap in a sentence of `mood`: every sentence of the grammar, counted."""

from __future__ import annotations

import functools
import itertools
import string
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmcourse.datasets.mood import words


@functools.cache
def all_sentences() -> tuple[tuple[str, ...], np.ndarray]:
    """Every sentence of the grammar, and the probability that it is said.

    A feeling is drawn first (1/3 each), then one of its patterns as often as the training sentences hold it, then the
    words, each combination alike.
    """
    sentences, shares = [], []
    for patterns, slots in words.GRAMMAR.values():
        lists = []
        for pattern in patterns:
            names = [name for _, name, _, _ in string.Formatter().parse(pattern) if name]
            filled = [dict(zip(names, w, strict=True)) for w in itertools.product(*(slots[n] for n in names))]
            filled = [f for f in filled if f.get("day") != f.get("other_day", "")]
            lists.append([words._article(pattern.format(**f)) for f in filled])
        kept = np.array([min(len(lines), words.AT_MOST) for lines in lists], float)
        for lines, share in zip(lists, kept / kept.sum() / 3, strict=True):
            sentences += lines
            shares += [share / len(lines)] * len(lines)
    return tuple(sentences), np.array(shares)


@dataclass
class Gaps:
    """Sentences with one [MASK] each: ids with the gap and without, where it is, and what was there."""

    inputs: np.ndarray  # (n, t)
    full: np.ndarray  # (n, t)
    where: np.ndarray  # (n,)
    truth: np.ndarray  # (n,)


def gaps_of(tokenizer: Any, split: str, n: int, seed: int = 0) -> Gaps:
    """n sentences of a split, drawn as `mood` draws them, each with one masked token."""
    g = np.random.default_rng(seed)
    lines = list(words.sentences(split).values())
    drawn = []
    for _ in range(n):
        group = lines[g.integers(3)]
        drawn.append(group[g.integers(len(group))])
    full = tokenizer(drawn, padding=True, return_tensors="np")["input_ids"]
    maskable = ~np.isin(full, tokenizer.all_special_ids)
    where = np.array([g.choice(np.flatnonzero(row)) for row in maskable])
    rows = np.arange(n)
    inputs = full.copy()
    inputs[rows, where] = tokenizer.mask_token_id
    return Gaps(inputs, full, where, full[rows, where])


def _counts(tokenizer: Any, left_only: bool) -> dict:
    """For each context that the grammar can show: how probable each token is in the gap."""
    sentences, shares = all_sentences()
    ids = tokenizer(list(sentences))["input_ids"]
    found: dict = {}
    for row, share in zip(ids, shares, strict=True):
        for i in range(1, len(row) - 1):
            context = tuple(row[:i]) if left_only else (tuple(row[:i]), tuple(row[i + 1 :]))
            tokens = found.setdefault(context, {})
            tokens[row[i]] = tokens.get(row[i], 0.0) + share
    return found


def limits(tokenizer: Any, gaps: Gaps) -> dict:
    """Best possible accuracy and least possible loss in these gaps, from both sides and from the left side only."""
    found = {}
    for name, left_only in (("both sides", False), ("left side only", True)):
        counts = _counts(tokenizer, left_only)
        hits, losses, best = [], [], []
        for full, i, truth in zip(gaps.full, gaps.where, gaps.truth, strict=True):
            row = full[full > 0].tolist()
            context = tuple(row[:i]) if left_only else (tuple(row[:i]), tuple(row[i + 1 :]))
            tokens = counts[context]
            total = sum(tokens.values())
            best.append(max(tokens.values()) / total)
            losses.append(-np.log(tokens[truth] / total))
            hits.append(max(tokens, key=tokens.get) == truth)
        found[name] = {
            "accuracy": round(float(np.mean(best)), 4),
            "loss": round(float(np.mean(losses)), 4),
        }
    return found
