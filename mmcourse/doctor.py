"""Will the course run here? Versions, processor, memory, disk, and what each lesson needs, each with a remedy."""

from __future__ import annotations

import ast
import json
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

from mmcourse import runtime
from mmcourse.authoring.catalogue import Lesson, lessons
from mmcourse.datasets import NAMES, data_dir

FREE_DISK_MB = 500  # kernels, figures and JupyterLab's own files
DISTRIBUTION = {"IPython": "ipython", "PIL": "pillow", "sklearn": "scikit-learn"}  # where module and package differ
ROOMS = {"mmcourse.torch": ("torch",), "mmcourse.keras": ("keras", "tensorflow")}
NEEDED_BY_LAB = ("jupyterlab", "ipykernel", "nbclient", "psutil")


@dataclass
class Finding:
    """One line of the report; `problem` is empty where all is well."""

    name: str
    value: str
    problem: str = ""
    remedy: str = ""


@dataclass
class Diagnosis:
    """Everything found; `lessons` has one finding a lesson."""

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
    """How to install what is missing: in a checkout by make, else by pip."""
    checkout = (Path(__file__).resolve().parent.parent / "Makefile").is_file()
    return "run `make setup` in the course's folder" if checkout else f"run `pip install -U 'mmcourse[{extra}]'`"


def diagnose(root: Path | None = None) -> Diagnosis:
    """Look at this machine and every lesson; imports each package that a lesson needs in a process of its own.

    Parameters
    ----------
    root : Path, optional
        Folder that holds ``notebooks/``; default: the course's own.
    """
    found = lessons(root)
    needs = {lesson.name: needed_modules(lesson.notebook) for lesson in found}
    wanted = sorted(set(NEEDED_BY_LAB).union(*needs.values()))
    packages = {finding.name: finding for finding in check_packages(wanted)}
    diagnosis = Diagnosis(check_machine(), list(packages.values()))
    blocked = [finding for finding in diagnosis.machine if finding.problem]
    for lesson in found:
        missing = [packages[name] for name in needs[lesson.name] if packages[name].problem]
        diagnosis.lessons.append(check_lesson(lesson, blocked + missing))
    return diagnosis


def needed_modules(notebook: Path) -> list[str]:
    """Top-level modules outside the standard library that a notebook's cells import; [] if it cannot be read."""
    modules: set[str] = set()
    for statement in _imports(notebook):
        name = statement.split(".")[0]
        modules |= {name} - {"mmcourse"}
        modules.update(*(needs for room, needs in ROOMS.items() if f"{statement}.".startswith(f"{room}.")))
    return sorted(modules - set(sys.stdlib_module_names) - {"google"})


def check_packages(modules: Iterable[str]) -> list[Finding]:
    """Import each module in its own process: a package can be there and yet not load."""
    with ThreadPoolExecutor(max_workers=runtime.usable_cores()) as pool:
        return list(pool.map(_check_package, modules))


def check_machine() -> list[Finding]:
    """Python, system, cores, memory, GPU and free disk."""
    report = runtime.machine_report(packages=())
    findings = [Finding(name, str(value)) for name, value in report.items()]
    free = shutil.disk_usage(tempfile.gettempdir()).free // 2**20
    disk = Finding("disk", f"{free / 1024:.1f} GB free for temporary files")
    if free < FREE_DISK_MB:
        disk.problem = f"only {free} MB free in {tempfile.gettempdir()}; a lesson needs {FREE_DISK_MB} MB"
        disk.remedy = "free some space, or point TMPDIR at a disk that has it"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        python = next(finding for finding in findings if finding.name == "python")
        python.problem, python.remedy = "the course is tested on Python 3.11 to 3.13", "use one of these"
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


def _imports(notebook: Path) -> list[str]:
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError):  # reported by check_lesson
        return []
    names = []
    for cell in cells:
        source = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
        try:
            tree = ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M))
        except SyntaxError:  # an error that a lesson shows on purpose
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _check_package(module: str) -> Finding:
    package = DISTRIBUTION.get(module, module)
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        version = ""
    finding = Finding(module, version or "–")
    if find_spec(module) is None:
        finding.value, finding.problem = "not installed", f"{package} is not installed"
    elif too_old := _below_bound(package, version):
        finding.problem = f"{package} {version} is too old, the course needs {too_old}"
    elif why := _import_error(module):
        finding.problem = f"{package} is installed but does not load: {why}"
    finding.remedy = remedy() if finding.problem else ""
    return finding


def _below_bound(package: str, version: str) -> str:
    """The course's own bound if `version` breaks it, else ""."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for line in metadata.requires("mmcourse") or []:
        bound = Requirement(line)
        if canonicalize_name(bound.name) == canonicalize_name(package) and version and version not in bound.specifier:
            return str(bound.specifier)
    return ""


def _import_error(module: str, seconds: float = 120) -> str:
    code = "import mmcourse.keras" if module == "keras" else f"import {module}"
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"no answer after {seconds:g} s"
    if done.returncode < 0:
        return f"the process was ended by signal {-done.returncode} (a build for another processor?)"
    lines = done.stderr.strip().splitlines() or ["unknown error"]
    return lines[-1][:200] if done.returncode else ""


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
