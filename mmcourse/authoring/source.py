"""From one py:percent text to the cells of a lesson, a blank exercise and its solution."""

from __future__ import annotations

import ast
import hashlib
import re
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from mmcourse.runtime import DISTRIBUTION, NOT_PUBLISHED, published, wheel_url

from . import budget
from .fingerprint import text_sha
from .imports import needed_modules

MARKER = re.compile(r"^# %%(?!%)")
BEGIN, END, BLANK = "# BEGIN SOLUTION", "# END SOLUTION", "# BLANK:"
IN_CORE = {"IPython", "PIL", "matplotlib", "numpy", "scipy", "sklearn", "soundfile", "tqdm"}  # come with the course
TAGS = {"free", "once", "raises-exception", "hide-input", "setup", "target", "variant", "real"}
CHOICES = re.compile(r"[ \t]+# of: .+$", re.MULTILINE)  # what a variant cell can be; readers see one of them
CHECK = re.compile(r"^\s*(?:\w+\s*=\s*)?check\(\s*[\"']([a-z][a-z0-9_]*\.\d+)[\"']", re.MULTILINE)
BADGE = "[Open in Colab]"
LINK = re.compile(r"(?<=\]\()((?:\.\./)?(?:exercises/|solutions/)?)([a-z][a-z0-9_]*?)((?:_deeper)?\.ipynb)")
BLANK_CHECK = re.compile(r"^(?P<name>\w+)\s*=\s*check\(\s*[\"'](?P<id>[a-z]\w*\.blank\.\d+)[\"']", re.MULTILINE)
ANY_BLANK_CHECK = re.compile(r"check\(\s*[\"'][^\"']*\bblank\b")
MOST_BLANK_LINES = 8
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}
SETUP = """\
{install}from mmcourse.runtime import setup

profile = setup({needs})  # "laptop" or "gpu"\
"""
NOT_PUBLISHED_YET = """\
# Quietens logs and fixes threads; says so where the course is not installed.
from importlib.util import find_spec

if find_spec("mmcourse") is None:
    raise ModuleNotFoundError(
{message}
    )

"""
INSTALL = """\
# Where the course is not installed (Google Colab, Kaggle, ...), this installs it, and changes no package that is there.
from importlib.util import find_spec

if find_spec("mmcourse") is None:
    import re
    from importlib import metadata
    from pathlib import Path
    from tempfile import gettempdir

    kept = Path(gettempdir(), "mmcourse-kept.txt")
    here = {{d.name: d.version for d in metadata.distributions() if d.name}}
    version = re.compile(r"[0-9.]+((a|b|rc|[.]post|[.]dev)[0-9]+)*([+][a-z0-9.]+)?")
    kept.write_text("".join(f"{{n}}=={{v}}\\n" for n, v in here.items() if version.fullmatch(v)))
    missing = " ".join(package for module, package in {packages}.items() if find_spec(module) is None)
    %pip install --quiet --constraint {{kept}} "mmcourse @ {wheel}" {{missing}}

"""


class SourceError(ValueError):
    """A source that cannot become a notebook; the message names file and line."""


@dataclass(frozen=True)
class Source:
    """A read source: its path, text and cells, each with the line at which it starts."""

    path: Path
    text: str
    cells: list[NotebookNode]
    lines: list[int]

    @property
    def name(self) -> str:
        """What its cells' ids are made from: the lesson's slug and the file's own name."""
        return f"{self.path.parent.name}/{self.path.stem}"

    def built_name(self, numbers: dict[str, str]) -> str:
        """File name of the notebook made from it, such as ``13_fusion`` or ``13_fusion_deeper``."""
        lesson = self.path.parent.name
        return f"{numbers[lesson]}_{lesson}{'_deeper' * (self.path.stem == 'deeper')}"

    @property
    def sha(self) -> str:
        """SHA-256 of the text, kept in the built notebook."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def slug(self) -> str:
        """The lesson's slug, from the folder (``fusion/lesson.py``) or the file's name (``09_fusion.py``)."""
        if self.path.stem in ("lesson", "deeper", "exercises"):
            return self.path.parent.name
        return re.sub(r"^\d+_", "", self.path.stem)

    def where(self, cell: int, line: int = 1) -> str:
        """``file:line`` of a line of a cell; of exercises, which are no text of cells, the notebook's cell and line."""
        if self.path.name == "exercises.py":
            return f"{self.path}, cell {cell + 1} of its notebook, line {line}"
        return f"{self.path}:{self.lines[cell] + line}"


