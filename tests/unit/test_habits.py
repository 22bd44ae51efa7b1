"""The files that a forge, an editor and a citation tool read are what they expect, and agree with the project."""

import json
import subprocess
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_yaml(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_every_yaml_and_json_file_can_be_read():
    names = [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff"]
    for path in names:
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
    assert json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))["postCreateCommand"]


def test_one_version_everywhere():
    from mmcourse import __version__

    assert PROJECT["version"] == __version__ == read_yaml("CITATION.cff")["version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {__version__} " in changes


def test_the_gate_of_the_forge_is_the_gate_of_the_machine():
    jobs = read_yaml(".github/workflows/ci.yml")["jobs"]
    assert {"run": ".ci/run"} in jobs["gate"]["steps"]
    allowed = [minor for minor in range(20) if f"3.{minor}" in jobs["gate"]["strategy"]["matrix"]["python"]]
    assert allowed == [11, 12, 13] and PROJECT["requires-python"] == ">=3.11,<3.14"


def test_a_fault_report_asks_for_the_doctor():
    form = read_yaml(".github/ISSUE_TEMPLATE/fault.yml")
    asked = {item.get("id"): item for item in form["body"]}
    assert asked["doctor"]["validations"]["required"] and "mmcourse doctor" in str(asked["doctor"])


def test_licenses_have_names_that_tools_find():
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    text = (ROOT / "LICENSE-CC-BY-4.0").read_text(encoding="utf-8")
    assert text.startswith("SPDX-License-Identifier: CC-BY-4.0")
    assert PROJECT["license-files"] == ["LICENSE", "LICENSE-CC-BY-4.0"]


def test_a_linked_environment_is_ignored_too(tmp_path):
    """`.venv/` with a slash matches folders only, and a link to one is none: it would be committed."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".venv").symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".venv.old").mkdir()
    (tmp_path / ".venv.old" / "file").write_text("")
    seen = subprocess.run(["git", "-C", str(tmp_path), "status", "--porcelain"], capture_output=True, text=True)
    assert seen.stdout.splitlines() == ["?? .gitignore"]
