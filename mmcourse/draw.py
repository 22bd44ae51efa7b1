"""Drawings of ideas in the course's style: boxes, arrows, tensors, matrices, windows, attention, networks, timelines.

Charts of numbers are made by `mmcourse.plot`; this module draws what is no chart. Most drawings take one call::

    from mmcourse import draw

    layers = draw.network("pixels (32, 784)", ("Linear", (32, 128)), ("ReLU", (32, 128)), ("Linear", (32, 10)))
    draw.show(layers, alt="A multilayer perceptron: 784 pixels, 128 hidden units, 10 classes.")

Drawings are put side by side with `row` and `column`, and placed freely on a `Canvas`::

    canvas = draw.Canvas()
    query = canvas.place(draw.box("query"))
    key = canvas.place(draw.box("key", color="orange"), right_of=query, gap=80)
    canvas.arrow(query, key, label="q · k")
    draw.show(canvas, alt="The query is multiplied with the key.")

A drawing is vector graphics on a white panel: equally legible in light and dark themes and on paper. Boxes grow with
their text. The same call gives the same bytes on every machine.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import pairwise
from math import atan2, cos, hypot, sin
from pathlib import Path
from typing import Any, NamedTuple

import drawsvg
import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font

from mmcourse import plot

__all__ = ["Canvas", "Drawing", "Place", "attention", "box", "column", "label", "matrix", "network", "neurons", "row"]
__all__ += ["show", "tensor", "timeline", "to_svg", "tokens", "window"]

MAX_WIDTH = 760
MARGIN = 14  # of the panel around a drawing
SIZE, SMALL = 14, 12  # font sizes in pixels
LINE_HEIGHT = 1.3  # of a line of text, in font sizes
# Verdana and DejaVu Sans have nearly equal widths; whatever else stands in is narrower.
FONTS = "DejaVu Sans, Verdana, Arial, sans-serif"
INK, FRAME, PANEL = "#222222", "#CCCCCC", "#FFFFFF"


class Color(NamedTuple):
    """How one color of the course is used: for lines, for areas under text, and for text on white."""

    stroke: str
    fill: str
    text: str


COLORS = {
    "blue": Color(plot.BLUE, "#DCEBF6", "#005A8C"),
    "orange": Color(plot.ORANGE, "#FBE3D3", "#A34700"),
    "green": Color(plot.GREEN, "#D6F0E6", "#00694D"),
    "pink": Color("#B85A92", "#F6E3EE", "#963A70"),
    "amber": Color("#B07800", "#FCEFCF", "#7A5200"),
    "sky": Color("#2E86BF", "#E2F2FB", "#1F6793"),
    "gray": Color(plot.GRAY, "#EEEEEE", "#555555"),
    "white": Color("#777777", "#FFFFFF", INK),
}


# ---------------------------------------------------------------- measuring text
@lru_cache(maxsize=2)
def _font(bold: bool) -> FT2Font:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    font = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name))
    font.set_size(100, 72)
    return font


@lru_cache(maxsize=4096)
def _advance(character: str, bold: bool) -> float:
    """Width of one character in font sizes; a character that the font lacks (Chinese, emoji) is one font size wide."""
    font = _font(bold)
    if not font.get_char_index(ord(character)):
        return 1.0
    return font.load_char(ord(character)).linearHoriAdvance / 65536 / 100


def text_width(text: str, size: float = SIZE, bold: bool = False) -> float:
    """Width of the widest line of `text` in pixels."""
    return max(sum(_advance(character, bold) for character in line) for line in text.split("\n")) * size


def _text_height(text: str, size: float) -> float:
    return (text.count("\n") + 1) * size * LINE_HEIGHT


def _wrapped(text: str, width: float, size: float, bold: bool) -> str:
    """`text` broken between words so that no line is wider than `width` pixels."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            if text_width(word, size, bold) > width:
                need = text_width(word, size, bold)
                raise ValueError(
                    f"the word {word!r} is {need:.0f} px wide and does not fit into {width:.0f} px: "
                    "give the box a larger width, or none, so that it grows with its text"
                )
            longer = f"{line} {word}" if line else word
            if line and text_width(longer, size, bold) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)


