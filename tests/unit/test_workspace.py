"""The learner's folder: what is handed out, what an update brings, and that nothing which somebody wrote is lost."""

from __future__ import annotations

import datetime
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from mmcourse import cli, workspace
from mmcourse.authoring import catalogue, lessons, notebooks_dir
from mmcourse.authoring.fingerprint import text_sha
from mmcourse.authoring.source import METADATA
from mmcourse.progress import START, read_progress


class Today:
    """The date when it is asked for: these tests may run over midnight."""

    def __str__(self) -> str:
        return datetime.date.today().isoformat()


TODAY = Today()
LESSON, EXERCISES = "00_alpha.ipynb", "exercises/00_alpha.ipynb"


def write(path: Path, *cells: str) -> None:
    """A notebook as the build writes it: the first cell is markdown, the others are code that was run."""
    made = [nbformat.v4.new_markdown_cell(cells[0], id="card")]
    for number, text in enumerate(cells[1:], 1):
        made.append(nbformat.v4.new_code_cell(text, id=f"cell{number}", execution_count=number))
    metadata = METADATA | {"mmcourse": {"text_sha": text_sha(made)}}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=nbformat.from_dict(metadata)), path)


def change(path: Path, source: str | None = None, output: str | None = None) -> bytes:
    """Do to a notebook what a learner does: write into its last cell, or run it. Returns the new bytes."""
    nb = nbformat.read(path, as_version=4)
    if source is not None:
        nb.cells[-1].source = source
    if output is not None:
        nb.cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=output)]
    nbformat.write(nb, path)
    return path.read_bytes()


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two lessons, the first with exercises; signatures of notebooks go to a folder of this test."""
    folder = tmp_path / "course" / "notebooks"
    write(folder / LESSON, "# Alpha", "x = 1")
    write(folder / "01_beta.ipynb", "# Beta", "y = 1")
    card = "# Exercises 00 · Alpha\n\nSee [the solutions](../solutions/00_alpha.ipynb)."
    write(folder / EXERCISES, card, 'check("start_here.1", ...)', 'check("start_here.2", ...)', "answer = ...")
    write(folder / "solutions" / "00_alpha.ipynb", "# Solutions", 'check("start_here.1", 1)')
    for name in ("screenshot.png", "map.txt"):
        (folder / name).write_text("not for learners")
    monkeypatch.setattr(catalogue, "notebooks_dir", lambda root=None: folder)
    monkeypatch.setattr(workspace, "notebooks_dir", lambda root=None: folder)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    return folder


@pytest.fixture
def mine(course: Path, tmp_path: Path) -> Path:
    """The learner's folder, just made."""
    folder = tmp_path / "mine"
    workspace.prepare(folder)
    return folder


def files(folder: Path) -> set[str]:
    """Everything that a learner sees in the folder."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if not path.parts[0].startswith(".")}


# ---------------------------------------------------------------- handing out
def test_lessons_exercises_and_a_start_page_and_nothing_else(mine: Path):
    assert files(mine) == {LESSON, "01_beta.ipynb", EXERCISES, START}
    assert "[Begin with 00 · Alpha](00_alpha.ipynb)" in (mine / START).read_text()


def test_a_second_time_changes_nothing(mine: Path):
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    assert workspace.prepare(mine).sentences() == []
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == before


def test_a_notebook_is_what_jupyterlab_would_save(mine: Path):
    """Same bytes as nbformat writes, the kernel's own description in it, and signed."""
    from ipykernel.ipkernel import IPythonKernel
    from nbformat.sign import NotebookNotary

    for path in mine.rglob("*.ipynb"):
        nb = nbformat.read(path, as_version=4)
        assert path.read_text(encoding="utf-8") == nbformat.writes(nb) + "\n"
        assert nb.metadata.language_info == IPythonKernel.language_info
        assert NotebookNotary().check_signature(nb)


