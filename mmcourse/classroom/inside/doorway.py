"""Inside a student's own sandbox: give up every power, then run the notebook server behind two forwarded doors.

The network in here is the student's alone. The server's port is reached from outside through a listening socket that
is passed in; the hub is reached at its usual address through a socket file. There is no other way in or out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

PIECE = 1 << 16
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def forward(one: Stream, connect: Callable[[], Awaitable[Stream]]) -> None:
    """Join a connection to the one that `connect` opens, until both ends have said all, or one of them breaks off.

    A connection that breaks off ends the other one too, whatever that was waiting for: a server that is just starting
    takes its port, gives it up and takes it again, and the hub would wait for an answer to what it had asked between.
    """
    with contextlib.closing(one[1]):
        try:
            other = await connect()
        except OSError:
            return
        with contextlib.closing(other[1]):
            # RuntimeError: written to a closed end; cancelled: at the very end there is nobody to tell
            with contextlib.suppress(OSError, RuntimeError, asyncio.CancelledError):
                await asyncio.gather(_pump(one[0], other[1]), _pump(other[0], one[1]))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    writer.write_eof()


async def serve(settings: dict[str, Any], command: list[str]) -> int:
    """Both doors and the server; returns the server's exit status."""

    async def inward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await forward((reader, writer), lambda: asyncio.open_connection("127.0.0.1", settings["port"]))

    async def outward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await forward((reader, writer), lambda: asyncio.open_unix_connection(settings["hub_socket"]))

    await asyncio.start_unix_server(inward, sock=socket.socket(fileno=settings["listener"]))
    await asyncio.start_server(outward, "127.0.0.1", settings["hub_port"])
    server = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, server.terminate)
    return await server.wait()


def main() -> None:
    import jail  # beside this file: only inside does it lie on the path

    settings, command = json.loads(sys.argv[1]), sys.argv[2:]
    jail.confine_server(settings)
    os.chdir(settings["home"])  # not before: it is the student's alone
    os.nice(5)
    sys.exit(asyncio.run(serve(settings, command)))


if __name__ == "__main__":
    main()
