"""Nothing is trusted for its place or name: links that appear in between, foreign results, other people's eyes."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from pathlib import Path

import pytest
from class_of import hand_in, points
from hostile import HONEST, RIGHT, notebook
from typer.testing import CliRunner

from mmcourse.authoring import select
from mmcourse.classroom.feedback import return_feedback, student_page, write_reports
from mmcourse.classroom.grade import Graded, grade
from mmcourse.classroom.release import release
from mmcourse.classroom.seal import MARK, SCRYPT, config_dir, hmac_digest, instructor_key, sealed, typed_secret
from mmcourse.classroom.submission import collect
from mmcourse.classroom.untrusted import Unreadable, opened_folder
from mmcourse.cli import app

LESSON = select(["00"])[0]
GOOD = f"{LESSON.name}.ipynb"
WHOLE = notebook(HONEST, RIGHT)


# ---------------------------------------------------------------- paths that were checked and lead elsewhere now
@pytest.fixture
def swap(monkeypatch):
    """A function (name, place, target): just before `name` is opened, `place` becomes a link to `target`."""

    def prepare(name: str, place: Path, target: Path) -> None:
        real = os.open

        def hostile(path, *args, **kwargs):
            if path == name and not place.is_symlink():
                place.rename(place.with_name(f"{place.name}.away"))
                place.symlink_to(target)
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, "open", hostile)

    return prepare


@pytest.mark.parametrize("target", ["ada", "solutions"])
@pytest.mark.parametrize("what", ["subfolder", "file", "box", "deep"])
def test_a_link_that_appears_between_listing_and_opening_earns_nothing(tmp_path, swap, target, what):
    sub = tmp_path / "sub"
    hand_in(sub, "ada", WHOLE)
    hand_in(tmp_path, "solutions", WHOLE)
    others = sub / "ada" if target == "ada" else tmp_path / "solutions"
    place = {"box": "eve", "subfolder": "eve/work", "deep": "eve/work/more", "file": f"eve/{GOOD}"}[what]
    hand_in(sub, "eve/work/more", "", "blank.txt")
    if what == "file":
        (sub / place).write_text("my own")
    swap(Path(place).name, sub / place, others / GOOD if what == "file" else others)
    found = [one for one in collect(sub, [LESSON.name]) if one.student == "eve"]
    assert (sub / place).is_symlink(), "the attack did not happen"
    assert found and not any(one.cells for one in found)
    assert any("no student's folder" in one.problem or "cannot be opened" in one.problem for one in found)


def test_links_that_come_and_go_while_a_class_is_read(tmp_path):
    """The same race with a real second thread: hundreds of swaps, and never the neighbor's notebook."""
    sub, over = tmp_path / "sub", threading.Event()
    hand_in(sub, "ada", WHOLE)
    hand_in(sub, "eve/work", "", "blank.txt")
    link, work = sub / "link", sub / "eve" / "work"
    link.symlink_to(sub / "ada")

    def swapping() -> None:
        while not over.is_set():
            work.rename(sub / "eve.away")
            link.rename(work)
            work.rename(link)
            (sub / "eve.away").rename(work)

    thread = threading.Thread(target=swapping)
    thread.start()
    try:
        for _ in range(150):
            for one in collect(sub, [LESSON.name]):
                assert one.student == "ada" or not one.cells
    finally:
        over.set()
        thread.join()


def test_a_page_is_not_returned_through_a_link_that_appears(tmp_path, swap):
    (tmp_path / "feedback").mkdir()
    (tmp_path / "feedback" / "eve.html").write_text("page")
    (tmp_path / "back" / "eve").mkdir(parents=True)
    (tmp_path / "back" / "ada").mkdir()
    swap("eve", tmp_path / "back" / "eve", tmp_path / "back" / "ada")
    assert return_feedback(tmp_path, tmp_path / "back") == [] and not os.listdir(tmp_path / "back" / "ada")


