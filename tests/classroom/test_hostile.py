"""Every attack earns nothing for what it cheats on, harms nothing, and lets the others be graded."""

from __future__ import annotations

import csv
import json
import os
import re
import time
from pathlib import Path

import hostile
import pytest
from class_of import QUICK, Listener, attacked, hand_in, points, slug

from mmcourse.classroom import sandbox as walls
from mmcourse.classroom.copies import copies
from mmcourse.classroom.feedback import return_feedback, write_reports
from mmcourse.classroom.grade import TooMuchComputing, computing_limit, grade
from mmcourse.classroom.hidden import OWN_NUMBERS, RAISED
from mmcourse.classroom.inside import wire
from mmcourse.classroom.similarity import similar_pairs
from mmcourse.classroom.submission import MOST_PARTS, code_cells, collect, notebook, safe_name
from mmcourse.classroom.untrusted import Unreadable

NAMES = list(hostile.attacks(Path("/nowhere"), 1))
HARMLESS = {"results", "sub"}


@pytest.fixture(scope="module")
def run(sandbox, tmp_path_factory):
    """Graded once: (folder, graded, attacks, listener, processes that were there before)."""
    folder = tmp_path_factory.mktemp("class")
    before = processes()
    graded, attacks, listener = attacked(folder)
    return folder, graded, attacks, listener, before


def processes() -> set[str]:
    """Sandboxes and workers that run on this machine."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"import worker" in (entry / "cmdline").read_bytes():
                found.add(entry.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("name", NAMES)
def test_attack_earns_nothing_and_costs_only_itself(run, name):
    folder, graded, attacks, _, _ = run
    earned = points(graded, slug(name))
    assert earned["start_here.1"] == 0, name
    honest = attacks[name].honest
    assert honest is None or earned["start_here.2"] + earned["start_here.3"] == honest


def test_the_run_goes_on(run):
    _, graded, attacks, _, _ = run
    for student in ("0-honest", "zz-honest"):
        assert sum(points(graded, student).values()) == 6
    assert len(graded.records) == len(attacks) + 2


def test_nothing_is_harmed(run):
    folder, graded, _, listener, before = run
    assert listener.visits == 0, "the network was reached"
    assert {path.name for path in folder.iterdir()} == HARMLESS
    expected = {".mmcourse.json", "grades.csv", "feedback", "journal", "summary.html", "summary.png"}
    assert {path.name for path in (folder / "results").iterdir()} == expected
    assert not (Path("/tmp/inputs").exists() or Path("/tmp/big").exists())
    # what runs now may belong to another test beside this one: that ends by itself, a process left behind does not
    left, end = processes() - before, time.monotonic() + 240
    while left := left & processes():
        assert time.monotonic() < end, f"processes left over: {left}"
        time.sleep(0.5)
    with (folder / "results" / "grades.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(graded.records) and {row["student"] for row in rows} >= {"0-honest", "zz-honest"}


def test_no_attack_stops_the_clock(run):
    _, graded, _, _, _ = run
    slow = {record["student"]: record["seconds"] for record in graded.records if record["seconds"] > QUICK.total + 15}
    assert not slow


def test_pages_show_what_students_wrote_as_text(run):
    folder = run[0] / "results"
    for path in [folder / "summary.html", *(folder / "feedback").iterdir()]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<(script|iframe|object|embed|svg|link|form)\b", text, re.IGNORECASE), path
        assert not re.search(r"<[^>]*\son\w+\s*=", text), path
        assert "default-src 'none'" in text
        assert not set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\x1b") & set(text), path
    turned = (folder / "feedback" / f"{slug('turns lines around in an error')}.html").read_text()
    assert "\\u202edlrow \\u2066olleh" in turned
    page = (folder / "feedback" / f"{slug('writes HTML into errors')}.html").read_text()
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


@pytest.mark.parametrize("name", ["sends inputs out by an error", "sends inputs out by the kind of error"])
def test_no_input_leaves_by_an_error(run, name):
    """The student's own numbers may be told the kind: the student has them. Hidden parts have one wording."""
    (record,) = (record for record in run[1].records if record["student"] == slug(name))
    hidden = {advice for part, _, _, advice in record["exercises"][0]["parts"] if part != OWN_NUMBERS}
    assert hidden == {RAISED}
    page = (run[0] / "results" / "feedback" / f"{slug(name)}.html").read_text()
    assert not re.search(r"0\.\d{3}", page) and len(re.findall(r"raised \w+Error", page)) <= 1


