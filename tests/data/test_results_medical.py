"""Stored figures of lesson medical: exact ones again, one seed of each quick run, and what the lesson says of them."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from mmcourse import datasets
from mmcourse.datasets import chest, clinic
from mmcourse.evaluate import auc

STORED = datasets.results("medical")


@pytest.fixture(scope="module")
def script():
    """make_results.py as a module."""
    path = datasets.lesson_dir("medical") / "make_results.py"
    spec = importlib.util.spec_from_file_location("medical_make_results", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_ceilings_are_what_the_table_says():
    rest = ("group", "fever", "oxygen", "previous")
    for gaps, found in STORED["gaps"].items():
        assert found["exact"]["best of all, with gaps"] == pytest.approx(clinic.ceiling(auc, clinic.RECORD, gaps=gaps))
        assert found["exact"]["every test done"] == pytest.approx(clinic.ceiling(auc, (*rest, "crp"), gaps=gaps))
        for way in ("without the test", "mean", "flag"):
            assert max(found[way]) < found["exact"][way] + 0.015
            assert found["exact"][way] <= found["exact"]["best of all, with gaps"] + 1e-9
    assert STORED["leak"]["ceiling"] == pytest.approx(clinic.ceiling(auc, "group"))


def test_a_model_above_the_ceiling_without_the_letter_has_used_it():
    ceiling = clinic.ceiling(auc, ("finding", *clinic.RECORD))
    both = STORED["networks"]["both"]
    covered = STORED["networks"]["letter hidden"]
    assert np.mean(STORED["longer"]["both"]["A"]["auc"]) > ceiling - 0.01
    assert max(covered["A"]["auc"]) < ceiling + 0.015
    assert np.subtract(both["A"]["auc"], both["B"]["auc"]).min() > 0.07
    assert np.mean(covered["B"]["auc"]) > np.mean(both["B"]["auc"]) + 0.03


def test_private_training_again(script):
    rows = {row["sigma"]: row for row in STORED["privacy"]["rows"]}
    x = np.array([[3.0, 0.0], [0.0, 0.1]])
    w, _ = script.private_regression(x, np.array([1.0, 0.0]), 0.0, np.random.default_rng(0))
    assert w[0] > 0 > w[1]
    for sigma, row in rows.items():
        assert np.mean(row["attack"]) < row["bound"] + 0.02, sigma
        np.testing.assert_allclose(row["gap"], row["advantage"], atol=1e-12)


def test_class_weights_cost_calibration_and_not_rank():
    ways = STORED["imbalance"]["ways"]
    plain = ways["as it is"]
    for kind in ("class weights", "oversampled", "undersampled"):
        assert abs(np.mean(ways[kind]["auc"]) - np.mean(plain["auc"])) < 0.02
        assert np.mean(ways[kind]["reliability"]) > 10 * np.mean(plain["reliability"])
        assert np.allclose(ways[kind]["auc"], ways[f"{kind}, prior corrected"]["auc"])


def test_a_small_network_run_again(script):
    data = tuple(part[:300] for part in script.tensors("train"))
    import torch

    torch.manual_seed(0)
    model = script.train(script.Triage(), data, epochs=1, seed=0)
    assert sum(p.numel() for p in model.parameters()) < 40_000
    assert set(script.judged(model, data)) == {"auc", "average precision", "brier"}


def test_real_xrays_by_patient(script):
    if chest.path() is None:
        pytest.skip("no real X-rays here: set MMCOURSE_REAL_DATA to the folder with nih_chest_1000.npz")
    data = chest.read()
    fit = np.arange(1000) % 4 > 0
    clean = fit & ~np.isin(data.patient, data.patient[~fit])
    x = data.image.reshape(1000, -1) / 255
    score = script.picture_scores(x, data.label, np.flatnonzero(clean), np.flatnonzero(~fit))
    assert auc(data.label[~fit], score) == pytest.approx(STORED["nih"]["auc"]["image"], abs=0.06)


def test_what_the_text_says_of_the_real_xrays():
    first, nih = STORED["follow-up"]["first pictures"], STORED["nih"]
    assert first["pictures"] == first["patients"] == 207 and first["follow-up number alone"] == [0.5, 0.5, 0.5]
    assert [round(v, 2) for v in first["image"]] == [0.86, 0.8, 0.92]
    assert [round(v, 2) for v in first["record"]] == [0.74, 0.67, 0.81]
    assert [round(nih["share of ill"][view], 2) for view in ("PA", "AP")] == [0.64, 0.4]
    assert (nih["both classes"], nih["patients"]) == (21, 682)
    by_picture, by_patient = nih["auc"]["image, folds by picture"], nih["auc"]["image"]
    assert 0.8485 < by_picture < 0.8495 and 0.845 < by_patient < 0.8465


def test_simple_ways_stay_below_the_challenge():
    found = STORED["challenge"]
    assert found["mean in the gaps"] < 0 and found["flags"] < 0.1


def test_the_leak_is_the_patient_found_again():
    controls = STORED["leak controls"]
    exact = np.mean(STORED["leak"]["by picture"])
    anew = controls["age anew at each visit"]
    assert max(anew["by picture"]) < exact - 0.15
    assert abs(np.mean(anew["by picture"]) - np.mean(anew["by patient"])) < 0.03
    assert np.mean(controls["exact age, leaves of 200"]["by patient"]) < STORED["leak"]["ceiling"]


def test_the_letter_alone_moves_the_risk_and_a_probe_of_untrained_features_finds_it():
    letter = STORED["letter"]
    assert min(letter["untrained probe"]) > 0.99
    for budget, kind in (("6 epochs", "networks"), ("12 epochs", "longer")):
        row = letter[budget]
        np.testing.assert_allclose(row["auc"], STORED[kind]["both"]["A"]["auc"], atol=0.002)
        assert min(row["log odds, P minus F"]) > 2 and min(row["share raised"]) > 0.99
        np.testing.assert_allclose(row["auc, other corner covered"], row["auc"], atol=0.002)
        assert max(row["auc, all F"]) < min(row["auc"]) + 0.01
        mean, low, high = row["mean minus best without"]
        assert low < 0 < high and low < mean < high


def test_pictures_with_the_other_letter_differ_in_the_corner_only(script):
    pixels = load_pictures()
    for machine in (0, 1):
        changed = script.with_letter(pixels, machine)
        differs = (changed != pixels).any(axis=0)
        assert differs[3:12, 3:10].any() and not differs[12:].any() and not differs[:, 10:].any()


def load_pictures():
    """A few pictures with both letters."""
    return datasets.load("clinic", "test", n=60).column("image")[:]
