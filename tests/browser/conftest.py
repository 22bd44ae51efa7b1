"""The browser that these tests share."""

import os
import shutil

import jupyterlab_page as lab
import pytest
from playwright.sync_api import sync_playwright


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