def test_links_to_solutions_say_how_to_get_them(mine: Path, course: Path):
    text = nbformat.read(mine / EXERCISES, as_version=4).cells[0].source
    assert "](../solutions" not in text and "the solutions (`mmcourse lab --solution 00_alpha`" in text
    added = workspace.add_solution(lessons()[0], mine)
    assert added == mine / "solutions" / "00_alpha.ipynb" and added.is_file()
    (course / "solutions" / "00_alpha.ipynb").unlink()
    with pytest.raises(FileNotFoundError, match="solutions of lesson 00_alpha are not in this copy"):
        workspace.add_solution(lessons()[0], mine)


def test_the_start_page_knows_exercises_titles_and_points(mine: Path):
    first, second = read_progress(mine).lessons
    assert [(task.id, task.points, task.notebook) for task in first.tasks] == [
        ("start_here.1", 1, EXERCISES),
        ("start_here.2", 2, EXERCISES),
    ]
    assert first.tasks[0].title == "The best accuracy there is" and second.tasks == []


# ---------------------------------------------------------------- updating
def test_untouched_notebooks_follow_the_course(course: Path, mine: Path):
    write(course / LESSON, "# Alpha", "x = 2")
    write(course / "02_gamma.ipynb", "# Gamma")
    assert workspace.prepare(mine).sentences() == ["1 notebook added, 1 notebook brought up to date"]
    assert "x = 2" in (mine / LESSON).read_text()
    assert files(mine) == {LESSON, "01_beta.ipynb", "02_gamma.ipynb", EXERCISES, START}


def test_an_edited_notebook_stays_and_the_new_version_lies_beside_it(course: Path, mine: Path):
    own = change(mine / EXERCISES, "answer = 42")
    write(course / EXERCISES, "# Exercises", 'check("start_here.1", ...)', "answer = ...")
    beside = f"exercises/00_alpha.new-{TODAY}.ipynb"
    assert workspace.prepare(mine).sentences() == [f"{EXERCISES} stays as you edited it; its new version is {beside}"]
    assert (mine / EXERCISES).read_bytes() == own and "answer = ..." in (mine / beside).read_text()
    assert workspace.prepare(mine).sentences() == [], "said once"
    # a still newer version takes the place of the one that nobody touched
    write(course / EXERCISES, "# Exercises", 'check("start_here.3", ...)')
    assert len(workspace.prepare(mine).sentences()) == 1
    assert (mine / EXERCISES).read_bytes() == own and "start_here.3" in (mine / beside).read_text()
    # but not of one in which somebody worked
    worked = change(mine / beside, "answer = 43")
    write(course / EXERCISES, "# Exercises", 'check("start_here.4", ...)')
    workspace.prepare(mine)
    assert (mine / EXERCISES).read_bytes() == own and (mine / beside).read_bytes() == worked
    assert "start_here.4" in (mine / f"exercises/00_alpha.new-{TODAY}-2.ipynb").read_text()


def test_an_edited_notebook_is_left_alone_where_the_course_has_only_new_outputs(course: Path, mine: Path):
    own = change(mine / LESSON, "x = 7", output="7")
    change(course / LESSON, output="built again")
    assert workspace.prepare(mine).sentences() == [] and (mine / LESSON).read_bytes() == own
    assert files(mine) == {LESSON, "01_beta.ipynb", EXERCISES, START}


def test_a_notebook_that_was_only_run_is_kept_under_a_dated_name(course: Path, mine: Path):
    run = change(mine / LESSON, output="a night of training")
    write(course / LESSON, "# Alpha", "x = 2")
    kept = f"00_alpha.{TODAY}.ipynb"
    assert workspace.prepare(mine).sentences() == [f"{LESSON} is new; the one that you ran is kept as {kept}"]
    assert (mine / kept).read_bytes() == run and "x = 2" in (mine / LESSON).read_text()


@pytest.mark.parametrize("was_edited", [False, True])
def test_a_lesson_with_a_new_number_is_still_the_same_lesson(course: Path, mine: Path, was_edited: bool):
    own = change(mine / LESSON, "x = 7") if was_edited else b""
    (course / LESSON).unlink()
    write(course / "05_alpha.ipynb", "# Alpha", "x = 2")
    (course / EXERCISES).rename(course / "exercises" / "05_alpha.ipynb")
    said = workspace.prepare(mine).sentences()
    assert (mine / "05_alpha.ipynb").is_file() and (mine / "exercises/05_alpha.ipynb").is_file()
    assert not (mine / EXERCISES).exists(), "untouched, so it moved"
    assert (mine / LESSON).exists() == was_edited
    if was_edited:
        assert (mine / LESSON).read_bytes() == own
        assert said[-1] == f"{LESSON} stays as you edited it; its new version is 05_alpha.ipynb"
        assert workspace.path_of(lessons()[-1], mine) == LESSON, "the learner's own is the one to open"


