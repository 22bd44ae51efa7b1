"""A bill of materials (CycloneDX 1.5, JSON) of the environment that runs this: packages, model, what the page loads.

::

    python -m mmcourse.serve.container.sbom > sbom.json
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from mmcourse.datasets import data_dir
from mmcourse.serve.page import vendor

MODELS = "models/start_here"


def package(found: metadata.Distribution) -> dict[str, Any]:
    """One installed Python package."""
    name, version = found.metadata["Name"], found.version
    about = found.metadata.json
    told = str(about.get("license_expression") or about.get("license") or "")
    part: dict[str, Any] = {"type": "library", "name": name, "version": version}
    part["purl"] = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    if told and len(told) < 80:
        part["licenses"] = [{"license": {"name": told}}]
    return part


def file(path: Path, kind: str, **more: Any) -> dict[str, Any]:
    """One file with its SHA-256."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"type": kind, "name": path.name, "hashes": [{"alg": "SHA-256", "content": digest}], **more}


def bill() -> dict[str, Any]:
    """Everything, each part once, in an order that does not change from build to build."""
    packages = {each.metadata["Name"].lower(): package(each) for each in metadata.distributions()}
    parts = [packages[name] for name in sorted(packages)]
    folder = data_dir() / MODELS
    parts += [file(path, "machine-learning-model") for path in sorted(folder.glob("*.onnx"))]
    lock = vendor.lock()
    purl = f"pkg:npm/{lock['package']}@{lock['version']}"
    license = [{"license": {"id": lock["license"]}}]
    parts += [
        file(vendor.folder() / name, "file", version=lock["version"], purl=purl, licenses=license)
        for name in sorted(vendor.names())
        if (vendor.folder() / name).is_file()
    ]
    about = {"component": {"type": "application", "name": "mmcourse-serve", "version": metadata.version("mmcourse")}}
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": about, "components": parts}


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1)
