"""Knobs: what they show without a reader and with one, and what a saved notebook holds."""

from __future__ import annotations

import json
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from mmcourse import widgets
from mmcourse.authoring.clean import faults
from mmcourse.authoring.execute import ExecutionError, _kernel, execute
from mmcourse.widgets import _start, _stops

LESSON = """
from mmcourse import draw, plot, widgets

def show(size=2, word="cat"):
    print("size", size)
    draw.show(draw.box(word * size), alt=f"{word} times {size}")

def chart(n):
    import matplotlib.pyplot as plt
    fig, ax = plt.subplots(figsize=(2, 1))
    ax.plot(range(n))
    plot.show(fig, alt=f"A line over {n} steps.")
"""


def run(*cells: str, live: bool = False):
    """A notebook of these cells after `LESSON`, run by a kernel, with somebody at the knobs or without."""
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (LESSON, *cells)])
    if live:
        NotebookClient(nb, km=_kernel(), timeout=60, record_timing=False).execute()
    else:
        execute(nb)
    return nb


def shown(cell) -> str:
    return "\n".join(
        output.text if output.output_type == "stream" else output.data.get("text/plain", "") for output in cell.outputs
    )


@pytest.fixture(scope="module")
def static():
    return run(
        "widgets.slider(show, size=(1, 4), word=['cat', 'dog'])",
        "widgets.slider(chart, n=(2, 6))",
        "widgets.buttons(show, {'two': 2, 'three': 3}, label='How many?')",
        "widgets.reveal('a < b')\nwidgets.reveal(lambda: (print('first'), show(), chart(3)), label='Draw it')",
        "g = widgets.guess('How accurate?', (0.0, 1.0, 0.1))\nprint(g.value)\ng.compare(0.7)",
        "h = widgets.guess('Which?', ['a', 'b'], default='b')\nh.compare('b')",
        "widgets.text(lambda line: print('heard', line), ' hello ', 'You', {'New': lambda: print('gone')})",
    )


@pytest.fixture(scope="module")
def live():
    return run(
        "import ipywidgets\n"
        "def all_of(kind):\n"
        "    return [w for w in ipywidgets.widgets.widget._instances.values() if isinstance(w, kind)]\n"
        "widgets.slider(show, size=(1, 4), word=['cat', 'dog'])\n"
        "(output,) = all_of(ipywidgets.Output)\n"
        "size, word = all_of(ipywidgets.SelectionSlider)",
        "size.value = 3",
        "print(size.options, size.value, word.value, word.description)",
        "widgets.buttons(show, {'two': 2, 'three': 3}, label='How many?')",
        "before = len(all_of(ipywidgets.Button))\n"
        "g = widgets.guess('Which?', ['a', 'b'])\n"
        "a, b = all_of(ipywidgets.Button)[before:]\n"
        "b.click(); a.click()\n"
        "print(g.value, a.disabled, b.disabled)\n"
        "g.compare('a')",
        "h = widgets.guess('Which?', ['a', 'b'])\nh.compare('a')\nh.record('a')\nprint(h.value)",
        "said = []\n"
        "before = len(all_of(ipywidgets.Button)), len(all_of(ipywidgets.Output))\n"
        "def hear(line):\n"
        "    said.append(line)\n"
        "    print(1 / 0 if line == 'break' else ' / '.join(said))\n"
        "widgets.text(hear, start='hello', label='You', actions={'New': lambda: (said.clear(), print('gone'))})\n"
        "(field,) = all_of(ipywidgets.Text)\n"
        "(new,), (out,) = all_of(ipywidgets.Button)[before[0]:], all_of(ipywidgets.Output)[before[1]:]",
        "for line in ('a star', '  a star ', '   ', 'break', 'and now'):\n    field.value = line",
        "print(said, repr(field.value), field.description, new.description, field.continuous_update)",
        "new.click()\nfield.value = 'again'",
        "print(said)",
        live=True,
    )


# ---------------------------------------------------------------- without a reader
def test_a_slider_shows_its_first_state(static):
    cell = static.cells[1]
    assert "Slider: size = 2 (1 to 4); word = cat (cat, dog). Run this cell to move it." in shown(cell)
    assert "size 2" in shown(cell) and "[drawing: cat times 2]" in shown(cell)
    html = [o.data["text/html"] for o in cell.outputs if o.output_type == "display_data" and "text/html" in o.data]
    assert any('<img alt="cat times 2"' in text for text in html)
    picture = next(o for o in static.cells[2].outputs if "image/png" in o.get("data", {}))
    assert picture.metadata["image/png"]["alt"] == "A line over 4 steps."  # without a default: the middle


def test_the_saved_notebook_holds_no_widget_and_passes_the_gate(static):
    assert "widget" not in json.dumps([c.outputs for c in static.cells])
    assert "widgets" not in static.metadata
    static.metadata["mmcourse"] = {}
    for number, cell in enumerate(static.cells, 1):
        cell.execution_count = number
    assert faults(static) == []


def test_two_runs_without_a_reader_are_equal(static):
    again = run(*[c.source for c in static.cells[1:]])
    assert [c.outputs for c in again.cells] == [c.outputs for c in static.cells]


def test_buttons_show_the_first_option(static):
    assert "Buttons: How many? [two] three. Run this cell to choose." in shown(static.cells[3])
    assert "size 2" in shown(static.cells[3])


