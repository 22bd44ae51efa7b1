"""Drawings: text inside its box, equal bytes, words for those who cannot see, legible on every background."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from mmcourse import draw

SVG = "{http://www.w3.org/2000/svg}"
MOONS = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]


def gallery() -> dict[str, draw.Drawing]:
    canvas = draw.Canvas()
    query = canvas.place(draw.box("query"))
    key = canvas.place(draw.box("key", color="orange"), right_of=query, gap=80)
    canvas.arrow(query, key, label="q · k", bend=20)
    canvas.frame([query, key], label="one head")
    return {
        "box": draw.box("Linear", note="784 → 128"),
        "wrapped": draw.box("many words that need several lines", width=100),
        "label": draw.label("and"),
        "tokens": draw.tokens(["the", "<cat> & co", "注意力"], ids=[5, 17, 9], highlight=[-1], title="ids"),
        "scalar": draw.tensor(()),
        "tensor": draw.tensor((32, 10, 64), "embeddings", axes=("batch", "time", "features")),
        "images": draw.tensor((8, 3, 32, 32), "images"),
        "matrix": draw.matrix([[1.5, -2.0], [float("nan"), 4]], rows=["a", "b"], columns=["c", "long name"], heat=True),
        "window": draw.window(MOONS, [[-1, 1], [-1, 1]], at=(1, 1)),
        "attention": draw.attention([[0.9, 0.1], [0.4, 0.6]], ["the", "cat"], only=1),
        "network": draw.network(("x", (8, 64)), ("Norm", (8, 64)), ("MLP", (8, 64)), ("Linear", (8, 2)), skip=[(0, 1)]),
        "down": draw.network(("x", (8, 64)), ("Norm", (8, 64)), ("Linear", (8, 2)), direction="down", skip=[(0, 0)]),
        "neurons": draw.neurons([784, 4, 2], names=["pixels", "hidden layer", "classes"]),
        "timeline": draw.timeline({"face": [(0, 1.2, "smile")], "voice": [(0.4, 2.0, "well done"), (2.5, "click")]}),
        "row": draw.row(draw.box("image"), draw.tensor((1, 64), "code"), labels=["encode"]),
        "column": draw.column(draw.tokens(["a"], ids=[1]), draw.box("encoder"), arrows=True),
        "canvas": canvas,
    }


NAMES = sorted(gallery())


def root_of(drawing: draw.Drawing, alt: str = "words") -> ET.Element:
    return ET.fromstring(draw.to_svg(drawing, alt).split("?>", 1)[1])


# ---------------------------------------------------------------- every drawing
@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_described_picture_that_fits_the_page(name):
    root = root_of(gallery()[name], 'A "quoted" <b> & c')
    assert root.get("role") == "img" and root.get("aria-label") == 'A "quoted" <b> & c'
    assert root.find(f"{SVG}title").text == root.find(f"{SVG}desc").text == 'A "quoted" <b> & c'
    assert 0 < float(root.get("width")) <= 760


@pytest.mark.parametrize("name", NAMES)
def test_nothing_lies_outside_the_panel(name):
    drawing = gallery()[name]
    width, height = draw._outer(drawing)
    for x0, y0, x1, y1 in extents(root_of(drawing)):
        assert 0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height, (x0, y0, x1, y1)


def extents(element: ET.Element, dx: float = 0.0, dy: float = 0.0):
    """Left, top, right and bottom of each rectangle, circle, and line of text."""
    moved = re.match(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform", ""))
    if moved:
        dx, dy = dx + float(moved[1]), dy + float(moved[2])

    def get(name: str) -> float:
        return float(element.get(name, 0))

    if element.tag == f"{SVG}rect":
        yield dx + get("x"), dy + get("y"), dx + get("x") + get("width"), dy + get("y") + get("height")
    if element.tag == f"{SVG}circle":
        yield dx + get("cx") - get("r"), dy + get("cy") - get("r"), dx + get("cx") + get("r"), dy + get("cy") + get("r")
    if element.tag == f"{SVG}text":
        width = draw.text_width(element.text, get("font-size"), element.get("font-weight") == "bold")
        left = dx + get("x") - {"start": 0, "middle": width / 2, "end": width}[element.get("text-anchor")]
        yield left, dy + get("y") - 0.8 * get("font-size"), left + width, dy + get("y") + 0.3 * get("font-size")
    for child in element:
        yield from extents(child, dx, dy)


def test_the_same_calls_give_the_same_bytes_in_another_process():
    code = "from test_draw import *; print([to_hash(d) for d in gallery().values()])"
    code = "import hashlib\n" + code.replace("to_hash(d)", "hashlib.sha256(draw.to_svg(d, 'a').encode()).hexdigest()")
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=__file__.rsplit("/", 1)[0], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1] and len(runs[0]) > 64 * len(NAMES)
    assert " id=" not in "".join(draw.to_svg(d, "a") for d in gallery().values())  # ids of two drawings would collide


# ---------------------------------------------------------------- legible everywhere
def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", draw.COLORS)
def test_text_and_lines_have_enough_contrast(name):
    shades = draw.COLORS[name]
    assert contrast(draw.INK, shades.fill) >= 4.5 and contrast("#444444", shades.fill) >= 4.5
    assert contrast(shades.text, draw.PANEL) >= 4.5
    assert contrast(shades.stroke, draw.PANEL) >= 3


def test_every_heat_is_light_enough_for_its_number():
    fills = draw._heat(np.array([[-1.0, -0.6, 0.0, 0.3, 1.0]], dtype=object))
    assert all(contrast(draw.INK, fill) >= 4.5 for fill in fills.flat)
    assert fills[0, 2] == "#FFFFFF" and fills[0, 0] != fills[0, 4]


@pytest.mark.parametrize("name", NAMES)
def test_the_panel_is_painted_so_that_the_theme_behind_does_not_matter(name):
    first = next(e for e in root_of(gallery()[name]) if e.tag == f"{SVG}rect")
    assert first.get("fill") == draw.PANEL and float(first.get("width")) == draw._outer(gallery()[name])[0] - 1


# ---------------------------------------------------------------- showing
def test_words_are_required(capsys):
    for alt in ("", "  ", None):
        with pytest.raises(ValueError, match="needs words"):
            draw.show(draw.box("a"), alt=alt)
    draw.show(draw.box("a"), alt="One box: a.")
    assert capsys.readouterr().out == "[drawing: One box: a.]\n"


def test_a_notebook_gets_an_image_with_alt_text_inside_html(monkeypatch):
    sent = []
    monkeypatch.setattr(draw.plot, "_publish", sent.append)
    draw.show(draw.box("a"), alt='say "a" & b')
    (bundle,) = sent
    assert bundle["text/plain"] == '[drawing: say "a" & b]'
    assert 'alt="say &quot;a&quot; &amp; b"' in bundle["text/html"]
    encoded = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', bundle["text/html"])[1]
    assert base64.b64decode(encoded).decode() == draw.to_svg(draw.box("a"), 'say "a" & b')


def test_what_cannot_be_shown_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"px wide, at most 760.*draw.column"):
        draw.show(draw.box("w" * 100), alt="wide")
    with pytest.raises(ValueError, match="empty"):
        draw.show(draw.Canvas(), alt="nothing")
    with pytest.raises(TypeError, match="expected a drawing.*got str"):
        draw.show("box", alt="text")
    assert "draw.show" in repr(draw.box("a"))


# ---------------------------------------------------------------- text
def test_text_is_measured_as_wide_as_the_font_draws_it():
    assert draw.text_width("iiii") < draw.text_width("mmmm")
    assert draw.text_width("MM", 20) == pytest.approx(2 * draw.text_width("MM", 10))
    assert draw.text_width("word", bold=True) > draw.text_width("word")
    assert draw.text_width("a\nlonger") == draw.text_width("longer")
    assert draw.text_width("注意", 10) == 20  # what the font lacks counts as a square
    assert draw.text_width("m", 100) == pytest.approx(97.4, abs=0.1)  # DejaVu Sans: 1995 of 2048 units


@pytest.mark.parametrize("text", ["i", "WWWWWWWW", "two words", "line\nanother line", "注意力机制"])
def test_a_box_is_larger_than_its_text(text):
    made = draw.box(text, note="a much longer note below")
    assert made.width >= max(draw.text_width(text), draw.text_width("a much longer note below", 12)) + 20
    assert draw.box(text).width >= draw.text_width(text) + 20


def test_a_fixed_width_breaks_lines_and_refuses_a_word_that_does_not_fit():
    made = draw.box("many words that need several lines", width=100)
    assert made.width == 100 and made.height > 3 * 14
    with pytest.raises(ValueError, match="'indivisible' is .* px wide and does not fit"):
        draw.box("an indivisible word", width=60)
    with pytest.raises(ValueError, match="needs a height of"):
        draw.box("a\nb\nc", height=20)


def test_html_in_text_is_only_text():
    assert "<cat>" not in draw.to_svg(draw.tokens(["<cat>"]), "a") and "&lt;cat&gt;" in draw.to_svg(
        draw.tokens(["<cat>"]), "a"
    )


# ---------------------------------------------------------------- placing
def test_places_beside_one_another():
    canvas = draw.Canvas()
    a = canvas.place(draw.box("a"))
    right = canvas.place(draw.box("bb"), right_of=a, gap=10)
    below = canvas.place(draw.box("ccc"), below=[a, right], gap=20)
    left = canvas.place(draw.box("d"), left_of=a, gap=5)
    above = canvas.place(draw.box("e"), above=a, gap=7, x=3)
    assert right.left[0] == pytest.approx(a.right[0] + 10, abs=0.1) and right.center[1] == pytest.approx(a.center[1])
    assert below.top[1] == pytest.approx(a.bottom[1] + 20, abs=0.1)
    assert below.center[0] == pytest.approx((a.x + right.x + right.width) / 2, abs=0.1)
    assert left.right[0] == pytest.approx(a.left[0] - 5, abs=0.1)
    assert above.bottom[1] == pytest.approx(a.top[1] - 7, abs=0.1) and above.center[0] == pytest.approx(a.center[0] + 3)
    with pytest.raises(ValueError, match="expected one of"):
        canvas.place(draw.box("x"), right_of=a, below=a)
    with pytest.raises(TypeError, match="expected places"):
        canvas.place(draw.box("x"), right_of="a")


def test_a_caption_does_not_move_the_body_off_the_line():
    canvas = draw.Canvas()
    a = canvas.place(draw.box("a"))
    matrix = canvas.place(draw.matrix([[1, 2], [3, 4]], title="X", columns=["p", "q"]), right_of=a)
    assert matrix.center[1] == pytest.approx(a.center[1], abs=0.1)


@pytest.mark.parametrize("join", [draw.row, draw.column])
def test_an_arrow_crosses_no_caption(join):
    captioned = draw.matrix([[1, 2]], title="title", rows=["row"], columns=["a", "b"])
    root = root_of(join(captioned, draw.tokens(["x", "y"], ids=[1, 2], title="ids"), captioned, arrows=True))
    texts = [box for box in extents(root) if box[3] - box[1] < 16.5]  # lines of text are lower than boxes
    arrows = [e for e in root.iter(f"{SVG}path") if e.get("fill") == "none"]
    assert len(texts) > 10 and len(arrows) == 2
    moved = re.match(r"translate\(([-\d.]+) ([-\d.]+)\)", root.find(f"{SVG}g").get("transform"))
    for arrow in arrows:
        x0, y0, x1, y1 = map(float, re.findall(r"-?[\d.]+", arrow.get("d")))
        for step in range(21):
            x = float(moved[1]) + x0 + (x1 - x0) * step / 20
            y = float(moved[2]) + y0 + (y1 - y0) * step / 20
            assert not any(a <= x <= c and b <= y <= d for a, b, c, d in texts), (x, y)


def test_arrows_join_the_sides_that_face_each_other():
    a = draw.Place(0, 0, 10, 10)
    assert draw._ends(a, draw.Place(50, 0, 10, 10)) == ((13, 5), (47, 5))
    assert draw._ends(draw.Place(50, 0, 10, 10), a) == ((47, 5), (13, 5))
    assert draw._ends(a, draw.Place(0, 50, 10, 10)) == ((5, 13), (5, 47))
    assert draw._ends(draw.Place(0, 50, 10, 10), a) == ((5, 47), (5, 13))
    with pytest.raises(ValueError, match="both ends lie at"):
        draw.Canvas().arrow((1, 1), (1, 1))


# ---------------------------------------------------------------- what each one says
def words(drawing: draw.Drawing) -> list[str]:
    return [e.text for e in root_of(drawing).iter(f"{SVG}text")]


def test_a_window_computes_what_it_shows():
    shown = words(draw.window([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [0, -1]], at=(1, 0)))
    assert shown[-1] == "4·1 + 5·0 + 7·0 + 8·(-1) = -4"
    assert shown.count("-4") == 3  # two outputs before it and its own; the last output is still empty
    strided = words(draw.window(np.arange(25).reshape(5, 5), np.ones((3, 3), int), at=(1, 1), stride=2))
    assert strided[-1].endswith("= 162")  # 12+13+14+17+18+19+22+23+24
    for bad in ({"at": (2, 0)}, {"at": (0, -1)}, {"stride": 0}):
        with pytest.raises(ValueError, match="expected"):
            draw.window([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [0, -1]], **bad)
    with pytest.raises(ValueError, match="no larger than the matrix"):
        draw.window([[1]], [[1, 2]])


def test_a_matrix_shows_numbers_words_and_gaps():
    assert words(draw.matrix([[1, 2.5], [None, True]])) == ["1", "2.5", "True"]
    assert words(draw.matrix(np.array([[1.0, 0.125]], np.float32), form=".2f")) == ["1.00", "0.12"]
    assert words(draw.matrix(["a", "b"])) == ["a", "b"]
    for bad in ({"rows": ["a"]}, {"columns": ["a"]}, {"highlight": [(2, 0)]}):
        with pytest.raises(ValueError):
            draw.matrix([[1, 2], [3, 4]], **bad)
    with pytest.raises(ValueError, match="shape"):
        draw.matrix(np.zeros((2, 2, 2)))


def test_attention_lines_are_as_thick_as_the_weights():
    root = root_of(draw.attention([[0.9, 0.1], [0.4, 0.6]], ["the", "cat"]))
    widths = [float(e.get("stroke-width")) for e in root.iter(f"{SVG}path")]
    assert widths == sorted(widths, key=lambda w: [6.9, 1.3, 3.4, 4.8].index(w)) and len(widths) == 4
    one = draw.attention([[0.9, 0.1], [0.4, 0.6]], ["the", "cat"], only=-1)
    assert "0.40" in words(one) and "0.60" in words(one) and "0.90" not in words(one)
    with pytest.raises(ValueError, match=r"expected shape \(2, 3\)"):
        draw.attention(np.ones((2, 2)) / 2, ["a", "b"], ["a", "b", "c"])
    with pytest.raises(ValueError, match="softmax"):
        draw.attention([[2.0, -1.0]], ["a"], ["b", "c"])


def test_a_network_writes_shapes_on_its_arrows_and_turns_down_when_it_is_long():
    made = draw.network(("x", (8, 64)), ("Linear", (8, 32)), ("ReLU", "same"), "Flatten")
    assert words(made) == ["x", "Linear", "(8, 64)", "ReLU", "(8, 32)", "Flatten", "same"]
    assert made.width > made.height
    long = draw.network(("x", (8, 64)), *[("Linear", (8, 64))] * 9)
    assert long.height > long.width
    for bad in ({"direction": "up"}, {"skip": [(1, 0)]}, {"skip": [(0, 9)]}, {"colors": {"Linear": "mauve"}}):
        with pytest.raises(ValueError, match="expected"):
            draw.network("x", "Linear", "ReLU", **bad)
    with pytest.raises(ValueError, match="at least one layer"):
        draw.network("x")


def test_a_tensor_names_its_axes():
    shown = words(draw.tensor((32, 10, 64), "embeddings", axes=("batch", "time", "features")))
    assert shown == ["(32, 10, 64)", "batch 32", "time 10", "features 64", "embeddings"]
    assert words(draw.tensor((5,))) == ["(5,)"] and words(draw.tensor((2, 3, 4, 5)))[-1] == "2 of these"
    for bad in (((0, 2), ()), ((2, 3), ("rows",))):
        with pytest.raises(ValueError, match="expected"):
            draw.tensor(bad[0], axes=bad[1])


def test_wide_layers_are_shortened():
    root = root_of(draw.neurons([784, 3]))
    assert len(list(root.iter(f"{SVG}circle"))) == 5 + 3 + 3  # five units and three dots, then three units
    assert len(list(root.iter(f"{SVG}path"))) == 5 * 3
    for bad in ([3], [3, 0]):
        with pytest.raises(ValueError, match="sizes"):
            draw.neurons(bad)


def test_a_timeline_refuses_what_it_cannot_show():
    for tracks in (
        {},
        {"a": [(1,)]},
        {"a": [(2, 1, "x")]},
        {"a": [(-1, "x")]},
        {"a": [(0, 0.01, "much too long"), (9, "x")]},
    ):
        with pytest.raises(ValueError, match=r"expected|ends at|needs .* px"):
            draw.timeline(tracks)
    assert {"0", "1", "2"} <= set(words(draw.timeline({"a": [(0, 2, "x")]})))


@pytest.mark.parametrize("stop", [0.03, 0.5, 1, 2.5, 7, 10, 59, 600, 12345.0])
def test_ticks_are_round_and_few(stop):
    ticks = draw._ticks(stop)
    assert 3 <= len(ticks) <= 9 and ticks[0] == 0 and ticks[-1] <= stop


def test_every_public_function_has_an_example_that_runs():
    for name in draw.__all__:
        if name in ("Drawing", "Place", "Canvas", "show", "to_svg"):
            continue
        example = getattr(draw, name).__doc__.split("::\n")[1]
        lines = [line.strip() for line in example.splitlines() if line.strip()]
        scope = {"draw": draw}
        exec("\n".join(lines[:-1]), scope)
        draw.to_svg(eval(lines[-1], scope), "the example")
    block = draw.Canvas.__doc__.split("::\n")[1]
    exec("\n".join(line.strip() for line in block.splitlines()), {"draw": draw})
