"""One command goes from data to report: the good example gives its own again, a new project gets one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mmcourse.capstone.briefs import BRIEFS
from mmcourse.capstone.check import check, faults
from mmcourse.capstone.new import copy_example, new_project, write_cards
from mmcourse.capstone.project import read_project

ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


def run(folder, **environment):
    command = [sys.executable, "src/train.py"]
    env = os.environ | ONE_THREAD | environment
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_the_good_example_gives_its_own_report_again(tmp_path):
    copy_example("good", tmp_path / "good")
    stored = json.loads((tmp_path / "good" / "report.json").read_text(encoding="utf-8"))
    with np.load(tmp_path / "good" / "src" / "model.npz") as model:
        weights = model["weights"]
    again = run(tmp_path / "good")
    assert again["split"] == stored["split"]
    assert again["test"]["value"] == pytest.approx(stored["test"]["value"], abs=0.01)
    assert [row["changed"] for row in again["ablations"]] == [row["changed"] for row in stored["ablations"]]
    with np.load(tmp_path / "good" / "src" / "model.npz") as model:
        np.testing.assert_allclose(model["weights"], weights, atol=0.02)
    assert not faults(check(read_project(tmp_path / "good")))


def test_a_new_triage_project_reports_its_baselines(tmp_path):
    new_project(tmp_path / "ours", BRIEFS["b"])
    report = run(tmp_path / "ours", CAPSTONE_SIZE="300")
    write_cards(tmp_path / "ours")
    assert not faults(check(read_project(tmp_path / "ours")))
    assert set(report["baselines"]) == {"majority", "image alone", "record alone", "late vote"}
    low, high = report["test"]["interval"]
    assert 0.7 < low < report["test"]["value"] < high < BRIEFS["b"].ceiling()


def test_a_new_kiosk_project_reports_each_modality_and_a_late_vote(tmp_path):
    new_project(tmp_path / "ours", BRIEFS["a"])
    report = run(tmp_path / "ours", CAPSTONE_SIZE="60")
    write_cards(tmp_path / "ours")
    found = check(read_project(tmp_path / "ours"))
    assert not faults(found) and not [finding for finding in found if finding.row == "baselines"]
    assert any("CAPSTONE_SIZE=60" in finding.says for finding in found)
    values = {name: claim["value"] for name, claim in report["baselines"].items()}
    assert list(values) == ["majority", "speech alone", "image alone", "late vote"]
    assert max(values.values()) < 0.6 < report["test"]["interval"][0]
    assert len(report["by_group"]) == 3 + 6
