"""Every committed notebook is what its source gives, and running it gives what it shows."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import nbformat
import nbval_run
import pytest

from mmcourse.authoring import lessons, notebooks_dir
from mmcourse.authoring.execute import execute
from mmcourse.authoring.gate import broken_links, stale
from mmcourse.runtime import SLUG

BUILT = [(lesson, path) for lesson in lessons() for path in lesson.built]
NAMES = [path.relative_to(notebooks_dir()).with_suffix("").as_posix() for _, path in BUILT]
SLOWEST_FIRST = sorted(zip(BUILT, NAMES, strict=True), key=lambda x: x[0][0].notebook != x[0][1])


@pytest.mark.parametrize("path", [x[1] for x, _ in SLOWEST_FIRST], ids=[name for _, name in SLOWEST_FIRST])
def test_running_it_gives_the_committed_outputs(path, tmp_path, course):
    path = course / "notebooks" / path.relative_to(notebooks_dir())
    assert path.is_file(), f"{path.name} is not built: run `mmcourse build`"
    passed, failure = nbval_run.run(path, tmp_path)
    if failure:
        pytest.fail(f"{path.name}: {passed} cells passed, then:\n{failure}", pytrace=False)


@pytest.mark.parametrize(("lesson", "path"), BUILT, ids=NAMES)
def test_it_is_fresh(lesson, path, course):
    path = course / "notebooks" / path.relative_to(lesson.folder)
    lesson = replace(lesson, folder=course / "notebooks")
    faults = stale(lesson, path, SLUG) + (broken_links(path) if path.is_file() else [])
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


def test_no_notebook_of_the_course_is_without_a_source():
    without = course_notebooks(notebooks_dir()) - {path for _, path in BUILT}
    assert not without, "notebooks that no source gives: write their source, or take them out of git (git rm --cached)"


def course_notebooks(folder: Path) -> set[Path]:
    """Notebooks that belong to the course: those that git knows; a learner's own ones do not."""
    listed = subprocess.run(["git", "-C", str(folder), "ls-files", "-z", "*.ipynb"], capture_output=True, text=True)
    if listed.returncode == 0:
        return {path for name in listed.stdout.split("\0") if name and (path := folder / name).is_file()}
    named = re.compile(r"\d\d_[a-z0-9_]+\.ipynb")  # no git here: those with a name as the build gives it
    built = {path for path in folder.rglob("*.ipynb") if named.fullmatch(path.name)}
    return {path for path in built if ".ipynb_checkpoints" not in path.parts}


def test_the_first_lesson_runs_twice_in_one_kernel(course):
    (lesson,) = (x for x in lessons(course) if x.slug == "start_here")
    nb = nbformat.read(lesson.notebook, as_version=4)
    execute(nb, passes=2)
    code = [c for c in nb.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(len(code) + 1, 2 * len(code) + 1))
