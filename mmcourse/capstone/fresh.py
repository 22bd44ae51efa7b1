"""Test splits that nobody has seen: the same table, another seed. What `predict` gets, and what it should say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Inputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Fresh:
    """A test split.

    Attributes
    ----------
    labels : (n,), what is right
    groups : (n,), what an interval draws anew: callers, patients, questions
    size : samples of a batch
    batch : function of a slice that gives these samples as `predict` gets them: {name: array (b, …)}
    voices : (n,), who asks, where the groups do not say it
    classes : how many labels there are, 0 to classes − 1; None: `predict` gives the probability of label 1
    """

    labels: np.ndarray
    groups: np.ndarray
    size: int
    batch: Callable[[slice], Inputs]
    classes: int | None
    voices: np.ndarray | None = None

    def batches(self) -> Iterator[Inputs]:
        """All samples in order, drawn piece by piece."""
        for start in range(0, len(self.labels), self.size):
            yield self.batch(slice(start, min(start + self.size, len(self.labels))))


def hotline_fresh(seed: int, n: int) -> Fresh:
    """All calls of n new callers."""
    from mmcourse.capstone import hotline

    calls = hotline.draw(seed, n)

    def batch(now: slice) -> Inputs:
        return {name: x[now] for name, x in calls.inputs.items()}

    return Fresh(calls.labels, calls.callers, 5000, batch, len(hotline.CLASSES))


def triage_fresh(seed: int, n: int) -> Fresh:
    """n visits of new patients to hospital A: image uint8 (b, 64, 64), record float32 (b, 8) with NaN for gaps."""
    from mmcourse.datasets import clinic

    visits = clinic.load("test", n=n, seed=seed)
    images, records = visits.column("image"), np.asarray(visits.column("record"))

    def batch(now: slice) -> Inputs:
        return {"image": np.asarray(images[now]), "record": records[now]}

    return Fresh(visits.labels, visits.meta["patient"], 1000, batch, None)


def kiosk_fresh(seed: int, n: int) -> Fresh:
    """n spoken questions about new scenes, by the voices of the test split, which no other split has.

    image uint8 (b, 64, 64, 3); wave int16 (b, t) at 16 kHz, padded with 0; length int64 (b,), samples of each wave.
    Labels are places in `scenes.ANSWERS`. There are only three voices, the same in every draw; so what is drawn anew is
    the question, and each voice is a group to report by itself.
    """
    from mmcourse.datasets.scenes import ANSWERS, QUESTION_KINDS, questions
    from mmcourse.datasets.scenes.drawing import draw
    from mmcourse.datasets.scenes.spoken import full_voices, say, transcript

    asked = [questions.ask(seed, k, kind=QUESTION_KINDS[k % len(QUESTION_KINDS)]) for k in range(n)]
    voices = full_voices("test")
    who = np.random.default_rng([35, seed]).integers(0, len(voices), n)

    def batch(now: slice) -> Inputs:
        waves = [say(transcript(text), voices[k]) for (_, text, _, _), k in zip(asked[now], who[now], strict=True)]
        length = np.array([len(wave) for wave in waves])
        padded = np.zeros((len(waves), length.max()), np.int16)
        for row, wave in zip(padded, waves, strict=True):
            row[: len(wave)] = np.clip(np.round(wave * 32767), -32768, 32767)
        pictures = np.stack([draw(scene) for _, _, _, scene in asked[now]])
        return {"image": pictures, "wave": padded, "length": length}

    labels = np.array([ANSWERS.index(answer) for _, _, answer, _ in asked])
    return Fresh(labels, np.arange(n), 100, batch, len(ANSWERS), np.array([voices[k].name for k in who]))
