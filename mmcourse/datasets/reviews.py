"""Real sentences from film reviews, positive or negative (Pang & Lee 2005): fetched and verified, not shipped."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import numpy as np

from mmcourse.datasets import public
from mmcourse.datasets.base import Dataset, check_split, pad
from mmcourse.preprocess.text import Vocabulary

CLASSES = ("negative", "positive")


def load(split: str = "train", min_count: int = 2) -> Dataset:
    """The split's sentences as a data set with one modality, "words"; fetched (1.2 MB) at the first call.

    Parameters
    ----------
    split : "train" (about 8,500 sentences), "validation" or "test" (1,100 each). The sentence itself decides where it
        belongs, so the same one never lies in two splits; which review it is from, the authors do not say.
    min_count : words rarer than this in training are <unk>

    Raises
    ------
    DownloadError
        If the files are not there and cannot be fetched.
    """
    check_split(split)
    sentences = [(line, label) for label, lines in enumerate(_lines()) for line in lines]
    parts = np.array([home(line) for line, _ in sentences])
    vocabulary = Vocabulary.build(
        [line.split() for (line, _), part in zip(sentences, parts, strict=True) if part == "train"], min_count
    )
    kept = np.flatnonzero(parts == split)
    words = [sentences[i][0] for i in kept]
    return Dataset(
        "reviews",
        split,
        classes=CLASSES,
        labels=np.array([sentences[i][1] for i in kept]),
        columns={"words": words},
        meta={"line": kept},
        preprocess=lambda: {"words": pad([np.array([vocabulary.id(w) for w in s.split()]) for s in words])},
        vocabulary=vocabulary.tokens,
    )


def available() -> bool:
    """Whether the sentences are on this machine, so that `load` needs no network."""
    return public.REVIEWS.present() or _from_real_data() is not None


def home(sentence: str) -> str:
    """The split that a sentence belongs to, by its letters alone."""
    letters = re.sub(r"\W+", " ", sentence.lower()).strip()
    return {0: "test", 1: "validation"}.get(hashlib.sha256(letters.encode()).digest()[0] % 10, "train")


def _lines() -> tuple[list[str], list[str]]:
    found = _from_real_data() or public.REVIEWS.read(public.progress_bar(public.REVIEWS))
    negative, positive = (found[f"rt-polarity.{part}"].decode("utf-8").split("\n") for part in ("neg", "pos"))
    return [line.strip() for line in negative if line.strip()], [line.strip() for line in positive if line.strip()]


def _from_real_data() -> dict[str, bytes] | None:
    """The files in ``MMCOURSE_REAL_DATA``, if they are there and whole."""
    folder = os.environ.get("MMCOURSE_REAL_DATA")
    if not folder:
        return None
    found = {}
    for name, sha256 in public.REVIEWS.registry.items():
        path = Path(folder) / name
        if not path.is_file():
            return None
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            return None
        found[name] = data
    return found
