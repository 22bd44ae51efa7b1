"""A new folder is complete or not there; what is in it can be read by the tools it is for."""

from __future__ import annotations

import ast
import json
import os

import nbformat
import pytest

from mmcourse.capstone import new
from mmcourse.capstone.briefs import BRIEFS, EXAMPLE, find_brief
from mmcourse.capstone.check import check
from mmcourse.capstone.new import copy_example, new_project, notebook, write_cards
from mmcourse.capstone.project import BadProject, read_project

LETTERS = sorted(BRIEFS)


@pytest.mark.parametrize("letter", LETTERS)
def test_a_new_project_has_all_that_the_lesson_promises(letter, tmp_path):
    folder = tmp_path / "ours"
    made = new_project(folder, BRIEFS[letter])
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(made) == on_disk
    assert {"BRIEF.md", "PROPOSAL.md", "README.md", "Makefile", "limits.md", "project.toml"} <= on_disk
    assert {"baseline.ipynb", "src/predict.py", "src/train.py", "tests/test_predict.py"} <= on_disk
    assert ("forms/consent.md" in on_disk) == (letter == "c")
    assert not [name for name in on_disk if "{{" in (folder / name).read_text(encoding="utf-8")], "a word was left open"
    project = read_project(folder)
    assert project.name == "ours" and project.brief is BRIEFS[letter] and not project.problems
    assert check(project), "an empty project is not done"


@pytest.mark.parametrize("letter", LETTERS)
def test_its_python_and_its_notebook_can_be_read(letter, tmp_path):
    folder = tmp_path / "ours"
    new_project(folder, BRIEFS[letter])
    for path in folder.rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), str(path))
    book = nbformat.read(folder / "baseline.ipynb", as_version=4)
    nbformat.validate(book)
    assert {cell.cell_type for cell in book.cells} == {"markdown", "code"} and len(book.cells) >= 6
    for cell in book.cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)
        else:
            assert not cell.source.startswith("# #"), cell.source


@pytest.mark.parametrize("letter", LETTERS)
def test_each_brief_has_its_parts(letter):
    text = BRIEFS[letter].text
    for heading in ("## Data card", "## What can be reached", "## Traps", "## Done means"):
        assert heading in text, heading


def test_briefs_are_found_by_letter_and_by_name():
    assert find_brief("A") is find_brief("kiosk") is BRIEFS["a"] and find_brief("hotline") is EXAMPLE
    with pytest.raises(ValueError, match=r"a \(kiosk\), b \(triage\), c \(own\)"):
        find_brief("d")


@pytest.mark.parametrize("name", ["1st", "a b", "x" * 60, "..", "naïve"])
def test_a_name_that_tools_cannot_take_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="project's name"):
        new_project(tmp_path / name, BRIEFS["a"])
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "ours").mkdir()
    with pytest.raises(FileExistsError, match="is there already"):
        new_project(tmp_path / "ours", BRIEFS["b"])
    os.symlink(tmp_path / "nowhere", tmp_path / "link")
    with pytest.raises(FileExistsError):
        copy_example("good", tmp_path / "link")
    with pytest.raises(FileNotFoundError, match="make it first"):
        new_project(tmp_path / "not" / "there", BRIEFS["b"])


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(new.os, "rename", full)
    with pytest.raises(OSError):
        new_project(tmp_path / "ours", BRIEFS["a"])
    assert not list(tmp_path.iterdir())


def test_the_examples_are_not_briefs_and_there_are_two(tmp_path):
    with pytest.raises(ValueError, match="example"):
        new_project(tmp_path / "ours", EXAMPLE)
    with pytest.raises(ValueError, match="good and tempting"):
        copy_example("bad", tmp_path / "ours")
    assert "src/predict.py" in copy_example("good", tmp_path / "ours")


def test_cards_are_written_from_the_report(tmp_path):
    copy_example("good", tmp_path / "ours")
    path = tmp_path / "ours" / "report.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["test"] |= {"value": 0.7001, "interval": [0.68, 0.72]}
    path.write_text(json.dumps(facts), encoding="utf-8")
    old = [finding.says for finding in check(read_project(tmp_path / "ours"))]
    assert any("cards/model.md is not what the report gives" in says for says in old)
    write_cards(tmp_path / "ours")
    assert "0.700 [0.680, 0.720]" in (tmp_path / "ours" / "cards" / "model.md").read_text(encoding="utf-8")
    with pytest.raises(BadProject):
        write_cards(tmp_path)


def test_cells_of_a_notebook():
    book = nbformat.reads(
        notebook("# %% [markdown]\n# # Title\n# text\n\n# %%\nx = 1\n\n# note\ny = 2\n"), as_version=4
    )
    nbformat.validate(book)
    assert [(cell.cell_type, cell.source) for cell in book.cells] == [
        ("markdown", "# Title\ntext"),
        ("code", "x = 1\n\n# note\ny = 2"),
    ]
