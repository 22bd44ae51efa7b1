"""The good example passes, the tempting one gets its caps, and each fault that is made is found by its name."""

from __future__ import annotations

import json
import tomllib

import pytest

from mmcourse.capstone.check import check, faults
from mmcourse.capstone.new import EXAMPLES, copy_example
from mmcourse.capstone.project import BadProject, interval_of, number, read_project
from mmcourse.capstone.proposal import limits_faults, proposal_faults
from mmcourse.capstone.rubric import rubric, total


@pytest.fixture
def good(tmp_path):
    copy_example("good", tmp_path / "good")
    return tmp_path / "good"


def spoil(folder, change):
    """The good example with a changed report; findings but for the cards, which are old then."""
    path = folder / "report.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    change(facts)
    path.write_text(json.dumps(facts), encoding="utf-8")
    return [finding for finding in check(read_project(folder)) if not finding.says.startswith("cards/")]


def test_nothing_is_found_in_the_good_example(good):
    assert check(read_project(good)) == []


def test_the_tempting_example_gets_three_caps(tmp_path):
    copy_example("tempting", tmp_path / "bad")
    assert set(faults(check(read_project(tmp_path / "bad")))) == {"leak", "above ceiling", "no interval"}


@pytest.mark.parametrize("which", ["good", "tempting"])
def test_the_markers_words_stand_at_their_places(which, tmp_path):
    copy_example(which, tmp_path / which)
    marks = tomllib.loads((tmp_path / which / "marks.toml").read_text(encoding="utf-8"))
    names = {row.name for row in rubric()[0]}
    for mark in marks["mark"]:
        assert mark["row"] in names and len(mark["says"].split()) >= 8
        assert mark["at"] in (tmp_path / which / mark["file"]).read_text(encoding="utf-8"), mark
    assert {mark["row"] for mark in marks["mark"]} == names, "each row has a word"
    reached = total(marks["points"], faults(check(read_project(tmp_path / which))))
    assert (reached >= 80) == (which == "good") and (reached < 40) == (which == "tempting")


@pytest.mark.parametrize(
    ("change", "fault", "says"),
    [
        (lambda f: f["split"]["test"].append(f["split"]["train"][0]), "leak", "leak: 1 caller"),
        (lambda f: f["split"]["test"].append(f["split"]["validation"][0]), "leak", "validation and in test"),
        (lambda f: f["split"].update(by="call"), "", "split is by 'call'"),
        (lambda f: f["split"].update(train=[]), "", "lists no caller in 'train'"),
        (lambda f: f.update(split=None), "", "must say by what"),
        (lambda f: f["test"].update(value=0.9, interval=[0.85, 0.95]), "above ceiling", "exact ceiling 0.818"),
        (lambda f: f["baselines"].pop("majority"), "no baseline", "no majority class"),
        (lambda f: f.update(baselines={}), "no baseline", "no majority class and no modality"),
        (lambda f: f["baselines"].pop("voice alone"), "", "voice alone"),
        (lambda f: f["baselines"].pop("late vote"), "", "late vote"),
        (lambda f: f["test"].pop("interval"), "no interval", "no interval: test"),
        (lambda f: f["comparisons"][0].update(interval=[0.3, 0.2]), "no interval", "joint against words alone"),
        (lambda f: f["by_group"][1].update(interval=[float("nan"), 1]), "no interval", "landline"),
        (lambda f: f["test"].update(value=float("nan")), "", "no number: test"),
        (lambda f: f.update(size=[300, 6000]), "", "CAPSTONE_SIZE=300, not 6000"),
        (lambda f: f.update(seeds=[3]), "", "expected 3 or more, got 1"),
        (lambda f: f.update(chosen_on="test"), "", "chosen on 'test'"),
        (lambda f: f["comparisons"][0].update(paired=False), "", "not paired"),
        (lambda f: f["ablations"][0].update(changed=["voice", "model"]), "", "changes 2 things"),
        (lambda f: f.update(ablations=[]), "", "one thing at a time"),
        (lambda f: f.pop("negative"), "", "no negative result"),
        (lambda f: f["by_group"].pop(), "", "two groups or more"),
    ],
)
def test_each_fault_is_found_by_its_name(good, change, fault, says):
    found = spoil(good, change)
    assert [finding for finding in found if says in finding.says and finding.fault == fault], found


