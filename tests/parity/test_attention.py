"""Attention: gradients, the frameworks' own layers, masks, and what the formula promises."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from own_layers import check_gradient, check_keras, check_torch
from torch.nn.attention.bias import causal_lower_right

import mmcourse.torch.attention as torch_attention
from mmcourse.numpy import attention, weight_conversion
from mmcourse.parity.attention import DIM, FORMULAS, HEADS

BY_NAME = {f.name: f for f in FORMULAS}
# Keras spreads a row with nothing to look at over all keys, so here every first key is real.
REAL = np.array([[True, True, False, True, False], [True, False, True, False, False], [True] * 5])


def _seen(inputs):
    return {**inputs, "padding_mask": REAL} if "padding_mask" in inputs else inputs


def _formula(name):
    """One of the registered ones, all keys and values of width DIM, without an empty row."""
    formula = BY_NAME[name]
    if "cross" not in name:
        return replace(formula, inputs=lambda rng: _seen(formula.inputs(rng)))

    def inputs(rng):
        return {**_seen(formula.inputs(rng)), "context": rng.normal(size=(3, 5, DIM))}

    return replace(formula, inputs=inputs, config={"dim": DIM, "num_heads": HEADS})


def parameters(rng, dim=DIM, context=DIM):
    """Random parameters of multi-head attention."""
    widths = {"q_proj": dim, "k_proj": context, "v_proj": context, "out_proj": dim}
    p = {f"{n}.w": rng.normal(size=(d, dim)) for n, d in widths.items()}
    return p | {f"{n}.b": rng.normal(size=dim) for n in widths}


def multi_head_names():
    """Names of the registered multi-head formulas."""
    return [name for name in BY_NAME if name.startswith("multi-head")]


def check_torch_multi_head(name):
    """`nn.MultiheadAttention`: masks mean the opposite."""

    def call(layer, inputs):
        context, mask = inputs.get("context", inputs["query"]), inputs.get("padding_mask")
        n, m = inputs["query"].shape[1], context.shape[1]
        return layer(
            inputs["query"],
            context,
            context,
            key_padding_mask=None if mask is None else torch.tensor(weight_conversion.key_padding_mask(mask)),
            attn_mask=torch.ones(n, m, dtype=torch.bool).triu(1) if inputs.get("causal") else None,
            need_weights=False,
        )[0]

    theirs = torch.nn.MultiheadAttention(DIM, HEADS, batch_first=True)
    check_torch(_formula(name), theirs, lambda p: weight_conversion.torch_attention(p), call)


def check_keras_multi_head(name):
    """`keras.layers.MultiHeadAttention`: `key_dim` is the width of one head."""
    import keras

    def call(layer, inputs):
        context, mask = inputs.get("context", inputs["query"]), inputs.get("padding_mask")
        mask = None if mask is None else mask[:, None]  # (b, 1, m)
        causal = inputs.get("causal", False)
        return layer(inputs["query"], context, attention_mask=mask, use_causal_mask=causal)

    theirs = keras.layers.MultiHeadAttention(HEADS, DIM // HEADS, dtype="float64")
    check_keras(_formula(name), theirs, lambda p: weight_conversion.keras_attention(p, HEADS), call)


def check_torch_kernel(name):
    """`F.scaled_dot_product_attention`: bool mask True = keep, and `is_causal` aligns the first query, not the last."""

    def call(f, inputs):
        mask = inputs.get("padding_mask")
        mask = mask[:, None] if mask is not None else None
        if inputs.get("causal"):
            mask = causal_lower_right(4, 5)
        return f(inputs["q"], inputs["k"], inputs["v"], attn_mask=mask)

    check_torch(_formula(name), torch.nn.functional.scaled_dot_product_attention, call=call)


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f.name)
def test_gradient_equals_central_differences(formula):
    check_gradient(formula)


@pytest.mark.parametrize("name", multi_head_names())
def test_equal_to_torchs_own(name):
    check_torch_multi_head(name)


@pytest.mark.parametrize("name", multi_head_names())
def test_equal_to_kerass_own(name):
    check_keras_multi_head(name)


@pytest.mark.parametrize("name", [n for n in BY_NAME if n.startswith("dot")])
def test_equal_to_torchs_kernel(name):
    check_torch_kernel(name)


def test_causal_aligns_the_last_query_with_the_last_key():
    """With fewer queries than keys, as with a cache: the same rows as in the whole."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, 5, 4)) for _ in range(3))
    whole, _ = attention.scaled_dot_product_attention(q, k, v, causal=True)
    last, _ = attention.scaled_dot_product_attention(q[:, 3:], k, v, causal=True)
    np.testing.assert_allclose(last, whole[:, 3:], atol=1e-15)


