"""Every fault ends in verified data or in one clear error, and nothing half-written carries a final name."""

from __future__ import annotations

import base64
import errno
import gzip
import hashlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import traceback
import tracemalloc
import types
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from loopback import forever, say, serve, serve_raw

from mmcourse.datasets import download, public
from mmcourse.datasets.download import DownloadError, fetch

BODY = np.random.default_rng(0).bytes(300_000)
SHA, SIZE = hashlib.sha256(BODY).hexdigest(), len(BODY)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A fresh cache, no mirror, no waiting between attempts."""
    for name in ("MMCOURSE_MIRROR", "MMCOURSE_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("MMCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    return tmp_path / "cache"


def get(*urls, **options):
    return fetch("a.bin", list(urls), **{"sha256": SHA, "size": SIZE, **options})


def contents(cache: Path) -> list[str]:
    """All files in the cache but the locks, which hold nothing."""
    files = (path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")
    return sorted(str(path.relative_to(cache)) for path in files)


def one_line(error: pytest.ExceptionInfo, *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/a.bin"


# ---- downloads that end well --------------------------------------------------------------------------------------


def test_fresh_download_then_none(cache):
    seen = []
    with serve(files={"a.bin": BODY}) as server:
        path = get(f"{server.url}/a.bin", progress=lambda done, total: seen.append((done, total)))
        assert path.read_bytes() == BODY and path == cache / "a.bin"
        get(f"{server.url}/a.bin")
        assert len(server.log) == 1, "a verified file is not fetched again"
    assert seen[-1] == (SIZE, SIZE) and all(total == SIZE for _, total in seen)
    assert [f for f in contents(cache) if not f.startswith(".incomplete")] == ["a.bin"]
    assert not (cache / ".incomplete" / "a.bin.part").exists()


def test_resume_within_a_call_fetches_only_the_rest():
    with serve(files={"a.bin": BODY}, cut_after={"a.bin": [100_000, 50_000]}) as server:
        assert get(f"{server.url}/a.bin").read_bytes() == BODY
        assert [(status, sent) for _, _, status, sent in server.log] == [(200, 100_000), (206, 50_000), (206, 150_000)]
        assert [wanted for _, wanted, _, _ in server.log] == [None, "bytes=100000-", "bytes=150000-"]


def test_resume_in_a_later_call(cache, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with serve(files={"a.bin": BODY}, cut_after={"a.bin": [120_000]}) as server:
        with pytest.raises(DownloadError) as error:
            get(f"{server.url}/a.bin")
        one_line(error, "cut after 120000 of 300000 bytes", "120000 bytes are kept and will be resumed")
        assert not (cache / "a.bin").exists()
        assert get(f"{server.url}/a.bin").read_bytes() == BODY
        assert server.log[1][1:] == ("bytes=120000-", 206, 180_000)


@pytest.mark.parametrize("trouble", ["no ranges", "no tags", "file changed"])
def test_restart_where_bytes_must_not_be_appended(trouble, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with serve(files={"a.bin": BODY}, cut_after={"a.bin": [120_000]}, tags=trouble != "no tags") as server:
        server.ranges = trouble != "no ranges"
        if trouble == "file changed":
            server.files["a.bin"] = bytes(SIZE)
        with pytest.raises(DownloadError):
            get(f"{server.url}/a.bin")
        server.files["a.bin"] = BODY
        assert get(f"{server.url}/a.bin").read_bytes() == BODY
        assert server.log[-1][2:] == (200, SIZE)


def test_whole_part_left_by_a_crash_needs_no_request(cache):
    (cache / ".incomplete").mkdir(parents=True)
    (cache / ".incomplete" / "a.bin.part").write_bytes(BODY)
    (cache / ".incomplete" / "a.bin.part.version").write_text('"tag"')
    assert get(closed_port()).read_bytes() == BODY


def test_second_home_is_tried_and_a_damaged_file_is_replaced(cache):
    with serve(files={"a.bin": BODY, "bad/a.bin": BODY[:-1] + b"!"}) as server:
        cache.mkdir()
        (cache / "a.bin").write_bytes(BODY[: SIZE // 2])
        path = get(closed_port(), f"{server.url}/none/a.bin", f"{server.url}/bad/a.bin", f"{server.url}/a.bin")
        assert path.read_bytes() == BODY


def test_mirror_replaces_the_public_homes(monkeypatch):
    with serve(files={"deep/a.bin": BODY}) as server:
        monkeypatch.setenv("MMCOURSE_MIRROR", f"{closed_port()} {server.url}/deep/")
        assert get("https://example.invalid/a.bin").read_bytes() == BODY


# ---- downloads that end in one clear error ------------------------------------------------------------------------


def test_wrong_checksum_deletes_the_bytes(cache):
    with serve(files={"a.bin": bytes(SIZE)}) as server, pytest.raises(DownloadError) as error:
        get(f"{server.url}/a.bin")
    got = hashlib.sha256(bytes(SIZE)).hexdigest()
    one_line(error, "wrong checksum", SHA[:12], got[:12], "deleted", "MMCOURSE_MIRROR", "mmcourse data fetch")
    assert contents(cache) == []


def test_short_file_is_refused(cache):
    with serve(files={"a.bin": BODY[:1000]}) as server, pytest.raises(DownloadError) as error:
        get(f"{server.url}/a.bin")
    one_line(error, "expected 300000 bytes, got 1000")
    assert contents(cache) == []


def test_not_found(cache):
    with serve() as server, pytest.raises(DownloadError) as error:
        get(f"{server.url}/a.bin")
    one_line(error, "the server answered 404 Not Found", "mmcourse data fetch")
    assert contents(cache) == []


def test_no_network(cache):
    with pytest.raises(DownloadError) as error:
        get(closed_port())
    one_line(error, "no connection (Connection refused)", "Check the network")
    assert contents(cache) == []


def test_offline_refuses_before_any_request(cache, monkeypatch):
    monkeypatch.setenv("MMCOURSE_OFFLINE", "1")
    with serve(files={"a.bin": BODY}) as server:
        with pytest.raises(DownloadError) as error:
            get(f"{server.url}/a.bin")
        assert server.log == []
    one_line(error, "MMCOURSE_OFFLINE is set", "unset it")
    assert contents(cache) == []


def test_disk_full_before_the_first_byte(cache, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with serve(files={"a.bin": BODY}) as server:
        with pytest.raises(DownloadError) as error:
            get(f"{server.url}/a.bin")
        assert server.log == []
    one_line(error, "the disk is full", str(cache), "0.3 MB are needed", "0.0 MB are free", "MMCOURSE_CACHE")
    assert contents(cache) == []


def test_disk_full_in_the_middle(cache, monkeypatch):
    real_open = open

    class Full(io.FileIO):
        def write(self, data):
            if self.tell() > 100_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(
        download, "open", lambda p, mode="r", **k: (Full if mode == "wb" else real_open)(p, mode, **k), raising=False
    )
    with serve(files={"a.bin": BODY}) as server, pytest.raises(DownloadError) as error:
        get(f"{server.url}/a.bin")
    one_line(error, "the disk is full", "0.3 MB are needed", str(cache), "free some space")
    assert contents(cache) == [], "the part makes room again"


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MMCOURSE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DownloadError) as error:
        get(closed_port())
    one_line(error, "cannot write to", "set MMCOURSE_CACHE to a folder")


def test_other_schemes_are_refused(monkeypatch):
    monkeypatch.setenv("MMCOURSE_MIRROR", "file:///etc")
    with pytest.raises(DownloadError, match="expected an http:// or https:// address in MMCOURSE_MIRROR"):
        get("https://example.invalid/a.bin")


# ---- servers that mean harm ---------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("head", [OK, OK + b"Content-Length: 300000\r\n", OK + b"Transfer-Encoding: chunked\r\n"])
def test_a_server_that_never_ends_stops_at_the_known_size(cache, head):
    piece = b"10000\r\n" + bytes(65536) + b"\r\n" if b"chunked" in head else bytes(65536)
    with serve_raw(forever(head + b"\r\n", piece)) as url, pytest.raises(DownloadError) as error:
        get(f"{url}/a.bin")
    words = "wrong checksum" if b"Length" in head else "it sends more than the 300000 bytes expected, deleted"
    one_line(error, words, "mmcourse data fetch")
    assert sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) == 0


def test_a_server_that_never_ends_stops_at_a_limit_where_the_size_is_not_known(cache, monkeypatch):
    with serve_raw(forever(OK + b"\r\n", bytes(1 << 20))) as url, pytest.raises(DownloadError) as error:
        archive_source(url).fetch()
    one_line(error, "sends more than the 16777216 bytes expected")
    assert contents(cache) == []


@pytest.mark.parametrize("length", [b"300001", b"99999999999999"])
def test_a_longer_file_is_refused_before_its_first_byte(cache, length):
    with serve_raw(say(OK + b"Content-Length: " + length + b"\r\n\r\n", BODY)) as url:
        with pytest.raises(DownloadError) as error:
            get(f"{url}/a.bin")
    one_line(error, f"it offers {length.decode()} bytes, more than the 300000 expected")
    assert contents(cache) == []


def test_a_resumed_file_is_held_to_the_same_size(cache, monkeypatch):
    (cache / ".incomplete").mkdir(parents=True)
    (cache / ".incomplete" / "a.bin.part").write_bytes(BODY[:200_000])
    (cache / ".incomplete" / "a.bin.part.version").write_text('"tag"')
    head = b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 200000-299999/300000\r\n\r\n"
    with serve_raw(forever(head, bytes(65536))) as url, pytest.raises(DownloadError) as error:
        get(f"{url}/a.bin")
    one_line(error, "it sends more than the 300000 bytes expected, deleted")


SLOW = {
    "body": forever(OK + b"Content-Length: 300000\r\n\r\n", b"x", 0.02),
    "body of unknown length": forever(OK + b"\r\n", b"x", 0.02),
    "chunk": forever(OK + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n", b"x", 0.02),
    "headers": forever(OK, b"X", 0.02),
    "status line": forever(b"HTTP/1.1 200 ", b"O", 0.02),
    "100 Continue": forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
    "silence": forever(b"", b"", 0.02),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_drip_ends_at_a_deadline_and_frees_the_lock(cache, monkeypatch, name):
    monkeypatch.setattr(download, "seconds_allowed", lambda size: 0.6)
    with serve_raw(SLOW[name]) as url, serve(files={"a.bin": BODY}) as good:
        start = time.monotonic()
        with pytest.raises(DownloadError) as error:
            get(f"{url}/a.bin")
        assert time.monotonic() - start < 5
        one_line(error, "too slow: ", "after 1 s", "mmcourse data fetch")
        with download.file_lock(cache, "a.bin"):  # at once
            pass
        start = time.monotonic()
        assert get(f"{url}/a.bin", f"{good.url}/a.bin").read_bytes() == BODY  # the next address has its own time
        assert time.monotonic() - start < 5


def test_the_deadline_comes_from_the_size():
    assert download.seconds_allowed(0) == 60 and download.seconds_allowed(2_000_000) == 160
    assert download.seconds_allowed(public.FSDD.bytes) < 1_000


ESCAPES = b"\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b1A\r"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 " + ESCAPES + b" go away\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: gopher://" + ESCAPES + b"/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[" + ESCAPES + b"\r\n\r\n",
        OK + b"Content-Length: " + ESCAPES + b"\r\n\r\n",
        ESCAPES + b"\r\n\r\n",
        b"HTTP/1.1 999" + ESCAPES + b"\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + ESCAPES + b"\r\n",
    ],
)
def test_no_word_of_a_server_acts_on_the_terminal(cache, answer):
    with serve_raw(say(answer)) as url, pytest.raises(DownloadError) as error:
        get(f"{url}/a.bin")
    one_line(error, "could not fetch a.bin", "mmcourse data fetch")
    assert str(error.value).isprintable()


def test_no_name_in_an_archive_acts_on_the_terminal():
    body = tar_gz([member("../\x1b[2J\u202eevil\n.wav")])
    with serve(files={"set.tar.gz": body}) as server, pytest.raises(DownloadError) as error:
        archive_source(server.url).fetch()
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\r\n\r\n", b"SMTP ready\r\n", OK + b"Content-Length: -5\r\n\r\nx", OK + b"Content-Length: 1e3\r\n\r\nx",
        OK + b"Content-Length: 300000\r\n\r\n", OK + b"X: y\r\n" * 200 + b"\r\n", OK + b"X" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /a.bin\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: http://\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", b"HTTP/1.1 302 Found\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/a.bin\r\n\r\n", b"HTTP/1.1 401 No\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999/\r\n\r\n", b"HTTP/1.1 206 Partial\r\n\r\nx",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc",
        b"HTTP/1.1 416 No\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 500 x\r\n\r\n",
    ],
)  # fmt: skip
def test_every_answer_but_the_file_is_one_error(answer):
    with serve_raw(say(answer)) as url, pytest.raises(DownloadError) as error:
        get(f"{url}/a.bin")
    one_line(error, "could not fetch a.bin: 127.0.0.1:", "mmcourse data fetch")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("tag", [b'"' + b"x" * 5000 + b'"', b'"\xff\xfe"', b'"\x1b[2J"', b"W/weak"])
def test_an_odd_version_is_sent_back_only_if_it_can_be(tag):
    head = OK + b"ETag: " + tag + b"\r\nContent-Length: 300000\r\n\r\n"
    with serve_raw(say(head, BODY[:1000]), say(head, BODY)) as url:
        try:
            assert get(f"{url}/a.bin").read_bytes() == BODY
        except DownloadError:
            assert get(f"{url}/a.bin").read_bytes() == BODY


@pytest.mark.parametrize(
    "base",
    [
        "http://", "http:///folder", "http://[::1", "http://host:port", "http://host:99999", "http://host:0", "//host",
        "ftp://host", "file:///etc", "javascript:alert(1)", "host/folder", "http://a..b", f"http://{'x' * 70}.org",
        "http://\x1b[2J", "http://user:secret@", "data:,x", "HTTP:/host", "http://?x", "http://\u202ehost",
    ],
)  # fmt: skip
def test_a_bad_address_is_one_error(monkeypatch, base):
    monkeypatch.setenv("MMCOURSE_MIRROR", base)
    with pytest.raises(DownloadError) as error:
        get("https://example.invalid/a.bin")
    one_line(error, "expected an http:// or https:// address in MMCOURSE_MIRROR")
    assert str(error.value).isprintable() and "secret" not in str(error.value)


@pytest.mark.parametrize("password", ["s3cret-word", "p%40ss%3Aword", "%1b[2Jhidden"])
@pytest.mark.parametrize("trouble", ["closed", "refused", "echoed", "bad port", "bad scheme", "wrong file", "offline"])
def test_the_password_of_a_mirror_is_never_printed(monkeypatch, capfd, password, trouble):
    plain = unquote(password)
    echo = f"HTTP/1.1 401 {password} {plain}\r\n\r\n".encode() if "\x1b" not in plain else b"HTTP/1.1 401 x\r\n\r\n"
    answers = {"echoed": echo, "refused": b"HTTP/1.1 401 Unauthorized\r\n\r\n", "wrong file": OK + b"\r\nx"}
    with serve_raw(say(answers.get(trouble, b""))) as url:
        host = {"closed": closed_port().split("/")[2], "bad port": "host:99999"}.get(trouble, url.split("/")[2])
        scheme = "ftp" if trouble == "bad scheme" else "http"
        monkeypatch.setenv("MMCOURSE_MIRROR", f"{scheme}://ada:{password}@{host}/x")
        if trouble == "offline":
            monkeypatch.setenv("MMCOURSE_OFFLINE", "1")
        with pytest.raises(DownloadError) as error:
            get("https://example.invalid/a.bin")
    printed = "".join(traceback.format_exception(error.value)) + "".join(capfd.readouterr())
    assert password not in printed and plain not in printed and "ada" not in str(error.value)
    assert error.value.__cause__ is None


def test_the_user_of_a_mirror_signs_in_there_and_nowhere_else(monkeypatch):
    with serve(files={"x/a.bin": BODY}) as other:
        other_requests = other.requests
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {other.url}/x/a.bin\r\n\r\n".encode()
        with serve(files={}) as first:
            first.answers["x/a.bin"] = redirect
            monkeypatch.setenv("MMCOURSE_MIRROR", first.url.replace("http://", "http://ada:p%40ss@") + "/x")
            assert get("https://example.invalid/a.bin").read_bytes() == BODY
            seen = first.requests
    assert [h.get("Authorization") for h in seen] == ["Basic " + base64.b64encode(b"ada:p@ss").decode()]
    assert [h.get("Authorization") for h in other_requests] == [None]


@pytest.mark.parametrize("value, is_offline", [("1", True), ("yes", True), ("0", False), ("false", False), ("", False)])
def test_offline_is_said_in_the_usual_words(monkeypatch, value, is_offline):
    monkeypatch.setenv("MMCOURSE_OFFLINE", value)
    assert download.offline() is is_offline


# ---- links in the cache -------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("kind", ["symbolic", "hard"])
@pytest.mark.parametrize("suffix", [".part", ".part.version"])
def test_a_link_in_place_of_unfinished_work_is_not_followed(cache, tmp_path, kind, suffix):
    precious = tmp_path / "thesis.txt"
    precious.write_text("do not touch")
    (cache / ".incomplete").mkdir(parents=True)
    link = cache / ".incomplete" / f"a.bin{suffix}"
    (os.symlink if kind == "symbolic" else os.link)(precious, link)
    with serve(files={"a.bin": BODY}) as server:
        assert get(f"{server.url}/a.bin").read_bytes() == BODY
    assert precious.read_text() == "do not touch"
    assert not (cache / "a.bin").is_symlink() and (cache / "a.bin").stat().st_nlink == 1


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_other_links_are_not_followed_either(cache, tmp_path):
    precious = tmp_path / "thesis.txt"
    precious.write_text("do not touch")
    cache.mkdir()
    (cache / "a.bin").symlink_to(precious)  # in the file's own place: replaced
    with serve(files={"a.bin": BODY, "set.tar.gz": tar_gz()}) as server:
        assert get(f"{server.url}/a.bin").read_bytes() == BODY and not (cache / "a.bin").is_symlink()
        (cache / "a.bin").unlink()
        (cache / ".incomplete" / "a.bin.lock").unlink()
        (cache / ".incomplete" / "a.bin.lock").symlink_to(tmp_path / "new")
        with pytest.raises(DownloadError, match="a.bin.lock is a link, which is not followed; remove it"):
            get(f"{server.url}/a.bin")
        assert not (tmp_path / "new").exists()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "0_ann_0.wav").write_text("do not touch")
        for place in (cache / "set", cache / ".incomplete" / "set", cache / ".incomplete" / "set.old"):
            place.symlink_to(elsewhere)
        assert archive_source(server.url).fetch().is_dir() and not (cache / "set").is_symlink()
        assert [path.read_text() for path in elsewhere.iterdir()] == ["do not touch"]
        shutil.rmtree(cache)
        cache.mkdir()
        (cache / ".incomplete").symlink_to(elsewhere)
        with pytest.raises(DownloadError, match="is a link, which is not followed; remove it"):
            get(f"{server.url}/a.bin")
    assert precious.read_text() == "do not touch" and len(list(elsewhere.iterdir())) == 1


# ---- archives -----------------------------------------------------------------------------------------------------

WAVS = {f"{i}_ann_0.wav": np.random.default_rng(i).bytes(5000) for i in range(8)}


def tar_gz(extra: list[tarfile.TarInfo] = (), files: dict[str, bytes] = WAVS) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(f"set-1.0/recordings/{name}")
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        for info in extra:
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return out.getvalue()


def archive_source(url: str) -> public.Archive:
    manifest = {name: hashlib.sha256(body).hexdigest() for name, body in WAVS.items()}
    return public.Archive("set", "", "", 0, (f"{url}/set.tar.gz",), lambda: manifest, "set.tar.gz")


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 3 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize("chunked", [False, True])
def test_archive_is_verified_by_its_members(cache, chunked):
    with serve(files={"set.tar.gz": tar_gz([member("set-1.0/README.md")])}, chunked=chunked) as server:
        source = archive_source(server.url)
        assert not source.present() and len(source.verify()) == len(WAVS)
        folder = source.fetch()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == WAVS
        assert source.present() and source.verify() == []
        source.fetch()
        assert len(server.log) == 1
        (folder / "3_ann_0.wav").write_bytes(b"damaged")
        assert source.present() and [p for p in source.verify() if "3_ann_0.wav wrong checksum" in p]
        source.fetch()
        assert source.verify() == []
    assert contents(cache) == sorted(f"set/{name}" for name in WAVS)


@pytest.mark.parametrize(
    ("evil", "words"),
    [
        (member("../evil.wav"), "'../evil.wav' would leave the folder"),
        (member("set-1.0/../../evil.wav"), "would leave the folder"),
        (member("set-1.0\\..\\..\\evil.wav"), "would leave the folder"),
        (member("/tmp/evil.wav"), "would leave the folder"),
        (member("C:\\evil.wav"), "would leave the folder"),
        (member("set-1.0/recordings/9_ann_0.wav", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a device"),
        (member("set-1.0/recordings/9_ann_0.wav", tarfile.LNKTYPE, "set-1.0/x"), "is a link or a device"),
        (member("set-1.0/recordings/pipe", tarfile.FIFOTYPE), "is a link or a device"),
    ],
)
def test_unsafe_archive_is_refused_whole(cache, tmp_path, evil, words):
    with serve(files={"set.tar.gz": tar_gz([evil])}) as server, pytest.raises(DownloadError) as error:
        archive_source(server.url).fetch()
    one_line(error, "set.tar.gz was refused and deleted", words)
    assert contents(cache) == [] and sorted(p.name for p in tmp_path.rglob("*")) == [
        ".incomplete", "cache", "set.lock"
    ]  # fmt: skip


def test_truncated_gzip(cache):
    whole = tar_gz()
    for length in (10, len(whole) // 2, len(whole) * 9 // 10):
        with serve(files={"set.tar.gz": whole[:length]}) as server, pytest.raises(DownloadError) as error:
            archive_source(server.url).fetch()
        one_line(error, "set.tar.gz is damaged or cut short", "deleted", "mmcourse data fetch")
        assert contents(cache) == [] and not (cache / "set").exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>please log in</html>", "damaged or cut short"),
        (gzip.compress(b"not a tar" * 1000), "damaged or cut short"),
        (tar_gz(files={name: WAVS[name] for name in list(WAVS)[:5]}), "lacks 3 of 8 files, 5_ann_0.wav first"),
        (tar_gz(files={**WAVS, "2_ann_0.wav": bytes(5000)}), "2_ann_0.wav in set.tar.gz: wrong checksum"),
    ],
    ids=["login page", "not a tar", "files missing", "one file changed"],
)
def test_archive_that_is_another(cache, body, words):
    with serve(files={"set.tar.gz": body}) as server, pytest.raises(DownloadError) as error:
        archive_source(server.url).fetch()
    one_line(error, words, "deleted")
    assert contents(cache) == []


def test_disk_full_while_unpacking(cache, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(public.shutil, "copyfileobj", full)
    with serve(files={"set.tar.gz": tar_gz()}) as server, pytest.raises(DownloadError) as error:
        archive_source(server.url).fetch()
    one_line(error, "the disk is full", "set.tar.gz does not fit in", "MB are needed")
    assert contents(cache) == [] and not (cache / "set").exists()


def test_cut_archive_of_unknown_length_is_resumed():
    body = tar_gz()
    with serve(files={"set.tar.gz": body}, cut_after={"set.tar.gz": [20_000]}, chunked=True) as server:
        assert archive_source(server.url).fetch()
        assert [entry[1:] for entry in server.log] == [(None, 200, 20_000), ("bytes=20000-", 206, len(body) - 20_000)]


def test_archive_bomb_is_refused(cache, monkeypatch):
    monkeypatch.setattr(public, "MAX_UNPACKED_BYTES", 20_000)
    with serve(files={"set.tar.gz": tar_gz()}) as server, pytest.raises(DownloadError, match="unpacks to more than"):
        archive_source(server.url).fetch()
    assert contents(cache) == []


def block(name, kind, body=b"", size=None):
    """One header of a tar archive and what follows it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(body) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % 512)


