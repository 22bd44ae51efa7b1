"""Run a cell as a notebook does: IPython's own syntax, and `await` outside a function.

A cell of plain Python is only compiled. IPython is loaded for the first cell that needs it: its input transformer turns
`%time f(x)`, `files = !ls` and `f?` into calls of a shell, and its own magics then do what they do in a notebook. What
starts a program, waits for a person or draws in a front end does nothing here, and is no error.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import types
from collections.abc import Coroutine
from typing import Any

# Magics that need another process, a person, a network or a front end; each is a cell that runs and does nothing.
NEUTRAL_LINE = {
    *("alias", "autoreload", "bg", "conda", "config", "connect_info", "debug", "edit", "gui", "load", "load_ext"),
    *("loadpy", "man", "mamba", "matplotlib", "micromamba", "more", "less", "notebook", "page", "pastebin", "pdb"),
    *("pip", "pinfo", "pinfo2", "pylab", "qtconsole", "recall", "reload_ext", "rerun", "sc", "store", "sx", "system"),
    *("tensorboard", "unload_ext", "uv", "history", "hist", "logstart", "killbgscripts", "macro", "save"),
}
NEUTRAL_CELL = {
    *("!", "HTML", "SVG", "bash", "cmd", "debug", "html", "javascript", "js", "latex", "markdown", "perl", "pypy"),
    *("python", "python2", "python3", "ruby", "script", "sh", "svg", "sx", "system"),
}
WANTS_LOOP = re.compile(r"\b(create_task|ensure_future|get_running_loop)\(")
TIMEIT_COUNTS = re.compile(r"(?<!\S)-[nr]\s*\d+")


class Notebook:
    """The namespace that cells share, with a shell and an event loop that are made when a cell asks for them."""

    def __init__(self, module: types.ModuleType):
        self.module = module
        self.names: dict[str, Any] = module.__dict__
        self.names.update(display=lambda *_, **__: None, get_ipython=self.shell)
        self._shell: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, source: str, name: str) -> None:
        """Run one cell; what it raises is the caller's."""
        if "get_ipython" in source:
            self.shell()  # `from IPython import get_ipython` finds it only once it is there
        code = self.compiled(source, name)
        # With an `await` outside a function the cell itself is a coroutine.
        if code.co_flags & inspect.CO_COROUTINE:
            self._in_loop(eval(code, self.names))
        elif WANTS_LOOP.search(source):
            self._in_loop(_executed(code, self.names))
        else:
            exec(code, self.names)

    def _in_loop(self, coroutine: Coroutine) -> None:
        """A notebook has one event loop: what one cell starts goes on while the next one waits."""
        self._loop = self._loop or asyncio.new_event_loop()
        self._loop.run_until_complete(coroutine)

    def compiled(self, source: str, name: str) -> types.CodeType:
        """The cell as code.

        Raises
        ------
        SyntaxError
            For what is neither Python nor IPython's syntax.
        """
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        try:
            return compile(source, name, "exec", flags, dont_inherit=True)
        except SyntaxError:
            pass
        # Whatever IPython adds to Python is no Python, so a cell that compiles needs none of it.
        return compile(self.shell().transform_cell(source), name, "exec", flags, dont_inherit=True)

    def shell(self) -> Any:
        """IPython's shell on this namespace, without history, programs or a front end."""
        if self._shell is None:
            self._shell = make_shell(self.module)
            self.names["get_ipython"] = self.shell
        return self._shell


async def _executed(code: types.CodeType, names: dict[str, Any]) -> None:
    """The cell, run where there is a running event loop."""
    exec(code, names)


def make_shell(module: types.ModuleType) -> Any:
    """An `InteractiveShell` whose cells' names are those of `module`."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.text import SList
    from traitlets.config import Config

    class Shell(InteractiveShell):
        def run_line_magic(self, name: str, line: str, _stack_depth: int = 1) -> Any:
            if name in NEUTRAL_LINE or self.find_line_magic(name) is None:
                return None
            if name == "timeit":
                line = f"-n1 -r1 {TIMEIT_COUNTS.sub('', line)}"  # the answer counts, not how long it takes here
            return super().run_line_magic(name, line, _stack_depth + 1)  # its names are those of our caller

        def run_cell_magic(self, name: str, line: str, cell: str) -> Any:
            if name in NEUTRAL_CELL or self.find_cell_magic(name) is None:
                return None
            if name == "timeit":
                line = f"-n1 -r1 {TIMEIT_COUNTS.sub('', line)}"
            return super().run_cell_magic(name, line, cell)

        def system(self, *_: Any, **__: Any) -> None:
            """`!command`: no program is started here."""
            self.user_ns["_exit_code"] = 0

        system_piped = system_raw = system

        def getoutput(self, *_: Any, **__: Any) -> Any:
            """`lines = !command`: a program that says nothing."""
            return SList([])

        def showtraceback(self, *_: Any, **__: Any) -> None:
            """Errors within a magic are the cell's, as `%time f()` shows them; nothing is printed here."""

    config = Config()
    config.HistoryManager.enabled = False
    kept = {name: module.__dict__[name] for name in ("display",)}
    shell = Shell.instance(config=config, user_module=module, user_ns=module.__dict__)
    module.__dict__.update(kept)
    return shell
