"""`mmcourse capstone …`, used well and wrongly: what a person can mend is one line and exit 2."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mmcourse.cli import app

RUN = CliRunner()


def call(*arguments):
    return RUN.invoke(app, ["capstone", *map(str, arguments)])


@pytest.fixture
def good(tmp_path):
    assert call("example", "good", "--to", tmp_path / "good").exit_code == 0
    return tmp_path / "good"


def test_new_then_check(tmp_path):
    made = call("new", tmp_path / "ours", "--brief", "b")
    assert made.exit_code == 0 and "The triage desk: 11 files" in made.output
    checked = call("check", tmp_path / "ours")
    assert checked.exit_code == 1 and "Question and decision: PROPOSAL.md" in checked.output


def test_check_of_both_examples(good, tmp_path):
    assert "nothing is missing that a machine can see" in call("check", good).output
    call("example", "tempting", "--to", tmp_path / "bad")
    checked = call("check", tmp_path / "bad")
    assert checked.exit_code == 1 and "cap: leak → at most 50 points" in checked.output


def test_rubric_card_and_defense(good):
    assert "Rubric: 100 points" in call("rubric").output
    assert "cards/model.md and cards/data.md" in call("card", good).output
    asked = call("defend", good)
    assert asked.output == call("defend", good).output and len(asked.output.splitlines()) == 5


def test_retest_of_a_class(good, tmp_path):
    call("example", "tempting", "--to", tmp_path / "bad")
    (tmp_path / "secret").write_text("Quite-a-long-secret-73", encoding="utf-8")
    tested = call("retest", good, tmp_path / "bad", "--secret", tmp_path / "secret", "-n", "80", "--unsafe")
    assert tested.exit_code == 1, tested.output  # one of them has no interval
    assert "call-back-first" in tested.output and "no interval" in tested.output
    assert "of 1 intervals hold their fresh score" in tested.output


def test_what_was_found_before_an_interruption_is_shown(good, tmp_path, monkeypatch):
    from mmcourse.capstone import retest as module

    real, calls = module.retest_in_sandbox, []

    def interrupted(project, *more):
        calls.append(project.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(project, *more)

    monkeypatch.setattr(module, "retest_in_sandbox", interrupted)
    (tmp_path / "secret").write_text("Quite-a-long-secret-73", encoding="utf-8")
    done = call("retest", good, good, "--secret", tmp_path / "secret", "-n", "80", "--unsafe")
    assert done.exit_code == 130 and "of 1 intervals hold" in done.output
    assert "stopped: not tested: call-back-first" in done.output


def test_a_missing_secret_says_how_to_write_one(good, tmp_path):
    done = call("retest", good, "--secret", tmp_path / "nothing")
    assert done.exit_code == 2 and "no such file; write one with `python -c" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("new", "{}/ours", "--brief", "z"),
        ("new", "{}/1st", "--brief", "a"),
        ("new", "{}/no/such", "--brief", "a"),
        ("example", "best", "--to", "{}/x"),
        ("check", "{}/nothing"),
        ("card", "{}"),
        ("defend", "{}"),
        ("retest", "{}", "--secret", "{}/nothing"),
        ("retest", "{}", "--secret", "{}/weak"),
    ],
)
def test_what_a_person_can_mend_is_one_line(arguments, tmp_path):
    (tmp_path / "weak").write_text("aaaaaaaaaaaaaaaaaaaa", encoding="utf-8")
    done = RUN.invoke(app, ["capstone", *(x.format(tmp_path) for x in arguments)])
    assert done.exit_code == 2 and isinstance(done.exception, SystemExit), done.output
    assert len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("mmcourse: ")
