"""A small web server on the loopback that can misbehave in the ways that the public internet does."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    """Files by name, and what goes wrong with each; `log` holds (path, Range header, status, bytes sent)."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: dict[str, list[int]] = field(default_factory=dict)  # bytes to send before each successive cut
    ranges: bool = True
    tags: bool = True
    chunked: bool = False
    log: list[tuple[str, str | None, int, int]] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serve(**options) -> Iterator[Server]:
    """Run a `Server` on a free port for the length of a `with` block."""
    server = Server(**options)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name, wanted = self.path.lstrip("/"), self.headers.get("Range")
            body = server.files.get(name)
            if body is None:
                self.send_error(404)
                server.log.append((self.path, wanted, 404, 0))
                return
            tag = f'"{hashlib.md5(body).hexdigest()}"'
            start = 0
            if wanted and server.ranges and self.headers.get("If-Range") == tag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self._answer(name, wanted, body, start, tag)

        def _answer(self, name: str, wanted: str | None, body: bytes, start: int, tag: str) -> None:
            status = 206 if start else 200
            self.send_response(status)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if server.tags:
                self.send_header("ETag", tag)
            self.send_header("Connection", "close")
            if server.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            cuts = server.cut_after.get(name)
            sent = body[start:][: cuts.pop(0)] if cuts else body[start:]
            server.log.append((self.path, wanted, status, len(sent)))
            self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent) if server.chunked else sent)
            if server.chunked and start + len(sent) == len(body):
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler
