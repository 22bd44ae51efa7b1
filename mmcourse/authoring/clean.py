"""Outputs fit to be committed, and everything that makes them unfit."""

from __future__ import annotations

import re
import site
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from . import budget

WIDGET = "application/vnd.jupyter.widget-view+json"
IMAGES = ("image/png", "image/jpeg", "image/svg+xml", "image/gif")
PATH = re.compile(
    r"(?<![\w.:/<\\-])(?:/(?:work\w*|home|tmp|root|usr|opt|mnt|Users|private|var/folders|content)/[^\s'\"`)<>,]+|[A-Z]:\\\w)"
)
WARNING = re.compile(r"^.*\b\w*Warning: .*$", re.MULTILINE)
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")
BASE64 = re.compile(r"base64,[A-Za-z0-9+/=\s]+")
LINE_LENGTH = 88  # of code in a lesson, on a laptop's screen
ANSI = re.compile(r"\x1b\[[0-9;]*m")
NO_ALT = re.compile(r"!\[\s*\]\(|<img(?![^>]*\balt=[\"'][^\"'])[^>]*>")


@dataclass(frozen=True)
class Fault:
    """One thing wrong; ``cell`` is an index in the notebook, or None for the notebook as a whole."""

    cell: int | None
    message: str


def clean(nb: NotebookNode) -> None:
    """Take out of fresh outputs what no reader needs: timings, widgets, progress bars, this machine's paths."""
    nb.metadata.pop("widgets", None)
    count = 0
    for cell in nb.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        if "free" in _tags(cell):
            cell.outputs = [x for x in cell.outputs if not _is_progress(x)]
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
            if output.output_type == "error":
                output.traceback = [_here(x) for x in output.traceback]
                output.evalue = _here(output.evalue)


def faults(nb: NotebookNode) -> list[Fault]:
    """Everything that keeps a built notebook from being committed, cell by cell."""
    found: list[Fault] = []
    code, ordered = 0, True
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "markdown":
            found += [Fault(index, m) for m in _markdown_faults(cell.source)]
            continue
        code += 1
        if cell.execution_count is None:
            found.append(Fault(index, "was not run"))
        elif cell.execution_count != code and ordered:
            ordered = False  # name the first cell out of order, not all that follow
            found.append(Fault(index, f"has execution count {cell.execution_count}, expected {code}: run in order"))
        found += [Fault(index, f"has an absolute path in its text: {p}") for p in PATH.findall(cell.source)[:1]]
        for output in cell.outputs:
            found += [Fault(index, m) for m in _output_faults(output, _tags(cell))]
    if "widgets" in nb.metadata:
        found.append(Fault(None, "holds widget state"))
    return found


def limit_faults(nb: NotebookNode) -> list[Fault]:
    """Too slow, or too large in memory for a laptop. The gate minds; a build in progress may not."""
    found = []
    measured = nb.metadata.mmcourse
    if measured.seconds > budget.LIMIT_SECONDS:
        message = f"took {measured.seconds:.0f} s, the limit is {budget.LIMIT_SECONDS:.0f} s: train less"
        found.append(Fault(None, message))
    if measured.peak_mb > budget.LIMIT_MB:
        message = f"took {measured.peak_mb:,.0f} MB, the limit is {budget.LIMIT_MB:,} MB: laptops have 8 GB"
        found.append(Fault(None, message))
    return found


def long_lines(nb: NotebookNode) -> list[Fault]:
    """Code that scrolls sideways on a laptop; folded code may."""
    found = []
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "code" and not {"hide-input", "setup"} & set(_tags(cell)):
            longest = max(cell.source.split("\n"), key=len)
            if len(longest) > LINE_LENGTH:
                message = (
                    f"has a line of {len(longest)} characters, at most {LINE_LENGTH} fit: `{longest.strip()[:50]}…`"
                )
                found.append(Fault(index, message))
    return found


def texts(cell: NotebookNode) -> Iterator[str]:
    """All text that the outputs of a cell show."""
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            yield output.text
        elif output.output_type == "error":
            yield ANSI.sub("", "\n".join([output.evalue, *output.traceback]))
        else:
            yield from (v for k, v in output.data.items() if k.startswith("text/") and isinstance(v, str))


def describe(nb: NotebookNode, index: int | None) -> str:
    """How a message names a cell: its number as a reader counts, and its first line."""
    if index is None:
        return "the notebook"
    cell = nb.cells[index]
    first = next((x for x in cell.source.split("\n") if x.strip()), "(empty)")
    return f"cell {index + 1} ({cell.cell_type}, `{first.strip()[:60]}`)"


def _output_faults(output: NotebookNode, tags: list[str]) -> Iterator[str]:
    kind = output.output_type
    if kind == "error" and "raises-exception" not in tags:
        yield f"ends in {output.ename}: {output.evalue}; an error shown on purpose needs the tag `raises-exception`"
    if kind == "stream" and output.name == "stderr":
        remedy = "silence it, or tag the cell `free` if it is a progress bar"
        yield f"writes to stderr: {output.text.strip()[:120]!r}; {remedy}"
    data = output.get("data", {})
    if WIDGET in data:
        yield "shows a widget, which a saved notebook cannot: tag the cell `free`"
    if any(k in data for k in IMAGES):
        alts = [output.metadata.get(k, {}).get("alt", "") for k in IMAGES if k in data]
        if not all(isinstance(a, str) and a.strip() for a in alts):
            yield "shows a picture without alt text: use `plot.show(fig, alt=...)`"
    for text in texts(nbformat.from_dict({"outputs": [output]})):
        text = BASE64.sub("base64,", text)
        if kind != "error":
            yield from (f"shows a warning: {w.strip()[:120]!r}" for w in WARNING.findall(text)[:1])
        yield from (f"shows an absolute path: {p}" for p in PATH.findall(text)[:1])
        if "free" not in tags and ADDRESS.search(text):
            yield "shows a memory address, which changes from run to run: print something else or tag the cell `free`"
        if "<img" in text and NO_ALT.search(text):
            yield "shows an <img> without alt text"


def _markdown_faults(text: str) -> Iterator[str]:
    if NO_ALT.search(text):
        yield "has a picture without alt text"
    yield from (f"has an absolute path in its text: {p}" for p in PATH.findall(text)[:1])
    if "{{" in text:
        yield "has a placeholder that the build does not know: only `{{budget}}`, on the title card"


def _is_progress(output: NotebookNode) -> bool:
    """Progress bars are gone when the cell is done: as widgets they need state, as text they hold timings."""
    if output.output_type == "stream" and output.name == "stderr":
        return not WARNING.search(output.text) and bool(re.search(r"\d+%\||\bit/s|s/it", output.text))
    return WIDGET in output.get("data", {})


def _here(text: str) -> str:
    """Shorten paths of installed packages and of the repository in a traceback."""
    roots = {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    roots |= set(site.getsitepackages()) | {str(Path(__file__).resolve().parents[2])}
    home = str(Path.home())
    for root in sorted(roots, key=len, reverse=True):
        text = text.replace(root + "/", "")
        if root.startswith(home):  # IPython writes the home folder as ~
            text = text.replace("~" + root.removeprefix(home) + "/", "")
    return re.sub(r"/\S*?/ipykernel_\d+/\d+\.py", "<cell>", text)


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])
