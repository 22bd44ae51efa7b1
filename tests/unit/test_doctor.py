"""What doctor says of a machine that is faked: cards, lessons' own helpers, lazy imports, kernels."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from mmcourse import doctor, runtime

H100, T4 = ("NVIDIA H100", (9, 0)), ("Tesla T4", (7, 5))


def fake_torch(monkeypatch: pytest.MonkeyPatch, *cards: tuple[str, tuple[int, int]]) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cards))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    chosen = [0]

    @contextlib.contextmanager
    def device(index: int):
        chosen[0] = index
        yield

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: chosen[0])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: cards[index][0])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(major=cards[index][1][0]))


def fake_tensorflow(monkeypatch: pytest.MonkeyPatch, *cards: tuple[str, tuple[int, int]]) -> None:
    tf = pytest.importorskip("tensorflow")
    devices = [SimpleNamespace(name=f"GPU:{n}", card=card) for n, card in enumerate(cards)]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: devices)
    details = "get_device_details"
    monkeypatch.setattr(
        tf.config.experimental, details, lambda d: {"device_name": d.card[0], "compute_capability": d.card[1]}
    )


def test_torch_cards_are_named_with_their_half_precision(monkeypatch: pytest.MonkeyPatch):
    fake_torch(monkeypatch, H100, T4)
    assert runtime.torch_gpus() == [runtime.Gpu("NVIDIA H100", "bfloat16"), runtime.Gpu("Tesla T4", "float16")]


@pytest.mark.parametrize(
    "cards, policy",
    [([T4], "mixed_float16"), ([H100], "mixed_bfloat16"), ([H100, T4], "mixed_float16"), ([], "float32")],
    ids=["T4", "H100", "both", "none"],
)
def test_keras_takes_bfloat16_only_where_every_card_has_it(monkeypatch: pytest.MonkeyPatch, cards: list, policy: str):
    fake_tensorflow(monkeypatch, *cards)
    assert [card.name for card in runtime.tensorflow_gpus()] == [name for name, _ in cards]
    assert runtime.keras_half_policy() == policy


def test_a_card_that_one_framework_misses_is_said_for_that_one_and_stops_no_lesson(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_nvidia_cards", lambda: ["Tesla T4"])
    seen = {"torch_gpus": [["Tesla T4", "float16"]], "tensorflow_gpus": []}
    monkeypatch.setattr(doctor, "_ask", lambda code, name: (seen[name], ""))
    torch, tensorflow = doctor.check_gpus()
    assert torch.value == "Tesla T4 (half precision: float16)" and not torch.problem
    assert tensorflow.problem == "Tesla T4 is there, and tensorflow does not see it" and not tensorflow.blocks
    assert "tensorflow[and-cuda]" in tensorflow.remedy


def test_no_card_is_no_fault(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_nvidia_cards", list)
    monkeypatch.setattr(doctor, "_ask", lambda code, name: ([], ""))
    assert [(f.value, f.problem) for f in doctor.check_gpus()] == [("none", "")] * 2


def write(path: Path, *cells: str) -> Path:
    made = [nbformat.v4.new_markdown_cell("# Title"), *map(nbformat.v4.new_code_cell, cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def test_a_file_of_the_course_is_no_package(tmp_path: Path):
    """A lesson may put its own folder on `sys.path` and import a helper from there."""
    home = tmp_path / "notebooks" / "src" / "tune"
    home.mkdir(parents=True)
    (home / "helper_of_this_lesson.py").write_text("BUDGET = 3")
    book = write(tmp_path / "notebooks" / "00_x.ipynb", "import numpy\nfrom helper_of_this_lesson import BUDGET")
    assert doctor.needed_modules(book, tmp_path) == ["numpy"]
    asked = {"mmcourse": ["from helper_of_this_lesson import BUDGET"]}
    assert doctor.check_packages(["mmcourse"], asked, tmp_path)[0].problem == ""
    asked = {"mmcourse": ["from helper_of_this_lesson import GONE"]}
    assert "cannot import name 'GONE'" in doctor.check_packages(["mmcourse"], asked, tmp_path)[0].problem


def test_what_a_package_loads_late_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package whose import succeeds and whose first use fails, as librosa without a place for numba's cache."""
    (tmp_path / "lazy_package.py").write_text("def __getattr__(name):\n    raise RuntimeError('no locator available')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert doctor.check_packages(["lazy_package"])[0].problem == ""
    monkeypatch.setitem(doctor.LAZY, "lazy_package", "import lazy_package; lazy_package.feature")
    assert "no locator available" in doctor.check_packages(["lazy_package"])[0].problem


def test_only_the_lesson_whose_statement_fails_is_stopped():
    statements = {"numpy": ["from numpy import array", "from numpy import no_such_name"]}
    (found,) = doctor.check_packages(["numpy"], statements)
    assert found.for_statements(["from numpy import array"]).problem == ""
    assert "no_such_name" in found.for_statements(["from numpy import no_such_name"]).problem


def test_a_kernel_that_cannot_start_is_called_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "ipykernel_launcher.py").write_text("raise OSError('no room for sockets')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = doctor.check_kernel(seconds=20)
    assert finding.problem == "no kernel starts: OSError: no room for sockets" and finding.remedy


def test_doctor_starts_a_kernel_where_the_home_cannot_be_written(tmp_path: Path):
    code = "from mmcourse import doctor, environment; environment.use_writable_caches(); print(doctor.check_kernel())"
    variables = {"HOME": "/proc/no-such-home", "XDG_CACHE_HOME": "", "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": ""}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True)
    assert "value='starts', problem=''" in done.stdout, done.stdout + done.stderr


def test_advice_names_no_package_index_while_the_name_is_not_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(runtime, "__file__", str(tmp_path / "mmcourse" / "runtime.py"))  # an installed wheel
    assert not runtime.NAME_IS_OURS and not runtime.published()
    assert "mmcourse-" in runtime.how_to_install() and "install 'mmcourse[" not in runtime.how_to_install()
    assert "https://github.com/ada/course/releases/download/v" in runtime.wheel_url("ada/course")
    with pytest.raises(ValueError, match="not published yet"):
        runtime.wheel_url()
    monkeypatch.setattr(runtime, "NAME_IS_OURS", True)
    assert "install 'mmcourse[lab]'" in runtime.how_to_install("lab")
