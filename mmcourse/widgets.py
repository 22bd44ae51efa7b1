"""Knobs for lessons: sliders, buttons, text fields, folded answers, and guesses that are recorded before the answer.

::

    from mmcourse import widgets

    def show_softmax(temperature=1.0):
        plot.show(bars_of(softmax(scores / temperature)), alt=f"Five bars at temperature {temperature:g}.")

    widgets.slider(show_softmax, temperature=(0.1, 5.0))

A running notebook (JupyterLab, Colab) shows the knob. A saved one, without a kernel, shows the first state as an
ordinary output. Built notebooks hold no widget state.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import inspect
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from mmcourse import plot

__all__ = ["Guess", "buttons", "guess", "reveal", "slider", "text"]

# Set by whoever runs a notebook without a reader: the build, the tests.
STATIC = "MMCOURSE_WIDGETS"
WIDGET = "application/vnd.jupyter.widget-view+json"


def is_live() -> bool:
    """Whether somebody can turn a knob: a kernel with ipywidgets runs, and not for a build or a test."""
    shell = _shell()
    if shell is None or not hasattr(shell, "kernel") or os.environ.get(STATIC) == "static":
        return False
    return importlib.util.find_spec("ipywidgets") is not None


def _shell() -> Any:
    """IPython's shell; None in plain Python."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


# ---------------------------------------------------------------- sliders, buttons and text
def slider(function: Callable[..., Any], **ranges: Any) -> None:
    """Call `function` with values that the reader sets by sliders; what it shows stands below them.

    Parameters
    ----------
    function
        Draws or prints, given one value for each range, by name. Its defaults are where the sliders start; without
        one, a slider starts in the middle.
    ranges
        (low, high) or (low, high, step), of whole numbers or of floats; or a list of the values to choose from.

    ::

        widgets.slider(lambda sigma=1.0: draw_blur(sigma), sigma=(0.0, 4.0, 0.5))

    Raises
    ------
    ValueError
        If a range is empty or malformed, or a start lies outside it.
    """
    if not ranges:
        raise ValueError("slider: expected at least one range, such as temperature=(0.1, 5.0)")
    stops = {name: _stops(name, given) for name, given in ranges.items()}
    start = {name: _start(function, name, values) for name, values in stops.items()}
    if not is_live():
        said = [f"{name} = {_said(start[name])} ({_spelled(values)})" for name, values in stops.items()]
        _say(f"Slider: {'; '.join(said)}. Run this cell to move it.")
        function(**start)
        return
    import ipywidgets

    controls = {
        name: ipywidgets.SelectionSlider(
            options=[(_said(value), value) for value in values], value=start[name], description=_label(name),
            continuous_update=False, style={"description_width": "initial"}, layout={"width": "420px"},
        )
        for name, values in stops.items()
    }  # fmt: skip
    _show_controls(list(controls.values()), lambda: function(**{name: c.value for name, c in controls.items()}))


def buttons(function: Callable[[Any], Any], options: Sequence[Any] | Mapping[str, Any], label: str = "") -> None:
    """Call `function` with the option that the reader clicks; the first one is chosen at the start.

    `options` are values, or labels with their values.

    ::

        widgets.buttons(play_word, ["cat", "dog"], label="Which word?")
    """
    labeled = dict(options) if isinstance(options, Mapping) else {_said(value): value for value in options}
    if len(labeled) < 2 or len(labeled) != len(options):
        raise ValueError(f"buttons: expected at least two different options, got {list(options)}")
    first = next(iter(labeled))
    if not is_live():
        _say(
            f"Buttons: {label + ' ' if label else ''}[{first}] {' '.join(list(labeled)[1:])}. Run this cell to choose."
        )
        function(labeled[first])
        return
    import ipywidgets

    chooser = ipywidgets.ToggleButtons(
        options=list(labeled.items()), description=label, style={"description_width": "initial"}
    )
    _show_controls([chooser], lambda: function(chooser.value))


