"""The door in front of HTTP, and decoding in a process of its own: real sockets, real processes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import time
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

import uvicorn
from service_harness import Toy, run

from mmcourse.serve.app import CSP, HEADERS, Service, create_app
from mmcourse.serve.decoder import DecodeFailed, Decoder, understand
from mmcourse.serve.door import door, plain_post
from mmcourse.serve.limits import LIMITS, Limits
from mmcourse.serve.problems import Problem
from mmcourse.serve.records import Log


def request(body: bytes, *lines: str, route: str = "predict", length: int | None = None) -> bytes:
    """A POST, as bytes."""
    size = len(body) if length is None else length
    head = [f"POST /v1/{route} HTTP/1.1", "Host: here", "Content-Type: application/json", f"Content-Length: {size}"]
    return "\r\n".join([*head, *lines, "", ""]).encode() + body


WORDS = json.dumps({"words": "lovely"}).encode()
BIG = json.dumps({"words": "a" * 1_500_000}).encode()


@asynccontextmanager
async def listening(limits: Limits = LIMITS):
    """(service, connect, log) behind uvicorn on a free port."""
    log = io.StringIO()
    service = Service(Toy, limits, Log(log), check=lambda model: "")
    await service.start()
    config = uvicorn.Config(
        create_app(service), port=0, log_level="error", http=door(service, [*HEADERS.items(), ("X-Csp", CSP)])
    )
    server = uvicorn.Server(config)
    server.capture_signals = lambda: _nothing()  # they are the test's own
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield service, lambda: asyncio.open_connection("127.0.0.1", port), log
    finally:
        server.should_exit = True
        await task


class _nothing:
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return None


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Status, head and body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    body = await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
    return int(head.split(b" ", 2)[1]), head, body


def test_when_full_a_plain_request_is_refused_before_its_body_and_the_connection_goes_on():
    async def main():
        async with listening() as (service, connect, log):
            reader, writer = await connect()
            service.inside = LIMITS.inside
            whole = request(BIG)
            writer.write(whole[:300])  # the body has hardly begun
            status, head, body = await answer(reader)
            expected = Problem("busy", "Too many requests are being worked on.").body()
            assert status == 503 and json.loads(body) == expected
            assert b"retry-after: 1\r\n" in head and b"x-content-type-options: nosniff" in head
            assert b"application/problem+json" in head and service.reading == service.coming == 0
            service.inside = 0
            writer.write(whole[300:])  # thrown away
            writer.write(request(WORDS))
            status, _, body = await answer(reader)
            assert status == 200 and json.loads(body)["present"]["words"]
            service.inside = LIMITS.inside
            for _ in range(3):
                writer.write(request(WORDS))
            for _ in range(3):
                assert (await answer(reader))[0] == 503
            writer.write(b"GET /live HTTP/1.1\r\nHost: here\r\n\r\n")
            assert (await answer(reader))[0] == 200, "liveness is never refused"
            lines = [json.loads(line) for line in log.getvalue().splitlines()]
            busy = [line for line in lines if line.get("kind") == "busy"]
            assert len(busy) == 1 and set(busy[0]) == {"time", "route", "status", "kind", "count"}, "one a second"
            assert 'mmcourse_refused_total{reason="busy"} 4.0' in service.metrics.page().decode()
            assert 'mmcourse_requests_total{code="503",route="predict"} 4.0' in service.metrics.page().decode()
            service.inside = 0
            writer.close()

    run(main)


def test_the_usual_way_refuses_too_and_a_page_stays_a_page():
    async def main():
        async with listening() as (service, connect, _):
            reader, writer = await connect()
            service.inside = LIMITS.inside
            writer.write(request(WORDS, "Accept: text/html,*/*"))
            status, head, _ = await answer(reader)
            assert status == 503 and b"text/html" in head
            writer.write(request(WORDS, "Expect: 100-continue"))
            assert (await answer(reader))[0] == 503
            writer.close()
            reader, writer = await connect()
            writer.write(request(WORDS, length=LIMITS.body_bytes + 1))
            assert (await answer(reader))[0] == 503
            service.inside = 0
            writer.close()

    run(main)


CHUNKED = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /v1/predict HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /v1/other HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n",
        CHUNKED,
        request(WORDS, "Content-Length: 3"),
        request(WORDS, "X: 1\r\n Content-Length: 3"),
        request(WORDS, "Connection: close"),
        request(WORDS, "Upgrade: websocket"),
        request(WORDS, "X: a\nTransfer-Encoding: chunked"),
        request(WORDS).replace(b"Content-Length: ", b"Content-Length: +"),
        request(WORDS).replace(b"Content-Length:", b"Content-Length :"),
        request(WORDS).replace(b"\r\n\r\n", b"\n\n"),
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(data: bytes):
    assert plain_post(data) is None
    assert plain_post(request(WORDS, route="explain")) == ("explain", len(request(b"", length=99)), len(WORDS))


def test_a_place_is_kept_for_a_body_that_is_coming_but_not_for_long():
    async def main():
        async with listening(Limits(inside=1, keep_place=0.1)) as (service, connect, _):
            slow, fast = await connect(), await connect()
            slow[1].write(request(WORDS)[:-3])
            while not service.coming:
                await asyncio.sleep(0.005)
            assert service.full
            fast[1].write(request(WORDS))
            assert (await answer(fast[0]))[0] == 503
            while service.coming:
                await asyncio.sleep(0.01)
            fast[1].write(request(WORDS))
            assert (await answer(fast[0]))[0] == 200, "who sends slowly keeps nobody out"
            slow[1].write(request(WORDS)[-3:])
            assert (await answer(slow[0]))[0] == 200 and service.coming == service.reading == 0
            for _, writer in (slow, fast):
                writer.close()

    run(main)


# ---------------------------------------------------------------- the process that decodes
def test_a_process_decodes_as_a_thread_does_and_is_started_again_when_it_ends():
    from mmcourse.serve.model import prepare

    async def main():
        decoder = Decoder(LIMITS)
        await decoder.start()
        soon = time.monotonic() + 50
        present, features = await decoder.submit(WORDS, soon)
        assert present == ["words"] == list(features)
        assert (features["words"] == understand(WORDS, soon, LIMITS, prepare)[1]["words"]).all()
        with pytest.raises(Problem) as raised:
            await decoder.submit({"words": "…"}, soon)
        assert (raised.value.kind, raised.value.field) == ("invalid-input", "words")
        with pytest.raises(Problem, match="deadline"):
            await decoder.submit(WORDS, 0.0)
        with pytest.raises(DecodeFailed, match="Error"):
            await decoder.submit({"face": 3}, soon)
        many = await asyncio.gather(*[decoder.submit({"words": "lovely " * k}, soon) for k in range(1, 30)])
        assert [len(found["words"]) for _, found in many] == list(range(1, 30)), "in order"
        first = decoder._process
        os.kill(first.pid, signal.SIGSTOP)
        asked = [asyncio.create_task(decoder.submit(WORDS, soon)) for _ in range(5)]
        await asyncio.sleep(0.05)
        asked[4].cancel()
        os.kill(first.pid, signal.SIGKILL)
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each).__name__ for each in found[:3]] == ["DecodeFailed"] * 3, "they were inside it"
        assert found[3][0] == ["words"] and decoder._process.pid != first.pid
        last = decoder._process
        decoder.close()
        assert await asyncio.wait_for(last.wait(), 20) != 0

    run(main)


def test_a_process_that_hangs_on_a_request_is_ended_and_started_again():
    async def main():
        decoder = Decoder(Limits(timeout=1.0))
        await decoder.start()
        first = decoder._process
        os.kill(first.pid, signal.SIGSTOP)  # as a decoder that never comes back
        soon = time.monotonic() + 50
        with pytest.raises(DecodeFailed, match="DecoderEnded"):
            await asyncio.wait_for(decoder.submit(WORDS, soon), 20)
        present, _ = await asyncio.wait_for(decoder.submit(WORDS, soon), 40)
        assert present == ["words"] and decoder._process.pid != first.pid
        await asyncio.sleep(1.5)
        assert decoder._process is not None and decoder._process.returncode is None, "none inside: nothing is timed"
        decoder.close()

    run(main)
