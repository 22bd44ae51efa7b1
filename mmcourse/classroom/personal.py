"""Delete what the course holds of students after a term: hand-ins, notebooks, pages, records, tables that name them.

Only folders that this instructor's course made are touched, and in them only what it wrote or graded; links are not
followed. What stays is listed, searched for the students' names, and reported where it still holds one.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mmcourse.classroom.grade import RETURNED, open_key
from mmcourse.classroom.release import EVERYONE, Release, is_own_release, read_release
from mmcourse.classroom.seal import MARK, instructor_key, read_sealed, sealed, write_sealed
from mmcourse.classroom.students import identify
from mmcourse.classroom.submission import collect
from mmcourse.io import PART, atomic_write

ALL = "all"
STATISTICS = "statistics.csv"
LEAST = 5  # students: about fewer, a statistic could tell who they are
NAMED: tuple[str, ...] = ("summary.html", "summary.png", "leaderboard.csv", "leaderboard.html")
NAMED += ("gradebook_moodle.csv", "gradebook_canvas.csv")
TABLES = ("grades.csv", "late.csv")  # one line for each student, first column


@dataclass
class Deletion:
    """What would be deleted and rewritten; `run` does it."""

    who: str
    students: list[str]  # whose data it is
    gone: list[Path] = field(default_factory=list)
    rewritten: dict[Path, str] = field(default_factory=dict)  # tables and records without the student's lines
    kept: list[Path] = field(default_factory=list)  # in these folders, and not the course's
    searched: list[Path] = field(default_factory=list)  # folders that are looked through afterwards
    statistics: str = ""
    results: Path | None = None
    release: tuple[Path, Release] | None = None
    returned: tuple[Path, str, dict] | None = None  # points of the others

    def lines(self) -> Iterator[str]:
        """What it does, one line each."""
        yield from (f"delete   {path}{os.sep * path.is_dir()}" for path in self.gone)
        yield from (f"rewrite  {path}" for path in self.rewritten)
        if self.release:
            yield f"rewrite  {self.release[0]}"
        if self.returned:
            yield f"rewrite  {self.returned[0]}"
        if self.statistics and self.results:
            yield f"keep     {self.results / STATISTICS} (numbers without names)"

    def run(self) -> list[Path]:
        """Do it; returns files that still hold a student's name.

        Raises
        ------
        OSError
            Something cannot be deleted; run it again when the reason is gone.
        """
        if self.statistics and self.results:
            atomic_write(self.results / STATISTICS, self.statistics, private=True)
        for path, text in self.rewritten.items():
            atomic_write(path, text, private=True)
        if self.returned:
            place, key, told = self.returned
            write_sealed(place, key, RETURNED, told)
        for path in self.gone:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if self.release:
            path, left = self.release
            text = json.dumps(sealed(instructor_key(), "release", left.described()), indent=1)
            atomic_write(path, text + "\n", private=True)
        return still_named(self.searched, self.students)


def deletion(
    who: str, handed_in: Path, out: Path, release: Path | None = None, back: Path | None = None,
    secret: Path | None = None,
) -> Deletion:  # fmt: skip
    """What belongs to one student, or to all, in the folders of one class.

    Parameters
    ----------
    who
        A student's name as in grades.csv, or "all".
    handed_in, out, release, back, secret
        As `mmcourse grade` was given them.

    Raises
    ------
    ValueError
        A folder was not made by this instructor's course, or nothing is known of such a student.
    """
    if not out.is_dir():
        raise FileNotFoundError(f"--out {out}: no such folder; name the results that `mmcourse grade` wrote")
    plan = read_release(release) if release else None
    if release and not is_own_release(release):
        raise ValueError(f"{release}: was not made by this instructor; delete it where it was made")
    key, owner = open_key(handed_in, plan, secret)
    mark = read_sealed(out / MARK, key, "results")
    if mark is None or mark.get("of") != owner:
        raise ValueError(f"--out {out}: holds no results of {owner}; nothing in it is touched")
    boxes = dict(_boxes(handed_in, out, plan))
    known = sorted({*_first_column(out / "grades.csv"), *boxes.values(), *_roster(plan)} - {""})
    if who != ALL and who not in known:
        raise ValueError(
            f"--delete-personal-data {who}: no such student; known: {', '.join(known) or 'nobody'}, or all"
        )
    made = Deletion(who, known if who == ALL else [who], results=out, searched=[out, *filter(None, [release, back])])
    made.gone += [handed_in / name for name, student in boxes.items() if who in (ALL, student)]
    _in_results(made, out, key)
    if release and plan:
        made.gone += [p for s in made.students if (p := release / "students" / s).is_dir() and not p.is_symlink()]
        names = set(made.students) & set(plan.students)
        if names:
            made.release = (release / "release.json", plan.without(names))
    if back and back.is_dir():
        pages = [back / student / "feedback.html" for student in made.students]
        made.gone += [page for page in pages if page.is_file() and not page.parent.is_symlink()]
    made.gone = list(dict.fromkeys(p for p in made.gone if not any(q in p.parents for q in made.gone)))
    return made


def _roster(plan: Release | None) -> tuple[str, ...]:
    return plan.students if plan and plan.students != EVERYONE else ()


def _boxes(handed_in: Path, out: Path, plan: Release | None) -> Iterator[tuple[str, str]]:
    """(folder, student) of what was handed in, as grading counts it; no link is one."""
    whose = partial(identify, students=plan.students, knows=plan.handed_out) if plan and _roster(plan) else None
    found: dict[str, str] = {}
    try:
        for one in collect(handed_in, plan.lessons if plan else [], out, whose):
            parts = one.path.relative_to(handed_in).parts
            if parts:
                found.setdefault(parts[0], one.student)
    except FileNotFoundError:  # nothing was handed in
        return
    for name in sorted(os.listdir(handed_in)):
        path = handed_in / name
        if path.is_dir() and not path.is_symlink() and path.resolve() != out.resolve():
            yield name, found.get(name, name)


def _in_results(made: Deletion, out: Path, key: str) -> None:
    """The results: everything that names a student goes, for one student the others' lines stay."""
    everyone = made.who == ALL
    journal, pages = out / "journal", out / "feedback"
    made.gone += [out / name for name in NAMED if (out / name).is_file()]
    made.gone += [path for path in sorted(out.rglob(f".*{PART}")) if path.is_file()]
    if everyone:
        made.gone += [out / name for name in TABLES if (out / name).is_file()]
        made.gone += [folder for folder in (journal, pages) if folder.is_dir() and not folder.is_symlink()]
        made.statistics = statistics(out / "grades.csv")
        ours = {*NAMED, *TABLES, MARK, STATISTICS, journal.name, pages.name}
        made.kept = [path for path in sorted(out.iterdir()) if path.name not in ours]
        return
    made.gone += [p for p in sorted(journal.glob(f"{made.who}__*.json")) if p.name.split("__")[0] == made.who]
    made.gone += [page for page in [pages / f"{made.who}.html"] if page.is_file()]
    for name in TABLES:
        if made.who in _first_column(out / name):
            made.rewritten[out / name] = _without_lines(out / name, made.who)
    returned = read_sealed(journal / RETURNED, key, RETURNED)
    if returned and made.who in returned.get("points", {}):
        left = {student: told for student, told in returned["points"].items() if student != made.who}
        made.returned = (journal / RETURNED, key, {"points": left})


