"""pyproject, constraints and environment.yml agree; imports only go down; the wheel holds what it must."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
FLOORS = {  # from ARCHITECTURE: imports only go down
    4: {"cli", "__main__", "doctor", "authoring", "capstone", "classroom", "serve", "workspace"},
    3: {"check", "exercise", "figures", "plot", "draw", "widgets", "evaluate", "parity"},
    2: {"export", "training"},
    1: {
        "ceilings",
        "datasets",
        "preprocess",
        "numpy",
        "torch",
        "keras",
        "runtime",
        "environment",
        "io",
        "messages",
        "onnx",
        "pretrained",
        "progress",
        "terminal",
        "quiet",
    },
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names}
BACKENDS = {"numpy", "torch", "keras"}
MODULES = sorted((ROOT / "mmcourse").rglob("*.py"))


def pins() -> dict[str, str]:
    """Package → exact version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    """Core and every extra, without the extras' references to the course itself."""
    listed = [Requirement(line) for line in PROJECT["dependencies"] + sum(EXTRAS.values(), [])]
    return [r for r in listed if r.name != "mmcourse"]


def test_only_lower_bounds_are_given():
    """But for pytest: from 9.2 on, xdist loses its groups without a word."""
    for requirement in requirements():
        wanted = ["<", ">="] if requirement.name == "pytest" else [">="]
        found = sorted(specifier.operator for specifier in requirement.specifier)
        assert found == wanted, f"{requirement}: one lower bound, no upper pin"


def test_every_requirement_is_pinned_within_its_bound():
    pinned = pins()
    for requirement in requirements():
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is missing from constraints.txt"
        assert version in requirement.specifier, f"constraints.txt has {requirement.name}=={version}"


def test_constraints_are_exact_sorted_and_public():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line) for line in lines), "name==version, no +local"
    names = [canonicalize_name(line.split("==")[0]) for line in lines]
    assert names == sorted(set(names))


def test_what_is_installed_here_is_what_is_pinned():
    """Every package that the extras bring is pinned: else two installs on two days differ."""
    elsewhere = {
        str(Requirement(line))
        for extra in ("bench", "pretrained", "reference", "explain", "gpu")
        for line in EXTRAS[extra]
    }
    asked = [r for r in requirements() if str(r) not in elsewhere]  # these are installed by who wants them
    pinned, seen, waiting = pins(), set(), {(canonicalize_name(r.name), frozenset(r.extras)) for r in asked}
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        assert name in pinned, f"{name} is missing from constraints.txt"
        for line in metadata.requires(name) or []:
            needed = Requirement(line)
            if not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                waiting.add((canonicalize_name(needed.name), frozenset(needed.extras)))


def test_no_pin_makes_each_of_jupyters_processes_start_late():
    """From 4.25 on, jsonschema imports rfc3987-syntax where it is installed, which builds a grammar for 2 s."""
    pinned = pins()
    assert "rfc3987-syntax" not in pinned and pinned["jsonschema"] in SpecifierSet("<4.25")


PLATFORMS = {
    "Linux": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"},
    "macOS": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64", "os_name": "posix"},
    "Windows": {"sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64", "os_name": "nt"},
}


