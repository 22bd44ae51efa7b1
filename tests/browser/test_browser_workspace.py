"""The learner's folder in a real browser, as `mmcourse lab` opens it: where to begin, and nothing changed by looking.

Screenshots go to the folder in MMCOURSE_SCREENSHOTS, where that is set.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import jupyterlab_page as lab
import pytest

from mmcourse.authoring import select
from mmcourse.progress import read_progress
from mmcourse.workspace import LAYOUT

pytestmark = pytest.mark.xdist_group("browser")
LESSON = select(["start_here"])[0]
RIGHT = "def bayes_accuracy(joint):\n    return joint.max(axis=0).sum()"
SCREEN = {"width": 1366, "height": 768}
BOTH_THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
BROKEN_PICTURES = "() => [...document.images].filter(x => x.complete && !x.naturalWidth).map(x => x.src.slice(0, 200))"
CLOSE_CURRENT = f"() => {lab.WIDGET}.close()"


class LearnersLab(lab.Server):
    """`mmcourse lab` on a free port, with a folder of its own and no Jupyter settings of this machine's user."""

    def __init__(self, folder, scratch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.token = secrets.token_hex(16)
        self.folder, self.log = folder, scratch / "lab.log"
        places = {
            "JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_DATA_DIR": "data",
            "JUPYTERLAB_SETTINGS_DIR": "settings", "IPYTHONDIR": "ipython",
        }  # fmt: skip
        self.environment = os.environ | {name: str(scratch / place) for name, place in places.items()}
        self.environment |= {"MMCOURSE_FOLDER": str(folder), "NO_COLOR": "1"}
        command = [
            sys.executable, "-m", "mmcourse.cli", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={self.port}",
            "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}",
            "--LabApp.expose_app_in_browser=True",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, env=self.environment, stdout=self.log.open("w"), stderr=subprocess.STDOUT, start_new_session=True
        )
        self._wait()

    def url(self, notebook: str) -> str:
        return f"http://127.0.0.1:{self.port}/lab/workspaces/{LAYOUT}/tree/{notebook}?token={self.token}"

    @property
    def first_url(self) -> str:
        """The address that `mmcourse lab` opens by itself."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = LearnersLab(tmp_path_factory.mktemp("home") / "mmcourse-notebooks", tmp_path_factory.mktemp("jupyter"))
    yield running
    running.stop()


@pytest.fixture
def page(browser, theme, tmp_path, request):
    """A laptop's screen; every request to another host is noted in `page.strangers`."""
    context = browser.new_context(viewport=SCREEN, color_scheme=theme)
    page = context.new_page()
    page.strangers = []
    page.on(
        "request", lambda it: urlsplit(it.url).hostname not in ("127.0.0.1", None) and page.strangers.append(it.url)
    )
    yield page
    name = re.sub(r"\W+", "_", request.node.name).strip("_")
    page.screenshot(path=Path(os.environ.get("MMCOURSE_SCREENSHOTS") or tmp_path) / f"{name}.png")
    context.close()


def note_stranger(strangers: list[str], url: str) -> None:
    """Note an address of another machine; `data:` and `blob:` have no host."""
    if urlsplit(url).hostname not in ("127.0.0.1", None):
        strangers.append(url)


@BOTH_THEMES
def test_the_start_page_opens_with_the_table_of_contents_and_nothing_else(page, server, theme):
    page.goto(server.first_url)
    page.get_by_role("heading", name="Your course").wait_for(timeout=60_000)
    contents = page.locator(".jp-TableOfContents")
    contents.get_by_text("How this folder works").wait_for()
    assert contents.is_visible() and not page.locator(".jp-DirListing").is_visible()
    assert page.evaluate("document.body.dataset.jpThemeLight") == str(theme == "light").lower(), "the system's theme"
    start = page.locator(".jp-RenderedMarkdown")
    assert start.get_by_text("Next step:").is_visible() and start.get_by_text("So far:").is_visible()
    page.wait_for_timeout(3000)  # a question about news comes late
    assert page.locator(".Toastify__toast, .jp-Dialog").count() == 0, "nothing pops up"
    assert page.strangers == []

    start.get_by_role("link", name=f"{LESSON.number} · {LESSON.title}", exact=True).first.click()
    page.wait_for_function(f"() => {lab.WIDGET}?.context?.path === '{LESSON.notebook.name}'")


def test_only_lessons_exercises_and_the_glossary_lie_there(server):
    seen = {path.name for path in server.folder.iterdir() if not path.name.startswith(".")}
    lessons = {path.name for path in server.folder.glob("[0-9][0-9]_*.ipynb")}
    assert lessons and seen == lessons | {"START.md", "exercises", "glossary.md"}


@BOTH_THEMES
@pytest.mark.parametrize("name", [LESSON.notebook.name, f"exercises/{LESSON.exercise.name}"])
def test_looking_at_a_notebook_changes_nothing(page, server, name):
    before = (server.folder / name).read_bytes()
    notebook = lab.Notebook(page, server, name)
    page.locator(".jp-TableOfContents-content .jp-tocItem").first.wait_for()
    page.wait_for_timeout(1000)
    assert not page.evaluate(f"() => {lab.WIDGET}.context.model.dirty"), "marked as changed, though nobody changed it"
    broken = (
        "() => Array.from(document.images).filter(x => x.complete && !x.naturalWidth).map(x => x.src.slice(0, 200))"
    )
    assert page.evaluate(broken) == [] and page.strangers == []
    notebook.close()
    page.evaluate(CLOSE_CURRENT)
    page.wait_for_timeout(500)
    assert page.locator(".jp-Dialog").count() == 0, "a question about saving"
    assert (server.folder / name).read_bytes() == before


@pytest.mark.parametrize("theme", ["light"])
def test_a_passed_check_shows_on_the_start_page_and_in_progress(page, server):
    tasks = [task.id for task in read_progress(server.folder).lessons[0].tasks]
    first = next(task for task in tasks if ".blank." not in task)
    second = next(task for task in tasks if task != first)
    notebook = lab.Notebook(page, server, f"exercises/{LESSON.exercise.name}")
    notebook.run_all()
    notebook.retype("def bayes_accuracy", RIGHT)
    notebook.rerun(f'check("{first}"', "passed")
    notebook.save()
    notebook.close()

    page.goto(server.url("START.md"))
    row = page.locator(".jp-RenderedMarkdown tr", has_text=LESSON.title)
    row.get_by_text("1 of 3").wait_for(timeout=60_000)
    assert second in page.locator(".jp-RenderedMarkdown p", has_text="Next step:").inner_text()

    command = [sys.executable, "-m", "mmcourse.cli", "progress"]
    done = subprocess.run(command, env=server.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if LESSON.title in line)
    assert "1 of 3" in line and second in done.stdout.split("Next: ")[1]
