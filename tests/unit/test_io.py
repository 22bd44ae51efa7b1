"""Files are written completely or not at all; planted links are not followed; private files are so from the start."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmcourse import io


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("data", ["text, ü\n", b"\x00bytes"])
def test_text_and_bytes_arrive_and_nothing_else_is_left(tmp_path, data):
    io.atomic_write(tmp_path / "file", "old")
    io.atomic_write(tmp_path / "file", data)
    assert (tmp_path / "file").read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert names(tmp_path) == {"file"}


def test_an_error_inside_the_block_keeps_the_old_file(tmp_path):
    io.atomic_write(tmp_path / "file", "old")
    with pytest.raises(KeyboardInterrupt), io.atomic_open(tmp_path / "file") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), io.atomic_path(tmp_path / "file") as part:
        part.write_bytes(b"half")
        raise KeyboardInterrupt
    with pytest.raises(UnicodeEncodeError):
        io.atomic_write(tmp_path / "file", "\ud800")
    assert (tmp_path / "file").read_text() == "old" and names(tmp_path) == {"file"}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch, step):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    io.atomic_write(tmp_path / "file", "old")
    monkeypatch.setattr(io.os, step, full)
    with pytest.raises(OSError, match="No space left"):
        io.atomic_write(tmp_path / "file", "new")
    monkeypatch.undo()
    assert (tmp_path / "file").read_text() == "old" and names(tmp_path) == {"file"}


def test_links_are_replaced_not_followed(tmp_path):
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    io.atomic_write(tmp_path / "link", "new")
    with io.atomic_path(tmp_path / "link.keras") as part:
        assert part.suffix == ".keras"
        part.write_text("new")
    assert (tmp_path / "kept").read_text() == "kept"
    assert not (tmp_path / "link").is_symlink() and (tmp_path / "link").read_text() == "new"


def test_a_planted_temporary_file_is_not_followed(tmp_path, monkeypatch):
    """Even somebody who guesses the random name gains nothing."""
    (tmp_path / "kept").write_text("kept")
    (tmp_path / ".file.guessed.part").symlink_to(tmp_path / "kept")
    monkeypatch.setattr(io.secrets, "token_hex", lambda _: "guessed")
    with pytest.raises(FileExistsError):
        io.atomic_write(tmp_path / "file", "new")
    assert (tmp_path / "kept").read_text() == "kept" and not (tmp_path / "file").exists()


def test_private_files_and_folders_are_private_from_the_first_byte(tmp_path):
    before = os.umask(0)
    try:
        with io.atomic_open(tmp_path / "file", private=True) as file:
            (part,) = tmp_path.iterdir()
            assert part.stat().st_mode & 0o777 == 0o600
            file.write(b"grades")
        with io.atomic_path(tmp_path / "model", private=True) as part:
            assert part.parent.stat().st_mode & 0o077 == 0
            part.write_bytes(b"weights")
        io.atomic_write(tmp_path / "public", "page")
        (tmp_path / "wide").mkdir(mode=0o777)
        folders = [io.private_folder(tmp_path / name) for name in ("new", "wide", "deep/new")]
    finally:
        os.umask(before)
    assert [(tmp_path / x).stat().st_mode & 0o777 for x in ("file", "model", "public")] == [0o600, 0o600, 0o666]
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


def test_a_private_folder_is_neither_a_link_nor_a_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").write_text("")
    for name, kind in {"link": "a link", "file": "a file"}.items():
        with pytest.raises(NotADirectoryError, match=kind):
            io.private_folder(tmp_path / name)


def test_a_folder_descriptor_leads_to_the_folder_that_was_opened(tmp_path):
    (tmp_path / "box").mkdir()
    (tmp_path / "other").mkdir()
    handle = os.open(tmp_path / "box", os.O_RDONLY)
    try:
        (tmp_path / "box").rename(tmp_path / "moved")
        (tmp_path / "box").symlink_to(tmp_path / "other")
        io.atomic_write("page.html", "mine", dir_fd=handle)
    finally:
        os.close(handle)
    assert names(tmp_path / "moved") == {"page.html"} and not names(tmp_path / "other")


def test_two_writers_at_once_leave_one_whole_file(tmp_path):
    with io.atomic_open(tmp_path / "file") as first:
        first.write(b"first")
        io.atomic_write(tmp_path / "file", b"second, longer")
        assert (tmp_path / "file").read_bytes() == b"second, longer"
    assert (tmp_path / "file").read_bytes() == b"first" and names(tmp_path) == {"file"}


def test_a_very_long_name_still_fits(tmp_path):
    io.atomic_write(tmp_path / ("x" * 250), "text")
    with io.atomic_path(tmp_path / ("ü" * 125)) as part:
        part.write_text("text")
    assert {len(name.encode()) for name in names(tmp_path)} == {250}


def test_what_a_killed_process_left_is_removed_when_it_is_old(tmp_path):
    code = "import sys, time\nfrom mmcourse.io import atomic_open\nwith atomic_open(sys.argv[1]) as file:\n"
    code += "    file.write(b'half'); file.flush(); print(flush=True); time.sleep(60)"
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "file")], stdout=subprocess.PIPE)
    assert writer.stdout and writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    (left,) = tmp_path.iterdir()
    (tmp_path / ".link.0.part").symlink_to(tmp_path / "mine")
    (tmp_path / "mine.part").write_text("no temporary file")
    io.remove_stale_parts(tmp_path)
    assert left.exists(), "it may belong to a process that still writes"
    old = time.time() - 2 * io.STALE_SECONDS
    for path in (left, tmp_path / "mine.part"):
        os.utime(path, (old, old))
    io.remove_stale_parts(tmp_path)
    io.remove_stale_parts(tmp_path / "nowhere")
    assert names(tmp_path) == {".link.0.part", "mine.part"}
