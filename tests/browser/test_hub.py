"""A class in a real browser: two students log in, answer, hand in and are graded; neither reaches the other."""

from __future__ import annotations

import ast
import csv
import os
import re
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

pytestmark = pytest.mark.serial
WRONG = "def bayes_accuracy(joint):\n    return joint.max(axis=1).sum()"
RIGHT = "def bayes_accuracy(joint):\n    return joint.max(axis=0).sum()"
PORTS = {"ada": 18_211, "ben": 18_212}  # where a student listens, in a network of the student's own
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
import json, socket, threading
from ipykernel.connect import get_connection_file
known = json.load(open(get_connection_file()))
listener = socket.create_server(("0.0.0.0", {port}))
heard = []
def listen():
    while True:
        line, _ = listener.accept()
        heard.append(line.recv(1 << 16))
        line.close()
threading.Thread(target=listen, daemon=True).start()
def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
        return True
    except OSError:
        return False
ports = [known["shell_port"], known["iopub_port"], {port}]
print("PROBE ports", ports, all(map(connects, ports)))
print("PROBE reaches", [port for port in {others!r} if connects(port)])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print("PROBE ids", os.getuid() != 0, [status[name].strip() for name in ("CapPrm", "CapEff")])
"""
# Of one's own: what another test left in the kernel, or in the notebook by saving it by itself, does not matter.
LISTEN = """
import socket, threading
bait, caught = socket.create_server(("0.0.0.0", {port})), []
def catch():
    while True:
        line, _ = bait.accept()
        with line:
            caught.append(line.recv(1 << 16))
threading.Thread(target=catch, daemon=True).start()
with socket.create_connection(("127.0.0.1", {port}), 10) as control:
    control.sendall(b"control")
    control.shutdown(socket.SHUT_WR)
    control.recv(1)
print(caught)
"""


REFRESH_SECONDS = 5  # until a session is looked at again; a real class's hub has more, and a test would wait for it


class Hub:
    """`mmcourse hub` on a free port, with accounts for two students."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.folder, self.log = folder, folder.parent / "hub.log"
        command = [sys.executable, "-m", "mmcourse.cli", "hub", "--dir", str(folder), "--students", "ada,ben"]
        command += ["--port", str(self.port), "--Spawner.args=--LabApp.expose_app_in_browser=True"]
        command += ["--Spawner.args=--LabApp.news_url=None"]
        command += [f"--Authenticator.auth_refresh_age={REFRESH_SECONDS}"]
        self.process = subprocess.Popen(
            command, stdout=self.log.open("w"), stderr=subprocess.STDOUT, start_new_session=True
        )
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            try:
                address = urllib.request.Request(f"http://127.0.0.1:{self.port}/hub/login")
                address.add_header("Host", f"mmcourse.localhost:{self.port}")  # this machine need not know the name
                urllib.request.urlopen(address, timeout=2).close()
                with (folder / "accounts.csv").open(newline="") as file:
                    self.passwords = {row["student"]: row["password"] for row in csv.DictReader(file)}
                return
            except OSError:
                time.sleep(0.3)
        self.stop()
        raise RuntimeError(f"the hub did not start:\n{self.log.read_text()[-3000:]}")

    def login(self, page, student: str, password: str | None = None) -> None:
        page.goto(f"http://mmcourse.localhost:{self.port}/hub/login")
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
        self.folder, self._base = (
            hub.folder / "students" / student,
            f"http://{student}.localhost:{hub.port}/user/{student}",
        )

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


def test_a_wrong_password_opens_nothing(hub, browser):
    page = browser.new_page()
    hub.login(page, "ada", hub.passwords["ben"])
    page.wait_for_selector(".login_error")
    assert "/hub/login" in page.url
    page.close()


def test_two_students_answer_hand_in_and_are_graded(hub, browser, tmp_path):
    ports: list[int] = []
    for student, other, answer in (("ada", "ben", RIGHT), ("ben", "ada", WRONG)):
        said = sit(hub, browser, student, answer, ports)
        probe = dict(line.split(" ", 2)[1:] for line in said.splitlines() if line.startswith("PROBE"))
        assert probe.pop("processes") == "True", "only the student's own processes are seen"
        assert probe.pop("/home") == f"[{student!r}]", "only the own home is there"
        assert probe.pop("/run") == "['hub.sock']", "no socket of the system"
        assert probe.pop("ids") == f"True {['0' * 16] * 2}", "no root and no capability"
        assert probe.pop("reaches") == "[]", f"{student} reaches what runs for {other}: kernels, messages, pages"
        own, _, answered = probe.pop("ports").rpartition(" ")
        assert answered == "True", "the probe itself is broken: it reaches not even its own kernel"
        ports = [*ast.literal_eval(own), hub_port_of(hub, student)]
        reached = {path: what for path, what in probe.items() if what not in ("FileNotFoundError", "[]")}
        assert not reached, f"{student} reaches files of {other} or the instructor"
        assert (hub.folder / "submissions" / student / Path(EXERCISE).name).is_file(), "handed in"
    points = grade(hub, tmp_path)
    assert points["ada"] > points["ben"]
    pages = {student: hub.folder / "feedback" / student / "feedback.html" for student in ("ada", "ben")}
    assert all(f"Feedback for {student}" in page.read_text() for student, page in pages.items()), "in feedback/ at home"


