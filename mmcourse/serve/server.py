"""Run the service: uvicorn, and a shutdown that loses nothing.

SIGTERM makes `/ready` say no. For `settle` seconds requests are still answered, so that whoever balances load can
notice; then the port is closed, and what is inside is answered.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import FrameType

import uvicorn

from mmcourse.serve.app import CSP, HEADERS, Service, create_app
from mmcourse.serve.decoder import Decoder
from mmcourse.serve.door import door
from mmcourse.serve.limits import LIMITS
from mmcourse.serve.model import Model, OnnxModel, lighten, self_test
from mmcourse.serve.records import ReviewSample

__all__ = ["DrainingServer", "serve"]


class DrainingServer(uvicorn.Server):
    """A server that says "not ready" for a while before it stops."""

    def __init__(self, config: uvicorn.Config, service: Service, settle: float) -> None:
        super().__init__(config)
        self.service, self.settle = service, settle

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins the end; a second one ends at once."""
        if self.service.leaving:
            super().handle_exit(sig, frame)
            return
        self.service.leaving = True
        loop = self._loop
        loop.call_soon_threadsafe(lambda: loop.call_later(self.settle, self._stop))

    def _stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list | None = None) -> None:
        """Remember the loop, then listen; says where."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        for listening in self.servers:
            for found in listening.sockets:
                host, port = found.getsockname()[:2]
                print(f"Serving on http://{host}:{port} (Ctrl-C ends)", flush=True)


def serve(
    host: str = "127.0.0.1",
    port: int = 8000,
    model: str | Path = "model.onnx",
    review: Path | None = None,
    settle: float = 1.0,
    ask: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT.

    On this machine only, unless `host` says otherwise. Before strangers put a proxy in front: connections that send
    nothing are not counted here. The assistant behind `/v1/ask` is loaded with the first question, or, with `ask`, at
    the start.
    """

    def load() -> Model:
        return OnnxModel(model, threads=int(os.environ.get("MMCOURSE_SERVE_THREADS", "1")))

    def check(model: Model) -> str:
        why = self_test(model)
        lighten()
        return why

    kept = ReviewSample(review)
    kept.delete_old()
    service = Service(
        load, review=kept, check=check, decoder=Decoder(LIMITS), assistant=Decoder(LIMITS, "mmcourse.serve.ask")
    )
    service.ask_at_start = ask
    config = uvicorn.Config(
        create_app(service),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=int(LIMITS.drain_seconds),
        server_header=False,
        http=door(service, [*HEADERS.items(), ("Content-Security-Policy", CSP)]),
        ws="none",
    )
    DrainingServer(config, service, settle).run()
