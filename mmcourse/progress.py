"""What a learner has done: every check's verdict is noted in the learner's folder, and read back as progress.

A learner's folder holds a folder `.mmcourse`: `course.json` lists the lessons and what was handed out (written by
`mmcourse.workspace`), `results.jsonl` has one line for each check that ran. The page `START.md` is made of both.
A notebook that lies in no such folder notes nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mmcourse.io import atomic_write, keep_dated_copy

STATE = ".mmcourse"
COURSE = "course.json"
RESULTS = "results.jsonl"
START = "START.md"
_SEAL = "<!-- made by mmcourse "  # the last line of START.md, with a hash: a page that somebody wrote into is kept

_told_about_failure = False


class Verdict(Protocol):
    """What `record` needs to know of a check's result."""

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def points(self) -> int: ...
    @property
    def max_points(self) -> int: ...


@dataclass(frozen=True)
class Task:
    """One exercise, or one blank inside a lesson; `notebook` is its path in the learner's folder."""

    id: str
    title: str
    points: int
    notebook: str
    is_blank: bool = False


@dataclass(frozen=True)
class LessonProgress:
    """One lesson with its tasks, and what became of them."""

    number: str
    slug: str
    title: str
    part: str
    teaches: str
    notebooks: dict[str, str]  # "lesson", "deeper", "exercises" → path in the learner's folder
    tasks: list[Task]
    passed: frozenset[str]
    tried: frozenset[str]

    @property
    def heading(self) -> str:
        return f"{self.number} · {self.title}"

    @property
    def points(self) -> int:
        return sum(task.points for task in self.tasks if task.id in self.passed)

    @property
    def max_points(self) -> int:
        return sum(task.points for task in self.tasks)

    @property
    def is_done(self) -> bool:
        return all(task.id in self.passed for task in self.tasks)

    def count(self, is_blank: bool) -> tuple[int, int]:
        """(passed, all) of the blanks or of the exercises."""
        chosen = [task for task in self.tasks if task.is_blank == is_blank]
        return sum(task.id in self.passed for task in chosen), len(chosen)


@dataclass(frozen=True)
class Step:
    """What to do next: a sentence in plain words, and the notebook to open (a path in the learner's folder)."""

    text: str
    notebook: str = ""


@dataclass(frozen=True)
class Progress:
    """All lessons in order, and the next step. `coming` lists lessons on the map that are not written yet."""

    lessons: list[LessonProgress]
    next: Step
    coming: list[dict[str, str]] = field(default_factory=list)

    def total(self, is_blank: bool) -> tuple[int, int]:
        """(passed, all) of the blanks or of the exercises, over all lessons."""
        counts = [lesson.count(is_blank) for lesson in self.lessons]
        return sum(passed for passed, _ in counts), sum(number for _, number in counts)

    @property
    def points(self) -> tuple[int, int]:
        """(reached, all)."""
        return sum(lesson.points for lesson in self.lessons), sum(lesson.max_points for lesson in self.lessons)


# ---------------------------------------------------------------- noting
def record(result: Verdict) -> None:
    """Note a check's verdict in the learner's folder, if the notebook lies in one, and renew the start page.

    A full or read-only disk never fails a check: that is said once in each kernel, and the verdict stays valid.
    """
    if result.status == "unknown exercise":
        return
    try:
        folder = find_folder()
        if folder is None:
            return
        before = list(read_results(folder).items())
        _append(folder, result)
        if list(read_results(folder).items()) != before:
            write_start_page(folder)
    except Exception as error:  # whatever is wrong with the folder, the check itself has done its work
        _tell_once(error)


def find_folder(start: Path | None = None) -> Path | None:
    """The learner's folder around `start`; by default around the running notebook, else around the current folder."""
    places = [start] if start else _current_places()
    for place in places:
        for folder in (place, *place.parents):
            if (folder / STATE / COURSE).is_file():
                return folder
    return None


def _current_places() -> list[Path]:
    """Where the running notebook lies, also after its code changed the current folder; then the current folder."""
    notebook = os.environ.get("JPY_SESSION_NAME", "")  # Jupyter sets it to the notebook's full path
    places = [Path(notebook).parent] if os.path.isabs(notebook) else []
    return [*places, Path.cwd()]


