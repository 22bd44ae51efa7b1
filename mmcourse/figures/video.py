"""Figures of the shipped event model, of its order-blind twin beside the exact limit, and of offsets found in films."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmcourse.datasets.scenes import films, halved, videos
from mmcourse.datasets.scenes.captions import EVENTS
from mmcourse.preprocess.synchrony import find_offset
from mmcourse.torch.video import EventModel

SEED = 20_003  # the test split's own seed


def clips(seed: int, start: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Films number `start` … of a world, uint8 (n, 12, 32, 32, 3), and the numbers of their events (n,)."""
    made = [videos.make(seed, index) for index in range(start, start + n)]
    pixels = np.stack([halved(clip.draw()) for clip in made])
    return pixels, np.array([EVENTS.index(clip.event) for clip in made])


def mirrored(labels: np.ndarray) -> np.ndarray:
    """The events seen when the films run backwards."""
    backwards = np.array([EVENTS.index(videos.MIRROR[event]) for event in EVENTS])
    return backwards[labels]


def offsets(n: int, split: str = "test") -> tuple[np.ndarray, np.ndarray]:
    """True and found offsets of `n` blinking films, in frames."""
    made = films.load_films(split, n)
    found = [find_offset(film.draw(), film.wave(), films.PER_FRAME, films.MOST_OFFSET) for film in made]
    return np.array([film.offset for film in made]), np.array(found)


def compute(n: int = 1000, model: EventModel | None = None) -> dict[str, Any]:
    """All figures of a model on `n` test clips and `n` films; by default of the shipped one."""
    model = EventModel.from_pretrained("video") if model is None else model
    pixels, labels = clips(SEED, 0, n)
    rng = np.random.default_rng(0)
    shuffled = np.stack([film[rng.permutation(len(film))] for film in pixels])
    said = {
        "accuracy": model.probabilities(pixels),
        "shuffled": model.probabilities(shuffled),
        "reversed": model.probabilities(pixels[:, ::-1]),
        "order_blind": model.probabilities(pixels, order_blind=True),
        "order_blind_shuffled": model.probabilities(shuffled, order_blind=True),
    }
    found: dict[str, Any] = {name: float((p.argmax(axis=1) == labels).mean()) for name, p in said.items()}
    backwards = said["reversed"].argmax(axis=1) == mirrored(labels)
    found["reversed_is_mirrored"] = float(backwards.mean())
    best = said["accuracy"].argmax(axis=1)
    found["accuracy_by_event"] = {
        event: float((best == labels)[labels == number].mean()) for number, event in enumerate(EVENTS)
    }
    found["pair_by_order_blind"] = float(
        (
            (said["order_blind"].argmax(axis=1) == labels) | (said["order_blind"].argmax(axis=1) == mirrored(labels))
        ).mean()
    )
    found["order_blind_limit"] = videos.order_blind_ceiling()
    true, offset = offsets(n)
    error = np.abs(true - offset)
    found["offset_exact"] = float((error == 0).mean())
    found["offset_within_1"] = float((error <= 1).mean())
    found["clips"] = n
    return found