@pytest.mark.parametrize("python", ["3.11.2", "3.12.0", "3.13.0"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_everything_that_a_platform_asks_for_is_pinned_and_fits(platform: str, python: str):
    """Markers are evaluated as if this machine were another: each package that is then asked for is pinned in bounds.

    What this cannot show: that a wheel of the pinned version exists for that platform, and that it works there. Markers
    are read from what is installed here, so those of a package that only another platform installs are unseen.
    """
    version = {"python_version": python.rsplit(".", 1)[0], "python_full_version": python}
    pinned, seen = pins(), set()
    waiting = {(canonicalize_name(r.name), frozenset(r.extras)) for r in asked_by_all()}
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        assert name in pinned, f"{name} is asked for on {platform} with Python {python}: missing from constraints.txt"
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform or Python
            continue
        for line in needs:
            needed = Requirement(line)
            environment = PLATFORMS[platform] | version
            if needed.marker and not any(needed.marker.evaluate(environment | {"extra": e}) for e in {"", *extras}):
                continue
            found = pinned.get(canonicalize_name(needed.name))
            assert found and needed.specifier.contains(found, prereleases=True), f"{name} asks for {needed}: {found}"
            waiting.add((canonicalize_name(needed.name), frozenset(needed.extras)))


@pytest.mark.parametrize("python", ["3.11.0", "3.11.2", "3.12.0", "3.13.0"])
def test_no_pin_refuses_a_python_that_the_course_allows(python: str):
    """Debian 12 has Python 3.11.2: soupsieve 4.1.2 wanted 3.11.5, and nothing could be installed."""
    assert python in SpecifierSet(PROJECT["requires-python"])
    refused, read = {}, 0
    for name, version in pins().items():
        try:
            found = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue
        read += 1
        installed = found["Version"].split("+")[0]
        if installed == version and python not in SpecifierSet(found.get("Requires-Python") or ""):
            refused[f"{name}=={version}"] = found["Requires-Python"]
    assert not refused and read > 150


def asked_by_all() -> list[Requirement]:
    """What `all` asks for, the extras that are installed separately left out."""
    elsewhere = {
        str(Requirement(line))
        for extra in ("bench", "pretrained", "reference", "explain", "gpu")
        for line in EXTRAS[extra]
    }
    return [r for r in requirements() if str(r) not in elsewhere]


def test_extras_are_the_promised_ones_and_all_is_their_sum():
    installed = {"torch", "keras", "lab", "test", "classroom", "export", "serve", "scale", "all"}
    named = installed | {"bench", "pretrained", "reference", "explain", "gpu"}
    assert set(EXTRAS) == named
    assert (
        Requirement(EXTRAS["all"][0]).extras
        == set(EXTRAS) - {"all", "bench", "pretrained", "reference", "explain", "gpu"}
        and len(EXTRAS["all"]) == 1
    )


def test_every_core_dependency_is_imported():
    called = {"ipython": "IPython", "pillow": "PIL", "scikit-learn": "sklearn"}  # not by their own names
    imported: set[str] = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    core = [Requirement(line).name for line in PROJECT["dependencies"]]
    assert not [name for name in core if called.get(name, name) not in imported]


def test_types_are_checked_everywhere_and_shipped():
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert mypy["check_untyped_defs"] is True and mypy["files"] == ["mmcourse"]
    assert not [
        each for each in mypy["overrides"] if each.get("check_untyped_defs") is False or "ignore_errors" in each
    ]
    assert (ROOT / "mmcourse" / "py.typed").is_file()  # tells a user's own type checker; the wheel test looks for it


def test_core_install_is_light():
    core = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert not core & {"torch", "tensorflow", "keras", "transformers", "librosa", "nltk", "jupyterlab", "pandas"}


def test_conda_users_get_the_same_set():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    python = re.search(r"- python=([\d.]+)", text)
    assert python and f">={python[1]}" in PROJECT["requires-python"]
    steps = [line.strip() for line in text.split("- pip:")[1].splitlines() if line.strip()]
    assert steps == ["- -c constraints.txt", "- -e .[all]"], "the same two arguments as in the Makefile"
    assert "-m pip install -c constraints.txt -e '.[all]'" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_import_loads_no_framework():
    """How quick it is, `make bench-speed` measures."""
    code = "import sys, mmcourse"
    code += "; print([m for m in ('torch', 'tensorflow', 'keras', 'numpy') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_go_down(path: Path):
    here = path.relative_to(ROOT / "mmcourse").with_suffix("").parts[0]
    if here == "__init__":
        return
    assert here in FLOOR, f"mmcourse/{here} stands on no floor: see FLOORS in this test"
    for there in imported_packages(path):
        assert FLOOR[there] <= FLOOR[here], f"{here} (floor {FLOOR[here]}) imports {there} (floor {FLOOR[there]})"
        if here in BACKENDS:
            assert there not in BACKENDS - {here}, f"the backends never import one another: {here} imports {there}"


def imported_packages(path: Path) -> set[str]:
    """Names X of every `mmcourse.X` that a file imports anywhere, relative imports included."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    packages = {name.split(".")[1] for name in names if name.startswith("mmcourse.")}
    return packages & set(FLOOR)


def test_the_wheel_carries_every_stored_result_that_a_lesson_reads():
    """`results("images")` in a lesson works where the course was installed by pip, too."""
    sources = [path for path in (ROOT / "notebooks/src").glob("*/*.py") if path.name != "make_results.py"]
    read = {slug for path in sources for slug in re.findall(r'\bresults\("(\w+)"\)', path.read_text(encoding="utf-8"))}
    shipped = set(re.findall(r'"notebooks/src/(\w+)/results\.json" =', (ROOT / "pyproject.toml").read_text()))
    assert {"attention", "tune"} <= read and read <= shipped
    assert all((ROOT / "notebooks/src" / slug / "results.json").is_file() for slug in shipped)


@pytest.mark.xdist_group("wheel")
def test_the_wheel_holds_lessons_data_and_licenses_but_no_solutions(tmp_path: Path, wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "mmcourse").rglob("*") if is_shipped(path)}
    lessons = {f"mmcourse/_notebooks/{p.name}" for p in (ROOT / "notebooks").glob("*.ipynb")}
    exercises = {f"mmcourse/_notebooks/exercises/{p.name}" for p in (ROOT / "notebooks/exercises").glob("*.ipynb")}
    cards = {f"mmcourse/_data/{p.relative_to(ROOT / 'data')}" for p in (ROOT / "data").rglob("README.md")}
    assert not (code | lessons | exercises | cards) - names
    others = {name for name in names if not name.startswith("mmcourse/capstone/")}  # a project there has a src/ too
    assert not [name for name in names if "solutions" in name or "__pycache__" in name]
    assert not [name for name in others if "/src/" in name]
    assert {name.split("/")[-1] for name in names if "/licenses/" in name} == {"LICENSE", "LICENSE-CC-BY-4.0"}
    assert not [name for name in names if not name.startswith(("mmcourse/", "mmcourse-"))], "nothing beside the package"
    assert wheel.stat().st_size < 60e6  # as ARCHITECTURE has it; 41 MB with 24 of the 36 lessons
    # Checks work where the wheel is installed, and no right answer lies beside them.
    data = {path.parent.name for path in (ROOT / "notebooks/src").glob("*/exercises.py")}
    assert {f"mmcourse/_lessons/{slug}/exercises.py" for slug in data} <= set(names)
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "installed")
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "installed/mmcourse/_lessons").glob("*/exer*.py")]
    assert len(texts) == len(list((ROOT / "notebooks/src").glob("*/exercises*.py")))
    assert not [text for text in texts if "@right" in text] and all("from mmcourse.exercise import" in x for x in texts)
    code = """
import mmcourse
from mmcourse.check import judge
from mmcourse.exercise import find, registry
ids = [x.id for slug in registry.slugs() for x in registry.without_frameworks(slug)[:1]] + ["neural_networks.4"]
for x in map(find, ids):
    assert judge(x.id, x.reference).passed and judge(x.id, x.mutants[0][0]).status == "wrong" and not x.right, x.id
print(mmcourse.__file__, ids)
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0 and str(tmp_path) in run.stdout, run.stderr


def is_shipped(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def imported_modules(path: Path, modules: dict[str, Path]) -> set[str]:
    """The course's modules that a file imports, in functions too; not those that only a type checker reads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [
        inside
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inside in ast.walk(node)
    ]
    found = set()
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & modules.keys() or {node.module}
    return found & modules.keys()


def circle(graph: dict[str, set[str]]) -> list[str]:
    """What is left when modules that import nothing of the rest are taken away again and again."""
    left = dict(graph)
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": set(), "c": {"a"}}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def test_no_module_imports_itself_by_a_detour():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES
    }
    graph = {name: imported_modules(path, modules) - {name} for name, path in modules.items()}
    assert sum(map(len, graph.values())) > 300, "imports are seen"
    assert circle(graph) == []
