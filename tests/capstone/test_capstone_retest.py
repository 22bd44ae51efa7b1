"""The re-test: fresh data by a hidden seed, `predict` behind walls, and a verdict on the reported interval."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmcourse.capstone.briefs import BRIEFS, EXAMPLE, find_brief
from mmcourse.capstone.check import check
from mmcourse.capstone.fresh import hotline_fresh, kiosk_fresh, triage_fresh
from mmcourse.capstone.new import copy_example, new_project
from mmcourse.capstone.project import BadProject, cells, left_out, missing_files, read_project
from mmcourse.capstone.report import by_seed, claim, names, paired, size, write_report
from mmcourse.capstone.retest import (
    Retest,
    class_coverage,
    hidden_seed,
    load_predict,
    predictions,
    retest,
    retest_in_sandbox,
)

SECRET = "a secret of 31 letters or more!"


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    for which in ("good", "tempting"):
        copy_example(which, folder / which)
    return {which: read_project(folder / which) for which in ("good", "tempting")}


def test_the_good_example_keeps_its_promise_and_the_tempting_one_does_not(examples):
    good, bad = (retest(p, 77, load_predict(p.folder), n=400) for p in examples.values())
    assert good.held is True and 0.88 < good.expected < 0.95 and good.reported[0] < good.ceiling
    assert bad.held is None and np.isnan(bad.expected) and bad.fresh[2] < 0.75 < bad.ceiling < bad.reported[0]
    assert good.groups == 400 and good.n > 1000


def test_the_seed_is_hidden_and_stays(examples):
    good, bad = examples.values()
    seed = hidden_seed(SECRET, good)
    assert seed == hidden_seed(SECRET, good) != hidden_seed(SECRET + "?", good)
    assert seed != hidden_seed(SECRET, bad), "each project has its own"


@pytest.mark.parametrize(
    ("predict", "says"),
    [
        (lambda x: np.zeros(3, int), "whole numbers"),
        (lambda x: np.zeros(len(x["phone"])), "whole numbers"),
        (lambda x: None, "whole numbers .* not None"),
        (lambda x: np.full(len(x["phone"]), 2), "the label 2; labels are 0 to 1"),
        (lambda x: np.full(len(x["phone"]), -1), "the label -1; labels are 0 to 1"),
        (lambda x: 1 / 0, r"raised ZeroDivisionError on a batch of words float32 \(\d+, 12\)"),
    ],
)
def test_what_is_no_prediction_is_refused(predict, says):
    with pytest.raises(BadProject, match=says):
        predictions(hotline_fresh(1, 5), predict, "ours")


@pytest.mark.parametrize("bad", [np.nan, 1.5, -0.1])
def test_probabilities_lie_between_0_and_1(bad):
    split = triage_fresh(1, 6)
    assert predictions(split, lambda x: np.full(len(x["record"]), 0.5)).shape == (6,)
    with pytest.raises(BadProject, match="probabilities from 0 to 1, without NaN; of 6, "):
        predictions(split, lambda x: np.full(len(x["record"]), bad))


def test_a_brief_without_a_table_says_what_to_do(tmp_path):
    new_project(tmp_path / "ours", BRIEFS["c"])
    with pytest.raises(BadProject, match="record new people"):
        retest(read_project(tmp_path / "ours"), 1, lambda x: x)


def test_fresh_splits_are_what_predict_is_told_they_are():
    calls = hotline_fresh(3, 9)
    assert sum(len(x["phone"]) for x in calls.batches()) == len(calls.labels) == len(calls.groups)
    visits = triage_fresh(3, 20)
    (inputs,) = visits.batches()
    assert inputs["image"].shape == (20, 64, 64) and inputs["image"].dtype == np.uint8
    assert inputs["record"].shape == (20, 8) and np.isnan(inputs["record"]).any()
    assert set(visits.labels) <= {0, 1} and visits.classes is None


def test_questions_of_the_kiosk_are_asked_by_voices_of_the_test():
    from mmcourse.datasets.scenes import ANSWERS
    from mmcourse.datasets.scenes.spoken import full_voices

    split = kiosk_fresh(3, 7)
    (inputs,) = split.batches()
    assert inputs["image"].shape == (7, 64, 64, 3) and inputs["wave"].dtype == np.int16
    assert inputs["wave"].shape == (7, inputs["length"].max()) and (inputs["length"] > 8000).all()
    assert all(not row[stop:].any() for row, stop in zip(inputs["wave"], inputs["length"], strict=True))
    assert set(split.voices) <= {voice.name for voice in full_voices("test")} and split.labels.max() < len(ANSWERS)
    assert split.classes == len(ANSWERS) == 27


def test_the_ceilings_of_the_briefs():
    from mmcourse.datasets.scenes import language_only_accuracy

    assert BRIEFS["a"].ceiling() == 1.0 and 0.95 < BRIEFS["b"].ceiling() < 1 and BRIEFS["c"].ceiling is None
    assert f"{language_only_accuracy()['all']:.3f}" == "0.278" and "0.278" in find_brief("a").text


# ---------------------------------------------------------------- behind walls
def test_in_the_sandbox_the_same_comes_out(examples):
    from mmcourse.classroom.sandbox import NoSandbox

    good = examples["good"]
    try:
        walled = retest_in_sandbox(good, SECRET, n=60)
    except NoSandbox as error:
        pytest.skip(str(error))
    assert walled == retest(good, hidden_seed(SECRET, good), load_predict(good.folder), n=60)


def test_code_that_does_not_start_is_named(examples, tmp_path):
    from mmcourse.classroom.sandbox import NoSandbox

    copy_example("good", tmp_path / "broken")
    (tmp_path / "broken" / "src" / "predict.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    try:
        with pytest.raises(BadProject, match="does not give predict"):
            retest_in_sandbox(read_project(tmp_path / "broken"), SECRET, n=5)
    except NoSandbox as error:
        pytest.skip(str(error))


def test_weights_that_stay_outside_are_named(examples, tmp_path):
    from mmcourse.classroom.sandbox import NoSandbox

    copy_example("good", tmp_path / "ours")
    source = tmp_path / "ours" / "src"
    (source / "model.npz").rename(source / "model.pt")
    (source / "nets").mkdir()
    (source / "nets" / "__init__.py").write_text("", encoding="utf-8")
    text = (source / "predict.py").read_text(encoding="utf-8")
    (source / "predict.py").write_text(text.replace("model.npz", "model.pt"), encoding="utf-8")
    project = read_project(tmp_path / "ours")
    assert left_out(project.folder) == ["src/model.pt", "src/nets/"] and missing_files(project) == []
    (says,) = [finding.says for finding in check(project) if finding.row == "engineering"]
    assert "src/model.pt, src/nets/: the re-test takes only .py, .npz" in says
    try:
        with pytest.raises(BadProject, match="not in the sandbox: src/model.pt, src/nets/"):
            retest_in_sandbox(project, SECRET, n=5)
    except NoSandbox as error:
        pytest.skip(str(error))


def test_weights_that_are_missing_are_found_before_the_re_test(examples, tmp_path):
    copy_example("good", tmp_path / "ours")
    (tmp_path / "ours" / "src" / "model.npz").unlink()
    project = read_project(tmp_path / "ours")
    assert missing_files(project) == ["model.npz"]
    assert any("names model.npz, which is not in src/" in finding.says for finding in check(project))
    assert not missing_files(examples["good"]) and not left_out(examples["good"].folder)


def test_a_size_for_trying_is_a_number_and_is_seen(monkeypatch):
    monkeypatch.delenv("CAPSTONE_SIZE", raising=False)
    assert size(600) == 600
    monkeypatch.setenv("CAPSTONE_SIZE", "60")
    assert size(600) == 60
    for bad in ("abc", "0", "-5", ""):
        monkeypatch.setenv("CAPSTONE_SIZE", bad)
        with pytest.raises(SystemExit, match="CAPSTONE_SIZE: expected a whole number from 50 on"):
            size(600)


def test_cells_carry_code_and_weights_and_no_more(examples, tmp_path, monkeypatch):
    copy_example("good", tmp_path / "ours")
    (tmp_path / "ours" / "src" / "notes.txt").write_text("not for the sandbox", encoding="utf-8")
    write, load = cells(read_project(tmp_path / "ours"))
    assert "'predict.py'" in write and "'model.npz'" in write and "notes" not in write
    assert load == "from predict import predict"
    source = tmp_path / "ours" / "src" / "predict.py"
    source.write_text("import torch\n" + source.read_text(encoding="utf-8"), encoding="utf-8")
    assert cells(read_project(tmp_path / "ours"))[1].startswith("import torch\n")
    monkeypatch.setattr("mmcourse.capstone.project.MOST_WEIGHTS", 10)
    with pytest.raises(BadProject, match="may have"):
        cells(read_project(tmp_path / "ours"))
    source.unlink()
    with pytest.raises(BadProject, match="must define predict"):
        cells(read_project(tmp_path / "ours"))


# ---------------------------------------------------------------- a class, and reports
def made(held):
    return Retest("x", (0.8, 0.7, 0.9), (0.8, 0.79, 0.81), 100, 10, 0.9, held, 0.94)


def test_coverage_of_a_class_counts_those_who_gave_an_interval():
    held, number, low, high, expected = class_coverage([made(True)] * 8 + [made(False)] * 2 + [made(None)])
    assert (held, number, expected) == (8, 10, pytest.approx(0.94)) and low < 0.8 < high
    with pytest.raises(ValueError, match="no project"):
        class_coverage([made(None)])


def test_claims_carry_intervals_and_the_same_facts_give_the_same_bytes(tmp_path):
    labels, said, groups = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), np.array(["a", "a", "b", "c"])
    made_claim = claim(EXAMPLE, labels, said, groups, name="all")
    assert made_claim["value"] == 0.75 and made_claim["interval"][0] < 0.75 and made_claim["groups"] == 3
    gain = paired("b against a", [0.7, 0.8, 0.75], [0.71, 0.82, 0.76])
    assert gain["paired"] and gain["difference"] == pytest.approx(0.0133, abs=1e-4) and gain["interval"][0] < 0
    assert by_seed([0.5, 0.7])["value"] == 0.6 and names([2, 1, 2]) == ["1", "2"]
    for name in ("first", "second"):
        write_report(tmp_path / name, test=made_claim, comparisons=[gain])
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert json.loads((tmp_path / "first").read_text(encoding="utf-8"))["test"] == made_claim
    with pytest.raises(ValueError):
        write_report(tmp_path / "first", value=float("nan"))
    with pytest.raises(ValueError, match="one score per seed"):
        paired("x", [1, 2], [1])
