"""The helpdesk's recognizer and intent model: what is taken over, what is heard, what is refused."""

import numpy as np
import pytest
import torch

from mmcourse.datasets import helpdesk
from mmcourse.evaluate.words import word_error_rate
from mmcourse.torch.helpdesk import HelpdeskRecognizer, IntentModel, encode, word_sequences
from mmcourse.torch.speech_to_text import Recognizer


@pytest.fixture(scope="module")
def model():
    return HelpdeskRecognizer.from_pretrained("helpdesk")


def test_it_hears_voices_that_it_never_heard(model):
    data = helpdesk.load("test", n=60)
    texts, waves = list(data.column("words")), list(data.column("speech"))
    assert word_error_rate(texts, model.transcribe(waves)) < 0.12
    assert model.words == helpdesk.grammar.vocabulary()


def test_hypotheses_are_ordered_and_begin_with_the_best(model):
    wave = helpdesk.load("test", n=3)[1]["speech"]
    found = model.hypotheses(wave, 5)
    p = [weight for _, weight in found]
    assert 1 <= len(found) <= 5 and sum(p) == pytest.approx(1) and p == sorted(p, reverse=True)
    assert all(word in model.words for text, _ in found for word in text.split())


def test_known_words_are_taken_over_and_new_ones_are_not():
    torch.manual_seed(0)
    mine, theirs = HelpdeskRecognizer(), Recognizer.from_pretrained("speech_to_text")
    before = mine.to_label.weight.detach().clone()
    mine.start_from(theirs)
    red, refund = mine.labels("red")[0], mine.labels("refund")[0]
    assert torch.equal(mine.to_label.weight[red], theirs.to_label.weight[theirs.labels("red")[0]])
    assert torch.equal(mine.to_label.weight[refund], before[refund])
    assert torch.equal(mine.blocks[1].mix.weight, theirs.blocks[1].mix.weight)
    assert torch.equal(mine.to_label.weight[0], theirs.to_label.weight[0]), "the blank"


def test_it_is_stored_and_read_back(tmp_path, model):
    model.save_pretrained(tmp_path)
    again = HelpdeskRecognizer.from_pretrained(tmp_path)
    assert again.words == model.words and torch.equal(again.to_label.weight, model.to_label.weight)
    with pytest.raises(ValueError, match="another model"):
        Recognizer.from_pretrained(tmp_path)


def test_the_grammar_as_language_model_is_exact():
    log_p = word_sequences()
    grammar = helpdesk.grammar
    place = {word: i + 1 for i, word in enumerate(grammar.vocabulary())}
    marginal = grammar.joint().sum(axis=0)
    for i in (0, 700, len(marginal) - 1):
        labels = [place[word] for word in grammar.texts()[i].split()] + [0]
        total = sum(log_p(tuple(labels[:n]), labels[n]) for n in range(len(labels)))
        assert total == pytest.approx(np.log(marginal[i]))
    assert log_p((place["refund"],), place["refund"]) == -20


def test_padding_changes_nothing_in_the_intent_model():
    torch.manual_seed(0)
    model = IntentModel(len(helpdesk.vocabulary()))
    assert sum(p.numel() for p in model.parameters()) < 60_000
    texts = ["cancel my order please", "i want my money back for the red star"]
    p = model.probabilities(texts)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert encode(texts).shape == (2, 9) and encode([""]).shape == (1, 1)
    ids = encode(texts[:1])
    model.gru.flatten_parameters()
    alone = model(ids)
    longer = model(torch.nn.functional.pad(ids, (0, 3)))
    assert torch.allclose(alone, longer, atol=1e-5)
