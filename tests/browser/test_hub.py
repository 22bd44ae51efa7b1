"""A class in a real browser: two students log in, answer, hand in and are graded; neither reaches the other."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import jupyterlab_page as lab
import pytest
from test_jupyterlab import RIGHT, WRONG

pytestmark = pytest.mark.serial
EXERCISE = "exercises/00_start_here.ipynb"
PROBE = """
import os, pathlib
def reach(path):
    try:
        p = pathlib.Path(path)
        return sorted(x.name for x in p.iterdir()) if p.is_dir() else p.read_text()[:20]
    except OSError as error:
        return type(error).__name__
for path in {paths!r}:
    print("PROBE", path, reach(path))
print("PROBE processes", sum(p.name.isdigit() for p in pathlib.Path("/proc").iterdir()) < 20)
"""


class Hub:
    """`mmcourse hub` on a free port, with accounts for two students."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.folder, self.log = folder, folder.parent / "hub.log"
        command = [sys.executable, "-m", "mmcourse.cli", "hub", "--dir", str(folder), "--students", "ada,ben"]
        command += ["--port", str(self.port), "--Spawner.args=--LabApp.expose_app_in_browser=True"]
        command += ["--Spawner.args=--LabApp.news_url=None"]
        command += ["--Spawner.args=--allow-root"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            command, stdout=self.log.open("w"), stderr=subprocess.STDOUT, start_new_session=True
        )
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/hub/login", timeout=2).close()
                with (folder / "accounts.csv").open(newline="") as file:
                    self.passwords = {row["student"]: row["password"] for row in csv.DictReader(file)}
                return
            except OSError:
                time.sleep(0.3)
        self.stop()
        raise RuntimeError(f"the hub did not start:\n{self.log.read_text()[-3000:]}")

    def login(self, page, student: str, password: str | None = None) -> None:
        page.goto(f"http://127.0.0.1:{self.port}/hub/login")
        page.fill("#username_input", student)
        page.fill("#password_input", self.passwords[student] if password is None else password)
        page.click("#login_submit")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


class Seat:
    """What `lab.Notebook` needs to know of a student's server."""

    def __init__(self, hub: Hub, student: str) -> None:
        self.folder, self._base = hub.folder / "students" / student, f"http://127.0.0.1:{hub.port}/user/{student}"

    def url(self, notebook: str) -> str:
        return f"{self._base}/lab/tree/{notebook}?reset"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    if shutil.which("bwrap") is None:
        message = "no sandbox: bwrap is not on PATH; `apt-get install bubblewrap`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    running = Hub(tmp_path_factory.mktemp("hub") / "class")
    yield running
    running.stop()


def test_a_wrong_password_opens_nothing(hub, browser):  # noqa: F811
    page = browser.new_page()
    hub.login(page, "ada", hub.passwords["ben"])
    page.wait_for_selector(".login_error")
    assert "/hub/login" in page.url
    page.close()


def test_two_students_answer_hand_in_and_are_graded(hub, browser, tmp_path):  # noqa: F811
    said = {student: sit(hub, browser, student, answer) for student, answer in (("ada", RIGHT), ("ben", WRONG))}
    for student, other in (("ada", "ben"), ("ben", "ada")):
        probe = dict(line.split(" ", 2)[1:] for line in said[student].splitlines() if line.startswith("PROBE"))
        assert probe.pop("processes") == "True", "only the student's own processes are seen"
        assert probe.pop(str(hub.folder / "students")) == f"[{student!r}]", "only the own home is there"
        reached = {path: what for path, what in probe.items() if what not in ("FileNotFoundError", "[]")}
        assert not reached, f"{student} reaches files of {other} or the instructor"
        assert (hub.folder / "submissions" / student / Path(EXERCISE).name).is_file(), "handed in"
    points = grade(hub, tmp_path)
    assert points["ada"] > points["ben"]
    pages = {student: hub.folder / "feedback" / student / "feedback.html" for student in ("ada", "ben")}
    assert all(f"Feedback for {student}" in page.read_text() for student, page in pages.items()), "in feedback/ at home"


def sit(hub: Hub, browser, student: str, answer: str) -> str:  # noqa: F811
    """A student's sitting: log in, answer 00.1, check, save, hand in, and try to read what is not theirs."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    hub.login(page, student)
    page.wait_for_url(f"**/user/{student}/lab**", timeout=120_000)
    notebook = lab.Notebook(page, Seat(hub, student), EXERCISE)
    notebook.run_all()
    notebook.retype("def bayes_accuracy", answer)
    notebook.rerun('check("start_here.1"', "Passed" if answer == RIGHT else "row")
    notebook.save()
    other = "ben" if student == "ada" else "ada"
    course = Path(__file__).parents[2]
    paths = [
        hub.folder / x for x in ("students", f"students/{other}/{EXERCISE}", f"submissions/{other}", "accounts.csv")
    ]
    paths += [course / x for x in ("notebooks/solutions", "notebooks/src", "tests", ".git")]
    submit = f"\n!{sys.executable} -m mmcourse.cli submit 00_start_here.ipynb"
    notebook.retype("import numpy as np", PROBE.format(paths=list(map(str, paths))) + submit)
    output = notebook.cell("PROBE processes").locator(".jp-OutputArea-output", has_text="Handed in")
    output.first.wait_for(timeout=60_000)
    said = "\n".join(notebook.cell("PROBE processes").locator(".jp-OutputArea-output").all_inner_texts())
    if folder := os.environ.get("MMCOURSE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"hub_{student}.png")
    context.close()
    return said


def grade(hub: Hub, out: Path) -> dict[str, float]:
    """Points by student, from the instructor's command over what was handed in."""
    command = [sys.executable, "-m", "mmcourse.cli", "grade", str(hub.folder / "submissions")]
    command += ["--out", str(out / "results"), "--return", str(hub.folder / "feedback")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    points: dict[str, float] = {}
    with (out / "results" / "grades.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            points[row["student"]] = points.get(row["student"], 0.0) + float(row["points"])
    return points
