"""The door in front of HTTP: when the service is full, a plain request is refused before it is parsed.

Parsing a request, routing it and building an answer costs several times what saying no needs; at twice the capacity
that is time taken from those who are inside. So the protocol looks at the first bytes. A POST that is as simple as
nearly all are gets an answer that was built once, and its body is counted and thrown away: the connection stays open,
and the client need not make another. Whatever is not simple goes the usual way, and is refused there.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mmcourse.serve.problems import Problem

if TYPE_CHECKING:
    from mmcourse.serve.app import Service

__all__ = ["door", "plain_post"]

START = re.compile(rb"POST /v1/(predict|explain|ask) HTTP/1\.1\r\n")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n")
# Folded lines, other ways to say where the body ends, what asks for another kind of answer.
NOT_PLAIN = re.compile(
    rb"\r\n[ \t]|\r(?!\n)|(?<!\r)\n|\r\n(?:transfer-encoding|expect|upgrade|connection)[ \t]*:|text/html"
)
LONGEST = 8_192  # bytes of a head


def plain_post(data: bytes) -> tuple[str, int, int] | None:
    """(route, length of the head, length of the body) of a request that may be refused here, or None."""
    start = START.match(data)
    if start is None:
        return None
    end = data.find(b"\r\n\r\n", 0, LONGEST)
    if end < 0:
        return None
    head = data[: end + 2].lower()
    lengths = LENGTH.findall(head)
    if len(lengths) != 1 or head.count(b"content-length") != 1 or NOT_PLAIN.search(head):
        return None
    return start[1].decode(), end + 4, int(lengths[0])


def refusal(problem: Problem, headers: list[tuple[str, str]]) -> bytes:
    """The whole answer."""
    body = json.dumps(problem.body(), separators=(",", ":")).encode()
    lines = [f"HTTP/1.1 {problem.status} Service Unavailable", f"retry-after: {problem.retry_after:.0f}"]
    lines += ["content-type: application/problem+json", f"content-length: {len(body)}"]
    lines += [f"{name.lower()}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def door(service: Service, headers: list[tuple[str, str]]) -> type[H11Protocol]:
    """uvicorn's protocol with the door in front of it."""
    full = refusal(Problem("busy", "Too many requests are being worked on.", retry_after=1), headers)

    class Door(H11Protocol):
        unwanted = 0  # bytes of a refused body that are still to come

        def data_received(self, data: bytes) -> None:
            while data:
                if self.unwanted:
                    taken = min(self.unwanted, len(data))
                    self.unwanted -= taken
                    if taken == len(data):
                        return
                    data = data[taken:]
                found = plain_post(data) if service.full and self._idle() else None
                if found is None or found[2] > service.limits.body_bytes:
                    super().data_received(data)
                    return
                route, head, self.unwanted = found
                data = data[head:]
                self._unset_keepalive_if_required()
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
                self.transport.write(full)
                service.refused(route)

        def _idle(self) -> bool:
            """Whether these bytes begin a request."""
            conn = self.conn
            return conn.our_state is h11.IDLE and conn.their_state is h11.IDLE and not conn.trailing_data[0]

    return Door
