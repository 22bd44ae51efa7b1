"""Plans for a term: which lessons, readings, exercises and assessments belong to which week, with counted hours."""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mmcourse.authoring.catalogue import Lesson, course_map, lessons
from mmcourse.exercise.registry import Heading, headings

PLANS = Path(__file__).with_name("plans.toml")
COLUMNS = ("week", "lessons", "reading", "exercises", "assessment", "hours")
NOT_YET = "not here yet"
_TIME = re.compile(r"\*\*Time to read:\*\* (\d+) minutes")


@dataclass(frozen=True)
class PlannedLesson:
    """One lesson in a week; `exercises` are its numbers, None for all of them; `reading` is a source that it cites."""

    slug: str
    exercises: tuple[int, ...] | None = None
    reading: str = ""

    @property
    def lesson(self) -> Lesson | None:
        """The lesson, or None while it is still to be written."""
        return next((x for x in lessons() if x.slug == self.slug), None)

    @property
    def minutes(self) -> int:
        """What its title card says that reading takes; 0 while it is not here."""
        return reading_minutes(self.slug)

    def chosen(self) -> list[Heading]:
        """The planned exercises that exist."""
        found = _headings(self.slug)
        return [x for x in found if self.exercises is None or int(x.id.split(".")[1]) in self.exercises]


@dataclass(frozen=True)
class Week:
    """What one week asks for."""

    number: int
    lessons: tuple[PlannedLesson, ...]
    assessment: str

    @property
    def minutes(self) -> int:
        """Reading and exercises of the lessons that are here."""
        return sum(x.minutes + sum(exercise.minutes for exercise in x.chosen()) for x in self.lessons)

    def row(self) -> tuple[str, ...]:
        """The week as text, in the order of COLUMNS."""
        places = {entry.slug: entry.number for entry in course_map()}
        named = [f"{places[x.slug]} {x.slug}" + ("" if x.lesson else f" ({NOT_YET})") for x in self.lessons]
        reading = [f"{x.slug}: {x.reading}" for x in self.lessons if x.reading]
        exercises = [_ids(x) for x in self.lessons]
        hours = f"{self.minutes / 60:.1f}" + ("+" if any(x.lesson is None for x in self.lessons) else "")
        told = ("; ".join(named), "; ".join(reading), "; ".join(filter(None, exercises)), self.assessment, hours)
        return (str(self.number), *told)


@dataclass(frozen=True)
class Plan:
    """A term: its weeks, and the lessons of the map that it leaves out on purpose."""

    about: str
    weeks: tuple[Week, ...]
    left_out: tuple[str, ...] = field(default=())

    @property
    def slugs(self) -> list[str]:
        """Every lesson of the plan, in order."""
        return [x.slug for week in self.weeks for x in week.lessons]


@cache
def _headings(slug: str) -> tuple[Heading, ...]:
    return tuple(headings(slug))


def _ids(planned: PlannedLesson) -> str:
    """The exercises in few words: `cnn.1, 2, 4`; all of a lesson that is not here yet."""
    numbers = [x.id.split(".")[1] for x in planned.chosen()]
    if numbers:
        return f"{planned.slug}.{', '.join(numbers)}"
    return "" if planned.lesson else f"{planned.slug}: all"


@cache
def reading_minutes(slug: str) -> int:
    """Minutes after `Time to read` on the title card of a lesson; 0 where there is none."""
    lesson = next((x for x in lessons() if x.slug == slug), None)
    text = ""
    if lesson and lesson.source.is_file():
        text = lesson.source.read_text(encoding="utf-8")
    elif lesson and lesson.notebook.is_file():
        text = "".join(json.loads(lesson.notebook.read_text(encoding="utf-8"))["cells"][0]["source"])
    found = _TIME.search(text)
    return int(found[1]) if found else 0


def plans(path: Path = PLANS) -> dict[int, Plan]:
    """Every plan by its number of weeks.

    Raises
    ------
    ValueError
        The file is damaged, or a plan's weeks are not as many as it says; the message says where.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))["plan"]
        return {plan["weeks"]: _plan(plan) for plan in told}
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged: {error}") from None


def _plan(told: dict) -> Plan:
    weeks = tuple(
        Week(number, tuple(_planned(x) for x in week["lessons"]), week["assessment"])
        for number, week in enumerate(told["week"], 1)
    )
    if len(weeks) != told["weeks"]:
        raise ValueError(f"the plan of {told['weeks']} weeks has {len(weeks)}")
    return Plan(told["about"], weeks, tuple(told["left_out"]))


def _planned(told: dict) -> PlannedLesson:
    numbers = told.get("exercises")
    return PlannedLesson(told["slug"], None if numbers is None else tuple(numbers), told.get("reading", ""))


def problems(plan: Plan) -> Iterator[str]:
    """What in a plan does not exist: lessons of the map, exercises, readings that the lesson does not cite."""
    known = {entry.slug for entry in course_map()}
    for slug in [*plan.slugs, *plan.left_out]:
        if slug not in known:
            yield f"{slug}: no lesson of the map"
    for planned in (x for week in plan.weeks for x in week.lessons):
        if planned.lesson is None:
            continue
        numbers = {int(x.id.split(".")[1]) for x in _headings(planned.slug)}
        yield from (f"{planned.slug}.{n}: no such exercise" for n in planned.exercises or () if n not in numbers)
        if planned.reading and planned.reading not in sources(planned.slug):
            yield f"{planned.slug}: does not cite {planned.reading!r}"
    if missing := known - {*plan.slugs, *plan.left_out}:
        yield f"neither planned nor left out: {', '.join(sorted(missing))}"


def sources(slug: str) -> str:
    """The section `Sources` of a lesson, on one line; empty where its text is not here."""
    lesson = next((x for x in lessons() if x.slug == slug), None)
    if lesson is None or not lesson.source.is_file():
        return ""
    _, _, section = lesson.source.read_text(encoding="utf-8").rpartition("# ## Sources")
    return re.sub(r"\s*\n#?\s*", " ", section)


# ---------------------------------------------------------------- as text
def as_markdown(plan: Plan) -> str:
    """A page with a table of weeks."""
    total = sum(week.minutes for week in plan.weeks) / 60
    lines = [f"# A plan of {len(plan.weeks)} weeks", "", plan.about, ""]
    lines += [f"| {' | '.join(name.capitalize() for name in COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in week.row())} |" for week in plan.weeks]
    lines += [
        "",
        f"Hours are a learner's, {total:.0f} in all: the reading time on each lesson's card and the",
    ]
    lines += ["minutes of the exercises named here. Lectures, open challenges, projects and exams come on top."]
    if any(x.lesson is None for week in plan.weeks for x in week.lessons):
        lines += ["A `+` stands where a lesson is not here yet, so its hours are not counted."]
    if plan.left_out:
        lines += ["", f"Left out, for projects or a second course: {', '.join(plan.left_out)}."]
    return "\n".join(lines) + "\n"


def as_csv(plan: Plan) -> str:
    """The same table for a spreadsheet."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *(week.row() for week in plan.weeks)])
    return text.getvalue()