def read(path: Path) -> Source:
    """Read and check one source.

    Raises
    ------
    SourceError
        If it does not open with a markdown title card, a tag is unknown, or the cells cannot be told apart.
    """
    import jupytext  # slow to load, and a process that grades reads no source

    text = _text(path)
    try:
        cells = jupytext.reads(text, fmt="py:percent").cells
    except Exception as error:  # jupytext raises many kinds; the author needs the file
        raise SourceError(f"{path}: jupytext cannot read it as py:percent: {error}") from error
    lines = [n for n, line in enumerate(text.split("\n"), 1) if MARKER.match(line)]
    if len(lines) != len(cells):
        raise SourceError(f"{path}:1: every cell starts with `# %%`: {len(lines)} markers but {len(cells)} cells")
    source = Source(path, text, cells, lines)
    if not cells or cells[0].cell_type != "markdown" or not re.search(r"^# \S", cells[0].source, re.MULTILINE):
        raise SourceError(f"{path}:1: the first cell must be a markdown title card with a `# Title`")
    for index, cell in enumerate(cells):
        unknown = set(cell.metadata.get("tags", [])) - TAGS
        if unknown:
            raise SourceError(f"{source.where(index, 0)}: unknown tag {sorted(unknown)}; known: {sorted(TAGS)}")
        if ("real" in cell.metadata.get("tags", [])) != bool(cell.metadata.get("needs")):
            raise SourceError(
                f"{source.where(index, 0)}: the tag `real` goes with what the cell needs, "
                '`tags=["real"] needs=["kitti"]`: data in the folder of real data, or a package'
            )
        if cell.cell_type == "markdown" and re.search(r"(BEGIN|END) SOLUTION", cell.source):
            raise SourceError(f"{source.where(index)}: solution markers belong in code cells, not in markdown")
    return source


def _text(path: Path) -> str:
    """The py:percent text of a source; that of exercises is made from them."""
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    if path.name != "exercises.py":
        return text
    from mmcourse.exercise.notebook import notebook_text
    from mmcourse.exercise.registry import load

    lesson = path.with_name("lesson.py")
    title = re.search(r"^# # (.+)$", lesson.read_text(encoding="utf-8"), re.MULTILINE) if lesson.is_file() else None
    try:
        return notebook_text(load(path), title[1].strip() if title else path.parent.name)
    except Exception as error:  # an author's own code raises what it will
        raise SourceError(f"{path}: {type(error).__name__}: {error}") from error


def lesson_text(source: Source, slug: str, measured: dict, numbers: dict[str, str]) -> NotebookNode:
    """The lesson without outputs; what the reader fills in is blank, and its answer is folded below.

    ``numbers`` (slug → "13") complete its links to other lessons.
    """
    if "{{budget}}" not in source.cells[0].source:
        raise SourceError(f"{source.where(0)}: the title card needs a line `{{{{budget}}}}`; the build fills it in")
    answers = _lesson_blanks(source)
    code = [c.cell_type == "code" for c in source.cells]
    texts = [_blank(source, i, gap=True) if code[i] else c.source for i, c in enumerate(source.cells)]
    return _assemble(source, texts, "notebooks", slug, measured, numbers, answers)


