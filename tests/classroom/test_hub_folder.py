"""The hub's class folder: accounts that stay, homes that lead nowhere else, names that are names."""

import asyncio
import re
from types import SimpleNamespace

import pytest

pytest.importorskip("jupyterhub")

from mmcourse.classroom import hub


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


def test_a_roster_as_a_spreadsheet_saves_it_is_read_and_a_fault_is_named_by_its_line(tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_bytes("\ufeffName;Student\r\nAda L.; ada \r\n\r\nBen;ben\r\n".encode())
    assert hub.names("", tmp_path) == ["ada", "ben"]
    roster.write_text('student\n"ada\nben\n')
    with pytest.raises(ValueError, match="line 2: a quotation mark is not closed"):
        hub.names("", tmp_path)
    roster.write_text("name\nada\n")
    with pytest.raises(ValueError, match="expected a column 'student'"):
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
