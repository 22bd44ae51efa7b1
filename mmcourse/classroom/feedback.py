"""What comes out of grading: grades.csv, a page for each student, and the instructor's summary with its figure.

Everything that a student wrote is shown as text: the templates escape it, and `visible` shows what would turn a line
around. Pages hold no script and may load nothing. A student's page names parts and advice, never an input, an expected
value or a solution. All of it is readable for its owner only, from the first byte.
"""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from mmcourse.classroom.challenges import arrays_digest
from mmcourse.classroom.grade import Graded, write_returned
from mmcourse.classroom.gradebook import Person, gradebook, items
from mmcourse.classroom.late import as_csv as late_csv
from mmcourse.classroom.leaderboard import FILE, PAGE, boards, own_pseudonym
from mmcourse.classroom.leaderboard import as_csv as leaderboard_csv
from mmcourse.classroom.release import EVERYONE
from mmcourse.classroom.similarity import similar_pairs
from mmcourse.classroom.submission import code_cells, is_reserved
from mmcourse.classroom.untrusted import Unreadable, opened_folder
from mmcourse.exercise import find_challenge
from mmcourse.io import atomic_write, private_folder
from mmcourse.terminal import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("student", "exercise", "points", "max", "seconds", "status")
LATE_COLUMNS = ("points_before", "days_late", "percent_off", "handed_in")  # where there is a deadline
SIGNS = {"passed": "✓", "partial": "◐", "wrong": "✗", "not attempted": "○", "stopped": "■", "not handed in": "–"}
TEMPLATES = Path(__file__).with_name("templates")


def write_reports(graded: Graded, out: Path) -> Path:
    """Write everything into `out`, each file atomically; returns the summary's path.

    Pages of students who are no longer in the class are removed: nobody is to get them by a later return.
    """
    table = counted(graded)
    atomic_write(out / "grades.csv", as_csv(table), private=True)
    if graded.late:
        atomic_write(out / "late.csv", late_csv(graded.late), private=True)
    else:
        (out / "late.csv").unlink(missing_ok=True)
    write_leaderboard(graded, out)
    pages = private_folder(out / "feedback")
    students = list(dict.fromkeys(row[0] for row in table))
    for student in students:
        atomic_write(pages / f"{student}.html", student_page(student, graded), private=True)
    for page in pages.glob("*.html"):
        if page.stem not in students:
            page.unlink()
    figure = picture(graded)
    atomic_write(out / "summary.png", figure, private=True)
    atomic_write(out / "summary.html", summary_page(graded, table, figure), private=True)
    return out / "summary.html"


def return_feedback(out: Path, folder: Path, graded: Graded | None = None) -> list[str]:
    """Each student's page as `folder`/<student>/feedback.html, where there is such a folder; returns who has it now.

    With `graded`, the points are remembered as returned: a later regrade lowers none of them by itself.
    """
    returned = []
    with opened_folder(folder.resolve()) as class_folder:
        for page in sorted((out / "feedback").glob("*.html")):
            try:
                with opened_folder(page.stem, class_folder) as box:
                    _return_page(page.read_bytes(), box)
                returned.append(page.stem)
            except (OSError, Unreadable):  # the folder may be the student's own, with anything in the page's way
                continue
    if graded:
        points: dict[str, dict[str, float]] = {}
        for student, exercise, earned, *_ in rows(graded):
            if student in returned:
                points.setdefault(student, {})[exercise] = earned
        write_returned(out, graded.key, points)
    return returned


def _return_page(page: bytes, box: int) -> None:
    """Into an open folder: for its owner only, or, where that is another user, into a folder closed for others."""
    state = os.fstat(box)
    own = not hasattr(os, "getuid") or state.st_uid == os.getuid()
    if not own and stat.S_IMODE(state.st_mode) & 0o007:
        raise Unreadable("others may enter this folder")
    atomic_write("feedback.html", page, private=own, dir_fd=box)


