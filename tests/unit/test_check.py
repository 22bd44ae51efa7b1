"""check: verdicts, messages, displays, and answers that try hard to break it."""

import subprocess
import sys
import threading

import IPython
import numpy as np
import pytest

import mmcourse.check as module
from mmcourse.check import CheckFailed, assert_close, call, check, exercises, info, judge, render
from mmcourse.exercise import compare, registry, values

TRYOUT = """
from mmcourse.exercise import between, edit, exercise, lesson, part, says

lesson("tryout", promise="", setup="")


def sums(x):
    return x.sum(axis=0)


exercise(
    "tryout.1",
    sums,
    title="Column sums",
    points=2,
    difficulty=1,
    minutes=3,
    statement=[says("**Write** `sums(x)`, the sums of columns.", mistake="row sums")],
    hints=["One", "two."],
    draw=lambda g, n: (g.normal(size=(n, 5)),),
    parts=[
        part("small", inputs=[(__import__("numpy").arange(4.0).reshape(2, 2),)]),
        part("drawn", n=between(2, 4)),
    ],
    mistakes={"Those are row sums.": edit("axis=0", "axis=1")},
)
"""


@pytest.fixture
def tryout(monkeypatch, tmp_path):
    """A course of one exercise, tryout.1."""
    (tmp_path / "tryout").mkdir()
    (tmp_path / "tryout" / "exercises.py").write_text(TRYOUT)
    monkeypatch.setattr(registry, "folder", lambda: tmp_path)
    yield
    registry._begun.cache_clear()


def message_of(function, *args, **kwargs):
    with pytest.raises(CheckFailed) as caught:
        function(*args, **kwargs)
    return str(caught.value)


# ---------------------------------------------------------------- register
def test_metadata_is_there_for_graders():
    first = info("start_here.1")
    assert (first.id, first.lesson, first.points, first.difficulty) == ("start_here.1", "start_here", 1, 1)
    assert [e.id for e in exercises("start_here")] == ["start_here.1", "start_here.2", "start_here.3"]


