"""Will the course run here? Versions, processor, memory, disk, and what each lesson needs, each with a remedy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmcourse import runtime
from mmcourse.authoring.catalogue import Lesson, lessons
from mmcourse.authoring.imports import import_statements, modules_of
from mmcourse.datasets import NAMES, data_dir
from mmcourse.environment import use_writable_caches

FREE_DISK_MB = 500  # kernels, figures and JupyterLab's own files
NEEDED_BY_LAB = ("jupyterlab", "ipykernel", "nbclient", "psutil")
COURSE = "mmcourse"  # name of the group of statements that import the course itself
LAZY = {  # what an import does not load: one use of the kind that lessons make
    "librosa": "import numpy as np, librosa; librosa.feature.mfcc(y=np.zeros(2048, np.float32), sr=8000)",
    "matplotlib": "import io; from matplotlib.figure import Figure; Figure().savefig(io.BytesIO())",
    "torch": "import torch; (torch.ones(2, 2) @ torch.ones(2, 2)).sum().item()",
    "tensorflow": "import tensorflow as tf; float(tf.reduce_sum(tf.ones((2, 2)) @ tf.ones((2, 2))))",
    "keras": "import keras; keras.layers.Dense(1)(keras.ops.ones((1, 2)))",
    "transformers": "from transformers import BertConfig, BertModel; BertModel",
    "tokenizers": "from tokenizers import Tokenizer; from tokenizers.models import BPE; Tokenizer(BPE())",
}
TRY = """\
import json, sys, warnings
warnings.simplefilter("ignore")
from mmcourse.runtime import setup
setup()
sys.path[:0] = json.loads(sys.argv[2])
faults = {}
for statement in json.loads(sys.argv[1]):
    try:
        exec(statement, {})
    except BaseException as error:
        faults[statement] = f"{type(error).__name__}: {error}".splitlines()[0]
print("\\n" + json.dumps(faults))
"""
GPUS = """\
import json, sys
from mmcourse import runtime
runtime.setup()
print("\\n" + json.dumps([[card.name, card.half] for card in getattr(runtime, sys.argv[1])()]))
"""
WHY_NO_GPU = {
    "torch": "install a PyTorch built for this card's driver (pytorch.org says which), or update the driver",
    "tensorflow": "on Linux: install `tensorflow[and-cuda]` (the extra `gpu`); on Windows: use WSL 2",
}


@dataclass
class Finding:
    """One line of the report; `problem` is empty where all is well."""

    name: str
    value: str
    problem: str = ""
    remedy: str = ""
    blocks: bool = True  # whether lessons cannot run because of it


@dataclass
class Diagnosis:
    """Everything found; `lessons` has one finding per lesson."""

    machine: list[Finding] = field(default_factory=list)
    packages: list[Finding] = field(default_factory=list)
    lessons: list[Finding] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether there are lessons and each of them can run."""
        return bool(self.lessons) and not any(finding.problem for finding in self.lessons)

    @property
    def problems(self) -> list[Finding]:
        """What is wrong, causes first."""
        return [f for f in [*self.machine, *self.packages, *self.lessons] if f.problem]


def remedy(extra: str = "all") -> str:
    """How to install what is missing: in a checkout by make or pip, else as `runtime.how_to_install` says."""
    return runtime.how_to_install(extra)


def diagnose(root: Path | None = None) -> Diagnosis:
    """Look at this machine and every lesson; runs each lesson's import statements, one process a package.

    Parameters
    ----------
    root : Path, optional
        Folder that holds ``notebooks/``; default: the course's own.
    """
    use_writable_caches()
    found = lessons(root)
    statements = {lesson.name: import_statements(_code_cells(lesson.notebook)) for lesson in found}
    groups: dict[str, list[str]] = {name: [] for name in NEEDED_BY_LAB}
    for statement in dict.fromkeys(s for listed in statements.values() for s in listed):
        for module in _group(statement, root):
            groups.setdefault(module, []).append(statement)
    packages = {check.name: check for check in check_packages(sorted(groups), groups, root)}
    diagnosis = Diagnosis(check_machine(), [finding for name, finding in packages.items() if name != COURSE])
    diagnosis.machine.append(check_kernel())
    blocked = [finding for finding in diagnosis.machine if finding.problem and finding.blocks]
    for lesson in found:
        needs = {module for statement in statements[lesson.name] for module in _group(statement, root)}
        missing = [packages[name].for_statements(statements[lesson.name]) for name in sorted(needs)]
        problems = [finding for finding in missing if finding.problem]
        if len(problems) > 1:  # the course's own import fails because of a package: the package is the cause
            problems = [finding for finding in problems if finding.name != COURSE]
        diagnosis.lessons.append(check_lesson(lesson, blocked + problems))
    return diagnosis