def _append(folder: Path, result: Verdict) -> None:
    """One line, written at once. It begins with a line break too: half a line of a full disk then spoils no other."""
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "id": result.id,
        "status": result.status,
        "points": result.points,
        "max_points": result.max_points,
    }
    data = ("\n" + json.dumps(line) + "\n").encode()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    # no link is followed, and a pipe in the file's place does not block
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(folder / STATE / RESULTS, flags, 0o600)
    try:
        if os.write(handle, data) != len(data):
            raise OSError("the disk is full")
    finally:
        os.close(handle)


def _tell_once(error: Exception) -> None:
    global _told_about_failure
    if _told_about_failure:
        return
    _told_about_failure = True
    reason = str(error)
    if isinstance(error, OSError) and error.strerror:
        reason = f"{error.filename or STATE}: {error.strerror}"
    print(f"This verdict is valid, but `mmcourse progress` could not note it ({reason}).")


# ---------------------------------------------------------------- reading
def read_results(folder: Path) -> dict[str, str]:
    """Best status of each task that was ever checked ("passed" stays), in order of the latest check.

    Lines that are not whole, as a full disk leaves them, are passed over.
    """
    best: dict[str, str] = {}
    for line in _lines(folder / STATE / RESULTS):
        task, status = line["id"], line["status"]
        earlier = best.pop(task, None)
        best[task] = "passed" if "passed" in (status, earlier) else status
    return best


def _lines(path: Path) -> Iterator[dict[str, str]]:
    if not path.is_file():  # not there yet, or a pipe, which would block
        return
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("id"), str) and isinstance(record.get("status"), str):
            yield record


def read_course(folder: Path) -> dict[str, Any]:
    """What `course.json` says.

    Raises
    ------
    ValueError
        It is damaged; the message says how to mend it.
    OSError
        It cannot be read.
    """
    path = folder / STATE / COURSE
    try:
        course = json.loads(path.read_text(encoding="utf-8"))
        _lessons(course, {})
        return course
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path} is damaged; `mmcourse lab` writes it anew and leaves your notebooks alone") from None


def read_progress(folder: Path) -> Progress:
    """Progress of the learner whose folder this is; errors as in `read_course`."""
    course = read_course(folder)
    results = read_results(folder)
    lessons = _lessons(course, results)
    return Progress(lessons, _next_step(lessons, results), course.get("coming", []))


def _lessons(course: Mapping[str, Any], results: Mapping[str, str]) -> list[LessonProgress]:
    passed = frozenset(task for task, status in results.items() if status == "passed")
    tried = frozenset(task for task, status in results.items() if status != "not attempted yet")
    return [
        LessonProgress(
            number=lesson["number"],
            slug=lesson["slug"],
            title=lesson["title"],
            part=lesson["part"],
            teaches=lesson["teaches"],
            notebooks=dict(lesson["notebooks"]),
            tasks=[Task(**task) for task in lesson["tasks"]],
            passed=passed,
            tried=tried,
        )
        for lesson in course["lessons"]
    ]


def _next_step(lessons: list[LessonProgress], results: Mapping[str, str]) -> Step:
    """The lesson that was worked on last, then those after it, then those before it."""
    latest = [task for task, status in results.items() if status != "not attempted yet"]
    if not latest:
        if not lessons:
            return Step("There are no lessons here yet.")
        return Step(f"Begin with {lessons[0].heading}", lessons[0].notebooks.get("lesson", ""))
    last = latest[-1]
    challenged = last.removesuffix(".challenge") if last.endswith(".challenge") else ""  # is none of the lesson's tasks
    here = next((i for i, x in enumerate(lessons) if x.slug == challenged or any(t.id == last for t in x.tasks)), 0)
    for lesson in [*lessons[here:], *lessons[:here]]:
        if lesson.is_done:
            continue
        if not any(task.id in lesson.tried for task in lesson.tasks):
            return Step(f"Open {lesson.heading}", lesson.notebooks.get("lesson", ""))
        task = next(task for task in lesson.tasks if task.id not in lesson.passed)
        kind = "Fill in the blank" if task.is_blank else "Do exercise"
        worth = f" ({_number(task.points, 'point')})" if task.points else ""
        return Step(f"{kind} {task.id} · {task.title}{worth}", task.notebook)
    return Step("You have done everything that there is. Well done!")


