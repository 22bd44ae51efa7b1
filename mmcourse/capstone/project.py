"""A submission's folder, read as data: nothing of it is run here."""

from __future__ import annotations

import ast
import base64
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmcourse.capstone.briefs import Brief, find_brief
from mmcourse.classroom.untrusted import Unreadable, read_file

PAGES = ("project.toml", "PROPOSAL.md", "README.md", "limits.md", "report.json", "Makefile")
CARDS = ("cards/model.md", "cards/data.md")
WEIGHTS = (".npz", ".safetensors", ".json", ".onnx")
FOREIGN = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib", ".h5", ".keras", ".npy")  # stays outside
MOST_WEIGHTS = 32 << 20  # bytes of everything that goes into the sandbox


class BadProject(Exception):
    """The folder is no project; the message says what is wrong, and the remedy."""


@dataclass(frozen=True)
class Project:
    """What lies in a project's folder.

    Attributes
    ----------
    folder, name, brief : where, what it is called, what it answers
    texts : {page: its text} of the pages that are there
    report : report.json as read; {} where there is none
    problems : pages that could not be read, with the reason
    """

    folder: Path
    name: str
    brief: Brief
    texts: dict[str, str]
    report: dict[str, Any]
    problems: dict[str, str] = field(default_factory=dict)


def read_project(folder: Path) -> Project:
    """A project, whatever it lacks.

    Raises
    ------
    BadProject
        It has no readable project.toml, or one of an unknown brief.
    """
    if not folder.is_dir():
        raise BadProject(f"{folder}: no such folder; `mmcourse capstone new NAME --brief a` makes one")
    texts: dict[str, str] = {}
    problems: dict[str, str] = {}
    tests = sorted(path.relative_to(folder).as_posix() for path in (folder / "tests").glob("test_*.py"))
    sources = sorted(path.relative_to(folder).as_posix() for path in (folder / "src").glob("*.py"))
    for page in (*PAGES, *CARDS, *sources, *tests):
        path = folder / page
        if not path.exists() and not path.is_symlink():
            continue
        try:
            texts[page] = read_file(str(path)).decode("utf-8")
        except Unreadable as error:
            problems[page] = str(error)
        except UnicodeDecodeError:
            problems[page] = "is no UTF-8 text"
    name, brief = _facts(folder, texts, problems)
    return Project(folder, name, brief, texts, _report(texts, problems), problems)


def _facts(folder: Path, texts: dict[str, str], problems: dict[str, str]) -> tuple[str, Brief]:
    if "project.toml" not in texts:
        why = problems.get("project.toml", "missing")
        raise BadProject(f"{folder / 'project.toml'}: {why}; `mmcourse capstone new NAME --brief a` makes one")
    try:
        facts = tomllib.loads(texts["project.toml"])
        return str(facts["name"]), find_brief(str(facts["brief"]))
    except tomllib.TOMLDecodeError as error:
        raise BadProject(f'{folder / "project.toml"}: {error}; expected lines name = "…", brief = "…"') from None
    except KeyError as error:
        raise BadProject(f'{folder / "project.toml"}: expected a line {error.args[0]} = "…"') from None
    except ValueError as error:
        raise BadProject(f"{folder / 'project.toml'}: {error}") from None


def _report(texts: dict[str, str], problems: dict[str, str]) -> dict[str, Any]:
    try:
        read = json.loads(texts.get("report.json", "{}"))
    except (ValueError, RecursionError) as error:
        problems["report.json"] = f"is no JSON ({error})"
        return {}
    if not isinstance(read, dict):
        problems["report.json"] = "expected an object in braces"
        return {}
    return read


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e300 else None  # NaN, too, is not below


def interval_of(claim: Any) -> tuple[float, float] | None:
    """(low, high) of a claim {"interval": [low, high]}; None where there is none, or one that is no interval."""
    given = claim.get("interval") if isinstance(claim, dict) else None
    if not isinstance(given, list) or len(given) != 2:
        return None
    low, high = number(given[0]), number(given[1])
    return (low, high) if low is not None and high is not None and low <= high else None


def left_out(folder: Path) -> list[str]:
    """What lies in src/ and does not go into the sandbox: weights of other kinds, and folders with code."""
    found = []
    for path in sorted((folder / "src").glob("*")):
        if path.suffix.lower() in FOREIGN:
            found.append(f"src/{path.name}")
        elif path.is_dir() and path.name != "__pycache__" and any(path.glob("*.py")):
            found.append(f"src/{path.name}/")
    return found


def missing_files(project: Project) -> list[str]:
    """Weights that src/predict.py names and that are not in src/."""
    try:
        tree = ast.parse(project.texts.get("src/predict.py", ""))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    names = [text for text in texts if re.fullmatch(r"[\w.-]{1,80}", text) and text.endswith((*WEIGHTS, *FOREIGN))]
    return [name for name in dict.fromkeys(names) if not (project.folder / "src" / name).is_file()]


def cells(project: Project) -> list[str]:
    """Two cells for the sandbox: one writes the project's code and weights, one imports `predict`.

    Raises
    ------
    BadProject
        There is no src/predict.py, or everything together is too large.
    """
    source = project.folder / "src"
    if "src/predict.py" not in project.texts:
        why = project.problems.get("src/predict.py", "missing")
        raise BadProject(f"{source / 'predict.py'}: {why}; it must define predict(inputs)")
    packed: dict[str, str] = {}
    size = 0
    for path in sorted(source.iterdir()):
        if path.suffix != ".py" and path.suffix not in WEIGHTS:
            continue
        try:
            content = read_file(str(path))
        except Unreadable as error:
            raise BadProject(f"{path}: {error}") from None
        size += len(content)
        packed[path.name] = base64.b64encode(content).decode()
    if size > MOST_WEIGHTS:
        raise BadProject(f"{source}: {size / 1e6:.0f} MB; code and weights may have {MOST_WEIGHTS >> 20} MB together")
    write = f"import base64\n_files = {packed!r}\nfor _name, _text in _files.items():\n"
    write += "    with open(_name, 'wb') as _file:\n        _file.write(base64.b64decode(_text))\n"
    texts = "\n".join(text for page, text in project.texts.items() if page.startswith("src/"))
    loads = [f"import {name}" for name in ("torch", "keras") if f"import {name}" in texts or f"from {name}" in texts]
    return [write, "\n".join([*loads, "from predict import predict"])]
