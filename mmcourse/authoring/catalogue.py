"""Which lessons exist, and where each of their files lies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import mmcourse

_NAME = re.compile(r"(\d\d)_([a-z0-9_]+)$")


@dataclass(frozen=True)
class Lesson:
    """One lesson: its number, slug and title, and the folder that holds all its files."""

    number: str
    slug: str
    title: str
    folder: Path

    @property
    def name(self) -> str:
        """File name without its ending, such as ``00_start_here``."""
        return f"{self.number}_{self.slug}"

    @property
    def source(self) -> Path:
        """The py:percent text of the lesson."""
        return self.folder / "src" / f"{self.name}.py"

    @property
    def exercise_source(self) -> Path:
        """The py:percent text of the exercises, with solution markers."""
        return self.folder / "src" / "exercises" / f"{self.name}.py"

    @property
    def notebook(self) -> Path:
        """The built lesson."""
        return self.folder / f"{self.name}.ipynb"

    @property
    def exercise(self) -> Path:
        """The built exercise notebook with blanks."""
        return self.folder / "exercises" / f"{self.name}.ipynb"

    @property
    def solution(self) -> Path:
        """The built exercise notebook with solutions."""
        return self.folder / "solutions" / f"{self.name}.ipynb"

    @property
    def built(self) -> list[Path]:
        """The notebooks that the sources of this lesson give."""
        lesson = [self.notebook] if self.source.is_file() else []
        return lesson + ([self.exercise, self.solution] if self.exercise_source.is_file() else [])


def notebooks_dir(root: Path | str | None = None) -> Path:
    """Folder of the notebooks: the repository's, or the one shipped inside an installed wheel."""
    if root is not None:
        return Path(root) / "notebooks"
    package = Path(mmcourse.__file__).resolve().parent
    repository = package.parent / "notebooks"
    return repository if repository.is_dir() else package / "_notebooks"


def lessons(root: Path | str | None = None) -> list[Lesson]:
    """All lessons, in order of number: from their sources, or from built notebooks where no source is shipped."""
    folder = notebooks_dir(root)
    names = {
        p.stem
        for pattern in ("src/*.py", "src/exercises/*.py", "*.ipynb")
        for p in folder.glob(pattern)
        if _NAME.match(p.stem)
    }
    return [_lesson(folder, name) for name in sorted(names)]


def select(wanted: Iterable[str | int] | None = None, root: Path | str | None = None) -> list[Lesson]:
    """The lessons asked for by number, slug or name; all of them for ``None`` or ``"all"``.

    Raises
    ------
    ValueError
        For an unknown lesson; the message lists those that exist.
    """
    known = lessons(root)
    wanted = [] if wanted is None else [wanted] if isinstance(wanted, (str, int)) else list(wanted)
    if not wanted or "all" in wanted:
        return known
    found = []
    for item in wanted:
        text = f"{int(item):02d}" if str(item).isdigit() else str(item)
        match = [x for x in known if text in (x.number, x.slug, x.name)]
        if not match:
            listed = ", ".join(x.name for x in known) or f"none: {notebooks_dir(root)} holds no lesson"
            raise ValueError(f"there is no lesson {str(item)!r}; lessons that exist: {listed}")
        found += [x for x in match if x not in found]
    return found


def _lesson(folder: Path, name: str) -> Lesson:
    number, slug = name.split("_", 1)
    lesson = Lesson(number, slug, "", folder)
    return Lesson(number, slug, _title(lesson) or slug.replace("_", " ").capitalize(), folder)


def _title(lesson: Lesson) -> str:
    """First heading of the source, else of the built notebook."""
    if lesson.source.is_file():
        heading = re.search(r'^(?:# |""")# +(.+)$', lesson.source.read_text(encoding="utf-8"), re.MULTILINE)
    elif lesson.notebook.is_file():
        try:
            cell = json.loads(lesson.notebook.read_text(encoding="utf-8"))["cells"][0]
            heading = re.search(r"^# +(.+)$", "".join(cell["source"]), re.MULTILINE)
        except (OSError, ValueError, LookupError, TypeError):  # damaged: `mmcourse doctor` tells
            return ""
    else:
        return ""
    title = heading.group(1).strip() if heading else ""
    return re.sub(rf"^(Lesson )?{lesson.number}\s*[·:.–-]?\s*", "", title)
