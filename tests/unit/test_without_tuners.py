"""“Run all” of the tuning lesson reaches its end without Optuna and KerasTuner, and one line says what is missing."""

import nbformat

from mmcourse.authoring import source
from mmcourse.authoring.catalogue import select
from mmcourse.authoring.execute import execute
from mmcourse.runtime import SLUG, is_installed

HIDE = "import sys\nsys.modules['optuna'] = sys.modules['keras_tuner'] = None  # as if they were not installed"


def shown(cells: list[nbformat.NotebookNode]) -> str:
    """All text that these cells printed."""
    return "".join(
        output.text for cell in cells for output in cell.get("outputs", []) if output.output_type == "stream"
    )


def test_a_module_is_installed_or_not():
    assert is_installed("json") and is_installed("numpy") and not is_installed("a_module_that_nobody_has")


def test_the_tuning_lesson_reaches_its_end():
    lesson = source.read(select(["tune"])[0].source)
    first = [nbformat.v4.new_code_cell(text) for text in (HIDE, source.setup_cell(SLUG, lesson))]
    code = [cell for cell in lesson.cells if cell.cell_type == "code"]
    nb = nbformat.v4.new_notebook(cells=[*first, *code])
    execute(nb)  # raises at the first cell that fails
    text = shown(nb.cells)
    packages = "keras-tuner optuna"
    line = f"Not installed here, and needed by this notebook: {packages}. To install: %pip install {packages}"
    assert text.count("Not installed here") == 1 and line in text
    for words in ("best validation accuracy 0", "the better of two", "killed; in the journal", "both worked", "PRUNED"):
        assert words not in text, f"{words!r}: this cell ran without its package"
    assert "promised" in text and "validation promised too much" in shown(nb.cells[-3:]), (
        "the lesson goes on to its end"
    )


def test_its_set_up_cell_still_names_what_it_needs():
    """The hidden packages are needed by this notebook as before: its set-up cell asks for them."""
    cell = source.setup_cell(SLUG, source.read(select(["tune"])[0].source))
    assert '"optuna"' in cell and '"keras_tuner"' in cell
