"""Slides for a lecture, made from a built lesson: its drawings, charts, formulas, guesses and sentences in bold.

A deck is one HTML file. It holds everything that it shows, runs without a network, prints to PDF and reads aloud: each
picture keeps its alt text, each formula its TeX. The lesson's own text stands in the speaker's notes.
"""

from __future__ import annotations

import ast
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from nbformat import NotebookNode

from mmcourse.authoring import Lesson
from mmcourse.authoring.source import without_badge
from mmcourse.io import atomic_write

TEMPLATES = Path(__file__).with_name("templates")
MOST_WORDS = 75  # of a slide's text; more is read, not heard
MOST_CAPTION = 38  # words under a picture
BULLETS = 5  # of one slide of "What to remember"
MATH = re.compile(r"\$\$(?P<display>.+?)\$\$|(?<![\\$\w])\$(?!\s)(?P<inline>[^$\n]+?)(?<!\s)\$(?![\w$])", re.DOTALL)
_DETAILS = re.compile(r"<details>\s*<summary>(?P<label>.*?)</summary>(?P<inside>.*?)</details>", re.DOTALL)
_FENCE = re.compile(r"^```.*?^```[ \t]*$", re.DOTALL | re.MULTILINE)
_TABLE = re.compile(r"(?:^\|.*\|[ \t]*(?:\n|\Z)){3,}", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)\s]+\)")
_SENTENCE = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!\bvs\.)(?<!\bal\.)(?<!\bcf\.)\s+(?=[A-Z0-9“\"*(`$])")
_HEADING = re.compile(r"^(#{1,3}) +(?:\d+ · )?(.+)$", re.MULTILINE)
_IMAGE = re.compile(r"<img\b[^>]*>")
_RECORDED = "Run this cell to record your guess."
_ANSWER = re.compile(r"^(?P<question>.+?) No guess was recorded\. Answer: (?P<answer>.+?)\.?$", re.MULTILINE)
_NOT_FOR_SLIDES = re.compile(r"\*\*(Your turn|Move the|Record|Try it|Turn the|Guess)|^(Your turn|Run the next)")
_UNFIT = re.compile(r"(?i)\b(cell|cells|below|above|slider|run this|run it)\b")


@dataclass
class Slide:
    """One slide: its heading, what is shown (HTML), what the speaker says (HTML)."""

    kind: str  # title, section, picture, table, question, answer, points, end
    title: str
    body: str = ""
    notes: str = ""


@dataclass
class Section:
    """A part of a lesson, from one `##` to the next: its title, and what comes in it, in order."""

    title: str
    parts: list[tuple[str, Any]] = field(default_factory=list)  # ("text", str), ("picture", html), ("guess", …), …

    def texts(self) -> list[str]:
        """Its Markdown, in order."""
        return [value for kind, value in self.parts if kind == "text"]


@dataclass(frozen=True)
class Asked:
    """A guess that the lesson asks for."""

    question: str
    options: tuple[str, ...]  # one for each answer; one alone is a range


# ---------------------------------------------------------------- the whole
def write_decks(lesson: Lesson, to: Path) -> list[Path]:
    """Write the deck of each built notebook of a lesson into the folder `to`; returns the files.

    Raises
    ------
    FileNotFoundError
        The lesson is not built.
    OSError
        The folder cannot be written.
    """
    built = [path for path in (lesson.notebook, lesson.deeper) if path.is_file()]
    if not built:
        raise FileNotFoundError(f"lesson {lesson.slug} is not built yet; run `mmcourse build {lesson.slug}`")
    to.mkdir(parents=True, exist_ok=True)
    written = []
    for path in built:
        atomic_write(to / f"{path.stem}.html", html(nbformat.read(path, as_version=4)))
        written.append(to / f"{path.stem}.html")
    return written


def html(nb: NotebookNode) -> str:
    """A notebook's deck as one page."""
    made = slides(nb)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    shown = [
        {"kind": x.kind, "title": Markup(inline(x.title)), "body": Markup(x.body), "notes": Markup(x.notes)}
        for x in made
    ]
    return environment.get_template("slides.html").render(title=plain(made[0].title), slides=shown)


def slides(nb: NotebookNode) -> list[Slide]:
    """The slides of a built notebook; each has a title of its own."""
    card, parts = sections(nb)
    made = [_title_slide(card)]
    answers = dict(_answers(nb))
    asked_in = {asked: part for part in parts for kind, asked in part.parts if kind == "guess"}
    for part in parts:
        made += _of_section(part, asked_in, answers)
    numbered: Counter[str] = Counter()
    for slide in made:
        numbered[slide.title] += 1
        if numbered[slide.title] > 1:
            slide.title += f" ({numbered[slide.title]})"
    return made


# ---------------------------------------------------------------- reading the notebook
def sections(nb: NotebookNode) -> tuple[str, list[Section]]:
    """(the title card, the sections) of a notebook."""
    card = without_badge(nb.cells[0].source)
    found = [Section("")]
    for cell in nb.cells[1:]:
        if cell.cell_type == "markdown":
            for text in re.split(r"(?m)^(?=## )", cell.source):
                if text.startswith("## "):
                    heading, _, text = text.partition("\n")
                    found.append(Section(re.sub(r"^## +(?:\d+ · )?", "", heading).strip()))
                if text.strip():
                    found[-1].parts.append(("text", text.strip()))
        elif cell.cell_type == "code":
            found[-1].parts += _outputs(cell)
    return card, [part for part in found if part.parts or part.title]


def _outputs(cell: NotebookNode) -> Iterator[tuple[str, Any]]:
    """What a code cell shows that belongs on a slide."""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            alt = output.get("metadata", {}).get("image/png", {}).get("alt") or data.get("text/plain", "a picture")
            encoded = "".join(data["image/png"].split())
            yield "picture", f'<img alt="{escape(alt)}" src="data:image/png;base64,{encoded}">'
        elif data.get("text/html", "").startswith("<img "):
            yield "picture", _image(data["text/html"])
        elif _RECORDED in data.get("text/plain", ""):
            if asked := _asked(cell.source, data["text/plain"]):
                yield "guess", asked
        elif output.get("output_type") == "stream" and (told := list(_ANSWER.finditer(output.get("text", "")))):
            yield from (("answer", match["question"]) for match in told)


def _image(text: str) -> str:
    """The picture of an output, without its width: a slide has its own."""
    found = _IMAGE.match(text)
    assert found is not None
    return re.sub(r'\s(?:width|height|style)="[^"]*"', "", found[0])


def _asked(source: str, text: str) -> Asked | None:
    """The question and its options, as the saved cell says them."""
    said = text.strip().removesuffix(_RECORDED).strip()
    for call in ast.walk(_tree(source)):
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("guess") and call.args:
            question = call.args[0]
            if isinstance(question, ast.Constant) and said.startswith(str(question.value)):
                return Asked(str(question.value), _choices(call, said.removeprefix(str(question.value)).strip()[1:-1]))
    match = re.fullmatch(r"(.+[?.!:]) \((.+)\)", said, re.DOTALL)
    return Asked(match[1], _split(match[2])) if match else None


def _choices(call: ast.Call, said: str) -> tuple[str, ...]:
    """The options as the call lists them, where it lists them by themselves; else as the saved cell says them."""
    listed = call.args[1] if len(call.args) > 1 else None
    if isinstance(listed, ast.List) and all(isinstance(x, ast.Constant) for x in listed.elts):
        return tuple(f"{x.value:g}" if isinstance(x.value, float) else str(x.value) for x in listed.elts)  # type: ignore[attr-defined]
    return _split(said)


def _whole(options: tuple[str, ...], answer: str) -> tuple[str, ...]:
    """Options that were cut at commas of their own, put together again: as many pieces each as the answer has."""
    size = len(_split(answer))
    if size == 1 or answer in options or len(options) % size:
        return options
    joined = tuple(", ".join(options[i : i + size]) for i in range(0, len(options), size))
    return joined if answer in joined else options


def _split(said: str) -> tuple[str, ...]:
    return tuple(re.split(r", (?![^(]*\))", said))


def _tree(source: str) -> ast.AST:
    try:
        return ast.parse(source)
    except SyntaxError:  # a magic command
        return ast.Module([], [])


def _answers(nb: NotebookNode) -> Iterator[tuple[str, str]]:
    """(question, answer) as the lesson's own cells print them."""
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            text = output.get("text", "") if output.get("output_type") == "stream" else ""
            yield from ((match["question"], match["answer"]) for match in _ANSWER.finditer(text))


# ---------------------------------------------------------------- slides of a part
def _title_slide(card: str) -> Slide:
    title = re.search(r"^# +(.+)$", card, re.MULTILINE)
    promise = re.search(r"^\*(?!\*)(.+?)\*\s*$", card, re.MULTILINE | re.DOTALL)
    able = re.search(r"\*\*You will be able to\*\*\s*\n((?:[-*] .+(?:\n  .+)*\n?)+)", card)
    body = f"<p class='promise'>{inline(' '.join(promise[1].split()))}</p>" if promise else ""
    body += block(able[1]) if able else ""
    return Slide("title", title[1].strip() if title else "Lesson", body, block(_without_heading(card)))


def _without_heading(text: str) -> str:
    return re.sub(r"^# +.+\n", "", text, count=1, flags=re.MULTILINE)


def _of_section(part: Section, asked_in: dict[Asked, Section], answers: dict[str, str]) -> list[Slide]:
    name = plain(part.title).casefold()
    if "what to remember" in name:
        return list(_points(part))
    if "check yourself" in name:
        return list(_check_yourself(part))
    if name == "sources" or "where next" in name:
        return [Slide("end", part.title, _closing(part), block("\n\n".join(part.texts())))]
    opening = _section_slide(part)
    more = any(kind in ("picture", "answer") for kind, _ in part.parts)
    made = [opening] if opening.body and part.title and ("**" in "".join(part.texts()) or not more) else []
    made += list(_questions(part, asked_in, answers))
    return [*made, *_pictures(part, answers)]


def _section_slide(part: Section) -> Slide:
    """Its heading, its sentences with terms in bold, and its first formulas."""
    before = []
    for kind, value in part.parts:
        if kind == "picture":
            break
        if kind == "text":
            before.append(value)
    chosen = before or part.texts()[:1]
    formulas = [m.group() for text in part.texts() for m in MATH.finditer(_prose(text)) if m["display"]]
    formulas = [text for text in formulas if "<code" not in inline(text)][:2]  # what cannot be drawn stays in the notes
    body = "".join(f"<li>{inline(sentence)}</li>" for sentence in _telling(chosen))
    body = f"<ul>{body}</ul>" if body else ""
    body += "".join(f"<div class='formula'>{inline(text)}</div>" for text in formulas)
    return Slide("section", part.title, body, block("\n\n".join(before)))


def _telling(texts: Iterable[str]) -> list[str]:
    """The sentences that carry a part: those with a term in bold, or else its first one."""
    sentences = [s for text in texts for s in _sentences(text)]
    bold = [s for s in sentences if re.search(r"\*\*[^*]+\*\*", s)]
    kept: list[str] = []
    for sentence in bold or sentences[:2]:
        if len(kept) < 4 and sum(len(x.split()) for x in [*kept, sentence]) <= MOST_WORDS:
            kept.append(sentence)
    return kept or [_shortened(s, MOST_WORDS) for s in (bold or sentences)[:1]]


def _sentences(text: str) -> list[str]:
    """Sentences of a text that can stand on a slide by themselves."""
    found = []
    prose = MATH.sub(lambda m: " " if m["display"] else m[0], _TABLE.sub("", _prose(text)))
    for paragraph in re.split(r"\n\s*\n|\n(?=[-*] |\d+\. )", prose):
        flat = re.sub(r"^(?:[-*]|\d+\.) +", "", " ".join(paragraph.split()))
        if not flat or flat.startswith("#") or _NOT_FOR_SLIDES.search(flat):
            continue
        found += [s.strip() for s in _SENTENCE.split(flat) if len(s.split()) > 3 and not _UNFIT.search(s)]
    return [s.rstrip(";") for s in found if _is_whole(s)]


def _is_whole(sentence: str) -> bool:
    """Whether it neither announces what is not on the slide nor was cut out of something longer."""
    paired = all(sentence.count(sign) % 2 == 0 for sign in ("**", "`", "$"))
    return paired and sentence.count("(") == sentence.count(")") and not sentence.endswith(":")


def _prose(text: str) -> str:
    """Text without folded parts, code blocks and HTML."""
    return re.sub(r"</?[a-z]+[^>]*>", "", _FENCE.sub("", _DETAILS.sub("", text)))


def _shortened(text: str, most: int) -> str:
    words = text.split()
    return text if len(words) <= most else " ".join(words[:most]).rstrip(",;:") + " …"


def _questions(part: Section, asked_in: dict[Asked, Section], answers: dict[str, str]) -> Iterator[Slide]:
    """Questions of an earlier part that this one answers: they are asked again before it does."""
    told = {question for kind, question in part.parts if kind == "answer"}
    for asked, place in asked_in.items():
        if asked.question in told and place is not part:
            yield from _asking(asked, part, answers, f"Asked in “{plain(place.title)}”. ")


def _asking(asked: Asked, part: Section, answers: dict[str, str], where: str = "") -> Iterator[Slide]:
    """The question, and the answer on the next slide, where the lesson gives one."""
    options = _whole(asked.options, answers.get(asked.question, ""))
    asking = f"<p class='ask'>{inline(asked.question)}</p>{_options(options)}"
    notes = f"<p>{escape(where)}Let everyone decide before you go on.</p>"
    yield Slide("question", f"Your guess? {_topic(part)}", asking, notes)
    if known := answers.get(asked.question):
        shown = f"<p class='ask'>{inline(asked.question)}</p><p class='answer'>{inline(known)}</p>"
        yield Slide("answer", f"Answer: {_topic(part)}", shown, "<p>Who guessed otherwise, and why?</p>")


def _topic(part: Section) -> str:
    return plain(part.title) or "the question"


def _options(options: tuple[str, ...]) -> str:
    """Answers to choose from; a range stays one line."""
    if len(options) == 1 or len(options) > 8:
        return f"<p class='range'>{escape(', '.join(options))}</p>"
    return "<ol class='options'>" + "".join(f"<li>{inline(option)}</li>" for option in options) + "</ol>"


def _pictures(part: Section, answers: dict[str, str]) -> Iterator[Slide]:
    """A slide for each drawing, chart and table; its caption is the sentence that follows in the lesson."""
    heading, said, before = part.title, "", ""
    told = {value for kind, value in part.parts if kind == "answer"}
    for position, (kind, value) in enumerate(part.parts):
        if kind == "text":
            found = [match[2] for match in _HEADING.finditer(_prose(value)) if len(match[1]) == 3]
            heading = found[-1] if found else heading
            before += f"\n\n{value}"
            for table in _TABLE.findall(_prose(value)):
                yield Slide("table", heading or "The lesson", block(table), block(before))
                before = ""
        elif kind == "picture":
            after = [(k, v) for k, v in part.parts[position + 1 :] if k != "answer"][:1]
            said = next((v for k, v in after if k == "text"), "")
            caption = _caption(said)
            words = f"<figcaption>{inline(_shortened(caption, MOST_CAPTION))}</figcaption>" if caption else ""
            notes = block(before + f"\n\n{said}")
            yield Slide("picture", heading or "First look", f"<figure>{value}{words}</figure>", notes)
            before = ""
        elif kind == "guess" and (value.question in told or value.question not in answers):
            yield from _asking(value, part, answers)


def _caption(text: str) -> str:
    """The first sentence of a text, and the second where the first says little by itself."""
    found = _sentences(text)[:2]
    return " ".join(found if found and len(found[0].split()) < 8 else found[:1])


def _points(part: Section) -> Iterator[Slide]:
    text = _prose("\n".join(part.texts()))
    items = re.findall(r"^(?:[-*]|\d+\.) +(.+(?:\n {2,}.+)*)", text, re.MULTILINE) or _sentences(text)
    flat = [" ".join(item.split()) for item in items]
    for start in range(0, len(flat), BULLETS):
        shown = "".join(f"<li>{inline(item)}</li>" for item in flat[start : start + BULLETS])
        yield Slide("points", part.title, f"<ul>{shown}</ul>", block("\n".join(f"- {item}" for item in flat)))


def _check_yourself(part: Section) -> Iterator[Slide]:
    """Each question by itself, its answer on the next slide."""
    found = list(_DETAILS.finditer("\n".join(part.texts())))
    for number, match in enumerate(found, 1):
        question = re.sub(r"^\d+\. *", "", " ".join(match["label"].split()))
        question = re.sub(r"</?[a-z]+[^>]*>", "", question)
        yield Slide("question", f"Check yourself {number} of {len(found)}", f"<p class='ask'>{inline(question)}</p>")
        answer = f"<p class='ask'>{inline(question)}</p><div class='answer'>{block(match['inside'])}</div>"
        yield Slide("answer", f"Check yourself {number} of {len(found)}: answer", answer)


def _closing(part: Section) -> str:
    text = _prose("\n\n".join(part.texts()))
    return f"<div class='small'>{block(text)}</div>" if plain(part.title) == "Sources" else block(text)


# ---------------------------------------------------------------- text as HTML
@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt  # comes with rich

    return MarkdownIt("commonmark", {"html": False}).enable("table")


def plain(text: str) -> str:
    """Text without Markdown's signs, for titles and names."""
    return re.sub(r"[*`$\\]", "", _LINK.sub(r"\1", text)).strip()


def inline(text: str) -> str:
    """One line of Markdown as HTML, formulas drawn; links are words, since a deck loads nothing."""
    return _rendered(text, lambda given: _markdown().renderInline(given))


def block(text: str) -> str:
    """Markdown as HTML; folded parts are unfolded."""
    unfolded = _DETAILS.sub(lambda m: f"\n\n{m['label']}\n\n{m['inside']}\n\n", text)
    return _rendered(re.sub(r"</?(?:details|summary|br)\s*/?>", "", unfolded), lambda given: _markdown().render(given))


def _rendered(text: str, render: Any) -> str:
    kept: list[str] = []

    def keep(match: re.Match) -> str:
        if match["code"]:
            return match[0]
        kept.append(formula(match["display"] or match["inline"], display=bool(match["display"])))
        return f"\x02{len(kept) - 1}\x03"

    either = re.compile(rf"(?P<code>```.*?```|`[^`\n]+`)|{MATH.pattern}", re.DOTALL)
    made = render(_LINK.sub(r"\1", either.sub(keep, text)))
    return re.sub(r"\x02(\d+)\x03", lambda m: kept[int(m[1])], made)


# ---------------------------------------------------------------- formulas
_BRACED = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_TEX = [
    (r"\\(?:big|Big|bigg|Bigg)[lrm]?(?![A-Za-z])\s*", ""),
    (r"\\[dt]frac(?![A-Za-z])", r"\\frac"),
    (r"\\frac\s*(\w)\s*(\w)", r"\\frac{\1}{\2}"),
    (r"\\frac\s*(\w)\s*\{", r"\\frac{\1}{"),
    (r"\\sqrt\s+(\w)", r"\\sqrt{\1}"),
    (r"\\[lr]Vert(?![A-Za-z])", r"\\Vert "),
    (r"\\[lr]vert(?![A-Za-z])", r"\\vert "),
    (r"\\mathbb\s+(\w)", r"\\mathbb{\1}"),
    (r"\\ge(?![A-Za-z])", r"\\geq "),
    (r"\\le(?![A-Za-z])", r"\\leq "),
    (rf"\\boxed\s*(?P<inside>{_BRACED})", r"\g<inside>"),
    (rf"\\underbrace\s*(?P<inside>{_BRACED})\s*_\s*{_BRACED}", r"\g<inside>"),
    (r"\\tag\{[^}]*\}", ""),
]


@cache
def formula(tex: str, display: bool = False) -> str:
    """A formula as an inline SVG in the text's own color; where it cannot be drawn, its TeX."""
    told = " ".join(tex.split())
    text = told
    for old, new in _TEX:
        text = re.sub(old, new, text)
    kind = "math display" if display else "math"
    try:
        drawn = _drawn(text)
    except ValueError:
        return f'<code class="{kind}">{escape(told)}</code>'
    return f'<span class="{kind}">{drawn.format(label=escape(told, quote=True))}</span>'


def _drawn(tex: str) -> str:
    """SVG of a formula by matplotlib's own TeX.

    Raises
    ------
    ValueError
        It holds a command that is not known there.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import MathTextParser
    from matplotlib.textpath import TextPath

    size = 20.0
    properties = FontProperties(family="DejaVu Sans", size=size, math_fontfamily="dejavuserif")
    width, height, depth, *_ = MathTextParser("path").parse(f"${tex}$", 72, properties)
    path = TextPath((0, 0), f"${tex}$", size=size, prop=properties)
    out = io.StringIO()
    names = {1: "M", 2: "L", 3: "Q", 4: "C"}
    needed = {1: 1, 2: 1, 3: 2, 4: 3}
    k, codes, points = 0, path.codes, path.vertices
    while codes is not None and k < len(codes):
        code = int(codes[k])
        if code == 79:
            out.write("Z")
            k += 1
            continue
        many = needed[code]
        out.write(names[code] + " ".join(f"{x:.2f} {-y:.2f}" for x, y in points[k : k + many]))
        k += many
    top, box = height + 1, f"0 {-(height + 1):.2f} {max(width, 1) + 1:.2f} {height + depth + 2:.2f}"
    em = size
    style = f"width:{(max(width, 1) + 1) / em:.3f}em;height:{(top + depth + 1) / em:.3f}em"
    style += f";vertical-align:{-(depth + 1) / em:.3f}em"
    shape = f'<path fill="currentColor" d="{out.getvalue()}"/>'
    return f'<svg role="img" aria-label="{{label}}" style="{style}" viewBox="{box}">{shape}</svg>'
