"""Stored figures of lesson bert: whole, true to its sentences, and reproduced by short reruns."""

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results
from mmcourse.evaluate import mean_and_interval


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("bert") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_bert", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return results("bert")


def test_all_parts_are_there(make, stored):
    assert set(make.PARTS) <= set(stored)
    for n in ("25", "100", "400", "1600"):
        assert [len(stored["frozen"][n][name]) for name in ("probe", "TF-IDF")] == [5, 5]


def test_the_challenge_s_figures_come_again(make, stored):
    made = make.make_challenge()
    for name, score in stored["challenge"].items():
        assert made[name] == pytest.approx(score, abs=0.01)


def test_a_fine_tuned_tiny_bert_comes_again(make, stored):
    import torch

    _, _, y = make.feelings("train")
    rows = np.random.default_rng(0).permutation(len(y))[:128]
    torch.manual_seed(0)
    model = make.train_tiny(make.tiny_classifier(True), rows, 0, 40, 1e-3)
    assert make.tiny_score(model) == pytest.approx(stored["feelings"]["128"]["fine-tuned, 40 steps"][0], abs=0.03)


def test_every_sentence_of_mood_is_in_its_grammar(make):
    from mmcourse.datasets.mood import words

    sentences, shares = make.mood_grammar.all_sentences()
    known = set(sentences)
    assert shares.sum() == pytest.approx(1)
    for split in ("train", "validation", "test"):
        assert all(line in known for group in words.sentences(split).values() for line in group)


def test_the_best_reader_is_never_below_the_counts(make):
    tokenizer = make.tiny_tokenizer()
    gaps = make.mood_grammar.gaps_of(tokenizer, "test", 200, seed=1)
    limits = make.mood_grammar.limits(tokenizer, gaps)
    assert limits["left side only"]["accuracy"] < limits["both sides"]["accuracy"] < 0.9
    ids, _ = make.tiny_corpus()
    model = make.masking.BigramModel(ids, len(tokenizer))
    where = np.zeros(gaps.inputs.shape, bool)
    where[np.arange(len(where)), gaps.where] = True
    named = model.predict(gaps.inputs, where, tokenizer.all_special_ids)
    assert (named == gaps.truth).mean() < limits["both sides"]["accuracy"] + 0.05


def test_a_causal_mask_keeps_the_right_side_out(make):
    import torch

    torch.manual_seed(0)
    model = make.BertForMaskedLM(make.BertConfig.from_pretrained(make.TINY)).eval()
    ids = torch.randint(5, 600, (2, 9))
    other = ids.clone()
    other[:, 6:] = 7
    with torch.no_grad():
        a, b = (model(x, attention_mask=make.attend_mask(x, causal=True)).logits for x in (ids, other))
    assert torch.allclose(a[:, :6], b[:, :6], atol=1e-5) and not torch.allclose(a[:, 6:], b[:, 6:])


def gain(first, second):
    k = min(len(first), len(second))
    return mean_and_interval(np.subtract(first[:k], second[:k]))


def test_either_rule_keeps_the_token_and_no_rule_helps_the_feelings(stored):
    rule = stored["rule"]
    assert min(min(rule[name]["token probe"]) for name in ("80/10/10", "all [MASK]")) > 0.975
    for other in ("all [MASK]", "left side only"):
        gained, half = gain(rule["80/10/10"]["probe"], rule[other]["probe"])
        assert gained < half


def test_a_probe_of_tokens_reads_them(make):
    import torch

    torch.manual_seed(0)
    model = make.BertForMaskedLM(make.BertConfig.from_pretrained(make.TINY)).eval()
    assert make.token_probe(model) > 0.9
