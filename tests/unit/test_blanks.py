"""Blanks inside a lesson: what the reader sees, what the check says, and what the lesson goes on with."""

from __future__ import annotations

import sys

import nbformat
import numpy as np
import pytest
import tiny_course

from mmcourse.authoring import build, lessons
from mmcourse.authoring.builder import BuildError
from mmcourse.authoring.execute import execute
from mmcourse.authoring.gate import stale
from mmcourse.authoring.source import SourceError, lesson_text, read
from mmcourse.check import CheckFailed, blank, blanks, check
from mmcourse.runtime import SLUG

FUTURE = "This lets positions see the future."


@pytest.fixture(autouse=True)
def _register(monkeypatch):
    """Each test registers its own blanks."""
    monkeypatch.setattr(blanks, "_REGISTER", {})


@pytest.fixture
def mask():
    @blank(
        "tiny.blank.1",
        title="The causal mask",
        inputs=[(1,), (4,)],
        mistakes=[(lambda n: np.triu(np.ones((n, n), bool)), FUTURE)],
    )
    def causal_mask(n):
        return np.tril(np.ones((n, n), bool))

    return causal_mask


# ---------------------------------------------------------------- the check
def test_an_empty_blank_is_not_attempted_and_the_lesson_goes_on(mask, capsys):
    def causal_mask(n):
        """Which keys each query may attend to."""
        return ...

    assert check("tiny.blank.1", causal_mask) is mask
    said = capsys.readouterr().out
    assert "tiny.blank.1 not attempted yet · The causal mask" in said and "course's own version" in said
    assert "points" not in said


def test_a_wrong_one_gets_its_message_and_the_lesson_goes_on(mask, capsys):
    assert check("tiny.blank.1", lambda n: np.triu(np.ones((n, n), bool))) is mask
    said = capsys.readouterr().out
    assert "tiny.blank.1 wrong" in said and FUTURE in said and "course's own version until yours is right" in said


def test_a_right_one_is_handed_back(mask, capsys):
    def causal_mask(n):
        i = np.arange(n)
        return i[:, None] >= i[None, :]

    assert check("tiny.blank.1", causal_mask) is causal_mask
    assert "tiny.blank.1 passed" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [None, 3, "mask", object(), lambda: 1, lambda n: 1 / 0, lambda n: n.shape])
def test_anything_else_is_wrong_and_never_raised(mask, answer, capsys):
    assert check("tiny.blank.1", answer) is mask
    assert "tiny.blank.1 wrong" in capsys.readouterr().out


def test_an_unknown_blank_says_which_exist(mask, capsys):
    assert check("tiny.blank.7", 5) == 5
    assert "There is no blank 'tiny.blank.7'. Blanks that exist: tiny.blank.1" in capsys.readouterr().out


def test_a_value_is_compared_with_one_made_from_what_the_lesson_hands_over(capsys):
    @blank(
        "tiny.blank.1", title="Scores", value=True, inputs=[(np.eye(2), np.ones((3, 2)))],
        mistakes=[(lambda q, k: k @ q.T, "Query and key have changed places.")],
    )  # fmt: skip
    def scores(q, k):
        return q @ k.T

    q, k = np.arange(4.0).reshape(2, 2), np.arange(6.0).reshape(3, 2)
    assert np.array_equal(check("tiny.blank.1", ..., q, k), q @ k.T)
    assert "not attempted" in capsys.readouterr().out
    assert np.array_equal(check("tiny.blank.1", k @ q.T, q, k), q @ k.T)
    assert "Query and key have changed places." in capsys.readouterr().out
    mine = (q @ k.T).copy()
    assert check("tiny.blank.1", mine, q, k) is mine
    assert blanks.faults(blanks.find("tiny.blank.1")) == []


def test_a_class_is_judged_by_what_its_author_compares(capsys):
    def judge(answer, reference):
        if answer(3).double() != reference(3).double():
            raise CheckFailed("`double` should give twice the number.")

    class Bad:
        def __init__(self, n):
            self.n = n

        def double(self):
            return self.n

    @blank("tiny.blank.1", title="A class", value=True, judge=judge, mistakes=[(lambda: Bad, "twice the number")])
    def doubler():
        class Doubler:
            def __init__(self, n):
                self.n = n

            def double(self):
                return 2 * self.n

        return Doubler

    class Empty:
        def __init__(self, n):
            self.n = ...

        def double(self):
            return 2 * self.n

    assert check("tiny.blank.1", Empty)(2).double() == 4
    assert "not attempted" in capsys.readouterr().out
    assert check("tiny.blank.1", Bad)(2).double() == 4
    assert "twice the number" in capsys.readouterr().out
    assert blanks.faults(blanks.find("tiny.blank.1")) == []


