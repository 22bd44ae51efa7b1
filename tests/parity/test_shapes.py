"""The shapes that the three backends promise in their annotations hold at run time, and a wrong one is refused."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import checked_shapes
import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ("attention", "convolution", "encoders", "layers", "losses", "masks", "norm", "recurrent", "transformer")
CORE += ("boxes", "contrastive", "decoding", "lora", "preferences", "set_prediction", "visual_tokens")
CORE += ("fusion/products", "fusion/sequences", "fusion/sums", "fusion/training")
FILES = [f"{backend}/{name}.py" for backend in checked_shapes.BACKENDS for name in CORE]
SHAPED = ("Bool[", "Float[", "Integer[", "Shaped[")
NO_SHAPES = {"__init__", "build", "get_config", "from_config"}  # sizes and settings, no arrays
# Called only with gradients of a framework at hand; tests/parity/test_fusion.py does that.
NOT_RUN = {"torch/fusion/training.py:modulate_gradients", "keras/fusion/training.py:modulate_gradients"}
NOT_RUN |= {f"{b}/recurrent.py:Recurrent.cell" for b in ("torch", "keras")}  # subclasses have their own
NOT_RUN |= {f"{b}/fusion/sums.py:WeightedSum.shares" for b in ("torch", "keras")} | {"numpy/fusion/sums.py:shares"}


@pytest.fixture(scope="module")
def run() -> dict:
    """What the checked run printed."""
    folder = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(Path(folder) / "checked_shapes.py")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def functions(file: str) -> dict[str, ast.FunctionDef]:
    """Functions and methods of a file, by "function" or "Class.method"."""
    found = {}
    for node in ast.parse((ROOT / "mmcourse" / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{item.name}": item for item in node.body if isinstance(item, ast.FunctionDef)}
    return found


def unannotated(file: str) -> list[str]:
    """What is missing: "function: argument"."""
    missing = []
    for name, function in functions(file).items():
        last = name.rpartition(".")[2]
        if last in NO_SHAPES or last.startswith("_"):
            continue
        arguments = [a for a in (*function.args.args, *function.args.kwonlyargs) if a.arg != "self"]
        missing += [f"{name}: {a.arg}" for a in arguments if a.annotation is None]
        missing += [f"{name}: its result"] if function.returns is None else []
    return missing


@pytest.mark.parametrize("file", FILES)
def test_every_argument_and_result_has_a_type(file: str):
    assert not unannotated(file)


def test_shapes_are_given_wherever_there_are_arrays():
    text = {file: (ROOT / "mmcourse" / file).read_text(encoding="utf-8") for file in FILES}
    assert not [file for file in FILES if not any(word in text[file] for word in SHAPED)]


def test_every_formula_keeps_its_shapes_and_every_function_was_tried(run: dict):
    promised = {
        f"{file}:{name}"
        for file in FILES
        for name in functions(file)
        if name.rpartition(".")[2] not in NO_SHAPES and not name.startswith("_")
    }
    assert promised - set(run["called"]) == NOT_RUN


def test_wrong_shapes_are_refused_only_because_they_are_checked(run: dict):
    assert set(run["errors"].values()) == {"TypeCheckError"}, run["errors"]
    unchecked = checked_shapes.errors_of_wrong_calls()  # in this process nothing is checked
    assert unchecked.keys() == run["errors"].keys()
    assert not [name for name, error in unchecked.items() if error], unchecked
