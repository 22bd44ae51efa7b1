"""Verdicts as text and as HTML: a symbol and a word carry the meaning, color only repeats it."""

from __future__ import annotations

import re
import sys
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmcourse.check.core import Result

# Okabe-Ito hues; the tint is transparent so that the page's own text color stays readable, light theme or dark.
_LOOK = {
    "passed": ("✓", "0, 158, 115"),
    "wrong": ("✗", "213, 94, 0"),
    "not attempted yet": ("○", "120, 120, 120"),
    "graded later": ("→", "0, 114, 178"),
    "unknown exercise": ("?", "204, 121, 167"),
}
# *one word or more*, but neither 2*3*4 nor (*args, *rest)
_EMPHASIS = re.compile(r"(?<![\w*])\*([^\W\d_](?:[^*\n]*[^\s*])?)\*(?![\w*])")


def _headline(result: Result) -> str:
    if not result.title:
        return f"{result.id} {result.status}"
    if not result.max_points:  # a blank inside a lesson
        return f"{result.id} {result.status} · {result.title}"
    unit = "point" if result.max_points == 1 else "points"
    score = f"{result.points} of {result.max_points} {unit}"
    return f"{result.id} {result.status} · {result.title} · {score}"


def text(result: Result) -> str:
    """The verdict in plain lines."""
    head = f"{_LOOK[result.status][0]} {_headline(result)}"
    return "\n  ".join([head, *result.message.splitlines()])


def html(result: Result) -> str:
    """The verdict as one box; in the message `backticks` become code, and *asterisks* outside of them emphasis."""
    symbol, rgb = _LOOK[result.status]
    parts = re.split(r"`([^`\n]+)`", escape(result.message, quote=False))  # text, code, text, code, … text
    parts[::2] = [_EMPHASIS.sub(r"<em>\1</em>", part) for part in parts[::2]]
    parts[1::2] = [f"<code>{part}</code>" for part in parts[1::2]]
    message = "".join(parts).replace("\n", "<br>")
    box = f"border-left: 5px solid rgb({rgb}); background: rgba({rgb}, 0.12); padding: 0.5em 0.9em; margin: 0.3em 0"
    head = f'<strong><span aria-hidden="true">{symbol}</span> {escape(_headline(result), quote=False)}</strong>'
    return f'<div role="status" style="{box}">{head}' + (f"<br>{message}" if message else "") + "</div>"


def show(result: Result) -> None:
    """HTML where a notebook listens, text in terminals; the output's metadata names exercise and status for tools."""
    ipython = sys.modules.get("IPython")  # who has not loaded IPython does not run in it
    if ipython is None or ipython.get_ipython() is None:
        return _print(text(result))
    from IPython.display import publish_display_data

    bundle = {"text/html": html(result), "text/plain": text(result)}
    publish_display_data(bundle, {"mmcourse": {"exercise": result.id, "status": result.status}})


def _print(message: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(message.encode(encoding, "replace").decode(encoding))  # an old terminal may lack the symbols
