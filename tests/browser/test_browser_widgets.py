"""A reader looks at drawings and turns knobs: JupyterLab in a real browser, before and after a run, light and dark.

Screenshots go to the folder in MMCOURSE_SCREENSHOTS, where that is set.
"""

import os
from pathlib import Path

import jupyterlab_page as lab
import nbformat
import pytest

from mmcourse.authoring.execute import execute
from mmcourse.authoring.source import METADATA

pytestmark = pytest.mark.xdist_group("browser")
CELLS = [
    "from mmcourse import draw, plot, widgets",
    """def show(size=2):
    draw.show(draw.tokens(["word"] * size), alt=f"{size} words in a row")

widgets.slider(show, size=(1, 5))""",
    """layers = draw.network(("pixels", (32, 784)), ("Linear", (32, 128)), ("ReLU", (32, 128)), ("Linear", (32, 10)))
draw.show(layers, alt="Three layers.")""",
    "widgets.buttons(lambda word: print(word * 2), ['cat', 'dog'], label='Which?')",
    "widgets.reveal(lambda: draw.show(draw.box('because'), alt='the reason'), label='Why?')",
    "mine = widgets.guess('Which word?', ['cat', 'mat'])",
    "mine.compare('cat')",
]
THEMES = {"JupyterLab Light": "light.ipynb", "JupyterLab Dark": "dark.ipynb"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """JupyterLab over one notebook as it would be committed: run without a reader, its outputs saved, not trusted."""
    folder, scratch = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("jupyter")
    cells = [nbformat.v4.new_code_cell(text) for text in CELLS]
    nb = nbformat.v4.new_notebook(cells=cells, metadata=METADATA)
    execute(nb)
    for name in THEMES.values():  # a copy each: a reader's run is saved into it
        nbformat.write(nb, folder / name)
    running = lab.Server(folder, scratch)
    yield running
    running.stop()


@pytest.fixture(params=THEMES)
def page(browser, request, tmp_path):
    """A page of a laptop's size, in one theme."""
    page = browser.new_page(
        viewport={"width": 1366, "height": 768}, color_scheme="dark" if "Dark" in request.param else "light"
    )
    page.theme = request.param
    yield page
    folder = Path(os.environ.get("MMCOURSE_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{request.node.name}.png".replace(" ", "_"))
    page.close()


def picture_is_painted(image) -> bool:
    return image.evaluate("i => i.complete && i.naturalWidth > 50 && i.getBoundingClientRect().width > 50")


def test_a_reader_looks_turns_guesses_and_saves(page, server):
    notebook = lab.Notebook(page, server, THEMES[page.theme])
    if "Dark" in page.theme:
        page.evaluate(f"() => window.jupyterapp.commands.execute('apputils:change-theme', {{theme: '{page.theme}'}})")
        page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")

    # Nothing has run yet, and the notebook is not trusted: what was saved is there all the same.
    saved = page.get_by_alt_text("2 words in a row").first
    saved.scroll_into_view_if_needed()
    assert picture_is_painted(saved) and picture_is_painted(page.get_by_alt_text("Three layers."))
    assert page.get_by_text("Slider: size = 2 (1 to 5). Run this cell to move it.").is_visible()

    notebook.run_all()
    handle = page.locator(".noUi-handle, .ui-slider-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.get_by_alt_text("3 words in a row").wait_for(timeout=20_000)
    assert page.get_by_alt_text("2 words in a row").count() == 0

    page.get_by_role("button", name="dog").click()
    page.get_by_text("dogdog").wait_for(timeout=20_000)

    why = page.get_by_alt_text("the reason")
    assert not why.is_visible()
    page.get_by_text("Why?").last.click()
    why.wait_for(timeout=5_000)
    assert picture_is_painted(why)

    # the run above compared before anything was chosen, so a new guess is asked for
    notebook.rerun("mine = widgets.guess", "Which word?")
    page.get_by_role("button", name="mat", exact=True).click()
    page.get_by_text("Recorded: mat").wait_for(timeout=20_000)
    assert "You guessed mat. Answer: cat." in notebook.rerun("mine.compare", "You guessed")
    page.get_by_alt_text("Three layers.").scroll_into_view_if_needed()

    after = notebook.save()
    assert not after.metadata.get("widgets")  # no state, only the picture of how it began
    (slider,) = (c for c in after.cells if "widgets.slider" in c.source)
    assert '<img alt="2 words in a row"' in str(slider.outputs[-1].data["text/html"])