def solved_cells(source: Source) -> list[tuple[str, list[str]]]:
    """The cells of a lesson that hold a blank or its check, filled in, with the blanks that each one checks."""
    found = []
    for index, cell in enumerate(source.cells):
        if cell.cell_type == "code":
            ids = [match["id"] for match in BLANK_CHECK.finditer(cell.source)]
            if ids or _regions(source, index):
                found.append((_solve(source, index), ids))
    return found


def exercise_text(source: Source, slug: str, measured: dict, numbers: dict[str, str], solved: bool) -> NotebookNode:
    """The exercise notebook without outputs: with solutions, or with blanks in their place."""
    _check_exercises(source)
    edit = _solve if solved else _blank
    texts = [edit(source, i) if c.cell_type == "code" else c.source for i, c in enumerate(source.cells)]
    folder = "solutions" if solved else "exercises"
    return _assemble(source, texts, f"notebooks/{folder}", slug, measured, numbers)


def _assemble(
    source: Source,
    texts: list[str],
    folder: str,
    slug: str,
    measured: dict,
    numbers: dict[str, str],
    answers: dict[int, str] | None = None,
) -> NotebookNode:
    """Title card with badge (once the course is published) and budget, setup cell, then the author's cells.

    ``answers`` holds text to put below a cell, by its index. Ids of cells are stable.
    """
    badge = _badge(slug, f"{folder}/{source.built_name(numbers)}.ipynb") if published(slug) else ""
    seen: Counter[str] = Counter()
    cells = []
    for index, (cell, text) in enumerate(zip(source.cells, texts, strict=True)):
        tags = list(cell.metadata.get("tags", []))
        if index == 0:
            text = badge + text.replace("{{budget}}", budget.line(measured))
        if "variant" in tags:
            text = CHOICES.sub("", text)
        if cell.cell_type == "markdown":
            text = numbered(text, numbers)
        needs = list(cell.metadata.get("needs", []))
        cells.append(_cell(cell.cell_type, text, tags, _id(source.name, cell, seen), needs))
        if index == 0:
            cells.append(_cell("code", setup_cell(slug, source), ["setup"], "setup"))
        if answers and index in answers:
            answer = nbformat.v4.new_markdown_cell(answers[index])
            cells.append(_cell("markdown", answer.source, [], _id(source.name, answer, seen)))
    metadata = METADATA | {"mmcourse": {**measured, "source_sha": source.sha, "text_sha": text_sha(cells)}}
    return nbformat.v4.new_notebook(cells=cells, metadata=nbformat.from_dict(metadata), nbformat_minor=5)


def _badge(slug: str, path: str) -> str:
    """The first line of a title card. A link, no picture: that would come from the network, and be broken offline."""
    return f"{BADGE}(https://colab.research.google.com/github/{slug}/blob/main/{path})\n\n"


def without_badge(text: str) -> str:
    """A title card for a notebook that is not the public one, which the badge would open."""
    return text.split("\n\n", 1)[1] if text.startswith(BADGE) else text


def numbered(text: str, numbers: dict[str, str]) -> str:
    """Links to lessons as built notebooks are named: ``](fusion.ipynb)`` becomes ``](13_fusion.ipynb)``."""

    def link(match: re.Match) -> str:
        folder, slug, ending = match.groups()
        return f"{folder}{numbers[slug]}_{slug}{ending}" if slug in numbers else match[0]

    return LINK.sub(link, text)