def test_a_deleted_notebook_comes_back(mine: Path):
    (mine / LESSON).unlink()
    assert workspace.prepare(mine).sentences() == ["1 notebook added"] and (mine / LESSON).is_file()


@pytest.mark.parametrize("damage", ["", "{", '{"handed_out": []}', "[]", "null", '{"handed_out": {"alpha/lesson": 1}}'])
def test_without_the_record_everything_counts_as_the_learners_own(course: Path, mine: Path, damage: str):
    own = change(mine / LESSON, "x = 7")
    (mine / ".mmcourse" / "course.json").write_text(damage)
    write(course / LESSON, "# Alpha", "x = 2")
    workspace.prepare(mine)
    assert (mine / LESSON).read_bytes() == own and "x = 2" in (mine / f"00_alpha.new-{TODAY}.ipynb").read_text()
    assert f"01_beta.new-{TODAY}.ipynb" not in files(mine), "the same as the course's: nothing to say"


@pytest.mark.parametrize("text", ["", "not a notebook", '{"cells": 3}', '{"cells": [{"cell_type": "code"}]}'])
def test_whatever_lies_in_a_notebooks_place_is_not_lost(course: Path, mine: Path, text: str):
    (mine / LESSON).write_text(text)
    write(course / LESSON, "# Alpha", "x = 2")
    workspace.prepare(mine)
    assert (mine / LESSON).read_text() == text


@pytest.mark.parametrize("failing", range(5))
def test_a_stop_in_the_middle_leaves_whole_files_and_the_next_time_mends(course, mine, failing, monkeypatch):
    own = change(mine / EXERCISES, "answer = 42")
    for name in (LESSON, "01_beta.ipynb", EXERCISES):
        write(course / name, "# New", "z = 1", "answer = ...")
    calls = []

    def full_disk(path, data, **options):
        calls.append(path)
        if len(calls) > failing:
            raise OSError(28, "No space left on device", str(path))
        return real(path, data, **options)

    real = workspace.atomic_write
    with monkeypatch.context() as patch:
        patch.setattr(workspace, "atomic_write", full_disk)
        if failing < 4:
            with pytest.raises(OSError):
                workspace.prepare(mine)
    for path in mine.rglob("*.ipynb"):
        nbformat.read(path, as_version=4)
    workspace.prepare(mine)
    assert (mine / EXERCISES).read_bytes() == own
    assert "z = 1" in (mine / LESSON).read_text() and "z = 1" in (mine / "01_beta.ipynb").read_text()
    news = [name for name in files(mine) if ".new-" in name]
    assert all(name.startswith("exercises/") for name in news) and news, "no spurious new versions"


def test_work_in_the_checkouts_own_notebooks_is_copied_and_never_taken_for_the_courses(course: Path, tmp_path: Path):
    change(course / EXERCISES, "answer = 42")
    mine = tmp_path / "mine"
    workspace.prepare(mine)
    assert "answer = 42" in (mine / EXERCISES).read_text(), "the learner finds it again"
    own = change(mine / EXERCISES, "answer = 43")
    change(course / EXERCISES, "answer = 44")
    assert workspace.prepare(mine).sentences() == [] and (mine / EXERCISES).read_bytes() == own
    assert "left alone" in "".join(workspace.bring_back(lessons()[0], mine))
    write(course / EXERCISES, "# Exercises", "answer = ...")  # the checkout is clean again
    workspace.prepare(mine)
    assert (mine / EXERCISES).read_bytes() == own


