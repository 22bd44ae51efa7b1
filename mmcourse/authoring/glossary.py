"""The glossary: one source, ``notebooks/src/glossary.toml``, rendered as a page.

``python -m mmcourse.authoring.glossary`` writes ``notebooks/glossary.md``; ``--to FILE`` writes it elsewhere.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mmcourse.io import atomic_write

FIELDS = {"term", "definition", "chinese", "lesson", "also"}


@dataclass(frozen=True)
class Term:
    """One entry; ``lesson`` is the slug of the lesson that introduces it, ``also`` lists other forms of the name."""

    term: str
    definition: str
    chinese: str
    lesson: str
    also: tuple[str, ...] = ()

    @property
    def forms(self) -> tuple[str, ...]:
        """Every form under which a lesson may introduce it."""
        return (self.term, *self.also)


def read(folder: Path) -> list[Term]:
    """All terms of the source under ``folder`` (``notebooks``), in order of name; none where there is no source.

    Raises
    ------
    ValueError
        If an entry lacks something, or a term stands there twice.
    """
    path = folder / "src" / "glossary.toml"
    terms: dict[str, Term] = {}
    for number, entry in enumerate(_table(path).get("terms", []), 1):
        name = entry.get("term", f"number {number}")
        unknown = set(entry) - FIELDS
        empty = [field for field in sorted(FIELDS - {"also"}) if not str(entry.get(field, "")).strip()]
        if unknown or empty:
            problem = f"unknown {sorted(unknown)}" if unknown else f"no {', '.join(empty)}"
            raise ValueError(f"{path}: term {name!r}: {problem}; an entry has {', '.join(sorted(FIELDS))}")
        if name.lower() in terms:
            raise ValueError(f"{path}: term {name!r} stands there twice")
        terms[name.lower()] = Term(**{**entry, "also": tuple(entry.get("also", ()))})
    return sorted(terms.values(), key=lambda t: t.term.lower())


def second_edition(folder: Path) -> frozenset[str]:
    """Slugs of the lessons for which the rules of the second edition hold."""
    return frozenset(_table(folder / "src" / "glossary.toml").get("second_edition", []))


def _table(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error


def page(terms: list[Term], links: dict[str, str]) -> str:
    """The glossary as Markdown; ``links`` gives the notebook of each lesson that exists, by slug."""
    lines = [
        "# Glossary",
        "",
        "The field's words, each with the lesson that introduces it.",
        "",
        "| term | Chinese | what it is | lesson |",
        "|---|---|---|---|",
    ]
    for term in terms:
        lesson = f"[{term.lesson}]({links[term.lesson]})" if term.lesson in links else f"{term.lesson} (to come)"
        cells = (f"**{term.term}**", term.chinese, term.definition, lesson)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def render(folder: Path) -> str:
    """The page of the glossary under ``folder`` (``notebooks``); it links the lessons that are written."""
    from .catalogue import lessons

    return page(read(folder), {x.slug: x.notebook.name for x in lessons(folder.parent) if x.source.is_file()})


def not_introduced(terms: list[Term], texts: dict[str, str]) -> list[str]:
    """Terms that their lesson does not define in bold; ``texts`` has the markdown of the lessons to look at, by slug.

    A term counts as defined where it is bold in a sentence of some length: "A **hidden layer** lies between …".
    """
    found = []
    for term in terms:
        text = texts.get(term.lesson)
        if text is not None and not any(_is_defined(form, text) for form in term.forms):
            forms = " or ".join(f"**{form}**" for form in term.forms)
            found.append(f"{term.lesson}: {forms} is nowhere bold in a sentence that says what it is")
    return found


def _is_defined(form: str, text: str) -> bool:
    pattern = re.sub(r"i[sz](?=e|ation|ing)", "i[sz]", re.escape(form))  # either spelling
    # a long term may run over the end of a line
    pattern = pattern.replace(r"\ ", r"\s+")
    bold = re.compile(rf"\*\*[^*\n]*\b{pattern}s?\b[^*]*\*\*", re.IGNORECASE)
    for match in bold.finditer(text):
        start = max(text.rfind(mark, 0, match.start()) for mark in (". ", "\n\n", "\n- ", "\n| "))
        ends = [text.find(mark, match.end()) for mark in (". ", ".\n", "\n\n", "\n- ", "\n| ")]
        end = min((e for e in ends if e >= 0), default=len(text))
        if len(re.findall(r"\w+", text[start + 1 : end])) >= 6:
            return True
    return False


def main(arguments: list[str] | None = None) -> int:
    """Write the page; 0 when all is well, 1 for a faulty source."""
    from .catalogue import notebooks_dir

    parser = argparse.ArgumentParser(prog="python -m mmcourse.authoring.glossary", description="Write the glossary.")
    parser.add_argument("--to", type=Path, help="file to write; notebooks/glossary.md by default")
    options = parser.parse_args(arguments)
    folder = notebooks_dir()
    try:
        text = render(folder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    target = options.to or folder / "glossary.md"
    atomic_write(target, text)
    print(f"{target.name}: {text.count(chr(10)) - 6} terms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
