"""One model on its way into a product: what each step changed, in one table.

::

    rungs = [Rung("eager", predict_eager), Rung("ONNX Runtime", predict_onnx, files=["model.onnx"])]
    print(ladder_table(parity_ladder(rungs, batches, labels)))
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmcourse.evaluate.claims import mcnemar

__all__ = ["Rung", "ladder_table", "latencies", "paired_interval", "parity_ladder", "peak_memory", "wilson_interval"]


@dataclass
class Rung:
    """One form of a model.

    Attributes
    ----------
    name : as the table prints it
    predict : a function from one batch to logits (b, classes)
    files : what has to be shipped
    memory : peak megabytes of a process that answers with it, where that was measured (see `peak_memory`)
    """

    name: str
    predict: Callable[[Any], Any]
    files: Sequence[str | Path] = field(default_factory=list)
    memory: float | None = None


def parity_ladder(
    rungs: Sequence[Rung], batches: Sequence[Any], labels: Any, timed: Any = None, calls: int = 200
) -> list[dict[str, Any]]:
    """What each rung answers and costs, beside the first one.

    Parameters
    ----------
    batches : of different sizes and lengths; never only the batch that was exported with
    labels : int (n,), of all samples in the batches' order
    timed : the batch whose latency is measured; the first one where None. `calls` times, after a tenth as warm-up

    Returns
    -------
    A dict per rung: "name", "difference" (largest, of the logits), "agreement" (share of equal answers), "accuracy",
    "interval", "only_first" and "only_this" (samples that one of them alone gets right), "p" (McNemar), "p50" and
    "p99" (milliseconds), "bytes", "memory".
    """
    labels = np.asarray(labels)
    first: np.ndarray | None = None
    rows = []
    for rung in rungs:
        logits = np.concatenate([np.asarray(rung.predict(batch)) for batch in batches])  # (n, classes)
        first = logits if first is None else first
        said, said_first = logits.argmax(axis=1), first.argmax(axis=1)
        only_first, only_this, p = mcnemar(labels, said_first, said)
        seconds = latencies(rung.predict, batches[0] if timed is None else timed, calls)
        rows.append(
            {
                "name": rung.name,
                "difference": float(np.abs(logits - first).max()),
                "agreement": float((said == said_first).mean()),
                "accuracy": float((said == labels).mean()),
                "interval": wilson_interval(int((said == labels).sum()), len(labels)),
                "only_first": only_first,
                "only_this": only_this,
                "p": p,
                "p50": float(np.quantile(seconds, 0.5) * 1e3),
                "p99": float(np.quantile(seconds, 0.99) * 1e3),
                "bytes": sum(Path(file).stat().st_size for file in rung.files) or None,
                "memory": rung.memory,
            }
        )
    return rows


def ladder_table(rows: Sequence[dict[str, Any]], timing: bool = True) -> str:
    """The rows as text, one line each."""
    head = f"{'rung':22}{'max |Δ|':>8}{'agree':>8}{'accuracy':>9}{'interval':>13}{'+/−':>8}{'p':>8}"
    head += f"{'p50 ms':>8}{'p99 ms':>8}" if timing else ""
    lines = [head + f"{'kB':>6}{'MB':>5}"]
    for row in rows:
        low, high = row["interval"]
        line = f"{row['name']:22}{row['difference']:8.0e}{row['agreement']:8.4f}{row['accuracy']:9.4f}"
        line += f"{f'{low:.3f}–{high:.3f}':>13}{row['only_this']:>4}/{row['only_first']:<3}"
        line += f"{row['p']:8.2f}" if row["p"] >= 0.01 else f"{'< 0.01':>8}"
        line += f"{row['p50']:8.3f}{row['p99']:8.3f}" if timing else ""
        line += f"{row['bytes'] / 1e3:6.0f}" if row["bytes"] else f"{'':6}"
        lines.append((line + (f"{row['memory']:5.0f}" if row["memory"] else "")).rstrip())
    return "\n".join(lines)


def latencies(predict: Callable[[Any], Any], batch: Any, calls: int = 200) -> np.ndarray:
    """Seconds of single calls, (calls,). A tenth as many first ones are thrown away: they allocate and compile."""
    for _ in range(max(1, calls // 10)):
        predict(batch)
    seconds = np.empty(calls)
    for i in range(calls):
        start = time.perf_counter()
        predict(batch)
        seconds[i] = time.perf_counter() - start
    return seconds


def wilson_interval(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share (Wilson 1927), 95 % for z = 1.96; sensible also at 0 and at 1."""
    share = right / n
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(center - half), float(center + half)


def paired_interval(only_first: int, only_this: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of the change of accuracy (only_this − only_first) / n of two models on the same n samples (Tango 1998).

    A change d is inside if the data are not surprising under it: if (only_this − only_first − n d), divided by the
    standard deviation that it would have if the true change *were* d, lies within ± z. So it does not shrink to a point
    where nobody differs: with 0 and 0 it is ± z² / (n + z²).
    """
    if min(only_first, only_this) < 0 or n < 1 or only_first + only_this > n:
        raise ValueError(f"counts: expected at least 0 and together at most n, got {only_first}, {only_this} of {n}")

    def score(d: float) -> float:
        """Distance of the data from a change d, in standard deviations under it; falls as d grows."""
        b = 2 * n * d - (only_first + only_this) + (only_first - only_this) * d
        root = np.sqrt(max(0.0, b**2 + 8 * n * only_first * d * (1 - d)))
        lost = (root - b) / (4 * n)  # the likeliest share that only the first gets right, if the change is d
        variance = n * (2 * lost + d * (1 - d))
        return float((only_this - only_first - n * d) / np.sqrt(variance)) if variance > 1e-15 else 0.0

    limits = []
    for level, start in ((z, -1.0), (-z, 1.0)):
        inside, outside = (only_this - only_first) / n, start
        for _ in range(60):
            middle = (inside + outside) / 2
            if abs(score(middle)) < abs(level):
                inside = middle
            else:
                outside = middle
        limits.append(inside)
    return limits[0], limits[1]


def peak_memory(code: str) -> float | None:
    """Peak megabytes of a new Python process that runs `code`; None where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return None
    done = subprocess.run([sys.executable, "-c", code + PEAK], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


# Linux counts a new process's peak from its parent's on in getrusage; the status file begins anew.
PEAK = """
from pathlib import Path
status = Path("/proc/self/status")
if status.exists():
    peak = int(status.read_text().split("VmHWM:")[1].split()[0]) / 1e3
else:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(peak)
"""