def pax(records):
    body = b""
    for key, value in records:
        line = f" {key}={value}\n".encode()
        length = len(line) + len(str(len(line) + 2))
        body += str(length).encode() + line
    return body


FLOODS = {
    "global headers": (pax([(f"k{i}", "v" * 20) for i in range(1_500)]), tarfile.XGLTYPE, 50),
    "one long header": (pax([("comment", "x" * 60_000_000)]), tarfile.XHDTYPE, 1),
    "one long name": (b"x" * 60_000_000, tarfile.GNUTYPE_LONGNAME, 1),
    "names of names": (b"short", tarfile.GNUTYPE_LONGNAME, 20_000),
    "empty members": (b"", tarfile.REGTYPE, 6_000),
    "folders": (b"", tarfile.DIRTYPE, 6_000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_headers_is_refused_in_little_memory(cache, monkeypatch, name):
    body, kind, repeats = FLOODS[name]
    if not body:
        monkeypatch.setattr(public, "MAX_MEMBERS", 2_000)  # tracing memory makes each member slow
    monkeypatch.setattr(public, "MAX_HEADER_BYTES", 1_500_000)
    one = block("g", kind, body)
    if kind == tarfile.XGLTYPE:
        one += block("x", tarfile.REGTYPE)
    packed = gzip.compress(one * repeats + bytes(1024), 1)
    del body, one
    with serve(files={"set.tar.gz": packed}) as server:
        tracemalloc.start()
        with pytest.raises(DownloadError) as error:
            archive_source(server.url).fetch()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    one_line(error, "set.tar.gz", "deleted")
    assert peak < 60e6, f"{peak / 1e6:.0f} MB"
    assert contents(cache) == []


def test_a_sparse_member_and_a_false_size_are_refused(cache):
    for body in (
        block("set/0_ann_0.wav", tarfile.GNUTYPE_SPARSE, bytes(512)),
        block("a", tarfile.REGTYPE, size=10**12),
    ):
        with serve(files={"set.tar.gz": gzip.compress(body + bytes(1024))}) as server:
            with pytest.raises(DownloadError) as error:
                archive_source(server.url).fetch()
        one_line(error, "deleted")
        assert contents(cache) == []


def test_a_bomb_that_is_no_archive_is_refused_early(cache):
    packed = gzip.compress(bytes(300_000_000), 1)  # zeros are the end of an archive, so it lacks its files
    with serve(files={"set.tar.gz": packed}) as server, pytest.raises(DownloadError, match="lacks 8 of 8"):
        archive_source(server.url).fetch()


def test_a_failed_refetch_keeps_what_was_there(cache):
    with serve(files={"set.tar.gz": tar_gz()}) as server:
        folder = archive_source(server.url).fetch()
        (folder / "0_ann_0.wav").write_bytes(b"damaged")
        server.files["set.tar.gz"] = tar_gz([member("../evil.wav")])
        with pytest.raises(DownloadError):
            archive_source(server.url).fetch()
        assert (folder / "1_ann_0.wav").read_bytes() == WAVS["1_ann_0.wav"]


# ---- two processes ------------------------------------------------------------------------------------------------

FETCH = """
import sys
from mmcourse.datasets.public import Files
from mmcourse.datasets import download
urls, sha, size = sys.argv[1].split(), sys.argv[2], int(sys.argv[3])
print(Files("set", "", "", size, tuple(urls), lambda: {"a.bin": sha}, sizes=(size,)).fetch())
"""


def start(url: str, cache: Path) -> subprocess.Popen:
    environment = {**os.environ, "MMCOURSE_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, url, SHA, str(SIZE)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_two_processes_fetch_once(cache):
    with serve(files={"a.bin": BODY}) as server:
        both = [start(server.url, cache) for _ in range(2)]
        answers = [process.communicate(timeout=60) for process in both]
        assert [process.returncode for process in both] == [0, 0], answers
        assert len(server.log) == 1, "the second waits, then finds the first one's file"
    assert (cache / "set" / "a.bin").read_bytes() == BODY
    assert not list(cache.rglob("*.part"))


def test_two_processes_unpack_once(cache):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\nfrom test_download import archive_source\n"
        "print(archive_source(sys.argv[2]).fetch())"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    with serve(files={"set.tar.gz": tar_gz()}) as server:
        both = [subprocess.Popen([*command, server.url], stdout=subprocess.PIPE, text=True) for _ in range(2)]
        answers = [process.communicate(timeout=60)[0].strip() for process in both]
        assert answers == [str(cache / "set")] * 2 and len(server.log) == 1
    assert {path.name: path.read_bytes() for path in (cache / "set").iterdir()} == WAVS


def test_killed_process_leaves_no_lock_behind(cache):
    with serve(files={"a.bin": BODY}) as server:
        holder = subprocess.Popen(
            [sys.executable, "-c", "import sys, time, pathlib\nfrom mmcourse.datasets.download import file_lock\n"
             "with file_lock(pathlib.Path(sys.argv[1]), 'a.bin'):\n    print('held', flush=True); time.sleep(60)",
             str(cache)], stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert holder.stdout.readline() == "held\n"
        download_patience, download.LOCK_PATIENCE = download.LOCK_PATIENCE, 0.0
        try:
            with pytest.raises(DownloadError, match="another process has been fetching a.bin"):
                get(f"{server.url}/a.bin")
        finally:
            download.LOCK_PATIENCE = download_patience
            holder.kill()
            holder.communicate()
        assert get(f"{server.url}/a.bin").read_bytes() == BODY
