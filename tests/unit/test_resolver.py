"""Installing the course beside Colab's packages must change none of them: pip itself is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYTHON = (3, 13)  # Colab's
# Of Colab's set, what the course and its lessons reach: package → [version, what it requires there]. A possible set:
# Colab's published versions, and the rest as `uv pip compile --python-version 3.13` completes them. Left out are the
# CUDA packages, which PyTorch brings and nothing else asks for.
COLAB = json.loads(Path(__file__).with_name("colab.json").read_text(encoding="utf-8"))
NEW_ON_COLAB = {"mmcourse", "drawsvg", "jaxtyping", "wadler-lindig"}  # Colab lacks these; all are pure Python
UNREACHABLE = "http://127.0.0.1:9"  # only what is installed or on a shelf may be considered


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course's wheel, built from this checkout."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def colab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that looks to pip like Colab's: the right interpreter, and each package's metadata."""
    interpreter = find_python()
    folder = tmp_path_factory.mktemp("colab")
    done = subprocess.run([interpreter, "-m", "venv", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{interpreter} cannot make a virtual environment: {(done.stdout + done.stderr).strip()[:200]}")
    python = folder / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    for name, (version, requires) in COLAB.items():
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        if name == "setuptools":
            for older in site.glob("setuptools*"):
                shutil.rmtree(older)
        info.mkdir()
        (info / "METADATA").write_text(described(name, version, requires))
        (info / "INSTALLER").write_text("pip\n")
        (info / "RECORD").write_text("")
    return python


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index in a folder: each package that the course can bring, as new as tested here, without contents.

    So pip may install and upgrade as it would from a real index; what it chooses is what is tested.
    """
    folder = tmp_path_factory.mktemp("shelf")
    core = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    waiting = [*(Requirement(line).name for line in core), "torch", "keras", "tensorflow", "optuna", "keras-tuner"]
    seen: set[str] = set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        found = metadata.distribution(name)
        needed = [Requirement(line) for line in found.requires or []]
        needed = [r for r in needed if not r.marker or r.marker.evaluate({"extra": ""})]
        waiting += [r.name for r in needed]
        for requirement in needed:
            requirement.marker = None
        stub_wheel(folder, name, found.version.split("+")[0], [str(r) for r in needed])
    return folder


def described(name: str, version: str, requires: Iterable[str] = ()) -> str:
    """METADATA of a package."""
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    return "\n".join(lines) + "\n"


def stub_wheel(folder: Path, name: str, version: str, requires: Iterable[str] = ()) -> None:
    """A wheel of metadata alone."""
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as made:
        made.writestr(f"{stem}.dist-info/METADATA", described(name, version, requires))
        made.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr(f"{stem}.dist-info/RECORD", "")


def find_python() -> str:
    """A Python 3.13 that runs (a version manager's shim can be on PATH and run nothing), or a stated skip."""
    name = "python{}.{}".format(*PYTHON)
    versions = sorted(Path.home().glob(f".pyenv/versions/{PYTHON[0]}.{PYTHON[1]}*/bin/python"))
    for candidate in filter(None, [sys.executable, shutil.which(name), *map(str, versions)]):
        code = f"import ensurepip, sys; sys.exit(sys.version_info[:2] != {PYTHON})"
        if subprocess.run([candidate, "-c", code], capture_output=True).returncode == 0:
            return candidate
    pytest.skip(f"Colab's Python is not here: no {name} with ensurepip runs")


def would_install(python: Path, requirement: str, *options: str) -> dict[str, str]:
    """Package → version that pip would install; AssertionError with pip's own words where it finds no solution."""
    command = [str(python), "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", "--no-cache-dir"]
    command += ["--isolated", "--retries", "0", "--index-url", UNREACHABLE, *options, requirement]
    environment = {**os.environ, "PIP_CONFIG_FILE": os.devnull}  # no index or folder of this machine
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    installed = json.loads(done.stdout)["install"]
    return {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in installed}


def doctored(wheel: Path, folder: Path, requirement: str) -> Path:
    """A copy of the wheel that asks for one thing more."""
    copy = folder / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(copy, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename.endswith(".dist-info/METADATA"):
                content = content.replace(
                    b"Requires-Dist:", f"Requires-Dist: {requirement}\nRequires-Dist:".encode(), 1
                )
            if not item.filename.endswith("/RECORD"):
                new.writestr(item, content)
        record = next(name for name in old.namelist() if name.endswith("/RECORD"))
        new.writestr(record, "")
    return copy


def test_the_table_is_a_possible_environment(colab: Path):
    """Each package's own requirements are met by the others: no such set could be installed otherwise."""
    done = subprocess.run([colab, "-m", "pip", "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert not NEW_ON_COLAB & set(COLAB)


def test_the_table_is_the_environment_that_was_named():
    named = {"torch": "2.11", "tensorflow": "2.20", "keras": "3.13", "numpy": "2.1", "transformers": "5.15"}
    assert {name: COLAB[name][0].rsplit(".", 1)[0] for name in named} == named


@pytest.mark.parametrize("extras", ["", "[torch]", "[keras]", "[torch,keras]"])
def test_the_course_leaves_colab_as_it_is(wheel: Path, colab: Path, shelf: Path, extras: str):
    installed = would_install(colab, f"{wheel}{extras}", "--find-links", str(shelf))
    assert set(installed) == NEW_ON_COLAB, "new packages only: nothing that is there changes"


def test_the_tuning_lesson_adds_its_two_packages_and_changes_none(wheel: Path, colab: Path, shelf: Path):
    installed = would_install(colab, str(wheel), "optuna", "keras-tuner", "--find-links", str(shelf))
    assert {"optuna", "keras-tuner"} <= set(installed) and not set(installed) & set(COLAB)


@pytest.mark.parametrize("requirement", ["numpy>=99", "torch>2.11", "ipython>=8", "a-package-that-colab-lacks"])
def test_a_wheel_that_asks_for_more_is_caught(wheel: Path, colab: Path, shelf: Path, tmp_path: Path, requirement: str):
    """Either the report names the change, or pip finds no such package."""
    greedy = doctored(wheel, tmp_path, requirement)
    try:
        changed = set(would_install(colab, str(greedy), "--find-links", str(shelf))) & set(COLAB)
    except AssertionError as refused:
        changed = {"no matching distribution"} if "no matching distribution" in str(refused).lower() else set()
    assert changed


def test_a_wheel_that_would_upgrade_is_seen_in_the_report(wheel: Path, colab: Path, shelf: Path, tmp_path: Path):
    """The same control with a newer NumPy within reach: pip then succeeds, and the report names the change."""
    newer = tmp_path / "newer"
    newer.mkdir()
    stub_wheel(newer, "numpy", "2.2.0")
    greedy = doctored(wheel, tmp_path, "numpy>=2.2,<2.3")
    within_reach = ["--find-links", str(shelf), "--find-links", str(newer)]
    assert would_install(colab, str(greedy), *within_reach)["numpy"] == "2.2.0"
    assert "numpy" not in would_install(colab, str(wheel), *within_reach), "satisfied: nothing to change"
