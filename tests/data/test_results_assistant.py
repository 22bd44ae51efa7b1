"""Stored figures of lesson assistant: the exact parts again, small runs of others, and what the lesson says of them."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from mmcourse import datasets
from mmcourse.authoring.real import data_folder
from mmcourse.datasets.helpdesk import channel, grammar, posts, tone

STORED = datasets.results("assistant")
NEEDED = {"channel", "models", "speech", "page", "tone", "posts", "interface", "injection", "real", "recognizers"}


@pytest.fixture(scope="module")
def script():
    """make_results.py as a module."""
    path = datasets.lesson_dir("assistant") / "make_results.py"
    spec = importlib.util.spec_from_file_location("assistant_make_results", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_table_is_there():
    assert {*NEEDED, "challenge"} <= set(STORED)


def test_the_channel_again_on_fewer_callers(script):
    said = grammar.draw(400, np.random.default_rng(9))
    labels = np.array([s.intent for s in said])
    heard = channel.hear([s.text for s in said], np.random.default_rng(10), 0.5)
    found = script.posteriors(heard, said, 0.5)
    stored = STORED["channel"]["0.5"]
    for way in script.WAYS:
        accuracy = (found[way].argmax(axis=1) == labels).mean()
        assert abs(accuracy - stored[way]["accuracy"][0]) < 0.06, way
        assert abs(script.cost_of(found[way], labels).mean() - stored[way]["cost"][0]) < 0.03, way
    assert found["1-best"].max(axis=1).mean() > found["all"].max(axis=1).mean()
    np.testing.assert_allclose(found["all"][0], channel.exact_posterior(heard[0], 0.5), atol=1e-12)


def test_no_way_beats_its_ceiling():
    for noise, parts in STORED["channel"].items():
        ceiling = grammar.text_ceiling()
        assert parts["text"]["accuracy"][0] < ceiling + 0.01
        gap = parts["all"]["accuracy"][0] - parts["all"]["confidence"][0]
        assert abs(gap) < parts["all"]["accuracy"][1] + 0.005, f"{noise}: the exact posterior is calibrated"
    for name, value in tone.feedback_ceilings().items():
        mean, half = STORED["tone"][name]["accuracy"]
        assert mean < value + half + 0.02, name
    assert STORED["posts"]["words alone"][0] < posts.ceilings()["words"] + 0.05


def test_chow_is_what_cost_of_does(script):
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    assert script.cost_of(p, np.array([0, 0, 0])).tolist() == [0.0, 0.2, 1.0]


def test_who_is_put_through_is_not_served_alone(script):
    human = script.PASSED_ON[0]
    p = np.full((4, 13), 0.0)
    p[0, 0], p[1, human], p[2, 0], p[3, 0] = 0.9, 0.99, 0.6, 0.95
    right = np.array([True, True, False, False])
    found = script.policies(p, right)
    assert found["served alone"][0] == 0.5 and found["passed on by intent"][0] == found["refused"][0] == 0.25
    assert found["wrong, of those served"][0] == 0.5
    assert found["cost"][0] == pytest.approx((0 + 0.2 + 0.2 + 1) / 4)
    assert found["cost, never refusing"][0] == pytest.approx((0 + 0.2 + 1 + 1) / 4)
    for line in ("10 dB", "0 dB"):
        row = STORED["page"][line]["grammar, 10"]
        assert row["served alone"][0] + row["passed on by intent"][0] + row["refused"][0] == pytest.approx(1, abs=1e-3)
        assert sum(count for count, *_ in row["reliability, task"]) == STORED["page"]["n"]


def test_slots_are_read_from_the_right_mention(script):
    assert script.slots_of("i want the red star not the blue one")["color"] == "red"
    assert script.slots_of("not said by any template") == {}
    assert script.plain("And so, my fellow Americans: 2 Red stars!") == "and so my fellow americans two red stars"
    assert "public <command>" in script.jsgf() and "<color> = red" in script.jsgf()


@pytest.mark.skipif(data_folder() is None, reason="the folder of real data is not here: set MMCOURSE_REAL_DATA")
def test_real_tables_again(script):
    folder = data_folder()
    recordings, intents = script.read_slurp(folder)
    gold = script.read_predictions(folder, "gold", "slurp_id")
    right = np.mean([gold[key] == intent for key, intent in intents.items() if key in gold])
    assert right == pytest.approx(STORED["real"]["slurp"]["gold text"][0], abs=1e-4)
    assert len(recordings) > 10_000 and round(right, 2) == 0.85
    texts, names = script.read_snips(folder, "validate")
    assert len(texts) == STORED["real"]["snips"]["n"] and len(set(names)) == 7


def test_the_challenge_is_above_simple_ways():
    never, chow = (np.mean(STORED["challenge"][name]) for name in ("never refusing", "Chow's rule"))
    assert abs(never - 0.58) < 0.02 and abs(chow - 0.78) < 0.01
    assert max(STORED["challenge"]["Chow's rule"]) < 0.8


def test_sarcasm_costs_less_by_expected_cost():
    for name in ("words", "words + voice", "words + record", "words + voice + record"):
        row = STORED["tone"][name]
        assert row["cost, least expected"][0] <= row["cost of the likelier"][0]