@dataclass
class PackageFinding(Finding):
    """A package; `faults` has the error of each import statement that fails."""

    faults: dict[str, str] = field(default_factory=dict)

    def for_statements(self, statements: Iterable[str]) -> Finding:
        """This finding for a lesson with these import statements: a fault of another lesson's statement is left out."""
        mine = {s: why for s, why in self.faults.items() if s in statements or s in LAZY.values()}
        if not self.faults or mine:
            return self
        return Finding(self.name, self.value)


def needed_modules(notebook: Path, root: Path | None = None) -> list[str]:
    """Packages that a notebook's cells import, the course's own files aside; [] if it cannot be read."""
    statements = import_statements(_code_cells(notebook))
    return sorted({module for statement in statements for module in _group(statement, root)} - {COURSE})


def check_packages(
    modules: Iterable[str], statements: dict[str, list[str]] | None = None, root: Path | None = None
) -> list[PackageFinding]:
    """Import each module and run its statements in its own process: a package can be there and yet not load."""
    asked = statements or {}
    with ThreadPoolExecutor(max_workers=runtime.usable_cores()) as pool:
        return list(pool.map(lambda module: _check_package(module, asked.get(module, []), root), modules))


def check_kernel(seconds: float = 60) -> Finding:
    """Whether a kernel starts and answers: without one no notebook runs, whatever is installed."""
    finding = Finding("kernel", "starts")
    if find_spec("ipykernel") is None or find_spec("jupyter_client") is None:
        return Finding("kernel", "not tried", "the notebook kernel (ipykernel) is not installed", remedy("lab"))
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    spec = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python")
    manager._kernel_spec = spec  # this Python, whatever kernels are registered
    try:
        with tempfile.TemporaryFile() as said:
            manager.start_kernel(stdout=said, stderr=said)
            client = manager.client()
            client.start_channels()
            try:
                client.wait_for_ready(timeout=seconds)
            except RuntimeError as error:
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines() or [str(error)]
                finding.problem = f"no kernel starts: {lines[-1][:200]}"
            finally:
                client.stop_channels()
    except (OSError, RuntimeError, ValueError) as error:
        finding.problem = f"no kernel starts: {type(error).__name__}: {error}"
    finally:
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)
    if finding.problem:
        finding.value = "does not start"
        finding.remedy = "if a folder or port is named above, make it usable; else " + remedy("lab")
    return finding


def check_gpus() -> list[Finding]:
    """One finding a framework: which cards it sees. That it misses a card that is there is a note, no lesson stops."""
    present = _nvidia_cards()
    findings = []
    for framework in ("torch", "tensorflow"):
        finding = Finding(f"GPU for {framework}", "not installed", blocks=False)
        if find_spec(framework) is not None:
            cards, why = _ask(GPUS, f"{framework}_gpus")
            if cards is None:
                finding.value = f"unknown: {why}"
            else:
                finding.value = "; ".join(f"{name} (half precision: {half})" for name, half in cards) or "none"
            if not cards and present:
                finding.problem = f"{present[0]} is there, and {framework} does not see it"
                finding.remedy = WHY_NO_GPU[framework]
        findings.append(finding)
    return findings


def check_cuda_packages() -> list[Finding]:
    """A finding where two installed CUDA packages wrote the same files: whichever came last has overwritten the other.

    pip does not notice, since the names differ: cuDNN and NCCL for CUDA 12 and for CUDA 13 unpack into one folder.
    """
    owners: dict[str, set[str]] = {}
    for found in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"] or "").lower()
        if name.startswith("nvidia-"):
            for file in found.files or []:
                if file.parts[0] == "nvidia" and ".so" in file.name:
                    owners.setdefault(file.as_posix(), set()).add(name)
    clashes = sorted({tuple(sorted(names)) for names in owners.values() if len(names) > 1})
    if not clashes:
        return []
    told = "; ".join(" and ".join(names) for names in clashes)
    remedy = "use PyTorch's build for CUDA 12, or one environment for each framework (README, GPU)"
    problem = "the one installed last has overwritten the other's libraries"
    return [Finding("CUDA packages", told, problem, remedy, blocks=False)]


def check_machine() -> list[Finding]:
    """Python, system, cores, memory, GPU and free disk."""
    report = runtime.machine_report(packages=())
    findings = [Finding(name, str(value)) for name, value in report.items() if name != "gpu"] + check_gpus()
    findings += check_cuda_packages()
    free = shutil.disk_usage(tempfile.gettempdir()).free // 2**20
    disk = Finding("disk", f"{free / 1024:.1f} GB free for temporary files")
    if free < FREE_DISK_MB:
        disk.problem = f"only {free} MB free in {tempfile.gettempdir()}; a lesson needs {FREE_DISK_MB} MB"
        disk.remedy = "free some space, or point TMPDIR at a disk that has it"
    if runtime.unsuitable_python(sys.version_info[:2]):
        python = next(finding for finding in findings if finding.name == "python")
        python.problem = runtime.unsuitable_python(sys.version_info[:2])
        python.remedy = "install Python 3.13 (python.org, or `uv python install 3.13`) and make the environment anew"
    return [*findings, disk]


