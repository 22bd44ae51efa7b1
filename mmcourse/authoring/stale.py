"""What another version of a framework made: shipped weights, stored figures, built notebooks."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mmcourse.datasets.base import data_dir

from .catalogue import lessons

FRAMEWORKS = ("torch", "tensorflow", "keras", "numpy", "scikit-learn", "transformers", "optuna", "keras-tuner")


def installed() -> dict[str, str]:
    """Versions of the frameworks that are here, without local parts such as ``+cpu``."""
    found = {}
    for name in FRAMEWORKS:
        try:
            found[name] = version(name).split("+")[0]
        except PackageNotFoundError:
            continue
    return found


def stale_files(root: Path | str | None = None) -> list[tuple[str, str]]:
    """(file, what is different) for each file that tells which versions made it, and was made by others.

    Notebooks, stored results and the figures of shipped models are read; a file that tells nothing is listed as such.
    """
    here, found = installed(), []
    for path in _files(root):
        made = made_with(path)
        changed = [f"{name} {old} → {here[name]}" for name, old in made.items() if here.get(name, old) != old]
        if changed or not made:
            found.append((f"{path.parent.name}/{path.name}", ", ".join(changed) or "says no versions"))
    return found


def made_with(path: Path) -> dict[str, str]:
    """The versions that a file says it was made with; empty where it says none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    told = content.get("metadata", {}).get("mmcourse", {}) if path.suffix == ".ipynb" else content
    told = told.get("made_with", {})
    if isinstance(told, str):  # "torch 2.13.0+cpu, keras 3.15.1"
        told = dict(re.findall(r"([A-Za-z-]+) (\d[\w.]*)", told))
    names = {"pytorch": "torch"}
    return {names.get(name.lower(), name.lower()): str(value).split("+")[0] for name, value in told.items()}


def _files(root: Path | str | None) -> list[Path]:
    built = [path for lesson in lessons(root) for path in lesson.built]
    results = [lesson.home / "results.json" for lesson in lessons(root)]
    models = sorted((data_dir() / "models").glob("*/figures.json"))
    return [path for path in [*built, *results, *models] if path.is_file()]
