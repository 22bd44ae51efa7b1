"""Stored figures of long runs: written whole, read back, and a clear word where there are none."""

import json

import pytest

from mmcourse.datasets import results, save_results, stored


def test_what_is_saved_comes_back(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(stored, "data_dir", lambda: tmp_path)
    save_results("99", {"accuracy": [0.5, 0.25]})
    assert results("99") == {"accuracy": [0.5, 0.25]}
    with pytest.raises(ValueError):
        save_results("99", {"accuracy": float("nan")})
    assert results("99") == {"accuracy": [0.5, 0.25]}, "the good file outlives a failed write"


def test_a_lesson_without_results_is_named_with_the_remedy():
    with pytest.raises(FileNotFoundError, match="make results 98"):
        results("98")


def test_every_stored_file_says_what_made_it():
    for path in (stored.data_dir() / "results").glob("*.json"):
        assert {"made_with", "seconds"} <= set(json.loads(path.read_text())), path.name
        assert path.with_name(f"make_{path.stem}.py").is_file(), f"{path.name} has no script"
