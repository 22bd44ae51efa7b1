"""Open challenges: a score to beat, points by score; what is handed in are arrays, never code.

A challenge is written in `notebooks/src/SLUG/exercises.py` beside the exercises. It draws inputs and hidden labels
from a generator. A learner's own check draws from a fixed seed. A class gets inputs drawn from the instructor's
secret, without the labels; what students hand in (predictions or weights) is scored where the labels are, outside the
sandbox, since nothing of theirs is run.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmcourse.exercise.verdict import CheckFailed, NotAttempted

ID = re.compile(r"([a-z][a-z0-9_]*)\.challenge")
MOST_BYTES = 4 << 20  # of a hand-in
SCORE_SECONDS = 5
KINDS = {"integer": "iu", "float": "f", "bool": "b"}
SCORED_AS = {"integer": np.int64, "float": np.float64, "bool": np.bool_}


class Array(NamedTuple):
    """An array that is handed in: its shape, and its kind, "integer", "float" or "bool" (of any size)."""

    shape: tuple[int, ...]
    kind: str

    @property
    def most_bytes(self) -> int:
        """What its numbers take at eight bytes each."""
        return 8 * math.prod(self.shape)

    def fault(self, shape: tuple[int, ...], dtype: np.dtype) -> str:
        """What is wrong with an array of this shape and dtype; "" if nothing is."""
        if dtype.kind not in KINDS[self.kind] or dtype.itemsize > 8:
            return f"expected numbers of kind {self.kind}, got dtype {dtype}"
        if shape != self.shape:
            return f"expected shape {self.shape}, got {shape}"
        return ""

    def for_scoring(self, array: np.ndarray) -> np.ndarray:
        """As int64, float64 or bool: in a narrow dtype the score function's own sums could overflow."""
        return array.astype(SCORED_AS[self.kind])


class Drawn(NamedTuple):
    """What `draw` gives: arrays that learners get, and what only the score function gets (labels)."""

    inputs: dict[str, np.ndarray]
    hidden: Any


@dataclass(frozen=True)
class Challenge:
    """One challenge. Authors write `challenge(...)`; see there for the fields."""

    id: str
    title: str
    statement: tuple[str, ...]
    draw: Callable[[np.random.Generator], Drawn]
    score: Callable[[dict[str, np.ndarray], dict[str, np.ndarray], Any], float]
    hand_in: Mapping[str, Array]
    to_beat: float
    points_by_score: Mapping[float, int]
    minutes: int
    score_name: str = "score"
    of_one_draw: bool = True

    @property
    def lesson(self) -> str:
        """Slug of its lesson."""
        return self.id.split(".")[0]

    @property
    def points(self) -> int:
        """The most that it is worth."""
        return max(self.points_by_score.values())

    def points_of(self, score: float) -> int:
        """Points for this score: those of the highest step that it reaches."""
        return max((points for step, points in self.points_by_score.items() if score >= step), default=0)

    # ------------------------------------------------------------ inputs
    def public(self) -> Drawn:
        """The learner's own draw, the same on every machine."""
        return self.draw(np.random.default_rng(zlib.crc32(self.id.encode())))

    def drawn_from(self, key: bytes) -> Drawn:
        """The draw of a class."""
        return self.draw(np.random.default_rng(int.from_bytes(key)))

    # ------------------------------------------------------------ judging
    def checked(self, answer: Any) -> dict[str, np.ndarray]:
        """The answer as the declared arrays: a dict, or, where one array is handed in, that array.

        Raises
        ------
        CheckFailed
            A name, shape or dtype is not the declared one, or a number is not finite; the message says which.
        """
        if not isinstance(answer, Mapping):
            if len(self.hand_in) > 1:
                raise CheckFailed(f"Hand in a dict with {names(self.hand_in)}, got {type(answer).__name__}.")
            answer = {next(iter(self.hand_in)): answer}
        if set(answer) != set(self.hand_in):
            raise CheckFailed(f"Hand in {names(self.hand_in)} and nothing else, got {names(answer)}.")
        arrays = {}
        for name, declared in self.hand_in.items():
            value = answer[name]
            if hasattr(value, "detach"):  # a PyTorch tensor, maybe on a graphics card
                value = value.detach().cpu()
            try:
                array = np.asarray(value)
            except (TypeError, ValueError) as error:
                raise CheckFailed(f"`{name}` is no array: {error}") from None
            if fault := declared.fault(array.shape, array.dtype):
                raise CheckFailed(f"`{name}`: {fault}.")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise CheckFailed(f"`{name}` holds NaN or infinity: every number must be finite.")
            arrays[name] = array
        return arrays

    def scored(self, arrays: dict[str, np.ndarray], drawn: Drawn) -> float:
        """The score of checked arrays, a finite number."""
        plain = {name: self.hand_in[name].for_scoring(array) for name, array in arrays.items()}
        score = float(self.score(plain, drawn.inputs, drawn.hidden))
        if not math.isfinite(score):
            raise CheckFailed("From what you handed in no score can be computed: it is not finite.")
        return score

    def worth(self, step: float, most: float | None = None) -> float:
        """Points of this step; `most` is what a class gives in all, where that is not the author's."""
        return round(self.points_by_score[step] * (self.points if most is None else most) / self.points, 2)

    def steps(self, most: float | None = None) -> str:
        """Points by score, in one sentence; `most` as in `worth`."""
        steps = " · ".join(f"{step:g} or more: {self.worth(step, most):g}" for step in sorted(self.points_by_score))
        return f"Points by {self.score_name}: {steps}."

    def told(self, score: float, most: float | None = None) -> str:
        """The score in words, with the next step; `most` as in `worth`."""
        text = f"{self.score_name} {score:.3f}; to beat: {self.to_beat:g}."
        missed = sorted(step for step in self.points_by_score if step > score)
        if missed:
            points = self.worth(missed[0], most)
            text += f" From {missed[0]:g} on it is worth {points:g} point{'s' * (points != 1)}."
        return text

    def check(self, answer: Any) -> tuple[bool, int, str]:
        """The public check: (whether the score to beat is reached, points, message)."""
        if answer is ...:
            raise NotAttempted
        score = self.scored(self.checked(answer), self.public())
        return score >= self.to_beat, self.points_of(score), self.told(score)


