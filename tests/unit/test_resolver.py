"""Installing the course beside Colab's packages must change none of them: pip itself is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = (3, 13)  # Colab's
COLAB = {  # of Colab's set, what the course or its extras ask for
    "ipykernel": "6.17.1", "ipython": "7.34.0", "ipywidgets": "7.7.1", "keras": "3.13.0", "librosa": "0.11.0",
    "matplotlib": "3.10.0", "nbclient": "0.10.4", "nbformat": "5.10.4", "nltk": "3.9.1", "numpy": "2.1.0",
    "pandas": "2.2.2", "pillow": "11.3.0", "psutil": "5.9.5", "rich": "13.9.4", "safetensors": "0.7.0",
    "scikit-learn": "1.6.1", "scipy": "1.16.3", "soundfile": "0.13.1", "tensorflow": "2.20.0", "tokenizers": "0.22.2",
    "torch": "2.11.0", "tqdm": "4.67.3", "transformers": "5.15.0", "typer": "0.24.1",
}  # fmt: skip
UNREACHABLE = "http://127.0.0.1:9"  # nothing but what is installed may be considered: a wish for more is an error


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
    for name, version in COLAB.items():
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "INSTALLER").write_text("pip\n")
        (info / "RECORD").write_text("")
    return python


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


@pytest.mark.parametrize("extras", ["", "[torch]", "[keras]", "[torch,keras]"])
def test_the_course_leaves_colab_as_it_is(wheel: Path, colab: Path, extras: str):
    assert would_install(colab, f"{wheel}{extras}") == {"mmcourse": metadata.version("mmcourse")}


@pytest.mark.parametrize("requirement", ["numpy>=99", "torch>2.11", "ipython>=8", "a-package-that-colab-lacks"])
def test_a_wheel_that_asks_for_more_is_caught(wheel: Path, colab: Path, tmp_path: Path, requirement: str):
    greedy = doctored(wheel, tmp_path, requirement)
    with pytest.raises(AssertionError, match="(?i)no matching distribution|could not find a version"):
        would_install(colab, str(greedy))


def test_a_wheel_that_would_upgrade_is_seen_in_the_report(wheel: Path, colab: Path, tmp_path: Path):
    """The same control with a newer NumPy within reach: pip then succeeds, and the report names the change."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    tag = "numpy-99.0-py3-none-any.whl", "numpy-99.0.dist-info"
    with zipfile.ZipFile(shelf / tag[0], "w") as fake:
        fake.writestr(f"{tag[1]}/METADATA", "Metadata-Version: 2.1\nName: numpy\nVersion: 99.0\n")
        fake.writestr(f"{tag[1]}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        fake.writestr(f"{tag[1]}/RECORD", "")
    greedy = doctored(wheel, tmp_path, "numpy>=99")
    assert would_install(colab, str(greedy), "--find-links", str(shelf))["numpy"] == "99.0"
    assert "numpy" not in would_install(colab, str(wheel), "--find-links", str(shelf)), "satisfied: nothing to change"
