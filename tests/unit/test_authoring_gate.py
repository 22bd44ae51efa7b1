"""The freshness gate: each fault of a committed notebook is caught, by its own message and no other."""

import shutil

import nbformat
import pytest
import tiny_course
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from mmcourse.authoring import build, lessons
from mmcourse.authoring.builder import BuildError
from mmcourse.authoring.gate import broken_links


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The small course, built once; tests doctor copies."""
    root = tiny_course.write(tmp_path_factory.mktemp("fresh"))
    build(root=root)
    return root


@pytest.fixture
def course(fresh, tmp_path):
    return shutil.copytree(fresh, tmp_path / "course")


def told(root) -> list[str]:
    """What the gate says about a course."""
    try:
        build(root=root, check=True)
    except BuildError as error:
        return str(error).split("\n")
    return []


def doctor(root, change, kind="notebook") -> list[str]:
    """Change one built notebook and ask the gate."""
    path = getattr(lessons(root)[0], kind)
    nb = nbformat.read(path, as_version=4)
    change(nb)
    nbformat.write(nb, path)
    return told(root)


def put(output):
    """A change that gives the second code cell this output."""
    return lambda nb: nb.cells[2].outputs.append(output)


def text(value):
    return put(new_output("stream", name="stdout", text=value))


def test_fresh_notebooks_pass(course):
    assert told(course) == []


DOCTORED = {
    "edited": (lambda nb: nb.cells[4].update(source="print(3)"), "cell 5 (code, `print(3)`) is stale: its text"),
    "shorter": (lambda nb: nb.cells[4].update(source="print(1)"), "which has 'print(2)' on line 2 of the cell"),
    "longer": (lambda nb: nb.cells[4].update(source="print(1)\nprint(2)\n3"), "which has no more than 2 lines"),
    "tag lost": (lambda nb: nb.cells[5].metadata.clear(), "cell 6 (code, `from tqdm.auto import tqdm`) is stale: its"),
    "id": (lambda nb: nb.cells[4].update(id="other"), "is stale: its id is other"),
    "kind": (lambda nb: nb.cells.__setitem__(3, new_code_cell("Two", execution_count=2)), "its type is code"),
    "cell gone": (lambda nb: nb.cells.pop(), "the notebook is stale: it has 43 cells, the source gives 44"),
    "cell more": (lambda nb: nb.cells.append(new_markdown_cell("new")), "it has 45 cells, the source gives 44"),
    "kernel": (lambda nb: nb.metadata.kernelspec.update(name="mine"), "its metadata is not what the build writes"),
    "unmade": (lambda nb: nb.metadata.pop("mmcourse"), "was not made by the build"),
    "unrun": (lambda nb: nb.cells[4].update(execution_count=None), "cell 5 (code, `print(1)`) was not run"),
    "count": (lambda nb: nb.cells[4].update(execution_count=9), "has execution count 9, expected 3"),
    "error": (put(new_output("error", ename="KeyError", evalue="'x'")), "ends in KeyError: 'x'"),
    "stderr": (put(new_output("stream", name="stderr", text="hm")), "writes to stderr: 'hm'"),
    "warning": (text("lib.py:3: FutureWarning: soon\n"), "shows a warning: 'lib.py:3: FutureWarning: soon'"),
    "workspace": (text("in /workspace/x.py"), "shows an absolute path: /workspace/x.py"),
    "/home": (text("'/home/me/x'"), "shows an absolute path: /home/me/x"),
    "/tmp": (text("/tmp/x"), "shows an absolute path: /tmp/x"),
    "/root": (text("/root/.cache/x"), "shows an absolute path: /root/.cache/x"),
    "C:": (text("C:\\Users\\me"), "shows an absolute path: C:\\U"),
    "address": (text("<object at 0x7f00aa00bb00>"), "shows a memory address"),
    "html": (put(new_output("display_data", {"text/html": "<img src='a.png'>"})), "shows an <img> without alt text"),
    "picture": (put(new_output("display_data", {"image/png": "aaaa"})), "shows a picture without alt text"),
    "widget": (
        put(new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})),
        "shows a widget, which a saved notebook cannot",
    ),
    "state": (lambda nb: nb.metadata.update(widgets={}), "metadata is not what the build writes"),
}


REBUILD = "run `mmcourse build tiny`"
OWN = "your own answers belong in your own folder, which `mmcourse lab` opens"
WRITTEN = {
    "edited",
    "shorter",
    "longer",
    "kind",
    "cell gone",
    "cell more",
}  # somebody's work, which no advice may delete


@pytest.mark.parametrize("fault", DOCTORED)
def test_each_fault_has_its_own_message_and_the_remedy(course, fault):
    change, fragment = DOCTORED[fault]
    found = doctor(course, change)
    both = {"kind": "expected", "state": "holds widget state"}  # one change, two consequences
    assert fragment in found[0] and [both[fault] in x for x in found[1:]] == [True] * (fault in both), found
    assert found[0].startswith("notebooks/00_tiny.ipynb") and found[0].endswith(OWN if fault in WRITTEN else REBUILD)


def test_the_alt_text_of_a_committed_figure_is_needed(course):
    def drop(nb):
        for cell in nb.cells:
            for output in cell.get("outputs", []):
                output.get("metadata", {}).pop("image/png", None)

    (message,) = doctor(course, drop)
    assert "shows a picture without alt text" in message and "import matplotlib.pyplot" in message


def test_an_edited_source_makes_the_cell_stale(course):
    source = lessons(course)[0].source
    source.write_text(source.read_text().replace("Step 3.", "Step three."))
    (message,) = told(course)
    assert "cell 17 (markdown, `Step 3.`) is stale" in message and "'Step three.' on line 1" in message


def test_a_changed_byte_that_shows_in_no_cell_is_stale_too(course):
    source = lessons(course)[0].source
    source.write_text(source.read_text() + "\n\n")
    assert told(course) == [
        "notebooks/00_tiny.ipynb: the notebook is stale: its source changed after the build: run `mmcourse build tiny`"
    ]


def test_missing_and_broken_files(course):
    lesson = lessons(course)[0]
    lesson.exercise.unlink()
    lesson.solution.write_text("{")
    assert [x.split(" (")[0].split(":")[0] for x in told(course)] == [
        "notebooks/exercises/00_tiny.ipynb is missing",
        "notebooks/solutions/00_tiny.ipynb cannot be read",
    ]


def test_a_source_with_a_fault_is_told_as_such(course):
    source = lessons(course)[0].exercise_source
    source.write_text(source.read_text().replace("# END SOLUTION\n", "", 1))
    assert len(told(course)) == 2 and "without `# END SOLUTION`" in told(course)[0]


def test_too_slow_and_too_large_in_memory(course):
    assert "took 91 s, the limit is 90 s" in doctor(course, lambda nb: nb.metadata.mmcourse.update(seconds=91))[-1]
    large = doctor(course, lambda nb: nb.metadata.mmcourse.update(peak_mb=2600))
    assert "took 2,600 MB, the limit is 2,500 MB" in large[-1]


def test_long_lines_are_a_warning_and_in_the_second_edition_a_fault(tmp_path):
    wide = f"x = '{'w' * 100}'\n"
    text = f'# %% [markdown]\n# # T\n# {{{{budget}}}}\n\n# %%\n{wide}\n# %% tags=["hide-input"]\n{wide}'
    root = tiny_course.write(tmp_path, text, None)
    (result,) = build(root=root)
    said = f"cell 3 (code, `x = '{'w' * 55}`) has a line of 106 characters, at most 88 fit: `x = '{'w' * 45}…`"
    assert result.notes == [f"warning: {said}"]  # not of the folded cell
    assert told(root) == []
    (root / "notebooks" / "src" / "glossary.toml").write_text('second_edition = ["tiny"]\n')
    (result,) = build(root=root)
    assert result.notes == [said, "the notebook has 0 blanks, a lesson has 3 to 5"]
    assert len(told(root)) == 2


def test_in_the_second_edition_every_cell_is_run_twice(tmp_path):
    cells = "# %%\nwords = ['a', 'b', 'c']\n\n# %%\nwords = words[1:]\nprint(words)\n"
    text = "# %% [markdown]\n# # T\n# {{budget}}\n\n" + cells
    root = tiny_course.write(tmp_path, text, None)
    build(root=root)
    (root / "notebooks" / "src" / "glossary.toml").write_text('second_edition = ["tiny"]\n')
    assert any("its cells were not run twice: run `mmcourse build tiny`" in line for line in told(root))
    with pytest.raises(BuildError, match=r"`words = words\[1:\]`\) shows another text when it is run again"):
        build(root=root)


def test_plumbing_is_folded_in_jupyterlab_and_in_colab(course):
    nb = nbformat.read(lessons(course)[0].notebook, as_version=4)
    folded = [c for c in nb.cells if {"hide-input", "setup"} & set(c.metadata.get("tags", []))]
    assert folded and all(c.metadata.jupyter.source_hidden and c.metadata.cellView == "form" for c in folded)
    assert not any("cellView" in c.metadata for c in nb.cells if c not in folded)


@pytest.mark.parametrize(
    ("kind", "state", "fragment"),
    [
        ("solution", "wrong", "should show 'tiny.1 passed'"),
        ("exercise", "passed", "should show 'tiny.1 not attempted yet'"),
    ],
)
def test_solutions_pass_and_blanks_are_not_attempted(course, kind, state, fragment):
    def change(nb):
        for cell in nb.cells:
            if cell.source.startswith('check("tiny.1"'):
                cell.outputs[0].text = f"tiny.1 {state}\n"

    (message,) = doctor(course, change, kind)
    assert fragment in message and f"shows: tiny.1 {state}" in message and 'code, `check("tiny.1", three)`' in message


def test_a_link_to_a_missing_notebook_is_found(course):
    path = lessons(course)[0].notebook
    nb = nbformat.read(path, as_version=4)
    nb.cells[3].source = "[one](exercises/00_tiny.ipynb) [two](07_none.ipynb#part) [web](https://example.org/x.ipynb)"
    nbformat.write(nb, path)
    (message,) = broken_links(path)
    assert "links to 07_none.ipynb, which does not exist" in message


# ---------------------------------------------------------------- edited by somebody
def solve(root, kind="exercise"):
    """Do the first exercise in the course's own notebook, run and saved by a front end, which adds the version."""
    path = getattr(lessons(root)[0], kind)
    nb = nbformat.read(path, as_version=4)
    nb.metadata.language_info["version"] = "3.11.2"
    for cell in nb.cells:
        cell.source = cell.source.replace('raise NotImplementedError("your turn")', "return 3")
        if cell.source.startswith('check("00.1"'):
            cell.outputs[0].text = "00.1 passed\n"
    nbformat.write(nb, path)
    return path, path.read_bytes()