def _number(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


# ---------------------------------------------------------------- the start page
def write_start_page(folder: Path) -> None:
    """Write START.md anew, atomically. A page into which somebody wrote is kept under a name with the date."""
    page = folder / START
    body = start_page(read_progress(folder))
    text = f"{body}\n{_SEAL}{hashlib.sha256(body.encode()).hexdigest()} -->\n"
    if page.is_file():
        old = page.read_bytes().decode("utf-8", "replace")
        if old == text:
            return
        written, _, seal = old.rpartition(f"\n{_SEAL}")
        if seal != f"{hashlib.sha256(written.encode()).hexdigest()} -->\n":
            keep_dated_copy(page)
    atomic_write(page, text)


def start_page(progress: Progress) -> str:
    """The page that opens first, in Markdown: the next step, how far one is, and the map."""
    exercises, blanks, points = progress.total(is_blank=False), progress.total(is_blank=True), progress.points
    so_far = [f"{points[0]} of {_number(points[1], 'point')}", f"{exercises[0]} of {_number(exercises[1], 'exercise')}"]
    if blanks[1]:
        so_far.append(f"{blanks[0]} of {_number(blanks[1], 'blank')}")
    step = progress.next
    lines = [
        "# Your course",
        "",
        f"**Next step:** {_link(step.text, step.notebook)}",
        "",
        f"**So far:** {' · '.join(so_far)}",
        "",
        "## The map",
        "",
    ]
    for part in dict.fromkeys([x.part for x in progress.lessons] + [x["part"] for x in progress.coming]):
        lines += _part(part, progress)
    return "\n".join([*lines, *_HELP, "", _where_the_command_is(), "", _LAST])


def _part(part: str, progress: Progress) -> list[str]:
    """Heading, table of the lessons that exist, and the names of those to come."""
    lines = [f"### {part}", ""] if part else []
    lessons = [lesson for lesson in progress.lessons if lesson.part == part]
    if lessons:
        lines += ["| | Lesson | What it teaches | Exercises | Points |", "|:-:|:--|:--|:--|:--|"]
        lines += [_row(lesson) for lesson in lessons]
        lines.append("")
    coming = [lesson["slug"] for lesson in progress.coming if lesson["part"] == part]
    if coming:
        lines += [f"Not written yet: {', '.join(coming)}", ""]
    return lines


def _row(lesson: LessonProgress) -> str:
    passed, number = lesson.count(is_blank=False)
    filled, blanks = lesson.count(is_blank=True)
    has_begun = any(task.id in lesson.tried for task in lesson.tasks)
    mark = "✓" if lesson.tasks and lesson.is_done else "◐" if has_begun else "○"
    name = _link(lesson.heading, lesson.notebooks.get("lesson", ""))
    if "deeper" in lesson.notebooks:
        name += f" · {_link('deeper', lesson.notebooks['deeper'])}"
    exercises = _link(f"{passed} of {number}", lesson.notebooks.get("exercises", "")) if number else ""
    if blanks:
        exercises += f" · {filled} of {_number(blanks, 'blank')}"
    points = f"{lesson.points} of {lesson.max_points}" if lesson.max_points else ""
    return f"| {mark} | {name} | {_cell(lesson.teaches)} | {exercises} | {points} |"


def _link(text: str, path: str) -> str:
    return f"[{_cell(text)}]({path})" if path else _cell(text)


def _cell(text: str) -> str:
    """Text that keeps its meaning inside a Markdown link and a table."""
    for character in "\\|[]<>*_`":
        text = text.replace(character, "\\" + character)
    return text


_HELP = [
    "## How this folder works",
    "",
    "- Open a lesson with a click and run it from the top with **Run ▸ Run All Cells**. "
    "The panel on the left lists its sections.",
    "- In the exercises, replace each blank, run its cell, then the `check` cell below it. What you pass is noted here "
    "and stays noted. To see the newest state of this page, close it and open it again.",
    "- Your notebooks are yours: an update brings new lessons and never writes over one that you edited.",
    "",
    "| Command | |",
    "|:--|:--|",
    "| `mmcourse lab` | opens this folder, with new and improved lessons |",
    "| `mmcourse lab --fresh start_here` | brings that lesson back as new; yours is kept beside it, with a date |",
    "| `mmcourse lab --solution start_here` | puts the solved exercises of that lesson into this folder |",
    "| `mmcourse progress` | shows points, exercises, blanks, and what comes next |",
    "| `mmcourse doctor` | says what is wrong if something does not run |",
]
_LAST = "This page is written anew as you go on; keep notes of your own in another file."


def _where_the_command_is() -> str:
    """How to write these commands on this machine."""
    command = Path(sys.executable).with_name("mmcourse")
    text = "`mmcourse progress` and `mmcourse doctor` also run in a notebook's cell, with `!` before them."
    if command.is_file():
        text += f" In a terminal that does not know `mmcourse`, write `{command}` instead."
    return text
