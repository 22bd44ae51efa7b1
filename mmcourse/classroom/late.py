"""Late days: when a submission was due, when it came, how many days of grace it takes, and what is taken off.

A policy is written in a file or given by options. Days are begun days: a minute after the deadline is one day late.
Each student has a number of free days, which are spent before anything is taken off; an extension moves one student's
deadline. Times always have a time zone.
"""

from __future__ import annotations

import csv
import io
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from mmcourse.classroom.tables import read_table
from mmcourse.terminal import visible

COLUMNS = ("student", "lesson", "due", "handed_in", "days_late", "free_days", "percent_off")
FIELDS = {"due", "time_zone", "late_days", "penalty", "last_day", "grace_minutes", "extensions"}
DAY = timedelta(days=1)
EXAMPLE = "2027-03-01 23:59"


@dataclass(frozen=True)
class Policy:
    """What being late costs. `due` is for every lesson, or by lesson (slug, name or challenge); times are aware."""

    due: Mapping[str, datetime]  # "" is for all that have none of their own
    late_days: int = 0
    penalty: float = 10.0  # percent of the points, for each day that no free day covers
    last_day: int | None = None  # what comes after so many days earns nothing
    grace_minutes: int = 0
    extensions: Mapping[str, datetime | int] = field(default_factory=dict)  # a deadline of one's own, or more days
    zone: tzinfo | None = None  # None: this machine's

    def due_of(self, student: str, lesson: str) -> datetime | None:
        """The deadline of one student for one lesson or challenge; None where it has none."""
        slug = lesson.partition("_")[2] if lesson[:2].isdigit() else lesson
        names = (lesson, slug, slug.partition(".")[0], "")
        due = next((self.due[name] for name in names if name in self.due), None)
        more = self.extensions.get(student)
        if due is None or more is None:
            return due
        return due + more * DAY if isinstance(more, int) else max(due, more)

    def shown(self, moment: datetime) -> str:
        """A time for people: in the policy's zone, with its offset from UTC."""
        return moment.astimezone(self.zone).isoformat(sep=" ", timespec="minutes")


class Late(NamedTuple):
    """How late one submission is and what that costs: `share` of its points count."""

    due: str
    handed_in: str
    days: int = 0
    free: int = 0
    share: float = 1.0
    left: int = 0  # free days that the student has left afterwards

    @property
    def percent_off(self) -> float:
        """What is taken off, in percent."""
        return round(100 * (1 - self.share), 2)

    def __str__(self) -> str:
        if not self.days:
            return f"Handed in {self.handed_in}, in time (due {self.due})."
        days = f"{self.days} day{'s' * (self.days != 1)} late"
        text = f"Handed in {self.handed_in}, {days} (due {self.due})."
        if self.free:
            text += f" {self.free} of your late days cover{'s' * (self.free == 1)} it, {self.left} left."
        return text + (f" {self.percent_off:g}% is taken off." if self.share < 1 else " Nothing is taken off.")


# ---------------------------------------------------------------- reading a policy
def moment(text: str, zone: tzinfo | None, where: str) -> datetime:
    """A time with a zone: its own, else the policy's, else this machine's.

    Raises
    ------
    ValueError
        It is no time, or one that does not exist or happens twice as clocks are changed.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{where}: {visible(text)!r} is no time; write it as {EXAMPLE} or {EXAMPLE}+08:00") from None
    if found.tzinfo is not None:
        return found
    if zone is None:
        return found.astimezone()
    early, late = (found.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() != late.utcoffset():
        raise ValueError(f"{where}: clocks are changed at {text} there; write its offset, such as {text}+01:00")
    return early


def time_zone(name: str, where: str) -> tzinfo | None:
    """A zone by name, such as Europe/Berlin; None for an empty one.

    Raises
    ------
    ValueError
        There is no such zone.
    """
    if not name:
        return None
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):  # an unknown key, and names that are no file's
        raise ValueError(f"{where}: there is no time zone {visible(name)!r}; write one such as Asia/Shanghai") from None


def read_policy(path: Path) -> Policy:
    """A policy from a TOML file with `due`, `time_zone`, `late_days`, `penalty`, `last_day`, `[extensions]`.

    Raises
    ------
    ValueError
        A field is unknown, missing or of the wrong kind; the message names it and says what is expected.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no TOML ({error}); write lines such as due = {EXAMPLE!r}") from None
    if unknown := sorted(set(told) - FIELDS):
        raise ValueError(f"{path}: there is no field {visible(unknown[0])!r}; known: {', '.join(sorted(FIELDS))}")
    return make_policy(
        told.get("due", ""),
        zone=str(told.get("time_zone", "")),
        late_days=told.get("late_days", 0),
        penalty=told.get("penalty", 10.0),
        last_day=told.get("last_day"),
        grace_minutes=told.get("grace_minutes", 0),
        extensions=told.get("extensions", {}),
        where=str(path),
    )


