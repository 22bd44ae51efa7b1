"""The shipped language model: small, as near to the exact entropy as its figures say, a Llama with our weights."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mmcourse.cli import app
from mmcourse.datasets import data_dir, lesson_dir
from mmcourse.datasets.scenes import texts
from mmcourse.figures.language_model import TEST_SEED, grammatical, test_texts
from mmcourse.torch.gpt import CausalLM, to_llama

FOLDER = data_dir() / "models" / "language_model"
STORED = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
test_texts.__test__ = False  # a name that pytest would collect


@pytest.fixture(scope="module")
def model() -> CausalLM:
    return CausalLM.from_pretrained("language_model")


def load_run():
    spec = importlib.util.spec_from_file_location("make_lm_results", lesson_dir("language_model") / "make_results.py")
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    return run


def test_it_is_small_and_described():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert (FOLDER / "model.safetensors").stat().st_size < 4_000_000
    assert STORED["sha256"] in card
    assert f"**{STORED['figures']['excess_perplexity']:.4f}**" in card


def test_the_card_is_written_from_figures(tmp_path: Path, model: CausalLM):
    load_run().write_card(tmp_path, model, STORED)
    assert (tmp_path / "README.md").read_bytes() == (FOLDER / "README.md").read_bytes()


def test_figures_of_200_texts_are_those_of_the_stored_model():
    result = CliRunner().invoke(app, ["figures", "language_model", "-n", "200", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert set(found) == set(STORED["figures_200"])
    for name, value in STORED["figures_200"].items():
        assert found[name] == pytest.approx(value, abs=0.05 if name == "sampled_grammatical" else 2e-3), name


def test_it_knows_whose_color_it_was(model: CausalLM):
    """In texts whose colors are exchanged, the answer is exchanged, too: what the curriculum was for."""
    right = number = 0
    for words in test_texts(300):
        second = words.index(".") + 1
        named = [word for word in words[:second] if word in texts.COLOR_WORDS]
        if len(set(named)) == len(named) == 2 and words[second] == "the" and words[second + 3] in texts.COLOR_WORDS:
            exchanged = dict(zip(named, reversed(named), strict=True))
            start = texts.join([exchanged.get(word, word) for word in words[: second + 3]])
            right += model.generate([start], max_length=1)[0].split()[-1].strip(".") == exchanged[words[second + 3]]
            number += 1
    assert number > 40 and right / number > 0.9


def test_entropy_of_the_card_is_the_grammar_s():
    nats, length = texts.entropy()
    assert STORED["figures"]["entropy_per_text"] == pytest.approx(nats)
    assert STORED["figures"]["pieces_per_text"] == pytest.approx(length)


def test_saved_model_comes_back(model: CausalLM, tmp_path: Path):
    model.save_pretrained(tmp_path)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


@torch.no_grad()
def test_it_is_a_llama(model: CausalLM):
    ids = torch.randint(3, len(model.config["pieces"]), (2, 20), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(to_llama(model)(ids).logits, model(ids), atol=1e-3)


def test_no_test_text_is_drawn_with_a_training_seed():
    run = load_run()
    assert TEST_SEED not in (run.SEED, [run.SEED, 3])
    assert test_texts(3) != texts.draw_texts(3, [run.SEED, 3])


def test_a_text_that_the_grammar_cannot_write_is_noticed():
    right = [texts.join(words) for words in texts.draw_texts(20, 5)]
    assert grammatical(right) == 1
    assert grammatical([text.replace("a ", "an ", 1) for text in right[:5]]) < 1
    assert grammatical(["", "hello", right[0][:-1]]) == 0


def test_learning_is_the_same_each_time():
    run = load_run()
    run.training_rows = lambda: run.rows_of(texts.draw_texts(50, 1))
    values = []
    for _ in range(2):
        torch.manual_seed(0)
        model = CausalLM(run.PIECES, 16, 1, 2, 16)
        optimizer = run.make_optimizer(model, 1e-2)
        rows = run.training_rows()
        losses = []
        for _ in range(5):
            loss = run.batch_loss(model, rows[:16])
            run.update(model, optimizer, loss, 1e-2)
            losses.append(loss.item())
        values.append(losses)
    assert values[0] == values[1] and values[0][-1] < values[0][0]
    assert np.isfinite(values[0]).all()
