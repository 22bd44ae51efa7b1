"""Where the course runs: seeds, device, laptop or GPU profile, Colab set-up, machine report."""

from __future__ import annotations

import importlib.util
import operator
import os
import platform
import random
import re
import shutil
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from mmcourse.quiet import quiet_tensorflow

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "tensorflow", "keras", "transformers", "librosa", "jupyterlab")


def repository() -> str:
    """Address of the course's repository: the one line ``Repository`` in pyproject.toml.

    A checkout's own pyproject.toml is asked first, so that an edit counts without installing again.
    """
    pyproject = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if pyproject.is_file() and (found := re.search(r'^Repository = "([^"]+)"', pyproject.read_text("utf-8"), re.M)):
        return found[1]
    urls = dict(line.split(", ", 1) for line in metadata.metadata("mmcourse").get_all("Project-URL") or [])
    return urls["Repository"]


SLUG = "/".join(repository().rstrip("/").split("/")[-2:])  # "owner/name": Colab badge and setup cell are made from it


def on_colab() -> bool:
    """Whether this is a Google Colab kernel."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def setup(threads: int | None = None) -> str:
    """First call of every notebook: quiet logs, Keras on TensorFlow, and at most `threads` threads a framework.

    Call it before torch, keras or tensorflow are imported. Returns the profile, ``"laptop"`` or ``"gpu"``.

    Parameters
    ----------
    threads : int, optional
        Default: what ``OMP_NUM_THREADS`` says, else the number of usable cores.

    Raises
    ------
    ValueError
        `threads` is below 1.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads: expected 1 or more, got {threads}")
    count = str(threads or os.environ.get("OMP_NUM_THREADS") or usable_cores())
    for name, value in {
        "KERAS_BACKEND": "tensorflow",
        "TF_ENABLE_ONEDNN_OPTS": "0",  # sums in the same order each time
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # PyTorch needs room on the same card
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",  # or it warns after every fork
        "OMP_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": "1",
    }.items():
        os.environ.setdefault(name, value)
    quiet_tensorflow()
    for category in (FutureWarning, DeprecationWarning):  # of libraries, about libraries
        warnings.filterwarnings("ignore", category=category)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(count))
    return profile()


def seed_everything(seed: int, torch: bool = False, keras: bool = False) -> None:
    """Seed Python, NumPy's global generator and every framework that is already imported.

    Parameters
    ----------
    seed : int
        0 ≤ seed < 2**32; NumPy's whole numbers are taken too.
    torch, keras : bool
        Import that framework and seed it, even if nothing has used it yet.

    Raises
    ------
    ValueError
        `seed` is no whole number, or outside that range.
    """
    try:
        number = operator.index(seed)
    except TypeError as error:
        raise ValueError(f"seed: expected a whole number, got {seed!r}") from error
    if isinstance(seed, bool) or not 0 <= number < 2**32:
        raise ValueError(f"seed: expected 0 <= seed < 2**32, got {seed}")
    seed = number
    random.seed(seed)
    np.random.seed(seed)
    if torch or "torch" in sys.modules:
        import torch as framework

        framework.manual_seed(seed)  # every CUDA device included
    if keras or "keras" in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        from keras.utils import set_random_seed

        set_random_seed(seed)


def device() -> str:
    """Best PyTorch device here: ``"cuda"``, ``"mps"`` or ``"cpu"`` (also where PyTorch is not installed)."""
    if importlib.util.find_spec("torch") is None:
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def profile() -> str:
    """``"gpu"`` for full-size runs or ``"laptop"``; ``MMCOURSE_PROFILE`` overrides what the machine suggests.

    Raises
    ------
    ValueError
        ``MMCOURSE_PROFILE`` is neither.
    """
    chosen = os.environ.get("MMCOURSE_PROFILE", "")
    if chosen not in ("", "laptop", "gpu"):
        raise ValueError(f"MMCOURSE_PROFILE: expected laptop or gpu, got {chosen!r}; unset it or correct it")
    if chosen:
        return chosen
    # A cheap look first: importing torch takes seconds, and most machines have no NVIDIA card at all.
    nvidia = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") or "torch" in sys.modules
    return "gpu" if nvidia and device() == "cuda" else "laptop"


def usable_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_mb() -> int:
    """Main memory in MB, the container's limit where that is lower; 0 where the system does not tell."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(total, int(text) if text.isdigit() else total) // 2**20


def peak_memory_mb() -> float:
    """Most memory that this process has held so far, in MB (nan on Windows)."""
    status = Path("/proc/self/status")  # Linux: getrusage would count the parent's memory from before exec too
    if status.is_file() and (found := re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.M)):
        return int(found[1]) / 2**10
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux kilobytes


class Report(dict):
    """A dict that prints as two columns."""

    def __str__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in self.items())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def machine_report(packages: tuple[str, ...] = PACKAGES) -> Report:
    """What a bug report needs: system, cores, memory, GPU, and the version of each package (or "not installed")."""
    report = Report(
        mmcourse=_version("mmcourse"),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} ({platform.machine()})",
        cores=usable_cores(),
        memory=f"{memory_mb() / 1024:.1f} GB",
        profile=profile(),
        gpu=_gpu(),
    )
    return Report(report | {name: _version(name) for name in packages})


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _gpu() -> str:
    kind = device()
    names: dict[str, Callable[[], str]] = {
        "cuda": lambda: sys.modules["torch"].cuda.get_device_name(0),
        "mps": lambda: "Apple GPU (MPS)",
    }
    return names.get(kind, lambda: "none")()
