"""Scenes: a small world of colored shapes, seen, described, spoken of, asked about and moving.

Endless by seed; `load` gives the fixed part that lessons use. See `data/scenes/README.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np

from ..base import Column, Dataset, LazySequence, check_split, pad
from . import captions
from . import questions as scenes_questions
from . import speech as scenes_speech
from . import videos as scenes_videos
from . import world as scenes_world
from .drawing import box, draw
from .questions import ANSWERS, QUESTION_KINDS, language_only_accuracy
from .speech import SAMPLE_RATE
from .world import COLORS, HELD_OUT, MOST, SHAPES, SIZES, TEXTURES, Scene

__all__ = ["ANSWERS", "COLORS", "HELD_OUT", "QUESTION_KINDS", "SAMPLE_RATE", "SHAPES", "SIZES", "TASKS", "TEXTURES"]
__all__ += ["language_only_accuracy", "load", "vocabulary"]

NUMBERS = {
    "caption": {"train": 6000, "validation": 1000, "test": 1000},
    "question": {"train": 6000, "validation": 1200, "test": 1200},
    "video": {"train": 800, "validation": 200, "test": 200},
}
TASKS = tuple(NUMBERS)
SEEDS = {"train": 20_001, "validation": 20_002, "test": 20_003}  # the fixed snapshot; a scene depends on nothing else
QUESTION_WORDS = (
    "can circles colour crosses diamonds equal equally fewer from how many more or seen shape squares stars thing "
    "triangles what where which"
).split()


def vocabulary() -> tuple[str, ...]:
    """Words by id, of captions and of questions; id 0 pads, id 1 stands for any other word."""
    return ("<pad>", "<unk>", *sorted({*captions.vocabulary(), *QUESTION_WORDS}))


class Scaled:
    """Store of a `Column`: pictures kept as uint8, given out as float32 in [0, 1]."""

    def __init__(self, pixels: np.ndarray):
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, key: Any) -> np.ndarray:
        return self.pixels[key] * np.float32(1 / 255)


def column(store: Any, lengths: np.ndarray | None = None) -> Column:
    """A Column of which each element of `store` is one sample; `store` need only be indexed like an array."""
    return Column(cast(np.ndarray, store), np.arange(len(store)), lengths)


def facts(scenes: Sequence[Scene]) -> dict[str, np.ndarray]:
    """What is where: arrays (n, 4) of each thing's shape, color and size (-1: no such thing) and its box (n, 4, 4).

    Boxes are (left, top, right, bottom) in pixels, of the whole thing even where another hides some of it.
    """
    table = np.full((len(scenes), MOST, 3), -1, np.int64)
    boxes = np.zeros((len(scenes), MOST, 4), np.float32)
    for row, place, scene in zip(table, boxes, scenes, strict=True):
        for i, thing in enumerate(scene.things):
            row[i], place[i] = (thing.shape, thing.color, thing.size), box(thing)
    texture = np.array([scene.texture for scene in scenes])
    shape, color, size = table.transpose(2, 0, 1)
    return {"shape": shape, "colour": color, "size": size, "boxes": boxes, "texture": texture}


def encode(texts: Iterable[str]) -> Column:
    """Texts as ids of their words."""
    ids = {word: i for i, word in enumerate(vocabulary())}
    return pad([np.array([ids.get(word, 1) for word in captions.tokens(text)], np.int64) for text in texts])


def halved(frames: np.ndarray) -> np.ndarray:
    """Each 2 × 2 pixels become their mean, or a split of videos would fill half a gigabyte: uint8 (t, 32, 32, 3)."""
    corners = [frames[:, i::2, j::2].astype(np.uint16) for i in (0, 1) for j in (0, 1)]
    return ((corners[0] + corners[1] + corners[2] + corners[3] + 2) // 4).astype(np.uint8)


def load(
    split: str = "train",
    task: str = "caption",
    unseen: str | None = None,
    n: int | None = None,
    seed: int | None = None,
) -> Dataset:
    """A split of scenes.

    Parameters
    ----------
    split : "train", "validation" or "test"; the voices differ from split to split
    task : "caption" (image, speech, words; the label is the number of things), "question" (image, words; the label is
        the answer) or "video" (video, words; the label is the event). In "caption" and "video" the words tell the
        label: take one modality as what the other is to be matched with, or leave the words out.
    unseen : None, "colour-shape" or "size-shape"
        Instead of the training world, things in combinations that training never has; not for "train".
    n, seed : more, fewer, or other scenes than the fixed ones

    Raises
    ------
    ValueError
        For an unknown split, task or `unseen`; for unseen things in training; for n < 1.
    """
    check_split(split)
    if task not in TASKS:
        raise ValueError(f"task: expected one of {', '.join(TASKS)}, got {task!r}")
    if scenes_world.check_unseen(unseen) and split == "train":
        raise ValueError("unseen: training has none of these things by design; load validation or test")
    n = NUMBERS[task][split] if n is None else n
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n: expected a whole number ≥ 1, got {n!r}")
    own = SEEDS[split] + (0 if unseen is None else 10 * (1 + list(HELD_OUT).index(unseen))) if seed is None else seed
    return {"caption": _captions, "question": _questions, "video": _videos}[task](split, n, own, unseen)


def _dataset(split: str, texts: Sequence[str], columns: dict, columns_of: Callable, **rest: Any) -> Dataset:
    """A Dataset whose words are `texts`; `columns_of()` gives the other modalities, model-ready."""
    return Dataset(
        "scenes",
        split,
        columns={**columns, "words": list(texts)},
        preprocess=lambda: {**columns_of(), "words": encode(texts)},
        vocabulary=vocabulary(),
        **rest,
    )


def _pictures(scenes: Sequence[Scene]) -> LazySequence:
    return LazySequence(lambda: np.stack([draw(scene) for scene in scenes]), len(scenes))


def _captions(split: str, n: int, seed: int, unseen: str | None) -> Dataset:
    scenes = [scenes_world.make(seed, i, unseen) for i in range(n)]
    texts = [captions.english(scene) for scene in scenes]
    banks = scenes_speech.voices(split)
    spoken = scenes_speech.Spoken(texts, np.arange(n) % len(banks), banks)
    images = _pictures(scenes)

    def ready() -> dict[str, Column]:
        mels = scenes_speech.JoinedMels(spoken, split)
        return {"image": column(Scaled(images[:])), "speech": column(mels, mels.lengths)}

    return _dataset(
        split,
        texts,
        {"image": images, "speech": spoken},
        ready,
        classes=tuple(str(i + 1) for i in range(MOST)),
        labels=np.array([len(scene.things) - 1 for scene in scenes]),
        meta={
            **facts(scenes),
            "caption_zh": np.array([captions.chinese(scene) for scene in scenes], object),
            "voice": np.array([banks[who].name for who in spoken.who]),
        },
        sample_rate=SAMPLE_RATE,
    )


def _questions(split: str, n: int, seed: int, unseen: str | None) -> Dataset:
    questions, texts, answers, scenes = zip(*(scenes_questions.ask(seed, i, unseen) for i in range(n)), strict=True)
    images = _pictures(scenes)
    return _dataset(
        split,
        texts,
        {"image": images},
        lambda: {"image": column(Scaled(images[:]))},
        classes=ANSWERS,
        labels=np.array([ANSWERS.index(answer) for answer in answers]),
        meta={**facts(scenes), "kind": np.array([question.kind for question in questions])},
    )


def _videos(split: str, n: int, seed: int, unseen: str | None) -> Dataset:
    clips = [scenes_videos.make(seed, i, unseen) for i in range(n)]

    def ready() -> dict[str, Column]:
        return {"video": column(Scaled(np.stack([halved(clip.draw()) for clip in clips])))}

    return _dataset(
        split,
        [clip.caption for clip in clips],
        {"video": scenes_videos.Drawn(clips)},
        ready,
        classes=captions.EVENTS,
        labels=np.array([captions.EVENTS.index(clip.event) for clip in clips]),
        meta={
            **facts([clip.scene for clip in clips]),
            "caption_zh": np.array([clip.caption_zh for clip in clips], object),
        },
    )
