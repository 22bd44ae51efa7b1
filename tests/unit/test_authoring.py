"""One source gives three notebooks: what they hold, and what an author is told when a source is wrong."""

import contextlib
import json
import subprocess
import sys

import nbformat
import psutil
import pytest
import tiny_course

from mmcourse.authoring import build, lessons, notebooks_dir, select
from mmcourse.authoring.__main__ import main
from mmcourse.authoring.budget import bands, duration, line, memory, steady
from mmcourse.authoring.builder import BuildError
from mmcourse.authoring.execute import ExecutionError, execute
from mmcourse.authoring.source import lesson_text, read, setup_cell, without_badge
from mmcourse.runtime import published

KINDS = ("notebook", "exercise", "solution")
CARD = "# %% [markdown]\n# # Tiny\n# {{budget}}\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The small course, built once."""
    root = tiny_course.write(tmp_path_factory.mktemp("course"))
    return lessons(root)[0], build(root=root)


@pytest.fixture(scope="module")
def books(built):
    """The three notebooks by kind."""
    return {kind: nbformat.read(getattr(built[0], kind), as_version=4) for kind in KINDS}


def test_three_notebooks_are_valid_run_in_order_and_have_stable_ids(books):
    for book in books.values():
        nbformat.validate(book)
        code = [c for c in book.cells if c.cell_type == "code"]
        assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
        assert len({c.id for c in book.cells}) == len(book.cells)
        assert "execution" not in str([c.metadata for c in book.cells])
        assert "version" not in book.metadata.language_info and "widgets" not in book.metadata
    assert [c.id for c in books["exercise"].cells] == [c.id for c in books["solution"].cells]


@pytest.mark.parametrize("slug", ["ada/course", "OWNER_NOT_SET/mmcourse"])
def test_the_badge_comes_with_an_owner(built, books, slug):
    """One line of pyproject.toml sets the owner at the release; until then no link leads to a name that is nobody's."""
    lesson = built[0]
    source = read(lesson.source)
    card = lesson_text(source, slug, books["notebook"].metadata.mmcourse, {"tiny": "00"}).cells[0].source
    link = f"https://colab.research.google.com/github/{slug}/blob/main/notebooks/00_tiny.ipynb"
    start = f"[Open in Colab]({link})\n\n# Tiny" if published(slug) else "# Tiny"  # a link: a picture needs the network
    assert card.startswith(start) and "OWNER_NOT_SET" not in card
    assert without_badge(card).startswith("# Tiny")


def test_title_card_has_measured_budget_and_the_setup_cell_follows(books):
    for kind in KINDS:
        card, setup = books[kind].cells[:2]
        assert card.source.startswith("# ")
        assert "import setup" in setup.source and setup.metadata.tags == ["setup"] and not setup.outputs
    card = books["notebook"].cells[0].source
    assert "under half a minute · 0.5 GB of memory · no downloads" in card
    assert "**Target:** accuracy 0.93 ± 0.02" in card and "{{" not in card
    stored = books["notebook"].metadata.mmcourse
    assert set(stored) == {"seconds", "peak_mb", "cores", "bands", "made_with", "source_sha", "text_sha"}
    assert 0 < stored.seconds < 30 and 30 < stored.peak_mb < 512


def test_the_blank_hides_every_solution_and_says_not_attempted(books):
    blank, solved = (json.dumps(books[k]) for k in ("exercise", "solution"))
    assert "secret" not in blank and "secret" in solved
    for text in (blank, solved):
        assert "BEGIN SOLUTION" not in text and "END SOLUTION" not in text and "BLANK" not in text
    sources = [c.source for c in books["exercise"].cells]
    assert 'def three(n):\n    """Three times n."""\n    raise NotImplementedError("your turn")' in sources
    assert "answer = ..." in sources and 'check("tiny.2", answer)' in sources
    assert blank.count("not attempted yet\\n") == 2
    assert solved.count("passed\\n") == 2


def test_free_cells_lose_their_progress_bars_and_are_not_compared(books):
    (free,) = (c for c in books["notebook"].cells if "free" in c.metadata.get("tags", []))
    assert "nbval-ignore-output" in free.metadata.tags
    assert [x.output_type for x in free.outputs] == ["stream"] and free.outputs[0].name == "stdout"


def test_hidden_input_is_folded(books):
    (hidden,) = (c for c in books["notebook"].cells if "hide-input" in c.metadata.get("tags", []))
    assert hidden.metadata.jupyter.source_hidden and hidden.source.startswith("expect_within(")


