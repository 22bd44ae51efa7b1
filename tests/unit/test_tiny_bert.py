"""The shipped tiny-bert: small, as its card says, loaded as anyone loads BERT, and better than counting."""

import hashlib
import importlib.util
import json

import numpy as np
import pytest

from mmcourse.datasets import corpus, data_dir
from mmcourse.preprocess.masking import IGNORE_INDEX, BigramModel, mask_tokens

FOLDER = data_dir() / "models" / "tiny-bert"
FILES = ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt")


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import BertTokenizer

    return BertTokenizer.from_pretrained(FOLDER, local_files_only=True)


def test_files_are_small_and_those_of_the_card():
    assert (FOLDER / "model.safetensors").stat().st_size <= 2_000_000
    card, figures = (FOLDER / "README.md").read_text("utf-8"), json.loads((FOLDER / "figures.json").read_text())
    for name in FILES:
        digest = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()
        assert figures["sha256"][name] == digest, f"{name} is not what make.py measured: run make.py"
        assert digest in card, f"{name}: the card has another SHA-256"


def test_the_card_reports_what_was_measured():
    card, figures = (FOLDER / "README.md").read_text("utf-8"), json.loads((FOLDER / "figures.json").read_text())
    for text in ("captions", "utterances"):
        for guesser in ("unigram", "bigram", "bigram, both sides", "tiny-bert"):
            assert f"{figures[text][guesser]:.3f}" in card, f"{guesser} on {text}"


def test_it_loads_with_every_weight(tokenizer):
    from transformers import BertForMaskedLM, BertModel

    options = {"local_files_only": True, "output_loading_info": True}
    _, info = BertForMaskedLM.from_pretrained(FOLDER, **options)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    bert, info = BertModel.from_pretrained(FOLDER, add_pooling_layer=False, **options)
    assert not info["missing_keys"]
    out = bert.eval()(**tokenizer("A tiny red disc.", return_tensors="pt"), output_hidden_states=True)
    assert [h.shape for h in out.hidden_states] == [(1, 7, bert.config.hidden_size)] * 3


def test_words_of_the_corpus_are_whole(tokenizer):
    texts = [*corpus.captions("test"), *(part for pair in corpus.utterances("test", n=300) for part in pair)]
    tokens = {token for text in texts for token in tokenizer.tokenize(text)}
    assert "[UNK]" not in tokens and not any(token.startswith("##") for token in tokens)
    assert len(tokenizer.tokenize("wonderfully")) > 1


@pytest.mark.parametrize(("name", "margin"), [("captions", 0.05), ("utterances", 0.05)])
def test_it_reads_better_than_counting(name, margin):
    spec = importlib.util.spec_from_file_location("make_tiny_bert", FOLDER / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    from transformers import BertForMaskedLM, BertTokenizer

    tokenizer, model = BertTokenizer.from_pretrained(FOLDER), BertForMaskedLM.from_pretrained(FOLDER)
    index = ("captions", "utterances").index(name)
    train = make.encode(tokenizer, (corpus.captions()[:3000], corpus.utterances(n=3000)))[index]
    held_out = make.encode(tokenizer, (corpus.captions("test")[:300], corpus.utterances("test", n=300)))[index]
    found = make.masked_accuracy(model, held_out, train["input_ids"], tokenizer)
    assert found["tiny-bert"] > found["bigram, both sides"] + margin > found["bigram"] > found["unigram"]


# ---------------------------------------------------------------- what it is made with
def test_masking_follows_the_rule():
    ids = np.arange(1_000_000).reshape(1000, 1000) % 500 + 10
    maskable = ids > 100
    inputs, labels = mask_tokens(ids, maskable, 4, 510, np.random.default_rng(0))
    asked = labels != IGNORE_INDEX
    assert not asked[~maskable].any() and (labels[asked] == ids[asked]).all() and (inputs[~asked] == ids[~asked]).all()
    assert abs(asked[maskable].mean() - 0.15) < 0.002
    assert abs((inputs[asked] == 4).mean() - 0.8) < 0.005
    assert abs((inputs[asked] == ids[asked]).mean() - 0.1) < 0.005


def test_bigrams_guess_what_follows():
    ids = np.array([[2, 5, 6, 7, 3], [2, 5, 6, 8, 3], [2, 5, 6, 8, 3], [2, 9, 5, 6, 3]])
    bigrams = BigramModel(ids, 10)
    where = np.array([[False, False, False, True, False]])
    assert bigrams.predict(ids[:1], where, [0, 1, 2, 3, 4], both=False).tolist() == [8]
    where = np.array([[False, True, False, False, False]])
    assert bigrams.predict(ids[:1], where, [0, 1, 2, 3, 4]).tolist() == [5]
    both = np.array([[False, True, True, False, False]])  # a hidden neighbor tells nothing
    assert bigrams.predict(ids[:1], both, [0, 1, 2, 3, 4]).tolist() == [5, 6]


def test_messages_mostly_agree_and_the_splits_differ():
    from mmcourse.datasets.mood import words as mood_words

    feeling = {line: name for name, lines in mood_words.sentences("train").items() for line in lines}

    def agreeing(agree):
        same = []
        for first, second in corpus.utterances("train", n=500, agree=agree):
            parts = [part.strip() + "." for part in f"{first} {second}".split(".") if part.strip()]
            names = [feeling[part] for part in parts]
            same += [names[0] == other for other in names[1:]]
        return np.mean(same)

    assert abs(agreeing(0.0) - 1 / 3) < 0.05 and agreeing(corpus.AGREE) > 0.8
    assert corpus.utterances(n=20) == corpus.utterances(n=20)
    assert not set(corpus.utterances("train", n=200)) & set(corpus.utterances("test", n=200))
    with pytest.raises(ValueError, match="split"):
        corpus.utterances("tests")