def text(
    function: Callable[[str], Any],
    start: str,
    label: str = "",
    actions: Mapping[str, Callable[[], Any]] | None = None,
) -> None:
    """Call `function` with each line that the reader types and ends with Enter; what it shows stands below the field.

    Parameters
    ----------
    function
        Draws or prints, given a line without spaces at its ends. What it shows replaces what was there: to show a
        conversation, print all of it.
    start
        The first line, answered at once; the field is empty then.
    label
        Stands before the field.
    actions
        More buttons: their labels, and functions without arguments that show something instead.

    Raises
    ------
    ValueError
        If `start` is empty.

    ::

        widgets.text(say, start="What do you see?", label="You", actions={"New conversation": forget})
    """
    start = plot._words(start, "text(function, start=...)").strip()
    more = dict(actions or {})
    if not is_live():
        rest = "".join(f" [{name}]" for name in more)
        _say(f"Text field: {label + ' ' if label else ''}“{start}”{rest}. Run this cell to type your own line.")
        function(start)
        return
    import ipywidgets

    field = ipywidgets.Text(
        description=label, placeholder="type a line, then press Enter", continuous_update=False,
        style={"description_width": "initial"}, layout={"width": "420px"},
    )  # fmt: skip
    first = _capture(lambda: function(start))
    output = ipywidgets.Output()
    with output:
        first.show()

    def refresh(run: Callable[[], Any]) -> None:
        output.clear_output(wait=True)
        with output:
            run()

    def send(change: Any) -> None:
        line = change["new"].strip()
        if line:  # emptied below, so that the same line can be sent twice
            field.value = ""
            refresh(lambda: function(line))

    field.observe(send, names="value")
    pressed = [ipywidgets.Button(description=name, layout={"width": "auto"}) for name in more]
    for button, run in zip(pressed, more.values(), strict=True):
        button.on_click(lambda _, run=run: refresh(run))
    _display(ipywidgets.VBox([ipywidgets.HBox([field, *pressed]), output]), first.html())


def _show_controls(controls: list[Any], run: Callable[[], Any]) -> None:
    """The controls over an output that `run` fills, at once and after each change."""
    import ipywidgets

    first = _capture(run)  # an error ends the cell, as it would without a widget
    output = ipywidgets.Output()
    with output:
        first.show()

    def refresh(change: Any) -> None:
        output.clear_output(wait=True)
        with output:
            run()

    for control in controls:
        control.observe(refresh, names="value")
    _display(ipywidgets.VBox([*controls, output]), first.html())


def _display(widget: Any, fallback: str) -> None:
    """Show a widget; where a saved copy is looked at without a kernel (GitHub), `fallback` stands in."""
    bundle = widget._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    plot._publish({**data, "text/html": fallback, "text/plain": "[a widget: run this cell to use it]"})


def _stops(name: str, given: Any) -> list[Any]:
    """All values at which a slider can stop."""
    if isinstance(given, list):
        if len(given) < 2:
            raise ValueError(f"{name}: expected at least two values to choose from, got {given}")
        return list(given)
    if not isinstance(given, tuple) or len(given) not in (2, 3):
        raise ValueError(f"{name}: expected (low, high), (low, high, step) or a list of values, got {given!r}")
    low, high = given[:2]
    whole = all(isinstance(number, int) for number in given)
    step = given[2] if len(given) == 3 else (1 if whole else (high - low) / 50)
    if not low < high or not step > 0 or step > high - low:
        raise ValueError(f"{name}: expected low < high and a step between 0 and their distance, got {given}")
    count = int((high - low) / step + 1e-9)
    values = [low + number * step for number in range(count + 1)]
    return values if whole else [round(float(value), 10) for value in values]


