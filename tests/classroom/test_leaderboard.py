"""The leaderboard of an open challenge: ranks with ties, names that give nobody away, the line to beat."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmcourse.check import save_hand_in
from mmcourse.classroom import leaderboard
from mmcourse.classroom.feedback import student_page, summary_page, write_reports
from mmcourse.classroom.grade import grade
from mmcourse.classroom.leaderboard import TO_BEAT, boards, pseudonyms, ranked
from mmcourse.classroom.release import release

STUDENTS = ("ada", "ben", "cleo", "dan")


def test_ties_share_the_better_rank():
    assert [x[:2] for x in ranked([("d", 0.2), ("a", 0.5), ("c", 0.50001), ("b", 0.9)])] == [
        (1, "b"), (2, "a"), (2, "c"), (4, "d")
    ]  # fmt: skip


def test_pseudonyms_are_the_classes_own_and_never_equal():
    many = [f"s{k}" for k in range(2000)]
    given = pseudonyms(many, "key")
    assert len(set(given.values())) == 2000 and given == pseudonyms(many, "key")
    assert pseudonyms(many[:1000], "key") == {s: given[s] for s in many[:1000]}, "who joins later changes nobody's"
    assert sum(given[s] == other for s, other in pseudonyms(many, "other").items()) < 40
    assert len(set(leaderboard.FIRST.split())) == len(leaderboard.FIRST.split()) > 30
    assert len(set(leaderboard.LAST.split())) == len(leaderboard.LAST.split()) > 30


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("board")
    (folder / "roster.csv").write_text("student\n" + "\n".join(STUDENTS) + "\n")
    release(["cnn"], folder / "hw", folder / "roster.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmcourse.classroom.grade.require", lambda unsafe: None)
        for k, student in enumerate(STUDENTS):
            shutil.copytree(folder / "hw" / "students" / student, folder / "hw" / "submitted" / student)
            patch.chdir(folder / "hw" / "submitted" / student)
            if student == "dan":
                Path("cnn.challenge.npz").write_bytes(b"no arrays")
            else:
                save_hand_in("cnn.challenge", np.full(1000, min(k, 1)))
        yield grade(folder / "hw" / "submitted", folder / "out", folder / "hw"), folder / "out"


def test_the_public_files_name_nobody(graded):
    done, out = graded
    write_reports(done, out)
    (board,) = boards(done)
    public = (out / "leaderboard.csv").read_text() + (out / "leaderboard.html").read_text()
    assert not any(student in public for student in STUDENTS) and TO_BEAT in public
    assert board.challenge == "cnn.challenge" and {line.student for line in board.lines} == {""}
    with (out / "leaderboard.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["rank"] for line in lines if line["name"] != TO_BEAT} <= {"1", "2", "3"}
    scores = [float(line["score"]) for line in lines]
    assert scores == sorted(scores, reverse=True) and len(lines) == 4, "the line to beat, and three students"


def test_students_with_equal_files_share_a_rank_and_each_knows_only_the_own_name(graded):
    done, out = graded
    (board,) = boards(done, named=True)
    ranks = {line.student: line.rank for line in board.lines if line.student}
    assert ranks["ben"] == ranks["cleo"] and "dan" not in ranks
    names = {line.student: line.pseudonym for line in board.lines if line.student}
    page = student_page("ada", done)
    assert names["ada"] in page and names["ben"] not in page and "leaderboard" not in student_page("dan", done)
    assert "ben" in summary_page(done, [], b"") and names["ben"] in summary_page(done, [], b"")