@pytest.mark.parametrize(
    ("id", "near"),
    [
        ("start_here.9", "start_here."),
        ("fusionn.2", "fusion.2"),
        ("text.7", "text."),
        (3, ""),
        ("zz", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_unknown_exercise_names_the_nearest(id, near):
    result = judge(id, 1)
    assert result.status == "unknown exercise" and result.max_points == 0
    assert f"nearest are: {near}" in result.message
    with pytest.raises(ValueError, match="nearest"):
        info(id)


def test_the_nearest_is_named():
    assert "start_here.1" in judge("start_here.11").message and "start_here.2" in judge("starthere.2").message


# ---------------------------------------------------------------- verdicts
def test_a_right_answer_earns_its_points(tryout):
    result = judge("tryout.1", lambda x: x.sum(0))
    assert (result.status, result.points, result.max_points, result.passed) == ("passed", 2, 2, True)


def test_mistake_by_name_then_place_then_call(tryout):
    def rows(x):
        return x.sum(1)

    assert judge("tryout.1", rows).message.split("\n") == [
        "Those are row sums.",
        "The result at index [0]: expected 2, got 1 (2 of 2 values differ).",
        "Called as `rows([[0.0, 1.0], [2.0, 3.0]])`.",
    ]


def test_an_error_is_told_with_its_line_and_input(tryout):
    def divides(x):
        return x.sum(0) / [][0]

    message = judge("tryout.1", divides).message
    assert "raised IndexError: list index out of range" in message
    assert "In `divides`, line" in message and "`return x.sum(0) / [][0]`" in message
    assert "The input was [[0.0, 1.0], [2.0, 3.0]]." in message


def test_an_error_deep_in_a_library_shows_the_learners_line(tryout):
    def stacks(x):
        return np.linalg.inv(x[:, :1])

    message = judge("tryout.1", stacks).message
    assert "raised LinAlgError" in message and "`return np.linalg.inv(x[:, :1])`" in message


def test_wrong_number_of_arguments(tryout):
    assert "could not even be called" in judge("tryout.1", lambda: 1).message


def _exits(x):
    sys.exit(3)


def _recurses(x):
    return _recurses(x)


class Hostile:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name):
        raise RuntimeError("no")


ODD = {
    "exits": lambda: _exits,
    "recurses": lambda: _recurses,
    "hostile": Hostile,
    "hostile inside": lambda: lambda x: Hostile(),
    "a class": lambda: Hostile,
    "object": object,
    "dict": dict,
    "text": lambda: "2",
    "bytes": lambda: b"2",
}


@pytest.mark.parametrize("odd", ODD)
def test_nothing_that_an_answer_does_gets_out(tryout, odd, capsys):
    assert check("tryout.1", ODD[odd]()).status == "wrong"
    assert "✗ tryout.1 wrong" in capsys.readouterr().out


def test_the_learner_can_still_interrupt(tryout):
    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("tryout.1", interrupted)


def test_nested_functions_keep_their_not_implemented(tryout):
    def blank(x):
        raise NotImplementedError

    def frameworks_own(x):
        raise NotImplementedError("Module is missing forward")

    assert judge("tryout.1", blank).status == "not attempted yet" == judge("tryout.1").status
    assert "missing forward" in judge("tryout.1", frameworks_own).message


# ---------------------------------------------------------------- call
def test_an_endless_loop_ends():
    def endless():
        while True:
            pass

    assert "no result after 0.2 s" in message_of(call, endless, seconds=0.2)


def test_call_works_in_threads_without_alarms():
    got = []
    thread = threading.Thread(target=lambda: got.append(call(lambda x: x + 1, 1)))
    thread.start()
    thread.join()
    assert got == [2]


def _appends(x):
    x.append(4)
    return x


def _first(x):
    x[0] = 9
    return x


@pytest.mark.parametrize(
    ("function", "argument"),
    [(_first, np.zeros(3)), (_appends, [1, 2]), (_first, [1, 2]), (_first, [np.zeros(2), 1]), (_first, {0: 1.0})],
)
def test_changed_inputs_are_seen(function, argument):
    assert "changes its input (argument 1) in place" in message_of(call, function, argument)


def test_inputs_with_nan_and_generators_are_not_mistaken_for_changed():
    assert call(lambda x, g: g.random() < 2, np.array([np.nan]), np.random.default_rng(0))


def test_arguments_that_cannot_be_copied_are_handed_over():
    lock = threading.Lock()
    assert call(lambda x, words: (x, words.size), lock, np.array(["a", None], dtype=object)) == (lock, 2)


def test_the_callers_arrays_are_safe():
    given = np.zeros(3)
    message_of(call, _first, given)
    assert not given.any()


# ---------------------------------------------------------------- assert_close
TABLE = np.array([[1.0, 2.0], [3.0, 5.0]])


@pytest.mark.parametrize(
    ("got", "want", "fragment"),
    [
        (TABLE.T, TABLE, "transpose"),
        (-TABLE, TABLE, "sign"),
        (TABLE * 100, TABLE, "100 times too large"),
        (TABLE * 3, TABLE, "3 times what it should be"),
        (np.zeros((2, 2)), TABLE, "Every value is 0"),
        (np.array([1, 2]), np.array([1.4, 2.7]), "cut to whole numbers"),
        (TABLE[None], TABLE, "axis of length 1"),
        (TABLE[:, :1], TABLE[:, :1].T, "transposed"),
        (7.0, TABLE, "axis="),
        (TABLE, 11.0, "sum or a mean left out"),
        ([[1, 2], [3]], TABLE, "rows differ in length"),
        (TABLE > 2, TABLE, "True/False values (dtype bool) where numbers"),
        ([1, 0], np.array([True, False]), "whole numbers (dtype int64) where True/False"),
        (TABLE * 1j, TABLE, "complex"),
        ([1.0, np.inf], np.ones(2), "inf at index [1]"),
        (np.array([1, None]), np.ones(2), "dtype object"),
        ("cat", "dog", "expected 'dog', got 'cat'"),
        (3, "dog", "should be text"),
        (["the", "cat"], ["the", "dog"], "(item 1): expected 'dog'"),
        (["the"], ["the", "dog"], "should be 2 values; got 1"),
        ({"a": 1}, {"a": 1, "b": 2}, "missing: ['b']"),
        ({"a": 1, "b": 3}, {"a": 1, "b": 2}, "at key 'b': expected 2, got 3"),
        ([1], {"a": 1}, "should be a dict"),
        (np.ones(3), (1.0, 1.0), "should be 2 values; got 3"),
        (TABLE + 0j + [[0, 1j], [0, 0]], TABLE + 0j, "expected 2+0j, got 2+1j"),
    ],
)
def test_what_is_wrong_is_said(got, want, fragment):
    assert fragment in message_of(assert_close, got, want)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        ([[1, 2], [3, 5]], TABLE),
        ((1, 2), np.array([1, 2])),
        ([1.0, 2.0], np.array([1, 2])),
        (np.array([1.0, 2.0]), (1.0, 2.0)),
        (TABLE, TABLE + 0j),
        ([True, False], np.array([True, False])),
        (np.float16(0.375), 0.375),
        (np.float16(0.3333), np.float16(1 / 3)),
        (0.3330, np.float16(1 / 3)),
        (["a", np.str_("b")], ["a", "b"]),
        (np.array(["a", "b"]).tolist(), ["a", "b"]),
        ({"b": 2.0, "a": [1]}, {"a": np.array([1]), "b": 2}),
        (np.ma.array(TABLE), TABLE),
        ([], np.zeros(0)),
        (np.array([np.nan, 1.0]), np.array([np.nan, 1.0])),
        ([[1.0, 2.0], [3.0, 5.0]], [[1.0, 2.0], [3.0, 5.0]]),
    ],
)
def test_every_right_way_is_right(got, want):
    assert_close(got, want)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_one_wrong_value_is_found_in_every_width(dtype):
    g = np.random.default_rng(0)
    for _ in range(20):
        want = g.integers(512, 1024, g.integers(1, 6, 2)) / 1024  # exact in every width
        got = want.astype(dtype)
        assert_close(got, want)
        at = tuple(int(g.integers(n)) for n in want.shape)
        got[at] += 0.05
        assert f"index [{at[0]}, {at[1]}]" in message_of(assert_close, got, want)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_reference_sets_the_bar_and_not_the_dtype_of_the_answer(dtype):
    torch = pytest.importorskip("torch")
    third, near = (torch.tensor([value], dtype=getattr(torch, dtype)) for value in (1 / 3, 0.3345))
    assert f"{dtype} keeps only" in message_of(assert_close, third, np.array([1 / 3]))
    assert "keeps only" not in message_of(assert_close, near + 1, np.array([1 / 3])), (
        "rounding is not what is wrong here"
    )
    assert_close(near, third)
    assert message_of(assert_close, {"a": (near,)}, {"a": (np.array([1 / 3]),)})