@pytest.mark.parametrize("causal", [False, True])
def test_rows_sum_to_one_or_are_empty(causal):
    rng = np.random.default_rng(1)
    x, mask = rng.normal(size=(4, 6, DIM)) * 50, rng.random((4, 6)) > 0.5
    mask[0], mask[1] = False, True
    _, cache = attention.multi_head_attention(x, None, parameters(rng), HEADS, mask, causal)
    rows = cache["weights"].sum(-1)
    keep = np.broadcast_to(attention.attention_mask(6, 6, mask, causal, 4), (4, 1, 6, 6)).any(-1)
    np.testing.assert_allclose(rows, np.broadcast_to(keep, rows.shape).astype(float), atol=1e-12)
    assert (cache["weights"] >= 0).all()
    assert not (cache["weights"] * ~mask[:, None, None]).any()


def check_fully_masked(backend):
    """Output, weights and gradient of a row without anything to look at: 0 and finite."""
    rng = np.random.default_rng(2)
    q, k, v = (rng.normal(size=(2, 3, 4)) for _ in range(3))
    mask = np.array([[False] * 3, [True, False, True]])
    if backend == "numpy":
        y, cache = attention.scaled_dot_product_attention(q, k, v, mask)
        grads = attention.scaled_dot_product_attention_backward(np.ones_like(y), cache)
    elif backend == "torch":
        leaves = [torch.tensor(a, requires_grad=True) for a in (q, k, v)]
        y, _ = torch_attention.scaled_dot_product_attention(*leaves, torch.tensor(mask))
        grads = [g.numpy() for g in torch.autograd.grad(y.sum(), leaves)]
        y = y.detach().numpy()
    else:
        import tensorflow as tf

        import mmcourse.keras.attention as keras_attention

        leaves = [tf.constant(a) for a in (q, k, v)]
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            y, _ = keras_attention.scaled_dot_product_attention(*leaves, tf.constant(mask))
        grads, y = tape.gradient(y, leaves), y.numpy()
    assert all(np.isfinite(np.asarray(g)).all() for g in grads)
    assert not y[0].any() and y[1].any()


@pytest.mark.parametrize("backend", ["numpy", "torch", "keras"])
def test_fully_masked_rows_are_zero_and_finite(backend):
    check_fully_masked(backend)


def check_no_leak():
    """Changing a later element changes no earlier output."""
    rng = np.random.default_rng(3)
    x, p = rng.normal(size=(2, 6, DIM)), parameters(rng)
    y, _ = attention.multi_head_attention(x, None, p, HEADS, causal=True)
    for t in range(1, 6):
        other = x.copy()
        other[:, t:] += 1
        y2, _ = attention.multi_head_attention(other, None, p, HEADS, causal=True)
        np.testing.assert_array_equal(y[:, :t], y2[:, :t])
        assert np.abs(y - y2)[:, t:].max() > 0


def test_causal_attention_does_not_leak():
    check_no_leak()


def test_garbage_at_padded_keys_changes_nothing():
    rng = np.random.default_rng(4)
    q, s, p = rng.normal(size=(3, 4, DIM)), rng.normal(size=(3, 5, DIM)), parameters(rng)
    other = np.where(REAL[..., None], s, 99.0)
    y, _ = attention.multi_head_attention(q, s, p, HEADS, REAL)
    np.testing.assert_array_equal(y, attention.multi_head_attention(q, other, p, HEADS, REAL)[0])


def test_without_positions_order_does_not_matter():
    """Self-attention is permutation equivariant; with positions added it is not."""
    rng = np.random.default_rng(5)
    x, p, order = rng.normal(size=(2, 6, DIM)), parameters(rng), rng.permutation(6)
    where = attention.sinusoidal_positions(6, DIM)
    y, y2 = (attention.multi_head_attention(a, None, p, HEADS)[0] for a in (x, x[:, order]))
    np.testing.assert_allclose(y[:, order], y2, atol=1e-12)
    y, y2 = (attention.multi_head_attention(a + where, None, p, HEADS)[0] for a in (x, x[:, order]))
    assert np.abs(y[:, order] - y2).max() > 1e-2


