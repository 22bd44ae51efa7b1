"""The service under load on a quiet machine: `make bench-serve` prints the table and stores it with date and machine.

Starts `mmcourse serve` in a process of its own and asks over HTTP on this machine. A busy machine is refused: with
`--busy` it is measured all the same, and nothing is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.__main__ import busy
from mmcourse.serve.load import Report, Send, closed_loop, open_loop
from mmcourse.serve.queueing import poisson_arrivals

HERE = Path(__file__).parent
SHARES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0)  # of capacity


def message() -> dict:
    """A whole message: words, a face as PNG, 2 s of voice as WAV."""
    import io

    import soundfile
    from PIL import Image

    from mmcourse.serve.model import synthetic_message

    parts, face, voice = synthetic_message(), io.BytesIO(), io.BytesIO()
    Image.fromarray(parts["face"]).save(face, "PNG")
    soundfile.write(voice, np.tile(parts["voice"], 4), 16_000, format="WAV", subtype="PCM_16")
    encode = {"face": ("png_base64", face), "voice": ("wav_base64", voice)}
    found = {name: {key: base64.b64encode(data.getvalue()).decode()} for name, (key, data) in encode.items()}
    return {"words": parts["words"], **found}


class Pipe:
    """HTTP/1.1 over kept connections, by hand: a general client takes more time for a request than the service does."""

    def __init__(self, address: str) -> None:
        self.host, port = address.removeprefix("http://").split(":")
        self.port = int(port)
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, request: bytes) -> int:
        """The status of one answer; 0 where the connection breaks."""
        try:
            reader, writer = self.free.pop() if self.free else await asyncio.open_connection(self.host, self.port)
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        except (OSError, asyncio.IncompleteReadError):
            return 0
        if b"connection: close" in head:
            writer.close()
        else:
            self.free.append((reader, writer))
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """Close what is kept."""
        for _, writer in self.free:
            writer.close()


def as_bytes(method: str, path: str, body: bytes = b"") -> bytes:
    """A whole request."""
    lines = (
        f"{method} {path} HTTP/1.1",
        "Host: here",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode() + body


async def measure(address: str, pid: int, n: int) -> dict[str, Any]:
    """Every figure of the running service."""
    import psutil

    service = psutil.Process(pid)

    def memory() -> float:
        """MB of the service and of the process that decodes for it; libraries that both use count twice."""
        return sum(process.memory_info().rss for process in (service, *service.children(recursive=True))) / 1e6

    request, live_request = as_bytes("POST", "/v1/predict", json.dumps(message()).encode()), as_bytes("GET", "/live")
    pipe = Pipe(address)

    async def send(i: int) -> int:
        return await pipe.ask(request)

    await closed_loop(send, 4, 200)  # warm
    found: dict[str, Any] = {"rss_mb_before": memory()}
    alone = await closed_loop(send, 1, 300)
    full = await closed_loop(send, 48, n)
    capacity = full.goodput
    found |= {"p50_alone_ms": 1000 * alone.latency_at(50), "capacity_per_s": capacity}
    found["throughput_over_one_client"] = capacity / alone.goodput
    at70 = await open_loop(send, 0.7 * capacity, n)
    found |= {"p50_70_ms": 1000 * at70.latency_at(50), "p99_70_ms": 1000 * at70.latency_at(99)}
    once = await open_loop(send, capacity, n)
    live: list[float] = []

    async def probe() -> None:
        while True:
            start = time.perf_counter()
            await pipe.ask(live_request)
            live.append(time.perf_counter() - start)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(probe())
    twice = await open_loop(send, 2 * capacity, n)
    task.cancel()
    found |= await bad_requests(pipe)
    found["live_p99_ms"] = 1000 * float(np.quantile(live, 0.99))
    found["goodput_twice_over_once"] = twice.goodput / once.goodput
    found |= _refused(twice)
    found["sweep"] = [await at_load(send, share, capacity, n) for share in SHARES]
    for _ in range(3):
        await closed_loop(send, 16, n)
    found["rss_mb_after"] = memory()
    pipe.close()
    return found


async def at_load(send: Send, share: float, capacity: float, n: int) -> dict[str, float]:
    """One point of the load-test plot: what is answered, and how fast, when this share of capacity is asked for."""
    report = await open_loop(send, share * capacity, n)
    offered = n / float(poisson_arrivals(share * capacity, n)[-1])
    latency = {f"p{q}_ms": 1000 * report.latency_at(q) for q in (50, 90, 99)}
    refused = float((report.status == 503).mean())
    return {"share": share, "offered_per_s": offered, "answered_per_s": report.goodput, "refused": refused, **latency}


async def bad_requests(pipe: Pipe) -> dict[str, float]:
    """The slowest of 50 answers to each kind of bad request, in ms."""
    gif = {"face": {"png_base64": base64.b64encode(b"GIF89a" + bytes(60_000)).decode()}}
    bad = {413: {"words": "lovely " * 1000}, 415: gif, 422: {"words": "…"}}
    found = {}
    for status, body in bad.items():
        request, taken = as_bytes("POST", "/v1/predict", json.dumps(body).encode()), []
        for _ in range(50):
            start = time.perf_counter()
            answered = await pipe.ask(request)
            taken.append(time.perf_counter() - start)
            if answered != status:
                raise RuntimeError(f"expected {status}, got {answered}")
        found[f"slowest_{status}_ms"] = 1000 * max(taken)
    return found


def _refused(report: Report) -> dict[str, float]:
    """How fast it says no."""
    refused = report.latency[report.status == 503]
    return {"refused_share": float(len(refused) / len(report.status))} | (
        {"refusal_p50_ms": 1000 * float(np.median(refused))} if len(refused) else {}
    )


def print_figures(found: dict[str, Any]) -> None:
    """One figure a line, then the points of the load-test plot as a table."""
    for name, value in found.items():
        if name != "sweep":
            print(f"{name:28} {value:10.2f}")
    print(" ".join(f"{name:>14}" for name in found["sweep"][0]))
    for point in found["sweep"]:
        print(" ".join(f"{value:14.2f}" for value in point.values()))


def draw(told: dict[str, Any], path: Path) -> None:
    """The load-test plot: how many are answered, and how long they take, as ever more are asked for."""
    import matplotlib.pyplot as plt

    sweep, limit = told["sweep"], told["capacity_per_s"]
    offered = [point["offered_per_s"] for point in sweep]
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.plot(offered, offered, color="0.6", linestyle=":", label="all that is asked for")
    left.plot(offered, [point["answered_per_s"] for point in sweep], marker="o", label="answered")
    left.axhline(limit, color="0.6", linewidth=1)
    left.annotate(
        "48 clients who wait: capacity", (offered[0], limit), (0, 4), textcoords="offset points", color="0.35"
    )
    left.set(xlabel="requests per second, open loop", ylabel="answers per second", title="What is answered")
    left.legend(loc="lower right")
    for q in (50, 90, 99):
        right.plot(offered, [point[f"p{q}_ms"] for point in sweep], marker="o", label=f"p{q}")
    right.axhline(100, color="0.6", linewidth=1)
    right.annotate("objective: 100 ms", (offered[0], 100), (0, 4), textcoords="offset points", color="0.35")
    right.set(xlabel="requests per second, open loop", ylabel="ms from the intended start", title="How long it takes")
    right.set_yscale("log")
    right.legend(loc="lower right")
    fig.suptitle(
        f"mmcourse serve, {told['machine']}, {told['requests']:,} requests a point, {told['date']}", fontsize=10
    )
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-serve")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument(
        "--busy", action="store_true", help="measure although the machine does other things; stores nothing"
    )
    options = parser.parse_args()
    if (why := busy(1)) and not options.busy:
        raise SystemExit(f"The machine is not quiet: {why}. Wait for it, or say --busy (nothing is stored then).")
    start = time.perf_counter()
    command = [sys.executable, "-m", "mmcourse", "serve", "--port", "0", "--settle", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2]
        while httpx.get(f"{address}/ready").status_code != 200:
            time.sleep(0.02)
        cold = time.perf_counter() - start
        found = {"cold_start_s": cold} | asyncio.run(measure(address, process.pid, options.requests))
    finally:
        process.terminate()
        process.wait(20)
    print_figures(found)
    if not options.busy:
        machine = f"{platform.machine()}, {os.cpu_count()} cores"
        told = {"date": date.today().isoformat(), "machine": machine, "requests": options.requests, **found}
        (HERE / "serve.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        draw(told, HERE / "serve.svg")


if __name__ == "__main__":
    main()
