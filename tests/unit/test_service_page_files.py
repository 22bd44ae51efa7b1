"""The service's pages as files: up to date, in both languages, nothing inline, nothing from elsewhere; hashes."""

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import tomllib

import pytest

from mmcourse.serve import page
from mmcourse.serve.page import make_pages, vendor

SCRIPTS = sorted(path.name for path in page.FOLDER.glob("*.js"))
HTML = sorted(path.name for path in page.FOLDER.glob("*.html"))


@pytest.mark.parametrize("name", make_pages.files())
def test_what_make_pages_writes_is_up_to_date(name):
    written = (page.FOLDER / name).read_text(encoding="utf-8")
    made = make_pages.files()[name]
    if name.endswith(".json"):
        written, made = json.loads(written), json.loads(made)
    if name == "preprocess.json":  # sums round differently from machine to machine
        assert written["voice"].pop("spread") == pytest.approx(made["voice"].pop("spread"), rel=1e-5)
    assert written == made, "run python -m mmcourse.serve.page.make_pages"


def test_every_text_is_there_in_both_languages_with_the_same_blanks():
    texts = tomllib.loads((page.FOLDER / "texts.toml").read_text(encoding="utf-8"))
    for key, values in texts.items():
        assert set(values) == {"en", "zh"} and all(values.values()), key
        blanks = [sorted(re.findall(r"\{\w+\}", value)) for value in values.values()]
        assert blanks[0] == blanks[1], key
        assert values["en"].count("|") == values["zh"].count("|"), key
    templates = set(make_pages.TEMPLATES.values())
    written = "".join((page.FOLDER / name).read_text(encoding="utf-8") for name in templates)
    code = "".join((page.FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    used = set(re.findall(r"\bt\.(\w+)", written)) | set(re.findall(r"\b(js_[a-z_]*[a-z])\b", code))
    asked = used | {f"color_{name}" for name in ("mouth", "dark", "skin", "light")}
    asked |= {"negative", "neutral", "positive", "js_words", "js_face", "js_voice"}
    assert asked == set(texts), asked ^ set(texts)


@pytest.mark.parametrize("name", [*HTML, *SCRIPTS, "style.css", "page.html.jinja", "ask.html.jinja"])
def test_nothing_is_inline_and_nothing_comes_from_another_host(name):
    text = (page.FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(r"https?:(?!//www\.w3\.org/)|[\"'(]//", text), "an address of another host"
    assert not re.search(r"\son\w+=|\sstyle=|javascript:|\beval\(|new Function|innerHTML|document\.write", text)
    for attributes, content in re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL):
        assert not content or 'type="application/json"' in attributes
    assert "<style" not in text


def test_policies_allow_this_host_alone_and_webassembly_on_one_page():
    assert set(page.CSP) == set(HTML)
    for name, policy in page.CSP.items():
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'self'" and rules["form-action"] == "'self'"
        assert rules["frame-ancestors"] == rules["base-uri"] == rules["object-src"] == "'none'"
        assert ("wasm-unsafe-eval" in policy) == name.startswith("browser")
        assert "unsafe-inline" not in policy and "'unsafe-eval'" not in policy and "*" not in policy


def test_only_what_a_reader_needs_is_served():
    served = {path.name for path in page.FOLDER.iterdir() if page.find(path.name)}
    assert served == {*SCRIPTS, *HTML, "icon.svg", "style.css", "preprocess.json", "stand_ins.json"} - {"answer.html"}
    hostile = (
        "../app.py",
        "..",
        "",
        ".",
        "__init__.py",
        "vendor.py",
        "a/b.js",
        "..\\x.js",
        "/etc/passwd",
        "texts.toml",
    )
    assert not [name for name in (*hostile, "texts.toml", "web.lock.json") if page.find(name)]
    assert all(page.media_type(name) for name in [*served, *vendor.names()])
    assert page.media_type("x.wasm") == "application/wasm" and "javascript" in page.media_type("x.mjs")


@pytest.mark.parametrize("name", [*SCRIPTS, *HTML, "style.css"])
def test_every_file_that_a_page_names_exists(name):
    text = (page.FOLDER / name).read_text(encoding="utf-8")
    for file in re.findall(r"[\"'(](?:/static|\.)/([\w.-]+)[\"')]", text):
        assert page.find(file) or file in vendor.names(), file


def test_the_pages_import_without_numpy_or_a_framework():
    code = "import sys, mmcourse.serve.page as p; p.find('x.js'); "
    code += "print([m for m in ('numpy', 'torch', 'fastapi') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"MMCOURSE_WEB": "/tmp"})
    assert run.stdout.strip() == "[]", run.stderr


# ---------------------------------------------------------------- onnxruntime-web
@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three small files and a lock that fits; files may be changed before `pack()`."""
    contents = {"dist/a.mjs": b"one", "dist/b.mjs": b"two", "dist/c.wasm": b"three"}
    locked = {path: hashlib.sha256(data).hexdigest() for path, data in contents.items()}
    monkeypatch.setattr(vendor, "lock", lambda: {"package": "small", "version": "1.0.0", "files": locked})

    def pack(**changes: bytes | None):
        archive = tmp_path / "small.tgz"
        with tarfile.open(archive, "w:gz") as opened:
            for path, data in {**contents, **changes}.items():
                if data is not None:
                    member = tarfile.TarInfo(f"package/{path}")
                    member.size = len(data)
                    opened.addfile(member, io.BytesIO(data))
        return archive

    return pack


def test_files_are_put_in_their_place_and_not_fetched_again(package, tmp_path):
    where = tmp_path / "web"
    assert not vendor.complete(where)
    assert vendor.fetch(where, package()) == where and vendor.complete(where)
    assert sorted(path.name for path in where.iterdir()) == ["a.mjs", "b.mjs", "c.wasm"], "nothing half-made stays"
    assert vendor.fetch(where, tmp_path / "no such archive") == where


@pytest.mark.parametrize("changes", [{"dist/c.wasm": b"other"}, {"dist/b.mjs": None}])
def test_another_file_or_none_is_refused_with_its_name(package, tmp_path, changes):
    where = tmp_path / "web"
    with pytest.raises(vendor.FetchError, match=next(iter(changes)).replace(".", r"\.")):
        vendor.fetch(where, package(**changes))
    assert not vendor.complete(where) and not list(where.glob(".incomplete*"))
    assert not any(path.read_bytes() == b"other" for path in where.iterdir())


def test_a_damaged_archive_and_a_missing_npm_are_told(package, tmp_path, monkeypatch):
    archive = package()
    archive.write_bytes(archive.read_bytes()[:40])
    with pytest.raises(vendor.FetchError, match="cannot be read"):
        vendor.fetch(tmp_path / "web", archive)
    monkeypatch.setattr(vendor.shutil, "which", lambda name: None)
    with pytest.raises(vendor.FetchError, match="install Node.js"):
        vendor.fetch(tmp_path / "web")


def test_the_lock_names_one_exact_version():
    locked = json.loads(vendor.LOCK.read_text(encoding="utf-8"))
    assert re.fullmatch(r"\d+\.\d+\.\d+", locked["version"]) and locked["license"] == "MIT"
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in locked["files"].values())
    assert {name.rsplit(".", 1)[1] for name in vendor.names()} == {"mjs", "wasm"}