@pytest.mark.parametrize("got", [5.0, -np.inf, 1e300])
def test_infinity_excuses_nothing(got):
    assert "expected inf" in message_of(assert_close, np.array([1.0, got]), np.array([1.0, np.inf]))
    assert_close(np.array([1.0, np.inf]), np.array([1.0, np.inf]))


def test_hints_are_not_given_where_the_mistake_makes_no_difference():
    hints = [(np.ones(2), "never say this"), (lambda: 1 / 0, "nor this"), (np.zeros(2), "all zero by name")]
    assert "all zero by name" in message_of(assert_close, np.zeros(2), np.ones(2), hints=hints)
    assert "never" not in message_of(assert_close, np.full(2, 3.0), np.ones(2), hints=hints)


def test_frameworks_tensors_are_read_without_importing_them():
    torch = pytest.importorskip("torch")
    weight = torch.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    for tensor in (weight, weight.half(), weight.bfloat16(), weight.double(), list(weight.detach()), weight * 1):
        assert_close(tensor, TABLE)
    assert "index [1, 1]" in message_of(assert_close, weight + torch.tensor([[0, 0], [0, 0.5]]), TABLE)
    assert call(lambda x: x * 2, weight.detach()).sum() == 22
    assert "in place" in message_of(call, lambda x: x.mul_(2), weight.detach())


def test_tensorflow_and_keras_tensors_are_read():
    tf = pytest.importorskip("tensorflow")
    pytest.importorskip("mmcourse.keras")
    import keras

    tensors = [tf.constant(TABLE), tf.cast(TABLE, "float16"), tf.cast(TABLE, "bfloat16"), tf.Variable(TABLE)]
    for tensor in [*tensors, keras.Variable(TABLE), [tf.constant([1.0, 2.0]), tf.constant([3.0, 5.0])]]:
        assert_close(tensor, TABLE)