def test_streams_are_merged_and_a_shown_error_names_no_path_of_this_machine(books):
    outputs = {c.source: c.outputs for c in books["notebook"].cells if c.cell_type == "code"}
    assert [x.text for x in outputs["print(1)\nprint(2)"]] == ["1\n2\n"]
    (error,) = outputs['json.loads("{")']
    assert error.ename == "JSONDecodeError" and "json/decoder.py" in "".join(error.traceback)
    assert sys.prefix not in "".join(error.traceback) and sys.base_prefix not in "".join(error.traceback)


def test_a_lesson_leaves_nothing_beside_itself(built):
    root = built[0].folder.parent
    assert not list(root.rglob("left_behind.txt")) and not list(root.rglob("*.part"))


def test_a_second_build_differs_in_free_cells_only(built, books):
    lesson, _ = built
    again = build(root=lesson.folder.parent)
    assert [x.changed for x in again] == [True, False, False]
    new = nbformat.read(lesson.notebook, as_version=4)
    for old, cell in zip(books["notebook"].cells, new.cells, strict=True):
        assert old == cell or "free" in cell.metadata.tags
    assert new.metadata == books["notebook"].metadata


def test_an_inserted_cell_changes_no_other_id(tmp_path, books):
    from mmcourse.authoring import gate

    text = tiny_course.LESSON.replace("# %%\nprint(1)", "# %%\nprint(0)\n\n# %%\nprint(1)")
    lesson = lessons(tiny_course.write(tmp_path, text))[0]
    new = gate.text_of(lesson, lesson.notebook, "a/b", {})
    assert {c.id for c in books["notebook"].cells} - {c.id for c in new.cells} == set()


@pytest.mark.parametrize(
    ("lesson", "told"),
    [
        ("print(1)\n", "tiny/lesson.py:1: every cell starts with `# %%`"),
        ("# %%\nprint(1)\n", "tiny/lesson.py:1: the first cell must be a markdown title card"),
        ("# %% [markdown]\n# # Tiny\n", "tiny/lesson.py:2: the title card needs a line `{{budget}}`"),
        (CARD + '# %% tags=["fre"]\n1\n', "tiny/lesson.py:4: unknown tag ['fre']"),
        (
            CARD + "# %%\n# BEGIN SOLUTION\n1\n# END SOLUTION\n",
            "tiny/lesson.py:5: this blank has no check after it",
        ),
    ],
)
def test_a_wrong_lesson_source_is_named_with_its_line(tmp_path, lesson, told):
    with pytest.raises(BuildError) as error:
        build(root=tiny_course.write(tmp_path, lesson, None))
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("starter", "told"),
    [
        ("x = 1\n# BEGIN SOLUTION\n", "line 2: `# BEGIN SOLUTION` without `# END SOLUTION`"),
        ("# END SOLUTION\n", "line 1: `# END SOLUTION` without its partner"),
        (
            "# BEGIN SOLUTION\n# BEGIN SOLUTION\n# END SOLUTION\n",
            "line 2: `# BEGIN SOLUTION` without its partner",
        ),
        ("x = 1  # BEGIN SOLUTION\n", "line 1: write the marker alone on its line"),
        ("# BEGIN SOLUTION\nx = 1\n# END SOLUTION\n", "line 1: a solution outside a function"),
        ("answer = 3\n", "exercise tiny.2 has no `# BEGIN SOLUTION`"),
    ],
)
def test_a_wrong_exercise_source_is_named_with_its_cell(tmp_path, starter, told):
    exercises = tiny_course.EXERCISES.replace("starter=STARTER", f"starter={starter!r}")
    root = tiny_course.write(tmp_path, CARD + "# %%\n1\n", exercises)
    with pytest.raises(BuildError) as error:
        build(root=root, only="exercises")
    assert "tiny/exercises.py, cell " in str(error.value) and told in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Three, twice.", "# BEGIN SOLUTION", "solution markers belong in code cells"),
        ('"hints": ["Count.", "Write it."]', '"hints": ["Count."]', "expected two hints or more, got 1"),
        ("That is n itself.", "That is all.", "mistake='n itself' is in 0 messages"),
        ("exercise(", "(lambda *_, **__: 0)(", "at least one exercise"),
    ],
)
def test_exercises_with_a_fault_are_named(tmp_path, old, new, told):
    root = tiny_course.write(tmp_path, CARD + "# %%\n1\n", tiny_course.EXERCISES.replace(old, new))
    with pytest.raises(BuildError) as error:
        build(root=root, only="exercises")
    assert "tiny/exercises.py" in str(error.value) and told in str(error.value)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("1 / 0", "cell 3 (code, `1 / 0`) failed: ZeroDivisionError: division by zero"),
        ("import sys\nprint('x', file=sys.stderr)", "cell 3 (code, `import sys`) writes to stderr: 'x'"),
        ("import warnings\nwarnings.warn('old')", "writes to stderr"),
        ("print('UserWarning: old')", "shows a warning: 'UserWarning: old'"),
        ("import os\nos.getcwd()", "shows an absolute path: /"),
        ("object()", "shows a memory address"),
        ("import socket\nsocket.create_connection(('192.0.2.1', 80), 3)", "the network is blocked here"),
        ("import urllib.request as u\nu.urlopen('http://example.invalid')", "the network is blocked here"),
        ("import os\nos._exit(1)", "the kernel died"),
    ],
)
def test_a_faulty_cell_is_named_and_its_notebook_is_not_written(tmp_path, code, told):
    root = tiny_course.write(tmp_path, CARD + f"# %%\n{code}\n", None)
    old = notebooks_dir(root) / "00_tiny.ipynb"
    with pytest.raises(BuildError) as error:
        build(root=root)
    assert told in str(error.value) and "notebooks/00_tiny.ipynb" in str(error.value)
    assert not old.exists()


