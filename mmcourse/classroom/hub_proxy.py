"""configurable-http-proxy with routing by host, which its Python edition accepts as an option and does not do.

Each student's server has a host name of its own, so that no page of one student's server is of the same origin as
another's or the hub's, and no browser sends one's cookies to another. The hub itself answers under its own name only:
JupyterHub has one route for every host, and a page of the hub under a student's name would be of that student's origin,
with the cookies of whoever logs in there. A request under another name is sent to the hub's own.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import Any

from configurable_http_proxy import cli
from configurable_http_proxy.configproxy import PythonProxy
from configurable_http_proxy.handlers import ProxyHandler

HOST: ContextVar[str] = ContextVar("HOST", default="")
EVERYWHERE = "/"  # the route of the hub
_url_of, _target_of = ProxyHandler.get_target_url, PythonProxy.target_for_req


def only_under(hub: str) -> Any:
    """`get_target_url` of a proxy whose hub has this name, such as mmcourse.localhost."""

    async def get_target_url(self: Any, path: str) -> str | None:
        """As before, but for the hub under a name that is not its own; None where the answer is given already."""
        name = self.request.host_name.lower()
        HOST.set(name)  # known in `target_for_req`, which is called without it
        url = await _url_of(self, path)
        if url is None or name == hub or self.target["prefix"] != EVERYWHERE:
            return url
        if self.request.method not in ("GET", "HEAD") or "Upgrade" in self.request.headers:
            await self.handle_proxy_error(404, err=None)
            return None
        port = self.request.host.removeprefix(self.request.host_name)  # ":8000", or nothing
        self.redirect(f"http://{hub}{port}/{self.request.uri.lstrip('/')}")
        return None

    return get_target_url


def target_for_req(self: Any, _: None, path: str) -> dict[str, Any] | None:
    """As before, for the route /host/path where routes begin with a host."""
    return _target_of(self, HOST.get() if self.host_routing else None, "/" + path.lstrip("/"))


if __name__ == "__main__":
    ProxyHandler.get_target_url = only_under(sys.argv.pop(1))
    PythonProxy.target_for_req = target_for_req
    # JupyterHub gives --host-routing no value, as the original program wants it; this edition waits for one.
    sys.argv = [f"{word}=true" if word == "--host-routing" else word for word in sys.argv]
    cli.main()
