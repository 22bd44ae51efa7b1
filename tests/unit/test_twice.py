"""Cells that a reader runs again: what changes or fails is found, what may differ is left alone."""

from __future__ import annotations

import nbformat
import pytest

from mmcourse.authoring import twice


def faults(*cells: str | tuple[str, str]) -> list[str]:
    nb = nbformat.v4.new_notebook()
    for cell in cells:
        text, tag = (cell, "") if isinstance(cell, str) else cell
        nb.cells.append(nbformat.v4.new_markdown_cell("between"))
        nb.cells.append(nbformat.v4.new_code_cell(text, metadata={"tags": [tag]} if tag else {}))
    return twice.faults(nb)


def test_cells_that_repeat_themselves_have_no_fault():
    again = "import numpy as np\nrng = np.random.default_rng(0)\nprint(rng.random())"
    varying = "import time\nprint(f'accuracy {time.time():.6f}, expected 0.9 ± 0.1')"
    assert faults("x = [1]", again, "y = x + [2]\ny", varying, ("import time\nprint(time.time())", "free")) == []


def test_a_cell_that_overwrites_its_input_is_named():
    (fault,) = faults("words = ['a', 'b', 'c']", "words = words[1:]\nprint(words)", "print('fine')")
    assert "`words = words[1:]`" in fault and "\"['b', 'c']\", then \"['c']\"" in fault and "`once`" in fault


def test_a_shared_generator_a_growing_table_and_a_count_are_named():
    found = faults(
        "import numpy as np\nrng, runs = np.random.default_rng(0), {'accuracy': []}",
        "print(rng.integers(1_000_000))",
        "runs['accuracy'].append(1)\nlen(runs['accuracy'])",
    )
    assert ["rng.integers" in found[0], "runs['accuracy']" in found[1], len(found)] == [True, True, 2]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["x = {'a': 1}", "x.pop('a')"], "`x.pop('a')`) fails when it is run again: KeyError"),
        (["x = [1, 2]", "x.pop()", "print(x[0])"], "`print(x[0])`) fails after earlier cells were run twice"),
    ],
)
def test_a_cell_that_fails_the_second_time_is_named(cells, words):
    (fault,) = faults(*cells)
    assert words in fault


def test_a_cell_that_goes_on_says_so():
    assert faults("x = 0", ("x += 1\nx", "once"), "x") == []
