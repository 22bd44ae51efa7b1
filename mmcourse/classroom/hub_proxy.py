"""configurable-http-proxy with routing by host, which its Python edition accepts as an option and does not do.

Each student's server has a host name of its own, so that no page of one student's server is of the same origin as
another's or the hub's, and no browser sends one's cookies to another. A request for a host that is not ours gets the
proxy's page "not found".
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import Any

from configurable_http_proxy import cli
from configurable_http_proxy.configproxy import PythonProxy
from configurable_http_proxy.handlers import ProxyHandler

HOST: ContextVar[str] = ContextVar("HOST", default="")
_url_of, _target_of = ProxyHandler.get_target_url, PythonProxy.target_for_req


async def get_target_url(self: Any, path: str) -> str | None:
    """As before; the request's host is known in `target_for_req`, which is called without it."""
    HOST.set(self.request.host_name.lower())
    return await _url_of(self, path)


def target_for_req(self: Any, _: None, path: str) -> dict[str, Any] | None:
    """As before, for the route /host/path where routes begin with a host."""
    return _target_of(self, HOST.get() if self.host_routing else None, "/" + path.lstrip("/"))


if __name__ == "__main__":
    ProxyHandler.get_target_url = get_target_url
    PythonProxy.target_for_req = target_for_req
    # JupyterHub gives --host-routing no value, as the original program wants it; this edition waits for one.
    sys.argv = [f"{word}=true" if word == "--host-routing" else word for word in sys.argv]
    cli.main()