# ---------------------------------------------------------------- drawings and places
@dataclass(frozen=True)
class Place:
    """Where something lies on a canvas, in pixels from the canvas's origin; y grows downwards."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> tuple[float, float]:
        """Middle of the left edge (x, y)."""
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> tuple[float, float]:
        """Middle of the right edge (x, y)."""
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> tuple[float, float]:
        """Middle of the top edge (x, y)."""
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> tuple[float, float]:
        """Middle of the bottom edge (x, y)."""
        return self.x + self.width / 2, self.y + self.height

    @property
    def center(self) -> tuple[float, float]:
        """The middle (x, y)."""
        return self.x + self.width / 2, self.y + self.height / 2


class Drawing:
    """Something drawn, of a known size; show it with `draw.show(drawing, alt="…")`."""

    def __init__(self) -> None:
        self._elements: list[Any] = []
        self._x0 = self._y0 = float("inf")
        self._x1 = self._y1 = float("-inf")
        # where arrows of `row` and `column` end, if that is not the whole drawing (a caption does not count)
        self._body: Place | None = None

    @property
    def width(self) -> float:
        """Width in pixels."""
        return max(self._x1 - self._x0, 0.0)

    @property
    def height(self) -> float:
        """Height in pixels."""
        return max(self._y1 - self._y0, 0.0)

    def __repr__(self) -> str:
        return f'<Drawing of {self.width:.0f} × {self.height:.0f} px: show it with draw.show(drawing, alt="…")>'

    # The private methods below add to the drawing and let it grow.
    def _grow(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self._x0, self._y0 = min(self._x0, x0), min(self._y0, y0)
        self._x1, self._y1 = max(self._x1, x1), max(self._y1, y1)

    def _rectangle(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        self._elements.append(drawsvg.Rectangle(*_numbers(x, y, width, height), **style))
        self._grow(x, y, x + width, y + height)

    def _line(self, points: Sequence[tuple[float, float]], **style: Any) -> None:
        commands = "M" + " L".join(" ".join(map(str, _numbers(*point))) for point in points)
        self._elements.append(drawsvg.Path(d=commands, **{"fill": "none", **style}))
        for x, y in points:
            self._grow(x, y, x, y)

    def _circle(self, x: float, y: float, radius: float, **style: Any) -> None:
        self._elements.append(drawsvg.Circle(*_numbers(x, y, radius), **style))
        self._grow(x - radius, y - radius, x + radius, y + radius)

    def _text(
        self,
        text: str,
        x: float,
        y: float,
        *,
        size: float = SIZE,
        bold: bool = False,
        color: str = INK,
        anchor: str = "middle",
    ) -> Place:
        """`text` with its vertical middle at `y`; `x` is its "start", "middle" or "end"."""
        width, height = text_width(text, size, bold), _text_height(text, size)
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        style = {"fill": color, "text_anchor": anchor} | ({"font_weight": "bold"} if bold else {})
        baseline = y - height / 2 + size * (LINE_HEIGHT / 2 + 0.36)
        for number, line in enumerate(text.split("\n")):
            at = _numbers(x, baseline + number * size * LINE_HEIGHT)
            self._elements.append(drawsvg.Text(line, size, *at, **style))
        place = Place(left, y - height / 2, width, height)
        self._grow(left, place.y, left + width, place.y + height)
        return place

    def _put(self, part: Drawing, x: float, y: float) -> Place:
        """`part` with its top left corner at (x, y)."""
        dx, dy = _numbers(x - part._x0, y - part._y0)
        group = drawsvg.Group(transform=f"translate({dx} {dy})")
        for element in part._elements:
            group.append(element)
        self._elements.append(group)
        self._grow(x, y, x + part.width, y + part.height)
        body = part._inner()
        return Place(x + body.x - part._x0, y + body.y - part._y0, body.width, body.height)

    def _inner(self) -> Place:
        """What arrows point at, in the drawing's own coordinates."""
        return self._body or Place(self._x0, self._y0, self.width, self.height)


def _numbers(*values: float) -> list[float]:
    """Rounded to a tenth of a pixel, so that the text of a drawing does not depend on the processor."""
    rounded = [round(float(value), 1) + 0.0 for value in values]  # + 0.0: no negative zero
    return [int(value) if value == int(value) else value for value in rounded]


def _color(name: str) -> Color:
    if name not in COLORS:
        raise ValueError(f"color: expected one of {', '.join(COLORS)}; got {name!r}")
    return COLORS[name]


class Canvas(Drawing):
    """A drawing on which parts are placed by coordinates or beside one another, and joined by arrows.

    ::

        canvas = draw.Canvas()
        image = canvas.place(draw.box("image"))
        text = canvas.place(draw.box("text"), below=image, gap=20)
        model = canvas.place(draw.box("model", color="green"), right_of=[image, text], gap=60)
        canvas.arrow(image, model)
        canvas.arrow(text, model)
        canvas.frame([image, text], label="inputs")
    """

    def place(
        self,
        part: Drawing,
        *,
        x: float | None = None,
        y: float | None = None,
        right_of: Place | Iterable[Place] | None = None,
        left_of: Place | Iterable[Place] | None = None,
        below: Place | Iterable[Place] | None = None,
        above: Place | Iterable[Place] | None = None,
        gap: float = 40,
    ) -> Place:
        """Put `part` on the canvas and return where it lies.

        `x` and `y` are its top left corner in pixels (0 if not given). `right_of`, `left_of`, `below` or `above` puts
        it `gap` pixels beside another place, or several, centered on them; then a given `x` or `y` moves it from there.
        """
        beside = {"right_of": right_of, "left_of": left_of, "below": below, "above": above}
        given = {side: _around(places) for side, places in beside.items() if places is not None}
        if len(given) > 1:
            raise ValueError(f"place: expected one of {', '.join(beside)}; got {' and '.join(given)}")
        body = part._inner()
        # from the part's own corner to the body that is to be centered
        over, down = body.x - part._x0, body.y - part._y0
        left, top = 0.0, 0.0
        for side, place in given.items():
            left = place.center[0] - body.width / 2 - over
            top = place.center[1] - body.height / 2 - down
            if side == "right_of":
                left = place.right[0] + gap
            elif side == "left_of":
                left = place.left[0] - gap - part.width
            elif side == "below":
                top = place.bottom[1] + gap
            else:
                top = place.top[1] - gap - part.height
        return self._put(part, left + (x or 0.0), top + (y or 0.0))

    def text(
        self, text: str, x: float, y: float, *, size: float = SIZE, bold: bool = False, color: str = "white"
    ) -> Place:
        """Write `text` (lines split by a line break) centered on the point (x, y)."""
        return self._text(text, x, y, size=size, bold=bold, color=_color(color).text)

    def arrow(
        self,
        start: Place | tuple[float, float],
        end: Place | tuple[float, float],
        *,
        label: str = "",
        color: str = "gray",
        bend: float = 0.0,
        width: float = 1.8,
        head: bool = True,
        dashed: bool = False,
    ) -> None:
        """An arrow between two places (from the sides that face each other) or points (x, y).

        `bend` curves it sideways by so many pixels; `head=False` leaves a line.
        """
        from_point, to_point = _ends(start, end)
        (x0, y0), (x1, y1) = from_point, to_point
        length = hypot(x1 - x0, y1 - y0)
        if length < 1:
            raise ValueError(f"arrow: both ends lie at ({x0:.0f}, {y0:.0f}): leave a gap between the two places")
        # the control point of a quadratic curve, `bend` pixels to the left of the way
        middle = (x0 + x1) / 2, (y0 + y1) / 2
        normal = (y1 - y0) / length, -(x1 - x0) / length
        control = middle[0] + 2 * bend * normal[0], middle[1] + 2 * bend * normal[1]
        angle = atan2(y1 - control[1], x1 - control[0]) if bend else atan2(y1 - y0, x1 - x0)
        tip = 9 if head else 0
        stop = x1 - tip * 0.8 * cos(angle), y1 - tip * 0.8 * sin(angle)
        stroke = _color(color).stroke
        style = {"stroke": stroke, "stroke_width": width, "fill": "none"} | (
            {"stroke_dasharray": "5 4"} if dashed else {}
        )
        a, b, c, d, e, f = _numbers(x0, y0, *control, *stop)
        commands = f"M{a} {b} Q{c} {d} {e} {f}" if bend else f"M{a} {b} L{e} {f}"
        self._elements.append(drawsvg.Path(d=commands, **style))
        peak = middle[0] + bend * normal[0], middle[1] + bend * normal[1]
        for x, y in (from_point, to_point, peak):
            self._grow(x, y, x, y)
        if head:
            wings = [
                (x1 - tip * cos(angle + side), y1 - tip * sin(angle + side)) for side in (0.4, -0.4)
            ]  # two points behind the tip
            self._line([to_point, *wings, to_point], fill=stroke)
        if label:
            self._arrow_label(label, peak, normal, bend)

    def _arrow_label(self, label: str, peak: tuple[float, float], normal: tuple[float, float], bend: float) -> None:
        """Above a level arrow, to the right of an upright one, outside a bent one."""
        width, height = text_width(label, SMALL), _text_height(label, SMALL)
        side = 1 if bend > 0 or (bend == 0 and (normal[1] < -0.3 or (abs(normal[1]) <= 0.3 and normal[0] > 0))) else -1
        away = (width * abs(normal[0]) + height * abs(normal[1])) / 2 + 4
        x, y = peak[0] + side * away * normal[0], peak[1] + side * away * normal[1]
        self._rectangle(x - width / 2 - 1, y - height / 2, width + 2, height, fill=PANEL, fill_opacity=0.85)
        self._text(label, x, y, size=SMALL)

    def line(self, start: Place | tuple[float, float], end: Place | tuple[float, float], **settings: Any) -> None:
        """An arrow without a head; see `arrow`."""
        self.arrow(start, end, head=False, **settings)

    def frame(self, places: Iterable[Place], *, label: str = "", color: str = "gray", padding: float = 12) -> Place:
        """A dashed frame around some places, with `label` above it; returns the frame's place."""
        inside = _around(places)
        x, y = inside.x - padding, inside.y - padding
        width, height = inside.width + 2 * padding, inside.height + 2 * padding
        width = max(width, text_width(label, SMALL, bold=True)) if label else width
        shades = _color(color)
        style = {"stroke": shades.stroke, "stroke_dasharray": "5 4", "stroke_width": 1.4, "fill": "none"}
        self._rectangle(x, y, width, height, rx=8, **style)
        if label:
            middle = y - SMALL * LINE_HEIGHT * (label.count("\n") + 1) / 2 - 2
            self._text(label, x, middle, size=SMALL, bold=True, color=shades.text, anchor="start")
        return Place(x, y, width, height)