def make_policy(
    due: Any, *, zone: str = "", late_days: Any = 0, penalty: Any = 10.0, last_day: Any = None,
    grace_minutes: Any = 0, extensions: Any = None, where: str = "--due",
) -> Policy:  # fmt: skip
    """A policy from what a person wrote; errors as in `read_policy`."""
    place = time_zone(zone, where)
    given = due if isinstance(due, dict) else {"": due}
    if not given or not all(given.values()):
        raise ValueError(f"{where}: `due` is missing; write due = {EXAMPLE!r}")
    dues = {str(name): _time(value, place, where) for name, value in given.items()}
    for name, value, most in (("late_days", late_days, 365), ("grace_minutes", grace_minutes, 1440)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ValueError(f"{where}: {name} should be a whole number from 0 to {most}, got {value!r}")
    if isinstance(penalty, bool) or not isinstance(penalty, (int, float)) or not 0 <= penalty <= 100:
        raise ValueError(f"{where}: penalty should be percent per day, from 0 to 100, got {penalty!r}")
    if last_day is not None and (isinstance(last_day, bool) or not isinstance(last_day, int) or last_day < 0):
        raise ValueError(f"{where}: last_day should be a whole number of days, got {last_day!r}")
    if not isinstance(extensions or {}, dict):
        raise ValueError(f"{where}: extensions is a table; write [extensions], then lines such as ada = 2")
    more = {str(student): _extension(student, x, place, where) for student, x in (extensions or {}).items()}
    return Policy(dues, late_days, float(penalty), last_day, grace_minutes, more, place)


def _time(value: Any, zone: tzinfo | None, where: str) -> datetime:
    """A time as TOML or a person writes it."""
    return moment(value.isoformat() if isinstance(value, datetime) else str(value), zone, where)


def _extension(student: str, value: Any, zone: tzinfo | None, where: str) -> datetime | int:
    """More days, or a deadline of one's own."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= 365:
            raise ValueError(f"{where}: the extension of {visible(student)} should be 0 to 365 days, got {value}")
        return value
    return _time(value, zone, f"{where}: the extension of {visible(student)}")


def read_times(path: Path, zone: tzinfo | None) -> dict[tuple[str, str], datetime]:
    """Hand-in times from a CSV file with the columns student, time and perhaps lesson: (student, lesson or "") → time.

    Raises
    ------
    ValueError
        For the first line that cannot be read, with the reason.
    """
    found: dict[tuple[str, str], datetime] = {}
    for line, row in read_table(path, "student", "time", optional=("lesson",)):
        place = (row["student"], row.get("lesson", ""))
        if place in found:
            raise ValueError(
                f"{path}, line {line}: a second time of {visible(row['student'])}; keep the one that counts"
            )
        found[place] = moment(row["time"], zone, f"{path}, line {line}")
    return found


def read_used(paths: Iterable[Path]) -> dict[str, int]:
    """Free days that students spent before: the sum over the `late.csv` of earlier homework.

    Raises
    ------
    ValueError
        A line's `free_days` is no whole number.
    """
    used: dict[str, int] = {}
    for path in paths:
        for line, row in read_table(path, "student", "free_days"):
            if not row["free_days"].isdigit():
                raise ValueError(f"{path}, line {line}: free_days should be a whole number, got {row['free_days']!r}")
            used[row["student"]] = used.get(row["student"], 0) + int(row["free_days"])
    return used


# ---------------------------------------------------------------- applying it
def lateness(
    handed: Sequence[tuple[str, str, float]],
    policy: Policy,
    times: Mapping[tuple[str, str], datetime] | None = None,
    used: Mapping[str, int] | None = None,
) -> dict[tuple[str, str], Late]:
    """(student, lesson) → how late it is, for submissions (student, lesson, seconds since 1970).

    A student's free days go to what was due first, then to the lesson that comes first.
    """
    found, spent = {}, dict(used or {})
    dated = [(policy.due_of(student, lesson), student, lesson, at) for student, lesson, at in handed]
    for due, student, lesson, at in sorted((x for x in dated if x[0]), key=lambda x: (x[0], x[1], x[2])):
        assert due is not None
        came = _came(student, lesson, at, times or {})
        days = _days_late(came, due, policy.grace_minutes)
        free = min(days, max(policy.late_days - spent.get(student, 0), 0))
        if policy.last_day is not None and days > policy.last_day:
            free, share = 0, 0.0  # no free day is wasted on what counts nothing
        else:
            share = max(0.0, 1 - policy.penalty / 100 * (days - free))
        spent[student] = spent.get(student, 0) + free
        left = max(policy.late_days - spent[student], 0)
        found[student, lesson] = Late(policy.shown(due), policy.shown(came), days, free, round(share, 6), left)
    return found


def _came(student: str, lesson: str, at: float, times: Mapping[tuple[str, str], datetime]) -> datetime:
    """When it was handed in: as the table says, else the file's own time."""
    slug = lesson.partition("_")[2] if lesson[:2].isdigit() else lesson
    for name in (lesson, slug, slug.partition(".")[0], ""):
        if (student, name) in times:
            return times[student, name]
    return datetime.fromtimestamp(math.floor(at), UTC)


def _days_late(came: datetime, due: datetime, grace_minutes: int) -> int:
    """Begun days after the deadline; within the grace there are none."""
    late = came - due
    return 0 if late <= timedelta(minutes=grace_minutes) else math.ceil(late / DAY)


def as_csv(late: Mapping[tuple[str, str], Late]) -> str:
    """The table `late.csv`, which later homework is told by `--late-used`."""
    text = io.StringIO()
    rows: Iterator[tuple[Any, ...]] = (
        (student, lesson, x.due, x.handed_in, x.days, x.free, f"{x.percent_off:g}")
        for (student, lesson), x in sorted(late.items())
    )
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    return text.getvalue()