def setup_cell(slug: str, source: Source) -> str:
    """The first code cell of a notebook: it installs the course from its release, or says that there is none yet."""
    beyond = [m for m in needed_modules(c.source for c in source.cells if c.cell_type == "code") if m not in IN_CORE]
    guarded = {name for c in source.cells for name in c.metadata.get("needs", [])}  # a cell asks for it by itself
    beyond = [m for m in beyond if m not in guarded and not _is_own(m, source)]
    needs = f"needs={beyond}".replace("'", '"') if beyond else ""
    if not published(slug):
        lines = textwrap.wrap(NOT_PUBLISHED, 70, drop_whitespace=False)
        message = "\n".join(f'        "{line}"' for line in lines)
        return SETUP.format(install=NOT_PUBLISHED_YET.format(message=message), needs=needs)
    packages = str({module: DISTRIBUTION.get(module, module) for module in beyond}).replace("'", '"')
    return SETUP.format(install=INSTALL.format(packages=packages, wheel=wheel_url(slug)), needs=needs)


def _is_own(module: str, source: Source) -> bool:
    """Whether a module is a file of the course beside its data or lessons, not a package."""
    root = next((p.parent for p in source.path.parents if p.name == "notebooks"), source.path.parent)
    return any(
        any((root / folder).rglob(f"{module}.py")) for folder in ("data", "notebooks") if (root / folder).is_dir()
    )


def _id(name: str, cell: NotebookNode, seen: Counter[str]) -> str:
    """Name of a cell that survives insertions elsewhere, the same in blank and solution."""
    key = f"{name}\n{cell.cell_type}\n{cell.source}"
    seen[key] += 1
    return hashlib.sha256(f"{key}\n{seen[key]}".encode()).hexdigest()[:12]


def _cell(kind: str, text: str, tags: list[str], cell_id: str, needs: list[str] | None = None) -> NotebookNode:
    if "free" in tags:
        tags = [*tags, "nbval-ignore-output"]
    metadata: dict = {"tags": tags} if tags else {}
    if {"hide-input", "setup"} & set(tags):
        metadata["jupyter"] = {"source_hidden": True}  # what JupyterLab folds by
        metadata["cellView"] = "form"  # what Colab folds by
    if needs:
        metadata["needs"] = needs
    new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    return new(text, id=cell_id, metadata=metadata)


def _solve(source: Source, index: int) -> str:
    """A code cell without its markers and blanks."""
    _regions(source, index)
    lines = source.cells[index].source.split("\n")
    return "\n".join(x for x in lines if x.strip() not in (BEGIN, END) and not x.strip().startswith(BLANK))


def _blank(source: Source, index: int, gap: bool = False) -> str:
    """A code cell with each solution replaced by its blank; with ``gap`` that is ``...`` in the place of the value."""
    lines = source.cells[index].source.split("\n")
    for begin, end in reversed(_regions(source, index)):
        indent = lines[begin][: len(lines[begin]) - len(lines[begin].lstrip())]
        first = begin - 1 if begin and lines[begin - 1].strip().startswith(BLANK) else begin
        blanks = [x.strip().removeprefix(BLANK).strip() for x in lines[first:end] if x.strip().startswith(BLANK)]
        if not blanks and gap:
            blanks = [_gap(source, index, begin, lines[begin + 1 : end])]
        if not blanks and not indent:
            raise SourceError(
                f"{source.where(index, begin + 1)}: a solution outside a function needs its blank: "
                "write `# BLANK: answer = ...` inside the markers"
            )
        new = blanks or ['raise NotImplementedError("your turn")']
        lines[first : end + 1] = [indent + x for x in new]
    return "\n".join(lines)


def _gap(source: Source, index: int, begin: int, solution: list[str]) -> str:
    """``return ...`` or ``name = ...``: the last statement of a solution without its value."""
    try:
        last = ast.parse(textwrap.dedent("\n".join(solution))).body[-1]
    except (SyntaxError, IndexError):
        last = None
    if isinstance(last, ast.Return):
        return "return ..."
    if isinstance(last, ast.Assign) and len(last.targets) == 1:
        return f"{ast.unparse(last.targets[0])} = ..."
    raise SourceError(
        f"{source.where(index, begin + 1)}: a blank ends in `return …` or `name = …`, of which the reader sees "
        "`return ...` or `name = ...`. Write `# BLANK: name = ...` inside the markers to show something else"
    )


