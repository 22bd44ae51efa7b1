"""What comes out of grading: grades.csv, a page for each student, and the instructor's summary with its figure.

Everything that a student wrote is shown as text. Pages hold no script and may load nothing. A student's page names
parts and advice, never an input, an expected value or a solution.
"""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcourse.classroom.alike import alike
from mmcourse.classroom.grade import Graded, write
from mmcourse.classroom.submission import code_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("student", "exercise", "points", "max", "seconds", "status")
SIGNS = {"passed": "✓", "partial": "◐", "wrong": "✗", "not attempted": "○", "stopped": "■", "not handed in": "–"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem } code { background: #f2f2f2; padding: 0 .2em }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top; padding: .3rem .6rem }
tr { border-bottom: 1px solid #ddd } .points { float: right; font-weight: normal } .note { color: #a33c00 }
td:first-child { white-space: nowrap } td:last-child { width: 60% }
img { max-width: 100% } li { overflow-wrap: anywhere }
"""


def publish(graded: Graded, out: Path) -> Path:
    """Write everything into `out`, each file whole or not at all; returns the summary's path."""
    table = rows(graded)
    write(out / "grades.csv", as_csv(table))
    pages = out / "feedback"
    pages.mkdir(exist_ok=True)
    for student in dict.fromkeys(row[0] for row in table):
        write(pages / f"{student}.html", student_page(student, graded))
    figure = picture(graded)
    part = out / ".summary.png.part"
    part.write_bytes(figure)
    part.replace(out / "summary.png")
    write(out / "summary.html", summary_page(graded, table, figure))
    return out / "summary.html"


def give_back(out: Path, folder: Path) -> list[str]:
    """Each student's page as `folder`/<student>/feedback.html, where there is such a folder; returns who has it now."""
    returned = []
    for page in sorted((out / "feedback").glob("*.html")):
        place = folder / page.stem
        try:
            if place.is_dir() and not place.is_symlink():
                write(place / "feedback.html", page.read_text(encoding="utf-8"))
                returned.append(page.stem)
        except OSError:  # the folder may be the student's own, with anything in the page's way
            continue
    return returned


# ---------------------------------------------------------------- the table
def rows(graded: Graded) -> list[tuple[Any, ...]]:
    """One row for each student and exercise; who is on the roster and handed nothing in has rows too."""
    found = [
        (record["student"], x["id"], x["points"], x["max"], x["seconds"], x["status"])
        for record in graded.records
        for x in record["exercises"]
    ]
    here = {(student, exercise) for student, exercise, *_ in found}
    named = graded.release.students if len(graded.release.students) > 1 else ()
    students = dict.fromkeys([*named, *(one.student for one in graded.submissions)])
    for student in students:
        for x in graded.release.exercises:
            if (student, x.id) not in here:
                found.append((student, x.id, 0.0, x.points, 0.0, "not handed in"))
    return sorted(found, key=lambda row: row[:2])


def as_csv(table: Iterable[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *table])
    return text.getvalue()


# ---------------------------------------------------------------- pages
def page(title: str, body: str) -> str:
    """A whole page; `body` is HTML, `title` is text."""
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
    head += f"<title>{escape(title)}</title><style>{STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{escape(title)}</h1>{body}</body></html>\n'


def shown(text: str) -> str:
    """Text for a page; what stands between backticks is code."""
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return "".join(f"<code>{part}</code>" if k % 2 else part for k, part in enumerate(parts))


def grid(headings: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """An HTML table of cells that are HTML already."""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells)
    return "<table><tr>" + "".join(f"<th>{escape(x)}</th>" for x in headings) + f"</tr>{body}</table>"


def student_page(student: str, graded: Graded) -> str:
    """What one student is told: points, the parts by name, and advice."""
    mine = [record for record in graded.records if record["student"] == student]
    body = "".join(f"<p class='note'>{escape(f)}: {escape(why)}</p>" for s, f, why in graded.problems if s == student)
    for record in mine:
        points, most = (sum(x[key] for x in record["exercises"]) for key in ("points", "max"))
        body += f"<h1>{escape(record['lesson'])} <span class='points'>{points:g} of {most:g} points</span></h1>"
        body += "".join(map(exercise_block, record["exercises"])) + broken_cells(record["cells"])
    return page(f"Feedback for {student}", body if body else "<p>Nothing was handed in.</p>")


def exercise_block(x: dict[str, Any]) -> str:
    head = f"<h2>{SIGNS[x['status']]} {escape(x['id'])} · {escape(x['title'])} · {escape(x['status'])}"
    head += f" <span class='points'>{x['points']:g} of {x['max']:g}</span></h2>"
    head += f"<p class='note'>{shown(x['note'])}</p>" if x["note"] else ""
    if x["status"] == "not attempted":
        return head
    said: set[str] = set()
    parts = []
    for part, _, ok, advice in x["parts"]:
        parts.append(("✓" if ok else "✗", escape(part), "the same" if advice in said else shown(advice)))
        said |= {advice} - {""}
    return head + grid(("", "Part", "Advice" if said else ""), parts)


def broken_cells(cells: Sequence[Sequence[Any]]) -> str:
    """Cells of the notebook that did not run, in the student's own words: nothing hidden was there yet."""
    if not cells:
        return ""
    lines = "".join(
        f"<li>cell {n}{f', line {line}' if line else ''}: {escape(what)}</li>" for n, line, what in cells[:20]
    )
    return f"<h2>Cells that did not run</h2><p>Code cells are counted from the top.</p><ul>{lines}</ul>"


# ---------------------------------------------------------------- the instructor's summary
def summary_page(graded: Graded, table: list[tuple[Any, ...]], figure: bytes) -> str:
    """Distribution, what went wrong most often, who looks alike, and what could not be graded."""
    encoded = base64.b64encode(figure).decode()
    alt = "Histogram of points, and the share of points earned by exercise"
    body = f"<img alt='{alt}' src='data:image/png;base64,{encoded}'>"
    body += "<h2>Exercises</h2>" + exercise_table(graded, table)
    body += "<h2>Submissions that look alike</h2>" + alike_table(graded)
    problems = [(escape(student), escape(file), escape(why)) for student, file, why in graded.problems]
    body += "<h2>Needs a look</h2>" + (grid(("Student", "File", "What"), problems) if problems else "<p>Nothing.</p>")
    body += "<h2>Students</h2>" + grid(("Student", "Points", "Stopped"), student_rows(table))
    body += "<style>body { max-width: 62rem }</style>"
    return page(f"Grades of {len({row[0] for row in table})} students", body)


def student_rows(table: list[tuple[Any, ...]]) -> list[tuple[str, str, str]]:
    points = {student: [row for row in table if row[0] == student] for student in dict.fromkeys(r[0] for r in table)}
    return [
        (
            f"<a href='feedback/{escape(student)}.html'>{escape(student)}</a>",
            f"{sum(row[2] for row in mine):g} of {sum(row[3] for row in mine):g}",
            escape(", ".join(row[1] for row in mine if row[5] == "stopped")),
        )
        for student, mine in points.items()
    ]


def exercise_table(graded: Graded, table: list[tuple[Any, ...]]) -> str:
    """For each exercise: how many passed, the mean share of points, and the most frequent mistake."""
    lines = []
    for x in graded.release.exercises:
        mine = [row for row in table if row[1] == x.id]
        passed = sum(row[5] == "passed" for row in mine)
        share = sum(row[2] for row in mine) / max(x.points * len(mine), 1e-9)
        lines.append((escape(f"{x.id} {x.title}"), f"{passed} of {len(mine)}", f"{share:.0%}", frequent(graded, x.id)))
    return grid(("Exercise", "Passed", "Points earned", "Most frequent mistake"), lines)


def frequent(graded: Graded, exercise: str) -> str:
    """The advice that most students got in one exercise, once for each student."""
    counts: Counter[str] = Counter()
    for record in graded.records:
        for x in record["exercises"]:
            if x["id"] == exercise and x["status"] not in ("passed", "not attempted"):
                counts.update({x["note"] or advice for _, _, ok, advice in x["parts"] if not ok})
    return "".join(f"{shown(text)} ({n})" for text, n in counts.most_common(1)) or "–"


def alike_table(graded: Graded, most: int = 50) -> str:
    """Groups of students whose own code is nearly the same; small groups first, since many may find the same way."""
    lines = []
    for lesson in graded.release.lessons:
        handed = [(one.student, one.cells) for one in graded.submissions if one.lesson == lesson and not one.problem]
        for share, students in groups(alike(handed, blank_cells(lesson))):
            who = ", ".join(students[:12]) + (f" and {len(students) - 12} more" if len(students) > 12 else "")
            lines.append((len(students), f"{share:.0%}", escape(who), escape(lesson)))
    note = "<p>The share of their own code that is the same, names and numbers aside. A reason to look, no proof.</p>"
    found = [line[1:] for line in sorted(lines)[:most]]
    return note + grid(("Alike", "Students", "Lesson"), found) if found else "<p>None.</p>"


def groups(pairs: list[tuple[float, str, str]]) -> list[tuple[float, list[str]]]:
    """Pairs that share a student put together, with the least share among them."""
    found: list[tuple[float, set[str]]] = []
    for share, a, b in pairs:
        joined = [group for group in found if group[1] & {a, b}]
        found = [group for group in found if group not in joined]
        found.append((min(share, *(s for s, _ in joined), 1.0), {a, b}.union(*(names for _, names in joined))))
    return [(share, sorted(names)) for share, names in found]


def blank_cells(lesson: str) -> list[str]:
    from mmcourse.authoring import select

    return code_cells(select([lesson])[0].exercise.read_bytes())


def picture(graded: Graded) -> bytes:
    """The figure as PNG: how many students have how many points, and how each exercise went."""
    from mmcourse import plot

    return plot.to_png(distribution(rows(graded)))


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
