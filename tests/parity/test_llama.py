"""RMSNorm, rotary positions and SwiGLU: equal to Llama's parts in transformers, and the mistakes that people make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.models.llama.modeling_llama import (
    LlamaConfig,
    LlamaMLP,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
    apply_rotary_pos_emb,
)

from mmcourse.numpy import llama
from mmcourse.torch import llama as torch_llama
from mmcourse.torch.gpt import CausalLM, to_llama

PIECES = list(range(20))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# ---------------------------------------------------------------- equal to transformers
def test_rms_norm_is_llamas(rng):
    theirs = LlamaRMSNorm(6, eps=1e-6).double()
    theirs.weight.data = torch.tensor(rng.normal(size=6))
    x = torch.tensor(rng.normal(size=(2, 3, 6)) + 1)
    with torch.no_grad():  # theirs goes through float32
        assert torch.allclose(theirs(x), torch_llama.rms_norm(x, theirs.weight), atol=1e-6)


def test_rotary_is_llamas(rng):
    config = LlamaConfig(hidden_size=16, num_attention_heads=2)
    x = torch.tensor(rng.normal(size=(2, 2, 5, 8)), dtype=torch.float32)
    positions = torch.tensor([[0, 1, 2, 3, 4], [7, 8, 9, 10, 300]])
    cos, sin = LlamaRotaryEmbedding(config)(x, positions)
    turned, _ = apply_rotary_pos_emb(x, x, cos, sin)
    assert torch.allclose(turned, torch_llama.rotary(x, positions), atol=1e-4)


def test_swiglu_is_llamas(rng):
    mlp = LlamaMLP(LlamaConfig(hidden_size=6, intermediate_size=9, num_attention_heads=2)).double()
    x = torch.tensor(rng.normal(size=(2, 6)))
    with torch.no_grad():
        ours = torch_llama.swiglu(x, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight)
        assert torch.allclose(mlp(x), ours, atol=1e-12)


@pytest.mark.parametrize("tie", [True, False])
def test_a_whole_model_is_llama(tie: bool):
    torch.manual_seed(0)
    model = CausalLM(PIECES, dim=16, num_layers=2, num_heads=2, hidden=20, tie=tie, base=500.0).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape))
        ids = torch.randint(0, 20, (3, 11))
        assert torch.allclose(to_llama(model)(ids).logits, model(ids), atol=1e-4)


def test_only_llamas_parts_make_a_llama():
    for part in ({"norm": "layer"}, {"positions": "learned"}, {"feed_forward": "gelu"}):
        with pytest.raises(ValueError, match="Llama has"):
            to_llama(CausalLM(PIECES, 8, 1, 2, 8, **part))


# ---------------------------------------------------------------- properties, and mutants that break them
def scores_by_offset(rotate, rng) -> float:
    """How much the score of one query and key changes when both move by 40 positions."""
    q, k = rng.normal(size=(2, 1, 1, 1, 8))
    at = [rotate(q, np.array([[5 + s]])) @ rotate(k, np.array([[3 + s]])).swapaxes(2, 3) for s in (0, 40)]
    return float(np.abs(at[0] - at[1]).max())


def only_cosines(x, positions):
    """Mutant: the second term of the rotation is forgotten."""
    angles = llama.rotary_angles(positions, x.shape[-1])[:, None]
    return x * np.concatenate([np.cos(angles)] * 2, axis=-1)


def test_scores_depend_on_the_offset_alone(rng):
    assert scores_by_offset(llama.rotary, rng) < 1e-12
    assert scores_by_offset(only_cosines, np.random.default_rng(0)) > 1e-3


def test_rotation_keeps_lengths_and_is_undone(rng):
    x, positions = rng.normal(size=(2, 3, 4, 6)), rng.integers(0, 50, (2, 4))
    turned = llama.rotary(x, positions)
    assert np.allclose((turned**2).sum(-1), (x**2).sum(-1))
    assert np.allclose(llama.rotary(turned, -positions), x)


def test_pairing_neighbors_is_another_function(rng):
    """The mutant of the conversion: right by itself, wrong with weights of transformers, right once reordered."""
    x, positions = rng.normal(size=(1, 1, 4, 8)), np.arange(4)[None]
    order = np.array([0, 4, 1, 5, 2, 6, 3, 7])
    back = np.argsort(order)
    interleaved = llama.rotary(x[..., back], positions)[..., order]
    assert np.abs(interleaved - llama.rotary(x, positions)).max() > 0.1
    mixed = llama.rotary(x[..., order][..., back], positions)
    assert np.allclose(mixed, llama.rotary(x, positions))
    assert scores_by_offset(lambda a, p: llama.rotary(a[..., back], p)[..., order], rng) < 1e-12


def test_rms_norm_keeps_the_mean_and_its_epsilon_is_inside(rng):
    x = rng.normal(2, 1, size=(5, 6))
    y, _ = llama.rms_norm(x, np.ones(6))
    assert np.allclose((y**2).mean(-1), 1, atol=1e-5) and (y.mean(-1) > 0.3).all()
    centered = x - x.mean(-1, keepdims=True)  # mutant: layer normalization
    assert np.abs(llama.rms_norm(centered, np.ones(6))[0] - y).max() > 0.1
    tiny = 1e-4 * x  # ε outside the root would give 100 times less
    assert np.allclose(llama.rms_norm(tiny, np.ones(6))[0], tiny / np.sqrt((tiny**2).mean(-1, keepdims=True) + 1e-6))
    outside = tiny / (np.sqrt((tiny**2).mean(-1, keepdims=True)) + 1e-6)
    assert np.abs(llama.rms_norm(tiny, np.ones(6))[0] - outside).max() > 0.1


def test_gate_and_values_are_not_exchangeable(rng):
    x, gate, up, down = (rng.normal(size=s) for s in ((3, 4), (5, 4), (5, 4), (4, 5)))
    y, _ = llama.swiglu(x, gate, up, down)
    assert np.abs(llama.swiglu(x, up, gate, down)[0] - y).max() > 0.1
    assert np.allclose(llama.swiglu(x, np.zeros_like(gate), up, down)[0], 0)
