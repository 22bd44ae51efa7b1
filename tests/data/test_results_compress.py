"""Stored figures of lesson compress: what takes seconds is made again, and the student is what its card says."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from mmcourse import datasets, onnx
from mmcourse.datasets import data_dir, mood

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

STORED = datasets.results("compress")


@pytest.fixture(scope="module")
def script():
    """make_results.py as a module."""
    path = datasets.lesson_dir("compress") / "make_results.py"
    spec = importlib.util.spec_from_file_location("compress_make_results", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def test_split(script):
    return script.whole("test")


def test_the_exact_posterior_is_a_probability_and_reaches_the_ceiling():
    path = datasets.load("mood", "test")
    cues = [np.array([mood.CUES[m].index(c) for c in path.meta[f"{m}_cue"]]) for m in mood.MODALITIES]
    table = mood.JOINT / mood.JOINT.sum(axis=0)
    p = table[:, cues[0], cues[1], cues[2]].T
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert p.max(axis=1).mean() == pytest.approx(mood.bayes_accuracy(), abs=0.01)


def test_few_bits_are_made_again(script, test_split):
    model = script.load_trimodal()
    for bits in (8, 4, 2):
        for kind in ("tensor", "channel"):
            weights = script.quantized_weights(model, bits, kind == "channel")
            logits = script.logits_of(script.with_weights(model, weights), test_split).detach()
            found = script.scores(logits, test_split)
            assert found["expected"] == pytest.approx(STORED["bits"][f"{bits} {kind}"]["expected"], abs=0.01)


def test_training_with_rounding_is_what_saves_two_bits():
    gains = [
        one["expected"] - other["expected"]
        for one, other in zip(STORED["bits"]["2 qat"], STORED["bits"]["2 control"], strict=True)
    ]
    assert len(gains) == 5 and min(gains) > 0.15


def test_pruning_keeps_the_file_and_cutting_units_does_not(script):
    model = script.load_trimodal()
    keep = script.masks_of(model, 0.9)
    total = sum(mask.numel() for mask in keep.values())
    assert sum(int((~mask).sum()) for mask in keep.values()) == round(0.9 * total)
    script.apply_masks(model, keep)
    assert script.file_bytes(model)[0] == STORED["pruning"]["bytes"][0]
    assert script.file_bytes(script.without_units(script.load_trimodal(), 32))[0] < STORED["pruning"]["bytes"][0]


def test_both_ladders_begin_with_themselves():
    for rows in (STORED["ladder"]["small"], STORED["ladder"]["wide"]["1"]):
        assert rows[0]["name"] == "eager" and rows[0]["difference"] == 0 and rows[0]["agreement"] == 1
    alone = {row["name"]: row for row in STORED["ladder"]["small, single messages"]}
    wide = {row["name"]: row for row in STORED["ladder"]["wide"]["1"]}
    for rows in (alone, wide):
        needed = ["eager", "torch.export", "ONNX, reference", "ONNX Runtime", "int8, dynamic", "student, int8"]
        assert [name for name in rows if name in needed] == needed, "every rung, in the order of the climb"
    floats, ints = (np.array(alone[name]["rounds"]) for name in ("ONNX Runtime", "int8, all layers"))
    assert (ints > 1.1 * floats).all(), "int8 loses"
    floats, ints = (np.array(wide[name]["rounds"]) for name in ("ONNX Runtime", "int8, dynamic"))
    assert (ints < 0.7 * floats).all(), "int8 wins"


def test_every_rung_has_its_memory():
    memory = STORED["memory"]
    for rows, found in (("small, single messages", memory), ("wide", memory["wide"])):
        stored = STORED["ladder"][rows]
        names = [row["name"] for row in (stored["1"] if rows == "wide" else stored)]
        assert all(found[name] > found["data alone"] for name in names)


def test_the_clips_are_what_half_of_the_answers_hang_on():
    photos = STORED["photos"]
    assert photos["static"]["agreement"] < 0.6 < 0.9 < photos["static, with Clip"]["agreement"]
    assert (photos["static"]["clips"], photos["static, with Clip"]["clips"]) == (33, 0)
    assert photos["static, with Clip"]["median range"] == pytest.approx(6, abs=0.01)


def test_the_student_is_what_its_card_says():
    folder = data_dir() / "models" / "student"
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    assert figures["accuracy"] == STORED["student"]["accuracy"]
    test = datasets.load("mood", "test")
    for name, tolerance in (("model.onnx", 0.001), ("model.int8.onnx", 0.01)):
        data = (folder / name).read_bytes()
        assert not any(word in data for word in (b"/home/", b"/work/", b".py"))
        session = onnx.load_trimodal(folder / name)
        said = np.concatenate([session.logits(batch).argmax(axis=1) for batch in test.batches(250)])
        assert (said == test.labels).mean() == pytest.approx(figures["accuracy"], abs=tolerance)


def test_a_student_learns_from_every_kind_of_target(script, test_split):
    for kind in script.KINDS:
        p = script.targets_of(kind, test_split).softmax(dim=1)
        assert torch.isfinite(p).all() and torch.allclose(p.sum(dim=1), torch.ones(len(p)))
    part = {**script.rows_of(test_split, torch.arange(100)), "target": test_split["target"][:100]}
    first, second, _ = script.train_student(0, part, test_split["posterior"][:100].log(), (1, 40), test_split)
    assert second["kl"] < first["kl"]


def test_every_part_of_the_grid_is_stored(script):
    for n in script.NUMBERS:
        for kind in script.KINDS:
            row = STORED["distill"][f"{n} {kind}"]
            assert np.shape(row["expected"]) == (2, 8)
    assert STORED["distill"]["budgets"] == list(script.BUDGETS)
