"""Every built notebook gives a deck that stands by itself: titles, alt texts, questions before answers, no network."""

from __future__ import annotations

import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from mmcourse.authoring.catalogue import lessons, select
from mmcourse.classroom import slides
from mmcourse.cli import app

BUILT = [path for lesson in lessons() for path in (lesson.notebook, lesson.deeper) if path.is_file()]
EXTERNAL = re.compile(r"""(?:src|href|url\(|@import|srcset|action)\s*[=(]?\s*["']?\s*(?:https?:)?//""", re.I)


class Page(HTMLParser):
    """Pictures, elements that could load something, and whether what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        told = dict(attrs)
        self.sources += [str(told[name]) for name in ("src", "href", "data", "poster") if name in told]
        if tag == "img":
            self.images.append(told)


@pytest.mark.parametrize("path", BUILT, ids=lambda path: path.stem)
def test_each_notebook_gives_a_deck(path: Path):
    nb = nbformat.read(path, as_version=4)
    made = slides.slides(nb)
    titles = [slide.title for slide in made]
    assert len(made) > 5 and len(set(titles)) == len(titles) and all(titles)
    text = slides.html(nb)
    page = Page()
    page.feed(text)
    assert not EXTERNAL.search(re.sub(r"data:[^\"]+", "", text)) and "default-src 'none'" in text
    assert all(source.startswith("data:image/") for source in page.sources), "a deck loads nothing"
    assert not page.tags & {"a", "iframe", "link", "object", "embed", "audio", "video", "details"}
    pictures = [
        value for _, part in [("", p) for p in slides.sections(nb)[1]] for k, value in part.parts if k == "picture"
    ]
    assert len(page.images) == len(pictures) == sum(slide.kind == "picture" for slide in made)
    assert all(image.get("alt") and len(str(image["alt"])) > 3 for image in page.images)
    assert "\x02" not in text and "$$" not in re.sub(r"<(code|pre)\b.*?</\1>", "", text, flags=re.DOTALL)
    for k, slide in enumerate(made):
        if slide.kind == "answer":
            assert made[k - 1].kind == "question", "the answer is on the slide after its question"


def test_alt_texts_are_the_lessons_own():
    nb = nbformat.read(select(["attention"])[0].notebook, as_version=4)
    wanted = set()
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                wanted.add(output.metadata["image/png"]["alt"])
            wanted |= set(re.findall(r'^<img alt="([^"]*)"', output.get("data", {}).get("text/html", "")))
    page = Page()
    page.feed(slides.html(nb))
    assert {image["alt"] for image in page.images} == {unescape(alt) for alt in wanted}


def test_what_to_remember_and_check_yourself_are_there():
    made = slides.slides(nbformat.read(select(["interpret"])[0].notebook, as_version=4))
    kinds = [(slide.kind, slide.title) for slide in made]
    assert ("points", "What to remember") in kinds and ("question", "Check yourself 1 of 8") in kinds
    answer = next(slide for slide in made if slide.title == "Check yourself 1 of 8: answer")
    assert "7.5" in answer.body and made[0].kind == "title" and "Grad-CAM" in made[0].body
    assert sum(len(slide.notes) for slide in made) > 10_000, "the lesson's text is in the notes"


# ---------------------------------------------------------------- one thing at a time
def book(*cells) -> nbformat.NotebookNode:
    return new_notebook(cells=[new_markdown_cell("# A lesson\n*A promise.*"), *cells])


def guess(question: str, said: str, source: str | None = None) -> nbformat.NotebookNode:
    text = f"{question} ({said}) Run this cell to record your guess."
    output = new_output("display_data", {"text/html": text, "text/plain": text})
    return new_code_cell(source or f"g = widgets.guess({question!r}, ['yes, at once', 'no'])", outputs=[output])


def answer(question: str, said: str) -> nbformat.NotebookNode:
    text = f"{question} No guess was recorded. Answer: {said}.\n"
    return new_code_cell("g.compare(x)", outputs=[new_output("stream", name="stdout", text=text)])


def test_a_question_is_asked_again_where_it_is_answered():
    made = slides.slides(
        book(
            new_markdown_cell("## 1 · Before"), guess("Does it?", "yes, at once, no"),
            new_markdown_cell("## 2 · After\n\nA **term** is a word with a meaning."), answer("Does it?", "no"),
        )
    )  # fmt: skip
    assert [slide.kind for slide in made] == ["title", "section", "question", "answer"]
    assert "yes, at once</li>" in made[2].body, "an option may hold a comma"
    assert "Before" in made[2].notes and "no" in made[3].body and "yes, at once" not in made[3].body


def test_a_range_and_a_question_without_an_answer():
    made = slides.slides(
        book(new_markdown_cell("## 1 · Q"), guess("How many?", "0 to 10", "widgets.guess(q, (0, 10))"))
    )
    assert [slide.kind for slide in made] == ["title", "question"] and "0 to 10" in made[1].body


def test_html_and_links_of_a_lesson_become_text():
    text = "## 1 · X\n\nA **term** with [a link](https://example.org/x), "
    text += "<b>bold</b> <script>alert(1)</script> &amp; `<a>`."
    shown = slides.html(book(new_markdown_cell(text)))
    assert "example.org" not in shown and "alert(1)</script>" not in shown and "<code>&lt;a&gt;</code>" in shown


def test_formulas_are_drawn_with_their_tex_to_be_read_aloud():
    drawn = slides.formula(r"\tfrac12 \sum_i \boxed{x_i} \le \sqrt n", display=True)
    assert drawn.startswith('<span class="math display"><svg role="img" aria-label="\\tfrac12') and "<path" in drawn
    assert slides.formula(r"\begin{pmatrix}a & b\end{pmatrix}").startswith('<code class="math">')
    assert slides.inline("`$x$` costs $x$").count("<svg") == 1


def test_every_formula_but_matrices_and_cases_can_be_drawn():
    """What cannot be drawn is left to the notes, as TeX."""
    failed = {}
    for path in BUILT:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                prose = re.sub(r"```.*?```|`[^`\n]*`", "", cell.source, flags=re.DOTALL)
                for match in slides.MATH.finditer(prose):
                    tex = match["display"] or match["inline"]
                    if "<code" in slides.formula(tex) and r"\begin{" not in tex:
                        failed[path.stem] = tex
    assert not failed


def test_the_command_writes_what_it_says(tmp_path: Path):
    done = CliRunner().invoke(app, ["slides", "clip", "--to", str(tmp_path / "decks")])
    assert done.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "decks").iterdir()) == ["19_clip.html", "19_clip_deeper.html"]
    again = (tmp_path / "decks" / "19_clip.html").read_bytes()
    CliRunner().invoke(app, ["slides", "clip", "--to", str(tmp_path / "decks")])
    assert (tmp_path / "decks" / "19_clip.html").read_bytes() == again, "the same lesson, the same deck"
    assert CliRunner().invoke(app, ["slides", "nonsense"]).exit_code == 2


@pytest.mark.serial
def test_in_a_browser_nothing_is_cut_and_nothing_is_asked_of_the_network(tmp_path: Path):
    """Arrow keys, every slide fits, notes, one page for each slide in print."""
    sync = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        pytest.skip("no browser on PATH")
    (deck,) = slides.write_decks(select(["fusion"])[0], tmp_path)[:1]
    asked: list[str] = []
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.on("request", lambda request: asked.append(request.url))
        page.goto(deck.as_uri())
        cut = "s => { const b = s.querySelector('.body'); return b.scrollHeight > b.clientHeight + 1 }"
        number = page.evaluate("slides.length")
        for k in range(number):
            assert page.evaluate(f"({cut})(document.querySelector('section.now'))") is False, f"slide {k + 1} is cut"
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Home")
        page.keyboard.press("n")
        assert page.evaluate("location.hash") == "#1" and page.evaluate("document.body.className") == "notes"
        page.keyboard.press("n")
        pages = page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n")
        browser.close()
    assert asked == [deck.as_uri()] and pages in (0, number)


def test_options_with_commas_are_put_together_by_the_answer():
    cut = ("kind words", "smirk to smile", "unkind words", "smile to frown")
    assert slides._whole(cut, "unkind words, smile to frown") == (
        "kind words, smirk to smile",
        "unkind words, smile to frown",
    )
    assert slides._whole(("a", "b"), "b") == ("a", "b")
    assert slides._whole(("a", "b", "c"), "x, y") == ("a", "b", "c"), "nothing fits: as it was"
