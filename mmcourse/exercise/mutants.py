"""A mistake as code: a line of the reference written otherwise, a text edit of it, or a function of its own.

Three ways to write down what somebody gets wrong, the shortest first::

    "z = np.tanh(s)"                      the line of the reference that sets `z`, as the learner wrote it
    "return z * h1 + z * h2"              its return statement, likewise; several lines are allowed
    edit("0.01", "0.1")                   every occurrence of a piece of its source, after the docstring
    lambda joint: "interaction"           another function altogether

The first two are compiled from the source of the reference when they are first needed, never at import.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class MutantError(ValueError):
    """A mistake that cannot be made from its reference; the message says which piece was not found."""


@dataclass(frozen=True)
class Edit:
    """Pairs (old, new): pieces of the reference's source and what stands in their place."""

    pairs: tuple[tuple[str, str], ...]


def edit(old: str, new: str, *more: str) -> Edit:
    """Replace every `old` by `new` in the body of the reference; further pairs may follow.

    Raises
    ------
    ValueError
        If a piece has no counterpart.
    """
    pieces = [old, new, *more]
    if len(pieces) % 2:
        raise ValueError(f"edit: expected pairs of old and new text, got {len(pieces)} pieces")
    return Edit(tuple(zip(pieces[::2], pieces[1::2], strict=True)))


Written = str | Edit | Callable


def make_mutant(reference: Callable, written: Written) -> Callable:
    """`reference` with this mistake in it.

    Parameters
    ----------
    reference : a function or class that has a source file
    written : lines that replace those with the same target, an `Edit`, or a function, which is taken as it is

    Raises
    ------
    MutantError
        If a line or piece is not in the reference, or a line fits several.
    """
    if isinstance(written, str):
        return _compiled(reference, _with_lines(reference, written), written)
    if isinstance(written, Edit):
        return _compiled(reference, _with_edits(reference, written), str(written.pairs))
    return written


def source_of(function: Callable) -> str:
    """Source of a function or class, without its decorators and without indentation."""
    text = textwrap.dedent(inspect.getsource(function))
    tree = ast.parse(text).body[0]
    return "\n".join(text.splitlines()[tree.lineno - 1 :]) + "\n"


def _compiled(reference: Callable, source: str, title: str) -> Callable:
    module = getattr(reference, "__globals__", None)  # a function knows its module's names, a class does not
    names: dict[str, Any] = dict(vars(sys.modules[reference.__module__]) if module is None else module)
    exec(compile(source, f"<{reference.__name__} with {title!r}>", "exec"), names)
    return names[reference.__name__]


# ---------------------------------------------------------------- pieces of text
def _with_edits(reference: Callable, written: Edit) -> str:
    source = source_of(reference)
    start = _body_start(source)
    head, body = source[:start], source[start:]
    for old, new in written.pairs:
        if old not in body:
            raise MutantError(f"{reference.__name__}: {old!r} is not in its source")
        body = body.replace(old, new)
    return head + body


def _body_start(source: str) -> int:
    """Offset of the first character after the signature and docstring, so that these stay."""
    definition = ast.parse(source).body[0]
    first = definition.body[0]  # type: ignore[attr-defined]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    last_line = first.end_lineno if is_docstring else first.lineno - 1
    return len("".join(source.splitlines(keepends=True)[:last_line]))


# ---------------------------------------------------------------- whole lines
def _with_lines(reference: Callable, written: str) -> str:
    """The source with each statement of `written` in the place of the one that has the same target."""
    source = source_of(reference)
    tree = ast.parse(source)
    for statement in ast.parse(textwrap.dedent(written)).body:
        key = _key(statement)
        places = list(_places(tree, key))
        if len(places) != 1:
            found = "no statement" if not places else f"{len(places)} statements"
            raise MutantError(f"{reference.__name__}: {found} like {ast.unparse(statement)!r} in its source")
        block, position = places[0]
        if ast.unparse(block[position]) == ast.unparse(statement):
            raise MutantError(f"{reference.__name__}: {ast.unparse(statement)!r} is what it does already")
        block[position] = statement
    return ast.unparse(tree)


def _key(statement: ast.stmt) -> str:
    """What a statement is known by: the names that it sets, `return`, or the first word and condition."""
    if isinstance(statement, ast.Assign):
        return " = ".join(ast.unparse(target) for target in statement.targets)
    if isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        return ast.unparse(statement.target)
    if isinstance(statement, ast.For):
        return f"for {ast.unparse(statement.target)}"
    if isinstance(statement, ast.FunctionDef):
        return f"def {statement.name}"
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return f"{ast.unparse(statement.value.func)}()"
    return type(statement).__name__.lower()


def _places(tree: ast.AST, key: str):
    """(block, index) of every statement that is known by `key`."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                for position, statement in enumerate(block):
                    if _key(statement) == key:
                        yield block, position