def test_no_click_takes_cookies_to_another_student(hub, browser):
    """Cookies know no ports: what matters is that no student can listen where the browser looks, under any name."""
    baits = {"ada": 18_221, "ben": 18_222}
    contexts = {student: browser.new_context() for student in baits}
    listening = {}
    for student, context in contexts.items():
        page = context.new_page()
        hub.login(page, student)
        page.wait_for_url(f"**/user/{student}/lab**", timeout=120_000)
        listening[student] = lab.Notebook(page, Seat(hub, student), EXERCISE)
        said = listening[student].execute(LISTEN.format(port=baits[student]))
        assert said.strip() == "[b'control']", "the attack itself is broken: nothing listens"
    context = contexts["ada"]
    page = context.new_page()
    with socket.create_server(("127.0.0.1", 0)) as ours:
        page.goto(f"http://mmcourse.localhost:{hub.port}/hub/home")
        page.evaluate(f"() => {{ location = 'http://mmcourse.localhost:{ours.getsockname()[1]}/hub/' }}")
        heard = ours.accept()[0].recv(1 << 16)
    assert b"jupyterhub-hub-login=" in heard, "the attack itself is broken: a listener would have the cookie"
    for host in ("127.0.0.1", "mmcourse.localhost", "ada.localhost", "ben.localhost"):
        for port in baits.values():
            clicked = context.new_page()
            with pytest.raises(Exception, match="ERR_CONNECTION_REFUSED"):
                clicked.goto(f"http://{host}:{port}/hub/")
            clicked.close()
    for student, notebook in listening.items():
        said = notebook.execute("import time; time.sleep(1); print(caught)")
        assert said.strip() == "[b'control']", f"{student} heard what was not for it"
    for path in ("hub/", "user/ada/", "user/ben/"):
        for host in ("ben.localhost", "127.0.0.1", "localhost"):
            sent = {cookie["name"] for cookie in context.cookies(f"http://{host}:{hub.port}/{path}")}
            assert not any("login" in name or "user" in name or "session" in name for name in sent), (host, sent)
    page.goto(f"http://ben.localhost:{hub.port}/user/ada/lab")
    assert page.url.partition("//")[2].split(":")[0] in ("ada.localhost", "mmcourse.localhost"), "a server has one name"
    for context in contexts.values():
        context.close()


def test_who_is_struck_off_is_out(hub, browser):
    """As the instructor does it while the hub runs: the line is taken from the accounts, and sessions end."""
    context = browser.new_context()
    page = context.new_page()
    hub.login(page, "ben")
    page.wait_for_url("**/user/ben/lab**", timeout=120_000)
    accounts = hub.folder / "accounts.csv"
    kept = accounts.read_text()
    accounts.write_text("\n".join(line for line in kept.splitlines() if not line.startswith("ben,")) + "\n")
    try:
        time.sleep(REFRESH_SECONDS + 1)
        page.goto(f"http://mmcourse.localhost:{hub.port}/hub/home")
        page.wait_for_selector("#username_input")
        hub.login(page, "ben")
        page.wait_for_selector(".login_error")
    finally:
        accounts.write_text(kept)
        context.close()


def hub_port_of(hub: Hub, student: str) -> int:
    """The port on which the hub forwards to this student's server."""
    route = rf"{student}\.localhost/user/{student}/ => http://127\.0\.0\.1:(\d+)"
    return int(re.findall(route, hub.log.read_text())[-1])


def sit(hub: Hub, browser, student: str, answer: str, others: list[int]) -> str:
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
    paths += [Path("/home"), Path("/run"), Path("/etc/shadow")]
    paths += [course / x for x in ("notebooks/solutions", "notebooks/src", "tests", ".git")]
    submit = f"\n!{sys.executable} -m mmcourse.cli submit 00_start_here.ipynb"
    notebook.retype(
        "import numpy as np", PROBE.format(paths=list(map(str, paths)), port=PORTS[student], others=others) + submit
    )
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