def test_a_cell_that_never_ends_is_stopped_and_its_memory_is_measured():
    cells = [nbformat.v4.new_code_cell(x) for x in ("big = bytearray(200 * 2**20)", "import time; time.sleep(60)")]
    with pytest.raises(ExecutionError, match="no answer after 2 s") as error:
        execute(nbformat.v4.new_notebook(cells=cells), timeout=2)
    assert error.value.cell == 1
    steps = []
    cells[1].source = "import time; time.sleep(0.5)"
    usage = execute(nbformat.v4.new_notebook(cells=cells), progress=lambda done, total: steps.append((done, total)))
    assert steps == [(0, 2), (1, 2), (2, 2)]
    assert 0.5 < usage.seconds < 10 and 230 < usage.peak_mb < 400


@pytest.mark.parametrize("code", ["import os\nprint(os.getpid())", "import os\nprint(os.getpid(), flush=True)\n1 / 0"])
def test_a_kernel_ends_with_its_notebook(code):
    """One that stayed until the build's own end held a gigabyte; a build of all lessons makes forty."""
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    with contextlib.suppress(ExecutionError):
        execute(nb)
    kernel = int(next(output.text for output in nb.cells[0].outputs if output.output_type == "stream"))
    assert not psutil.pid_exists(kernel) or psutil.Process(kernel).status() == psutil.STATUS_ZOMBIE


def test_builds_use_one_thread_and_learners_what_they_like(monkeypatch):
    cell = nbformat.v4.new_code_cell("import os; print(*map(os.environ.get, ('OMP_NUM_THREADS', 'MMCOURSE_OFFLINE')))")

    def seen(**options):
        execute(nb := nbformat.v4.new_notebook(cells=[cell.copy()]), **options)
        return nb.cells[0].outputs[0].text.split()

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MMCOURSE_OFFLINE", raising=False)
    assert seen() == ["1", "1"] and seen(offline=False) == ["None", "None"]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert seen() == ["2", "1"] and seen(offline=False) == ["2", "None"]


def test_a_picture_needs_alt_text(tmp_path):
    show = "from IPython.display import Image\nImage(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(16), format='png')"
    with pytest.raises(BuildError, match="shows a picture without alt text"):
        build(root=tiny_course.write(tmp_path, CARD + f"# %%\n{show}\n", None))
    with pytest.raises(BuildError, match="cell 3 .* has a picture without alt text"):
        build(root=tiny_course.write(tmp_path, CARD + "# %% [markdown]\n# ![](a.png)\n", None))


def test_a_solution_that_its_check_rejects_is_not_written(tmp_path):
    root = tiny_course.write(tmp_path, exercises=tiny_course.EXERCISES.replace("secret + 1", "secret + 0"))
    with pytest.raises(BuildError, match="should show 'tiny.1 passed', but shows: tiny.1 wrong"):
        build(root=root, only="exercises")
    assert [p.parent.name for p in notebooks_dir(root).rglob("*.ipynb")] == ["exercises"]


