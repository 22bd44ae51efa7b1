"""Real review sentences: fetched over loopback HTTP, none in two splits, and what the text branch makes of them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from loopback import serve

from mmcourse.datasets import SPLITS, public, reviews
from mmcourse.evaluate import accuracy

FILES = ("rt-polarity.neg", "rt-polarity.pos")


@pytest.fixture(scope="module")
def parts(real_data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, serve(files={n: (real_data / n).read_bytes() for n in FILES}) as server:
        patch.setenv("MMCOURSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MMCOURSE_MIRROR", server.url)
        patch.setenv("no_proxy", "127.0.0.1")
        patch.delenv("MMCOURSE_OFFLINE", raising=False)
        patch.delenv("MMCOURSE_REAL_DATA", raising=False)  # where the fixture may have found them
        yield {split: reviews.load(split) for split in SPLITS}
        assert sorted(path for path, *_ in server.log) == [f"/{name}" for name in FILES], "fetched once"


def letters(sentence):
    return re.sub(r"\W+", " ", sentence.lower()).strip()


def test_every_sentence_is_there_once(parts):
    assert public.REVIEWS.verify() == []
    assert sum(map(len, parts.values())) == 10_662
    assert {split: len(ds) for split, ds in parts.items()} == {"train": 8494, "validation": 1079, "test": 1089}
    for ds in parts.values():
        assert ds.modalities == ("words",) and ds.classes == ("negative", "positive")
        assert abs(ds.labels.mean() - 0.5) < 0.03
    assert len(np.unique(np.concatenate([ds.meta["line"] for ds in parts.values()]))) == 10_662


def test_no_sentence_lies_in_two_splits(parts):
    seen = {split: {letters(s) for s in ds.column("words")} for split, ds in parts.items()}
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]
    assert reviews.home("A pretentious mess !") == reviews.home("a pretentious mess"), "spelling decides nothing"
    texts = [letters(s) for ds in parts.values() for s in ds.column("words")]
    assert len(texts) - len(set(texts)) == 2, "there are two doubles, and each stays together"


def test_vocabulary_is_of_training_alone(parts):
    vocabulary = parts["train"].vocabulary
    assert vocabulary == parts["test"].vocabulary and list(vocabulary[:2]) == ["<pad>", "<unk>"]
    known = {word for s in parts["train"].column("words") for word in s.split()}
    assert set(vocabulary[2:]) <= known
    batch = next(parts["test"].batches(4))
    first = parts["test"][0]["words"].split()
    assert [vocabulary[i] if i > 1 else "?" for i in batch["inputs"]["words"][0][: len(first)]] == [
        word if word in vocabulary else "?" for word in first
    ]


def test_text_branch_of_lesson_sentiment(parts):
    """The branch that reads mood's words, on real words: far above chance, well short of what a large model does."""
    import torch

    from mmcourse.torch import fusion
    from mmcourse.torch.encoders import MultimodalClassifier, TextEncoder
    from mmcourse.training.torch import fit, predict

    reached = []
    for seed in range(2):
        torch.manual_seed(seed)
        words = TextEncoder(len(parts["train"].vocabulary), 32)
        model = MultimodalClassifier({"words": words}, fusion.Concatenate([32], 128), classes=2)
        fit(model, parts["train"].torch_loader(64, seed=seed), epochs=4, seed=seed, progress=False)
        reached.append(accuracy(parts["test"].labels, predict(model, parts["test"].torch_loader(500))))
    assert 0.71 < np.mean(reached) < 0.78, reached


def test_without_network_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("MMCOURSE_CACHE", str(tmp_path))
    monkeypatch.setenv("MMCOURSE_OFFLINE", "1")
    monkeypatch.delenv("MMCOURSE_REAL_DATA", raising=False)
    with pytest.raises(OSError, match="rt-polarity.neg is not in .* and MMCOURSE_OFFLINE is set"):
        reviews.load()
