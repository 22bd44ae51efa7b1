"""The browser that these tests share."""

import contextlib
import os
import shutil

import jupyterlab_page as lab
import pytest
from playwright.sync_api import expect, sync_playwright


@pytest.fixture(scope="module")
def browser():
    """Chromium. Where it is missing: a failure in CI, elsewhere a skip that says so."""
    found = next(filter(None, map(shutil.which, lab.CHROMIUM)), None)
    if not found:
        message = f"no browser: none of {', '.join(lab.CHROMIUM)} is on PATH; `apt-get install chromium`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=lab.ARGUMENTS)
        yield chromium
        chromium.close()


# ---- the pages of the service; a test module that uses `visit` has a fixture `service` with its `url`
@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """Chromium with a camera that shows a test picture and a microphone that says the sentence of `mood`."""
    found = next(filter(None, map(shutil.which, lab.CHROMIUM)), None)
    if not found:
        message = f"no browser: none of {', '.join(lab.CHROMIUM)} is on PATH; `apt-get install chromium`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    import numpy as np
    import soundfile

    from mmcourse.datasets.mood import voices

    said = tmp_path_factory.mktemp("sound") / "said.wav"
    soundfile.write(said, np.tile(voices.waves("test")[0], 4), 16000, subtype="PCM_16")
    devices = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={said}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*lab.ARGUMENTS, *devices])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, service):
    """visit("index", "zh", width=320, …) → the open page. At the end: no other host was asked, nothing was blocked."""
    from mmcourse.serve.page.make_pages import link

    asked, said = [], []
    with contextlib.ExitStack() as stack:

        def open_page(page="index", lang="en", allow=("microphone", "camera"), **settings):
            size = {"width": settings.pop("width", 768), "height": 900}
            context = chromium.new_context(viewport=size, permissions=list(allow), **settings)
            stack.callback(context.close)
            context.on("request", lambda request: asked.append(request.url))
            opened = context.new_page()
            opened.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
            opened.on("pageerror", lambda error: said.append(str(error)))
            opened.goto(service.url + link(page, lang))
            if settings.get("java_script_enabled", True):
                expect(opened.locator("#open-camera")).to_be_visible()
            return opened

        yield open_page
    assert asked and not [url for url in asked if not url.startswith((service.url + "/", "blob:"))]
    assert not [text for text in said if "status of" not in text], said  # the browser logs each refused request
