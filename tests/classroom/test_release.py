"""`mmcourse release`: written atomically, each student's own numbers, and nothing given away."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from mmcourse import authoring
from mmcourse.authoring.source import BEGIN, BLANK, END, SourceError, read
from mmcourse.classroom.release import EVERYONE, read_release, release
from mmcourse.classroom.roster import read_points, read_roster
from mmcourse.classroom.variants import assign, fill, space, variant_cells
from mmcourse.exercise.mutants import source_of
from mmcourse.exercise.notebook import with_markers
from mmcourse.exercise.registry import load

LESSONS = [x.slug for x in authoring.lessons() if x.has_exercises and x.exercise.is_file()]
SECRET = "a secret for tests only"


@pytest.fixture
def settings(tmp_path: Path) -> dict:
    """Three students and a fixed secret."""
    (tmp_path / "roster.csv").write_text("name,student\nAda L.,ada\n\nBen K.,ben\nC,s-0042@uni.edu\n", encoding="utf-8")
    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    return {"to": tmp_path / "out", "roster": tmp_path / "roster.csv", "secret": tmp_path / "secret"}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of every lesson for two students."""
    folder = tmp_path_factory.mktemp("all")
    (folder / "roster.csv").write_text("student\nada\nben\n", encoding="utf-8")
    (folder / "secret").write_text(SECRET, encoding="utf-8")
    release(LESSONS, folder / "out", folder / "roster.csv", secret=folder / "secret")
    return folder / "out"


# ---------------------------------------------------------------- what is written
def test_what_a_release_holds(settings: dict):
    made = release(["00", "01"], points="start_here.1=4,images.2=0.5", **settings)
    out = settings["to"]
    books = [f"{name}.ipynb" for name in ("00_start_here", "01_images")]
    inputs = "images.challenge_inputs.npz"
    students = [f"students/{s}/{b}" for s in ("ada", "ben", "s-0042@uni.edu") for b in (*books, inputs)]
    rest = [
        f"instructor/{inputs}",
        "instructor/secret.txt",
        "points.csv",
        "release.json",
        *(f"solutions/{b}" for b in books),
    ]
    assert set(tree(out)) == {*students, *rest}
    assert (out / "points.csv").read_text().splitlines()[:2] == [
        "exercise,lesson,title,points",
        "start_here.1,00_start_here,The best accuracy there is,4",
    ]
    assert "images.2,01_images,How strong is the edge?,0.5" in (out / "points.csv").read_text()
    assert [x.answer for x in made.exercises if x.lesson == "00_start_here"] == [
        "bayes_accuracy", "late_fusion", "worth_it"
    ]  # fmt: skip
    assert read_release(out) == made and made.students == ("ada", "ben", "s-0042@uni.edu")
    text = nbformat.read(out / students[0], as_version=4)
    assert (
        "**9 points" in text.cells[0].source and "5 minutes · 4 points" in text.cells[3].source + text.cells[4].source
    )


def test_the_secret_is_kept_apart(settings: dict):
    release(["00"], settings["to"], settings["roster"])
    out = settings["to"]
    secret = (out / "instructor" / "secret.txt").read_text().strip()
    assert len(secret) >= 32 and oct((out / "instructor/secret.txt").stat().st_mode)[-3:] == "600"
    assert not [name for name, data in tree(out).items() if secret.encode() in data and name != "instructor/secret.txt"]


