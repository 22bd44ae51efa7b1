"""Work whose process ends before it is done. A module of its own: a spawned process imports nothing else with it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def die_once(mark: str) -> dict:
    """Ends its process the first time, as the kernel does when memory runs out."""
    path = Path(mark)
    if path.exists():
        time.sleep(0.2)
        return {"done": mark}
    path.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