def check_variance():
    """Var(q·k) = d_k, so the scaled scores keep variance 1 and the softmax its gradient, whatever d_k."""
    rng = np.random.default_rng(6)
    slopes = {}
    for d in (4, 64, 1024):
        q, k = rng.normal(size=(40, 50, d)), rng.normal(size=(40, 50, d))
        raw = q @ k.swapaxes(-1, -2)
        assert raw.var() == pytest.approx(d, rel=0.05)
        y, cache = attention.scaled_dot_product_attention(q, k, k)
        scaled = q @ k.swapaxes(-1, -2) * cache["scale"]
        assert scaled.var() == pytest.approx(1, rel=0.05)
        for name, weights in (("scaled", cache["weights"]), ("raw", attention.masked_softmax(raw))):
            slopes[d, name] = np.mean(weights * (1 - weights)) * weights.shape[-1]  # mean ∂w_i/∂s_i, × n
    assert slopes[1024, "scaled"] == pytest.approx(slopes[4, "scaled"], rel=0.1)
    assert slopes[1024, "raw"] < 0.1 * slopes[4, "scaled"]


def test_scaling_keeps_the_variance_and_the_gradient():
    check_variance()


def test_brute_force_loop():
    """One query, one head, one key at a time."""
    rng = np.random.default_rng(7)
    x, s, p = rng.normal(size=(2, 3, DIM)), rng.normal(size=(2, 5, DIM)), parameters(rng)
    y, _ = attention.multi_head_attention(x, s, p, HEADS)
    d = DIM // HEADS
    for b in range(2):
        for i in range(3):
            heads = []
            for h in range(HEADS):
                cols = slice(h * d, (h + 1) * d)
                q = (x[b, i] @ p["q_proj.w"] + p["q_proj.b"])[cols]
                keys = [(s[b, j] @ p["k_proj.w"] + p["k_proj.b"])[cols] for j in range(5)]
                values = [(s[b, j] @ p["v_proj.w"] + p["v_proj.b"])[cols] for j in range(5)]
                e = np.exp([q @ k / np.sqrt(d) for k in keys])
                heads.append(sum(w * v for w, v in zip(e / e.sum(), values, strict=True)))
            np.testing.assert_allclose(y[b, i], np.concatenate(heads) @ p["out_proj.w"] + p["out_proj.b"], atol=1e-13)


def test_positions_are_equal_in_all_backends_and_shift_by_rotation():
    import mmcourse.keras.attention as keras_attention

    for n, d in ((7, 6), (5, 3)):
        ours = attention.sinusoidal_positions(n, d)
        np.testing.assert_allclose(torch_attention.sinusoidal_positions(n, d), ours, atol=1e-6)
        np.testing.assert_allclose(np.array(keras_attention.sinusoidal_positions(n, d)), ours, atol=1e-6)
    p = attention.sinusoidal_positions(20, 8)
    np.testing.assert_allclose(p[3] @ p[8], p[10] @ p[15], atol=1e-12)  # depends on the distance alone


@pytest.mark.parametrize("bad", [np.ones((2, 3)), np.ones((2, 4), bool), np.ones(3, bool)], ids=str)
def test_bad_masks_are_named(bad):
    x = np.zeros((2, 3, 4))
    with pytest.raises(ValueError, match="padding_mask: expected bool .batch, 3., True = real"):
        attention.scaled_dot_product_attention(x, x, x, bad)
    with pytest.raises(ValueError, match="padding_mask: expected bool .batch, 3., True = real"):
        torch_attention.scaled_dot_product_attention(*[torch.tensor(x)] * 3, torch.tensor(bad))


def test_heads_must_divide_the_width():
    import mmcourse.keras.attention as keras_attention

    for make in (torch_attention.MultiHeadAttention, keras_attention.MultiHeadAttention):
        with pytest.raises(ValueError, match="heads: 4 does not divide the width 6"):
            make(6, 4)
    with pytest.raises(ValueError, match="heads: 4 does not divide the width 6"):
        attention.split_heads(np.zeros((1, 2, 6)), 4)


def test_half_precision_stays_finite():
    layer = torch_attention.MultiHeadAttention(8, 2).to(torch.bfloat16)
    y = layer(torch.randn(2, 3, 8).bfloat16(), padding_mask=torch.tensor([[True, False, True], [False] * 3]))
    assert y.dtype == torch.bfloat16 and y.isfinite().all()
