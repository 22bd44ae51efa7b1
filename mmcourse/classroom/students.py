"""Whose folder is it? Learning platforms rename folders; the notebook that was handed out names its student.

A folder with a student's exact name is that student's. For other folders the sealed mark in the notebook decides, then
letter case and the names that platforms make. Where two folders claim one student, nobody is believed: each is graded
by itself and reported, so that no one takes another's place.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mmcourse.classroom.submission import Box, Submission

# Moodle: ada_12345_assignsubmission_file_ · Blackboard: hw1_ada_attempt_2026-01-01-10-00-00
PLATFORM = re.compile(r"(?P<who>.+)_\d+_assignsubmission_\w*|.*?_(?P<login>[^_]+)_attempt_[\d-]+")


class Claim(NamedTuple):
    """Who a folder seems to belong to, why, and which person's folder it is on the platform."""

    student: str
    reason: str
    person: str


def identify(
    boxes: Sequence[Box], students: Sequence[str], knows: Callable[[str, str, str], bool]
) -> dict[str, tuple[str, str]]:
    """{folder: (student, remark)} for folders of a class with a roster; student "" where it cannot be said.

    Parameters
    ----------
    boxes
        The folders and what lies in them.
    students
        The roster.
    knows
        Whether (lesson, student, seal) is the mark of a notebook that was handed out to this class.
    """
    exact = {box.folder for box in boxes if box.folder in students and not box.problem}
    claims = {box.folder: _claim(box, students, knows) for box in boxes if box.folder not in exact and not box.problem}
    by_person = {claim.person: claim for claim in claims.values() if claim}
    claims = {folder: claim or by_person.get(_person(folder)) for folder, claim in claims.items()}
    persons: dict[str, set[str]] = {}
    for claim in claims.values():
        if claim:
            persons.setdefault(claim.student, set()).add(claim.person)
    found = {}
    for box in boxes:
        if box.folder in exact:
            others = _other_marks(box, box.folder, knows)
            remark = f"this notebook was handed out to {others[0]}" if others else ""
            found[box.folder] = (box.folder, remark)
        elif claim := claims.get(box.folder):
            if claim.student in exact:
                remark = f"not counted as {claim.student}, who has a folder of that name, though {claim.reason}"
                found[box.folder] = ("", remark)
            elif len(persons[claim.student]) > 1:
                remark = f"not counted as {claim.student}: another folder claims the same; rename the right one"
                found[box.folder] = ("", remark)
            else:
                found[box.folder] = (claim.student, f"counted as {claim.student}: {claim.reason}")
        elif not box.problem:
            found[box.folder] = ("", "not on the roster" + _hint(box.folder, students))
    return found


def _claim(box: Box, students: Sequence[str], knows: Callable[[str, str, str], bool]) -> Claim | None:
    named = PLATFORM.fullmatch(box.folder)
    who = (named["who"] or named["login"]) if named else box.folder
    person = _person(box.folder)
    marks = Counter(one.mark.student for one in box.files if not one.problem and knows(*_mark(one)))
    known = [student for student in marks if student in students]
    if len(known) == 1:
        return Claim(known[0], "the notebook was handed out to this student", person)
    by_case = [student for student in students if _folded(student) == _folded(who)]
    if len(by_case) == 1 and not known:
        reason = "the platform's name for the folder says so" if named else "the names differ in letter case only"
        return Claim(by_case[0], reason, person)
    return None


def _person(folder: str) -> str:
    """A platform may make several folders for one person: one for files, one for text typed online."""
    return re.sub(r"_assignsubmission_\w*$", "", folder)


def _mark(one: Submission) -> tuple[str, str, str]:
    return one.mark.lesson, one.mark.student, one.mark.seal


def _other_marks(box: Box, student: str, knows: Callable[[str, str, str], bool]) -> list[str]:
    return sorted({one.mark.student for one in box.files if knows(*_mark(one))} - {student})


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _hint(folder: str, students: Sequence[str]) -> str:
    """Roster names that stand in the folder's name as a word."""
    words = [student for student in students if re.search(rf"(?<![^\W_]){re.escape(student)}(?![^\W_])", folder, re.I)]
    return f"; if it is {words[0]}'s, rename the folder" if words else ""