def test_folders_are_opened_and_links_refused_at_every_step(tmp_path):
    hand_in(tmp_path / "real", "ada", WHOLE)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(Unreadable, match="a link"), opened_folder(tmp_path / "link"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(Unreadable, match="cannot be opened"), opened_folder(tmp_path / "file"):
        pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make another user's file")
def test_another_users_file_under_a_second_name_is_refused(tmp_path):
    path = hand_in(tmp_path, "ada", WHOLE)
    (tmp_path / "eve").mkdir()
    os.chown(path, 12345, 12345)
    os.link(path, tmp_path / "eve" / GOOD)
    found = {one.student: one for one in collect(tmp_path, [LESSON.name])}
    assert "hard link" in found["eve"].problem and not found["eve"].cells


# ---------------------------------------------------------------- results that somebody else wrote
def forged(folder: Path, key: str | None) -> None:
    """A folder of results as a student would lay it: 300 points, a secret of her own, and a mark."""
    hand_in(folder, "journal", json.dumps({"key": "x", "student": "eve"}), f"eve__{LESSON.name}.json")
    (folder / "journal" / "secret.txt").write_text("a secret that eve chose herself")
    if key:
        told = {"made_by": "mmcourse 0.1", "kind": "results", "class": "0" * 32, "of": str(folder.parent)}
        (folder / MARK).write_text(json.dumps(sealed(key, "results", told)))


@pytest.mark.parametrize("key", [None, "a secret that eve chose herself"])
def test_a_students_folder_named_results_is_not_the_instructors(tmp_path, monkeypatch, without_sandbox, key):
    hand_in(tmp_path, "ada", WHOLE)
    forged(tmp_path / "results", key)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["grade", "."])
    assert done.exit_code == 2 and "results" in done.output and "choose a new folder" in done.output
    elsewhere = tmp_path.parent / f"{tmp_path.name}-out"
    done = CliRunner().invoke(app, ["grade", ".", "--out", str(elsewhere)])
    assert done.exit_code == 0 and "results: " in done.output and "the course itself uses" in done.output
    assert "results" not in {row.split(",")[0] for row in (elsewhere / "grades.csv").read_text().splitlines()}


def test_the_courses_own_results_in_the_class_folder_are_no_students(tmp_path, monkeypatch, without_sandbox):
    hand_in(tmp_path, "ada", WHOLE)
    monkeypatch.chdir(tmp_path)
    for graded_now in (1, 0):
        done = CliRunner().invoke(app, ["grade", "."])
        assert done.exit_code == 0 and f"1 students, {graded_now} graded now" in done.output, done.output
    assert {x.split(",")[0] for x in (tmp_path / "results" / "grades.csv").read_text().split()[1:]} == {"ada"}


@pytest.mark.parametrize("out", ["", "..", "sub/../../sub"])
def test_results_do_not_go_into_the_class_folder_itself(tmp_path, without_sandbox, out):
    hand_in(tmp_path / "class" / "sub", "ada", WHOLE)
    sub = tmp_path / "class" / "sub"
    with pytest.raises(ValueError, match="holds the class's own folder"):
        grade(sub, sub / out if out != ".." else sub.parent)
    assert sorted(path.name for path in sub.iterdir()) == ["ada"]


