"""Which lessons exist, and where each of their files lies.

A lesson is known by its slug. Its number is its place on the map, ``notebooks/map.toml``, and stands only in the names
of built notebooks.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import mmcourse
from mmcourse.exercise.registry import bank, is_written

_NAME = re.compile(r"(\d\d)_([a-z0-9_]+)$")
_DEEPER = "_deeper"
BANK_NUMBER = "90"  # of every lesson in an instructor's bank; the map does not come so far
BUILT = ".built"  # in a bank: its notebooks
SOURCES = ("lesson.py", "exercises.py")  # a folder of notebooks/src with one of these is a lesson


@dataclass(frozen=True)
class Entry:
    """One line of the map: a lesson that exists, or that is still to be written."""

    number: str
    slug: str
    part: str
    teaches: str


@dataclass(frozen=True)
class Lesson:
    """One lesson: its number, slug and title, and the folder of all notebooks."""

    number: str
    slug: str
    title: str
    folder: Path

    @property
    def name(self) -> str:
        """File name of the built notebook without its ending, such as ``00_start_here``."""
        return f"{self.number}_{self.slug}"

    @property
    def home(self) -> Path:
        """The folder that holds everything written for this lesson."""
        return self.folder / "src" / self.slug

    @property
    def source(self) -> Path:
        """The py:percent text of the lesson."""
        return self.home / "lesson.py"

    @property
    def deeper_source(self) -> Path:
        """The py:percent text of the second notebook: traps, proofs, costs. Few lessons have one."""
        return self.home / "deeper.py"

    @property
    def exercise_source(self) -> Path:
        """The exercises, and the blanks of the lesson."""
        return self.home / "exercises.py"

    @property
    def has_exercises(self) -> bool:
        """Whether there are exercises in it; some lessons have blanks only."""
        return is_written(self.exercise_source)

    @property
    def notebook(self) -> Path:
        """The built lesson."""
        return self.folder / f"{self.name}.ipynb"

    @property
    def deeper(self) -> Path:
        """The built second notebook."""
        return self.folder / f"{self.name}{_DEEPER}.ipynb"

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
        deeper = [self.deeper] if self.deeper_source.is_file() else []
        return lesson + deeper + ([self.exercise, self.solution] if self.has_exercises else [])


@dataclass(frozen=True)
class BankLesson(Lesson):
    """Exercises of an instructor's own: `folder` is the bank, SLUG/exercises.py lies in it, nothing in the course."""

    @property
    def home(self) -> Path:
        return self.folder / self.slug

    @property
    def notebook(self) -> Path:
        return self.folder / BUILT / f"{self.name}.ipynb"

    @property
    def exercise(self) -> Path:
        return self.folder / BUILT / "exercises" / f"{self.name}.ipynb"

    @property
    def solution(self) -> Path:
        return self.folder / BUILT / "solutions" / f"{self.name}.ipynb"


def bank_lessons() -> list[Lesson]:
    """The lessons of the bank that this process uses, in order of slug; none without one."""
    folder = bank()
    slugs = sorted(p.parent.name for p in folder.glob("*/exercises.py") if is_written(p)) if folder else []
    return [BankLesson(BANK_NUMBER, slug, slug.replace("_", " ").capitalize(), folder) for slug in slugs if folder]


def notebooks_dir(root: Path | str | None = None) -> Path:
    """Folder of the notebooks: the repository's, or the one shipped inside an installed wheel."""
    if root is not None:
        return Path(root) / "notebooks"
    package = Path(mmcourse.__file__).resolve().parent
    repository = package.parent / "notebooks"
    return repository if repository.is_dir() else package / "_notebooks"


def course_map(root: Path | str | None = None) -> list[Entry]:
    """Every lesson of the map in order, whether it is written yet or not; numbers count from 00."""
    path = notebooks_dir(root) / "map.toml"
    if not path.is_file():
        return []
    parts = tomllib.loads(path.read_text(encoding="utf-8"))["part"]
    lines = [(line["slug"], part["title"], line["teaches"]) for part in parts for line in part["lessons"]]
    return [Entry(f"{n:02d}", *line) for n, line in enumerate(lines)]


def lessons(root: Path | str | None = None) -> list[Lesson]:
    """All lessons that exist, in order: from their sources, or from built notebooks where no source is shipped.

    Raises
    ------
    ValueError
        For a source whose slug is not on the map.
    """
    folder = notebooks_dir(root)
    places = {entry.slug: entry.number for entry in course_map(root)}
    built = [match for path in folder.glob("*.ipynb") if (match := _NAME.match(path.stem.removesuffix(_DEEPER)))]
    sources = {path.parent.name for name in SOURCES for path in folder.glob(f"src/*/{name}")}
    if unknown := sorted(sources - set(places)):
        raise ValueError(f"notebooks/src/{unknown[0]}: not on the map; add a line for it to {folder / 'map.toml'}")
    found = {slug: places[slug] for slug in sources}
    for match in built:
        found.setdefault(match[2], places.get(match[2], match[1]))
    course = [_lesson(folder, number, slug) for slug, number in sorted(found.items(), key=lambda item: item[1])]
    return course + (bank_lessons() if root is None else [])


def lesson_numbers(root: Path | str | None = None) -> dict[str, str]:
    """Slug → number of every lesson that exists."""
    return {lesson.slug: lesson.number for lesson in lessons(root)}


def select(wanted: Iterable[str | int] | None = None, root: Path | str | None = None) -> list[Lesson]:
    """The lessons asked for by slug, number or name; all of them for ``None`` or ``"all"``.

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
            listed = ", ".join(x.slug for x in known) or f"none: {notebooks_dir(root)} holds no lesson"
            raise ValueError(f"there is no lesson {str(item)!r}; lessons that exist: {listed}")
        found += [x for x in match if x not in found]
    return found


def _lesson(folder: Path, number: str, slug: str) -> Lesson:
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
    return heading.group(1).strip() if heading else ""