# ---------------------------------------------------------------- what counts as empty
def no_gaps():
    def subscript(x):
        return x[..., 0]

    def subscript_by_name(x, i):
        y = x[..., i]
        return y

    def passes_it_on(x):
        return x.get(...)

    class Quiet:
        def reset(self):
            pass

        def run(self, x):
            return x

    return [subscript, subscript_by_name, passes_it_on, Quiet, 0, None, np.zeros(2), [1, 2], print]


def gaps():
    def returned(x):
        return ...

    def bare(x):
        """What it does."""
        ...

    def assigned(x):
        y = ...
        return y + 1

    def nested(x):
        def inner():
            return ...

        return inner()

    class Attribute:
        def __init__(self):
            self.layer = ...

    class Method:
        def forward(self, x):
            hidden = ...
            return hidden

    class Property:
        @property
        def size(self):
            return ...

    return [..., [1, ...], returned, bare, assigned, nested, Attribute, Method, Property, lambda x: ...]


@pytest.mark.parametrize("answer", gaps())
def test_an_open_gap_is_seen(answer):
    assert blanks.is_empty(answer)


@pytest.mark.parametrize("answer", no_gaps())
def test_an_ellipsis_that_indexes_is_no_gap(answer):
    assert not blanks.is_empty(answer)


# ---------------------------------------------------------------- a check that is no good is refused
def test_a_sound_check_has_no_faults(mask):
    assert blanks.faults(blanks.find("tiny.blank.1")) == []


def test_a_check_that_accepts_everything_is_refused():
    @blank("tiny.blank.1", title="x", value=True, judge=lambda a, b: None, mistakes=[(lambda: 1, "Not one.")])
    def two():
        return 2

    found = "\n".join(blanks.faults(blanks.find("tiny.blank.1")))
    assert "accepts 0" in found and "accepts an empty text" in found and "accepts the mistake" in found


def test_a_check_with_one_careless_input_is_refused():
    @blank("tiny.blank.1", title="x", inputs=[(0,)], mistakes=[(lambda x: x + 1, "Plus one.")])
    def double(x):
        return 2 * x

    found = "\n".join(blanks.faults(blanks.find("tiny.blank.1")))
    assert "accepts a function that returns 0" in found and "returns its first argument" in found
    assert "the mistake that should get 'Plus one.'" not in found


def test_other_faults_are_named():
    @blank("tiny.blank.1", title="x", inputs=[(2,)], mistakes=[(lambda x: 2 * x, "never shown")])
    def double(x):
        return 2 * x

    @blank("tiny.blank.2", title="x", inputs=[], mistakes=[(lambda x: x, "m")])
    def other(x):
        return x

    def refuse(answer, reference):
        raise CheckFailed("never right")

    @blank("tiny.blank.3", title="x", judge=refuse, inputs=[(1,)], mistakes=[(lambda x: x, "another message")])
    def third(x):
        return x

    def said(k):
        return "\n".join(blanks.faults(blanks.find(f"tiny.blank.{k}")))

    assert "accepts the mistake that should get: 'never shown'" in said(1)
    assert "has no inputs" in said(2)
    assert "refuses the course's own version: never right" in said(3) and "gets 'never right'" in said(3)
    with pytest.raises(ValueError, match="expected at least one mistake"):
        blank("tiny.blank.4", title="x", mistakes=[])
    with pytest.raises(ValueError, match=r'expected "SLUG.blank.k"'):
        blank("tiny.1", title="x", mistakes=[(len, "m")])