def test_a_release_that_a_student_laid_is_not_the_instructors(tmp_path, without_sandbox, monkeypatch):
    """300 points of 3: names of files and folders in a class are what students choose."""
    monkeypatch.setenv("MMCOURSE_CONFIG", str(tmp_path / "eves"))
    release(["00"], tmp_path / "class", points="start_here.1=300")
    monkeypatch.setenv("MMCOURSE_CONFIG", str(tmp_path / "mine"))
    hand_in(tmp_path / "class" / "submitted", "eve", WHOLE)
    command = ["grade", str(tmp_path / "class"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2 and "was not made with your own key" in done.output and "--release" in done.output
    told = json.loads((tmp_path / "class" / "release.json").read_text())
    for damage in ({"seal": 5}, {"seal": None}, {"exercises": 3}):
        (tmp_path / "class" / "release.json").write_text(json.dumps(told | damage))
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 2 and "Traceback" not in done.output
    asked = CliRunner().invoke(app, [*command, "--release", str(tmp_path / "class")])
    assert asked.exit_code == 2 and "damaged" in asked.output, "named by the instructor, it is still read with care"


@pytest.mark.parametrize(
    "damage",
    [
        {"exercises": [{"id": "start_here.1"}]},
        {"exercises": [["a", "b", "c", "d", 1]]},
        {"students": 5},
        {"cells": []},
        {"secret_fingerprint": None},
    ],
)
def test_a_damaged_release_is_named(tmp_path, damage):
    release(["00"], tmp_path / "hw")
    path = tmp_path / "hw" / "release.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    done = CliRunner().invoke(app, ["grade", str(tmp_path), "--release", str(tmp_path / "hw")])
    assert done.exit_code == 2 and "Traceback" not in done.output and str(tmp_path) in done.output


def test_a_record_that_somebody_else_wrote_is_graded_again(tmp_path, without_sandbox):
    hand_in(tmp_path / "sub", "eve", notebook(HONEST))
    hand_in(tmp_path / "sub", "ada", WHOLE)
    first = grade(tmp_path / "sub", tmp_path / "out")
    write_reports(first, tmp_path / "out")
    place = tmp_path / "out" / "journal" / f"eve__{LESSON.name}.json"
    record = json.loads(place.read_text())
    for x in record["exercises"]:
        x["points"] = 300
    for text in (json.dumps(record), (place.parent / f"ada__{LESSON.name}.json").read_text(), "[" * 100_000):
        place.write_text(text)
        again = grade(tmp_path / "sub", tmp_path / "out")
        assert again.done_now == 1 and sum(points(again, "eve").values()) == 0


def test_two_classes_do_not_share_their_results(tmp_path, without_sandbox):
    """Namesakes in two classes: neither gets the other's page."""
    for name in ("monday", "friday"):
        hand_in(tmp_path / name, "ada", WHOLE)
    out = tmp_path / "out"
    write_reports(grade(tmp_path / "monday", out), out)
    with pytest.raises(ValueError, match="holds the results of .*monday; choose another folder"):
        grade(tmp_path / "friday", out)
    release(["00"], tmp_path / "hw")
    with pytest.raises(ValueError, match="was not made with this instructor's key or this release"):
        grade(tmp_path / "monday", out, tmp_path / "hw")


def test_who_was_struck_off_gets_no_page_of_an_earlier_run(tmp_path, without_sandbox):
    out, back = tmp_path / "out", tmp_path / "back"
    for student in ("ada", "ben"):
        hand_in(tmp_path / "sub", student, WHOLE)
        (back / student).mkdir(parents=True)
    write_reports(grade(tmp_path / "sub", out), out)
    shutil.rmtree(tmp_path / "sub" / "ben")
    graded = grade(tmp_path / "sub", out)
    write_reports(graded, out)
    assert return_feedback(out, back, graded) == ["ada"] and not (back / "ben" / "feedback.html").exists()
    assert "ben" not in (out / "grades.csv").read_text()


def test_a_folder_with_other_files_is_not_made_private(tmp_path, without_sandbox):
    hand_in(tmp_path / "sub", "ada", WHOLE)
    (tmp_path / "documents").mkdir(mode=0o755)
    (tmp_path / "documents" / "thesis.tex").touch()
    with pytest.raises(ValueError, match="did not write; choose a new folder"):
        grade(tmp_path / "sub", tmp_path / "documents")
    assert stat.S_IMODE((tmp_path / "documents").stat().st_mode) == 0o755
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="a link"):
        grade(tmp_path / "sub", tmp_path / "link")


# ---------------------------------------------------------------- other people's eyes
def test_results_and_releases_are_their_owners_alone(tmp_path, without_sandbox):
    before = os.umask(0)
    try:
        (tmp_path / "roster.csv").write_text("student\nada\n")
        release(["00"], tmp_path / "hw", tmp_path / "roster.csv")
        release(["00"], tmp_path / "nb", format="nbgrader")
        hand_in(tmp_path / "sub", "ada", WHOLE)
        write_reports(grade(tmp_path / "sub", tmp_path / "out"), tmp_path / "out")
        (tmp_path / "back" / "ada").mkdir(parents=True)
        return_feedback(tmp_path / "out", tmp_path / "back")
    finally:
        os.umask(before)
    seen = {}
    for name in ("hw", "nb", "out"):
        for path in [tmp_path / name, *(tmp_path / name).rglob("*")]:
            seen[path] = (path.is_dir(), stat.S_IMODE(path.stat().st_mode))
    assert len(seen) > 15 and {mode for _, mode in seen.values()} <= {0o600, 0o700}
    assert {is_folder for is_folder, mode in seen.values() if mode == 0o700} == {True}
    page = tmp_path / "back" / "ada" / "feedback.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    ["", "short", "x" * 40, "passwordpassword", "0123456789012345", "abcdefghijklmnopqrstuvwxyz", "aaaaaaaabbbbbbbb"],
)
def test_a_secret_that_can_be_guessed_is_refused(tmp_path, text):
    (tmp_path / "secret").write_text(text)
    with pytest.raises(ValueError, match="leave --secret out and one is made"):
        typed_secret(tmp_path / "secret")


