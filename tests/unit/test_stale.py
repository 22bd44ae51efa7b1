"""`mmcourse stale` names what other versions of a framework made."""

import json

import pytest

from mmcourse.authoring import stale


@pytest.mark.parametrize(
    ("name", "content", "made"),
    [
        ("results.json", {"made_with": {"torch": "2.12.0+cpu"}}, {"torch": "2.12.0"}),
        (
            "results.json",
            {"made_with": "Python 3.11.7, PyTorch 2.12.0+cpu, x86_64"},
            {"python": "3.11.7", "torch": "2.12.0"},
        ),
        ("a.ipynb", {"metadata": {"mmcourse": {"made_with": {"keras": "3.10.0"}}}}, {"keras": "3.10.0"}),
        ("figures.json", {"accuracy": 0.9}, {}),
    ],
)
def test_what_made_a_file(tmp_path, name, content, made):
    (tmp_path / name).write_text(json.dumps(content))
    assert stale.made_with(tmp_path / name) == made


def test_other_versions_and_files_without_a_record_are_listed(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in {"same": "2.13.0", "old": "2.12.0", "silent": None}.items():
        told = {"made_with": {"torch": content}} if content else {}
        (folder / f"{name}.json").write_text(json.dumps(told))
    monkeypatch.setattr(stale, "_files", lambda root: sorted(folder.glob("*.json")))
    monkeypatch.setattr(stale, "installed", lambda: {"torch": "2.13.0"})
    assert stale.stale_files() == [
        ("model/old.json", "torch 2.12.0 → 2.13.0"),
        ("model/silent.json", "says no versions"),
    ]