# ---------------------------------------------------------------- displays
@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("One mean for each *pixel*.", "One mean for each <em>pixel</em>."),
        ("(*divided by n*) and the *first*, *last*", "(<em>divided by n</em>) and the <em>first</em>, <em>last</em>"),
        ("write `a *b* c` here, *then* `x*y*z`", "write <code>a *b* c</code> here, <em>then</em> <code>x*y*z</code>"),
        ("2*3*4, a*b*c, f(*args, *rest), **kwargs, 2 * n * m", "2*3*4, a*b*c, f(*args, *rest), **kwargs, 2 * n * m"),
        ("*<b>*", "*&lt;b&gt;*"),
    ],
)
def test_messages_show_code_and_emphasis(message, shown):
    assert render.html(module.Result("wrong", message, 0, 2)).endswith(f"<br>{shown}</div>")


def test_notebooks_get_html_and_text_and_a_mark_for_tools(tryout, monkeypatch):
    sent = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.publish_display_data", lambda data, metadata: sent.append((data, metadata)))
    for answer in (lambda x: x.sum(0), lambda x: x.sum(1), ...):
        check("tryout.1", answer)
    (passed, mark), (wrong, _), (blank, _) = sent
    assert mark == {"mmcourse": {"exercise": "tryout.1", "status": "passed"}}
    assert passed["text/plain"] == "✓ tryout.1 passed · Column sums · 2 of 2 points"
    assert "✗" in wrong["text/html"] and "tryout.1 wrong" in wrong["text/html"] and "<code>" in wrong["text/html"]
    assert "not attempted yet" in blank["text/html"]
    assert all('role="status"' in data["text/html"] for data, _ in sent)


def test_learners_text_cannot_become_markup(tryout):
    def scripted(x):
        raise ValueError("<script>alert(1)</script>")

    html = render.html(judge("tryout.1", scripted))
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_verdict_as_a_cells_value_shows_nothing_more(tryout):
    from IPython.core.formatters import DisplayFormatter

    assert DisplayFormatter().format(judge("tryout.1")) == ({}, {})


def test_old_terminals_get_what_they_can_show(tryout, monkeypatch):
    import io

    stdout = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stdout)
    check("tryout.1", lambda x: x.sum(0))
    stdout.flush()
    assert stdout.buffer.getvalue().decode("cp1252").startswith("? tryout.1 passed · Column sums")


def test_terminal_ipython_and_plain_python_show_text():
    code = "from mmcourse.check import check; r = check('start_here.1', lambda p: p.max(axis=1).sum())"
    for command in ([sys.executable, "-c"], [sys.executable, "-m", "IPython", "--no-banner", "--quick", "-c"]):
        done = subprocess.run([*command, code], capture_output=True, text=True, timeout=60)
        assert "✗ start_here.1 wrong" in done.stdout and "largest value of each row" in done.stdout, done.stderr


def test_the_module_itself_can_be_called():
    from mmcourse import check as called

    assert called is module and called("start_here.1").status == "not attempted yet"


def test_advice_is_looked_for_where_it_is_shown_and_not_where_two_values_are_only_compared(monkeypatch):
    """Drawing hidden inputs compares thousands of values, and needs no advice on them."""
    right = np.arange(12.0).reshape(3, 4)
    nested = {"a": [right, right[0]], "b": (right, "text")}
    with pytest.raises(CheckFailed, match="Only the sign is wrong"):
        assert_close(-right, right)

    def looked_for(*_):
        raise AssertionError("a pattern was looked for")

    monkeypatch.setattr(values, "_pattern", looked_for)
    assert not compare.matches(-right, right, {})
    assert not compare.matches(nested | {"a": [right, -right[0]]}, nested, {"rtol": 1e-6})
    assert compare.matches(nested, nested, {}) and compare.matches(right + 1e-9, right, {})
    with pytest.raises(AssertionError, match="a pattern was looked for"):
        assert_close(-right, right)


def test_checks_need_no_framework():
    code = "import sys; from mmcourse.check import exercises; exercises(); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("torch", "tensorflow", "keras", "matplotlib", "IPython", "transformers", "librosa"):
        assert f"'{heavy}'" not in loaded, heavy
