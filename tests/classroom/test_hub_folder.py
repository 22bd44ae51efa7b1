"""The hub's class folder: accounts that stay, homes that lead nowhere else, names that are names."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest

pytest.importorskip("jupyterhub")

from mmcourse.authoring import catalogue, notebooks_dir
from mmcourse.authoring.fingerprint import holds_own_work
from mmcourse.authoring.wheel_hook import refuse_answers
from mmcourse.classroom import hub, seat
from mmcourse.classroom.feedback import blank_cells


def test_accounts_are_made_once_and_kept_to_the_instructor(tmp_path):
    first = hub.prepare(tmp_path, ["ada", "ben"])
    assert hub.prepare(tmp_path, ["ada", "ben", "cleo"]).items() >= first.items()
    assert hub.read_accounts(tmp_path).keys() == {"ada", "ben", "cleo"}
    assert (tmp_path / "accounts.csv").stat().st_mode & 0o077 == 0
    assert (tmp_path / "students" / "ada").stat().st_mode & 0o077 == 0


def test_a_home_is_filled_once_and_own_work_stays(tmp_path):
    hub.prepare(tmp_path, ["ada"])
    hub.fill_home(tmp_path, "ada")
    exercise = tmp_path / "students" / "ada" / "exercises" / "00_start_here.ipynb"
    exercise.write_text("my work")
    hub.fill_home(tmp_path, "ada")
    assert exercise.read_text() == "my work"


def test_a_home_gets_the_inputs_of_a_challenge(tmp_path):
    """Beside the notebook, where `challenge_inputs` looks for them."""
    hub.prepare(tmp_path, ["ada"])
    given = tmp_path / "release" / "students" / "ada"
    given.mkdir(parents=True)
    for name in ("07_cnn.ipynb", "cnn.challenge_inputs.npz", "notes.txt"):
        (given / name).write_text(name)
    hub.fill_home(tmp_path, "ada")
    exercises = tmp_path / "students" / "ada" / "exercises"
    assert {path.name for path in exercises.iterdir()} == {"07_cnn.ipynb", "cnn.challenge_inputs.npz"}


@pytest.fixture
def solved_checkout(tmp_path, monkeypatch):
    """A checkout in which the instructor solved an exercise, filled a blank of the lesson, and keeps notes beside."""
    notebooks = tmp_path / "checkout" / "notebooks"
    shutil.copytree(notebooks_dir(), notebooks, ignore=shutil.ignore_patterns("solutions", ".ipynb_checkpoints"))
    for name in ("exercises/00_start_here.ipynb", "06_neural_networks.ipynb"):
        book = json.loads((notebooks / name).read_text())
        book["cells"].append({"cell_type": "code", "source": "SOLVED = 1", "metadata": {}, "outputs": []})
        (notebooks / name).write_text(json.dumps(book))
    (notebooks / "exercises" / "my_solutions.ipynb").write_text('{"cells": [], "metadata": {}}')
    monkeypatch.setattr(catalogue, "notebooks_dir", lambda root=None: notebooks)
    monkeypatch.setattr(seat, "notebooks_dir", lambda root=None: notebooks)
    return notebooks


def test_homes_and_the_course_of_a_class_are_blank_whatever_the_instructor_solved(tmp_path, solved_checkout):
    folder = tmp_path / "class"
    hub.prepare(folder, ["ada"])
    hub.fill_home(folder, "ada")
    public = seat.write_public_half(folder / "hub" / "public")
    given = [path for place in (folder / "students" / "ada", public) for path in place.rglob("*.ipynb")]
    assert len({path.name for path in given}) > 15 and "my_solutions.ipynb" not in {path.name for path in given}
    for path in given:
        assert "SOLVED" not in path.read_text() and not holds_own_work(path), path
    blank = folder / "students" / "ada" / "exercises" / "00_start_here.ipynb"
    assert "def bayes_accuracy" in blank.read_text() and ".max(" not in blank.read_text()
    assert b"SOLVED" not in "".join(blank_cells("start_here")).encode()


def test_a_class_sees_what_checks_and_lessons_read_as_the_wheel_has_it(tmp_path):
    public = seat.write_public_half(tmp_path / "public")
    found = {path.relative_to(public).as_posix() for path in public.rglob("*") if path.is_file()}
    assert {"_notebooks/map.toml", "_lessons/neural_networks/exercises_torch.py"} <= found
    assert {"_lessons/attention/exercises_keras.py", "_lessons/tune/results.json"} <= found
    text = "".join(path.read_text() for path in public.rglob("exercises*.py"))
    assert "@right(" not in text and not [name for name in found if "solutions" in name or "hidden" in name]


def test_a_wheel_with_somebody_s_answers_is_not_built(solved_checkout):
    root = solved_checkout.parent
    target = root / "mmcourse" / "authoring"
    target.mkdir(parents=True)
    shutil.copy(catalogue.__file__.replace("catalogue", "fingerprint"), target)
    with pytest.raises(ValueError, match="06_neural_networks.ipynb was edited"):
        refuse_answers(root)
    (solved_checkout / "06_neural_networks.ipynb").unlink()
    with pytest.raises(ValueError, match="exercises/00_start_here.ipynb was edited"):
        refuse_answers(root)
    (solved_checkout / "exercises" / "00_start_here.ipynb").unlink()
    with pytest.raises(ValueError, match="my_solutions.ipynb was edited or is not"):
        refuse_answers(root)
    (solved_checkout / "exercises" / "my_solutions.ipynb").unlink()
    refuse_answers(root)


def test_links_laid_by_a_student_are_not_followed(tmp_path):
    hub.prepare(tmp_path, ["eve"])
    home, outside = tmp_path / "students" / "eve", tmp_path / "outside"
    outside.mkdir()
    (home / "exercises").symlink_to(outside)
    (home / "lessons").mkdir()
    (home / "lessons" / "00_start_here.ipynb").symlink_to(outside / "planted")
    hub.fill_home(tmp_path, "eve")
    assert not list(outside.iterdir())
    assert not (home / "exercises").is_symlink() and (home / "exercises" / "00_start_here.ipynb").is_file()


def test_released_notebooks_of_the_student_come_before_the_public_ones(tmp_path):
    hub.prepare(tmp_path, ["ada"])
    own = tmp_path / "release" / "students" / "ada"
    own.mkdir(parents=True)
    (own / "00_start_here.ipynb").write_text("with numbers of her own")
    hub.fill_home(tmp_path, "ada")
    found = list((tmp_path / "students" / "ada" / "exercises").iterdir())
    assert [path.read_text() for path in found] == ["with numbers of her own"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "Ada", "ada ben", "-x", "é", "a" * 33])
def test_a_name_that_is_no_plain_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="expected 1 to 32"):
        hub.names(f"ada,{name}", tmp_path)


def test_a_roster_in_the_folder_names_the_students(tmp_path):
    (tmp_path / "roster.csv").write_text("student\nada\nben\n")
    assert hub.names("someone", tmp_path) == ["ada", "ben"]


def test_a_roster_that_a_spreadsheet_saved_is_read_or_refused_by_its_line(tmp_path):
    (tmp_path / "roster.csv").write_bytes(b"\xef\xbb\xbfgroup;Student\r\n1; ada \r\n\r\n2;ben\r\n")
    assert hub.names("", tmp_path) == ["ada", "ben"]
    (tmp_path / "roster.csv").write_text('student\nada\n"ben\ncleo\n')
    with pytest.raises(ValueError, match="line 3"):
        hub.names("", tmp_path)


def test_who_is_struck_off_the_roster_has_no_account_and_keeps_the_work(tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_text("student\nada\nben\n")
    first = hub.prepare(tmp_path, hub.names("", tmp_path))
    (tmp_path / "submissions" / "ben" / "work.ipynb").write_text("work")
    roster.write_text("student\nada\ncleo\n")
    second = hub.prepare(tmp_path, hub.names("", tmp_path))
    assert hub.read_accounts(tmp_path) == second and second.keys() == {"ada", "cleo"}
    assert second["ada"] == first["ada"]
    assert (tmp_path / "submissions" / "ben" / "work.ipynb").read_text() == "work"


def test_sessions_and_users_of_who_is_struck_off_end(tmp_path):
    hub.prepare(tmp_path, ["ada", "ben"])
    authenticator = hub.ClassAuthenticator(folder=str(tmp_path))
    ben = SimpleNamespace(name="ben")
    assert authenticator.validate_username("ben") and asyncio.run(authenticator.refresh_user(ben))
    (tmp_path / "accounts.csv").write_text("student,password\nada,x\n")
    assert not authenticator.validate_username("ben") and not asyncio.run(authenticator.refresh_user(ben))
    assert authenticator.validate_username("ada")
    password = {"username": "ben", "password": ""}
    assert asyncio.run(authenticator.authenticate(None, password)) is None


def test_no_student_has_the_hub_s_own_name(tmp_path):
    with pytest.raises(ValueError, match="the hub's own"):
        hub.names(f"ada,{hub.HOST}", tmp_path)


@pytest.mark.parametrize("name", ["ada", "a-b", "a_b", "0", "x" * 32, "mmcourse2"])
def test_every_student_has_a_host_name_of_one_label_and_not_the_hub_s(name):
    host = hub.host_of(name, "mmcourse.localhost", "user")
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?\.localhost", host) and host != f"{hub.HOST}.localhost"


def test_a_taken_port_is_named_with_the_remedy():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="choose another with --port"):
            hub.require_free(taken.getsockname()[1])


class Says(BaseHTTPRequestHandler):
    """Answers each request with the server's own name."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.says)

    do_POST = do_GET

    def log_message(self, *_) -> None:
        """Not into the tests' output."""