@pytest.mark.parametrize("name", ["reads solutions, checks and hidden tests", "reaches the network"])
def test_the_attack_would_work_without_walls(tmp_path, name):
    listener = Listener()
    attack = hostile.attacks(tmp_path / "results", listener.port)[name]
    hand_in(tmp_path / "sub", "eve", hostile.notebook(*attack.cells))
    graded = grade(tmp_path / "sub", tmp_path / "results", limits=QUICK, unsafe=True)
    assert points(graded, "eve")["start_here.1"] == 1, "the attack itself is broken: it proves nothing"


@pytest.mark.parametrize("name", hostile.SECOND_COPIES)
def test_a_second_copy_would_earn_the_point_were_it_not_hidden(sandbox, tmp_path, monkeypatch, name):
    """The attack in the sandbox itself, without the search for copies: so it is the search that holds it back."""
    out = tmp_path / "class" / "results"
    for site in hostile.lay_second_copies(out):
        monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(walls, "other_copies", lambda: ())
    hand_in(tmp_path / "sub", "eve", hostile.notebook(*hostile.seeks(out, hostile.SECOND_COPIES[name])))
    graded = grade(tmp_path / "sub", tmp_path / "results", limits=QUICK)
    assert points(graded, "eve")["start_here.1"] == 1, "the attack itself is broken: it proves nothing"


def test_copies_in_any_folder_that_is_shown_are_found(tmp_path):
    """As where one lies in /usr/lib or below Python's own folder, which a test cannot write to."""
    hostile.lay_second_copies(tmp_path / "class" / "results")
    folder = hostile.second_copies(tmp_path / "class" / "results")
    (folder / "lib/site-packages/mmcourse-0.1.dist-info").mkdir()
    (folder / "lib/site-packages/harmless/notebooks").mkdir(parents=True)
    (folder / "lib/site-packages/broken.zip").write_bytes(b"PK no zip")
    found = {str(path.relative_to(folder)) for path in copies([str(folder)])}
    assert found == {
        *(f"lib/site-packages/{name}" for name in ("mmcourse", "course_data/_lessons", "work/notebooks", "old")),
        *(f"lib/site-packages/{name}" for name in ("mmcourse-0.1-py3.11.egg", "cached/course.whl", "bundle")),
        "user/site-packages/mmcourse",
    }


@pytest.mark.parametrize("attack", [*hostile.HUB_ATTACKS, *hostile.OTHER_ATTACKS], ids=lambda attack: attack.name)
def test_every_row_without_a_notebook_names_a_test_that_exists(attack):
    file, name = attack.test.split("::")
    assert f"def {name}(" in (hostile.ROOT / file).read_text(encoding="utf-8")


def test_files_that_are_no_notebooks(sandbox, tmp_path):
    sub = tmp_path / "sub"
    bad = {
        "zip": b"PK\x03\x04" + bytes(1000),
        "empty": b"",
        "list": b"[]",
        "deep": b"[" * 100_000,
        "null": b'{"cells": null}',
        "latin": "é".encode("latin-1"),
        "huge": b" " * (21 << 20),
        "numbers": b'{"cells": [1, 2]}',
        "source": b'{"cells": [{"cell_type": "code", "source": 3}]}',
    }
    for name, data in bad.items():
        hand_in(sub, name, "").write_bytes(data)
    secret = tmp_path / "secret.ipynb"
    secret.write_text(hostile.notebook(hostile.HONEST, hostile.RIGHT))
    for name in ("link", "pipe", "folder"):
        (sub / name).mkdir()
    (sub / "link" / "00_start_here.ipynb").symlink_to(secret)
    (sub / "linked").symlink_to(tmp_path)
    os.mkfifo(sub / "pipe" / "00_start_here.ipynb")
    (sub / "folder" / "00_start_here.ipynb").mkdir()
    hand_in(sub, "zz", hostile.notebook(hostile.HONEST, hostile.RIGHT))
    graded = grade(sub, tmp_path / "results", limits=QUICK)
    assert [record["student"] for record in graded.records] == ["zz"] and sum(points(graded, "zz").values()) == 6
    assert {student for student, *_ in graded.problems} == {*bad, "link", "linked", "pipe"}


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "..", "=cmd|' calc'!A0", "a\nb", "ада", "x" * 200, "CON."]
)
def test_names_that_would_hurt_a_path_a_table_or_a_page(sandbox, tmp_path, name):
    folder = name if name != ".." else "..%2f..%2f"
    hand_in(tmp_path / "sub", folder, hostile.notebook(hostile.HONEST, hostile.RIGHT))
    graded = grade(tmp_path / "sub", tmp_path / "results", limits=QUICK)
    student = graded.records[0]["student"]
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", student) and len(student) < 64
    assert sum(points(graded, student).values()) == 6
    assert any("another is used" in why for _, _, why in graded.problems)