def test_above_the_ceiling_by_luck_or_with_an_alarm_is_no_fault(good):
    def luck(facts):
        facts["test"] |= {"value": 0.83, "interval": [0.8, 0.86]}

    assert spoil(good, luck) == []

    def alarm(facts):
        facts["test"] |= {"value": 0.9, "interval": [0.88, 0.92]}
        facts["alarm"] = "We looked for shared callers and for the timbre, and found none yet."

    found = spoil(good, alarm)
    assert not faults(found) and "says so itself" in found[0].says


@pytest.mark.parametrize(
    ("page", "text", "says"),
    [
        ("src/predict.py", "def other():\n    pass\n", "defines no function predict"),
        ("src/predict.py", "def predict(:\n", "it is no Python"),
        ("Makefile", "test:\n\ttrue\n", "no target `all`"),
        ("README.md", "Too short.", "2 words"),
        ("README.md", "word " * 100 + "…", "not written yet"),
        ("limits.md", "More data would help.", "no limit is named"),
        ("report.json", "{", "is no JSON"),
        ("report.json", "[1]", "an object in braces"),
    ],
)
def test_pages_that_are_not_what_they_should_be(good, page, text, says):
    (good / page).write_text(text, encoding="utf-8")
    assert [finding for finding in check(read_project(good)) if says in finding.says]


@pytest.mark.parametrize(
    "page", ["PROPOSAL.md", "src/predict.py", "report.json", "cards/data.md", "tests/test_predict.py"]
)
def test_a_missing_page_is_named(good, page):
    (good / page).unlink()
    word = page.split("/")[0] if page.startswith("tests") else page
    assert [finding for finding in check(read_project(good)) if word in finding.says]


def test_a_link_is_not_followed(good, tmp_path):
    (tmp_path / "elsewhere.md").write_text("secret", encoding="utf-8")
    (good / "README.md").unlink()
    (good / "README.md").symlink_to(tmp_path / "elsewhere.md")
    project = read_project(good)
    assert "README.md" in project.problems and "README.md" not in project.texts


@pytest.mark.parametrize(
    ("text", "says"),
    [("name = 'x'", "expected a line brief"), ("name = 'x'\nbrief = 'z'", "no brief 'z'"), ("name =", "Invalid")],
)
def test_a_folder_that_is_no_project_is_refused_in_one_line(good, text, says):
    (good / "project.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadProject, match=says) as caught:
        read_project(good)
    assert "\n" not in str(caught.value)


def test_numbers_and_intervals():
    assert number(True) is None and number("0.5") is None and number(float("nan")) is None and number(1) == 1.0
    assert interval_of({"interval": [0.1, 0.2]}) == (0.1, 0.2)
    assert [interval_of(x) for x in ({}, None, {"interval": [0.2, 0.1]}, {"interval": [1]})] == [None] * 4


def test_proposals():
    text = (EXAMPLES / "good" / "PROPOSAL.md").read_text(encoding="utf-8")
    assert proposal_faults(text) == []
    assert proposal_faults(text.replace("## Risk", "## Danger")) == ["a heading “## Risk” is missing"]
    assert "question mark" in proposal_faults(text.replace("?", "."))[0]
    assert "majority class" in proposal_faults(text.replace("majority", "usual"))[0]
    assert len(proposal_faults("")) == 7


WHOLE = "- **group**: landline · **condition**: any call · **number**: 0.7 · **consequence**: a person reads it\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (WHOLE, ""),
        (WHOLE.replace("landline", "Everybody"), ""),
        (WHOLE.replace(" · ", "; "), ""),
        (WHOLE.replace("landline", "left-handed"), "none of the report's groups"),
        (WHOLE.replace("0.7", "many"), "no digit"),
        (WHOLE.replace(" · **condition**: any call", ""), "**condition** is missing"),
        (WHOLE.replace("a person reads it", "…"), "**consequence** is missing"),
        (WHOLE + WHOLE.replace("0.7", ""), "limit 2: **number** is missing"),
        ("More data would help.", "no limit is named"),
    ],
)
def test_limits(text, says):
    found = limits_faults(text, ["mobile", "landline"])
    assert found == [] if not says else [fault for fault in found if says in fault], found
