"""The first code cell of each notebook: it installs from our own release alone, and says so where there is none."""

from __future__ import annotations

import builtins
import importlib.util
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from mmcourse.authoring import source
from mmcourse.authoring.catalogue import lessons
from mmcourse.runtime import SLUG, published

TEXT = "# %% [markdown]\n# # Tiny\n# {{budget}}\n\n# %%\nimport optuna, torch\nfrom keras_tuner import Tuner\n"


def cell(tmp_path: Path, slug: str) -> str:
    path = tmp_path / "tiny.py"
    path.write_text(TEXT)
    return source.setup_cell(slug, source.read(path))


def run(text: str, monkeypatch: pytest.MonkeyPatch, lacks: set[str]) -> tuple[list[str], BaseException | None]:
    """Run a cell in IPython where some modules are not installed: what %pip was asked for, and the error."""
    shell, asked = InteractiveShell(), []
    shell.register_magic_function(lambda line: asked.append(line), magic_name="pip")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in lacks else real(name, *a))
    monkeypatch.setattr(builtins, "print", lambda *a, **k: None)
    result = shell.run_cell(text)
    return asked, result.error_in_exec


def test_nothing_is_installed_from_an_address_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert not published() and "_" in SLUG.split("/")[0], "no GitHub account has an underscore in its name"
    text = cell(tmp_path, SLUG)
    assert "pip install --" not in text and "git+" not in text and "http" not in text
    asked, error = run(text, monkeypatch, {"mmcourse"})
    assert asked == [] and isinstance(error, ModuleNotFoundError) and "not published yet" in str(error)


def test_where_the_course_is_missing_its_wheel_is_installed_and_what_is_there_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """On whichever host: nothing asks for the name of one."""
    text = cell(tmp_path, "ada/course")
    assert "google.colab" not in text and "KAGGLE" not in text
    (line,), error = run(text, monkeypatch, {"mmcourse", "optuna", "keras_tuner"})
    assert error is None
    words = line.split()
    assert "https://github.com/ada/course/releases/download/v" in line and words[-2:] == ["keras-tuner", "optuna"]
    kept = Path(words[words.index("--constraint") + 1]).read_text().splitlines()
    assert any(x.startswith("numpy==") for x in kept) and any(x.startswith("torch==") for x in kept)


def test_where_the_course_is_there_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for slug in (SLUG, "ada/course"):
        assert run(cell(tmp_path, slug), monkeypatch, set()) == ([], None)


def test_each_lesson_says_what_it_needs_beyond_the_course():
    found = {x.slug: source.setup_cell(SLUG, source.read(x.source)) for x in lessons() if x.source.is_file()}
    tuning = [text for slug, text in found.items() if slug in ("tune", "evaluate") and "optuna" in text]
    assert tuning and all('"optuna"' in text for text in tuning)
    assert all("search_12" not in text and '"numpy"' not in text for text in found.values())