def test_names_of_files_that_are_no_text_or_act_on_a_page(without_sandbox, tmp_path):
    """Names as a file system allows them: any bytes but / and zero."""
    good = hostile.notebook(hostile.HONEST, hostile.RIGHT).encode()
    for folder, name, text in (
        (b"bytes", b"\xff\xfe 00_start_here.ipynb", good),
        (b"\xff\xffstudent", b"00_start_here.ipynb", good),
        (b"escapes", b"\x1b[2J\r00_start_here.ipynb", good),
        (b"broken", b"\xff\x1b]0;title\x07.txt", b"x"),
        (b"tags", b"<img src=x onerror=alert(1)>00_start_here.ipynb", b"x"),
        (b"turned", "\u202e00_start_here.ipynb".encode(), b"x"),
    ):
        box = os.path.join(os.fsencode(tmp_path / "sub"), folder)
        os.makedirs(box)
        with open(os.path.join(box, name), "wb") as file:
            file.write(text)
    graded = grade(tmp_path / "sub", tmp_path / "results")
    assert {record["student"] for record in graded.records} == {"bytes", safe_name("\udcff\udcffstudent"), "escapes"}
    assert {student for student, *_ in graded.problems} >= {"broken", "tags", "turned"}
    write_reports(graded, tmp_path / "results")
    for page in (tmp_path / "results").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<img src=x" not in text and not set("\x1b\x07\r\u202e") & set(text), page


def test_marks_that_nobody_sealed(without_sandbox, tmp_path):
    for name, mark in {
        "surrogates": {"lesson": "\ud800", "student": "\udfff", "seal": "\ud800" * 10},
        "path": {"lesson": "00_start_here", "student": "../../etc/passwd", "seal": "0" * 32},
        "another": {"lesson": "00_start_here", "student": "zz", "seal": "0" * 32},
        "kinds": {"lesson": ["00_start_here"], "student": {}, "seal": 10**300},
        "nothing": None,
    }.items():
        hand_in(tmp_path / "sub", name, hostile.notebook(hostile.HONEST, hostile.RIGHT, mmcourse=mark))
    hand_in(tmp_path / "sub", "zz", hostile.notebook(hostile.HONEST))
    graded = grade(tmp_path / "sub", tmp_path / "results")
    earned = {record["student"]: record["exercises"][0]["points"] for record in graded.records}
    assert earned == {"surrogates": 1, "path": 1, "another": 1, "kinds": 1, "nothing": 1, "zz": 0}


