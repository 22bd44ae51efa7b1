"""Cells on real data: compared where the data is, kept and listed by name where it is not."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
import tiny_course

from mmcourse.authoring import build, lessons, real
from mmcourse.authoring.builder import BuildError
from mmcourse.authoring.gate import stale
from mmcourse.runtime import SLUG

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))
import nbval_run  # noqa: E402  how `make test` runs a notebook

LESSON = """\
# %% [markdown]
# # Tiny
# {{budget}}

# %%
import os
from pathlib import Path

folder = Path(os.environ.get("MMCOURSE_REAL_DATA", "nowhere")) / "faces"

# %% tags=["real"] needs=["faces"]
# how many faces?
print(len(list(folder.iterdir())) if folder.is_dir() else "no faces here")

# %%
print("the end")
"""


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of real data with one face in it."""
    folder = tmp_path / "real"
    (folder / "faces").mkdir(parents=True)
    (folder / "faces" / "one.png").touch()
    monkeypatch.setenv("MMCOURSE_REAL_DATA", str(folder))
    return folder


def shown(lesson) -> str:
    nb = nbformat.read(lesson.notebook, as_version=4)
    return "".join(o.text for c in nb.cells for o in c.get("outputs", []))


def test_outputs_of_the_last_real_run_stay_where_the_data_is_missing(tmp_path, data, monkeypatch):
    root = tiny_course.write(tmp_path / "course", LESSON, None)
    lesson = lessons(root)[0]
    (result,) = build(root=root)
    assert shown(lesson) == "1\nthe end\n" and result.notes == []

    monkeypatch.setenv("MMCOURSE_REAL_DATA", str(tmp_path / "elsewhere"))
    (result,) = build(root=root)
    assert shown(lesson) == "1\nthe end\n" and stale(lesson, lesson.notebook, SLUG) == []
    assert result.notes == ["`# how many faces?` was not run, without faces: the last real outputs are kept"]

    lesson.notebook.unlink()
    (result,) = build(root=root)
    assert shown(lesson) == "no faces here\nthe end\n"
    assert result.notes == ["`# how many faces?` needs faces, and there are no outputs of a real run to keep"]


def test_it_is_compared_where_the_data_is_and_skipped_by_name_elsewhere(tmp_path, data, monkeypatch, capsys):
    root = tiny_course.write(tmp_path / "course", LESSON, None)
    build(root=root)
    notebook = lessons(root)[0].notebook
    assert nbval_run.run(notebook, tmp_path / "run") == (4, "")
    assert capsys.readouterr().out == ""

    (data / "faces" / "two.png").touch()
    assert "Cell outputs differ" in nbval_run.run(notebook, tmp_path / "run")[1]

    monkeypatch.setenv("MMCOURSE_REAL_DATA", str(tmp_path / "elsewhere"))
    assert nbval_run.run(notebook, tmp_path / "run") == (4, "")
    said = "00_tiny.ipynb: cell 4 (`# how many faces?`) is not compared: faces is not here"
    assert capsys.readouterr().out.strip() == said


@pytest.mark.parametrize(
    ("name", "here"),
    [("faces", True), ("fsdd", True), ("kitti", False), ("fs", False), ("numpy", True), ("no_such_package", False)],
)
def test_a_need_is_data_or_a_package(data, name, here):
    (data / "fsdd-1.0.10.tar.gz").touch()
    cell = nbformat.v4.new_code_cell("x", metadata={"needs": [name]})
    assert real.missing(cell) == ([] if here else [name])


@pytest.mark.parametrize("marker", ['tags=["real"]', 'needs=["faces"]', 'tags=["real"] needs=[]'])
def test_the_tag_goes_with_what_is_needed(tmp_path, marker):
    root = tiny_course.write(tmp_path, LESSON.replace('tags=["real"] needs=["faces"]', marker), None)
    with pytest.raises(BuildError, match="the tag `real` goes with what the cell needs"):
        build(root=root)
