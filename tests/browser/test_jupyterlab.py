"""A learner in a real browser: run a lesson to its end, then answer an exercise wrongly and rightly.

The first lesson and one with sound are run here. `make test-browser SLUG` runs another one (or `all`): do so after you
changed a lesson. Screenshots go to the folder in MMCOURSE_SCREENSHOTS, where that is set.
"""

import os
import shutil
from pathlib import Path

import jupyterlab_page as lab
import nbformat
import pytest

from mmcourse.authoring import lessons, select

pytestmark = pytest.mark.xdist_group("browser")  # one browser; the other worker goes on beside it
LESSONS = os.environ.get("MMCOURSE_BROWSER", "start_here audio").split()
WRONG = "def bayes_accuracy(joint):\n    return joint.max(axis=1).sum()"
RIGHT = "def bayes_accuracy(joint):\n    return joint.max(axis=0).sum()"


@pytest.fixture(scope="module")
def server(tmp_path_factory, course):
    """JupyterLab over a copy of every lesson and its exercises, without a single output."""
    folder, scratch = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("jupyter")
    built = [path for lesson in lessons(course) for path in (lesson.notebook, lesson.exercise) if path.is_file()]
    for path in built:
        copy = folder / path.relative_to(course / "notebooks")
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
        lab.forget_outputs(copy)
    running = lab.Server(folder, scratch)
    yield running
    running.stop()


@pytest.fixture
def page(browser, tmp_path, request):
    """A page of its own; its last state is kept as a screenshot, also after a failure."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.on("pageerror", lambda error: print("page error:", error))
    yield page
    shoot(page, tmp_path, request.node.name)
    page.close()


def shoot(page, tmp_path, name):
    folder = Path(os.environ.get("MMCOURSE_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


def errors(nb):
    """Cells that end in an error nobody asked for."""
    return [
        (cell.source, output.evalue)
        for cell in nb.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", [])
    ]


def counts(nb):
    return [c.execution_count for c in nb.cells if c.cell_type == "code" and c.source.strip()]


@pytest.mark.parametrize("lesson", [x for x in select(LESSONS) if x.notebook.is_file()], ids=lambda x: x.name)
def test_the_lesson_runs_to_its_end_and_is_saved(page, server, tmp_path, lesson, course):
    committed = nbformat.read(course / "notebooks" / lesson.notebook.name, as_version=4)
    file = server.folder / lesson.notebook.name
    assert set(counts(nbformat.read(file, as_version=4))) == {None}  # what follows cannot be left over
    notebook = lab.Notebook(page, server, file.name)
    assert page.get_by_role("menuitem", name="Nbgrader").count() == 0, "an instructor's menu is not for learners"
    shoot(page, tmp_path, f"{lesson.name}_before")
    notebook.run_all()
    saved = notebook.save()
    assert errors(saved) == []
    assert counts(saved) == counts(committed) == list(range(1, len(counts(saved)) + 1))
    silent = [c.source for c, s in zip(committed.cells, saved.cells, strict=True) if c.get("outputs") and not s.outputs]
    assert silent == []
    page.locator(".jp-CodeCell .jp-OutputArea img").last.scroll_into_view_if_needed()
    notebook.close()


def test_an_exercise_names_a_wrong_answer_and_passes_a_right_one(page, server, tmp_path):
    name = f"exercises/{select('00')[0].exercise.name}"
    notebook = lab.Notebook(page, server, name)
    notebook.run_all()
    blank = notebook.save()
    assert errors(blank) == [] and None not in counts(blank)
    assert str(blank).count("not attempted yet") >= 3

    notebook.retype("def bayes_accuracy", WRONG)
    told = notebook.rerun('check("start_here.1"', "wrong")
    assert "You took the largest value of each row" in told and "look down each column" in told
    shoot(page, tmp_path, "exercise_00_wrong")

    notebook.retype("def bayes_accuracy", RIGHT)
    told = notebook.rerun('check("start_here.1"', "passed")
    assert "You took the largest value" not in told and "1 of 1 point" in told
    saved = notebook.save()
    (cell,) = (c for c in saved.cells if c.cell_type == "code" and 'check("start_here.1"' in c.source)
    assert "passed" in str(cell.outputs)