def test_a_typed_secret_is_slow_to_try(tmp_path):
    """From one's own variant everybody can try secrets: each try costs 32 MB and a tenth of a second."""
    (tmp_path / "roster.csv").write_text("student\nada\nben\n")
    (tmp_path / "secret").write_text("a phrase of some length")
    made = release(["00"], tmp_path / "hw", tmp_path / "roster.csv", secret=tmp_path / "secret")
    assert 128 * SCRYPT["n"] * SCRYPT["r"] >= 32 << 20
    assert made.key != made.secret and made.fingerprint != hmac_digest(made.secret, "fingerprint").hex()[:16]


def test_the_instructors_key_is_private_and_one(tmp_path, monkeypatch):
    monkeypatch.setenv("MMCOURSE_CONFIG", str(tmp_path / "config"))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(instructor_key())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path = config_dir() / "instructor.key"
    assert len(found) == 8 and len(set(found)) == 1 and path.parent.stat().st_mode & 0o077 == 0
    assert [x.name for x in path.parent.iterdir()] == ["instructor.key"] and path.stat().st_mode & 0o077 == 0
    path.chmod(0o644)
    with pytest.raises(PermissionError, match="others can read this key"):
        instructor_key()
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="MMCOURSE_CONFIG"):
        instructor_key()
    monkeypatch.setenv("MMCOURSE_CONFIG", str(tmp_path / "config" / "instructor.key"))
    with pytest.raises(OSError, match="--secret FILE"):
        instructor_key()


# ---------------------------------------------------------------- pages
def test_marks_of_direction_are_shown_on_pages_and_never_obeyed(tmp_path, without_sandbox):
    evil = "\u202egnorw\u2066\x1b[2J"
    hand_in(tmp_path / "sub", f"eve{evil}", WHOLE)
    hand_in(tmp_path / "sub", f"eve{evil}", "{}", f"a{evil}.ipynb")
    graded = grade(tmp_path / "sub", tmp_path / "out")
    for record in graded.records:
        record["cells"] = [[1, 2, f"ValueError: <b>{evil}"]]
    write_reports(graded, tmp_path / "out")
    for path in [tmp_path / "out" / "summary.html", *(tmp_path / "out" / "feedback").iterdir()]:
        text = path.read_text()
        assert not set("\u202e\u2066\x1b") & set(text), path
    page = (tmp_path / "out" / "feedback" / f"{graded.records[0]['student']}.html").read_text()
    assert "&lt;b&gt;\\u202egnorw\\u2066\\x1b[2J" in page and "a\\u202egnorw" in page
    said = CliRunner().invoke(app, ["grade", str(tmp_path / "sub"), "--out", str(tmp_path / "out")])
    assert not set("\u202e\u2066\x1b") & set(said.output) and "a\\u202egnorw" in said.output


def test_whatever_a_record_holds_is_escaped(tmp_path):
    bad = "<script>`x`</script>'\"{{ 7 * 7 }}"
    record = {"student": "eve", "lesson": bad, "cells": [[bad, bad, bad]]}
    record["exercises"] = [
        {
            "id": bad,
            "title": bad,
            "points": 1,
            "max": 2,
            "note": bad,
            "status": "wrong",
            "parts": [[bad, 1, False, bad]],
        }
    ]
    page = student_page("eve", Graded([record], [("eve", bad, bad)], [], None, 0))  # type: ignore[arg-type]
    assert "<script>" not in page and "49" not in page and page.count("&lt;script&gt;") >= 8
    assert "<code>x</code>" in page
