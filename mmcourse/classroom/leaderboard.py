"""A leaderboard for an open challenge: scores under names that only the student and the instructor know.

Equal scores share a rank. The line to beat stands among the students. The public files hold no student's name.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcourse.classroom.seal import hmac_digest
from mmcourse.exercise import find_challenge

if TYPE_CHECKING:
    from mmcourse.classroom.grade import Graded

FILE = "leaderboard.csv"
PAGE = "leaderboard.html"
COLUMNS = ("challenge", "rank", "name", "score", "points")
TO_BEAT = "the simple way, to beat"
DIGITS = 4  # scores that agree so far are equal: more would rank rounding
FIRST = "amber azure brisk calm clear coral crisp early fair fresh gentle golden green happy keen kind light lively"
FIRST += " lucky mellow merry mild noble pale proud quick quiet rapid royal ruby silver steady sunny swift tidy wise"
LAST = "badger beaver bison crane curlew dolphin eagle falcon finch fox gecko hare heron ibex jay kestrel koala lark"
LAST += " lemur linnet lynx marten mole newt orca otter owl panda plover puffin raven robin seal stork swan wren"


@dataclass(frozen=True)
class Line:
    """One place; `rank` is None for the line to beat and for files without a score."""

    pseudonym: str
    score: float | None
    points: float
    rank: int | None = None
    student: str = ""

    @property
    def shown(self) -> str:
        """The score as it is ranked."""
        return "" if self.score is None else f"{self.score:.{DIGITS}f}"


@dataclass(frozen=True)
class Board:
    """One challenge's lines, best first."""

    challenge: str
    title: str
    score_name: str
    lines: tuple[Line, ...]


def pseudonyms(students: Sequence[str], key: str) -> dict[str, str]:
    """A name for each student, from the class's key alone; no two are the same.

    Who joins later may get a number after the name, and changes nobody else's.
    """
    given: dict[str, str] = {}
    first, last = FIRST.split(), LAST.split()
    for student in students:
        number = int.from_bytes(hmac_digest(key, "pseudonym", student)[:8])
        name = f"{first[number % len(first)]} {last[number // len(first) % len(last)]}"
        taken = sum(other == name or other.startswith(f"{name} ") for other in given.values())
        given[student] = name if not taken else f"{name} {taken + 1}"
    return given


def ranked(scores: Sequence[tuple[str, float]]) -> list[tuple[int, str, float]]:
    """(rank, name, score), best first; equal scores share the better rank, and the next one is passed over."""
    ordered = sorted(scores, key=lambda x: (-round(x[1], DIGITS), x[0]))
    values = [round(score, DIGITS) for _, score in ordered]
    return [(values.index(value) + 1, name, score) for value, (name, score) in zip(values, ordered, strict=True)]


def _names(graded: Graded) -> dict[str, str]:
    """Everyone's pseudonym: the roster's order first, then who else handed in."""
    found = [record["student"] for record in graded.records]
    return pseudonyms(list(dict.fromkeys([*graded.release.students, *found])), graded.key)


def boards(graded: Graded, named: bool = False) -> list[Board]:
    """A board for each challenge that was handed in; students' own names only where `named`."""
    names, made = _names(graded), []
    for x in graded.release.exercises:
        challenge = find_challenge(x.id) if x.is_challenge else None
        mine = [(r["student"], e) for r in graded.records for e in r["exercises"] if e["id"] == x.id]
        if challenge is None or not mine:
            continue
        told: dict[str, dict[str, Any]] = dict(mine)
        scores = [(student, told[student]["score"]) for student in told if told[student].get("score") is not None]
        lines = []
        for rank, student, score in ranked(scores):
            who = student if named else ""
            lines.append(Line(names[student], score, told[student]["points"], rank, who))
        simple = Line(TO_BEAT, challenge.to_beat, x.points * challenge.points_of(challenge.to_beat) / challenge.points)
        above = sum(line.score is not None and line.score > challenge.to_beat for line in lines)
        lines.insert(above, simple)
        lines += [Line(names[s], None, 0.0, None, s if named else "") for s in told if told[s].get("score") is None]
        made.append(Board(x.id, f"{x.id} · {x.title}", challenge.score_name, tuple(lines)))
    return made


def own_pseudonym(student: str, graded: Graded) -> str:
    """A student's name on the leaderboard; empty for who is on none."""
    on_one = any(
        r["student"] == student and any(e.get("score") is not None for e in r["exercises"]) for r in graded.records
    )
    return _names(graded)[student] if on_one else ""


def as_csv(found: Sequence[Board]) -> str:
    """The table for the class, without names."""
    text = io.StringIO()
    lines = [
        (board.challenge, line.rank or "", line.pseudonym, line.shown, f"{line.points:g}")
        for board in found
        for line in board.lines
        if line.score is not None
    ]
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *lines])
    return text.getvalue()