def test_a_folded_answer_needs_no_kernel(static):
    first, second = [o.data["text/html"] for o in static.cells[4].outputs]
    assert first == "<details><summary>Show the answer</summary><p>a &lt; b</p></details>"
    assert second.startswith("<details><summary>Draw it</summary><pre>first\nsize 2\n</pre><img alt=")
    assert 'alt="A line over 3 steps."' in second and second.endswith("</details>")


def test_a_guess_that_nobody_made_is_none_or_the_default(static):
    assert "How accurate? (0 to 1) Run this cell to record your guess." in shown(static.cells[5])
    assert "None" in shown(static.cells[5])
    assert "How accurate? No guess was recorded. Answer: 0.7." in shown(static.cells[5])
    assert "Which? You guessed b, and that is right." in shown(static.cells[6])


def test_a_text_field_answers_its_first_line(static):
    said = shown(static.cells[7])
    assert "Text field: You “hello” [New]. Run this cell to type your own line." in said
    assert said.endswith("heard hello\n") and "gone" not in said


# ---------------------------------------------------------------- with a reader
def test_moving_a_slider_calls_the_function_again(live):
    first = live.cells[1].outputs[-1]
    assert widgets.WIDGET in first.data and '<img alt="cat times 2"' in first.data["text/html"]
    assert "(('1', 1), ('2', 2), ('3', 3), ('4', 4)) 3 cat word" in shown(live.cells[3])


def test_a_guess_is_recorded_once(live):
    assert "b True True" in shown(live.cells[5]) and "Which? You guessed b. Answer: a." in shown(live.cells[5])


def test_no_guess_is_taken_after_the_answer(live):
    assert "No guess was recorded. Answer: a." in shown(live.cells[6]) and shown(live.cells[6]).endswith("None\n")


def test_each_line_that_is_typed_calls_the_function(live):
    """An empty one is not sent, the same one may be sent twice, and an error in the function does not end the talk."""
    first = live.cells[7].outputs[-1]
    assert widgets.WIDGET in first.data and "<pre>hello\n</pre>" in first.data["text/html"]
    assert "['hello', 'a star', 'a star', 'break', 'and now'] '' You New False" in shown(live.cells[9])
    assert "['again']" in shown(live.cells[11])


def test_an_error_in_the_function_ends_the_cell():
    for live in (True, False):
        with pytest.raises((ExecutionError, CellExecutionError), match="ZeroDivisionError"):
            run("widgets.slider(lambda n: 1 / 0, n=(1, 3))", live=live)


# ---------------------------------------------------------------- ranges
@pytest.mark.parametrize(
    ("given", "stops"),
    [
        ((1, 4), [1, 2, 3, 4]),
        ((0, 10, 5), [0, 5, 10]),
        ((0.0, 1.0, 0.25), [0.0, 0.25, 0.5, 0.75, 1.0]),
        ((0.1, 0.3, 0.1), [0.1, 0.2, 0.3]),
        (["a", "b"], ["a", "b"]),
        ([1, 10, 100], [1, 10, 100]),
    ],
)
def test_stops(given, stops):
    assert _stops("x", given) == stops


def test_a_range_of_floats_has_fifty_steps():
    stops = _stops("x", (0.1, 5.1))
    assert len(stops) == 51 and stops[0] == 0.1 and stops[-1] == 5.1


@pytest.mark.parametrize("given", [(4, 1), (1, 1), (1,), (1, 2, 0), (1, 2, 5), [], ["a"], 3, "ab", (0.0, float("nan"))])
def test_a_wrong_range_is_named(given):
    with pytest.raises(ValueError, match="x: expected"):
        _stops("x", given)


def test_a_slider_starts_at_the_function_s_own_default():
    stops = _stops("x", (0.0, 1.0, 0.25))
    assert _start(lambda x=0.75: x, "x", stops) == 0.75
    assert _start(lambda x=0.3: x, "x", stops) == 0.25
    assert _start(lambda x: x, "x", stops) == 0.5
    assert _start(lambda **kwargs: kwargs, "x", stops) == 0.5
    with pytest.raises(ValueError, match="starts at 7, which lies outside 0 to 1"):
        _start(lambda x=7: x, "x", stops)
    with pytest.raises(ValueError, match="starts at 'c', which lies outside a, b"):
        _start(lambda x="c": x, "x", ["a", "b"])


def test_wrong_calls_are_named(capsys):
    with pytest.raises(ValueError, match="at least one range"):
        widgets.slider(print)
    for options in (["a"], ["a", "a"], []):
        with pytest.raises(ValueError, match="two different options"):
            widgets.buttons(print, options)
    with pytest.raises(ValueError, match="default 'c' is not one of a, b"):
        widgets.guess("Which?", ["a", "b"], default="c")
    with pytest.raises(ValueError, match="needs words"):
        widgets.guess(" ", ["a", "b"])
    with pytest.raises(ValueError, match="needs words"):
        widgets.text(print, " ")
    with pytest.raises(ValueError, match="expected one of a, b, got 'c'"):
        widgets.guess("Which?", ["a", "b"]).record("c")


def test_plain_python_prints(capsys):
    widgets.slider(lambda n=2: print("n is", n), n=(1, 3))
    assert capsys.readouterr().out == "Slider: n = 2 (1 to 3). Run this cell to move it.\nn is 2\n"


def test_importing_loads_no_widgets():
    code = "import sys, mmcourse.widgets; print('ipywidgets' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "False\n"
