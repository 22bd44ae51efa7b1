"""Stored figures of lesson interpret: the exact games again, one cell of the model's, and one small run of each map."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from mmcourse import datasets, pretrained
from mmcourse.datasets import mood
from mmcourse.numpy.explain import shapley

STORED = datasets.results("interpret")


@pytest.fixture(scope="module")
def script():
    """make_results.py as a module."""
    path = datasets.lesson_dir("interpret") / "make_results.py"
    spec = importlib.util.spec_from_file_location("interpret_make_results", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_exact_games_are_what_the_table_says(script):
    cells = STORED["games"]["cells"]
    assert len(cells) == 36 and sum(cell["p"] for cell in cells.values()) == pytest.approx(1)
    prior = mood.JOINT[2].sum()
    for name, cell in cells.items():
        where = tuple(map(int, name.split()))
        posterior = mood.JOINT[(2, *where)] / mood.JOINT[(slice(None), *where)].sum()
        for game in ("observational", "interventional"):
            np.testing.assert_allclose(shapley(script.exact_values(where, game)), cell[game], atol=1e-12)
            assert sum(cell[game]) == pytest.approx(posterior - prior)
    signs = cells["2 0 0"]["observational"][0], cells["2 0 0"]["interventional"][0]
    assert signs == pytest.approx((0.127, -0.081), abs=5e-4)


def test_the_model_plays_one_cell_again(script):
    test, model = datasets.load("mood", "test"), pretrained.load_trimodal()
    vectors = script.encode_all(model, test)
    cues = np.stack([np.array([mood.CUES[m].index(c) for c in test.meta[f"{m}_cue"]]) for m in mood.MODALITIES])
    cell = (2, 0, 0)
    rows = np.flatnonzero((cues.T == cell).all(axis=1))[:20]
    for game in ("observational", "interventional", "null"):
        values = script.model_values(model, vectors, cues, script.null_vectors(model), cell, rows, game)
        found = shapley(values).mean(axis=1)
        np.testing.assert_allclose(found, STORED["games"]["cells"]["2 0 0"][f"model, {game}"], atol=0.03)


def test_a_thing_out_of_sight_changes_nothing_else(script):
    asked = script.Asked(seed=71, number=3)
    for scene, place, picture in zip(asked.scenes, asked.targets, asked.images, strict=True):
        assert np.array_equal(script.render_without(scene), picture)
        gone = script.render_without(scene, place)
        rows, columns = np.nonzero((gone != picture).any(axis=-1))
        left, top, right, bottom = script.box(scene.things[place])
        assert len(rows) and top - 2 <= rows.min() <= rows.max() <= bottom + 1
        assert left - 2 <= columns.min() <= columns.max() <= right + 1


def test_maps_have_one_form_and_the_mark_is_where_it_is_sought(script):
    asked = script.Asked(seed=71, number=2)
    maps = script.maps_of(asked, script.prepare_images(asked.images), steps=1)
    assert set(maps) <= set(STORED["pointing"]["maps"])
    assert {tuple(heat.shape) for heat in maps.values()} == {(2, 8, 8)}
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    rows, columns = np.nonzero(script.with_mark(picture, np.ones(1))[0, ..., 0])
    assert rows.min() >= 54 and columns.max() < 10
    assert script.auc([2, 3], [0, 1]) == 1 and script.auc([1, 1], [1, 1]) == 0.5


def test_evidence_is_what_the_grammar_says(script):
    for sentence, cue, negated, marked in (
        ("What an awful film that was.", "negative", False, ["awful"]),
        ("The film was not awful at all.", "positive", True, ["not", "awful"]),
        ("The film was fun and my heart was full.", "positive", False, ["fun", "my", "heart", "was", "full"]),
    ):
        found, mask = script.evidence_of(sentence, cue)
        words = np.array(script.mood_words.tokenize(sentence))
        assert found == negated and words[mask].tolist() == marked


def test_the_maps_of_words_agree_with_each_other(script):
    train, labels, _ = script.feelings("train")
    model = script.train_words(train[:40], labels[:40], len(script.mood_words.vocabulary()), seed=0, steps=5)
    ids = train[0]
    (found,) = script.importance(model, [ids], "IG, <unk>")
    x = model.embedding.weight[ids][None]
    base = model.embedding.weight[1].expand_as(x)
    parts = script.integrated_gradients(lambda w: model.of_mean(w.mean(dim=1)), x, base, 32).sum(dim=2)[0]
    np.testing.assert_allclose(found, parts.abs().numpy(), atol=1e-5)


def test_retraining_and_probes_are_made_again_small(script):
    table = script.make_retrain(seeds=2)
    for name in ("leave one out", "random"):
        stored = STORED["retrain"]["maps"][name]["1"]["retrained"][0]
        assert table["maps"][name]["1"]["retrained"][0] == pytest.approx(stored, abs=0.06)
    probes = script.make_probe(seeds=2, draws=2)
    stored = STORED["probe"]["trained"]["hidden layer"]["control"][0]
    assert probes["trained"]["hidden layer"]["control"][0] == pytest.approx(stored, abs=0.08)
    assert probes["swapped topic changes"][0] == 0
