"""Text to pre-train on: the captions of scenes, and what people in mood say, four sentences at a time.

No label is stored. Yet sentences said in one breath mostly share a feeling, as in a review, and that is all that a
language model can learn feelings from.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from . import load
from .base import check_split
from .mood import words as mood_words

AGREE = 0.9  # of the sentences of a message express its feeling; the rest any feeling


@cache
def captions(split: str = "train") -> tuple[str, ...]:
    """The captions of scenes, one text each."""
    return tuple(load("scenes", split).column("words"))


def utterances(split: str = "train", n: int = 12_000, seed: int = 0, agree: float = AGREE) -> list[tuple[str, str]]:
    """Messages in two parts of two sentences each, as somebody says them one after the other.

    Parameters
    ----------
    split : "train", "validation" or "test"; the sentences of two splits differ
    n, seed : how many messages; which ones
    agree : share of the sentences that express the feeling of their message

    Raises
    ------
    ValueError
        For an unknown split.
    """
    lines = list(mood_words.sentences(check_split(split)).values())
    rng = np.random.default_rng([seed, 8])
    messages = []
    for _ in range(n):
        feelings = np.where(rng.random(4) < agree, rng.integers(3), rng.integers(3, size=4))
        a, b, c, d = (lines[feeling][rng.integers(len(lines[feeling]))] for feeling in feelings)
        messages.append((f"{a} {b}", f"{c} {d}"))
    return messages