# ---------------------------------------------------------------- the table
def rows(graded: Graded) -> list[tuple[Any, ...]]:
    """One row for each student and exercise; who is on the roster and handed nothing in has rows too."""
    found = [
        (record["student"], x["id"], x["points"], x["max"], x["seconds"], x["status"])
        for record in graded.records
        for x in record["exercises"]
    ]
    here = {(student, exercise) for student, exercise, *_ in found}
    named = graded.release.students if graded.release.students != EVERYONE else ()
    handed = (one.student for one in graded.submissions if not is_reserved(one.student))
    students = dict.fromkeys([*named, *handed])
    unreadable = {one.student for one in graded.submissions if one.problem}
    for student in students:
        for x in graded.release.exercises:
            if (student, x.id) not in here:
                status = "unreadable" if student in unreadable else "not handed in"
                found.append((student, x.id, 0.0, x.points, 0.0, status))
    return sorted(found, key=lambda row: row[:2])


def counted(graded: Graded) -> list[tuple[Any, ...]]:
    """The rows with the points that count: what being late costs is taken off, and told in further columns."""
    if not graded.late:
        return rows(graded)
    lessons = {x.id: x.id if x.is_challenge else x.lesson for x in graded.release.exercises}
    table = []
    for student, exercise, points, *others in rows(graded):
        late = graded.late.get((student, lessons.get(exercise, "")))
        off = (points, late.days, late.percent_off, late.handed_in) if late else (points, 0, 0.0, "")
        table.append((student, exercise, round(points * (late.share if late else 1), 2), *others, *off))
    return table


def write_leaderboard(graded: Graded, out: Path) -> None:
    """`leaderboard.csv` and `.html`, to be shown to the class; removed where nobody handed a challenge in."""
    found = boards(graded)
    if not found:
        for name in (FILE, PAGE):
            (out / name).unlink(missing_ok=True)
        return
    page = environment().get_template("leaderboard.html").render(boards=found, width=46)
    atomic_write(out / FILE, leaderboard_csv(found), private=True)
    atomic_write(out / PAGE, page, private=True)


def write_gradebook(
    graded: Graded, out: Path, kind: str, people: Mapping[str, Person] | None = None
) -> tuple[Path, str]:
    """Write `gradebook_moodle.csv` or `gradebook_canvas.csv`; returns it and how it is imported.

    Whoever is on the roster has a line; who handed in and is not on it has none.

    Raises
    ------
    ValueError
        As in `gradebook.gradebook`.
    """
    lessons = {x.id: x.lesson for x in graded.release.exercises}
    table = counted(graded)
    only = None if graded.release.students == EVERYONE else graded.release.students
    path = out / f"gradebook_{kind}.csv"
    atomic_write(path, gradebook(kind, table, lessons, people, only), private=True)
    most = ", ".join(f"{name} ({worth:g})" for name, worth in items(table, lessons).items())
    how = {
        "moodle": f"First make these grade items there, with the maximum in parentheses: {most}. Then Grades > Import "
        "> CSV file, map ID number (or Email address) to the user's field of that name, and each column to its item.",
        "canvas": f"Grades > Import. Canvas makes what is missing as assignments of so many points: {most}.",
    }
    return path, how[kind]


