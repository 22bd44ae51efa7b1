"""`make_tables`: what every `make_results.py` ends with."""

import ast
from pathlib import Path

import pytest

from mmcourse import datasets
from mmcourse.authoring import tables

SOURCES = Path(__file__).parents[2] / "notebooks" / "src"


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.stored, "lesson_dir", lambda slug: tmp_path / slug)
    (tmp_path / "cnn").mkdir()
    return tmp_path / "cnn"


def test_tables_are_added_and_the_others_stay(lesson):
    makers = {"a": lambda: {"n": 1}, "b": lambda: {"n": 2}}
    tables.make_tables("cnn", makers, ["b"], ("numpy",))
    tables.make_tables("cnn", makers | {"b": lambda: 1 / 0}, ["a"], ("numpy",))
    stored = datasets.results("cnn")
    assert stored["a"] == {"n": 1} and stored["b"] == {"n": 2}
    assert stored["seconds_of"].keys() == {"a", "b"} and stored["seconds"] == sum(stored["seconds_of"].values())
    assert stored["made_with"].startswith("1 CPU thread") and "numpy 2" in stored["made_with"]


def test_a_table_is_kept_when_the_next_one_fails(lesson):
    with pytest.raises(ZeroDivisionError):
        tables.make_tables("cnn", {"a": lambda: {"n": 1}, "b": lambda: 1 / 0})
    assert datasets.results("cnn")["a"] == {"n": 1}


def test_another_process_may_have_stored_a_table_meanwhile(lesson):
    def slow():
        datasets.save_results("cnn", {"b": {"n": 2}, "seconds_of": {"b": 7}})
        return {"n": 1}

    tables.make_tables("cnn", {"a": slow, "b": dict}, ["a"])
    stored = datasets.results("cnn")
    assert stored["b"] == {"n": 2} and stored["seconds_of"]["b"] == 7


def test_an_unknown_name_ends_before_anything_is_made(lesson):
    with pytest.raises(SystemExit, match="cnn: there is no table c; there are a, b"):
        tables.make_tables("cnn", {"a": lambda: 1 / 0, "b": dict}, ["a", "c"])
    assert not (lesson / "results.json").exists()


@pytest.mark.parametrize(
    "script", sorted(SOURCES.glob("*/make_*.py")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_a_script_reads_only_options_that_it_takes(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    mains = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    nodes = [node for main in mains for node in ast.walk(main)]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    names = [call.args[0].value for call in calls if call.func.attr == "add_argument"]
    taken = {name.lstrip("-").replace("-", "_") for name in names}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    read = {node.attr for node in attributes if node.value.id == "options"}
    assert read <= taken, f"{sorted(read - taken)} would raise AttributeError"
    assert read or not names, "what is parsed is called options, so that this test sees it"
