"""Mood: words, a voice and a face say together how somebody feels; with sarcasm, no one of them is enough.

The label and three cues are drawn from a table that is known (`mood_table`), so the best accuracy that any model can
reach is known too. Each cue is then rendered (`mood_words`, `mood_voices`, `mood_faces`) with much that carries no
label: which sentence, which voice and take, whose face.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from itertools import combinations

import numpy as np

from mmcourse import ceilings as info

from ..base import SPLITS, Column, Dataset, IndexedView, LazySequence, check_split, pad
from . import faces as mood_faces
from . import voices as mood_voices
from . import words as mood_words
from .table import CLASSES, CUES, JOINT, MODALITIES

__all__ = ["CLASSES", "CUES", "JOINT", "MODALITIES", "SAMPLE_RATE", "SIZES", "additive_accuracy", "bayes_accuracy"]
__all__ += ["ceilings", "draw_cues", "information", "load", "loglinear_accuracy"]

SIZES = {"train": 6000, "validation": 1500, "test": 1500}
IDENTITIES = {"train": 400, "validation": 100, "test": 100}
SAMPLE_RATE = 16_000
SEED = 20


def load(split: str = "train") -> Dataset:
    """The split's samples; always the same ones.

    Parameters
    ----------
    split : "train" (6,000 samples), "validation" or "test" (1,500 each). No two splits share a sentence, a voice or
        a person's face.

    Returns
    -------
    Dataset of "face" uint8 (32, 32, 3), "voice" float32 (t,) at 16 kHz, "words" str. `meta`: "face_cue", "voice_cue",
    "words_cue" (names in CUES), "speaker", "take", "identity".
    """
    n = SIZES[check_split(split)]
    cues, said, words, clip, identity = _draw_samples(split)
    clips = mood_voices.clips(split)

    def features() -> dict[str, Column]:
        return {
            "face": Column(_faces(split).astype(np.float32) / 255, np.arange(n)),
            "voice": pad(mood_voices.features(split), clip),
            "words": pad([mood_words.encode(sentence) for sentence in said], words),
        }

    meta = {f"{m}_cue": np.array(CUES[m])[cues[m]] for m in MODALITIES}
    meta["speaker"], meta["take"] = (np.array([getattr(c, k) for c in clips])[clip] for k in ("speaker", "take"))
    meta["identity"] = identity + sum(IDENTITIES[s] for s in SPLITS[: SPLITS.index(split)])
    columns = {
        "face": LazySequence(lambda: _faces(split), n),
        "voice": IndexedView(LazySequence(lambda: mood_voices.waves(split), len(clips)), clip),
        "words": IndexedView(said, words),
    }
    return Dataset(
        "mood",
        split,
        classes=CLASSES,
        labels=cues["label"],
        columns=columns,
        meta=meta,
        preprocess=features,
        sample_rate=SAMPLE_RATE,
        vocabulary=mood_words.vocabulary(),
    )


def draw_cues(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """n draws from JOINT: int64 (n,) for "label" and each modality's cue."""
    cells = rng.choice(JOINT.size, size=n, p=JOINT.ravel() / JOINT.sum())
    return dict(zip(("label", *MODALITIES), np.unravel_index(cells, JOINT.shape), strict=True))


def _choose(pools: list, cue: np.ndarray, rng: np.random.Generator) -> tuple[list, np.ndarray]:
    """For each sample something out of its cue's pool: the pools as one list, and int64 (n,) places in it."""
    sizes = np.array([len(pool) for pool in pools])
    starts = np.cumsum(sizes) - sizes
    return [item for pool in pools for item in pool], starts[cue] + rng.integers(0, sizes[cue])


def _draw_samples(split: str) -> tuple[dict[str, np.ndarray], list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Of each sample: cues, sentence (all sentences, and which of them), clip of a voice, identity of the face."""
    rng = np.random.default_rng([SEED, SPLITS.index(split)])
    cues = draw_cues(SIZES[split], rng)
    said, words = _choose([mood_words.sentences(split)[c] for c in CUES["words"]], cues["words"], rng)
    clips = mood_voices.clips(split)
    by_cue = [[i for i, clip in enumerate(clips) if clip.cue == cue] for cue in range(len(CUES["voice"]))]
    order, voice = _choose(by_cue, cues["voice"], rng)
    return cues, said, words, np.array(order)[voice], rng.integers(0, IDENTITIES[split], SIZES[split])


@functools.cache
def _faces(split: str) -> np.ndarray:
    """uint8 (n, 32, 32, 3), read-only: painted once, whoever loads the split again gets the same array."""
    cues, *_, identity = _draw_samples(split)
    rng = np.random.default_rng([SEED, 10 + SPLITS.index(split)])
    people = mood_faces.draw_identities(IDENTITIES[split], rng)
    poses = mood_faces.draw_poses(len(identity), rng)
    faces = mood_faces.draw(cues["face"], {key: value[identity] for key, value in people.items()}, poses, rng)
    faces.setflags(write=False)
    return faces


def _axes(modalities: Iterable[str]) -> list[int]:
    """Where these modalities are in JOINT, counted without the label."""
    names = [modalities] if isinstance(modalities, str) else list(modalities)
    if not names or set(names) - set(MODALITIES):
        raise ValueError(f"modalities: expected one or more of {', '.join(MODALITIES)}, got {names}")
    return sorted(MODALITIES.index(name) for name in set(names))


def bayes_accuracy(modalities: Iterable[str] = MODALITIES) -> float:
    """The best accuracy that any model can have that sees these modalities: exact, by going through the table."""
    return info.bayes_accuracy(info.marginal(JOINT, _axes(modalities)))


def ceilings() -> dict[tuple[str, ...], float]:
    """`bayes_accuracy` of every combination of modalities, singles first."""
    return {names: bayes_accuracy(names) for k in (1, 2, 3) for names in combinations(MODALITIES, k)}


@functools.cache
def additive_accuracy() -> float:
    """The best accuracy of any argmax_y Σ_m g_m(cue_m, y): what no sum of separate votes can pass."""
    return info.additive_accuracy(JOINT)


@functools.cache
def loglinear_accuracy() -> float:
    """Accuracy of the additive model that maximum likelihood chooses, which is what training gives."""
    return info.loglinear_accuracy(JOINT)


def information(pair: Iterable[str]) -> dict[str, float]:
    """What two modalities' cues say about the label, in bits: "redundancy", "unique_<each>", "synergy".

    See `mmcourse.ceilings.decompose` for what these mean and by whose definition.
    """
    axes = _axes(pair)
    if len(axes) != 2:
        raise ValueError(f"pair: expected two modalities of {', '.join(MODALITIES)}, got {tuple(pair)}")
    first, second = (MODALITIES[a] for a in axes)
    parts = info.decompose(info.marginal(JOINT, axes))
    return {
        "redundancy": parts["redundancy"],
        f"unique_{first}": parts["unique1"],
        f"unique_{second}": parts["unique2"],
        "synergy": parts["synergy"],
    }