def as_csv(table: Sequence[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    headings = COLUMNS + (LATE_COLUMNS if table and len(table[0]) > len(COLUMNS) else ())
    csv.writer(text, lineterminator="\n").writerows([headings, *table])
    return text.getvalue()


# ---------------------------------------------------------------- pages
@cache
def environment() -> Environment:
    """Templates that escape whatever is put into them."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["visible"] = lambda value: visible(str(value))
    made.filters["prose"] = prose
    return made


def prose(text: str) -> Markup:
    """Text for a page; what stands between backticks is code."""
    parts = [escape(part) for part in visible(text).split("`")]
    if len(parts) % 2 == 0:
        return escape(visible(text))
    return Markup("").join(Markup("<code>{}</code>").format(part) if k % 2 else part for k, part in enumerate(parts))


def student_page(student: str, graded: Graded) -> str:
    """What one student is told: points, the parts by name, and advice."""
    records = [record for record in graded.records if record["student"] == student]
    problems = [(file, why) for who, file, why in graded.problems if who == student]
    template = environment().get_template("student.html")
    return template.render(
        student=student, records=records, problems=problems, signs=SIGNS, told=_told, width=46,
        late={x["lesson"]: graded.late[student, x["lesson"]] for x in records if (student, x["lesson"]) in graded.late},
        pseudonym=own_pseudonym(student, graded),
    )  # fmt: skip


def _told(parts: Sequence[Sequence[Any]]) -> Iterator[tuple[str, bool, str]]:
    """Name, verdict and advice of each part; advice that was given already is not repeated."""
    said: set[str] = set()
    for name, _, ok, advice in parts:
        yield name, ok, "the same" if advice in said else advice
        said |= {advice} - {""}


# ---------------------------------------------------------------- the instructor's summary
def summary_page(graded: Graded, table: list[tuple[Any, ...]], figure: bytes) -> str:
    """Distribution, what went wrong most often, who looks alike, and what could not be graded."""
    return (
        environment()
        .get_template("summary.html")
        .render(
            figure=base64.b64encode(figure).decode(),
            exercises=list(exercise_rows(graded, rows(graded))),  # as earned: being late makes no exercise hard
            changes=graded.changes,
            alike=alike_rows(graded),
            problems=[*graded.problems, *library_rows(graded)],
            students=student_rows(table),
            late=[(student, lesson, x) for (student, lesson), x in sorted(graded.late.items()) if x.days],
            boards=boards(graded, named=True),
            width=62,
        )
    )


def student_rows(table: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Points of each student, and the exercises in which the sandbox stopped the notebook."""
    found = []
    for student in dict.fromkeys(row[0] for row in table):
        mine = [row for row in table if row[0] == student]
        stopped = ", ".join(row[1] for row in mine if row[5] == "stopped")
        points, most = sum(row[2] for row in mine), sum(row[3] for row in mine)
        found.append({"name": student, "points": points, "most": most, "stopped": stopped})
    return found


def exercise_rows(graded: Graded, table: list[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """For each exercise: how many passed, the mean share of points, and the most frequent mistake."""
    for x in graded.release.exercises:
        mine = [row for row in table if row[1] == x.id]
        passed = sum(row[5] == "passed" for row in mine)
        share = sum(row[2] for row in mine) / max(x.points * len(mine), 1e-9)
        mistake, times = frequent(graded, x.id)
        row = {"name": f"{x.id} {x.title}", "passed": f"{passed} of {len(mine)}", "earned": f"{share:.0%}"}
        yield row | {"mistake": mistake, "times": times}


def frequent(graded: Graded, exercise: str) -> tuple[str, int]:
    """The advice that most students got in one exercise, once for each student; ("", 0) if nobody got any.

    In an open challenge there is none: a score is no mistake.
    """
    counts: Counter[str] = Counter()
    if exercise.endswith(".challenge"):
        return "", 0
    for record in graded.records:
        for x in record["exercises"]:
            if x["id"] == exercise and x["status"] not in ("passed", "not attempted"):
                counts.update({x["note"] or advice for _, _, ok, advice in x["parts"] if not ok})
    return counts.most_common(1)[0] if counts else ("", 0)


def alike_rows(graded: Graded, most: int = 50) -> list[tuple[str, str, str]]:
    """Groups of students whose own code is nearly the same; small groups first, since many may find the same way.

    In an open challenge: whose arrays are equal, number for number.
    """
    lines = []
    for x in graded.release.exercises:
        equal: dict[str, list[str]] = {}
        for one in graded.submissions:
            if one.challenge == x.id and not one.problem and (challenge := find_challenge(x.id)):
                equal.setdefault(arrays_digest(challenge, one.data, one.ending), []).append(one.student)
        lines += [(len(found), "100%", _who(found), x.id) for found in equal.values() if len(found) > 1]
    for lesson in graded.release.lessons:
        handed = [(one.student, one.cells) for one in graded.submissions if one.lesson == lesson and not one.problem]
        for share, students in groups(similar_pairs(handed, blank_cells(lesson))):
            lines.append((len(students), f"{share:.0%}", _who(students), lesson))
    return [line[1:] for line in sorted(lines)[:most]]


def _who(students: Sequence[str]) -> str:
    return ", ".join(students[:12]) + (f" and {len(students) - 12} more" if len(students) > 12 else "")


def library_rows(graded: Graded) -> Iterator[tuple[str, str, str]]:
    """Whose notebook uses parts of the course that the handed-out one does not: the library may have the answer."""
    for one in graded.submissions:
        if one.lesson and not one.problem and not one.challenge:
            more = _parts_used(one.cells) - _parts_used(blank_cells(one.lesson))
            if more:
                names = ", ".join(sorted(f"mmcourse.{name}" for name in more))
                yield one.student, one.path.name, f"uses {names[:200]}, which the handed-out notebook does not"


def _parts_used(cells: Iterable[str]) -> set[str]:
    """First-level names of the course in this code, as `mmcourse.NAME` or `from mmcourse import NAME`."""
    found: set[str] = set()
    for text in cells:
        found.update(re.findall(r"\bmmcourse\.([a-z]\w*)", text))
        for names in re.findall(r"\bfrom mmcourse import \(?([\w, ]+)", text):
            found.update(name.split()[0] for name in names.split(",") if name.strip())
    return found


def groups(pairs: list[tuple[float, str, str]]) -> list[tuple[float, list[str]]]:
    """Pairs that share a student put together, with the least share among them."""
    found: list[tuple[float, set[str]]] = []
    for share, a, b in pairs:
        joined = [group for group in found if group[1] & {a, b}]
        found = [group for group in found if group not in joined]
        found.append((min(share, *(s for s, _ in joined), 1.0), {a, b}.union(*(names for _, names in joined))))
    return [(share, sorted(names)) for share, names in found]


def blank_cells(lesson: str) -> list[str]:
    """The code that everybody was given; not what the instructor wrote into it."""
    from mmcourse.authoring import select
    from mmcourse.authoring.unedited import unedited

    chosen = select([lesson])[0]
    return code_cells(unedited(chosen, chosen.exercise))


def picture(graded: Graded) -> bytes:
    """The figure as PNG: how many students have how many points, and how each exercise went."""
    import matplotlib.pyplot as plt

    from mmcourse import plot

    figure = distribution(rows(graded))
    try:
        return plot.to_png(figure)
    finally:
        plt.close(figure)


def distribution(table: list[tuple[Any, ...]]) -> Figure:
    """Two panels: students by points, points earned by exercise."""
    import matplotlib.pyplot as plt
    import numpy as np

    from mmcourse import plot

    plot.style()
    students: Counter[str] = Counter()
    earned: Counter[str] = Counter()
    possible: Counter[str] = Counter()
    for student, exercise, points, most, *_ in table:
        students[student] += points
        earned[exercise] += points
        possible[exercise] += most
    full = sum(possible.values()) / max(len(students), 1)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 0.8 + max(2.6, 0.32 * len(earned))))
    bins = np.linspace(0, full or 1, min(20, max(4, round(full))) + 1)
    left.hist(list(students.values()), bins=bins, color=plot.BLUE, rwidth=0.92)
    left.set(title="How many points did they reach?", xlabel=f"points of {full:g}", ylabel="students")
    left.yaxis.get_major_locator().set_params(integer=True)
    order = sorted(earned, reverse=True)
    shares = [100 * earned[x] / max(possible[x], 1e-9) for x in order]
    right.barh(order, shares, color=plot.BLUE)
    right.set(title="Which exercises were hard?", xlabel="% of points earned", xlim=(0, 100))
    right.grid(axis="y", visible=False)
    return fig
