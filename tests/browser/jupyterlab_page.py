"""JupyterLab on this machine and a browser on its page, for tests that do what a learner does."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as NothingThere

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox", "--headless=new", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync", "--disable-quic",
]  # fmt: skip
WIDGET = "window.jupyterapp.shell.currentWidget"
RUN_SECONDS = 280


class Server:
    """A JupyterLab of its own settings on a free port of this machine."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.token = secrets.token_hex(16)
        self.folder, self.log = folder, scratch / "jupyter.log"
        # every cell in the page, also those below the window, so that the test can look at them; no question about news
        for name, text in {
            "notebook-extension/tracker": '{"windowingMode": "none"}',
            "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
        }.items():
            settings = scratch / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            settings.parent.mkdir(parents=True)
            settings.write_text(text)
        names = {
            "JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
        }  # fmt: skip
        env = os.environ | {k: str(scratch / v) for k, v in names.items()} | {"JUPYTER_PREFER_ENV_PATH": "1"}
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={self.port}",
            "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={folder}",
            "--ServerApp.allow_root=True", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=self.log.open("w"), stderr=subprocess.STDOUT, start_new_session=True
        )
        self._wait()

    def _wait(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api?token={self.token}", timeout=2).close()
                return
            except OSError:
                time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-3000:]}")

    def url(self, notebook: str) -> str:
        """Address that opens a notebook of the folder, in a fresh workspace."""
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?token={self.token}&reset"

    def stop(self) -> None:
        """End the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Notebook:
    """One notebook open in JupyterLab, and its file."""

    def __init__(self, page: Page, server: Server, name: str) -> None:
        self.page, self.file = page, server.folder / name
        page.goto(server.url(name))
        page.wait_for_function(
            f"""() => window.jupyterapp && {WIDGET}?.context?.isReady && {WIDGET}.context.path === '{name}'
                && {WIDGET}.sessionContext.session?.kernel?.connectionStatus === 'connected'
                && {WIDGET}.sessionContext.session.kernel.status === 'idle'""",
            timeout=90_000,
        )

    def menu(self, menu: str, item: str) -> None:
        """Choose from the menu bar, as a learner does."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.locator(".lm-Menu-itemLabel", has_text=item).first.click()

    def run_all(self) -> None:
        """Run > Run All Cells, and wait for the last one."""
        self.menu("Run", "Run All Cells")
        self.page.wait_for_function(
            f"""() => {{
                const cells = Array.from({WIDGET}.content.model.cells).filter(c => c.type === 'code');
                const failed = cells.some(c => Array.from({{length: c.outputs.length}}, (_, i) => c.outputs.get(i))
                    .some(o => o.type === 'error') && !(c.getMetadata('tags') ?? []).includes('raises-exception'));
                const done = cells.every(c => c.executionCount !== null && c.executionState !== 'running');
                return {WIDGET}.sessionContext.session.kernel.status === 'idle' && (done || failed);
            }}""",
            timeout=RUN_SECONDS * 1000,
        )

    def cell(self, text: str):
        """The code cell whose input holds `text`."""
        return self.page.locator(".jp-CodeCell", has=self.page.locator(".jp-InputArea", has_text=text)).first

    def enter(self, text: str) -> None:
        """Click into the cell that holds `text`, and wait until what is typed goes there.

        Shift+Enter moves on to the next cell a little later, and may take the focus from a click that came before it:
        then click again, as a learner does.
        """
        cell = self.cell(text)
        for last in (False, False, True):
            cell.locator(".cm-content").click()
            try:
                cell.locator(".cm-editor.cm-focused").wait_for(timeout=10_000)
                return
            except NothingThere:
                if last:
                    raise

    def retype(self, text: str, code: str) -> None:
        """Replace the cell that holds `text` by typing, and run it."""
        self.enter(text)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")

    def rerun(self, text: str, expected: str) -> str:
        """Run the cell that holds `text`; what its output says once `expected` is in it."""
        cell = self.cell(text)
        self.enter(text)
        self.page.keyboard.press("Shift+Enter")
        output = cell.locator(".jp-OutputArea-output", has_text=expected)
        output.wait_for(timeout=60_000)
        return output.inner_text()

    def execute(self, code: str) -> str:
        """Run code in the notebook's kernel, beside its cells; what it printed, and its error if there was one."""
        return self.page.evaluate(
            f"""async code => {{
                const future = {WIDGET}.sessionContext.session.kernel.requestExecute({{code}});
                let said = '';
                future.onIOPub = message => {{
                    const content = message.content;
                    said += content.text ?? (content.ename ? `${{content.ename}}: ${{content.evalue}}` : '');
                }};
                await future.done;
                return said;
            }}""",
            code,
        )

    def save(self) -> NotebookNode:
        """Save with the keyboard; the notebook as it now lies on disk."""
        self.page.keyboard.press("Escape")
        before = self.file.stat().st_mtime_ns
        self.page.keyboard.press("Control+S")
        end = time.monotonic() + 30
        while self.file.stat().st_mtime_ns == before and time.monotonic() < end:
            self.page.wait_for_timeout(100)
        self.page.wait_for_function(f"() => !{WIDGET}.context.model.dirty", timeout=30_000)
        return nbformat.read(self.file, as_version=4)

    def close(self) -> None:
        """End the kernel, which would keep its memory for as long as the server runs."""
        self.page.evaluate(f"() => {WIDGET}.sessionContext.shutdown()")


def forget_outputs(path: Path) -> None:
    """Take outputs and counts out of a notebook file, so that only a real run can bring them back."""
    nb = nbformat.read(path, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(nb, path)