def test_the_gate_tells_a_solved_exercise_from_a_stale_one_and_advises_nothing_that_deletes_it(course):
    solve(course)
    assert told(course)
    for message in told(course):
        assert "it was edited after the build, and stays" in message and message.endswith(OWN)
        assert "run `mmcourse build" not in message


def test_the_build_refuses_to_overwrite_a_solved_exercise(course):
    path, own = solve(course)
    with pytest.raises(BuildError, match="notebooks/exercises/00_tiny.ipynb was edited after it was built") as error:
        build(root=course)
    assert "With --force it is built, and your version is kept beside it" in str(error.value)
    assert path.read_bytes() == own
    (exercise,) = [x for x in build(root=course, force=True, only="exercises") if x.path == path]
    (kept,) = path.parent.glob("00_tiny.*-*-*.ipynb")
    assert kept.read_bytes() == own and "your turn" in path.read_text()
    assert exercise.notes == [f"it held edits, kept in {kept.name}"]
    assert told(course) == []


@pytest.mark.parametrize("text", ["{", "<<<<<<< HEAD\n{}", '{"cells": [], "metadata": {}}', "\udcff"])
def test_the_build_refuses_to_overwrite_what_it_cannot_read(course, text):
    path = lessons(course)[0].exercise
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    own = path.read_bytes()
    with pytest.raises(BuildError, match="exercises/00_tiny.ipynb was edited after it was built"):
        build(root=course, only="exercises")
    assert path.read_bytes() == own
    build(root=course, only="exercises", force=True)
    assert [kept.read_bytes() for kept in path.parent.glob("00_tiny.*-*-*.ipynb")] == [own]


def test_a_notebook_that_was_only_run_is_built_over(course):
    doctor(course, lambda nb: nb.cells[2].update(execution_count=99), "exercise")
    build(root=course, only="exercises")
    assert told(course) == [] and not list(lessons(course)[0].exercise.parent.glob("00_tiny.*-*-*.ipynb"))


def test_work_saved_while_the_build_runs_is_not_lost(course, monkeypatch):
    from mmcourse.authoring import builder

    path, own = solve(course)
    blank = path.with_suffix(".blank")
    path.rename(blank)
    real = builder.execute

    def run(nb, *arguments, **options):
        blank.exists() and blank.rename(path)
        return real(nb, *arguments, **options)

    monkeypatch.setattr(builder, "execute", run)
    with pytest.raises(BuildError, match="was edited after it was built"):
        build(root=course, only="exercises")
    assert path.read_bytes() == own


def test_a_notebook_of_an_older_build_that_jupyterlab_saved_is_somebodys_work(course):
    path, _ = solve(course)
    doctor(course, lambda nb: nb.metadata.mmcourse.pop("text_sha"), "exercise")
    own = path.read_bytes()
    with pytest.raises(BuildError, match="was edited after it was built"):
        build(root=course, only="exercises")
    assert path.read_bytes() == own
