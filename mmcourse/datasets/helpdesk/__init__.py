"""Helpdesk: callers of a shop that makes colored signs. What do they want, how do they feel, and what is the answer?

What is said comes from a grammar with known probabilities (`grammar`), a recognizer with known errors (`channel`) hears
it, and how callers feel depends on the shop's record and shows in their voice (`tone`). So the best accuracy that any
model can reach is known. `posts` are pictures with words, `programs` answers questions about a scene.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import SPLITS, Column, Dataset, IndexedView, LazySequence, check_split, pad
from ..mood import voices as mood_voices
from . import channel, chinese, grammar, posts, programs, speech, tone
from .grammar import INTENTS, OUT_OF_SCOPE, PRIOR
from .speech import SAMPLE_RATE
from .tone import FEELINGS, RECORDS, VOICES

__all__ = ["FEELINGS", "INTENTS", "OUT_OF_SCOPE", "PRIOR", "RECORDS", "SAMPLE_RATE", "SIZES", "VOICES", "channel"]
__all__ += ["chinese", "encode", "grammar", "load", "posts", "programs", "speech", "tone", "vocabulary"]

SIZES = {"train": 4000, "validation": 1000, "test": 1000}
SEED = 60


def load(split: str = "train", templates: str = "seen", n: int | None = None, seed: int | None = None) -> Dataset:
    """The split's callers; always the same ones.

    Parameters
    ----------
    split : "train" (4,000 callers), "validation" or "test" (1,000 each). No two splits share a voice. They share
        sentences, as they come from one grammar.
    templates : "seen", or "unseen" for paraphrases that training does not have (validation and test only); what is out
        of scope is then about another topic, too
    n, seed : more, fewer, or other callers than the fixed ones

    Returns
    -------
    Dataset of "words" str, "speech" float32 (t,) at 16 kHz (these words), "tone" float32 (t,) (how the caller sounds: a
    recording of `mood`). The label is the intent. `meta`: "record", "feeling", "tone_cue" (names), "slots"
    ("color=red;shape=star"), "speaker".

    Raises
    ------
    ValueError
        For an unknown split or templates, unseen templates in training, n < 1.
    """
    check_split(split)
    if templates == "unseen" and split == "train":
        raise ValueError("templates: training has none of the unseen ones by design; load validation or test")
    n = SIZES[split] if n is None else n
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n: expected a whole number ≥ 1, got {n!r}")
    rng = np.random.default_rng([SEED if seed is None else seed, SPLITS.index(split), templates == "unseen"])
    said = grammar.draw(n, rng, templates)
    intents = np.array([sentence.intent for sentence in said])
    facts = tone.draw(intents, rng)
    clips = mood_voices.clips(split)
    by_mood = [[i for i, clip in enumerate(clips) if clip.cue == cue] for cue in range(len(VOICES))]
    clip = np.array([by_mood[cue][int(rng.integers(len(by_mood[cue])))] for cue in facts["voice"]])
    texts = [sentence.text for sentence in said]
    voices = speech.banks(split)
    who = np.arange(n) % len(voices)
    spoken = speech.SpokenWords(texts, who, voices)

    def features() -> dict[str, Column]:
        store: Any = speech.JoinedWords(spoken, split)
        return {
            "words": pad([encode(text) for text in texts]),
            "speech": Column(store, np.arange(n), store.lengths),
            "tone": pad(mood_voices.features(split), clip),
        }

    return Dataset(
        "helpdesk",
        split,
        classes=INTENTS,
        labels=intents,
        columns={
            "words": list(texts),
            "speech": spoken,
            "tone": IndexedView(LazySequence(lambda: mood_voices.waves(split), len(clips)), clip),
        },
        meta={
            "record": np.array(RECORDS)[facts["record"]],
            "feeling": np.array(FEELINGS)[facts["feeling"]],
            "tone_cue": np.array(VOICES)[facts["voice"]],
            "slots": np.array([";".join(f"{k}={v}" for k, v in sentence.slots) for sentence in said]),
            "speaker": np.array([bank.name for bank in voices])[who],
        },
        preprocess=features,
        sample_rate=SAMPLE_RATE,
        vocabulary=vocabulary(),
    )


def vocabulary() -> tuple[str, ...]:
    """Words by id; id 0 pads, id 1 stands for any other word."""
    return ("<pad>", "<unk>", *grammar.vocabulary())


def encode(text: str) -> np.ndarray:
    """int64 (l,) ids of a sentence's words."""
    ids = {word: i for i, word in enumerate(vocabulary())}
    return np.array([ids.get(word, 1) for word in text.lower().split()], np.int64)