def _around(places: Place | Iterable[Place]) -> Place:
    """The smallest place that holds all of them."""
    places = [places] if isinstance(places, Place) else list(places)
    if not places or not all(isinstance(place, Place) for place in places):
        raise TypeError(f"expected places, as Canvas.place returns them; got {places!r}")
    x, y = min(p.x for p in places), min(p.y for p in places)
    return Place(x, y, max(p.x + p.width for p in places) - x, max(p.y + p.height for p in places) - y)


def _ends(start: Place | tuple, end: Place | tuple, gap: float = 3.0) -> tuple[tuple, tuple]:
    """The two points that an arrow joins, `gap` pixels off the places."""
    a = start if isinstance(start, Place) else Place(start[0], start[1], 0, 0)
    b = end if isinstance(end, Place) else Place(end[0], end[1], 0, 0)
    off_a = gap if isinstance(start, Place) else 0.0
    off_b = gap if isinstance(end, Place) else 0.0
    if b.x >= a.x + a.width:
        return (a.right[0] + off_a, a.right[1]), (b.left[0] - off_b, b.left[1])
    if b.x + b.width <= a.x:
        return (a.left[0] - off_a, a.left[1]), (b.right[0] + off_b, b.right[1])
    if b.y >= a.y + a.height:
        return (a.bottom[0], a.bottom[1] + off_a), (b.top[0], b.top[1] - off_b)
    return (a.top[0], a.top[1] - off_a), (b.bottom[0], b.bottom[1] + off_b)


# ---------------------------------------------------------------- showing
def show(drawing: Drawing, alt: str) -> None:
    """Display `drawing`; `alt` says in words what it shows, for those who cannot see it.

    The output is an image inside HTML. JupyterLab shows that before a downloaded notebook is trusted, which it does not
    do for bare SVG, and GitHub does not strip it.

    ::

        draw.show(draw.box("encoder"), alt="One box: the encoder.")

    Raises
    ------
    ValueError
        If `alt` is empty, or the drawing is wider than 760 px (a laptop's column).
    """
    svg = to_svg(drawing, alt)
    alt = plot._words(alt, "draw.show(drawing, alt=...)")
    source = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    width, height = _outer(drawing)
    image = f'<img alt="{escape(alt)}" width="{width}" height="{height}" style="max-width: 100%" src="{source}">'
    plot._publish({"text/html": image, "text/plain": f"[drawing: {alt}]"})


