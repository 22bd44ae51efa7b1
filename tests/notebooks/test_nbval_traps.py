"""nbval would pass a notebook that shows something else in several ways; these tests hold each way shut."""

import re
from pathlib import Path

import nbformat
import nbval_run
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbval.plugin import get_sanitize_patterns

from mmcourse.authoring.clean import faults


def notebook(folder, source, shown, count=1, tags=(), stream=True):
    """A one-cell notebook that claims to have shown `shown`."""
    outputs = [new_output("stream", name="stdout", text=shown)] if stream and shown else []
    cell = new_code_cell(source, execution_count=count, outputs=outputs, metadata={"tags": list(tags)})
    nb = new_notebook(cells=[cell], metadata={"kernelspec": {"name": "no-such-kernel", "display_name": "x"}})
    path = folder / "one.ipynb"
    nbformat.write(nb, path)
    return path


def test_equal_output_passes_and_a_tampered_one_is_shown(tmp_path):
    assert nbval_run.run(notebook(tmp_path, "print(6 * 7)", "42\n"), tmp_path / "run") == (1, "")
    passed, failure = nbval_run.run(notebook(tmp_path, "print(6 * 7)", "43\n"), tmp_path / "run")
    assert passed == 0 and "Cell outputs differ" in failure and "print(6 * 7)" in failure and "43" in failure


def test_free_cells_are_run_but_not_compared(tmp_path):
    tags = ("free", "nbval-ignore-output")
    assert nbval_run.run(notebook(tmp_path, "print(6 * 7)", "43\n", tags=tags), tmp_path / "run") == (1, "")
    _, failure = nbval_run.run(notebook(tmp_path, "1 / 0", "43\n", tags=tags), tmp_path / "run")
    assert "ZeroDivisionError" in failure


@pytest.mark.parametrize(
    ("said", "shown", "differs"),
    [
        ("test accuracy 0.913, expected 0.90 ± 0.02", "test accuracy 0.884, expected 0.90 ± 0.02", False),
        ("a\nloss -1.25, expected -1.3 ± 0.1\nb", "a\nloss -1.31, expected -1.3 ± 0.1\nb", False),
        ("n 12.0, expected 12 ± 1", "n 11.4, expected 12 ± 1", False),
        ("test accuracy 0.913, expected 0.90 ± 0.02", "test accuracy 0.913, expected 0.95 ± 0.02", True),
        ("test accuracy 0.913, expected 0.90 ± 0.02", "test accuracy 0.913, expected 0.90 ± 0.05", True),
        ("test accuracy 0.913, expected 0.90 ± 0.02", "train accuracy 0.913, expected 0.90 ± 0.02", True),
        ("model 1 accuracy 0.9, expected 0.9 ± 0.1", "model 2 accuracy 0.9, expected 0.9 ± 0.1", True),
        ("accuracy 0.913\nx 0.913, expected 0.90 ± 0.02", "accuracy 0.884\nx 0.913, expected 0.90 ± 0.02", True),
        ("accuracy 0.913, expected more", "accuracy 0.884, expected more", True),
        ("x 0.913, expected 0.90 ± 0.02 or so", "x 0.884, expected 0.90 ± 0.02 or so", True),
    ],
)  # fmt: skip
def test_only_the_value_of_an_expected_number_may_differ(said, shown, differs):
    """By nbval's own reading of the file, one `re.sub` a section."""
    patterns = dict(
        get_sanitize_patterns(Path(nbval_run.__file__).with_name("sanitize.cfg").read_text(encoding="ascii"))
    )

    def sanitized(text):
        for regex, replacement in patterns.items():
            text = re.sub(regex, replacement, text)
        return text

    assert (sanitized(said + "\n") != sanitized(shown + "\n")) == differs


def test_a_measured_number_may_differ_in_a_whole_run(tmp_path):
    source = "from mmcourse.evaluate import expect_within\nexpect_within('accuracy', 0.913, 0.9, 0.02)"
    same_band = notebook(tmp_path, source, "accuracy 0.884, expected 0.90 ± 0.02\n")
    assert nbval_run.run(same_band, tmp_path / "run") == (1, "")
    other_band = notebook(tmp_path, source, "accuracy 0.913, expected 0.91 ± 0.02\n")
    assert "Cell outputs differ" in nbval_run.run(other_band, tmp_path / "run")[1]


def test_a_skipped_cell_is_no_pass(tmp_path):
    _, failure = nbval_run.run(notebook(tmp_path, "1 / 0", "", tags=["nbval-skip"]), tmp_path / "run")
    assert "1 skipped" in failure


def test_nbval_compares_nothing_without_a_count_so_the_gate_asks_for_counts(tmp_path):
    path = notebook(tmp_path, "print(6 * 7)", "", count=None)
    assert nbval_run.run(path, tmp_path / "run") == (1, "")
    assert [x.message for x in faults(nbformat.read(path, as_version=4))] == ["was not run"]


@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.create_connection(('192.0.2.1', 80), 5)",
        "import socket\nsocket.gethostbyname('example.org')",
        "import urllib.request\nurllib.request.urlopen('https://example.org', timeout=5)",
        "import subprocess, sys\nline = 'import socket; socket.getaddrinfo(\"example.org\", 80)'\n"
        "p = subprocess.run([sys.executable, '-c', line], capture_output=True, text=True)\n"
        "assert not p.stderr, p.stderr",
    ],
    ids=["address", "name", "https", "child process"],
)
def test_the_network_is_blocked(tmp_path, code):
    _, failure = nbval_run.run(notebook(tmp_path, code, ""), tmp_path / "run")
    assert "the network is blocked here" in failure


def test_this_machine_still_answers(tmp_path):
    code = (
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        "print(socket.create_connection(('localhost', server.getsockname()[1]), 5).fileno() > 0)"
    )
    assert nbval_run.run(notebook(tmp_path, code, "True\n"), tmp_path / "run") == (1, "")
