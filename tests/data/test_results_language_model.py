"""The training of the language model: easy texts are what they say, and only the colors that come back count."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmcourse.datasets import lesson_dir
from mmcourse.datasets.scenes import texts
from mmcourse.torch.gpt import CausalLM


@pytest.fixture(scope="module")
def run():
    spec = importlib.util.spec_from_file_location("make_lm_training", lesson_dir("language_model") / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words_of(run, row: list[int]) -> list[str]:
    by_label = {label: word for word, label in run.LABEL.items()}
    return [by_label[label] for label in row[1:-1]]


@pytest.mark.parametrize("bare", [True, False])
def test_easy_texts_say_each_color_again(run, bare):
    rng = np.random.default_rng(1)
    for _ in range(200):
        row, first = run.easy_row(rng, bare)
        words = words_of(run, row)
        known, again = words[: first - 1], words[first - 1 :]
        assert known[-1] == "."
        said = {known[i + 1]: word for i, word in enumerate(known) if word in texts.COLOR_WORDS}
        assert 3 <= len(said) <= 6 and len({texts.SHAPE_OF[shape] for shape in said}) == len(said)
        sentences = " ".join(again).strip(" .").split(" . ")
        found = [sentence.split() for sentence in sentences]
        assert all(len(sentence) == (2 if bare else 4) for sentence in found)
        assert {sentence[0 if bare else 1]: sentence[-1] for sentence in found} == said
        assert len(found) == len(said)


def test_only_the_colors_that_come_back_count(run):
    torch.manual_seed(0)
    model = CausalLM(run.PIECES, 16, 1, 2, 44)
    rows = [run.easy_row(np.random.default_rng(seed), bare=seed % 2 == 0) for seed in range(4)]
    nats = []
    for row, first in rows:
        ids = torch.tensor([row])
        each = F.cross_entropy(model(ids[:, :-1])[0], ids[0, 1:], reduction="none")
        words = words_of(run, row)
        nats += [each[i] for i, word in enumerate(words) if i >= first - 1 and word in texts.COLOR_WORDS]
    assert run.recalled_nats(model, rows).item() == pytest.approx(torch.stack(nats).mean().item(), abs=1e-5)


def test_the_stages_follow_each_other(run, monkeypatch, capsys):
    for name, value in {"NUM_TEXTS": 300, "NUM_EASY": 50, "LONGEST_STAGE": 3, "BESIDE": 2, "TEXTS_PER_STEP": 8}.items():
        monkeypatch.setattr(run, name, value)
    torch.manual_seed(0)
    model = CausalLM(run.PIECES, 16, 1, 2, 44, tie=False)
    _, training = run.train(model, 1e9, 12, every=4)
    assert [(stage["name"], stage["first step"]) for stage in training["stages"]] == [
        ("pairs", 0),
        ("sentences", 3),
        ("both", 6),
        ("true texts", 8),
    ]
    assert [row["step"] for row in training["curve"]] == [1, 4, 8, 12]
    assert training["pieces"] > 0 == training["curve"][0]["pieces"]
    model = CausalLM(run.PIECES, 16, 1, 2, 44, tie=False)
    assert [stage["name"] for stage in run.train(model, 1e9, 2, easy_first=False)[1]["stages"]] == ["true texts"]
