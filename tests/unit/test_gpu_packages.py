"""Can both frameworks have a GPU in one environment? A resolver says yes; the files say no.

TensorFlow's requirements are read from what is installed. PyTorch's CUDA build is not, so its requirements are recorded
in `cuda.json`. No wheel is fetched.
"""

import json
import tomllib
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from mmcourse import doctor

ROOT = Path(__file__).resolve().parents[2]
CUDA = json.loads(Path(__file__).with_name("cuda.json").read_text(encoding="utf-8"))
PINS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


def tensorflow_asks() -> set[str]:
    """Packages of `tensorflow[and-cuda]`, from the metadata of the installed version."""
    found = [Requirement(line) for line in metadata.requires("tensorflow") or []]
    return {r.name for r in found if r.marker and "and-cuda" in str(r.marker) and r.name.startswith("nvidia-")}


def torch_asks() -> set[str]:
    return {*CUDA["torch_requires"], *CUDA["cuda_toolkit_13_brings"]}


def test_the_table_is_of_the_pinned_version():
    """Whoever raises PyTorch looks at its CUDA packages again."""
    assert f"torch=={CUDA['torch']}" in PINS


def test_the_extra_asks_for_tensorflows_cuda():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (asked,) = [Requirement(line) for line in extras["gpu"] if line.startswith("tensorflow")]
    assert asked.extras == {"and-cuda"} and asked.marker is not None
    assert asked.marker.evaluate({"sys_platform": "linux"}) and not asked.marker.evaluate({"sys_platform": "darwin"})


def test_a_resolver_finds_nothing_wrong():
    """No package is asked for by both, so that no two versions can contradict each other."""
    pytest.importorskip("tensorflow")
    assert {name.rpartition("-")[2] for name in tensorflow_asks()} == {"cu12"}
    assert not tensorflow_asks() & torch_asks()


def test_yet_two_pairs_unpack_into_the_same_folders():
    pytest.importorskip("tensorflow")
    folders: dict[str, list[str]] = {}
    for name in sorted(tensorflow_asks() | torch_asks()):
        if name in CUDA["folders"]:
            folders.setdefault(CUDA["folders"][name], []).append(name)
    assert folders == {
        "nvidia/cudnn": ["nvidia-cudnn-cu12", "nvidia-cudnn-cu13"],
        "nvidia/nccl": ["nvidia-nccl-cu12", "nvidia-nccl-cu13"],
    }
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{folder}`" in text for folder in folders) and "never tried here" in text


def fake(name: str, *files: str) -> SimpleNamespace:
    return SimpleNamespace(metadata={"Name": name}, files=[PurePosixPath(file) for file in files])


def installed(monkeypatch: pytest.MonkeyPatch, *distributions: SimpleNamespace) -> list[doctor.Finding]:
    monkeypatch.setattr(doctor.metadata, "distributions", lambda: distributions)
    return doctor.check_cuda_packages()


CUDNN = "nvidia/cudnn/lib/libcudnn.so.9"


def test_doctor_names_packages_that_overwrite_one_another(monkeypatch: pytest.MonkeyPatch):
    two = [fake("nvidia-cudnn-cu12", CUDNN, "nvidia/cudnn/include/cudnn.h"), fake("nvidia_cudnn_cu13", CUDNN)]
    (finding,) = installed(monkeypatch, *two, fake("numpy", "numpy/core.so"))
    assert finding.value == "nvidia-cudnn-cu12 and nvidia-cudnn-cu13" and not finding.blocks
    assert "overwritten" in finding.problem and "CUDA 12" in finding.remedy


@pytest.mark.parametrize(
    "distributions",
    [
        [],
        [fake("nvidia-cudnn-cu12", CUDNN)],
        [fake("nvidia-cudnn-cu12", CUDNN), fake("nvidia-cublas", "nvidia/cu13/lib/libcublas.so.13")],
        [fake("nvidia-a", "nvidia/__init__.py"), fake("nvidia-b", "nvidia/__init__.py")],  # shared on purpose
        [
            SimpleNamespace(metadata={"Name": None}, files=None),
            SimpleNamespace(metadata={"Name": "nvidia-x"}, files=None),
        ],
    ],
)
def test_doctor_is_silent_where_no_library_is_shared(monkeypatch: pytest.MonkeyPatch, distributions: list):
    assert installed(monkeypatch, *distributions) == []