def to_svg(drawing: Drawing, alt: str) -> str:
    """The drawing as an SVG file on its white panel, with `alt` as its description; equal calls give equal text.

    ::

        Path("encoder.svg").write_text(draw.to_svg(draw.box("encoder"), alt="One box: the encoder."))
    """
    alt = plot._words(alt, "draw.to_svg(drawing, alt=...)")
    if not isinstance(drawing, Drawing):
        raise TypeError(f"expected a drawing, such as draw.box gives; got {type(drawing).__name__}")
    if not drawing._elements:
        raise ValueError("the drawing is empty: place something on it before it is shown")
    width, height = _outer(drawing)
    if width > MAX_WIDTH:
        raise ValueError(
            f"the drawing is {width} px wide, at most {MAX_WIDTH} px fit a laptop's column: "
            "use shorter words or fewer parts, stack parts with draw.column, or break lines of text"
        )
    sheet = drawsvg.Drawing(width, height, role="img", aria_label=escape(alt), font_family=FONTS)
    sheet.append_title(alt)
    sheet.append(drawsvg.Raw(f"<desc>{escape(alt, quote=False)}</desc>"))
    panel = {"rx": 6, "fill": PANEL, "stroke": FRAME, "stroke_width": 1}
    sheet.append(drawsvg.Rectangle(0.5, 0.5, width - 1, height - 1, **panel))
    dx, dy = _numbers(MARGIN - drawing._x0, MARGIN - drawing._y0)
    content = drawsvg.Group(transform=f"translate({dx} {dy})")
    for element in drawing._elements:
        content.append(element)
    sheet.append(content)
    return sheet.as_svg(skip_js=True, skip_css=True)


