"""A guard of the tests themselves: a module's tests share one worker, so that what they share is made once.

pytest-xdist 3.8 under pytest 9.2 loses its groups without a word: then both workers graded the whole hostile class.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

MODULE = "import pytest\n\n@pytest.mark.parametrize('i', range(6))\ndef test_it(i):\n    pass\n"


def test_two_workers_take_whole_modules(tmp_path: Path):
    folder = tmp_path / "tests" / "unit"
    folder.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[1] / "conftest.py", tmp_path / "tests")
    for name in "abc":
        (folder / f"test_{name}.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder", "-v"]
    plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}  # others take seconds to import
    run = subprocess.run(command, cwd=tmp_path, env={**os.environ, **plugins}, capture_output=True, text=True)
    told = run.stdout + run.stderr
    ran = re.findall(r"\[(gw\d)\].*PASSED tests/unit/(test_\w)\.py", told)
    assert len(ran) == 18, told
    assert len(set(ran)) == 3, "one worker for each module"
