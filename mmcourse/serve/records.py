"""What is written down: a JSON line a request without content, and, where somebody consents, a sample to review."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mmcourse.io import atomic_write, private_folder

__all__ = ["ALLOWED", "Log", "ReviewSample"]

# Every field that a log line may have. There is none for words, pixels, sound, names or the answer.
ALLOWED = ("time", "request_id", "route", "status", "kind", "field", "ms", "bytes", "present", "model", "count")


class Log:
    """One JSON object a line; a field that is not in ALLOWED is an error of ours, not something to print."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr

    def write(self, **fields: Any) -> None:
        """Write one line."""
        if unknown := set(fields) - set(ALLOWED):
            raise ValueError(f"log: {sorted(unknown)} may not be logged; allowed are {', '.join(ALLOWED)}")
        line = json.dumps({"time": round(time.time(), 3), **fields}, ensure_ascii=True)
        print(line, file=self.stream, flush=True)


class ReviewSample:
    """Keeps some consenting requests to be looked at, and deletes them after `keep_days`. Off without a folder."""

    def __init__(
        self,
        folder: Path | None = None,
        share: float = 0.01,
        keep_days: float = 30,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
    ) -> None:
        self.folder = private_folder(folder) if folder else None
        self.share, self.keep_days, self.clock = share, keep_days, clock
        self._rng = np.random.default_rng(seed)
        self._cleaned = clock()

    def keep(self, consent: bool, request_id: str, raw: dict[str, Any], answer: dict[str, Any]) -> bool:
        """Store a request if its sender agreed and chance takes it; whether it was stored."""
        if self.folder is None or not consent or self._rng.random() >= self.share:
            return False
        if self.clock() - self._cleaned > 86_400:
            self.delete_old()
        home = private_folder(self.folder / uuid.uuid4().hex)  # not the client's id: two may send the same
        for name, value in raw.items():
            atomic_write(home / name, value.encode() if isinstance(value, str) else value, private=True)
        atomic_write(home / "answer.json", json.dumps(answer), private=True)
        os.utime(home, (self.clock(), self.clock()))
        return True

    def delete_old(self) -> int:
        """Delete what is older than `keep_days`; how many requests that were."""
        if self.folder is None:
            return 0
        self._cleaned = self.clock()
        old = [p for p in self.folder.iterdir() if p.stat().st_mtime < self.clock() - self.keep_days * 86_400]
        for home in old:
            for file in home.iterdir():
                file.unlink()
            home.rmdir()
        return len(old)
