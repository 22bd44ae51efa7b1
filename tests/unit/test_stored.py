"""Stored figures of long runs: written whole, read back, and a clear word where there are none."""

import json

import pytest

from mmcourse.authoring import lessons
from mmcourse.datasets import results, save_results, stored


def test_what_is_saved_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "lesson_dir", lambda lesson: tmp_path)
    save_results("some_lesson", {"accuracy": [0.5, 0.25]})
    assert results("some_lesson") == {"accuracy": [0.5, 0.25]}
    with pytest.raises(ValueError):
        save_results("some_lesson", {"accuracy": float("nan")})
    assert results("some_lesson") == {"accuracy": [0.5, 0.25]}, "the good file outlives a failed write"


def test_a_lesson_without_results_is_named_with_the_remedy():
    with pytest.raises(FileNotFoundError, match="make results no_lesson"):
        results("no_lesson")


def test_every_stored_file_says_what_made_it():
    found = [path for lesson in lessons() for path in lesson.home.glob("results.json")]
    assert found
    for path in found:
        assert {"made_with", "seconds"} <= set(json.loads(path.read_text())), path
        assert path.with_name("make_results.py").is_file(), f"{path} has no script"