# ---------------------------------------------------------------- in a lesson
SETUP = """
# %% tags=["hide-input"]
import numpy as np

from mmcourse.check import blank, check

@blank(
    "tiny.blank.1",
    title="Double",
    inputs=[(1.0,), (3.0,)],
    mistakes=[(lambda x: x + 2, "You added two.")],
)
def ours(x):
    return 2 * x

@blank("tiny.blank.2", title="A sum", value=True, inputs=[(3, 4)], mistakes=[(lambda a, b: a * b, "A product.")])
def added(a, b):
    return a + b
"""
BLANKS = '''
# %% [markdown]
# Now you. <details><summary>Hint</summary>Two times.</details>

# %%
def double(x):
    """Twice x."""
    # BEGIN SOLUTION
    factor = 2
    return factor * x
    # END SOLUTION

double = check("tiny.blank.1", double)

# %% [markdown]
# <details><summary>Hint</summary>Plus.</details>

# %%
a, b = 3, 4
# BEGIN SOLUTION
total = a + b
# END SOLUTION
total = check("tiny.blank.2", total, a, b)

# %%
print(double(21), total)
'''


def lesson_with(blanks_text=BLANKS, setup=SETUP):
    return tiny_course.LESSON + setup + blanks_text


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tiny_course.write(tmp_path_factory.mktemp("course"), lesson_with(), exercises=None)
    build(root=root)
    return lessons(root)[0]


def test_the_reader_sees_the_blank_and_the_folded_answer(built):
    nb = nbformat.read(built.notebook, as_version=4)
    text = [c.source for c in nb.cells]
    blank_cell = next(t for t in text if t.startswith("def double"))
    assert blank_cell == (
        'def double(x):\n    """Twice x."""\n    return ...\n\ndouble = check("tiny.blank.1", double)'
    )
    answer = text[text.index(blank_cell) + 1]
    assert answer.startswith("<details><summary>Answer</summary>\n\n```python\nfactor = 2\nreturn factor * x\n```")
    assert 'a, b = 3, 4\ntotal = ...\ntotal = check("tiny.blank.2", total, a, b)' in text
    assert not any("SOLUTION" in t for t in text)


def test_committed_output_says_not_attempted_and_run_all_reaches_the_end(built):
    nb = nbformat.read(built.notebook, as_version=4)
    shown = {c.source: str(c.outputs) for c in nb.cells if c.cell_type == "code"}
    assert "42.0 7" in shown["print(double(21), total)"] or "42 7" in shown["print(double(21), total)"]
    assert sum("not attempted yet" in s for s in shown.values()) == 2
    assert nb.metadata.mmcourse.blanks == ["tiny.blank.1", "tiny.blank.2"]
    assert stale(built, built.notebook, SLUG) == []
    execute(nb)  # once more, as a reader's "Run All"


def test_run_all_with_wrong_blanks_reaches_the_end_too(built):
    nb = nbformat.read(built.notebook, as_version=4)
    for cell in nb.cells:
        cell.source = cell.source.replace("return ...", "return x + 2").replace("total = ...", "total = 99")
    execute(nb)
    assert "42" in str(nb.cells[-1].outputs) and "You added two." in str([c.get("outputs") for c in nb.cells])


def test_an_untried_blank_makes_a_notebook_stale(built):
    nb = nbformat.read(built.notebook, as_version=4)
    kept = built.notebook.read_text()
    nb.metadata.mmcourse.blanks = ["tiny.blank.1"]
    nbformat.write(nb, built.notebook)
    assert any("the build tried ['tiny.blank.1']" in fault for fault in stale(built, built.notebook, SLUG))
    built.notebook.write_text(kept)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("factor = 2\n", "factor = 3\n", "the answer of tiny.blank.1 should pass its check"),
        ("total = a + b\n", "total = a * b\n", "A product."),
    ],
)
def test_the_build_refuses_an_answer_that_its_own_check_rejects(tmp_path, old, new, message):
    root = tiny_course.write(tmp_path, lesson_with(BLANKS.replace(old, new)), exercises=None)
    with pytest.raises(BuildError, match=message):
        build(root=root)