def check_lesson(lesson: Lesson, blocked: list[Finding]) -> Finding:
    """Whether one lesson can run, given what is wrong with the machine and the packages that it needs."""
    finding = Finding(lesson.name, lesson.title)
    if blocked:
        finding.problem, finding.remedy = "; ".join(f.problem for f in blocked), blocked[0].remedy
        return finding
    try:
        book = json.loads(lesson.notebook.read_text(encoding="utf-8"))
        text = "\n".join("".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code")
    except FileNotFoundError:
        finding.problem, finding.remedy = "not built yet", f"run `mmcourse build {lesson.slug}`"
        return finding
    except (OSError, ValueError, KeyError, TypeError) as error:
        finding.problem = f"{lesson.notebook.name} is damaged ({type(error).__name__})"
        finding.remedy = "restore it (git checkout, or install the course again)"
        return finding
    missing = [name for name in NAMES if re.search(rf"load\(\s*[\"']{name}", text) and not _shipped(name)]
    if missing:
        finding.problem, finding.remedy = f"its data are missing: {', '.join(missing)}", "install the course again"
    need, have = book.get("metadata", {}).get("mmcourse", {}).get("peak_mb", 0), _free_memory_mb()
    if need > have > 0:
        finding.problem = f"needs {need / 1024:.1f} GB of memory, {have / 1024:.1f} GB are free"
        finding.remedy = "close other programs and shut down other kernels"
    return finding


def _code_cells(notebook: Path) -> list[str]:
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError):  # reported by check_lesson
        return []


def _group(statement: str, root: Path | None) -> list[str]:
    """The packages that a statement is tried with; `COURSE` for the course's own modules."""
    module = statement.replace(",", " ").split()[1].split(".")[0]
    if module == "mmcourse" or _own_file(module, root):
        return [*modules_of(statement), COURSE] if module == "mmcourse" else [COURSE]
    return modules_of(statement)


def _own_file(module: str, root: Path | None = None) -> Path | None:
    """The course's own file of that name, which a lesson imports by way of `sys.path`; None for a package."""
    if find_spec(module) is not None:
        return None
    package = Path(runtime.__file__).resolve().parent
    places = [data_dir(), package / "_lessons", package.parent / "notebooks", *([root / "notebooks"] if root else [])]
    return next((found for place in places for found in sorted(place.rglob(f"{module}.py"))), None)


def _check_package(module: str, statements: list[str], root: Path | None) -> PackageFinding:
    package = runtime.DISTRIBUTION.get(module, module)
    finding = PackageFinding(module, _version(package) or "–")
    if find_spec(module) is None:
        finding.value, finding.problem = "not installed", f"{package} is not installed"
    elif too_old := _below_bound(package, _version(package)):
        finding.problem = f"{package} {finding.value} is too old, the course needs {too_old}"
    else:
        own = [_own_file(s.replace(",", " ").split()[1].split(".")[0], root) for s in statements]
        folders = sorted({str(path.parent) for path in own if path})
        tried = [f"import {module}", *statements, *([LAZY[module]] if module in LAZY else [])]
        faults, why = _ask(TRY, json.dumps(tried), json.dumps(folders))
        if faults is None:
            finding.problem = f"{package} is installed but does not load: {why}"
        elif faults:
            first = next(iter(faults.values()))
            finding.problem = f"{package} is installed but does not load: {first[:200]}"
            finding.faults = {} if tried[0] in faults else faults  # without the package itself no statement runs
    finding.remedy = remedy() if finding.problem else ""
    return finding


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _below_bound(package: str, version: str) -> str:
    """The course's own bound if `version` breaks it, else ""."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for line in metadata.requires("mmcourse") or []:
        bound = Requirement(line)
        if canonicalize_name(bound.name) == canonicalize_name(package) and version and version not in bound.specifier:
            return str(bound.specifier)
    return ""


def _ask(code: str, *arguments: str, seconds: float = 600) -> tuple[Any, str]:
    """What a fresh Python prints as JSON in its last line, or None and why there is none."""
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer after {seconds:g} s"
    if done.returncode < 0:
        return None, f"the process was ended by signal {-done.returncode} (a build for another processor?)"
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["unknown error"])[-1][:200]
    return json.loads(done.stdout.strip().splitlines()[-1]), ""


def _nvidia_cards() -> list[str]:
    """Names of the NVIDIA cards that the driver knows, whatever a framework sees."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):  # hidden on purpose
        return []
    if (program := shutil.which("nvidia-smi")) is None:
        return []
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _shipped(name: str) -> bool:
    try:
        return any((data_dir() / name).iterdir())
    except OSError:
        return False


def _free_memory_mb() -> float:
    try:
        import psutil
    except ImportError:
        return runtime.memory_mb()
    return psutil.virtual_memory().available / 2**20
