"""The language model's parts: nothing looks ahead, a cache and left padding change nothing, files come back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import texts
from mmcourse.preprocess.ngram import InterpolatedNgram
from mmcourse.torch import gpt
from mmcourse.torch.decoding import KVCache, beam_search, greedy
from mmcourse.torch.gpt import SPECIAL, CausalLM, PaddedCache, nats_of, pad_left

PIECES = [*SPECIAL, *(vocabulary.id_of(word) for word in texts.vocabulary_words())]
PARTS = [{}, {"norm": "layer"}, {"positions": "learned"}, {"feed_forward": "gelu"}, {"tie": False}]


def make(**parts) -> CausalLM:
    torch.manual_seed(0)
    model = CausalLM(PIECES, 16, 2, 2, 24, **parts).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn(weight.shape))
    return model


@pytest.mark.parametrize("parts", PARTS)
@torch.no_grad()
def test_nothing_looks_ahead(parts):
    model = make(**parts)
    ids = torch.randint(3, 80, (2, 9))
    changed = ids.clone()
    changed[:, 6] = 5 + (ids[:, 6] == 5)
    before, after = model(ids), model(changed)
    assert torch.equal(before[:, :6], after[:, :6]) and not torch.allclose(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize("parts", PARTS)
@torch.no_grad()
def test_a_cache_changes_nothing(parts):
    model = make(**parts)
    ids = torch.randint(3, 80, (2, 9))
    whole, cache = model(ids), KVCache()
    pieces = [model(part, cache) for part in ids.split([4, 1, 3, 1], dim=1)]
    assert torch.allclose(torch.cat(pieces, dim=1), whole, atol=1e-5)


@torch.no_grad()
def test_a_cache_whose_positions_start_again_is_noticed():
    """Mutant: each new token is taken for position 0."""
    model = make()
    ids = torch.randint(3, 80, (1, 8))
    cache = PaddedCache(torch.zeros(1, dtype=torch.long))
    model(ids[:, :7], cache)
    cache.num_padding = torch.tensor([7])  # so that position 7 counts as 0
    assert not torch.allclose(model(ids[:, 7:], cache), model(ids)[:, 7:], atol=1e-3)


@pytest.mark.parametrize("parts", PARTS)
@torch.no_grad()
def test_left_padding_changes_nothing(parts):
    model = make(**parts)
    rows = [[1, 7, 9, 30, 4, 5], [1, 8], [1]]
    ids, num_padding = pad_left(rows)
    together = model(ids, PaddedCache(num_padding))
    assert together.isfinite().all()
    for row, out, padding in zip(rows, together, num_padding.tolist(), strict=True):
        assert torch.allclose(out[padding:], model(torch.tensor([row]))[0], atol=1e-5)
    careless = model(ids)  # mutant: padding is attended to
    assert not torch.allclose(careless[1, -1], together[1, -1], atol=1e-3)


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_a_batch_is_written_as_one_by_one(method):
    model = make()
    prompts = ["a red star", "what", "", "there are two shapes: a tiny box"]
    together = model.generate(prompts, 12, method)
    assert together == [model.generate([prompt], 12, method)[0] for prompt in prompts]
    assert all(text.startswith(prompt) for text, prompt in zip(together, prompts, strict=True))


def test_beams_of_padded_prompts_follow_their_parents():
    model = make()
    ids, num_padding = pad_left([[1, 7, 9, 30], [1, 8]])
    _, scores = beam_search(model.step, PaddedCache(num_padding), ids, 6, num_beams=3)
    for row, padding, found in zip(ids, num_padding.tolist(), scores, strict=True):
        _, alone = beam_search(model.step, KVCache(), row[None, padding:], 6, num_beams=3)
        assert torch.allclose(found, alone[0], atol=1e-4)


def test_greedy_needs_no_padded_cache():
    model = make()
    ids = torch.tensor([[1, 7, 9]])
    assert torch.equal(greedy(model.step, KVCache(), ids, 6), greedy(model.step, PaddedCache(torch.zeros(1)), ids, 6))


def test_first_loss_is_that_of_a_guesser():
    torch.manual_seed(0)
    model = CausalLM(PIECES)
    rows = [[*model.encode(texts.join(words)), 2] for words in texts.draw_texts(30, 1)]
    first = torch.cat(nats_of(model, rows)).mean().item()
    assert -0.1 < first - math.log(len(PIECES)) < 0.8  # embeddings that are not tiny add a little


@torch.no_grad()
def test_nats_are_those_of_the_logits():
    model = make()
    found = ["a red star is over a box.", "what"]
    for text, nats in zip(found, model.nats(found), strict=True):
        ids = torch.tensor([[*model.encode(text), 2]])
        assert torch.allclose(nats, F.cross_entropy(model(ids[:, :-1])[0], ids[0, 1:], reduction="none"), atol=1e-5)


def test_tied_weights_are_one_and_are_counted_once():
    tied, untied = make(), make(tie=False)
    assert untied.num_weights(embedding=True) - tied.num_weights(embedding=True) == len(PIECES) * 16
    assert tied.num_weights() == untied.num_weights() == 2 * (4 * 16**2 + 3 * 16 * 24 + 2 * 16) + 16


def test_saved_model_comes_back(tmp_path):
    model = make(positions="learned", tie=False)
    model.save_pretrained(tmp_path)
    again = CausalLM.from_pretrained(tmp_path)
    assert again.config == model.config
    for name, weight in model.state_dict().items():
        assert torch.equal(weight.half(), again.state_dict()[name].half()), name


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="first"):
        CausalLM([5, 6, 7, 8])
    with pytest.raises(ValueError, match="even width"):
        CausalLM(PIECES, dim=6, num_heads=2)
    with pytest.raises(ValueError, match="norm: expected one of rms, layer"):
        CausalLM(PIECES, norm="batch")
    with pytest.raises(ValueError, match="no piece for 'moves'"):
        make().encode("a star moves")
    with pytest.raises(ValueError, match="no piece for 'elephant'"):
        make().encode("a red elephant")
    with pytest.raises(ValueError, match="list of texts"):
        make().generate("a star")
    with pytest.raises(ValueError, match="list of texts"):
        make().nats("a star")
    with pytest.raises(ValueError, match="at most 4 positions"):
        make(positions="learned", max_length=4)(torch.zeros(1, 5, dtype=torch.long))


def test_padding_lets_a_query_see_itself_only():
    keep = gpt.attention_keep(0, 3, torch.tensor([2, 0]), torch.device("cpu"))
    assert keep[0, 0].int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert keep[1, 0].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


# ---------------------------------------------------------------- counting
def test_an_ngram_model_sums_to_one_and_knows_its_text():
    rng = np.random.default_rng(0)
    stream = rng.integers(0, 6, 300).tolist()
    for order in (1, 2, 4):
        model = InterpolatedNgram(stream, 8, order)
        for before in ([], stream[:1], stream[5:9], [7, 7, 7]):
            assert sum(model.probability(before, label) for label in range(8)) == pytest.approx(1)
    assert InterpolatedNgram(stream, 8, 4).nats(stream).mean() < InterpolatedNgram(stream, 8, 1).nats(stream).mean()


def test_lower_orders_count_contexts_not_occurrences():
    """“Francisco” is frequent after one word only, so elsewhere it is improbable (Kneser and Ney)."""
    san, francisco, a, b, c = range(5)
    stream = [san, francisco] * 30 + [a, c, b, c, san, c, a, b]
    model = InterpolatedNgram(stream, 5, 2)
    assert model.probability([4], c) != model.probability([4], francisco)
    assert model.probability([99], francisco) < model.probability([99], c)


def test_wrong_orders_are_named():
    with pytest.raises(ValueError, match="order, discount"):
        InterpolatedNgram([1, 2], 3, 0)
