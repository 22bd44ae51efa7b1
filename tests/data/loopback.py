"""A small web server on the loopback that can misbehave in the ways that the public internet does."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
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
    answers: dict[str, bytes] = field(default_factory=dict)  # what to send instead of a file, as it is
    requests: list[dict[str, str]] = field(default_factory=list)  # the headers of each request
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


@contextlib.contextmanager
def serve_raw(*answers: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that reads a request and leaves the rest to `answers`, in turn; the last one repeats.

    An answer that goes on forever ends when the other side closes the connection, or with the block.
    """
    done = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)

    def talk(connection: socket.socket, answer: Callable[[socket.socket], None]) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            request = b""
            while b"\r\n\r\n" not in request and (piece := connection.recv(65536)):
                request += piece
            while not done.is_set():
                if answer(connection) is not REPEAT:
                    break

    def accept() -> None:
        count = 0
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                answer = answers[min(count, len(answers) - 1)]
                count += 1
                threading.Thread(target=talk, args=(connection, answer), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        done.set()
        thread.join()
        listener.close()


REPEAT = object()  # what an answer returns to be called again


def say(*pieces: bytes) -> Callable[[socket.socket], None]:
    """An answer that sends these pieces and closes the connection."""
    return lambda connection: [connection.sendall(piece) for piece in pieces] and None


def forever(head: bytes, piece: bytes, pause: float = 0.0) -> Callable[[socket.socket], object]:
    """An answer that sends `head`, then `piece` again and again."""
    started: set[socket.socket] = set()

    def answer(connection: socket.socket) -> object:
        if connection not in started:
            started.add(connection)
            connection.sendall(head)
        connection.sendall(piece)
        threading.Event().wait(pause)
        return REPEAT

    return answer


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name, wanted = self.path.lstrip("/"), self.headers.get("Range")
            server.requests.append(dict(self.headers))
            if name in server.answers:
                self.wfile.write(server.answers[name])
                self.close_connection = True
                return
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
