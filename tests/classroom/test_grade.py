"""From notebooks in folders to grades, pages and a summary: partial credit, odd notebooks, going on after a kill."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from class_of import QUICK, hand_in, points
from hostile import HONEST, RIGHT, ZERO, notebook
from typer.testing import CliRunner

from mmcourse.authoring import select
from mmcourse.classroom import grade as grading
from mmcourse.classroom.feedback import as_csv, rows, write_reports
from mmcourse.classroom.grade import grade
from mmcourse.classroom.release import release
from mmcourse.classroom.similarity import similar_pairs, tokens
from mmcourse.classroom.submission import code_cells
from mmcourse.cli import app

PARTLY = "def bayes_accuracy(joint):\n    return joint[:, : len(joint)].max(axis=0).sum()\n"


def handed(folder: Path, **notebooks: str) -> Path:
    for student, text in notebooks.items():
        hand_in(folder / "sub", student, text)
    return folder / "sub"


def test_what_cannot_be_read_was_handed_in(tmp_path):
    """The table tells a damaged file from no file; the page says what is wrong with it."""
    done = graded(tmp_path, ada="{")
    assert {row[5] for row in rows(done)} == {"unreadable"}
    assert done.problems[0][0] == "ada"


def test_a_process_that_grades_starts_without_what_only_a_release_or_an_answer_needs():
    """Each of the processes that grade a class side by side imports this."""
    code = "import sys, mmcourse.classroom.grade as g; print({'jupytext', 'torch', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.fixture(scope="module")
def lesson(course):
    return select(["start_here"], course)[0]


def graded(folder: Path, **notebooks: str):
    return grade(handed(folder, **notebooks), folder / "out", limits=QUICK)


def test_the_solution_earns_all_and_the_blank_nothing(sandbox, tmp_path, lesson):
    done = graded(tmp_path, ada=lesson.solution.read_text(), ben=lesson.exercise.read_text())
    assert points(done, "ada") == {"start_here.1": 1, "start_here.2": 2, "start_here.3": 3}
    assert points(done, "ben") == {"start_here.1": 0, "start_here.2": 0, "start_here.3": 0}
    assert {x["status"] for x in done.records[1]["exercises"]} == {"not attempted"}
    assert not done.problems and not done.records[0]["cells"]


def test_parts_give_partial_credit(sandbox, tmp_path):
    done = graded(tmp_path, ada=notebook(HONEST, PARTLY))
    first = done.records[0]["exercises"][0]
    assert 0 < first["points"] < first["max"] and first["status"] == "partial"
    weights = {ok: sum(weight for _, weight, passed, _ in first["parts"] if passed == ok) for ok in (True, False)}
    assert first["points"] == round(weights[True] / (weights[True] + weights[False]), 2)


def test_a_cell_that_breaks_costs_only_what_needs_it(sandbox, tmp_path):
    broken = ["import nowhere", "1 / 0", "def late_fusion(:", "worth_it = late_fusion = None"]
    done = graded(tmp_path, ada=notebook(HONEST, RIGHT, *broken[:3]), ben=notebook(HONEST, RIGHT, broken[3]))
    assert sum(points(done, "ada").values()) == 6
    cells = done.records[0]["cells"]
    assert [cell for cell, _, _ in cells] == [3, 4, 5]
    assert [what.split(":")[0] for _, _, what in cells] == ["ModuleNotFoundError", "ZeroDivisionError", "SyntaxError"]
    assert points(done, "ben") == {"start_here.1": 1, "start_here.2": 0, "start_here.3": 0}


ODD = {
    "reordered": notebook("print(helper(2))", "x = np.array([1])", HONEST, "def helper(n): return n", RIGHT),
    "magics": notebook("%matplotlib inline\n!pip install x\nnp?", "%%time\nimport numpy as np", HONEST, RIGHT),
    "no-checks": notebook(HONEST.replace("from mmcourse.check import check", ""), RIGHT),
    "other-kernel": notebook(HONEST, RIGHT, kernelspec={"name": "ir", "language": "R", "display_name": "R"}),
    "colab": notebook(HONEST, RIGHT, colab={"provenance": []}, accelerator="GPU"),
    "bom": "\ufeff" + notebook(HONEST, RIGHT),
    "lines": notebook(HONEST, RIGHT).replace(json.dumps(RIGHT), json.dumps(RIGHT.splitlines(keepends=True))),
    "windows": notebook(HONEST.replace("\n", "\r\n"), RIGHT),
    "extra-keys": json.dumps({**json.loads(notebook(HONEST, RIGHT)), "nbformat": 99, "more": [1]}),
    "format-3": json.dumps(
        {
            "worksheets": [
                {"cells": [{"cell_type": "code", "input": x, "language": "python"} for x in (HONEST, RIGHT)]}
            ],
            "nbformat": 3,
        }
    ),
    "display": notebook(HONEST, "display(np.zeros(3))\nfrom IPython.display import Audio", RIGHT),
    "forms": notebook("#@title Setup { run: 'auto' }\nx = 1 #@param {type:'integer'}", HONEST, RIGHT),
}


def test_notebooks_as_students_hand_them_in(sandbox, tmp_path):
    done = graded(tmp_path, **ODD)
    assert {r["student"] for r in done.records} == set(ODD)
    totals = [sum(x["points"] for x in record["exercises"]) for record in done.records]
    assert totals == [6] * len(ODD), [(r["student"], r["cells"]) for r in done.records]


@pytest.mark.parametrize("name", ["Copy of 00_start_here (1).ipynb", "00_start_here_ada.ipynb", "homework.ipynb"])
def test_a_renamed_notebook_is_recognized(sandbox, tmp_path, name):
    hand_in(tmp_path / "sub", "ada", notebook(HONEST, RIGHT, 'check("start_here.1", bayes_accuracy)'), name)
    done = grade(tmp_path / "sub", tmp_path / "out", limits=QUICK)
    assert sum(points(done, "ada").values()) == 6


def test_of_two_notebooks_the_one_with_the_right_name_counts(sandbox, tmp_path):
    hand_in(tmp_path / "sub", "ada", notebook(ZERO), "zz 00_start_here copy.ipynb")
    hand_in(tmp_path / "sub", "ada", notebook(HONEST, RIGHT))
    done = grade(tmp_path / "sub", tmp_path / "out", limits=QUICK)
    assert sum(points(done, "ada").values()) == 6
    assert [file for _, file, why in done.problems if "left out" in why] == ["zz 00_start_here copy.ipynb"]


def test_a_release_gives_points_variants_and_the_roster(sandbox, tmp_path):
    (tmp_path / "roster.csv").write_text("student\nada\nben\n")
    release(["00"], tmp_path / "rel", tmp_path / "roster.csv", "start_here.1=10")
    hand_in(tmp_path / "rel" / "submitted", "ada", notebook(HONEST, RIGHT))
    hand_in(tmp_path / "rel" / "submitted", "stranger", notebook(HONEST, RIGHT))
    done = CliRunner().invoke(app, ["grade", str(tmp_path / "rel"), "--out", str(tmp_path / "out"), "--jobs", "1"])
    assert done.exit_code == 0, done.output
    with (tmp_path / "out" / "grades.csv").open(newline="") as file:
        table = {(row["student"], row["exercise"]): row for row in csv.DictReader(file)}
    assert (
        table["ada", "start_here.1"]["points"] == "10.0" and table["ben", "start_here.1"]["status"] == "not handed in"
    )
    assert "not on the roster" in (tmp_path / "out" / "summary.html").read_text()
    assert (tmp_path / "out" / "feedback" / "ben.html").is_file()


def test_a_release_for_everyone_says_where_to_collect(sandbox, tmp_path):
    made = tmp_path / "rel"
    release(["00"], made)
    for more in ([], ["--release", str(made)]):
        done = CliRunner().invoke(app, ["grade", str(made), "--out", str(tmp_path / "out"), *more])
        assert done.exit_code == 2 and f"mmcourse grade handed_in --release {made}" in " ".join(done.output.split())


def test_a_release_named_twice_is_named_once(sandbox, tmp_path):
    made = tmp_path / "rel"
    release(["00"], made)
    hand_in(made / "submitted", "ada", notebook(HONEST, RIGHT, 'check("start_here.1", bayes_accuracy)'))
    command = ["grade", str(made), "--release", str(made), "--out", str(tmp_path / "out"), "--jobs", "1"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and "1 submissions of 1 students" in done.output


# ---------------------------------------------------------------- going on
def without_times(out: Path) -> list[list[str]]:
    with (out / "grades.csv").open(newline="") as file:
        return [row[:4] + row[5:] for row in csv.reader(file)]


def test_only_what_changed_is_graded_again(sandbox, tmp_path):
    first = graded(tmp_path, ada=notebook(HONEST, RIGHT), ben=notebook(HONEST, ZERO))
    write_reports(first, tmp_path / "out")
    before = (tmp_path / "out" / "grades.csv").read_bytes()
    again = graded(tmp_path)
    write_reports(again, tmp_path / "out")
    assert (first.done_now, again.done_now) == (2, 0)
    assert (tmp_path / "out" / "grades.csv").read_bytes() == before
    assert graded(tmp_path, ben=notebook(HONEST, RIGHT)).done_now == 1
    journal = tmp_path / "out" / "journal" / "ada__00_start_here.json"
    journal.write_text(journal.read_text()[:50])  # as a full disk leaves it
    assert graded(tmp_path).done_now == 1


def test_settings_and_the_grader_itself_belong_to_what_is_kept(sandbox, tmp_path, monkeypatch):
    graded(tmp_path, ada=notebook(HONEST, RIGHT))
    monkeypatch.setattr(grading, "code_version", lambda lesson: "other")
    assert graded(tmp_path).done_now == 1
    assert grade(tmp_path / "sub", tmp_path / "out").done_now == 1


def test_killed_and_started_again_it_goes_on_with_the_same_result(sandbox, tmp_path):
    texts = [notebook(HONEST, RIGHT), notebook(HONEST, ZERO), notebook(HONEST, PARTLY), notebook("1/0", RIGHT)]
    sub = handed(tmp_path, **{f"s{k}": texts[k % 4] for k in range(8)})
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    secret = tmp_path / "secret.txt"
    secret.write_text("the same secret for both")
    command = [sys.executable, "-m", "mmcourse.cli", "grade", str(sub), "--secret", str(secret)]
    command += ["--hidden-seed", "7", "--jobs", "2", "--out"]
    running = subprocess.Popen([*command, str(cut)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while done_in(cut) < 2 and running.poll() is None:
        time.sleep(0.01)
    running.kill()
    assert running.wait() == -signal.SIGKILL and not (cut / "grades.csv").exists()
    kept = done_in(cut)
    last = subprocess.run([*command, str(cut), "--jobs", "1"], check=True, capture_output=True, text=True)
    assert 2 <= kept < 8 and f"{8 - kept} graded now" in last.stdout
    write_reports(grade(sub, whole, secret=secret, hidden_seed="7"), whole)
    assert without_times(cut) == without_times(whole) and done_in(cut) == 8


def done_in(out: Path) -> int:
    """Submissions whose grading was finished so far."""
    return len([path for path in (out / "journal").glob("*.json") if not path.name.startswith(".")])


# ---------------------------------------------------------------- what comes out
@pytest.fixture(scope="module")
def pages(sandbox, tmp_path_factory, lesson):
    folder = tmp_path_factory.mktemp("pages")
    wrong = notebook(HONEST, RIGHT.replace("axis=0", "axis=1"), "raise ValueError('<b>mine</b>')")
    texts = {"ada": notebook(HONEST, RIGHT), "ben": wrong, "cleo": wrong, "dan": lesson.exercise.read_text()}
    done = graded(folder, **texts)
    write_reports(done, folder / "out")
    return done, folder / "out"


def test_a_student_reads_parts_and_advice_and_nothing_hidden(pages):
    done, out = pages
    page = (out / "feedback" / "ben.html").read_text()
    assert "largest value of each row" in page and "more cues than labels" in page and "0 of 1" in page
    assert "&lt;b&gt;mine&lt;/b&gt;" in page and "cell 3, line 1" in page and done.release.secret not in page
    for student in ("ada", "ben", "dan"):
        text = (out / "feedback" / f"{student}.html").read_text()
        shown = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
        assert not re.search(r"expected|Called as|array\(|\d\.\d{3}|max\(axis=0\)", shown), (
            "an input, value or solution"
        )
        assert "ben" not in text or student == "ben"


def test_the_summary_shows_what_an_instructor_asks(pages):
    _, out = pages
    page = (out / "summary.html").read_text()
    assert "Grades of 4 students" in page and "largest value of each row" in page and "(2)" in page
    assert "ben, cleo" in page and (out / "summary.png").read_bytes()[:4] == b"\x89PNG"
    assert '<a href="feedback/ada.html">' in page


def test_the_table_has_a_row_for_each_student_and_exercise(pages):
    done, out = pages
    table = list(csv.reader((out / "grades.csv").open(newline="")))
    assert table[0] == ["student", "exercise", "points", "max", "seconds", "status"]
    assert len(table) == 1 + 4 * 3 and as_csv(rows(done)) == (out / "grades.csv").read_text()


def test_look_alikes_are_found_under_other_names_numbers_and_order(lesson):
    own = ["def f(a):\n    total = 0\n    for row in a:\n        total += max(row) * 2\n    return total / len(a)"]
    own += ["def g(x, y):\n    best = [p if p > q else q for p, q in zip(x, y)]\n    return sorted(best)[::-1][:3]"]
    renamed = [text.replace("total", "s").replace("best", "b").replace("2", "3") + "  # mine" for text in own[::-1]]
    other = ["import numpy as np\ndef f(a):\n    return 2 * np.asarray(a).max(axis=1).mean()"]
    other += [
        "def g(x, y):\n    z = np.maximum(x, y)\n    z.sort()\n    return list(z)[:-4:-1] + [len(z), min(z), z.sum()]"
    ]
    found = similar_pairs([("ada", own), ("ben", renamed), ("cleo", other)], blank=["import numpy as np"])
    assert [(a, b) for _, a, b in found] == [("ada", "ben")] and found[0][0] > 0.9
    blank = code_cells(lesson.exercise.read_bytes())
    assert similar_pairs([("ada", blank), ("ben", blank)], blank) == [], "who wrote nothing is like nobody"
    assert tokens(["x = (", "def f(:", '"'])[:3] == ["n0", "=", "("]


def test_the_command_refuses_with_one_line(sandbox, tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        done = CliRunner().invoke(app, ["grade", str(folder), "--out", str(tmp_path / "out")])
        assert done.exit_code == 2 and "one folder for each student" in done.output
    done = CliRunner(env={"PATH": ""}).invoke(app, ["grade", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and "bubblewrap (bwrap) is not installed" in done.output