def _lines(path: Path) -> list[list[str]]:
    if not path.is_file():
        return []
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def _first_column(path: Path) -> list[str]:
    return list(dict.fromkeys(line[0] for line in _lines(path)[1:] if line))


def _without_lines(path: Path, student: str) -> str:
    heading, *lines = _lines(path)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([heading, *(line for line in lines if line[:1] != [student])])
    return text.getvalue()


def statistics(grades: Path) -> str:
    """Exercise by exercise how many there were, which share of points they earned, how many had all of them.

    Numbers that are about fewer than five students are left out, so that nobody can be told from them.
    """
    heading, *lines = _lines(grades) or [[]]
    rows = [dict(zip(heading, line, strict=False)) for line in lines]
    text = io.StringIO()
    table: list[Sequence[object]] = [("exercise", "students", "percent_of_points", "all_points")]
    for exercise in dict.fromkeys(row["exercise"] for row in rows):
        mine = [row for row in rows if row["exercise"] == exercise]
        if len(mine) < LEAST:
            continue
        share = sum(float(row["points"]) for row in mine) / max(sum(float(row["max"]) for row in mine), 1e-9)
        passed = sum(row["status"] == "passed" for row in mine)
        told = passed if LEAST <= passed <= len(mine) - LEAST else "-"
        table.append((exercise, len(mine), round(100 * share), told))
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue() if len(table) > 1 else ""


def still_named(folders: Iterable[Path], students: Sequence[str]) -> list[Path]:
    """Files in these folders whose name or content still has a student's name, as a word."""
    word = re.compile(rf"(?<![\w.@-])({'|'.join(map(re.escape, students))})(?![\w@-])") if students else None
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")) if word else ():
            if path.is_symlink() or not path.is_file():
                continue
            text = path.read_bytes().decode("utf-8", "replace") if path.stat().st_size < 64 << 20 else ""
            if word and (word.search(path.relative_to(folder).as_posix()) or word.search(text)):
                found.append(path)
    return found
