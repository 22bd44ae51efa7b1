"""The pages of the service: which files may be served, as what, and with which content security policy.

::

    path = page.find("style.css")  # None for a name that is not served
    headers = {"Content-Type": page.media_type("style.css"), "Content-Security-Policy": page.csp("style.css")}

`make_pages.py` writes the HTML from `page.html.jinja`, `ask.html.jinja` and `texts.toml`, one file a language.
`vendor.py` fetches the one thing that is not ours, onnxruntime-web, which the second page runs the model with.
"""

from __future__ import annotations

from pathlib import Path

from mmcourse.serve.page import vendor

FOLDER = Path(__file__).parent
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
SERVED = (".css", ".html", ".js", ".json", ".svg")  # endings of this folder's files that anybody may have
NOT_SERVED = ("answer.html", vendor.LOCK.name)  # a template, and what only the build reads

# No script, style, picture or request but from this very host; no page of another host around ours; no eval.
DEFAULT_CSP = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
# WebAssembly is compiled from bytes: the one page that does so may, and still evaluates no text as JavaScript.
WASM_CSP = f"{DEFAULT_CSP}; script-src 'self' 'wasm-unsafe-eval'"
CSP = {
    "index.html": DEFAULT_CSP,
    "index.zh.html": DEFAULT_CSP,
    "answer.html": DEFAULT_CSP,
    "ask.html": DEFAULT_CSP,
    "ask.zh.html": DEFAULT_CSP,
    "browser.html": WASM_CSP,
    "browser.zh.html": WASM_CSP,
}
PERMISSIONS = "camera=(self), microphone=(self), geolocation=()"  # the header Permissions-Policy


def find(name: str) -> Path | None:
    """The file behind `/static/NAME`: ours, or fetched by `vendor`; None if no such name is served."""
    if name in vendor.names():
        path = vendor.folder() / name
        return path if path.is_file() else None
    if "/" in name or "\\" in name or name.startswith(".") or name in NOT_SERVED or not name.endswith(SERVED):
        return None
    path = FOLDER / name
    return path if path.is_file() else None


def media_type(name: str) -> str:
    """The Content-Type of a name that `find` found."""
    return TYPES[Path(name).suffix]


def csp(name: str) -> str:
    """The Content-Security-Policy that goes with a file."""
    return CSP.get(name, DEFAULT_CSP)