def test_the_build_refuses_a_check_that_accepts_everything(tmp_path):
    careless = SETUP.replace("inputs=[(1.0,), (3.0,)],", "inputs=[(0.0,)],")
    root = tiny_course.write(tmp_path, lesson_with(setup=careless), exercises=None)
    with pytest.raises(BuildError, match="accepts a function that returns 0"):
        build(root=root)
    assert not lessons(root)[0].notebook.exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('double = check("tiny.blank.1", double)', "", "has no `# BEGIN SOLUTION`|this blank has no check|is blank"),
        ('double = check("tiny.blank.1"', 'check("tiny.blank.1"', "hands back what the lesson goes on with"),
        ("tiny.blank.2", "tiny.blank.3", "this is blank 'tiny.blank.2', not 'tiny.blank.3'"),
        ("tiny.blank.2", "other.blank.2", "this is blank 'tiny.blank.2'"),
        ("<details><summary>Hint</summary>Plus.</details>", "no hint", "tiny.blank.2 has no folded hint"),
        ("    return factor * x\n", "    print(factor * x)\n", "ends in `return …` or `name = …`"),
        ("    factor = 2\n", "    factor = 2\n" + "    factor += 0\n" * 7, "too long, at most 8"),
        ("    # END SOLUTION", "", "without `# END SOLUTION`"),
        ("# BEGIN SOLUTION\ntotal = a + b\n# END SOLUTION", "total = a + b", "has no `# BEGIN SOLUTION` before"),
    ],
)  # fmt: skip
def test_an_author_is_told_what_is_wrong_with_a_blank(tmp_path, old, new, message):
    assert old in BLANKS
    root = tiny_course.write(tmp_path, lesson_with(BLANKS.replace(old, new, 1)), exercises=None)
    with pytest.raises(SourceError, match=message):
        lesson_text(read(lessons(root)[0].source), SLUG, {}, {"tiny": "00"})


def test_a_blank_can_show_something_else(tmp_path):
    text = BLANKS.replace(
        "    factor = 2\n", "    # BLANK: factor = ...\n    # BLANK: return factor * x\n    factor = 2\n"
    )
    root = tiny_course.write(tmp_path, lesson_with(text), exercises=None)
    nb = lesson_text(read(lessons(root)[0].source), SLUG, {}, {"tiny": "00"})
    shown = next(c.source for c in nb.cells if c.source.startswith("def double"))
    assert "    factor = ...\n    return factor * x\n" in shown


# ---------------------------------------------------------------- where they are written
@pytest.mark.parametrize(
    "begins", ["", 'from mmcourse.exercise import lesson\nlesson("filed", promise="p", setup="")\n']
)
def test_a_blank_is_found_in_the_lesson_s_own_files_and_no_framework_is_loaded_for_another(
    tmp_path, monkeypatch, begins
):
    from mmcourse.exercise import registry

    registered = """
from mmcourse.check.blanks import blank

@blank("filed.blank.{k}", title="t", inputs=[(1,)], mistakes=[(lambda x: x, "m")])
def reference(x):
    return x + {k}
"""
    home = tmp_path / "filed"
    home.mkdir()
    (home / "exercises.py").write_text(begins + registered.format(k=1))
    (home / "exercises_torch.py").write_text(registered.format(k=2).replace("reference", "second"))
    monkeypatch.setattr(blanks, "files", lambda: {"filed": home / "exercises.py"})
    monkeypatch.setattr(registry, "folder", lambda: tmp_path)
    for name in ("mmcourse_exercises_filed", "mmcourse_exercises_filed_torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    registry._begun.cache_clear()
    try:
        assert blanks.find("filed.blank.1").reference(1) == 2
        assert "mmcourse_exercises_filed_torch" not in sys.modules
        assert blanks.find("filed.blank.2").reference(1) == 3
        assert [b.id for b in blanks.blanks("filed")] == ["filed.blank.1", "filed.blank.2"]
        with pytest.raises(ValueError, match="Blanks that exist: filed.blank.1, filed.blank.2"):
            blanks.find("filed.blank.3")
    finally:
        registry._begun.cache_clear()


# ---------------------------------------------------------------- the real ones
def test_every_blank_of_every_lesson_is_registered_and_sound(monkeypatch):
    monkeypatch.undo()
    written = [
        id
        for lesson in lessons()
        if lesson.source.is_file()
        for _, ids in solved(lesson)
        for id in ids
    ]  # fmt: skip
    assert sorted(written) == sorted(b.id for b in blanks.blanks())
    assert [fault for b in blanks.blanks() for fault in blanks.faults(b)] == []


def solved(lesson):
    from mmcourse.authoring.source import solved_cells

    return solved_cells(read(lesson.source))
