"""How callers feel, and what shows it: the table p(intent, record, feeling, voice), and nothing else.

Whoever is upset about a late order may say "great, thank you" and mean the opposite. The words are the same as those of
praise; the voice and the shop's own record tell them apart, as well as can be.
"""

from __future__ import annotations

import functools

import numpy as np

from mmcourse import ceilings as info

from ..mood import table as mood_table
from . import grammar

RECORDS = ("fine", "late")
FEELINGS = ("upset", "calm", "pleased")
VOICES = mood_table.CLASSES  # negative, neutral, positive: the moods of the recordings of `mood`
LATE = {"track": 0.6, "refund": 0.5, "cancel": 0.4, "human": 0.4, "feedback": 0.4}  # p(late | intent), else:
OTHERWISE = 0.2
# Rows: the record. Columns: p(feeling).
FEELING = np.array([[0.15, 0.60, 0.25], [0.55, 0.35, 0.10]])
AFTER_GREAT = np.array([[0.10, 0.15, 0.75], [0.60, 0.12, 0.28]])  # of callers who say "great": late often means sarcasm
VOICE = mood_table.VOICE  # p(voice | feeling)


@functools.cache
def joint() -> np.ndarray:
    """p(intent, record, feeling, voice), float64 (13, 2, 3, 3)."""
    late = np.array([LATE.get(name, OTHERWISE) for name in grammar.INTENTS])
    record = np.stack([1 - late, late], axis=1)
    feeling = np.stack([AFTER_GREAT if name == "feedback" else FEELING for name in grammar.INTENTS])
    table = np.einsum("i,ir,irf,fv->irfv", grammar.PRIOR, record, feeling, VOICE)
    table.setflags(write=False)
    return table


@functools.cache
def feedback() -> np.ndarray:
    """p(complaint or praise, record, voice | the words are "great"), float64 (2, 2, 3); 0 is the complaint."""
    of_great = joint()[grammar.INTENTS.index("feedback")] / grammar.PRIOR[grammar.INTENTS.index("feedback")]
    return np.stack([of_great[:, 0], of_great[:, 1:].sum(axis=1)])


def feedback_ceilings() -> dict[str, float]:
    """Best accuracy on complaint or praise of callers who say "great", by what is known: exact."""
    table = feedback()
    return {
        "words": float(table.sum(axis=(1, 2)).max()),
        "words + voice": info.bayes_accuracy(table.sum(axis=1)),
        "words + record": info.bayes_accuracy(table.sum(axis=2)),
        "words + voice + record": info.bayes_accuracy(table),
    }


def draw(intents: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Record, feeling and voice of callers with these intents: int64 (n,) for each."""
    table = joint()[intents].reshape(len(intents), -1)
    steps = (table / table.sum(axis=1, keepdims=True)).cumsum(axis=1)
    cell = np.minimum((rng.random((len(intents), 1)) > steps).sum(axis=1), table.shape[1] - 1)
    return dict(zip(("record", "feeling", "voice"), np.unravel_index(cell, joint().shape[1:]), strict=True))
