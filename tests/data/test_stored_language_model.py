"""Lesson language_model's stored runs: all rows, seeds and budgets are there, and the parts that they are made with."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results
from mmcourse.datasets.scenes import texts

torch = pytest.importorskip("torch")
STORED = results("language_model")


@pytest.fixture(scope="module")
def made():
    """make_results.py as a module."""
    spec = importlib.util.spec_from_file_location("lm_stored_results", lesson_dir("language_model") / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_table_is_stored_with_its_time(made):
    assert set(made.TABLES) <= set(STORED)


def test_scaling_has_four_sizes_three_seeds_and_a_growing_budget(made):
    runs = STORED["scaling"]["runs"]
    assert set(runs) == {f"{dim} x {layers}" for dim, layers in made.SIZES} and len(runs) >= 4
    for several in runs.values():
        assert len(several) == made.SCALING_SEEDS
        for run in several:
            read, above = np.array(run["points"]).T
            assert len(read) >= 4 and (np.diff(read) > 0).all() and (above > 0).all()
            assert above[-1] < above[0]


def test_parts_were_exchanged_at_two_budgets_with_five_seeds(made):
    for name in made.VARIANTS:
        assert set(STORED["apart"][name]) == {"80", "240"}
        few, many = (STORED["apart"][name][steps] for steps in ("80", "240"))
        assert len(few) == len(many) == 5 and np.mean(many) < np.mean(few)
        assert STORED["apart"]["weights"][name] > 0


def test_copying_has_five_seeds_and_curves_that_end_where_the_table_says():
    stored = STORED["induction"]
    assert stored["chance"] == pytest.approx(math.log(stored["symbols"]))
    for name in ("1 layer", "2 layers", "1 layer, period fixed"):
        assert len(stored[name]) == 5
        assert all(run["curve"][-1][1:] == [run["first"], run["second"]] for run in stored[name])


def test_lengths_cover_training_and_beyond_for_three_seeds(made):
    for kind in ("rotary", "learned"):
        runs = STORED["lengths"][kind]
        assert len(runs) == 3
        for run in runs:
            edges = sorted(tuple(map(int, span.split("-"))) for span in run)
            assert edges[0][0] == 0 and edges[-1][1] == made.LONG
            assert all(a[1] == b[0] for a, b in zip(edges, edges[1:], strict=False))


@pytest.mark.parametrize("name", ["reviews", "dialogue", "fewer_reviews"])
def test_real_sentences_have_every_row(name):
    stored = STORED[name]
    for compressor in ("gzip", "xz"):
        assert 0 < stored[compressor]["after training text"] < stored[compressor]["alone"] < 8
    assert all(1 < stored[f"bytes, {order}-gram"] < 8 for order in (1, 3, 5, 6))
    if name == "fewer_reviews":  # the control of the counting
        assert stored["lines"] > 1000
        return
    assert 1 < stored["tokens, 3-gram"] < 8
    per_piece = stored["test bytes"] / stored["tokens"]["test tokens"]
    for unit, each in (("bytes", 1.0), ("tokens", per_piece)):
        runs = stored[f"{unit}, language model"]
        assert len(runs) == 3
        for run in runs:
            assert run["bits per byte"] == pytest.approx(math.log2(run["perplexity"]) / each, rel=1e-6)


def test_dialogue_had_the_budget_of_the_reviews(made):
    for unit, steps in made.steps_of_reviews().items():
        assert [run["steps"] for run in STORED["dialogue"][f"{unit}, language model"]] == steps
    few, many = STORED["fewer_reviews"], STORED["reviews"]
    assert few["test bytes"] == many["test bytes"] and few["bytes, 5-gram"] > many["bytes, 5-gram"]
    assert abs(few["train bytes"] - STORED["dialogue"]["train bytes"]) < 1000


def test_every_way_that_was_tried_is_measured(made):
    stored = STORED["plateau"]
    assert set(stored) == set(made.TRIED_WAYS.values())
    for run in stored.values():
        assert run["excess_low"] < run["excess_perplexity"] < run["excess_high"]
        assert set(run["color"]) == {"2", "3"} and all(count > 50 for _, _, count in run["color"].values())
        counts = run["exchanged"]
        assert counts["the right one"] <= counts["one of the two"] <= counts["texts"]


def test_lines_are_drawn_whole_and_in_their_order(made):
    text = "\n".join(f"line {i}" for i in range(100)).encode()
    found = made.fewer_lines(text, 300)
    lines = found.split(b"\n")
    assert abs(len(found) - 300) < 10 and [line for line in text.split(b"\n") if line in lines] == lines


def test_without_the_dialogues_it_says_what_is_missing(made, monkeypatch):
    monkeypatch.delenv("MMCOURSE_REAL_DATA", raising=False)
    made.dialogue_bytes.cache_clear()
    with pytest.raises(SystemExit, match="MELD"):
        made.dialogue_bytes()


def test_a_color_that_returns_is_found_where_each_thing_has_one(made):
    words = "a red star lies above an azure box . the star is red .".split()
    assert made.colors_that_return([words]) == [(0, 12, 2)] and words[12] == "red"
    same = "a red star lies above a red box . the star is red .".split()
    assert made.colors_that_return([same]) == []


def test_a_model_that_knows_nothing_follows_no_exchange(made):
    torch.manual_seed(0)
    counts = made.exchanged(made.CausalLM(made.PIECES, 16, 1, 2, 16).eval(), texts.draw_texts(30, 5))
    assert counts["texts"] > 0 and counts["the right one"] <= counts["one of the two"] < counts["texts"]


def test_a_network_has_as_many_steps_as_it_is_told(made):
    stream = np.random.default_rng(0).integers(3, 20, 1000)
    model, steps = made.stream_model(stream, 20, 0, 60.0, steps=2)
    assert steps == 2 and made.stream_nats(model, stream[:50], 16) > 0


def test_what_made_it_bind_has_three_seeds_of_each_way(made):
    runs = STORED["binding"]["runs"]
    assert {"4 heads, true texts only", "2 heads, true texts only"} <= set(runs) <= set(made.WAYS)
    for by_budget in runs.values():
        assert len(by_budget["1200"]) == made.BINDING_SEEDS
        assert all(run[-1][0] == int(steps) for steps, several in by_budget.items() for run in several)
