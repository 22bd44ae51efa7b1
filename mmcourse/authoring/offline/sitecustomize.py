"""On PYTHONPATH, this keeps a Python process and its children off the network: only this machine answers.

An audit hook sees every socket that Python opens, and cannot be removed by what runs later.
"""

import ipaddress
import sys


def _is_here(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost", "0.0.0.0", "::"):
        return True
    try:
        text = host.decode() if isinstance(host, bytes) else str(host)
        return ipaddress.ip_address(text.split("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse(event: str, arguments: tuple) -> None:
    if event == "socket.getaddrinfo" or event == "socket.gethostbyname":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if not isinstance(address, tuple):  # a socket of this machine's file system, or already connected
            return
        host = address[0]
    else:
        return
    if not _is_here(host):
        raise ConnectionRefusedError(f"the network is blocked here: {event} to {host!r}")


sys.addaudithook(_refuse)