# ---------------------------------------------------------------- --fresh
def test_fresh_brings_a_lesson_back_and_keeps_the_old_one(course: Path, mine: Path):
    own = change(mine / EXERCISES, "answer = 42")
    kept = f"exercises/00_alpha.{TODAY}.ipynb"
    assert workspace.bring_back(lessons()[0], mine) == [
        f"{LESSON}: as new",
        f"{EXERCISES}: as new; yours is kept as {kept}",
    ]
    assert (mine / kept).read_bytes() == own and "answer = ..." in (mine / EXERCISES).read_text()
    again = change(mine / EXERCISES, "answer = 43")
    workspace.bring_back(lessons()[0], mine)
    assert (mine / kept).read_bytes() == own
    assert (mine / f"exercises/00_alpha.{TODAY}-2.ipynb").read_bytes() == again
    assert workspace.prepare(mine).sentences() == []


def test_fresh_after_an_update_loses_neither_the_old_nor_the_new_one(course: Path, mine: Path):
    own = change(mine / LESSON, "x = 7")
    (course / LESSON).unlink()
    write(course / "05_alpha.ipynb", "# Alpha", "x = 2")
    workspace.prepare(mine)
    worked = change(mine / "05_alpha.ipynb", "x = 8")
    workspace.bring_back(lessons()[-1], mine)
    contents = {path.read_bytes() for path in mine.glob("*.ipynb")}
    assert {own, worked} <= contents and "x = 2" in (mine / "05_alpha.ipynb").read_text()
    assert workspace.path_of(lessons()[-1], mine) == "05_alpha.ipynb"


# ---------------------------------------------------------------- where
def test_the_usual_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MMCOURSE_FOLDER", raising=False)
    assert workspace.default_folder() == tmp_path / "mmcourse-notebooks"
    monkeypatch.setenv("MMCOURSE_FOLDER", "~/elsewhere")
    assert workspace.default_folder() == tmp_path / "elsewhere"


def test_the_course_itself_is_no_learners_folder(course: Path, tmp_path: Path):
    for place in (course, course.parent, course / "mine", Path(cli.__file__).parent / "x"):
        with pytest.raises(ValueError, match="part of the course itself; choose another"):
            workspace.prepare(place)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; choose another"):
        workspace.prepare(tmp_path / "file")
    assert not (course / "mine").exists()


def test_a_folder_inside_the_checkout_is_no_part_of_it(course: Path):
    mine = course.parent / "my work"
    workspace.prepare(mine)
    subprocess.run(["git", "init", "-q", str(course.parent)], check=True)
    status = ["git", "-C", str(course.parent), "status", "--porcelain", "-uall"]
    assert "my work" not in subprocess.run(status, capture_output=True, text=True, check=True).stdout


def test_a_learners_file_outside_a_link_is_not_written_through(course: Path, mine: Path, tmp_path: Path):
    outside = tmp_path / "outside.ipynb"
    outside.write_text("precious")
    (mine / LESSON).unlink()
    (mine / LESSON).symlink_to(outside)
    write(course / LESSON, "# Alpha", "x = 2")
    workspace.prepare(mine)
    workspace.bring_back(lessons()[0], mine)
    assert outside.read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_one_line(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("")
    assert cli.app(["lab", "--folder", str(tmp_path / "file" / "x")], standalone_mode=False) == 2
    error = capsys.readouterr().err
    assert "Not a directory; choose another folder with --folder" in error and len(error.splitlines()) == 1


# ---------------------------------------------------------------- what the real course hands out
def test_every_notebook_of_the_course_is_handed_out_and_leads_nowhere_else(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    mine = tmp_path / "mine"
    workspace.prepare(mine)
    built = [path for path in notebooks_dir().rglob("*.ipynb") if "solutions" not in path.parts]
    names = {name for lesson in lessons() for name in (lesson.name, f"{lesson.name}_deeper")}
    for path in (path for path in built if path.stem in names):
        assert (mine / path.relative_to(notebooks_dir())).is_file()
    links = re.compile(r"\]\(([^)\s:#\\]+\.(?:ipynb|py|md|png))(?:#[^)]*)?\)")
    for path in [*mine.rglob("*.ipynb"), mine / START]:
        for target in links.findall(path.read_text(encoding="utf-8")):
            there = notebooks_dir() / path.parent.relative_to(mine) / target
            assert (path.parent / target).exists() or not there.exists(), f"{path.name} links to {target}"