@pytest.mark.parametrize("number", LESSONS)
def test_student_notebooks_give_nothing_away(everything: Path, number: str):
    lesson = authoring.select([number])[0]
    source = read(lesson.exercise_source)
    solved = [line.strip() for cell in source.cells for line in _solution(cell.source)]
    secrets = [line for line in solved if len(line) > 20 and not line.startswith(("return ", "for ", "if "))]
    hidden = _never_shown(lesson)
    for student in ("ada", "ben"):
        nb = nbformat.read(everything / "students" / student / lesson.exercise.name, as_version=4)
        code = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "code")
        assert not [line for line in secrets if line in code]
        assert hidden and not [line for line in hidden if len(line.strip()) > 30 and line.strip() in code]
        text = nbformat.writes(nb)
        assert not [word for word in ("SOLUTION", "HIDDEN", "# of:", "../", "colab-badge", SECRET) if word in text]
        assert not [cell for cell in nb.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
        assert code.count("your turn") + code.count("...") >= 1


def _never_shown(lesson: authoring.Lesson) -> list[str]:
    """Lines that draw inputs, make mistakes or answer otherwise: all but references and text."""
    made = load(lesson.exercise_source)
    others = [x.draw for x in made.exercises if x.draw] + [answer for x in made.exercises for answer in x.right]
    lines = "\n".join(map(source_of, others)).splitlines()
    classes = [with_markers(source_of(x.reference)) for x in made.exercises if isinstance(x.reference, type)]
    # the blank of a class gives its frame, the signatures of its methods, which other answers repeat
    frame = {line for text in classes for line in set(text.splitlines()) - set(_solution(text))}
    lines = [line for line in lines if line not in frame]
    return [*lines, *(mistake.message for x in made.exercises for mistake in x.mistakes)]


def _solution(text: str) -> list[str]:
    lines, inside = [], False
    for line in text.split("\n"):
        inside = (inside or line.strip() == BEGIN) and line.strip() != END
        if inside and line.strip() != BEGIN and not line.strip().startswith(BLANK):
            lines.append(line)
    return lines


# ---------------------------------------------------------------- variants
@pytest.mark.parametrize("number", LESSONS)
def test_every_variant_of_an_exercise_is_another_case(number: str):
    source = read(authoring.select([number])[0].exercise_source)
    cells = variant_cells(source)
    for exercise, index in cells.items():
        found = space(source.cells[index].source)
        values = [dict(zip(found.choices, v, strict=True)) for v in itertools.product(*found.choices.values())][:200]
        cases = {repr(_plain(_case(fill(exercise, source.cells[index].source, v)))) for v in values}
        assert len(cases) == len(values) >= 20, f"{exercise}: two variants give the same case"
        assert found.default in values or len(values) == 200


def _case(text: str) -> tuple:
    names: dict = {"np": np, "print": lambda *_, **__: None}
    exec(text, names)
    return names["yours"]


def _plain(value: object) -> object:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def test_the_same_student_always_gets_the_same_variant_and_no_neighbor_has_it(settings: dict):
    made = release(["00"], **settings)
    shutil.rmtree(settings["to"])
    again = release(["00", "01"], **settings)
    for exercise in ("start_here.1", "start_here.2", "start_here.3"):
        given = [made.variant(student, exercise) for student in made.students]
        assert given == [again.variant(student, exercise) for student in made.students]
        assert given[0] != given[1] != given[2]
        nb = nbformat.read(settings["to"] / "students/ben/00_start_here.ipynb", as_version=4)
        assert f"seed = {given[1]['seed']}\n" in "\n".join(cell.source for cell in nb.cells)
        assert nb.metadata.mmcourse.variants[exercise] == given[1]


def test_neighbors_differ_even_where_there_are_two_values():
    students = [f"student{k}" for k in range(300)]
    two = space("k = 1  # of: 1, 2")
    given = [assign(SECRET, "start_here.1", students, two)[s]["k"] for s in students]
    assert all(a != b for a, b in itertools.pairwise(given))
    wide = space('k = 1  # of: 1 to 9\nname = "a"  # of: "a", "b"')
    one, next_one = (list(assign(SECRET, x, students, wide).values()) for x in ("start_here.1", "start_here.2"))
    assert all(a != b for a, b in itertools.pairwise(one))
    together = np.mean([a["k"] == b["k"] for a, b in zip(one, next_one, strict=True)])
    assert 0.04 < together < 0.2, "assignments of two exercises are independent"
    assert {x["k"] for x in one} == set(range(1, 10)) and {x["name"] for x in one} == {"a", "b"}
    longer = assign(SECRET, "start_here.1", [*students, "late"], wide)
    assert [longer[s] for s in students] == one, "who comes later changes nobody's"


def test_without_a_roster_there_is_one_notebook_with_the_usual_values(settings: dict):
    made = release(["00"], settings["to"], secret=settings["secret"])
    assert made.students == EVERYONE and made.variant("everyone", "start_here.1") == {"seed": 1}
    assert (settings["to"] / "students/everyone/00_start_here.ipynb").is_file()
    assert made.variant("a stranger", "start_here.1") == {"seed": 1} and made.variant("ada", "99.1") == {}


@pytest.mark.parametrize("cell", ["seed = 1", "seed = 1  # of: 1 to 1", "seed = 1  # of: one, two"])
def test_a_variant_cell_without_a_space_is_refused(cell: str, tmp_path: Path):
    path = tmp_path / "42_x.py"
    path.write_text(f'# %% [markdown]\n# # X\n\n# %% tags=["variant"]\n{cell}\n\n# %%\ncheck("42.1", f)\n', "utf-8")
    with pytest.raises(SourceError, match=r"42_x.py:5: .*(1 to 500|2, 3, 5)"):
        variant_cells(read(path))


# ---------------------------------------------------------------- written atomically
def test_the_same_settings_again_change_nothing_and_others_are_refused(settings: dict):
    release(["00"], **settings)
    before = tree(settings["to"])
    release(["00"], **settings)
    release(["00"], settings["to"], settings["roster"])  # the secret of the release itself
    for other in ({"points": "start_here.1=9"}, {"format": "nbgrader"}, {"numbers": ["00", "01"]}):
        with pytest.raises(ValueError, match="other settings; choose another folder"):
            release(**{"numbers": ["00"], **settings, **other})
    settings["secret"].write_text("another secret for tests", encoding="utf-8")
    with pytest.raises(ValueError, match="other settings"):
        release(["00"], **settings)
    assert tree(settings["to"]) == before


def test_a_folder_with_other_things_is_left_alone(settings: dict):
    settings["to"].mkdir()
    (settings["to"] / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="not empty; choose a new folder"):
        release(["00"], **settings)
    assert list(tree(settings["to"])) == ["thesis.tex"]
    with pytest.raises(ValueError, match="where the lessons themselves lie"):
        release(["00"], authoring.notebooks_dir() / "exercises" / "new")


def test_a_release_that_breaks_off_leaves_nothing(settings: dict, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("mmcourse.classroom.release.atomic_write", full)
    before = set(settings["to"].parent.iterdir())
    with pytest.raises(OSError, match="No space left"):
        release(["00"], **settings)
    assert set(settings["to"].parent.iterdir()) == before


def test_killed_at_any_moment_it_is_there_or_not(settings: dict):
    command = [sys.executable, "-m", "mmcourse.cli", "release", "00", "--to", str(settings["to"]), "--roster"]
    for seconds in (0.6, 1.2, 1.8):
        process = subprocess.Popen([*command, str(settings["roster"])], stdout=subprocess.DEVNULL)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, 9)
            process.wait()
        assert not settings["to"].exists() or read_release(settings["to"]).students[0] == "ada"
    release(["00"], settings["to"], settings["roster"])
    assert len(tree(settings["to"])) == 7


def test_a_changed_secret_is_seen(settings: dict):
    release(["00"], **settings)
    (settings["to"] / "instructor/secret.txt").write_text("something else, long enough", encoding="utf-8")
    with pytest.raises(ValueError, match="put the right one back"):
        read_release(settings["to"])
    with pytest.raises(FileNotFoundError, match="is no release"):
        read_release(settings["roster"].parent)


# ---------------------------------------------------------------- what people type
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("student\nada\nbob\nAda\n", "line 4: student 'Ada' is on line 2 already"),
        ("student\nada\n''\n \n,\n", "line 3"),
        ('student,name\nada,A\n"",B\n', "line 3: student '' is empty"),
        ("student\n../../etc\n", "line 2: .*cannot be a folder's name"),
        ("student\n/root\n", "cannot be a folder's name"),
        ("student\n..\n", "cannot be a folder's name"),
        ("student\n.hidden\n", "cannot be a folder's name"),
        ("student\n-rf\n", "cannot be a folder's name"),
        ("student\na b\n", "cannot be a folder's name"),
        ("student\nCON\n", "cannot be a folder's name"),
        ("student\na\\b\n", "cannot be a folder's name"),
        ("student\n\u0430da\n", "CYRILLIC SMALL LETTER A; use plain letters"),
        ("student\na\u200bda\n", "ZERO WIDTH SPACE"),
        ("student\n\uff41da\n", "FULLWIDTH LATIN SMALL LETTER A"),
        ("student\nad\ta\n", "0x9"),
        (f"student\n{'a' * 65}\n", "has 65 characters; at most 64"),
        ("student\n", "no students"),
        ("", "line 1: expected a column 'student'"),
        ("name\nada\n", "line 1: expected a column 'student'; got"),
    ],
)
def test_a_bad_roster_is_named_by_its_line(text: str, said: str, tmp_path: Path):
    path = tmp_path / "roster.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        read_roster(path)


