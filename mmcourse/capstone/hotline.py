"""Hotline: the small world of both marked examples. Is this caller's case urgent? Words, a voice, and a telephone.

A caller has a case, urgent or not, and a manner of speaking; both stay the same in all calls of this caller. Words
differ from call to call. A landline carries little of the voice. All of it is a table, so the best accuracy that any
model can reach from one call is known. A model that knows the *caller* from training can do better than that: such a
score is the mark of a leak.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

CLASSES = ("can wait", "urgent")
SEES = ("words", "voice", "phone")
PHONES = ("mobile", "landline")
URGENT = 0.4
WORDS = np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])  # p(calm, neutral, pressing | case)
RAISED = np.array([[0.20, 0.75], [0.45, 0.55]])  # p(raised voice | phone, case)
LANDLINE = 0.3
MOST_CALLS = 12  # of one caller, from 1 on, each number equally likely
NUM_WORDS, NUM_TIMBRE, NUM_LOUDNESS = 12, 8, 8
SIZES = {"train": 300, "validation": 100, "test": 200}  # callers
SEEDS = {"train": 351, "validation": 352, "test": 353}


@dataclass(frozen=True)
class Calls:
    """Calls, n of them.

    Attributes
    ----------
    inputs : "words" float32 (n, 12), which word was said; "voice" float32 (n, 16), eight numbers of timbre and eight of
        loudness; "phone" int64 (n,), 0 mobile, 1 landline
    labels : int64 (n,), 1 urgent
    callers : int64 (n,), whose call it is; no two splits or seeds share one
    """

    inputs: dict[str, np.ndarray]
    labels: np.ndarray
    callers: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Calls:
        """Some of the calls, by index or by a mask."""
        return Calls({name: x[rows] for name, x in self.inputs.items()}, self.labels[rows], self.callers[rows])


@functools.cache
def table() -> np.ndarray:
    """p(case, words, voice, phone) of one call: float64 (2, 3, 2, 2), read-only."""
    case = np.array([1 - URGENT, URGENT])
    phone = np.array([1 - LANDLINE, LANDLINE])
    voice = np.stack([1 - RAISED, RAISED])  # (voice, phone, case)
    joint = np.einsum("c,cw,vpc,p->cwvp", case, WORDS, voice, phone)
    joint.setflags(write=False)
    return joint


def ceiling(see: Iterable[str] = SEES, phone: str | None = None) -> float:
    """The best accuracy that any model can have that hears this of one call: exact, by going through the table.

    Parameters
    ----------
    see : names of SEES; none of them gives the majority class
    phone : "mobile" or "landline", to judge only those calls; default: all
    """
    seen = {see} if isinstance(see, str) else set(see)
    if seen - set(SEES):
        raise ValueError(f"see: expected names of {', '.join(SEES)}, got {sorted(seen)}")
    joint = table()
    if phone is not None:
        if phone not in PHONES:
            raise ValueError(f"phone: expected one of {', '.join(PHONES)}, got {phone!r}")
        joint = joint[..., [PHONES.index(phone)]]
        joint = joint / joint.sum()
    hidden = tuple(axis for axis, name in enumerate(SEES, start=1) if name not in seen)
    return float(joint.sum(axis=hidden).max(axis=0).sum())


def draw(seed: int, callers: int) -> Calls:
    """All calls of so many new callers; the same for the same seed."""
    if callers < 1:
        raise ValueError(f"callers: expected 1 or more, got {callers}")
    rng = np.random.default_rng([35, int(seed)])
    case = (rng.random(callers) < URGENT).astype(np.int64)
    phone = (rng.random(callers) < LANDLINE).astype(np.int64)
    raised = (rng.random(callers) < RAISED[phone, case]).astype(np.int64)
    timbre = rng.normal(size=(callers, NUM_TIMBRE))
    who = np.repeat(np.arange(callers), rng.integers(1, MOST_CALLS + 1, callers))
    n = len(who)
    cue = (rng.random(n)[:, None] > WORDS.cumsum(axis=1)[case[who]][:, :2]).sum(axis=1)  # 0 calm … 2 pressing
    words = np.zeros((n, NUM_WORDS), np.float32)
    words[np.arange(n), 4 * cue + rng.integers(0, 4, n)] = 1  # each cue has four words
    loud = (2 * raised[who] - 1)[:, None] + rng.normal(0, 0.8, (n, NUM_LOUDNESS))
    voice = np.concatenate([timbre[who] + rng.normal(0, 0.05, (n, NUM_TIMBRE)), loud], axis=1).astype(np.float32)
    inputs: dict[str, np.ndarray] = {"words": words, "voice": voice, "phone": phone[who]}
    return Calls(inputs, case[who], who + 10_000 * int(seed))


def load(split: str = "train") -> Calls:
    """A fixed split: train (300 callers), validation (100) or test (200)."""
    if split not in SIZES:
        raise ValueError(f"split: expected one of {', '.join(SIZES)}, got {split!r}")
    return draw(SEEDS[split], SIZES[split])