@pytest.mark.parametrize("cells", ["{}", "[[]]", '{"cell_type":"code","source":[]}'])
def test_notebooks_of_millions_of_parts_are_refused_before_they_are_built(tmp_path, cells):
    parts = ",".join([cells] * (MOST_PARTS // cells.count("[") if "[" in cells else MOST_PARTS))
    start = time.process_time()
    with pytest.raises(Unreadable, match="parts"):
        notebook(f'{{"metadata": {{}}, "cells": [{parts}]}}'.encode())
    assert time.process_time() - start < 1


def test_cells_whose_text_is_no_text_are_damaged():
    book = {"cells": [{"cell_type": "code", "source": [["x = 1"]]}]}
    with pytest.raises(Unreadable, match="damaged"):
        code_cells(json.dumps(book).encode())


@pytest.mark.parametrize(
    "cell", ["from mmcourse import check, ceilings as c", "import mmcourse.ceilings", "from mmcourse.ceilings import x"]
)
def test_the_summary_names_who_uses_more_of_the_course_than_was_handed_out(without_sandbox, tmp_path, cell):
    """The library has what some exercises ask for. No wall helps: a function can be copied as well as called."""
    hand_in(tmp_path / "sub", "eve", hostile.notebook(hostile.HONEST, cell, hostile.RIGHT))
    hand_in(tmp_path / "sub", "zz", hostile.notebook(hostile.HONEST, hostile.RIGHT))
    graded = grade(tmp_path / "sub", tmp_path / "results")
    summary = write_reports(graded, tmp_path / "results").read_text(encoding="utf-8")
    assert summary.count("uses mmcourse.ceilings, which") == 1
    page = (tmp_path / "results" / "feedback" / "eve.html").read_text(encoding="utf-8")
    assert "ceilings" not in page, "a reason for the instructor to look, no verdict"


def test_folders_without_end_cost_only_themselves(tmp_path, monkeypatch):
    for student in ("deep", "many", "zz"):
        hand_in(tmp_path, student, hostile.notebook(hostile.HONEST))
    monkeypatch.chdir(tmp_path / "deep")
    for _ in range(1200):
        os.mkdir("a")
        os.chdir("a")
    for k in range(300):
        (tmp_path / "many" / f"{k}.txt").touch()
    found = list(collect(tmp_path, ["00_start_here"]))
    for _ in range(1200):  # too deep for who tidies up
        os.chdir("..")
        os.rmdir("a")
    assert [one.student for one in found if not one.problem] == ["deep", "many", "zz"] and len(found) < 250


@pytest.mark.parametrize("kind", ["files", "files in folders", "depth", "folders"])
def test_what_is_left_unread_is_said_once_and_a_notebook_comes_first(tmp_path, kind):
    places = {
        "files": [f"000{k}.png" for k in range(250)],
        "files in folders": [f"a{k // 90}/{k}.png" for k in range(270)],
        "depth": ["/".join("abcdefghij") + "/work.png"],
        "folders": [f"a{k}/work.png" for k in range(60)],
    }
    for place in places[kind]:
        (tmp_path / "eve" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "eve" / place).touch()
    found = list(collect(tmp_path, ["00_start_here"]))
    said = [one.problem for one in found if one.problem.startswith("not read: ")]
    assert len(said) == 1 and "hand in the notebook alone" in said[0]
    handed = hand_in(tmp_path, "eve", hostile.notebook(hostile.HONEST))
    found = list(collect(tmp_path, ["00_start_here"]))
    assert [one.path.name for one in found if not one.problem] == [handed.name]


def test_a_students_folder_is_read_up_to_a_size_in_all(tmp_path):
    for k in range(5):
        hand_in(tmp_path, "eve", "", f"{k}.txt").write_bytes(b"x" * (15 << 20))
    hand_in(tmp_path, "zz", hostile.notebook(hostile.HONEST))
    found = list(collect(tmp_path, ["00_start_here"]))
    assert sum("more than 60 MB" in one.problem for one in found) == 1 and not found[-1].problem


def test_nobody_takes_the_place_of_another(tmp_path):
    for student in ("a b", safe_name("a b")):
        hand_in(tmp_path, student, hostile.notebook(hostile.HONEST))
    found = {one.path.parent.name: one.student for one in collect(tmp_path, ["00_start_here"]) if not one.problem}
    assert found[safe_name("a b")] == safe_name("a b") != found["a b"]


def test_code_without_end_is_not_compared_to_its_end():
    start = time.process_time()
    endless = "\n".join(f"x{k} {'+-*/%|&^'[k % 8]} y{k % 13}[{'abc'[k % 3]}]" for k in range(200_000))
    assert similar_pairs([("eve", [endless]), ("mallory", [""] * 1_000_000)], []) == []
    assert time.process_time() - start < 20


def test_what_lies_in_the_way_of_a_page_is_not_followed(tmp_path):
    (tmp_path / "feedback").mkdir()
    kept = tmp_path / "kept.txt"
    kept.write_text("kept")
    for name in ("link", "page", "pipe", "folder", "zz"):
        (tmp_path / "feedback" / f"{name}.html").write_text(name)
        (tmp_path / "back" / name).mkdir(parents=True)
    (tmp_path / "back/link/.feedback.html.part").symlink_to(kept)
    (tmp_path / "back/page/feedback.html").symlink_to(kept)
    os.mkfifo(tmp_path / "back/pipe/.feedback.html.part")
    (tmp_path / "back/folder/feedback.html").mkdir()
    assert return_feedback(tmp_path, tmp_path / "back") == ["link", "page", "pipe", "zz"] and kept.read_text() == "kept"


@pytest.mark.parametrize(
    "key",
    [
        lambda k: {"int": str(k * (2**61 - 1))},
        lambda k: {"tuple": [{"int": "7"}, {"int": str(k * (2**61 - 1))}]},
        lambda k: {"frozenset": [{"int": str(k * (2**61 - 1))}]},
    ],
)
@pytest.mark.parametrize("kind", ["dict", "set"])
def test_a_message_of_many_colliding_keys_is_given_up_in_time(key, kind):
    """Each dict is small enough by itself; all of them cost 12 s."""
    members = [[key(k), None] if kind == "dict" else key(k) for k in range(1, 9000)]
    start = time.thread_time()
    with pytest.raises(ValueError, match="takes too long"):
        while True:
            wire.decode({"list": [{kind: members}] * 50}, end=start + 0.5)
    assert time.thread_time() - start < 2


def test_a_judge_that_is_kept_busy_gives_up_in_time():
    start = time.process_time()
    with pytest.raises(TooMuchComputing), computing_limit(0.3):
        while True:
            try:
                sum(range(1000))
            except Exception:  # as checks do
                pass
    assert time.process_time() - start < 2
    with computing_limit(0.1):
        time.sleep(0.3)  # waiting costs nothing