def _lesson_blanks(source: Source) -> dict[int, str]:
    """The folded answers by the cell that they stand below; every blank must be hinted at and checked."""
    answers: dict[int, str] = {}
    hints, number = 0, 0
    solutions: list[str] = []
    opened = 0  # the cell of the first solution that waits for its check
    for index, cell in enumerate(source.cells):
        if cell.cell_type == "markdown":
            hints += len(re.findall(r"<details>\s*<summary>\s*Hint", cell.source))
            continue
        lines = cell.source.split("\n")
        for begin, end in _regions(source, index):
            opened = opened if solutions else index
            written = [x for x in lines[begin + 1 : end] if not x.strip().startswith(BLANK)]
            if len(written) > MOST_BLANK_LINES:
                where = source.where(index, begin + 1)
                raise SourceError(f"{where}: a blank of {len(written)} lines is too long, at most {MOST_BLANK_LINES}")
            solutions.append(textwrap.dedent("\n".join(written)))
        checks = list(BLANK_CHECK.finditer(cell.source))
        if len(checks) != len(ANY_BLANK_CHECK.findall(cell.source)):
            raise SourceError(
                f"{source.where(index)}: a blank's check hands back what the lesson goes on with: write "
                '`name = check("SLUG.blank.k", name)` on a line of its own'
            )
        if len(checks) > 1:
            raise SourceError(f"{source.where(index)}: one blank's check in a cell, so that its answer can follow it")
        for match in checks:
            number += 1
            wanted = f"{source.slug}.blank.{number}"
            if match["id"] != wanted:
                raise SourceError(f"{source.where(index)}: this is blank {wanted!r}, not {match['id']!r}")
            if not solutions:
                raise SourceError(f"{source.where(index)}: {wanted} has no `{BEGIN}` before its check")
            if not hints:
                hint = "`<details><summary>Hint</summary>…</details>` in markdown"
                raise SourceError(f"{source.where(index)}: {wanted} has no folded hint before its check: {hint}")
            code = "\n\n".join(solutions)
            answers[index] = f"<details><summary>Answer</summary>\n\n```python\n{code}\n```\n\n</details>"
            hints, solutions = 0, []
    if solutions:
        raise SourceError(
            f"{source.where(opened)}: this blank has no check after it: write "
            f'`name = check("{source.slug}.blank.{number + 1}", name)`'
        )
    return answers


def _regions(source: Source, index: int) -> list[tuple[int, int]]:
    """(begin, end) line of every solution in a cell; unbalanced markers are an error."""
    regions, begin = [], None
    for n, line in enumerate(source.cells[index].source.split("\n")):
        word = line.strip()
        if word == BEGIN and begin is None:
            begin = n
        elif word == END and begin is not None:
            regions.append((begin, n))
            begin = None
        elif word in (BEGIN, END):
            raise SourceError(f"{source.where(index, n + 1)}: `{word}` without its partner")
        elif re.search(r"(BEGIN|END)[ _]SOLUTION", word, re.IGNORECASE):
            raise SourceError(f"{source.where(index, n + 1)}: write the marker alone on its line, `{BEGIN}` or `{END}`")
    if begin is not None:
        raise SourceError(f"{source.where(index, begin + 1)}: `{BEGIN}` without `{END}` in the same cell")
    return regions


def _check_exercises(source: Source) -> None:
    """Every check follows a solution of its own."""
    solutions = checks = 0
    for index, cell in enumerate(source.cells):
        if cell.cell_type == "markdown":
            continue
        solutions += len(_regions(source, index))
        for number in CHECK.findall(cell.source):
            if not solutions:
                raise SourceError(f"{source.where(index)}: exercise {number} has no `{BEGIN}` before its check")
            solutions = 0
            checks += 1
    if not checks:
        raise SourceError(f"{source.path}: a lesson with exercises needs at least one exercise")