@pytest.fixture
def ask(tmp_path):
    """A function (host, path, method) → (status, where to, text) that asks a proxy before a hub and Ada's server."""
    made = []
    for says in (b"the hub", b"ada's server"):
        made.append(ThreadingHTTPServer(("127.0.0.1", 0), Says))
        made[-1].says = says
        Thread(target=made[-1].serve_forever, daemon=True).start()
    port, api = hub.free_port(), hub.free_port()
    command = [sys.executable, "-m", "mmcourse.classroom.hub_proxy", "mmcourse.localhost", "--host-routing"]
    command += ["--ip", "127.0.0.1", "--port", str(port), "--api-ip", "127.0.0.1", "--api-port", str(api)]
    proxy = subprocess.Popen(command, env={**os.environ, "CONFIGPROXY_AUTH_TOKEN": "token"})

    def request(to: int, path: str, host: str, method: str = "GET", body: str | None = None) -> tuple[int, str, str]:
        line = HTTPConnection("127.0.0.1", to, timeout=20)
        line.request(method, path, body, {"Host": host, "Authorization": "token token"})
        answer = line.getresponse()
        return answer.status, answer.getheader("Location", ""), answer.read().decode()

    try:
        routes = {"/": made[0].server_port, "/ada.localhost/user/ada": made[1].server_port}
        for route, target in routes.items():
            for attempt in range(100):
                try:
                    request(
                        api, f"/api/routes{route}", "x", "POST", json.dumps({"target": f"http://127.0.0.1:{target}"})
                    )
                    break
                except OSError:
                    assert attempt < 99 and proxy.poll() is None, "the proxy did not start"
                    time.sleep(0.2)
        yield lambda host, path, method="GET": request(port, path, f"{host}:{port}", method)
    finally:
        proxy.terminate()
        proxy.wait(20)
        for server in made:
            server.shutdown()
            server.server_close()


def test_the_hub_answers_under_its_own_name_only(ask):
    """Else its login page, and the cookies of whoever logs in there, would be of the origin of a student's server."""
    for path in ("/", "/hub/login", "/hub/api/user?all=1", "/user/ada/lab"):
        assert ask("mmcourse.localhost", path)[::2] == (200, "the hub")
        assert ask("MMcourse.Localhost", path)[0] == 200, "case does not count in a host's name"
    assert ask("ada.localhost", "/user/ada/lab")[::2] == (200, "ada's server")
    others = ("ada.localhost", "ben.localhost", "localhost", "127.0.0.1", "evil.example", "x.mmcourse.localhost")
    for host in others:
        for path in ("/", "/hub/login?next=%2F", "/%68ub/login", "//hub/login", "/hub/../hub/api", "/user/ben/lab"):
            status, place, text = ask(host, path)
            assert status in (301, 302) and "hub" not in text, (host, path)
            assert re.fullmatch(r"http://mmcourse\.localhost:\d+/" + re.escape(path.lstrip("/")), place), (host, path)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            status, _, text = ask(host, "/hub/login", method)
            assert status == 404 and text != "the hub", (host, method)
