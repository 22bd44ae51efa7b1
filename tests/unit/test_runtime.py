"""Seeds, device, profile, set-up and the machine report."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from mmcourse import runtime

ROOT = Path(__file__).resolve().parents[2]


def in_fresh_python(code: str, **environment: str) -> str:
    """What `code` prints in a process of its own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MMCOURSE_", "TF_", "OMP_", "KERAS_"))}
    done = subprocess.run([sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_same_seed_same_numbers():
    def draw(seed: int) -> tuple[float, float]:
        runtime.seed_everything(seed)
        return random.random(), float(np.random.rand())

    assert draw(7) == draw(7) != draw(8)


def test_frameworks_are_seeded_when_asked():
    torch = pytest.importorskip("torch")
    keras = pytest.importorskip("keras")

    def draw() -> tuple[float, float]:
        runtime.seed_everything(3, torch=True, keras=True)
        return float(torch.rand(())), float(keras.random.uniform(()))

    assert draw() == draw()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_numpy_refuses_is_named(seed: int):
    with pytest.raises(ValueError, match=f"seed: expected .* got {seed}"):
        runtime.seed_everything(seed)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32, np.array])
def test_a_seed_out_of_numpy_is_the_same_seed(kind):
    runtime.seed_everything(kind(3))
    drawn = random.random(), float(np.random.rand())
    runtime.seed_everything(3)
    assert drawn == (random.random(), float(np.random.rand()))


@pytest.mark.parametrize("seed", [1.0, np.float32(1), "1", None, np.arange(2)])
def test_a_seed_that_is_no_whole_number_is_named(seed):
    with pytest.raises(ValueError, match="seed: expected a whole number, got"):
        runtime.seed_everything(seed)


def test_seeding_loads_no_framework():
    code = "import sys; from mmcourse import runtime; runtime.seed_everything(0); runtime.setup(); runtime.profile()"
    code += "; print([m for m in ('torch', 'tensorflow', 'keras') if m in sys.modules])"
    assert in_fresh_python(code).strip() == "[]"


def test_profile_is_overridden_by_the_environment(monkeypatch: pytest.MonkeyPatch):
    for chosen in ("gpu", "laptop"):
        monkeypatch.setenv("MMCOURSE_PROFILE", chosen)
        assert runtime.profile() == chosen
    monkeypatch.setenv("MMCOURSE_PROFILE", "huge")
    with pytest.raises(ValueError, match="MMCOURSE_PROFILE: expected laptop or gpu, got 'huge'"):
        runtime.profile()


def test_device_is_one_that_torch_knows():
    assert runtime.device() in ("cpu", "cuda", "mps")


def test_setup_quiets_tensorflow_and_bounds_threads():
    code = "from mmcourse import runtime; runtime.setup(threads=1); import tensorflow as tf, torch"
    code += "; import keras; tf.constant(1) + 1; print(keras.backend.backend(), torch.get_num_threads())"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "OMP_", "KERAS_"))}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["tensorflow", "1"], "")


def test_setup_respects_what_the_user_chose():
    code = "from mmcourse import runtime; import os; runtime.setup(); print(os.environ['OMP_NUM_THREADS'])"
    assert in_fresh_python(code, OMP_NUM_THREADS="3").strip() == "3"
    with pytest.raises(ValueError, match="threads: expected 1 or more, got 0"):
        runtime.setup(threads=0)


def test_machine_report_names_versions_and_what_is_missing():
    report = runtime.machine_report(packages=("numpy", "no-such-package"))
    assert report["numpy"] == np.__version__ and report["no-such-package"] == "not installed"
    assert report["python"] == ".".join(map(str, sys.version_info[:3]))
    assert all(f"{name} " in str(report) for name in report)
    json.dumps(report)


def test_memory_figures_are_plausible():
    assert 10 < runtime.peak_memory_mb() < runtime.memory_mb()


def test_peak_memory_sees_a_large_array():
    code = "from mmcourse import runtime; import numpy as np; a = runtime.peak_memory_mb()"
    code += "; np.ones(25_000_000); print(runtime.peak_memory_mb() - a)"
    assert 150 < float(in_fresh_python(code)) < 250


def test_slug_is_the_one_in_pyproject():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert urls["Repository"] == runtime.repository() == f"https://github.com/{runtime.SLUG}"


def test_colab_is_recognized(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    assert not runtime.on_colab()
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    assert runtime.on_colab()