def names(keys: Any) -> str:
    """Names for a message, each as code."""
    return ", ".join(f"`{str(key)[:40]}`" for key in list(keys)[:10]) or "nothing"


def make_challenge(
    id: str,
    *,
    title: str,
    statement: list[str] | tuple[str, ...],
    draw: Callable[[np.random.Generator], Drawn],
    score: Callable[[dict[str, np.ndarray], dict[str, np.ndarray], Any], float],
    hand_in: Mapping[str, Array],
    to_beat: float,
    points_by_score: Mapping[float, int],
    minutes: int,
    score_name: str = "score",
    of_one_draw: bool = True,
) -> Challenge:
    """A challenge from what its author wrote; see `mmcourse.exercise.registry.challenge`.

    Raises
    ------
    ValueError
        A field is malformed; the message says which, and what is expected.
    """
    where = f"challenge {id}"
    if not ID.fullmatch(id):
        raise ValueError(f'{where}: expected an id "SLUG.challenge"')
    if not hand_in or not all(array.kind in KINDS for array in hand_in.values()):
        raise ValueError(f"{where}: expected arrays to hand in, each of kind {', '.join(KINDS)}")
    if not all(re.fullmatch(r"[A-Za-z_][\w.]{0,80}", name) for name in hand_in):
        raise ValueError(f"{where}: expected names of letters, digits, _ and . for what is handed in")
    if sum(array.most_bytes for array in hand_in.values()) > 2 * MOST_BYTES:  # at eight bytes; four are usual
        raise ValueError(f"{where}: what is handed in does not fit into {MOST_BYTES >> 20} MB")
    steps = sorted(points_by_score)
    points = [points_by_score[step] for step in steps]
    if not steps or steps[0] < to_beat or points != sorted(set(points)) or points[0] < 1:
        raise ValueError(f"{where}: expected points that grow with the score, from the score to beat on")
    fields = (id, title, tuple(statement), draw, score, dict(hand_in), to_beat, dict(points_by_score))
    return Challenge(*fields, minutes, score_name, of_one_draw)