def _outer(drawing: Drawing) -> tuple[int, int]:
    """Whole pixels of the panel."""
    return int(-(-drawing.width // 1)) + 2 * MARGIN, int(-(-drawing.height // 1)) + 2 * MARGIN


# ---------------------------------------------------------------- small pieces
def box(
    text: str,
    *,
    color: str = "blue",
    note: str = "",
    width: float | None = None,
    height: float | None = None,
    bold: bool = False,
) -> Drawing:
    """A box that is as large as its text; `note` is a smaller line below it.

    With `width` (in pixels) the text is broken between words; a word that does not fit is refused.

    ::

        draw.box("Linear", note="784 → 128", color="green")
    """
    shades = _color(color)
    padding = 12
    if width is not None:
        text = _wrapped(text, width - 2 * padding, SIZE, bold)
        note = note and _wrapped(note, width - 2 * padding, SMALL, False)
    need_width = max(text_width(text, SIZE, bold), text_width(note, SMALL)) + 2 * padding
    text_height, note_height = _text_height(text, SIZE), _text_height(note, SMALL) if note else 0.0
    need_height = text_height + note_height + 2 * 8
    if height is not None and height < need_height:
        raise ValueError(f"box: the text needs a height of {need_height:.0f} px, got {height:g}")
    width, height = width or need_width, height or need_height
    made = Drawing()
    made._rectangle(0, 0, width, height, rx=6, fill=shades.fill, stroke=shades.stroke, stroke_width=1.6)
    top = (height - text_height - note_height) / 2
    made._text(text, width / 2, top + text_height / 2, bold=bold)
    if note:
        made._text(note, width / 2, top + text_height + note_height / 2, size=SMALL, color="#444444")
    return made


def label(text: str, *, size: float = SIZE, bold: bool = False, color: str = "white") -> Drawing:
    """Plain text as a part of a drawing.

    ::

        draw.row(draw.box("a"), draw.label("and"), draw.box("b"))
    """
    made = Drawing()
    made._text(text, 0, 0, size=size, bold=bold, color=_color(color).text)
    return made


def tokens(
    words: Sequence[Any],
    *,
    ids: Sequence[Any] | None = None,
    color: str = "blue",
    highlight: Iterable[int] = (),
    title: str = "",
) -> Drawing:
    """A row of cells with a word in each, and under each its id or position if `ids` are given.

    `highlight` lists the positions to color orange (masked words, padding, the current word).

    ::

        draw.tokens(["the", "cat", "sat", "[PAD]"], ids=[5, 17, 9, 0], highlight=[3])
    """
    words = [str(word) for word in words]
    below = [""] * len(words) if ids is None else [str(id) for id in ids]
    if len(below) != len(words):
        raise ValueError(f"ids: expected one for each of the {len(words)} words, got {len(below)}")
    chosen = _positions(highlight, len(words), "highlight")
    made = Drawing()
    left = 0.0
    for position, (word, number) in enumerate(zip(words, below, strict=True)):
        width = max(text_width(word) + 16, text_width(number, SMALL) + 10, 30)
        shades = _color("orange" if position in chosen else color)
        made._rectangle(left, 0, width, 32, fill=shades.fill, stroke=shades.stroke, stroke_width=1.4)
        made._text(word, left + width / 2, 16)
        if number:
            made._text(number, left + width / 2, 44, size=SMALL, color="#555555")
        left += width
    made._body = Place(0, 0, left, 32)
    return _titled(made, title)


def _positions(chosen: Iterable[int], n: int, name: str) -> set[int]:
    """Positions counted from 0; negative ones count from the end."""
    found = set()
    for position in chosen:
        if not -n <= position < n:
            raise ValueError(f"{name}: position {position} is not one of 0 to {n - 1}")
        found.add(position % n)
    return found


def _titled(made: Drawing, title: str) -> Drawing:
    """The drawing with `title` over its middle."""
    if title:
        body = made._inner()
        made._body = body
        height = _text_height(title, SIZE)
        made._text(title, body.center[0], made._y0 - height / 2 - 4, bold=True)
    return made


def tensor(shape: Sequence[int], name: str = "", *, axes: Sequence[str] = (), color: str = "blue") -> Drawing:
    """An array drawn by its shape, with the shape below: a cell, a row, a grid, or a stack of grids.

    The last two axes make the grid, the one before them the stack; axes before that are written as "32 of these".
    Long axes are shortened. `axes` names each axis.

    ::

        draw.tensor((32, 10, 64), "embeddings", axes=("batch", "time", "features"))
    """
    shape = tuple(int(size) for size in shape)
    if any(size < 1 for size in shape):
        raise ValueError(f"shape: expected sizes of at least 1, got {shape}")
    if axes and len(axes) != len(shape):
        raise ValueError(f"axes: expected a name for each of the {len(shape)} axes of {shape}, got {len(axes)}")
    shades = _color(color)
    rows, columns = ((1, 1) + shape)[-2:]
    shown_rows, shown_columns = min(rows, 6), min(columns, 8)
    deep = min(shape[-3], 4) if len(shape) > 2 else 1
    cell, shift = 17, 8
    made = Drawing()
    style = {"fill": shades.fill, "stroke": shades.stroke, "stroke_width": 1}
    line_style = {"stroke": shades.stroke, "stroke_width": 1}
    for layer in range(deep):  # the farthest sheet first
        left, top = (deep - 1 - layer) * shift, layer * shift
        made._rectangle(left, top, shown_columns * cell, shown_rows * cell, **style)
        for i in range(1, shown_rows):
            made._line([(left, top + i * cell), (left + shown_columns * cell, top + i * cell)], **line_style)
        for j in range(1, shown_columns):
            made._line([(left + j * cell, top), (left + j * cell, top + shown_rows * cell)], **line_style)
    made._body = Place(0, 0, made.width, made.height)
    names = [f"{axis} {size}" for axis, size in zip(axes, shape, strict=True)] if axes else []
    caption = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
    bottom = made.height
    made._text(caption, made.width / 2, bottom + 12, size=SMALL)
    if names:
        made._text("\n".join(names), made._body.width / 2, bottom + 22 + 8 * len(names), size=SMALL, color="#555555")
    if len(shape) > 3:
        more = " × ".join(str(size) for size in shape[:-3])
        made._text(f"{more} of these", made._body.width / 2, made._y1 + 8, size=SMALL, color="#555555")
    return _titled(made, name)


# ---------------------------------------------------------------- matrices and windows
def matrix(
    values: Any,
    *,
    title: str = "",
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    form: str | None = None,
    highlight: Iterable[tuple[int, int]] = (),
    heat: bool = False,
    color: str = "blue",
) -> Drawing:
    """Numbers (or words) in cells; `values` is (rows, columns), or (n,) for one row.

    `rows` and `columns` are labels, `form` a format such as ".2f", `highlight` lists cells (row, column) to frame in
    orange. `heat` tints cells by size: blue above zero, orange below. NaN and None are left empty.

    ::

        draw.matrix([[1, 2], [3, 4]], title="X", highlight=[(0, 1)])
    """
    array = np.asarray(values, dtype=object)
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or not array.size:
        raise ValueError(f"matrix: expected values of shape (rows, columns), got {np.shape(values)}")
    for name, labels, n in (("rows", rows, array.shape[0]), ("columns", columns, array.shape[1])):
        if labels is not None and len(labels) != n:
            raise ValueError(f"{name}: expected {n} labels for values of shape {array.shape}, got {len(labels)}")
    texts = [[_cell_text(value, form) for value in line] for line in array]
    widest_label = max((text_width(str(name), SMALL) for name in columns or ()), default=0.0)
    shades = _color(color)
    fills = _heat(array) if heat else np.full(array.shape, shades.fill, dtype=object)
    made = _grid(texts, fills, shades.stroke, at_least=widest_label + 12)
    cell_width, cell_height = made.width / array.shape[1], made.height / len(array)
    for cell in highlight:
        i, j = (_positions([k], n, "highlight").pop() for k, n in zip(cell, array.shape, strict=True))
        _mark(made, j * cell_width, i * cell_height, cell_width, cell_height)
    for i, text in enumerate(rows or ()):
        made._text(str(text), -8, (i + 0.5) * cell_height, size=SMALL, color="#444444", anchor="end")
    for j, text in enumerate(columns or ()):
        made._text(str(text), (j + 0.5) * cell_width, -11, size=SMALL, color="#444444")
    return _titled(made, title)


def _grid(texts: list[list[str]], fills: np.ndarray, stroke: str, at_least: float = 0.0) -> Drawing:
    """Cells of one size, wide enough for the widest text."""
    widest = max(text_width(text) for line in texts for text in line)
    width, height = max(32.0, widest + 12, at_least), 30.0
    made = Drawing()
    for (i, j), fill in np.ndenumerate(fills):
        made._rectangle(j * width, i * height, width, height, fill=fill, stroke=stroke, stroke_width=1)
        if texts[i][j]:
            made._text(texts[i][j], (j + 0.5) * width, (i + 0.5) * height)
    made._body = Place(0, 0, made.width, made.height)
    return made


def _mark(made: Drawing, x: float, y: float, width: float, height: float) -> None:
    """A thick orange frame."""
    made._rectangle(x, y, width, height, fill="none", stroke=plot.ORANGE, stroke_width=3.4)


def _cell_text(value: Any, form: str | None) -> str:
    if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
        return ""
    if isinstance(value, (bool, np.bool_, str)):
        return str(value)
    if form is not None:
        return format(value, form)
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)


def _heat(array: np.ndarray) -> np.ndarray:
    """A tint for each cell, light enough for dark text; the largest size gets the strongest."""
    numbers = np.array([[np.nan if value is None else float(value) for value in line] for line in array])
    finite = np.where(np.isfinite(numbers), numbers, 0.0)
    largest = np.abs(finite).max() or 1.0
    fills = np.empty(array.shape, dtype=object)
    for at, value in np.ndenumerate(finite):
        strongest = np.array([109, 179, 220]) if value >= 0 else np.array([240, 160, 110])
        tint = 255 + (strongest - 255) * abs(value) / largest
        fills[at] = "#" + "".join(f"{round(float(channel)):02X}" for channel in tint)
    return fills


def window(
    values: Any, kernel: Any, at: tuple[int, int] = (0, 0), *, stride: int = 1, form: str | None = None
) -> Drawing:
    """A kernel that slides over a matrix: the window at step `at`, the products summed, and the output so far.

    `values` is (rows, columns), `kernel` (k_rows, k_columns), without padding; `at` is the (row, column) of the output
    that is being computed. Outputs that come later are empty. This is cross-correlation, as layers compute it.

    ::

        draw.window([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [0, -1]], at=(0, 1))
    """
    values, kernel = np.asarray(values), np.asarray(kernel)
    if values.ndim != 2 or kernel.ndim != 2 or any(k > v for k, v in zip(kernel.shape, values.shape, strict=True)):
        raise ValueError(f"window: expected a kernel no larger than the matrix, got {kernel.shape} and {values.shape}")
    if stride < 1:
        raise ValueError(f"stride: expected at least 1, got {stride}")
    shape = tuple((v - k) // stride + 1 for v, k in zip(values.shape, kernel.shape, strict=True))
    if not all(0 <= step < size for step, size in zip(at, shape, strict=True)):
        raise ValueError(f"at: expected a position in the output of shape {shape}, got {at}")
    output = np.full(shape, None, dtype=object)
    for i, j in np.ndindex(*shape):
        if (i, j) <= tuple(at):
            patch = values[i * stride : i * stride + kernel.shape[0], j * stride : j * stride + kernel.shape[1]]
            output[i, j] = (patch * kernel).sum().item()
    top, left = at[0] * stride, at[1] * stride
    under = slice(top, top + kernel.shape[0]), slice(left, left + kernel.shape[1])
    fills = np.full(values.shape, COLORS["blue"].fill, dtype=object)
    fills[under] = COLORS["orange"].fill
    source = _grid([[_cell_text(v.item(), form) for v in line] for line in values], fills, plot.BLUE)
    cell_width, cell_height = source.width / values.shape[1], source.height / values.shape[0]
    _mark(source, left * cell_width, top * cell_height, kernel.shape[1] * cell_width, kernel.shape[0] * cell_height)
    source = _titled(source, "input")
    result = matrix(output, title="output", form=form, highlight=[at], color="green")
    pictures = row(source, "∗", matrix(kernel, title="kernel", form=form, color="orange"), "=", result, gap=14)
    pairs = zip(values[under].flat, kernel.flat, strict=True)
    products = [f"{_factor(value, form)}·{_factor(weight, form)}" for value, weight in pairs]
    sum_text = f"{' + '.join(products)} = {_cell_text(output[tuple(at)], form)}"
    if text_width(sum_text, SMALL) > MAX_WIDTH - 2 * MARGIN:
        return pictures
    return column(pictures, label(sum_text, size=SMALL), gap=12)


def _factor(value: Any, form: str | None) -> str:
    text = _cell_text(value.item(), form)
    return f"({text})" if text.startswith("-") else text


# ---------------------------------------------------------------- models
def attention(
    weights: Any,
    queries: Sequence[str],
    keys: Sequence[str] | None = None,
    *,
    only: int | None = None,
    color: str = "blue",
) -> Drawing:
    """Lines from queries (left) to keys (right), as thick as the attention weights (n_queries, n_keys).

    Without `keys` the tokens attend to themselves. `only` draws one query's lines and writes its weights.

    ::

        draw.attention([[0.9, 0.1], [0.4, 0.6]], ["the", "cat"], only=1)
    """
    weights = np.asarray(weights, dtype=float)
    names = list(queries), list(queries if keys is None else keys)
    if weights.shape != (len(names[0]), len(names[1])):
        expected = f"({len(names[0])}, {len(names[1])})"
        raise ValueError(f"weights: expected shape {expected}, (queries, keys), got {weights.shape}")
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() > 1 + 1e-6:
        raise ValueError("weights: expected numbers between 0 and 1: apply the softmax first")
    shown = range(len(names[0])) if only is None else sorted(_positions([only], len(names[0]), "only"))
    widths = [max(text_width(str(word)) for word in words) + 26 for words in names]
    step, gap = 44, 190
    canvas = Canvas()
    heights = [len(words) * step for words in names]
    tops = [(max(heights) - height) / 2 for height in heights]
    places: list[list[Place]] = [[], []]
    for side in (0, 1):
        left = side * (widths[0] + gap)
        for position, word in enumerate(names[side]):
            dim = side == 0 and position not in shown
            part = box(str(word), color="gray" if dim else (color, "orange")[side], width=widths[side])
            places[side].append(canvas.place(part, x=left, y=tops[side] + position * step))
        canvas.text(("query", "key")[side], left + widths[side] / 2, -12, size=SMALL, color="gray")
    if only is not None:
        canvas._text("weight", places[1][0].right[0] + 8, -12, size=SMALL, color="#555555", anchor="start")
    stroke = _color(color).stroke
    for i in shown:
        for j, weight in enumerate(weights[i]):
            if weight >= 0.005:
                style = {"stroke": stroke, "stroke_width": round(0.6 + 7 * weight, 1)}
                canvas._line(
                    [places[0][i].right, places[1][j].left], **style, stroke_opacity=round(0.25 + 0.65 * weight, 2)
                )
            if only is not None:
                x, y = places[1][j].right
                canvas._text(f"{weight:.2f}", x + 8, y, size=SMALL, anchor="start")
    return canvas


def network(
    source: str | tuple,
    *layers: str | tuple,
    direction: str | None = None,
    skip: Iterable[tuple[int, int]] = (),
    colors: Mapping[str, str] | None = None,
) -> Drawing:
    """A model as boxes from input to output, with the shape of what flows on each arrow.

    `source` is the input, as a name or (name, shape); each layer is a name, or (name, shape of its output). A name may
    have a second line. `direction` is "right" or "down"; by default right if that fits the page. `skip` lists pairs
    (first, last) of layers that a residual connection goes around, both counted from 0. `colors` maps a layer's name
    to its color.

    ::

        embed, attend = ("Embedding", (12, 64)), ("Attention", (12, 64))
        draw.network(("tokens", (12,)), embed, attend, ("Linear", (12, 50)), skip=[(1, 1)])
    """
    if direction not in (None, "right", "down"):
        raise ValueError(f'direction: expected "right" or "down", got {direction!r}')
    if not layers:
        raise ValueError("network: expected at least one layer after the input")
    steps = [(step, None) if isinstance(step, str) else tuple(step) for step in (source, *layers)]
    if any(len(step) != 2 for step in steps):
        raise ValueError("network: each layer is a name, or a pair (name, shape of its output)")
    pairs = [tuple(pair) for pair in skip]
    for first, last in pairs:
        if not 0 <= first <= last < len(layers):
            raise ValueError(f"skip: expected 0 <= first <= last < {len(layers)}, got {(first, last)}")
    if direction is None:
        flat = _network(steps, "right", pairs, colors or {})
        if flat.width <= MAX_WIDTH - 2 * MARGIN:
            return flat
    return _network(steps, direction or "down", pairs, colors or {})


def _network(steps: list[tuple], direction: str, skip: list[tuple], colors: Mapping[str, str]) -> Canvas:
    canvas = Canvas()
    across = direction == "right"
    width = None if across else max(text_width(name) for name, _ in steps) + 26
    starts = {first + 1 for first, _ in skip}  # arrow p leads from step p - 1 to step p
    ends = {last + 2 for _, last in skip}
    places: list[Place] = []
    for position, (name, _) in enumerate(steps):
        part = box(name, color=colors.get(name, "gray" if position == 0 else "blue"), width=width)
        if not places:
            places.append(canvas.place(part))
            continue
        text = _shape_text(steps[position - 1][1])
        taken = 26 * (position in ends) + 16 * (position in starts)  # room for a plus, for a branch
        room = taken + _room(text, across)
        beside: dict[str, Any] = {"right_of" if across else "below": places[-1]}
        places.append(canvas.place(part, **beside, gap=room))
        _shaped_arrow(canvas, places[-2], room, taken, text, across)
    text = _shape_text(steps[-1][1])
    taken = 26 * (len(steps) in ends)
    if text or taken:
        _shaped_arrow(canvas, places[-1], taken + _room(text, across), taken, text, across)
    for first, last in skip:
        inside = sum(first <= a and b <= last for a, b in skip) - 1
        branch = 8 + 26 * (first + 1 in ends)
        _skip(canvas, places[first], places[first + 1 : last + 2], branch, inside, across)
    return canvas


def _room(text: str, across: bool) -> float:
    """Length of an arrow that carries `text`."""
    return max(38.0, text_width(text, SMALL) + 26) if across else 38.0


def _shaped_arrow(canvas: Canvas, before: Place, room: float, taken: float, text: str, across: bool) -> None:
    """An arrow of `room` pixels after a box, its text beside the part that no plus or branch has taken."""
    x, y = before.right if across else before.bottom
    if across:
        canvas.arrow((x + 3, y), (x + room - 3, y))
        x, y = x + taken + (room - taken) / 2, y - _text_height(text, SMALL) / 2 - 4
    else:
        canvas.arrow((x, y + 3), (x, y + room - 3))
        x, y = x + text_width(text, SMALL) / 2 + 8, y + taken + (room - taken) / 2
    if text:
        canvas._text(text, x, y, size=SMALL)


def _shape_text(shape: Any) -> str:
    if shape is None:
        return ""
    if isinstance(shape, str):
        return shape
    sizes = [str(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _skip(canvas: Canvas, before: Place, around: Sequence[Place], branch: float, inside: int, across: bool) -> None:
    """A residual connection: from the arrow before some boxes, around them, to a plus after the last."""
    style: dict[str, Any] = {"stroke": plot.ORANGE, "stroke_width": 1.8}
    past = 24 + 14 * inside  # beyond the boxes; an outer connection runs outside an inner one
    last = around[-1]
    if across:
        start = (before.right[0] + branch, before.right[1])
        plus = (last.right[0] + 14, last.right[1])
        top = min(place.top[1] for place in around) - past
        points = [start, (start[0], top), (plus[0], top), (plus[0], plus[1] - 8)]
    else:
        start = (before.bottom[0], before.bottom[1] + branch)
        plus = (last.bottom[0], last.bottom[1] + 14)
        left = min(place.left[0] for place in around) - past
        points = [start, (left, start[1]), (left, plus[1]), (plus[0] - 8, plus[1])]
    canvas._line(points, **style)
    canvas._circle(*plus, 8, fill=PANEL, **style)
    canvas._line([(plus[0] - 4, plus[1]), (plus[0] + 4, plus[1])], **style)
    canvas._line([(plus[0], plus[1] - 4), (plus[0], plus[1] + 4)], **style)


def neurons(sizes: Sequence[int], names: Sequence[str] = (), *, most: int = 6) -> Drawing:
    """A multilayer perceptron as columns of circles, each joined to all of the next column.

    Of a layer with more than `most` units the first ones and the last are drawn, with dots between. `names` are written
    below the columns, with the sizes.

    ::

        draw.neurons([3, 4, 2], names=["input", "hidden layer", "output"])
    """
    if len(sizes) < 2 or any(size < 1 for size in sizes):
        raise ValueError(f"sizes: expected at least two layers of at least 1 unit, got {list(sizes)}")
    if names and len(names) != len(sizes):
        raise ValueError(f"names: expected one for each of the {len(sizes)} layers, got {len(names)}")
    captions = [f"{name}\n{size}" for name, size in zip(names, sizes, strict=True)] if names else list(map(str, sizes))
    step = max(110.0, max(text_width(caption, SMALL) for caption in captions) + 16)
    shown = [size if size <= most else most for size in sizes]
    tallest = max(shown) * 34
    centers = [
        [(column * step, (tallest - 34 * n) / 2 + 34 * (unit + 0.5)) for unit in range(n)]
        for column, n in enumerate(shown)
    ]
    dots = [n - 2 if size > most else None for size, n in zip(sizes, shown, strict=True)]
    made = Drawing()
    for column_number, (here, there) in enumerate(pairwise(centers)):
        for a, start in enumerate(here):
            for b, end in enumerate(there):
                if a != dots[column_number] and b != dots[column_number + 1]:
                    made._line([start, end], stroke="#999999", stroke_width=0.8)
    for column_number, points in enumerate(centers):
        last = len(centers) - 1
        shades = _color("gray" if column_number == 0 else "green" if column_number == last else "blue")
        for unit, (x, y) in enumerate(points):
            if unit == dots[column_number]:
                for offset in (-7, 0, 7):
                    made._circle(x, y + offset, 1.8, fill=INK)
            else:
                made._circle(x, y, 12, fill=shades.fill, stroke=shades.stroke, stroke_width=1.6)
        caption = captions[column_number]
        made._text(caption, points[0][0], tallest + 8 + _text_height(caption, SMALL) / 2, size=SMALL)
    return made


def timeline(
    tracks: Mapping[str, Sequence[tuple]],
    *,
    end: float | None = None,
    unit: str = "s",
    width: float = 560,
) -> Drawing:
    """What happens when, a lane for each track: spans (start, end, text) and moments (time, text).

    ::

        draw.timeline({"face": [(0, 1.2, "smile")], "voice": [(0.4, 2.0, "well done"), (2.5, "click")]})
    """
    times = [moment for events in tracks.values() for event in events for moment in event[:-1]]
    if not times or any(len(event) not in (2, 3) for events in tracks.values() for event in events):
        raise ValueError("tracks: expected spans (start, end, text) or moments (time, text)")
    stop = float(max(times) if end is None else end)
    if stop <= 0 or min(times) < 0 or max(times) > stop:
        raise ValueError(f"tracks: expected times between 0 and {stop:g}, got {min(times):g} to {max(times):g}")
    made = Drawing()
    lane, scale = 46, width / stop
    for number, (name, events) in enumerate(tracks.items()):
        shades = list(COLORS.values())[number % 6]
        y = number * lane
        made._text(name, -12, y + lane / 2, bold=True, anchor="end", color=shades.text)
        made._line([(0, y + lane), (width, y + lane)], stroke="#DDDDDD", stroke_width=1)
        for *when, text in events:
            if len(when) == 2:
                _span(made, when[0] * scale, when[1] * scale, y, lane, text, shades, when)
            else:
                x = when[0] * scale
                made._line([(x, y + 6), (x, y + lane)], stroke=shades.stroke, stroke_width=2.4)
                made._text(text, x + 6, y + 14, size=SMALL, anchor="start")
    bottom = len(tracks) * lane
    made._line([(0, bottom), (width, bottom)], stroke="#555555", stroke_width=1.4)
    for tick in _ticks(stop):
        x = tick * scale
        made._line([(x, bottom), (x, bottom + 5)], stroke="#555555", stroke_width=1.4)
        made._text(f"{tick:g}", x, bottom + 15, size=SMALL, color="#444444")
    made._text(unit, width + 22, bottom + 15, size=SMALL, color="#444444", anchor="start")
    return made


def _span(
    made: Drawing, x0: float, x1: float, y: float, lane: float, text: str, shades: Color, when: Sequence[float]
) -> None:
    if when[1] <= when[0]:
        raise ValueError(f"timeline: {text!r} ends at {when[1]:g}, before or when it starts ({when[0]:g})")
    if text_width(text, SMALL) + 8 > x1 - x0:
        need = text_width(text, SMALL) + 8
        raise ValueError(
            f"timeline: {text!r} needs {need:.0f} px, its span has {x1 - x0:.0f}: "
            "shorten it, break it into lines, or make the timeline wider"
        )
    made._rectangle(x0, y + 6, x1 - x0, lane - 12, rx=4, fill=shades.fill, stroke=shades.stroke, stroke_width=1.4)
    made._text(text, (x0 + x1) / 2, y + lane / 2, size=SMALL)


def _ticks(stop: float) -> list[float]:
    """At most nine round times from 0 to `stop`."""
    step = 10 ** np.floor(np.log10(stop / 2))
    step = next(step * factor for factor in (0.25, 0.5, 1, 2, 2.5, 5, 10) if stop / (step * factor) <= 8)
    return [round(float(number * step), 6) for number in range(int(stop / step + 1e-9) + 1)]


# ---------------------------------------------------------------- side by side
def row(*parts: Drawing | str, gap: float = 26, arrows: bool = False, labels: Sequence[str] = ()) -> Canvas:
    """Parts from left to right, their middles on one line; text among them is written, such as "×" or "=".

    `arrows` joins neighbors; `labels` are written on the arrows.

    ::

        draw.row(draw.box("image"), draw.box("encoder"), draw.tensor((1, 64)), arrows=True)
    """
    return _sequence(parts, "right_of", gap, arrows or bool(labels), labels)


def column(*parts: Drawing | str, gap: float = 26, arrows: bool = False, labels: Sequence[str] = ()) -> Canvas:
    """Parts from top to bottom, their middles on one line; see `row`.

    ::

        draw.column(draw.tokens(["a", "cat"]), draw.box("encoder"), arrows=True)
    """
    return _sequence(parts, "below", gap, arrows or bool(labels), labels)


def _sequence(parts: Sequence[Drawing | str], side: str, gap: float, arrows: bool, labels: Sequence[str]) -> Canvas:
    if not parts:
        raise ValueError("row and column need at least one part")
    if labels and len(labels) != len(parts) - 1:
        raise ValueError(f"labels: expected one for each of the {len(parts) - 1} arrows, got {len(labels)}")
    canvas = Canvas()
    before: Place | None = None
    whole: Place | None = None
    for number, part in enumerate(parts):
        part = label(part, size=20) if isinstance(part, str) else part
        if before is None or whole is None:
            before = canvas.place(part)
        else:
            text = labels[number - 1] if labels else ""
            room = max(gap, 34.0) if arrows else gap
            if text and side == "right_of":
                room = max(room, text_width(text, SMALL) + 26)
            # past everything drawn so far (captions too), centered on the part before
            right, bottom = whole.x + whole.width, whole.y + whole.height
            if side == "right_of":
                place = canvas.place(part, right_of=Place(whole.x, before.y, whole.width, before.height), gap=room)
                ends = (right + 3, before.center[1]), (right + room - 3, place.center[1])
            else:
                place = canvas.place(part, below=Place(before.x, whole.y, before.width, whole.height), gap=room)
                ends = (before.center[0], bottom + 3), (place.center[0], bottom + room - 3)
            if arrows:
                canvas.arrow(*ends, label=text)
            before = place
        whole = Place(canvas._x0, canvas._y0, canvas.width, canvas.height)
    return canvas