def test_rosters_as_spreadsheets_save_them(tmp_path: Path):
    path = tmp_path / "roster.csv"
    path.write_bytes("\ufeffstudent,name\r\n ada ,Ada\r\n\r\nben,\u00c9va\r\n".encode())
    assert read_roster(path) == ["ada", "ben"]
    path.write_bytes(b"student\n\xff\xfe\n")
    with pytest.raises(ValueError, match="not UTF-8 text"):
        read_roster(path)


def test_points_are_read_and_refused_by_name(tmp_path: Path):
    path = tmp_path / "points.csv"
    path.write_text("exercise,points\nstart_here.1,2\nstart_here.2,0.5\n", encoding="utf-8")
    assert read_points(str(path), ["start_here.1", "start_here.2"]) == {"start_here.1": 2, "start_here.2": 0.5}
    for text, said in {
        "start_here.9=1": "no exercise 'start_here.9'",
        "start_here.1=0": "above 0",
        "start_here.1=much": "got 'much'",
    }.items():
        with pytest.raises(ValueError, match=said):
            read_points(text, ["start_here.1"])
    with pytest.raises(FileNotFoundError):
        read_points(str(tmp_path / "missing.csv"), ["start_here.1"])


def test_the_command_says_what_it_made_and_what_is_wrong(settings: dict):
    command = [sys.executable, "-m", "mmcourse.cli", "release", "00", "--to", str(settings["to"])]
    run = subprocess.run([*command, "--roster", "nobody.csv"], capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "nobody.csv" in run.stderr
    run = subprocess.run([*command, "--roster", str(settings["roster"])], capture_output=True, text=True)
    assert run.returncode == 0 and "00_start_here for 3 students" in run.stdout, run.stderr
    assert json.loads((settings["to"] / "release.json").read_text())["format"] == "mmcourse"
