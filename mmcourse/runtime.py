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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from mmcourse.environment import count_threads, require_keras_on_tensorflow, use_writable_caches
from mmcourse.quiet import quiet_tensorflow

DISTRIBUTION = {  # where a package is not called like its module
    "IPython": "ipython",
    "PIL": "pillow",
    "keras_tuner": "keras-tuner",
    "sklearn": "scikit-learn",
}
BFLOAT16_CAPABILITY = (8, 0)  # compute capability: Ampere and later
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
PYTHONS = (3, 11), (3, 13)  # oldest and newest that every package of the tested set has builds for
PLACEHOLDER = "OWNER_NOT_SET"  # no GitHub account can have this name, so nobody can put code where it points
NAME_IS_OURS = False  # whether `mmcourse` on the package index is this course; until then no message names it
NOT_PUBLISHED = (
    "the course is not published yet, so nothing can be installed from the network; "
    "get its folder or its wheel, and install that: pip install mmcourse-*.whl"
)


def published(slug: str = SLUG) -> bool:
    """Whether the course has an address of its own, from which it can be installed."""
    return PLACEHOLDER not in slug


def wheel_url(slug: str = SLUG) -> str:
    """Address of this version's wheel: an asset of the release with tag ``v<version>``.

    Raises
    ------
    ValueError
        The course is not published.
    """
    if not published(slug):
        raise ValueError(f"wheel_url: {NOT_PUBLISHED}")
    version = metadata.version("mmcourse")
    return f"https://github.com/{slug}/releases/download/v{version}/mmcourse-{version}-py3-none-any.whl"


def unsuitable_python(version: tuple[int, int]) -> str:
    """Why the course does not run on a Python of this version; "" where it does."""
    named = "{}.{}".format(*version)
    if version < PYTHONS[0]:
        return f"Python {named} is too old: the course needs 3.11, 3.12 or 3.13"
    if version > PYTHONS[1]:
        return f"Python {named} is too new: TensorFlow has no build for it yet; the course needs 3.11, 3.12 or 3.13"
    return ""


def how_to_install(extra: str = "all") -> str:
    """How to install an extra of the course here: in a checkout by its own files, else from where it is published."""
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "Makefile").is_file():
        return f"run `{_python()} -m pip install -c constraints.txt -e '.[{extra}]'` in {checkout}"
    if NAME_IS_OURS:
        return f"run `{_python()} -m pip install 'mmcourse[{extra}]'`"
    if published():
        return f"run `{_python()} -m pip install 'mmcourse[{extra}] @ {wheel_url()}'`"
    return (
        f"run `{_python()} -m pip install 'mmcourse-{_version('mmcourse')}-py3-none-any.whl[{extra}]'` beside the wheel"
    )


def _python() -> str:
    """What to type for this Python: its path, quoted where it has a space."""
    return f'"{sys.executable}"' if " " in sys.executable else sys.executable or "python"


def on_colab() -> bool:
    """Whether this is a Google Colab kernel."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def setup(threads: int | None = None, needs: Iterable[str] = ()) -> str:
    """First call of every notebook: quiet logs, Keras on TensorFlow, and at most `threads` threads a framework.

    What another course left in the environment is put right or named (`mmcourse.environment`), and caches that cannot
    be written are moved.

    Call it before torch, keras or tensorflow are imported. Returns the profile, ``"laptop"`` or ``"gpu"``.

    Parameters
    ----------
    threads : int, optional
        Default: what ``OMP_NUM_THREADS`` says (of a list such as ``4,2`` the first number), else the number of usable
        cores.
    needs : iterable of str
        Modules that the notebook imports. One line says which of them are not installed, and how to install them.

    Raises
    ------
    ValueError
        `threads` is below 1.
    RuntimeError
        Keras is already loaded on another backend than TensorFlow.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads: expected 1 or more, got {threads}")
    count = str(threads or count_threads(usable_cores()))
    require_keras_on_tensorflow()
    use_writable_caches()
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        if not re.fullmatch(r"[1-9][0-9]*", os.environ.get(name, "")):
            os.environ.pop(name, None)
    for name, value in {
        "TF_ENABLE_ONEDNN_OPTS": "0",  # sums in the same order each time
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # PyTorch needs room on the same card
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "ORT_DISABLE_TELEMETRY": "1",
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
    if missing := [name for name in needs if importlib.util.find_spec(name) is None]:
        packages = " ".join(DISTRIBUTION.get(name, name) for name in missing)
        print(f"Not installed here, and needed by this notebook: {packages}. To install: %pip install {packages}")
    return profile()


def is_installed(module: str) -> bool:
    """Whether a module can be imported; nothing is loaded. Lessons leave out cells whose package is missing."""
    return importlib.util.find_spec(module) is not None


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
        require_keras_on_tensorflow()
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


@dataclass(frozen=True)
class Gpu:
    """A graphics card as one framework sees it; `half` is the 16-bit type that it computes in without emulation."""

    name: str
    half: str


def torch_gpus() -> list[Gpu]:
    """The graphics cards that PyTorch can use here."""
    import torch

    if torch.cuda.is_available():
        found = []
        for index in range(torch.cuda.device_count()):
            with torch.cuda.device(index):
                bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
            found.append(Gpu(torch.cuda.get_device_name(index), "bfloat16" if bf16 else "float16"))
        return found
    return [Gpu("Apple GPU (MPS)", "float16")] if torch.backends.mps.is_available() else []


def tensorflow_gpus() -> list[Gpu]:
    """The graphics cards that TensorFlow, and so Keras, can use here."""
    quiet_tensorflow()
    import tensorflow as tf

    found = []
    for card in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(card)
        capability = details.get("compute_capability") or (0, 0)
        bf16 = tuple(capability) >= BFLOAT16_CAPABILITY
        found.append(Gpu(details.get("device_name", card.name), "bfloat16" if bf16 else "float16"))
    return found


def keras_half_policy() -> str:
    """Keras's dtype policy for half precision here: ``"mixed_bfloat16"``, ``"mixed_float16"``, or ``"float32"``.

    The rule of PyTorch's ``amp="auto"``: bfloat16 where every card has it, else float16 (Colab's T4 would only emulate
    bfloat16, more slowly), and no half precision without a card.
    """
    cards = tensorflow_gpus()
    if not cards:
        return "float32"
    return "mixed_bfloat16" if all(card.half == "bfloat16" for card in cards) else "mixed_float16"


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
