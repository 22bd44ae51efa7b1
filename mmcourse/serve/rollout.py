"""From shadow to everybody: a sequential test decides, as early as it can, whether a new model may go on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

__all__ = ["SHARES", "SPRT", "Rollout", "goes_to_canary"]

SHARES = (0.0, 0.05, 0.5, 1.0)  # of the requests that the new model answers; 0: shadow, it only answers along


@dataclass
class SPRT:
    """Wald's sequential probability ratio test of a rate of bad events: `good` rate p₀ against `bad` rate p₁.

    After each event the log-likelihood ratio moves by ln(p₁/p₀) or ln((1−p₁)/(1−p₀)); it stops above ln((1−β)/α)
    ("bad") or below ln(β/(1−α)) ("good"). α: chance to stop a good one, β: chance to pass a bad one.
    """

    good: float
    bad: float
    alpha: float = 0.05
    beta: float = 0.05
    ratio: float = 0.0
    count: int = 0
    verdict: str = ""  # "", "good" or "bad"; once it is there, it stays

    def __post_init__(self) -> None:
        if not 0 < self.good < self.bad < 1:
            raise ValueError(f"rates: expected 0 < good < bad < 1, got {self.good} and {self.bad}")

    def observe(self, event: bool) -> str:
        """Take in one event (True: bad); the verdict so far."""
        if self.verdict:
            return self.verdict
        self.count += 1
        p, q = (self.bad, self.good) if event else (1 - self.bad, 1 - self.good)
        self.ratio += float(np.log(p / q))
        if self.ratio >= np.log((1 - self.beta) / self.alpha):
            self.verdict = "bad"
        elif self.ratio <= np.log(self.beta / (1 - self.alpha)):
            self.verdict = "good"
        return self.verdict


def goes_to_canary(request_id: str, share: float) -> bool:
    """Whether this request is the new model's: decided by a hash, so that a retry meets the same model."""
    digest = hashlib.sha256(request_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def _tests() -> dict[str, SPRT]:
    """Errors, slow answers, and answers that differ from the old model's; α is shared among the three."""
    third = 0.05 / 3
    return {
        "error": SPRT(0.002, 0.02, third, 0.05),
        "slow": SPRT(0.01, 0.05, third, 0.05),
        "disagree": SPRT(0.005, 0.03, third, 0.05),
    }


@dataclass
class Rollout:
    """The state of a rollout: feed it what the new model did, and ask which share of requests it gets.

    In each stage every test must say "good" before the next stage begins with fresh tests. One "bad" returns the share
    to 0 for good, `stopped` says why. The chance to stop a good model is about α in each stage.
    """

    stage: int = 0
    stopped: str = ""
    seen: int = 0
    tests: dict[str, SPRT] = field(default_factory=_tests)

    @property
    def share(self) -> float:
        """Of the requests that the new model answers."""
        return 0.0 if self.stopped else SHARES[self.stage]

    def observe(self, error: bool, slow: bool, disagree: bool) -> None:
        """Take in one request that the new model has answered (in shadow: along with the old one)."""
        if self.stopped or self.stage == len(SHARES) - 1:
            return
        self.seen += 1
        events = {"error": error, "slow": slow, "disagree": disagree}
        verdicts = {name: test.observe(events[name]) for name, test in self.tests.items()}
        bad = [name for name, verdict in verdicts.items() if verdict == "bad"]
        if bad:
            self.stopped = f"{bad[0]} after {self.seen} requests"
        elif all(verdict == "good" for verdict in verdicts.values()):
            self.stage, self.tests = self.stage + 1, _tests()
