"""A service in this process, with a quick stand-in for the model, and a client."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import numpy as np

from mmcourse.serve.app import Service, create_app
from mmcourse.serve.limits import Limits
from mmcourse.serve.records import Log, ReviewSample


class Toy:
    """Says how bright, how long and how loud; may be slow, and may fail on a word."""

    name, sha256 = "toy", "0" * 64

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[int] = []

    def prepare(self, message):
        return message

    def predict(self, prepared):
        self.batches.append(len(prepared))
        time.sleep(self.seconds)
        if any(message.get("words") == "break" for message in prepared):
            raise RuntimeError("secret words in an error")
        rows = []
        for message in prepared:
            face = message["face"].mean() / 255 if "face" in message else 0.0
            rows.append([face, len(message.get("words", "")) / 10, float(np.abs(message.get("voice", 0)).max())])
        return np.array(rows, np.float32)


@asynccontextmanager
async def running(model=None, limits: Limits | None = None, review: ReviewSample | None = None) -> AsyncIterator:
    """(service, client, log) of an app in this process."""
    log = io.StringIO()
    model = model or Toy()
    service = Service(lambda: model, limits or Limits(), Log(log), review, check=lambda model: "")
    await service.start()
    transport = httpx.ASGITransport(app=create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield service, client, log
    service.close()


def run(main) -> None:
    """Run an async test, 60 s at most."""
    asyncio.run(asyncio.wait_for(main(), 60))
