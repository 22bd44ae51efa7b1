"""Clinic: samples follow the table, ceilings hold in simulation, no two splits share a patient, the card is right."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from mmcourse.datasets import SPLITS, chest, clinic, data_dir, load
from mmcourse.datasets.clinic import pictures, world
from mmcourse.evaluate import auc, average_precision, brier_parts, brier_score, net_benefit

ALL = (*clinic.IMAGE, *clinic.RECORD)
WAYS = {
    "finding": ("finding",),
    "image": clinic.IMAGE,
    "record": clinic.RECORD,
    "finding and record": ("finding", *clinic.RECORD),
    "image and record": ALL,
}


# -- the table
@pytest.mark.parametrize("site", clinic.SITES)
@pytest.mark.parametrize("gaps", clinic.GAPS)
def test_the_table_is_a_distribution(site, gaps):
    cells = clinic.table(site, gaps)
    assert len(cells["p"]) == 768 and cells["p"].min() >= 0 and cells["p"].sum() == pytest.approx(1, abs=1e-12)
    prevalence = (cells["p"] * cells["disease"]).sum()
    assert prevalence == pytest.approx({"A": 0.06, "B": 0.02}[site], abs=1e-12)


def test_only_prevalence_and_machine_differ_between_the_sites():
    for cue in ("finding", "fever", "oxygen", "crp", "previous", "machine"):
        shares = []
        for site in clinic.SITES:
            cells = clinic.table(site)
            of = [(cells["disease"] == d) & (cells["group"] == g) for d in (0, 1) for g in (0, 1)]
            shares.append([(cells["p"] * cells[cue])[rows].sum() / cells["p"][rows].sum() for rows in of])
        assert np.allclose(*shares) == (cue != "machine")


def test_what_each_mechanism_of_gaps_depends_on():
    """MCAR on nothing; MAR on what the record shows; MNAR on the value that is missing, and on the disease."""
    for gaps, on_ill, on_fever, on_crp in (("MCAR", 0, 0, 0), ("MAR", 0, 1, 0), ("MNAR", 1, 0, 1)):
        cells = clinic.table("A", gaps)

        def measured(ill, fever, crp, cells=cells):
            rows = (cells["disease"] == ill) & (cells["fever"] == fever) & (cells["crp"] == crp)
            return (cells["p"] * cells["measured"])[rows].sum() / cells["p"][rows].sum()

        assert (abs(measured(0, 0, 0) - measured(1, 0, 0)) > 0.1) == on_ill
        assert (abs(measured(0, 0, 0) - measured(0, 1, 0)) > 0.1) == on_fever
        assert (abs(measured(0, 0, 0) - measured(0, 0, 1)) > 0.1) == on_crp
        assert 0.45 < (cells["p"] * (1 - cells["measured"])).sum() < 0.55


def test_the_ceilings_come_in_the_order_that_information_has():
    order = [clinic.ceiling(auc, WAYS[name]) for name in ("finding", "image", "image and record")]
    assert order == sorted(order)
    told = (*clinic.IMAGE, "group", "fever", "oxygen", "crp", "previous")
    for gaps in ("MCAR", "MAR"):  # the missing value would help; that it is missing says nothing by itself
        assert clinic.ceiling(auc, ALL, gaps=gaps) < clinic.ceiling(auc, told, gaps=gaps)
        with_flag = clinic.ceiling(auc, (*told, "measured"), gaps=gaps)
        assert with_flag == pytest.approx(clinic.ceiling(auc, told, gaps=gaps), abs=1e-12)
    assert clinic.ceiling(auc, ALL) > clinic.ceiling(auc, told) - 0.005, "the order itself is information"
    assert clinic.ceiling(auc, "finding", "B") == pytest.approx(clinic.ceiling(auc, "finding", "A"))
    crossed = clinic.ceiling(auc, clinic.IMAGE, "B", learned_at="A")
    assert crossed < clinic.ceiling(auc, "finding", "B") - 0.04, "the marker must hurt at B"


def test_the_best_score_is_calibrated_and_loses_nothing():
    cells = clinic.table()
    p = clinic.risk(ALL)
    reliability, resolution, uncertainty = brier_parts(cells["disease"], p, cells["p"])
    assert reliability == pytest.approx(0, abs=1e-15) and uncertainty == pytest.approx(0.06 * 0.94)
    assert brier_score(cells["disease"], p, cells["p"]) == pytest.approx(uncertainty - resolution)
    rng = np.random.default_rng(0)
    seen, best = world.seen_cell(cells, ALL), clinic.ceiling(auc, ALL)
    rng = np.random.default_rng(0)
    for _ in range(20):  # no other score of the same cells ranks better
        other = p + rng.normal(0, 0.05, seen.max() + 1)[seen]
        assert auc(cells["disease"], other, cells["p"]) <= best


@pytest.mark.parametrize("gaps", clinic.GAPS)
@pytest.mark.parametrize("name", WAYS)
def test_ceilings_in_simulation(name, gaps):
    """400,000 patients drawn from the table, each metric within four standard errors or so."""
    cells = clinic.table("A", gaps)
    drawn = np.random.default_rng(1).choice(768, 400_000, p=cells["p"] / cells["p"].sum())
    labels, p = cells["disease"][drawn], clinic.risk(WAYS[name], "A", gaps)[drawn]
    assert auc(labels, p) == pytest.approx(clinic.ceiling(auc, WAYS[name], "A", gaps), abs=0.006)
    assert average_precision(labels, p) == pytest.approx(
        clinic.ceiling(average_precision, WAYS[name], "A", gaps), abs=0.015
    )
    assert brier_score(labels, p) == pytest.approx(clinic.ceiling(brier_score, WAYS[name], "A", gaps), abs=0.001)
    exact = net_benefit(cells["disease"], clinic.risk(WAYS[name], "A", gaps), [0.05, 0.2], cells["p"])
    np.testing.assert_allclose(net_benefit(labels, p, [0.05, 0.2]), exact, atol=0.0015)


@pytest.mark.parametrize(("split", "site"), [("train", "A"), ("test", "A"), ("test", "B")])
def test_samples_follow_the_table(split, site):
    """Every cue given disease and group, within four standard errors and a bit for visits of one patient."""
    ds = load("clinic", split, site=site, n=20_000, seed=5)
    meta, cells = ds.meta, clinic.table(site)
    for ill in (0, 1):
        for group in (0, 1):
            rows = (ds.labels == ill) & (meta["group"] == group)
            mask = (cells["disease"] == ill) & (cells["group"] == group)
            for cue in ("finding", "machine", "fever", "oxygen", "crp", "previous", "measured"):
                for value in range(len(clinic.CUES[cue])):
                    exact = cells["p"][mask & (cells[cue] == value)].sum() / cells["p"][mask].sum()
                    margin = 4 * np.sqrt(exact * (1 - exact) / rows.sum()) + 1e-9
                    assert (meta[cue][rows] == value).mean() == pytest.approx(exact, abs=margin)
    assert ds.labels.mean() == pytest.approx((cells["p"] * cells["disease"]).sum(), abs=0.012)


@pytest.mark.parametrize(
    "call", [lambda: clinic.table("C"), lambda: clinic.table("A", "none"), lambda: clinic.risk("lung")]
)
def test_unknown_names_are_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()


# -- the samples
def test_sizes_and_kinds():
    assert {s: len(load("clinic", s)) for s in SPLITS} == {"train": 6000, "validation": 1000, "test": 4000}
    ds = load("clinic", "validation", n=50)
    assert ds.modalities == ("image", "record") and ds.classes == ("healthy", "ill")
    sample = ds[3]
    assert sample["image"].shape == (64, 64) and sample["image"].dtype == np.uint8
    assert sample["record"].shape == (8,) and sample["record"].dtype == np.float32
    batch = next(ds.batches(4))
    assert batch["inputs"]["image"].shape == (4, 64, 64, 1) and batch["inputs"]["image"].max() <= 1
    assert batch["inputs"]["record"].shape == (4, 16) and np.isfinite(batch["inputs"]["record"]).all()


def test_the_record_tells_the_cues_and_no_more():
    ds = load("clinic", "test")
    record, meta = np.asarray(ds.column("record")), ds.meta
    age, _, pulse, temperature, oxygen, crp, _, previous = record.T
    assert ((age >= 60) == (meta["group"] == 1)).all()
    assert ((temperature > 37.7) == (meta["fever"] == 1)).all() and ((pulse > 90) == (meta["fever"] == 1)).all()
    assert ((oxygen < 93) == (meta["oxygen"] == 1)).all() and ((previous > 0) == (meta["previous"] == 1)).all()
    assert (np.isnan(crp) == (meta["measured"] == 0)).all() and not np.isnan(np.delete(record, 5, axis=1)).any()
    there = ~np.isnan(crp)
    assert ((crp[there] > 40) == (meta["crp"][there] == 1)).all()
    fever = meta["fever"] == 1  # within a cue, the number says nothing about the disease
    healthy = ds.labels == 0
    assert abs(temperature[fever & healthy].mean() - temperature[fever & ~healthy].mean()) < 0.2


def test_the_picture_shows_the_finding_and_the_letter():
    ds = load("clinic", "validation")
    images, meta = ds.column("image")[:].astype(float), ds.meta
    corner = images[(slice(None), *pictures.MARKER)].mean(axis=(1, 2))
    assert ((corner > 130) == (meta["machine"] == 1)).all()
    assert (pictures.hide_marker(ds.column("image")[:])[:, :14, :12] == 110).all()
    rng = np.random.default_rng(0)
    body, exposure = pictures.draw_bodies(6, rng), pictures.draw_exposures(6, rng)
    one = [
        pictures.draw(np.full(6, f), np.zeros(6, int), body, exposure, np.random.default_rng(1)).astype(float)
        for f in range(3)
    ]
    x, y = (np.round(v).astype(int) for v in pictures.finding_center(body, exposure))
    for k in range(6):
        assert one[1][k, y[k], x[k]] > one[0][k, y[k], x[k]] + 20
        assert (one[2][k] - one[0][k]).sum() > 2 * (one[1][k] - one[0][k]).sum() > 0


def test_no_two_splits_or_sites_share_a_patient_and_a_patient_stays_the_same():
    sets = [load("clinic", split, site=site) for split in SPLITS for site in clinic.SITES]
    for a, b in combinations(sets, 2):
        assert not set(a.meta["patient"]) & set(b.meta["patient"])
    ds = sets[0]
    record = np.asarray(ds.column("record"))
    for patient in np.unique(ds.meta["patient"])[:200]:
        rows = ds.meta["patient"] == patient
        assert len(set(ds.labels[rows])) == len(set(record[rows, 0])) == len(set(record[rows, 1])) == 1
        assert ds.meta["visit"][rows].tolist() == list(range(rows.sum()))


def test_gaps_change_nothing_but_the_gaps():
    kinds = [load("clinic", "validation", gaps=gaps) for gaps in clinic.GAPS]
    first = np.asarray(kinds[0].column("record"))
    for ds in kinds[1:]:
        record = np.asarray(ds.column("record"))
        both = ~np.isnan(record) & ~np.isnan(first)
        assert (record[both] == first[both]).all() and (ds.labels == kinds[0].labels).all()
        assert (np.isnan(record) != np.isnan(first)).any()


def test_the_scale_is_that_of_the_training_part_alone():
    record = np.asarray(load("clinic", "train").column("record"))
    mean, std = clinic.scale()
    np.testing.assert_allclose(mean, np.nanmean(record, axis=0), rtol=1e-5)
    np.testing.assert_allclose(std, np.nanstd(record, axis=0), rtol=1e-5)


@pytest.mark.parametrize("options", [{"split": "all"}, {"site": "C"}, {"gaps": "none"}, {"n": 0}, {"n": 2.5}])
def test_wrong_options_are_named(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}: expected"):
        load("clinic", **options)


def test_same_samples_every_time():
    def digest() -> str:
        script = (
            "import hashlib; from mmcourse.datasets import load; h = hashlib.sha256();"
            "ds = load('clinic', 'validation');"
            "[h.update(x) for b in ds.batches(500, seed=3) for x in (*b['inputs'].values(), b['target'])];"
            "print(h.hexdigest())"
        )
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert digest() == digest() != ""


def test_cues_and_patients_stay_as_they_are():
    """Stored numbers in the lesson rest on these; the digest is of what no processor rounds differently."""
    ds = load("clinic", "test")
    meta = ds.meta
    text = "|".join(
        ",".join(map(str, values)) for values in (ds.labels, meta["finding"], meta["test"], meta["patient"])
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "26970250da22dbb3"


def test_the_card_tells_the_ceilings():
    card = data_dir() / "clinic" / "README.md"
    text = card.read_text(encoding="utf-8")
    names = {"finding": ("finding",), **WAYS}
    for name, see in names.items():
        values = [clinic.ceiling(metric, see) for metric in (auc, average_precision, brier_score)]
        values += [clinic.ceiling(auc, see, "B"), clinic.ceiling(auc, see, "B", learned_at="A")]
        row = " | ".join(f"{value:.3f}" for value in values)
        assert re.search(rf"^\| {name} \| {re.escape(row)} \|$", text, flags=re.MULTILINE), (name, row)


# -- real X-rays
def test_real_xrays_are_verified_and_joined(tmp_path, monkeypatch):
    if chest.path() is None:
        pytest.skip("no real X-rays here: set MMCOURSE_REAL_DATA to the folder with nih_chest_1000.npz")
    found = chest.read()
    assert found.image.shape == (1000, 64, 64) and found.record.shape == (1000, 4) and found.label.sum() == 500
    assert len(np.unique(found.patient)) == 682
    (tmp_path / chest.FILE).write_bytes(b"something else")
    monkeypatch.setenv("MMCOURSE_REAL_DATA", os.fspath(tmp_path))
    with pytest.raises(ValueError, match="damaged or another version"):
        chest.read()
    monkeypatch.setenv("MMCOURSE_REAL_DATA", os.fspath(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="MMCOURSE_REAL_DATA"):
        chest.read()