def test_the_catalogue_knows_lessons_by_number_slug_and_name(built, tmp_path):
    lesson, results = built
    root = lesson.folder.parent
    assert (lesson.number, lesson.slug, lesson.title, lesson.name) == ("00", "tiny", "Tiny", "00_tiny")
    assert select(["00", 0, "tiny", "00_tiny", "all"], root) == select(None, root) == select("0", root) == [lesson]
    assert [x.path for x in results] == lesson.built
    with pytest.raises(ValueError, match="no lesson '42'; lessons that exist: tiny"):
        select([42], root)
    installed = tmp_path / "notebooks"  # a wheel ships notebooks without sources
    installed.mkdir()
    (installed / "00_tiny.ipynb").write_bytes(lesson.notebook.read_bytes())
    assert lessons(tmp_path)[0].title == "Tiny" and lessons(tmp_path)[0].built == []


def test_the_catalogue_needs_none_of_jupyters_tools():
    code = (
        "import sys, mmcourse.authoring as a; a.lessons(); print(sorted({'nbformat', 'jupytext'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_module_builds_checks_and_fails_with_one_line(built, capsys):
    root = str(built[0].folder.parent)
    assert main(["--check", "--root", root]) == 0
    assert main(["99", "--root", root]) == 2
    assert capsys.readouterr().err.strip() == "there is no lesson '99'; lessons that exist: tiny"
    assert main(["00", "--only", "exercises", "--root", root]) == 0
    assert len(capsys.readouterr().out.strip().split("\n")) == 2


def test_budget_words_are_coarse():
    assert [duration(x) for x in (1, 29, 31, 74, 76, 105, 130)] == [
        "under half a minute", "under half a minute", "about 1 minute", "about 1 minute", "about 1½ minutes",
        "about 2 minutes", "about 2 minutes",
    ]  # fmt: skip
    assert [memory(x) for x in (10, 512, 513, 1500)] == ["0.5 GB", "0.5 GB", "1 GB", "1.5 GB"]
    said = ["loss 0.2\nfused 0.941, expected 0.93 ± 0.02\n", "fused 0.929, expected 0.93 ± 0.02", "x, expected 1 ± 2"]
    assert bands(said) == ["fused 0.93 ± 0.02"]
    assert "not measured" in line({})
    old = {"seconds": 10.0, "peak_mb": 500, "bands": []}
    assert steady({"seconds": 11.5, "peak_mb": 510, "bands": ["x"]}, old) == old | {"bands": ["x"]}
    other = {"seconds": 40.0, "peak_mb": 700, "bands": []}
    assert steady(other, old) == other
    slow = {"seconds": 95.0, "peak_mb": 500}
    assert steady({"seconds": 88.0, "peak_mb": 500}, slow)["seconds"] == 88.0, (
        "made fast enough: the limit no longer bites"
    )
    assert steady({"seconds": 92.0, "peak_mb": 500}, slow)["seconds"] == 95.0
    assert steady(other, old, busy=True)["seconds"] == old["seconds"], "waiting for others is no budget"


def test_the_title_card_promises_the_tagged_band_or_the_first():
    from mmcourse.authoring.builder import _targets

    def cell(text, *tags):
        output = nbformat.v4.new_output("stream", text=text)
        return nbformat.v4.new_code_cell("x", outputs=[output], metadata={"tags": list(tags)})

    first, second = cell("loss 1.12, expected 1.1 ± 0.1\n"), cell("accuracy 0.913, expected 0.90 ± 0.02\n", "target")
    assert _targets(nbformat.v4.new_notebook(cells=[first, second])) == ["accuracy 0.90 ± 0.02"]
    assert _targets(nbformat.v4.new_notebook(cells=[first, cell("b 2.0, expected 2 ± 1")])) == ["loss 1.1 ± 0.1"]


def test_the_setup_cell_does_not_ask_for_what_a_cell_asks_for_itself(tmp_path):
    path = tmp_path / "lesson.py"
    guarded = '# %% tags=["real", "free"] needs=["lightning"]\nimport lightning\n'
    path.write_text(CARD + "\n# %%\nimport sklearn\nimport optuna\n\n" + guarded, encoding="utf-8")
    assert 'setup(needs=["optuna"])' in setup_cell("owner/name", read(path))