def _start(function: Callable, name: str, values: list[Any]) -> Any:
    """The function's own default, as the stop nearest to it; else the middle stop."""
    default = inspect.Parameter.empty
    with contextlib.suppress(TypeError, ValueError, KeyError):  # a built-in function shows no parameters
        default = inspect.signature(function).parameters[name].default
    if default is inspect.Parameter.empty:
        return values[len(values) // 2]
    if default in values:
        return default
    numbers = all(isinstance(value, (int, float)) for value in [*values, default])
    if not numbers or not values[0] <= default <= values[-1]:
        raise ValueError(f"{name}: the function starts at {default!r}, which lies outside {_spelled(values)}")
    return min(values, key=lambda value: abs(value - default))


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _label(name: str) -> str:
    return name.replace("_", " ")


def _spelled(values: list[Any]) -> str:
    if all(isinstance(value, (int, float)) for value in values) and values == sorted(values):
        return f"{_said(values[0])} to {_said(values[-1])}"
    return ", ".join(map(_said, values))


# ---------------------------------------------------------------- folded answers
def reveal(answer: str | Callable[[], Any], label: str = "Show the answer") -> None:
    """A folded answer: text, or whatever a function shows (pictures, drawings, sounds, printed lines).

    It needs no kernel, so that it works in a saved notebook too.

    ::

        widgets.reveal("The mask hides the future.")
        widgets.reveal(lambda: draw.show(picture, alt="The mask, a lower triangle."), label="Draw it")
    """
    words = plot._words(label, "reveal(answer, label=...)")
    inside = _capture(answer).html() if callable(answer) else f"<p>{escape(str(answer), quote=False)}</p>"
    text = "" if callable(answer) else str(answer)
    html = f"<details><summary>{escape(words, quote=False)}</summary>{inside}</details>"
    plot._publish({"text/html": html, "text/plain": f"[{words}] {text}".rstrip()})


@dataclass
class _Captured:
    """What a function printed, and what it displayed."""

    printed: str
    outputs: list[Any]

    def show(self) -> None:
        """Print and display it after all."""
        if self.printed:
            print(self.printed, end="")
        for output in self.outputs:
            output.display()

    def html(self) -> str:
        """All of it as one piece of HTML."""
        parts = [f"<pre>{escape(self.printed, quote=False)}</pre>"] if self.printed else []
        return "".join([*parts, *(_html_of(shown.data, shown.metadata or {}) for shown in self.outputs)])


def _capture(run: Callable[[], Any]) -> _Captured:
    """Run a function and keep what it shows."""
    printed = io.StringIO()
    if _shell() is None:  # plain Python, where `plot.show` prints
        with contextlib.redirect_stdout(printed):
            run()
        return _Captured(printed.getvalue(), [])
    from IPython.utils.capture import capture_output

    with capture_output(stdout=False, stderr=False) as captured, contextlib.redirect_stdout(printed):
        run()
    return _Captured(printed.getvalue(), list(captured.outputs))


def _html_of(data: dict[str, Any], metadata: dict[str, Any]) -> str:
    """One output as HTML; a picture keeps its alt text."""
    if "image/png" in data:
        png = data["image/png"]
        encoded = png if isinstance(png, str) else base64.b64encode(png).decode()
        alt = metadata.get("image/png", {}).get("alt") or data.get("text/plain", "a picture")
        return f'<img alt="{escape(alt)}" src="data:image/png;base64,{encoded.strip()}">'
    if "text/html" in data:
        return data["text/html"]
    return f"<pre>{escape(data.get('text/plain', ''), quote=False)}</pre>"


# ---------------------------------------------------------------- guesses
class Guess:
    """A prediction that the reader records; made by `guess`.

    Attributes
    ----------
    value
        What was recorded; None before that.
    """

    def __init__(self, question: str, options: list[Any], value: Any = None) -> None:
        self.question, self.options, self.value = question, options, value
        self._controls: list[Any] = []
        self._closed = False

    def record(self, value: Any) -> None:
        """Record a prediction. A recorded one stays: the answer must not change it."""
        if value not in self.options:
            raise ValueError(f"guess: expected one of {_spelled(self.options)}, got {value!r}")
        if not self._closed:
            self.value = value
            self._close()

    def compare(self, truth: Any) -> None:
        """Print the guess beside what turned out to be true. From then on no guess is taken."""
        self._close()
        if self.value is None:
            print(f"{self.question} No guess was recorded. Answer: {_said(truth)}.")
        elif self.value == truth:
            print(f"{self.question} You guessed {_said(self.value)}, and that is right.")
        else:
            print(f"{self.question} You guessed {_said(self.value)}. Answer: {_said(truth)}.")

    def _close(self) -> None:
        self._closed = True
        for control in self._controls:
            control.disabled = True


def guess(question: str, options: Sequence[Any] | tuple[float, float], *, default: Any = None) -> Guess:
    """Ask for a prediction before a lesson shows the answer, and record it.

    Parameters
    ----------
    question
        One question, in words.
    options
        A list of answers, for buttons; or (low, high) or (low, high, step), for a slider.
    default
        What is recorded where nobody can choose (a saved notebook, a test). None records nothing.

    ::

        where = widgets.guess("Which word does “it” attend to most?", ["cat", "mat", "sat"])
        ...
        where.compare("cat")
    """
    question = plot._words(question, "guess(question, options)")
    stops = _stops("options", options)
    if default is not None and default not in stops:
        raise ValueError(f"guess: the default {default!r} is not one of {_spelled(stops)}")
    asked = Guess(question, stops)
    if not is_live():
        asked.value = default
        _say(f"{question} ({_spelled(stops)}) Run this cell to record your guess.")
        return asked
    import ipywidgets

    status = ipywidgets.HTML()

    def record(value: Any) -> None:
        asked.record(value)
        status.value = f"Recorded: <b>{escape(_said(asked.value))}</b>"

    if isinstance(options, tuple):
        chooser = ipywidgets.SelectionSlider(
            options=[(_said(value), value) for value in stops], value=stops[len(stops) // 2], layout={"width": "420px"}
        )
        button = ipywidgets.Button(description="Record my guess")
        button.on_click(lambda _: record(chooser.value))
        asked._controls = [chooser, button]
    else:
        asked._controls = [ipywidgets.Button(description=_said(value), layout={"width": "auto"}) for value in stops]
        for button, value in zip(asked._controls, stops, strict=True):
            button.on_click(lambda _, value=value: record(value))
    asking = ipywidgets.HTML(escape(question, quote=False))
    fallback = f"<p>{escape(question, quote=False)} ({escape(_spelled(stops), quote=False)})</p>"
    _display(ipywidgets.VBox([asking, ipywidgets.HBox(asked._controls), status]), fallback)
    return asked


def _say(text: str) -> None:
    """One line in italics over a static state."""
    plot._publish({"text/html": f"<p><em>{escape(text, quote=False)}</em></p>", "text/plain": text})
