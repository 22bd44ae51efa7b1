"""One notebook under nbval: a fresh kernel, no network, a scratch folder, strict comparison."""

import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.font_manager  # noqa: F401  its first import on a machine is slow and tells stderr so: not in a lesson
import nbformat

from mmcourse.authoring import real
from mmcourse.authoring.execute import offline_environment

CELL_SECONDS = 300


def run(notebook: Path, scratch: Path) -> tuple[int, str]:
    """Cells that passed, and what nbval says about a failing one (empty if all passed)."""
    scratch.mkdir(exist_ok=True)
    nb = nbformat.read(notebook, as_version=4)
    skipped = real.names_of_skipped(nb)
    copy = scratch / notebook.name  # kernels start beside it: nothing lands in the course
    nbformat.write(nb, copy)
    for line in skipped:
        print(f"{notebook.name}: {line}")
    env = {k: v for k, v in offline_environment(scratch).items() if not k.startswith(("PYTEST_", "COV_"))}
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "--color=no", "--tb=short", "-p", "no:cacheprovider",
        "-p", "no:xdist", "-c", os.devnull, f"--rootdir={scratch}", "--nbval", "--nbval-current-env",
        f"--nbval-cell-timeout={CELL_SECONDS}", f"--nbval-sanitize-with={Path(__file__).with_name('sanitize.cfg')}",
        str(copy),
    ]  # fmt: skip
    result = subprocess.run(command, cwd=scratch, env=env, capture_output=True, text=True)
    passed = re.search(r"(\d+) passed", result.stdout)
    output = result.stdout + result.stderr
    # every code cell must count: a skipped one would be a silent pass
    if result.returncode == 0 and passed and int(passed[1]) == code_cells(notebook):
        return int(passed[1]), ""
    return int(passed[1]) if passed else 0, output[-6000:]


def code_cells(notebook: Path) -> int:
    """Number of code cells."""
    return sum(c.cell_type == "code" for c in nbformat.read(notebook, as_version=4).cells)
