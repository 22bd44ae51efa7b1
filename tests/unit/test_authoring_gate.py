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


@pytest.mark.parametrize("fault", DOCTORED)
def test_each_fault_has_its_own_message_and_the_remedy(course, fault):
    change, fragment = DOCTORED[fault]
    found = doctor(course, change)
    both = {"kind": "expected", "state": "holds widget state"}  # one change, two consequences
    assert fragment in found[0] and [both[fault] in x for x in found[1:]] == [True] * (fault in both), found
    assert found[0].startswith("notebooks/00_tiny.ipynb") and found[0].endswith("run `mmcourse build tiny`")


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
